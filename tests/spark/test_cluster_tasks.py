"""Clustering in tasks against clustering on the driver: the same groups to the last bit, whatever the graph."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from glue_ml.domain.job import COMPONENT_METHODS, JobSpec, TaskType
from glue_ml.domain.labels import LabeledRow
from glue_ml.errors import InputError
from glue_ml.matching import FindMatches, FindMatchesModel, cluster_tasks
from glue_ml.matching.cluster_tasks import PAIRS, Clustered, Terms, cluster_frame, cluster_table, gather_components
from glue_ml.matching.clustering import ClusterOptions, Constraints, cluster
from glue_ml.matching.components import Method, has_graphframes, make_frame
from glue_ml.matching.registry import locate_model
from glue_ml.matching.row_pairs import RowPairs
from glue_ml.matching.scoring import scatter_pairs
from glue_ml.settings import Settings
from tests.people import Person, make_people

Rows = npt.NDArray[np.int64]
IN_TASKS = (Method.CONTRACTION, Method.GRAPHFRAMES)
TIGHT = ClusterOptions(island_cap=12, piece_cap=5, sample_pairs=4, batch_pairs=7)


def draw_pairs(count: int, pairs: int, *, seed: int) -> pa.Table:
    """A graph with many small components, some larger ones, and rows without pairs; some pairs are below any floor."""
    rng = np.random.default_rng(seed)
    near = rng.integers(0, count, pairs)
    ends = np.stack([near, near + rng.integers(1, 4, pairs)], axis=1)
    ends = np.unique(ends[ends[:, 1] < count], axis=0)
    lo, hi = ends[rng.permutation(len(ends))].T
    return pa.table({"lo": lo, "hi": hi, "probability": scatter_pairs(lo, hi, seed)})


def draw_terms(count: int, *, seed: int, options: ClusterOptions) -> Terms:
    rng = np.random.default_rng(seed + 1)
    links = [rng.integers(0, count, (n, 2)) for n in (30, 30)]
    must, cannot = (drawn[drawn[:, 0] != drawn[:, 1]] for drawn in links)
    return Terms(0.5, partial(scatter_pairs, seed=seed), Constraints(must, cannot), options)


def skip_where_absent(spark: SparkSession, method: Method) -> None:
    if method is Method.GRAPHFRAMES and not has_graphframes(spark):
        pytest.skip("GraphFrames' JVM package is not on the session")


def assert_equal(one: Clustered, other: Clustered) -> None:
    np.testing.assert_array_equal(one.clustering.labels, other.clustering.labels)
    np.testing.assert_array_equal(one.clustering.confidence, other.clustering.confidence)
    assert (one.clustering.islands, one.clustering.cut_islands) == (
        other.clustering.islands,
        other.clustering.cut_islands,
    )


@pytest.mark.parametrize("options", [ClusterOptions(), TIGHT], ids=["whole islands", "cut islands"])
@pytest.mark.parametrize("most", [1, 40, 699, 10_000])
def test_the_driver_clusters_parts_as_it_does_all_at_once(most: int, options: ClusterOptions) -> None:
    count = 900
    table, terms = draw_pairs(count, 700, seed=2), draw_terms(count, seed=2, options=options)
    pairs = RowPairs(*(column.to_numpy() for column in table.columns))
    whole = cluster(
        count, pairs.lo, pairs.hi, pairs.probability,
        threshold=terms.threshold, score_pairs=terms.score_pairs, constraints=terms.constraints, options=options,
    )  # fmt: skip
    found = terms.cluster(count, pairs, most=most)
    assert whole.islands > 50
    np.testing.assert_array_equal(found.labels, whole.labels)
    np.testing.assert_array_equal(found.confidence, whole.confidence)
    assert (found.islands, found.cut_islands) == (whole.islands, whole.cut_islands)


@pytest.mark.parametrize("count", [0, 3])
def test_the_driver_leaves_rows_without_pairs_alone(count: int) -> None:
    nothing = np.zeros(0, dtype=np.int64)
    clustering = Terms(0.5, partial(scatter_pairs, seed=0)).cluster(count, RowPairs(nothing, nothing, np.zeros(0)))
    assert (clustering.labels.tolist(), clustering.confidence.tolist()) == (list(range(count)), [1.0] * count)


@pytest.mark.parametrize("options", [ClusterOptions(), TIGHT], ids=["whole islands", "cut islands"])
@pytest.mark.parametrize("method", IN_TASKS)
def test_every_method_gives_the_groups_of_the_driver(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, method: Method, options: ClusterOptions
) -> None:
    skip_where_absent(spark, method)
    count = 900
    pairs, terms = draw_pairs(count, 700, seed=1), draw_terms(count, seed=1, options=options)
    here = cluster_table(spark, count, pairs, terms, method=Method.DRIVER)
    assert 100 < here.clustering.islands < count / 2
    assert (here.clustering.cut_islands > 0) == (options is TIGHT)
    monkeypatch.setattr(cluster_tasks, "TASK_PAIRS", 60)
    there = cluster_table(spark, count, pairs, terms, method=method)
    assert (there.method, there.pairs) == (method, len(pairs))
    assert_equal(here, there)


@pytest.mark.parametrize("partitions", [2, 8, 64])
def test_pairs_may_come_as_a_data_frame_in_any_partitions(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, partitions: int
) -> None:
    count = 300
    pairs, terms = draw_pairs(count, 300, seed=5), draw_terms(count, seed=5, options=TIGHT)
    here = cluster_table(spark, count, pairs, terms)
    assert here.to_dict() == {"connected_components": "driver", "pairs": len(pairs), "rounds": 0}
    monkeypatch.setattr(cluster_tasks, "parallelism", lambda _: partitions)
    df = make_frame(spark, pairs, PAIRS).repartition(partitions)
    there = cluster_frame(count, df, terms, driver_edges=100, left_edges=20)
    assert there.rounds >= 1
    assert_equal(here, there)


@pytest.mark.parametrize("method", [Method.DRIVER, *IN_TASKS])
def test_without_pairs_labels_alone_make_groups(spark: SparkSession, method: Method) -> None:
    skip_where_absent(spark, method)
    terms = Terms(0.5, partial(scatter_pairs, seed=0), Constraints(must_link=np.array([[4, 2], [2, 7]])))
    nothing = draw_pairs(10, 0, seed=0)
    for df_or_table in (nothing, make_frame(spark, nothing, PAIRS)):
        cluster_some = cluster_frame if isinstance(df_or_table, DataFrame) else partial(cluster_table, spark)
        found = cluster_some(10, df_or_table, terms, method=method)
        assert found.clustering.labels.tolist() == [0, 1, 2, 3, 2, 5, 6, 2, 8, 9]
        assert found.clustering.confidence.tolist() == [1.0] * 10


def test_the_control_half_knows_the_methods() -> None:
    assert tuple(method.value for method in Method) == COMPONENT_METHODS
    for method in COMPONENT_METHODS:
        assert Settings(connected_components=method).connected_components == method
    with pytest.raises(InputError, match="connected_components is 'scipy', and must be one of: auto, driver"):
        Settings(connected_components="scipy")


def test_the_method_does_not_identify_a_model() -> None:
    spec = JobSpec(TaskType.FIND_MATCHES, "tfm-1", "id", models_uri="models")
    places = {locate_model(replace(spec, connected_components=name), ["id"], 3) for name in COMPONENT_METHODS}
    assert len(places) == 1


def test_auto_counts_the_pairs(spark: SparkSession) -> None:
    pairs, terms = draw_pairs(60, 60, seed=3), draw_terms(60, seed=3, options=ClusterOptions())
    here = cluster_table(spark, 60, pairs, terms, driver_edges=len(pairs))
    there = cluster_table(spark, 60, pairs, terms, driver_edges=len(pairs) - 1)
    assert here.method is Method.DRIVER
    assert there.method in IN_TASKS
    assert_equal(here, there)


@pytest.mark.parametrize("batch", [1, 3, 7, 100])
@pytest.mark.parametrize("pairs", [1, 4, 10, 1_000])
def test_components_are_never_torn_apart(batch: int, pairs: int) -> None:
    component = np.repeat(np.arange(12), [1, 1, 5, 2, 9, 1, 1, 1, 20, 3, 1, 2])
    table = pa.table({"component": component, "place": np.arange(len(component))})
    parts = list(gather_components(table.to_batches(max_chunksize=batch), pairs))
    assert pa.concat_tables(parts).equals(table)
    names = [set(part.column(0).to_pylist()) for part in parts]
    assert sum(len(found) for found in names) == 12
    assert max(len(part) for part in parts) < max(pairs, 20) + batch


@pytest.fixture(scope="module")
def people(spark: SparkSession) -> tuple[DataFrame, list[LabeledRow]]:
    rows, truth = make_people(250, seed=4)
    schema = "id string, name string, street string, born string, phone string"
    return spark.createDataFrame([tuple(row.values()) for row in rows], schema), label(rows, truth)


def label(rows: list[Person], truth: dict[str, int]) -> list[LabeledRow]:
    keys = sorted(map(str, (row["id"] for row in rows)), key=lambda key: truth[key])[:120]
    return [LabeledRow(f"s{place // 10}", str(truth[key]), key) for place, key in enumerate(keys)]


@pytest.fixture(scope="module")
def model(people: tuple[DataFrame, list[LabeledRow]]) -> FindMatchesModel:
    df, labels = people
    find = FindMatches(
        primary_key="id", enforce_provided_labels=True, precision_recall_tradeoff=0.2, connected_components="driver"
    )
    return find.fit(df, labels)


@pytest.mark.parametrize("method", IN_TASKS)
def test_a_table_gets_the_same_ids_and_confidences_by_every_method(
    spark: SparkSession, people: tuple[DataFrame, list[LabeledRow]], model: FindMatchesModel, method: Method
) -> None:
    skip_where_absent(spark, method)
    assert model.connected_components == Method.DRIVER
    here = model.find_matches(people[0], scores=True)
    assert here.plan["clustering"]["connected_components"] == "driver"
    other = FindMatchesModel(model.model_, connected_components=method)
    there = other.find_matches(people[0], scores=True)
    assert there.plan["clustering"]["connected_components"] == method.value
    assert there.counts == here.counts
    assert here.counts["merged_groups"] > 50
    assert sorted(map(tuple, there.matches.collect()), key=str) == sorted(map(tuple, here.matches.collect()), key=str)


def test_a_method_that_is_not_there_is_refused_before_any_work(
    spark: SparkSession, people: tuple[DataFrame, list[LabeledRow]], model: FindMatchesModel
) -> None:
    with pytest.raises(InputError, match="use one of auto, driver, graphframes, contraction"):
        FindMatches(primary_key="id", connected_components="scipy")
    told: list[str] = []
    asked = FindMatchesModel(
        model.model_, progress=lambda stage, _, __: told.append(stage), connected_components="graphframes"
    )
    if has_graphframes(spark):
        pytest.skip("GraphFrames is on the session")
    with pytest.raises(InputError, match="is not on this Spark session"):
        asked.find_matches(people[0])
    assert told == []
