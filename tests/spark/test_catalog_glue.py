from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from pyspark.sql import DataFrame, SparkSession

from glue_ml.catalog import read_tables
from glue_ml.domain.job import TableSpec
from glue_ml.errors import AccessError, GlueMLError, InputError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient

TEXT = "org.apache.hadoop.mapred.TextInputFormat"
OPEN_CSV = "org.apache.hadoop.hive.serde2.OpenCSVSerde"
LAZY = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
OPENX = "org.openx.data.jsonserde.JsonSerDe"
BINARY = {
    "parquet": (
        "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    ),
    "orc": ("org.apache.hadoop.hive.ql.io.orc.OrcSerde", "org.apache.hadoop.hive.ql.io.orc.OrcInputFormat"),
    "avro": (
        "org.apache.hadoop.hive.serde2.avro.AvroSerDe",
        "org.apache.hadoop.hive.ql.io.avro.AvroContainerInputFormat",
    ),
}
PEOPLE = [("id", "int"), ("name", "string"), ("born", "date")]

Columns = list[tuple[str, str]]


def connect(endpoint: str) -> GlueClient:
    return boto3.client(
        "glue",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=5),
    )


@pytest.fixture
def glue(moto: str) -> Iterator[GlueClient]:
    """A catalog with the empty database `db`."""
    client = connect(moto)
    client.create_database(DatabaseInput={"Name": "db"})
    yield client
    client.delete_database(Name="db")


def describe_storage(
    location: object, columns: Columns, serde: str, *, input_format: str = TEXT, **settings: str
) -> dict[str, Any]:
    return {
        "Columns": [{"Name": name, "Type": kind} for name, kind in columns],
        "Location": str(location),
        "InputFormat": input_format,
        "SerdeInfo": {"SerializationLibrary": serde, "Parameters": settings},
    }


def create(glue: GlueClient, storage: dict[str, Any], *, keys: Columns | None = None, **members: Any) -> TableSpec:
    """Make the table db.t and return its spec."""
    partitions = [{"Name": name, "Type": kind} for name, kind in keys or []]
    table: Any = {"Name": "t", "StorageDescriptor": storage, "PartitionKeys": partitions, "TableType": "EXTERNAL_TABLE"}
    glue.create_table(DatabaseName="db", TableInput=table | members)
    return TableSpec(database="db", table="t")


def add_partition(glue: GlueClient, values: list[str], storage: dict[str, Any]) -> None:
    partition: Any = {"Values": values, "StorageDescriptor": storage}
    glue.create_partition(DatabaseName="db", TableName="t", PartitionInput=partition)


def read(spark: SparkSession, glue: GlueClient, spec: TableSpec, **options: str) -> DataFrame:
    spec = TableSpec(database=spec.database, table=spec.table, options=options)
    return read_tables(spark, [spec], glue=glue)


def rows(df: DataFrame) -> list[tuple[Any, ...]]:
    texts = [tuple(str(value) if hasattr(value, "year") else value for value in row) for row in df.collect()]
    return sorted(texts, key=repr)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("one_file", [True, False], ids=["file", "folder"])
@pytest.mark.parametrize(
    ("serde", "settings", "text", "expected"),
    [
        pytest.param(
            OPEN_CSV,
            {"skip.header.line.count": "1"},
            'ID,Full Name,b\r\n"1","a ""b"", c","1999-12-31"\r\n"2","d \\"e\\"\nf",""\r\nx,C:\\g,nonsense\r\n',
            [(1, 'a "b", c', "1999-12-31"), (2, 'd "e"\nf', None), (None, "C:\\g", None)],
            id="OpenCSV",
        ),
        pytest.param(
            OPEN_CSV,
            {"separatorChar": ";", "quoteChar": "'", "escapeChar": "^"},
            "1;'it''s; ^'so^' ^^';'2000-01-01'\n2;;\n",
            [(1, "it's; 'so' ^", "2000-01-01"), (2, "", None)],
            id="OpenCSV with its own characters",
        ),
        pytest.param(
            LAZY,
            {"field.delim": ",", "skip.header.line.count": "1"},
            'h1,h2,h3\n1,"a",2000-01-01\n2,\\N,\\N\n3,,x\n',
            [(1, '"a"', "2000-01-01"), (2, None, None), (3, "", None)],
            id="LazySimple",
        ),
        pytest.param(
            LAZY,
            {},
            "1\x01a, b\x012000-01-01\n2\n",
            [(1, "a, b", "2000-01-01"), (2, None, None)],
            id="LazySimple default",
        ),
        pytest.param(
            LAZY,
            {"serialization.format": "\t", "escape.delim": "\\", "serialization.null.format": "NULL"},
            "1\ta\\\tb\\\\\t2000-01-01\n2\tNULL\tNULL\n",
            [(1, "a\tb\\", "2000-01-01"), (2, None, None)],
            id="LazySimple with an escape",
        ),
        pytest.param(
            LAZY,
            {"field.delim": ",", "classification": "csv", "skip.header.line.count": "1"},
            'h,h,h\n1,"a ""b"",\nc",2000-01-01\n2,\\N,\n',
            [(1, 'a "b",\nc', "2000-01-01"), (2, None, None)],
            id="LazySimple classified as csv",
        ),
        pytest.param(
            OPENX,
            {"mapping.name": "Full Name", "ignore.malformed.json": "true"},
            '{"ID": "1", "Full Name": "a", "born": "2000-01-01"}\nnonsense\n{"ID": 2, "more": [1]}\n',
            [(1, "a", "2000-01-01"), (2, None, None)],
            id="OpenX JSON",
        ),
        pytest.param(
            "org.apache.hive.hcatalog.data.JsonSerDe",
            {},
            '{"Id": 1, "NAME": 12, "born": "x"}\n{"Id": 2.0, "NAME": {"a":1}}\n',
            [(1, "12", None), (2, '{"a":1}', None)],
            id="Hive JSON",
        ),
    ],
)
def test_text_is_read_as_its_serde_says(
    spark: SparkSession,
    glue: GlueClient,
    tmp_path: Path,
    *,
    serde: str,
    settings: dict[str, str],
    text: str,
    expected: list[Any],
    one_file: bool,
) -> None:
    path = write(tmp_path / "t" / "records.txt", text)
    location = f"file://{path}" if one_file else path.parent
    df = read(spark, glue, create(glue, describe_storage(location, PEOPLE, serde, **settings)))
    assert df.schema.simpleString() == "struct<id:int,name:string,born:date>"
    assert rows(df) == sorted(expected, key=repr)


def test_another_encoding_is_read_as_its_serde_says(spark: SparkSession, glue: GlueClient, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("1,café €\n".encode("cp1252"))
    storage = describe_storage(
        tmp_path, PEOPLE[:2], LAZY, **{"field.delim": ",", "serialization.encoding": "windows-1252"}
    )
    assert rows(read(spark, glue, create(glue, storage))) == [(1, "café €")]


@pytest.mark.parametrize("kind", [*BINARY])
def test_files_with_a_schema_are_read_by_name(spark: SparkSession, glue: GlueClient, tmp_path: Path, kind: str) -> None:
    df = spark.createDataFrame([("x", "7", 2.5, [1])], "Name string, Id string, other double, list array<int>")
    df.write.format(kind).save(str(tmp_path / "t"))
    columns = [*PEOPLE, ("list", "array<string>")]
    serde, input_format = BINARY[kind]
    df = read(spark, glue, create(glue, describe_storage(tmp_path / "t", columns, serde, input_format=input_format)))
    assert df.schema.simpleString() == "struct<id:int,name:string,born:date,list:array<string>>"
    assert rows(df) == [(7, "x", None, ["1"])]


def test_delta_goes_by_its_own_log(spark: SparkSession, glue: GlueClient, tmp_path: Path) -> None:
    spark.createDataFrame([(1, "old")], "id int, name string").write.format("delta").save(str(tmp_path))
    spark.createDataFrame([(2, "new")], "id int, name string").write.format("delta").mode("overwrite").save(
        str(tmp_path)
    )
    storage = describe_storage("s3://b/t-__PLACEHOLDER__", [("col", "array<string>")], LAZY, path=str(tmp_path))
    spec = create(
        glue,
        storage | {"InputFormat": "org.apache.hadoop.mapred.SequenceFileInputFormat"},
        Parameters={"table_type": "DELTA"},
    )
    assert rows(read(spark, glue, spec)) == [(2, "new")]


def make_partitioned(glue: GlueClient, root: Path) -> TableSpec:
    """db.t: year 2023 in a key=value folder, 2024 elsewhere, semicolons and another order of columns in the latter."""
    columns = [("id", "int"), ("name", "string")]
    spec = create(glue, describe_storage(root, columns, OPEN_CSV), keys=[("year", "int"), ("place", "string")])
    write(root / "year=2023" / "place=a%20b" / "x.csv", "1,one\n2,two\n")
    write(root / "else where" / "deep" / "y.csv", "three;3\n")
    add_partition(glue, ["2023", "a b"], describe_storage(root / "year=2023" / "place=a%20b", columns, OPEN_CSV))
    add_partition(
        glue,
        ["2024", "__HIVE_DEFAULT_PARTITION__"],
        describe_storage(root / "else where", columns[::-1], OPEN_CSV, separatorChar=";"),
    )
    add_partition(glue, ["2025", "gone"], describe_storage(root / "gone", columns, OPEN_CSV))
    return spec


def test_partitions_are_read_from_where_the_catalog_says(
    spark: SparkSession, glue: GlueClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = make_partitioned(glue, tmp_path)
    with caplog.at_level(logging.WARNING, logger="glue_ml.catalog"):
        df = read(spark, glue, spec)
    assert df.schema.simpleString() == "struct<id:int,name:string,year:int,place:string>"
    assert rows(df) == [(1, "one", 2023, "a b"), (2, "two", 2023, "a b"), (3, "three", 2024, None)]
    told = [record.getMessage() for record in caplog.records if record.name == "glue_ml.catalog"]
    assert told == [f"table db.t: partition ('2025', 'gone') has no folder {tmp_path / 'gone'}"]


@pytest.mark.parametrize(
    ("predicate", "ids"),
    [
        ("year = 2023", [1, 2]),
        ("YEAR > 2023 and place is null", [3]),
        ("`place` like 'a%' or year in (2024)", [1, 2, 3]),
        ("year < 2000", []),
    ],
)
def test_a_push_down_predicate_selects_partitions(
    spark: SparkSession, glue: GlueClient, tmp_path: Path, predicate: str, ids: list[int]
) -> None:
    df = read(spark, glue, make_partitioned(glue, tmp_path), pushDownPredicate=predicate)
    assert df.columns == ["id", "name", "year", "place"]
    assert [row[0] for row in rows(df)] == ids


@pytest.mark.parametrize("predicate", ["id = 1", "name", "year =", "year = 2023; drop table t"])
def test_a_push_down_predicate_must_be_about_partitions(
    spark: SparkSession, glue: GlueClient, tmp_path: Path, predicate: str
) -> None:
    with pytest.raises(InputError, match="the predicate") as caught:
        read(spark, glue, make_partitioned(glue, tmp_path), pushDownPredicate=predicate)
    check_message(caught.value)


def test_a_push_down_predicate_needs_partitions(spark: SparkSession, glue: GlueClient, tmp_path: Path) -> None:
    write(tmp_path / "t.csv", "1,a\n")
    spec = create(glue, describe_storage(tmp_path, PEOPLE, OPEN_CSV))
    with pytest.raises(InputError, match=r"db\.t has no partition columns for pushDownPredicate"):
        read(spark, glue, spec, pushDownPredicate="id = 1")
    with pytest.raises(InputError, match=r"db\.t has no partitions in the catalog for catalogPartitionPredicate"):
        read(spark, glue, spec, catalogPartitionPredicate="id = 1")


def test_the_catalog_selects_partitions(spark: SparkSession, glue: GlueClient, tmp_path: Path) -> None:
    spec = make_partitioned(glue, tmp_path)
    assert [row[0] for row in rows(read(spark, glue, spec, catalogPartitionPredicate="year=2024"))] == [3]


def test_files_with_a_schema_are_read_by_partition(spark: SparkSession, glue: GlueClient, tmp_path: Path) -> None:
    serde, input_format = BINARY["parquet"]
    for year in ("2023", "2024"):
        df = spark.createDataFrame([(int(year), "x")], "id int, name string")
        (df if year == "2023" else df.drop("name")).write.parquet(str(tmp_path / f"y {year}"))
    columns = [("id", "bigint"), ("name", "string")]
    spec = create(glue, describe_storage(tmp_path, columns, serde, input_format=input_format), keys=[("day", "date")])
    for year in ("2023", "2024"):
        add_partition(
            glue, [f"{year}-01-31"], describe_storage(tmp_path / f"y {year}", columns, serde, input_format=input_format)
        )
    df = read(spark, glue, spec)
    assert df.schema.simpleString() == "struct<id:bigint,name:string,day:date>"
    assert rows(df) == [(2023, "x", "2023-01-31"), (2024, None, "2024-01-31")]


def test_many_partitions_are_read_together(spark: SparkSession, glue: GlueClient, tmp_path: Path) -> None:
    columns = [("id", "int")]
    spec = create(glue, describe_storage(tmp_path, columns, OPEN_CSV), keys=[("n", "int")])
    for i in range(40):
        write(tmp_path / str(i) / "x.csv", f"{i}\n")
        add_partition(glue, [str(i)], describe_storage(tmp_path / str(i), columns, OPEN_CSV))
    assert rows(read(spark, glue, spec, pushDownPredicate="n % 2 = 0")) == sorted(
        ((i, i) for i in range(0, 40, 2)), key=repr
    )


def test_a_partition_key_that_repeats_a_column_is_there_once(
    spark: SparkSession, glue: GlueClient, tmp_path: Path
) -> None:
    columns = [("id", "int"), ("year", "int")]
    spec = create(glue, describe_storage(tmp_path, columns, OPEN_CSV), keys=[("Year", "int")])
    write(tmp_path / "p" / "x.csv", "1,1\n")
    df = read(spark, glue, spec)
    assert (df.columns, rows(df)) == (["id", "year"], [(1, 1)])
    add_partition(glue, ["2024"], describe_storage(tmp_path / "p", columns, OPEN_CSV))
    df = read(spark, glue, spec)
    assert (df.columns, rows(df)) == (["id", "year"], [(1, 2024)])


def test_a_table_without_partitions_in_the_catalog_is_empty(
    spark: SparkSession, glue: GlueClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "n=1" / "x.csv", "1\n")
    spec = create(glue, describe_storage(tmp_path, [("id", "int")], OPEN_CSV), keys=[("n", "int")])
    with caplog.at_level(logging.WARNING, logger="glue_ml.catalog"):
        df = read(spark, glue, spec)
    assert (df.schema.simpleString(), rows(df)) == ("struct<id:int,n:int>", [])
    assert "no partition is in the catalog" in caplog.text


def test_tables_of_catalog_and_path_are_united(spark: SparkSession, glue: GlueClient, tmp_path: Path) -> None:
    write(tmp_path / "a" / "x.csv", "1,a,2000-01-01\n")
    write(tmp_path / "b.csv", "name,id\nb,2\n")
    spec = create(glue, describe_storage(tmp_path / "a", PEOPLE, OPEN_CSV))
    df = read_tables(spark, [spec, TableSpec(path=str(tmp_path / "b.csv"))], glue=glue)
    assert df.schema.simpleString() == "struct<id:string,name:string,born:date>"
    assert rows(df) == [("1", "a", "2000-01-01"), ("2", "b", None)]


def test_a_client_is_made_from_the_environment(
    spark: SparkSession, glue: GlueClient, moto: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "x.csv", "1,a\n")
    spec = create(glue, describe_storage(tmp_path, PEOPLE[:2], OPEN_CSV))
    for name, value in {
        "AWS_ENDPOINT_URL_GLUE": moto, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    assert rows(read_tables(spark, [spec])) == [(1, "a")]


def check_message(error: BaseException) -> None:
    text = str(error)
    assert "\n" not in text
    assert "JVM stacktrace" not in text
    assert len(text) < 900


def test_what_is_not_in_the_catalog_is_not_found(spark: SparkSession, glue: GlueClient, tmp_path: Path) -> None:
    for database, table in (("db", "none"), ("none", "t")):
        with pytest.raises(NotFoundError, match=f"table {database}.{table} is not in the Glue Data Catalog"):
            read_tables(spark, [TableSpec(database=database, table=table)], glue=glue)
    spec = create(glue, describe_storage(tmp_path / "gone", PEOPLE, OPEN_CSV))
    with pytest.raises(NotFoundError, match=r"table db.t is in the catalog, but .*/gone does not exist"):
        read(spark, glue, spec)


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda table: table.update(TableType="VIRTUAL_VIEW"),
            "db.t is a view and holds no data; name the table behind it",
        ),
        (
            lambda table: table["StorageDescriptor"]["SerdeInfo"].update(SerializationLibrary="x.RegexSerDe"),
            "db.t uses the SerDe x.RegexSerDe",
        ),
        (lambda table: table["StorageDescriptor"].update(InputFormat="x.Input"), "db.t uses the input format x.Input"),
        (lambda table: table["StorageDescriptor"].update(Columns=[]), "db.t has no columns in the catalog"),
        (lambda table: table["StorageDescriptor"].update(Location=""), "db.t has no location in the catalog"),
        (
            lambda table: table["StorageDescriptor"]["Columns"].append({"Name": "ID", "Type": "int"}),
            "db.t has two columns 'id' and 'ID'",
        ),
        (lambda table: table["StorageDescriptor"]["Columns"][0].update(Type="text"), "'text' is no Hive type"),
        (lambda table: table.update(Parameters={"table_type": "ICEBERG"}), "db.t is of type 'iceberg'"),
        (lambda table: table.update(Parameters={"table_type": "DELTA"}), "has no _delta_log"),
    ],
)
def test_what_cannot_be_read_is_refused(
    spark: SparkSession, glue: GlueClient, tmp_path: Path, change: Change, message: str
) -> None:
    table: dict[str, Any] = {"StorageDescriptor": describe_storage(tmp_path, PEOPLE, OPEN_CSV)}
    change(table)
    spec = create(glue, table.pop("StorageDescriptor"), **table)
    with pytest.raises(InputError, match=message) as caught:
        read(spark, glue, spec)
    check_message(caught.value)


class _Refusal(BaseHTTPRequestHandler):
    """Answers every request with the error that the server was given."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        code, status = self.server.answer  # type: ignore[attr-defined]
        body = json.dumps({"__type": code, "Message": "No."}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def refusing() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Refusal)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("EntityNotFoundException", 400, NotFoundError),
        ("AccessDeniedException", 400, AccessError),
        ("ExpiredTokenException", 400, AccessError),
        ("UnrecognizedClientException", 400, AccessError),
        ("ThrottlingException", 400, UnavailableError),
        ("InternalServiceException", 500, UnavailableError),
        ("InvalidInputException", 400, InputError),
    ],
)
def test_a_refusal_of_the_catalog_says_what_to_do_about_it(
    spark: SparkSession, refusing: ThreadingHTTPServer, code: str, status: int, expected: type[GlueMLError]
) -> None:
    refusing.answer = (code, status)  # type: ignore[attr-defined]
    glue = connect(f"http://127.0.0.1:{refusing.server_port}")
    with pytest.raises(expected, match=r"table db\.t.*No\.") as caught:
        read_tables(spark, [TableSpec(database="db", table="t")], glue=glue)
    assert type(caught.value) is expected


def test_a_catalog_that_does_not_answer_is_unavailable(spark: SparkSession) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(UnavailableError, match=r"table db.t cannot be looked up in the Glue Data Catalog: Could not"):
        read_tables(spark, [TableSpec(database="db", table="t")], glue=connect(f"http://127.0.0.1:{port}"))
