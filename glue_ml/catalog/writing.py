"""A DataFrame as a table on storage: the new one in place in full, or the old one as it was."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from glue_ml.catalog.columns import check_distinct, quote
from glue_ml.catalog.failures import explain_failures
from glue_ml.catalog.locations import open_path
from glue_ml.errors import InputError, UnavailableError

FORMATS = ("csv", "delta", "json", "parquet")

_NESTED = (T.ArrayType, T.MapType, T.StructType)
_REFUSED_BY_DELTA = frozenset(" ,;{}()\n\t=")
_CSV_OPTIONS = {
    "header": "true",
    "escape": '"',
    "ignoreLeadingWhiteSpace": "false",
    "ignoreTrailingWhiteSpace": "false",
    "timestampFormat": "yyyy-MM-dd HH:mm:ss.SSSSSS",
    "timestampNTZFormat": "yyyy-MM-dd HH:mm:ss.SSSSSS",
    "nullValue": "",
    "emptyValue": "",
}
_MAPPING = "delta.columnMapping.mode"


def write_table(df: DataFrame, uri: str, *, format: str) -> None:
    """Write `df` as the table at `uri`, a folder, in the place of what table there is: all or nothing.

    csv has a header, doubles quotes in quotes, writes null as nothing, times in the session's time zone, and arrays,
    maps and structs as JSON. delta adds a version to a Delta table that is there. Other formats are written aside and
    put in place by renaming; where renaming is no single step, as on S3, a reader may find no table for that moment.

    Raises InputError for an unknown format, for columns that differ by case only, and for a folder that holds anything
    but a table; AccessError, UnavailableError.
    """
    if format not in FORMATS:
        raise InputError(f"{format!r} is no output format; use {', '.join(FORMATS)}")
    check_distinct(df.columns, f"the output {uri}")
    with explain_failures(f"{uri} cannot be written"):
        place = _Place(df, uri)
        place.check_replaceable()
        if format == "delta" and place.takes_version(df):
            df.select(*_fill_void(df)).write.format("delta").mode("overwrite").options(**_delta_options(df)).save(uri)
        else:
            place.replace(lambda aside: _write_aside(df, aside, format))


def _write_aside(df: DataFrame, aside: str, kind: str) -> None:
    if kind == "csv":
        df.select(*_flatten(df)).write.options(**_CSV_OPTIONS).csv(aside)
    elif kind == "json":
        df.write.option("ignoreNullFields", "false").json(aside)
    elif kind == "delta":
        df.select(*_fill_void(df)).write.format("delta").options(**_delta_options(df)).save(aside)
    else:
        df.select(*_fill_void(df)).write.parquet(aside)


def _delta_options(df: DataFrame) -> Mapping[str, str]:
    options = {"overwriteSchema": "true"}
    return options | {_MAPPING: "name"} if _needs_mapping(df.schema) else options


def _needs_mapping(kind: T.DataType) -> bool:
    """Whether a name in a schema has a character that Delta cannot use as the name in its files."""
    if isinstance(kind, T.StructType):
        return any(_REFUSED_BY_DELTA & set(field.name) or _needs_mapping(field.dataType) for field in kind.fields)
    if isinstance(kind, T.MapType):
        return _needs_mapping(kind.keyType) or _needs_mapping(kind.valueType)
    return isinstance(kind, T.ArrayType) and _needs_mapping(kind.elementType)


def _fill_void(df: DataFrame) -> list[Column]:
    """The columns, those of no type as strings: files have no type for nothing."""
    plain = {field.name: F.col(quote(field.name)) for field in df.schema.fields}
    void = {f.name: plain[f.name].cast("string") for f in df.schema.fields if isinstance(f.dataType, T.NullType)}
    return [column.alias(name) for name, column in (plain | void).items()]


def _flatten(df: DataFrame) -> list[Column]:
    """The columns as a CSV file can hold them."""
    return [_flatten_column(F.col(quote(field.name)), field.dataType).alias(field.name) for field in df.schema.fields]


def _flatten_column(column: Column, kind: T.DataType) -> Column:
    if isinstance(kind, _NESTED):
        return F.to_json(column, {"ignoreNullFields": "false"})
    if isinstance(kind, T.BinaryType):
        return F.base64(column)
    return column if isinstance(kind, (T.TimestampType, T.TimestampNTZType)) else column.cast("string")


class _Place:
    """Where a table goes, and the hidden folders beside it for the new one and the old one."""

    def __init__(self, df: DataFrame, uri: str) -> None:
        self._spark = df.sparkSession
        jvm: Any = self._spark._jvm
        self._system, self._path = open_path(df.sparkSession, uri)
        parent, name = self._path.getParent(), self._path.getName()
        if parent is None or not name:
            raise InputError(f"{uri} is no folder that can be written; name one below it")
        self._uri = uri
        token = uuid.uuid4().hex
        self._parent = parent
        self._new = jvm.org.apache.hadoop.fs.Path(parent, f".{name}.{token}.new")
        self._old = jvm.org.apache.hadoop.fs.Path(parent, f".{name}.{token}.old")

    def check_replaceable(self) -> None:
        """Raise InputError if there is a file, or a folder with anything but a table's files in it."""
        if not self._system.exists(self._path) or self._system.exists(self._path.suffix("/_delta_log")):
            return
        if not self._system.getFileStatus(self._path).isDirectory():
            raise InputError(f"{self._uri} is a file; name a folder for the output")
        names = sorted(str(status.getPath().getName()) for status in self._system.listStatus(self._path))
        other = [name for name in names if not (name.startswith(("part-", "_", ".")) or "=" in name)]
        if other:
            raise InputError(f"{self._uri} holds {other[0]!r}, which is no part of a table; name a new or empty folder")

    def takes_version(self, df: DataFrame) -> bool:
        """Whether the place is a Delta table that the data can become the next version of."""
        if not self._system.exists(self._path.suffix("/_delta_log")):
            return False
        if not _needs_mapping(df.schema):
            return True
        from delta.tables import DeltaTable

        detail = DeltaTable.forPath(self._spark, self._uri).detail().select("properties").head()
        return detail is not None and detail[0].get(_MAPPING) == "name"

    def replace(self, write: Callable[[str], None]) -> None:
        """Have the table written aside, then put it in place; on any failure what was there stays."""
        try:
            write(str(self._new.toString()))
            self._swap()
        except BaseException:
            with suppress(Py4JError):
                self._system.delete(self._new, True)
            raise
        with suppress(Py4JError):
            self._system.delete(self._old, True)

    def _swap(self) -> None:
        self._system.mkdirs(self._parent)
        had_old = self._system.exists(self._path)
        if had_old:
            self._rename(self._path, self._old)
        try:
            self._rename(self._new, self._path)
        except BaseException:
            if had_old:
                self._rename(self._old, self._path)
            raise

    def _rename(self, source: Any, target: Any) -> None:
        if not self._system.rename(source, target):
            raise UnavailableError(f"{self._uri} cannot be put in place: {source} could not be renamed to {target}")
