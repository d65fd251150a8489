"""The candidate pairs that a change of the table touches: which are scored again, and which edges that changes.

A pair's score depends on its records, on their candidate lists (its CONTEXT) and, where the model looks twice, on the
scores of the other pairs of its records (its RIVALS). So a pair is scored again where its lists say something new, and
looked at again where the best of the pairs beside it is another, or scores otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from glue_ml.matching.blocking import BlockingIndex, list_candidates
from glue_ml.matching.candidate_lists import CONTEXT, LAST_RANK, CandidateLists, find_listed
from glue_ml.matching.clustering import ClusterOptions, Constraints, ScorePairs
from glue_ml.matching.comparison import Feature
from glue_ml.matching.rivals import FIRST_LOOK_FLOOR, find_rivals, measure_rivals
from glue_ml.matching.row_pairs import Flags, RowPairs, Rows, Scores, join_pairs
from glue_ml.matching.sorted_sets import distinct, is_in, look_up
from glue_ml.matching.table_lists import TableLists

#: lo, hi (lo < hi) and their CONTEXT to scores, and to the most that a second look may make of them.
ScoreCandidates = Callable[[Rows, Rows, Feature], tuple[Scores, Scores]]
ScoreAgain = Callable[[Rows, Rows, Feature, Feature], Scores]  #: lo, hi, CONTEXT and RIVALS to probabilities.
ListRows = Callable[[BlockingIndex, Rows], CandidateLists]

_LISTS = CONTEXT.index("lists")


@dataclass(frozen=True)
class Judge:
    """How the pairs of one table are decided.

    `score` gives the probability of candidate pairs, `score_alone` that of pairs that blocking never proposed; both
    judge each pair by itself. Where there is `score_again`, `score` is only the first look, and `score_again` gives
    the probability, by the pairs and their RIVALS, of what may reach `floor`. `uses_context`: whether candidate lists
    matter to a pair's score. `list_rows` lists the candidates of rows.
    """

    index: BlockingIndex
    threshold: float
    score: ScoreCandidates
    score_alone: ScorePairs
    score_again: ScoreAgain | None = None
    uses_context: bool = True
    constraints: Constraints = field(default_factory=Constraints)
    options: ClusterOptions = field(default_factory=ClusterOptions)
    list_rows: ListRows = list_candidates

    @property
    def floor(self) -> float:
        """The probability from which clustering uses a pair."""
        return self.options.island_probability(self.threshold)


@dataclass(frozen=True)
class Scored:
    """The candidate pairs that matter, in row order.

    `first`: what came through a first look, with the score it gave, and is a rival of others; `hopeful`: those of them
    that may become edges; both are empty where there is only one look. `edges`: what clustering uses.
    """

    first: RowPairs
    hopeful: RowPairs
    edges: RowPairs


NO_PAIRS = RowPairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


def score_all(judge: Judge, lists: TableLists) -> Scored:
    """Score all candidate pairs of a table, given all of its candidate lists."""
    lo, hi, context = list_contexts(lists)
    score, best = judge.score(lo, hi, context)
    if judge.score_again is None:
        return Scored(NO_PAIRS, NO_PAIRS, _keep(lo, hi, score, judge.floor))
    first, kept = _keep(lo, hi, score, FIRST_LOOK_FLOOR), score >= FIRST_LOOK_FLOOR
    rivals = measure_rivals(first.probability, *find_rivals(first.lo, first.hi, first.probability))
    may_match = best[kept] >= judge.floor
    hopeful = first.select(may_match)
    probability = judge.score_again(hopeful.lo, hopeful.hi, context[kept][may_match], rivals[may_match])
    return Scored(first, hopeful, _keep(hopeful.lo, hopeful.hi, probability, judge.floor))


def _keep(lo: Rows, hi: Rows, score: Scores, floor: float) -> RowPairs:
    kept = score >= floor
    return RowPairs(lo[kept], hi[kept], score[kept])


def score_changed(
    judge: Judge, before: Scored, lists: tuple[TableLists, TableLists], dirty: Rows, *, places: Rows
) -> tuple[Scored, Rows, int]:
    """Return the pairs after a change, the rows at the ends of edges that came, went or changed, and how many pairs
    were scored.

    `lists` are the candidate lists before, renumbered, and after; `dirty` the rows whose lists changed.
    """
    gone, (lo, hi, context) = _find_changed_pairs(judge, lists, dirty)
    (score, best), anew = judge.score(lo, hi, context), np.append(gone, lo * judge.index.rows + hi)
    if judge.score_again is None:
        edges, changed = _replace_edges(before.edges, _keep(lo, hi, score, judge.floor), anew, judge, places)
        return Scored(NO_PAIRS, NO_PAIRS, edges), changed, len(lo)
    first, _ = _replace(before.first, _keep(lo, hi, score, FIRST_LOOK_FLOOR), anew, judge, places)
    fresh = _keep(lo, hi, score, FIRST_LOOK_FLOOR).select(best[score >= FIRST_LOOK_FLOOR] >= judge.floor)
    hopeful, _ = _replace(before.hopeful, fresh, anew, judge, places)
    again, rivals = _choose_again(before, first, hopeful, anew, places=places, count=judge.index.rows)
    context = lists[1].look_up_context(again.lo, again.hi)
    seen = _keep(again.lo, again.hi, judge.score_again(again.lo, again.hi, context, rivals), judge.floor)
    edges, changed = _replace_edges(before.edges, seen, np.append(anew, again.key(judge.index.rows)), judge, places)
    return Scored(first, hopeful, edges), changed, len(lo) + len(again.lo)


def _replace(
    before: RowPairs, after: RowPairs, replaced: Rows, judge: Judge, places: Rows
) -> tuple[RowPairs, RowPairs]:
    """Return `before`, renumbered, without the pairs coded in `replaced` but with `after`; and those it is without."""
    count = judge.index.rows
    moved = RowPairs(places[before.lo], places[before.hi], before.probability)
    moved = moved.select((moved.lo >= 0) & (moved.hi >= 0))
    is_replaced = is_in(moved.key(count), distinct(replaced))
    updated = join_pairs([moved.select(~is_replaced), after])
    updated = updated.select(np.argsort(updated.key(count), kind="stable"))
    return updated, moved.select(is_replaced)


def _replace_edges(
    before: RowPairs, after: RowPairs, replaced: Rows, judge: Judge, places: Rows
) -> tuple[RowPairs, Rows]:
    """Return what `_replace` does, and the rows at the ends of edges that came, went or changed."""
    updated, without = _replace(before, after, replaced, judge, places)
    return updated, _find_changed_ends(without, after, judge.index.rows)


def _choose_again(
    before: Scored, first: RowPairs, hopeful: RowPairs, anew: Rows, *, places: Rows, count: int
) -> tuple[RowPairs, Feature]:
    """Return the hopeful pairs to be looked at again, and their RIVALS: all but those with the rivals they had.

    `anew` are the codes of pairs whose first score may be another.
    """
    key = hopeful.key(count)
    at_lo, at_hi = _find_rivals_of(hopeful, first, count)
    was_lo, was_hi = _find_rivals_of(before.hopeful, before.first, len(places))
    lo, hi = places[before.hopeful.lo], places[before.hopeful.hi]
    # a row that is gone takes its pairs along; what is left keeps its order
    stays = np.flatnonzero((lo >= 0) & (hi >= 0))
    place, same = look_up(key, lo[stays] * count + hi[stays])
    place = stays[place] if len(stays) else place
    same[same] = (at_lo[same] == was_lo[place[same]]) & (at_hi[same] == was_hi[place[same]])
    again = ~same | is_in(key, distinct(anew))
    chosen = hopeful.select(again)
    return chosen, measure_rivals(chosen.probability, at_lo[again], at_hi[again])


def _find_rivals_of(pairs: RowPairs, all_pairs: RowPairs, count: int) -> tuple[Scores, Scores]:
    """Return the best rival at either row of `pairs`, which are some of all, in the same order."""
    chosen = is_in(all_pairs.key(count), pairs.key(count))
    return find_rivals(all_pairs.lo, all_pairs.hi, all_pairs.probability, chosen)


def list_contexts(lists: TableLists) -> tuple[Rows, Rows, Feature]:
    """Return the pairs that are in at least one list, in row order, with their CONTEXT."""
    rows = len(lists.lengths)
    codes = distinct(_code_pairs(np.repeat(np.arange(rows), lists.lengths), lists.other, rows))
    lo, hi = np.divmod(codes, max(rows, 1))
    return lo, hi, lists.look_up_context(lo, hi)


def _code_pairs(row: Rows, other: npt.NDArray[np.integer], count: int) -> Rows:
    return np.asarray(np.minimum(row, other) * np.int64(count) + np.maximum(row, other), dtype=np.int64)


def _find_changed_pairs(
    judge: Judge, lists: tuple[TableLists, TableLists], dirty: Rows
) -> tuple[Rows, tuple[Rows, Rows, Feature]]:
    """Return the codes of pairs that are no candidates any more, and the pairs to be scored with their contexts."""
    count = judge.index.rows
    before, after = (part.take(dirty) for part in lists)
    codes = [_code_pairs(*_find_changed_entries(*both), count) for both in ((before, after), (after, before))]
    changed = distinct(np.concatenate(codes))
    lo, hi = np.divmod(changed, np.int64(max(count, 1)))
    old, new = (part.look_up_context(lo, hi) for part in lists)
    was_listed, is_listed = (context[:, _LISTS] > 0 for context in (old, new))
    wanted = is_listed & ((old != new).any(axis=1) if judge.uses_context else ~was_listed)
    return changed[was_listed & ~is_listed], (lo[wanted], hi[wanted], new[wanted])


def _find_changed_entries(one: CandidateLists, other: CandidateLists) -> tuple[Rows, Rows]:
    """Return row and other of the entries that are not in the other lists, or there with another say in a CONTEXT.

    Entries about rows that are gone do not count.
    """
    place, same = find_listed(other, one.row, one.other)
    rank, far = np.minimum(one.rank, LAST_RANK), np.minimum(other.rank, LAST_RANK)
    told = ((rank, far), (one.ratio, other.ratio), (one.views, other.views))
    for mine, theirs in told:
        same[same] = mine[same] == theirs[place[same]]
    changed = ~same & (one.other >= 0)
    return one.row[changed], one.other[changed]


def _find_changed_ends(before: RowPairs, after: RowPairs, count: int) -> Rows:
    """Return the rows at the ends of edges that are not in both with the same probability."""
    same = [_find_same(one, other, count) for one, other in ((before, after), (after, before))]
    changed = [edges.select(~kept) for edges, kept in zip((before, after), same, strict=True)]
    return distinct(np.concatenate([side for edges in changed for side in (edges.lo, edges.hi)]))


def _find_same(edges: RowPairs, others: RowPairs, count: int) -> Flags:
    known = others.key(count)
    order = np.argsort(known)
    place, same = look_up(edges.key(count), known[order])
    same[same] = others.probability[order[place[same]]] == edges.probability[same]
    return same
