"""Matching anew only what added, changed and removed rows touch; the outcome is that of matching everything.

Three things make it exact. The weights of words and keys are those of one base table (`ValueCounts`, `KeyCounts`), so
that a record's features do not change when others come. A record's candidates are its nearest ones, ties by row number,
so that a list changes only if a row comes into it or leaves it. And clustering looks at one island at a time. So the
lists that change are found by searching the new rows against the least cosine that each list asks for (its bound), the
pairs whose candidate lists say something new are scored again, and islands with a changed edge are clustered again.
This is the n-depth reclustering of FAMER (Saeedi et al., ESWC 2020) with the depth at which it equals the batch result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from glue_ml.matching.blocking import BlockingIndex, rank_found
from glue_ml.matching.candidate_lists import CandidateLists, order_lists
from glue_ml.matching.clustering import cluster, cluster_islands, label_components
from glue_ml.matching.row_pairs import Flags, RowPairs, Rows, Scores, flag_rows
from glue_ml.matching.sorted_sets import distinct
from glue_ml.matching.table_lists import TableLists
from glue_ml.matching.threads import map_at_once
from glue_ml.matching.touched_pairs import Judge, Scored, score_all, score_changed

Cosines = npt.NDArray[np.float32]
Bounds = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Found:
    """What a run found out about a table, by row number.

    `bounds` (views x rows): the cosine from which another row would come into a row's list in a view; 0 where the list
    has room. `pairs` are the candidate pairs that matter; `labels` name each row's group by its smallest
    row; `confidence` is the group's.
    """

    lists: TableLists
    bounds: Bounds
    pairs: Scored
    labels: Rows
    confidence: Scores


@dataclass(frozen=True)
class Change:
    """What a run with changed rows found, the rows whose groups it looked at again, and how many pairs it scored."""

    found: Found
    touched: Rows
    scored_pairs: int


def match_everything(judge: Judge) -> Found:
    """Match all rows of a table: what `match_changed` comes to in steps."""
    index = judge.index
    everything = np.arange(index.rows)
    listed = judge.list_rows(index, everything)
    lists = TableLists.of(listed, index.rows)
    scored = score_all(judge, lists)
    edges = scored.edges
    groups = cluster(
        index.rows, edges.lo, edges.hi, edges.probability, threshold=judge.threshold,
        score_pairs=judge.score_alone, constraints=judge.constraints, options=judge.options,
    )  # fmt: skip
    return Found(lists, measure_bounds(index, listed, everything), scored, groups.labels, groups.confidence)


def match_changed(judge: Judge, before: Found, places: Rows) -> Change:
    """Match a table of which an earlier state was matched.

    `places[i]` is the new number of the row that was number i, -1 where it is gone; a row that changed is one that is
    gone and one that is new. Rows that stayed keep their order. The judge must be the same for both tables, and the
    index weighted by the same counts. Cost: a search of the new rows against all, and what they touch.
    """
    index = judge.index
    is_new = np.ones(index.rows, dtype=bool)
    is_new[places[places >= 0]] = False
    old, bounds = before.lists.renumber(places, index.rows), _renumber_bounds(before.bounds, places, index.rows)
    robbed = places[before.lists.find_owners(places < 0)]
    anew = is_new.copy()
    anew[robbed[robbed >= 0]] = True
    renewed, dirty = _renew_lists(judge, old, bounds, anew=anew, is_new=is_new)
    bounds[:, dirty] = measure_bounds(index, renewed, dirty)
    lists = old.replace(flag_rows(dirty, index.rows), renewed)
    pairs, changed, scored = score_changed(judge, before.pairs, (old, lists), dirty, places=places)
    seeds = is_new.copy()
    seeds[changed] = True
    seeds[_find_bereaved(before, places)] = True
    labels, confidence, touched = _cluster_touched(judge, before, pairs.edges, seeds, places=places)
    return Change(Found(lists, bounds, pairs, labels, confidence), touched, scored)


# ---- candidate lists


def measure_bounds(index: BlockingIndex, lists: CandidateLists, rows: Rows) -> Bounds:
    """Return the bounds of `rows` (views x rows, see `Found`), whose lists are among `lists`."""
    place = np.full(index.rows, -1)
    place[rows] = np.arange(len(rows))
    bounds = np.zeros((len(index.views), len(rows)), dtype=np.float32)
    mine = place[lists.row] >= 0
    for bit, view in enumerate(index.views):
        listed = np.flatnonzero(mine & (lists.views & (1 << bit) > 0))
        owner = place[lists.row[listed]]
        least = np.full(len(rows), np.inf, dtype=np.float32)
        np.minimum.at(least, owner, view.cosine(lists.row[listed], lists.other[listed]))
        full = np.bincount(owner, minlength=len(rows)) >= index.budget.top_k
        bounds[bit, full] = least[full]
    return bounds


def find_entered(index: BlockingIndex, rows: Rows, bounds: Bounds) -> list[tuple[Rows, Rows, Cosines]]:
    """Find the lists that the new `rows` come into: for each view the owner of the list, the row, and their cosine."""
    return [view.find_entered(rows, bound) for view, bound in zip(index.views, bounds, strict=True)]


def _renumber_bounds(bounds: Bounds, places: Rows, count: int) -> Bounds:
    """Return the bounds by new numbers; nothing comes into the lists of new rows, which are yet to be made."""
    moved = np.full((len(bounds), count), np.inf, dtype=np.float32)
    moved[:, places[places >= 0]] = bounds[:, places >= 0]
    return moved


def _renew_lists(
    judge: Judge, old: TableLists, bounds: Bounds, *, anew: Flags, is_new: Flags
) -> tuple[CandidateLists, Rows]:
    """Return the lists that are not what they were, and whose they are.

    Those of the rows `anew` are listed from nothing; into others come the rows that are new.
    """
    index = judge.index
    entered = [
        (owner[~anew[owner]], row[~anew[owner]], cosine[~anew[owner]])
        for owner, row, cosine in find_entered(index, np.flatnonzero(is_new), bounds)
    ]
    grown = distinct(np.concatenate([owner for owner, _, _ in entered]))
    parts = judge.list_rows(index, np.flatnonzero(anew)), _grow_lists(index, old.take(grown), entered)
    # each part is in order, and has all of a row's list: the sort merges them
    order = np.argsort(np.concatenate([part.row for part in parts]), kind="stable")
    joined = (np.concatenate([getattr(part, f.name) for part in parts])[order] for f in fields(CandidateLists))
    return CandidateLists(*joined), distinct(np.append(np.flatnonzero(anew), grown))


def _grow_lists(
    index: BlockingIndex, lists: CandidateLists, entered: Sequence[tuple[Rows, Rows, Cosines]]
) -> CandidateLists:
    """Return `lists` with those that came into them, and without those that had to go for it."""

    def grow(bit: int) -> Rows:
        view, (owner, entrant, cosine) = index.views[bit], entered[bit]
        listed = np.flatnonzero(lists.views & (1 << bit))
        row, other = np.append(lists.row[listed], owner), np.append(lists.other[listed], entrant)
        cosine = np.append(view.cosine(lists.row[listed], lists.other[listed]), cosine)
        order = order_lists(row, other, cosine)
        row, other = row[order], other[order]
        first = np.arange(len(row)) - np.searchsorted(row, row) < index.budget.top_k
        return row[first] * index.rows + other[first]

    return rank_found(index, map_at_once(grow, range(len(index.views))))


# ---- groups


def _find_bereaved(before: Found, places: Rows) -> Rows:
    """Return the rows that shared a group or an edge with one that is gone."""
    gone = places < 0
    lost = np.zeros(len(places), dtype=bool)
    lost[before.labels[gone]] = True
    shared = lost[before.labels]
    for one, other in ((before.pairs.edges.lo, before.pairs.edges.hi), (before.pairs.edges.hi, before.pairs.edges.lo)):
        shared[one[gone[other]]] = True
    return places[shared & ~gone]


def _cluster_touched(
    judge: Judge, before: Found, edges: RowPairs, seeds: Flags, *, places: Rows
) -> tuple[Rows, Scores, Rows]:
    """Return the groups and their confidence after clustering the islands that hold `seeds`, and the rows of these."""
    count, must = judge.index.rows, judge.constraints.must_link
    islands = label_components(count, np.append(edges.lo, must[:, 0]), np.append(edges.hi, must[:, 1]))
    is_touched = np.zeros(count, dtype=bool)
    is_touched[islands[seeds]] = True
    is_touched = is_touched[islands]
    labels, confidence = np.zeros(count, dtype=np.int64), np.ones(count)
    stayed = places >= 0
    labels[places[stayed]], confidence[places[stayed]] = places[before.labels[stayed]], before.confidence[stayed]
    rows = np.flatnonzero(is_touched)
    labels[rows], confidence[rows] = _cluster_rows(judge, edges, rows)
    return labels, confidence, rows


def _cluster_rows(judge: Judge, edges: RowPairs, rows: Rows) -> tuple[Rows, Scores]:
    """Cluster whole islands by themselves; return names and confidence of the groups of `rows`."""
    chosen = flag_rows(rows, judge.index.rows)
    groups = cluster_islands(
        rows, edges.select(chosen[edges.lo]), threshold=judge.threshold, score_pairs=judge.score_alone,
        constraints=judge.constraints, options=judge.options,
    )  # fmt: skip
    return groups.labels, groups.confidence
