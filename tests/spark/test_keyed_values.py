"""Match ids come back to the rows they belong to, wherever these are and whatever their keys."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from glue_ml.matching import keyed_values
from glue_ml.matching.keyed_values import KeyedValues, attach_values, hash_keys
from glue_ml.matching.table import attach_groups, collect_arrow

ODD = ["", " ", "a", "A", "é", "e\u0301", "10", "1e1", "`key`", "x" * 5000, "\U0001f600", "a\tb"]


def make_values(count: int) -> pa.Table:
    return pa.table({"match_id": np.arange(count) * 7 % 11, "match_confidence_score": np.arange(count) / count})


@pytest.mark.parametrize("partitions", [1, 5])
def test_every_row_gets_its_own_values_as_by_a_join(spark: SparkSession, partitions: int) -> None:
    keys = pa.array(sorted(ODD), pa.string())
    values = make_values(len(keys))
    df = spark.createDataFrame([(key, f"row {key}") for key in ODD], "`the key` string, text string")
    df = df.repartition(partitions)
    attached = attach_values(df, keys, values, primary_key="the key")
    joined = attach_groups(df, values.add_column(0, "key", keys), primary_key="the key")
    assert attached.columns == joined.columns == ["the key", "text", "match_id", "match_confidence_score"]
    assert sorted(map(tuple, attached.collect())) == sorted(map(tuple, joined.collect()))


def test_keys_that_are_no_text_are_looked_up_as_text(spark: SparkSession) -> None:
    df = spark.range(0, 2000, 1, 4).select(F.col("id").cast("decimal(10,2)").alias("id"))
    keys = [f"{number}.00" for number in range(2000)]
    attached = attach_values(df, pa.array(keys), pa.table({"match_id": np.arange(2000)}), primary_key="id")
    assert attached.where("cast(id as long) = match_id").count() == 2000


def test_a_key_that_was_not_there_gets_nothing(spark: SparkSession) -> None:
    df = spark.createDataFrame([("known",), ("new",)], "key string")
    attached = attach_values(df, pa.array(["known"]), make_values(1), primary_key="key")
    assert {row.key: (row.match_id, row.match_confidence_score) for row in attached.collect()} == {
        "known": (0, 0.0), "new": (None, None),
    }  # fmt: skip


def test_a_table_without_rows_stays_one(spark: SparkSession) -> None:
    df = spark.createDataFrame([], "key string")
    attached = attach_values(df, pa.array([], pa.string()), make_values(0), primary_key="key")
    assert (attached.columns, attached.count()) == (["key", "match_id", "match_confidence_score"], 0)


def test_rows_stay_in_their_partitions_and_their_order(spark: SparkSession) -> None:
    df = spark.range(0, 100, 1, 3).select(F.col("id").cast("string").alias("key"))
    attached = attach_values(df, pa.array(map(str, range(100))), pa.table({"n": np.arange(100)}), primary_key="key")
    rows = collect_arrow(attached.withColumn("place", F.spark_partition_id()))
    assert rows.column("n").to_pylist() == list(range(100))
    assert rows.column("place").to_pylist() == [0] * 33 + [1] * 33 + [2] * 34


def test_where_two_hashes_meet_another_salt_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        keyed_values, "hash_keys", lambda keys, salt: hash_keys(keys, salt) % np.uint64(5 if salt < 3 else 2**64 - 1)
    )
    keys = pa.array(map(str, range(50)))
    found = KeyedValues.of(keys, pa.table({"n": np.arange(50)}))
    place, known = found.find(np.array([*map(str, range(50)), "new"], dtype=object))
    assert found.salt == 3
    assert known.tolist() == [True] * 50 + [False]
    assert found.columns[0][place[:50]].tolist() == list(range(50))
