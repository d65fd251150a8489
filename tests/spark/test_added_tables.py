"""Tables as `glue-ml table add` describes them, read by the engine: the same rows as without a catalog."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from glue_ml.catalog import read_tables
from glue_ml.domain.job import TableSpec
from glue_ml.table_schema import describe_table


class OneTable:
    """A catalog that knows one table."""

    def __init__(self, described: dict[str, Any]) -> None:
        self._described = described

    def get_table(self, **request: str) -> dict[str, Any]:
        return {"Table": self._described}


def read_added(spark: SparkSession, path: Path) -> list[dict[str, Any]]:
    glue = OneTable(describe_table("t", str(path)))
    df = read_tables(spark, [TableSpec(database="db", table="t")], glue=glue)
    return [row.asDict(recursive=True) for row in df.collect()]


@pytest.mark.parametrize(
    ("name", "text", "notes"),
    [
        ("quotes.csv", 'id,name,note\n1,"Ann, ""A""",\n2,"C:\\dir\\",\\N\n3,"two\nlines",x\n', [None, "\\N", "x"]),
        ("tabs.tsv", 'id\tname\tnote\n1\tAnn\t"a\tb"\n2\tBob\n', ["a\tb", None]),
        ("marked.csv", "\ufeffid;name;note\r\n1;Ann, A;é\r\n\r\n2;Bob;|\r\n", ["é", "|"]),
        ("bars.csv", "id|name|note\n1|Ann|x,y;z\n", ["x,y;z"]),
    ],
)
def test_delimited_text_is_read_cell_by_cell(
    spark: SparkSession, tmp_path: Path, name: str, text: str, notes: list[str | None]
) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    rows = read_added(spark, path)
    assert [list(row) for row in rows] == [["id", "name", "note"]] * len(notes)
    assert [row["id"] for row in rows] == [str(number) for number in range(1, len(notes) + 1)]
    assert [row["note"] for row in rows] == notes
    if name in ("quotes.csv", "tabs.tsv"):  # others need a catalog to tell their delimiter
        assert rows == [row.asDict() for row in read_tables(spark, [TableSpec(path=str(path))]).collect()]


def test_a_folder_of_json_lines_is_read_as_text(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"id": 1, "score": 0.5, "name": "Ann"}\n', encoding="utf-8")
    (tmp_path / "b.json").write_text('{"id": "2", "tags": ["x"]}\n{"id": 3, "name": null}\n', encoding="utf-8")
    rows = sorted(read_added(spark, tmp_path), key=lambda row: str(row["id"]))
    assert rows == [
        {"id": "1", "score": "0.5", "name": "Ann", "tags": None},
        {"id": "2", "score": None, "name": None, "tags": '["x"]'},
        {"id": "3", "score": None, "name": None, "tags": None},
    ]


def test_parquet_keeps_its_types(spark: SparkSession, tmp_path: Path) -> None:
    table = pa.table({"id": pa.array([1, 2], pa.uint32()), "name": ["Ann", None], "money": [Decimal("1.50"), None],
                      "tags": [["a", "b"], []], "row": [{"x": 1}, None]})  # fmt: skip
    pq.write_table(table, tmp_path / "t.parquet")
    assert read_added(spark, tmp_path / "t.parquet") == table.to_pylist()


def test_a_delta_table_is_read_with_its_present_columns(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "t"
    spark.createDataFrame([(1, "Ann")], "id long, name string").write.format("delta").save(str(path))
    more = spark.createDataFrame([(2, "Bob", 1.5)], "id long, name string, score double")
    more.write.format("delta").mode("append").option("mergeSchema", "true").save(str(path))
    described = describe_table("t", str(path))["StorageDescriptor"]["Columns"]
    assert [column["Type"] for column in described] == ["bigint", "string", "double"]
    rows = sorted(read_added(spark, path), key=lambda row: int(row["id"]))
    assert rows == [{"id": 1, "name": "Ann", "score": None}, {"id": 2, "name": "Bob", "score": 1.5}]
