from __future__ import annotations

import datetime
import gzip
import json
import logging
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyspark.errors import PythonException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from glue_ml.catalog import read_tables
from glue_ml.catalog.columns import SAMPLE_ROWS, convert
from glue_ml.catalog.failures import explain_failures
from glue_ml.domain.job import TableSpec
from glue_ml.errors import AccessError, GlueMLError, InputError, NotFoundError

PEOPLE = [(1, "Ann", 1.5), (2, None, None), (3, 'Bé, "C"\nD', -2.0)]
SCHEMA = "id int, name string, score double"
FORMATS = ["csv", "json", "parquet", "orc", "avro", "delta"]


def read(spark: SparkSession, path: object, format: str | None = None, **members: Any) -> DataFrame:
    return read_tables(spark, [TableSpec(path=str(path), format=format, **members)])


def rows(df: DataFrame) -> list[tuple[Any, ...]]:
    return sorted((tuple(row) for row in df.collect()), key=repr)


def save(df: DataFrame, path: Path, kind: str) -> Path:
    options = {"header": "true", "escape": '"'} if kind == "csv" else {}
    df.coalesce(1).write.format(kind).options(**options).save(str(path))
    return path


def only_file(folder: Path, suffix: str) -> Path:
    return next(path for path in folder.rglob(f"*{suffix}") if path.name.startswith("part-"))


@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_is_read_from_a_folder(spark: SparkSession, tmp_path: Path, kind: str) -> None:
    folder = save(spark.createDataFrame(PEOPLE, SCHEMA), tmp_path / "people of 'x' [1]", kind)
    declared = (("id", "int"), ("name", "string"), ("score", "double"))
    df = read(spark, folder, columns=declared)
    assert df.schema.simpleString() == "struct<id:int,name:string,score:double>"
    assert rows(df) == sorted(PEOPLE, key=repr)


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "delta"])
def test_each_format_is_read_from_a_file(spark: SparkSession, tmp_path: Path, kind: str) -> None:
    folder = save(spark.createDataFrame(PEOPLE, SCHEMA), tmp_path / "t", kind)
    file = only_file(folder, f".{kind}").rename(tmp_path / f"people %41 {{1}}.{kind}")
    df = read(spark, f"file://{file}")
    assert sorted(df.columns) == ["id", "name", "score"]
    found = df.select("id", "name", "score").collect()
    assert sorted(str(row["id"]) for row in found) == ["1", "2", "3"]
    assert {row["name"] for row in found} == {"Ann", None, 'Bé, "C"\nD'}


def test_undeclared_csv_columns_are_strings_as_they_are_written(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('id,zip,n\n0001,01234,1e3\n2,"",\n', encoding="utf-8")
    df = read(spark, tmp_path / "t.csv")
    assert df.schema.simpleString() == "struct<id:string,zip:string,n:string>"
    assert rows(df) == [("0001", "01234", "1e3"), ("2", None, None)]


def test_declared_types_win_and_what_does_not_cast_is_null(spark: SparkSession, tmp_path: Path) -> None:
    lines = [
        "k,tiny,whole,big,money,day,time,yes,float,name",
        "a,12,12.0,9000000000,12.345,2024-02-29,2024-02-29 10:11:12,true,1.5,x",
        "b,300,12.7, 7 ,x,2024-02-30,nonsense,maybe,y,007",
        "c,,,,,,,,,",
    ]
    (tmp_path / "t.csv").write_text("\n".join(lines), encoding="utf-8")
    declared = (
        ("tiny", "tinyint"), ("WHOLE", "int"), ("big", "bigint"), ("money", "decimal(10,2)"), ("day", "date"),
        ("time", "timestamp"), ("yes", "boolean"), ("float", "float"), ("name", "varchar(5)"),
    )  # fmt: skip
    df = read(spark, tmp_path / "t.csv", columns=declared)
    assert df.columns == ["k", "tiny", "WHOLE", "big", "money", "day", "time", "yes", "float", "name"]
    day, time = datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 10, 11, 12)
    assert rows(df.withColumn("time", F.col("time").cast("timestamp_ntz"))) == [
        ("a", 12, 12, 9000000000, Decimal("12.35"), day, time, True, 1.5, "x"),
        ("b", None, 12, 7, None, None, None, None, None, "007"),
        ("c", None, None, None, None, None, None, None, None, None),
    ]


@pytest.mark.parametrize("kind", FORMATS[1:5])
def test_declared_types_win_over_those_of_files(spark: SparkSession, tmp_path: Path, kind: str) -> None:
    df = spark.createDataFrame([("7", 8, 2.5, True)], "Text string, num bigint, real double, flag boolean")
    folder = save(df, tmp_path / "t", kind)
    declared = (("text", "int"), ("num", "string"), ("REAL", "int"), ("flag", "string"), ("new", "date"))
    df = read(spark, folder, kind, columns=declared)
    found = df.select("text", "num", "REAL", "flag", "new").head()
    assert found is not None
    # JSON is read as text, and text of 2.5 is taken for the number before its fraction goes.
    assert tuple(found) == (7, "8", 2, "true", None)


def test_a_column_that_loses_all_its_values_is_told(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "t.csv").write_text("id,name,some,blank\n1,x,a,\n2,y,3, \n", encoding="utf-8")
    declared = (("id", "int"), ("name", "int"), ("some", "int"), ("blank", "int"), ("extra", "int"))
    with caplog.at_level(logging.WARNING, logger="glue_ml.catalog"):
        df = read(spark, tmp_path / "t.csv", columns=declared)
    assert sorted(record.getMessage() for record in caplog.records) == [
        "column 'extra' is in no file of the table: it is null in every row",
        "column 'name' is null in every row: no value in the files is of its type int",
    ]
    assert rows(df) == [(1, None, None, None, None), (2, None, 3, None, None)]


def test_values_that_come_late_keep_a_column_from_being_told(
    spark: SparkSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = ["id,n", *(f"{i},none" for i in range(SAMPLE_ROWS)), "last,5"]
    (tmp_path / "t.csv").write_text("\n".join(lines), encoding="utf-8")
    with caplog.at_level(logging.WARNING, logger="glue_ml.catalog"):
        df = read(spark, tmp_path / "t.csv", columns=(("n", "int"),))
    assert caplog.records == []
    assert rows(df.where("n is not null")) == [("last", 5)]


def test_quotes_line_ends_and_marks_are_read_right(spark: SparkSession, tmp_path: Path) -> None:
    text = '\ufeffid,note\r\n1,"a ""b"", c"\r\n2,"two\r\nlines"\r\n\r\n3,C:\\x\\\r\n4,5" disk\r\n'
    (tmp_path / "t.csv").write_bytes(text.encode())
    expected = [("1", 'a "b", c'), ("2", "two\r\nlines"), ("3", "C:\\x\\"), ("4", '5" disk')]
    assert rows(read(spark, tmp_path / "t.csv")) == expected


def test_files_are_parsed_in_splits_and_in_order(spark: SparkSession, tmp_path: Path) -> None:
    """Many splits, with and without cells that run over line ends; each file has its own header."""
    size = spark.conf.get("spark.sql.files.maxPartitionBytes")
    expected = [(f"{f}-{i}", f"line {i}" if i % 7 else f"line\n{i}\n\nend") for f in range(2) for i in range(300)]
    for lone in (True, False):
        folder = tmp_path / str(lone)
        folder.mkdir()
        for f in range(2):
            cells = [(k, v.replace("\n", " ") if lone else v) for k, v in expected if k.startswith(f"{f}-")]
            lines = ["id,text", *(f'{k},"{v}"' for k, v in cells)]
            (folder / f"{f}.csv").write_text("\n".join(lines), encoding="utf-8")
        try:
            spark.conf.set("spark.sql.files.maxPartitionBytes", "500")
            found = {tuple(row) for row in read(spark, folder).collect()}
        finally:
            spark.conf.set("spark.sql.files.maxPartitionBytes", str(size))
        assert found == {(k, v.replace("\n", " ") if lone else v) for k, v in expected}


def test_csv_files_may_differ_in_their_columns(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,name\n1,x\n", encoding="utf-8")
    (tmp_path / "b.csv").write_text("NAME,id,more\ny,2,z\n", encoding="utf-8")
    (tmp_path / "c.csv").write_text("\n\n", encoding="utf-8")
    df = read(spark, tmp_path)
    assert df.columns == ["id", "name", "more"]
    assert rows(df) == [("1", "x", None), ("2", "y", "z")]


def test_ragged_lines_are_filled_up_and_cut(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,,c\n1\n1,2,3,4\n", encoding="utf-8")
    df = read(spark, tmp_path / "t.csv")
    assert df.columns == ["a", "_c1", "c"]
    assert rows(df) == [("1", "2", "3"), ("1", None, None)]


def test_packed_and_tab_separated_files_are_read(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b'id,n\n1,"a,b"\n'))
    (tmp_path / "t.tsv").write_text("id\tn\n1\ta,b\n", encoding="utf-8")
    assert rows(read(spark, tmp_path / "t.csv.gz")) == [("1", "a,b")]
    assert rows(read(spark, tmp_path / "t.tsv")) == [("1", "a,b")]


def test_a_cell_of_a_megabyte_is_read(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f'id,n\n1,"{"x" * (1 << 20)}"\n', encoding="utf-8")
    assert read(spark, tmp_path / "t.csv").select(F.length("n")).collect()[0][0] == 1 << 20


def test_awkward_column_names_are_kept(spark: SparkSession, tmp_path: Path) -> None:
    names = ["a.b", "c`d", "e'f", "😀", "match_id", "select", "_metadata", "value", " x y "]
    (tmp_path / "t.csv").write_text(",".join(names) + "\n" + ",".join("123456789") + "\n", encoding="utf-8")
    df = read(spark, tmp_path / "t.csv", columns=(("a.b", "int"), ("c`d", "int")))
    assert df.columns == [name.strip() for name in names]
    assert tuple(df.collect()[0]) == (1, 2, *"3456789")
    for kind in ("parquet", "json"):
        folder = save(df, tmp_path / kind, kind)
        again = read(spark, folder, kind, columns=(("a.b", "string"), ("😀", "int")))
        assert again.select("`a.b`", "😀", "_metadata").head() == ("1", 4, "7")


def test_json_comes_in_lines_arrays_and_over_many_lines(spark: SparkSession, tmp_path: Path) -> None:
    people = [{"id": 1, "n": "x"}, {"id": 2, "m": [1]}]
    (tmp_path / "lines.jsonl").write_text("\n".join(map(json.dumps, people)), encoding="utf-8")
    (tmp_path / "array.json").write_text(json.dumps(people), encoding="utf-8")
    (tmp_path / "pretty.json").write_text(json.dumps(people, indent=2), encoding="utf-8")
    for name in ("lines.jsonl", "array.json", "pretty.json"):
        df = read(spark, tmp_path / name)
        assert rows(df.select("id", "n", "m")) == [(1, "x", None), (2, None, [1])]


def test_json_values_are_read_as_declared(spark: SparkSession, tmp_path: Path) -> None:
    lines = [
        {"Id": "12", "num": 1.50, "nest": {"A": "7", "b": [{"c": "2024-01-02"}]}, "any": {"x": 1}, "map": {"k": "1"}},
        {"Id": 13, "num": "x", "nest": None, "any": "text", "map": {"k": 2, "l": None}},
    ]
    (tmp_path / "t.json").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    declared = (
        ("id", "int"), ("num", "string"), ("nest", "struct<a:int,b:array<struct<c:date,d:int>>>"), ("any", "string"),
        ("map", "map<string,int>"),
    )  # fmt: skip
    df = read(spark, tmp_path / "t.json", columns=declared).select("id", "num", "nest", "any", "map")
    assert df.schema["nest"].dataType.simpleString() == "struct<a:int,b:array<struct<c:date,d:int>>>"
    first, second = sorted(df.collect(), key=lambda row: int(row["id"]))
    assert (first["id"], first["num"], json.loads(first["any"])) == (12, "1.5", {"x": 1})
    assert first["nest"].asDict(True) == {"a": 7, "b": [{"c": datetime.date(2024, 1, 2), "d": None}]}
    assert (second["id"], second["nest"], second["any"]) == (13, None, "text")
    assert (first["map"], second["map"]) == ({"k": 1}, {"k": 2, "l": None})


def test_parquet_files_may_differ_in_their_columns(spark: SparkSession, tmp_path: Path) -> None:
    spark.createDataFrame([(1, "x")], "id int, a string").write.parquet(str(tmp_path / "t"))
    spark.createDataFrame([(2, "y")], "id int, b string").write.mode("append").parquet(str(tmp_path / "t"))
    assert rows(read(spark, tmp_path / "t").select("id", "a", "b")) == [(1, "x", None), (2, None, "y")]


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
def test_key_value_folders_are_columns(spark: SparkSession, tmp_path: Path, kind: str) -> None:
    data = [("1", 2023, "a b"), ("2", 2024, "a b"), ("3", 2024, None)]
    writer = spark.createDataFrame(data, "id string, year int, place string").write.partitionBy("year", "place")
    writer.format(kind).option("header", "true").save(str(tmp_path / "t"))
    df = read(spark, tmp_path / "t", columns=(("year", "int"),))
    assert df.schema.simpleString() == "struct<id:string,year:int,place:string>"
    assert rows(df) == data
    chosen = read(spark, tmp_path / "t", options={"pushDownPredicate": "year >= 2024 and place is not null"})
    assert rows(chosen) == [("2", "2024", "a b")]


def test_delta_is_filtered_by_its_partition_columns(spark: SparkSession, tmp_path: Path) -> None:
    df = spark.createDataFrame([(1, "a"), (2, "b")], "id int, part string")
    df.write.format("delta").partitionBy("part").save(str(tmp_path / "t"))
    assert rows(read(spark, tmp_path / "t", options={"pushDownPredicate": "part = 'b'"})) == [(2, "b")]
    with pytest.raises(InputError, match=r"'id = 1' is no condition on the partition columns \[part\]"):
        read(spark, tmp_path / "t", options={"pushDownPredicate": "id = 1"})


@pytest.mark.parametrize(
    ("predicate", "message"),
    [
        ("id = 1", r"is no condition on the partition columns \[year\]: id is none of them"),
        ("year = id", "id is none of them"),
        ("t.year = 2024", "t.year is none of them"),
        ("year", "is no condition on the partition columns"),
        ("year = ", "does not parse"),
        ("year in (select 2024)", "has a subquery"),
        ("exists (select 1)", "has a subquery"),
        ("reflect('java.lang.System', 'getProperty', 'user.home') = year", "calls a function that is not allowed"),
        ("year = '1999'", "selects no partition"),
        ("no_such_function(year)", "is no condition"),
    ],
)
def test_a_predicate_that_cannot_be_used_is_refused(
    spark: SparkSession, tmp_path: Path, predicate: str, message: str
) -> None:
    (tmp_path / "year=2024").mkdir()
    (tmp_path / "year=2024" / "t.csv").write_text("id\n1\n", encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        read(spark, tmp_path, options={"pushDownPredicate": predicate})
    check_message(caught.value)


def check_message(error: BaseException) -> None:
    text = str(error)
    assert "\n" not in text
    assert "\tat " not in text
    assert "JVM stacktrace" not in text
    assert len(text) < 900


def test_what_is_missing_is_not_found(spark: SparkSession, tmp_path: Path) -> None:
    for kind in (None, *FORMATS):
        with pytest.raises(NotFoundError, match=r"/none\.csv does not exist"):
            read(spark, tmp_path / "none.csv", kind)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"id\n\xff\xfe\x41\nand so on for a while\n", "is not UTF-8 at byte 3; save it as UTF-8"),
        ("t.csv", "id,n\n1,x\n".encode("utf-16"), "is no UTF-8 text but a binary file"),
        ("t.csv", b"id,n\r1,x\r2,y\r", "ends its lines with carriage returns alone"),
        ("t.csv", b"\n\n", "has no header"),
        ("t.csv", b"id,Name,NAME\n1,2,3\n", "has two columns 'Name' and 'NAME'"),
        ("t.csv", b"", "holds no data"),
        ("t.json", b'{"a": 1}\nnot json\n', "holds lines that are not JSON objects"),
        ("t.json", b'{"a": 1, "A": 2}\n', "differ"),
        ("t.parquet", b"PAR1 but not really, though it is long enough", "cannot be read"),
        ("t.orc", b"ORC but not really, though it is long enough", "cannot be read"),
        ("t.avro", b"Obj but not really, though it is long enough", "cannot be read"),
        ("t.xlsx", b"PK", "the format of .* is unknown"),
        ("t", b"x", "the format of .* is unknown"),
    ],
)
def test_an_unusable_file_is_told_in_one_sentence(
    spark: SparkSession, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read(spark, tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    check_message(caught.value)


def test_other_wrong_specs_are_refused(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n", encoding="utf-8")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"format": "xml"}, "has the format 'xml'; it must be one of avro, csv, delta, json, orc, parquet"),
        ({"columns": (("id", "integers"),)}, "'integers' is no Hive type"),
        ({"columns": (("id", "int"), ("ID", "int"))}, "two columns 'id' and 'ID'"),
        ({"columns": (("other", "int"),)}, r"its files have the columns \['id'\], but \['other'\] are declared"),
        ({"options": {"catalogPartitionPredicate": "a=1"}}, "is in no catalog"),
        ({"format": "parquet"}, "cannot be read"),
        ({"format": "delta"}, "is no Delta table"),
    ]
    for members, message in wrong:
        with pytest.raises(InputError, match=message) as caught:
            read(spark, tmp_path / "a.csv", **members)
        check_message(caught.value)
    (tmp_path / "b.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"several formats, \['csv', 'json'\]"):
        read(spark, tmp_path)
    (tmp_path / "none" / "_hidden").mkdir(parents=True)
    (tmp_path / "none" / "_hidden" / "t.csv").write_text("id\n1\n", encoding="utf-8")
    with pytest.raises(InputError, match="holds no data"):
        read(spark, tmp_path / "none", "csv")


def test_unknown_file_systems_are_refused(spark: SparkSession) -> None:
    for uri, message in [
        ("nosuch://b/t", "no file system"),
        ("s3a://b/t", "no S3 file system"),
        (" ", "path of a table"),
    ]:
        with pytest.raises(InputError, match=message) as caught:
            read(spark, uri, "csv")
        check_message(caught.value)


def test_a_later_line_of_another_encoding_fails_with_its_file(spark: SparkSession, tmp_path: Path) -> None:
    from glue_ml.spark_errors import classify_error

    good = b"id,name\n" + b"1,x\n" * 40_000
    (tmp_path / "t.csv").write_bytes(good + "2,café\n".encode("cp1252"))
    with pytest.raises(Exception, match="is not UTF-8") as caught:
        read(spark, tmp_path / "t.csv").count()
    told = classify_error(caught.value)
    assert told.kind == "INPUT"
    assert told.message.endswith("t.csv is not UTF-8: a line has 0xe9; save it as UTF-8")


def test_tables_are_united_by_name(spark: SparkSession, tmp_path: Path) -> None:
    one = spark.createDataFrame([(1, "x", 1.5, [1])], "id int, a string, n double, list array<int>")
    two = spark.createDataFrame([("y", 2, "k", None)], "A string, ID int, n string, extra date")
    one.write.parquet(str(tmp_path / "one"))
    two.write.json(str(tmp_path / "two"), ignoreNullFields=False)
    declared = (("id", "int"), ("extra", "date"), ("list", "struct<a:int>"))
    specs = [
        TableSpec(path=str(tmp_path / "one"), format="parquet"),
        TableSpec(path=str(tmp_path / "two"), format="json", columns=declared),
    ]
    df = read_tables(spark, specs)
    assert df.schema.simpleString() == "struct<id:int,a:string,n:string,list:string,extra:date>"
    assert rows(df) == [(1, "x", "1.5", "[1]", None), (2, "y", "k", None, None)]


@pytest.mark.parametrize("count", [0, 11])
def test_none_and_eleven_tables_are_refused(spark: SparkSession, count: int) -> None:
    with pytest.raises(InputError, match=f"{count} input tables were named; it must be 1 to 10"):
        read_tables(spark, [TableSpec(path="x")] * count)


def test_ten_tables_are_read(spark: SparkSession, tmp_path: Path) -> None:
    specs: Sequence[TableSpec] = []
    for i in range(10):
        (tmp_path / f"{i}.csv").write_text(f"id,c{i}\n{i},x\n", encoding="utf-8")
        specs = [*specs, TableSpec(path=str(tmp_path / f"{i}.csv"))]
    df = read_tables(spark, specs)
    assert df.columns == ["id", *(f"c{i}" for i in range(10))]
    assert sorted(row["id"] for row in df.collect()) == list("0123456789")


def test_it_does_not_depend_on_the_session_being_strict(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,n\n1,x\n2,3\n", encoding="utf-8")
    before = spark.conf.get("spark.sql.ansi.enabled")
    found = []
    try:
        for ansi in ("true", "false"):
            spark.conf.set("spark.sql.ansi.enabled", ansi)
            found.append(rows(read(spark, tmp_path / "t.csv", columns=(("n", "int"),))))
    finally:
        spark.conf.set("spark.sql.ansi.enabled", str(before))
    assert found == [[("1", None), ("2", 3)]] * 2


@pytest.mark.parametrize(
    ("value", "actual", "wanted", "expected"),
    [
        (datetime.date(2024, 1, 2), "date", "int", None),
        (datetime.date(2024, 1, 2), "date", "string", "2024-01-02"),
        (5, "int", "date", None),
        (True, "boolean", "date", None),
        (1 << 40, "bigint", "int", None),
        (Decimal("12.99"), "decimal(5,2)", "decimal(3,1)", Decimal("13.0")),
        ([1, 2], "array<int>", "array<string>", ["1", "2"]),
        ([1], "array<int>", "int", None),
        ("[1]", "string", "array<int>", None),
        ({"a": 1}, "map<string,int>", "string", '{"a":1}'),
    ],
)
def test_values_are_converted(spark: SparkSession, value: Any, actual: str, wanted: str, expected: Any) -> None:
    df = spark.createDataFrame([(value,)], f"v {actual}")
    kind = spark.createDataFrame([], f"v {wanted}").schema["v"].dataType
    assert df.select(convert(F.col("v"), df.schema["v"].dataType, kind)).collect()[0][0] == expected
    assert isinstance(kind, T.DataType)


def test_a_forbidden_place_is_refused(spark: SparkSession) -> None:
    """The mode of a file does not bind root, so the refusal is Hadoop's own exception, thrown in the JVM."""
    jvm: Any = spark._jvm
    refused = jvm.java.util.concurrent.CompletableFuture()
    refused.completeExceptionally(jvm.org.apache.hadoop.security.AccessControlException("no way in"))
    with (
        pytest.raises(AccessError, match="x cannot be read: no way in") as caught,
        explain_failures("x cannot be read"),
    ):
        refused.get()
    check_message(caught.value)


@pytest.mark.parametrize(
    ("trace", "expected", "message"),
    [
        ("ModuleNotFoundError: No module named 'glue_ml'", InputError, "Spark's workers cannot import glue_ml"),
        ("KeyError: 'x'", GlueMLError, "t cannot be read: KeyError: 'x'"),
        ("glue_ml.errors.InputError: f.csv is not UTF-8", InputError, "t cannot be read: f.csv is not UTF-8"),
    ],
)
def test_a_failure_in_a_worker_is_told_by_its_last_line(trace: str, expected: type[GlueMLError], message: str) -> None:
    text = f"An exception was thrown from the Python worker.\nTraceback:\n  File x\n{trace}\n"
    with pytest.raises(expected, match=message) as caught, explain_failures("t cannot be read"):
        raise PythonException(text)
    assert type(caught.value) is expected
    check_message(caught.value)
