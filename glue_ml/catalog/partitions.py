"""Partitions of a table: which of them a predicate selects, and their values as columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from glue_ml.catalog.columns import URI, Declared, convert, quote
from glue_ml.catalog.failures import explain_failures
from glue_ml.errors import InputError

_NULL_VALUES = {"__HIVE_DEFAULT_PARTITION__", None}
_NUMBER = "__glue_ml_number"
#: Run any method of the JVM by name.
_UNSAFE = {"reflect", "java_method", "try_reflect"}

Values = tuple[str | None, ...]


def select_partitions(spark: SparkSession, predicate: str, *, keys: Declared, values: Sequence[Values]) -> list[int]:
    """The indices of the partitions whose values a Spark SQL predicate holds for.

    Raises InputError where it does not parse, names anything but partition keys, or is no condition.
    """
    schema = T.StructType([T.StructField(f"v{i}", T.StringType()) for i in range(len(keys))]).add(_NUMBER, T.LongType())
    frame = spark.createDataFrame([(*row, i) for i, row in enumerate(_clean(values))], schema)
    typed = frame.select(_NUMBER, *_type_values(keys))
    with explain_failures(f"the predicate {predicate!r} cannot be used"):
        rows = filter_rows(spark, typed, predicate, keys=[name for name, _ in keys]).select(_NUMBER).collect()
    return sorted(int(row[0]) for row in rows)


def filter_rows(spark: SparkSession, df: DataFrame, predicate: str, *, keys: Sequence[str]) -> DataFrame:
    """The rows of `df` that a Spark SQL predicate over its partition columns `keys` holds for. Raises InputError."""
    subject = f"the predicate {predicate!r} is no condition on the partition columns [{', '.join(keys)}]"
    if unknown := sorted(_find_names(spark, predicate) - {name.casefold() for name in keys}):
        raise InputError(f"{subject}: {unknown[0]} is none of them")
    with explain_failures(subject):
        return df.where(predicate)


def _find_names(spark: SparkSession, predicate: str) -> set[str]:
    """The columns that a predicate names, in lower case.

    Raises InputError where it does not parse, or could do more than look at a partition's values.
    """
    session: Any = spark
    with explain_failures(f"the predicate {predicate!r} does not parse"):
        parsed = session._jsparkSession.sessionState().sqlParser().parseExpression(predicate)
    names = set()
    for node in _walk(parsed):
        kind = str(node.getClass().getSimpleName())
        if "Subquery" in kind or "Exists" in kind or "ListQuery" in kind:
            raise InputError(f"the predicate {predicate!r} has a subquery; it may only compare partition columns")
        if kind == "UnresolvedFunction" and str(node.nameParts().last()).lower() in _UNSAFE:
            raise InputError(f"the predicate {predicate!r} calls a function that is not allowed in it")
        if kind == "UnresolvedAttribute":
            names.add(str(node.nameParts().mkString(".")).casefold())
    return names


def _walk(node: Any) -> Iterator[Any]:
    yield node
    children = node.children()
    for i in range(children.size()):
        yield from _walk(children.apply(i))


def _clean(values: Sequence[Values]) -> list[Values]:
    return [tuple(None if value in _NULL_VALUES else value for value in row) for row in values]


def _type_values(keys: Declared) -> list[Any]:
    return [convert(F.col(f"v{i}"), T.StringType(), kind).alias(name) for i, (name, kind) in enumerate(keys)]


def attach_values(df: DataFrame, values: Mapping[str, Values], *, keys: Declared) -> DataFrame:
    """`df` without its URI column and with the partition values of each row's file, by `values` of URIs.

    A column that a key repeats takes the partition's value, in its place; other keys come last.
    """
    if not keys:
        return df.drop(URI)
    rows = [(uri, *row) for uri, row in zip(values, _clean([*values.values()]), strict=True)]
    schema = T.StructType([T.StructField(_NUMBER, T.StringType())])
    for i in range(len(keys)):
        schema.add(f"v{i}", T.StringType())
    lookup = df.sparkSession.createDataFrame(rows, schema)
    names = [f"__glue_ml_value_{i}" for i in range(len(keys))]
    typed = lookup.select(_NUMBER, *(c.alias(n) for c, n in zip(_type_values(keys), names, strict=True)))
    joined = df.join(F.broadcast(typed), on=df[URI] == typed[_NUMBER], how="left")
    given = {name.casefold(): F.col(n) for (name, _), n in zip(keys, names, strict=True)}
    kept = [name for name in df.columns if name != URI]
    folded = {name.casefold() for name in kept}
    columns = [given.get(name.casefold(), F.col(quote(name))).alias(name) for name in kept]
    columns += [given[name.casefold()].alias(name) for name, _ in keys if name.casefold() not in folded]
    return joined.select(*columns)
