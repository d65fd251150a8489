"""Clustering in Spark tasks: pairs stay in a DataFrame, and each connected component is clustered where it is.

Nothing that `clustering.cluster` decides about rows depends on rows that no path of pairs and must-links leads to. So
the components are found first, by `components.find_components`; a task then clusters some whole components by the
code of the driver, and the outcome is the driver's to the last bit, however components fall into tasks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from glue_ml.matching.clustering import Clustering, ClusterOptions, Constraints, ScorePairs, cluster, cluster_islands
from glue_ml.matching.components import (
    DRIVER_EDGES,
    LEFT_EDGES,
    Method,
    choose_method,
    find_components,
    make_frame,
)
from glue_ml.matching.model import MatchModel
from glue_ml.matching.pipeline import Candidates, PairBatch, Question, parallelism
from glue_ml.matching.records import Table
from glue_ml.matching.row_pairs import RowPairs, Rows, Scores, label_components
from glue_ml.matching.shipping import Shipped
from glue_ml.matching.sorted_sets import distinct
from glue_ml.matching.table import collect_arrow

logger = logging.getLogger(__name__)

PART_PAIRS = 1_000_000  #: Pairs whose components the driver clusters at once.
TASK_PAIRS = 200_000  #: Pairs of a task, on average: what clusters in seconds.
BATCH_PAIRS = 50_000  #: Components are clustered together up to so many pairs; a larger one is clustered alone.
SCORED_PAIRS = 100_000  #: Pairs whose rows are brought together at once; more are scored by tasks where there are any.
PAIRS = "lo long, hi long, probability double"
_GROUPS = "row long, label long, confidence double"
_COUNTED = -1  #: In place of a row: the label is a number of islands, the confidence how many of these were cut.


@dataclass(frozen=True)
class PlainScorer:
    """Scores pairs that blocking did not propose; it can be shipped to tasks."""

    model: MatchModel
    table: Table

    def __call__(self, lo: Rows, hi: Rows) -> Scores:
        """Return the probability that the rows lo[i] and hi[i] match."""
        # of a table in pieces the rows are gathered, which must not be all of them, and had better lie near each other
        order, scored = np.argsort(lo, kind="stable"), np.zeros(len(lo))
        for start in range(0, len(lo), SCORED_PAIRS):
            part = order[start : start + SCORED_PAIRS]
            scored[part] = self.model.plain_probability(*self.table.gather(lo[part], hi[part]))
        return scored


@dataclass(frozen=True)
class AskingScorer:
    """Scores pairs as `scorer` does: a few here, many in Spark tasks, where the records of the candidates are."""

    candidates: Candidates
    scorer: PlainScorer

    def __call__(self, lo: Rows, hi: Rows) -> Scores:
        """Return the probability that the rows lo[i] and hi[i] match. The pairs are distinct."""
        if len(lo) <= SCORED_PAIRS:
            return self.scorer(lo, hi)
        model, order, scored = self.scorer.model, np.lexsort((hi, lo)), np.empty(len(lo))

        def score(batch: PairBatch) -> pa.Table:
            probability = model.plain_probability(*batch.gathered)
            return pa.table({"lo": batch.lo, "hi": batch.hi, "probability": probability})

        asked = pa.table({"lo": lo[order], "hi": hi[order]})
        answer = self.candidates.ask_again(Question(score, lambda parts: parts, PAIRS), asked)
        scored[order] = answer.sort_by([("lo", "ascending"), ("hi", "ascending")]).column("probability").to_numpy()
        return scored


@dataclass(frozen=True)
class Terms:
    """What clustering goes by besides pairs, see `clustering.cluster`; `score_pairs` is a value that can be sent."""

    threshold: float
    score_pairs: ScorePairs
    constraints: Constraints = field(default_factory=Constraints)
    options: ClusterOptions = field(default_factory=ClusterOptions)

    def cluster(self, count: int, pairs: RowPairs, *, most: int = PART_PAIRS) -> Clustering:
        """Cluster rows 0..count-1 here, whole components at a time, up to `most` pairs together.

        What is held beside the pairs and a few numbers for each row grows with `most`.
        """
        if len(pairs.lo) <= most:
            return cluster(
                count, pairs.lo, pairs.hi, pairs.probability, threshold=self.threshold, score_pairs=self.score_pairs,
                constraints=self.constraints, options=self.options,
            )  # fmt: skip
        labels, confidence, islands, cut = np.arange(count), np.ones(count), 0, 0
        must = self.constraints.must_link.reshape(-1, 2)
        names = label_components(count, np.append(pairs.lo, must[:, 0]), np.append(pairs.hi, must[:, 1]))
        for rows, part in _cut_components(names, pairs.lo, most):
            found = self.cluster_islands(rows, pairs.select(part))
            labels[rows], confidence[rows] = found.labels, found.confidence
            islands, cut = islands + found.islands, cut + found.cut_islands
        return Clustering(labels, confidence, islands, cut)

    def cluster_islands(self, rows: Rows, pairs: RowPairs) -> Clustering:
        """Cluster whole islands of `rows` (ascending) here."""
        return cluster_islands(
            rows, pairs,
            threshold=self.threshold, score_pairs=self.score_pairs, constraints=self.constraints, options=self.options,
        )  # fmt: skip


@dataclass(frozen=True)
class Clustered:
    """The groups, and how connected components were found: the method, the pairs there were, rounds of contraction."""

    clustering: Clustering
    method: Method
    pairs: int
    rounds: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return how it was done as JSON members, for `result.json`."""
        return {"connected_components": self.method.value, "pairs": self.pairs, "rounds": self.rounds}


def cluster_table(
    spark: SparkSession,
    count: int,
    pairs: pa.Table,
    terms: Terms,
    *,
    method: Method | str = Method.AUTO,
    driver_edges: int = DRIVER_EDGES,
    score_pairs: ScorePairs | None = None,
) -> Clustered:
    """Cluster rows 0..count-1 by the columns lo, hi and probability of a table on the driver.

    By `driver`, and by `auto` up to `driver_edges` pairs, it is done here, where `score_pairs` may take the place of
    that of the terms: it need not be a value that can be sent. Otherwise the table becomes a DataFrame; who has one
    already calls `cluster_frame`. Raises what `choose_method` raises.
    """
    chosen = choose_method(spark, method, count_edges=lambda: len(pairs), driver_edges=driver_edges)
    pairs = pairs.select(["lo", "hi", "probability"])
    if chosen is Method.DRIVER:
        here = terms if score_pairs is None else replace(terms, score_pairs=score_pairs)
        return Clustered(here.cluster(count, _read_pairs(pairs)), chosen, len(pairs))
    return cluster_frame(count, make_frame(spark, pairs, PAIRS), terms, method=chosen)


def cluster_frame(
    count: int,
    pairs: DataFrame,
    terms: Terms,
    *,
    method: Method | str = Method.AUTO,
    driver_edges: int = DRIVER_EDGES,
    left_edges: int = LEFT_EDGES,
) -> Clustered:
    """Cluster rows 0..count-1 by the columns lo, hi (lo < hi, each pair once) and probability of `pairs`.

    `pairs` are read several times, so they should be a table or checkpointed. All of them tie rows into components:
    leave out those below `ClusterOptions.island_probability`, and nothing grows together that need not. What comes to
    the driver is a label and a confidence for each row that has pairs, never the pairs. A component is clustered by one
    task, so the largest one bounds its memory: all of its pairs. Raises what `choose_method` raises.
    """
    spark, found = pairs.sparkSession, pairs.count()
    chosen = choose_method(spark, method, count_edges=lambda: found, driver_edges=driver_edges)
    if chosen is Method.DRIVER:
        here = _read_pairs(collect_arrow(pairs.select("lo", "hi", "probability")))
        return Clustered(terms.cluster(count, here), chosen, found)
    ties = _tie_rows(pairs, terms.constraints)
    components = find_components(ties.select("lo", "hi"), method=chosen, left_edges=left_edges)
    logger.info("%d pairs are clustered in tasks, components by %s", found, chosen)
    named = components.labels.select(F.col("id").alias("lo"), "component")
    tasks = max(parallelism(spark), -(-found // TASK_PAIRS))
    shipped = Shipped(spark, terms)
    groups = (
        ties.join(named, on="lo")
        .select("component", "lo", "hi", "probability")
        .repartition(tasks, "component")
        .sortWithinPartitions("component")
        .mapInArrow(_cluster_task(shipped), _GROUPS)
    )
    clustering = _lay_out(count, collect_arrow(groups))
    shipped.release()
    return Clustered(clustering, chosen, found, components.rounds)


def gather_components(batches: Iterable[pa.RecordBatch], pairs: int) -> Iterator[pa.Table]:
    """Yield whole components, of about so many pairs together, from batches whose first column is in order."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(len(part) for part in waiting) < pairs:
            continue
        table = pa.Table.from_batches(waiting)
        last = pc.index(table.column(0), table.column(0)[-1]).as_py()
        if last > 0:
            yield table.slice(0, last)
            waiting = table.slice(last).to_batches()
    if waiting:
        yield pa.Table.from_batches(waiting)


def _cut_components(names: Rows, lo: Rows, most: int) -> Iterator[tuple[Rows, Rows]]:
    """Yield the rows (ascending) of some whole components, and the positions of their pairs: of about `most` pairs.

    `names`: by row, its component's smallest row. `lo`: by pair, one of its rows. Rows that are alone are left out.
    """
    tied = np.flatnonzero(np.bincount(names, minlength=len(names))[names] > 1)
    tied = tied[np.argsort(names[tied], kind="stable")]
    order = np.argsort(names[lo], kind="stable")
    owners = names[lo[order]]
    # a component whose pairs are many begins at or before where a part would
    firsts = distinct(np.append(0, owners[most::most]))
    pairs, rows = np.searchsorted(owners, firsts), np.searchsorted(names[tied], firsts)
    for start, stop, first, last in zip(
        pairs, np.append(pairs[1:], len(order)), rows, np.append(rows[1:], len(tied)), strict=True
    ):
        yield np.sort(tied[first:last]), order[start:stop]


def _tie_rows(pairs: DataFrame, constraints: Constraints) -> DataFrame:
    """Return the pairs and, with a probability of null, the must-links: both lead from row to row."""
    must = np.sort(constraints.must_link.reshape(-1, 2), axis=1)
    links = make_frame(pairs.sparkSession, pa.table({"lo": must[:, 0], "hi": must[:, 1]}), "lo long, hi long")
    return pairs.select("lo", "hi", "probability").union(links.select("lo", "hi", F.lit(None).cast("double")))


def _cluster_task(shipped: Shipped[Terms]) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for table in gather_components(batches, BATCH_PAIRS):
            yield from _cluster_part(table, shipped.value).to_batches()

    return run


def _cluster_part(ties: pa.Table, terms: Terms) -> pa.Table:
    """Cluster whole components; return the rows' groups, and in a row of its own what was counted."""
    rows = distinct(np.concatenate([ties.column(name).to_numpy() for name in ("lo", "hi")]))
    found = terms.cluster_islands(rows, _read_pairs(ties.filter(pc.is_valid(ties.column("probability")))))
    columns = {
        "row": np.append(rows, _COUNTED),
        "label": np.append(found.labels, found.islands),
        "confidence": np.append(found.confidence, float(found.cut_islands)),
    }
    return pa.table(columns)


def _lay_out(count: int, groups: pa.Table) -> Clustering:
    """Return the groups by row; a row without pairs is alone, which is certain."""
    row, label, confidence = (column.to_numpy() for column in groups.columns)
    counted, known = row == _COUNTED, row != _COUNTED
    labels, certain = np.arange(count), np.ones(count)
    labels[row[known]], certain[row[known]] = label[known], confidence[known]
    return Clustering(labels, certain, int(label[counted].sum()), int(confidence[counted].sum()))


def _read_pairs(table: pa.Table) -> RowPairs:
    return RowPairs(*(table.column(name).to_numpy() for name in ("lo", "hi", "probability")))
