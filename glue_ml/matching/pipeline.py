"""The steps of a run on Spark: propose candidate pairs, meet both sides' lists, score.

Each step is a plain function DataFrame -> DataFrame, listed with what it costs. One *logical* blocking (blocking.py)
may be carried out by several *physical* plans; `choose_plan` says which and why. Today there is one: the prepared
records and the blocking index are built on the driver and shipped to every worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from glue_ml.matching.blocking import CONTEXT, BlockingIndex, list_candidates, unlisted_rank
from glue_ml.matching.records import Records

T = TypeVar("T")

ROWS_PER_TASK = 5_000  #: Rows whose candidates one task lists; small enough to spread, large enough to amortise.
PAIRS_PER_BATCH = 50_000  #: Pairs compared at once: the larger the batch, the fewer distinct values are compared twice.


@dataclass(frozen=True)
class Step:
    """One step of a run and what it does to the data."""

    name: str
    shuffles: bool
    deterministic: bool = True
    checkpoints: bool = False


STEPS = (
    Step("list candidates", shuffles=False),
    Step("meet both sides", shuffles=True),
    Step("score pairs", shuffles=False),
)


@dataclass(frozen=True)
class Plan:
    """The physical plan of the blocking, for `result.json`."""

    name: str
    reason: str
    index_bytes: int
    top_k: int
    work_per_record: int

    def to_dict(self) -> dict[str, Any]:
        """Return the plan, with the steps it consists of, as JSON members."""
        return {**asdict(self), "steps": [asdict(step) for step in STEPS]}


def choose_plan(index: BlockingIndex) -> Plan:
    """Choose how the blocking is carried out."""
    size = index.size_bytes
    reason = f"the index takes {size / 2**20:.1f} MiB and is shipped to every worker"
    return Plan("shipped", reason, size, index.budget.top_k, index.budget.work_per_record)


class Shipped(Generic[T]):
    """A value that every worker gets once, by Spark's broadcast; Spark Connect has none and ships it with the task."""

    def __init__(self, spark: SparkSession, value: T) -> None:
        self._broadcast: Any = None
        self._value: Any = None
        try:
            self._broadcast = spark.sparkContext.broadcast(value)
        except (AttributeError, NotImplementedError, RuntimeError):
            self._value = value

    @property
    def value(self) -> T:
        """The value, on the driver or on a worker."""
        value: T = self._value if self._broadcast is None else self._broadcast.value
        return value

    def release(self) -> None:
        """Free the workers' copies; a task that still needs the value fetches it again."""
        if self._broadcast is not None:
            self._broadcast.unpersist()


@dataclass(frozen=True)
class Blocked:
    """The prepared records of a run and their index."""

    records: Records
    index: BlockingIndex


_LISTED = "lo long, hi long, score float, rank int, ratio float, views tinyint"
_PAIRS = ("lo", "hi", *CONTEXT)


def propose_pairs(spark: SparkSession, blocked: Shipped[Blocked], *, rows: int) -> DataFrame:
    """Return the candidate pairs: lo, hi (row numbers, lo < hi) and the CONTEXT columns, each pair once."""
    tasks = max(1, min(-(-rows // 500), max(parallelism(spark), -(-rows // ROWS_PER_TASK))))
    listed = spark.range(0, rows, 1, tasks).mapInArrow(_list_task(blocked), _LISTED)
    return _meet(listed, unlisted=unlisted_rank(blocked.value.index.budget), partitions=tasks)


def _list_task(blocked: Shipped[Blocked]) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    def list_rows(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        index = blocked.value.index
        for batch in batches:
            lists = list_candidates(index, batch.column(0).to_numpy())
            low, high = np.minimum(lists.row, lists.other), np.maximum(lists.row, lists.other)
            columns = [low, high, lists.score, lists.rank, lists.ratio, lists.views]
            yield pa.RecordBatch.from_arrays(
                [pa.array(c) for c in columns], names=["lo", "hi", "score", "rank", "ratio", "views"]
            )

    return list_rows


def _meet(listed: DataFrame, *, unlisted: int, partitions: int) -> DataFrame:
    """Bring the two lists that may hold a pair together; the same columns as `blocking.merge_context` yields."""
    both = F.count("*") == 2
    bits = F.bit_or("views")
    return (
        # partitioned by hand: the session's number of shuffle partitions is not ours to set
        listed.repartition(partitions, "lo", "hi")
        .groupBy("lo", "hi")
        .agg(
            F.max("score").alias("score"),
            F.min("rank").cast("float").alias("best_rank"),
            F.when(both, F.max("rank")).otherwise(F.lit(unlisted)).cast("float").alias("worst_rank"),
            F.max("ratio").alias("best_ratio"),
            F.when(both, F.min("ratio")).otherwise(F.lit(0.0)).cast("float").alias("worst_ratio"),
            F.count("*").cast("float").alias("lists"),
            (bits.bitwiseAND(1) + F.shiftright(bits, 1)).cast("float").alias("views"),
        )
    )


PairFunction = Callable[
    ["Records", "np.ndarray[Any, Any]", "np.ndarray[Any, Any]", "np.ndarray[Any, Any]"], pa.RecordBatch
]


def map_pairs(pairs: DataFrame, blocked: Shipped[Blocked], function: PairFunction, schema: str) -> DataFrame:
    """Apply `function(records, lo, hi, context) -> batch` to large batches of candidate pairs. No shuffle."""

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        records = blocked.value.records
        for batch in _rebatch(batches, PAIRS_PER_BATCH):
            context = np.stack([batch.column(name).to_numpy() for name in CONTEXT], axis=-1).astype(np.float32)
            yield function(records, batch.column("lo").to_numpy(), batch.column("hi").to_numpy(), context)

    return pairs.select(*_PAIRS).mapInArrow(run, schema)


def _rebatch(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(b.num_rows for b in waiting) >= rows:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)


def parallelism(spark: SparkSession) -> int:
    """Return the number of cores the session can use at once (at least 1)."""
    try:
        return max(1, spark.sparkContext.defaultParallelism)
    except (AttributeError, NotImplementedError, RuntimeError):
        return int(spark.conf.get("spark.sql.leafNodeDefaultParallelism", "8") or 8)
