"""Task runs and job runs in the store: every change of status is compare-and-set and leaves an event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    true,
    tuple_,
    update,
)

from glue_ml.domain.job import TaskType
from glue_ml.domain.task_run import ACTIVE, ENDED, MOVES, Run, RunStatus
from glue_ml.domain.transform import Capacity
from glue_ml.store.schema import run_events
from glue_ml.store.schema import runs as table

_CAPACITY_COLUMNS = [f.name for f in fields(Capacity)]
_RUN_COLUMNS = [f.name for f in fields(Run) if f.name != "capacity"] + _CAPACITY_COLUMNS


@dataclass(frozen=True)
class RunFilter:
    """Which runs of a transform are wanted; None means any."""

    task_type: TaskType | None = None
    status: RunStatus | None = None
    started_before: datetime | None = None
    started_after: datetime | None = None


@dataclass(frozen=True)
class RunEvent:
    """One step in the life of a run."""

    at: datetime
    from_status: RunStatus | None
    to_status: RunStatus
    attempt: int
    note: str


def insert_run(connection: Connection, run: Run) -> None:
    """Add a run, with its first event; sqlalchemy's IntegrityError if its job run id is taken."""
    connection.execute(insert(table).values(**_to_row(run)))
    _add_event(connection, run, None, run.status, note="created", at=run.started_on)


def find_run(connection: Connection, run_id: str) -> Run | None:
    """The run of that id."""
    return _find(connection, table.c.run_id == run_id)


def find_job_run(connection: Connection, job_name: str, job_run_id: str) -> Run | None:
    """The run of a job, by the id that the job API gives it."""
    return _find(connection, and_(table.c.job_name == job_name, table.c.job_run_id == job_run_id))


def count_active(connection: Connection, *, transform_id: str | None = None, job_name: str | None = None) -> int:
    """How many runs are active: of the account, of a transform or of a job."""
    query = select(func.count()).select_from(table).where(~table.c.released, table.c.status.in_(ACTIVE))
    if transform_id is not None:
        query = query.where(table.c.transform_id == transform_id)
    if job_name is not None:
        query = query.where(table.c.job_name == job_name)
    return connection.execute(query).scalar_one()


@dataclass(frozen=True)
class Page:
    """Which part of a list is wanted: sorted by a column and then the run id, from after a position, so many rows."""

    column: str = "started_on"
    descending: bool = True
    after: tuple[Any, str] | None = None
    limit: int = 100


def list_runs(connection: Connection, transform_id: str, wanted: RunFilter, page: Page) -> list[Run]:
    """A page of the task runs of a transform."""
    return _list(connection, [table.c.transform_id == transform_id, *_conditions(wanted)], page)


def list_job_runs(connection: Connection, job_name: str, page: Page) -> list[Run]:
    """A page of the runs of a job."""
    return _list(connection, [table.c.job_name == job_name], page)


def list_unreleased(connection: Connection) -> list[Run]:
    """Every run that a scheduler still has something to do with, the oldest first."""
    query = select(*_columns()).where(~table.c.released).order_by(table.c.started_on, table.c.run_id)
    return [_from_row(row) for row in connection.execute(query)]


def list_claimable(connection: Connection, *, owner: str, now: datetime) -> list[Run]:
    """Those of `list_unreleased` that are not claimed by another than `owner`."""
    query = select(*_columns()).where(~table.c.released, _is_free(owner, now))
    query = query.order_by(table.c.started_on, table.c.run_id)
    return [_from_row(row) for row in connection.execute(query)]


def count_launched(connection: Connection) -> int:
    """How many applications there may be: handed to a launcher, and not known to have left nothing behind."""
    query = select(func.count()).select_from(table).where(~table.c.released, table.c.launched_on.is_not(None))
    return connection.execute(query).scalar_one()


def has_unreleased(connection: Connection, transform_id: str) -> bool:
    """Whether a scheduler still has something to do with a run of a transform."""
    query = select(table.c.run_id).where(table.c.transform_id == transform_id, ~table.c.released).limit(1)
    return connection.execute(query).first() is not None


def list_active_of(connection: Connection, transform_id: str) -> list[Run]:
    """The active runs of a transform."""
    query = select(*_columns()).where(table.c.transform_id == transform_id, table.c.status.in_(ACTIVE))
    return [_from_row(row) for row in connection.execute(query)]


def list_ended_before(connection: Connection, moment: datetime, limit: int) -> list[Run]:
    """Runs that ended and were released before a moment, the oldest first: those that may be forgotten."""
    query = select(*_columns()).where(table.c.released, table.c.completed_on < moment)
    query = query.order_by(table.c.completed_on).limit(limit)
    return [_from_row(row) for row in connection.execute(query)]


def claim_run(connection: Connection, run_id: str, *, owner: str, now: datetime, until: datetime) -> bool:
    """Make a run `owner`'s until a moment, or renew that; False if it is another's, whose claim has not run out."""
    free = _is_free(owner, now)
    changed = connection.execute(
        update(table)
        .where(table.c.run_id == run_id, ~table.c.released, free)
        .values(claimed_by=owner, claimed_until=until)
    )
    return changed.rowcount == 1


def drop_claims(connection: Connection, owner: str) -> None:
    """Let other schedulers have the runs of `owner` at once."""
    connection.execute(update(table).where(table.c.claimed_by == owner).values(claimed_by=None, claimed_until=None))


def move_run(
    connection: Connection,
    run: Run,
    to: RunStatus,
    *,
    now: datetime,
    note: str,
    owner: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> bool:
    """Move a run from the status it was read with; False, and nothing is changed, if that is no longer so.

    `changes` are further members of the run. With `owner` the run must be claimed by it. Raises ValueError for a move
    that is never allowed.
    """
    if to not in MOVES[run.status]:
        raise ValueError(f"a run cannot move from {run.status} to {to}")
    return _change(connection, run, {"status": to, **(changes or {})}, owner=owner, now=now, event=(to, note))


def change_run(connection: Connection, run: Run, *, now: datetime, owner: str | None, changes: Mapping[str, Any], note: str = "") -> bool:  # fmt: skip # noqa: E501
    """Change members of a run other than its status; False if its status or attempt moved on or it is another's."""
    return _change(connection, run, dict(changes), owner=owner, now=now, event=(run.status, note) if note else None)


def list_events(connection: Connection, run_id: str) -> list[RunEvent]:
    """What happened to a run, in order."""
    query = select(run_events).where(run_events.c.run_id == run_id).order_by(run_events.c.id)
    return [_event_from_row(row) for row in connection.execute(query)]


def delete_runs(connection: Connection, run_ids: Iterable[str]) -> None:
    """Remove runs and their events."""
    wanted = list(run_ids)
    connection.execute(delete(run_events).where(run_events.c.run_id.in_(wanted)))
    connection.execute(delete(table).where(table.c.run_id.in_(wanted)))


def list_runs_of(connection: Connection, transform_id: str) -> list[Run]:
    """All runs of a transform."""
    query = select(*_columns()).where(table.c.transform_id == transform_id)
    return [_from_row(row) for row in connection.execute(query)]


def _is_free(owner: str, now: datetime) -> ColumnElement[bool]:
    return or_(table.c.claimed_by.is_(None), table.c.claimed_by == owner, table.c.claimed_until < now)


def _columns() -> list[ColumnElement[Any]]:
    return [table.c[name] for name in _RUN_COLUMNS]


def _find(connection: Connection, condition: ColumnElement[bool]) -> Run | None:
    row = connection.execute(select(*_columns()).where(condition)).one_or_none()
    return None if row is None else _from_row(row)


def _list(connection: Connection, conditions: list[ColumnElement[bool]], page: Page) -> list[Run]:
    keys = (table.c[page.column], table.c.run_id)
    if page.after is not None:
        position = tuple_(*keys)
        conditions.append(position < page.after if page.descending else position > page.after)
    order = [key.desc() if page.descending else key.asc() for key in keys]
    query = select(*_columns()).where(and_(true(), *conditions)).order_by(*order).limit(page.limit)
    return [_from_row(row) for row in connection.execute(query)]


def _conditions(wanted: RunFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.task_type is not None:
        conditions.append(table.c.task_type == wanted.task_type)
    if wanted.status is not None:
        conditions.append(table.c.status == wanted.status)
    if wanted.started_before is not None:
        conditions.append(table.c.started_on < wanted.started_before)
    if wanted.started_after is not None:
        conditions.append(table.c.started_on > wanted.started_after)
    return conditions


def _change(
    connection: Connection,
    run: Run,
    values: dict[str, Any],
    *,
    owner: str | None,
    now: datetime,
    event: tuple[RunStatus, str] | None,
) -> bool:
    same = [table.c.run_id == run.run_id, table.c.status == run.status, table.c.attempt == run.attempt]
    if owner is not None:
        same.append(table.c.claimed_by == owner)
    touched = {} if run.status in ENDED else {"last_modified_on": now}  # what is noted after the end changes nothing
    changed = connection.execute(update(table).where(*same).values(**values, **touched))
    if changed.rowcount != 1:
        return False
    if event is not None:
        to, note = event
        _add_event(connection, run, run.status, to, note=note, at=now)
    return True


def _add_event(
    connection: Connection, run: Run, before: RunStatus | None, after: RunStatus, *, note: str, at: datetime
) -> None:
    connection.execute(
        insert(run_events).values(
            run_id=run.run_id, at=at, from_status=before, to_status=after, attempt=run.attempt, note=note
        )
    )


def _to_row(run: Run) -> dict[str, Any]:
    members = {name: getattr(run, name) for name in _RUN_COLUMNS if hasattr(run, name)}
    return {**members, **vars(run.capacity), "properties": dict(run.properties)}


def _from_row(row: Row[Any]) -> Run:
    members = dict(zip(_RUN_COLUMNS, row, strict=True))  # by place: a page of 1,000 rows feels what names cost
    capacity = Capacity(**{name: members.pop(name) for name in _CAPACITY_COLUMNS})
    members["status"] = RunStatus(members["status"])
    members["task_type"] = None if members["task_type"] is None else TaskType(members["task_type"])
    return Run(capacity=capacity, **members)


def _event_from_row(row: Row[Any]) -> RunEvent:
    before = None if row.from_status is None else RunStatus(row.from_status)
    return RunEvent(row.at, before, RunStatus(row.to_status), row.attempt, row.note)
