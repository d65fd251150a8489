"""Match ids that last: which group keeps which id when groups merge and split, and the ledger that tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from glue_ml.matching.row_pairs import Rows

NO_ID = int(np.iinfo(np.int64).min)  #: What stands for the id of a row that has none.


class LedgerEvent(StrEnum):
    """What happened to a match id in a run."""

    NEW = "new"  #: A group of rows none of which had an id.
    MERGED = "merged"  #: A group of rows with several ids (`from_ids`), of which it keeps one or has a new one.
    SPLIT = "split"  #: An id whose rows now have several (`into_ids`).
    RETIRED = "retired"  #: An id that no row has any more; `into_ids` have its rows, none where the rows are gone.


@dataclass(frozen=True)
class LedgerEntry:
    """One event of one match id; the ids are in ascending order."""

    match_id: int
    event: LedgerEvent
    from_ids: tuple[int, ...]
    into_ids: tuple[int, ...]


@dataclass(frozen=True)
class Naming:
    """The match id of each row, in the order given, and what happened to ids."""

    ids: Rows
    entries: tuple[LedgerEntry, ...]


def assign_ids(old_ids: Rows, labels: Rows, *, first_free: int, lost: Sequence[int] = ()) -> Naming:
    """Give each group of rows (equal `labels`) a match id.

    `old_ids` are the rows' ids so far, negative ones included; `NO_ID` where a row has none. A group keeps the id of
    the old group with which it shares most rows, and so the id goes to the group with most of its rows: pairs of an old
    and a new group are taken by falling overlap, of equal ones the smallest id, then the smallest label. What is left
    has new ids from `first_free` on, in the order of labels. `lost` are ids of rows that are gone.
    """
    names, group = np.unique(labels, return_inverse=True)
    known = old_ids != NO_ID
    pairs, overlap = np.unique(np.stack([old_ids[known], group[known]]), axis=1, return_counts=True)
    chosen = _choose(pairs, overlap, len(names))
    unnamed = chosen == NO_ID
    chosen[unnamed] = first_free + np.arange(unnamed.sum())
    entries = _tell_groups(pairs, chosen) + _tell_ids(pairs, chosen, lost)
    return Naming(chosen[group], tuple(sorted(entries, key=lambda entry: (entry.match_id, entry.event))))


def _choose(pairs: Rows, overlap: Rows, groups: int) -> Rows:
    """Return the old id of each new group, NO_ID where it gets none."""
    chosen, taken = np.full(groups, NO_ID, dtype=np.int64), set()
    for place in np.lexsort((pairs[1], pairs[0], -overlap)).tolist():
        match_id, group = int(pairs[0, place]), int(pairs[1, place])
        if chosen[group] == NO_ID and match_id not in taken:
            chosen[group] = match_id
            taken.add(match_id)
    return chosen


def _tell_groups(pairs: Rows, chosen: Rows) -> list[LedgerEntry]:
    sources = np.bincount(pairs[1], minlength=len(chosen))
    entries = [LedgerEntry(i, LedgerEvent.NEW, (), (i,)) for i in chosen[sources == 0].tolist()]
    for group in np.flatnonzero(sources > 1).tolist():
        own = int(chosen[group])
        entries.append(LedgerEntry(own, LedgerEvent.MERGED, tuple(pairs[0, pairs[1] == group].tolist()), (own,)))
    return entries


def _tell_ids(pairs: Rows, chosen: Rows, lost: Sequence[int]) -> list[LedgerEntry]:
    entries, kept = [], set(chosen.tolist())
    into: dict[int, list[int]] = {match_id: [] for match_id in lost}
    for match_id, group in pairs.T.tolist():
        into.setdefault(match_id, []).append(int(chosen[group]))
    for match_id, targets in into.items():
        told = (match_id,), tuple(sorted(targets))
        if len(targets) > 1:
            entries.append(LedgerEntry(match_id, LedgerEvent.SPLIT, *told))
        if match_id not in kept:
            entries.append(LedgerEntry(match_id, LedgerEvent.RETIRED, *told))
    return entries
