"""Average linkage: merge the two groups whose pairs are most alike on average, again and again, down to a threshold."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from glue_ml.matching.row_pairs import Rows, Scores, list_between
from glue_ml.matching.sorted_sets import distinct, is_in

AveragePairs = Callable[[Rows, Rows], Scores]

BATCH_CELLS = 4_000_000  #: Matrix cells worked on at once: 32 MB.


def merge_by_average(sums: Scores, sizes: Rows, threshold: float) -> Rows:
    """Cluster many small graphs of equal size at once.

    `sums` (graphs x n x n, symmetric): the summed likeness of all record pairs between two nodes, -inf where the nodes
    must stay apart; `sizes` (graphs x n): records per node. Merges while the best average is at least `threshold`; of
    equal averages the one with the smallest node numbers goes first. Returns the smallest node of each node's cluster.
    Costs O(n^3) cheap steps per graph. The arguments are left alone.
    """
    labels = np.tile(np.arange(sizes.shape[1]), (len(sizes), 1))
    for part in _split(len(sizes), sizes.shape[1]):
        _merge_part(sums[part].copy(), sizes[part].astype(np.float64), labels[part], threshold)
    return labels


def _split(graphs: int, nodes: int) -> Iterator[slice]:
    step = max(1, BATCH_CELLS // max(nodes * nodes, 1))
    return (slice(start, start + step) for start in range(0, graphs, step))


def _merge_part(sums: Scores, sizes: Scores, labels: Rows, threshold: float) -> None:
    nodes = sizes.shape[1]
    place = np.arange(len(sums))
    diagonal = np.arange(nodes)
    sums[:, diagonal, diagonal] = -np.inf
    averages = sums / (sizes[:, :, None] * sizes[:, None, :])
    for _ in range(nodes - 1):
        best = averages.reshape(len(averages), -1).argmax(axis=1)
        row, column = np.divmod(best, nodes)  # row < column: the matrix is symmetric and argmax takes the first
        going = averages[np.arange(len(averages)), row, column] >= threshold
        if not going.all():
            sums, sizes, averages = sums[going], sizes[going], averages[going]
            place, row, column = place[going], row[going], column[going]
        if not len(place):
            return
        _merge_nodes(sums, sizes, averages, row, column)
        merged = labels[place]
        labels[place] = np.where(merged == column[:, None], row[:, None], merged)


def _merge_nodes(sums: Scores, sizes: Scores, averages: Scores, row: Rows, column: Rows) -> None:
    graph = np.arange(len(sums))
    total = sums[graph, row] + sums[graph, column]
    total[graph, row] = -np.inf
    sizes[graph, row] += sizes[graph, column]
    average = total / (sizes[graph, row][:, None] * sizes)
    for matrix, values in ((sums, total), (averages, average)):
        matrix[graph, row] = values
        matrix[graph, :, row] = values
        matrix[graph, column] = -np.inf
        matrix[graph, :, column] = -np.inf


def merge_lazily(sizes: Rows, first: Rows, second: Rows, average: AveragePairs, threshold: float) -> Rows:
    """Cluster nodes by average linkage along the candidate pairs (first[i], second[i]) only.

    `average(a, b)` gives the average likeness between nodes (a < b); each pair of nodes is asked for at most once, and
    only when their clusters are candidates to merge, all at a time. In each round the pairs of clusters merge that are
    best for both sides, which for average linkage is what merging the best pair first comes to. Returns the smallest
    node of each node's cluster.
    """
    count, labels = len(sizes), np.arange(len(sizes))
    asked, answers = np.zeros(0, dtype=np.int64), np.zeros(0)
    while True:
        left, right = _distinct_pairs(labels[first], labels[second], count)
        which, a, b = _list_members(labels, left, right)
        wanted = distinct(a * count + b)
        new = wanted[~is_in(wanted, asked)]
        if len(new):
            asked, answers = _insert(asked, answers, new, average(*np.divmod(new, count)))
        likeness = answers[np.searchsorted(asked, a * count + b)]
        weight = sizes[a] * sizes[b]
        summed = np.bincount(which, weights=weight * likeness, minlength=len(left))
        mean = summed / np.bincount(which, weights=weight, minlength=len(left))
        good = mean >= threshold
        if not good.any():
            return labels
        labels = _merge_mutual_best(count, left[good], right[good], mean[good])[labels]


def _distinct_pairs(first: Rows, second: Rows, count: int) -> tuple[Rows, Rows]:
    apart = first != second
    low, high = np.minimum(first, second)[apart], np.maximum(first, second)[apart]
    left, right = np.divmod(distinct(low * count + high), count)
    return left, right


def _list_members(labels: Rows, left: Rows, right: Rows) -> tuple[Rows, Rows, Rows]:
    names, dense = np.unique(labels, return_inverse=True)
    everything = len(labels) ** 2
    between = np.searchsorted(names, left), np.searchsorted(names, right)
    which, a, b = list_between(dense, *between, limit=everything)
    return which, np.minimum(a, b), np.maximum(a, b)


def _insert(keys: Rows, values: Scores, new_keys: Rows, new_values: Scores) -> tuple[Rows, Scores]:
    keys, values = np.append(keys, new_keys), np.append(values, new_values)
    order = np.argsort(keys, kind="stable")
    return keys[order], values[order]


def _merge_mutual_best(count: int, left: Rows, right: Rows, mean: Scores) -> Rows:
    """Return each cluster's new name after joining the pairs that rank first for both of their ends."""
    order = np.lexsort((right, left, -mean))
    best = np.full(count, len(order))
    for side in (left, right):
        np.minimum.at(best, side[order], np.arange(len(order)))
    rank = np.arange(len(order))
    chosen = order[(best[left[order]] == rank) & (best[right[order]] == rank)]
    names = np.arange(count)
    names[right[chosen]] = left[chosen]
    return names
