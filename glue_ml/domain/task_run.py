"""A run of a task or of a job, and what is to be done with it next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from glue_ml.domain.job import JobError, JobResult, TaskType
from glue_ml.domain.transform import Capacity
from glue_ml.errors import ErrorKind


class RunStatus(StrEnum):
    """Where a run stands, as the Glue API names it."""

    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMEOUT = "TIMEOUT"


ACTIVE = frozenset({RunStatus.STARTING, RunStatus.RUNNING, RunStatus.STOPPING})
ENDED = frozenset(RunStatus) - ACTIVE

#: From each status those that may follow; nothing follows an end.
MOVES: Mapping[RunStatus, frozenset[RunStatus]] = {
    RunStatus.STARTING: frozenset({RunStatus.RUNNING, RunStatus.STOPPING, *ENDED}),
    RunStatus.RUNNING: frozenset({RunStatus.STARTING, RunStatus.STOPPING, *ENDED}),  # STARTING: tried again
    RunStatus.STOPPING: frozenset({RunStatus.STOPPED}),
    **{status: frozenset() for status in ENDED},
}


class ApplicationState(StrEnum):
    """What a launcher can tell of an application."""

    PENDING = "PENDING"  #: Accepted, and waiting for machines.
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"  #: It ended and reported success.
    FAILED = "FAILED"  #: It ended and reported a failure.
    GONE = "GONE"  #: There is no such application (any more), and nothing says how it ended.
    UNKNOWN = "UNKNOWN"  #: The launcher cannot tell at present; the application may well be running.


@dataclass(frozen=True)
class Observation:
    """What a launcher tells of an application, with a sentence on why where it knows."""

    state: ApplicationState
    message: str = ""


@dataclass(frozen=True)
class Run:
    """A task run of a transform, a run of a job, or both: a job that names a transform is its FIND_MATCHES run.

    `attempt` counts from 1. `launched_on` is when the present attempt was first handed to the launcher, `handle` what
    the launcher calls it, `running_on` since when it runs; `released` once nothing of its application is left.
    `seconds` is the time that earlier attempts ran. All times are aware UTC.
    """

    run_id: str
    status: RunStatus
    started_on: datetime
    last_modified_on: datetime
    timeout: int  #: minutes
    max_retries: int
    capacity: Capacity
    transform_id: str | None = None
    task_type: TaskType | None = None
    job_name: str | None = None
    job_run_id: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    attempt: int = 1
    handle: str | None = None
    launched_on: datetime | None = None
    running_on: datetime | None = None
    stopping_on: datetime | None = None
    completed_on: datetime | None = None
    released: bool = False
    seconds: float = 0.0
    error: str | None = None
    log_group: str | None = None

    @property
    def token(self) -> str:
        """The name of this attempt to a launcher; the same attempt always has the same."""
        return f"{self.run_id}-{self.attempt}"

    @property
    def is_script(self) -> bool:
        """Whether this runs a user's script, which writes no result and speaks by its exit code alone."""
        return "script" in self.properties


class Action(StrEnum):
    """What the scheduler does with a run."""

    WAIT = "WAIT"
    LAUNCH = "LAUNCH"  #: Hand the present attempt to the launcher.
    MOVE = "MOVE"  #: Only change the status.
    CANCEL = "CANCEL"  #: Ask the application to end.
    FORCE = "FORCE"  #: End the application for certain.
    RETRY = "RETRY"  #: Start the next attempt.
    RELEASE = "RELEASE"  #: Note that nothing of the application is left.


@dataclass(frozen=True)
class Decision:
    """What to do; `status` is the one that the run moves to, if it moves, and `reason` goes to the log and the user."""

    action: Action
    status: RunStatus | None = None
    reason: str = ""


@dataclass(frozen=True)
class Deadlines:
    """How long a scheduler waits for an application: to start, and to end by itself once it was asked to."""

    start: timedelta = timedelta(minutes=30)
    stop: timedelta = timedelta(seconds=30)


@dataclass(frozen=True)
class Observed:
    """All that is known of the present attempt: what the launcher tells, and the result that the job wrote."""

    application: Observation
    result: JobResult | None = None


NOT_LAUNCHED = Observed(Observation(ApplicationState.GONE))

_WAIT = Decision(Action.WAIT)
#: Of an application that may be there.
ALIVE = frozenset({ApplicationState.PENDING, ApplicationState.RUNNING, ApplicationState.UNKNOWN})
#: A retry cannot help where the input, the labels or the rights are at fault.
_RETRYABLE = frozenset({ErrorKind.INTERNAL, ErrorKind.UNAVAILABLE})


def decide(run: Run, observed: Observed, now: datetime, deadlines: Deadlines = Deadlines()) -> Decision:
    """What to do with `run` next. A pure function: the scheduler gathers what it needs and carries out what it says.

    The job's result is the truth about how an attempt ended, whatever its process still does or says. Only failures
    are tried again, MaxRetries times: neither a timeout nor an input that will be as wrong the next time.
    """
    if run.status in ENDED:
        return _decide_release(run, observed, now, deadlines)
    if run.status is RunStatus.STOPPING:
        return _decide_stop(run, observed, now, deadlines)
    if run.handle is None:
        return _decide_launch(run, now, deadlines)
    alive = observed.application.state in ALIVE
    if observed.result is None and alive:
        return _decide_alive(run, observed.application.state, now, deadlines)
    decision = _decide_end(run, observed)
    if decision.action is Action.RETRY and alive:  # two attempts at once would write the same places
        return Decision(Action.FORCE, reason="the failed attempt is still there")
    return decision


def execution_seconds(run: Run, now: datetime) -> int:
    """The whole seconds for which a run has used machines: earlier attempts, and the present one so far."""
    since = run.running_on
    return int(run.seconds + (0.0 if since is None else ((run.completed_on or now) - since).total_seconds()))


def fail_launch(run: Run, kind: ErrorKind, message: str, now: datetime, deadlines: Deadlines) -> Decision:
    """What to do after a launcher refused or could not be reached: nothing yet, if trying again may help."""
    if kind in _RETRYABLE and run.launched_on is not None and now - run.launched_on < deadlines.start:
        return Decision(Action.WAIT, reason=message)
    return Decision(Action.MOVE, RunStatus.FAILED, message)


def _decide_release(run: Run, observed: Observed, now: datetime, deadlines: Deadlines) -> Decision:
    if run.handle is None or observed.application.state not in ALIVE:
        return Decision(Action.RELEASE)
    if observed.application.state is ApplicationState.UNKNOWN:
        return _WAIT
    return _end_application(run.completed_on or run.last_modified_on, observed, now, deadlines)


def _end_application(since: datetime, observed: Observed, now: datetime, deadlines: Deadlines) -> Decision:
    """A job that wrote its result ends by itself; one that did not is asked at once, and any is forced in the end."""
    if now - since >= deadlines.stop:
        return Decision(Action.FORCE, reason=f"it did not end within {deadlines.stop.total_seconds():.0f} s")
    return Decision(Action.CANCEL) if observed.result is None else _WAIT


def _decide_stop(run: Run, observed: Observed, now: datetime, deadlines: Deadlines) -> Decision:
    if run.handle is None:
        return Decision(Action.MOVE, RunStatus.STOPPED, "stopped before it was launched")
    if observed.application.state not in ALIVE:
        return Decision(Action.MOVE, RunStatus.STOPPED, "stopped")
    return _end_application(run.stopping_on or run.last_modified_on, observed, now, deadlines)


def _decide_launch(run: Run, now: datetime, deadlines: Deadlines) -> Decision:
    if run.launched_on is not None and now - run.launched_on >= deadlines.start:
        return Decision(Action.MOVE, RunStatus.FAILED, _late(deadlines))
    return Decision(Action.LAUNCH)


def _decide_alive(run: Run, state: ApplicationState, now: datetime, deadlines: Deadlines) -> Decision:
    if run.running_on is None and state is ApplicationState.RUNNING:
        return Decision(Action.MOVE, RunStatus.RUNNING)
    if run.running_on is None and run.launched_on is not None and now - run.launched_on >= deadlines.start:
        return Decision(Action.MOVE, RunStatus.FAILED, _late(deadlines))
    if run.running_on is not None and now - run.running_on >= timedelta(minutes=run.timeout):
        return Decision(Action.MOVE, RunStatus.TIMEOUT, f"The run took longer than its Timeout of {run.timeout} min.")
    return _WAIT


def _late(deadlines: Deadlines) -> str:
    minutes = deadlines.start.total_seconds() / 60
    return f"The application did not start within {minutes:g} min. Are there machines for it? See its log"


def _decide_end(run: Run, observed: Observed) -> Decision:
    result, application = observed.result, observed.application
    if result is not None and result.error is not None:
        return _decide_failure(run, result.error)
    if result is not None:
        return Decision(Action.MOVE, RunStatus.SUCCEEDED)
    if run.is_script and application.state is ApplicationState.SUCCEEDED:
        return Decision(Action.MOVE, RunStatus.SUCCEEDED)
    told = f": {application.message}" if application.message else ""
    if run.is_script and application.state is ApplicationState.FAILED:
        return _decide_failure(run, JobError(ErrorKind.INTERNAL, f"The script failed{told}"))
    lost = (
        "The script is gone, and nothing tells how it ended"
        if run.is_script
        else "The application ended without a result"
    )
    return _decide_failure(run, JobError(ErrorKind.INTERNAL, lost + told))


def _decide_failure(run: Run, error: JobError) -> Decision:
    if error.kind in _RETRYABLE and run.attempt <= run.max_retries:
        return Decision(Action.RETRY, RunStatus.STARTING, error.message)
    return Decision(Action.MOVE, RunStatus.FAILED, error.message)
