"""What a run asks of its candidate pairs on Spark: how they agree, which are matches, which are worth labelling."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from glue_ml.matching.agreement import choose_columns, code_patterns
from glue_ml.matching.blocking import CONTEXT
from glue_ml.matching.clustering import ClusterOptions
from glue_ml.matching.comparison import Feature, compare
from glue_ml.matching.labeling import PairPool
from glue_ml.matching.model import MatchModel
from glue_ml.matching.pipeline import Blocked, Shipped, map_pairs, propose_pairs
from glue_ml.matching.records import Records
from glue_ml.matching.table import collect_arrow
from glue_ml.matching.unsupervised import TAIL_RANK, PatternCounts

Rows = npt.NDArray[np.int64]

LIKENESS_STEEPNESS = 12.0  #: From 5 to 95 % within a quarter of the range of the mean cosine of the views.
BEST_CANDIDATE_BONUS = 0.25  #: Somebody's best candidate is asked about before an equally doubtful other.
POOL_PAIRS = 20_000  #: Most promising pairs of each kind brought to the driver to choose labelling sets from.
_POOL = ["lo", "hi", "probability", "disagreement", "coverage", "scatter"]


def count_candidate_patterns(spark: SparkSession, blocked: Blocked) -> PatternCounts:
    """Count the agreement patterns of all candidate pairs: one Spark job, a few thousand rows collected."""
    width = len(choose_columns(blocked.records.profiles))
    if width == 0 or len(blocked.records) < 2:
        nothing = np.zeros(0, dtype=np.int64)
        return PatternCounts(np.zeros((0, width), dtype=np.int8), nothing, nothing)
    shipped = Shipped(spark, blocked)

    def code(records: Records, lo: Rows, hi: Rows, context: Feature) -> pa.RecordBatch:
        patterns = code_patterns(compare(records, lo, hi), records.profiles)
        distinct, place, pairs = np.unique(patterns, axis=0, return_inverse=True, return_counts=True)
        in_tail = context[:, CONTEXT.index("best_rank")] >= TAIL_RANK
        tail = np.bincount(place.ravel(), weights=in_tail, minlength=len(distinct)).astype(np.int64)
        packed = pa.array([row.tobytes() for row in distinct], pa.binary())
        return pa.RecordBatch.from_arrays([packed, pa.array(pairs), pa.array(tail)], names=["pattern", "pairs", "tail"])

    candidates = propose_pairs(spark, shipped, rows=len(blocked.records))
    coded = map_pairs(candidates, shipped, code, "pattern binary, pairs long, tail long")
    counted = collect_arrow(coded.groupBy("pattern").agg(F.sum("pairs"), F.sum("tail"))).sort_by("pattern")
    shipped.release()
    patterns = np.frombuffer(b"".join(counted.column(0).to_pylist()), dtype=np.int8).reshape(-1, width)
    return PatternCounts(patterns, counted.column(1).to_numpy(), counted.column(2).to_numpy())


def score_edges(spark: SparkSession, blocked: Blocked, model: MatchModel) -> tuple[pa.Table, int]:
    """Return the candidate pairs that clustering may use (lo, hi, probability), sorted, and how many there were."""
    if len(blocked.records) < 2:
        return pa.table({"lo": np.zeros(0, np.int64), "hi": np.zeros(0, np.int64), "probability": np.zeros(0)}), 0
    floor = ClusterOptions().island_probability(model.threshold)
    shipped = Shipped(spark, blocked)

    def score(records: Records, lo: Rows, hi: Rows, context: Feature) -> pa.RecordBatch:
        probability = model.probability(model.measure(records, lo, hi, context))
        kept = probability >= floor
        # the count of all pairs travels in a row of its own, which saves a second pass over them
        columns = [np.append(lo[kept], -1), np.append(hi[kept], len(lo)), np.append(probability[kept], 0.0)]
        return pa.RecordBatch.from_arrays([pa.array(c) for c in columns], names=["lo", "hi", "probability"])

    pairs = propose_pairs(spark, shipped, rows=len(blocked.records))
    scored = collect_arrow(map_pairs(pairs, shipped, score, "lo long, hi long, probability double"))
    shipped.release()
    is_edge = pc.greater_equal(scored.column("lo"), 0)
    candidates = pc.sum(scored.filter(pc.invert(is_edge)).column("hi")).as_py()
    return scored.filter(is_edge).sort_by([("lo", "ascending"), ("hi", "ascending")]), candidates or 0


def score_pool(spark: SparkSession, blocked: Blocked, model: MatchModel) -> PairPool:
    """Return the pairs that labelling sets are chosen from: the least certain, the least covered, random ones."""
    if len(blocked.records) < 2:
        nothing = np.zeros(0)
        return PairPool(nothing.astype(np.int64), nothing.astype(np.int64), nothing, nothing, nothing)
    shipped, seed = Shipped(spark, blocked), model.settings.seed

    def score(records: Records, lo: Rows, hi: Rows, context: Feature) -> pa.RecordBatch:
        features = model.measure(records, lo, hi, context)
        columns = [lo, hi, *_judge(model, features), _scatter(lo, hi, seed)]
        return pa.RecordBatch.from_arrays([pa.array(c) for c in columns], names=_POOL)

    schema = "lo long, hi long, probability double, disagreement double, coverage double, scatter double"
    pairs = propose_pairs(spark, shipped, rows=len(blocked.records))
    judged = map_pairs(pairs, shipped, score, schema).cache()
    parts = [
        collect_arrow(judged.orderBy(F.desc(name), "lo", "hi").limit(POOL_PAIRS))
        for name in ("disagreement", "coverage", "scatter")
    ]
    judged.unpersist()
    shipped.release()
    return _merge_pool(parts)


def _judge(model: MatchModel, features: Feature) -> list[npt.NDArray[np.float64]]:
    """Return each pair's probability, how unsure the committee is, and how far the models and views differ on it."""
    unsupervised = MatchModel(model.settings, model.profiles, model.unsupervised).probability(features)
    if model.learned is None:
        return _judge_without_labels(unsupervised, features[:, -len(CONTEXT) :])
    votes = model.learned.context.forest.score(features[:, model.learned.context.columns])
    disagreement = 1.0 - np.abs(2.0 * votes - 1.0)
    probability = model.learned.context.calibration.apply(votes)
    one_view = features[:, CONTEXT.index("views") - len(CONTEXT)] == 1
    return [probability, disagreement, np.abs(probability - unsupervised) * np.where(one_view, 1.0, 0.5)]


def _judge_without_labels(unsupervised: npt.NDArray[np.float64], context: Feature) -> list[npt.NDArray[np.float64]]:
    """Judge before there are labels: doubt is the Fellegi-Sunter model's, and covered is what it alone would miss.

    That model may be sure of thousands of wrong pairs and then ask about no match at all. So the pairs that it and the
    likeness of the whole records both call matches are asked about as well: the first rows hold matches and
    non-matches, without which nothing can be learned.
    """
    likeness = 1.0 / (1.0 + np.exp(-LIKENESS_STEEPNESS * (context[:, CONTEXT.index("score")] / 2.0 - 0.5)))
    doubt = 1.0 - np.abs(2.0 * unsupervised - 1.0)
    doubt += BEST_CANDIDATE_BONUS * (context[:, CONTEXT.index("best_rank")] == 1)
    together = (unsupervised + likeness) / 2.0
    return [together, doubt, together]


def _scatter(lo: Rows, hi: Rows, seed: int) -> npt.NDArray[np.float64]:
    """Return a number in [0, 1) per pair that looks random but depends on the pair and the seed alone."""
    mixed = lo.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ hi.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed = (mixed ^ np.uint64(seed)) * np.uint64(0xBF58476D1CE4E5B9)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2.0**53


def _merge_pool(parts: list[pa.Table]) -> PairPool:
    table = pa.concat_tables(parts)
    codes = np.stack([table.column(name).to_numpy() for name in ("lo", "hi")], axis=-1)
    _, first = np.unique(codes, axis=0, return_index=True)
    members = [table.column(name).to_numpy()[first] for name in _POOL[:5]]
    return PairPool(*members)
