"""Explanations of pairs and of the links that hold groups together, on real Spark."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from glue_ml.domain.labels import LabeledRow
from glue_ml.errors import InputError, NotReadyError
from glue_ml.matching import Explanation, FindMatches, FindMatchesModel
from glue_ml.matching import explained_links as links_module
from glue_ml.matching.evaluation_report import gather_report, write_report
from tests.people import Person, make_people

SCHEMA = "id string, name string, street string, born string, phone string"

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def people() -> tuple[list[Person], dict[str, int]]:
    return make_people(200, seed=3)


@pytest.fixture(scope="module")
def df(spark: SparkSession, people: tuple[list[Person], dict[str, int]]) -> DataFrame:
    return spark.createDataFrame([tuple(row.values()) for row in people[0]], SCHEMA).cache()


@pytest.fixture(scope="module")
def unsupervised(df: DataFrame) -> FindMatchesModel:
    return FindMatches(primary_key="id").fit(df)


@pytest.fixture(scope="module")
def supervised(
    df: DataFrame, people: tuple[list[Person], dict[str, int]], unsupervised: FindMatchesModel
) -> FindMatchesModel:
    sets = unsupervised.labeling_sets(df, rows=80).collect()
    labels = [LabeledRow(row["labeling_set_id"], str(people[1][row["id"]]), row["id"]) for row in sets]
    return FindMatches(primary_key="id").fit(df, labels)


@pytest.fixture(params=["unsupervised", "supervised"])
def model(request: pytest.FixtureRequest) -> FindMatchesModel:
    found: FindMatchesModel = request.getfixturevalue(request.param)
    return found


def find_pairs(truth: dict[str, int]) -> list[tuple[str, str]]:
    groups = defaultdict(list)
    for key in sorted(truth):
        groups[truth[key]].append(key)
    return [(members[0], members[1]) for members in groups.values() if len(members) > 1]


def check_sums(told: Explanation) -> None:
    added = sum(share.contribution for share in told.features)
    assert told.base_log_odds + added == pytest.approx(told.log_odds, abs=1e-6)
    assert sum(share for _, share in told.columns) == pytest.approx(added, abs=1e-6)
    assert told.probability == pytest.approx(1 / (1 + np.exp(-told.log_odds)), abs=1e-6)


def test_a_match_is_told_with_its_reasons(
    df: DataFrame, people: tuple[list[Person], dict[str, int]], model: FindMatchesModel
) -> None:
    a, b = find_pairs(people[1])[0]
    told = model.explain(df, a, b)
    check_sums(told)
    assert (told.a, told.b) == (a, b)
    assert told.is_match is (told.probability >= told.threshold) is True
    assert told.blocking.proposed_by
    assert told.blocking.rank_of_b_for_a == 1
    view = told.blocking.views[0]
    assert view.shared[0][1] >= view.shared[-1][1] > 0
    assert sum(share for _, share in view.shared) <= view.cosine + 1e-6
    by_id = {row["id"]: row for row in people[0]}
    assert told.values == tuple((name, by_id[a][name], by_id[b][name]) for name in df.columns)


def test_the_probability_is_that_of_a_run(
    df: DataFrame, people: tuple[list[Person], dict[str, int]], model: FindMatchesModel
) -> None:
    found = model.find_matches(df, explained_links=100)
    assert found.explanations is not None
    for row in found.explanations.collect()[:3]:
        told = model.explain(df, row["key_a"], row["key_b"])
        assert told.probability == pytest.approx(row["probability"], abs=1e-6)
        assert told.blocking.rank_of_b_for_a == row["rank_of_b_for_a"]
        assert ",".join(told.blocking.proposed_by) == row["blocking_views"]
        top = max(told.features, key=lambda share: abs(share.contribution))
        assert json.loads(row["contributions"])[0]["feature"] == str(top)


def test_the_two_sides_may_be_exchanged(
    df: DataFrame, people: tuple[list[Person], dict[str, int]], model: FindMatchesModel
) -> None:
    a, b = find_pairs(people[1])[1]
    one, other = model.explain(df, a, b), model.explain(df, b, a)
    assert one.probability == pytest.approx(other.probability)
    assert one.blocking.rank_of_b_for_a == other.blocking.rank_of_a_for_b


def test_records_with_nothing_in_common_were_not_proposed(spark: SparkSession, df: DataFrame, people: Any) -> None:
    from glue_ml.matching.blocking import build_index, choose_budget
    from glue_ml.matching.explanation import explain_pairs
    from glue_ml.matching.records import prepare_records
    from glue_ml.matching.table import read_rows

    model = FindMatches(primary_key="id").fit(df)
    columns = [profile.name for profile in model.profiles_]
    records = prepare_records(read_rows(df, primary_key="id", columns=columns), model.profiles_)
    index = build_index(records, choose_budget(0.0))
    told = explain_pairs(model.model_, records, index, np.zeros(len(records) - 1, int), np.arange(1, len(records)))
    apart = [each for each in told if not each.blocking.proposed_by]
    assert apart
    assert "not proposed by blocking" in str(apart[0])
    assert (apart[0].blocking.rank_of_b_for_a, apart[0].blocking.rank_of_a_for_b) == (None, None)
    for each in told[::40]:
        check_sums(each)


def test_an_explanation_is_text_and_json(df: DataFrame, people: Any, model: FindMatchesModel) -> None:
    a, b = find_pairs(people[1])[0]
    told = model.explain(df, a, b)
    text = str(told)
    assert text.startswith(f"{a!r} and {b!r}: a match, probability ")
    for part in ("log-odds", "by column: ", "blocking: ", "values:", "street: "):
        assert part in text
    members = json.loads(json.dumps(told.to_dict()))
    assert members["probability"] == told.probability
    assert members["blocking"]["proposed_by"] == list(told.blocking.proposed_by)
    assert {share["column"] for share in members["columns"]} >= {"name", "street"}


@pytest.mark.parametrize("keys", [("nobody", 0), (0, "nobody")])
def test_an_unknown_key_is_named(
    df: DataFrame, people: Any, unsupervised: FindMatchesModel, keys: Sequence[Any]
) -> None:
    known = people[0][0]["id"]
    a, b = (known if key == 0 else key for key in keys)
    with pytest.raises(InputError, match="no row whose 'id' is 'nobody'"):
        unsupervised.explain(df, a, b)


def test_every_group_is_told_by_its_links(df: DataFrame, supervised: FindMatchesModel) -> None:
    found = supervised.find_matches(df, explained_links=100)
    assert found.explanations is not None
    groups = {row["id"]: row["match_id"] for row in found.matches.collect()}
    rows = found.explanations.collect()
    assert found.counts["explained_links"] == len(rows) > 0
    assert found.counts["links_left_out"] == 0
    for row in rows:
        assert groups[row["key_a"]] == groups[row["key_b"]] == row["match_id"]
    assert {row["match_id"] for row in rows} == {g for g in groups.values() if list(groups.values()).count(g) > 1}
    assert all(row["is_bridge"] for row in rows if row["links_in_group"] == 1)
    assert {row["blocking_views"] for row in rows} <= {"keys", "grams", "keys,grams"}


def test_few_links_of_a_group_may_be_asked_for(df: DataFrame, supervised: FindMatchesModel) -> None:
    found = supervised.find_matches(df, explained_links=1)
    assert found.explanations is not None
    rows = found.explanations.collect()
    assert len({row["match_id"] for row in rows}) == len(rows)
    assert found.counts["links_left_out"] > 0


def test_workers_tell_what_the_driver_tells(
    df: DataFrame, supervised: FindMatchesModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = supervised.find_matches(df, explained_links=100).explanations
    monkeypatch.setattr(links_module, "DRIVER_LINKS", 0)
    there = supervised.find_matches(df, explained_links=100).explanations
    assert here is not None
    assert there is not None
    assert here.schema == there.schema
    assert sorted(here.collect()) == sorted(there.collect())


def test_without_being_asked_nothing_is_explained(df: DataFrame, unsupervised: FindMatchesModel) -> None:
    assert unsupervised.find_matches(df).explanations is None


def test_a_loaded_model_explains_and_reports_as_the_saved_one(
    df: DataFrame, people: Any, supervised: FindMatchesModel, tmp_path: Path
) -> None:
    uri = str(tmp_path / "model")
    supervised.save(uri)
    loaded = FindMatchesModel.load(uri)
    a, b = find_pairs(people[1])[0]
    assert loaded.explain(df, a, b) == supervised.explain(df, a, b)
    one, other = (gather_report(model, df, title="t", now=NOW) for model in (supervised, loaded))
    assert one.hardest == other.hardest
    assert one.values == other.values
    assert one.values.keys() == {key for pair in one.hardest for key in (pair.left, pair.right)}
    assert all(row.keys() == {"name", "street", "born", "phone"} for row in one.values.values())
    assert len(one.held_out) == one.evaluation.labeled_pairs


def test_a_model_that_was_saved_without_its_held_out_pairs_says_why_it_has_no_report(
    df: DataFrame, supervised: FindMatchesModel, tmp_path: Path
) -> None:
    uri = tmp_path / "model"
    supervised.save(str(uri))
    (uri / "held_out.parquet").unlink()
    remark = write_report(FindMatchesModel.load(str(uri)), df, str(tmp_path / "r.html"), title="t", now=NOW)
    assert remark is not None
    assert "saved by an older version; train it again" in remark
    assert not (tmp_path / "r.html").exists()


def test_a_model_without_labels_has_no_report(df: DataFrame, unsupervised: FindMatchesModel, tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="without labels"):
        write_report(unsupervised, df, str(tmp_path / "r.html"), title="t", now=NOW)
