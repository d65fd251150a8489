"""Candidate lists: whom blocking proposes for each record, and how a pair stands among its records' candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CandidateLists:
    """The candidates of some rows, one entry per (row, other), in the order of rows and, within a list, of ranks.

    score is the sum of the views' cosines; rank counts from 1 by falling score; ratio is the score over the best score
    among the row's *other* candidates (2 where there is no other, so that a lone candidate stands out).
    """

    row: Rows
    other: Rows
    score: npt.NDArray[np.float32]
    rank: npt.NDArray[np.int32]
    ratio: npt.NDArray[np.float32]
    views: npt.NDArray[np.int8]  #: Bit set of the views that proposed the pair: 1 the first, 2 the second, ...


def rank_candidates(
    row: Rows, other: Rows, score: npt.NDArray[np.float32], views: npt.NDArray[np.int8]
) -> CandidateLists:
    """Return the lists of distinct pairs (row, other), given the score of each and the views that proposed it."""
    order = order_lists(row, other, score)
    row, other, score, views = row[order], other[order], score[order], views[order]
    first, end = np.searchsorted(row, row), np.searchsorted(row, row, side="right")
    rank, ratio = rank_entries(np.arange(len(row)), first, end, score)
    return CandidateLists(row, other, score, rank, ratio, views)


def rank_entries(
    place: Rows, first: Rows, end: Rows, score: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Return rank and ratio (see `CandidateLists`) of the entries at `place`.

    The list of each reaches from `first` to before `end`; `score` are those of all entries, lists by falling score.
    """
    rank = (place - first + 1).astype(np.int32)
    lone = end - first == 1
    rival = score[np.where(rank == 1, np.where(lone, first, first + 1), first)]
    ratio = np.where(lone, 2.0, score[place] / np.maximum(rival, 1e-6))
    return rank, np.clip(ratio, 0.0, 2.0).astype(np.float32)


def order_lists(row: Rows, other: Rows, score: npt.NDArray[np.float32]) -> Rows:
    """Return the order by row, falling score, and other.

    Rows and scores are sorted as one number, several times as fast as by one key after the other; what is left are the
    entries with equals.
    """
    # the bits of floats rise as the floats do, once those of negative ones are turned round
    bits = (score + np.float32(0.0)).view(np.int32)
    key = (row << np.int64(32)) - (bits ^ ((bits >> np.int32(31)) & np.int32(0x7FFFFFFF)))
    order = np.argsort(key)
    ordered = key[order]
    same = ordered[1:] == ordered[:-1]
    tied = np.flatnonzero(np.append(False, same) | np.append(same, False))
    order[tied] = order[tied][np.lexsort((other[order[tied]], ordered[tied]))]
    return order


LAST_RANK = 5  #: So are all further ones: what comes in far below changes nothing about the pairs above it.
UNLISTED_RANK = LAST_RANK + 1  #: The rank of a record that is not in the list.
CONTEXT = ("score", "best_rank", "worst_rank", "best_ratio", "worst_ratio", "lists", "views")


def look_up_context(lists: CandidateLists, left: Rows, right: Rows) -> npt.NDArray[np.float32]:
    """Return the CONTEXT features (pairs x 7) of pairs whose both rows have their lists in `lists`.

    The context says how a pair compares with the other candidates of either record; a pair in neither list gets
    score 0, rank UNLISTED_RANK and ratio 0.
    """
    place, listed = find_listed(lists, np.concatenate([left, right]), np.concatenate([right, left]))
    place, listed = place.reshape(2, -1), listed.reshape(2, -1)
    # where nothing is listed there is no entry to read
    score, rank, ratio, views = (
        entries[place] if len(entries) else np.zeros(place.shape, dtype=entries.dtype)
        for entries in (lists.score, lists.rank, lists.ratio, lists.views)
    )
    return merge_context(score, rank, ratio, listed, views * listed)


def find_listed(lists: CandidateLists, row: Rows, other: Rows) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """Return the place of the entry about each `other` in the list of its `row`, and whether there is one."""
    first, end = np.searchsorted(lists.row, row), np.searchsorted(lists.row, row, side="right")
    return find_entries(lists.other, first, end, other)


def find_entries(
    listed: npt.NDArray[np.integer], first: Rows, end: Rows, other: Rows
) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """Return where in `listed`, from `first` to before `end`, each `other` is, and whether it is there; 0 if not.

    All lists are gone through together, an entry of each at a time: they are short.
    """
    place, found = np.zeros(len(other), dtype=np.int64), np.zeros(len(other), dtype=bool)
    sought, at = np.arange(len(other)), first
    while len(sought):
        left = at < end[sought]
        sought, at = sought[left], at[left]
        here = listed[at] == other[sought]
        place[sought[here]], found[sought[here]] = at[here], True
        sought, at = sought[~here], at[~here] + 1
    return place, found


def merge_context(
    score: npt.NDArray[np.generic], rank: npt.NDArray[np.generic], ratio: npt.NDArray[np.generic],
    listed: npt.NDArray[np.bool_], views: npt.NDArray[np.generic],
) -> npt.NDArray[np.float32]:  # fmt: skip
    """Merge what the two sides' lists say (arrays 2 x pairs) into CONTEXT, whichever side comes first."""
    rank = np.where(listed, np.minimum(rank, LAST_RANK), UNLISTED_RANK)
    ratio = np.where(listed, ratio, 0.0)
    bits = views[0].astype(np.uint8) | views[1].astype(np.uint8)
    columns = [
        np.where(listed, score, 0.0).max(axis=0), rank.min(axis=0), rank.max(axis=0),
        ratio.max(axis=0), ratio.min(axis=0), listed.sum(axis=0), np.unpackbits(bits[:, None], axis=1).sum(axis=1),
    ]  # fmt: skip
    return np.stack(columns, axis=-1).astype(np.float32)


def look_up_lists(lists: CandidateLists, row: Rows, other: Rows) -> tuple[Rows, Rows]:
    """Return the bits of the views that list each `other` for its `row`, and its rank there; 0 where not listed."""
    place, listed = find_listed(lists, row, other)
    bits, rank = (np.zeros(len(row), dtype=np.int64) for _ in range(2))
    bits[listed], rank[listed] = lists.views[place[listed]], lists.rank[place[listed]]
    return bits, rank
