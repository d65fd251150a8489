from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from glue_ml.domain.job import JobError, JobResult
from glue_ml.domain.task_run import (
    ACTIVE,
    ALIVE,
    ENDED,
    MOVES,
    NOT_LAUNCHED,
    Action,
    ApplicationState,
    Deadlines,
    Decision,
    Observation,
    Observed,
    Run,
    RunStatus,
    decide,
    execution_seconds,
    fail_launch,
)
from glue_ml.domain.transform import Capacity
from glue_ml.errors import ErrorKind

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DEADLINES = Deadlines(start=timedelta(minutes=30), stop=timedelta(seconds=30))
OK = JobResult(True)
BROKEN = JobResult(False, error=JobError(ErrorKind.INTERNAL, "It broke"))
WRONG = JobResult(False, error=JobError(ErrorKind.INPUT, "No such column"))
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def make_run(status: RunStatus = RunStatus.STARTING, **members: Any) -> Run:
    run = Run(
        run_id="tsk-1",
        status=status,
        started_on=NOW - 60 * MINUTE,
        last_modified_on=NOW,
        timeout=10,
        max_retries=1,
        capacity=Capacity(max_capacity=10.0),
    )
    return replace(run, **members)


def launched(status: RunStatus = RunStatus.STARTING, **members: Any) -> Run:
    return make_run(status, **{"handle": "app-1", "launched_on": NOW - MINUTE, **members})


def running(**members: Any) -> Run:
    return launched(RunStatus.RUNNING, **{"running_on": NOW - MINUTE, **members})


def ended(status: RunStatus, ago: timedelta = SECOND, **members: Any) -> Run:
    return launched(status, **{"completed_on": NOW - ago, **members})


def seen(state: str, result: JobResult | None = None, message: str = "") -> Observed:
    return Observed(Observation(ApplicationState(state), message), result)


SCRIPT = {"script": "file:///s.py"}
LATE = "The application did not start within 30 min"
LONG = "The run took longer than its Timeout of 10 min."


@pytest.mark.parametrize(
    ("run", "observed", "action", "status", "reason"),
    [
        # before there is an application
        (make_run(), NOT_LAUNCHED, "LAUNCH", None, ""),
        (make_run(launched_on=NOW - 29 * MINUTE), NOT_LAUNCHED, "LAUNCH", None, ""),
        (make_run(launched_on=NOW - 30 * MINUTE), NOT_LAUNCHED, "MOVE", "FAILED", LATE),
        # while it waits for machines
        (launched(), seen("PENDING"), "WAIT", None, ""),
        (launched(), seen("UNKNOWN"), "WAIT", None, ""),
        (launched(launched_on=NOW - 30 * MINUTE), seen("PENDING"), "MOVE", "FAILED", LATE),
        (launched(launched_on=NOW - 30 * MINUTE), seen("UNKNOWN"), "MOVE", "FAILED", LATE),
        (launched(launched_on=NOW - 30 * MINUTE), seen("RUNNING"), "MOVE", "RUNNING", ""),
        # while it runs
        (launched(), seen("RUNNING"), "MOVE", "RUNNING", ""),
        (running(), seen("RUNNING"), "WAIT", None, ""),
        (running(), seen("UNKNOWN"), "WAIT", None, ""),
        (running(), seen("PENDING"), "WAIT", None, ""),
        (running(launched_on=NOW - 31 * MINUTE), seen("RUNNING"), "WAIT", None, ""),
        (running(running_on=NOW - 10 * MINUTE + SECOND), seen("RUNNING"), "WAIT", None, ""),
        (running(running_on=NOW - 10 * MINUTE), seen("RUNNING"), "MOVE", "TIMEOUT", LONG),
        (running(running_on=NOW - 10 * MINUTE), seen("UNKNOWN"), "MOVE", "TIMEOUT", LONG),
        # the result is the truth, whatever the application does
        (running(), seen("RUNNING", OK), "MOVE", "SUCCEEDED", ""),
        (running(), seen("FAILED", OK), "MOVE", "SUCCEEDED", ""),
        (running(), seen("GONE", OK), "MOVE", "SUCCEEDED", ""),
        (running(running_on=NOW - 11 * MINUTE), seen("RUNNING", OK), "MOVE", "SUCCEEDED", ""),
        (launched(), seen("SUCCEEDED", OK), "MOVE", "SUCCEEDED", ""),
        # failures are tried again, one attempt after the other
        (running(), seen("FAILED", BROKEN), "RETRY", "STARTING", "It broke"),
        (launched(), seen("FAILED", BROKEN), "RETRY", "STARTING", "It broke"),
        (running(), seen("RUNNING", BROKEN), "FORCE", None, "the failed attempt is still there"),
        (running(), seen("UNKNOWN", BROKEN), "FORCE", None, "the failed attempt is still there"),
        (running(attempt=2), seen("FAILED", BROKEN), "MOVE", "FAILED", "It broke"),
        (running(attempt=2), seen("RUNNING", BROKEN), "MOVE", "FAILED", "It broke"),
        (running(max_retries=0), seen("FAILED", BROKEN), "MOVE", "FAILED", "It broke"),
        (running(), seen("RUNNING", WRONG), "MOVE", "FAILED", "No such column"),
        # an application that ends without a word
        (running(), seen("GONE"), "RETRY", "STARTING", "The application ended without a result"),
        (running(), seen("SUCCEEDED"), "RETRY", "STARTING", "The application ended without a result"),
        (running(), seen("FAILED", message="exit code 137"), "RETRY", "STARTING",
         "The application ended without a result: exit code 137"),
        (running(attempt=2), seen("GONE"), "MOVE", "FAILED", "The application ended without a result"),
        # a user's script speaks by its exit code
        (running(properties=SCRIPT), seen("SUCCEEDED"), "MOVE", "SUCCEEDED", ""),
        (running(properties=SCRIPT), seen("FAILED", message="exit code 1"), "RETRY", "STARTING",
         "The script failed: exit code 1"),
        (running(properties=SCRIPT, attempt=2), seen("FAILED"), "MOVE", "FAILED", "The script failed"),
        (running(properties=SCRIPT), seen("GONE"), "RETRY", "STARTING", "The script is gone, and nothing tells how"),
        # it is to stop
        (make_run(RunStatus.STOPPING), NOT_LAUNCHED, "MOVE", "STOPPED", "stopped before it was launched"),
        (launched(RunStatus.STOPPING, stopping_on=NOW - SECOND), seen("RUNNING"), "CANCEL", None, ""),
        (launched(RunStatus.STOPPING, stopping_on=NOW - SECOND), seen("PENDING"), "CANCEL", None, ""),
        (launched(RunStatus.STOPPING, stopping_on=NOW - SECOND), seen("UNKNOWN"), "CANCEL", None, ""),
        (launched(RunStatus.STOPPING, stopping_on=NOW - SECOND), seen("RUNNING", BROKEN), "WAIT", None, ""),
        (launched(RunStatus.STOPPING, stopping_on=NOW - 30 * SECOND), seen("RUNNING"), "FORCE", None,
         "it did not end within 30 s"),
        (launched(RunStatus.STOPPING, stopping_on=NOW - 30 * SECOND), seen("RUNNING", OK), "FORCE", None, ""),
        (launched(RunStatus.STOPPING, stopping_on=NOW - SECOND), seen("FAILED"), "MOVE", "STOPPED", "stopped"),
        (launched(RunStatus.STOPPING, stopping_on=NOW - SECOND), seen("GONE"), "MOVE", "STOPPED", "stopped"),
        (launched(RunStatus.STOPPING, stopping_on=NOW - SECOND), seen("SUCCEEDED", OK), "MOVE", "STOPPED", ""),
        # it ended, and its application is to follow
        (ended(RunStatus.SUCCEEDED), seen("RUNNING", OK), "WAIT", None, ""),
        (ended(RunStatus.SUCCEEDED, 30 * SECOND), seen("RUNNING", OK), "FORCE", None, "it did not end within 30 s"),
        (ended(RunStatus.SUCCEEDED, 30 * SECOND), seen("UNKNOWN", OK), "WAIT", None, ""),
        (ended(RunStatus.SUCCEEDED), seen("SUCCEEDED", OK), "RELEASE", None, ""),
        (ended(RunStatus.SUCCEEDED), seen("GONE"), "RELEASE", None, ""),
        (ended(RunStatus.FAILED), seen("RUNNING", BROKEN), "WAIT", None, ""),
        (ended(RunStatus.FAILED), seen("PENDING"), "CANCEL", None, ""),  # it did not start in time
        (ended(RunStatus.FAILED, 30 * SECOND), seen("PENDING"), "FORCE", None, ""),
        (ended(RunStatus.TIMEOUT), seen("RUNNING"), "CANCEL", None, ""),
        (ended(RunStatus.TIMEOUT), seen("RUNNING", BROKEN), "WAIT", None, ""),
        (ended(RunStatus.TIMEOUT, 30 * SECOND), seen("RUNNING"), "FORCE", None, ""),
        (ended(RunStatus.STOPPED, handle=None), NOT_LAUNCHED, "RELEASE", None, ""),
    ],
)  # fmt: skip
def test_what_is_done_next(run: Run, observed: Observed, action: str, status: str | None, reason: str) -> None:
    decision = decide(run, observed, NOW, DEADLINES)
    assert (decision.action, decision.status) == (action, status)
    assert decision.reason.startswith(reason)


_ERRORS = {kind: JobResult(False, error=JobError(kind, "Because")) for kind in ErrorKind}


@pytest.mark.parametrize("kind", ErrorKind)
def test_only_what_may_pass_is_tried_again(kind: ErrorKind) -> None:
    decision = decide(running(), seen("FAILED", _ERRORS[kind]), NOW, DEADLINES)
    retried = kind in (ErrorKind.INTERNAL, ErrorKind.UNAVAILABLE)
    assert decision == (
        Decision(Action.RETRY, RunStatus.STARTING, "Because")
        if retried
        else Decision(Action.MOVE, RunStatus.FAILED, "Because")
    )


@pytest.mark.parametrize("max_retries", [0, 1, 3])
def test_there_are_as_many_attempts_as_retries_and_one(max_retries: int) -> None:
    attempt = 1
    run = running(max_retries=max_retries)
    while decide(replace(run, attempt=attempt), seen("FAILED", BROKEN), NOW, DEADLINES).action is Action.RETRY:
        attempt += 1
    assert attempt == max_retries + 1


_RUNS = [
    launched(status, stopping_on=NOW - ago, completed_on=NOW - ago if status in ENDED else None,
             running_on=running_on, attempt=attempt, properties=properties)
    for status, ago, running_on, attempt, properties in product(
        RunStatus, [SECOND, 31 * SECOND], [None, NOW - MINUTE, NOW - 11 * MINUTE], [1, 2], [{}, SCRIPT]
    )
    if running_on is not None or status is not RunStatus.RUNNING
]  # fmt: skip
_SEEN = [seen(state, result) for state, result in product(ApplicationState, [None, OK, BROKEN, WRONG])]


@pytest.mark.parametrize("status", RunStatus)
def test_every_situation_leads_to_a_move_that_is_allowed(status: RunStatus) -> None:
    for run, observed in product([run for run in _RUNS if run.status is status], _SEEN):
        decision = decide(run, observed, NOW, DEADLINES)
        if decision.action is Action.MOVE:
            assert decision.status in MOVES[run.status]
        elif decision.action is Action.RETRY:
            assert run.status in ACTIVE - {RunStatus.STOPPING}
            assert observed.application.state not in ALIVE
        elif decision.action is Action.RELEASE:
            assert run.status in ENDED
            assert observed.application.state not in ALIVE
        else:
            assert decision.status is None
        assert decision.action is not Action.LAUNCH


@pytest.mark.parametrize("status", RunStatus)
def test_an_application_that_has_ended_always_leads_on(status: RunStatus) -> None:
    dead = [observed for observed in _SEEN if observed.application.state not in ALIVE]
    for run, observed in product([run for run in _RUNS if run.status is status], dead):
        assert decide(run, observed, NOW, DEADLINES).action in (Action.MOVE, Action.RETRY, Action.RELEASE)


@pytest.mark.parametrize("kind", ErrorKind)
@pytest.mark.parametrize(("since", "late"), [(SECOND, False), (30 * MINUTE, True)])
def test_a_launch_that_failed_is_tried_again_while_that_may_help(kind: ErrorKind, since: timedelta, late: bool) -> None:
    decision = fail_launch(make_run(launched_on=NOW - since), kind, "No machines", NOW, DEADLINES)
    if kind in (ErrorKind.INTERNAL, ErrorKind.UNAVAILABLE) and not late:
        assert decision == Decision(Action.WAIT, reason="No machines")
    else:
        assert decision == Decision(Action.MOVE, RunStatus.FAILED, "No machines")


@pytest.mark.parametrize(
    ("run", "seconds"),
    [
        (make_run(), 0),
        (running(), 60),
        (running(seconds=5.5), 65),
        (make_run(seconds=61.9), 61),
        (running(completed_on=NOW - 20 * SECOND), 40),
        (running(running_on=NOW - timedelta(seconds=1.7), seconds=0.4), 2),
    ],
)
def test_the_execution_time_is_that_of_all_attempts(run: Run, seconds: int) -> None:
    assert execution_seconds(run, NOW) == seconds


def test_nothing_follows_an_end() -> None:
    assert all(MOVES[status] == frozenset() for status in ENDED)
    assert frozenset(RunStatus) == ACTIVE | ENDED
