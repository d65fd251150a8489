"""Average linkage: merge the two groups whose pairs are most alike on average, again and again, down to a threshold."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]

BATCH_CELLS = 4_000_000  #: Matrix cells worked on at once: 32 MB.


def merge_by_average(sums: Scores, sizes: Indices, threshold: float) -> Indices:
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


def _merge_part(sums: Scores, sizes: Scores, labels: Indices, threshold: float) -> None:
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


def _merge_nodes(sums: Scores, sizes: Scores, averages: Scores, row: Indices, column: Indices) -> None:
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
