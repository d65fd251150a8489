"""Rivals: the other candidate pairs of the two records of a pair, and how its score compares with theirs.

A record has few true partners, so a pair that scores well is less of a match where one of its records has a better one.
The ranks of blocking (blocking.CONTEXT) say so by likeness of words; here the score is that of a forest, which has
learned what matters. Features that come from the scores of related pairs: collective entity resolution (Bhattacharya
and Getoor 2007), as stacking (Wolpert 1992).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import logit

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]
Feature = npt.NDArray[np.float32]

RIVALS = ("first_look", "least_margin", "largest_margin", "best_rival", "worst_rival")
FIRST_LOOK_FLOOR = 0.02  #: A pair that scores less at first is not looked at again, and is nobody's rival.
PAIRS_AT_ONCE = 1_000_000  #: What is worked out of so many is held in memory.
MARGIN = 1e-3  #: Scores are kept this far from 0 and 1; a record without another pair has a rival of score 0.


def find_rivals(
    lo: Rows, hi: Rows, score: Scores, chosen: npt.NDArray[np.bool_] | None = None
) -> tuple[Scores, Scores]:
    """Return the best score among the other pairs of each pair's row `lo`, and of its row `hi`; 0 where it has none.

    The pairs are distinct; their order does not matter. With `chosen` these pairs alone are told of; the others are
    rivals all the same.
    """
    rows = int(max(lo.max(initial=-1), hi.max(initial=-1))) + 1
    # by row and in parts, not by sorting the pairs of all rows: there may be many more of them
    best, runner_up, equals = np.zeros(rows), np.zeros(rows), np.zeros(rows, dtype=np.int32)
    parts = [slice(start, start + PAIRS_AT_ONCE) for start in range(0, len(lo), PAIRS_AT_ONCE)]
    for part in parts:
        np.maximum.at(best, lo[part], score[part])
        np.maximum.at(best, hi[part], score[part])
    for row, own in ((side[part], score[part]) for part in parts for side in (lo, hi)):
        is_best = own == best[row]
        np.add.at(equals, row[is_best], 1)
        np.maximum.at(runner_up, row[~is_best], own[~is_best])
    # of several best pairs each has another one for its rival
    np.copyto(runner_up, best, where=equals > 1)
    own, sides = (score, (lo, hi)) if chosen is None else (score[chosen], (lo[chosen], hi[chosen]))
    at_lo, at_hi = (np.where(own < best[side], best[side], runner_up[side]) for side in sides)
    return at_lo, at_hi


def measure_rivals(score: Scores, at_lo: Scores, at_hi: Scores) -> Feature:
    """Return RIVALS (pairs x 5): the score's log-odds, its margins over the best rival on either side, the rivals."""
    own, low, high = (logit(np.clip(s, MARGIN, 1.0 - MARGIN)) for s in (score, at_lo, at_hi))
    columns = [
        own, own - np.maximum(low, high), own - np.minimum(low, high), np.maximum(low, high), np.minimum(low, high),
    ]  # fmt: skip
    return np.stack(columns, axis=-1).astype(np.float32)
