"""Transforms: what is checked when they are made and changed, and how they are listed and removed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from glue_ml.domain.task_run import RunStatus
from glue_ml.domain.transform import TransformStatus
from glue_ml.errors import (
    AlreadyExistsError,
    EntityNotFoundError,
    IdempotentParameterMismatchError,
    InvalidInputError,
    ResourceNumberLimitExceededError,
)
from glue_ml.operations import task_runs
from glue_ml.operations.context import Context, Limits, Members
from glue_ml.operations.tags import get_tags
from glue_ml.operations.transforms import (
    create_ml_transform,
    delete_ml_transform,
    get_ml_transform,
    get_ml_transforms,
    list_ml_transforms,
    update_ml_transform,
)
from glue_ml.store import runs
from glue_ml.store import transforms as store
from tests.operations.conftest import NOW, MakeContext

ROLE = "arn:aws:iam::000000000000:role/glue"


def ask(name: str = "people", **members: Any) -> dict[str, Any]:
    """A request to create a transform of the table db.people."""
    return {
        "Name": name,
        "Role": ROLE,
        "InputRecordTables": [{"DatabaseName": "db", "TableName": "people"}],
        "Parameters": {"TransformType": "FIND_MATCHES", "FindMatchesParameters": {"PrimaryKeyColumnName": "id"}},
        **members,
    }


def create(context: Context, name: str = "people", **members: Any) -> str:
    return str(create_ml_transform(context, ask(name, **members))["TransformId"])


def get(context: Context, transform_id: str) -> Members:
    return get_ml_transform(context, {"TransformId": transform_id})


@pytest.fixture(autouse=True)
def _people(make_table: Callable[..., Members]) -> None:
    make_table()


def test_a_new_transform_has_the_documented_defaults(context: Context) -> None:
    transform_id = create(context)
    assert get(context, transform_id) == {
        "TransformId": transform_id,
        "Name": "people",
        "Description": "",
        "Status": "NOT_READY",
        "CreatedOn": NOW,
        "LastModifiedOn": NOW,
        "InputRecordTables": [{"DatabaseName": "db", "TableName": "people"}],
        "Parameters": {"TransformType": "FIND_MATCHES", "FindMatchesParameters": {"PrimaryKeyColumnName": "id"}},
        "LabelCount": 0,
        "Schema": [
            {"Name": "id", "DataType": "string"},
            {"Name": "name", "DataType": "string"},
            {"Name": "born", "DataType": "date"},
        ],
        "Role": ROLE,
        "GlueVersion": "0.9",
        "MaxCapacity": 10.0,
        "Timeout": 2880,
        "MaxRetries": 0,
    }
    assert transform_id.startswith("tfm-")
    assert len(transform_id) == 44


def test_a_tradeoff_of_zero_is_kept_and_one_left_out_stays_out(context: Context) -> None:
    given = {"PrimaryKeyColumnName": "id", "PrecisionRecallTradeoff": 0.0, "EnforceProvidedLabels": False}
    parameters = {"TransformType": "FIND_MATCHES", "FindMatchesParameters": given}
    assert get(context, create(context, Parameters=parameters))["Parameters"] == parameters


def test_encryption_and_tags_are_kept(context: Context) -> None:
    encryption = {"MlUserDataEncryption": {"MlUserDataEncryptionMode": "SSE-KMS", "KmsKeyId": "k"}}
    transform_id = create(context, TransformEncryption=encryption, Tags={"team": "crm"})
    assert get(context, transform_id)["TransformEncryption"] == encryption
    arn = f"arn:aws:glue:us-east-1:000000000000:mlTransform/{transform_id}"
    assert get_tags(context, {"ResourceArn": arn}) == {"Tags": {"team": "crm"}}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"MaxCapacity": 2.5}, {"MaxCapacity": 2.5}),
        ({"WorkerType": "Standard", "NumberOfWorkers": 3}, {"WorkerType": "Standard", "NumberOfWorkers": 3}),
        (
            {"WorkerType": "G.1X", "NumberOfWorkers": 5},
            {"WorkerType": "G.1X", "NumberOfWorkers": 5, "MaxCapacity": 5.0},
        ),
        (
            {"WorkerType": "G.2X", "NumberOfWorkers": 5},
            {"WorkerType": "G.2X", "NumberOfWorkers": 5, "MaxCapacity": 10.0},
        ),
    ],
)
def test_max_capacity_follows_from_every_worker_type_but_standard(
    context: Context, asked: Members, told: Members
) -> None:
    answer = get(context, create(context, **asked))
    assert {n: answer[n] for n in ("MaxCapacity", "WorkerType", "NumberOfWorkers") if n in answer} == told


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            {"MaxCapacity": 10.0, "WorkerType": "G.1X", "NumberOfWorkers": 1},
            "Cannot set Max Capacity and Worker Num/Type",
        ),
        ({"MaxCapacity": 10.0, "NumberOfWorkers": 1}, "Cannot set Max Capacity and Worker Num/Type"),
        ({"WorkerType": "G.1X"}, "Both WorkerType and NumberOfWorkers should be set"),
        ({"NumberOfWorkers": 1}, "Both WorkerType and NumberOfWorkers should be set"),
        ({"MaxCapacity": 0.0}, "MaxCapacity should be >= 2"),
        ({"MaxCapacity": float("nan")}, "MaxCapacity should be >= 2"),
        ({"MaxCapacity": 100.5}, "MaxCapacity should be <= 100"),
        ({"WorkerType": "G.1X", "NumberOfWorkers": 0}, "NumberOfWorkers should be >= 1"),
        ({"MaxRetries": -1}, "Max retries should be non-negative."),
        ({"Name": " \t"}, "Transform name cannot be blank."),
        ({"InputRecordTables": []}, "An AWS Glue Table input source should be specified in transform."),
        (
            {"InputRecordTables": [{"DatabaseName": "db", "TableName": "none"}]},
            "Problem fetching the data catalog schema: Table none not found in database db.",
        ),
        ({"Parameters": {"TransformType": "FIND_MATCHES"}}, "Find Matches parameters have not been set."),
        (
            {"Parameters": {"TransformType": "FIND_MATCHES", "FindMatchesParameters": {}}},
            "A primary key must be specified in Find Matches parameters.",
        ),
        (
            {"Parameters": {"TransformType": "FIND_MATCHES", "FindMatchesParameters": {"PrimaryKeyColumnName": "x"}}},
            r"Schema should contain given primary key: \[x\].",
        ),
    ],
)
def test_what_contradicts_the_rules_is_refused_and_leaves_nothing(context: Context, asked: Members, told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        create_ml_transform(context, {**ask(), **asked})
    assert get_ml_transforms(context, {})["Transforms"] == []


def test_the_schema_is_the_union_of_the_tables_in_order_and_a_key_that_repeats_a_column_is_told_once(
    context: Context, make_table: Callable[..., Members]
) -> None:
    make_table("more", {"id": "string", "phone": "string"}, keys={"phone": "string", "day": "date"})
    tables = [{"DatabaseName": "db", "TableName": "people"}, {"DatabaseName": "db", "TableName": "more"}]
    schema = get(context, create(context, InputRecordTables=tables))["Schema"]
    assert [column["Name"] for column in schema] == ["id", "name", "born", "phone", "day"]


@pytest.mark.parametrize(("columns", "fits"), [(100, True), (101, False)])
def test_a_transform_takes_a_hundred_columns(
    context: Context, make_table: Callable[..., Members], columns: int, fits: bool
) -> None:
    make_table("wide", {"id": "string", **{f"c{i}": "int" for i in range(columns - 1)}})
    asked: dict[str, Any] = {"InputRecordTables": [{"DatabaseName": "db", "TableName": "wide"}]}
    if fits:
        assert len(get(context, create(context, **asked))["Schema"]) == columns
        return
    with pytest.raises(InvalidInputError, match="101 columns"):
        create(context, **asked)


def test_a_column_of_no_hive_type_is_refused(context: Context, make_table: Callable[..., Members]) -> None:
    make_table("odd", {"id": "string", "x": "blob"})
    with pytest.raises(InvalidInputError, match=r"\[x\] has an invalid data type defined in the catalog: blob"):
        create(context, InputRecordTables=[{"DatabaseName": "db", "TableName": "odd"}])


def test_a_name_in_use_is_refused_until_its_transform_is_deleted(context: Context) -> None:
    first = create(context)
    with pytest.raises(AlreadyExistsError, match=r"Transform with name \[people\] already exists."):
        create(context)
    delete_ml_transform(context, {"TransformId": first})
    assert create(context) != first


def test_a_request_that_is_sent_again_gets_the_same_transform(context: Context) -> None:
    sent = replace(context, invocation_id="5b2a")
    assert create(sent, MaxCapacity=10.0) == create(sent, MaxCapacity=10.0)
    with pytest.raises(IdempotentParameterMismatchError, match="had mismatching parameters"):
        create(sent, MaxCapacity=20.0)


def test_an_account_has_so_many_transforms(make_context: MakeContext) -> None:
    context = make_context(limits=Limits(transforms=2))
    first = create(context, "a")
    create(context, "b")
    with pytest.raises(ResourceNumberLimitExceededError, match="exceeded the limit of 2 transforms"):
        create(context, "c")
    delete_ml_transform(context, {"TransformId": first})
    create(context, "c")


def test_an_update_changes_what_it_names_and_nothing_else(context: Context) -> None:
    transform_id = create(context, Description="old", MaxRetries=3)
    later = replace(context, now=NOW + timedelta(minutes=1))
    before = get(context, transform_id)
    update_ml_transform(later, {"TransformId": transform_id, "Description": "new", "GlueVersion": "1.0"})
    after = get(context, transform_id)
    changed = {"Description": "new", "GlueVersion": "1.0", "LastModifiedOn": later.now}
    assert after == {**before, **changed}


def test_an_update_to_the_name_of_another_is_refused(context: Context) -> None:
    create(context, "a")
    second = create(context, "b")
    with pytest.raises(InvalidInputError, match=r"Another transform with name \[a\] already exists."):
        update_ml_transform(context, {"TransformId": second, "Name": "a"})
    assert get(context, second)["Name"] == "b"


def test_the_kind_of_capacity_can_be_changed(context: Context) -> None:
    transform_id = create(context, MaxCapacity=10.0)
    update_ml_transform(context, {"TransformId": transform_id, "WorkerType": "G.2X", "NumberOfWorkers": 2})
    assert get(context, transform_id)["MaxCapacity"] == 4.0


def test_max_capacity_cannot_be_set_where_it_follows_from_the_workers(context: Context) -> None:
    transform_id = create(context, WorkerType="G.1X", NumberOfWorkers=2)
    with pytest.raises(InvalidInputError, match=r"follows from the WorkerType G\.1X"):
        update_ml_transform(context, {"TransformId": transform_id, "MaxCapacity": 10.0})


@pytest.mark.parametrize("operation", [get_ml_transform, update_ml_transform, delete_ml_transform])
def test_a_transform_that_does_not_exist_is_told_so(context: Context, operation: Any) -> None:
    told = r"Cannot find MLTransform in account 000000000000 with handle tfm-0\."
    with pytest.raises(EntityNotFoundError, match=told):
        operation(context, {"TransformId": "tfm-0"})


def test_deleting_stops_the_active_runs_and_can_be_asked_twice(context: Context) -> None:
    transform_id = create(context)
    asked = {"TransformId": transform_id, "OutputS3Path": "s3://bucket/sets/"}
    run_id = task_runs.start_ml_labeling_set_generation_task_run(context, asked)["TaskRunId"]
    for _ in range(2):
        assert delete_ml_transform(context, {"TransformId": transform_id}) == {"TransformId": transform_id}
    assert get(context, transform_id)["Status"] == "DELETING"
    with context.database.reading() as connection:
        run = runs.find_run(connection, run_id)
        assert run is not None
        assert (run.status, run.stopping_on) == (RunStatus.STOPPING, NOW)
    with pytest.raises(EntityNotFoundError, match="is being deleted"):
        task_runs.start_ml_labeling_set_generation_task_run(context, asked)


def test_metrics_of_an_evaluation_are_told_as_the_api_names_them(context: Context) -> None:
    transform_id = create(context)
    metrics = {
        "area_under_pr_curve": 0.9, "precision": 0.8, "recall": 0.7, "f1": 0.75, "true_positives": 7,
        "false_positives": 2, "true_negatives": 30, "false_negatives": 3, "candidate_recall": 1.0, "threshold": 0.5,
        "labeled_pairs": 42, "column_importances": [[f"c{i}", 1 / (i + 1)] for i in range(101)],
    }  # fmt: skip
    with context.database.writing() as connection:
        transform = store.find_transform(connection, transform_id)
        assert transform is not None
        store.update_transform(connection, replace(transform, metrics=metrics))
    told = get(context, transform_id)["EvaluationMetrics"]
    importances = told["FindMatchesMetrics"].pop("ColumnImportances")
    assert told == {
        "TransformType": "FIND_MATCHES",
        "FindMatchesMetrics": {
            "AreaUnderPRCurve": 0.9, "Precision": 0.8, "Recall": 0.7, "F1": 0.75,
            "ConfusionMatrix": {
                "NumTruePositives": 7, "NumFalsePositives": 2, "NumTrueNegatives": 30, "NumFalseNegatives": 3,
            },
        },
    }  # fmt: skip
    assert (len(importances), importances[0]) == (100, {"ColumnName": "c0", "Importance": 1.0})


class TestListing:
    @pytest.fixture
    def made(self, context: Context) -> dict[str, str]:
        """Ids by name: made a minute apart, some tagged, one READY."""
        made = {}
        for minute, name in enumerate(("b", "a", "d", "c")):
            moment = replace(context, now=NOW + timedelta(minutes=minute))
            tags = {"side": "left" if name in "ab" else "right", "all": "yes"}
            made[name] = create(moment, name, Tags=tags, GlueVersion=f"{minute}.0")
        with context.database.writing() as connection:
            transform = store.find_transform(connection, made["d"])
            assert transform is not None
            store.update_transform(connection, replace(transform, status=TransformStatus.READY))
        return made

    def names(self, context: Context, **request: Any) -> str:
        return "".join(transform["Name"] for transform in get_ml_transforms(context, request)["Transforms"])

    @pytest.mark.parametrize(
        ("column", "direction", "names"),
        [
            ("NAME", "ASCENDING", "abcd"),
            ("NAME", "DESCENDING", "dcba"),
            ("CREATED", "ASCENDING", "badc"),
            ("LAST_MODIFIED", "DESCENDING", "cdab"),
            ("STATUS", "DESCENDING", "dcab"),
            ("TRANSFORM_TYPE", "ASCENDING", "badc"),
        ],
    )
    @pytest.mark.usefixtures("made")
    def test_sorts_by_each_column_both_ways(self, context: Context, column: str, direction: str, names: str) -> None:
        assert self.names(context, Sort={"Column": column, "SortDirection": direction}) == names

    @pytest.mark.usefixtures("made")
    def test_the_newest_comes_first_if_nothing_is_asked(self, context: Context) -> None:
        assert self.names(context) == "cdab"

    @pytest.mark.parametrize(
        ("asked", "names"),
        [
            ({"Name": "a"}, "a"),
            ({"Status": "READY"}, "d"),
            ({"GlueVersion": "3.0"}, "c"),
            ({"TransformType": "FIND_MATCHES"}, "abcd"),
            ({"CreatedBefore": NOW + timedelta(minutes=1)}, "b"),
            ({"CreatedAfter": NOW + timedelta(minutes=1)}, "cd"),
            ({"LastModifiedAfter": NOW + timedelta(minutes=2)}, "c"),
            ({"LastModifiedBefore": NOW}, ""),
            ({"Schema": [{"Name": "born", "DataType": "date"}]}, "abcd"),
            ({"Schema": [{"Name": "born", "DataType": "string"}]}, ""),
            ({"Name": "a", "Status": "READY"}, ""),
        ],
    )
    @pytest.mark.usefixtures("made")
    def test_filters_hold_together(self, context: Context, asked: Members, names: str) -> None:
        assert self.names(context, Filter=asked, Sort={"Column": "NAME", "SortDirection": "ASCENDING"}) == names

    def test_ids_are_listed_by_tags(self, context: Context, made: dict[str, str]) -> None:
        answer = list_ml_transforms(context, {"Tags": {"side": "left", "all": "yes"}})
        assert set(answer["TransformIds"]) == {made["a"], made["b"]}

    @pytest.mark.parametrize("size", [1, 3, 4, 1000])
    @pytest.mark.parametrize("column", ["NAME", "STATUS", "CREATED"])
    @pytest.mark.usefixtures("made")
    def test_pages_hold_each_once(self, context: Context, size: int, column: str) -> None:
        request = {"MaxResults": size, "Sort": {"Column": column, "SortDirection": "ASCENDING"}}
        seen, token = [], None
        for _ in range(5):
            answer = get_ml_transforms(context, {**request, **({"NextToken": token} if token else {})})
            seen += [transform["Name"] for transform in answer["Transforms"]]
            token = answer["NextToken"]
            if token is None:
                break
        assert sorted(seen) == ["a", "b", "c", "d"]

    @pytest.mark.usefixtures("made")
    def test_what_is_made_between_two_pages_neither_repeats_nor_hides_another(self, context: Context) -> None:
        request = {"MaxResults": 2, "Sort": {"Column": "NAME", "SortDirection": "ASCENDING"}}
        first = get_ml_transforms(context, request)
        create(context, "aa")
        second = get_ml_transforms(context, {**request, "NextToken": first["NextToken"]})
        assert [t["Name"] for t in (*first["Transforms"], *second["Transforms"])] == ["a", "b", "c", "d"]

    @pytest.mark.usefixtures("made")
    def test_a_token_of_another_list_or_of_nobody_is_refused(self, context: Context) -> None:
        token = get_ml_transforms(context, {"MaxResults": 1})["NextToken"]
        for request in (
            {"NextToken": token, "Filter": {"Status": "READY"}},
            {"NextToken": token[:-2] + ("A=" if token[-2:] != "A=" else "B=")},
            {"NextToken": "garbage"},
            {"NextToken": "ü"},
        ):
            with pytest.raises(InvalidInputError, match="NextToken"):
                get_ml_transforms(context, request)
        with pytest.raises(InvalidInputError, match="NextToken"):
            list_ml_transforms(context, {"NextToken": token})
