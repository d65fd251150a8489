"""The engine through its face, on real Spark."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pyspark import SparkFiles
from pyspark.sql import DataFrame, SparkSession

from glue_ml.domain.labels import LabeledRow, labeled_pairs
from glue_ml.errors import InputError, LabelError, NotFoundError, NotReadyError
from glue_ml.matching import (
    FindMatches,
    FindMatchesModel,
    cluster_tasks,
    count_exchange,
    piece_candidates,
    pipeline,
    plan_choice,
)
from glue_ml.matching.plan_choice import BlockingPlan
from tests.people import Person, f1_score, make_people

SCHEMA = "id string, name string, street string, born string, phone string"


def to_df(spark: SparkSession, rows: Sequence[Person], *, partitions: int | None = None) -> DataFrame:
    df = spark.createDataFrame([tuple(row.values()) for row in rows], SCHEMA)
    return df if partitions is None else df.repartition(partitions)


def answer(sets: DataFrame, truth: dict[str, int]) -> list[LabeledRow]:
    return [LabeledRow(row["labeling_set_id"], str(truth[row["id"]]), row["id"]) for row in sets.collect()]


def groups_of(df: DataFrame) -> dict[str, Any]:
    return {row["id"]: row["match_id"] for row in df.select("id", "match_id").collect()}


@pytest.fixture(scope="module")
def people() -> tuple[list[Person], dict[str, int]]:
    return make_people(250, seed=1)


@pytest.fixture(scope="module")
def unsupervised(spark: SparkSession, people: tuple[list[Person], dict[str, int]]) -> FindMatchesModel:
    return FindMatches(primary_key="id").fit(to_df(spark, people[0]))


@pytest.fixture(scope="module")
def labels(
    spark: SparkSession, people: tuple[list[Person], dict[str, int]], unsupervised: FindMatchesModel
) -> list[LabeledRow]:
    return answer(unsupervised.labeling_sets(to_df(spark, people[0])), people[1])


@pytest.fixture(scope="module")
def supervised(
    spark: SparkSession, people: tuple[list[Person], dict[str, int]], labels: list[LabeledRow]
) -> FindMatchesModel:
    return FindMatches(primary_key="id").fit(to_df(spark, people[0]), labels)


def test_duplicates_are_found_without_labels(
    spark: SparkSession, people: tuple[list[Person], dict[str, int]], unsupervised: FindMatchesModel
) -> None:
    assert not unsupervised.supervised_
    assert unsupervised.label_count_ == 0
    assert f1_score(groups_of(unsupervised.transform(to_df(spark, people[0]))), people[1]) >= 0.95


def test_duplicates_are_found_with_labels_and_counted(
    spark: SparkSession, people: tuple[list[Person], dict[str, int]], supervised: FindMatchesModel
) -> None:
    df = to_df(spark, people[0])
    result = supervised.find_matches(df, scores=True)
    rows = result.matches.collect()
    groups = {row["id"]: row["match_id"] for row in rows}
    assert f1_score(groups, people[1]) >= 0.97
    assert result.matches.columns == [*df.columns, "match_id", "match_confidence_score"]
    assert dict(result.matches.dtypes)["match_id"] == "bigint"
    assert len(rows) == len(people[0]) == result.counts["rows"]
    assert result.counts["groups"] == len(set(groups.values()))
    sizes = [list(groups.values()).count(g) for g in set(groups.values())]
    assert result.counts["merged_rows"] == sum(s for s in sizes if s > 1)
    assert result.counts["matched_pairs"] == sum(s * (s - 1) // 2 for s in sizes)
    assert result.counts["largest_group"] == max(sizes)
    assert result.plan["name"] == "driver"
    by_group: dict[int, set[float]] = {}
    for row in rows:
        by_group.setdefault(row["match_id"], set()).add(row["match_confidence_score"])
    assert all(len(scores) == 1 and 0 <= max(scores) <= 1 for scores in by_group.values())
    alone = [max(by_group[g]) for g in by_group if list(groups.values()).count(g) == 1]
    assert set(alone) == {1.0}


def test_the_input_comes_back_as_it_was(
    spark: SparkSession, people: tuple[list[Person], dict[str, int]], supervised: FindMatchesModel
) -> None:
    df = to_df(spark, people[0])
    back = supervised.transform(df).drop("match_id")
    assert back.schema == df.schema
    assert sorted(map(tuple, back.collect()), key=str) == sorted(map(tuple, df.collect()), key=str)


@pytest.fixture(scope="module")
def expected(
    spark: SparkSession, people: tuple[list[Person], dict[str, int]], supervised: FindMatchesModel
) -> tuple[list[Any], list[Any]]:
    df = to_df(spark, people[0])
    matches = sorted(map(tuple, supervised.transform(df, scores=True).collect()), key=str)
    return matches, supervised.labeling_sets(df).collect()


def spread(monkeypatch: pytest.MonkeyPatch, partitions: int, *, driver_rows: int) -> None:
    """Let every step be done in so many tasks, where it is not the driver's."""
    monkeypatch.setattr(pipeline, "DRIVER_ROWS", driver_rows)
    monkeypatch.setattr(pipeline, "LEAST_ROWS_PER_TASK", 1)
    monkeypatch.setattr(cluster_tasks, "SCORED_PAIRS", 5)
    for module in (pipeline, cluster_tasks, plan_choice, count_exchange, piece_candidates):
        monkeypatch.setattr(module, "parallelism", lambda _: partitions)


def list_shipped() -> set[Path]:
    return set(Path(SparkFiles.getRootDirectory()).glob("glue-ml-*"))


@pytest.mark.parametrize(("partitions", "driver_rows"), [(1, 10_000), (16, 10_000), (2, 0), (8, 0)])
def test_the_output_depends_neither_on_the_partitions_nor_on_the_plan(
    spark: SparkSession,
    monkeypatch: pytest.MonkeyPatch,
    people: tuple[list[Person], dict[str, int]],
    labels: list[LabeledRow],
    supervised: FindMatchesModel,
    expected: tuple[list[Any], list[Any]],
    partitions: int,
    driver_rows: int,
) -> None:
    spread(monkeypatch, partitions, driver_rows=driver_rows)
    df, before = to_df(spark, people[0], partitions=partitions), list_shipped()
    model = FindMatches(primary_key="id").fit(df, labels)
    assert model.evaluate() == supervised.evaluate()
    assert sorted(map(tuple, model.transform(df, scores=True).collect()), key=str) == expected[0]
    assert model.labeling_sets(df).collect() == expected[1]
    # what is left are the ids, which whoever has the output may still ask for: a hash, an id and a confidence for a row
    assert sum(file.stat().st_size for file in list_shipped() - before) <= 24 * len(people[0]) + 1_000


@pytest.mark.parametrize("plan", ["driver", "shipped", "pieces"])
@pytest.mark.parametrize("partitions", [2, 8, 64])
def test_a_run_on_many_partitions_gives_the_same_output_by_any_plan(
    spark: SparkSession,
    monkeypatch: pytest.MonkeyPatch,
    people: tuple[list[Person], dict[str, int]],
    supervised: FindMatchesModel,
    expected: tuple[list[Any], list[Any]],
    partitions: int,
    plan: str,
) -> None:
    spread(monkeypatch, partitions, driver_rows=10_000 if plan == "driver" else 0)
    before = spark.conf.get("spark.sql.shuffle.partitions")
    spark.conf.set("spark.sql.shuffle.partitions", str(partitions))
    try:
        components = "contraction" if plan != "driver" and partitions == 8 else "auto"
        model = FindMatchesModel(supervised.model_, connected_components=components)
        model.blocking_plan = BlockingPlan.PIECES if plan == "pieces" else BlockingPlan.AUTO
        found = model.find_matches(to_df(spark, people[0], partitions=partitions), scores=True)
        assert found.plan["name"] == plan
        assert sorted(map(tuple, found.matches.collect()), key=str) == expected[0]
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", str(before))


def test_labelling_sets_are_small_unlabelled_and_never_repeat_a_row(
    people: tuple[list[Person], dict[str, int]], labels: list[LabeledRow], expected: tuple[list[Any], list[Any]]
) -> None:
    rows = expected[1]
    assert list(rows[0].asDict()) == ["labeling_set_id", "label", *people[0][0]]
    assert 80 <= len(rows) <= 100
    assert {row["label"] for row in rows} == {None}
    ids = [row["id"] for row in rows]
    assert len(set(ids)) == len(ids)
    assert not set(ids) & {label.key for label in labels}
    sizes = [sum(r["labeling_set_id"] == s for r in rows) for s in {r["labeling_set_id"] for r in rows}]
    assert len(sizes) == 10
    assert max(sizes) <= 30
    order = [row["labeling_set_id"] for row in rows]
    assert order == sorted(order)


def test_the_first_rows_to_label_hold_matches_even_where_duplicates_are_rare(spark: SparkSession) -> None:
    rows, truth = make_people(700, seed=6)
    seen: set[int] = set()
    repeated: set[int] = set()
    rare: list[Person] = []
    for row in rows:
        entity = truth[str(row["id"])]
        if entity not in seen or (entity not in repeated and len(repeated) < 10):
            repeated |= {entity} & seen
            seen.add(entity)
            rare.append(row)
    df = to_df(spark, rare)
    labels = answer(FindMatches(primary_key="id").fit(df).labeling_sets(df), truth)
    judged = [pair.is_match for pair in labeled_pairs(labels)]
    assert len(repeated) == 10
    assert sum(judged) >= 5
    assert judged.count(False) >= 50


def test_the_evaluation_estimates_the_whole_table_and_counts_the_labelled_pairs(supervised: FindMatchesModel) -> None:
    evaluation = supervised.evaluate()
    matches = evaluation.true_positives + evaluation.false_negatives
    for value, interval in (
        (evaluation.precision, evaluation.precision_interval),
        (evaluation.recall, evaluation.recall_interval),
        (evaluation.f1, evaluation.f1_interval),
    ):
        assert interval is not None
        assert 0.0 <= interval[0] <= value <= interval[1] <= 1.0
    total = matches + evaluation.false_positives + evaluation.true_negatives
    assert total == evaluation.labeled_pairs
    both = evaluation.precision + evaluation.recall
    assert evaluation.f1 >= 2 * evaluation.precision * evaluation.recall / both - 1e-9
    assert {name for name, _ in evaluation.column_importances} == {"name", "street", "born", "phone"}
    shares = [share for _, share in evaluation.column_importances]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1.0) or sum(shares) == 0.0
    assert evaluation.candidate_recall == 1.0


def test_an_unsupervised_model_has_nothing_to_evaluate(unsupervised: FindMatchesModel) -> None:
    with pytest.raises(NotReadyError, match="without labels"):
        unsupervised.evaluate()


def test_a_saved_model_scores_the_same_in_a_fresh_process(
    spark: SparkSession,
    people: tuple[list[Person], dict[str, int]],
    supervised: FindMatchesModel,
    tmp_path: Path,
) -> None:
    supervised.save(str(tmp_path / "model"))
    files = sorted(path.name for path in (tmp_path / "model").iterdir())
    assert files == [
        "context_forest.parquet", "held_out.parquet", "labels.parquet", "model.json", "plain_forest.parquet",
        "second_forest.parquet",
    ]  # fmt: skip
    df = to_df(spark, people[0])
    here = groups_of(supervised.transform(df))
    loaded = FindMatchesModel.load(str(tmp_path / "model"))
    assert loaded.expected_gain_ == supervised.expected_gain_ is not None
    assert groups_of(loaded.transform(df)) == here
    assert loaded.evaluate() == supervised.evaluate()
    assert loaded.threshold_ == supervised.threshold_ == supervised.evaluate().threshold < 0.5
    (tmp_path / "people.json").write_text(json.dumps(people[0]))
    script = (  # the partitions and cores differ as well
        "import json, sys\n"
        "from pathlib import Path\n"
        "from glue_ml.session import open_session\n"
        "from glue_ml.matching import FindMatchesModel\n"
        "spark = open_session('fresh', master='local[1]')\n"
        "rows = [tuple(r.values()) for r in json.loads(Path('people.json').read_text())]\n"
        f"df = spark.createDataFrame(rows, '{SCHEMA}').repartition(5)\n"
        "out = FindMatchesModel.load('model').transform(df).select('id', 'match_id').collect()\n"
        "Path('out.json').write_text(json.dumps({r[0]: r[1] for r in out}))\n"
    )
    root = str(Path(__file__).parents[2])
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, env=_environment(root))
    assert json.loads((tmp_path / "out.json").read_text()) == here


def _environment(root: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": root, "PYSPARK_PYTHON": sys.executable}


def test_a_missing_and_a_damaged_model_are_told_apart(supervised: FindMatchesModel, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no model"):
        FindMatchesModel.load(str(tmp_path / "nowhere"))
    supervised.save(str(tmp_path / "model"))
    (tmp_path / "model" / "context_forest.parquet").write_bytes(b"not parquet")
    with pytest.raises(InputError, match="damaged"):
        FindMatchesModel.load(str(tmp_path / "model"))


def test_precision_and_recall_are_traded_by_the_threshold(
    spark: SparkSession, people: tuple[list[Person], dict[str, int]], labels: list[LabeledRow]
) -> None:
    df = to_df(spark, people[0])
    pairs = []
    for tradeoff in (0.0, 0.5, 1.0):
        model = FindMatches(primary_key="id", precision_recall_tradeoff=tradeoff).fit(df, labels)
        pairs.append(model.find_matches(df).counts["matched_pairs"])
    assert pairs[0] >= pairs[1] >= pairs[2]
    assert pairs[0] > pairs[2]


def test_labels_that_did_not_come_through_labelling_sets_leave_the_threshold_where_it_is(
    spark: SparkSession, people: tuple[list[Person], dict[str, int]], labels: list[LabeledRow]
) -> None:
    # the names of the sets tell which pairs were drawn at random; without any nobody knows how labels and table differ
    own = [LabeledRow(f"mine {row.labeling_set_id.partition('-')[0]}", row.label, row.key) for row in labels]
    model = FindMatches(primary_key="id").fit(to_df(spark, people[0]), own)
    assert model.threshold_ == model.evaluate().threshold == 0.5


def test_labels_can_be_enforced(
    spark: SparkSession, people: tuple[list[Person], dict[str, int]], labels: list[LabeledRow]
) -> None:
    rows, truth = people
    by_entity: dict[int, list[str]] = {}
    for key, entity in truth.items():
        by_entity.setdefault(entity, []).append(key)
    twins = next(sorted(keys) for keys in by_entity.values() if len(keys) == 2)
    strangers = [next(sorted(keys)[0] for keys in by_entity.values() if len(keys) == 1), twins[0]]
    stubborn = [
        *labels,
        LabeledRow("apart", "A", twins[0]), LabeledRow("apart", "B", twins[1]),
        LabeledRow("together", "A", strangers[0]), LabeledRow("together", "A", strangers[1]),
    ]  # fmt: skip
    df = to_df(spark, rows)
    found = groups_of(FindMatches(primary_key="id", enforce_provided_labels=True).fit(df, stubborn).transform(df))
    assert found[twins[0]] != found[twins[1]]
    assert found[strangers[0]] == found[strangers[1]]


def test_labels_may_be_a_dataframe(
    spark: SparkSession,
    people: tuple[list[Person], dict[str, int]],
    labels: list[LabeledRow],
    supervised: FindMatchesModel,
) -> None:
    table = spark.createDataFrame(
        [(row.labeling_set_id, row.label, row.key) for row in labels], "labeling_set_id string, label string, id string"
    )
    model = FindMatches(primary_key="id").fit(to_df(spark, people[0]), table)
    assert model.evaluate() == FindMatches(primary_key="id").fit(to_df(spark, people[0]), table).evaluate()
    assert model.label_count_ == supervised.label_count_
    with pytest.raises(LabelError, match="no column 'label'"):
        FindMatches(primary_key="id").fit(to_df(spark, people[0]), table.drop("label"))


def test_labels_of_another_table_and_labels_of_one_class_are_refused(
    spark: SparkSession, people: tuple[list[Person], dict[str, int]]
) -> None:
    df = to_df(spark, people[0])
    first, second = people[0][0]["id"], people[0][1]["id"]
    assert first is not None
    assert second is not None
    with pytest.raises(LabelError, match="'nobody'"):
        FindMatches(primary_key="id").fit(df, [LabeledRow("s", "A", first), LabeledRow("s", "A", "nobody")])
    with pytest.raises(NotReadyError, match="only matches"):
        FindMatches(primary_key="id").fit(df, [LabeledRow("s", "A", first), LabeledRow("s", "A", second)])
    with pytest.raises(NotReadyError, match="no pair at all"):
        FindMatches(primary_key="id").fit(df, [LabeledRow("s", "A", first)])


def test_labels_that_always_cross_a_column_make_it_the_source(spark: SparkSession) -> None:
    rows, truth = make_people(200, seed=4)
    seen: set[int] = set()
    sources = []
    for row in rows:
        entity = truth[str(row["id"])]
        sources.append("a" if entity not in seen else "b")
        seen.add(entity)
    data = [(*row.values(), source) for row, source in zip(rows, sources, strict=True)]
    two_at_most = [row for row in data if sum(truth[str(r[0])] == truth[str(row[0])] for r in data) <= 2]
    df = spark.createDataFrame(two_at_most, SCHEMA + ", source string")
    labels = answer(FindMatches(primary_key="id").fit(df).labeling_sets(df), truth)
    model = FindMatches(primary_key="id").fit(df, labels)
    assert model.model_.source_column == "source"
    groups: dict[int, list[str]] = {}
    for match_id, source in model.transform(df).select("match_id", "source").collect():
        groups.setdefault(match_id, []).append(source)
    pairs = [members for members in groups.values() if len(members) == 2]
    assert len(pairs) > 30
    assert all(sorted(members) == ["a", "b"] for members in pairs)


def test_progress_tells_every_stage_in_order(
    spark: SparkSession, people: tuple[list[Person], dict[str, int]], labels: list[LabeledRow]
) -> None:
    told: list[tuple[str, int, int]] = []
    df = to_df(spark, people[0][:60])
    model = FindMatches(primary_key="id", progress=lambda *stage: told.append(stage)).fit(df)
    model.transform(df)
    assert [stage for stage, done, total in told if done == total] == ["learn", "attach match ids"]
    assert told[0] == ("read the table", 0, 4)


def test_the_session_of_the_caller_is_left_as_it_was(
    spark: SparkSession, people: tuple[list[Person], dict[str, int]]
) -> None:
    before = {row[0]: row[1] for row in spark.sql("SET").collect()}
    df = to_df(spark, people[0][:60])
    FindMatches(primary_key="id").fit(df).transform(df).count()
    assert {row[0]: row[1] for row in spark.sql("SET").collect()} == before
    assert spark.range(3).count() == 3


@pytest.mark.parametrize(
    ("setting", "value"),
    [("precision_recall_tradeoff", 1.5), ("precision_recall_tradeoff", float("nan")), ("accuracy_cost_tradeoff", -0.1)],
)
def test_settings_out_of_range_are_refused(spark: SparkSession, setting: str, value: float) -> None:
    df = to_df(spark, make_people(5)[0])
    with pytest.raises(InputError, match=f"{setting} is"):
        FindMatches(primary_key="id", **{setting: value}).fit(df)  # type: ignore[arg-type]
