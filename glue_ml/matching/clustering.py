"""From scored pairs to groups: islands of connected rows, cut by average linkage on log-odds.

A pair that blocking never proposed is scored, not assumed: what A-B and B-C imply about A-C is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from glue_ml.errors import InputError
from glue_ml.matching.islands import cut_along_weakest, label_components
from glue_ml.matching.linkage import merge_by_average

__all__ = ["ClusterOptions", "Clustering", "Constraints", "cluster", "label_components"]

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
ScorePairs = Callable[[Rows, Rows], Scores]

LOG_ODDS_LIMIT = 7.0  #: No single pair speaks louder than about 1,000 to 1.
_STEP = 2.0**-20  # log-odds are multiples of it: their sums are exact, so that the order of summing cannot show


def _no_pairs() -> Rows:
    return np.zeros((0, 2), dtype=np.int64)


@dataclass(frozen=True)
class Constraints:
    """Pairs of row numbers (pairs x 2, in any order) that must share a cluster, or must not.

    Where they contradict each other, must-link wins.
    """

    must_link: Rows = field(default_factory=_no_pairs)
    cannot_link: Rows = field(default_factory=_no_pairs)


@dataclass(frozen=True)
class ClusterOptions:
    """`island_cap`: rows in the largest island that is clustered whole; `batch_pairs`: pairs scored in one call."""

    island_cap: int = 500
    batch_pairs: int = 1_000_000

    def __post_init__(self) -> None:
        for name in ("island_cap", "batch_pairs"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")

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
    that were not proposed. Islands over the cap are first cut along their weakest pairs. A cluster's confidence is
    the least that any member's mean probability to the others comes to: 1.0 for a row alone; must-links count as 1.0.
    """
    if not 0.0 < threshold < 1.0:
        raise InputError(f"the threshold is {threshold}; it must lie between 0 and 1, both excluded")
    options = options or ClusterOptions()
    known = _Known.resolve(count, constraints or Constraints())
    pairs = known.tidy(_Pairs(lo, hi, probability))
    edges = pairs.select((pairs.probability >= options.island_probability(threshold)) & ~known.forbids(pairs))
    islands = _connect(known, edges)
    pieces, cut_islands = _cut(islands, known, edges, options.island_cap)
    pairs = pairs.select(pieces[pairs.lo] == pieces[pairs.hi])
    scale = _Scale.at(threshold)
    labels, unsettled = _settle(pieces, known, pairs, scale.likeness(pairs, known) >= scale.threshold)
    pairs = _score_missing(pairs, unsettled, known, _in_batches(score_pairs, options.batch_pairs))
    labels = _agglomerate(labels, unsettled, known, pairs, scale)
    sizes = np.bincount(islands, minlength=count)
    return Clustering(labels, _rate(labels, known, pairs), int((sizes >= 2).sum()), cut_islands)


@dataclass(frozen=True)
class _Pairs:
    """Pairs of rows, lo < hi, and the probability that they match."""

    lo: Rows
    hi: Rows
    probability: Scores

    def select(self, kept: npt.NDArray[np.bool_] | Rows) -> _Pairs:
        return _Pairs(self.lo[kept], self.hi[kept], self.probability[kept])


@dataclass(frozen=True)
class _Known:
    """What the constraints settle: each row's must-link group, named by its smallest row, and the forbidden pairs."""

    groups: Rows
    forbidden: Rows

    @classmethod
    def resolve(cls, count: int, constraints: Constraints) -> _Known:
        must, cannot = (np.sort(links.reshape(-1, 2), axis=1) for links in vars(constraints).values())
        groups = label_components(count, must[:, 0], must[:, 1])
        apart = groups[cannot[:, 0]] != groups[cannot[:, 1]]
        return cls(groups, np.unique(cannot[apart, 0] * count + cannot[apart, 1]))

    @property
    def count(self) -> int:
        return len(self.groups)

    def tidy(self, pairs: _Pairs) -> _Pairs:
        """Return the pairs that are open, in row order."""
        open_pairs = pairs.select(self.groups[pairs.lo] != self.groups[pairs.hi])
        return open_pairs.select(np.lexsort((open_pairs.hi, open_pairs.lo)))

    def forbids(self, pairs: _Pairs) -> Flags:
        return np.isin(pairs.lo * self.count + pairs.hi, self.forbidden)


@dataclass(frozen=True)
class _Scale:
    """Log-odds, bounded and in steps; the bound leaves room for the threshold."""

    threshold: float
    limit: float

    @classmethod
    def at(cls, threshold: float) -> _Scale:
        log_odds = float(np.round(logit(threshold) / _STEP) * _STEP)
        return cls(log_odds, max(LOG_ODDS_LIMIT, np.ceil(abs(log_odds)) + 1.0))

    def likeness(self, pairs: _Pairs, known: _Known) -> Scores:
        with np.errstate(divide="ignore"):
            log_odds = np.clip(logit(pairs.probability), -self.limit, self.limit)
        return np.where(known.forbids(pairs), -np.inf, np.round(log_odds / _STEP) * _STEP)


def _connect(known: _Known, edges: _Pairs) -> Rows:
    rows = np.arange(known.count)
    return label_components(known.count, np.append(edges.lo, known.groups), np.append(edges.hi, rows))


def _cut(islands: Rows, known: _Known, edges: _Pairs, cap: int) -> tuple[Rows, int]:
    """Return the islands with those over `cap` rows cut into pieces, and how many those were."""
    sizes = np.bincount(islands, minlength=len(islands))
    too_large = sizes[islands] > cap
    if not too_large.any():
        return islands, 0
    within = edges.select(too_large[edges.lo])
    parts = cut_along_weakest(known.groups, within.lo, within.hi, within.probability, cap=cap)
    return np.where(too_large, parts, islands), int((sizes > cap).sum())


def _settle(pieces: Rows, known: _Known, pairs: _Pairs, is_match: Flags) -> tuple[Rows, Rows]:
    """Return labels where no question is open, and the pieces of the other rows (-1 for settled rows).

    A piece is settled as one cluster where every pair is a match, as none where every pair is known and none is.
    """
    count = known.count
    piece_sizes, group_sizes = (np.bincount(names, minlength=count) for names in (pieces, known.groups))
    linked = np.bincount(pieces, weights=(group_sizes[known.groups] - 1) / 2, minlength=count)
    open_pairs = piece_sizes * (piece_sizes - 1) // 2 - np.round(linked).astype(np.int64)
    proposed = np.bincount(pieces[pairs.lo], minlength=count)
    matches = np.bincount(pieces[pairs.lo[is_match]], minlength=count)
    joined = matches == open_pairs
    apart = (matches == 0) & (proposed == open_pairs)
    labels = np.where(joined[pieces], pieces, known.groups)
    return labels, np.where((joined | apart)[pieces], -1, pieces)


def _score_missing(pairs: _Pairs, unsettled: Rows, known: _Known, score_pairs: ScorePairs) -> _Pairs:
    """Return the pairs and, for every open pair inside an unsettled piece that is not among them, its score."""
    every = [_Pairs(lo, hi, np.zeros(len(lo))) for lo, hi in _list_pairs(unsettled)]
    implied = known.tidy(_join(every)) if every else _join([])
    proposed = pairs.lo * known.count + pairs.hi
    implied = implied.select(~np.isin(implied.lo * known.count + implied.hi, proposed))
    asked = implied.select(~known.forbids(implied))
    if len(asked.lo):
        asked = _Pairs(asked.lo, asked.hi, score_pairs(asked.lo, asked.hi))
    return known.tidy(_join([pairs, asked, implied.select(known.forbids(implied))]))


def _in_batches(score_pairs: ScorePairs, size: int) -> ScorePairs:
    def score(lo: Rows, hi: Rows) -> Scores:
        starts = range(0, len(lo), size)
        return np.concatenate([score_pairs(lo[start : start + size], hi[start : start + size]) for start in starts])

    return score


def _join(parts: list[_Pairs]) -> _Pairs:
    empty = _Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    lo, hi, probability = (np.concatenate([getattr(part, name) for part in (empty, *parts)]) for name in vars(empty))
    return _Pairs(lo, hi, probability)


def _by_size(names: Rows) -> Iterator[Rows]:
    """Yield, for each size that a name of at least 0 occurs in, the positions (names x size, ascending)."""
    positions = np.flatnonzero(names >= 0)
    positions = positions[np.argsort(names[positions], kind="stable")]
    _, starts, sizes = np.unique(names[positions], return_index=True, return_counts=True)
    for size in np.unique(sizes):
        yield positions[starts[sizes == size][:, None] + np.arange(size)]


def _list_pairs(unsettled: Rows) -> Iterator[tuple[Rows, Rows]]:
    for rows in _by_size(unsettled):
        first, second = np.triu_indices(rows.shape[1], k=1)
        yield rows[:, first].ravel(), rows[:, second].ravel()


def _agglomerate(labels: Rows, unsettled: Rows, known: _Known, pairs: _Pairs, scale: _Scale) -> Rows:
    """Return the labels with the unsettled pieces clustered, must-link groups taken as one node each."""
    labels, place = labels.copy(), np.zeros(known.count, dtype=np.int64)
    group_sizes = np.bincount(known.groups, minlength=known.count)
    node_pieces = np.where(known.groups == np.arange(known.count), unsettled, -1)
    piece_nodes = np.bincount(node_pieces + 1, minlength=known.count + 1)[1:]
    pairs = pairs.select(unsettled[pairs.lo] >= 0)
    widths = piece_nodes[unsettled[pairs.lo]]
    pairs, widths = pairs.select(np.argsort(widths, kind="stable")), np.sort(widths)
    likeness = scale.likeness(pairs, known)
    first, second = known.groups[pairs.lo], known.groups[pairs.hi]
    for nodes in _by_size(node_pieces):
        graphs, width = nodes.shape
        place[nodes] = np.arange(graphs * width).reshape(nodes.shape)
        own = slice(*np.searchsorted(widths, [width, width + 1]))
        sums = _sum_between(place[first[own]], place[second[own]], likeness[own], width=width, graphs=graphs)
        merged = merge_by_average(sums, group_sizes[nodes], scale.threshold)
        labels[nodes] = np.take_along_axis(nodes, merged, axis=1)
    return np.where(unsettled >= 0, labels[known.groups], labels)


def _sum_between(first: Rows, second: Rows, likeness: Scores, *, width: int, graphs: int) -> Scores:
    """Return the sums of likeness between nodes (graphs x width x width, symmetric); nodes are numbered throughout."""
    cells = np.append(first * width + second % width, second * width + first % width)
    sums = np.bincount(cells, weights=np.append(likeness, likeness), minlength=graphs * width * width)
    return np.asarray(sums, dtype=np.float64).reshape(graphs, width, width)


def _rate(labels: Rows, known: _Known, pairs: _Pairs) -> Scores:
    """Return each row's cluster's confidence."""
    count = known.count
    within = pairs.select(labels[pairs.lo] == labels[pairs.hi])
    total = np.bincount(within.lo, weights=within.probability, minlength=count)
    total += np.bincount(within.hi, weights=within.probability, minlength=count)
    linked = np.bincount(known.groups, minlength=count)[known.groups] - 1
    others = np.bincount(labels, minlength=count)[labels] - 1
    mean = np.divide(total + linked, others, out=np.ones(count), where=others > 0)
    least = np.ones(count)
    np.minimum.at(least, labels, mean)
    return least[labels]
