from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glue_ml.domain.job import JobError, JobProgress, JobResult, JobSpec, TableSpec, TaskType
from glue_ml.errors import ErrorKind, InputError

TEXT = st.text(max_size=20)
TABLES = st.one_of(
    st.builds(TableSpec, database=TEXT, table=TEXT, catalog_id=st.none() | TEXT),
    st.builds(
        TableSpec,
        path=TEXT,
        format=st.none() | TEXT,
        columns=st.lists(st.tuples(TEXT, TEXT), max_size=3),
        options=st.dictionaries(TEXT, TEXT, max_size=2),
    ),
)
SPECS = st.builds(
    JobSpec,
    task_type=st.sampled_from(TaskType),
    transform_id=TEXT,
    primary_key=TEXT,
    tables=st.lists(TABLES, max_size=3),
    precision_recall_tradeoff=st.none() | st.floats(0, 1),
    labels_uri=st.none() | TEXT,
    existing_matches_uri=st.none() | TEXT,
    existing_matches_format=st.none() | TEXT,
    seed=st.integers(),
    enforce_provided_labels=st.booleans(),
)


@given(SPECS)
def test_spec_survives_its_json(spec: JobSpec) -> None:
    assert JobSpec.from_json(spec.to_json()) == spec
    assert JobSpec.from_json(spec.to_json().encode()) == spec


def test_spec_json_holds_plain_values() -> None:
    spec = JobSpec(
        TaskType.FIND_MATCHES, "tfm-1", "id", (TableSpec(path="/data", format="csv", columns=(("id", "bigint"),)),)
    )
    members = json.loads(spec.to_json())
    assert members["task_type"] == "FIND_MATCHES"
    assert members["tables"][0]["columns"] == [["id", "bigint"]]
    assert members["precision_recall_tradeoff"] is None


def test_a_tradeoff_of_zero_is_not_one_that_was_left_out() -> None:
    spec = JobSpec(TaskType.EVALUATION, "tfm-1", "id", precision_recall_tradeoff=0.0)
    kept = JobSpec.from_json(spec.to_json())
    assert kept.precision_recall_tradeoff == 0.0
    assert kept.accuracy_cost_tradeoff is None


def test_a_spec_without_existing_matches_is_read_as_before() -> None:
    spec = JobSpec.from_json('{"task_type": "FIND_MATCHES", "transform_id": "tfm-1", "primary_key": "id"}')
    assert spec.existing_matches_uri is None
    assert spec.existing_matches_format is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "must be a JSON object, not list"),
        ('{"task_type": "EVALUATION", "transform_id": "t"}', "incomplete.*primary_key"),
        ('{"task_type": "EVALUATE", "transform_id": "t", "primary_key": "id"}', "'EVALUATE' is none of.*'EVALUATION'"),
        ('{"task_type": "EVALUATION", "transform_id": "t", "primary_key": "id", "colour": 1}', "no member 'colour'"),
        (
            '{"task_type": "EVALUATION", "transform_id": "t", "primary_key": "id", "tables": [{"shape": 1}]}',
            "TableSpec has no member 'shape'",
        ),
    ],
)
def test_a_broken_spec_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        JobSpec.from_json(text)


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"database": "db"},
        {"table": "people"},
        {"database": "db", "table": "people", "path": "/data"},
    ],
)
def test_a_table_is_named_in_one_way(members: dict[str, str]) -> None:
    with pytest.raises(InputError, match="either a path, or a database and a table"):
        TableSpec.from_dict(members)


def test_values_cannot_be_changed() -> None:
    progress = JobProgress("block", 1, 4)
    with pytest.raises(FrozenInstanceError):
        progress.done = 2  # type: ignore[misc]


def test_progress_survives_its_json() -> None:
    progress = JobProgress("block ✓", 1, 4)
    assert JobProgress.from_json(progress.to_json()) == progress


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_failed_result_survives_its_json(kind: ErrorKind) -> None:
    result = JobResult(False, seconds={"total": 1.5}, error=JobError(kind, "line 3: no key"))
    kept = JobResult.from_json(result.to_json())
    assert kept == result
    assert kept.error is not None
    assert kept.error.kind is kind


def test_result_json_names_the_kind() -> None:
    result = JobResult(False, error=JobError(ErrorKind.NOT_READY, "no labels"))
    assert json.loads(result.to_json())["error"] == {"kind": "NOT_READY", "message": "no labels"}


@pytest.mark.parametrize(
    "members", [{"succeeded": True, "error": {"kind": "INPUT", "message": "m"}}, {"succeeded": False}]
)
def test_a_result_has_an_error_exactly_when_it_failed(members: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="exactly when"):
        JobResult.from_dict(members)
