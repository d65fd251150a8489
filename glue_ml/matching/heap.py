"""Memory that was freed, back to the system: a process that stays keeps it for itself otherwise, gigabytes of it."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import pyarrow as pa


def give_back() -> None:
    """Return to the system what this process has freed. Cost: milliseconds for a gigabyte."""
    pa.default_memory_pool().release_unused()
    trim = _find_trim()
    if trim is not None:
        trim(0)


@cache
def _find_trim() -> Any:
    """Return glibc's `malloc_trim`; None where the system has another library."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return None
