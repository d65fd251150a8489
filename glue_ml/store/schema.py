"""The tables of the store: SQLAlchemy Core, the same on SQLite and PostgreSQL.

A change here needs a migration in `migrations/versions`; a test holds the sum of the migrations against this module.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Instant(TypeDecorator[datetime]):
    """An aware time, kept as whole milliseconds since 1970 in UTC: it sorts and compares alike in every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: D102
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a time zone cannot be stored")
        return (value - _EPOCH) // timedelta(milliseconds=1)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: D102
        return None if value is None else _EPOCH + timedelta(milliseconds=int(value))


#: Text that sorts by code point in every database, as paging needs one order that never changes.
Name = Text().with_variant(Text(collation="C"), "postgresql")

#: The embedded form of a text array or of an API structure; None is SQL's NULL rather than JSON's.
Document = JSON(none_as_null=True)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: What belongs to the whole account: the key that signs page tokens. Its one row is also the lock of the account.
account = Table(
    "account",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("paging_key", Text, nullable=False),
)

transforms = Table(
    "transforms",
    metadata,
    Column("transform_id", Name, primary_key=True),
    Column("name", Name, nullable=False),
    Column("status", Name, nullable=False),
    Column("role", Text, nullable=False),
    Column("primary_key", Text, nullable=False),
    Column("precision_recall_tradeoff", Float),
    Column("accuracy_cost_tradeoff", Float),
    Column("enforce_provided_labels", Boolean),
    Column("tables", Document, nullable=False),
    Column("schema", Document, nullable=False),
    Column("created_on", Instant, nullable=False, index=True),
    Column("last_modified_on", Instant, nullable=False),
    Column("max_capacity", Float),
    Column("worker_type", Text),
    Column("number_of_workers", Integer),
    Column("description", Text),
    Column("glue_version", Text, nullable=False),
    Column("timeout", Integer, nullable=False),
    Column("max_retries", Integer, nullable=False),
    Column("encryption", Document),
    Column("label_count", BigInteger, nullable=False),
    Column("label_version", BigInteger),
    Column("metrics", Document),
    Column("invocation_id", Text),  # of the request that made it, so that its repetition is recognised
    Column("request_digest", Text),
)
# a name is free again as soon as its transform is being deleted
_LIVING = text("status <> 'DELETING'")
Index("ix_transforms_name", transforms.c.name, unique=True, sqlite_where=_LIVING, postgresql_where=_LIVING)

runs = Table(
    "runs",
    metadata,
    Column("run_id", Name, primary_key=True),
    Column("status", Name, nullable=False),
    Column("transform_id", Name),
    Column("task_type", Name),
    Column("job_name", Name),
    Column("job_run_id", Name),
    Column("properties", Document, nullable=False),
    Column("timeout", Integer, nullable=False),
    Column("max_retries", Integer, nullable=False),
    Column("max_capacity", Float),
    Column("worker_type", Text),
    Column("number_of_workers", Integer),
    Column("attempt", Integer, nullable=False),
    Column("handle", Text),
    Column("started_on", Instant, nullable=False),
    Column("last_modified_on", Instant, nullable=False),
    Column("launched_on", Instant),
    Column("running_on", Instant),
    Column("stopping_on", Instant),
    Column("completed_on", Instant),
    Column("released", Boolean, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("error", Text),
    Column("log_group", Text),
    Column("claimed_by", Text),
    Column("claimed_until", Instant),
    UniqueConstraint("job_run_id", name="uq_runs_job_run_id"),
)
Index("ix_runs_transform_id_started_on", runs.c.transform_id, runs.c.started_on, runs.c.run_id)
Index("ix_runs_transform_id_status", runs.c.transform_id, runs.c.status, runs.c.run_id)
Index("ix_runs_transform_id_task_type", runs.c.transform_id, runs.c.task_type, runs.c.run_id)
Index("ix_runs_job_name_started_on", runs.c.job_name, runs.c.started_on, runs.c.run_id)
Index("ix_runs_completed_on", runs.c.completed_on)
_UNRELEASED = text("NOT released")
Index("ix_runs_unreleased", runs.c.started_on, sqlite_where=_UNRELEASED, postgresql_where=_UNRELEASED)

run_events = Table(
    "run_events",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("run_id", Name, ForeignKey("runs.run_id", ondelete="CASCADE"), nullable=False, index=True),
    Column("at", Instant, nullable=False),
    Column("from_status", Text),
    Column("to_status", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("note", Text, nullable=False),
)

tags = Table(
    "tags",
    metadata,
    Column("resource", Name, primary_key=True),  # the part of the ARN after the account, such as mlTransform/tfm-...
    Column("key", Name, primary_key=True),
    Column("value", Text, nullable=False),
)

databases = Table(
    "databases",
    metadata,
    Column("name", Name, primary_key=True),
    Column("document", Document, nullable=False),
    Column("created_on", Instant, nullable=False),
)

tables = Table(
    "tables",
    metadata,
    Column("database_name", Name, ForeignKey("databases.name", ondelete="CASCADE"), primary_key=True),
    Column("name", Name, primary_key=True),
    Column("document", Document, nullable=False),
    Column("created_on", Instant, nullable=False),
    Column("updated_on", Instant, nullable=False),
    Column("version", Integer, nullable=False),
)

partitions = Table(
    "partitions",
    metadata,
    Column("database_name", Name, primary_key=True),
    Column("table_name", Name, primary_key=True),
    Column("key", Name, primary_key=True),  # the partition's values as a JSON array
    Column("document", Document, nullable=False),
    Column("created_on", Instant, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("name", Name, primary_key=True),
    Column("document", Document, nullable=False),
    Column("created_on", Instant, nullable=False),
    Column("last_modified_on", Instant, nullable=False),
)
