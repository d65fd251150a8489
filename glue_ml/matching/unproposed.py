"""What labels tell of the matches that blocking never proposes.

Most labelled matches were asked about *because* blocking proposed them, so they say nothing. Matches that came to light
beside them do: those that the labels of a set imply. They can tell what blocking misses within groups of several rows.
A match that no proposed pair leads to, such as the only other row of an entity, no labelling set will ever hold: how
many of them there are cannot be estimated from labels at all, so what is told is an upper bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64]

EXPECTED = 10.0  #: Proposed matches taken for seen before any is: one wrong label must not tell of a blind blocking.
MISPUT = 0.01  #: Share of labelled rows that are taken for put with the wrong ones.


@dataclass(frozen=True)
class Unproposed:
    """Labelled matches that were not chosen because blocking proposed them, so they tell what it misses.

    Of each: its set, whether blocking proposes it all the same, and whether the pair alone would be called a match.
    `mistaken`: how many of those that blocking does not propose are likely to be wrong labels.
    """

    sets: tuple[str, ...]
    listed: Flags
    found: Flags
    mistaken: float = 0.0


def estimate_coverage(unproposed: Unproposed) -> float:
    """Return the share of all matches that blocking proposes, as far as labels can tell; 1 where they cannot."""
    names = sorted(set(unproposed.sets))
    return float(resample_coverage(unproposed, names, np.ones((1, len(names))))[0][0])


def expect_mistaken(rows: int, matches: int) -> float:
    """Return how many labelled matches are expected to be wrong, of so many labelled rows with so many matches.

    A row that is put with the wrong ones (MISPUT) makes a match with each row of their group, and as nothing is less
    like a match, blocking proposes none of them. A row is in as many matches as its group has others.
    """
    return MISPUT * (rows + 2 * matches)


def find_unproposed(left: Rows, right: Rows, sets: Sequence[str], listed: Flags) -> Flags:
    """Return which of the labelled matches need not have been chosen for being proposed.

    In each set they are those that the others imply: what is left after a spanning forest of the proposed matches,
    built in the given order. Of three rows that were chosen together it leaves one pair that may be proposed because of
    that, so the share of proposed pairs comes out too high rather than too low.
    """
    parent: dict[tuple[str, int], tuple[str, int]] = {}

    def find(node: tuple[str, int]) -> tuple[str, int]:
        while parent.setdefault(node, node) != node:
            node = parent[node]
        return node

    implied = np.ones(len(left), dtype=bool)
    for i in np.flatnonzero(listed).tolist():
        one, other = find((sets[i], int(left[i]))), find((sets[i], int(right[i])))
        if one != other:
            parent[one] = other
            implied[i] = False
    return implied


def resample_coverage(unproposed: Unproposed, names: Sequence[str], weight: Scores) -> tuple[Scores, Scores]:
    """Return the share of matches that blocking proposes, and of the others the share found anyway, by resample.

    `weight` (resamples x names): how often each set counts. The share is drawn towards 1, as blocking mostly proposes
    nearly all (EXPECTED), and those that are likely to be wrong labels do not count.
    """
    place = number_sets(unproposed.sets, names)
    kinds = (np.ones(len(place), dtype=bool), unproposed.listed, ~unproposed.listed & unproposed.found)
    every, listed, found = (weight @ np.bincount(place[kind], minlength=len(names)) for kind in kinds)
    missed = every - listed
    share = (listed + EXPECTED) / (listed + np.maximum(missed - unproposed.mistaken, 0.0) + EXPECTED)
    return share, np.divide(found, missed, out=np.zeros(len(weight)), where=missed > 0)


def number_sets(sets: Sequence[str], names: Sequence[str]) -> Rows:
    """Return the place of each set among `names`."""
    number = {name: i for i, name in enumerate(names)}
    return np.array([number[name] for name in sets], dtype=np.int64)
