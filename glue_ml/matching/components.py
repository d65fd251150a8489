"""Connected components of a graph whose edges are a DataFrame: on the driver, by GraphFrames, or by contraction.

The contraction is that of Boegeman and Kinne, "In-database connected component analysis" (ICDE 2020): in each round
every vertex goes over to the one among itself and its neighbours that a hash, another in each round, puts first; the
edges between those that are left make the next round's graph. A round is expected to leave at most two thirds of the
vertices, whatever the graph looks like: a chain ends after some log(n) rounds, and what a star or a hub costs is the
one aggregation that everybody does. Nothing grows with the input in one place: no vertex's neighbours are collected.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from inspect import signature
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from glue_ml.errors import InputError
from glue_ml.matching.row_pairs import label_components
from glue_ml.matching.table import collect_arrow

logger = logging.getLogger(__name__)

#: Up to so many edges the driver does the work, in a third of the time: 140 bytes each, 2.6 GiB for all of these, which
#: is less than it needed for the records that they are between.
DRIVER_EDGES = 20_000_000
LEFT_EDGES = 200_000  #: A contraction that left no more than so many is ended on the driver: a round costs seconds.
MOST_ROUNDS = 200  #: More are not expected of any graph that a computer can hold.
_GRAPHFRAMES = "org/graphframes/GraphFrame.class"

Checkpoint = Callable[[DataFrame], DataFrame]


class Method(StrEnum):
    """How connected components are found. `auto`: on the driver while the edges are few, else without it."""

    AUTO = "auto"
    DRIVER = "driver"
    GRAPHFRAMES = "graphframes"
    CONTRACTION = "contraction"


@dataclass(frozen=True)
class Components:
    """`labels`: id, component (longs), a row for each vertex; how they were found, and in how many rounds.

    A component is named by its smallest id.
    """

    labels: DataFrame
    method: Method
    rounds: int = 0


def find_components(
    edges: DataFrame,
    *,
    method: Method | str = Method.AUTO,
    driver_edges: int = DRIVER_EDGES,
    left_edges: int = LEFT_EDGES,
    checkpoint: Checkpoint | None = None,
) -> Components:
    """Return the component of every vertex of `edges`, whose first two columns are longs, no nulls.

    Edges may occur twice and in both directions; an edge from a vertex to itself makes the vertex known. `edges` is
    read several times, so it should be a table or checkpointed. `driver_edges`: what `auto` leaves to the driver;
    `left_edges`: how small a contraction makes the graph before the driver ends it. `checkpoint` keeps a round's result
    and forgets how it came about; without it Spark's own is used, see `choose_checkpoint`. Raises InputError for a
    method that is not there.
    """
    edges = edges.select(*(F.col(name).alias(alias) for name, alias in zip(edges.columns[:2], ("a", "b"), strict=True)))
    chosen = choose_method(edges.sparkSession, method, count_edges=edges.count, driver_edges=driver_edges)
    if chosen is Method.DRIVER:
        return Components(_label_on_driver(edges), chosen)
    keep = choose_checkpoint(edges.sparkSession) if checkpoint is None else checkpoint
    if chosen is Method.GRAPHFRAMES:
        return Components(_label_by_graphframes(edges), chosen)
    labels, rounds = _contract(edges, keep, left_edges=left_edges)
    logger.info("connected components by contraction: %d rounds", rounds)
    return Components(labels, chosen, rounds)


def choose_method(
    spark: SparkSession, method: Method | str, *, count_edges: Callable[[], int], driver_edges: int = DRIVER_EDGES
) -> Method:
    """Return how to find components; only `auto` counts the edges. InputError for an unknown or an absent method."""
    asked = check_method(spark, method)
    if asked is not Method.AUTO:
        return asked
    if count_edges() <= driver_edges:
        return Method.DRIVER
    return Method.GRAPHFRAMES if has_graphframes(spark) else Method.CONTRACTION


def check_method(spark: SparkSession, method: Method | str) -> Method:
    """Return the method of that name; InputError where there is none, or where the session has not got it."""
    asked = parse_method(method)
    if asked is Method.GRAPHFRAMES and not has_graphframes(spark):
        raise InputError(
            "connected_components is graphframes, but GraphFrames is not on this Spark session; submit with "
            "--packages and its coordinates, or use auto or contraction"
        )
    return asked


def parse_method(method: str) -> Method:
    """Return the method of that name; InputError that lists the names."""
    try:
        return Method(method)
    except ValueError:
        raise InputError(f"connected_components is {method!r}; use one of {', '.join(Method)}") from None


def has_graphframes(spark: SparkSession) -> bool:
    """Tell whether the JVM of the session has GraphFrames; never under Spark Connect, which has no JVM at hand."""
    try:
        jvm: Any = spark.sparkContext._jvm
    except (AttributeError, NotImplementedError, RuntimeError):
        return False
    return jvm.java.lang.Thread.currentThread().getContextClassLoader().getResource(_GRAPHFRAMES) is not None


def choose_checkpoint(spark: SparkSession) -> Checkpoint:
    """Return Spark's checkpoint: a reliable one where the session names a folder for it, else one on the executors.

    What is on the executors is there twice, so that the run outlives one of them. PySpark 3.5 cannot say so: there, and
    without a folder, it is lost with an executor, and the run with it.
    """
    try:
        reliable, local = spark.sparkContext.getCheckpointDir() is not None, _is_local(spark)
    except (AttributeError, NotImplementedError, RuntimeError):
        reliable, local = False, False
    if reliable:
        return lambda df: df.checkpoint(eager=True)
    if local or "storageLevel" not in signature(DataFrame.localCheckpoint).parameters:
        return lambda df: df.localCheckpoint(eager=True)
    return lambda df: df.localCheckpoint(eager=True, storageLevel=StorageLevel.MEMORY_AND_DISK_2)


def _is_local(spark: SparkSession) -> bool:
    return (spark.sparkContext.master or "").split("[")[0] == "local"


def _label_on_driver(edges: DataFrame) -> DataFrame:
    return make_frame(edges.sparkSession, _label_table(collect_arrow(edges)), "id long, component long")


def make_frame(spark: SparkSession, table: pa.Table, schema: str) -> DataFrame:
    """Return a table without nulls as a DataFrame."""
    return spark.createDataFrame(table.to_pandas(), schema=schema)


def _label_table(edges: pa.Table) -> pa.Table:
    """Return id and component of the vertices of a table of edges."""
    ends = np.concatenate([edges.column(i).to_numpy() for i in range(2)]).astype(np.int64)
    ids, place = np.unique(ends, return_inverse=True)
    # vertices are numbered by rising id, so the smallest number is the smallest id
    labels = label_components(len(ids), place[: len(edges)], place[len(edges) :]) if len(ids) else ids
    return pa.table({"id": ids, "component": ids[labels]})


def _contract(edges: DataFrame, keep: Checkpoint, *, left_edges: int) -> tuple[DataFrame, int]:
    """Contract until nothing, or little, is left; then follow the vertices from the last round to the first."""
    graph = keep(edges.select(F.least("a", "b").alias("a"), F.greatest("a", "b").alias("b")).distinct())
    moves: list[DataFrame] = []
    while True:
        if len(moves) == MOST_ROUNDS:
            raise RuntimeError(f"the contraction has not ended after {MOST_ROUNDS} rounds")
        left = graph.count()
        logger.info("connected components: %d edges after %d rounds", left, len(moves))
        if left <= left_edges:
            break
        moved = keep(_choose_representatives(graph, number=len(moves)))
        moves.append(moved)
        graph = keep(_move_edges(graph, moved))
    rounds = len(moves)
    final = _label_on_driver(graph)
    while moves:
        final = _follow(moves.pop(), final)
    final = keep(final)
    return _name_by_smallest(final), rounds


def _choose_representatives(graph: DataFrame, *, number: int) -> DataFrame:
    """Return id, component: for each vertex the first, in the order of a hash, of itself and its neighbours."""
    both = graph.select("a", "b").union(graph.select(F.col("b"), F.col("a")))
    nearest = both.groupBy("a").agg(F.min(_rank("b", number)).alias("nearest"))
    first = F.least(_rank("a", number), F.col("nearest"))
    return nearest.select(F.col("a").alias("id"), first["id"].alias("component"))


def _rank(name: str, number: int) -> Column:
    """Order vertices as if at random: by a hash, which is another in each round, and by id where hashes are equal."""
    return F.struct(F.xxhash64(F.col(name), F.lit(number)).alias("hash"), F.col(name).alias("id"))


def _move_edges(graph: DataFrame, moved: DataFrame) -> DataFrame:
    """Return the edges between different representatives, each once."""
    half = _look_up(graph.select(F.col("a").alias("key"), F.col("b").alias("kept")), moved)
    both = _look_up(half.select(F.col("kept").alias("key"), F.col("found").alias("kept")), moved)
    apart = both.where(F.col("kept") != F.col("found"))
    return apart.select(F.least("kept", "found").alias("a"), F.greatest("kept", "found").alias("b")).distinct()


def _follow(moved: DataFrame, later: DataFrame) -> DataFrame:
    """Return id, component of a round's vertices, given those of the round after, which holds what was not done."""
    looked_up = _look_up(moved.select(F.col("component").alias("key"), F.col("id").alias("kept")), later)
    return looked_up.select(F.col("kept").alias("id"), F.coalesce("found", "key").alias("component"))


def _name_by_smallest(labels: DataFrame) -> DataFrame:
    smallest = F.min("id").over(Window.partitionBy("component"))
    return labels.select("id", smallest.alias("component"))


def _look_up(rows: DataFrame, labels: DataFrame) -> DataFrame:
    """Return `rows` (key, kept) with the component that `labels` (id, component) know of the key, as `found`.

    It is a left join, done without one: Spark takes the size of a join for the product of both sides and keeps it over
    checkpoints, so that planning a round would take three times as long as planning the round before.
    """
    nothing = F.lit(None).cast("long")
    asked = rows.select("key", "kept", nothing.alias("component"))
    known = labels.select(F.col("id").alias("key"), nothing.alias("kept"), "component")
    found = F.max("component").over(Window.partitionBy("key")).alias("found")
    return asked.union(known).select("key", "kept", found).where(F.col("kept").isNotNull())


def _label_by_graphframes(edges: DataFrame) -> DataFrame:
    """Let GraphFrames' own algorithm work, and name each component by its smallest id."""
    spark = edges.sparkSession
    ids = edges.select(F.col("a").alias("id")).union(edges.select("b")).distinct()
    named = edges.select(F.col("a").alias("src"), F.col("b").alias("dst"))
    vertices, arrows = (_of_jvm(df) for df in (ids, named))
    jvm: Any = spark.sparkContext._jvm
    search = jvm.org.graphframes.GraphFrame.apply(vertices, arrows).connectedComponents()
    if spark.sparkContext.getCheckpointDir() is None:
        search = _keep_rounds_locally(search)
    found = DataFrame(search.setAlgorithm("graphframes").run(), spark)
    return _name_by_smallest(found)


def _keep_rounds_locally(search: Any) -> Any:
    """Let a search keep its rounds on the executors; without any checkpoint a long chain would never end."""
    from py4j.protocol import Py4JError  # type: ignore[import-untyped]

    try:
        return search.setUseLocalCheckpoints(True)
    except Py4JError as error:
        raise InputError(
            "this GraphFrames keeps the rounds of its search in a checkpoint folder only, and the session has none; "
            "set spark.checkpoint.dir, take a GraphFrames that has setUseLocalCheckpoints, or use auto or contraction"
        ) from error


def _of_jvm(df: DataFrame) -> Any:
    hidden: Any = df
    return hidden._jdf
