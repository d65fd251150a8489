"""What a file says of itself, as the Data Catalog wants to hear it: its columns, their Hive types and its layout.

Delimited text and JSON are declared as strings in every column: a first look at a file cannot promise more, and a value
that is not of a declared type would be lost. Parquet and Delta know their types.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from glue_ml.errors import InputError
from glue_ml.table_files import Place, explain_failures, list_files, locate, read_head, read_whole
from glue_ml.table_types import name_arrow_type, name_spark_type

FORMATS = ("csv", "json", "parquet", "delta")

Columns = list[tuple[str, str]]

_SUFFIXES = {
    "csv": "csv", "tsv": "csv", "json": "json", "jsonl": "json", "ndjson": "json", "parquet": "parquet",
}  # fmt: skip
_DELIMITERS = (",", ";", "\t", "|")
_HEAD = 1 << 16  #: Bytes of a file of delimited text that are looked at.
_JSON_HEAD = 1 << 22  #: The same for JSON, where a column may occur late.
_RECORDS = 50  #: Records that must agree on a delimiter.
_CHECKPOINT = ".checkpoint"

_HIVE = "org.apache.hadoop.hive"
_TEXT_FORMATS = ("org.apache.hadoop.mapred.TextInputFormat", f"{_HIVE}.ql.io.HiveIgnoreKeyTextOutputFormat")
_PARQUET_FORMATS = (
    f"{_HIVE}.ql.io.parquet.MapredParquetInputFormat",
    f"{_HIVE}.ql.io.parquet.MapredParquetOutputFormat",
)
_PARQUET_SERDE = f"{_HIVE}.ql.io.parquet.serde.ParquetHiveSerDe"


def describe_table(name: str, path: str, *, format: str | None = None) -> dict[str, Any]:
    """The TableInput of CreateTable for a file, a folder of files of one format, or a Delta table.

    `path` is a local path, file:/// or s3://; `format` is one of FORMATS where the files' names do not tell. JSON is
    one object a line, and a column that does not occur in the first 4 MB of any file is not found.

    Raises InputError, NotFoundError, AccessError or UnavailableError, each with one sentence about the file.
    """
    if format is not None and format not in FORMATS:
        raise InputError(f"{format!r} is no format of a table; use one of {', '.join(FORMATS)}")
    place = locate(path)
    files = list_files(place)
    if any(file.relative.startswith("_delta_log/") for file in files):
        if format not in (None, "delta"):
            raise InputError(f"{place.uri} is a Delta table and not {format}")
        return _describe_delta(name, place, files)
    if format == "delta":
        raise InputError(f"{place.uri} is no Delta table: it has no _delta_log")
    data = _choose_data(place, files)
    kind = format or _guess_format(place, data)
    return _DESCRIBE[kind](name, place, data)


def check_columns(columns: Sequence[tuple[str, str]], subject: str) -> None:
    """Raise InputError where a name is blank, or the same as another but for its case, as Hive takes it."""
    if not columns:
        raise InputError(f"{subject} has no columns")
    blank = [place for place, (name, _) in enumerate(columns, 1) if not name]
    if blank:
        raise InputError(f"{subject} has no name for column {blank[0]} in its header; give every column a name")
    counts = Counter(name.casefold() for name, _ in columns)
    twice = [name for name, _ in columns if counts[name.casefold()] > 1]
    if twice:
        names = " and ".join(repr(name) for name in twice[:2])
        raise InputError(f"{subject} names columns alike: {names}; names must differ by more than case")


def _choose_data(place: Place, files: Sequence[Place]) -> list[Place]:
    data = [file for file in files if file.size > 0 and not file.is_hidden]
    if not data:
        raise InputError(f"{place.uri} is empty" if files else f"{place.uri} holds no files")
    partitions = [part for file in data for part in file.relative.split("/")[:-1] if "=" in part]
    if partitions:
        raise InputError(
            f"{place.uri} has partitions, such as {partitions[0]}; add one of them, or make the table with "
            "CreateTable and BatchCreatePartition"
        )
    return data


def _guess_format(place: Place, files: Sequence[Place]) -> str:
    suffixes = {file.suffix for file in files}
    kinds = {_SUFFIXES.get(suffix, "") for suffix in suffixes}
    if len(kinds) > 1:
        raise InputError(
            f"{place.uri} holds files of several formats ({', '.join(sorted(suffixes))}); name one of them"
        )
    if "" in kinds:
        told = f"its name ends in .{suffix}" if (suffix := suffixes.pop()) else "its name does not tell"
        raise InputError(f"The format of {place.uri} is unknown ({told}); name it with --format: {', '.join(FORMATS)}")
    return kinds.pop()


def _describe_csv(name: str, place: Place, files: Sequence[Place]) -> dict[str, Any]:
    """As a Glue crawler does it: Hive's text SerDe, classified as csv, whose quotes may hold anything."""
    headers = {file.uri: _read_header(file) for file in files}
    uri, (delimiter, names) = next(iter(headers.items()))
    for other, found in headers.items():
        if found != (delimiter, names):
            raise InputError(f"{other} has another header than {uri}; all files of a table need the same columns")
    return _describe(
        name,
        place,
        [(column, "string") for column in names],
        parameters={"classification": "csv", "skip.header.line.count": "1", "delimiter": delimiter},
        serde=f"{_HIVE}.serde2.lazy.LazySimpleSerDe",
        # a cell with nothing in it is no value, as it is where the engine reads the file without a catalog
        settings={"field.delim": delimiter, "serialization.format": delimiter, "serialization.null.format": ""},
        formats=_TEXT_FORMATS,
    )


def _read_header(file: Place) -> tuple[str, tuple[str, ...]]:
    """The delimiter of a file and the names in its first line."""
    text, is_cut = _read_text(file, _HEAD)
    if not text.partition("\n")[0].strip():
        raise InputError(f"{file.uri} begins with a blank line; its first line must name the columns")
    found = {delimiter: _read_records(text, delimiter, is_cut=is_cut) for delimiter in _DELIMITERS}
    delimiter = "\t" if file.suffix == "tsv" else max(_DELIMITERS, key=lambda each: _rate_records(found[each]))
    header = tuple(cell.strip() for cell in found[delimiter][0])
    check_columns([(cell, "string") for cell in header], file.uri)
    return delimiter, header


def _read_records(text: str, delimiter: str, *, is_cut: bool) -> list[list[str]]:
    """The first records; the last of a text that is cut off is left out unless it is the only one."""
    records: list[list[str]] = []
    for record in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
        records.append(record)
        if len(records) > _RECORDS:
            return records[:-1]
    return records[:-1] if is_cut and len(records) > 1 else records


def _rate_records(records: Sequence[Sequence[str]]) -> tuple[float, int]:
    """How well a delimiter fits: the share of records that are as wide as the header, then that width."""
    width = len(records[0])
    if width == 1:
        return 0.0, 1
    filled = [record for record in records if record]
    return sum(len(record) == width for record in filled) / len(filled), width


def _describe_json(name: str, place: Place, files: Sequence[Place]) -> dict[str, Any]:
    names = list(dict.fromkeys(key for file in files for row in _read_objects(file) for key in row))
    columns = [(key, "string") for key in names]
    check_columns(columns, place.uri)
    return _describe(
        name,
        place,
        columns,
        parameters={"classification": "json"},
        serde="org.openx.data.jsonserde.JsonSerDe",
        settings={"serialization.format": "1"},
        formats=_TEXT_FORMATS,
    )


def _read_objects(file: Place) -> Iterator[Mapping[str, Any]]:
    text, is_cut = _read_text(file, _JSON_HEAD)
    lines = text.split("\n")
    for number, line in enumerate(lines[:-1] if is_cut and len(lines) > 1 else lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise InputError(f"{file.uri}: line {number} is no JSON object; a table has one object a line")
        yield row


def _read_text(file: Place, limit: int) -> tuple[str, bool]:
    """The beginning of a text file, and whether there is more of it."""
    head = read_head(file, limit + 1)
    is_cut, head = len(head) > limit, head[:limit]
    if b"\0" in head:
        raise InputError(f"{file.uri} is no UTF-8 text but a binary file or UTF-16; save it as UTF-8")
    if b"\r" in head and b"\n" not in head:
        raise InputError(f"{file.uri} ends its lines with carriage returns alone; save it with line feeds")
    try:
        return head.decode("utf-8-sig"), is_cut
    except UnicodeDecodeError as error:
        if is_cut and error.start >= len(head) - 4:  # the end cuts a character in two
            return head[: error.start].decode("utf-8-sig"), is_cut
        raise InputError(f"{file.uri} is not UTF-8 at byte {error.start}; save it as UTF-8") from error


def _describe_parquet(name: str, place: Place, files: Sequence[Place]) -> dict[str, Any]:
    try:
        schemas = [_read_schema(file) for file in files]
        schema = pa.unify_schemas(schemas, promote_options="permissive")
    except pa.ArrowInvalid as error:
        raise InputError(f"{place.uri} cannot be read as Parquet: {_first_line(error)}") from error
    except pa.ArrowTypeError as error:
        raise InputError(f"The files of {place.uri} disagree on a column's type: {_first_line(error)}") from error
    return _describe_typed(name, place, [(field.name, name_arrow_type(field)) for field in schema])


def _read_schema(file: Place) -> pa.Schema:
    with explain_failures(file):
        return pq.read_schema(file.path, filesystem=file.system)


def _describe_delta(name: str, place: Place, files: Sequence[Place]) -> dict[str, Any]:
    log = sorted((file for file in files if file.relative.startswith("_delta_log/")), key=lambda file: file.relative)
    try:
        text = next(schema for file in reversed(log) if (schema := _find_schema(file)))
        fields = json.loads(text)["fields"]
        columns = [(field["name"], name_spark_type(field["type"])) for field in fields]
    except (StopIteration, ValueError, KeyError, TypeError) as error:
        raise InputError(f"The log of the Delta table {place.uri} tells no schema; it may be damaged") from error
    described = _describe_typed(name, place, columns)
    described["Parameters"] = {
        "classification": "delta", "table_type": "DELTA", "spark.sql.sources.provider": "delta"
    }  # fmt: skip
    described["StorageDescriptor"]["SerdeInfo"]["Parameters"]["path"] = place.uri
    return described


def _find_schema(file: Place) -> str | None:
    """The schema that one file of a Delta log sets, if it sets one: a commit, or a checkpoint."""
    if file.relative.endswith(".json"):
        actions = (json.loads(line) for line in read_whole(file).splitlines() if line.strip())
        found = [action["metaData"]["schemaString"] for action in actions if "metaData" in action]
        return found[-1] if found else None
    if _CHECKPOINT in file.relative and file.relative.endswith(".parquet"):
        with explain_failures(file):
            table = pq.read_table(file.path, filesystem=file.system, columns=["metaData"])
        rows = table.column("metaData").to_pylist()
        return next((row["schemaString"] for row in rows if row and row["schemaString"]), None)
    return None


def _describe_typed(name: str, place: Place, columns: Columns) -> dict[str, Any]:
    check_columns(columns, place.uri)
    return _describe(
        name,
        place,
        columns,
        parameters={"classification": "parquet"},
        serde=_PARQUET_SERDE,
        settings={"serialization.format": "1"},
        formats=_PARQUET_FORMATS,
    )


def _describe(
    name: str,
    place: Place,
    columns: Columns,
    *,
    parameters: Mapping[str, str],
    serde: str,
    settings: Mapping[str, str],
    formats: tuple[str, str],
) -> dict[str, Any]:
    return {
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": dict(parameters),
        "StorageDescriptor": {
            "Columns": [{"Name": column, "Type": kind} for column, kind in columns],
            "Location": place.uri,
            "InputFormat": formats[0],
            "OutputFormat": formats[1],
            "SerdeInfo": {"SerializationLibrary": serde, "Parameters": dict(settings)},
        },
    }


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")


_DESCRIBE: Mapping[str, Callable[[str, Place, Sequence[Place]], dict[str, Any]]] = {
    "csv": _describe_csv,
    "json": _describe_json,
    "parquet": _describe_parquet,
}
