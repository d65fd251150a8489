"""One step of one run: gather what is known of it, decide what is next, and do that.

Every change in the store is compare-and-set, and every effect on a launcher can be repeated: a step may be cut off
anywhere, and whoever takes the run up goes on from what is in the store.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from glue_ml.applications import SchedulerSettings, make_application
from glue_ml.domain.job import JobResult, TaskType
from glue_ml.domain.run_spec import locate_attempt, make_spec
from glue_ml.domain.task_run import (
    ALIVE,
    ENDED,
    NOT_LAUNCHED,
    Action,
    ApplicationState,
    Decision,
    Observation,
    Observed,
    Run,
    RunStatus,
    decide,
    fail_launch,
)
from glue_ml.domain.transform import Transform, learn_from_run
from glue_ml.errors import ErrorKind, GlueMLError, NotFoundError, UnavailableError
from glue_ml.launchers.launcher import Application, Launcher
from glue_ml.run_files import ResultFiles, write_spec
from glue_ml.store import runs, transforms
from glue_ml.store.database import Database, lock_account

_FORCE_AGAIN = timedelta(seconds=5)
_LONGEST_NOTE = 2048  #: Characters, as much as a description of the API may have.
_FAILURES = (RunStatus.FAILED, RunStatus.TIMEOUT)


@dataclass
class RunMemory:
    """What a process remembers of a run; losing it costs a repetition, never a mistake."""

    results: ResultFiles = field(default_factory=ResultFiles)
    asked_on: dict[tuple[str, Action], datetime] = field(default_factory=dict)


class RunSteps:
    """Takes the steps of runs that `owner` has claimed. `free` is how many more applications there may be."""

    def __init__(
        self,
        database: Database,
        launcher: Launcher,
        *,
        owner: str,
        settings: SchedulerSettings,
        clock: Callable[[], datetime],
        log: logging.Logger,
    ) -> None:
        self.free = settings.max_running
        self._database = database
        self._launcher = launcher
        self._owner = owner
        self._settings = settings
        self._clock = clock
        self._log = log

    def take_step(self, run: Run, memory: RunMemory) -> Run | None:
        """Do what is next; the run after it, None if there is nothing more to do at present.

        Raises what the launcher, the storage or the store raise where trying again later may help.
        """
        if run.handle is None and run.launched_on is not None:
            try:
                handle = self._launcher.find(run.token)
            except GlueMLError as error:  # it may well run: whatever the reason, no failure before the deadline
                return self._fail_launch(run, ErrorKind.UNAVAILABLE, error)
            if handle is not None:
                return self._keep_handle(run, handle)
        return self._decide_and_do(run, memory)

    def _decide_and_do(self, run: Run, memory: RunMemory) -> Run | None:
        observed = self._observe(run, memory)
        decision = decide(run, observed, self._clock(), self._settings.deadlines)
        match decision.action:
            case Action.LAUNCH:
                return self._launch(run)
            case Action.MOVE:
                return self._move(run, decision, observed.result)
            case Action.CANCEL | Action.FORCE:
                self._end_application(run, decision, memory)
            case Action.RETRY:
                return self._retry(run, decision)
            case Action.RELEASE:
                self._release(run, observed.result)
        return None

    def _observe(self, run: Run, memory: RunMemory) -> Observed:
        if run.handle is None:
            return NOT_LAUNCHED
        application = self._poll(run, run.handle)
        if run.is_script:
            return Observed(application)
        directory = locate_attempt(run, self._settings.runs)
        ended = application.state not in ALIVE
        try:  # after the poll: what has ended writes no more
            return Observed(application, memory.results.find(run, directory, ended=ended, now=self._clock()))
        except UnavailableError as error:
            return Observed(Observation(ApplicationState.UNKNOWN, str(error)))

    def _poll(self, run: Run, handle: str) -> Observation:
        try:
            return self._launcher.poll(handle)
        except GlueMLError as error:
            self._log.warning("run %s: the launcher cannot tell of its application: %s", run.run_id, error)
            return Observation(ApplicationState.UNKNOWN, str(error))

    def _launch(self, run: Run) -> Run | None:
        marked = run if run.launched_on is not None else self._mark_launched(run)
        if marked is None:
            return None
        try:
            handle = self._launcher.submit(self._prepare(marked))
        except GlueMLError as error:
            return self._fail_launch(marked, error.kind, error)
        return self._keep_handle(marked, handle)

    def _mark_launched(self, run: Run) -> Run | None:
        """Note before the submission that there may be an application from now on, if there may be one more."""
        if self.free <= 0:
            return None
        with self._database.writing() as connection:
            lock_account(connection)
            self.free = self._settings.max_running - runs.count_launched(connection)
            if self.free <= 0:
                return None
            self.free -= 1
            return self._write(connection, run, {"launched_on": self._clock()})

    def _prepare(self, run: Run) -> Application:
        application = make_application(run, self._settings)
        if not run.is_script:
            spec = make_spec(run, self._find_transform(run), settings=self._settings.runs)
            write_spec(application.run_directory, spec)
        return application

    def _find_transform(self, run: Run) -> Transform:
        with self._database.reading() as connection:
            transform = run.transform_id and transforms.find_transform(connection, run.transform_id)
        if not transform:
            raise NotFoundError(f"There is no transform {run.transform_id} any more")
        return transform

    def _fail_launch(self, run: Run, kind: ErrorKind, error: GlueMLError) -> Run | None:
        decision = fail_launch(run, kind, str(error), self._clock(), self._settings.deadlines)
        if run.status is not RunStatus.STARTING or decision.action is Action.WAIT:
            raise error
        return self._move(run, decision, None)

    def _keep_handle(self, run: Run, handle: str) -> Run | None:
        """Store what the launcher calls the application, be the run being stopped by now or not."""
        with self._database.writing() as connection:
            fresh = runs.find_run(connection, run.run_id)
            if fresh is None or fresh.attempt != run.attempt:
                return None
            return self._write(connection, fresh, {"handle": handle}, note=f"launched as {handle}")

    def _move(self, run: Run, decision: Decision, result: JobResult | None) -> Run | None:
        assert decision.status is not None
        now, status = self._clock(), decision.status
        changes: dict[str, Any] = {"running_on": now} if status is RunStatus.RUNNING else {}
        if status in ENDED:
            changes = {"completed_on": now, "error": _shorten(decision.reason) if status in _FAILURES else None}
        with self._database.writing() as connection:
            learned = self._learn(connection, run, result) if status is RunStatus.SUCCEEDED else None
            moved = self._write(connection, run, changes, to=status, note=decision.reason)
            if moved is not None and learned is not None:
                transforms.update_transform(connection, learned)
        return moved

    def _learn(self, connection: Connection, run: Run, result: JobResult | None) -> Transform | None:
        if run.transform_id is None or run.task_type is None or result is None or not result.succeeded:
            return None
        before = transforms.find_transform(connection, run.transform_id, lock=True)
        return None if before is None else learn_from_run(before, run.task_type, result, self._clock())

    def _retry(self, run: Run, decision: Decision) -> Run | None:
        ran = timedelta() if run.running_on is None else self._clock() - run.running_on
        changes = {
            "attempt": run.attempt + 1,
            "handle": None,
            "launched_on": None,
            "running_on": None,
            "seconds": run.seconds + ran.total_seconds(),
        }
        note = f"attempt {run.attempt} failed: {decision.reason}"
        with self._database.writing() as connection:
            return self._write(connection, run, changes, to=RunStatus.STARTING, note=note)

    def _release(self, run: Run, result: JobResult | None) -> None:
        """Note that nothing is left of the application; labels that it committed count, though the run was given up."""
        given_up = run.status is not RunStatus.SUCCEEDED and run.task_type is TaskType.IMPORT_LABELS
        with self._database.writing() as connection:
            learned = self._learn(connection, run, result) if given_up else None
            released = self._write(connection, run, {"released": True})
            if released is not None and learned is not None:
                transforms.update_transform(connection, learned)

    def _end_application(self, run: Run, decision: Decision, memory: RunMemory) -> None:
        assert run.handle is not None
        now, asked_on = self._clock(), memory.asked_on.get((run.token, decision.action))
        force = decision.action is Action.FORCE
        if asked_on is not None and (not force or now - asked_on < _FORCE_AGAIN):
            return
        self._log.info("run %s: its application is %s", run.run_id, "ended by force" if force else "asked to end")
        self._launcher.cancel(run.handle, force=force)
        memory.asked_on[run.token, decision.action] = now

    def _write(
        self,
        connection: Connection,
        run: Run,
        changes: Mapping[str, Any],
        *,
        to: RunStatus | None = None,
        note: str = "",
    ) -> Run | None:
        """The run with its changes; None, and nothing is changed, if it is not any more what it was read as."""
        now, note = self._clock(), _shorten(note)
        if to is None or to is run.status:
            done = runs.change_run(connection, run, now=now, owner=self._owner, changes=changes, note=note)
        else:
            done = runs.move_run(connection, run, to, now=now, note=note, owner=self._owner, changes=changes)
        if not done:
            return None
        if to is not None or note:
            self._log.info("run %s: %s%s", run.run_id, to or run.status, f": {note}" if note else "")
        return runs.find_run(connection, run.run_id)


def _shorten(text: str) -> str:
    """The text as any database takes it."""
    return text.encode("utf-8", "replace").decode().replace("\0", " ")[:_LONGEST_NOTE]
