"""Islands: groups of rows that may hold clusters. Growing pieces of large ones, settling the plain ones."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array, csgraph

from glue_ml.matching.row_pairs import Flags, Links, RowPairs, Rows, label_components


def find_islands(edges: RowPairs, links: Links) -> Rows:
    """Return each row's island, named by its smallest row: the components over `edges` and must-links."""
    rows = np.arange(links.count)
    return label_components(links.count, np.append(edges.lo, links.groups), np.append(edges.hi, rows))


def settle(pieces: Rows, links: Links, pairs: RowPairs, is_match: Flags) -> tuple[Rows, Rows]:
    """Return labels where no question is open, and the pieces of the other rows (-1 for settled rows).

    `pairs` lie inside pieces. A piece is settled as one cluster where every pair is a match, and as no more than its
    must-links where every pair is known and none is a match.
    """
    count = links.count
    piece_sizes, group_sizes = (np.bincount(names, minlength=count) for names in (pieces, links.groups))
    linked = np.bincount(pieces, weights=group_sizes[links.groups] - 1, minlength=count).astype(np.int64) // 2
    open_pairs = piece_sizes * (piece_sizes - 1) // 2 - linked
    proposed = np.bincount(pieces[pairs.lo], minlength=count)
    matches = np.bincount(pieces[pairs.lo[is_match]], minlength=count)
    joined = matches == open_pairs
    apart = (matches == 0) & (proposed == open_pairs)
    labels = np.where(joined[pieces], pieces, links.groups)
    return labels, np.where((joined | apart)[pieces], -1, pieces)


def grow_pieces(edges: RowPairs, links: Links, *, cap: int) -> Rows:
    """Return each row's piece, named by its smallest row: of at most `cap` rows, must-links apart.

    Pieces grow from must-link groups along the strongest edges. That is what raising the threshold until everything
    fits would leave, except that rows which fall off a piece may still join another, and that edges of equal
    probability, which no threshold tells apart, are taken in row order.
    """
    order = np.lexsort((edges.hi, edges.lo, -edges.probability))
    lo, hi, parts = edges.lo[order], edges.hi[order], links.groups
    while True:
        sizes = np.bincount(parts, minlength=links.count)
        left, right = np.minimum(parts[lo], parts[hi]), np.maximum(parts[lo], parts[hi])
        fitting = (left != right) & (sizes[left] + sizes[right] <= cap)
        if not fitting.any():
            return parts
        lo, hi = lo[fitting], hi[fitting]
        tree = _span(links.count, left[fitting], right[fitting])
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
