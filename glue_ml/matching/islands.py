"""Cutting islands that are too large for all of their pairs to be scored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csgraph

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]


def label_components(count: int, lo: Rows, hi: Rows) -> Rows:
    """Return the connected component of each row 0..count-1, named by its smallest row."""
    graph = coo_array((np.ones(len(lo), dtype=np.int8), (lo, hi)), shape=(count, count))
    _, labels = csgraph.connected_components(graph, directed=False)
    _, first = np.unique(labels, return_index=True)
    return np.asarray(first[labels], dtype=np.int64)


def cut_along_weakest(parts: Rows, lo: Rows, hi: Rows, probability: Scores, *, cap: int) -> Rows:
    """Join `parts` (each row's part, named by its smallest row) along the strongest pairs, up to `cap` rows.

    That is what raising the threshold until everything fits would leave, except that rows which fall off a piece may
    still join another, and that pairs of equal probability, which no threshold tells apart, are taken in row order.
    """
    order = np.lexsort((hi, lo, -probability))
    lo, hi = lo[order], hi[order]
    count = len(parts)
    while True:
        sizes = np.bincount(parts, minlength=count)
        left, right = np.minimum(parts[lo], parts[hi]), np.maximum(parts[lo], parts[hi])
        fitting = (left != right) & (sizes[left] + sizes[right] <= cap)
        if not fitting.any():
            return parts
        lo, hi = lo[fitting], hi[fitting]
        tree = _span(count, left[fitting], right[fitting])
        parts = _join_up_to(cap, sizes, tree)[parts]


def _span(count: int, left: Rows, right: Rows) -> Rows:
    """Return the spanning forest (edges x 2) that prefers edges that come first, in that order."""
    _, first = np.unique(left * count + right, return_index=True)
    rank = np.sort(first)
    graph = coo_array((rank + 1.0, (left[rank], right[rank])), shape=(count, count))
    tree = csgraph.minimum_spanning_tree(graph.tocsr()).tocoo()
    chosen = np.sort(tree.data).astype(np.int64) - 1
    return np.stack([left[chosen], right[chosen]], axis=1)


def _join_up_to(cap: int, sizes: Rows, edges: Rows) -> Rows:
    """Follow the edges in order, joining two parts where the whole stays within `cap`; return each part's new name."""
    parent, weight = list(range(len(sizes))), sizes.tolist()

    def find(part: int) -> int:
        while parent[part] != part:
            parent[part] = parent[parent[part]]
            part = parent[part]
        return part

    for left, right in edges.tolist():
        low, high = sorted((find(left), find(right)))
        if low != high and weight[low] + weight[high] <= cap:
            parent[high] = low
            weight[low] += weight[high]
    return np.array([find(part) for part in range(len(parent))], dtype=np.int64)
