"""What the benchmarks measure without Spark is what a user's Spark gives."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from tests.benchmarks.public_data import PublicSet
from tests.benchmarks.sparkless import Frame, collect_rows, list_candidate_rows, without_spark
from tests.benchmarks.teaching import Course
from tests.people import make_people


@pytest.fixture(scope="module")
def people() -> PublicSet:
    rows, truth = make_people(150, seed=3)
    ordered = sorted(rows, key=lambda row: str(row["id"]))
    attributes = {name: [row[name] for row in ordered] for name in ordered[0] if name != "id"}
    keys = [row["id"] for row in ordered]
    source = ["left" if place % 2 else "right" for place in range(len(ordered))]
    table = pa.table({"rec_id": keys, "source": source, **attributes})
    return PublicSet("people", table, {key: str(entity) for key, entity in truth.items()}, False)


def teach(people: PublicSet, df: Any) -> tuple[Course, list[tuple[dict[str, float], int]]]:
    course = Course(people, df, seed=5, noise=0.05)
    return course, [course.match() for _ in course.advance([0, 60, 120])]


def test_labels_matches_and_candidates_are_the_same_without_spark(spark: SparkSession, people: PublicSet) -> None:
    df = spark.createDataFrame(people.table.to_pandas()).repartition(3).cache()
    with_spark, scores = teach(people, df)
    pairs = [rows.tolist() for rows in list_candidate_rows(with_spark.model, df)]
    with without_spark():
        alone, found = teach(people, Frame(people.table))
        assert [rows.tolist() for rows in list_candidate_rows(alone.model, alone.df)] == pairs
        matches = alone.model.find_matches(alone.df, scores=True).matches
        groups = collect_rows(matches, ["rec_id", "match_id", "match_confidence_score"])
    assert alone.labels == with_spark.labels
    assert found == scores
    expected = collect_rows(with_spark.model.transform(df, scores=True), list(groups[0]))
    assert sorted(groups, key=str) == sorted(expected, key=str)


def test_the_engine_takes_spark_again_afterwards(spark: SparkSession, people: PublicSet) -> None:
    with without_spark():
        Course(people, Frame(people.table))
    df = spark.createDataFrame(people.table.to_pandas())
    assert not Course(people, df).model.supervised_
