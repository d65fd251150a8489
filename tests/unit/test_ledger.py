"""Match ids over time: who keeps which, and what the ledger says."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from glue_ml.matching.ledger import NO_ID, LedgerEntry, LedgerEvent, assign_ids

NEW, MERGED, SPLIT, RETIRED = LedgerEvent.NEW, LedgerEvent.MERGED, LedgerEvent.SPLIT, LedgerEvent.RETIRED


def name(old: list[int], labels: list[int], **options: object) -> tuple[list[int], list[LedgerEntry]]:
    naming = assign_ids(np.array(old, dtype=np.int64), np.array(labels, dtype=np.int64), first_free=100, **options)  # type: ignore[arg-type]
    return naming.ids.tolist(), list(naming.entries)


def test_the_larger_part_keeps_the_id_when_a_group_splits() -> None:
    ids, entries = name([5, 5, 5], [0, 1, 1])
    assert ids == [100, 5, 5]
    assert entries == [LedgerEntry(5, SPLIT, (5,), (5, 100))]


def test_the_larger_group_gives_its_id_when_two_merge() -> None:
    ids, entries = name([7, 7, 3], [0, 0, 0])
    assert ids == [7, 7, 7]
    assert entries == [LedgerEntry(3, RETIRED, (3,), (7,)), LedgerEntry(7, MERGED, (3, 7), (7,))]


def test_of_equal_parts_the_smallest_id_stays() -> None:
    assert name([9, 4], [0, 0])[0] == [4, 4]


def test_rows_without_ids_join_or_make_new_groups() -> None:
    ids, entries = name([NO_ID, -4, NO_ID, NO_ID], [0, 0, 2, 2])
    assert ids == [-4, -4, 100, 100]
    assert entries == [LedgerEntry(100, NEW, (), (100,))]


def test_an_id_whose_rows_are_gone_is_retired_into_nothing() -> None:
    assert name([5], [0], lost=[6])[1] == [LedgerEntry(6, RETIRED, (6,), ())]


def test_nothing_happens_to_nothing() -> None:
    assert name([], []) == ([], [])


@given(st.lists(st.tuples(st.sampled_from([NO_ID, -1, 0, 1, 2, 3]), st.integers(0, 5)), max_size=30))
def test_groups_and_ids_are_one_to_one_and_every_change_is_told(rows: list[tuple[int, int]]) -> None:
    old, labels = [row[0] for row in rows], [row[1] for row in rows]
    ids, entries = name(old, labels)
    assert len(set(zip(ids, labels, strict=True))) == len(set(ids)) == len(set(labels))
    retired = {entry.match_id for entry in entries if entry.event is RETIRED}
    assert retired == set(old) - {NO_ID} - set(ids)
    new = {entry.match_id for entry in entries if entry.event is NEW}
    fresh = {
        label for label in labels if all(o == NO_ID for o, other in zip(old, labels, strict=True) if other == label)
    }
    assert new == {i for i, label in zip(ids, labels, strict=True) if label in fresh}
