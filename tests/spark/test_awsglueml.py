"""`awsglueml.transforms` on real frames, a taught transform, and a server that answers for it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from glue_ml.awsglueml.control_plane import read_answer
from glue_ml.awsglueml.transforms import FindIncrementalMatches, FindMatches
from glue_ml.domain.job import JobSpec, TableSpec, TaskType
from glue_ml.domain.labels import LabeledRow
from glue_ml.errors import InputError, NotFoundError, NotReadyError, UnavailableError
from glue_ml.job_runner import run_job
from glue_ml.matching.label_table import import_labels
from glue_ml.tasks.find_matches import find_matches
from tests.glue_server import describe_transform, serve_transforms
from tests.people import Person, f1_score, make_people

COLUMNS = dict.fromkeys(["id", "name", "street", "born", "phone"], "string")
READY, BLANK = "tfm-ready", "tfm-blank"


class LikeDynamicFrame:
    """What a script sees of a DynamicFrame: made from a DataFrame, a context and a name, and turned back into one."""

    def __init__(self, df: DataFrame, glue_ctx: object, name: str) -> None:
        self._df, self.glue_ctx, self.name = df, glue_ctx, name

    @classmethod
    def fromDF(cls, dataframe: DataFrame, glue_ctx: object, name: str) -> Self:
        return cls(dataframe, glue_ctx, name)

    def toDF(self) -> DataFrame:
        return self._df


@dataclass(frozen=True)
class Taught:
    """People, who they really are, and the folder of the transform that was taught with some of them."""

    rows: list[Person]
    truth: dict[str, int]
    folder: Path

    def models(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "models").iterdir())


def to_df(spark: SparkSession, rows: list[Person]) -> DataFrame:
    return spark.createDataFrame(
        pd.DataFrame(rows, columns=list(COLUMNS), dtype=object),
        "id string, name string, street string, born string, phone string",
    )


def ids_of(df: DataFrame) -> dict[str, Any]:
    rows = df.select("id", "match_id").collect()
    assert len(rows) == len({row["id"] for row in rows})
    return {row["id"]: row["match_id"] for row in rows}


def make_labels(truth: Mapping[str, int]) -> list[LabeledRow]:
    """Of each of some people two rows, with a row of somebody else."""
    keys: dict[int, list[str]] = {}
    for key, entity in truth.items():
        keys.setdefault(entity, []).append(key)
    known = [members for members in keys.values() if len(members) > 1][:25]
    return [
        LabeledRow(f"s{i}", label, key)
        for i, members in enumerate(known)
        for label, key in (("A", members[0]), ("A", members[1]), ("B", known[i - 1][0]))
    ]


@pytest.fixture(scope="module")
def taught(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Taught]:
    root = tmp_path_factory.mktemp("storage")
    rows, truth = make_people(110, seed=3)
    folder = root / "transforms" / READY
    import_labels(spark, str(folder / "labels"), make_labels(truth), replace=True, now=datetime(2026, 1, 1, tzinfo=UTC))
    known = {
        READY: describe_transform(READY, COLUMNS, key="id"),
        BLANK: describe_transform(BLANK, COLUMNS, key="id", Status="NOT_READY"),
    }
    with serve_transforms(known) as endpoint, pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ENDPOINT_URL_GLUE", endpoint)
        patch.setenv("GLUE_ML_STORAGE_URI", root.as_uri() + "/")
        patch.setenv("GLUE_ML_ACCESS_KEY_ID", "local")
        patch.setenv("GLUE_ML_SECRET_ACCESS_KEY", "local")
        yield Taught(rows, truth, folder)


def test_a_frame_gets_match_ids_scores_and_what_is_enforced(spark: SparkSession, taught: Taught) -> None:
    df = (
        to_df(spark, taught.rows).withColumnRenamed("name", "Name").withColumn("extra", F.struct(F.lit(1).alias("a.b")))
    )
    alone = [key for key, entity in taught.truth.items() if list(taught.truth.values()).count(entity) == 1][:2]
    pairs = spark.createDataFrame(pd.DataFrame([alone], columns=["one", "other"]))
    matches = FindMatches.apply(
        frame=df, transformId=READY, transformation_ctx="ctx", stageThreshold=3, enforcedMatches=pairs,
        computeMatchConfidenceScores=1,
    )  # fmt: skip
    assert matches.columns == [*df.columns, "match_id", "match_confidence_score"]
    assert dict(matches.dtypes)["match_id"] == "bigint"
    ids = ids_of(matches)
    assert ids.keys() == taught.truth.keys()
    assert ids[alone[0]] == ids[alone[1]]
    assert f1_score(ids, taught.truth) >= 0.9
    scores = matches.groupBy("match_id").agg(F.count_distinct("match_confidence_score").alias("scores"))
    assert scores.where("scores > 1").isEmpty()


def test_new_rows_join_matched_ones_in_a_frame_of_the_same_class(spark: SparkSession, taught: Taught) -> None:
    half = len(taught.rows) // 2
    context = object()
    first = LikeDynamicFrame(to_df(spark, taught.rows[:half]), context, "people")
    matched = FindMatches()(first, READY)
    assert (type(matched), matched.glue_ctx, matched.name) == (LikeDynamicFrame, context, "people")
    before = ids_of(matched.toDF())
    existing = matched.toDF().withColumn("match_id", F.col("match_id") + 10**11)
    new = LikeDynamicFrame(to_df(spark, taught.rows[half:]), context, "new")
    both = FindIncrementalMatches.apply(LikeDynamicFrame(existing, context, "people"), new, READY)
    assert (type(both), both.glue_ctx, both.name) == (LikeDynamicFrame, context, "people")
    assert both.toDF().columns == [*COLUMNS, "match_id"]
    after = ids_of(both.toDF())
    assert after.keys() == taught.truth.keys()
    assert {key: after[key] for key in before} == {key: value + 10**11 for key, value in before.items()}
    assert f1_score(after, taught.truth) >= 0.85
    assert len(taught.models()) == 1


def test_a_new_frame_without_columns_has_no_rows(spark: SparkSession, taught: Taught) -> None:
    existing = to_df(spark, taught.rows[:40]).withColumn("match_id", F.xxhash64("id"))
    both = FindIncrementalMatches.apply(existing, spark.range(0).select(), transformId=READY)
    assert sorted(both.collect()) == sorted(existing.collect())


def test_the_job_matches_new_rows_with_the_model_that_scripts_use(
    spark: SparkSession, taught: Taught, tmp_path: Path
) -> None:
    FindMatches.apply(to_df(spark, taught.rows[:50]), READY)
    existing = to_df(spark, taught.rows[:50]).withColumn("match_id", F.xxhash64("phone"))
    existing.write.option("header", "true").csv(str(tmp_path / "existing"))
    to_df(spark, taught.rows[50:]).write.parquet(str(tmp_path / "new"))
    spec = JobSpec(
        TaskType.FIND_MATCHES,
        READY,
        "id",
        (TableSpec(path=str(tmp_path / "new")),),
        precision_recall_tradeoff=0.5,
        labels_uri=str(taught.folder / "labels"),
        models_uri=str(taught.folder / "models"),
        output_uri=str(tmp_path / "output"),
        existing_matches_uri=str(tmp_path / "existing"),
        compute_match_confidence_scores=True,
    )
    (tmp_path / "spec.json").write_text(spec.to_json())
    code = run_job(lambda: find_matches, task_type=TaskType.FIND_MATCHES, arguments=["--run-directory", str(tmp_path)])
    result = json.loads((tmp_path / "result.json").read_bytes())
    assert code == 0, result
    output = spark.read.parquet(str(tmp_path / "output"))
    assert output.columns == [*COLUMNS, "match_id", "match_confidence_score"]
    ids, before = ids_of(output), ids_of(existing)
    assert ids.keys() == taught.truth.keys()
    assert {key: ids[key] for key in before} == before
    assert result["counts"]["rows"] == len(ids)
    assert result["counts"]["groups"] == len(set(ids.values()))
    assert len(taught.models()) == 1


def test_what_cannot_be_matched_is_told(spark: SparkSession, taught: Taught) -> None:
    df = to_df(spark, taught.rows)
    lacking = df.drop("born", "phone")
    told: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (NotReadyError, f"{BLANK} is NOT_READY.*StartImportLabelsTaskRun", {"frame": df, "transformId": BLANK}),
        (NotFoundError, "no transform tfm-none.*AWS_ENDPOINT_URL_GLUE", {"frame": df, "transformId": "tfm-none"}),
        (InputError, "frame lacks columns of the transform: 'born', 'phone'", {"frame": lacking, "transformId": READY}),
        (InputError, "'match_id'.*drop", {"frame": df.withColumn("match_id", F.lit(1)), "transformId": READY}),
        (InputError, "frame is a list; it must be", {"frame": [1], "transformId": READY}),
        (InputError, "enforcedMatches is a str", {"frame": df, "transformId": READY, "enforcedMatches": "x"}),
        (InputError, "enforced matches has the columns", {"frame": df, "transformId": READY, "enforcedMatches": df}),
    ]
    for kind, said, arguments in told:
        with pytest.raises(kind, match=said):
            FindMatches.apply(**arguments)
    with pytest.raises(InputError, match="existing rows have no column"):
        FindIncrementalMatches.apply(df, df, READY)


def test_where_labels_lie_must_be_set(spark: SparkSession, taught: Taught, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLUE_ML_STORAGE_URI")
    with pytest.raises(InputError, match=r"GLUE_ML_STORAGE_URI is not set.*set it to"):
        FindMatches.apply(to_df(spark, taught.rows[:2]), READY)


def test_a_server_that_is_gone_is_told(spark: SparkSession, taught: Taught, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_GLUE", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(UnavailableError, match=f"{READY} cannot be looked up: .*127.0.0.1:9"):
        FindMatches.apply(to_df(spark, taught.rows[:2]), READY)


def test_tradeoffs_of_zero_and_left_out_ones_are_as_the_server_says() -> None:
    answer = describe_transform("tfm-1", {"id": "int"}, key="id")
    answer["Parameters"]["FindMatchesParameters"]["PrecisionRecallTradeoff"] = 0.0
    spec = read_answer(answer, storage_uri="s3://bucket/glue-ml/").spec
    assert spec.precision_recall_tradeoff == 0.0
    assert spec.accuracy_cost_tradeoff is None
    assert spec.labels_uri == "s3://bucket/glue-ml/transforms/tfm-1/labels"
    assert spec.models_uri == "s3://bucket/glue-ml/transforms/tfm-1/models"


def test_transforms_tell_their_names() -> None:
    assert (FindMatches.name(), FindIncrementalMatches.name()) == ("FindMatches", "FindIncrementalMatches")
