"""How far a run is, as it is shown without a terminal."""

from __future__ import annotations

import time

import pytest

from glue_ml.progress_bars import RunBar, StageBar


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock shows, as the last of a list."""
    shown = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: shown[-1])
    return shown


def test_without_a_terminal_every_step_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with StageBar(("read", "learn")) as bar:
        bar.begin()
        bar.begin()
        bar.tell("block", 1, 4)
    assert capsys.readouterr().err.splitlines() == ["[1/2] after 0 s: read", "[2/2] after 0 s: learn"]


def test_the_time_left_is_told_once_it_is_known(capsys: pytest.CaptureFixture[str], clock: list[float]) -> None:
    with StageBar({"start": (0.0,), "learn": (1.0, 2.0), "match": (4.0,)}) as bar:
        bar.begin()
        clock.append(1020.0)
        bar.begin()
        bar.tell("block", 0, 2)
        clock.append(1030.0)
        bar.tell("block", 1, 2)
        clock.append(1050.0)
        bar.tell("compare", 2, 2)
        bar.begin()
    assert capsys.readouterr().err.splitlines() == [
        "[1/3] after 0 s: start",
        "[2/3] after 20 s: learn",
        "[3/3] after 50 s: match, about 40 s left",
    ]


def test_without_a_terminal_every_change_of_a_run_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with RunBar("tsk-1") as bar:
        bar.tell("STARTING")
        bar.tell("STARTING")
        bar.tell("RUNNING", "learn", 1, 4)
        bar.tell("RUNNING", "learn", 2, 4)
        bar.tell("RUNNING", "match", 3, 4, 130.0)
        bar.tell("SUCCEEDED")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "tsk-1: STARTING",
        "tsk-1: RUNNING, learn (1 of 4)",
        "tsk-1: RUNNING, match (3 of 4), about 2 min left",
        "tsk-1: SUCCEEDED",
    ]


def test_the_time_left_of_a_run_runs_down_while_nothing_new_is_told(clock: list[float]) -> None:
    with RunBar("tsk-1") as bar:
        bar.tell("RUNNING", "match", 3, 4, 130.0)
        clock.append(1030.0)
        bar.tell("RUNNING", "match", 3, 4, 130.0)
        assert bar._estimate() == 100.0
        clock.append(2000.0)
        assert bar._estimate() == 0.0
