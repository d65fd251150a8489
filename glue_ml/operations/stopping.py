"""Stopping a run: the same for a task run of a transform and for a run of a job."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from glue_ml.domain.task_run import ENDED, Run, RunStatus
from glue_ml.store import runs as store


def request_stop(connection: Connection, run: Run, now: datetime, note: str = "stopped by request") -> RunStatus:
    """Ask that a run be stopped, and return its status then: STOPPING, or the one in which it ended already.

    The scheduler ends the application and moves the run to STOPPED.
    """
    current: Run | None = run
    while current is not None and current.status is not RunStatus.STOPPING and current.status not in ENDED:
        if store.move_run(connection, current, RunStatus.STOPPING, now=now, note=note, changes={"stopping_on": now}):
            return RunStatus.STOPPING
        current = store.find_run(connection, run.run_id)  # a scheduler moved it meanwhile
    return RunStatus.STOPPED if current is None else current.status
