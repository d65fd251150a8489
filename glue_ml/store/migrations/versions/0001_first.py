"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_LIVING = sa.text("status <> 'DELETING'")
_UNRELEASED = sa.text("NOT released")


def _name(column: str, *, nullable: bool = False) -> sa.Column[str]:
    kind = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    return sa.Column(column, kind, nullable=nullable)


def _text(column: str, *, nullable: bool = True) -> sa.Column[str]:
    return sa.Column(column, sa.Text(), nullable=nullable)


def _document(column: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(column, sa.JSON(none_as_null=True), nullable=nullable)


def _instant(column: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(column, sa.BigInteger(), nullable=nullable)


def _number(column: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(column, sa.Integer(), nullable=nullable)


def _create_catalog() -> None:
    op.create_table(
        "databases",
        _name("name"),
        _document("document"),
        _instant("created_on"),
        sa.PrimaryKeyConstraint("name", name="pk_databases"),
    )
    op.create_table(
        "tables",
        _name("database_name"),
        _name("name"),
        _document("document"),
        _instant("created_on"),
        _instant("updated_on"),
        _number("version"),
        sa.ForeignKeyConstraint(
            ["database_name"], ["databases.name"], name="fk_tables_database_name", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("database_name", "name", name="pk_tables"),
    )
    op.create_table(
        "partitions",
        _name("database_name"),
        _name("table_name"),
        _name("key"),
        _document("document"),
        _instant("created_on"),
        sa.PrimaryKeyConstraint("database_name", "table_name", "key", name="pk_partitions"),
    )
    op.create_table(
        "jobs",
        _name("name"),
        _document("document"),
        _instant("created_on"),
        _instant("last_modified_on"),
        sa.PrimaryKeyConstraint("name", name="pk_jobs"),
    )


def _create_transforms() -> None:
    op.create_table(
        "transforms",
        _name("transform_id"),
        _name("name"),
        _name("status"),
        _text("role", nullable=False),
        _text("primary_key", nullable=False),
        sa.Column("precision_recall_tradeoff", sa.Float()),
        sa.Column("accuracy_cost_tradeoff", sa.Float()),
        sa.Column("enforce_provided_labels", sa.Boolean()),
        _document("tables"),
        _document("schema"),
        _instant("created_on"),
        _instant("last_modified_on"),
        sa.Column("max_capacity", sa.Float()),
        _text("worker_type"),
        _number("number_of_workers", nullable=True),
        _text("description"),
        _text("glue_version", nullable=False),
        _number("timeout"),
        _number("max_retries"),
        _document("encryption", nullable=True),
        sa.Column("label_count", sa.BigInteger(), nullable=False),
        sa.Column("label_version", sa.BigInteger()),
        _document("metrics", nullable=True),
        _text("invocation_id"),
        _text("request_digest"),
        sa.PrimaryKeyConstraint("transform_id", name="pk_transforms"),
    )
    op.create_index("ix_transforms_created_on", "transforms", ["created_on"])
    op.create_index(
        "ix_transforms_name", "transforms", ["name"], unique=True, sqlite_where=_LIVING, postgresql_where=_LIVING
    )


def _create_runs() -> None:
    op.create_table(
        "runs",
        _name("run_id"),
        _name("status"),
        _name("transform_id", nullable=True),
        _name("task_type", nullable=True),
        _name("job_name", nullable=True),
        _name("job_run_id", nullable=True),
        _document("properties"),
        _number("timeout"),
        _number("max_retries"),
        sa.Column("max_capacity", sa.Float()),
        _text("worker_type"),
        _number("number_of_workers", nullable=True),
        _number("attempt"),
        _text("handle"),
        _instant("started_on"),
        _instant("last_modified_on"),
        _instant("launched_on", nullable=True),
        _instant("running_on", nullable=True),
        _instant("stopping_on", nullable=True),
        _instant("completed_on", nullable=True),
        sa.Column("released", sa.Boolean(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        _text("error"),
        _text("log_group"),
        _text("claimed_by"),
        _instant("claimed_until", nullable=True),
        sa.PrimaryKeyConstraint("run_id", name="pk_runs"),
        sa.UniqueConstraint("job_run_id", name="uq_runs_job_run_id"),
    )
    for columns in (
        ("transform_id", "started_on", "run_id"),
        ("transform_id", "status", "run_id"),
        ("transform_id", "task_type", "run_id"),
        ("job_name", "started_on", "run_id"),
        ("completed_on",),
    ):
        name = "_".join(column for column in columns if column != "run_id")
        op.create_index(f"ix_runs_{name}", "runs", list(columns))
    op.create_index(
        "ix_runs_unreleased", "runs", ["started_on"], sqlite_where=_UNRELEASED, postgresql_where=_UNRELEASED
    )


def _create_events() -> None:
    op.create_table(
        "run_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        _name("run_id"),
        _instant("at"),
        _text("from_status"),
        _text("to_status", nullable=False),
        _number("attempt"),
        _text("note", nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_run_events_run_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_run_events"),
    )
    op.create_index("ix_run_events_run_id", "run_events", ["run_id"])


def upgrade() -> None:
    """Make every table and index."""
    op.create_table(
        "account",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        _text("paging_key", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_account"),
    )
    _create_catalog()
    _create_transforms()
    _create_runs()
    _create_events()
    op.create_table(
        "tags",
        _name("resource"),
        _name("key"),
        _text("value", nullable=False),
        sa.PrimaryKeyConstraint("resource", "key", name="pk_tags"),
    )
