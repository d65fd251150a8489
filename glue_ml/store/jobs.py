"""Glue jobs in the store: each with its definition as a document of API members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from glue_ml.store.schema import jobs as table
from glue_ml.store.schema import tags as tag_table


@dataclass(frozen=True)
class Job:
    """A job; `document` holds the members of the API's Job but for its name and times."""

    name: str
    document: Mapping[str, Any]
    created_on: datetime
    last_modified_on: datetime


def insert_job(connection: Connection, job: Job) -> None:
    """Add a job; sqlalchemy's IntegrityError if its name is taken."""
    connection.execute(insert(table).values(**_to_row(job)))


def find_job(connection: Connection, name: str, *, lock: bool = False) -> Job | None:
    """The job of that name; with `lock` no other transaction changes it before this one ends."""
    query = select(table).where(table.c.name == name)
    row = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    return None if row is None else _from_row(row)


def find_jobs(connection: Connection, names: Sequence[str]) -> dict[str, Job]:
    """Those jobs of the names that there are."""
    rows = connection.execute(select(table).where(table.c.name.in_(list(names)))).mappings()
    return {row["name"]: _from_row(row) for row in rows}


def list_jobs(
    connection: Connection, after: str | None, limit: int, *, tags: Mapping[str, str] | None = None
) -> list[Job]:
    """So many jobs by name, from after one; only those that have all of the tags."""
    query = select(table).order_by(table.c.name).limit(limit)
    if after is not None:
        query = query.where(table.c.name > after)
    for key, value in (tags or {}).items():
        tagged = select(tag_table.c.resource).where(tag_table.c.key == key, tag_table.c.value == value)
        query = query.where(("job/" + table.c.name).in_(tagged))
    return [_from_row(row) for row in connection.execute(query).mappings()]


def update_job(connection: Connection, job: Job) -> None:
    """Store `job` in the place of the one of its name."""
    connection.execute(update(table).where(table.c.name == job.name).values(**_to_row(job)))


def delete_job(connection: Connection, name: str) -> None:
    """Remove a job; nothing happens if there is none. Its runs stay."""
    connection.execute(delete(table).where(table.c.name == name))


def _to_row(job: Job) -> dict[str, Any]:
    return {**vars(job), "document": dict(job.document)}


def _from_row(row: RowMapping) -> Job:
    return Job(**row)
