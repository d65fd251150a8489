"""The embedded Data Catalog in the store: databases, tables and partitions, each with its document of API members.

Every change below a database, or a table, locks its row first, so that what was found to be so stays so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, delete, insert, select, update

from glue_ml.store.schema import databases, partitions, tables

Document = Mapping[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS = "$milliseconds"  #: The one member of what stands for a time; no API structure has such a name.


@dataclass(frozen=True)
class StoredDatabase:
    """A database; `document` is the DatabaseInput."""

    name: str
    document: Document
    created_on: datetime


@dataclass(frozen=True)
class StoredTable:
    """A table; `document` holds the TableInput as `input` and its PartitionIndexes as `indexes`."""

    database_name: str
    name: str
    document: Document
    created_on: datetime
    updated_on: datetime
    version: int = 0


@dataclass(frozen=True)
class StoredPartition:
    """A partition of a table; `document` is the PartitionInput."""

    values: tuple[str, ...]
    document: Document
    created_on: datetime

    @property
    def key(self) -> str:
        """The values as the store keys and sorts them."""
        return make_key(self.values)


def make_key(values: Sequence[str]) -> str:
    """The values of a partition as one text."""
    return json.dumps(list(values), separators=(",", ":"))


def insert_database(connection: Connection, database: StoredDatabase) -> None:
    """Add a database; sqlalchemy's IntegrityError if its name is taken."""
    row = {"name": database.name, "document": _encode(database.document), "created_on": database.created_on}
    connection.execute(insert(databases).values(**row))


def find_database(connection: Connection, name: str, *, lock: bool = False) -> StoredDatabase | None:
    """The database of that name; with `lock` no other transaction changes it before this one ends."""
    row = _find(connection, select(databases).where(databases.c.name == name), lock=lock)
    return None if row is None else _to_database(row)


def list_databases(connection: Connection, after: str | None, limit: int) -> list[StoredDatabase]:
    """So many databases by name, from after one."""
    query = select(databases).order_by(databases.c.name).limit(limit)
    query = query if after is None else query.where(databases.c.name > after)
    return [_to_database(row) for row in connection.execute(query).mappings()]


def update_database(connection: Connection, name: str, document: Document) -> None:
    """Give a database another document."""
    connection.execute(update(databases).where(databases.c.name == name).values(document=_encode(document)))


def delete_database(connection: Connection, name: str) -> None:
    """Remove a database with its tables and their partitions."""
    below = select(tables.c.name).where(tables.c.database_name == name).order_by(tables.c.name)
    connection.execute(below.with_for_update()).all()  # nobody adds a partition to them from here on
    connection.execute(delete(partitions).where(partitions.c.database_name == name))
    connection.execute(delete(tables).where(tables.c.database_name == name))
    connection.execute(delete(databases).where(databases.c.name == name))


def insert_table(connection: Connection, table: StoredTable) -> None:
    """Add a table; sqlalchemy's IntegrityError if its name is taken or its database does not exist."""
    connection.execute(insert(tables).values(**{**vars(table), "document": _encode(table.document)}))


def find_table(connection: Connection, database: str, name: str, *, lock: bool = False) -> StoredTable | None:
    """The table of that name; with `lock` no other transaction changes it or its partitions before this one ends."""
    query = select(tables).where(tables.c.database_name == database, tables.c.name == name)
    row = _find(connection, query, lock=lock)
    return None if row is None else _to_table(row)


def list_tables(connection: Connection, database: str, after: str | None, limit: int) -> list[StoredTable]:
    """So many tables of a database by name, from after one."""
    query = select(tables).where(tables.c.database_name == database).order_by(tables.c.name).limit(limit)
    query = query if after is None else query.where(tables.c.name > after)
    return [_to_table(row) for row in connection.execute(query).mappings()]


def update_table(connection: Connection, table: StoredTable) -> None:
    """Store `table` in the place of the one of its name."""
    same = (tables.c.database_name == table.database_name, tables.c.name == table.name)
    changed = {"document": _encode(table.document), "updated_on": table.updated_on, "version": table.version}
    connection.execute(update(tables).where(*same).values(**changed))


def delete_table(connection: Connection, database: str, name: str) -> bool:
    """Remove a table with its partitions; False if there is none."""
    if find_table(connection, database, name, lock=True) is None:
        return False
    of_table = (partitions.c.database_name == database, partitions.c.table_name == name)
    connection.execute(delete(partitions).where(*of_table))
    connection.execute(delete(tables).where(tables.c.database_name == database, tables.c.name == name))
    return True


def insert_partitions(connection: Connection, table: StoredTable, added: Sequence[StoredPartition]) -> None:
    """Add partitions; sqlalchemy's IntegrityError if the values of one are taken."""
    place = {"database_name": table.database_name, "table_name": table.name}
    rows = [{**place, "key": one.key, "document": _encode(one.document), "created_on": one.created_on} for one in added]
    if rows:
        connection.execute(insert(partitions), rows)


def find_partitions(
    connection: Connection, table: StoredTable, wanted: Sequence[Sequence[str]]
) -> dict[tuple[str, ...], StoredPartition]:
    """Those partitions of the wanted values that there are, by their values."""
    query = _partitions_of(table).where(partitions.c.key.in_([make_key(values) for values in wanted]))
    found = [_to_partition(row) for row in connection.execute(query).mappings()]
    return {one.values: one for one in found}


def list_partitions(connection: Connection, table: StoredTable, after: str | None, limit: int) -> list[StoredPartition]:
    """So many partitions of a table by key, from after one."""
    query = _partitions_of(table).order_by(partitions.c.key).limit(limit)
    query = query if after is None else query.where(partitions.c.key > after)
    return [_to_partition(row) for row in connection.execute(query).mappings()]


def replace_partition(
    connection: Connection, table: StoredTable, values: Sequence[str], partition: StoredPartition
) -> None:
    """Store `partition` in the place of the one of `values`."""
    changed = {"key": partition.key, "document": _encode(partition.document)}
    connection.execute(
        update(partitions)
        .where(
            partitions.c.database_name == table.database_name,
            partitions.c.table_name == table.name,
            partitions.c.key == make_key(values),
        )
        .values(**changed)
    )


def delete_partitions(connection: Connection, table: StoredTable, wanted: Sequence[Sequence[str]]) -> None:
    """Remove the partitions of these values."""
    connection.execute(
        delete(partitions).where(
            partitions.c.database_name == table.database_name,
            partitions.c.table_name == table.name,
            partitions.c.key.in_([make_key(values) for values in wanted]),
        )
    )


def _partitions_of(table: StoredTable) -> Select[Any]:
    return select(partitions).where(
        partitions.c.database_name == table.database_name, partitions.c.table_name == table.name
    )


def _find(connection: Connection, query: Select[Any], *, lock: bool) -> RowMapping | None:
    return connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()


def _to_database(row: RowMapping) -> StoredDatabase:
    return StoredDatabase(row["name"], _decode(row["document"]), row["created_on"])


def _to_table(row: RowMapping) -> StoredTable:
    return StoredTable(**{**row, "document": _decode(row["document"])})


def _to_partition(row: RowMapping) -> StoredPartition:
    return StoredPartition(tuple(json.loads(row["key"])), _decode(row["document"]), row["created_on"])


def _encode(value: Any) -> Any:
    """A document as JSON can hold it: times as milliseconds, marked."""
    if isinstance(value, Mapping):
        return {name: _encode(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(member) for member in value]
    if isinstance(value, datetime):
        return {_MILLISECONDS: (value - _EPOCH) // timedelta(milliseconds=1)}
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(member) for member in value]
    if not isinstance(value, dict):
        return value
    moment = value.get(_MILLISECONDS)
    if len(value) == 1 and isinstance(moment, int):  # a map of the API holds texts
        return _EPOCH + timedelta(milliseconds=moment)
    return {name: _decode(member) for name, member in value.items()}
