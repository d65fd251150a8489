"""Average linkage, dense and lazy, against its definition and scipy."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from glue_ml.matching import linkage as linkage_module
from glue_ml.matching.linkage import BATCH_CELLS, merge_by_average, merge_lazily

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]


def random_likeness(seed: int, nodes: int) -> Scores:
    upper = np.triu(np.random.default_rng(seed).normal(0, 3, (nodes, nodes)), 1)
    return upper + upper.T


def name_by_smallest(labels: npt.NDArray[np.signedinteger]) -> list[int]:
    return [int(np.flatnonzero(labels == label)[0]) for label in labels]


def link_with_scipy(likeness: Scores, threshold: float) -> list[int]:
    distance = squareform(20.0 - likeness, checks=False)
    return name_by_smallest(fcluster(linkage(distance, "average"), 20.0 - threshold, criterion="distance"))


class TestMergeByAverage:
    @given(st.integers(0, 10**6), st.integers(2, 30), st.floats(-2, 2))
    @settings(max_examples=100, deadline=None)
    def test_equals_scipy(self, seed: int, nodes: int, threshold: float) -> None:
        likeness = random_likeness(seed, nodes)
        found = merge_by_average(likeness[None], np.ones((1, nodes), dtype=np.int64), threshold)
        assert found[0].tolist() == link_with_scipy(likeness, threshold)

    @given(st.integers(0, 10**6), st.floats(-2, 2))
    @settings(max_examples=50, deadline=None)
    def test_a_weighted_node_is_several_equal_rows(self, seed: int, threshold: float) -> None:
        rng = np.random.default_rng(seed)
        sizes = rng.integers(1, 4, 6)
        row_node = np.repeat(np.arange(6), sizes)
        likeness = random_likeness(seed, 6)
        sums = likeness * sizes[:, None] * sizes
        by_row = likeness[np.ix_(row_node, row_node)] + np.where(row_node[:, None] == row_node, 15.0, 0.0)
        np.fill_diagonal(by_row, 0.0)
        rows = link_with_scipy(by_row, threshold)
        nodes = merge_by_average(sums[None], sizes[None], threshold)[0]
        assert name_by_smallest(nodes[row_node]) == rows

    def test_graphs_do_not_disturb_each_other(self) -> None:
        graphs = np.stack([random_likeness(seed, 7) for seed in range(50)])
        together = merge_by_average(graphs, np.ones((50, 7), dtype=np.int64), 0.0)
        assert together.tolist() == [link_with_scipy(graph, 0.0) for graph in graphs]

    def test_parts_of_the_work_agree_with_the_whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        graphs, sizes = np.stack([random_likeness(seed, 5) for seed in range(9)]), np.ones((9, 5), dtype=np.int64)
        whole = merge_by_average(graphs, sizes, 0.0)
        assert graphs.size < BATCH_CELLS
        monkeypatch.setattr(linkage_module, "BATCH_CELLS", 50)
        assert merge_by_average(graphs, sizes, 0.0).tolist() == whole.tolist()

    def test_arguments_are_left_alone(self) -> None:
        sums, sizes = random_likeness(1, 6)[None], np.ones((1, 6), dtype=np.int64)
        merge_by_average(sums, sizes, -5.0)
        assert (sums == random_likeness(1, 6)[None]).all()
        assert (sizes == 1).all()

    def test_equal_averages_merge_from_the_smallest_nodes_on(self) -> None:
        # 0-1, 1-2 and 2-3 are alike; once 0-1 has merged, 1-2 averages 0 and 2-3 is left
        likeness = np.array([[0, 2, -2, -2], [2, 0, 2, -2], [-2, 2, 0, 2], [-2, -2, 2, 0]], dtype=np.float64)
        found = merge_by_average(likeness[None], np.ones((1, 4), dtype=np.int64), 0.5)
        assert found.tolist() == [[0, 0, 2, 2]]

    def test_separated_nodes_never_meet(self) -> None:
        likeness = np.full((4, 4), 5.0)
        likeness[0, 3] = likeness[3, 0] = -np.inf
        found = merge_by_average(likeness[None], np.ones((1, 4), dtype=np.int64), 0.0)
        assert found.tolist() == [[0, 0, 0, 3]]


class TestMergeLazily:
    def merge(self, likeness: Scores, pairs: Rows, threshold: float) -> tuple[list[int], list[tuple[int, int]]]:
        asked: list[tuple[int, int]] = []

        def average(first: Rows, second: Rows) -> Scores:
            asked.extend(zip(first.tolist(), second.tolist(), strict=True))
            return likeness[first, second]

        sizes = np.ones(len(likeness), dtype=np.int64)
        return merge_lazily(sizes, pairs[:, 0], pairs[:, 1], average, threshold).tolist(), asked

    @given(st.integers(0, 10**6), st.integers(2, 30), st.floats(-2, 2))
    @settings(max_examples=100, deadline=None)
    def test_with_all_pairs_equals_scipy(self, seed: int, nodes: int, threshold: float) -> None:
        likeness = random_likeness(seed, nodes)
        every = np.array(list(combinations(range(nodes), 2)))
        found, asked = self.merge(likeness, every, threshold)
        assert found == link_with_scipy(likeness, threshold)
        assert len(asked) == len(set(asked))
        assert all(a < b for a, b in asked)

    @given(st.integers(0, 10**6))
    @settings(max_examples=50, deadline=None)
    def test_merges_only_along_candidates(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        pairs = np.array([(0, 1), *(p for p in combinations(range(12), 2) if rng.random() < 0.1)])
        found, _ = self.merge(np.full((12, 12), 1.0), pairs, 0.0)
        reached = {row: {row} for row in range(12)}
        for a, b in pairs.tolist() * 12:
            reached[a] = reached[b] = reached[a] | reached[b]
        assert found == [min(reached[row]) for row in range(12)]

    def test_asks_only_for_what_may_merge(self) -> None:
        likeness = np.array([[0, 5, -9, 1], [5, 0, 4, 1], [-9, 4, 0, 1], [1, 1, 1, 0]], dtype=np.float64)
        found, asked = self.merge(likeness, np.array([[0, 1], [1, 2]]), 0.0)
        assert found == [0, 0, 2, 3]
        assert asked == [(0, 1), (1, 2), (0, 2)]

    def test_weighs_nodes_by_their_size(self) -> None:
        # 0 and 1 merge first; to 2 the large node 0 says -1 and the small node 1 says 6
        values = {(0, 1): 9.0, (0, 2): -1.0, (1, 2): 6.0}

        def average(first: Rows, second: Rows) -> Scores:
            return np.array([values[pair] for pair in zip(first.tolist(), second.tolist(), strict=True)])

        pairs = np.array([[0, 1], [1, 2]])
        for size, expected in ((5, [0, 0, 0]), (7, [0, 0, 2])):
            sizes = np.array([size, 1, 1])
            assert merge_lazily(sizes, pairs[:, 0], pairs[:, 1], average, 0.0).tolist() == expected

    def test_without_candidates_nothing_merges(self) -> None:
        assert self.merge(np.zeros((3, 3)), np.zeros((0, 2), dtype=np.int64), 0.0) == ([0, 1, 2], [])
