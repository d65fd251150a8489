"""The connection to the store: SQLite (one file, WAL) or PostgreSQL, with reading and writing transactions."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, insert, make_url, select
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError

from glue_ml.errors import InputError, UnavailableError
from glue_ml.store.schema import account

_MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_SECONDS = 10  #: How long a writer waits for another before SQLite gives up.
_ACCOUNT = 1
_URLS = "give sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME"


class Database:
    """The store behind a URL: `sqlite:///path` or `postgresql+psycopg://user@host/name`.

    Raises InputError for a URL that is neither, UnavailableError when the database does not answer.
    """

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self.engine = _create_engine(url, pool_size)
        # SQLite's writers sleep ever longer while they wait; those of this process rather stand in line
        self._turn = threading.Lock() if self.engine.dialect.name == "sqlite" else None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the store and changes nothing."""
        with _translated(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is committed at the end of the block, or rolled back whole if the block raises."""
        with _take(self._turn), _translated(), self.engine.connect() as connection:
            connection.info["immediate"] = True
            try:
                with connection.begin():
                    yield connection
            finally:
                connection.info.pop("immediate", None)

    def migrate(self) -> str:
        """Bring the schema to this version's and return its revision; harmless if it is there already."""
        with self.writing() as connection:
            config = _alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            if read_paging_key(connection) is None:
                connection.execute(insert(account).values(id=_ACCOUNT, paging_key=secrets.token_hex(32)))
        return self.check_schema()

    def check_schema(self) -> str:
        """The revision of the schema; InputError if it is not the one that this version works with."""
        head = ScriptDirectory.from_config(_alembic_config()).get_current_head()
        with self.reading() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
        if found != head or head is None:
            raise InputError(f"The store has schema {found or 'none'}, and {head} is needed. Run: glue-ml migrate")
        return head

    def dispose(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def lock_account(connection: Connection) -> str:
    """Let no other transaction that calls this go on until this one ends; return the key that signs page tokens.

    Limits on how many there may be are counted and used up under this lock.
    """
    query = select(account.c.paging_key).where(account.c.id == _ACCOUNT).with_for_update()
    key: str = connection.execute(query).scalar_one()
    return key


def read_paging_key(connection: Connection) -> str | None:
    """The key that signs page tokens, None before the store was migrated."""
    return connection.execute(select(account.c.paging_key).where(account.c.id == _ACCOUNT)).scalar_one_or_none()


def _create_engine(url: str, pool_size: int) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InputError(
            "The store's URL is none; give sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME"
        ) from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        engine = create_engine(parsed, connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False})
        _configure_sqlite(engine)
        return engine
    if backend == "postgresql":
        try:
            return create_engine(parsed, pool_size=pool_size, max_overflow=pool_size, pool_pre_ping=True)
        except ModuleNotFoundError as error:
            raise InputError("PostgreSQL needs a driver: pip install 'glue-ml[postgres]'") from error
    raise InputError(f"The store cannot be {backend}; {_URLS}")


def _configure_sqlite(engine: Engine) -> None:
    """Readers see a snapshot and never wait; a writer takes its turn at the start, so that it never has to give up."""

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver must not begin transactions by itself
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.info.get("immediate") else "BEGIN")


@contextmanager
def _take(turn: threading.Lock | None) -> Iterator[None]:
    if turn is None:
        yield
        return
    if not turn.acquire(timeout=_BUSY_SECONDS):
        raise UnavailableError(f"The store did not answer: another change has held it for {_BUSY_SECONDS} s")
    try:
        yield
    finally:
        turn.release()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        raise UnavailableError(f"The store did not answer: {str(error.orig).strip().splitlines()[0]}") from error


def _alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config


__all__ = ["Database", "IntegrityError", "lock_account", "read_paging_key"]
