"""Removes what nobody needs any more: transforms that were deleted, and runs that ended long ago."""

from __future__ import annotations

from datetime import datetime

from glue_ml import storage
from glue_ml.domain.run_spec import RunSettings, locate_run, locate_transform
from glue_ml.domain.task_run import Run
from glue_ml.domain.transform import Transform, TransformStatus
from glue_ml.store import runs, tags, transforms
from glue_ml.store.database import Database

BATCH = 100  #: Runs that are removed in one pass or by one statement.


def list_deletable(database: Database) -> list[Transform]:
    """The transforms that are being deleted and whose applications have all ended."""
    with database.reading() as connection:
        deleting = transforms.list_transforms(connection, transforms.TransformFilter(status=TransformStatus.DELETING))
        return [one for one in deleting if not runs.has_unreleased(connection, one.transform_id)]


def remove_transform(database: Database, transform: Transform, settings: RunSettings) -> None:
    """Remove the files of a transform and of its runs, then all that the store has of them.

    The rows go last and at once: whatever cuts this short, the transform is still DELETING and is taken up again.
    """
    transform_id = transform.transform_id
    with database.reading() as connection:
        own = runs.list_runs_of(connection, transform_id)
    storage.remove(locate_transform(transform_id, settings))
    for run in own:
        storage.remove(locate_run(run, settings))
    with database.writing() as connection:
        for i in range(0, len(own), BATCH):  # a statement takes only so many ids
            runs.delete_runs(connection, [run.run_id for run in own[i : i + BATCH]])
        tags.remove_tags(connection, f"mlTransform/{transform_id}")
        transforms.delete_transform(connection, transform_id)


def list_forgettable(database: Database, before: datetime) -> list[Run]:
    """Some of the runs that ended before a moment, the oldest first."""
    with database.reading() as connection:
        return runs.list_ended_before(connection, before, BATCH)


def remove_run(database: Database, run: Run, settings: RunSettings) -> None:
    """Remove the files of a run, then its rows."""
    storage.remove(locate_run(run, settings))
    with database.writing() as connection:
        runs.delete_runs(connection, [run.run_id])
