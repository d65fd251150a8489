"""The candidate pairs of a run, and how they are asked: each question is answered batch by batch, then merged.

One *logical* blocking (blocking.py) may be carried out by several *physical* plans; `choose_plan` says which and why.
A small table is blocked and compared on the driver, because starting Spark's Python workers takes longer than the
work; of a larger one the prepared records and the blocking index are shipped to every worker. The answers are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from glue_ml.matching.blocking import BlockingIndex, list_candidates, list_pairs
from glue_ml.matching.candidate_lists import CONTEXT, LAST_RANK, UNLISTED_RANK
from glue_ml.matching.comparison import Feature, compare
from glue_ml.matching.records import Records
from glue_ml.matching.rivals import RIVALS
from glue_ml.matching.table import collect_arrow

T = TypeVar("T")
Rows = npt.NDArray[np.int64]

DRIVER_ROWS = 20_000  #: Up to so many rows the driver does the work itself.
ROWS_PER_TASK = 5_000  #: Rows whose candidates one task lists; small enough to spread, large enough to amortise.
LEAST_ROWS_PER_TASK = 500  #: Fewer are not worth a task, however many cores there are.
PAIRS_PER_BATCH = 50_000  #: Pairs compared at once: the larger the batch, the fewer distinct values are compared twice.


@dataclass(frozen=True)
class Step:
    """One step of a run and what it does to the data."""

    name: str
    shuffles: bool
    deterministic: bool = True
    checkpoints: bool = False


@dataclass(frozen=True)
class Plan:
    """The physical plan of the blocking, for `result.json`."""

    name: str
    reason: str
    index_bytes: int
    top_k: int
    work_per_record: int
    steps: tuple[Step, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the plan, with the steps it consists of, as JSON members."""
        return asdict(self) | {"steps": [asdict(step) for step in self.steps]}


def choose_plan(index: BlockingIndex) -> Plan:
    """Choose how the blocking is carried out."""
    rows, size = index.rows, index.size_bytes
    here = rows <= DRIVER_ROWS
    if here:
        name, reason = "driver", f"{rows:,} rows are compared on the driver sooner than workers would start"
    else:
        name, reason = "shipped", f"the index takes {size / 2**20:.1f} MiB and is shipped to every worker"
    steps = (
        Step("list candidates", shuffles=False),
        Step("meet both sides", shuffles=not here),
        Step("score pairs", shuffles=False),
    )
    return Plan(name, reason, size, index.budget.top_k, index.budget.work_per_record, steps)


@dataclass(frozen=True)
class Blocked:
    """The prepared records of a run and their index."""

    records: Records
    index: BlockingIndex


@dataclass(frozen=True)
class PairBatch:
    """Some candidate pairs: row numbers lo < hi, their CONTEXT (pairs x features) and, at a second look, RIVALS."""

    records: Records
    lo: Rows
    hi: Rows
    context: Feature
    rivals: Feature | None = None

    @classmethod
    def of(cls, records: Records, pairs: pa.Table) -> PairBatch:
        """Return the pairs of a table with the columns lo, hi, those of CONTEXT and, perhaps, those of RIVALS."""
        lo, hi = (pairs.column(name).to_numpy() for name in ("lo", "hi"))
        rivals = stack_columns(pairs, RIVALS) if RIVALS[0] in pairs.column_names else None
        return cls(records, lo, hi, stack_columns(pairs, CONTEXT), rivals)

    @cached_property
    def compared(self) -> Feature:
        """The features of comparing the records (pairs x features); computed once."""
        return compare(self.records, self.lo, self.hi)


def stack_columns(pairs: pa.Table | pa.RecordBatch, names: Sequence[str]) -> Feature:
    """Return columns of numbers side by side (pairs x names)."""
    return np.stack([pairs.column(name).to_numpy() for name in names], axis=-1).astype(np.float32)


@dataclass(frozen=True)
class Question:
    """Something to find out from all candidate pairs.

    `answer` turns a batch into a table of `schema` (Spark's DDL), `merge` turns the tables of some batches, end to end,
    into one of the same schema. How the pairs fall into batches must not matter to the merged answer.
    """

    answer: Callable[[PairBatch], pa.Table]
    merge: Callable[[pa.Table], pa.Table]
    schema: str


class Candidates(Protocol):
    """The candidate pairs of a run, wherever they are."""

    @property
    def blocked(self) -> Blocked:
        """The records and the index they come from."""

    def ask(self, question: Question) -> pa.Table:
        """Return the merged answer over all candidate pairs."""

    def ask_again(self, question: Question, pairs: pa.Table) -> pa.Table:
        """Return the merged answer over `pairs`, a table as `PairBatch.of` reads it."""


def open_candidates(spark: SparkSession, blocked: Blocked) -> Candidates:
    """Return the candidate pairs of `blocked` by the plan that `choose_plan` chooses."""
    if choose_plan(blocked.index).name == "driver":
        return DriverCandidates(blocked)
    return SparkCandidates(spark, blocked)


@dataclass(frozen=True)
class DriverCandidates:
    """Candidate pairs in this process; they are listed and compared once, whatever is asked of them."""

    blocked: Blocked

    @cached_property
    def batches(self) -> tuple[PairBatch, ...]:
        """All candidate pairs in row order."""
        lo, hi, context = list_pairs(self.blocked.index)
        parts = [slice(start, start + PAIRS_PER_BATCH) for start in range(0, max(len(lo), 1), PAIRS_PER_BATCH)]
        return tuple(PairBatch(self.blocked.records, lo[part], hi[part], context[part]) for part in parts)

    def ask(self, question: Question) -> pa.Table:
        """Return the merged answer over all candidate pairs."""
        return question.merge(pa.concat_tables([question.answer(batch) for batch in self.batches]))

    def ask_again(self, question: Question, pairs: pa.Table) -> pa.Table:
        """Return the merged answer over `pairs`."""
        starts = range(0, max(len(pairs), 1), PAIRS_PER_BATCH)
        batches = (PairBatch.of(self.blocked.records, pairs.slice(start, PAIRS_PER_BATCH)) for start in starts)
        return question.merge(pa.concat_tables([question.answer(batch) for batch in batches]))


@dataclass(frozen=True)
class SparkCandidates:
    """Candidate pairs on Spark; every question blocks and compares anew, and merges within a task before collecting."""

    spark: SparkSession
    blocked: Blocked

    def ask(self, question: Question) -> pa.Table:
        """Return the merged answer over all candidate pairs. Cost: one Spark job."""
        shipped = Shipped(self.spark, self.blocked)
        return self._ask(question, propose_pairs(self.spark, shipped, rows=len(self.blocked.records)), shipped)

    def ask_again(self, question: Question, pairs: pa.Table) -> pa.Table:
        """Return the merged answer over `pairs`. Cost: one Spark job."""
        tasks = max(parallelism(self.spark), -(-len(pairs) // PAIRS_PER_BATCH))
        df = self.spark.createDataFrame(pairs.to_pandas(), schema=_AGAIN).repartition(tasks)
        return self._ask(question, df, Shipped(self.spark, self.blocked))

    def _ask(self, question: Question, pairs: DataFrame, shipped: Shipped[Blocked]) -> pa.Table:
        answers = collect_arrow(pairs.mapInArrow(_ask_task(shipped, question), question.schema))
        shipped.release()
        return question.merge(answers)


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


_AGAIN = ", ".join(["lo long", "hi long", *(f"{name} float" for name in (*CONTEXT, *RIVALS))])
_LISTED = "lo long, hi long, score float, rank int, ratio float, views tinyint"


def propose_pairs(spark: SparkSession, blocked: Shipped[Blocked], *, rows: int) -> DataFrame:
    """Return the candidate pairs: lo, hi (row numbers, lo < hi) and the CONTEXT columns, each pair once."""
    tasks = max(1, min(-(-rows // LEAST_ROWS_PER_TASK), max(parallelism(spark), -(-rows // ROWS_PER_TASK))))
    listed = spark.range(0, rows, 1, tasks).mapInArrow(_list_task(blocked), _LISTED)
    return _meet(listed, partitions=tasks)


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


def _meet(listed: DataFrame, *, partitions: int) -> DataFrame:
    """Bring the two lists that may hold a pair together; the same columns as `candidate_lists.merge_context` yields."""
    both = F.count("*") == 2
    rank = F.least("rank", F.lit(LAST_RANK))
    return (
        # partitioned by hand: the session's number of shuffle partitions is not ours to set
        listed.repartition(partitions, "lo", "hi")
        .groupBy("lo", "hi")
        .agg(
            F.max("score").alias("score"),
            F.min(rank).cast("float").alias("best_rank"),
            F.when(both, F.max(rank)).otherwise(F.lit(UNLISTED_RANK)).cast("float").alias("worst_rank"),
            F.max("ratio").alias("best_ratio"),
            F.when(both, F.min("ratio")).otherwise(F.lit(0.0)).cast("float").alias("worst_ratio"),
            F.count("*").cast("float").alias("lists"),
            F.bit_count(F.bit_or("views")).cast("float").alias("views"),
        )
    )


def _ask_task(
    shipped: Shipped[Blocked], question: Question
) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        records = shipped.value.records
        answers = [question.answer(PairBatch.of(records, table)) for table in _rebatch(batches, PAIRS_PER_BATCH)]
        if answers:
            yield from question.merge(pa.concat_tables(answers)).to_batches()

    return run


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
