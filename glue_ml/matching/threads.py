"""Work on several cores of one process: Arrow, numpy and scipy do most of theirs without holding the interpreter."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

MOST = 4  #: Each holds what it works on in memory.


def map_at_once(function: Callable[[T], R], items: Iterable[T], *, most: int = MOST) -> list[R]:
    """Return what `function` returns for each item, in their order; at `most` so many items are worked on at once."""
    with ThreadPoolExecutor(max_workers=min(most, os.cpu_count() or 1)) as pool:
        return list(pool.map(function, items))
