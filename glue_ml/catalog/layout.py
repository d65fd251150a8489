"""How a table's files are laid out: the format, and for delimited text its dialect, from what a catalog says."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from glue_ml.errors import InputError

READABLE = ("avro", "csv", "delta", "json", "orc", "parquet")

_HIVE_DELIMITER = "\x01"
_NULL = r"\N"
_SERDES = {
    "org.apache.hadoop.hive.serde2.OpenCSVSerde": "csv",
    "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe": "csv",
    "org.openx.data.jsonserde.JsonSerDe": "json",
    "org.apache.hive.hcatalog.data.JsonSerDe": "json",
    "org.apache.hadoop.hive.serde2.JsonSerDe": "json",
    "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe": "parquet",
    "org.apache.hadoop.hive.ql.io.orc.OrcSerde": "orc",
    "org.apache.hadoop.hive.serde2.avro.AvroSerDe": "avro",
}
_OPEN_CSV = "org.apache.hadoop.hive.serde2.OpenCSVSerde"
_TEXT_INPUTS = {"org.apache.hadoop.mapred.TextInputFormat", "org.apache.hadoop.mapreduce.lib.input.TextInputFormat"}
_INPUT_FORMATS = {
    "csv": _TEXT_INPUTS,
    "json": _TEXT_INPUTS,
    "parquet": {
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
        "parquet.hive.DeprecatedParquetInputFormat",
    },
    "orc": {"org.apache.hadoop.hive.ql.io.orc.OrcInputFormat"},
    "avro": {"org.apache.hadoop.hive.ql.io.avro.AvroContainerInputFormat"},
}


@dataclass(frozen=True)
class Dialect:
    """How lines of text become cells.

    In quotes a doubled quote always means one quote, and `escape` takes its meaning from the character after it.
    Without `quote`, `escape` is Hive's: it takes its meaning from any character, and `null` is looked for before that.
    `skip` is the number of records at the head of each file that are no data.
    """

    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None
    null: str | None = None
    blank_is_null: bool = False
    skip: int = 0
    encoding: str = "utf-8"


@dataclass(frozen=True)
class Layout:
    """The format of a table's files, the dialect of delimited text, and what is particular to JSON.

    `json_keys` are (column, key in the file) pairs; `skip_malformed` leaves out lines that are not JSON.
    """

    format: str
    dialect: Dialect | None = None
    json_keys: tuple[tuple[str, str], ...] = ()
    skip_malformed: bool = False


def describe_layout(table: str, storage: Mapping[str, Any], parameters: Mapping[str, str]) -> Layout:
    """The layout that a catalog's StorageDescriptor and table parameters describe.

    Raises InputError that names the SerDe, the input format or the setting that cannot be read.
    """
    serde = storage.get("SerdeInfo") or {}
    settings = {**parameters, **(storage.get("Parameters") or {}), **(serde.get("Parameters") or {})}
    library = serde.get("SerializationLibrary") or ""
    kind = _find_format(table, library=library, input_format=storage.get("InputFormat") or "", settings=settings)
    if kind == "csv":
        dialect = _describe_open_csv(settings) if library == _OPEN_CSV else _describe_lazy(settings)
        return Layout("csv", _check_dialect(table, dialect))
    if kind == "json":
        keys = ((name.partition(".")[2], key) for name, key in settings.items() if name.startswith("mapping."))
        malformed = settings.get("ignore.malformed.json", "").lower() == "true"
        return Layout("json", json_keys=tuple(sorted(keys)), skip_malformed=malformed)
    return Layout(kind)


def _find_format(table: str, *, library: str, input_format: str, settings: Mapping[str, str]) -> str:
    if (provider := _find_provider(settings)) is not None:
        if provider not in READABLE:
            raise InputError(f"table {table} is of type {provider!r}, which cannot be read; readable are {READABLE}")
        return provider
    if library and library not in _SERDES:
        raise InputError(f"table {table} uses the SerDe {library}, which is none of {sorted(_SERDES)}")
    kind = _SERDES.get(library) or _guess_format(input_format, settings)
    if kind is None:
        raise InputError(f"table {table} has no SerDe and the input format {input_format!r}: its format is unknown")
    if input_format and input_format not in _INPUT_FORMATS.get(kind, {input_format}):
        raise InputError(f"table {table} uses the input format {input_format}, which cannot be read as {kind}")
    return kind


def _find_provider(settings: Mapping[str, str]) -> str | None:
    """The format that a table names outright, by itself or through Spark; Delta, Iceberg and Hudi do so."""
    for name in ("spark.sql.sources.provider", "table_type"):
        if (value := settings.get(name, "").lower()) and value != "hive":
            return "json" if value == "org.apache.spark.sql.json" else value
    value = settings.get("classification", "").lower()
    return value if value in ("delta", "iceberg", "hudi") else None


def _guess_format(input_format: str, settings: Mapping[str, str]) -> str | None:
    named = settings.get("classification", "").lower()
    if named in READABLE:
        return named
    formats = (kind for kind in ("parquet", "orc", "avro") if input_format in _INPUT_FORMATS[kind])
    return next(formats, None)


def _describe_open_csv(settings: Mapping[str, str]) -> Dialect:
    quote = settings.get("quoteChar") or '"'
    escape = settings.get("escapeChar") or "\\"
    return Dialect(
        delimiter=settings.get("separatorChar") or ",",
        quote=quote,
        # The quote as its own escape is the default of writers; doubling is understood without it.
        escape="\\" if escape == quote else escape,
        skip=_count_header_lines(settings),
        encoding=settings.get("serialization.encoding") or "utf-8",
    )


def _describe_lazy(settings: Mapping[str, str]) -> Dialect:
    """Hive's own text format knows no quotes; a table that Glue classified as CSV is read with them, as Glue does."""
    classified = settings.get("classification", "").lower() == "csv"
    escape = settings.get("escape.delim") or None
    delimiter = settings.get("field.delim") or settings.get("delimiter") or settings.get("serialization.format")
    quoted = classified and escape is None
    return Dialect(
        delimiter=_read_character(delimiter) if delimiter else ("," if classified else _HIVE_DELIMITER),
        quote=(settings.get("quote.delim") or settings.get("quoteChar") or '"') if quoted else None,
        escape=_read_character(escape) if escape else None,
        null=settings.get("serialization.null.format", _NULL),
        skip=_count_header_lines(settings),
        encoding=settings.get("serialization.encoding") or "utf-8",
    )


def _read_character(text: str) -> str:
    """Hive writes a separator as itself or as its code, so `1` is \\x01; `\\t` is what people write for a tab."""
    if text == r"\t":
        return "\t"
    return chr(int(text)) if text.isascii() and text.isdigit() and int(text) < 128 else text


def _count_header_lines(settings: Mapping[str, str]) -> int:
    text = settings.get("skip.header.line.count") or "0"
    if not (text.isascii() and text.isdigit()):
        raise InputError(f"skip.header.line.count is {text!r}; it must be a number of lines")
    return int(text)


def _check_dialect(table: str, dialect: Dialect) -> Dialect:
    for name in ("delimiter", "quote", "escape"):
        value = getattr(dialect, name)
        if value is not None and (len(value) != 1 or value in "\r\n"):
            raise InputError(f"table {table} has the {name} {value!r}; it must be one character")
    if dialect.delimiter in (dialect.quote, dialect.escape):
        raise InputError(f"table {table} has {dialect.delimiter!r} both as its delimiter and as its quote or escape")
    try:
        works = codecs.lookup(dialect.encoding) and "\n,a".encode(dialect.encoding) == b"\n,a"
    except (LookupError, UnicodeError):
        works = False
    if not works:
        raise InputError(f"table {table} has the encoding {dialect.encoding!r}; use UTF-8 or one that contains ASCII")
    return dialect
