"""The candidate pairs of a table in pieces: no process, the driver included, holds more of it than two pieces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from glue_ml.matching.candidate_lists import CandidateLists
from glue_ml.matching.piece_index import PieceIndex
from glue_ml.matching.pieces import Pieces
from glue_ml.matching.pipeline import (
    Plan,
    Question,
    Step,
    ask,
    bundle_lists,
    count_tasks,
    parallelism,
    read_bundle,
    read_tables,
    spread_pairs,
)
from glue_ml.matching.records import Table

Rows = npt.NDArray[np.int64]

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
        index, cores = self.index, parallelism(self.spark)
        parts = deal_rows(self.index.starts, TASKS_PER_CORE * cores)

        def list_part(numbers: Rows) -> CandidateLists:
            (number,) = numbers.tolist()
            return index.list_candidates(np.arange(*parts[number]))

        numbers = self.spark.range(0, len(parts), 1, len(parts))
        rows = len(self.table)
        bundles = bundle_lists(self.spark, numbers, list_part, rows=rows, bundles=count_tasks(rows, cores))
        return ask(question, bundles, self._open_table, read_bundle)

    def ask_again(self, question: Question, pairs: pa.Table) -> pa.Table:
        """Return the merged answer over `pairs`, a table as `PairBatch.of` reads it. Cost: one Spark job."""
        return ask(question, spread_pairs(self.spark, pairs), self._open_table, read_tables)

    def release(self) -> None:
        """Remove the index; nothing is asked any more. The table stays."""
        self.index.release()

    def name_rows(self, spark: SparkSession, values: pa.Table) -> DataFrame:
        """Return a DataFrame of each row's key, as text, in a column KEY, and its row of `values`."""
        return self.table.name_rows(spark, values)

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
