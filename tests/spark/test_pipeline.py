"""The steps on Spark against the same steps on the driver, where all rows are at hand."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from scipy import sparse

from glue_ml.domain.labels import LabeledRow
from glue_ml.matching import pipeline
from glue_ml.matching.agreement import code_patterns
from glue_ml.matching.blocking import BlockingBudget, build_index, list_pairs
from glue_ml.matching.candidate_lists import CONTEXT
from glue_ml.matching.clustering import ClusterOptions
from glue_ml.matching.comparison import compare
from glue_ml.matching.model import MatchModel, Settings
from glue_ml.matching.pipeline import (
    DRIVER_ROWS,
    Blocked,
    Candidates,
    DriverCandidates,
    PairBatch,
    Question,
    SparkCandidates,
    choose_plan,
    name_partitions,
    open_candidates,
)
from glue_ml.matching.population import count_scores
from glue_ml.matching.records import prepare_records
from glue_ml.matching.scoring import (
    POOL_PAIRS,
    count_candidate_patterns,
    keep_most_promising,
    look_first,
    score_edges,
    score_pool,
)
from glue_ml.matching.sentence_encoder import scale_rows
from glue_ml.matching.sparse_view import SparseView
from glue_ml.matching.training import learn
from glue_ml.matching.unsupervised import TAIL_RANK, fit_unsupervised
from tests.people import make_people


@pytest.fixture(scope="module", params=["words", "words and meaning"])
def blocked(request: pytest.FixtureRequest) -> Blocked:
    rows, _ = make_people(300, seed=9)
    table = pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in rows[0]})
    records = prepare_records(table)
    if request.param == "words and meaning":
        # what the vectors mean does not matter here
        vectors = scale_rows(np.random.default_rng(3).normal(size=(len(records.columns[0].values) + 1, 8)))
        vectors[-1] = 0.0
        read = replace(records.columns[0], vectors=vectors, searched=True)
        records = replace(records, columns=(read, *records.columns[1:]))
    return Blocked(records, build_index(records, BlockingBudget(top_k=4, work_per_record=100)))


@pytest.fixture(scope="module", params=["driver", "spark"])
def candidates(request: pytest.FixtureRequest, spark: SparkSession, blocked: Blocked) -> Candidates:
    return DriverCandidates(blocked) if request.param == "driver" else SparkCandidates.ship(spark, blocked)


def on_the_driver(blocked: Blocked) -> tuple[list[tuple[int, int]], np.ndarray[tuple[int, int], np.dtype[np.float32]]]:
    lo, hi, context = list_pairs(blocked.index)
    return list(zip(lo.tolist(), hi.tolist(), strict=True)), context


def test_candidate_pairs_and_their_context_are_those_of_the_driver(spark: SparkSession, blocked: Blocked) -> None:
    def tell(batch: PairBatch) -> pa.Table:
        columns = zip(CONTEXT, batch.context.T, strict=True)
        return pa.table({"lo": batch.lo, "hi": batch.hi, **{name: pa.array(column) for name, column in columns}})

    schema = ", ".join(["lo long, hi long", *(f"{name} float" for name in CONTEXT)])
    table = SparkCandidates.ship(spark, blocked).ask(Question(tell, lambda parts: parts, schema))
    table = table.sort_by([("lo", "ascending"), ("hi", "ascending")])
    pairs, context = on_the_driver(blocked)
    assert list(zip(table.column("lo").to_pylist(), table.column("hi").to_pylist(), strict=True)) == pairs
    found = np.stack([table.column(name).to_numpy() for name in CONTEXT], axis=-1)
    np.testing.assert_array_equal(found.astype(np.float32), context)


@pytest.mark.parametrize("count", [1, 7, 40])
def test_every_partition_has_a_name_of_its_own(spark: SparkSession, count: int) -> None:
    names = name_partitions(spark, count)
    spread = spark.createDataFrame([(name,) for name in names], "part long").repartition(count, "part")
    taken = [row[0] for row in spread.select(F.spark_partition_id()).collect()]
    assert sorted(taken) == list(range(count))


@pytest.mark.parametrize("count", [1, 2, 7])
def test_every_piece_of_the_pairs_has_a_partition_of_its_own(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(pipeline, "PAIRS_PER_TASK", 3)
    pairs = pa.table({"lo": np.arange(3 * count), "hi": np.arange(3 * count) + 1})
    spread = pipeline.spread_pairs(spark, pairs)
    pieces = len(pipeline.deal_pairs(pairs, pipeline.parallelism(spark)))
    counted = spread.groupBy(F.spark_partition_id()).count().collect()
    assert [row["count"] for row in counted] == [1] * pieces


def test_pattern_counts_are_those_of_plain_numpy(candidates: Candidates, blocked: Blocked) -> None:
    counts = count_candidate_patterns(candidates)
    pairs, context = on_the_driver(blocked)
    lo, hi = np.array(pairs).T
    patterns = code_patterns(compare(blocked.records, lo, hi), blocked.records.profiles)
    expected: dict[tuple[int, ...], list[int]] = {}
    best, worst = (context[:, CONTEXT.index(name)] for name in ("best_rank", "worst_rank"))
    for pattern, least, most in zip(map(tuple, patterns.tolist()), best, worst, strict=True):
        entry = expected.setdefault(pattern, [0, 0, 0, 0])
        entry[int(least == 1) + int(most == 1)] += 1
        entry[3] += int(least >= TAIL_RANK)
    found = {
        tuple(pattern): [*standings, int(tail)]
        for pattern, standings, tail in zip(
            counts.patterns.tolist(), counts.standings.tolist(), counts.tail, strict=True
        )
    }
    assert found == expected
    assert counts.pairs.sum() == len(pairs)


def test_edges_are_the_scored_pairs_above_the_floor(candidates: Candidates, blocked: Blocked) -> None:
    counts = count_candidate_patterns(candidates)
    unsupervised = fit_unsupervised(blocked.records, counts, seed=0)
    model = MatchModel(Settings(primary_key="id"), blocked.records.profiles, unsupervised)
    edges, proposed = score_edges(candidates, model)
    pairs, context = on_the_driver(blocked)
    lo, hi = np.array(pairs).T
    probability = model.probability(model.measure(compare(blocked.records, lo, hi), context))
    kept = probability >= ClusterOptions().island_probability(model.threshold)
    assert proposed == len(pairs)
    assert edges.column("lo").to_pylist() == lo[kept].tolist()
    assert edges.column("hi").to_pylist() == hi[kept].tolist()
    np.testing.assert_array_equal(edges.column("probability").to_numpy(), probability[kept])


def test_both_plans_propose_the_same_pairs_for_labelling(spark: SparkSession, blocked: Blocked) -> None:
    counts = count_candidate_patterns(DriverCandidates(blocked))
    unsupervised = fit_unsupervised(blocked.records, counts, seed=0)
    model = MatchModel(Settings(primary_key="id"), blocked.records.profiles, unsupervised)
    here, there = (score_pool(c, model) for c in (DriverCandidates(blocked), SparkCandidates.ship(spark, blocked)))
    for field in fields(here):
        np.testing.assert_array_equal(getattr(here, field.name), getattr(there, field.name))


@pytest.mark.parametrize("twice", [False, True])
def test_both_plans_count_the_same_scores(spark: SparkSession, blocked: Blocked, twice: bool) -> None:
    _, truth = make_people(300, seed=9)
    here, there = DriverCandidates(blocked), SparkCandidates.ship(spark, blocked)
    unsupervised = fit_unsupervised(blocked.records, count_candidate_patterns(here), seed=0)
    model = MatchModel(Settings(primary_key="id"), blocked.records.profiles, unsupervised)
    keys = sorted(truth, key=lambda key: truth[key])[:120]
    labels = [LabeledRow(f"s{place // 10}", str(truth[key]), key) for place, key in enumerate(keys)]
    learned = learn(model, here, labels, source=None)
    seen, pairs = look_first(here, model, learned.context)
    scorer = learned.second if twice else learned.plain
    counted = [
        count_scores(candidates, model, scorer, pairs=pairs, seen=seen if twice else None, words=learned.words)
        for candidates in (here, there)
    ]
    assert counted[0].pairs.sum() == pytest.approx(pairs)
    np.testing.assert_array_equal(counted[0].score, counted[1].score)
    np.testing.assert_array_equal(counted[0].pairs, counted[1].pairs)


def test_only_the_most_promising_pairs_are_brought_together() -> None:
    rng, count = np.random.default_rng(0), POOL_PAIRS * 3
    columns = {name: rng.random(count) for name in ("probability", "disagreement", "coverage", "scatter")}
    pairs = pa.table({"lo": np.arange(count), "hi": np.arange(count) + 1, **columns})
    kept = keep_most_promising(pairs)
    assert POOL_PAIRS < len(kept) < count
    halves = [keep_most_promising(pairs.slice(0, count // 2)), keep_most_promising(pairs.slice(count // 2))]
    assert keep_most_promising(pa.concat_tables(halves)).equals(kept)
    best = np.sort(np.argsort(-columns["disagreement"])[:POOL_PAIRS])
    assert np.isin(best, kept.column("lo").to_numpy()).all()


def test_a_small_table_stays_on_the_driver_and_a_large_one_is_shipped(spark: SparkSession, blocked: Blocked) -> None:
    plan = choose_plan(blocked.index).to_dict()
    assert plan["name"] == "driver"
    assert plan["index_bytes"] == blocked.index.size_bytes > 0
    assert (plan["top_k"], plan["work_per_record"]) == (4, 100)
    assert [step["shuffles"] for step in plan["steps"]] == [False, False, False]
    assert isinstance(open_candidates(spark, blocked), DriverCandidates)
    view = SparseView("keys", sparse.csr_matrix((DRIVER_ROWS + 1, 1), dtype=np.float32))
    large = replace(blocked.index, views=(view,))
    assert choose_plan(large).name == "shipped"
    assert [step.shuffles for step in choose_plan(large).steps] == [False, True, False]
    assert isinstance(open_candidates(spark, replace(blocked, index=large)), SparkCandidates)
