"""The candidate pairs of a table in pieces: no process, the driver included, holds more of it than two pieces."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import DataFrame, SparkSession

from glue_ml.matching.candidate_lists import CandidateLists
from glue_ml.matching.heap import give_back
from glue_ml.matching.piece_index import PieceIndex
from glue_ml.matching.pieces import Pieces
from glue_ml.matching.pipeline import (
    Plan,
    Question,
    Step,
    ask_task,
    bundle_lists,
    count_tasks,
    cut_table,
    deal_pairs,
    parallelism,
    read_bundle,
)
from glue_ml.matching.records import Table
from glue_ml.matching.shipping import settle_worker
from glue_ml.matching.table import attach_named, collect_arrow

Rows = npt.NDArray[np.int64]

#: What a task of mapInArrow does.
Task = Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]

TASKS_PER_CORE = 2  #: Of listing: a task maps each piece once, so few of many rows are less work.


@dataclass(frozen=True)
class PieceCandidates:
    """Candidate pairs whose rows and index lie in files; every question blocks and compares anew."""

    spark: SparkSession
    table: Pieces
    index: PieceIndex
    reason: str

    @property
    def plan(self) -> Plan:
        """How the blocking is carried out."""
        steps = (
            Step("cut into pieces", shuffles=True),
            Step("count values and keys", shuffles=True),
            Step("list candidates", shuffles=False),
            Step("meet both sides", shuffles=True),
            Step("score pairs", shuffles=False),
        )
        budget = self.index.budget
        return Plan("pieces", self.reason, self.index.size_bytes, budget.top_k, budget.work_per_record, steps)

    def ask(self, question: Question) -> pa.Table:
        """Return the merged answer over all candidate pairs. Cost: two Spark jobs, one of them short."""
        index, cores, rows = self.index, parallelism(self.spark), len(self.table)
        parts = deal_rows(index.starts, TASKS_PER_CORE * cores)

        def list_part(numbers: Rows) -> CandidateLists:
            (number,) = numbers.tolist()
            return index.list_candidates(np.arange(*parts[number]))

        numbers = self.spark.range(0, len(parts), 1, len(parts))
        bundles = bundle_lists(self.spark, numbers, list_part, rows=rows, bundles=count_tasks(rows, cores))
        return self._collect(question, bundles, ask_task(self._open_table, question, read_bundle))

    def ask_again(self, question: Question, pairs: pa.Table) -> pa.Table:
        """Return the merged answer over `pairs`, a table as `cut_table` reads it. Cost: one Spark job."""
        files, table, name = self.table.files, self.table, f"asked-{uuid.uuid4().hex}"
        parts = deal_pairs(pairs, parallelism(self.spark))
        for place, part in enumerate(parts):
            files.save_table(f"{name}.{place}", part)

        def answer(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            settle_worker()
            for place in (number for batch in batches for number in batch.column(0).to_pylist()):
                asked = files.load_table(f"{name}.{place}")
                answers = [question.answer(batch) for batch in cut_table(table, asked)]
                yield from question.merge(pa.concat_tables(answers)).to_batches()
                del answers
            give_back()

        return self._collect(question, self.spark.range(0, len(parts), 1, len(parts)), answer)

    def _collect(self, question: Question, asked: DataFrame, answer: Task) -> pa.Table:
        """Return the merged answers of tasks. They come in files that the driver maps, as they grow with the table."""
        files, name = self.table.files, f"answer-{uuid.uuid4().hex}"

        def save(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            context, answers = TaskContext.get(), list(answer(batches))
            if answers and context is not None:
                files.save_table(f"{name}.{context.partitionId()}", pa.Table.from_batches(answers))
                yield pa.RecordBatch.from_pydict({"part": pa.array([context.partitionId()], pa.int64())})

        # while tasks work the driver only waits
        give_back()
        parts = sorted(collect_arrow(asked.mapInArrow(save, "part long")).column(0).to_pylist())
        if not parts:
            return collect_arrow(self.spark.createDataFrame([], question.schema))
        return question.merge(pa.concat_tables([files.load_table(f"{name}.{part}") for part in parts]))

    def release(self) -> None:
        """Remove the index; nothing is asked any more. The table stays."""
        self.index.release()

    def attach(self, df: DataFrame, values: pa.Table, *, primary_key: str) -> DataFrame:
        """Return `df` with each row's row of `values` added. The keys are nowhere together, so this is a join."""
        named = self.table.name_rows(df.sparkSession, values)
        return attach_named(df, named, rows=len(values), primary_key=primary_key)

    @property
    def _open_table(self) -> Callable[[], Table]:
        table = self.table
        return lambda: table


def deal_rows(starts: Sequence[int], tasks: int) -> list[tuple[int, int]]:
    """Return ranges of rows, none of them of two pieces, and at least about so many as there are to be tasks.

    >>> deal_rows((0, 4, 10), 4)
    [(0, 2), (2, 4), (4, 7), (7, 10)]
    """
    parts = max(1, -(-tasks // max(len(starts) - 1, 1)))
    cuts = [np.linspace(first, last, parts + 1).astype(int).tolist() for first, last in pairwise(starts)]
    return [part for each in cuts for part in pairwise(each) if part[0] < part[1]]
