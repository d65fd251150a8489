"""New rows beside matched ones: whose ids they take, with a model that finds what the test says."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from glue_ml.errors import InputError
from glue_ml.matching import FindMatchesModel, MatchResult
from glue_ml.matching.enforced import merge_groups, read_enforced
from glue_ml.matching.enforced_labels import EnforcedLabels
from glue_ml.matching.incremental import count_groups, match_increment, prepare_increment
from glue_ml.tasks.find_matches import check_apart


class FixedModel(FindMatchesModel):
    """A model that finds the groups it was told, a confidence for each."""

    def __init__(self, groups: Mapping[str, int], confidence: Mapping[int, float] | None = None) -> None:
        self.groups, self.confidence = groups, confidence or {}

    def find_matches(self, df: DataFrame, *, scores: bool = False, explained_links: int | None = None) -> MatchResult:
        rows = [(key, group, self.confidence.get(group, 1.0)) for key, group in self.groups.items()]
        table = pd.DataFrame(rows, columns=["id", "match_id", "match_confidence_score"])
        found = df.sparkSession.createDataFrame(table)
        matches = df.join(found if scores else found.drop("match_confidence_score"), on="id", how="left")
        return MatchResult(matches, {"rows": len(rows), "candidate_pairs": 0, "labeled_rows": 0}, {}, {})


def give(ids: Mapping[int, str]) -> dict[str, int]:
    """Each letter's id."""
    return {key: match_id for match_id, keys in ids.items() for key in keys}


def frame(spark: SparkSession, ids: Mapping[str, int | None], kind: str = "long") -> DataFrame:
    rows = [(key, key.upper(), None if value is None else str(value)) for key, value in ids.items()]
    table = pd.DataFrame(rows, columns=["id", "name", "match_id"], dtype=object)
    df = spark.createDataFrame(table, "id string, name string, match_id string")
    return df.withColumn("match_id", F.col("match_id").cast(kind))


def new_frame(spark: SparkSession, keys: Iterable[str]) -> DataFrame:
    return frame(spark, dict.fromkeys(keys)).drop("match_id")


def match(
    existing: DataFrame, new: DataFrame, groups: Mapping[str, int], *, enforced: DataFrame | None = None
) -> dict[str, Any]:
    increment = prepare_increment(existing, new, primary_key="id")
    sets = None if enforced is None else read_enforced(enforced, primary_key="id")
    matches = match_increment(increment, FixedModel(groups), enforced=sets).matches
    assert matches.columns == ["id", "name", "match_id"]
    rows = matches.collect()
    assert len(rows) == len({row["id"] for row in rows})
    return {row["id"]: row["match_id"] for row in rows}


def test_new_rows_take_the_id_of_most_rows_found_with_them_and_existing_ids_stay(spark: SparkSession) -> None:
    existing = give({50: "ab", 7: "cd", 3: "e", 90: "fg", -4: "h"})
    two_against_one, as_many_of_each, one_group_found_apart, new_ones_only = (
        "abcu",
        "dev",
        ("f", "gwx"),
        ("h", "yz", "t"),
    )
    found = give(dict(enumerate([two_against_one, as_many_of_each, *one_group_found_apart, *new_ones_only])))
    ids = match(frame(spark, existing), new_frame(spark, "tuvwxyz"), found)
    assert ids == {**existing, **give({50: "u", 3: "v", 90: "wx", 96: "yz", 97: "t"})}


def test_any_increment_keeps_all_ids_and_rows_whatever_the_partitions(spark: SparkSession) -> None:
    rng = random.Random(4)
    keys = [f"k{i:03}" for i in range(300)]
    found = {key: rng.randrange(150) for key in keys}
    ids = {key: rng.randrange(10**11) if rng.random() < 0.5 else found[key] for key in keys[:180]}
    new = new_frame(spark, keys[180:])
    once = match(frame(spark, ids), new, found)
    again = match(frame(spark, ids).orderBy(F.desc("id")).repartition(7), new.repartition(3, "name"), found)
    assert once == again
    assert once.keys() == set(keys)
    assert {key: once[key] for key in ids} == ids
    greatest = max(ids.values())
    for key in keys[180:]:
        together = [ids[other] for other in ids if found[other] == found[key]]
        assert once[key] in together if together else once[key] == greatest + 1 + found[key]


def test_no_new_rows_change_nothing_and_no_existing_ones_make_ids_from_zero(spark: SparkSession) -> None:
    existing = frame(spark, {"a": 5, "b": 6})
    assert match(existing, new_frame(spark, "x").limit(0), {"a": 0, "b": 0}) == {"a": 5, "b": 6}
    assert match(existing.limit(0), new_frame(spark, "xyz"), {"x": 0, "y": 1, "z": 0}) == {"x": 0, "y": 1, "z": 0}


def test_ids_may_be_text_and_columns_may_differ(spark: SparkSession) -> None:
    existing = frame(spark, {"a": 5}, "string").withColumns({"age": F.lit(30), "match_confidence_score": F.lit("0.9")})
    new = new_frame(spark, "x").withColumns({"NAME": F.lit(True), "city": F.lit("Ulm")})
    increment = prepare_increment(existing, new, primary_key="id")
    matches = match_increment(increment, FixedModel({"a": 0, "x": 0}), scores=True).matches
    assert matches.columns == ["id", "NAME", "age", "city", "match_id", "match_confidence_score"]
    assert [tuple(row) for row in matches.orderBy("id").collect()] == [
        ("a", "A", 30, None, 5, 1.0),
        ("x", "true", None, "Ulm", 5, 1.0),
    ]


def test_a_group_has_the_least_confidence_that_its_rows_were_found_with(spark: SparkSession) -> None:
    increment = prepare_increment(frame(spark, {"a": 5, "b": 5, "c": 6}), new_frame(spark, "x"), primary_key="id")
    model = FixedModel({"a": 0, "b": 1, "x": 1, "c": 2}, {0: 0.9, 1: 0.6, 2: 1.0})
    matches = match_increment(increment, model, scores=True).matches
    scores = {row["id"]: row["match_confidence_score"] for row in matches.collect()}
    assert scores == {"a": 0.6, "b": 0.6, "x": 0.6, "c": 1.0}
    assert count_groups(matches) == {"groups": 2, "merged_groups": 1, "merged_rows": 3, "largest_group": 3}


def test_an_enforced_match_of_an_existing_row_wins_over_likeness(spark: SparkSession) -> None:
    existing, found = give({5: "a", 9: "bc"}), give({0: "a", 1: "bcx", 2: "yz"})
    pairs = spark.createDataFrame([("a", "x"), ("y", "c"), ("a", "b"), ("z", "nobody")], "one string, other string")
    ids = match(frame(spark, existing), new_frame(spark, "xyz"), found, enforced=pairs)
    # a and b keep their ids although they are enforced to match; z follows y, with which it was found
    assert ids == {**existing, **give({5: "x", 9: "yz"})}


def test_labels_of_new_rows_hold_whatever_was_found(spark: SparkSession) -> None:
    existing, found = give({5: "a", 9: "bcd"}), give({0: "axy", 1: "bcdwvz"})
    labels = EnforcedLabels(
        together=(("a", "w"), ("v", "z"), ("b", "a")),
        apart=(("c", "v"), ("x", "y"), ("c", "d"), ("d", "nobody"), ("a", "x")),
    )
    increment = prepare_increment(frame(spark, existing), new_frame(spark, "vwxyz"), primary_key="id")
    matches = match_increment(increment, FixedModel(found), labels=labels).matches
    ids = {row["id"]: row["match_id"] for row in matches.collect()}
    # b keeps its id although it is labelled a match of a; so do c and d; z goes where v goes
    assert {key: ids[key] for key in "abcd"} == existing
    assert ids["w"] == 5
    assert ids["v"] == ids["z"] != 9
    assert len({ids["a"], ids["x"], ids["v"], 9}) == 4
    assert ids["y"] == 5


@pytest.mark.parametrize(
    ("rows", "schema"),
    [
        ([("b", 1), ("c", 1), ("d", 2), ("c", 2), ("e", None)], "ID string, match_id long"),
        ([("b", "c"), ("d", "c"), ("e", None)], "one string, other string"),
    ],
)
def test_enforced_matches_join_groups_under_the_smallest_id(
    spark: SparkSession, rows: list[tuple[Any, ...]], schema: str
) -> None:
    matches = frame(spark, {"a": 4, "b": 4, "c": 2, "d": 8, "e": 9}).withColumn(
        "match_confidence_score", F.when(F.col("id") == "c", 0.7).otherwise(0.8)
    )
    sets = read_enforced(spark.createDataFrame(rows, schema), primary_key="id")
    merged = merge_groups(matches, sets, primary_key="id")
    assert merged.columns == matches.columns
    assert {row["id"]: (row["match_id"], row["match_confidence_score"]) for row in merged.collect()} == {
        **dict.fromkeys("abcd", (2, 0.7)),
        "e": (9, 0.8),
    }


def test_enforced_matches_of_another_shape_are_refused(spark: SparkSession) -> None:
    with pytest.raises(InputError, match=r"either 'id' and 'match_id'.*or exactly two columns"):
        read_enforced(spark.range(1).selectExpr("id", "id as a", "id as b"), primary_key="id")


def test_what_cannot_be_an_increment_is_refused(spark: SparkSession) -> None:
    existing, new = frame(spark, {"a": 1, "b": 2}), new_frame(spark, "xy")
    refused = {
        "existing rows have no column 'match_id'.*earlier run": (existing.drop("match_id"), new),
        "new rows cannot be used: .*'match_id'.*drop or rename": (existing, new.withColumn("match_id", F.lit(1))),
        "existing rows cannot be used: .*no column 'id'": (existing.withColumnRenamed("id", "key"), new),
        "in 1 of the existing rows.*key 'b'": (frame(spark, {"a": 1, "b": None}), new),
        "no whole number in 2 of": (existing.withColumn("match_id", F.lit("1.5")), new),
        "no whole number in 1 of": (frame(spark, {"a": 2**63 - 1, "b": 2**63}, "string"), new),
        "type double; match ids are whole numbers": (frame(spark, {"a": 1}, "double"), new),
        "values of 'id'.*: 'a', 'b'; take them out": (existing, new_frame(spark, "xab")),
    }
    for said, (old, added) in refused.items():
        with pytest.raises(InputError, match=said):
            prepare_increment(old, added, primary_key="id")


def test_ids_end_where_longs_do(spark: SparkSession) -> None:
    increment = prepare_increment(frame(spark, {"a": 2**63 - 2}), new_frame(spark, "x"), primary_key="id")
    with pytest.raises(InputError, match="greatest existing match_id is 9223372036854775806"):
        match_increment(increment, FixedModel({"a": 0, "x": 1}))


@pytest.mark.parametrize(
    ("output", "existing"),
    [
        ("/data/matches", "file:///data/matches/"),
        ("file:/data/matches", "/data/../data/matches/part"),
        ("s3://bucket/m", "s3a://bucket//m/"),
        ("s3://bucket/m/new", "s3://bucket/m"),
    ],
)
def test_the_output_may_not_touch_the_existing_matches(output: str, existing: str) -> None:
    with pytest.raises(InputError, match="name another folder"):
        check_apart(output, existing)


def test_an_output_beside_the_existing_matches_is_fine() -> None:
    check_apart("/data/matches-2", "/data/matches")
    check_apart("s3://bucket/m2", "s3://bucket/m")
