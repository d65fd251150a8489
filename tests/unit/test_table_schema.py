"""What a file is described as, and that the catalog's reader takes it so."""

from __future__ import annotations

import gzip
import json
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glue_ml.catalog.glue_tables import describe_table as read_described
from glue_ml.catalog.hive_types import parse_type
from glue_ml.catalog.layout import Dialect
from glue_ml.errors import AccessError, GlueMLError, InputError, NotFoundError
from glue_ml.table_schema import describe_table
from glue_ml.table_types import name_spark_type


def write(path: Path, data: str | bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)
    return str(path)


def columns_of(path: str | Path, *, format: str | None = None) -> list[tuple[str, str]]:
    storage = describe_table("t", str(path), format=format)["StorageDescriptor"]
    return [(column["Name"], column["Type"]) for column in storage["Columns"]]


def names_of(path: str | Path, *, format: str | None = None) -> list[str]:
    return [name for name, _ in columns_of(path, format=format)]


def dialect_of(path: str | Path) -> Dialect:
    dialect = read_described("db.t", describe_table("t", str(path))).layout.dialect
    assert dialect is not None
    return dialect


def write_delta(root: Path, *commits: list[dict[str, Any]]) -> None:
    for number, actions in enumerate(commits):
        lines = "".join(json.dumps(action) + "\n" for action in actions)
        write(root / "_delta_log" / f"{number:020}.json", lines)


def set_schema(**kinds: Any) -> dict[str, Any]:
    fields = [{"name": name, "type": kind, "nullable": True, "metadata": {}} for name, kind in kinds.items()]
    return {"metaData": {"id": "x", "schemaString": json.dumps({"type": "struct", "fields": fields})}}


# delimited text


def test_a_csv_file_is_described_as_the_catalog_reads_it(tmp_path: Path) -> None:
    path = write(tmp_path / "people.csv", "id,name\n1,Ann\n")
    described = describe_table("people", path)
    assert (described["Name"], described["TableType"]) == ("people", "EXTERNAL_TABLE")
    table = read_described("db.people", described)
    assert table.location == f"file://{path}"
    assert table.columns == (("id", "string"), ("name", "string"))
    assert table.partition_keys == ()
    assert table.layout.format == "csv"
    assert table.layout.dialect == Dialect(delimiter=",", quote='"', escape=None, null="", skip=1)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    rows = [["id", "name", "place"], ["1", "Ann", "Leeds, York; or | so"]]
    text = "\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in rows)
    path = write(tmp_path / "people.csv", text)
    assert names_of(path) == ["id", "name", "place"]
    assert dialect_of(path).delimiter == delimiter


def test_the_delimiter_that_all_rows_agree_on_wins(tmp_path: Path) -> None:
    path = write(tmp_path / "people.csv", "id;a,b,c\n1;x\n2;y,z\n")
    assert dialect_of(path).delimiter == ";"
    assert names_of(path) == ["id", "a,b,c"]


def test_a_tsv_file_of_one_column_has_tabs(tmp_path: Path) -> None:
    path = write(tmp_path / "people.tsv", "id,code\n1\n")
    assert names_of(path) == ["id,code"]
    assert dialect_of(path).delimiter == "\t"


def test_a_csv_file_of_one_column_has_commas(tmp_path: Path) -> None:
    path = write(tmp_path / "people.csv", "id\n1\n")
    assert names_of(path) == ["id"]
    assert dialect_of(path).delimiter == ","


def test_quotes_blanks_and_a_byte_order_mark_are_no_part_of_a_name(tmp_path: Path) -> None:
    path = write(tmp_path / "people.csv", '\ufeff"id", the name ,"a ""b"", c"\r\n1,2,3\r\n')
    assert names_of(path) == ["id", "the name", 'a "b", c']


def test_a_header_without_rows_is_a_table(tmp_path: Path) -> None:
    assert names_of(write(tmp_path / "people.csv", "id,name")) == ["id", "name"]


def test_a_packed_file_is_looked_into(tmp_path: Path) -> None:
    assert names_of(write(tmp_path / "people.csv.gz", gzip.compress(b"id,name\n1,Ann\n"))) == ["id", "name"]


def test_only_the_head_of_a_large_file_is_looked_at(tmp_path: Path) -> None:
    line = "1," + "é" * 50 + "\n"
    path = write(tmp_path / "people.csv", ("id,name\n" + line * 5000).encode() + b"\xff\xff")
    assert names_of(path) == ["id", "name"]


@pytest.mark.parametrize("pad", range(4))
def test_a_character_that_the_head_cuts_in_two_is_no_fault(tmp_path: Path, pad: int) -> None:
    assert names_of(write(tmp_path / "people.csv", "id,name\n" + "x" * pad + "😀" * 20_000)) == ["id", "name"]


def test_the_format_wins_over_the_name(tmp_path: Path) -> None:
    assert names_of(write(tmp_path / "people.data", "id|name\n1|Ann\n"), format="csv") == ["id", "name"]


# JSON


def test_json_lines_have_the_columns_of_all_their_objects(tmp_path: Path) -> None:
    path = write(tmp_path / "people.jsonl", '{"id": 1, "name": "Ann"}\n\n{"id": 2, "born": null, "tags": ["a"]}')
    assert columns_of(path) == [(name, "string") for name in ("id", "name", "born", "tags")]
    table = read_described("db.t", describe_table("t", path))
    assert (table.layout.format, table.layout.json_keys) == ("json", ())


def test_a_json_line_that_the_head_cuts_off_is_no_fault(tmp_path: Path) -> None:
    line = json.dumps({"id": 1, "text": "x" * 1_000_000}) + "\n"
    assert names_of(write(tmp_path / "people.json", line * 6)) == ["id", "text"]


# Parquet


def test_parquet_columns_have_hive_types_that_the_reader_knows(tmp_path: Path) -> None:
    kinds = {
        "t": (pa.bool_(), "boolean"), "i8": (pa.int8(), "tinyint"), "i16": (pa.int16(), "smallint"),
        "i32": (pa.int32(), "int"), "i64": (pa.int64(), "bigint"), "u8": (pa.uint8(), "smallint"),
        "u16": (pa.uint16(), "int"), "u32": (pa.uint32(), "bigint"), "u64": (pa.uint64(), "decimal(20,0)"),
        "f": (pa.float32(), "float"), "d": (pa.float64(), "double"), "s": (pa.string(), "string"),
        "ls": (pa.large_string(), "string"), "b": (pa.binary(), "binary"), "fb": (pa.binary(4), "binary"),
        "day": (pa.date32(), "date"), "at": (pa.timestamp("us", "UTC"), "timestamp"),
        "local": (pa.timestamp("ms"), "timestamp"), "money": (pa.decimal128(12, 2), "decimal(12,2)"),
        "kind": (pa.dictionary(pa.int32(), pa.string()), "string"), "n": (pa.null(), "string"),
        "list": (pa.list_(pa.int32()), "array<int>"), "map": (pa.map_(pa.string(), pa.float64()), "map<string,double>"),
        "row": (pa.struct([("a", pa.int64()), ("b", pa.list_(pa.string()))]), "struct<a:bigint,b:array<string>>"),
    }  # fmt: skip
    schema = pa.schema([(name, kind) for name, (kind, _) in kinds.items()])
    pq.write_table(schema.empty_table(), tmp_path / "t.parquet")
    found = columns_of(tmp_path / "t.parquet")
    assert found == [(name, hive) for name, (_, hive) in kinds.items()]
    for _, hive in found:
        parse_type(hive)
    table = read_described("db.t", describe_table("t", str(tmp_path / "t.parquet")))
    assert table.layout.format == "parquet"


def test_files_of_a_folder_have_the_columns_of_all(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": pa.array([1], pa.int32()), "name": ["Ann"]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"id": pa.array([2], pa.int64()), "born": ["1.1."]}), tmp_path / "b.parquet")
    assert columns_of(tmp_path) == [("id", "bigint"), ("name", "string"), ("born", "string")]


# Delta


def test_the_newest_schema_of_a_delta_log_counts(tmp_path: Path) -> None:
    nested = {"type": "array", "elementType": {"type": "struct", "fields": [{"name": "a", "type": "long"}]}}
    pairs = {"type": "map", "keyType": "string", "valueType": "timestamp_ntz"}
    write_delta(
        tmp_path,
        [{"protocol": {}}, set_schema(id="integer")],
        [set_schema(id="long", money="decimal(12, 2)", at="timestamp", tags=nested, pairs=pairs)],
        [{"add": {"path": "x.parquet"}}],
    )
    described = describe_table("t", str(tmp_path))
    table = read_described("db.t", described)
    assert (table.layout.format, table.location) == ("delta", f"file://{tmp_path}")
    assert table.columns == (
        ("id", "bigint"), ("money", "decimal(12,2)"), ("at", "timestamp"), ("tags", "array<struct<a:bigint>>"),
        ("pairs", "map<string,timestamp>"),
    )  # fmt: skip


def test_a_delta_log_whose_beginning_is_gone_is_read_from_its_checkpoint(tmp_path: Path) -> None:
    rows = [None, {"id": "x", "schemaString": set_schema(id="short", name="string")["metaData"]["schemaString"]}]
    log = tmp_path / "_delta_log"
    log.mkdir()
    pq.write_table(pa.table({"metaData": rows}), log / "00000000000000000010.checkpoint.parquet")
    write(log / "00000000000000000011.json", json.dumps({"add": {}}))
    write(log / "_last_checkpoint", "{}")
    assert columns_of(tmp_path) == [("id", "smallint"), ("name", "string")]


@pytest.mark.parametrize("log", ["", "{", '{"metaData": {"schemaString": "{}"}}', '{"add": {}}', "[1]"])
def test_a_damaged_delta_log_is_told_as_such(tmp_path: Path, log: str) -> None:
    write(tmp_path / "_delta_log" / f"{0:020}.json", log)
    with pytest.raises(InputError, match="tells no schema"):
        describe_table("t", str(tmp_path))


def test_a_spark_type_that_no_catalog_knows_is_refused() -> None:
    with pytest.raises(InputError, match="variant"):
        name_spark_type("variant")


# what cannot be described


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("people.csv", "", "is empty"),
        ("people.csv", "id,name,ID\n1,2,3\n", "names columns alike: 'id' and 'ID'"),
        ("people.csv", "id,,name\n1,2,3\n", "no name for column 2"),
        ("people.csv", "\nid,name\n", "begins with a blank line"),
        ("people.csv", b"id,name\n1,\xe9\n", "is not UTF-8 at byte 10"),
        ("people.csv", "id,name\n1,é\n".encode("utf-16"), "binary file or UTF-16"),
        ("people.csv", "id,name\r1,2\r", "carriage returns alone"),
        ("people.json", '[{"id": 1}]', "line 1 is no JSON object"),
        ("people.json", '{"id": 1}\n{"id":', "line 2 is no JSON object"),
        ("people.json", "\n\n", "has no columns"),
        ("people.json", '{"": 1}', "no name for column 1"),
        ("people.parquet", "PAR1 not at all", "cannot be read as Parquet"),
        ("people.xlsx", "PK", "the format of .*people.xlsx is unknown"),
        ("people", "id,name\n1,2\n", "its name does not tell"),
        ("people.csv.gz", "not packed", "cannot be read"),
    ],
)
def test_a_file_that_is_no_table_is_refused_in_a_sentence(
    tmp_path: Path, name: str, data: str | bytes, told: str
) -> None:
    path = write(tmp_path / name, data)
    with pytest.raises(GlueMLError, match=f"(?i){told}") as raised:
        describe_table("t", path)
    assert path in str(raised.value)


def test_a_place_where_nothing_is_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"nothing\.csv does not exist"):
        describe_table("t", str(tmp_path / "nothing.csv"))


@pytest.mark.parametrize("path", ["", " ", "ftp://host/a.csv", "file://host/a.csv", "s3://", "a\0b"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(InputError):
        describe_table("t", path)


def test_a_format_that_cannot_be_described_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'avro' is no format"):
        describe_table("t", str(tmp_path), format="avro")


def test_a_folder_is_no_delta_table_without_a_log(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "id\n1\n")
    with pytest.raises(InputError, match="no Delta table"):
        describe_table("t", str(tmp_path), format="delta")


def test_a_delta_table_is_nothing_else(tmp_path: Path) -> None:
    write_delta(tmp_path, [set_schema(id="long")])
    with pytest.raises(InputError, match="is a Delta table and not parquet"):
        describe_table("t", str(tmp_path), format="parquet")


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, "holds no files"),
        ({"_SUCCESS": "x", ".part.csv.crc": "x", "a.csv": ""}, "is empty"),
        ({"a.csv": "id\n", "b.json": "{}"}, r"several formats \(csv, json\)"),
        ({"a.csv": "id,name\n", "b.csv": "name,id\n"}, r"b\.csv has another header than .*a\.csv"),
        ({"a.csv": "id,name\n", "b.csv": "id;name\n"}, r"b\.csv has another header"),
        ({"year=2024/a.csv": "id,name\n"}, "has partitions, such as year=2024"),
    ],
)
def test_a_folder_that_is_no_table_is_refused_in_a_sentence(tmp_path: Path, files: dict[str, str], told: str) -> None:
    for name, data in files.items():
        write(tmp_path / name, data)
    with pytest.raises(InputError, match=told):
        describe_table("t", str(tmp_path))


def test_hidden_and_empty_files_of_a_folder_do_not_count(tmp_path: Path) -> None:
    for name in ("_SUCCESS", ".a.csv.crc", "_temporary/0/part.csv"):
        write(tmp_path / name, "nonsense")
    write(tmp_path / "empty.csv", "")
    write(tmp_path / "sub" / "a.csv", "id,name\n1,Ann\n")
    assert names_of(tmp_path) == ["id", "name"]


def test_files_that_disagree_on_a_type_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"id": [{"x": 1}]}), tmp_path / "b.parquet")
    with pytest.raises(InputError, match="disagree on a column's type"):
        describe_table("t", str(tmp_path))


@pytest.mark.parametrize(
    "kind", [pa.time64("us"), pa.struct([("a:b", pa.int64())]), pa.decimal256(40, 2)], ids=["time", "name", "decimal"]
)
def test_a_type_that_no_catalog_knows_is_refused(tmp_path: Path, kind: pa.DataType) -> None:
    pq.write_table(pa.schema([("x", kind)]).empty_table(), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"rename or flatten it|leave it out"):
        describe_table("t", str(tmp_path / "t.parquet"))


# places


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a b#c%20.csv", "id\n1\n")
    monkeypatch.chdir(tmp_path)
    location = describe_table("t", "./a b#c%20.csv")["StorageDescriptor"]["Location"]
    assert location == f"file://{tmp_path}/a b#c%20.csv"
    assert describe_table("t", location)["StorageDescriptor"]["Location"] == location


@pytest.fixture
def bucket(moto: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in {
        "AWS_ENDPOINT_URL_S3": moto, "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="shelf")
    return client


def test_a_table_in_s3_is_described(bucket: Any, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [Decimal("1.50")]}), tmp_path / "a.parquet")
    bucket.put_object(Bucket="shelf", Key="people/a.csv", Body=b"id,name\n1,Ann\n")
    bucket.upload_file(str(tmp_path / "a.parquet"), "shelf", "money/part-0.parquet")
    assert names_of("s3://shelf/people/a.csv") == ["id", "name"]
    assert names_of("s3://shelf/people/") == ["id", "name"]
    assert columns_of("s3a://shelf/money") == [("id", "decimal(3,2)")]
    assert describe_table("t", "s3a://shelf/money")["StorageDescriptor"]["Location"] == "s3://shelf/money"
    for missing in ("s3://shelf/nobody.csv", "s3://nowhere/a.csv"):
        with pytest.raises((NotFoundError, AccessError)):
            describe_table("t", missing)


@settings(deadline=None)
@given(st.lists(st.lists(st.text("ab ,;|\t\"'", max_size=4), min_size=2, max_size=4), min_size=1, max_size=4))
def test_any_header_is_described_or_refused_in_a_sentence(rows: list[list[str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "t.csv", "\n".join(",".join(row) for row in rows))
        try:
            described = names_of(path)
        except InputError as error:
            described = [str(error)]
    assert all(described)
