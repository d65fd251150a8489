from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glue_ml.domain.time_left import TASK_SHARES, StageClock, describe_seconds, estimate_seconds_left
from glue_ml.local_run import EVALUATE_STEPS, LABEL_STEPS, MATCH_STEPS, REPORT_STEPS
from glue_ml.matching.find_matches import FIT_STAGES, LABEL_STAGES, MATCH_STAGES


@pytest.mark.parametrize(
    ("spent", "current", "elapsed", "left"),
    [
        pytest.param({}, 0, 5.0, None, id="the first stage tells nothing before it has ended"),
        pytest.param({0: 10.0}, 1, 0.0, 60.0, id="the rest takes as long as its shares"),
        pytest.param({0: 10.0}, 1, 30.0, 30.0, id="time runs down within a stage"),
        pytest.param({0: 10.0}, 1, 40.0, 20.0, id="a stage that has taken its share is about to end"),
        pytest.param({0: 10.0}, 1, 90.0, 40.0, id="one that takes longer slows those ahead down"),
        pytest.param({1: 8.0}, 2, 0.0, 4.0, id="stages that were left out do not count"),
        pytest.param({0: 10.0, 1: 40.0, 2: 20.0}, 3, 0.0, 0.0, id="nothing is left at the end"),
    ],
)
def test_the_time_left_follows_from_the_stages_so_far(
    spent: Mapping[int, float], current: int, elapsed: float, left: float | None
) -> None:
    assert estimate_seconds_left((1.0, 4.0, 2.0), spent, current, elapsed) == left


def test_a_stage_without_a_share_tells_nothing() -> None:
    assert estimate_seconds_left((0.0, 1.0, 2.0), {0: 500.0}, 1, 3.0) is None
    assert estimate_seconds_left((0.0, 1.0, 2.0), {0: 500.0, 1: 10.0}, 2, 0.0) == 20.0


@given(
    st.lists(st.just(0.0) | st.floats(0.001, 100.0), min_size=1, max_size=12),
    st.lists(st.floats(0.0, 1e6), max_size=12),
    st.floats(0.0, 1e6),
)
def test_the_time_left_is_never_negative(shares: list[float], taken: list[float], elapsed: float) -> None:
    spent = dict(enumerate(taken[: len(shares) - 1]))
    left = estimate_seconds_left(shares, spent, len(spent), elapsed)
    assert left is None or left >= 0.0


def test_a_clock_times_the_stages_by_what_it_is_told() -> None:
    clock = StageClock((1.0, 4.0, 2.0))
    assert clock.seconds_left(now=0.0) is None
    clock.tell(0, now=100.0)
    clock.tell(1, now=110.0)
    assert clock.seconds_left(now=110.0) == 60.0
    clock.tell(1, now=120.0)  # the next stage begins: nothing new is done
    assert clock.seconds_left(now=130.0) == 40.0
    clock.tell(3, now=140.0)
    assert clock.seconds_left(now=150.0) == 0.0


def test_a_clock_does_not_count_stages_that_were_leapt_over() -> None:
    leapt = StageClock((50.0, 50.0, 1.0, 2.0))
    leapt.tell(0, now=0.0)
    leapt.tell(2, now=1.0)
    assert leapt.seconds_left(now=1.0) is None
    leapt.tell(3, now=11.0)
    assert leapt.seconds_left(now=11.0) == 20.0


def test_a_clock_without_shares_estimates_nothing() -> None:
    clock = StageClock(())
    clock.tell(0, now=0.0)
    clock.tell(1, now=9.0)
    assert clock.seconds_left(now=9.0) is None


def test_there_is_a_share_for_every_stage_of_a_job() -> None:
    writing = 1
    lengths = {task.value: len(shares) for task, shares in TASK_SHARES.items()}
    assert lengths == {
        "EVALUATION": len(FIT_STAGES) + writing,
        "LABELING_SET_GENERATION": len(FIT_STAGES) + len(LABEL_STAGES),
        "FIND_MATCHES": len(FIT_STAGES) + len(MATCH_STAGES) + writing,
    }


def test_there_is_a_share_for_every_stage_of_a_step() -> None:
    lengths = {"learn": len(FIT_STAGES), "find matches": len(MATCH_STAGES), "choose rows": len(LABEL_STAGES)}
    for steps in (MATCH_STEPS, LABEL_STEPS, EVALUATE_STEPS, REPORT_STEPS):
        assert {name: len(shares) for name, shares in steps.items()} == {name: lengths.get(name, 1) for name in steps}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "a few seconds"), (12, "about 10 s"), (100, "about 2 min"), (5000, "about 83 min"), (6000, "about 1.7 h")],
)
def test_a_rough_time_is_told_roughly(seconds: float, words: str) -> None:
    assert describe_seconds(seconds) == words
