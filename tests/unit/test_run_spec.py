from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from glue_ml.domain.job import JobSpec, TableSpec, TaskType
from glue_ml.domain.run_spec import (
    OUTPUT_FORMATS,
    RunSettings,
    locate_attempt,
    locate_run,
    locate_transform,
    make_script_arguments,
    make_spec,
)
from glue_ml.domain.task_run import Run, RunStatus
from glue_ml.domain.transform import Capacity, MatchParameters, Transform
from glue_ml.errors import InputError

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SETTINGS = RunSettings("s3://lake/glue-ml", "http://127.0.0.1:8420", "eu-west-1", label_file_limit_mb=7)
TRANSFORM = Transform(
    transform_id="tfm-1",
    name="people",
    role="arn:aws:iam::000000000000:role/glue",
    parameters=MatchParameters("id", 0.0, 0.9, True),
    tables=(
        {"DatabaseName": "crm", "TableName": "people"},
        {
            "DatabaseName": "crm",
            "TableName": "more",
            "CatalogId": "123456789012",
            "ConnectionName": "x",
            "AdditionalOptions": {"pushDownPredicate": "year = 2026"},
        },
    ),
    schema=(("id", "string"),),
    created_on=NOW,
    last_modified_on=NOW,
)
COMMON = JobSpec(
    task_type=TaskType.EVALUATION,
    transform_id="tfm-1",
    primary_key="id",
    tables=(
        TableSpec(database="crm", table="people"),
        TableSpec(
            database="crm", table="more", catalog_id="123456789012", options={"pushDownPredicate": "year = 2026"}
        ),
    ),
    precision_recall_tradeoff=0.0,
    accuracy_cost_tradeoff=0.9,
    enforce_provided_labels=True,
    labels_uri="s3://lake/glue-ml/transforms/tfm-1/labels",
    models_uri="s3://lake/glue-ml/transforms/tfm-1/models",
    label_file_limit_mb=7,
    catalog_endpoint="http://127.0.0.1:8420",
    region="eu-west-1",
)


def make_run(task_type: TaskType | None, properties: dict[str, Any] | None = None) -> Run:
    return Run(
        run_id="tsk-1",
        status=RunStatus.STARTING,
        started_on=NOW,
        last_modified_on=NOW,
        timeout=10,
        max_retries=0,
        capacity=Capacity(max_capacity=10.0),
        transform_id="tfm-1",
        task_type=task_type,
        properties=properties or {},
    )


def spec_of_job(**arguments: str) -> JobSpec:
    run = make_run(TaskType.FIND_MATCHES, {"arguments": {f"--{name}": value for name, value in arguments.items()}})
    return make_spec(run, TRANSFORM, settings=SETTINGS)


@pytest.mark.parametrize(
    ("task_type", "properties", "members"),
    [
        (TaskType.EVALUATION, {}, {}),
        (TaskType.LABELING_SET_GENERATION, {"output": "s3://b/sets/"}, {"output_uri": "s3://b/sets/"}),
        (TaskType.EXPORT_LABELS, {"output": "s3://b/labels"}, {"output_uri": "s3://b/labels"}),
        (
            TaskType.IMPORT_LABELS,
            {"input": "s3://b/l.csv", "replace": True},
            {"input_uri": "s3://b/l.csv", "replace_labels": True},
        ),
        (
            TaskType.FIND_MATCHES,
            {"arguments": {"--OutputPath": "s3://b/out"}},
            {"output_uri": "s3://b/out", "work_uri": "s3://lake/glue-ml/runs/tsk-1/1/work"},
        ),
    ],
)
def test_each_kind_of_run_is_told_all_that_it_needs(
    task_type: TaskType, properties: dict[str, Any], members: dict[str, Any]
) -> None:
    spec = make_spec(make_run(task_type, properties), TRANSFORM, settings=SETTINGS)
    assert spec == replace(COMMON, task_type=task_type, **members)
    assert JobSpec.from_json(spec.to_json()) == spec


def test_tradeoffs_that_were_left_out_stay_out() -> None:
    transform = replace(TRANSFORM, parameters=MatchParameters("id"))
    spec = make_spec(make_run(TaskType.EVALUATION), transform, settings=SETTINGS)
    assert (spec.precision_recall_tradeoff, spec.accuracy_cost_tradeoff) == (None, None)
    assert spec.enforce_provided_labels is False


def test_a_storage_root_may_end_with_a_slash() -> None:
    settings = RunSettings("file:///srv/glue/")
    assert locate_transform("tfm-1", settings) == "file:///srv/glue/transforms/tfm-1"
    assert locate_run(make_run(None), settings) == "file:///srv/glue/runs/tsk-1"


def test_each_attempt_has_a_directory_of_its_own_in_that_of_its_run() -> None:
    run = replace(make_run(None), log_group="s3://elsewhere/runs/tsk-1", attempt=3)
    assert locate_attempt(run, SETTINGS) == "s3://elsewhere/runs/tsk-1/3"


@pytest.mark.parametrize("output_format", OUTPUT_FORMATS)
def test_the_arguments_of_a_job_choose_format_and_scores(output_format: str) -> None:
    spec = spec_of_job(OutputPath="o", OutputFormat=output_format.upper(), ComputeMatchConfidenceScores="True")
    assert (spec.output_uri, spec.output_format) == ("o", output_format)
    assert spec.compute_match_confidence_scores is True


def test_arguments_that_are_not_ours_are_left_alone() -> None:
    assert spec_of_job(OutputPath="o", TempDir="s3://tmp", TransformId="tfm-1").output_uri == "o"


def test_a_run_is_told_where_its_links_are_explained() -> None:
    spec = spec_of_job(OutputPath="o", ExplanationPath="s3://b/why", ExplainedLinks="7")
    assert (spec.explanations_uri, spec.explained_links) == ("s3://b/why", 7)
    plain = spec_of_job(OutputPath="o")
    assert (plain.explanations_uri, plain.explained_links) == (None, 100)


def test_a_run_is_told_how_components_are_found() -> None:
    set_for_all = replace(SETTINGS, connected_components="contraction")
    run = make_run(TaskType.FIND_MATCHES, {"arguments": {"--OutputPath": "o"}})
    assert make_spec(run, TRANSFORM, settings=set_for_all).connected_components == "contraction"
    assert spec_of_job(OutputPath="o").connected_components == "auto"
    assert spec_of_job(OutputPath="o", ConnectedComponents="GraphFrames").connected_components == "graphframes"


def test_a_run_is_told_how_blocking_is_carried_out_and_where_there_is_room() -> None:
    run = make_run(TaskType.FIND_MATCHES, {"arguments": {"--OutputPath": "o"}})
    spec = make_spec(run, TRANSFORM, settings=replace(SETTINGS, blocking_plan="shipped"))
    assert (spec.blocking_plan, spec.work_uri) == ("shipped", f"{locate_attempt(run, SETTINGS)}/work")
    assert spec_of_job(OutputPath="o").blocking_plan == "auto"
    assert spec_of_job(OutputPath="o", BlockingPlan="Pieces").blocking_plan == "pieces"


def test_an_incremental_run_is_told_the_matches_that_exist() -> None:
    spec = spec_of_job(OutputPath="o", ExistingMatchesPath="s3://b/before", ExistingMatchesFormat="csv")
    assert spec.existing_matches_uri == "s3://b/before"
    assert spec.existing_matches_format == "csv"
    assert spec_of_job(OutputPath="o", ExistingMatchesPath="s3://b/before").existing_matches_format is None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "has no argument --OutputPath; give the folder"),
        ({"OutputPath": ""}, "has no argument --OutputPath"),
        ({"OutputPath": "o", "OutputFormat": "orc"}, "--OutputFormat is 'orc'; use one of parquet, csv, json, delta"),
        ({"OutputPath": "o", "ComputeMatchConfidenceScores": "1"}, "Scores is '1'; use true or false"),
        ({"OutputPath": "o", "BlockingPlan": "x"}, "--BlockingPlan is 'x'; use one of auto, shipped, pieces"),
        ({"OutputPath": "o", "ConnectedComponents": "x"}, "--ConnectedComponents is 'x'; use one of auto, driver,"),
        ({"OutputPath": "o", "ExplainedLinks": "0"}, "--ExplainedLinks is '0'; use a whole number from 1 to"),
        ({"OutputPath": "o", "ExplainedLinks": "\u0661"}, "--ExplainedLinks is .*; use a whole number from 1 to"),
        (
            {"OutputPath": "o", "ExistingMatchesPath": "p", "ExistingMatchesFormat": "xml"},
            "--ExistingMatchesFormat is 'xml'; use one of",
        ),
    ],
)
def test_a_wrong_argument_of_a_job_is_named_with_what_it_takes(arguments: dict[str, str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        spec_of_job(**arguments)


def test_a_run_of_no_task_type_has_no_spec() -> None:
    with pytest.raises(InputError, match="tsk-1 is of no task type"):
        make_spec(make_run(None), TRANSFORM, settings=SETTINGS)


def test_a_script_is_told_who_it_is_and_its_arguments_as_pairs() -> None:
    run = replace(
        make_run(None, {"script": "s3://b/s.py", "arguments": {"--input path": "a b", "--n": "1"}}),
        job_name="nightly",
        job_run_id="jr_1",
    )
    assert make_script_arguments(run) == (
        "--JOB_NAME", "nightly", "--JOB_ID", "nightly", "--JOB_RUN_ID", "jr_1", "--input path", "a b", "--n", "1",
    )  # fmt: skip
