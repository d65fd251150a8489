"""Task runs: what is checked when they are started, and how they are told, listed and cancelled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from glue_ml.domain.task_run import Run, RunStatus
from glue_ml.domain.transform import TransformStatus
from glue_ml.errors import (
    ConcurrentRunsExceededError,
    EntityNotFoundError,
    InvalidInputError,
    ResourceNumberLimitExceededError,
    TransformNotReadyError,
)
from glue_ml.operations.context import Context, Limits, Members
from glue_ml.operations.task_runs import (
    cancel_ml_task_run,
    get_ml_task_run,
    get_ml_task_runs,
    start_export_labels_task_run,
    start_import_labels_task_run,
    start_ml_evaluation_task_run,
    start_ml_labeling_set_generation_task_run,
)
from glue_ml.operations.transforms import create_ml_transform
from glue_ml.store import runs
from glue_ml.store import transforms as store
from tests.operations.conftest import NOW, MakeContext
from tests.operations.test_transforms import ask

SETS = "s3://bucket/sets/"


@pytest.fixture
def transform_id(context: Context, make_table: Callable[..., Members]) -> str:
    make_table()
    return str(create_ml_transform(context, ask(MaxRetries=2, Timeout=60))["TransformId"])


@pytest.fixture
def label_file(tmp_path: Path) -> Path:
    file = tmp_path / "labels.csv"
    file.write_text("labeling_set_id,label,id\n1,A,1\n", encoding="utf-8")
    return file


def teach(context: Context, transform_id: str) -> None:
    with context.database.writing() as connection:
        transform = store.find_transform(connection, transform_id)
        assert transform is not None
        taught = replace(transform, status=TransformStatus.READY, label_count=7, label_version=0)
        store.update_transform(connection, taught)


def generate(context: Context, transform_id: str) -> str:
    request = {"TransformId": transform_id, "OutputS3Path": SETS}
    return str(start_ml_labeling_set_generation_task_run(context, request)["TaskRunId"])


def get(context: Context, transform_id: str, run_id: str) -> Members:
    return get_ml_task_run(context, {"TransformId": transform_id, "TaskRunId": run_id})


def move(context: Context, run_id: str, to: RunStatus, **changes: Any) -> None:
    with context.database.writing() as connection:
        run = runs.find_run(connection, run_id)
        assert run is not None
        assert runs.move_run(connection, run, to, now=context.now, note="test", changes=changes)


def test_a_new_run_is_starting_and_belongs_to_its_transform(context: Context, transform_id: str) -> None:
    run_id = generate(context, transform_id)
    assert get(context, transform_id, run_id) == {
        "TransformId": transform_id,
        "TaskRunId": run_id,
        "Status": "STARTING",
        "LogGroupName": f"{context.account.storage_uri}/runs/{run_id}",
        "Properties": {
            "TaskType": "LABELING_SET_GENERATION",
            "LabelingSetGenerationTaskRunProperties": {"OutputS3Path": SETS},
        },
        "StartedOn": NOW,
        "LastModifiedOn": NOW,
        "ExecutionTime": 0,
    }
    assert run_id.startswith("tsk-")
    assert len(run_id) == 44


def test_a_run_takes_timeout_retries_and_capacity_from_its_transform(context: Context, transform_id: str) -> None:
    run_id = generate(context, transform_id)
    with context.database.reading() as connection:
        run = runs.find_run(connection, run_id)
        transform = store.find_transform(connection, transform_id)
    assert run is not None
    assert transform is not None
    assert (run.timeout, run.max_retries, run.capacity) == (60, 2, transform.capacity)


def test_properties_tell_what_each_type_was_asked(context: Context, transform_id: str, label_file: Path) -> None:
    teach(context, transform_id)
    asked = {"TransformId": transform_id}
    uri = label_file.as_uri()
    started = [
        start_ml_evaluation_task_run(context, asked),
        start_import_labels_task_run(context, {**asked, "InputS3Path": uri}),
        start_export_labels_task_run(context, {**asked, "OutputS3Path": "file:///out"}),
    ]
    assert [get(context, transform_id, run["TaskRunId"])["Properties"] for run in started] == [
        {"TaskType": "EVALUATION"},
        {"TaskType": "IMPORT_LABELS", "ImportLabelsTaskRunProperties": {"InputS3Path": uri, "Replace": False}},
        {"TaskType": "EXPORT_LABELS", "ExportLabelsTaskRunProperties": {"OutputS3Path": "file:///out"}},
    ]


def test_times_of_a_run_are_told_as_they_come(context: Context, transform_id: str) -> None:
    run_id = generate(context, transform_id)
    move(context, run_id, RunStatus.RUNNING, running_on=NOW)
    later = replace(context, now=NOW + timedelta(seconds=90.9))
    assert get(later, transform_id, run_id)["ExecutionTime"] == 90
    move(later, run_id, RunStatus.FAILED, completed_on=later.now, error="It broke.")
    told = get(replace(context, now=NOW + timedelta(days=1)), transform_id, run_id)
    assert (told["ExecutionTime"], told["CompletedOn"], told["ErrorString"]) == (90, later.now, "It broke.")


def test_an_evaluation_needs_a_transform_that_is_ready(context: Context, transform_id: str) -> None:
    with pytest.raises(TransformNotReadyError, match="a transform that is in a READY state"):
        start_ml_evaluation_task_run(context, {"TransformId": transform_id})


def test_an_export_needs_labels(context: Context, transform_id: str) -> None:
    with pytest.raises(EntityNotFoundError, match=f"No labelset exists for transformId {transform_id}"):
        start_export_labels_task_run(context, {"TransformId": transform_id, "OutputS3Path": SETS})


@pytest.mark.parametrize(
    "path", ["", "out", "/out", "http://x/y", "s3://", "s3:/x", "file://host/x", "file:x", "s3://["]
)
def test_a_path_that_is_none_is_refused(context: Context, transform_id: str, path: str) -> None:
    with pytest.raises(InvalidInputError, match="Invalid OutputS3Path"):
        start_ml_labeling_set_generation_task_run(context, {"TransformId": transform_id, "OutputS3Path": path})


def test_a_file_of_the_server_is_refused_where_files_are_not_served(
    make_context: MakeContext, transform_id: str, label_file: Path
) -> None:
    context = make_context(local_files=False)
    with pytest.raises(InvalidInputError, match="is a file of this server"):
        start_import_labels_task_run(context, {"TransformId": transform_id, "InputS3Path": label_file.as_uri()})


class TestLabelFile:
    def start(self, context: Context, transform_id: str, path: str) -> Members:
        return start_import_labels_task_run(context, {"TransformId": transform_id, "InputS3Path": path})

    def test_one_that_does_not_exist_is_refused_at_the_call(self, context: Context, transform_id: str) -> None:
        with pytest.raises(InvalidInputError, match=r"Cannot access the label file at file:///none\.csv"):
            self.start(context, transform_id, "file:///none.csv")

    def test_a_folder_is_refused(self, context: Context, transform_id: str, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match="Invalid label file path"):
            self.start(context, transform_id, tmp_path.as_uri() + "/")

    def test_an_empty_one_is_refused(self, context: Context, transform_id: str, label_file: Path) -> None:
        label_file.write_bytes(b"")
        with pytest.raises(InvalidInputError, match="Invalid label file of size 0"):
            self.start(context, transform_id, label_file.as_uri())

    @pytest.mark.parametrize(("more", "fits"), [(0, True), (1, False)])
    def test_its_size_has_a_limit(
        self, context: Context, transform_id: str, label_file: Path, more: int, fits: bool
    ) -> None:
        with label_file.open("wb") as file:
            file.truncate((10 << 20) + more)
        if fits:
            self.start(context, transform_id, label_file.as_uri())
            return
        with pytest.raises(ResourceNumberLimitExceededError, match="Label file has exceeded the limit of 10 MB"):
            self.start(context, transform_id, label_file.as_uri())

    def test_an_unknown_transform_is_told_before_an_unusable_file(self, context: Context) -> None:
        with pytest.raises(EntityNotFoundError):
            self.start(context, "tfm-0", "file:///none.csv")


class TestLimits:
    def test_a_transform_has_so_many_active_runs(self, context: Context, transform_id: str, label_file: Path) -> None:
        started = [generate(context, transform_id) for _ in range(3)]
        with pytest.raises(
            ConcurrentRunsExceededError, match="count 3 has exceeded the transform limit of 3 task runs"
        ):
            generate(context, transform_id)
        with pytest.raises(ResourceNumberLimitExceededError, match="transform limit of 3"):
            start_import_labels_task_run(context, {"TransformId": transform_id, "InputS3Path": label_file.as_uri()})
        move(context, started[0], RunStatus.FAILED, completed_on=NOW)
        generate(context, transform_id)

    def test_the_account_has_so_many_active_runs(self, make_context: MakeContext, transform_id: str) -> None:
        context = make_context(limits=Limits(runs_per_account=1))
        generate(context, transform_id)
        other = str(create_ml_transform(context, ask("other"))["TransformId"])
        with pytest.raises(ConcurrentRunsExceededError, match="count 1 has exceeded the limit of 1 task runs"):
            generate(context, other)


class TestCancel:
    def cancel(self, context: Context, transform_id: str, run_id: str) -> Members:
        return cancel_ml_task_run(context, {"TransformId": transform_id, "TaskRunId": run_id})

    def test_an_active_run_is_stopping(self, context: Context, transform_id: str) -> None:
        run_id = generate(context, transform_id)
        told = {"TransformId": transform_id, "TaskRunId": run_id, "Status": "STOPPING"}
        assert self.cancel(context, transform_id, run_id) == told
        assert self.cancel(context, transform_id, run_id) == told

    def test_a_run_that_ended_stays_as_it_is(self, context: Context, transform_id: str) -> None:
        run_id = generate(context, transform_id)
        move(context, run_id, RunStatus.SUCCEEDED, completed_on=NOW)
        assert self.cancel(context, transform_id, run_id)["Status"] == "SUCCEEDED"

    def test_a_run_of_another_transform_is_not_found(self, context: Context, transform_id: str) -> None:
        run_id = generate(context, transform_id)
        other = str(create_ml_transform(context, ask("other"))["TransformId"])
        with pytest.raises(EntityNotFoundError, match=f"No ML Task Run found for {run_id}"):
            self.cancel(context, other, run_id)


class TestListing:
    @pytest.fixture
    def started(self, context: Context, transform_id: str) -> list[Run]:
        """Seven runs a minute apart (two in the same moment), of two types, of which every third succeeded."""
        made = []
        for number in range(7):
            moment = replace(context, now=NOW + timedelta(minutes=max(number, 1)))
            teach(moment, transform_id)
            if number % 2:
                run_id = start_ml_evaluation_task_run(moment, {"TransformId": transform_id})["TaskRunId"]
            else:
                run_id = generate(moment, transform_id)
            move(moment, run_id, RunStatus.SUCCEEDED if number % 3 == 0 else RunStatus.FAILED, completed_on=moment.now)
            with context.database.reading() as connection:
                run = runs.find_run(connection, run_id)
            assert run is not None
            made.append(run)
        return made

    def numbers(self, answer: Members, started: list[Run]) -> str:
        order = {run.run_id: str(number) for number, run in enumerate(started)}
        return "".join(order[run["TaskRunId"]] for run in answer["TaskRuns"])

    @pytest.mark.parametrize(
        ("request_", "numbers"),
        [
            ({}, "6543210"),
            ({"Sort": {"Column": "STARTED", "SortDirection": "ASCENDING"}}, "0123456"),
            ({"Sort": {"Column": "STATUS", "SortDirection": "ASCENDING"}}, "1245036"),
            ({"Sort": {"Column": "TASK_RUN_TYPE", "SortDirection": "DESCENDING"}}, "6420531"),
            ({"Filter": {"TaskRunType": "EVALUATION"}}, "531"),
            ({"Filter": {"Status": "SUCCEEDED"}}, "630"),
            ({"Filter": {"StartedAfter": NOW + timedelta(minutes=5)}}, "6"),
            ({"Filter": {"StartedBefore": NOW + timedelta(minutes=2)}}, "10"),
            ({"Filter": {"Status": "SUCCEEDED", "TaskRunType": "EVALUATION"}}, "3"),
            ({"Filter": {"Status": "TIMEOUT"}}, ""),
        ],
    )
    def test_filters_and_sorts(
        self, context: Context, transform_id: str, started: list[Run], request_: Members, numbers: str
    ) -> None:
        answer = get_ml_task_runs(context, {"TransformId": transform_id, **request_})
        assert self.numbers(answer, started) == numbers

    @pytest.mark.parametrize("column", ["STARTED", "STATUS", "TASK_RUN_TYPE"])
    @pytest.mark.parametrize("direction", ["ASCENDING", "DESCENDING"])
    @pytest.mark.parametrize("size", [1, 2, 6, 7])
    def test_pages_together_are_the_whole_list(
        self, context: Context, transform_id: str, started: list[Run], column: str, direction: str, size: int
    ) -> None:
        request = {"TransformId": transform_id, "Sort": {"Column": column, "SortDirection": direction}}
        whole = self.numbers(get_ml_task_runs(context, request), started)
        seen, token = "", None
        for _ in range(8):
            answer = get_ml_task_runs(context, {**request, "MaxResults": size, "NextToken": token})
            seen, token = seen + self.numbers(answer, started), answer["NextToken"]
            if token is None:
                break
        assert seen == whole

    def test_runs_of_an_unknown_transform_are_not_found(self, context: Context) -> None:
        with pytest.raises(EntityNotFoundError):
            get_ml_task_runs(context, {"TransformId": "tfm-0"})
