"""The candidate lists of a whole table, which a match state keeps: as small as can be, and looked up by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from glue_ml.matching.candidate_lists import CandidateLists, find_entries, merge_context, rank_entries
from glue_ml.matching.row_pairs import Flags, Rows

Entries = npt.NDArray[Any]


@dataclass(frozen=True)
class TableLists:
    """The lists of rows 0 to n - 1, best candidates first (see `CandidateLists`).

    The list of row i reaches from starts[i] to before starts[i + 1]. Rank and ratio follow from place and score, so
    they are not kept: there may be tens of millions of entries.
    """

    starts: Rows
    other: npt.NDArray[np.int32]
    score: npt.NDArray[np.float32]
    views: npt.NDArray[np.int8]

    @classmethod
    def of(cls, lists: CandidateLists, rows: int) -> Self:
        """Keep the lists of all rows of a table with so many."""
        return cls(
            _start(np.bincount(lists.row, minlength=rows)), lists.other.astype(np.int32), lists.score, lists.views
        )

    @property
    def lengths(self) -> Rows:
        """The number of entries of each row."""
        return np.diff(self.starts)

    def take(self, rows: Rows) -> CandidateLists:
        """Return the lists of `rows`, ascending."""
        lengths = self.lengths[rows]
        first, end = (np.repeat(starts[rows], lengths) for starts in (self.starts[:-1], self.starts[1:]))
        place = first + np.arange(len(first)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        rank, ratio = rank_entries(place, first, end, self.score)
        row, other = np.repeat(rows, lengths), self.other[place].astype(np.int64)
        return CandidateLists(row, other, self.score[place], rank, ratio, self.views[place])

    def renumber(self, places: Rows, count: int) -> Self:
        """Return the lists of the rows that are still there, in a table of `count` rows; new rows have none yet.

        `places[i]` is the new number of row i, -1 where it is gone; those that are there keep their order. What was
        said about a row that is gone is about -1 now, so that other entries keep their rank and ratio.
        """
        narrow, lengths = places.astype(np.int32), np.zeros(count, dtype=np.int64)
        is_there = places >= 0
        lengths[places[is_there]] = self.lengths[is_there]
        if is_there.all():  # nothing to leave out of what may be hundreds of megabytes
            return type(self)(_start(lengths), narrow[self.other], self.score, self.views)
        kept = np.repeat(is_there, self.lengths)
        return type(self)(_start(lengths), narrow[self.other[kept]], self.score[kept], self.views[kept])

    def find_owners(self, gone: Flags) -> Rows:
        """Return the rows whose lists have an entry about a row that is `gone`."""
        if not gone.any():
            return np.zeros(0, dtype=np.int64)
        places = np.flatnonzero(gone[self.other])
        return np.searchsorted(self.starts, places, side="right") - 1

    def replace(self, is_replaced: Flags, lists: CandidateLists) -> Self:
        """Return these lists with those of the replaced rows, all of which are in `lists`, instead of their own."""
        renewed = np.where(is_replaced, np.bincount(lists.row, minlength=len(is_replaced)), self.lengths)
        here, there = np.repeat(~is_replaced, self.lengths), np.repeat(is_replaced, renewed)

        def splice(mine: Entries, others: Entries) -> Entries:
            joined = np.empty(len(there), dtype=mine.dtype)
            joined[~there], joined[there] = mine[here], others
            return joined

        parts = ((self.other, lists.other), (self.score, lists.score), (self.views, lists.views))
        return type(self)(_start(renewed), *(splice(*part) for part in parts))

    def look_up_context(self, left: Rows, right: Rows) -> npt.NDArray[np.float32]:
        """Return the CONTEXT of pairs (see `candidate_lists.look_up_context`)."""
        row, other = np.concatenate([left, right]), np.concatenate([right, left])
        first, end = self.starts[row], self.starts[row + 1]
        place, listed = find_entries(self.other, first, end, other)
        score, ratio = (np.zeros(len(row), dtype=np.float32) for _ in range(2))
        rank, views = np.zeros(len(row), dtype=np.int32), np.zeros(len(row), dtype=np.int8)
        there = place[listed]
        rank[listed], ratio[listed] = rank_entries(there, first[listed], end[listed], self.score)
        score[listed], views[listed] = self.score[there], self.views[there]
        sides: list[Entries] = [part.reshape(2, -1) for part in (score, rank, ratio, listed, views)]
        return merge_context(*sides)


def _start(lengths: Rows) -> Rows:
    return np.concatenate([[0], np.cumsum(lengths)])
