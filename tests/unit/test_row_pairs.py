"""Listing pairs against itertools; what constraints settle; the scale of log-odds."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glue_ml.matching.row_pairs import Links, RowPairs, Scale, gather_by_size, list_between, list_within


def links(*pairs: tuple[int, int]) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


class TestList:
    @given(st.lists(st.integers(-1, 5), max_size=20))
    def test_within_lists_each_pair_of_a_name_once(self, names: list[int]) -> None:
        lo, hi = list_within(np.array(names, dtype=np.int64))
        expected = [(a, b) for a, b in combinations(range(len(names)), 2) if names[a] == names[b] >= 0]
        assert sorted(zip(lo.tolist(), hi.tolist(), strict=True)) == expected

    @given(st.lists(st.integers(-1, 5), max_size=20))
    def test_gathering_holds_each_position_once_under_its_name(self, names: list[int]) -> None:
        gathered = [row for rows in gather_by_size(np.array(names, dtype=np.int64)) for row in rows.tolist()]
        assert sorted(gathered) == sorted(
            [i for i, other in enumerate(names) if other == name] for name in set(names) - {-1}
        )

    @given(st.permutations([0, 0, 0, 1, 2, 2, 3, 3, 3, 3]))
    def test_between_lists_the_product(self, names: list[int]) -> None:
        which, a, b = list_between(np.array(names), np.array([0, 1, 2]), np.array([2, 0, 3]), limit=100)
        places = {name: [i for i, other in enumerate(names) if other == name] for name in names}
        for i, (first, second) in enumerate([(0, 2), (1, 0), (2, 3)]):
            found = zip(a[which == i].tolist(), b[which == i].tolist(), strict=True)
            assert sorted(found) == sorted(product(places[first], places[second]))

    def test_between_nothing_is_nothing(self) -> None:
        nothing = np.zeros(0, dtype=np.int64)
        assert [side.tolist() for side in list_between(np.array([0, 1]), nothing, nothing, limit=9)] == [[], [], []]

    @pytest.mark.parametrize(("left", "right"), [(100, 100), (40, 250), (1, 10_000)])
    def test_a_sample_is_distinct_and_spread_evenly(self, left: int, right: int) -> None:
        names = np.repeat([0, 1], [left, right])
        _, a, b = list_between(names, np.array([0]), np.array([1]), limit=1000)
        assert len(set(zip(a.tolist(), b.tolist(), strict=True))) == 1000
        # expected per row: 1000 / left and 1000 / right; clumps would show as a multiple of that
        assert np.bincount(a, minlength=left).max() <= 2 * max(1000 // left, 1)
        assert np.bincount(b - left, minlength=right).max() <= 2 * max(1000 // right, 1)
        assert len(np.unique(a)) == left


class TestLinks:
    def test_groups_are_named_by_their_smallest_row(self) -> None:
        assert Links.resolve(6, links((4, 2), (5, 4)), links()).groups.tolist() == [0, 1, 2, 3, 2, 2]

    def test_a_forbidden_pair_is_known_either_way_round(self) -> None:
        pairs = RowPairs(np.array([0, 1]), np.array([2, 2]), np.array([0.5, 0.5]))
        assert Links.resolve(3, links(), links((2, 0))).forbids(pairs).tolist() == [True, False]

    def test_must_link_wins_over_cannot_link(self) -> None:
        resolved = Links.resolve(3, links((0, 1), (1, 2)), links((0, 2), (1, 1)))
        assert len(resolved.forbidden) == 0

    def test_tidy_pairs_are_open_and_in_row_order(self) -> None:
        resolved = Links.resolve(4, links((0, 1)), links())
        pairs = resolved.tidy(RowPairs(np.array([1, 0, 0, 0]), np.array([3, 3, 1, 2]), np.array([0.4, 0.3, 0.2, 0.1])))
        assert (pairs.lo.tolist(), pairs.hi.tolist()) == ([0, 0, 1], [2, 3, 3])
        assert pairs.probability.tolist() == [0.1, 0.3, 0.4]


class TestScale:
    def test_likeness_is_log_odds_within_bounds(self) -> None:
        pairs = RowPairs(np.zeros(4, np.int64), np.arange(1, 5), np.array([0.0, 0.25, 0.9, 1.0]))
        found = Scale.at(0.5).likeness(pairs, Links.resolve(5, links(), links((0, 3))))
        assert found == pytest.approx([-7.0, np.log(1 / 3), -np.inf, 7.0], abs=1e-6)

    def test_a_pair_at_the_threshold_equals_it(self) -> None:
        pairs = RowPairs(np.array([0]), np.array([1]), np.array([0.37]))
        scale = Scale.at(0.37)
        assert scale.likeness(pairs, Links.resolve(2, links(), links()))[0] == scale.threshold

    @given(st.floats(1e-12, 1 - 1e-12))
    def test_the_bounds_leave_room_for_the_threshold(self, threshold: float) -> None:
        scale = Scale.at(threshold)
        assert -scale.limit < scale.threshold < scale.limit
