"""In how many rows of a whole table something occurs, for pieces of the table that each know their own rows only.

What is counted are codes: hashes of 64 bits of values, words or keys. Each piece sends its distinct codes, with the
rows that hold them, to the buckets that the codes fall into; a bucket adds up and answers each piece in the order in
which it was asked. Two shuffles of packed arrays, whatever is counted; nothing comes to the driver.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import SparkSession

from glue_ml.matching.pipeline import name_partitions, parallelism
from glue_ml.matching.shipping import settle_worker
from glue_ml.matching.table import collect_arrow

T = TypeVar("T")
Codes = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]
Batches = Iterable[pa.RecordBatch]

_ASKED = "part long, piece long, bucket long, codes binary, rows binary"
_ANSWERED = "part long, piece long, bucket long, rows binary"


@dataclass(frozen=True)
class Found(Generic[T]):
    """The distinct codes of a piece, the rows of it that hold each, and whatever they were found in."""

    codes: Codes
    rows: Rows
    held: T


def exchange_counts(
    spark: SparkSession,
    pieces: int,
    find: Callable[[int], Found[T]],
    take: Callable[[int, T, Rows], pa.Table],
    schema: str,
) -> pa.Table:
    """Tell every piece, 0 to `pieces` - 1, in how many rows of all pieces its codes occur.

    `find` returns what is in a piece; it is called where codes are sent and where answers come, and must find the same.
    `take` gets the piece, `Found.held`, and the rows by code; the tables of `schema` (Spark's DDL) that it returns
    are returned end to end, in no order. Cost: one Spark job of three stages, and two short ones.
    """
    buckets = max(pieces, parallelism(spark))
    numbers = spark.range(0, pieces, 1, pieces)
    asked = numbers.mapInArrow(_ask(find, name_partitions(spark, buckets)), _ASKED).repartition(buckets, "part")
    answered = asked.mapInArrow(_answer(name_partitions(spark, pieces)), _ANSWERED).repartition(pieces, "part")
    return collect_arrow(answered.mapInArrow(_take(find, take, buckets), schema))


def salt(codes: Codes, space: int) -> Codes:
    """Return codes that are as distinct as `codes`, and differ from those of any other space."""
    offset = np.uint64((space + 1) * 0xD6E8FEB86659FD93 % 2**64)
    mixed = (codes.view(np.uint64) + offset) * np.uint64(0x9E3779B97F4A7C15)
    return np.asarray((mixed ^ (mixed >> np.uint64(32))).view(np.int64), dtype=np.int64)


def _deal(codes: Codes, buckets: int) -> tuple[Rows, list[slice]]:
    """Return an order in which codes of the same bucket stand together, and where each bucket's are in it."""
    bucket = ((codes.view(np.uint64) >> np.uint64(20)) % np.uint64(buckets)).astype(np.int64)
    order = np.argsort(bucket, kind="stable")
    bounds = np.searchsorted(bucket[order], np.arange(buckets + 1)).tolist()
    return order, [slice(first, last) for first, last in pairwise(bounds)]


def _ask(find: Callable[[int], Found[T]], names: Sequence[int]) -> Callable[[Batches], Batches]:
    def run(batches: Batches) -> Iterator[pa.RecordBatch]:
        settle_worker()
        for piece in (number for batch in batches for number in batch.column(0).to_pylist()):
            found = find(piece)
            order, parts = _deal(found.codes, len(names))
            # an empty bucket is asked as well: who asks nothing gets no answer, and would not go on
            columns = [
                pa.array(names, pa.int64()),
                pa.array([piece] * len(names), pa.int64()),
                pa.array(range(len(names)), pa.int64()),
                pa.array([found.codes[order[part]].tobytes() for part in parts], pa.binary()),
                pa.array([found.rows[order[part]].tobytes() for part in parts], pa.binary()),
            ]
            yield pa.RecordBatch.from_arrays(columns, names=["part", "piece", "bucket", "codes", "rows"])

    return run


def _answer(names: Sequence[int]) -> Callable[[Batches], Batches]:
    def run(batches: Batches) -> Iterator[pa.RecordBatch]:
        settle_worker()
        asked = [row for batch in batches for row in batch.to_pylist()]
        if not asked:
            return
        codes = [np.frombuffer(row["codes"], dtype=np.int64) for row in asked]
        rows = np.frombuffer(b"".join(row["rows"] for row in asked), dtype=np.int64)
        _, place = np.unique(np.concatenate(codes), return_inverse=True)
        # whole numbers, exact as floats as long as a table has less than 2**53 rows
        total = np.bincount(place, weights=rows).astype(np.int64)[place]
        answers = np.split(total, np.cumsum([len(part) for part in codes])[:-1])
        columns = [
            pa.array([names[row["piece"]] for row in asked], pa.int64()),
            pa.array([row["piece"] for row in asked], pa.int64()),
            pa.array([row["bucket"] for row in asked], pa.int64()),
            pa.array([part.tobytes() for part in answers], pa.binary()),
        ]
        yield pa.RecordBatch.from_arrays(columns, names=["part", "piece", "bucket", "rows"])

    return run


def _take(
    find: Callable[[int], Found[T]], take: Callable[[int, T, Rows], pa.Table], buckets: int
) -> Callable[[Batches], Batches]:
    def run(batches: Batches) -> Iterator[pa.RecordBatch]:
        settle_worker()
        told: dict[int, dict[int, bytes]] = defaultdict(dict)
        for row in (row for batch in batches for row in batch.to_pylist()):
            told[row["piece"]][row["bucket"]] = row["rows"]
        for piece, answers in told.items():
            found = find(piece)
            order, _ = _deal(found.codes, buckets)
            total = np.empty(len(order), dtype=np.int64)
            total[order] = np.frombuffer(b"".join(answers[bucket] for bucket in range(buckets)), dtype=np.int64)
            yield from take(piece, found.held, total).to_batches()

    return run
