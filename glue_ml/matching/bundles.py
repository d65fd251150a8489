"""Candidate lists on their way from the tasks that list them to those that compare pairs, in bundles.

A pair may be in the lists of both of its rows, and its CONTEXT needs both. So all entries about a pair go to one task.
As rows of a DataFrame they would be taken apart, hashed and aggregated one by one; as a bundle of bytes for each task
they travel as they are and are put together by sorting.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from glue_ml.matching.candidate_lists import CandidateLists, merge_context

Rows = npt.NDArray[np.int64]
Context = npt.NDArray[np.float32]

_ENTRY = np.dtype([
    ("lo", "<i8"), ("hi", "<i8"), ("score", "<f4"), ("rank", "<i4"), ("ratio", "<f4"), ("views", "<i1"),
])  # fmt: skip


def pack_lists(lists: CandidateLists, bundles: int, *, rows: int) -> dict[int, bytes]:
    """Return the entries of the lists by the number of their bundle, 0 to `bundles` - 1: that of their pair.

    `rows`: how many the whole table has.
    """
    entries = np.empty(len(lists.row), dtype=_ENTRY)
    entries["lo"], entries["hi"] = np.minimum(lists.row, lists.other), np.maximum(lists.row, lists.other)
    for name in ("score", "rank", "ratio", "views"):
        entries[name] = getattr(lists, name)
    number = choose_bundles(entries["lo"], entries["hi"], bundles, rows=rows)
    order = np.argsort(number, kind="stable")
    bounds = np.searchsorted(number[order], np.arange(bundles + 1)).tolist()
    packed, width = memoryview(entries[order].tobytes()), _ENTRY.itemsize
    pieces = ((place, packed[first * width : last * width]) for place, (first, last) in enumerate(pairwise(bounds)))
    return {place: bytes(piece) for place, piece in pieces if len(piece)}


def choose_bundles(lo: Rows, hi: Rows, bundles: int, *, rows: int) -> Rows:
    """Return the number of the bundle of each pair; evenly many pairs go to each.

    A pair goes where one of its rows goes, which of them is as good as tossed. So a row's pairs are in few bundles, and
    a bundle needs few rows.
    """
    mixed = (lo.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) ^ hi.astype(np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return np.where(mixed >> np.uint64(63), lo, hi) * bundles // max(rows, 1)


def meet_lists(packed: Iterable[bytes]) -> tuple[Rows, Rows, Context]:
    """Return the pairs of all entries that came for one bundle: lo, hi in row order and their CONTEXT, each once."""
    entries = np.frombuffer(b"".join(packed), dtype=_ENTRY)
    order = np.lexsort((entries["hi"], entries["lo"]))
    lo, hi = entries["lo"][order], entries["hi"][order]
    is_first = np.append(True, (lo[1:] != lo[:-1]) | (hi[1:] != hi[:-1]))[: len(lo)]
    first = np.flatnonzero(is_first)
    both = np.append(~is_first[1:], False)[first] if len(first) else np.zeros(0, dtype=bool)
    sides = entries[order[np.stack([first, np.where(both, first + 1, first)])]]
    listed = np.stack([np.ones(len(first), dtype=bool), both])
    context = merge_context(sides["score"], sides["rank"], sides["ratio"], listed, sides["views"] * listed)
    return lo[first].astype(np.int64), hi[first].astype(np.int64), context
