from __future__ import annotations

import csv
import datetime
import json
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from glue_ml.catalog import FORMATS, read_tables, write_table
from glue_ml.domain.job import TableSpec
from glue_ml.errors import GlueMLError, InputError, UnavailableError

NASTY = [
    "plain", "", None, " lead", "trail ", "a,b", 'say "hi"', '"', '""', "\\", 'back\\"slash', "two\nlines",
    "two\r\nlines", "carriage\rreturn", "\ttab\t", "#no comment", "é😀", "\\N", "null", "'", ";", "\n", "\u2028",
    "x" * 100_000,
]  # fmt: skip


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def rows(df: DataFrame) -> list[tuple[Any, ...]]:
    return sorted((tuple(row) for row in df.collect()), key=repr)


def read(spark: SparkSession, path: Path, kind: str) -> DataFrame:
    return (
        spark.read.format(kind)
        .option("header", "true")
        .load(str(path).replace("[", "\\[") if kind != "delta" else str(path))
    )


def csv_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix == ".csv")


def test_the_formats_are_those_of_the_jobs() -> None:
    assert FORMATS == ("csv", "delta", "json", "parquet")


@pytest.mark.parametrize("scheme", ["", "file://"])
@pytest.mark.parametrize("kind", FORMATS)
def test_a_table_is_replaced_in_full(spark: SparkSession, tmp_path: Path, kind: str, scheme: str) -> None:
    place = tmp_path / "new folder" / "out [1] %41"
    write_table(spark.createDataFrame([(1, "a"), (2, None)], "id int, n string"), f"{scheme}{place}", format=kind)
    assert rows(read(spark, place, kind).selectExpr("int(id)", "n")) == [(1, "a"), (2, None)]
    write_table(spark.createDataFrame([("x", 3.5)], "other string, score double"), f"{scheme}{place}", format=kind)
    assert rows(read(spark, place, kind).selectExpr("other", "double(score)")) == [("x", 3.5)]
    assert names(place.parent) == ["out [1] %41"]


def test_any_csv_reader_gets_every_cell_back(spark: SparkSession, tmp_path: Path) -> None:
    df = spark.createDataFrame(list(enumerate(NASTY)), "id int, text string").coalesce(1)
    write_table(df, str(tmp_path / "t"), format="csv")
    (file,) = csv_files(tmp_path / "t")
    expected = [text or "" for text in NASTY]
    with file.open(encoding="utf-8", newline="") as opened:
        header, *found = csv.reader(opened)
    assert header == ["id", "text"]
    assert [row[1] for row in found] == expected
    frame = pd.read_csv(file, dtype=str, keep_default_na=False)
    assert list(frame["text"]) == expected
    again = read_tables(spark, [TableSpec(path=str(tmp_path / "t"))])
    assert {row["id"]: row["text"] for row in again.collect()} == {
        str(i): text or None for i, text in enumerate(NASTY)
    }  # fmt: skip


def test_csv_holds_plain_values_and_json(spark: SparkSession, tmp_path: Path) -> None:
    df = spark.createDataFrame(
        [
            (
                [1, None], {"k": 'a"b'}, {"x": 1, "y": None}, bytearray(b"\x00\xff"), Decimal("1.50"), True,
                datetime.date(1999, 12, 31), datetime.datetime(2024, 1, 2, 3, 4, 5, 678901), 1e-7, None,
            )
        ],
        "l array<int>, m map<string,string>, s struct<x:int,y:date>, b binary, d decimal(5,2), f boolean, day date, "
        "t timestamp_ntz, e double, v void",
    )  # fmt: skip
    write_table(df, str(tmp_path / "t"), format="csv")
    (file,) = [path for path in csv_files(tmp_path / "t") if path.read_text().count("\n") == 2]
    with file.open(newline="") as opened:
        (row,) = csv.DictReader(opened)
    assert json.loads(row["l"]) == [1, None]
    assert json.loads(row["m"]) == {"k": 'a"b'}
    assert json.loads(row["s"]) == {"x": 1, "y": None}
    assert [row[name] for name in "bdfev"] == ["AP8=", "1.50", "true", "1.0E-7", ""]
    assert [row["day"], row["t"]] == ["1999-12-31", "2024-01-02 03:04:05.678901"]


def test_json_keeps_null_columns(spark: SparkSession, tmp_path: Path) -> None:
    write_table(spark.createDataFrame([(1, None)], "id int, n string").coalesce(1), str(tmp_path / "t"), format="json")
    texts = [path.read_text() for path in (tmp_path / "t").glob("part-*.json")]
    assert [json.loads(text) for text in texts if text] == [{"id": 1, "n": None}]


@pytest.mark.parametrize("kind", FORMATS)
def test_an_empty_table_keeps_its_columns(spark: SparkSession, tmp_path: Path, kind: str) -> None:
    write_table(spark.createDataFrame([], "id int, n string"), str(tmp_path / "t"), format=kind)
    df = read(spark, tmp_path / "t", kind)
    assert df.count() == 0
    if kind != "json":
        assert df.columns == ["id", "n"]


AWKWARD = [
    "a.b",
    "c`d",
    "e f",
    "g,h",
    "i;j",
    "{k}",
    "(l)",
    "m=n",
    "tab\t",
    "line\nend",
    "'",
    '"',
    "😀",
    "match_id",
    "_x",
]


@pytest.mark.parametrize("kind", FORMATS)
def test_awkward_column_names_are_kept(spark: SparkSession, tmp_path: Path, kind: str) -> None:
    df = spark.createDataFrame([tuple(range(len(AWKWARD)))], "struct<" + ",".join(f"c{i}:int" for i in range(15)) + ">")
    for _ in range(2):
        write_table(df.toDF(*AWKWARD), str(tmp_path / "t"), format=kind)
    if kind == "csv":
        with next(f for f in csv_files(tmp_path / "t") if "😀" in f.read_text()).open(newline="") as opened:
            assert next(csv.reader(opened)) == AWKWARD
        return
    found = read(spark, tmp_path / "t", kind)
    assert sorted(found.columns) == sorted(AWKWARD)
    row = found.head()
    assert row is not None
    assert {name: row[name] for name in AWKWARD} == {name: i for i, name in enumerate(AWKWARD)}


def test_delta_adds_a_version_and_takes_new_names_later(spark: SparkSession, tmp_path: Path) -> None:
    place = str(tmp_path / "t")
    write_table(spark.createDataFrame([(1,)], "id int"), place, format="delta")
    write_table(spark.createDataFrame([("x",)], "id string"), place, format="delta")
    assert DeltaTable.forPath(spark, place).history().count() == 2
    first = spark.read.format("delta").option("versionAsOf", 0).load(place)
    assert rows(first) == [(1,)]
    nested = spark.createDataFrame([(((1,),),)], "s struct<i:struct<`a b`:int>>")
    for _ in range(2):
        write_table(nested, place, format="delta")
    assert spark.read.format("delta").load(place).select(F.col("s.i.`a b`")).collect()[0][0] == 1
    assert DeltaTable.forPath(spark, place).history().count() == 2


@pytest.mark.parametrize(("before", "after"), [("parquet", "delta"), ("delta", "parquet"), ("csv", "json")])
def test_a_table_of_another_format_is_replaced(spark: SparkSession, tmp_path: Path, before: str, after: str) -> None:
    write_table(spark.createDataFrame([(1,)], "id int"), str(tmp_path / "t"), format=before)
    old = {name for name in names(tmp_path / "t") if name.startswith("part-")}
    write_table(spark.createDataFrame([(2,)], "id int"), str(tmp_path / "t"), format=after)
    assert rows(read_tables(spark, [TableSpec(path=str(tmp_path / "t"))]).selectExpr("int(id)")) == [(2,)]
    assert old
    assert not old & set(names(tmp_path / "t"))


@pytest.mark.parametrize("kind", FORMATS)
def test_a_table_may_be_written_over_what_it_is_read_from(spark: SparkSession, tmp_path: Path, kind: str) -> None:
    place = str(tmp_path / "t")
    write_table(spark.createDataFrame([(1, "a"), (2, "b")], "id int, n string"), place, format=kind)
    df = read_tables(spark, [TableSpec(path=place)])
    write_table(df.withColumn("more", F.upper("n")), place, format=kind)
    again = read_tables(spark, [TableSpec(path=place)]).selectExpr("int(id)", "n", "more")
    assert rows(again) == [(1, "a", "A"), (2, "b", "B")]


def fail_late() -> Column:
    return F.when(F.col("id") > 90, F.raise_error(F.lit("no more"))).otherwise(F.lit(1))


@pytest.mark.parametrize("kind", FORMATS)
def test_a_failure_leaves_the_old_table(spark: SparkSession, tmp_path: Path, kind: str) -> None:
    place = tmp_path / "t"
    write_table(spark.createDataFrame([(1,)], "id int"), str(place), format=kind)
    with pytest.raises(GlueMLError, match=r"/t cannot be written: .*no more") as caught:
        write_table(spark.range(100).withColumn("x", fail_late()), str(place), format=kind)
    assert "\n" not in str(caught.value)
    assert rows(read(spark, place, kind).selectExpr("int(id)")) == [(1,)]
    assert names(tmp_path) == ["t"]


def test_a_failure_at_the_first_write_leaves_nothing(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(GlueMLError, match="no more"):
        write_table(spark.range(100).withColumn("x", fail_late()), str(tmp_path / "t"), format="parquet")
    assert names(tmp_path) == []


def test_the_old_table_comes_back_if_the_new_cannot_be_put_in_place(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder to be put in place is removed between writing and renaming."""
    import shutil

    place = tmp_path / "t"
    write_table(spark.createDataFrame([(1,)], "id int"), str(place), format="csv")
    token = uuid.UUID(int=7)
    monkeypatch.setattr(uuid, "uuid4", lambda: token)
    from glue_ml.catalog import writing

    write_aside = writing._write_aside

    def write_and_lose(df: DataFrame, aside: str, kind: str) -> None:
        write_aside(df, aside, kind)
        shutil.rmtree(tmp_path / f".t.{token.hex}.new")

    monkeypatch.setattr(writing, "_write_aside", write_and_lose)
    with pytest.raises((UnavailableError, GlueMLError), match="/t cannot be"):
        write_table(spark.createDataFrame([(2,)], "id int"), str(place), format="csv")
    assert rows(read(spark, place, "csv")) == [("1",)]
    assert names(tmp_path) == ["t"]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_folder_that_is_no_table_is_left_alone(spark: SparkSession, tmp_path: Path, kind: str) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("x")
    with pytest.raises(
        InputError, match=r"holds 'thesis.txt', which is no part of a table; name a new or empty folder"
    ):
        write_table(spark.range(1).toDF("id"), str(tmp_path / "home"), format=kind)
    with pytest.raises(InputError, match=r"thesis.txt is a file; name a folder for the output"):
        write_table(spark.range(1).toDF("id"), str(tmp_path / "home" / "thesis.txt"), format=kind)
    assert (tmp_path / "home" / "thesis.txt").read_text() == "x"
    assert names(tmp_path) == ["home"]


def test_an_empty_folder_is_taken(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    write_table(spark.range(1).toDF("id"), str(tmp_path / "t"), format="parquet")
    assert rows(spark.read.parquet(str(tmp_path / "t"))) == [(0,)]


def test_what_cannot_be_written_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    df = spark.range(1).toDF("id")
    with pytest.raises(InputError, match="'orc' is no output format; use csv, delta, json, parquet"):
        write_table(df, str(tmp_path / "t"), format="orc")
    with pytest.raises(InputError, match="two columns 'id' and 'ID'"):
        write_table(df.selectExpr("id", "id as ID"), str(tmp_path / "t"), format="parquet")
    with pytest.raises(InputError, match="is no folder that can be written"):
        write_table(df, "/", format="parquet")
    with pytest.raises(InputError, match="no file system"):
        write_table(df, "nosuch://b/t", format="parquet")
    assert names(tmp_path) == []
