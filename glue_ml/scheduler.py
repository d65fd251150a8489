"""The scheduler: launches the runs that the store asks for, watches them, and writes down what became of them.

The store is the truth. A scheduler that dies loses nothing: when its claims have run out, or at once if it closed,
another takes up its runs, with the applications that go on meanwhile.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from glue_ml.applications import SchedulerSettings
from glue_ml.domain.task_run import Run
from glue_ml.errors import GlueMLError
from glue_ml.housekeeping import list_deletable, list_forgettable, remove_run, remove_transform
from glue_ml.launchers.launcher import Launcher
from glue_ml.run_steps import RunMemory, RunSteps
from glue_ml.store import runs
from glue_ml.store.database import Database

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

_STEPS = 8  #: Of one run in one pass; more than lie between its start and its release.
_FIRST_PAUSE = timedelta(seconds=0.2)
_LONGEST_PAUSE = timedelta(seconds=10)
_SWEEP = timedelta(minutes=1)


@dataclass
class _Claim:
    until: datetime
    memory: RunMemory = field(default_factory=RunMemory)


@dataclass(frozen=True)
class _Pause:
    """Something that failed is left alone for a while, twice as long each time."""

    until: datetime
    length: timedelta


class Scheduler:
    """One of the schedulers of a store; `name` is its alone among those that live, now or within a lease's time."""

    def __init__(
        self,
        database: Database,
        launcher: Launcher,
        *,
        name: str,
        settings: SchedulerSettings,
        clock: Callable[[], datetime],
        log: logging.Logger = logger,
    ) -> None:
        self._database = database
        self._name = name
        self._settings = settings
        self._clock = clock
        self._log = log
        self._steps = RunSteps(database, launcher, owner=name, settings=settings, clock=clock, log=log)
        self._claims: dict[str, _Claim] = {}
        self._pauses: dict[str, _Pause] = {}
        self._swept_on: datetime | None = None

    def run(self, stop: threading.Event) -> None:
        """Pass over the runs again and again until `stop` is set; the applications go on after that."""
        while not stop.is_set():
            self.tick()
            stop.wait(self._settings.interval)
        self.close()

    def tick(self) -> None:
        """One pass over all that is to be done; what goes wrong with one run does not keep it from the others."""
        for run in self._attempt("the store", self._list_runs) or ():
            self._attempt(f"run {run.run_id}", partial(self._attend, run))
        self._attempt("deletion", self._remove_transforms)
        self._attempt("retention", self._remove_old_runs)

    def close(self) -> None:
        """Let other schedulers have the runs at once."""
        self._claims.clear()
        self._attempt("the claims", self._drop_claims)

    def _attempt(self, subject: str, action: Callable[[], _T]) -> _T | None:
        """What `action` returns; None, and a line in the log, if it fails or failed a moment ago."""
        now, pause = self._clock(), self._pauses.get(subject)
        if pause is not None and now < pause.until:
            return None
        try:
            result = action()
        except Exception as error:  # noqa: BLE001 - the rim of the process: nothing that fails may stop the loop
            length = _FIRST_PAUSE if pause is None else min(2 * pause.length, _LONGEST_PAUSE)
            self._pauses[subject] = _Pause(now + length, length)
            told = "%s: failed, and will be tried again in %.1f s: %s"
            unexpected = not isinstance(error, GlueMLError)
            self._log.error(told, subject, length.total_seconds(), error, exc_info=unexpected)
            return None
        self._pauses.pop(subject, None)
        return result

    def _list_runs(self) -> list[Run]:
        with self._database.reading() as connection:
            found = runs.list_claimable(connection, owner=self._name, now=self._clock())
            self._steps.free = self._settings.max_running - runs.count_launched(connection)
        known = {run.run_id for run in found}
        self._claims = {run_id: claim for run_id, claim in self._claims.items() if run_id in known}
        return found

    def _attend(self, run: Run) -> None:
        """Take every step that the run is ready for."""
        held = self._claim(run)
        for _ in range(_STEPS):
            if held is None:
                return
            held = self._steps.take_step(held, self._claims[run.run_id].memory)

    def _claim(self, run: Run) -> Run | None:
        """The run, once it is this scheduler's for long enough; None if it is another's."""
        now, lease = self._clock(), self._settings.lease
        claim = self._claims.get(run.run_id)
        if claim is not None and claim.until - now > lease / 2:
            return run
        with self._database.writing() as connection:
            if not runs.claim_run(connection, run.run_id, owner=self._name, now=now, until=now + lease):
                self._claims.pop(run.run_id, None)
                return None
            fresh = runs.find_run(connection, run.run_id)  # it may have been another's since it was listed
        self._claims.setdefault(run.run_id, _Claim(now)).until = now + lease
        return fresh

    def _drop_claims(self) -> None:
        with self._database.writing() as connection:
            runs.drop_claims(connection, self._name)

    def _remove_transforms(self) -> None:
        for transform in list_deletable(self._database):
            remove = partial(remove_transform, self._database, transform, self._settings.runs)
            self._attempt(f"deletion of transform {transform.transform_id}", remove)

    def _remove_old_runs(self) -> None:
        now, retention = self._clock(), self._settings.retention
        if retention is None or (self._swept_on is not None and now - self._swept_on < _SWEEP):
            return
        self._swept_on = now
        for run in list_forgettable(self._database, now - retention):
            remove = partial(remove_run, self._database, run, self._settings.runs)
            self._attempt(f"retention of run {run.run_id}", remove)


__all__ = ["Scheduler", "SchedulerSettings"]
