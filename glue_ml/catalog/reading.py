"""The files of a table, all of one layout, as a DataFrame with the declared columns and types."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from glue_ml.catalog.columns import (
    URI,
    Declared,
    bind_by_name,
    bind_by_position,
    check_distinct,
    metadata_column,
    quote,
)
from glue_ml.catalog.delimited import read_delimited, read_header
from glue_ml.catalog.layout import Dialect, Layout
from glue_ml.catalog.locations import DataFile, read_head
from glue_ml.errors import InputError

_CORRUPT = "_corrupt_record"


@dataclass(frozen=True)
class FileGroup:
    """Files of one layout and the columns declared for them.

    A catalog's declaration is complete, and binds delimited text by position. Otherwise (`declared_in_full` False) the
    files tell their columns, delimited text in its header, and what is declared changes types or adds columns.
    """

    table: str
    layout: Layout
    files: tuple[DataFile, ...]
    columns: Declared
    declared_in_full: bool


def read_group(spark: SparkSession, group: FileGroup) -> DataFrame:
    """The rows of a group's files and, as the last column, the URI of the file that each is from.

    Raises InputError for files that cannot be read as their format.
    """
    if group.layout.format == "csv":
        return _read_csv(spark, group)
    read = _read_json if group.layout.format == "json" else _read_typed
    return bind_by_name(read(spark, group), group.columns, keep_others=not group.declared_in_full)


def _read_typed(spark: SparkSession, group: FileGroup) -> DataFrame:
    """Parquet, ORC and Avro. Files of Parquet and ORC may differ in their columns: all footers are read."""
    reader = spark.read.format(group.layout.format).option("mergeSchema", "true")
    return _add_uri(reader.load([file.pattern for file in group.files]))


def _add_uri(df: DataFrame) -> DataFrame:
    return df.select("*", metadata_column(df)["file_path"].alias(URI))


def _read_csv(spark: SparkSession, group: FileGroup) -> DataFrame:
    dialect = group.layout.dialect or Dialect()
    if group.declared_in_full:
        raw = read_delimited(spark, group.files, dialect=dialect, width=len(group.columns))
        return bind_by_position(raw, group.columns)
    return _read_csv_with_headers(spark, group, replace(dialect, skip=1, blank_is_null=True))


def _read_csv_with_headers(spark: SparkSession, group: FileGroup, dialect: Dialect) -> DataFrame:
    """CSV files with a header each. Files may differ in the order of their columns, and in which they have."""
    by_header: dict[tuple[str, ...], list[DataFile]] = {}
    for file in group.files:
        by_header.setdefault(read_header(spark, file, dialect), []).append(file)
    result: DataFrame | None = None
    for header, files in by_header.items():
        if not header:
            continue
        check_distinct(header, files[0].path)
        raw = read_delimited(spark, files, dialect=dialect, width=len(header))
        named = raw.toDF(*header, URI)
        result = named if result is None else result.unionByName(named, allowMissingColumns=True)
    if result is None:
        raise InputError(f"table {group.table} has no header: its files are blank")
    moved = result.select(*(F.col(quote(name)) for name in result.columns if name != URI), URI)
    return bind_by_name(moved, group.columns, keep_others=True)


def _read_json(spark: SparkSession, group: FileGroup) -> DataFrame:
    """Values are read as text where a plain type is declared, so that `"12"` can be a number and 12 a text."""
    paths = [file.pattern for file in group.files]
    multiline = not group.declared_in_full and _spans_lines(spark, group.files[0])
    reader = spark.read.option("multiLine", multiline)
    found = reader.json(paths).schema
    check_distinct((field.name for field in found.fields), f"table {group.table}")
    if _CORRUPT in found.names and not group.layout.skip_malformed:
        raise InputError(f"table {group.table} holds lines that are not JSON objects; it must be one object a line")
    keys = {column.casefold(): key for column, key in group.layout.json_keys}
    wanted = {keys.get(name.casefold(), name).casefold(): kind for name, kind in group.columns}
    fields = [
        T.StructField(f.name, _read_as(wanted.get(f.name.casefold()), f.dataType))
        for f in found.fields
        if f.name != _CORRUPT
    ]
    mode = "DROPMALFORMED" if group.layout.skip_malformed else "PERMISSIVE"
    df = _add_uri(reader.option("mode", mode).schema(T.StructType(fields)).json(paths))
    names = {key.casefold(): column for column, key in group.layout.json_keys}
    return df.toDF(*(names.get(name.casefold(), name) for name in df.columns))


def _read_as(declared: T.DataType | None, found: T.DataType) -> T.DataType:
    """The type to read a JSON value with: the shape of what is declared, names as in the file, plain values as text."""
    if declared is None:
        return found
    if isinstance(declared, T.ArrayType):
        return T.ArrayType(_read_as(declared.elementType, getattr(found, "elementType", found)))
    if isinstance(declared, T.MapType):
        return T.MapType(T.StringType(), _read_as(declared.valueType, T.StringType()))
    if isinstance(declared, T.StructType):
        return T.StructType([_read_field_as(field, found) for field in declared.fields])
    return T.StringType()


def _read_field_as(declared: T.StructField, found: T.DataType) -> T.StructField:
    present: Sequence[Any] = found.fields if isinstance(found, T.StructType) else ()
    match = next((f for f in present if f.name.casefold() == declared.name.casefold()), declared)
    return T.StructField(match.name, _read_as(declared.dataType, match.dataType))


def _spans_lines(spark: SparkSession, file: DataFile) -> bool:
    """Whether a JSON file is one value over many lines, and not one value a line."""
    head = read_head(spark, file).lstrip(b"\xef\xbb\xbf \t\r\n")
    first, ended, _ = head.partition(b"\n")
    if not ended:
        return False
    try:
        json.loads(first)
    except ValueError:
        return head[:1] in (b"[", b"{")
    return False
