"""One suite for every way to connected components: the same labels, whatever the graph and the partitions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import networkx
import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from glue_ml.errors import InputError
from glue_ml.matching.components import Method, find_components, has_graphframes
from glue_ml.matching.table import collect_arrow

Edges = Sequence[tuple[int, int]]
HUGE = 2**53


def shuffled(edges: Edges, seed: int = 0) -> list[tuple[int, int]]:
    rng = np.random.default_rng(seed)
    turned = [(b, a) if rng.random() < 0.5 else (a, b) for a, b in edges]
    return [turned[i] for i in rng.permutation(len(turned))]


def chain(ids: Sequence[int]) -> list[tuple[int, int]]:
    return list(pairwise(ids))


def random_graph(vertices: int, edges: int, seed: int) -> list[tuple[int, int]]:
    ends = np.random.default_rng(seed).integers(0, vertices, size=(edges, 2)) * 7_919
    return [(int(a), int(b)) for a, b in ends]


GRAPHS: tuple[Edges, ...] = (
    [(1, 2)],
    [(5, 5)],
    [(5, 5), (1, 2), (2, 2), (9, 9)],
    [(1, 2), (2, 1), (1, 2), (3, 4), (4, 3)],
    chain(range(10_000)),
    chain([int(i) for i in np.random.default_rng(1).permutation(2_000)]),
    [(10**6 - 1, i) for i in range(2_000)],
    [(a, b) for a in range(60) for b in range(a)],
    [(4 * i, 4 * i + 1 + i % 3) for i in range(3_000)],
    random_graph(2_000, 1_000, seed=2),
    random_graph(500, 3_000, seed=3),
)
STEP = 10**8  #: Between the ids of one graph and the next: together they cost as many rounds as the slowest one.
ALL = [(a + STEP * place, b + STEP * place) for place, edges in enumerate(GRAPHS) for a, b in edges]
ALL += [(HUGE + 1, HUGE + 2), (HUGE + 3, HUGE + 5), (HUGE + 5, HUGE + 7), (-HUGE - 1, HUGE + 9)]


def expected(edges: Edges) -> dict[int, int]:
    graph = networkx.Graph()
    graph.add_edges_from(edges)
    return {v: min(part) for part in networkx.connected_components(graph) for v in part}


def label(spark: SparkSession, edges: Edges, method: Method, *, partitions: int, left_edges: int) -> dict[int, int]:
    df = spark.createDataFrame(shuffled(edges), "a long, b long").repartition(partitions)
    found = find_components(df, method=method, left_edges=left_edges).labels
    assert found.dtypes == [("id", "bigint"), ("component", "bigint")]
    table = collect_arrow(found)
    labels = dict(zip(table.column(0).to_pylist(), table.column(1).to_pylist(), strict=True))
    assert len(labels) == len(table), "a vertex has two labels"
    return labels


def skip_where_absent(spark: SparkSession, method: Method) -> None:
    if method is Method.GRAPHFRAMES and not has_graphframes(spark):
        pytest.skip("GraphFrames' JVM package is not on the session")


@pytest.mark.parametrize("partitions", [2, 8, 64])
@pytest.mark.parametrize("method", [Method.DRIVER, Method.CONTRACTION, Method.GRAPHFRAMES])
def test_every_vertex_is_labelled_by_the_smallest_id_of_its_component(
    spark: SparkSession, method: Method, partitions: int
) -> None:
    skip_where_absent(spark, method)
    assert label(spark, ALL, method, partitions=partitions, left_edges=0) == expected(ALL)


@pytest.mark.parametrize("method", [Method.DRIVER, Method.CONTRACTION, Method.GRAPHFRAMES])
def test_a_graph_without_edges_has_no_labels(spark: SparkSession, method: Method) -> None:
    skip_where_absent(spark, method)
    assert label(spark, [], method, partitions=2, left_edges=0) == {}


@pytest.mark.parametrize("left_edges", [100, 1_900])
def test_the_driver_may_end_a_contraction(spark: SparkSession, left_edges: int) -> None:
    edges = GRAPHS[5]
    assert label(spark, edges, Method.CONTRACTION, partitions=3, left_edges=left_edges) == expected(edges)


def test_auto_takes_the_driver_for_few_edges_and_leaves_it_out_for_many(spark: SparkSession) -> None:
    df = spark.createDataFrame([(1, 2), (3, 4), (4, 5)], "a long, b long")
    assert find_components(df).method is Method.DRIVER
    found = find_components(df, driver_edges=2)
    assert found.method is (Method.GRAPHFRAMES if has_graphframes(spark) else Method.CONTRACTION)
    assert sorted(map(tuple, found.labels.collect())) == [(1, 1), (2, 1), (3, 3), (4, 3), (5, 3)]


def test_every_round_is_kept_by_the_callers_own_checkpoint(spark: SparkSession) -> None:
    kept: list[DataFrame] = []

    def keep(df: DataFrame) -> DataFrame:
        kept.append(df)
        return df.localCheckpoint()

    df = spark.range(0, 500).select(F.col("id").alias("a"), (F.col("id") + 1).alias("b"))
    found = find_components(df, method=Method.CONTRACTION, left_edges=20, checkpoint=keep)
    assert {row["component"] for row in found.labels.collect()} == {0}
    assert 2 <= found.rounds <= 12
    assert len(kept) == 2 * found.rounds + 2


@pytest.mark.parametrize("method", ["scipy", ""])
def test_an_unknown_method_is_refused_by_name(spark: SparkSession, method: str) -> None:
    df = spark.createDataFrame([(1, 2)], "a long, b long")
    with pytest.raises(InputError, match="use one of auto, driver, graphframes, contraction"):
        find_components(df, method=method)


def test_graphframes_that_is_not_there_is_refused_with_advice(spark: SparkSession) -> None:
    if has_graphframes(spark):
        pytest.skip("GraphFrames is on the session")
    df = spark.createDataFrame([(1, 2)], "a long, b long")
    with pytest.raises(InputError, match=r"--packages .* or use auto or contraction"):
        find_components(df, method="graphframes")
