"""Launchers under test, and small applications that behave well or badly."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from glue_ml.domain.capacity import SparkResources
from glue_ml.domain.task_run import ApplicationState, Observation
from glue_ml.launchers.launcher import Application, Launcher
from glue_ml.launchers.local import LocalLauncher

PATIENCE = 20.0  #: Seconds; generous, as nothing here measures time.

#: What an application does. Each tells its process numbers in the file that is its first argument.
SCRIPTS = {
    "succeeds": "pass",
    "fails": "print('it broke'); sys.exit(3)",
    "sleeps": "time.sleep(600)",
    "is_deaf": "signal.signal(signal.SIGTERM, signal.SIG_IGN); tell(); time.sleep(600)",
    "ends_when_asked": "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); tell(); time.sleep(600)",
    # one child in the same group, one in a group of its own as pyspark's daemon is, one in a session of its own
    "has_children": """
for own in ({}, {"process_group": 0}, {"start_new_session": True}):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], **own)
    with open(sys.argv[1], "a") as told: told.write(f"{child.pid}\\n")
time.sleep(600)
""",
}
_PROLOGUE = """
import os, signal, subprocess, sys, time
def tell():
    with open(sys.argv[1], "a") as told: told.write(f"{os.getpid()}\\n")
"""


@dataclass
class Bench:
    """One kind of launcher: how it is made, time and again over what it keeps, and what is submitted to it."""

    make: Callable[[], Launcher]
    folder: Path
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    submitted: list[tuple[Launcher, str]] = field(default_factory=list)

    def application(self, script: str) -> Application:
        """An application that does what SCRIPTS says under this name."""
        token = f"tsk-{next(self.numbers)}-1"
        place = self.folder / "runs" / token
        place.mkdir(parents=True)
        source = place / "script.py"
        told = "" if "tell()" in SCRIPTS[script] else "tell()\n"
        source.write_text(_PROLOGUE + told + SCRIPTS[script], encoding="utf-8")
        resources = SparkResources(1, 1, 512, 512, 1, 512, 512)
        return Application(token, f"test {token}", str(source), (str(place / "pids"),), place.as_uri(), resources)

    def submit(self, launcher: Launcher, application: Application) -> str:
        handle = launcher.submit(application)
        self.submitted.append((launcher, handle))
        return handle

    def pids(self, application: Application, count: int) -> list[int]:
        """The process numbers that the application told, once there are so many."""
        file = Path(application.arguments[0])
        wait_for(lambda: file.exists() and len(file.read_text(encoding="utf-8").split()) >= count)
        return [int(line) for line in file.read_text(encoding="utf-8").split()]


def wait_for(condition: Callable[[], bool], *, patience: float = PATIENCE) -> None:
    """Return as soon as the condition holds; fail if it never does."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def wait_for_end(launcher: Launcher, handle: str) -> Observation:
    """What the launcher tells once the application is neither pending nor running."""
    alive = (ApplicationState.PENDING, ApplicationState.RUNNING)
    wait_for(lambda: launcher.poll(handle).state not in alive)
    return launcher.poll(handle)


def run_python(application: Application) -> list[str]:
    """The command of an application that is a plain Python script, which starts in no time."""
    return [sys.executable, application.script, *application.arguments]


def _local(folder: Path) -> Callable[[], Launcher]:
    return lambda: LocalLauncher(folder / "launcher", cores=2, memory_mb=1024, command=run_python)


#: Every launcher must pass the conformance suite; a new one adds its line here.
LAUNCHERS: dict[str, Callable[[Path], Callable[[], Launcher]]] = {"local": _local}


@pytest.fixture(params=LAUNCHERS)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(LAUNCHERS[request.param](tmp_path), tmp_path)
    yield bench
    for launcher, handle in bench.submitted:
        launcher.cancel(handle, force=True)
        wait_for_end(launcher, handle)
