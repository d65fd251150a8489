"""The benchmark of the stop signal compares what was expected with what happened."""

from __future__ import annotations

import pytest

from tests.benchmarks.stop_signal import judge


def forecast(expected: float, error: float, happened: float) -> dict[str, float]:
    return {"expected": expected, "error": error, "happened": happened}


def test_forecasts_are_judged_by_their_misses_and_by_their_own_errors() -> None:
    told = judge([forecast(0.02, 0.01, 0.02), forecast(0.02, 0.01, 0.005), forecast(0.02, 0.01, -0.02)])
    assert told["mean expected"] == pytest.approx(0.02)
    assert told["mean happened"] == pytest.approx(0.005 / 3)
    assert told["within one error"] == pytest.approx(1 / 3)
    assert told["within two errors"] == pytest.approx(2 / 3)
    assert told["root mean square miss"] == pytest.approx(((0.015**2 + 0.04**2) / 3) ** 0.5)
    assert told["the same, expecting none"] == pytest.approx(((0.02**2 + 0.005**2 + 0.02**2) / 3) ** 0.5)
