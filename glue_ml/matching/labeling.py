"""Labelling sets: which records a person should look at next, and how they are laid out to be judged.

A row is worth most as one end of an uncertain pair, so a set of about ten rows is made of several small uncertain
neighbourhoods. Most are chosen where the committee disagrees, some where only one blocking view or only one of the two
models (learned, unsupervised) proposes the pair, some at random over the range of scores, so that quality can be
estimated without bias. The random ones stand in sets of their own, which are known by their names. A record that was
labelled before is not asked about again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
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
RANDOM_PREFIX = "random-"
_RANDOM_NAME = re.compile(RANDOM_PREFIX + r"[0-9a-f]{16}(~[0-9]+)?")  # with what an import adds to a name that is taken


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
    """Disjoint groups of rows: 2 or 3 that are worth asking about, and pairs that were drawn at random."""

    telling: list[list[int]]
    random: list[list[int]]

    @property
    def groups(self) -> list[list[int]]:
        """All groups, the most telling first."""
        return self.telling + self.random


def choose_neighbourhoods(pool: PairPool, *, rows: int, excluded: Rows, seed: int) -> Neighbourhoods:
    """Return disjoint groups of rows, about `rows` in all, none of them `excluded`.

    Deterministic in its arguments; the order of the pool does not matter.
    """
    pool = _sorted_pool(pool, excluded)
    rng = np.random.default_rng(seed)
    picker = _Picker(pool)
    uncertain = rows - round(rows * COVERAGE_SHARE) - round(rows * RANDOM_SHARE)
    picker.pick(_take_turns(-pool.disagreement, pool.kind), until=uncertain, extend=True)
    picker.pick(_take_turns(-pool.coverage, pool.kind), until=rows - round(rows * RANDOM_SHARE), extend=False)
    telling = len(picker.groups)
    picker.pick(_stratified_order(pool.probability, rng), until=rows, extend=False)
    # a random pair stays one: a third row would bring pairs that were not drawn
    picker.fill(rows, groups=picker.groups[:telling] or picker.groups)
    return Neighbourhoods(picker.groups[:telling], picker.groups[telling:])


def _sorted_pool(pool: PairPool, excluded: Rows) -> PairPool:
    free = ~(np.isin(pool.left, excluded) | np.isin(pool.right, excluded))
    order = np.flatnonzero(free)[np.lexsort((pool.right[free], pool.left[free]))]
    left, right = pool.left[order], pool.right[order]
    return PairPool(
        left, right, pool.probability[order], pool.disagreement[order], pool.coverage[order], pool.kind[order]
    )


def _take_turns(cost: Scores, kind: Rows) -> Rows:
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

    def fill(self, rows: int, *, groups: Sequence[list[int]]) -> None:
        """Add rivals to pairs until there are `rows`: groups of three may have left room for less than a pair."""
        for group in groups:
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


def deal_marked_sets(chosen: Neighbourhoods, *, rows: int, seed: int) -> list[tuple[list[int], bool]]:
    """Deal neighbourhoods of about `rows` rows into sets of about SET_ROWS; say of each whether it was drawn at random.

    Where all that there is makes one set, it is one set, which nobody can then call random.
    """
    wanted = max(1, round(rows / SET_ROWS))
    if wanted == 1:
        return [(members, False) for members in deal_sets(chosen.groups, sets=1, seed=seed)]
    own = max(1, round(wanted * RANDOM_SHARE)) if chosen.random else 0
    telling = deal_sets(chosen.telling, sets=wanted - own, seed=seed)
    return [(members, False) for members in telling] + [
        (members, True) for members in deal_sets(chosen.random, sets=max(own, 1), seed=seed)
    ]


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


def name_set(keys: Sequence[str], *, is_random: bool = False) -> str:
    """Name a set by its members, so that the same set has the same name in every run.

    The name of a random set says so: it is all that comes back with the labels. Who takes rows out of the set or
    changes their order takes nothing from that.
    """
    digest = hashlib.sha256("\x1f".join(sorted(keys)).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{RANDOM_PREFIX}{digest}" if is_random else digest


def is_random_set(name: str) -> bool:
    """Say whether `name_set` named a set whose proposed pairs were drawn at random over the range of scores."""
    return _RANDOM_NAME.fullmatch(name) is not None
