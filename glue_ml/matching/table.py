"""The rim between a user's DataFrame and the engine: what is refused, what is read, and how ids come back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from glue_ml.errors import InputError

MATCH_ID = "match_id"
CONFIDENCE = "match_confidence_score"
LABEL_COLUMNS = ("labeling_set_id", "label")
BROADCAST_ROWS = 2_000_000  #: A key and a number of so many rows take some 200 MB of an executor's heap.
MAX_COLUMNS = 100  #: The API's upper bound of a transform's schema.
_UNREADABLE = (T.ArrayType, T.MapType, T.StructType, T.BinaryType, T.NullType)


def quote(name: str) -> str:
    """Quote a column name for Spark, whatever characters it holds."""
    return "`" + name.replace("`", "``") + "`"


def check_table(df: DataFrame, *, primary_key: str, reserved: Sequence[str] = ()) -> None:
    """Refuse a table whose columns cannot be told apart, lack the key, or use a `reserved` name.

    Raises InputError.
    """
    folded = [name.casefold() for name in df.columns]
    for name in df.columns:
        if folded.count(name.casefold()) > 1:
            raise InputError(
                f"column {name!r} occurs more than once (upper and lower case count as the same): rename one"
            )
    if primary_key not in df.columns:
        raise InputError(f"the table has no column {primary_key!r} to be its primary key; it has {sorted(df.columns)}")
    for name in reserved:
        if name in folded:
            raise InputError(f"the table has a column {name!r}, a name the output needs: drop or rename it first")
    if isinstance(df.schema[primary_key].dataType, _UNREADABLE):
        kind = df.schema[primary_key].dataType.simpleString()
        raise InputError(f"primary key column {primary_key!r} is of type {kind}; use one of a plain type")
    if len(df.columns) > MAX_COLUMNS:
        raise InputError(f"the table has {len(df.columns)} columns; at most {MAX_COLUMNS} are allowed: drop some")


def compared_columns(df: DataFrame, *, primary_key: str) -> list[str]:
    """Return the columns that are compared: all but the key and those of nested, binary or void types."""
    return [f.name for f in df.schema.fields if f.name != primary_key and not isinstance(f.dataType, _UNREADABLE)]


def read_rows(df: DataFrame, *, primary_key: str, columns: Sequence[str]) -> pa.Table:
    """Collect the key and `columns` as strings under their own names. Cost: one Spark job, the table once.

    Raises InputError where the key is null or not unique.
    """
    if missing := [name for name in columns if name not in df.columns]:
        raise InputError(
            f"the table has no column {missing[0]!r}, which the model compares; it has {sorted(df.columns)}"
        )
    chosen = [F.col(quote(primary_key)).cast("string").alias("key")]
    chosen += [F.col(quote(name)).cast("string").alias(f"c{i}") for i, name in enumerate(columns)]
    table = collect_arrow(df.select(*chosen)).rename_columns([primary_key, *columns])
    _check_keys(table.column(0), primary_key)
    return table


def collect_arrow(df: DataFrame) -> pa.Table:
    """Collect a DataFrame as one Arrow table."""
    # PySpark 3.5 can do the same but has no public name for it
    collect: Any = getattr(df, "toArrow", None)
    if collect is not None:
        return collect()
    hidden: Any = df
    batches = hidden._collect_as_arrow()
    return pa.Table.from_batches(batches) if batches else _empty_like(df)


def _empty_like(df: DataFrame) -> pa.Table:
    from pyspark.sql.pandas.types import to_arrow_schema

    return to_arrow_schema(df.schema).empty_table()


def _check_keys(keys: pa.ChunkedArray, primary_key: str) -> None:
    if keys.null_count:
        raise InputError(f"primary key column {primary_key!r} is null in {keys.null_count} of {len(keys)} rows; "
                         "every row needs a key")  # fmt: skip
    counts = pc.value_counts(keys)
    repeated = counts.filter(pc.greater(pc.struct_field(counts, [1]), 1))
    if len(repeated):
        first = min(value for value in pc.struct_field(repeated, [0]).to_pylist())
        raise InputError(f"primary key column {primary_key!r} is not unique: {first!r} and "
                         f"{len(repeated) - 1} other values occur more than once")  # fmt: skip


def attach_groups(df: DataFrame, groups: pa.Table, *, primary_key: str) -> DataFrame:
    """Return `df` with the columns of `groups` (its first column the key as string) added. One join by key.

    Up to BROADCAST_ROWS groups are sent to the executors, so that the rows stay where they are; more are shuffled.
    """
    key = "__glue_ml_key"
    mapping = df.sparkSession.createDataFrame(
        groups.rename_columns([key, *groups.column_names[1:]]).to_pandas(), schema=_spark_schema(key, groups)
    )
    if len(groups) <= BROADCAST_ROWS:
        mapping = F.broadcast(mapping)
    joined = df.withColumn(key, F.col(quote(primary_key)).cast("string"))
    return joined.join(mapping, on=key, how="left").drop(key)


def _spark_schema(key: str, groups: pa.Table) -> T.StructType:
    kinds = {pa.int64(): T.LongType(), pa.float64(): T.DoubleType()}
    added = [T.StructField(name, kinds[groups.schema.field(name).type]) for name in groups.column_names[1:]]
    return T.StructType([T.StructField(key, T.StringType()), *added])


def lay_out_sets(df: DataFrame, sets: Sequence[tuple[str, Sequence[str]]], *, primary_key: str) -> DataFrame:
    """Return the rows of the sets in reading order, taken from `df`, so that every value is as the user knows it."""
    order = [(set_id, place, key) for set_id, members in sets for place, key in enumerate(members)]
    spark = df.sparkSession
    layout = spark.createDataFrame(order, "labeling_set_id string, __glue_ml_place int, __glue_ml_key string")
    shown = df.select(
        F.col(quote(primary_key)).cast("string").alias("__glue_ml_key"),
        *(_as_text(df, name).alias(name) for name in df.columns),
    )
    chosen = F.broadcast(layout).join(shown, on="__glue_ml_key").orderBy("labeling_set_id", "__glue_ml_place")
    label = F.lit(None).cast("string").alias("label")
    return chosen.select("labeling_set_id", label, *(F.col(quote(name)) for name in df.columns))


def read_values(df: DataFrame, keys: Sequence[str], *, primary_key: str) -> dict[str, dict[str, str | None]]:
    """Return the rows with these keys (as text): by key, each column's value as text. Cost: one Spark job."""
    key = "__glue_ml_key"
    shown = df.select(
        F.col(quote(primary_key)).cast("string").alias(key), *(_as_text(df, name).alias(name) for name in df.columns)
    )
    rows = collect_arrow(shown.where(F.col(key).isin(list(keys)))).to_pylist()
    return {str(row.pop(key)): row for row in rows}


def _as_text(df: DataFrame, name: str) -> Any:
    simple = df.schema[name].dataType.simpleString()
    nested = simple.startswith(("array", "map", "struct"))
    return F.to_json(F.col(quote(name))) if nested else F.col(quote(name)).cast("string")
