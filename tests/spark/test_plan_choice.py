"""When a table is matched in pieces, and what stands in the way of that."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark import SparkFiles
from pyspark.sql import DataFrame, SparkSession

from glue_ml.errors import InputError
from glue_ml.matching import FindMatches, plan_choice
from glue_ml.matching.plan_choice import BlockingPlan, Extent, choose_cut, find_memory, parse_memory, parse_plan
from glue_ml.matching.records import SPILLED_ROWS


@pytest.fixture
def df(spark: SparkSession, tmp_path: Path) -> DataFrame:
    spark.range(300).selectExpr("cast(id as string) as id", "'anna' as name").write.parquet(str(tmp_path / "table"))
    return spark.read.parquet(str(tmp_path / "table"))


COLUMNS = ("name",)  #: With four characters in each row.


def have_memory_for(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    room = rows * 4 * plan_choice.CHAR_BYTES
    monkeypatch.setattr(plan_choice, "find_memory", lambda _: int(room / plan_choice.MEMORY_SHARE) + 1)


def test_a_table_that_memory_takes_is_shipped(df: DataFrame) -> None:
    assert choose_cut(df, COLUMNS, BlockingPlan.AUTO, folder=None, obstacle=None) is None
    assert choose_cut(df, COLUMNS, BlockingPlan.SHIPPED, folder=None, obstacle=None) is None


def test_a_table_that_memory_does_not_take_is_cut(
    monkeypatch: pytest.MonkeyPatch, spark: SparkSession, df: DataFrame
) -> None:
    have_memory_for(monkeypatch, 40)
    cut = choose_cut(df, COLUMNS, BlockingPlan.AUTO, folder=None, obstacle=None)
    assert cut is not None
    assert cut.rows == 300
    assert cut.pieces == Extent(300, 1_200).count_pieces(spark.sparkContext.defaultParallelism)
    assert cut.reason == ("to build records and index of 300 rows would take 0.0 GiB, and there are 0.0")
    assert cut.folder.startswith(SparkFiles.getRootDirectory())
    assert choose_cut(df, COLUMNS, BlockingPlan.SHIPPED, folder=None, obstacle=None) is None


def test_a_table_is_measured_before_it_is_cut(monkeypatch: pytest.MonkeyPatch, df: DataFrame) -> None:
    """The bytes of its files make it look large, its rows say otherwise."""
    have_memory_for(monkeypatch, 400)
    monkeypatch.setattr(plan_choice, "_estimate_file_bytes", lambda _: 2**40)
    assert choose_cut(df, COLUMNS, BlockingPlan.AUTO, folder=None, obstacle=None) is None
    have_memory_for(monkeypatch, 299)
    assert choose_cut(df, COLUMNS, BlockingPlan.AUTO, folder=None, obstacle=None) is not None


def test_rows_that_are_put_aside_while_the_index_is_built_need_less_memory() -> None:
    least, more = Extent(SPILLED_ROWS, 2**30).bytes, Extent(SPILLED_ROWS + 1, 2**30).bytes
    assert (least, more) == (plan_choice.CHAR_BYTES * 2**30, plan_choice.SPILLED_CHAR_BYTES * 2**30)


def test_a_small_table_is_not_measured_first(monkeypatch: pytest.MonkeyPatch, df: DataFrame) -> None:
    monkeypatch.setattr(Extent, "measure", lambda *_: pytest.fail("measured"))
    assert choose_cut(df, COLUMNS, BlockingPlan.AUTO, folder=None, obstacle=None) is None


def test_pieces_that_are_wanted_and_cannot_be_had_are_an_error(df: DataFrame) -> None:
    with pytest.raises(InputError, match="blocking_plan is pieces, but links are to be explained; use auto or shipped"):
        choose_cut(df, COLUMNS, BlockingPlan.PIECES, folder=None, obstacle="links are to be explained")
    model = FindMatches(primary_key="id", blocking_plan="pieces").fit(df)
    with pytest.raises(InputError, match="links are to be explained"):
        model.find_matches(df, explained_links=1)


def test_a_cluster_needs_a_folder_that_all_reach(monkeypatch: pytest.MonkeyPatch, df: DataFrame) -> None:
    monkeypatch.setattr(plan_choice, "find_shared_folder", lambda _: None)
    have_memory_for(monkeypatch, 40)
    assert choose_cut(df, COLUMNS, BlockingPlan.AUTO, folder=None, obstacle=None) is None
    with pytest.raises(InputError, match="no folder is told that driver and executors reach"):
        choose_cut(df, COLUMNS, BlockingPlan.PIECES, folder=None, obstacle=None)
    cut = choose_cut(df, COLUMNS, BlockingPlan.AUTO, folder="s3://bucket/work", obstacle=None)
    assert cut is not None
    assert cut.folder.startswith("s3://bucket/work/pieces-")


def test_memory_is_the_machines_or_an_executors(monkeypatch: pytest.MonkeyPatch, spark: SparkSession) -> None:
    assert find_memory(spark) > 2**30
    monkeypatch.setattr(plan_choice, "find_shared_folder", lambda _: None)
    told = {"spark.executor.memory": "4g", "spark.executor.memoryOverhead": "512"}
    monkeypatch.setattr(type(spark.conf), "get", lambda _, name, default=None: told.get(name, default))
    assert find_memory(spark) == 4 * 2**30 + 512 * 2**20
    del told["spark.executor.memoryOverhead"]
    assert find_memory(spark) == 4 * 2**30 + 4 * 2**30 // 10


def test_a_container_may_have_less_than_the_machine(
    monkeypatch: pytest.MonkeyPatch, spark: SparkSession, tmp_path: Path
) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(plan_choice, "_LIMITS", (limit, tmp_path / "none"))
    whole = find_memory(spark)
    limit.write_text(f"{2**30}\n")
    assert find_memory(spark) == 2**30
    limit.write_text("max\n")
    assert find_memory(spark) == whole


def test_what_cannot_be_read_is_an_error() -> None:
    with pytest.raises(InputError, match="'much' tells no amount of memory"):
        parse_memory("much", unit=1)
    with pytest.raises(InputError, match="blocking_plan is 'fast'; use one of auto, shipped, pieces"):
        parse_plan("fast")


def test_the_extent_counts_what_is_read(spark: SparkSession) -> None:
    df = spark.createDataFrame(
        [("1", "ab", 12), ("2", None, 345), ("3", "x" * 5_000, None)], "id string, a string, n int"
    )
    assert Extent.measure(df, ("a", "n", "not there")) == Extent(3, 2 + 2 + 3 + 4_000)
    assert Extent.measure(df.limit(0), ("a",)) == Extent(0, 0)
