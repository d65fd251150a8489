"""What was freed leaves the process."""

from __future__ import annotations

import sys

import numpy as np
import psutil
import pytest

from glue_ml.matching import heap
from glue_ml.matching.heap import give_back


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc keeps what is freed, and can be told not to")
def test_what_was_freed_is_given_back() -> None:
    """Small arrays lie on the heap, and one that stays behind holds all below it."""
    process = psutil.Process()
    arrays = [np.ones(4_000) for _ in range(10_000)]
    last = arrays[-1].copy()
    del arrays
    give_back()
    small = process.memory_info().rss
    arrays = [np.ones(4_000) for _ in range(10_000)]
    large = process.memory_info().rss
    assert large - small > 200 << 20
    last = arrays[-1]
    del arrays
    give_back()
    assert process.memory_info().rss - small < 50 << 20
    assert last.sum() == 4_000


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "_find_trim", lambda: None)
    give_back()
