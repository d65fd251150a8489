"""Sets of numbers as sorted arrays.

`numpy.unique` without further answers hashes from numpy 2.3 on: on millions of numbers that takes 60 times as long as
sorting them does.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]


def distinct(values: Numbers) -> Numbers:
    """Return the distinct values, ascending."""
    ordered = np.sort(values)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


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
