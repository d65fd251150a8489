from __future__ import annotations

from typing import Any

import pytest

from glue_ml.domain.job import JobResult, Stage
from glue_ml.errors import InputError
from glue_ml.matching.stages import Stages

NO_SPARK: Any = None


def test_a_stage_is_timed_with_what_it_says_of_itself() -> None:
    stages = Stages("match", ("read", "block"), None, NO_SPARK)
    with stages.run("read") as amounts:
        amounts.rows_out, amounts.bytes = 7, 70
    with stages.run("block") as amounts:
        amounts.rows_in = 7
    assert [(stage.name, stage.rows_in, stage.rows_out, stage.bytes) for stage in stages.done] == [
        ("read", None, 7, 70),
        ("block", 7, None, None),
    ]
    assert list(stages.seconds) == ["read", "block"]
    assert all(seconds >= 0 for seconds in stages.seconds.values())


def test_its_beginning_and_its_end_are_told() -> None:
    told: list[tuple[str, int, int]] = []
    stages = Stages("match", ("read", "block"), lambda *stage: told.append(stage), NO_SPARK)
    with stages.run("block"):
        assert told == [("block", 1, 2)]
    assert told == [("block", 1, 2), ("block", 2, 2)]


def test_a_stage_that_fails_is_not_told_as_done() -> None:
    told: list[tuple[str, int, int]] = []
    stages = Stages("match", ("read",), lambda *stage: told.append(stage), NO_SPARK)
    with pytest.raises(ZeroDivisionError), stages.run("read"):
        raise ZeroDivisionError
    assert (stages.done, told) == ([], [("read", 0, 1)])


def test_stages_go_on_with_what_was_done_before_and_know_their_own() -> None:
    before = [Stage("read", 1.0)]
    stages = Stages("match", ("read",), None, NO_SPARK, before)
    with stages.run("read"):
        pass
    assert before[0] == Stage("read", 1.0)
    assert len(before) == 2
    assert stages.mine == (before[1],)
    assert stages.seconds == {"read": before[1].seconds}


def test_a_result_with_stages_survives_its_json() -> None:
    result = JobResult(True, stages=(Stage("read", 1.5, None, 7, 70), Stage("block", 0.0)))
    assert JobResult.from_json(result.to_json()) == result


def test_a_result_without_stages_is_read_as_before() -> None:
    assert JobResult.from_json('{"succeeded": true}').stages == ()


@pytest.mark.parametrize("stages", ["1", "[1]", '[{"name": "read"}]', '[{"name": "read", "seconds": 1, "pages": 2}]'])
def test_stages_of_another_form_are_refused(stages: str) -> None:
    with pytest.raises((InputError, TypeError)):
        JobResult.from_json(f'{{"succeeded": true, "stages": {stages}}}')
