"""What a scheduler meets, under the control of a test: a store, a clock, a storage folder and a cluster."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from sqlalchemy import Connection

from glue_ml.applications import SchedulerSettings
from glue_ml.domain.job import JobError, JobResult, TaskType
from glue_ml.domain.task_run import ALIVE, ApplicationState, Deadlines, Observation, Run, RunStatus
from glue_ml.domain.transform import Capacity, MatchParameters, Transform, TransformStatus
from glue_ml.errors import ErrorKind
from glue_ml.launchers.launcher import Application
from glue_ml.scheduler import Scheduler
from glue_ml.store import runs, transforms
from glue_ml.store.database import Database

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OK = JobResult(True)
BROKEN = JobResult(False, error=JobError(ErrorKind.INTERNAL, "It broke"))


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Killed(BaseException):
    """The scheduler's process ends here: nothing that it would have done next is done."""


class Fuse:
    """Ends the scheduler's process after so many effects; None lets it live."""

    left: int | None = None

    def burn(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Killed


class FusedDatabase(Database):
    """A store whose user may die before and after each commit."""

    def __init__(self, url: str, fuse: Fuse) -> None:
        super().__init__(url)
        self._fuse = fuse

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        self._fuse.burn()
        with super().writing() as connection:
            yield connection
            self._fuse.burn()
        self._fuse.burn()


@dataclass
class Submitted:
    """An application as a cluster knows it."""

    application: Application
    state: ApplicationState = ApplicationState.RUNNING
    message: str = ""
    asked: list[bool] = field(default_factory=list)  #: Of each cancel, whether by force.
    stubborn: bool = False  #: It does not end when it is asked to.


class FaultyCluster:
    """A launcher whose applications do what the test says, and which fails where the test says.

    A real one cannot be made to die between accepting an application and saying so, or to forget one, at will. It
    outlives the schedulers that use it, as a cluster does; what it was asked is there to be looked at.
    """

    def __init__(self, fuse: Fuse) -> None:
        self.fuse = fuse
        self.applications: dict[str, Submitted] = {}
        self.submissions: list[str] = []
        self.failures: dict[str, BaseException] = {}  #: By method; raised as long as it is there.

    def submit(self, application: Application) -> str:
        self._fail("submit")
        self.fuse.burn()
        self.submissions.append(application.token)
        self.applications.setdefault(application.token, Submitted(application))
        self.fuse.burn()
        return f"app-{application.token}"

    def find(self, token: str) -> str | None:
        self._fail("find")
        return f"app-{token}" if token in self.applications else None

    def poll(self, handle: str) -> Observation:
        self._fail("poll")
        found = self.applications.get(handle.removeprefix("app-"))
        if found is None:
            return Observation(ApplicationState.GONE)
        return Observation(found.state, found.message)

    def cancel(self, handle: str, *, force: bool) -> None:
        self._fail("cancel")
        self.fuse.burn()
        found = self.applications[handle.removeprefix("app-")]
        found.asked.append(force)
        if found.state in ALIVE and (force or not found.stubborn):
            found.state, found.message = ApplicationState.FAILED, "killed" if force else "terminated"
        self.fuse.burn()

    def alive(self) -> set[str]:
        return {token for token, one in self.applications.items() if one.state in ALIVE}

    def _fail(self, method: str) -> None:
        if error := self.failures.get(method):
            raise error


@cache
def _migrated() -> bytes:
    """An empty store; a copy is made sooner than another one is migrated."""
    folder = Path(mkdtemp())
    database = Database(f"sqlite:///{folder / 'empty.db'}")
    database.migrate()
    database.dispose()
    content = (folder / "empty.db").read_bytes()
    shutil.rmtree(folder)
    return content


class World:
    """A store with its schedulers in a folder of their own."""

    def __init__(self, folder: Path, *, url: str | None = None, **settings: Any) -> None:
        self.folder, self.fuse = folder, Fuse()
        self.database = FusedDatabase(url or f"sqlite:///{folder / 'store.db'}", self.fuse)
        if url is None:
            (folder / "store.db").write_bytes(_migrated())
        else:
            self.database.migrate()
        self.clock, self.cluster = Clock(), FaultyCluster(self.fuse)
        self.settings = SchedulerSettings(
            **{
                "storage_uri": f"file://{folder}/storage",
                "jobs_folder": Path("/opt/jobs"),
                "endpoint": "http://127.0.0.1:8420",
                "max_running": 10,
                "deadlines": Deadlines(start=timedelta(minutes=30), stop=timedelta(seconds=30)),
                **settings,
            }
        )
        self._schedulers = self._runs = 0
        self.scheduler = self.make_scheduler()

    def make_scheduler(self) -> Scheduler:
        self._schedulers += 1
        return Scheduler(
            self.database,
            self.cluster,
            name=f"scheduler-{self._schedulers}",
            settings=self.settings,
            clock=self.clock,
            log=logging.getLogger("glue_ml.scheduler"),
        )

    def restart(self) -> None:
        """Another scheduler takes the place of one that died, once its claims have run out."""
        self.scheduler = self.make_scheduler()
        self.clock.advance(11)

    def tick(self, seconds: float = 0) -> None:
        self.clock.advance(seconds)
        self.scheduler.tick()

    def add_transform(self, transform_id: str = "tfm-1", **members: Any) -> None:
        transform = Transform(
            **{
                "transform_id": transform_id,
                "name": transform_id,
                "role": "arn:aws:iam::000000000000:role/glue",
                "parameters": MatchParameters("id"),
                "tables": ({"DatabaseName": "crm", "TableName": "people"},),
                "schema": (("id", "string"),),
                "created_on": self.clock(),
                "last_modified_on": self.clock(),
                **members,
            }
        )
        with self.database.writing() as connection:
            transforms.insert_transform(connection, transform, None)

    def add_run(self, task_type: TaskType = TaskType.EVALUATION, **members: Any) -> str:
        self._runs += 1
        self.clock.advance(0.001)  # no two runs were asked for at once
        properties: dict[TaskType, Mapping[str, Any]] = {
            TaskType.IMPORT_LABELS: {"input": "s3://b/labels.csv", "replace": False},
            TaskType.EXPORT_LABELS: {"output": "s3://b/out"},
            TaskType.LABELING_SET_GENERATION: {"output": "s3://b/out"},
            TaskType.FIND_MATCHES: {"arguments": {"--OutputPath": "s3://b/out"}},
        }
        run_id = members.get("run_id", f"tsk-{self._runs}")
        run = Run(
            **{
                "run_id": run_id,
                "status": RunStatus.STARTING,
                "started_on": self.clock(),
                "last_modified_on": self.clock(),
                "timeout": 10,
                "max_retries": 0,
                "capacity": Capacity(max_capacity=10.0),
                "transform_id": "tfm-1",
                "task_type": task_type,
                "properties": properties.get(task_type, {}),
                "log_group": f"{self.settings.storage_uri}/runs/{run_id}",
                **members,
            }
        )
        with self.database.writing() as connection:
            runs.insert_run(connection, run)
        return run.run_id

    def add_script_run(self, **members: Any) -> str:
        named = {"job_name": "nightly", "job_run_id": f"jr_{self._runs + 1}", "transform_id": None, "task_type": None}
        return self.add_run(**{**named, "properties": {"script": "file:///s.py", "arguments": {"--n": "1"}}, **members})

    def stop_run(self, run_id: str) -> None:
        """What the API does when it is asked to stop a run."""
        with self.database.writing() as connection:
            run = runs.find_run(connection, run_id)
            if run is not None and run.status in (RunStatus.STARTING, RunStatus.RUNNING):
                changes = {"stopping_on": self.clock()}
                runs.move_run(connection, run, RunStatus.STOPPING, now=self.clock(), note="asked", changes=changes)

    def delete_transform(self, transform_id: str = "tfm-1") -> None:
        """What the API does when it is asked to delete a transform."""
        with self.database.writing() as connection:
            transform = transforms.find_transform(connection, transform_id, lock=True)
            if transform is None or transform.status is TransformStatus.DELETING:
                return
            transforms.update_transform(connection, transforms.mark_deleting(transform, self.clock()))
            active = runs.list_active_of(connection, transform_id)
        for run in active:
            self.stop_run(run.run_id)

    def find(self, run_id: str) -> Run | None:
        with self.database.reading() as connection:
            return runs.find_run(connection, run_id)

    def run(self, run_id: str) -> Run:
        found = self.find(run_id)
        assert found is not None
        return found

    def events(self, run_id: str) -> list[runs.RunEvent]:
        with self.database.reading() as connection:
            return runs.list_events(connection, run_id)

    def transform(self, transform_id: str = "tfm-1") -> Transform | None:
        with self.database.reading() as connection:
            return transforms.find_transform(connection, transform_id)

    def status(self, run_id: str) -> str:
        return self.run(run_id).status.value

    def path_of(self, run_id: str, attempt: int = 1) -> Path:
        return self.folder / "storage" / "runs" / run_id / str(attempt)

    def write_result(self, run_id: str, result: JobResult | bytes, attempt: int = 1) -> None:
        directory = self.path_of(run_id, attempt)
        directory.mkdir(parents=True, exist_ok=True)
        data = result if isinstance(result, bytes) else result.to_json().encode()
        (directory / "result.json").write_bytes(data)

    def end(self, run_id: str, result: JobResult | bytes | None = OK, *, attempt: int = 1, state: str = "") -> None:
        """The application of a run writes its result, if it has one, and ends."""
        if result is not None:
            self.write_result(run_id, result, attempt)
        succeeded = isinstance(result, JobResult) and result.succeeded
        one = self.cluster.applications[f"{run_id}-{attempt}"]
        one.state = ApplicationState(state or ("SUCCEEDED" if succeeded else "FAILED"))

    def application(self, run_id: str, attempt: int = 1) -> Submitted:
        return self.cluster.applications[f"{run_id}-{attempt}"]


@contextmanager
def open_world(folder: Path, **settings: Any) -> Iterator[World]:
    world = World(folder, **settings)
    try:
        yield world
    finally:
        world.database.dispose()


def import_result(version: int, rows: int) -> JobResult:
    return JobResult(True, counts={"version": version, "total_rows": rows})
