"""Explanations of runs that go on from a state: of the groups that were touched, as a full run would tell them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from glue_ml.domain.labels import LabeledRow
from glue_ml.errors import InputError
from glue_ml.matching import FindMatches, FindMatchesModel
from glue_ml.matching.explained_changes import explain_touched
from glue_ml.matching.incremental import prepare_increment
from glue_ml.matching.kept_matches import KeptMatches, attach_matches, match_first, match_next
from tests.people import Person, make_people

PEOPLE, TRUTH = make_people(150, seed=4)
BEFORE, NEW = PEOPLE[:-12], PEOPLE[-12:]


def to_df(spark: SparkSession, rows: Sequence[Person]) -> DataFrame:
    names = list(PEOPLE[0])
    return spark.createDataFrame([tuple(r.values()) for r in rows], ", ".join(f"{name} string" for name in names))


@pytest.fixture(scope="module", params=["without labels", "with labels"])
def model(spark: SparkSession, request: pytest.FixtureRequest) -> FindMatchesModel:
    df, find = to_df(spark, BEFORE), FindMatches(primary_key="id")
    plain = find.fit(df)
    if request.param == "without labels":
        return plain
    sets = plain.labeling_sets(df, rows=120).collect()
    return find.fit(df, [LabeledRow(row["labeling_set_id"], str(TRUTH[row["id"]]), row["id"]) for row in sets])


def match_both(spark: SparkSession, model: FindMatchesModel) -> tuple[KeptMatches, KeptMatches]:
    df = to_df(spark, BEFORE)
    first = match_first(df, model)
    existing = attach_matches(df, first, primary_key="id", scores=False)
    return first, match_next(prepare_increment(existing, to_df(spark, NEW), primary_key="id"), model, first.state)


def tell(rows: Sequence[Row]) -> dict[tuple[str, str], tuple[float, bool, int, str]]:
    return {
        tuple(sorted((r.key_a, r.key_b))): (r.probability, r.is_bridge, r.links_in_group, r.contributions) for r in rows
    }


def test_a_first_run_explains_what_a_plain_one_does(spark: SparkSession, model: FindMatchesModel) -> None:
    first, _ = match_both(spark, model)
    told, links = explain_touched(spark, first, model)
    plain = model.find_matches(to_df(spark, BEFORE), explained_links=100)
    assert plain.explanations is not None
    assert tell(told.collect()) == tell(plain.explanations.collect())
    assert links.counts == {name: plain.counts[name] for name in links.counts}


def test_a_next_run_explains_the_groups_that_it_touched_and_no_other(
    spark: SparkSession, model: FindMatchesModel
) -> None:
    _, after = match_both(spark, model)
    keys = after.state.keys.to_pylist()
    group = dict(zip(keys, after.state.ids.tolist(), strict=True))
    touched = {key for key, flag in zip(keys, after.touched.tolist(), strict=True) if flag}
    rows = explain_touched(spark, after, model)[0].collect()
    assert rows
    assert all(group[row.key_a] == group[row.key_b] == row.match_id for row in rows)
    assert all({row.key_a, row.key_b} <= touched for row in rows)
    linked = {key for row in rows for key in (row.key_a, row.key_b)}
    sizes = [list(group.values()).count(group[key]) for key in sorted(touched)]
    assert linked == {key for key, size in zip(sorted(touched), sizes, strict=True) if size > 1}
    assert len(touched) < len(keys) / 2


def test_at_least_one_link_of_a_group_must_be_asked_for(spark: SparkSession, model: FindMatchesModel) -> None:
    first, _ = match_both(spark, model)
    with pytest.raises(InputError, match="at most 0 links"):
        explain_touched(spark, first, model, limit=0)
