"""Blocking against brute force: every cosine from its definition, every list by sorting all other rows."""

from __future__ import annotations

import random
from dataclasses import fields

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glue_ml.matching import sparse_view
from glue_ml.matching.blocking import (
    BlockingBudget,
    BlockingIndex,
    bounded_frequency,
    build_index,
    choose_budget,
    code_sources,
    list_candidates,
    look_across,
    take_rows,
)
from glue_ml.matching.candidate_lists import LAST_RANK, UNLISTED_RANK, CandidateLists, look_up_context
from glue_ml.matching.records import Records, prepare_records
from glue_ml.matching.sparse_view import SparseView
from glue_ml.matching.tokens import Incidence
from glue_ml.matching.views import View

FIRST = ["anna", "bert", "carla", "dora", "emil", "fritz", "greta", "hugo"]
LAST = ["smith", "jones", "miller", "baker", "fischer", "weber", "wagner"]
STREET = ["high street", "low road", "long lane", "short way"]


def make_records(rows: int, seed: int) -> Records:
    rng = random.Random(seed)
    table = pa.table({
        "id": [f"k{i:04}" for i in range(rows)],
        "name": [f"{rng.choice(FIRST)} {rng.choice(LAST)}{rng.choice(['', 'x', 'y'])}" for _ in range(rows)],
        "street": [f"{rng.randrange(1, 40)} {rng.choice(STREET)}" if rng.random() < 0.9 else None for _ in range(rows)],
        "source": [rng.choice("ab") for _ in range(rows)],
    })  # fmt: skip
    return prepare_records(table)


Dense = npt.NDArray[np.float64]


def dense(view: View) -> Dense:
    assert isinstance(view, SparseView)
    used = view.matrix[:, np.unique(view.matrix.indices)]  # millions of hashed columns are empty
    return np.asarray(used.todense(), dtype=np.float64)


def nearest(matrix: Dense, row: int, *, top_k: int, allowed: npt.NDArray[np.bool_]) -> set[int]:
    """The rows that must be in a list (strictly nearer than the one after the last), by brute force."""
    cosines = matrix @ matrix[row]
    others = [i for i in np.argsort(-cosines) if i != row and allowed[i] and cosines[i] > 1e-9]
    if len(others) <= top_k:
        return set(others)
    return {i for i in others if cosines[i] > cosines[others[top_k]] + 1e-6}


@pytest.mark.parametrize("source", [None, "source"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_lists_hold_the_nearest_rows_of_each_view(seed: int, source: str | None) -> None:
    records = make_records(150, seed)
    index = build_index(records, BlockingBudget(top_k=4, work_per_record=50), source=source)
    lists = list_candidates(index, np.arange(len(records)))
    codes = records.columns[2].codes
    matrices = [dense(view) for view in index.views]
    for row in range(len(records)):
        listed = set(lists.other[lists.row == row].tolist())
        allowed = np.ones(len(records), bool) if source is None else codes != codes[row]
        must = set.union(*(nearest(matrix, row, top_k=4, allowed=allowed) for matrix in matrices))
        assert must <= listed
        assert row not in listed
        assert all(allowed[i] for i in listed)
        assert len(listed) <= 8


def test_an_index_is_turned_across_a_column_without_being_built_again() -> None:
    records = make_records(150, 1)
    plain, across = (build_index(records, choose_budget(None), source=source) for source in (None, "source"))
    rows = np.arange(len(records))
    turned = look_across(plain, code_sources(records, "source"))
    assert_same_lists(list_candidates(turned, rows), list_candidates(across, rows))
    assert_same_lists(list_candidates(look_across(turned, None), rows), list_candidates(plain, rows))


@pytest.mark.parametrize("source", [None, "source"])
def test_some_rows_of_an_index_find_each_other_as_they_would_beside_the_rest(source: str | None) -> None:
    records = make_records(150, 2)
    index = build_index(records, BlockingBudget(top_k=150, work_per_record=600), source=source)
    rows = np.arange(0, 150, 3)
    lists, part = list_candidates(index, rows), list_candidates(take_rows(index, rows), np.arange(len(rows)))
    among = np.isin(lists.other, rows)
    assert rows[part.row].tolist() == lists.row[among].tolist()
    assert rows[part.other].tolist() == lists.other[among].tolist()
    assert part.score.tolist() == lists.score[among].tolist()


def assert_same_lists(one: CandidateLists, other: CandidateLists) -> None:
    for field in fields(CandidateLists):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_scores_are_the_sum_of_the_cosines_and_ranks_follow_them() -> None:
    records = make_records(80, 3)
    index = build_index(records, BlockingBudget(top_k=5, work_per_record=50))
    lists = list_candidates(index, np.arange(80))
    expected = sum((dense(v)[lists.row] * dense(v)[lists.other]).sum(axis=1) for v in index.views)
    np.testing.assert_allclose(lists.score, expected, atol=1e-5)
    for row in range(80):
        mine = lists.row == row
        order = np.argsort(lists.rank[mine])
        assert lists.rank[mine][order].tolist() == list(range(1, mine.sum() + 1))
        assert (np.diff(lists.score[mine][order]) <= 1e-6).all()
        scores = lists.score[mine][order].astype(float)
        if len(scores) > 1:
            assert lists.ratio[mine][order][0] == pytest.approx(min(scores[0] / scores[1], 2.0), rel=1e-4)
            np.testing.assert_allclose(lists.ratio[mine][order][1:], scores[1:] / scores[0], rtol=1e-4)


@settings(deadline=None, max_examples=25)
@given(st.sets(st.integers(0, 119), min_size=1, max_size=30), st.integers(0, 5))
def test_a_list_does_not_depend_on_the_rows_asked_for_with_it(rows: set[int], seed: int) -> None:
    index = cached_index(seed)
    everything = list_candidates(index, np.arange(120))
    some = list_candidates(index, np.array(sorted(rows)))
    mine = np.isin(everything.row, sorted(rows))
    for name in ("row", "other", "score", "rank", "ratio", "views"):
        np.testing.assert_array_equal(getattr(everything, name)[mine], getattr(some, name))


def test_a_list_does_not_depend_on_how_much_is_worked_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # six of each row: most lists have more equally near rows than places
    names = [f"{first} {last}" for first in FIRST for last in LAST for _ in range(6)]
    records = prepare_records(pa.table({"id": [f"k{i:04}" for i in range(len(names))], "name": names}))
    index = build_index(records, BlockingBudget(top_k=3, work_per_record=5_000))
    everything = np.arange(len(names))
    lists = list_candidates(index, everything)
    monkeypatch.setattr(sparse_view, "WORK_OF_EQUALS", 50)
    monkeypatch.setattr(sparse_view, "PAIRS_AT_ONCE", 7)
    again = list_candidates(index, everything)
    assert [i for i in range(6) if i != 4][:3] == lists.other[lists.row == 4].tolist()
    for name in ("row", "other", "score", "rank", "ratio", "views"):
        np.testing.assert_array_equal(getattr(lists, name), getattr(again, name))


def test_an_index_of_more_entries_than_32_bits_count_is_searched_alike() -> None:
    view = cached_index(0).views[0]
    assert isinstance(view, SparseView)
    rows, inverted = np.arange(view.rows), view.inverted
    narrow = sparse_view.find_nearest(view.matrix, inverted, rows, 3)
    wide = inverted.copy()
    wide.indices, wide.indptr = inverted.indices.astype(np.int64), inverted.indptr.astype(np.int64)
    for one, other in zip(narrow, sparse_view.find_nearest(view.matrix, wide, rows, 3), strict=True):
        np.testing.assert_array_equal(one, other)


def test_rows_without_features_find_nothing() -> None:
    view = cached_index(0).views[0]
    assert isinstance(view, SparseView)
    nothing = Incidence((2, view.matrix.shape[1]), dtype=np.float32)
    assert [len(part) for part in sparse_view.find_nearest(nothing, view.inverted, np.array([-1, -1]), 3)] == [0, 0, 0]


_INDEXES: dict[int, BlockingIndex] = {}


def cached_index(seed: int) -> BlockingIndex:
    if seed not in _INDEXES:
        _INDEXES[seed] = build_index(make_records(120, seed), BlockingBudget(top_k=3, work_per_record=50))
    return _INDEXES[seed]


@given(st.lists(st.integers(0, 60), min_size=1, max_size=40), st.integers(1, 20_000))
def test_the_frequency_bound_keeps_the_work_and_is_the_largest_that_does(frequencies: list[int], work: int) -> None:
    frequency = np.array(frequencies)

    def cost(bound: int) -> int:
        used = frequency[(frequency > 1) & (frequency <= bound)]
        return int((used.astype(np.int64) ** 2).sum())

    bound = bounded_frequency(frequency, work)
    assert cost(bound) <= work
    larger = [f for f in frequencies if f > max(bound, 1)]
    assert not larger or cost(min(larger)) > work


def test_common_words_count_in_pairs_where_they_are_too_common_alone() -> None:
    rows = [("a1", "anna smith"), ("a2", "anna smith"), *((f"b{i}", f"anna x{i}") for i in range(40)),
            *((f"c{i}", f"y{i} smith") for i in range(40))]  # fmt: skip
    table = pa.table({"id": [key for key, _ in rows], "name": [name for _, name in rows]})
    records = prepare_records(table)
    budget = BlockingBudget(top_k=3, work_per_record=50)
    # a budget under which neither `anna` nor `smith` (41 records each) may be a key by itself
    tight = type("Tight", (BlockingBudget,), {"work": lambda self, rows: 500})(budget.top_k, budget.work_per_record)
    keys = build_index(records, tight).views[0]
    assert keys.cosine(np.array([0]), np.array([1]))[0] > 0.5
    assert keys.cosine(np.array([0]), np.array([2]))[0] == 0.0


def test_the_context_of_a_pair_is_what_both_lists_say() -> None:
    index = cached_index(0)
    lists = list_candidates(index, np.arange(120))
    left, right = lists.row[:50], lists.other[:50]
    context = look_up_context(lists, left, right)
    swapped = look_up_context(lists, right, left)
    np.testing.assert_array_equal(context, swapped)
    for i, (a, b) in enumerate(zip(left, right, strict=True)):
        ranks = [lists.rank[(lists.row == x) & (lists.other == y)] for x, y in ((a, b), (b, a))]
        known = [int(r[0]) for r in ranks if len(r)]
        assert context[i, 1] == min(*known, LAST_RANK)
        assert context[i, 2] == (min(max(known), LAST_RANK) if len(known) == 2 else UNLISTED_RANK)
        assert context[i, 5] == len(known)


def test_pairs_in_no_list_have_an_empty_context() -> None:
    index = cached_index(1)
    lists = list_candidates(index, np.array([5]))
    context = look_up_context(lists, np.array([5]), np.array([5]))
    assert context[0].tolist() == [0.0, UNLISTED_RANK, UNLISTED_RANK, 0.0, 0.0, 0.0, 0.0]


def test_the_dial_from_cost_to_accuracy_only_ever_adds() -> None:
    budgets = [choose_budget(i / 10) for i in range(11)]
    assert [b.top_k for b in budgets] == sorted(b.top_k for b in budgets)
    assert [b.work_per_record for b in budgets] == sorted(b.work_per_record for b in budgets)
    assert choose_budget(None) == choose_budget(0.5) == BlockingBudget(top_k=10, work_per_record=600)


def test_tables_too_small_for_pairs_have_no_candidates() -> None:
    for rows in (0, 1):
        table = pa.table({"id": pa.array([str(i) for i in range(rows)], pa.string()),
                          "name": pa.array(["x"] * rows, pa.string())})  # fmt: skip
        index = build_index(prepare_records(table), choose_budget(None))
        assert len(list_candidates(index, np.arange(rows)).row) == 0
