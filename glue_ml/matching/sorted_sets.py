"""Sets of numbers as sorted arrays.

`numpy.unique` without further answers hashes from numpy 2.3 on: on millions of numbers that takes 60 times as long as
sorting them does.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from glue_ml.matching.threads import map_at_once

Numbers = npt.NDArray[np.int64]

NUMBERED_AT_ONCE = 1_000_000
FIRST_SHIFT, FIRST_LEAST = 58, -32  #: The first six bits of a number, and the least that they come to.


def distinct(values: Numbers) -> Numbers:
    """Return the distinct values, ascending."""
    ordered = np.sort(values)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def number_distinct(values: Numbers) -> tuple[Numbers, Numbers]:
    """Return the distinct values, ascending, and where in them each of `values` is.

    Many values, which are to be spread evenly over all numbers of 64 bits, as hashes are, are dealt out by their first
    bits and worked on at once, what fits into a processor's cache at a time.
    """
    if len(values) <= NUMBERED_AT_ONCE:
        return np.unique(values, return_inverse=True)
    first = (values >> FIRST_SHIFT).astype(np.int8)
    order = np.argsort(first, kind="stable")
    ends = np.cumsum(np.bincount(first.astype(np.int64) - FIRST_LEAST)).tolist()
    parts = [order[start:end] for start, end in pairwise([0, *ends])]
    found = map_at_once(lambda part: np.unique(values[part], return_inverse=True), parts)
    place, start = np.empty(len(values), dtype=np.int64), 0
    for part, (known, numbers) in zip(parts, found, strict=True):
        place[part] = numbers + start
        start += len(known)
    return np.concatenate([known for known, _ in found]), place


def look_up(values: Numbers, known: Numbers) -> tuple[Numbers, npt.NDArray[np.bool_]]:
    """Return where each of `values` is in `known`, which is ascending, and whether it is there; 0 where it is not."""
    if len(known) == 0:
        return np.zeros(len(values), dtype=np.int64), np.zeros(len(values), dtype=bool)
    # in order one search begins where the one before it ended: several times as fast on millions
    order = np.argsort(values)
    place = np.empty(len(values), dtype=np.int64)
    place[order] = np.minimum(np.searchsorted(known, values[order]), len(known) - 1)
    found = known[place] == values
    return np.where(found, place, 0), found


def is_in(values: Numbers, known: Numbers) -> npt.NDArray[np.bool_]:
    """Tell which of `values` are in `known`, which is ascending."""
    return look_up(values, known)[1]
