from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from glue_ml.errors import InputError
from glue_ml.matching.explained_links import choose_links, find_bridges
from glue_ml.matching.row_pairs import RowPairs, label_components


def make_edges(count: int, edges: int, seed: int) -> RowPairs:
    rng = np.random.default_rng(seed)
    pairs = np.unique(np.sort(rng.integers(0, count, (edges, 2)), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    rng.shuffle(pairs)
    return RowPairs(pairs[:, 0], pairs[:, 1], rng.random(len(pairs)))


@pytest.mark.parametrize("seed", range(20))
def test_bridges_are_those_that_networkx_finds(seed: int) -> None:
    count = 5 + 10 * seed
    edges = make_edges(count, int(count * (0.5 + seed % 5 * 0.3)), seed)
    graph = nx.Graph(list(zip(edges.lo.tolist(), edges.hi.tolist(), strict=True)))
    expected = {tuple(sorted(bridge)) for bridge in nx.bridges(graph)}
    found = find_bridges(count, edges.lo, edges.hi)
    pairs = zip(edges.lo[found].tolist(), edges.hi[found].tolist(), strict=True)
    assert set(pairs) == expected


def test_a_long_chain_needs_no_deep_stack() -> None:
    count = 50_000
    lo = np.arange(count - 1)
    assert find_bridges(count, lo, lo + 1).all()
    ring = find_bridges(count, np.append(lo, 0), np.append(lo + 1, count - 1))
    assert not ring.any()


def test_no_edges_have_no_bridges() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    assert find_bridges(3, nothing, nothing).tolist() == []
    links = choose_links(np.arange(3), RowPairs(nothing, nothing, np.zeros(0)), threshold=0.5)
    assert links.counts == {"explained_links": 0, "bridges": 0, "links_left_out": 0}


def test_links_lie_inside_groups_and_reach_the_threshold() -> None:
    labels = np.array([0, 0, 0, 3, 3])
    edges = RowPairs(np.array([0, 0, 1, 2, 3]), np.array([1, 2, 2, 3, 4]), np.array([0.9, 0.8, 0.3, 0.95, 0.7]))
    links = choose_links(labels, edges, threshold=0.5)
    assert list(zip(links.pairs.lo.tolist(), links.pairs.hi.tolist(), strict=True)) == [(0, 1), (0, 2), (3, 4)]
    assert links.group.tolist() == [0, 0, 3]
    assert links.is_bridge.all()
    assert links.links_in_group.tolist() == [2, 2, 1]


def test_a_weaker_pair_is_told_where_nothing_else_holds_the_group_together() -> None:
    labels = np.zeros(4, dtype=np.int64)
    edges = RowPairs(np.array([0, 1, 0, 2]), np.array([1, 2, 2, 3]), np.array([0.9, 0.4, 0.3, 0.9]))
    links = choose_links(labels, edges, threshold=0.5)
    assert links.pairs.probability.tolist() == [0.9, 0.4, 0.9]
    assert links.is_bridge.all()


@pytest.mark.parametrize("seed", range(5))
def test_links_connect_whatever_candidate_pairs_connect(seed: int) -> None:
    edges = make_edges(60, 90, seed)
    labels = label_components(60, edges.lo, edges.hi)
    links = choose_links(labels, edges, threshold=0.7)
    assert (label_components(60, links.pairs.lo, links.pairs.hi) == labels).all()


def test_bridges_are_kept_first_and_the_rest_is_counted() -> None:
    # two triangles joined by one weak link
    edges = RowPairs(
        np.array([0, 0, 1, 2, 3, 3, 4]), np.array([1, 2, 2, 3, 4, 5, 5]), np.array([0.9, 0.8, 0.7, 0.6, 0.9, 0.8, 0.7])
    )
    links = choose_links(np.zeros(6, dtype=np.int64), edges, threshold=0.5, limit=3)
    assert links.pairs.probability.tolist() == [0.9, 0.6, 0.9]
    assert links.is_bridge.tolist() == [False, True, False]
    assert links.links_in_group.tolist() == [7, 7, 7]
    assert links.counts == {"explained_links": 3, "bridges": 1, "links_left_out": 4}


def test_no_links_at_all_are_refused() -> None:
    with pytest.raises(InputError, match="at most 0 links"):
        choose_links(np.arange(2), RowPairs(np.array([0]), np.array([1]), np.ones(1)), threshold=0.5, limit=0)
