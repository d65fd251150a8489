"""A scheduler in a process of its own: `python -m tests.scheduler.worker URL FOLDER NAME LAUNCHER`."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from glue_ml.applications import SchedulerSettings
from glue_ml.domain.job import JobError, JobResult
from glue_ml.domain.task_run import ApplicationState, Observation
from glue_ml.errors import ErrorKind
from glue_ml.launchers.launcher import Application, Launcher
from glue_ml.launchers.local import LocalLauncher
from glue_ml.scheduler import Scheduler
from glue_ml.store.database import Database


class LedgerLauncher:
    """Writes down each submission, and by whom, in a file that all processes share.

    It does not refuse a token that it has seen: what is proven is that the schedulers submit each once. An
    application takes three polls, and the first attempt of every third run fails.
    """

    def __init__(self, folder: Path, owner: str) -> None:
        self._ledger, self._owner = folder / "ledger", owner
        self._polls: Counter[str] = Counter()
        self._directories: dict[str, str] = {}

    def submit(self, application: Application) -> str:
        line = f"{application.token} {self._owner}\n".encode()
        descriptor = os.open(self._ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, line)
        os.close(descriptor)
        return f"{application.token} {application.run_directory}"

    def find(self, token: str) -> str | None:
        return None

    def poll(self, handle: str) -> Observation:
        token, directory = handle.split(" ", 1)
        self._polls[token] += 1
        if self._polls[token] < 3:
            return Observation(ApplicationState.RUNNING)
        number, attempt = int(token.split("-")[1]), int(token.split("-")[2])
        broken = JobResult(False, error=JobError(ErrorKind.UNAVAILABLE, "Once"))
        result = broken if number % 3 == 0 and attempt == 1 else JobResult(True)
        path = Path(directory.removeprefix("file://")) / "result.json"
        path.write_text(result.to_json())
        return Observation(ApplicationState.SUCCEEDED)

    def cancel(self, handle: str, *, force: bool) -> None:
        raise AssertionError("nothing is to be cancelled")


def make_launcher(kind: str, folder: Path, owner: str) -> Launcher:
    if kind == "ledger":
        return LedgerLauncher(folder, owner)
    return LocalLauncher(folder / "launcher", cores=1, memory_mb=1024, command=run_plainly)


def run_plainly(application: Application) -> list[str]:
    """The command line of an application that needs no Spark."""
    return [sys.executable, application.script, *application.arguments]


def main(url: str, folder: Path, name: str, kind: str) -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    settings = SchedulerSettings(
        storage_uri=f"file://{folder}/storage",
        jobs_folder=folder / "jobs",
        max_running=8,
        interval=0.01 if kind == "ledger" else 0.1,
        lease=timedelta(seconds=30 if kind == "ledger" else 1),
    )
    database, stop = Database(url), threading.Event()
    scheduler = Scheduler(
        database,
        make_launcher(kind, folder, name),
        name=name,
        settings=settings,
        clock=lambda: datetime.now(UTC),
    )
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    (folder / f"{name}.ready").touch()
    scheduler.run(stop)
    database.dispose()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4])
