"""What needs no Spark session: Hive's types, layouts and delimited text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any, Literal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import types as T

from glue_ml.catalog.delimited import parse_batches, parse_records
from glue_ml.catalog.hive_types import parse_type
from glue_ml.catalog.layout import Dialect, Layout, describe_layout
from glue_ml.errors import InputError

OPEN_CSV = Dialect(escape="\\")
LAZY = Dialect(delimiter="\x01", quote=None, null=r"\N")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("string", "string"),
        (" INT ", "int"),
        ("bigint", "bigint"),
        ("tinyint", "tinyint"),
        ("smallint", "smallint"),
        ("float", "float"),
        ("double", "double"),
        ("double  precision", "double"),
        ("boolean", "boolean"),
        ("binary", "binary"),
        ("date", "date"),
        ("timestamp", "timestamp"),
        ("char(10)", "string"),
        ("varchar( 20 )", "string"),
        ("decimal", "decimal(10,0)"),
        ("decimal(12)", "decimal(12,0)"),
        ("Decimal(12, 2)", "decimal(12,2)"),
        ("array<int>", "array<int>"),
        ("ARRAY < array<string> >", "array<array<string>>"),
        ("map<string,decimal(10,2)>", "map<string,decimal(10,2)>"),
        ("struct<a:int,b:map<string,array<date>>>", "struct<a:int,b:map<string,array<date>>>"),
        ("struct<Mixed Case:string,`x y`:struct<z:char(3)>>", "struct<Mixed Case:string,x y:struct<z:string>>"),
    ],
)
def test_hive_types_are_spark_types(text: str, expected: str) -> None:
    assert parse_type(text).simpleString() == expected


@pytest.mark.parametrize(
    "text",
    ["", "text", "uniontype<int,string>", "decimal(39,2)", "decimal(2,3)", "array<>", "array<int,int>", "map<string>",
     "struct<a>", "struct<a:int", "array<integers>", "interval_day_time", "string; drop", "1"],
)  # fmt: skip
def test_what_is_no_type_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"type"):
        parse_type(text)


def parse(text: str, dialect: Dialect, *, whole: bool = False) -> list[list[str | None]]:
    return list(parse_records(iter(text.split("\n")), dialect, whole=whole))


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ("a,b,c", ["a", "b", "c"]),
        ("a,,", ["a", "", ""]),
        ('"a, b",c', ["a, b", "c"]),
        ('"say ""hi"", ok",x', ['say "hi", ok', "x"]),
        (r'"say \"hi\", ok",x', ['say "hi", ok', "x"]),
        (r'"both ""a"" and \"b\"",x', ['both "a" and "b"', "x"]),
        (r'"back\\slash","end\\",x', ["back\\slash", "end\\", "x"]),
        (r"C:\temp\x,\\host", ["C:\\temp\\x", "\\\\host"]),
        (r'"C:\temp",y', ["C:\\temp", "y"]),
        ('5" disk,6" nail', ['5" disk', '6" nail']),
        ('"a"b,"c"d"', ["ab", 'cd"']),
        ('"",""""', ["", '"']),
        ("a\r", ["a"]),
        ('"a"\r', ["a"]),
        (" a , b ", [" a ", " b "]),
        ("é,😀,\u2028", ["é", "😀", "\u2028"]),
    ],
)
def test_open_csv_lines_become_cells(line: str, cells: list[str], whole: bool) -> None:
    assert parse(line, OPEN_CSV, whole=whole) == [cells]


def test_quoted_cells_may_hold_line_ends() -> None:
    text = 'id,note\r\n1,"one\ntwo\r\nthree, ""four"""\r\n\r\n2,"\n"\r\n3,x'
    assert parse(text, OPEN_CSV, whole=True) == [
        ["id", "note"], ["1", 'one\ntwo\r\nthree, "four"'], [], ["2", "\n"], ["3", "x"],
    ]  # fmt: skip


def test_an_open_quote_costs_its_line_only_where_lines_are_records() -> None:
    assert parse('1,"open\n2,b', OPEN_CSV) == [["1", "open"], ["2", "b"]]
    assert parse('1,x"y,"open\n2,b', Dialect()) == [["1", 'x"y', "open"], ["2", "b"]]


def test_an_open_quote_at_the_end_of_a_file_loses_no_text() -> None:
    assert parse('1,"open\nmore', OPEN_CSV, whole=True) == [["1", "open\nmore"]]


cells = st.lists(st.text(st.sampled_from('ab ,"\n\r\\é;'), max_size=6), min_size=2, max_size=4)


@given(st.lists(cells, min_size=1, max_size=4), st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
def test_what_the_csv_module_writes_is_read(rows: list[list[str]], quoting: Literal[0, 1]) -> None:
    if quoting == csv.QUOTE_MINIMAL:  # the module leaves a carriage return without quotes
        rows = [[cell.replace("\r", "") for cell in row] for row in rows]
    written = io.StringIO()
    csv.writer(written, lineterminator="\n", quoting=quoting).writerows(rows)
    text = written.getvalue()[:-1]
    assert parse(text, Dialect(), whole=True) == rows
    if not any("\n" in cell for row in rows for cell in row):
        assert parse(text, Dialect()) == rows


@given(st.lists(cells, min_size=1, max_size=4))
def test_what_is_escaped_by_backslashes_is_read(rows: list[list[str]]) -> None:
    quoted = [['"' + c.replace("\\", "\\\\").replace('"', '\\"') + '"' for c in row] for row in rows]
    assert parse("\n".join(map(",".join, quoted)), OPEN_CSV, whole=True) == rows


@given(st.text(st.sampled_from('ab,"\n '), max_size=30))
def test_both_ways_to_parse_agree(text: str) -> None:
    for line in text.split("\n"):
        by_module = [row for row in parse(line, Dialect()) if row]
        assert [row for row in parse(line, Dialect(), whole=True) if row] == by_module


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a\x01b", ["a", "b"]),
        ("\\N\x01", [None, ""]),
        ('"a\x01b"', ['"a', 'b"']),
        ("a\r", ["a"]),
        ("a\\b\x01c", ["a\\b", "c"]),
    ],
)
def test_hive_text_has_no_quotes(line: str, expected: list[str | None]) -> None:
    assert parse(line, LAZY) == [expected]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (r"a\,b,c", ["a,b", "c"]),
        (r"a\\,b", ["a\\", "b"]),
        (r"\N,\\N,N", [None, "\\N", "N"]),
        (r"a\"b,\c", ['a"b', "c"]),
        ("end\\", ["end\\"]),
    ],
)
def test_hive_text_may_have_an_escape(line: str, expected: list[str | None]) -> None:
    assert parse(line, Dialect(quote=None, escape="\\", null=r"\N")) == [expected]


@given(st.lists(st.text(st.sampled_from("aN,\\"), max_size=6), min_size=1, max_size=4))
def test_what_is_escaped_for_hive_is_read(row: list[str]) -> None:
    line = ",".join(cell.replace("\\", "\\\\").replace(",", "\\,") for cell in row)
    if line:
        assert parse(line, Dialect(quote=None, escape="\\", null="<null>")) == [row]


def batches(*lines: tuple[bytes, str, int]) -> Iterator[pa.RecordBatch]:
    for line in lines:
        yield pa.RecordBatch.from_pylist([dict(zip(("line", "uri", "start"), line, strict=True))])


def test_batches_are_cut_to_width_and_the_head_of_each_file_is_skipped() -> None:
    lines = [
        (b"\xef\xbb\xbfid,name", "f", 0),
        (b"1,a,extra", "f", 0),
        (b"", "f", 0),
        (b"2", "f", 64),
        (b"id,name", "g", 0),
    ]
    parsed = parse_batches(batches(*lines), dialect=Dialect(skip=1), width=2, whole=False)
    rows = [row for batch in parsed for row in batch.to_pylist()]
    assert [tuple(row.values()) for row in rows] == [("1", "a", "f"), ("2", None, "f")]


def test_large_cells_are_cut_into_small_batches() -> None:
    lines = [(b"x" * (6 << 20), "f", 0)] * 7
    parsed = list(parse_batches(batches(*lines), dialect=Dialect(), width=1, whole=False))
    assert [batch.num_rows for batch in parsed] == [3, 3, 1]


def test_a_line_of_another_encoding_is_told_with_its_file() -> None:
    with pytest.raises(InputError, match=r"s3://b/f.csv is not UTF-8: a line has 0xe9; save it as UTF-8"):
        list(parse_batches(batches((b"caf\xe9", "s3://b/f.csv", 0)), dialect=Dialect(), width=1, whole=False))
    decoded = parse_batches(batches((b"caf\xe9", "f", 0)), dialect=Dialect(encoding="cp1252"), width=1, whole=False)
    assert next(decoded).to_pylist()[0]["c0"] == "café"


LAZY_SERDE = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
OPEN_SERDE = "org.apache.hadoop.hive.serde2.OpenCSVSerde"
TEXT = "org.apache.hadoop.mapred.TextInputFormat"


def describe(
    library: str | None, settings: dict[str, str], /, *, input_format: str = TEXT, **parameters: str
) -> Layout:
    storage: dict[str, Any] = {"InputFormat": input_format, "SerdeInfo": {"Parameters": settings}}
    if library is not None:
        storage["SerdeInfo"]["SerializationLibrary"] = library
    return describe_layout("db.t", storage, parameters)


@pytest.mark.parametrize(
    ("library", "settings", "expected"),
    [
        (OPEN_SERDE, {}, Dialect(escape="\\")),
        (OPEN_SERDE, {"separatorChar": ";", "quoteChar": "'", "escapeChar": "^"}, Dialect(";", "'", "^")),
        (OPEN_SERDE, {"quoteChar": '"', "escapeChar": '"'}, Dialect(escape="\\")),
        (OPEN_SERDE, {"skip.header.line.count": "2"}, Dialect(escape="\\", skip=2)),
        (LAZY_SERDE, {}, LAZY),
        (LAZY_SERDE, {"serialization.format": "1"}, LAZY),
        (LAZY_SERDE, {"field.delim": "|"}, Dialect("|", None, None, r"\N")),
        (LAZY_SERDE, {"field.delim": "\t", "serialization.format": "1"}, Dialect("\t", None, None, r"\N")),
        (LAZY_SERDE, {"serialization.format": ","}, Dialect(",", None, None, r"\N")),
        (LAZY_SERDE, {"field.delim": r"\t"}, Dialect("\t", None, None, r"\N")),
        (LAZY_SERDE, {"field.delim": ",", "escape.delim": "\\"}, Dialect(",", None, "\\", r"\N")),
        (LAZY_SERDE, {"field.delim": ",", "serialization.null.format": ""}, Dialect(",", None, None, "")),
        (LAZY_SERDE, {"serialization.encoding": "latin1"}, Dialect("\x01", None, None, r"\N", encoding="latin1")),
        (LAZY_SERDE, {"classification": "csv"}, Dialect(",", '"', None, r"\N")),
        (LAZY_SERDE, {"classification": "csv", "escape.delim": "\\"}, Dialect(",", None, "\\", r"\N")),
    ],
)  # fmt: skip
def test_dialects_are_described(library: str, settings: dict[str, str], expected: Dialect) -> None:
    assert describe(library, settings) == Layout("csv", expected)


@pytest.mark.parametrize(
    ("library", "input_format", "expected"),
    [
        ("org.openx.data.jsonserde.JsonSerDe", TEXT, "json"),
        ("org.apache.hive.hcatalog.data.JsonSerDe", TEXT, "json"),
        ("org.apache.hadoop.hive.serde2.JsonSerDe", TEXT, "json"),
        (
            "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
            "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
            "parquet",
        ),
        ("org.apache.hadoop.hive.ql.io.orc.OrcSerde", "org.apache.hadoop.hive.ql.io.orc.OrcInputFormat", "orc"),
        (
            "org.apache.hadoop.hive.serde2.avro.AvroSerDe",
            "org.apache.hadoop.hive.ql.io.avro.AvroContainerInputFormat",
            "avro",
        ),
        (None, "org.apache.hadoop.hive.ql.io.orc.OrcInputFormat", "orc"),
    ],
)
def test_formats_are_told_by_serde_or_input_format(library: str | None, input_format: str, expected: str) -> None:
    assert describe(library, {}, input_format=input_format).format == expected


def test_json_settings_are_described() -> None:
    settings = {"mapping.ts": "timestamp", "ignore.malformed.json": "TRUE", "paths": "a,b"}
    layout = describe("org.openx.data.jsonserde.JsonSerDe", settings)
    assert layout == Layout("json", json_keys=(("ts", "timestamp"),), skip_malformed=True)


def test_delta_is_told_by_any_of_its_signs() -> None:
    for parameters in ({"table_type": "DELTA"}, {"spark.sql.sources.provider": "delta"}, {"classification": "delta"}):
        assert describe_layout("db.t", {}, parameters) == Layout("delta")


def test_a_table_without_serde_goes_by_its_classification() -> None:
    assert describe_layout("db.t", {}, {"classification": "parquet"}).format == "parquet"
    assert describe_layout("db.t", {}, {"classification": "csv"}).dialect == Dialect(null=r"\N")


@pytest.mark.parametrize(
    ("library", "input_format", "settings", "message"),
    [
        (
            "org.apache.hadoop.hive.serde2.RegexSerDe",
            TEXT,
            {},
            "uses the SerDe org.apache.hadoop.hive.serde2.RegexSerDe",
        ),
        (LAZY_SERDE, "org.apache.hadoop.mapred.SequenceFileInputFormat", {}, "SequenceFileInputFormat, which cannot"),
        (None, "some.InputFormat", {}, "no SerDe and the input format 'some.InputFormat'"),
        (LAZY_SERDE, TEXT, {"table_type": "ICEBERG"}, "'iceberg', which cannot be read"),
        (LAZY_SERDE, TEXT, {"field.delim": "||"}, r"delimiter '\|\|'; it must be one character"),
        (OPEN_SERDE, TEXT, {"separatorChar": '"'}, "both as its delimiter and as its quote"),
        (OPEN_SERDE, TEXT, {"skip.header.line.count": "one"}, "skip.header.line.count is 'one'"),
        (LAZY_SERDE, TEXT, {"serialization.encoding": "utf-16"}, "encoding 'utf-16'"),
        (LAZY_SERDE, TEXT, {"serialization.encoding": "klingon"}, "encoding 'klingon'"),
    ],
)
def test_what_cannot_be_read_is_named(
    library: str | None, input_format: str, settings: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        describe(library, settings, input_format=input_format)


def test_parsed_types_are_values() -> None:
    assert parse_type("array<int>") == T.ArrayType(T.IntegerType())
