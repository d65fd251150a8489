"""A store with many task runs, written past the API: all have ended, and they are of every type and end."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import create_engine, make_url, text

from glue_ml.domain.job import TaskType
from glue_ml.domain.task_run import ENDED, Run, RunStatus
from glue_ml.domain.transform import Capacity, MatchParameters, Transform, TransformStatus
from glue_ml.store import runs, transforms
from glue_ml.store.database import Database

POSTGRES = "GLUE_ML_TEST_POSTGRES"
DATABASE, TABLE = "benchmark", "people"

COLUMNS = tuple((f"column_{number}", "string") for number in range(20))

_CAPACITY = Capacity(max_capacity=10.0)
_PROPERTIES: Mapping[TaskType, Mapping[str, Any]] = {
    TaskType.EVALUATION: {},
    TaskType.EXPORT_LABELS: {"output": "s3://bucket/exports/"},
    TaskType.IMPORT_LABELS: {"input": "s3://bucket/labels.csv", "replace": False},
    TaskType.LABELING_SET_GENERATION: {"output": "s3://bucket/sets/"},
    TaskType.FIND_MATCHES: {"arguments": {}},
}


@dataclass(frozen=True)
class Filling:
    """The ids of the transforms, the (transform, run) ids of the runs, and the transform that has most of them."""

    transforms: tuple[str, ...]
    runs: tuple[tuple[str, str], ...]
    busy: str
    middle: datetime  #: Half of the busy transform's runs were started before it.


@contextmanager
def make_postgres_database() -> Iterator[str]:
    """The URL of a new database on the PostgreSQL that GLUE_ML_TEST_POSTGRES names; it is dropped at the end."""
    url, name = make_url(os.environ[POSTGRES]), f"glue_ml_benchmark_{secrets.token_hex(4)}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
        engine.dispose()


def fill_store(url: str, *, transform_count: int, runs_each: int, busy_runs: int) -> Filling:
    """Migrate an empty store and write so many transforms with so many runs each, and one more with `busy_runs`."""
    database, now = Database(url), datetime.now(UTC)
    made = [_make_transform(number, now) for number in range(transform_count + 1)]
    started = [
        _make_run(transform, number, now)
        for transform in made
        for number in range(busy_runs if transform is made[0] else runs_each)
    ]
    try:
        database.migrate()
        with database.writing() as connection:
            for transform in made:
                transforms.insert_transform(connection, transform, None)
            for run in started:
                runs.insert_run(connection, run)
    finally:
        database.dispose()
    pairs = tuple((str(run.transform_id), run.run_id) for run in started)
    return Filling(
        tuple(each.transform_id for each in made), pairs, made[0].transform_id, started[busy_runs // 2].started_on
    )


def _make_transform(number: int, now: datetime) -> Transform:
    created = now - timedelta(days=60, minutes=number)
    return Transform(
        transform_id=f"tfm-{secrets.token_hex(20)}",
        name=f"benchmark-{number}",
        role="arn:aws:iam::000000000000:role/glue",
        parameters=MatchParameters("column_0", 0.5, 0.5, False),
        tables=({"DatabaseName": DATABASE, "TableName": TABLE},),
        schema=COLUMNS,
        created_on=created,
        last_modified_on=created,
        capacity=_CAPACITY,
        status=TransformStatus.READY,
        label_count=500,
        label_version=3,
    )


def _make_run(transform: Transform, number: int, now: datetime) -> Run:
    started, run_id = now - timedelta(minutes=20 * number), f"tsk-{secrets.token_hex(20)}"
    task_type, status = sorted(TaskType)[number % len(TaskType)], sorted(ENDED)[number % len(ENDED)]
    is_job = task_type is TaskType.FIND_MATCHES
    return Run(
        run_id=run_id,
        status=status,
        started_on=started,
        last_modified_on=started + timedelta(minutes=5),
        timeout=2880,
        max_retries=0,
        capacity=_CAPACITY,
        transform_id=transform.transform_id,
        task_type=task_type,
        job_name="benchmark" if is_job else None,
        job_run_id=f"jr_{secrets.token_hex(32)}" if is_job else None,
        properties=_PROPERTIES[task_type],
        launched_on=started,
        running_on=started + timedelta(seconds=5),
        completed_on=started + timedelta(minutes=5),
        released=True,
        error=None if status is not RunStatus.FAILED else "The table is not there any more.",
        log_group=f"file:///var/lib/glue-ml/storage/runs/{run_id}",
    )
