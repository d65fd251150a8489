"""Columns of files brought to the names and types that are declared for them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from glue_ml.errors import InputError

logger = logging.getLogger("glue_ml.catalog")

#: Name of the column that tells which file a row is from, while a table is put together.
URI = "__glue_ml_uri"
#: Rows that are looked at before a column is suspected of having lost all its values.
SAMPLE_ROWS = 1000

_WHOLE = (T.ByteType, T.ShortType, T.IntegerType, T.LongType)
_TIMES = (T.DateType, T.TimestampType, T.TimestampNTZType)
_NESTED = (T.ArrayType, T.MapType, T.StructType)

Declared = Sequence[tuple[str, T.DataType]]


def quote(name: str) -> str:
    """Quote a column name for Spark, whatever characters it holds."""
    return "`" + name.replace("`", "``") + "`"


def check_distinct(names: Iterable[str], subject: str) -> None:
    """Raise InputError if two names are the same but for upper and lower case."""
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.setdefault(name.casefold(), name)) is not name:
            raise InputError(f"{subject} has two columns {other!r} and {name!r}, different in case only; rename one")


def metadata_column(df: DataFrame) -> Column:
    """Spark's `_metadata` of a file-based DataFrame, even where the data has a column of that name."""
    if hasattr(df, "metadataColumn"):
        return df.metadataColumn("_metadata")
    from pyspark.sql import column  # PySpark 3.5 has it in the JVM only

    return column.Column(df._jdf.metadataColumn("_metadata"))


def try_cast(column: Column, kind: T.DataType) -> Column:
    """`column` as `kind`, null where a value does not cast, in ANSI mode or not."""
    if hasattr(Column, "try_cast"):
        return column.try_cast(kind)
    return _try_cast_in_jvm(column, kind)


def _try_cast_in_jvm(column: Any, kind: T.DataType) -> Column:
    """PySpark 3.5 has try_cast in SQL only; this makes the expression that SQL makes."""
    from pyspark.sql import SparkSession
    from pyspark.sql import column as columns

    spark: Any = SparkSession.active()
    expressions = spark._jvm.org.apache.spark.sql.catalyst.expressions
    java_type = spark._jsparkSession.parseDataType(kind.json())
    cast = expressions.Cast(column._jc.expr(), java_type, spark._jvm.scala.Option.empty(), expressions.EvalMode.TRY())
    made: Any = columns.Column(spark._jvm.org.apache.spark.sql.Column(cast))
    return made  # type: ignore[no-any-return]


def convert(column: Column, actual: T.DataType, wanted: T.DataType) -> Column:
    """`column` of type `actual` as `wanted`: structs by the names of their fields, null where a value does not cast."""
    if actual == wanted:
        return column
    if isinstance(actual, T.StructType) and isinstance(wanted, T.StructType):
        return _convert_struct(column, actual, wanted)
    if isinstance(actual, T.ArrayType) and isinstance(wanted, T.ArrayType):
        return F.transform(column, lambda item: convert(item, actual.elementType, wanted.elementType))
    if isinstance(actual, T.MapType) and isinstance(wanted, T.MapType) and actual.keyType == wanted.keyType:
        return F.transform_values(column, lambda _, value: convert(value, actual.valueType, wanted.valueType))
    if isinstance(actual, _NESTED) and isinstance(wanted, T.StringType):
        return F.to_json(column)
    if isinstance(actual, _NESTED) != isinstance(wanted, _NESTED):
        return F.lit(None).cast(wanted)
    if isinstance(actual, T.StringType) and isinstance(wanted, _WHOLE):
        # 12.0 is how a table writes 12 once the column has had a null in it.
        return F.coalesce(try_cast(column, wanted), try_cast(try_cast(column, T.DecimalType(38, 10)), wanted))
    return _convert_plain(column, actual, wanted)


def _convert_plain(column: Column, actual: T.DataType, wanted: T.DataType) -> Column:
    """A cast; by way of text between times, bytes and numbers, for which Spark has none: null, as a rule."""
    texts = isinstance(actual, T.StringType) or isinstance(wanted, T.StringType)
    if not texts and any(isinstance(actual, kind) != isinstance(wanted, kind) for kind in (_TIMES, T.BinaryType)):
        column = column.cast(T.StringType())
    return try_cast(column, wanted)


def _convert_struct(column: Column, actual: T.StructType, wanted: T.StructType) -> Column:
    by_name = {field.name.casefold(): field for field in actual.fields}
    made = []
    for field in wanted.fields:
        found = by_name.get(field.name.casefold())
        value = F.lit(None) if found is None else convert(column.getField(found.name), found.dataType, field.dataType)
        made.append((value.cast(field.dataType) if found is None else value).alias(field.name))
    return F.when(column.isNotNull(), F.struct(*made))


@dataclass(frozen=True)
class _Binding:
    """A column to be made: its name and type, and the name of the column it is made from, if there is one."""

    name: str
    kind: T.DataType
    source: str | None


def bind_by_position(df: DataFrame, declared: Declared) -> DataFrame:
    """The first columns of `df` under the declared names and types, and its URI column."""
    return _bind(df, [_Binding(name, kind, df.columns[i]) for i, (name, kind) in enumerate(declared)])


def bind_by_name(df: DataFrame, declared: Declared, *, keep_others: bool = False) -> DataFrame:
    """The declared columns of `df`, whatever the case of their names, and its URI column; null where it has none.

    With `keep_others` all columns of `df` stay where they are, and declared ones that it lacks come after them.
    Raises InputError where it has none of the declared columns.
    """
    present = {name.casefold(): name for name in df.columns if name != URI}
    wanted = {name.casefold(): (name, kind) for name, kind in declared}
    if declared and not wanted.keys() & present.keys():
        raise InputError(
            f"its files have the columns {[*present.values()]}, but {[name for name, _ in declared]} are declared"
        )
    bindings = []
    if keep_others:
        for folded, name in present.items():
            shown, kind = wanted.pop(folded, (name, df.schema[name].dataType))
            bindings.append(_Binding(shown, kind, name))
    bindings += [_Binding(name, kind, present.get(folded)) for folded, (name, kind) in wanted.items()]
    return _bind(df, bindings)


def _bind(df: DataFrame, bindings: Sequence[_Binding]) -> DataFrame:
    for binding in bindings:
        if binding.source is None:
            logger.warning("column %r is in no file of the table: it is null in every row", binding.name)
    _report_lost_values(df, bindings)
    columns = [_make_column(df, binding).alias(binding.name) for binding in bindings]
    return df.select(*columns, *([F.col(URI)] if URI in df.columns else []))


def _make_column(df: DataFrame, binding: _Binding) -> Column:
    if binding.source is None:
        return F.lit(None).cast(binding.kind)
    return convert(F.col(quote(binding.source)), df.schema[binding.source].dataType, binding.kind)


def _report_lost_values(df: DataFrame, bindings: Sequence[_Binding]) -> None:
    """Warn of each column that has values in the files of which none is of the declared type."""
    converted = [each for each in bindings if each.source is not None and df.schema[each.source].dataType != each.kind]
    suspects = _find_lost(df.limit(SAMPLE_ROWS), converted)
    for each in _find_lost(df, suspects):
        kind = each.kind.simpleString()
        logger.warning("column %r is null in every row: no value in the files is of its type %s", each.name, kind)


def _find_lost(df: DataFrame, bindings: Sequence[_Binding]) -> list[_Binding]:
    """The columns that have values before they are converted and none after."""
    if not bindings:
        return []
    counts = []
    for i, binding in enumerate(bindings):
        text = F.trim(F.col(quote(str(binding.source))).cast("string"))
        counts.append(F.count(F.nullif(text, F.lit(""))).alias(f"raw{i}"))
        counts.append(F.count(_make_column(df, binding)).alias(f"typed{i}"))
    row = df.agg(*counts).head()
    return [binding for i, binding in enumerate(bindings) if row and row[f"raw{i}"] and not row[f"typed{i}"]]
