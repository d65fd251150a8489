"""Without labels: a table that joins two sources is seen for what it is, and how a pair stands helps to decide."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from glue_ml.domain.labels import LabeledRow
from glue_ml.matching import FindMatches, FindMatchesModel, source_guess
from glue_ml.matching.agreement import code_standings
from glue_ml.matching.blocking import build_index, choose_budget
from glue_ml.matching.blocking_choice import MIN_SOURCE_MATCHES
from glue_ml.matching.candidate_lists import CONTEXT
from glue_ml.matching.labeling import take_turns
from glue_ml.matching.model import MatchModel, load_model, save_model
from glue_ml.matching.pipeline import DriverCandidates
from glue_ml.matching.records import prepare_records
from glue_ml.matching.scoring import score_pool
from glue_ml.matching.source_guess import guess_source
from glue_ml.matching.unsupervised import Unsupervised, leave_to_chance
from tests.benchmarks.public_data import KEY, PublicSet
from tests.benchmarks.sparkless import Frame, without_spark
from tests.benchmarks.teaching import match_table

BRANDS = ["acme", "borealis", "cantor", "delphi", "everest", "fabrik"]
KINDS = ["digital camera", "cordless telephone", "washing machine", "car stereo", "laser printer", "wireless headset"]
COLOURS = ["black", "white", "silver", "red"]
WORDS = ["compact", "with", "warranty", "new", "energy", "includes", "cable", "battery", "pack", "remote", "manual"]


def make_products(models: int) -> PublicSet:
    """Two shops that name the same products differently; each has up to two colours of a model."""
    rng = random.Random(1)
    rows, entities = [], []
    for model in range(models):
        brand, kind = rng.choice(BRANDS), rng.choice(KINDS)
        code = f"{rng.choice('ABCDE')}{rng.choice('XYZ')}{rng.randint(100, 999)}"
        for colour in rng.sample(COLOURS, rng.randint(1, 2)):
            words = " ".join(rng.sample(WORDS, 4))
            rows.append(["first", f"{brand} {kind} {code} {colour}", f"{colour} {kind} {words}", None])
            rows.append(
                ["second", f"{code} {brand} {colour}", " ".join(rng.sample(WORDS, 3)), str(rng.randint(20, 900))]
            )
            entities += [f"{model} {colour}"] * 2
    keys = [f"r{number:04}" for number in rng.sample(range(len(rows)), len(rows))]
    order = np.argsort(keys)
    names = [KEY, "source", "title", "description", "price"]
    table = pa.table([keys, *zip(*rows, strict=True)], names).take(pa.array(order))
    return PublicSet("products", table, dict(zip(keys, entities, strict=True)), cross=True)


@pytest.fixture(scope="module")
def products() -> PublicSet:
    return make_products(250)


def fit(data: PublicSet, labels: list[LabeledRow] | None = None) -> FindMatchesModel:
    with without_spark():
        df: Any = Frame(data.table)
        return FindMatches(primary_key=KEY, seed=0).fit(df, labels)


@pytest.fixture(scope="module")
def model(products: PublicSet) -> FindMatchesModel:
    return fit(products)


def score(data: PublicSet, model: MatchModel) -> dict[str, float]:
    fitted = FindMatchesModel(model)
    with without_spark():
        df: Any = Frame(data.table)
        return dict(match_table(fitted, data, df)[0])


def guess(table: pa.Table, *, seed: int = 0) -> str | None:
    records = prepare_records(table)
    return guess_source(records, build_index(records, choose_budget(None)), seed=seed)


@pytest.mark.parametrize("seed", range(5))
def test_the_column_that_names_two_sources_is_found(products: PublicSet, seed: int) -> None:
    assert guess(products.table, seed=seed) == "source"


@pytest.mark.parametrize("seed", range(5))
def test_a_column_that_says_nothing_is_no_source(products: PublicSet, seed: int) -> None:
    rng = np.random.default_rng(seed)
    halves = pa.array(rng.choice(["left", "right"], len(products)))
    assert guess(products.table.drop_columns("source").append_column("half", halves), seed=seed) is None


def test_a_column_in_which_matches_agree_is_no_source(products: PublicSet) -> None:
    kinds = ["even" if ord(products.entity[key][-1]) % 2 else "odd" for key in products.keys]
    assert guess(products.table.drop_columns("source").append_column("kind", pa.array(kinds))) is None


def test_some_rows_of_a_larger_table_show_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_guess, "SAMPLED_ROWS", 1_000)
    assert guess(make_products(600).table) == "source"


def test_a_few_rows_show_no_source(products: PublicSet) -> None:
    assert guess(products.table.slice(0, 20)) is None


def test_without_labels_the_same_products_of_two_shops_are_found(products: PublicSet, model: FindMatchesModel) -> None:
    decided = score(products, model.model_)
    by_columns = replace(model.model_.unsupervised, decider=None, source=None)
    assert model.model_.source_column == "source"
    assert decided["precision"] > 0.9
    assert decided["recall"] > 0.75
    assert decided["f1"] > score(products, replace(model.model_, unsupervised=by_columns))["f1"] + 0.1


def test_people_are_told_across_what_matches_were_looked_for(products: PublicSet, model: FindMatchesModel) -> None:
    with without_spark():
        df: Any = Frame(products.table)
        found = model.find_matches(df)
    assert found.plan["source_column"] == "source"
    assert "'source'" in model.remarks_[0]
    assert "without labels" in model.remarks_[0]
    anywhere = replace(model.model_, unsupervised=replace(model.model_.unsupervised, source=None))
    assert FindMatchesModel(anywhere).remarks_ == ()


def count_kinds(data: PublicSet, model: MatchModel) -> Counter[bool]:
    """Return how many of the first doubtful pairs lie across the sources."""
    anywhere = FindMatchesModel(replace(model, unsupervised=unguessed(model)))
    with without_spark():
        df: Any = Frame(data.table)
        pool = score_pool(DriverCandidates(anywhere.prepare(df)), model)
    sources = np.array(data.sources)
    order = take_turns(-pool.disagreement, pool.kind)[:80]
    return Counter((sources[pool.left[order]] != sources[pool.right[order]]).tolist())


def unguessed(model: MatchModel) -> Unsupervised:
    return replace(model.unsupervised, source=None)


def test_across_a_guessed_source_three_times_as_many_pairs_are_asked_about(
    products: PublicSet, model: FindMatchesModel
) -> None:
    assert model.model_.asked_source is None
    assert count_kinds(products, model.model_) == {True: 60, False: 20}
    assert count_kinds(products, replace(model.model_, unsupervised=unguessed(model.model_))) == {True: 40, False: 40}


def label(pairs: Sequence[tuple[str, str, bool]]) -> list[LabeledRow]:
    """Return a labelling set of two rows for each pair."""
    return [
        LabeledRow(f"s{place}", f"{place}" if is_match or end == 0 else f"{place} not", key)
        for place, (one, other, is_match) in enumerate(pairs)
        for end, key in enumerate((one, other))
    ]


def draw_pairs(data: PublicSet, *, across: bool, is_match: bool, count: int) -> list[tuple[str, str, bool]]:
    """Return pairs of rows within a source or across."""
    rng = random.Random(3)
    pairs: list[tuple[str, str, bool]] = []
    while len(pairs) < count:
        (one, first), (other, second) = rng.sample(list(zip(data.keys, data.sources, strict=True)), 2)
        if (first != second) == across and (not across or (data.entity[one] == data.entity[other]) == is_match):
            pairs.append((one, other, is_match))
    return pairs


def test_few_matches_leave_the_guess_and_one_within_a_source_overrules_it(products: PublicSet) -> None:
    others = draw_pairs(products, across=True, is_match=False, count=20)
    found = draw_pairs(products, across=True, is_match=True, count=MIN_SOURCE_MATCHES - 2)
    assert fit(products, label(others + found)).model_.source_column == "source"
    within = draw_pairs(products, across=False, is_match=True, count=1)
    assert fit(products, label(others + found + within)).model_.source_column is None


def test_labels_overrule_the_guess(products: PublicSet) -> None:
    rows = [
        LabeledRow(f"s{place // 10}", f"twins {place // 2}", key)
        for place, key in enumerate(k for k, s in zip(products.keys, products.sources, strict=True) if s == "first")
    ]
    assert fit(products, rows[:60]).model_.source_column is None


def test_a_saved_model_keeps_what_decides(model: FindMatchesModel, products: PublicSet, tmp_path: Path) -> None:
    save_model(model.model_, str(tmp_path))
    read = load_model(str(tmp_path))
    assert read.unsupervised.to_dict() == model.model_.unsupervised.to_dict()
    assert read.source_column == "source"
    assert score(products, read) == score(products, model.model_)


def test_a_model_that_was_saved_without_a_decider_decides_by_its_columns(model: FindMatchesModel) -> None:
    saved = model.model_.unsupervised.to_dict()
    del saved["decider"], saved["source"]
    old = replace(model.model_, unsupervised=Unsupervised.from_dict(saved))
    features = np.random.default_rng(0).random((50, len(old.features))).astype(np.float32)
    features[:, -1 - len(CONTEXT)] = old.unsupervised.log_odds(features, old.profiles)
    assert old.source_column is None
    np.testing.assert_allclose(old.probability(features), old.column_probability(features), atol=1e-6)


def test_the_best_candidate_of_both_records_is_likelier_to_match(model: FindMatchesModel) -> None:
    decider = model.model_.unsupervised.decider
    assert decider is not None
    weight = np.log(decider.m[-1]) - np.log(decider.u[-1])
    assert weight[0] < weight[1] < weight[2]


def test_of_one_column_the_standing_says_nothing_new(products: PublicSet) -> None:
    table = products.table.select([KEY, "title"])
    assert fit(replace(products, table=table)).model_.unsupervised.decider is None


def test_a_pair_stands_as_the_best_of_none_of_one_or_of_both_its_records() -> None:
    context = np.zeros((4, len(CONTEXT)), dtype=np.float32)
    for name, ranks in {"best_rank": [3, 1, 1, 0], "worst_rank": [5, 6, 1, 0], "lists": [2, 1, 2, 0]}.items():
        context[:, CONTEXT.index(name)] = ranks
    assert code_standings(context).tolist() == [0, 1, 2, -1]


def test_chance_takes_pairs_of_low_standing_first_and_leaves_the_best() -> None:
    standings = np.array([[10, 5, 3]] * 4)
    left = leave_to_chance(standings, np.array([0.0, 4.0, 12.0, 99.0]))
    assert left.tolist() == [[10, 5, 3], [6, 5, 3], [0, 3, 3], [0, 0, 3]]
