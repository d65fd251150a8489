"""The rim between a user's DataFrame and the engine: what is refused, what is read, and how ids come back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from glue_ml.errors import InputError

MATCH_ID = "match_id"
KEY = "__glue_ml_key"  #: A column that no table of a user has.
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
    chosen = select_rows(df, primary_key=primary_key, columns=columns)
    table = collect_arrow(chosen).rename_columns([primary_key, *columns])
    _check_keys(table.column(0), primary_key)
    return table


def select_rows(df: DataFrame, *, primary_key: str, columns: Sequence[str]) -> DataFrame:
    """Return the key and `columns` as strings, named key, c0, c1 ... Raises InputError where a column is not there."""
    if missing := [name for name in columns if name not in df.columns]:
        raise InputError(
            f"the table has no column {missing[0]!r}, which the model compares; it has {sorted(df.columns)}"
        )
    chosen = [F.col(quote(primary_key)).cast("string").alias("key")]
    return df.select(*chosen, *(F.col(quote(name)).cast("string").alias(f"c{i}") for i, name in enumerate(columns)))


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
    repeated, example = find_repeated(keys)
    check_key_counts(primary_key, rows=len(keys), empty=keys.null_count, repeated=repeated, example=example)


def find_repeated(keys: pa.ChunkedArray) -> tuple[int, str | None]:
    """Return how many values occur more than once, and the first of them."""
    counts = pc.value_counts(keys.drop_null())
    repeated = pc.struct_field(counts.filter(pc.greater(pc.struct_field(counts, [1]), 1)), [0])
    return len(repeated), min(repeated.to_pylist(), default=None)


def check_key_counts(primary_key: str, *, rows: int, empty: int, repeated: int, example: str | None) -> None:
    """Refuse keys of which some are `empty`, or some values, of which `example` is the first, are `repeated`.

    Raises InputError.
    """
    if empty:
        raise InputError(f"primary key column {primary_key!r} is null in {empty} of {rows} rows; every row needs a key")
    if repeated:
        raise InputError(f"primary key column {primary_key!r} is not unique: {example!r} and "
                         f"{repeated - 1} other values occur more than once")  # fmt: skip


def attach_groups(df: DataFrame, groups: pa.Table, *, primary_key: str) -> DataFrame:
    """Return `df` with the columns of `groups` (its first column the key as string) added. See `attach_named`."""
    values = groups.select(groups.column_names[1:])
    named = name_rows(df.sparkSession, groups.column(0), values)
    return attach_named(df, named, rows=len(groups), primary_key=primary_key)


def name_rows(spark: SparkSession, keys: pa.Array | pa.ChunkedArray, values: pa.Table) -> DataFrame:
    """Return a DataFrame of `keys` (strings) in a column KEY and the columns of `values`."""
    table = values.add_column(0, KEY, keys)
    return spark.createDataFrame(table.to_pandas(), schema=spark_schema(values))


def attach_named(df: DataFrame, named: DataFrame, *, rows: int, primary_key: str) -> DataFrame:
    """Return `df` with the columns of `named` that stand beside its column KEY (keys as text) added. One join by key.

    Up to BROADCAST_ROWS are sent to the executors, so that the rows stay where they are; more are shuffled.
    """
    # Spark takes what a task makes of a number for no larger than the number, and would send it whatever its rows
    named = F.broadcast(named) if rows <= BROADCAST_ROWS else named.hint("merge")
    return df.withColumn(KEY, F.col(quote(primary_key)).cast("string")).join(named, on=KEY, how="left").drop(KEY)


def spark_schema(values: pa.Table) -> T.StructType:
    """Return the schema of KEY and the columns of `values`, which are longs and doubles."""
    kinds = {pa.int64(): T.LongType(), pa.float64(): T.DoubleType()}
    added = [T.StructField(name, kinds[values.schema.field(name).type]) for name in values.column_names]
    return T.StructType([T.StructField(KEY, T.StringType()), *added])


def lay_out_sets(df: DataFrame, sets: Sequence[tuple[str, Sequence[str]]], *, primary_key: str) -> DataFrame:
    """Return the rows of the sets in reading order, taken from `df`, so that every value is as the user knows it."""
    order = [(set_id, place, key) for set_id, members in sets for place, key in enumerate(members)]
    spark = df.sparkSession
    layout = spark.createDataFrame(order, f"labeling_set_id string, __glue_ml_place int, {KEY} string")
    shown = df.select(
        F.col(quote(primary_key)).cast("string").alias(KEY),
        *(_as_text(df, name).alias(name) for name in df.columns),
    )
    chosen = F.broadcast(layout).join(shown, on=KEY).orderBy("labeling_set_id", "__glue_ml_place")
    label = F.lit(None).cast("string").alias("label")
    return chosen.select("labeling_set_id", label, *(F.col(quote(name)) for name in df.columns))


def read_values(df: DataFrame, keys: Sequence[str], *, primary_key: str) -> dict[str, dict[str, str | None]]:
    """Return the rows with these keys (as text): by key, each column's value as text. Cost: one Spark job."""
    key = KEY
    shown = df.select(
        F.col(quote(primary_key)).cast("string").alias(key), *(_as_text(df, name).alias(name) for name in df.columns)
    )
    rows = collect_arrow(shown.where(F.col(key).isin(list(keys)))).to_pylist()
    return {str(row.pop(key)): row for row in rows}


def _as_text(df: DataFrame, name: str) -> Any:
    simple = df.schema[name].dataType.simpleString()
    nested = simple.startswith(("array", "map", "struct"))
    return F.to_json(F.col(quote(name))) if nested else F.col(quote(name)).cast("string")
