"""Islands: pieces fit, refine, and follow the strongest edges; settling leaves only open questions."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from glue_ml.matching.islands import find_islands, grow_pieces, settle
from glue_ml.matching.row_pairs import Links, RowPairs

NO_LINKS = np.zeros((0, 2), dtype=np.int64)


def pairs_of(*pairs: tuple[int, int, float]) -> RowPairs:
    lo, hi, probability = zip(*pairs, strict=True)
    return RowPairs(np.array(lo), np.array(hi), np.array(probability))


def random_pairs(seed: int, *, rows: int = 40) -> RowPairs:
    rng = np.random.default_rng(seed)
    chosen = [p for p in combinations(range(rows), 2) if rng.random() < 0.08]
    # one decimal makes many equal edges
    return pairs_of((0, 1, 0.5), *((a, b, round(float(rng.random()), 1)) for a, b in chosen if (a, b) != (0, 1)))


def grow(edges: RowPairs, *, rows: int, cap: int, must_link: npt.NDArray[np.int64] = NO_LINKS) -> npt.NDArray[np.int64]:
    return grow_pieces(edges, Links.resolve(rows, must_link, NO_LINKS), cap=cap)


class TestGrow:
    @given(st.integers(0, 10**6), st.integers(1, 50))
    @settings(max_examples=60, deadline=None)
    def test_pieces_fit_and_refine_the_islands(self, seed: int, cap: int) -> None:
        edges = random_pairs(seed)
        islands = find_islands(edges, Links.resolve(40, NO_LINKS, NO_LINKS))
        pieces = grow(edges, rows=40, cap=cap)
        assert np.bincount(pieces).max() <= max(cap, 1)
        assert all(len(set(islands[pieces == name].tolist())) == 1 for name in pieces)
        assert all(name == np.flatnonzero(pieces == name).min() for name in pieces)
        whole = np.bincount(islands, minlength=40)[islands] <= cap
        assert (pieces[whole] == islands[whole]).all()

    @given(st.integers(0, 10**6), st.integers(1, 50))
    @settings(max_examples=60, deadline=None)
    def test_no_two_tied_pieces_would_fit_together(self, seed: int, cap: int) -> None:
        edges = random_pairs(seed)
        pieces = grow(edges, rows=40, cap=cap)
        sizes = np.bincount(pieces, minlength=40)
        left, right = pieces[edges.lo], pieces[edges.hi]
        assert (sizes[left] + sizes[right])[left != right].min(initial=cap + 1) > cap

    @given(st.integers(0, 10**6), st.integers(2, 20))
    @settings(max_examples=60, deadline=None)
    def test_order_of_edges_does_not_matter(self, seed: int, cap: int) -> None:
        edges = random_pairs(seed)
        shuffled = edges.select(np.random.default_rng(seed).permutation(len(edges.lo)))
        assert grow(shuffled, rows=40, cap=cap).tolist() == grow(edges, rows=40, cap=cap).tolist()

    def test_the_weakest_edge_is_cut(self) -> None:
        chain = pairs_of((0, 1, 0.9), (1, 2, 0.4), (2, 3, 0.8), (3, 4, 0.9))
        assert grow(chain, rows=5, cap=3).tolist() == [0, 0, 2, 2, 2]

    def test_equal_edges_fill_pieces_in_row_order(self) -> None:
        lo, hi = np.triu_indices(10, 1)
        pieces = grow(RowPairs(lo, hi, np.full(45, 0.9)), rows=10, cap=4)
        assert pieces.tolist() == [0, 0, 0, 0, 4, 4, 4, 4, 8, 8]

    def test_must_links_stay_whole(self) -> None:
        edges = pairs_of((0, 1, 0.4), (2, 3, 0.9), (1, 2, 0.5))
        pieces = grow(edges, rows=4, cap=2, must_link=np.array([[0, 1], [0, 3]]))
        assert pieces.tolist() == [0, 0, 2, 0]


class TestSettle:
    def settle(self, pairs: RowPairs, *, rows: int, must_link: npt.NDArray[np.int64] = NO_LINKS) -> list[list[int]]:
        links = Links.resolve(rows, must_link, NO_LINKS)
        pieces = find_islands(pairs, links)
        pairs = links.tidy(pairs)
        labels, unsettled = settle(pieces, links, pairs, pairs.probability >= 0.5)
        return [labels.tolist(), unsettled.tolist()]

    def test_a_clique_of_matches_is_one_cluster(self) -> None:
        pairs = pairs_of((0, 1, 0.9), (0, 2, 0.9), (1, 2, 0.5))
        assert self.settle(pairs, rows=4) == [[0, 0, 0, 3], [-1, -1, -1, -1]]

    def test_a_clique_of_refused_pairs_falls_apart(self) -> None:
        pairs = pairs_of((0, 1, 0.4), (0, 2, 0.4), (1, 2, 0.3))
        assert self.settle(pairs, rows=3) == [[0, 1, 2], [-1, -1, -1]]

    def test_a_missing_or_refused_pair_among_matches_stays_open(self) -> None:
        assert self.settle(pairs_of((0, 1, 0.9), (1, 2, 0.9)), rows=3)[1] == [0, 0, 0]
        assert self.settle(pairs_of((0, 1, 0.9), (1, 2, 0.9), (0, 2, 0.1)), rows=3)[1] == [0, 0, 0]

    def test_a_missing_pair_among_refused_ones_stays_open(self) -> None:
        assert self.settle(pairs_of((0, 1, 0.4), (1, 2, 0.4)), rows=3)[1] == [0, 0, 0]

    def test_must_linked_pairs_are_no_question(self) -> None:
        must_link = np.array([[0, 1]])
        assert self.settle(pairs_of((0, 2, 0.9), (1, 2, 0.9)), rows=3, must_link=must_link) == [[0, 0, 0], [-1] * 3]
        assert self.settle(pairs_of((0, 2, 0.4), (1, 2, 0.4)), rows=3, must_link=must_link) == [[0, 0, 2], [-1] * 3]
        assert self.settle(pairs_of((0, 2, 0.9)), rows=3, must_link=must_link)[1] == [0, 0, 0]
