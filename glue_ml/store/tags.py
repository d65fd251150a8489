"""Tags in the store, by the part of the ARN after the account: `mlTransform/tfm-...`, `job/...`, `database/...`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, delete, insert, select

from glue_ml.store.schema import tags as table


def read_tags(connection: Connection, resource: str) -> dict[str, str]:
    """The tags of a resource, by key."""
    rows = connection.execute(select(table.c.key, table.c.value).where(table.c.resource == resource).order_by("key"))
    return {row.key: row.value for row in rows}


def put_tags(connection: Connection, resource: str, tags: Mapping[str, str]) -> None:
    """Add tags, each in the place of one with its key."""
    remove_tags(connection, resource, tags)
    if tags:
        connection.execute(insert(table), [{"resource": resource, "key": k, "value": v} for k, v in tags.items()])


def remove_tags(connection: Connection, resource: str, keys: Iterable[str] | None = None) -> None:
    """Remove the tags of these keys, or all of them."""
    query = delete(table).where(table.c.resource == resource)
    connection.execute(query if keys is None else query.where(table.c.key.in_(list(keys))))
