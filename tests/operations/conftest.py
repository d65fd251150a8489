"""An empty store of each kind, and requests made at a moment that stands still."""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pytest
from sqlalchemy import create_engine, make_url, text

from glue_ml.operations.context import Account, Context, Limits, Members, TableLookup
from glue_ml.operations.databases import create_database
from glue_ml.operations.tables import create_table, find_table
from glue_ml.store.database import Database
from glue_ml.store.schema import metadata

NOW = datetime(2026, 3, 4, 5, 6, 7, 891_000, tzinfo=UTC)
LIMITS = Limits()
POSTGRES = "GLUE_ML_TEST_POSTGRES"


class MakeContext(Protocol):
    """Makes a context over the test's store; what is not given is as in `context`."""

    def __call__(
        self, *, now: datetime = NOW, limits: Limits = LIMITS, find_table: TableLookup = ..., **account: Any
    ) -> Context: ...


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a PostgreSQL database that is made for this session and dropped after it."""
    given = os.environ.get(POSTGRES)
    if not given:
        pytest.skip(f"no PostgreSQL: set {POSTGRES} to the URL of a database from which others may be created")
    name = f"glue_ml_{secrets.token_hex(6)}"
    engine = create_engine(given, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    yield make_url(given).set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty store."""
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'store.db'}" if sqlite else request.getfixturevalue("postgres_url")
    database = Database(url)
    database.migrate()
    yield database
    if not sqlite:
        with database.writing() as connection:
            for table in reversed(metadata.sorted_tables):
                if table.name != "account":
                    connection.execute(table.delete())
    database.dispose()


@pytest.fixture
def make_context(database: Database, tmp_path: Path) -> MakeContext:
    """Makes contexts over one store. Their ids count up, so that later things have later ids."""
    numbers = itertools.count(1)

    def make(
        *, now: datetime = NOW, limits: Limits = LIMITS, find_table: TableLookup = find_table, **account: Any
    ) -> Context:
        return Context(
            database=database,
            account=Account(**{"storage_uri": f"file://{tmp_path}/storage", "limits": limits, **account}),
            find_table=find_table,
            now=now,
            make_hex=lambda size: f"{next(numbers):0{2 * size}x}",
        )

    return make


@pytest.fixture
def context(make_context: MakeContext) -> Context:
    """A request at `NOW`, by an account with the default limits, over an empty store."""
    return make_context()


@pytest.fixture
def make_table(context: Context) -> Callable[..., Members]:
    """Makes the table `db.people`, or one of another name and other columns, with the database if need be."""
    made: set[str] = set()

    def make(
        name: str = "people",
        columns: dict[str, str] | None = None,
        *,
        database: str = "db",
        keys: dict[str, str] | None = None,
        **members: Any,
    ) -> Members:
        if database not in made:
            create_database(context, {"DatabaseInput": {"Name": database}})
            made.add(database)
        declared = columns if columns is not None else {"id": "string", "name": "string", "born": "date"}
        table = {
            "Name": name,
            "StorageDescriptor": {
                "Columns": [{"Name": column, "Type": kind} for column, kind in declared.items()],
                "Location": f"{context.account.storage_uri}/{name}",
            },
            "PartitionKeys": [{"Name": column, "Type": kind} for column, kind in (keys or {}).items()],
        }
        create_table(context, {"DatabaseName": database, "TableInput": {**table, **members}})
        return table

    return make
