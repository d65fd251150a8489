"""Which physical plan a run takes: records and index in one file that is shipped, or the table in pieces.

One file is quicker while it fits; pieces have no size at which they end. Both give the same pairs and scores.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from glue_ml import storage
from glue_ml.domain.job import BLOCKING_PLANS
from glue_ml.errors import InputError
from glue_ml.matching.pipeline import parallelism
from glue_ml.matching.records import SPILLED_ROWS
from glue_ml.matching.shipping import find_shared_folder
from glue_ml.matching.table import quote
from glue_ml.matching.tokens import MAX_CHARACTERS

PIECE_ROWS = 500_000  #: Of a piece of short rows; a task that builds a piece or searches two takes a gigabyte or so.
PIECE_CHARS = 60_000_000  #: Of a piece of longer rows: as many characters as so many persons have.
LEAST_PIECE_ROWS = 50  #: Fewer are not worth a piece of their own.
CHAR_BYTES = 19  #: What a character takes in memory while records and index are built in one process, at the peak.
SPILLED_CHAR_BYTES = 13  #: The same where records are put aside; 11.2 of ten million persons.
MEMORY_SHARE = 0.6  #: Of a machine or an executor; the rest is the JVM's and the system's.
FILE_CHARS = 5  #: Characters that a byte of a compressed file may hold: smaller tables are not measured first.

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_MEMORY = re.compile(r"(\d+)([kmgt]?)b?")

#: The limit of a container's memory, by either version of Linux's control groups.
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


class BlockingPlan(StrEnum):
    """How blocking is carried out. `auto`: in pieces where memory does not take records and index in one."""

    AUTO = "auto"
    SHIPPED = "shipped"
    PIECES = "pieces"


assert set(BLOCKING_PLANS) == set(BlockingPlan)


def parse_plan(name: str) -> BlockingPlan:
    """Return the plan of that name. Raises InputError."""
    try:
        return BlockingPlan(name)
    except ValueError:
        raise InputError(f"blocking_plan is {name!r}; use one of {', '.join(BlockingPlan)}") from None


@dataclass(frozen=True)
class Extent:
    """How large a table is: its rows, and the characters of the cells that are compared, as far as they are read."""

    rows: int
    chars: int

    @classmethod
    def measure(cls, df: DataFrame, columns: Sequence[str]) -> Self:
        """Read the whole table once. Cost: one Spark job."""
        texts = [F.col(quote(name)).cast("string") for name in columns if name in df.columns]
        # not all in one sum: Spark's analyzer gives a hundred terms up
        chars = [F.sum(F.least(F.coalesce(F.length(text), F.lit(0)), F.lit(MAX_CHARACTERS))) for text in texts]
        found = df.agg(F.count(F.lit(1)), *chars).head()
        assert found is not None
        return cls(found[0], sum(total or 0 for total in found[1:]))

    @property
    def bytes(self) -> int:
        """What building records and index in one process takes."""
        return self.chars * (SPILLED_CHAR_BYTES if self.rows > SPILLED_ROWS else CHAR_BYTES)

    def count_pieces(self, cores: int) -> int:
        """Return into how many pieces to cut the table: all cores have one, as long as pieces are not too small.

        >>> [Extent(rows, 100 * rows).count_pieces(4) for rows in (10_000_000, 1_000, 60)]
        [20, 4, 1]
        >>> Extent(1_000_000, 600_000_000).count_pieces(4)
        10
        """
        least = min(cores, self.rows // LEAST_PIECE_ROWS)
        return max(1, -(-self.rows // PIECE_ROWS), -(-self.chars // PIECE_CHARS), least)


@dataclass(frozen=True)
class Cut:
    """How a table is to be cut into pieces, why, and the folder (a URI) where they go."""

    rows: int
    pieces: int
    reason: str
    folder: str


def choose_cut(
    df: DataFrame, columns: Sequence[str], wanted: BlockingPlan, *, folder: str | None, obstacle: str | None
) -> Cut | None:
    """Decide whether a table is matched in pieces; None: records and index are shipped.

    `columns` are those that are compared. `folder`: a place that driver and executors reach; not needed where they
    share their disk. `obstacle`: a sentence on what the run asks for that pieces do not do. Cost: none for what is
    small by its files, else the table is read once. Raises InputError where pieces are wanted and cannot be had.
    """
    spark = df.sparkSession
    place = find_shared_folder(spark) or folder
    obstacle = obstacle or ("no folder is told that driver and executors reach (work_uri)" if place is None else None)
    if wanted is BlockingPlan.SHIPPED or (wanted is BlockingPlan.AUTO and obstacle is not None):
        return None
    if obstacle is not None or place is None:
        raise InputError(f"blocking_plan is pieces, but {obstacle}; use auto or shipped")
    room = int(find_memory(spark) * MEMORY_SHARE)
    if wanted is BlockingPlan.AUTO and _estimate_file_bytes(df) * FILE_CHARS * CHAR_BYTES < room:
        return None
    extent = Extent.measure(df, columns)
    if wanted is BlockingPlan.AUTO and extent.bytes <= room:
        return None
    reason = (
        "asked for"
        if wanted is BlockingPlan.PIECES
        else f"to build records and index of {extent.rows:,} rows would take {extent.bytes / 2**30:,.1f} GiB, and "
        f"there are {room / 2**30:,.1f}"
    )
    pieces = extent.count_pieces(parallelism(spark))
    return Cut(extent.rows, pieces, reason, storage.join(place, f"pieces-{uuid.uuid4().hex}"))


def find_memory(spark: SparkSession) -> int:
    """Return the bytes that one executor has, heap and what is beside it; of a local session, those of the machine."""
    if find_shared_folder(spark) is not None:
        return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_read_limits()])
    heap = parse_memory(spark.conf.get("spark.executor.memory", None) or "1g", unit=1)
    beside = spark.conf.get("spark.executor.memoryOverhead", None)
    return heap + (heap // 10 if beside is None else parse_memory(beside, unit=2**20))


def _read_limits() -> Iterator[int]:
    """Yield what the container that this process is in may take, where it is in one that says so."""
    for file in _LIMITS:
        with suppress(OSError, ValueError):  # "max": as much as there is
            yield int(file.read_text(encoding="ascii"))


def parse_memory(text: str, *, unit: int) -> int:
    """Return the bytes that a Spark setting such as 4g or 512m tells; a plain number counts in `unit` bytes.

    >>> parse_memory("4g", unit=1), parse_memory("384", unit=1024)
    (4294967296, 393216)
    """
    found = _MEMORY.fullmatch(text.strip().lower())
    if found is None:
        raise InputError(f"{text!r} tells no amount of memory; write it as Spark does: 4g, 512m")
    number, suffix = found.groups()
    return int(number) * (_UNITS[suffix] if suffix else unit)


def _estimate_file_bytes(df: DataFrame) -> int:
    """Return what Spark guesses the table to take in its files; 0 where it cannot be asked."""
    frame: Any = df
    try:
        return int(str(frame._jdf.queryExecution().optimizedPlan().stats().sizeInBytes()))
    except (AttributeError, TypeError):  # Spark Connect has no plan at hand
        return 0
