"""Pairs of rows as arrays: listing, ordering, and what constraints say about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csgraph
from scipy.special import logit

from glue_ml.matching.sorted_sets import look_up

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

LOG_ODDS_LIMIT = 7.0  #: No single pair speaks louder than about 1,000 to 1.
STEP = 2.0**-20  #: Log-odds are multiples of it: their sums are exact, so that the order of summing cannot show.
SCATTER = 2_654_435_761  #: A prime whose multiples, modulo any smaller number, spread evenly (Knuth's hash).


@dataclass(frozen=True)
class RowPairs:
    """Pairs of rows, lo < hi, and the probability that they match."""

    lo: Rows
    hi: Rows
    probability: Scores

    def select(self, kept: Flags | Rows) -> RowPairs:
        """Return the pairs at `kept`, a mask or positions."""
        return RowPairs(self.lo[kept], self.hi[kept], self.probability[kept])

    def key(self, count: int) -> Rows:
        """Return one number for each pair, in the order of `lo`, then `hi`; `count`: rows in all."""
        return self.lo * count + self.hi


def join_pairs(parts: Sequence[RowPairs]) -> RowPairs:
    """Return the pairs of all parts, of which there is at least one, one part after the other."""
    return RowPairs(
        np.concatenate([part.lo for part in parts]),
        np.concatenate([part.hi for part in parts]),
        np.concatenate([part.probability for part in parts]),
    )


@dataclass(frozen=True)
class Links:
    """What constraints settle: each row's must-link group, named by its smallest row, and keys of forbidden pairs."""

    groups: Rows
    forbidden: Rows

    @classmethod
    def resolve(cls, count: int, must_link: Rows, cannot_link: Rows) -> Self:
        """Contract the must-links; a cannot-link inside a group contradicts them and is dropped."""
        must, cannot = (np.sort(links.reshape(-1, 2), axis=1) for links in (must_link, cannot_link))
        groups = label_components(count, must[:, 0], must[:, 1])
        cannot = cannot[groups[cannot[:, 0]] != groups[cannot[:, 1]]]
        return cls(groups, np.unique(cannot[:, 0] * count + cannot[:, 1]))

    @property
    def count(self) -> int:
        """Rows in all."""
        return len(self.groups)

    def tidy(self, pairs: RowPairs) -> RowPairs:
        """Return the pairs that no must-link settles, in row order."""
        pairs = pairs.select(self.groups[pairs.lo] != self.groups[pairs.hi])
        return pairs.select(np.argsort(pairs.key(self.count), kind="stable"))

    def forbids(self, pairs: RowPairs) -> Flags:
        """Tell which pairs must not share a cluster."""
        return np.isin(pairs.key(self.count), self.forbidden)


@dataclass(frozen=True)
class Scale:
    """Log-odds in steps and within bounds that leave room for the threshold, which is given on the same scale."""

    threshold: float
    limit: float

    @classmethod
    def at(cls, threshold: float) -> Self:
        """Return the scale for a threshold that is a probability."""
        log_odds = float(np.round(logit(threshold) / STEP) * STEP)
        return cls(log_odds, max(LOG_ODDS_LIMIT, float(np.ceil(abs(log_odds))) + 1.0))

    def likeness(self, pairs: RowPairs, links: Links) -> Scores:
        """Return the log-odds of the pairs, -inf where forbidden."""
        with np.errstate(divide="ignore"):
            log_odds = np.clip(logit(pairs.probability), -self.limit, self.limit)
        return np.where(links.forbids(pairs), -np.inf, np.round(log_odds / STEP) * STEP)


def flag_rows(rows: Rows, count: int) -> Flags:
    """Return, for each of `count` rows, whether it is one of `rows`."""
    flags = np.zeros(count, dtype=bool)
    flags[rows] = True
    return flags


def locate(lo: Rows, hi: Rows, wanted_lo: Rows, wanted_hi: Rows) -> tuple[Rows, Flags]:
    """Return where each wanted pair is among the pairs (lo, hi), which are in row order, and whether it is there."""
    height = np.int64(1 + max(hi.max(initial=0), wanted_hi.max(initial=0)))
    return look_up(wanted_lo * height + wanted_hi, lo * height + hi)


def label_components(count: int, lo: Rows, hi: Rows) -> Rows:
    """Return the connected component of each row 0..count-1, named by its smallest row."""
    graph = coo_array((np.ones(len(lo), dtype=np.int8), (lo, hi)), shape=(count, count))
    found, labels = csgraph.connected_components(graph, directed=False)
    # of several rows with one label the last one assigned stays: the smallest
    first = np.empty(found, dtype=np.int64)
    first[labels[::-1]] = np.arange(count - 1, -1, -1)
    return np.asarray(first[labels], dtype=np.int64)


def gather_by_size(names: Rows) -> Iterator[Rows]:
    """Yield, for each size that a name of at least 0 occurs in, the positions (names x size, ascending)."""
    positions = np.flatnonzero(names >= 0)
    positions = positions[np.argsort(names[positions], kind="stable")]
    _, starts, sizes = np.unique(names[positions], return_index=True, return_counts=True)
    for size in np.unique(sizes):
        yield positions[starts[sizes == size][:, None] + np.arange(size)]


def list_within(names: Rows) -> tuple[Rows, Rows]:
    """Return all pairs lo < hi of positions with equal names of at least 0."""
    nothing = np.zeros(0, dtype=np.int64)
    found = [(nothing, nothing)]
    for members in gather_by_size(names):
        first, second = np.triu_indices(members.shape[1], k=1)
        found.append((members[:, first].ravel(), members[:, second].ravel()))
    lo, hi = (np.concatenate(side) for side in zip(*found, strict=True))
    return lo, hi


def list_between(names: Rows, first: Rows, second: Rows, *, limit: int) -> tuple[Rows, Rows, Rows]:
    """Return the pairs of positions between the names first[i] and second[i]: i, and the two positions.

    Of more than `limit` pairs it takes that many, scattered evenly; `names` run from 0 and each occurs.
    """
    order = np.argsort(names, kind="stable")
    sizes = np.bincount(names)
    starts = np.cumsum(sizes) - sizes
    full = sizes[first] * sizes[second]
    taken = np.minimum(full, limit)
    which = np.repeat(np.arange(len(first)), taken)
    place = np.arange(len(which)) - np.repeat(np.cumsum(taken) - taken, taken)
    place = np.where(full[which] > limit, place * SCATTER % full[which], place)
    a, b = np.divmod(place, sizes[second][which])
    return which, order[starts[first][which] + a], order[starts[second][which] + b]
