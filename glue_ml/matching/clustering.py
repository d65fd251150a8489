"""From scored pairs to groups: islands of connected rows, cut by average linkage on log-odds.

A pair that blocking never proposed is scored, not assumed: what A-B and B-C imply about A-C is checked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import expit, logit

from glue_ml.errors import InputError
from glue_ml.matching.islands import find_islands, grow_pieces, settle
from glue_ml.matching.linkage import merge_by_average, merge_lazily
from glue_ml.matching.row_pairs import (
    Flags,
    Links,
    RowPairs,
    Rows,
    Scale,
    Scores,
    gather_by_size,
    join_pairs,
    label_components,
    list_between,
    list_within,
)
from glue_ml.matching.sorted_sets import look_up

__all__ = ["ClusterOptions", "Clustering", "Constraints", "cluster", "cluster_islands", "label_components"]

ScorePairs = Callable[[Rows, Rows], Scores]


def _no_pairs() -> Rows:
    return np.zeros((0, 2), dtype=np.int64)


@dataclass(frozen=True)
class Constraints:
    """Pairs of row numbers (pairs x 2, in any order) that must share a cluster, or must not.

    Where they contradict each other, must-link wins.
    """

    must_link: Rows = field(default_factory=_no_pairs)
    cannot_link: Rows = field(default_factory=_no_pairs)

    def among(self, rows: Rows) -> Constraints:
        """Return the pairs whose both rows are among `rows` (ascending), by their places there."""
        return Constraints(_place_pairs(rows, self.must_link), _place_pairs(rows, self.cannot_link))


@dataclass(frozen=True)
class ClusterOptions:
    """Bounds on the work.

    `island_cap`: rows in the largest island that is clustered whole; `piece_cap`: rows in the pieces of a larger one,
    in each of which all pairs are scored; `batch_pairs`: most pairs scored in one call; `sample_pairs`: most pairs
    looked at to tell how alike two clusters from different pieces are.
    """

    island_cap: int = 500
    piece_cap: int = 100
    batch_pairs: int = 1_000_000
    sample_pairs: int = 10_000

    def __post_init__(self) -> None:
        for name, bound in vars(self).items():
            if bound < 1:
                raise InputError(f"{name} is {bound}; it must be at least 1")

    def island_probability(self, threshold: float) -> float:
        """Return the probability from which a pair joins two rows into one island.

        It lies one unit of log-odds below `threshold` and never above 0.3: low enough that weakly tied rows meet and
        have their other pairs scored, high enough that islands stay small.
        """
        return float(min(0.3, expit(logit(threshold) - 1.0)))


@dataclass(frozen=True)
class Clustering:
    """Each row's cluster, named by its smallest row, and the confidence that all rows of a cluster share.

    `islands` counts the islands of at least two rows, `cut_islands` those among them that exceeded the cap.
    """

    labels: Rows
    confidence: Scores
    islands: int
    cut_islands: int


def cluster(
    count: int,
    lo: Rows,
    hi: Rows,
    probability: Scores,
    *,
    threshold: float,
    score_pairs: ScorePairs,
    constraints: Constraints | None = None,
    options: ClusterOptions | None = None,
) -> Clustering:
    """Partition rows 0..count-1 by candidate pairs (lo < hi, each once, in any order) with match probabilities.

    Islands are the components over must-links and pairs from `ClusterOptions.island_probability`. An island whose
    pairs all reach `threshold` is final; in the others the two clusters with the highest average log-odds merge while
    it reaches that of `threshold`. `score_pairs(lo, hi)` is asked, in few large calls, for the pairs inside an island
    that were not proposed. An island over the cap is cut along its weakest pairs; clusters of its pieces then merge by
    the same rule where a proposed pair reaches the threshold. A cluster's confidence is the least that any member's
    mean probability to the others comes to: 1.0 for a row alone; must-links count as 1.0. What is told of it is
    `MatchModel.tell_confidence`.
    """
    if not 0.0 < threshold < 1.0:
        raise InputError(f"the threshold is {threshold}; it must lie between 0 and 1, both excluded")
    options, constraints = options or ClusterOptions(), constraints or Constraints()
    links = Links.resolve(count, constraints.must_link, constraints.cannot_link)
    run = _Run(links, Scale.at(threshold), score_pairs, options)
    pairs = links.tidy(RowPairs(lo, hi, probability))
    edges = pairs.select((pairs.probability >= options.island_probability(threshold)) & ~links.forbids(pairs))
    islands = find_islands(edges, links)
    sizes = np.bincount(islands, minlength=count)
    cut = sizes > options.island_cap
    pieces = islands if not cut.any() else _cut(islands, cut[islands], edges, run)
    labels, pairs = run.cluster_pieces(pieces, pairs.select(islands[pairs.lo] == islands[pairs.hi]))
    if cut.any():
        labels, pairs = run.rejoin(labels, pieces, pairs, rows=np.flatnonzero(cut[islands]))
    return Clustering(labels, _rate(labels, pairs, links), int((sizes >= 2).sum()), int(cut.sum()))


def cluster_islands(
    rows: Rows,
    pairs: RowPairs,
    *,
    threshold: float,
    score_pairs: ScorePairs,
    constraints: Constraints | None = None,
    options: ClusterOptions | None = None,
) -> Clustering:
    """Cluster whole islands by themselves: `rows` (ascending) are all of theirs, `pairs` all that lie inside them.

    Returns what `cluster` finds for these rows when it has all others too: whatever it decides about an island, it
    decides by the island's own pairs, in the order of their rows. `labels` and `confidence` are those of `rows`.
    """
    groups = cluster(
        len(rows), np.searchsorted(rows, pairs.lo), np.searchsorted(rows, pairs.hi), pairs.probability,
        threshold=threshold, score_pairs=lambda lo, hi: score_pairs(rows[lo], rows[hi]),
        constraints=None if constraints is None else constraints.among(rows), options=options,
    )  # fmt: skip
    return replace(groups, labels=rows[groups.labels])


def _place_pairs(rows: Rows, pairs: Rows) -> Rows:
    ends = pairs.reshape(-1, 2)
    if not len(rows):
        return ends[:0]
    place = np.minimum(np.searchsorted(rows, ends), len(rows) - 1)
    return np.asarray(place[(rows[place] == ends).all(axis=1)], dtype=np.int64)


def _cut(islands: Rows, too_large: Flags, edges: RowPairs, run: _Run) -> Rows:
    cap = min(run.options.piece_cap, run.options.island_cap)
    return np.where(too_large, grow_pieces(edges.select(too_large[edges.lo]), run.links, cap=cap), islands)


@dataclass(frozen=True)
class _Run:
    """What stays the same from step to step; the pairs that the steps take and return are in row order."""

    links: Links
    scale: Scale
    score_pairs: ScorePairs
    options: ClusterOptions

    def cluster_pieces(self, pieces: Rows, pairs: RowPairs) -> tuple[Rows, RowPairs]:
        """Cluster each piece by all of its pairs; return labels, and the pairs with those scored for it."""
        inside = pairs.select(pieces[pairs.lo] == pieces[pairs.hi])
        is_match = self.scale.likeness(inside, self.links) >= self.scale.threshold
        labels, unsettled = settle(pieces, self.links, inside, is_match)
        every, scored = self._look_up(pairs, *list_within(unsettled))
        labels = self._agglomerate(labels, unsettled, self.links.tidy(every))
        return labels, self.links.tidy(join_pairs([pairs, scored]))

    def _agglomerate(self, labels: Rows, unsettled: Rows, pairs: RowPairs) -> Rows:
        """Return the labels with the unsettled pieces clustered, must-link groups taken as one node each."""
        labels, place, groups = labels.copy(), np.zeros_like(labels), self.links.groups
        group_sizes = np.bincount(groups, minlength=len(labels))
        node_pieces = np.where(groups == np.arange(len(labels)), unsettled, -1)
        widths = np.bincount(node_pieces + 1, minlength=len(labels) + 1)[1:][unsettled[pairs.lo]]
        pairs, widths = pairs.select(np.argsort(widths, kind="stable")), np.sort(widths)
        likeness = self.scale.likeness(pairs, self.links)
        for nodes in gather_by_size(node_pieces):
            graphs, width = nodes.shape
            place[nodes] = np.arange(graphs * width).reshape(nodes.shape)
            own = slice(*np.searchsorted(widths, [width, width + 1]))
            first, second = place[groups[pairs.lo[own]]], place[groups[pairs.hi[own]]]
            sums = _sum_between(first, second, likeness[own], width=width, graphs=graphs)
            merged = merge_by_average(sums, group_sizes[nodes], self.scale.threshold)
            labels[nodes] = np.take_along_axis(nodes, merged, axis=1)
        return np.where(unsettled >= 0, labels[groups], labels)

    def rejoin(self, labels: Rows, pieces: Rows, pairs: RowPairs, *, rows: Rows) -> tuple[Rows, RowPairs]:
        """Merge clusters of `rows` along matching pairs from piece to piece; return what `cluster_pieces` does."""
        names, members = np.unique(labels[rows], return_inverse=True)
        place = np.full(len(labels), -1)
        place[rows] = members
        likeness = self.scale.likeness(pairs, self.links)
        bridges = pairs.select((pieces[pairs.lo] != pieces[pairs.hi]) & (likeness >= self.scale.threshold))
        apart = place[np.stack(np.divmod(self.links.forbidden, len(labels)))]
        forbidden = apart.min(axis=0) * len(names) + apart.max(axis=0)
        scored: list[RowPairs] = []

        def average(first: Rows, second: Rows) -> Scores:
            which, a, b = list_between(members, first, second, limit=self.options.sample_pairs)
            between, new = self._look_up(pairs, rows[np.minimum(a, b)], rows[np.maximum(a, b)])
            scored.append(new)
            summed = np.bincount(which, weights=self.scale.likeness(between, self.links), minlength=len(first))
            mean = summed / np.bincount(which, minlength=len(first))
            return np.where(np.isin(first * len(names) + second, forbidden), -np.inf, mean)

        merged = merge_lazily(np.bincount(members), place[bridges.lo], place[bridges.hi], average, self.scale.threshold)
        labels = labels.copy()
        labels[rows] = names[merged][members]
        return labels, self.links.tidy(join_pairs([pairs, *scored]))

    def _look_up(self, pairs: RowPairs, lo: Rows, hi: Rows) -> tuple[RowPairs, RowPairs]:
        """Return the pairs (lo, hi) with their probabilities, and those of them that had to be scored."""
        count = self.links.count
        wanted = RowPairs(lo, hi, np.zeros(len(lo)))
        place, found = look_up(wanted.key(count), pairs.key(count))
        wanted.probability[found] = pairs.probability[place[found]]
        settled = found | self.links.forbids(wanted) | (self.links.groups[lo] == self.links.groups[hi])
        wanted.probability[~settled] = self._score(lo[~settled], hi[~settled])
        return wanted, wanted.select(~settled)

    def _score(self, lo: Rows, hi: Rows) -> Scores:
        size = self.options.batch_pairs
        parts = [slice(start, start + size) for start in range(0, len(lo), size)]
        return np.concatenate([np.zeros(0), *(self.score_pairs(lo[part], hi[part]) for part in parts)])


def _sum_between(first: Rows, second: Rows, likeness: Scores, *, width: int, graphs: int) -> Scores:
    """Return the sums of likeness between nodes (graphs x width x width, symmetric); nodes are numbered throughout."""
    cells = np.append(first * width + second % width, second * width + first % width)
    sums = np.bincount(cells, weights=np.append(likeness, likeness), minlength=graphs * width * width)
    return np.asarray(sums, dtype=np.float64).reshape(graphs, width, width)


def _rate(labels: Rows, pairs: RowPairs, links: Links) -> Scores:
    """Return each row's cluster's confidence from the known pairs; a must-linked pair counts as certain."""
    count = len(labels)
    within = pairs.select(labels[pairs.lo] == labels[pairs.hi])
    ends = np.append(within.lo, within.hi)
    linked = np.bincount(links.groups, minlength=count)[links.groups] - 1
    total = linked + np.bincount(ends, weights=np.tile(within.probability, 2), minlength=count)
    others = linked + np.bincount(ends, minlength=count)
    least = np.ones(count)
    np.minimum.at(least, labels, np.divide(total, others, out=np.ones(count), where=others > 0))
    return least[labels]
