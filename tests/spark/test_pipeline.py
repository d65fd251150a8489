"""The steps on Spark against the same steps on the driver, where all rows are at hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from glue_ml.matching.agreement import code_patterns
from glue_ml.matching.blocking import CONTEXT, BlockingBudget, build_index, list_candidates, look_up_context
from glue_ml.matching.clustering import ClusterOptions
from glue_ml.matching.comparison import compare
from glue_ml.matching.model import MatchModel, Settings
from glue_ml.matching.pipeline import STEPS, Blocked, Shipped, choose_plan, propose_pairs
from glue_ml.matching.records import prepare_records
from glue_ml.matching.scoring import count_candidate_patterns, score_edges
from glue_ml.matching.table import collect_arrow
from glue_ml.matching.unsupervised import TAIL_RANK, fit_unsupervised
from tests.people import make_people


@pytest.fixture(scope="module")
def blocked() -> Blocked:
    rows, _ = make_people(300, seed=9)
    table = pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in rows[0]})
    records = prepare_records(table)
    return Blocked(records, build_index(records, BlockingBudget(top_k=4, work_per_record=100)))


def on_the_driver(blocked: Blocked) -> tuple[list[tuple[int, int]], np.ndarray[tuple[int, int], np.dtype[np.float32]]]:
    lists = list_candidates(blocked.index, np.arange(len(blocked.records)))
    codes = np.unique(np.stack([np.minimum(lists.row, lists.other), np.maximum(lists.row, lists.other)]), axis=1)
    context = look_up_context(lists, codes[0], codes[1], budget=blocked.index.budget)
    return list(map(tuple, codes.T.tolist())), context


def test_candidate_pairs_and_their_context_are_those_of_the_driver(spark: SparkSession, blocked: Blocked) -> None:
    proposed = propose_pairs(spark, Shipped(spark, blocked), rows=len(blocked.records))
    table = collect_arrow(proposed).sort_by([("lo", "ascending"), ("hi", "ascending")])
    pairs, context = on_the_driver(blocked)
    assert list(zip(table.column("lo").to_pylist(), table.column("hi").to_pylist(), strict=True)) == pairs
    found = np.stack([table.column(name).to_numpy() for name in CONTEXT], axis=-1)
    np.testing.assert_array_equal(found.astype(np.float32), context)


def test_pattern_counts_are_those_of_the_driver(spark: SparkSession, blocked: Blocked) -> None:
    counts = count_candidate_patterns(spark, blocked)
    pairs, context = on_the_driver(blocked)
    lo, hi = np.array(pairs).T
    patterns = code_patterns(compare(blocked.records, lo, hi), blocked.records.profiles)
    expected: dict[tuple[int, ...], list[int]] = {}
    for pattern, rank in zip(map(tuple, patterns.tolist()), context[:, CONTEXT.index("best_rank")], strict=True):
        entry = expected.setdefault(pattern, [0, 0])
        entry[0] += 1
        entry[1] += int(rank >= TAIL_RANK)
    found = {
        tuple(pattern): [int(n), int(tail)]
        for pattern, n, tail in zip(counts.patterns.tolist(), counts.pairs, counts.tail, strict=True)
    }
    assert found == expected


def test_edges_are_the_scored_pairs_above_the_floor(spark: SparkSession, blocked: Blocked) -> None:
    counts = count_candidate_patterns(spark, blocked)
    unsupervised = fit_unsupervised(blocked.records, counts, seed=0)
    model = MatchModel(Settings(primary_key="id"), blocked.records.profiles, unsupervised)
    edges, candidates = score_edges(spark, blocked, model)
    pairs, context = on_the_driver(blocked)
    lo, hi = np.array(pairs).T
    probability = model.probability(model.measure(blocked.records, lo, hi, context))
    kept = probability >= ClusterOptions().island_probability(model.threshold)
    assert candidates == len(pairs)
    assert edges.column("lo").to_pylist() == lo[kept].tolist()
    assert edges.column("hi").to_pylist() == hi[kept].tolist()
    np.testing.assert_array_equal(edges.column("probability").to_numpy(), probability[kept])


def test_the_plan_says_what_was_chosen_and_what_it_costs(blocked: Blocked) -> None:
    plan = choose_plan(blocked.index).to_dict()
    assert plan["name"] == "shipped"
    assert plan["index_bytes"] == blocked.index.size_bytes > 0
    assert (plan["top_k"], plan["work_per_record"]) == (4, 100)
    assert [step["name"] for step in plan["steps"]] == [step.name for step in STEPS]
    assert [step["shuffles"] for step in plan["steps"]] == [False, True, False]
