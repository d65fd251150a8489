"""The candidate pairs of a run, and how they are asked: each question is answered batch by batch, then merged.

One *logical* blocking (blocking.py) may be carried out by several *physical* plans; `choose_plan` says which and why.
A small table is blocked and compared on the driver, because starting Spark's Python workers takes longer than the
work; of a larger one the prepared records and the blocking index are shipped to every executor. The answers are the
same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from glue_ml.matching.blocking import BlockingIndex, list_candidates, list_pairs
from glue_ml.matching.bundles import meet_lists, pack_lists
from glue_ml.matching.candidate_lists import CONTEXT, CandidateLists
from glue_ml.matching.comparison import Feature, compare
from glue_ml.matching.heap import give_back
from glue_ml.matching.keyed_values import attach_values
from glue_ml.matching.records import Gathered, Records, Table
from glue_ml.matching.rivals import RIVALS
from glue_ml.matching.shipping import Shipped, settle_worker
from glue_ml.matching.table import attach_named, collect_arrow, name_rows

Rows = npt.NDArray[np.int64]

DRIVER_ROWS = 20_000  #: Up to so many rows the driver does the work itself.
ROWS_PER_TASK = 50_000  #: Rows whose pairs one task compares; PySpark takes a quarter of a second for each task.
LISTED_PER_TASK = 500_000  #: Candidates of a view that one task lists: a search costs something for every row there is.
LEAST_ROWS_PER_TASK = 500  #: Fewer are not worth a task, however many cores there are.
PAIRS_PER_TASK = 150_000  #: Pairs that one task looks at again.
BUNDLES_AT_ONCE = 50  #: That a task passes on.
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
        name, reason = "shipped", f"the index takes {size / 2**20:.1f} MiB and is shipped to every executor"
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

    gathered: Gathered  #: Records that hold the pairs' rows, and where in them both rows of each pair are.
    lo: Rows
    hi: Rows
    context: Feature
    rivals: Feature | None = None

    @cached_property
    def compared(self) -> Feature:
        """The features of comparing the records (pairs x features); computed once."""
        return compare(*self.gathered)

    def take(self, part: slice | Rows) -> PairBatch:
        """Return some of the pairs."""
        records, left, right = self.gathered
        rivals = None if self.rivals is None else self.rivals[part]
        return PairBatch((records, left[part], right[part]), self.lo[part], self.hi[part], self.context[part], rivals)

    def cut(self) -> Iterator[PairBatch]:
        """Yield the pairs PAIRS_PER_BATCH at a time, at least one batch."""
        starts = range(0, max(len(self.lo), 1), PAIRS_PER_BATCH)
        return (self.take(slice(start, start + PAIRS_PER_BATCH)) for start in starts)


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
    def table(self) -> Table:
        """The rows they come from."""

    @property
    def plan(self) -> Plan:
        """How the blocking is carried out."""

    def ask(self, question: Question) -> pa.Table:
        """Return the merged answer over all candidate pairs."""

    def ask_again(self, question: Question, pairs: pa.Table) -> pa.Table:
        """Return the merged answer over `pairs`, a table as `PairBatch.of` reads it."""

    def release(self) -> None:
        """Make room; nothing is asked any more. The table stays."""

    def attach(self, df: DataFrame, values: pa.Table, *, primary_key: str) -> DataFrame:
        """Return `df`, the table that they come from, with each row's row of `values` (longs and doubles) added."""


class BlockedCandidates(Candidates, Protocol):
    """The candidate pairs of a run whose records and index are at hand."""

    @property
    def blocked(self) -> Blocked:
        """The records and the index they come from."""


def open_candidates(spark: SparkSession, blocked: Blocked) -> BlockedCandidates:
    """Return the candidate pairs of `blocked` by the plan that `choose_plan` chooses."""
    if choose_plan(blocked.index).name == "driver":
        return DriverCandidates(blocked)
    return SparkCandidates.ship(spark, blocked)


@dataclass(frozen=True)
class _OfBlocked:
    blocked: Blocked

    @property
    def table(self) -> Records:
        """The rows they come from."""
        return self.blocked.records

    @property
    def plan(self) -> Plan:
        """How the blocking is carried out."""
        return choose_plan(self.blocked.index)


@dataclass(frozen=True)
class DriverCandidates(_OfBlocked):
    """Candidate pairs in this process; they are listed and compared once, whatever is asked of them."""

    @cached_property
    def batches(self) -> tuple[PairBatch, ...]:
        """All candidate pairs in row order."""
        return tuple(gather_pairs(self.table, *list_pairs(self.blocked.index)).cut())

    def ask(self, question: Question) -> pa.Table:
        """Return the merged answer over all candidate pairs."""
        return question.merge(pa.concat_tables([question.answer(batch) for batch in self.batches]))

    def ask_again(self, question: Question, pairs: pa.Table) -> pa.Table:
        """Return the merged answer over `pairs`."""
        return question.merge(pa.concat_tables([question.answer(batch) for batch in cut_table(self.table, pairs)]))

    def release(self) -> None:
        """Do nothing: what there is goes with this object."""

    def attach(self, df: DataFrame, values: pa.Table, *, primary_key: str) -> DataFrame:
        """Return `df` with each row's row of `values` added. Few are joined sooner than workers would start."""
        named = name_rows(df.sparkSession, self.table.keys, values)
        return attach_named(df, named, rows=len(values), primary_key=primary_key)


@dataclass(frozen=True)
class SparkCandidates(_OfBlocked):
    """Candidate pairs on Spark; every question blocks and compares anew, and merges within a task before collecting.

    Records and index are sent once, whatever is asked; the driver uses the file that is sent, too.
    """

    spark: SparkSession
    shipped: Shipped[Blocked]

    @classmethod
    def ship(cls, spark: SparkSession, blocked: Blocked) -> Self:
        """Send records and index to the workers."""
        shipped = Shipped(spark, blocked)
        return cls(shipped.value, spark, shipped)

    def ask(self, question: Question) -> pa.Table:
        """Return the merged answer over all candidate pairs. Cost: two Spark jobs, one of them short."""
        bundles = list_bundles(self.spark, self.shipped, rows=len(self.blocked.records))
        return ask(question, bundles, self._open_table, read_bundle)

    def ask_again(self, question: Question, pairs: pa.Table) -> pa.Table:
        """Return the merged answer over `pairs`. Cost: two Spark jobs, one of them short."""
        return ask(question, spread_pairs(self.spark, pairs), self._open_table, read_tables)

    def release(self) -> None:
        """Remove what was sent; `blocked` stays on the driver."""
        self.shipped.release()

    def attach(self, df: DataFrame, values: pa.Table, *, primary_key: str) -> DataFrame:
        """Return `df` with each row's row of `values` added."""
        return attach_values(df, self.table.keys, values, primary_key=primary_key)

    @property
    def _open_table(self) -> Callable[[], Table]:
        shipped = self.shipped
        return lambda: shipped.value.records


def ask(question: Question, packed: DataFrame, open_table: Callable[[], Table], read: Reader) -> pa.Table:
    """Return the merged answer over the pairs that `read` makes of what lies packed in each partition.

    `open_table` is called where the pairs are compared. Cost: one Spark job.
    """
    return question.merge(collect_arrow(packed.mapInArrow(ask_task(open_table, question, read), question.schema)))


PACKED = "part long, packed binary"

#: Turns what a task was sent into the pairs to compare.
Reader = Callable[[Table, Iterable[bytes]], Iterator[PairBatch]]


def list_bundles(spark: SparkSession, shipped: Shipped[Blocked], *, rows: int) -> DataFrame:
    """Return the candidate lists, all entries about a pair in one partition: part (long), packed (binary)."""
    cores, most = parallelism(spark), max(1, LISTED_PER_TASK // shipped.value.index.budget.top_k)
    numbers = spark.range(0, rows, 1, count_tasks(rows, cores, most=most))

    def list_rows(numbers: Rows) -> CandidateLists:
        return list_candidates(shipped.value.index, numbers)

    return bundle_lists(spark, numbers, list_rows, rows=rows, bundles=count_tasks(rows, cores))


def bundle_lists(
    spark: SparkSession, numbers: DataFrame, list_rows: Callable[[Rows], CandidateLists], *, rows: int, bundles: int
) -> DataFrame:
    """Return what `list_rows` lists for a column of numbers, all entries about a pair in one of so many partitions.

    `rows`: how many the whole table has. Columns of what is returned: part (long), packed (binary).
    """
    listed = numbers.mapInArrow(_list_task(list_rows, name_partitions(spark, bundles), rows), PACKED)
    # partitioned by hand: the session's number of shuffle partitions is not ours to set
    return listed.repartition(bundles, "part")


def count_tasks(rows: int, cores: int, *, most: int = ROWS_PER_TASK) -> int:
    """Return into how many tasks to deal out rows, `most` to each: as many for each core, where there are enough rows.

    >>> count_tasks(1_000_000, 16), count_tasks(1_000, 16)
    (32, 2)
    """
    return max(1, min(-(-rows // LEAST_ROWS_PER_TASK), cores * -(-rows // (most * cores))))


def name_partitions(spark: SparkSession, count: int) -> list[int]:
    """Return numbers that `repartition(count, ...)` sends to `count` different partitions. Cost: a short Spark job.

    Numbers that are hashed as they come fall two or three into some partitions and into others none.
    """
    place = F.pmod(F.hash("id"), F.lit(count)).alias("place")
    found = collect_arrow(spark.range(0, 30 * count, 1, 1).select("id", place))
    names = dict(
        zip(reversed(found.column("place").to_pylist()), reversed(found.column("id").to_pylist()), strict=True)
    )
    # should a partition have no name among so many, another one gets twice as much
    return [names.get(place, place) for place in range(count)]


def _list_task(
    list_rows: Callable[[Rows], CandidateLists], names: Sequence[int], rows: int
) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        settle_worker()
        # all of a task at once: a search costs something for every row of the table, however few are searched for
        numbers = np.concatenate([np.zeros(0, dtype=np.int64), *(batch.column(0).to_numpy() for batch in batches)])
        if not len(numbers):
            return
        packed = pack_lists(list_rows(numbers), len(names), rows=rows)
        # some at a time: a batch stands in the memory of Python and of Java at once
        filled = list(packed)
        for start in range(0, len(filled), BUNDLES_AT_ONCE):
            places = filled[start : start + BUNDLES_AT_ONCE]
            parts = pa.array([names[place] for place in places], pa.int64())
            bundles = pa.array([packed[place] for place in places], pa.binary())
            yield pa.RecordBatch.from_arrays([parts, bundles], names=["part", "packed"])
        del packed
        give_back()

    return run


def spread_pairs(spark: SparkSession, pairs: pa.Table) -> DataFrame:
    """Return a table of pairs in pieces, each a row of its own partition: part (long), packed (binary).

    Cost: a short Spark job, so that no two pieces meet.
    """
    pieces = deal_pairs(pairs, parallelism(spark))
    named = zip(name_partitions(spark, len(pieces)), map(_pack_table, pieces), strict=True)
    return spark.createDataFrame(list(named), PACKED).repartition(len(pieces), "part")


def deal_pairs(pairs: pa.Table, cores: int) -> list[pa.Table]:
    """Return a table of pairs in pieces, at least one, for all cores to look at."""
    size = max(1, min(PAIRS_PER_TASK, -(-len(pairs) // cores)))
    return [pairs.slice(start, size) for start in range(0, max(len(pairs), 1), size)]


def _pack_table(pairs: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pairs.schema) as writer:
        writer.write_table(pairs)
    return bytes(sink.getvalue())


def read_bundle(table: Table, packed: Iterable[bytes]) -> Iterator[PairBatch]:
    """Yield the pairs that came as lists for one bundle, in batches."""
    lo, hi, context = meet_lists(packed)
    return gather_pairs(table, lo, hi, context).cut() if len(lo) else iter(())


def read_tables(table: Table, packed: Iterable[bytes]) -> Iterator[PairBatch]:
    """Yield the pairs that came as tables, see `spread_pairs`, in batches."""
    for piece in packed:
        with pa.ipc.open_stream(piece) as reader:
            yield from cut_table(table, reader.read_all())


def cut_table(table: Table, pairs: pa.Table) -> Iterator[PairBatch]:
    """Yield the pairs told by the columns lo, hi and, perhaps, those of CONTEXT and of RIVALS, in batches."""
    lo, hi = (pairs.column(name).to_numpy() for name in ("lo", "hi"))
    names = pairs.column_names
    context = stack_columns(pairs, CONTEXT) if CONTEXT[0] in names else np.zeros((len(lo), len(CONTEXT)), np.float32)
    rivals = stack_columns(pairs, RIVALS) if RIVALS[0] in names else None
    return gather_pairs(table, lo, hi, context, rivals).cut()


def gather_pairs(table: Table, lo: Rows, hi: Rows, context: Feature, rivals: Feature | None = None) -> PairBatch:
    """Bring the rows of some pairs together."""
    return PairBatch(table.gather(lo, hi), lo, hi, context, rivals)


def ask_task(
    open_table: Callable[[], Table], question: Question, read: Reader
) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    """Return what a task does to answer the question about the pairs that were packed for it."""

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        settle_worker()
        packed = (piece.as_py() for batch in batches for piece in batch.column("packed"))
        answers = [question.answer(pairs) for pairs in read(open_table(), packed)]
        if answers:
            yield from question.merge(pa.concat_tables(answers)).to_batches()
        del answers
        give_back()

    return run


def parallelism(spark: SparkSession) -> int:
    """Return the number of cores the session can use at once (at least 1)."""
    try:
        return max(1, spark.sparkContext.defaultParallelism)
    except (AttributeError, NotImplementedError, RuntimeError):
        return int(spark.conf.get("spark.sql.leafNodeDefaultParallelism", "8") or 8)
