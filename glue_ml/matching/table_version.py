"""Versions of a Delta table: the rows of one never change, so what was read of it need not be read again."""

from __future__ import annotations

from dataclasses import dataclass

from delta.tables import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql import functions as F


@dataclass(frozen=True)
class TableVersion:
    """A version of a Delta table, as text by one reader: two that are equal say the same of every row.

    `table` is the id in the table's metadata. `committed_at`, in microseconds since 1970, tells a version from one of
    the same number of a copy of the table. `reader` are Spark's version and the session's time zone, by which numbers
    and times become text.
    """

    table: str
    number: int
    committed_at: int
    reader: str


def read_version(spark: SparkSession, uri: str) -> TableVersion | None:
    """Return the present version of the Delta table at `uri`; None where there is none. Cost: two small Spark jobs."""
    if not DeltaTable.isDeltaTable(spark, uri):
        return None
    table = DeltaTable.forPath(spark, uri)
    (known,) = table.detail().select("id").collect()
    (last,) = table.history(1).select("version", F.unix_micros("timestamp")).collect()
    reader = f"Spark {spark.version}, {spark.conf.get('spark.sql.session.timeZone')}"
    return TableVersion(known[0], last[0], last[1], reader)


def follow(before: TableVersion | None, after: TableVersion | None) -> TableVersion | None:
    """Return `after`, one's own write, if nobody else wrote since `before`; None where that cannot be told."""
    if after is None or after == before:
        return after
    same = before is not None and before.table == after.table
    return after if after.number == (before.number + 1 if before is not None and same else 0) else None
