"""Pairs that cannot reach the threshold leave early: what is left is what looking twice at all pairs would leave."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyspark.sql import SparkSession

from glue_ml.domain.labels import LabeledRow
from glue_ml.matching import cluster_tasks
from glue_ml.matching.blocking import build_index, choose_budget
from glue_ml.matching.cluster_tasks import AskingScorer, PlainScorer
from glue_ml.matching.clustering import ClusterOptions
from glue_ml.matching.model import MatchModel, Settings
from glue_ml.matching.pipeline import Blocked, Candidates, DriverCandidates, Question, SparkCandidates
from glue_ml.matching.records import prepare_records
from glue_ml.matching.scoring import count_candidate_patterns, look_again, look_first, score_edges
from glue_ml.matching.training import learn
from glue_ml.matching.unsupervised import fit_unsupervised
from glue_ml.synthetic import make_people
from glue_ml.synthetic.people import ENTITY_ID, KEY

Case = tuple[Blocked, MatchModel]


@pytest.fixture(scope="module")
def case() -> Case:
    people = make_people(1_500, seed=4)
    records = prepare_records(people.drop_columns([ENTITY_ID]))
    blocked = Blocked(records, build_index(records, choose_budget(None)))
    candidates = DriverCandidates(blocked)
    unsupervised = fit_unsupervised(records, count_candidate_patterns(candidates), seed=0)
    model = MatchModel(Settings(primary_key=KEY), records.profiles, unsupervised)
    pool = look_up_neighbours(candidates)
    entity = dict(zip(people.column(KEY).to_pylist(), people.column(ENTITY_ID).to_pylist(), strict=True))
    keys = records.keys.to_pylist()
    labels = [
        LabeledRow(f"s{number}", str(entity[keys[row]]), keys[row]) for number, pair in enumerate(pool) for row in pair
    ]
    learned = learn(model, candidates, labels, source=None)
    return blocked, model.with_learned(replace(learned, prefers_context=True))


def look_up_neighbours(candidates: DriverCandidates) -> list[list[int]]:
    """Some candidate pairs, likely and unlikely ones."""
    batch = candidates.batches[0]
    order = np.argsort(-batch.context[:, 0], kind="stable")
    chosen = np.concatenate([order[:600:4], np.random.default_rng(0).permutation(order)[:150]])
    return [[int(batch.lo[i]), int(batch.hi[i])] for i in chosen]


@pytest.fixture(params=["driver", "spark"])
def candidates(request: pytest.FixtureRequest, spark: SparkSession, case: Case) -> Candidates:
    return DriverCandidates(case[0]) if request.param == "driver" else SparkCandidates.ship(spark, case[0])


def test_edges_are_those_of_looking_twice_at_every_pair(candidates: Candidates, case: Case) -> None:
    _, model = case
    floor = ClusterOptions().island_probability(model.threshold)
    everything, count = look_first(candidates, model)
    seen = look_again(candidates, model, everything)
    expected = seen.filter(pc.greater_equal(seen.column("probability"), floor))
    edges, counted = score_edges(candidates, model)
    assert len(expected) > 100
    assert counted == count
    assert edges.equals(expected)


@pytest.mark.parametrize("floor", [0.01, 0.3, 0.5, 0.9])
def test_no_pair_that_reaches_the_floor_leaves(case: Case, floor: float) -> None:
    blocked, model = case
    candidates = DriverCandidates(blocked)
    everything, _ = look_first(candidates, model)
    hopeful, _ = look_first(candidates, model, floor=floor)
    seen = look_again(candidates, model, everything)
    reaching = seen.filter(pc.greater_equal(seen.column("probability"), floor)).select(["lo", "hi"])
    assert pc.all(pc.is_in(row_names(reaching), value_set=row_names(hopeful))).as_py()
    assert hopeful.equals(everything.filter(pc.is_in(row_names(everything), value_set=row_names(hopeful))))


def test_few_pairs_are_looked_at_again(case: Case) -> None:
    blocked, model = case
    candidates = DriverCandidates(blocked)
    everything, _ = look_first(candidates, model)
    hopeful, _ = look_first(candidates, model, floor=ClusterOptions().island_probability(model.threshold))
    assert 0 < len(hopeful) < 0.7 * len(everything)


def row_names(pairs: pa.Table) -> pa.Array:
    return pa.array(pairs.column("lo").to_numpy() * 10**6 + pairs.column("hi").to_numpy())


def test_pairs_that_nobody_proposed_are_scored_in_tasks_as_they_are_here(
    candidates: Candidates, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_tasks, "SCORED_PAIRS", 50)
    asked: list[int] = []
    ask_again = type(candidates).ask_again

    def count(self: Candidates, question: Question, pairs: pa.Table) -> pa.Table:
        asked.append(len(pairs))
        return ask_again(self, question, pairs)

    monkeypatch.setattr(type(candidates), "ask_again", count)
    drawn = np.unique(np.sort(np.random.default_rng(3).integers(0, 1_500, (400, 2)), axis=1), axis=0)
    drawn = np.random.default_rng(4).permutation(drawn[drawn[:, 0] < drawn[:, 1]])
    here = PlainScorer(case[1], candidates.table)
    lo, hi = drawn.T
    np.testing.assert_array_equal(AskingScorer(candidates, here)(lo, hi), here(lo, hi))
    assert len(AskingScorer(candidates, here)(lo[:50], hi[:50])) == 50
    assert asked == [len(drawn)]
