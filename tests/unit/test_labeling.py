from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from glue_ml.matching.labeling import PairPool, choose_neighbourhoods, deal_sets, is_drawn, name_set


def make_pool(pairs: int, rows: int, seed: int) -> PairPool:
    rng = np.random.default_rng(seed)
    codes = np.unique(rng.integers(0, rows, (pairs, 2)), axis=0)
    codes = codes[codes[:, 0] < codes[:, 1]]
    probability, disagreement, coverage = (rng.random(len(codes)) for _ in range(3))
    kind = np.zeros(len(codes), np.int64)
    return PairPool(codes[:, 0], codes[:, 1], probability, disagreement, coverage, kind)


@settings(deadline=None)
@given(st.integers(0, 2000), st.integers(2, 300), st.integers(0, 150), st.integers(0, 9))
def test_rows_are_asked_about_once_and_never_again(pairs: int, rows: int, wanted: int, seed: int) -> None:
    pool = make_pool(pairs, rows, seed)
    excluded = np.arange(0, rows, 7)
    groups = choose_neighbourhoods(pool, rows=wanted, excluded=excluded, seed=seed).groups
    chosen = [row for group in groups for row in group]
    assert len(chosen) == len(set(chosen)) <= wanted
    assert not set(chosen) & set(excluded.tolist())
    assert all(len(group) in (2, 3) for group in groups)
    known = set(zip(pool.left.tolist(), pool.right.tolist(), strict=True))
    assert all((min(group[:2]), max(group[:2])) in known for group in groups)


def test_a_large_pool_fills_the_request_and_starts_with_the_most_uncertain_pair() -> None:
    pool = make_pool(20_000, 5_000, 1)
    groups = choose_neighbourhoods(pool, rows=100, excluded=np.zeros(0, np.int64), seed=0).groups
    assert sum(map(len, groups)) == 100
    first = int(np.argmax(pool.disagreement))
    assert groups[0][:2] == [pool.left[first], pool.right[first]]


def test_the_order_of_the_pool_does_not_matter() -> None:
    pool = make_pool(3_000, 900, 2)
    order = np.random.default_rng(0).permutation(len(pool.left))
    pool = replace(pool, kind=np.arange(len(order)) % 3)
    shuffled = PairPool(*(getattr(pool, field.name)[order] for field in fields(pool)))
    none = np.zeros(0, np.int64)
    first = choose_neighbourhoods(pool, rows=60, excluded=none, seed=5)
    assert first == choose_neighbourhoods(shuffled, rows=60, excluded=none, seed=5)


def test_pairs_of_each_kind_are_asked_about_however_certain_the_model_is_of_one_kind() -> None:
    pool = make_pool(20_000, 5_000, 4)
    kind = (pool.left % 2 == 0).astype(np.int64)
    sure = replace(pool, kind=kind, disagreement=np.where(kind == 1, pool.disagreement / 100, 0.5 + pool.disagreement))
    groups = choose_neighbourhoods(sure, rows=100, excluded=np.zeros(0, np.int64), seed=0).groups
    number = {(a, b): i for i, (a, b) in enumerate(zip(pool.left.tolist(), pool.right.tolist(), strict=True))}
    kinds = [int(kind[number[min(group[:2]), max(group[:2])]]) for group in groups[:20]]
    assert kinds[:2] == [0, 1]
    assert 8 <= sum(kinds) <= 12


def test_part_of_the_pairs_covers_the_whole_range_of_scores() -> None:
    pool = make_pool(20_000, 5_000, 3)
    calm = replace(pool, disagreement=pool.disagreement * 0, coverage=pool.coverage * 0)
    groups = choose_neighbourhoods(calm, rows=200, excluded=np.zeros(0, np.int64), seed=0).groups
    number = {(a, b): i for i, (a, b) in enumerate(zip(pool.left.tolist(), pool.right.tolist(), strict=True))}
    last = [number[min(g[:2]), max(g[:2])] for g in groups[-10:]]
    strata = {int(pool.probability[i] * 10) for i in last}
    assert len(strata) >= 9


@given(st.lists(st.lists(st.integers(), min_size=2, max_size=3), max_size=40), st.integers(1, 12))
def test_sets_are_even_and_keep_neighbourhoods_together(groups: list[list[int]], sets: int) -> None:
    numbered = [[3 * i + j for j in range(len(group))] for i, group in enumerate(groups)]
    dealt = deal_sets(numbered, sets=sets, seed=0)
    assert sorted(row for rows in dealt for row in rows) == sorted(row for group in numbered for row in group)
    assert len(dealt) == min(sets, len(groups))
    if dealt:
        assert max(map(len, dealt)) - min(map(len, dealt)) <= 3
    for group in numbered:
        assert any("".join(map(str, group)) in "".join(map(str, rows)) for rows in dealt)


def test_the_pairs_drawn_at_random_are_told_and_are_a_tenth() -> None:
    pool = make_pool(20_000, 5_000, 1)
    chosen = choose_neighbourhoods(pool, rows=200, excluded=np.zeros(0, np.int64), seed=0)
    assert len(chosen.drawn) == 10
    known = set(zip(pool.left.tolist(), pool.right.tolist(), strict=True))
    assert all((min(pair), max(pair)) in known for pair in chosen.drawn)
    assert set(chosen.drawn) <= {(group[0], group[1]) for group in chosen.groups}


def test_the_name_of_a_set_marks_its_pairs_that_were_drawn_at_random() -> None:
    name = name_set(["a", "b", "c", "d", "e"], [("d", "a"), ("x", "y"), ("a", "x")])
    assert is_drawn(name, "a", "d")
    assert is_drawn(name, "d", "a")
    assert not any(is_drawn(name, one, other) for one, other in (("a", "b"), ("b", "d"), ("x", "y"), ("a", "x")))
    # an import may have told it from another set of the name
    assert is_drawn(f"{name}~2", "a", "d")
    assert name.startswith(name_set(["e", "d", "c", "b", "a"]))
    assert name_set(["a", "b", "c"], [("a", "b"), ("b", "c")]) == name_set(["c", "b", "a"], [("c", "b"), ("b", "a")])


@given(st.text(max_size=40), st.text(), st.text())
def test_a_name_that_somebody_gave_marks_nothing(name: str, a: str, b: str) -> None:
    assert not is_drawn(name, a, b)
    assert not is_drawn(name_set([a, b]), a, b)


def test_a_set_is_named_by_its_members_in_any_order() -> None:
    assert name_set(["a", "b"]) == name_set(["b", "a"]) != name_set(["ab", ""])
