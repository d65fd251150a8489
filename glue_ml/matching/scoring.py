"""What a run asks of its candidate pairs: how they agree, which are matches, which are worth labelling."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from glue_ml.matching.agreement import choose_columns, code_patterns
from glue_ml.matching.blocking import CONTEXT
from glue_ml.matching.clustering import ClusterOptions
from glue_ml.matching.comparison import Feature
from glue_ml.matching.labeling import PairPool
from glue_ml.matching.model import MatchModel
from glue_ml.matching.pipeline import Candidates, PairBatch, Question
from glue_ml.matching.unsupervised import TAIL_RANK, PatternCounts

Rows = npt.NDArray[np.int64]

LIKENESS_STEEPNESS = 12.0  #: From 5 to 95 % within a quarter of the range of the mean cosine of the views.
BEST_CANDIDATE_BONUS = 0.25  #: Somebody's best candidate is asked about before an equally doubtful other.
POOL_PAIRS = 20_000  #: Most promising pairs of each kind brought to the driver to choose labelling sets from.
_POOL = ["lo", "hi", "probability", "disagreement", "coverage", "scatter"]


def count_candidate_patterns(candidates: Candidates) -> PatternCounts:
    """Count the agreement patterns of all candidate pairs."""
    profiles = candidates.blocked.records.profiles
    width = len(choose_columns(profiles))

    def code(batch: PairBatch) -> pa.Table:
        distinct, place, pairs = np.unique(
            code_patterns(batch.compared, profiles), axis=0, return_inverse=True, return_counts=True
        )
        in_tail = batch.context[:, CONTEXT.index("best_rank")] >= TAIL_RANK
        tail = np.bincount(place.ravel(), weights=in_tail, minlength=len(distinct)).astype(np.int64)
        packed = pa.array([row.tobytes() for row in distinct], pa.binary())
        return pa.table({"pattern": packed, "pairs": pairs.astype(np.int64), "tail": tail})

    if width == 0:
        nothing = np.zeros(0, dtype=np.int64)
        return PatternCounts(np.zeros((0, 0), dtype=np.int8), nothing, nothing)
    counted = candidates.ask(Question(code, _sum_patterns, "pattern binary, pairs long, tail long"))
    patterns = np.frombuffer(b"".join(counted.column(0).to_pylist()), dtype=np.int8).reshape(-1, width)
    return PatternCounts(patterns, counted.column(1).to_numpy(), counted.column(2).to_numpy())


def _sum_patterns(parts: pa.Table) -> pa.Table:
    summed = parts.group_by("pattern").aggregate([("pairs", "sum"), ("tail", "sum")])
    return summed.select(["pattern", "pairs_sum", "tail_sum"]).rename_columns(parts.column_names).sort_by("pattern")


def score_edges(candidates: Candidates, model: MatchModel) -> tuple[pa.Table, int]:
    """Return the candidate pairs that clustering may use (lo, hi, probability), sorted, and how many there were."""
    floor = ClusterOptions().island_probability(model.threshold)

    def score(batch: PairBatch) -> pa.Table:
        probability = model.probability(model.measure(batch.compared, batch.context))
        kept = probability >= floor
        # the count of all pairs travels in a row of its own, which saves a second pass over them
        lo, hi = np.append(batch.lo[kept], -1), np.append(batch.hi[kept], len(batch.lo))
        return pa.table({"lo": lo, "hi": hi, "probability": np.append(probability[kept], 0.0)})

    scored = candidates.ask(Question(score, _keep, "lo long, hi long, probability double"))
    is_edge = pc.greater_equal(scored.column("lo"), 0)
    count = pc.sum(scored.filter(pc.invert(is_edge)).column("hi")).as_py()
    return scored.filter(is_edge).sort_by([("lo", "ascending"), ("hi", "ascending")]), count or 0


def _keep(parts: pa.Table) -> pa.Table:
    return parts


def score_pool(candidates: Candidates, model: MatchModel) -> PairPool:
    """Return the pairs that labelling sets are chosen from: the least certain, the least covered, random ones."""
    seed = model.settings.seed

    def score(batch: PairBatch) -> pa.Table:
        features = model.measure(batch.compared, batch.context)
        columns = [batch.lo, batch.hi, *_judge(model, features), _scatter(batch.lo, batch.hi, seed)]
        return keep_most_promising(pa.table(dict(zip(_POOL, columns, strict=True))))

    schema = "lo long, hi long, probability double, disagreement double, coverage double, scatter double"
    pool = candidates.ask(Question(score, keep_most_promising, schema))
    return PairPool(*(pool.column(name).to_numpy() for name in _POOL[:5]))


def keep_most_promising(pairs: pa.Table) -> pa.Table:
    """Return the pairs that are among the first POOL_PAIRS by one of the three orders, in row order."""
    if len(pairs) <= POOL_PAIRS:
        chosen = np.arange(len(pairs))
    else:
        ties = [("lo", "ascending"), ("hi", "ascending")]
        orders = [[(name, "descending"), *ties] for name in ("disagreement", "coverage", "scatter")]
        chosen = np.unique([pc.select_k_unstable(pairs, POOL_PAIRS, sort_keys=order) for order in orders])
    return pairs.take(chosen).sort_by([("lo", "ascending"), ("hi", "ascending")])


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
