"""The lists of a whole table, kept small: they say what the lists they were made of say."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from glue_ml.matching.candidate_lists import CandidateLists, look_up_context, rank_candidates
from glue_ml.matching.row_pairs import flag_rows
from glue_ml.matching.table_lists import TableLists

ROWS = 9
LISTED = st.sets(st.tuples(st.integers(0, 8), st.integers(0, 8)).filter(lambda pair: pair[0] != pair[1]), max_size=40)
SOME = st.sets(st.integers(0, ROWS - 1))


def make_lists(listed: set[tuple[int, int]]) -> CandidateLists:
    row, other = np.array(sorted(listed), dtype=np.int64).reshape(-1, 2).T
    score = (np.minimum(row, other) * 7 + np.maximum(row, other) * 3) % 5 / np.float32(4.0)
    return rank_candidates(row, other, score.astype(np.float32), (1 + row % 3).astype(np.int8))


def assert_same(one: CandidateLists, other: CandidateLists) -> None:
    for field in fields(CandidateLists):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), field.name)


@given(LISTED, SOME)
def test_the_lists_of_some_rows_are_those_that_went_in(listed: set[tuple[int, int]], chosen: set[int]) -> None:
    taken = TableLists.of(make_lists(listed), ROWS).take(np.array(sorted(chosen), dtype=np.int64))
    assert_same(taken, make_lists({pair for pair in listed if pair[0] in chosen}))


@given(LISTED)
def test_every_pair_has_the_context_that_the_lists_tell(listed: set[tuple[int, int]]) -> None:
    lists = make_lists(listed)
    left, right = np.divmod(np.arange(ROWS * ROWS), ROWS)
    context = TableLists.of(lists, ROWS).look_up_context(left, right)
    np.testing.assert_array_equal(context, look_up_context(lists, left, right))


@given(LISTED, LISTED, SOME)
def test_the_lists_of_some_rows_are_replaced(
    listed: set[tuple[int, int]], others: set[tuple[int, int]], chosen: set[int]
) -> None:
    renewed = {pair for pair in others if pair[0] in chosen}
    flags = flag_rows(np.array(sorted(chosen), dtype=np.int64), ROWS)
    replaced = TableLists.of(make_lists(listed), ROWS).replace(flags, make_lists(renewed))
    expected = make_lists({pair for pair in listed if pair[0] not in chosen} | renewed)
    assert_same(replaced.take(np.arange(ROWS)), expected)


@given(LISTED, SOME)
def test_rows_that_go_leave_the_ranks_of_others_and_their_owners_are_told(
    listed: set[tuple[int, int]], gone: set[int]
) -> None:
    places = np.arange(ROWS) * 2  # between them there is room for new rows
    places[sorted(gone)] = -1
    lists = make_lists(listed)
    moved = TableLists.of(lists, ROWS).renumber(places, 2 * ROWS).take(np.arange(2 * ROWS))
    stays = places[lists.row] >= 0
    np.testing.assert_array_equal(moved.row, places[lists.row[stays]])
    np.testing.assert_array_equal(moved.other, places[lists.other[stays]])
    for name in ("score", "rank", "ratio", "views"):
        np.testing.assert_array_equal(getattr(moved, name), getattr(lists, name)[stays], name)
    robbed = TableLists.of(lists, ROWS).find_owners(places < 0)
    assert set(robbed.tolist()) == {row for row, other in listed if other in gone}
