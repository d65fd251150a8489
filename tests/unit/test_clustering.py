"""Clustering against networkx and a naive average linkage; constraints and invariants by hypothesis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random

import networkx as nx
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glue_ml.errors import InputError
from glue_ml.matching.clustering import (
    Clustering,
    ClusterOptions,
    Constraints,
    cluster,
    cluster_islands,
    label_components,
)
from glue_ml.matching.row_pairs import RowPairs

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Graph:
    """A symmetric matrix of match probabilities and the pairs that blocking proposed."""

    probability: Scores
    proposed: tuple[tuple[int, int], ...]

    @property
    def count(self) -> int:
        return len(self.probability)

    def score_pairs(self, lo: Rows, hi: Rows) -> Scores:
        assert (lo < hi).all()
        asked = set(zip(lo.tolist(), hi.tolist(), strict=True))
        assert len(asked) == len(lo), "a pair was scored twice"
        assert not asked & set(self.proposed), "a proposed pair was scored again"
        return self.probability[lo, hi]

    def cluster(
        self,
        *,
        threshold: float = 0.5,
        constraints: Constraints | None = None,
        options: ClusterOptions | None = None,
        order: Sequence[int] | None = None,
    ) -> Clustering:
        pairs = np.array(self.proposed, dtype=np.int64).reshape(-1, 2)
        lo, hi = pairs[list(range(len(pairs))) if order is None else list(order)].T
        return cluster(
            self.count, lo, hi, self.probability[lo, hi],
            threshold=threshold, score_pairs=self.score_pairs, constraints=constraints, options=options,
        )  # fmt: skip


def random_graph(seed: int, *, largest: int = 10) -> Graph:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, largest + 1))
    # within the limits of the log-odds, so that only distinct probabilities occur
    upper = np.triu(0.002 + 0.996 * rng.beta(0.7, 0.7, (count, count)), 1)
    share = rng.choice([0.3, 0.6, 1.0])
    proposed = [pair for pair in combinations(range(count), 2) if rng.random() < share]
    return Graph(upper + upper.T, tuple(proposed))


def links(*pairs: tuple[int, int]) -> Rows:
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def refuse_to_score(lo: Rows, hi: Rows) -> Scores:
    raise AssertionError(f"{len(lo)} pairs were scored though all were known")


def partition(labels: Rows) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == name).tolist()) for name in np.unique(labels)}


def log_odds(probability: float) -> float:
    clipped = min(max(probability, 1 / (1 + np.exp(7))), 1 / (1 + np.exp(-7)))
    return float(np.log(clipped / (1 - clipped)))


def link_naively(
    members: list[list[int]], likeness: Callable[[int, int], float], threshold: float
) -> set[frozenset[int]]:
    """Average linkage from its definition: O(n^4), every average taken anew."""

    def average(first: list[int], second: list[int]) -> float:
        return float(np.mean([likeness(min(a, b), max(a, b)) for a in first for b in second]))

    while len(members) > 1:
        best = max(combinations(members, 2), key=lambda pair: average(*pair))
        if average(*best) < log_odds(threshold):
            break
        members = [group for group in members if group not in best] + [best[0] + best[1]]
    return {frozenset(group) for group in members}


def expect_partition(
    graph: Graph, threshold: float, must: list[tuple[int, int]], cannot: list[tuple[int, int]]
) -> set[frozenset[int]]:
    """Cut a graph as `cluster` promises: islands over networkx, naive average linkage in each."""
    linked = nx.Graph(must)
    linked.add_nodes_from(range(graph.count))
    groups = [sorted(group) for group in nx.connected_components(linked)]
    apart = {(min(p), max(p)) for p in cannot if not any(set(p) <= set(group) for group in groups)}
    floor = ClusterOptions().island_probability(threshold)
    islands = linked.copy()
    islands.add_edges_from(p for p in graph.proposed if graph.probability[p] >= floor and p not in apart)
    expected = set()
    for island in nx.connected_components(islands):
        members = [group for group in groups if set(group) <= island]
        expected |= link_naively(
            members, lambda a, b: -np.inf if (a, b) in apart else log_odds(graph.probability[a, b]), threshold
        )
    return expected


pairs_of_rows = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=4)


def within(graph: Graph, pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(a % graph.count, b % graph.count) for a, b in pairs if a % graph.count != b % graph.count]


class TestComponents:
    @pytest.mark.parametrize("seed", range(50))
    def test_equal_networkx(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        count = int(rng.integers(1, 60))
        edges = rng.integers(0, count, (int(rng.integers(0, 2 * count)), 2))
        labels = label_components(count, edges[:, 0], edges[:, 1])
        graph = nx.Graph(edges.tolist())
        graph.add_nodes_from(range(count))
        expected = {row: min(component) for component in nx.connected_components(graph) for row in component}
        assert labels.tolist() == [expected[row] for row in range(count)]

    def test_no_rows(self) -> None:
        assert label_components(0, np.zeros(0, np.int64), np.zeros(0, np.int64)).tolist() == []


class TestAgainstDefinition:
    @given(st.integers(0, 10**6), st.sampled_from([0.1, 0.35, 0.5, 0.8, 0.95]))
    @settings(max_examples=200, deadline=None)
    def test_equals_naive_average_linkage(self, seed: int, threshold: float) -> None:
        graph = random_graph(seed)
        assert partition(graph.cluster(threshold=threshold).labels) == expect_partition(graph, threshold, [], [])

    @given(st.integers(0, 10**6), st.sampled_from([0.2, 0.5, 0.9]), pairs_of_rows, pairs_of_rows)
    @settings(max_examples=200, deadline=None)
    def test_equals_naive_average_linkage_under_constraints(
        self, seed: int, threshold: float, must: list[tuple[int, int]], cannot: list[tuple[int, int]]
    ) -> None:
        graph = random_graph(seed)
        must, cannot = within(graph, must), within(graph, cannot)
        found = graph.cluster(threshold=threshold, constraints=Constraints(links(*must), links(*cannot)))
        assert partition(found.labels) == expect_partition(graph, threshold, must, cannot)

    def test_many_islands_at_once_equal_one_by_one(self) -> None:
        graphs = [random_graph(seed, largest=6) for seed in range(40)]
        starts = np.cumsum([0] + [graph.count for graph in graphs])
        probability = np.zeros((starts[-1], starts[-1]))
        for graph, start in zip(graphs, starts, strict=False):
            probability[start : start + graph.count, start : start + graph.count] = graph.probability
        proposed = [(a + s, b + s) for g, s in zip(graphs, starts.tolist(), strict=False) for a, b in g.proposed]
        found = Graph(probability, tuple(proposed)).cluster()
        single = [graph.cluster() for graph in graphs]
        assert found.labels.tolist() == [
            name + start for c, start in zip(single, starts.tolist(), strict=False) for name in c.labels.tolist()
        ]
        assert found.confidence == pytest.approx(np.concatenate([c.confidence for c in single]))


class TestConstraints:
    @given(st.integers(0, 10**6), pairs_of_rows, pairs_of_rows, st.sampled_from([2, 4, 500]))
    @settings(max_examples=200, deadline=None)
    def test_are_honoured(
        self, seed: int, must: list[tuple[int, int]], cannot: list[tuple[int, int]], cap: int
    ) -> None:
        graph = random_graph(seed)
        must, cannot = within(graph, must), within(graph, cannot)
        constraints = Constraints(links(*must), links(*cannot))
        labels = graph.cluster(threshold=0.2, constraints=constraints, options=ClusterOptions(island_cap=cap)).labels
        forced = label_components(graph.count, constraints.must_link[:, 0], constraints.must_link[:, 1])
        assert all(labels[a] == labels[b] for a, b in must)
        assert all(labels[a] != labels[b] or forced[a] == forced[b] for a, b in cannot)

    def test_cannot_link_stops_a_certain_match(self) -> None:
        graph = Graph(np.full((2, 2), 0.99), ((0, 1),))
        assert graph.cluster(constraints=Constraints(cannot_link=links((1, 0)))).labels.tolist() == [0, 1]

    def test_cannot_link_reaches_through_merged_clusters(self) -> None:
        graph = Graph(np.full((4, 4), 0.99), tuple(combinations(range(4), 2)))
        labels = graph.cluster(constraints=Constraints(cannot_link=links((0, 3)))).labels
        assert labels[0] != labels[3]

    def test_must_link_joins_what_nothing_else_does(self) -> None:
        found = Graph(np.zeros((3, 3)), ()).cluster(constraints=Constraints(must_link=links((2, 0))))
        assert found.labels.tolist() == [0, 1, 0]
        assert found.confidence.tolist() == [1.0, 1.0, 1.0]
        assert found.islands == 1

    def test_must_link_wins_over_cannot_link(self) -> None:
        constraints = Constraints(links((0, 1), (1, 2)), links((0, 2)))
        assert Graph(np.zeros((3, 3)), ()).cluster(constraints=constraints).labels.tolist() == [0, 0, 0]


class TestInvariants:
    @given(st.integers(0, 10**6), st.randoms(use_true_random=False))
    @settings(max_examples=100, deadline=None)
    def test_order_of_pairs_does_not_matter(self, seed: int, random: Random) -> None:
        graph = random_graph(seed)
        # coarse probabilities make ties, which only the row numbers may break
        graph = Graph(np.round(graph.probability, 1), graph.proposed)
        order = list(range(len(graph.proposed)))
        random.shuffle(order)
        straight, shuffled = graph.cluster(), graph.cluster(order=order)
        assert shuffled.labels.tolist() == straight.labels.tolist()
        assert shuffled.confidence.tolist() == straight.confidence.tolist()

    @given(st.integers(0, 10**6))
    @settings(max_examples=100, deadline=None)
    def test_renumbered_rows_give_the_same_clusters(self, seed: int) -> None:
        graph = random_graph(seed)
        number = np.random.default_rng(seed).permutation(graph.count)
        back = np.argsort(number)
        renumbered = Graph(
            graph.probability[np.ix_(back, back)],
            tuple((min(number[a], number[b]), max(number[a], number[b])) for a, b in graph.proposed),
        )
        found, again = graph.cluster(), renumbered.cluster()
        assert partition(again.labels[number]) == partition(found.labels)
        assert again.confidence[number] == pytest.approx(found.confidence)

    @given(st.integers(0, 10**6), st.sampled_from([1, 2, 3, 500]))
    @settings(max_examples=150, deadline=None)
    def test_partition_refines_islands(self, seed: int, cap: int) -> None:
        graph = random_graph(seed)
        options = ClusterOptions(island_cap=cap)
        found = graph.cluster(options=options)
        strong = [p for p in graph.proposed if graph.probability[p] >= options.island_probability(0.5)]
        islands = label_components(graph.count, links(*strong)[:, 0], links(*strong)[:, 1])
        sizes = np.bincount(islands)
        assert all(len(set(islands[found.labels == name].tolist())) == 1 for name in found.labels)
        assert (found.islands, found.cut_islands) == (int((sizes >= 2).sum()), int((sizes > cap).sum()))
        assert all(name == np.flatnonzero(found.labels == name).min() for name in found.labels)

    @given(st.integers(0, 10**6))
    @settings(max_examples=100, deadline=None)
    def test_a_higher_threshold_only_splits(self, seed: int) -> None:
        graph = random_graph(seed)
        # from 0.54 on the islands are the same, so that the clusters are cuts of one tree
        coarse, fine = (graph.cluster(threshold=threshold).labels for threshold in (0.6, 0.9))
        assert all(len(set(coarse[fine == name].tolist())) == 1 for name in fine)


class TestSettledIslands:
    def test_no_pairs_leave_every_row_alone(self) -> None:
        found = Graph(np.zeros((3, 3)), ()).cluster()
        assert (found.labels.tolist(), found.confidence.tolist()) == ([0, 1, 2], [1.0, 1.0, 1.0])
        assert (found.islands, found.cut_islands) == (0, 0)

    def test_no_rows(self) -> None:
        assert Graph(np.zeros((0, 0)), ()).cluster().labels.tolist() == []

    @pytest.mark.parametrize(("probability", "labels"), [(0.51, [0, 0]), (0.5, [0, 0]), (0.49, [0, 1]), (0.0, [0, 1])])
    def test_a_pair_is_joined_from_the_threshold_on(self, probability: float, labels: list[int]) -> None:
        found = cluster(
            2, np.array([0]), np.array([1]), np.array([probability]), threshold=0.5, score_pairs=refuse_to_score
        )
        assert found.labels.tolist() == labels

    @pytest.mark.parametrize("threshold", [1e-9, 0.1, 0.7, 1 - 1e-9])
    def test_extreme_probabilities_and_thresholds(self, threshold: float) -> None:
        lo, hi = np.array([0, 2, 4]), np.array([1, 3, 5])
        found = cluster(6, lo, hi, np.array([1.0, threshold, 0.0]), threshold=threshold, score_pairs=refuse_to_score)
        assert found.labels.tolist() == [0, 0, 2, 2, 4, 5]

    def test_a_clique_above_the_threshold_is_final_without_scoring(self) -> None:
        lo, hi = np.triu_indices(5, 1)
        found = cluster(5, lo, hi, np.full(10, 0.6), threshold=0.5, score_pairs=refuse_to_score)
        assert found.labels.tolist() == [0] * 5
        assert found.confidence == pytest.approx(np.full(5, 0.6))

    @pytest.mark.parametrize("threshold", [0.0, 1.0, -0.1, float("nan")])
    def test_a_threshold_outside_0_to_1_is_refused(self, threshold: float) -> None:
        with pytest.raises(InputError, match="threshold"):
            Graph(np.zeros((2, 2)), ()).cluster(threshold=threshold)

    @pytest.mark.parametrize("name", ["island_cap", "piece_cap", "batch_pairs", "sample_pairs"])
    def test_a_bound_below_1_is_refused(self, name: str) -> None:
        with pytest.raises(InputError, match=name):
            ClusterOptions(**{name: 0})


class TestImpliedPairs:
    def chain(self, implied: float) -> Graph:
        probability = np.array([[0.0, 0.9, implied], [0.9, 0.0, 0.8], [implied, 0.8, 0.0]])
        return Graph(probability, ((0, 1), (1, 2)))

    def test_a_refused_implied_pair_splits_a_chain_at_its_weaker_link(self) -> None:
        found = self.chain(implied=0.01).cluster()
        assert found.labels.tolist() == [0, 0, 2]
        assert found.confidence == pytest.approx([0.9, 0.9, 1.0])

    def test_an_accepted_implied_pair_closes_a_chain(self) -> None:
        found = self.chain(implied=0.7).cluster()
        assert found.labels.tolist() == [0, 0, 0]
        assert found.confidence == pytest.approx([0.75] * 3)  # row 2: (0.7 + 0.8) / 2

    def test_an_average_at_the_threshold_is_enough(self) -> None:
        graph = Graph(np.full((4, 4), 0.7), ((0, 1), (1, 2), (2, 3)))
        assert graph.cluster(threshold=0.7).labels.tolist() == [0, 0, 0, 0]

    def test_a_must_linked_pair_counts_as_certain(self) -> None:
        found = self.chain(implied=0.7).cluster(constraints=Constraints(must_link=links((0, 1))))
        assert found.confidence == pytest.approx([0.75] * 3)
        assert self.chain(implied=0.9).cluster(
            constraints=Constraints(must_link=links((1, 2)))
        ).confidence == pytest.approx([0.9] * 3)

    def test_all_islands_are_scored_in_one_call(self) -> None:
        calls: list[int] = []

        def score_pairs(lo: Rows, hi: Rows) -> Scores:
            calls.append(len(lo))
            return np.full(len(lo), 0.9)

        first = np.arange(0, 300, 3)
        lo, hi = np.append(first, first + 1), np.append(first + 1, first + 2)
        found = cluster(300, lo, hi, np.full(200, 0.9), threshold=0.5, score_pairs=score_pairs)
        assert calls == [100]
        assert found.labels.tolist() == np.repeat(first, 3).tolist()

    def test_batches_are_bounded(self) -> None:
        calls: list[int] = []

        def score_pairs(lo: Rows, hi: Rows) -> Scores:
            calls.append(len(lo))
            return np.full(len(lo), 0.9)

        lo = np.arange(9)
        options = ClusterOptions(batch_pairs=20)
        cluster(10, lo, lo + 1, np.full(9, 0.9), threshold=0.5, score_pairs=score_pairs, options=options)
        assert calls == [20, 16]


class TestLargeIslands:
    def test_two_groups_with_a_weak_bridge_are_cut_at_the_bridge(self) -> None:
        probability = np.full((20, 20), 0.01)
        probability[:10, :10] = probability[10:, 10:] = 0.9
        probability[9, 10] = probability[10, 9] = 0.6
        inner = tuple(p for p in combinations(range(20), 2) if probability[p] > 0.5)
        found = Graph(probability, inner).cluster(options=ClusterOptions(island_cap=10))
        assert partition(found.labels) == {frozenset(range(10)), frozenset(range(10, 20))}
        assert (found.islands, found.cut_islands) == (1, 1)

    @pytest.mark.parametrize("cap", [1, 7, 300])
    def test_equal_rows_come_together_again(self, cap: int) -> None:
        graph = Graph(np.full((400, 400), 0.9), tuple((row, row + 1) for row in range(399)))
        found = graph.cluster(options=ClusterOptions(island_cap=cap))
        assert found.labels.tolist() == [0] * 400
        assert found.confidence == pytest.approx(np.full(400, 0.9))

    @pytest.mark.parametrize("cap", [4, 20, 60])
    def test_groups_that_a_cut_divides_come_together_again(self, cap: int) -> None:
        rng = np.random.default_rng(cap)
        truth = rng.integers(0, 8, 200)
        same = truth[:, None] == truth
        upper = np.triu(np.where(same, rng.uniform(0.5, 1, same.shape), rng.uniform(0, 0.5, same.shape)), 1)
        proposed = tuple(p for p in combinations(range(200), 2) if rng.random() < 0.4)
        found = Graph(upper + upper.T, proposed).cluster(options=ClusterOptions(island_cap=cap))
        assert partition(found.labels) == partition(truth)
        assert (found.islands, found.cut_islands) == (1, 1)

    def test_pieces_of_a_large_island_keep_to_their_own_cap(self) -> None:
        asked: list[int] = []

        def score_pairs(lo: Rows, hi: Rows) -> Scores:
            asked.append(len(lo))
            return np.zeros(len(lo))

        lo = np.arange(39)
        for island_cap, pairs in ((40, 40 * 39 // 2 - 39), (39, 10 * (4 * 3 // 2 - 3))):
            asked.clear()
            options = ClusterOptions(island_cap=island_cap, piece_cap=4)
            cluster(40, lo, lo + 1, np.full(39, 0.9), threshold=0.5, score_pairs=score_pairs, options=options)
            assert asked[0] == pairs

    def test_large_clusters_are_compared_by_a_sample(self) -> None:
        probability = np.full((200, 200), 0.9)
        asked: list[int] = []

        def score_pairs(lo: Rows, hi: Rows) -> Scores:
            asked.append(len(lo))
            return probability[lo, hi]

        lo = np.arange(199)
        options = ClusterOptions(island_cap=100, sample_pairs=50)
        found = cluster(200, lo, lo + 1, np.full(199, 0.9), threshold=0.5, score_pairs=score_pairs, options=options)
        inside = 2 * (100 * 99 // 2 - 99)  # two pieces, neighbours known
        assert asked[0] == inside
        assert sum(asked) - inside <= 50
        assert found.labels.tolist() == [0] * 200

    def test_a_sample_does_not_overlook_a_cannot_link(self) -> None:
        graph = Graph(np.full((200, 200), 0.9), tuple((row, row + 1) for row in range(199)))
        options = ClusterOptions(island_cap=100, sample_pairs=5)
        labels = graph.cluster(constraints=Constraints(cannot_link=links((37, 161))), options=options).labels
        assert labels[37] != labels[161]

    def test_must_links_may_exceed_the_cap(self) -> None:
        must = links(*((0, row) for row in range(1, 10)))
        found = Graph(np.zeros((10, 10)), ()).cluster(
            constraints=Constraints(must_link=must), options=ClusterOptions(island_cap=4)
        )
        assert found.labels.tolist() == [0] * 10

    def test_a_dense_island_of_500(self) -> None:
        rng = np.random.default_rng(5)
        lo, hi = np.triu_indices(500, 1)
        probability = np.where(lo % 50 == hi % 50, 0.95, rng.uniform(0, 0.4, len(lo)))
        found = cluster(500, lo, hi, probability, threshold=0.5, score_pairs=refuse_to_score)
        assert found.labels.tolist() == (np.arange(500) % 50).tolist()

    def test_many_small_islands(self) -> None:
        first = np.arange(0, 400_000, 4)
        lo = np.concatenate([first, first + 1, first + 2])
        probability = np.repeat([0.9, 0.4, 0.8], len(first))
        found = cluster(
            400_000, lo, lo + 1, probability, threshold=0.5, score_pairs=lambda lo, hi: np.full(len(lo), 0.1)
        )
        assert found.labels.tolist() == np.repeat(np.arange(0, 400_000, 2), 2).tolist()
        assert found.islands == 100_000


class TestIslandsByThemselves:
    @given(
        seed=st.integers(0, 2**32 - 1),
        cap=st.sampled_from([4, 9, 500]),
        must=st.lists(st.tuples(st.integers(0, 119), st.integers(0, 119)), max_size=6),
        cannot=st.lists(st.tuples(st.integers(0, 119), st.integers(0, 119)), max_size=20),
    )
    @settings(deadline=None, max_examples=150)
    def test_are_clustered_as_they_are_among_all_others(
        self, seed: int, cap: int, must: list[tuple[int, int]], cannot: list[tuple[int, int]]
    ) -> None:
        rng = np.random.default_rng(seed)
        count = 120
        upper = np.triu(rng.beta(0.7, 0.7, (count, count)), 1)
        probability = upper + upper.T
        lo = rng.integers(0, count - 3, 110)
        lo, hi = np.unique(np.stack([lo, lo + rng.integers(1, 4, len(lo))]), axis=1)
        constraints = Constraints(
            links(*(p for p in must if p[0] != p[1])), links(*(p for p in cannot if p[0] != p[1]))
        )
        options = ClusterOptions(island_cap=cap, piece_cap=3, sample_pairs=3, batch_pairs=5)

        def score_pairs(first: Rows, second: Rows) -> Scores:
            return probability[first, second]

        whole = cluster(
            count, lo, hi, probability[lo, hi],
            threshold=0.4, score_pairs=score_pairs, constraints=constraints, options=options,
        )  # fmt: skip
        ties = np.concatenate([np.stack([lo, hi], axis=1), constraints.must_link])
        component = label_components(count, ties[:, 0], ties[:, 1])
        # each alone, and all that fall into one of four tasks together
        for tasks in (component, component % 4):
            islands = cut_islands = 0
            for task in np.unique(tasks):
                rows, inside = np.flatnonzero(tasks == task), tasks[lo] == task
                pairs = RowPairs(lo[inside], hi[inside], probability[lo[inside], hi[inside]])
                found = cluster_islands(
                    rows, pairs, threshold=0.4, score_pairs=score_pairs, constraints=constraints, options=options
                )
                assert found.labels.tolist() == whole.labels[rows].tolist()
                assert found.confidence.tolist() == whole.confidence[rows].tolist()
                islands, cut_islands = islands + found.islands, cut_islands + found.cut_islands
            assert (islands, cut_islands) == (whole.islands, whole.cut_islands)

    def test_without_rows_there_are_none(self) -> None:
        nothing = np.zeros(0, dtype=np.int64)
        found = cluster_islands(
            nothing, RowPairs(nothing, nothing, np.zeros(0)), threshold=0.5, score_pairs=refuse_to_score,
            constraints=Constraints(links((3, 4)), links((1, 2))),
        )  # fmt: skip
        assert (found.labels.tolist(), found.confidence.tolist(), found.islands) == ([], [], 0)
