"""The scheduler is killed and another takes its place, with real processes as applications."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from glue_ml.launchers.local import LocalLauncher
from tests.scheduler.processes import open_worker, wait_until
from tests.scheduler.world import World

#: Writes its number down, and waits to be let go before it writes its result.
JOB = """
import os, sys, time
from pathlib import Path

directory = Path(sys.argv[2].removeprefix("file://"))
with (directory / "pids").open("a") as file:
    file.write(f"{os.getpid()}\\n")
for _ in range(2000):
    if (directory / "go").exists():
        break
    time.sleep(0.03)
(directory / "draft").write_text('{"succeeded": true}')
(directory / "draft").replace(directory / "result.json")
"""


class Machine(World):
    """A store whose schedulers and applications are processes."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder / 'shared.db'}"
        super().__init__(folder, url=self.url)
        (folder / "jobs").mkdir()
        (folder / "jobs" / "evaluation.py").write_text(JOB)
        self.add_transform()

    def start_runs(self, count: int) -> list[str]:
        """Runs that are seen running by a scheduler which is killed then."""
        with open_worker(self.url, self.folder, "first", "local") as process:
            run_ids = [self.add_run(timeout=100) for _ in range(count)]
            wait_until(lambda: all(self.status(run_id) == "RUNNING" and self.pids_of(run_id) for run_id in run_ids))
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        return run_ids

    def pids_of(self, run_id: str) -> list[int]:
        path = self.path_of(run_id) / "pids"
        return [int(line) for line in path.read_text().splitlines()] if path.exists() else []

    def let_go(self, run_id: str) -> None:
        (self.path_of(run_id) / "go").touch()

    def is_alive(self, run_id: str) -> bool:
        return all(is_at_work(pid) for pid in self.pids_of(run_id))

    def stop_run(self, run_id: str) -> None:
        self.clock.now = datetime.now(UTC)
        super().stop_run(run_id)

    def kill_applications(self) -> None:
        launcher = LocalLauncher(self.folder / "launcher", cores=1, memory_mb=1024)
        for place in (self.folder / "launcher").iterdir():
            launcher.cancel(place.name, force=True)


def is_at_work(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    try:
        yield made
    finally:
        made.kill_applications()
        made.database.dispose()


def test_applications_outlive_their_scheduler_and_are_taken_over(machine: Machine) -> None:
    finished, stopped = machine.start_runs(2)
    assert machine.is_alive(finished)
    assert machine.is_alive(stopped)
    machine.stop_run(stopped)
    with open_worker(machine.url, machine.folder, "second", "local"):
        wait_until(lambda: machine.run(stopped).released)
        assert (machine.status(stopped), machine.is_alive(stopped)) == ("STOPPED", False)
        assert (machine.status(finished), machine.is_alive(finished)) == ("RUNNING", True)
        machine.let_go(finished)
        wait_until(lambda: machine.run(finished).released)
    assert machine.status(finished) == "SUCCEEDED"
    assert [len(machine.pids_of(run_id)) for run_id in (finished, stopped)] == [1, 1]


def test_applications_that_end_while_no_scheduler_lives_are_noticed(machine: Machine) -> None:
    finished, killed, lost = machine.start_runs(3)
    machine.let_go(finished)
    os.kill(machine.pids_of(killed)[0], signal.SIGKILL)
    LocalLauncher(machine.folder / "launcher", cores=1, memory_mb=1024).cancel(f"{lost}-1", force=True)
    wait_until(lambda: not any(map(machine.is_alive, (finished, killed, lost))))
    assert {machine.status(run_id) for run_id in (finished, killed, lost)} == {"RUNNING"}
    with open_worker(machine.url, machine.folder, "second", "local"):
        wait_until(lambda: all(machine.run(run_id).released for run_id in (finished, killed, lost)))
    assert machine.status(finished) == "SUCCEEDED"
    assert machine.status(killed) == "FAILED"
    assert machine.run(killed).error == "The application ended without a result: ended by SIGKILL"
    assert machine.run(lost).error == "The application ended without a result: its processes are gone"
