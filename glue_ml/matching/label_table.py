"""The imported labels of a transform: a Delta table of which every version is one import.

Labels are few (thousands of rows), so an import is worked out on the driver from the stored labels and written as one
overwrite. Delta's MERGE would compare with whatever is stored when it starts, which may be more than was checked here:
two imports could both find a set id free and be mixed up. The write is therefore a compare-and-set: it names the
version it was worked out from, and if another import came first, it is worked out again from what is stored then.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from delta.exceptions import (
    ConcurrentAppendException,
    ConcurrentDeleteDeleteException,
    ConcurrentDeleteReadException,
    ConcurrentTransactionException,
    ConcurrentWriteException,
    DeltaConcurrentModificationException,
    MetadataChangedException,
    ProtocolChangedException,
)
from delta.tables import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import IntegerType, MapType, StringType, StructField, StructType, TimestampType

from glue_ml import storage
from glue_ml.domain.labels import (
    LabeledRow,
    check_both_classes,
    check_characters,
    check_set_sizes,
    contradictions,
    distinguish_sets,
    is_blank,
    merge_rows,
)
from glue_ml.errors import LabelError, NotFoundError, UnavailableError

SCHEMA = StructType(
    [
        StructField("labeling_set_id", StringType()),
        StructField("label", StringType()),
        StructField("record_key", StringType()),
        StructField("attributes", MapType(StringType(), StringType())),
        StructField("position", IntegerType()),
        StructField("imported_at", TimestampType()),
    ]
)
ATTEMPTS = 10
REMARKS = 20  #: Contradictions that an import tells; all would be as many as pairs.

_COMMIT = re.compile(r"\d{20}\.json")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Delta skips a write whose (application, version) has been recorded and lets two that record the same one conflict.
_IMPORTS = "glue-ml label imports"
# The classes have no ancestor of their own in common before Delta 4.
_CONFLICTS = (
    ConcurrentAppendException,
    ConcurrentDeleteDeleteException,
    ConcurrentDeleteReadException,
    ConcurrentTransactionException,
    ConcurrentWriteException,
    DeltaConcurrentModificationException,
    MetadataChangedException,
    ProtocolChangedException,
)

_Identity = tuple[str, str]  # labeling_set_id, record_key
_Stamp = tuple[datetime, int]  # imported_at, position within its import


@dataclass(frozen=True)
class ImportCounts:
    """What an import did: its rows and sets, stored rows that it updated or replaced, and the rows stored after it.

    `version` is the number of the import among those of the table, counted from 0. `remarks` tell, a sentence each, of
    pairs that the stored rows contradict each other about: of the first REMARKS.
    """

    rows: int
    sets: int
    updated: int
    replaced: int
    total_rows: int
    version: int
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Labels:
    """The stored labels in order, when each was imported, and the version they were read from."""

    version: int | None = None
    rows: Sequence[LabeledRow] = ()
    stamps: Mapping[_Identity, _Stamp] = field(default_factory=dict)


def import_labels(
    spark: SparkSession, uri: str, rows: Iterable[LabeledRow], *, replace: bool, now: datetime
) -> ImportCounts:
    """Add `rows` to the labels at `uri`, or put them in the place of all that are there, as one new version.

    Rows with a blank label are left out. Raises LabelError, and leaves the stored labels as they were, if there would
    be no match, no non-match or a set of more than 50 rows afterwards; UnavailableError if other imports kept coming
    first. `now` must have a time zone.
    """
    if now.tzinfo is None:
        raise ValueError("now must have a time zone")
    incoming = [row for row in rows if not is_blank(row.label)]
    if not incoming:
        raise LabelError("The import holds no label: the label of every row is blank. Fill in the label column")
    for row in incoming:
        check_characters(row.labeling_set_id, row.label, row.key)
    for _ in range(ATTEMPTS):
        stored = _read_stored(spark, uri)
        after, counts = _plan_import(stored, incoming, replace=replace, now=now)
        check_set_sizes(after.rows)
        check_both_classes(after.rows)
        if _commit(spark, uri, after):
            return counts
    raise UnavailableError(f"Other imports into {uri} came first {ATTEMPTS} times in a row. Try again later")


def read_labels(spark: SparkSession, uri: str) -> list[LabeledRow]:
    """Return the stored labels in the order of their import; none if nothing was imported yet."""
    return read_versioned_labels(spark, uri)[1]


def read_versioned_labels(spark: SparkSession, uri: str) -> tuple[int | None, list[LabeledRow]]:
    """Return the number of the last import, None before the first, and the labels of just that version."""
    stored = _read_stored(spark, uri)
    return stored.version, list(stored.rows)


def label_version(uri: str) -> int | None:
    """Return the number of the last import into `uri` (Delta's version), None if nothing was imported yet.

    Delta names the files of its log by the version that they commit; to list them costs no Spark job.
    """
    try:
        names = storage.list_names(storage.join(uri, "_delta_log"))
    except NotFoundError:
        return None
    return max((int(name[:-5]) for name in names if _COMMIT.fullmatch(name)), default=None)


def _read_stored(spark: SparkSession, uri: str) -> _Labels:
    version = label_version(uri)
    if version is None:
        return _Labels()
    table = spark.read.format("delta").option("versionAsOf", version).load(uri)
    # Collected as a number: a collected timestamp is local time, of which an hour occurs twice a year.
    records = table.withColumn("imported_at", F.unix_micros("imported_at")).collect()
    records.sort(key=lambda r: (r["imported_at"], r["position"], r["labeling_set_id"], r["record_key"]))
    return _Labels(
        version,
        [LabeledRow(r["labeling_set_id"], r["label"], r["record_key"], r["attributes"]) for r in records],
        {
            (r["labeling_set_id"], r["record_key"]): (_EPOCH + timedelta(microseconds=r["imported_at"]), r["position"])
            for r in records
        },
    )


def _plan_import(
    stored: _Labels, incoming: Sequence[LabeledRow], *, replace: bool, now: datetime
) -> tuple[_Labels, ImportCounts]:
    """Return the labels after an import, as of the version they would replace."""
    kept = () if replace else stored.rows
    imported = merge_rows([], distinguish_sets(kept, incoming))
    rows = merge_rows(kept, imported)
    moment = now if not kept else max(now, _last_moment(stored) + timedelta(microseconds=1))
    fresh = {_identify(row): (moment, position) for position, row in enumerate(imported)}
    stamps = fresh if replace else {**stored.stamps, **fresh}
    counts = ImportCounts(
        rows=len(imported),
        sets=len({row.labeling_set_id for row in imported}),
        updated=0 if replace else len(fresh.keys() & stored.stamps.keys()),
        replaced=len(stored.rows) if replace else 0,
        total_rows=len(rows),
        version=_next_version(stored),
        remarks=tuple(f"The labels contradict each other: {found}" for found in contradictions(rows)[:REMARKS]),
    )
    return _Labels(stored.version, rows, stamps), counts


def _commit(spark: SparkSession, uri: str, labels: _Labels) -> bool:
    """Overwrite the table unless it has got a version after `labels.version`; say whether it was done."""
    identity = uuid.uuid4().hex
    base = _next_version(labels) - 1
    records = [
        (row.labeling_set_id, row.label, row.key, dict(row.attributes), position, imported_at)
        for row in labels.rows
        for imported_at, position in (labels.stamps[_identify(row)],)
    ]
    writer = spark.createDataFrame(records, SCHEMA).coalesce(1).write.format("delta").mode("overwrite")
    try:
        writer.option("txnAppId", _IMPORTS).option("txnVersion", base + 1).option("userMetadata", identity).save(uri)
    except _CONFLICTS:
        return False
    later = DeltaTable.forPath(spark, uri).history().where(F.col("version") > base)
    return not later.where(F.col("userMetadata") == identity).isEmpty()


def _next_version(labels: _Labels) -> int:
    return 0 if labels.version is None else labels.version + 1


def _identify(row: LabeledRow) -> _Identity:
    return row.labeling_set_id, row.key


def _last_moment(labels: _Labels) -> datetime:
    return max(imported_at for imported_at, _ in labels.stamps.values())
