"""What a run asks of its candidate pairs: how they agree, which are matches, which are worth labelling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from glue_ml.matching.agreement import STANDINGS, choose_columns, code_patterns, code_standings
from glue_ml.matching.candidate_lists import CONTEXT
from glue_ml.matching.clustering import ClusterOptions
from glue_ml.matching.comparison import Feature
from glue_ml.matching.labeling import PairPool
from glue_ml.matching.learning import Scorer
from glue_ml.matching.model import MatchModel
from glue_ml.matching.pipeline import BlockedCandidates, Candidates, PairBatch, Question
from glue_ml.matching.records import could_be_source
from glue_ml.matching.rivals import FIRST_LOOK_FLOOR, RIVALS, find_rivals, measure_rivals
from glue_ml.matching.row_pairs import locate
from glue_ml.matching.unsupervised import TAIL_RANK, PatternCounts

Rows = npt.NDArray[np.int64]

LIKENESS_STEEPNESS = 12.0  #: From 5 to 95 % within a quarter of the range of the mean cosine of the views.
BEST_CANDIDATE_BONUS = 0.25  #: Somebody's best candidate is asked about before an equally doubtful other.
ACROSS_TURNS = 3  #: So often are pairs across a guessed source asked about for one within.
POOL_PAIRS = 20_000  #: Most promising pairs of each kind brought to the driver to choose labelling sets from.
_POOL = ["lo", "hi", "probability", "disagreement", "coverage", "kind", "scatter"]


def count_candidate_patterns(candidates: Candidates) -> PatternCounts:
    """Count the agreement patterns of all candidate pairs."""
    profiles = candidates.table.profiles
    width = len(choose_columns(profiles))

    def code(batch: PairBatch) -> pa.Table:
        coded = np.column_stack([code_patterns(batch.compared, profiles), code_standings(batch.context)])
        distinct, place, pairs = np.unique(coded, axis=0, return_inverse=True, return_counts=True)
        in_tail = batch.context[:, CONTEXT.index("best_rank")] >= TAIL_RANK
        tail = np.bincount(place.ravel(), weights=in_tail, minlength=len(distinct)).astype(np.int64)
        packed = pa.array([row.tobytes() for row in distinct[:, :-1]], pa.binary())
        standing = pa.array(distinct[:, -1].astype(np.int64))
        return pa.table({"pattern": packed, "standing": standing, "pairs": pairs.astype(np.int64), "tail": tail})

    if width == 0:
        nothing = np.zeros((0, STANDINGS), dtype=np.int64)
        return PatternCounts(np.zeros((0, 0), dtype=np.int8), nothing, nothing[:, 0])
    schema = "pattern binary, standing long, pairs long, tail long"
    return _tabulate_patterns(candidates.ask(Question(code, _sum_patterns, schema)), width)


def _sum_patterns(parts: pa.Table) -> pa.Table:
    summed = parts.group_by(["pattern", "standing"]).aggregate([("pairs", "sum"), ("tail", "sum")])
    summed = summed.select(["pattern", "standing", "pairs_sum", "tail_sum"]).rename_columns(parts.column_names)
    return summed.sort_by([("pattern", "ascending"), ("standing", "ascending")])


def _tabulate_patterns(counted: pa.Table, width: int) -> PatternCounts:
    """Lay the counts of each pattern, whose rows lie together, out by standing."""
    coded = counted.column("pattern").combine_chunks().dictionary_encode()
    row, standing, pairs, tail = coded.indices.to_numpy(), *(c.to_numpy() for c in counted.columns[1:])
    standings = np.zeros((len(coded.dictionary), STANDINGS), dtype=np.int64)
    standings[row, standing] = pairs
    patterns = np.frombuffer(b"".join(coded.dictionary.to_pylist()), dtype=np.int8).reshape(-1, width)
    return PatternCounts(patterns, standings, np.bincount(row, weights=tail, minlength=len(patterns)).astype(np.int64))


def score_edges(candidates: Candidates, model: MatchModel) -> tuple[pa.Table, int]:
    """Return the candidate pairs that clustering may use (lo, hi, probability), sorted, and how many there were.

    Where the model looks twice the pairs have their RIVALS too.
    """
    floor = ClusterOptions().island_probability(model.threshold)
    if model.looks_twice:
        pairs, count = look_first(candidates, model, floor=floor)
        edges = look_again(candidates, model, pairs)
        return edges.filter(pc.greater_equal(edges.column("probability"), floor)), count

    def score(batch: PairBatch) -> pa.Table:
        probability = model.probability(model.measure(batch.compared, batch.context))
        kept = probability >= floor
        return _count_pairs({"lo": batch.lo, "hi": batch.hi, "probability": probability}, kept)

    return _split_count(candidates.ask(Question(score, _keep, "lo long, hi long, probability double")))


def look_first(
    candidates: Candidates, model: MatchModel, first: Scorer | None = None, *, floor: float | None = None
) -> tuple[pa.Table, int]:
    """Return the pairs worth a second look with their RIVALS, sorted, and how many candidate pairs there were.

    `first` scores them; the model's own, if it is not said. With `floor` the pairs leave that cannot reach this
    probability at the second look, whoever their rivals are. They are rivals themselves, but nine in ten pairs need
    not be compared again.

    Columns: lo, hi, first_score (of the first look), those of CONTEXT and of RIVALS.
    """

    score_pairs = model.first_look if first is None else first.score

    def score(batch: PairBatch) -> pa.Table:
        features = model.measure(batch.compared, batch.context)
        found = score_pairs(features)
        kept = found >= FIRST_LOOK_FLOOR
        again = np.ones(int(kept.sum()), dtype=bool)
        if floor is not None:
            again = model.best_second_look(features[kept], found[kept]) >= floor
        columns = {"lo": batch.lo, "hi": batch.hi, "first_score": found}
        counted = _count_pairs(columns, kept)
        return counted.append_column("context", _pack_rows(batch.context[kept][again], np.append(again, False)))

    schema = "lo long, hi long, first_score double, context array<float>"
    pairs, count = _split_count(candidates.ask(Question(score, _keep, schema)))
    lo, hi, found = (pairs.column(name).to_numpy() for name in ("lo", "hi", "first_score"))
    again = pc.greater(pc.list_value_length(pairs.column("context")), 0).to_numpy()
    rivals = measure_rivals(found[again], *find_rivals(lo, hi, found, again))
    chosen = pairs.filter(pa.array(again)).drop_columns(["context"])
    for name, column in zip(CONTEXT, _unpack_rows(pairs.column("context")).T, strict=True):
        chosen = chosen.append_column(name, pa.array(column))
    for name, column in zip(RIVALS, rivals.T, strict=True):
        chosen = chosen.append_column(name, pa.array(column))
    return chosen, count


def _pack_rows(rows: Feature, filled: npt.NDArray[np.bool_]) -> pa.ListArray:
    """Return lists, where `filled` one of the rows (in order), elsewhere an empty one."""
    offsets = np.concatenate([[0], np.cumsum(filled)]) * rows.shape[1]
    values = np.ascontiguousarray(rows, dtype=np.float32).ravel()
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(values))


def _unpack_rows(lists: pa.ChunkedArray) -> Feature:
    """Return the lists that are not empty as rows (lists x CONTEXT)."""
    values = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in lists.chunks]
    return np.concatenate([np.zeros(0, dtype=np.float32), *values]).astype(np.float32).reshape(-1, len(CONTEXT))


def look_again(candidates: Candidates, model: MatchModel, pairs: pa.Table) -> pa.Table:
    """Return what `look_first` found with the votes and the probability of the second look.

    Columns: lo, hi, votes, probability, those of RIVALS; sorted by lo and hi.
    """

    def score(batch: PairBatch) -> pa.Table:
        assert batch.rivals is not None
        closer = model.look_closer(batch.gathered, batch.rivals)
        votes, probability = model.second_look(model.measure(batch.compared, batch.context), closer)
        return pa.table({"lo": batch.lo, "hi": batch.hi, "votes": votes, "probability": probability})

    schema = "lo long, hi long, votes double, probability double"
    seen = candidates.ask_again(Question(score, _keep, schema), pairs.drop_columns(["first_score"]))
    seen = seen.sort_by([("lo", "ascending"), ("hi", "ascending")])
    for name in RIVALS:
        seen = seen.append_column(name, pairs.column(name))
    return seen


def _count_pairs(columns: Mapping[str, npt.NDArray[Any]], kept: npt.NDArray[np.bool_]) -> pa.Table:
    """Return the columns where `kept`, and a row of lo = -1 whose hi is the number of pairs.

    The count travels in a row of its own, which saves a second pass over all pairs.
    """
    last = {"lo": -1, "hi": len(kept)}
    return pa.table(
        {name: np.append(values[kept], values.dtype.type(last.get(name, 0))) for name, values in columns.items()}
    )


def _split_count(scored: pa.Table) -> tuple[pa.Table, int]:
    """Return the pairs in row order, and how many there were before some were left out."""
    # those that count come first then: one copy of what may be gigabytes
    ordered = scored.sort_by([("lo", "ascending"), ("hi", "ascending")])
    counts = int(pc.sum(pc.less(ordered.column("lo"), 0)).as_py() or 0)
    return ordered.slice(counts), pc.sum(ordered.column("hi").slice(0, counts)).as_py() or 0


def _keep(parts: pa.Table) -> pa.Table:
    return parts


def score_pool(candidates: BlockedCandidates, model: MatchModel) -> PairPool:
    """Return the pairs that labelling sets are chosen from: the least certain, the least covered, random ones."""
    seed, views, guessed = model.settings.seed, len(candidates.blocked.index.views), model.unsupervised.source
    if model.learned is None:
        model = replace(model, unsupervised=model.unsupervised.boldly())

    def score(batch: PairBatch) -> pa.Table:
        features = model.measure(batch.compared, batch.context)
        kind = np.zeros(len(batch.lo), np.int64) if model.learned is not None else _tell_kinds(batch, guessed, seed)
        judged = _judge(model, features, views)
        columns = [batch.lo, batch.hi, *judged, kind, scatter_pairs(batch.lo, batch.hi, seed)]
        return keep_most_promising(pa.table(dict(zip(_POOL, columns, strict=True))))

    schema = "lo long, hi long, probability double, disagreement double, coverage double, "
    schema += "kind long, scatter double"
    pool = candidates.ask(Question(score, keep_most_promising, schema))
    columns = {name: pool.column(name).to_numpy() for name in _POOL}
    if model.looks_twice:
        pairs, _ = look_first(candidates, model)
        _judge_again(columns, look_again(candidates, model, pairs))
    return PairPool(*(columns[name] for name in _POOL[:6]))


def _tell_kinds(batch: PairBatch, guessed: str | None, seed: int) -> Rows:
    """Return a number per pair; pairs of each number are asked about in turn, before there are labels.

    Nobody knows then whether matches are to be found within a source or across, and one that holds many likenesses of
    its own would take all questions. So pairs count apart by the columns that could name a source in which they
    differ. Where a source was guessed, those across it have ACROSS_TURNS numbers, as most matches should be there.
    """
    records, left, right = batch.gathered
    codes = records.codes_of(guessed)
    if codes is not None:
        turn = np.floor(ACROSS_TURNS * scatter_pairs(batch.lo, batch.hi, seed + 1)).astype(np.int64)
        return np.where(codes[left] != codes[right], 1 + turn, 0)
    kind = np.zeros(len(batch.lo), dtype=np.int64)
    for column in filter(could_be_source, records.columns):
        kind = 2 * kind + (column.codes[left] != column.codes[right])
    return kind


def _judge_again(pool: dict[str, npt.NDArray[Any]], seen: pa.Table) -> None:
    """Let the second look say how probable a pair of the pool is, and how unsure the committee."""
    lo, hi, votes, probability = (seen.column(name).to_numpy() for name in ("lo", "hi", "votes", "probability"))
    place, found = locate(lo, hi, pool["lo"], pool["hi"])
    for name, values in (("probability", probability), ("disagreement", 1.0 - np.abs(2.0 * votes - 1.0))):
        pool[name] = np.where(found, values[place] if len(values) else 0.0, pool[name])


def keep_most_promising(pairs: pa.Table) -> pa.Table:
    """Return the pairs that are among the first POOL_PAIRS by one of the three orders, in row order."""
    if len(pairs) <= POOL_PAIRS:
        chosen = np.arange(len(pairs))
    else:
        ties = [("lo", "ascending"), ("hi", "ascending")]
        orders = [[(name, "descending"), *ties] for name in ("disagreement", "coverage", "scatter")]
        chosen = np.unique([pc.select_k_unstable(pairs, POOL_PAIRS, sort_keys=order) for order in orders])
    return pairs.take(chosen).sort_by([("lo", "ascending"), ("hi", "ascending")])


def _judge(model: MatchModel, features: Feature, views: int) -> list[npt.NDArray[np.float64]]:
    """Return each pair's probability, how unsure the committee is, and how far the models and views differ on it."""
    unsupervised = model.column_probability(features)
    if model.learned is None:
        return _judge_without_labels(unsupervised, features[:, -len(CONTEXT) :], views)
    context = model.learned.context
    # the votes alone: a prior that is wrong about a pair would hide the doubt that asking could settle
    votes = context.vote(features)
    disagreement = 1.0 - np.abs(2.0 * votes - 1.0)
    probability = context.calibration.apply(context.prior.mix(votes, features))
    one_view = features[:, CONTEXT.index("views") - len(CONTEXT)] == 1
    return [probability, disagreement, np.abs(probability - unsupervised) * np.where(one_view, 1.0, 0.5)]


def _judge_without_labels(
    unsupervised: npt.NDArray[np.float64], context: Feature, views: int
) -> list[npt.NDArray[np.float64]]:
    """Judge before there are labels: doubt is the Fellegi-Sunter model's, and covered is what it alone would miss.

    That model may be sure of thousands of wrong pairs and then ask about no match at all. So the pairs that it and the
    likeness of the whole records both call matches are asked about as well: the first rows hold matches and
    non-matches, without which nothing can be learned.
    """
    likeness = 1.0 / (1.0 + np.exp(-LIKENESS_STEEPNESS * (context[:, CONTEXT.index("score")] / views - 0.5)))
    doubt = 1.0 - np.abs(2.0 * unsupervised - 1.0)
    doubt += BEST_CANDIDATE_BONUS * (context[:, CONTEXT.index("best_rank")] == 1)
    together = (unsupervised + likeness) / 2.0
    return [together, doubt, together]


def scatter_pairs(lo: Rows, hi: Rows, seed: int) -> npt.NDArray[np.float64]:
    """Return a number in [0, 1) per pair that looks random but depends on the pair and the seed alone."""
    mixed = lo.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ hi.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed = (mixed ^ np.uint64(seed)) * np.uint64(0xBF58476D1CE4E5B9)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2.0**53
