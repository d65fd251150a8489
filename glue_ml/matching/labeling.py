"""Labelling sets: which records a person should look at next, and how they are laid out to be judged.

A row is worth most as one end of an uncertain pair, so a set of about ten rows is made of several small uncertain
neighbourhoods. Most are chosen where the committee disagrees, some where only one blocking view or only one of the two
models (learned, unsupervised) proposes the pair, some at random over the range of scores, so that quality can be
estimated without bias. The name of a set tells which of its pairs are the random ones. A record that was labelled
before is not asked about again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]

SET_ROWS = 10
NEIGHBOURHOOD_ROWS = 3
COVERAGE_SHARE = 0.2
RANDOM_SHARE = 0.1
STRATA = 10
_MARKED_NAME = re.compile(r"[0-9a-f]{16}((?:-r[0-9a-f]{8})+)(~[0-9]+)?")  # ~2: added where a name is taken already


@dataclass(frozen=True)
class PairPool:
    """Pairs to choose from: row numbers, probability of a match, disagreement of the committee (larger: less sure),
    and how much the pair would tell about what the model or a view alone misses. Pairs of each `kind` are chosen in
    turn."""

    left: Rows
    right: Rows
    probability: Scores
    disagreement: Scores
    coverage: Scores
    kind: Rows


@dataclass(frozen=True)
class Neighbourhoods:
    """Disjoint groups of 2 or 3 rows to ask about, and the pairs among them that were drawn at random."""

    groups: list[list[int]]
    drawn: list[tuple[int, int]]


def choose_neighbourhoods(pool: PairPool, *, rows: int, excluded: Rows, seed: int) -> Neighbourhoods:
    """Return disjoint groups of rows, about `rows` in all, none of them `excluded`.

    Deterministic in its arguments; the order of the pool does not matter.
    """
    pool = _sorted_pool(pool, excluded)
    rng = np.random.default_rng(seed)
    picker = _Picker(pool)
    uncertain = rows - round(rows * COVERAGE_SHARE) - round(rows * RANDOM_SHARE)
    picker.pick(take_turns(-pool.disagreement, pool.kind), until=uncertain, extend=True)
    picker.pick(take_turns(-pool.coverage, pool.kind), until=rows - round(rows * RANDOM_SHARE), extend=False)
    telling = len(picker.groups)
    picker.pick(_stratified_order(pool.probability, rng), until=rows, extend=False)
    drawn = [(group[0], group[1]) for group in picker.groups[telling:]]
    picker.fill(rows)
    return Neighbourhoods(picker.groups, drawn)


def _sorted_pool(pool: PairPool, excluded: Rows) -> PairPool:
    free = ~(np.isin(pool.left, excluded) | np.isin(pool.right, excluded))
    order = np.flatnonzero(free)[np.lexsort((pool.right[free], pool.left[free]))]
    left, right = pool.left[order], pool.right[order]
    return PairPool(
        left, right, pool.probability[order], pool.disagreement[order], pool.coverage[order], pool.kind[order]
    )


def take_turns(cost: Scores, kind: Rows) -> Rows:
    """Return the order of rising cost that takes one of each kind in turn."""
    order = np.lexsort((cost, kind))
    turn = np.empty(len(order), dtype=np.int64)
    turn[order] = np.arange(len(order)) - np.searchsorted(kind[order], kind[order])
    return np.lexsort((kind, turn))


def _stratified_order(probability: Scores, rng: np.random.Generator) -> Rows:
    """Return a random order that takes one pair from each stratum of the probability in turn."""
    stratum = np.minimum((probability * STRATA).astype(np.int64), STRATA - 1)
    shuffled = rng.permutation(len(probability))
    turn = np.zeros(len(probability), dtype=np.int64)
    for number in range(STRATA):
        members = shuffled[stratum[shuffled] == number]
        turn[members] = np.arange(len(members))
    return np.asarray(shuffled[np.argsort(turn[shuffled], kind="stable")])


class _Picker:
    """Takes pairs in a given order, each row at most once; may add to a pair the row it is most confused with."""

    def __init__(self, pool: PairPool) -> None:
        self.pool = pool
        self.groups: list[list[int]] = []
        self.used: set[int] = set()
        ends = np.concatenate([pool.left, pool.right])
        others = np.concatenate([pool.right, pool.left])
        doubt = np.concatenate([pool.disagreement, pool.disagreement])
        order = np.lexsort((others, -doubt, ends))
        self.ends, self.others, self.doubt = ends[order], others[order], doubt[order]

    def pick(self, order: Rows, *, until: int, extend: bool) -> None:
        for pair in order:
            if len(self.used) + 2 > until:
                return
            group = [int(self.pool.left[pair]), int(self.pool.right[pair])]
            if self.used.isdisjoint(group):
                if extend and len(self.used) + 3 <= until:
                    group += self._rivals(group, at_least=self.pool.disagreement[pair] * 0.5)
                self.used.update(group)
                self.groups.append(group)

    def fill(self, rows: int) -> None:
        """Add rivals to pairs until there are `rows`: groups of three may have left room for less than a pair."""
        for group in self.groups:
            if len(self.used) >= rows:
                return
            if len(group) == 2:
                group += self._rivals(group, at_least=0.0)
                self.used.update(group)

    def _rivals(self, group: list[int], *, at_least: float) -> list[int]:
        rivals: list[tuple[float, int]] = []
        for row in group:
            start, stop = np.searchsorted(self.ends, [row, row + 1])
            free = [
                (-float(self.doubt[i]), int(self.others[i]))
                for i in range(start, stop)
                if self.others[i] not in self.used and self.others[i] not in group and self.doubt[i] >= at_least
            ]
            rivals += free[:1]
        return [row for _, row in sorted(rivals)[: NEIGHBOURHOOD_ROWS - 2]]


def deal_sets(groups: Sequence[Sequence[int]], *, sets: int, seed: int) -> list[list[int]]:
    """Deal neighbourhoods into `sets` lists of rows of nearly equal size; a neighbourhood's rows stay together."""
    if not groups:
        return []
    rng = np.random.default_rng(seed)
    dealt: list[list[int]] = [[] for _ in range(min(sets, len(groups)))]
    for number in rng.permutation(len(groups)):
        smallest = min(range(len(dealt)), key=lambda i: (len(dealt[i]), i))
        dealt[smallest] += groups[number]
    return dealt


def name_set(keys: Sequence[str], drawn: Iterable[tuple[str, str]] = ()) -> str:
    """Name a set by its members, so that the same set has the same name in every run.

    `drawn`: pairs of keys that were drawn at random; those within the set are marked in its name. The name is all that
    comes back with the labels: who reorders the rows, takes some out or adds some leaves the marks valid.
    """
    members = set(keys)
    marks = sorted(f"-r{_hash(pair)[:8]}" for pair in drawn if members.issuperset(pair))
    return "".join([_hash(keys)[:16], *marks])


def is_drawn(name: str, a: str, b: str) -> bool:
    """Say whether the name of a set marks the pair of the keys `a` and `b` as drawn at random."""
    marked = _MARKED_NAME.fullmatch(name)
    return marked is not None and f"-r{_hash((a, b))[:8]}" in marked[1]


def _hash(keys: Sequence[str]) -> str:
    return hashlib.sha256("\x1f".join(sorted(keys)).encode("utf-8", "surrogatepass")).hexdigest()
