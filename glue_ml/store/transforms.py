"""Transforms in the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, delete, func, insert, select, update

from glue_ml.domain.transform import Capacity, MatchParameters, Transform, TransformStatus
from glue_ml.store.schema import tags as tag_table
from glue_ml.store.schema import transforms as table


@dataclass(frozen=True)
class Invocation:
    """The request that made a transform: the caller's id for it and a digest of what it asked."""

    id: str
    digest: str


@dataclass(frozen=True)
class TransformFilter:
    """Which transforms are wanted; None means any. `tags` must all be there."""

    name: str | None = None
    status: TransformStatus | None = None
    glue_version: str | None = None
    created_before: datetime | None = None
    created_after: datetime | None = None
    modified_before: datetime | None = None
    modified_after: datetime | None = None
    tags: Mapping[str, str] | None = None


def insert_transform(connection: Connection, transform: Transform, invocation: Invocation | None) -> None:
    """Add a transform; sqlalchemy's IntegrityError if a living one has its name."""
    asked = {} if invocation is None else {"invocation_id": invocation.id, "request_digest": invocation.digest}
    connection.execute(insert(table).values(**_to_row(transform), **asked))


def find_transform(connection: Connection, transform_id: str, *, lock: bool = False) -> Transform | None:
    """The transform of that id; with `lock` no other transaction changes it before this one ends."""
    query = select(table).where(table.c.transform_id == transform_id)
    row = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    return None if row is None else _from_row(row)


def find_by_name(connection: Connection, name: str) -> Transform | None:
    """The living transform of that name."""
    query = select(table).where(table.c.name == name, table.c.status != TransformStatus.DELETING)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _from_row(row)


def find_invocation(connection: Connection, invocation_id: str) -> tuple[str, str] | None:
    """The id of the transform that a request made, and the digest of what it asked."""
    query = select(table.c.transform_id, table.c.request_digest).where(table.c.invocation_id == invocation_id)
    row = connection.execute(query).first()
    return None if row is None else (row.transform_id, row.request_digest)


def count_transforms(connection: Connection) -> int:
    """How many living transforms there are."""
    query = select(func.count()).select_from(table).where(table.c.status != TransformStatus.DELETING)
    return connection.execute(query).scalar_one()


def list_transforms(connection: Connection, wanted: TransformFilter) -> list[Transform]:
    """Every transform that is wanted, in no order that means anything: an account has a hundred or so."""
    rows = connection.execute(select(table).where(and_(True, *_conditions(wanted)))).mappings()
    return [_from_row(row) for row in rows]


def update_transform(connection: Connection, transform: Transform) -> None:
    """Store `transform` in the place of the one with its id; IntegrityError if its name is another's."""
    values = _to_row(transform)
    del values["transform_id"]
    connection.execute(update(table).where(table.c.transform_id == transform.transform_id).values(**values))


def delete_transform(connection: Connection, transform_id: str) -> None:
    """Remove a transform; nothing happens if there is none."""
    connection.execute(delete(table).where(table.c.transform_id == transform_id))


def _conditions(wanted: TransformFilter) -> Sequence[ColumnElement[bool]]:
    equal = ((table.c.name, wanted.name), (table.c.status, wanted.status), (table.c.glue_version, wanted.glue_version))
    between = (
        (table.c.created_on, wanted.created_before, wanted.created_after),
        (table.c.last_modified_on, wanted.modified_before, wanted.modified_after),
    )
    bounds: list[ColumnElement[bool]] = [column == value for column, value in equal if value is not None]
    bounds += [column < before for column, before, _ in between if before is not None]
    bounds += [column > after for column, _, after in between if after is not None]
    for key, value in (wanted.tags or {}).items():
        tagged = select(tag_table.c.resource).where(tag_table.c.key == key, tag_table.c.value == value)
        bounds.append(("mlTransform/" + table.c.transform_id).in_(tagged))
    return bounds


def _to_row(transform: Transform) -> dict[str, Any]:
    plain = ("transform_id", "name", "status", "role", "created_on", "last_modified_on", "description",
             "glue_version", "timeout", "max_retries", "label_count", "label_version")  # fmt: skip
    return {
        **{name: getattr(transform, name) for name in plain},
        **vars(transform.parameters),
        **vars(transform.capacity),
        "tables": [dict(one) for one in transform.tables],
        "schema": [list(column) for column in transform.schema],
        "encryption": None if transform.encryption is None else dict(transform.encryption),
        "metrics": None if transform.metrics is None else dict(transform.metrics),
    }


def _from_row(row: RowMapping) -> Transform:
    members = dict(row)
    parameters = MatchParameters(**{name: members.pop(name) for name in MatchParameters.__dataclass_fields__})
    capacity = Capacity(**{name: members.pop(name) for name in Capacity.__dataclass_fields__})
    del members["invocation_id"], members["request_digest"]
    members["status"] = TransformStatus(members["status"])
    members["tables"] = tuple(members["tables"])
    members["schema"] = tuple((name, kind) for name, kind in members["schema"])
    return Transform(parameters=parameters, capacity=capacity, **members)


def mark_deleting(transform: Transform, now: datetime) -> Transform:
    """The transform on its way out."""
    return replace(transform, status=TransformStatus.DELETING, last_modified_on=now)
