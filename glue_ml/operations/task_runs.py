"""The task run operations of the Glue ML API: the four starts, get, list and cancel."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from glue_ml import storage
from glue_ml.domain.job import TaskType
from glue_ml.domain.task_run import Run, RunStatus, execution_seconds
from glue_ml.domain.transform import Transform, TransformStatus
from glue_ml.errors import (
    ApiError,
    ConcurrentRunsExceededError,
    EntityNotFoundError,
    GlueMLError,
    InvalidInputError,
    ResourceNumberLimitExceededError,
    TransformNotReadyError,
)
from glue_ml.operations.context import Context, Members, Operation
from glue_ml.operations.paging import DEFAULT_RESULTS, decode_token, encode_token
from glue_ml.operations.paths import check_path
from glue_ml.operations.stopping import request_stop
from glue_ml.operations.transforms import find_or_refuse, require_transform
from glue_ml.store import runs as store
from glue_ml.store.database import lock_account, read_paging_key

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SORT_COLUMNS = {"TASK_RUN_TYPE": "task_type", "STATUS": "status", "STARTED": "started_on"}
_MEGABYTE = 1 << 20


def start_ml_evaluation_task_run(context: Context, request: dict[str, Any]) -> Members:
    """StartMLEvaluationTaskRun: needs a transform that is READY."""
    return _start(context, request, TaskType.EVALUATION)


def start_ml_labeling_set_generation_task_run(context: Context, request: dict[str, Any]) -> Members:
    """StartMLLabelingSetGenerationTaskRun: a transform need not be READY, its first labels come this way."""
    output = check_path(context, "OutputS3Path", request["OutputS3Path"])
    return _start(context, request, TaskType.LABELING_SET_GENERATION, {"output": output})


def start_import_labels_task_run(context: Context, request: dict[str, Any]) -> Members:
    """StartImportLabelsTaskRun: the file must be there, not empty and not too large at the call already."""
    path = check_path(context, "InputS3Path", request["InputS3Path"])
    with context.database.reading() as connection:  # an unknown transform is told before an unusable file
        require_transform(connection, context, request["TransformId"])
    _check_label_file(path, context.account.limits.label_file_mb)
    properties = {"input": path, "replace": request.get("ReplaceAllLabels", False)}
    return _start(context, request, TaskType.IMPORT_LABELS, properties)


def start_export_labels_task_run(context: Context, request: dict[str, Any]) -> Members:
    """StartExportLabelsTaskRun: EntityNotFoundError before the first import."""
    output = check_path(context, "OutputS3Path", request["OutputS3Path"])
    return _start(context, request, TaskType.EXPORT_LABELS, {"output": output})


def get_ml_task_run(context: Context, request: dict[str, Any]) -> Members:
    """GetMLTaskRun."""
    with context.database.reading() as connection:
        return describe_task_run(_require_run(connection, context, request), context.now)


def get_ml_task_runs(context: Context, request: dict[str, Any]) -> Members:
    """GetMLTaskRuns: filtered, sorted (the newest first if nothing else is asked) and paged."""
    listing = {"operation": "GetMLTaskRuns", **{n: request.get(n) for n in ("TransformId", "Filter", "Sort")}}
    sort = request.get("Sort") or {"Column": "STARTED", "SortDirection": "DESCENDING"}
    column, limit = _SORT_COLUMNS[sort["Column"]], request.get("MaxResults", DEFAULT_RESULTS)
    with context.database.reading() as connection:
        transform = find_or_refuse(connection, context, request["TransformId"])
        key = read_paging_key(connection) or ""
        after = _read_position(column, decode_token(key, listing, request.get("NextToken")))
        page = store.Page(column, sort["SortDirection"] == "DESCENDING", after, limit + 1)
        found = store.list_runs(connection, transform.transform_id, _read_filter(request), page)
    told = found[:limit]
    token = encode_token(key, listing, _write_position(column, told[-1])) if len(found) > limit else None
    return {"TaskRuns": [describe_task_run(run, context.now) for run in told], "NextToken": token}


def cancel_ml_task_run(context: Context, request: dict[str, Any]) -> Members:
    """CancelMLTaskRun: STOPPING until the application is gone; a run that ended already stays as it is."""
    with context.database.writing() as connection:
        run = _require_run(connection, context, request)
        status = request_stop(connection, run, context.now)
    return {"TransformId": run.transform_id, "TaskRunId": run.run_id, "Status": status.value}


def describe_task_run(run: Run, now: datetime) -> dict[str, Any]:
    """The run as the API's TaskRun; what is not known yet is left out."""
    members = {
        "TransformId": run.transform_id,
        "TaskRunId": run.run_id,
        "Status": run.status.value,
        "LogGroupName": run.log_group,
        "Properties": _describe_properties(run),
        "ErrorString": run.error,
        "StartedOn": run.started_on,
        "LastModifiedOn": run.last_modified_on,
        "CompletedOn": run.completed_on,
        "ExecutionTime": execution_seconds(run, now),
    }
    return {name: value for name, value in members.items() if value is not None}


def check_run_limits(
    connection: Connection, context: Context, transform: Transform, *, refusal: type[ApiError]
) -> None:
    """Raise `refusal` if the transform or the account has as many active runs as it may; call it under the lock."""
    limits = context.account.limits
    count = store.count_active(connection, transform_id=transform.transform_id)
    if count >= limits.runs_per_transform:
        raise refusal(
            f"ML Task Runs count {count} has exceeded the transform limit of {limits.runs_per_transform} task runs. "
            "Wait for one to end, or cancel it."
        )
    count = store.count_active(connection)
    if count >= limits.runs_per_account:
        raise refusal(
            f"ML Task Runs count {count} has exceeded the limit of {limits.runs_per_account} task runs. "
            "Wait for one to end, or cancel it."
        )


def _start(
    context: Context, request: dict[str, Any], task_type: TaskType, properties: Mapping[str, Any] | None = None
) -> Members:
    with context.database.writing() as connection:
        lock_account(connection)
        transform = require_transform(connection, context, request["TransformId"], lock=True)
        _check_taught(context, transform, task_type)
        importing = task_type is TaskType.IMPORT_LABELS  # the one error of this sort that an import declares
        refusal = ResourceNumberLimitExceededError if importing else ConcurrentRunsExceededError
        check_run_limits(connection, context, transform, refusal=refusal)
        run = _plan_run(context, transform, task_type, properties or {})
        store.insert_run(connection, run)
    return {"TaskRunId": run.run_id}


def _check_taught(context: Context, transform: Transform, task_type: TaskType) -> None:
    if task_type is TaskType.EVALUATION and transform.status is not TransformStatus.READY:
        raise TransformNotReadyError("This operation can only be applied to a transform that is in a READY state.")
    if task_type is TaskType.EXPORT_LABELS and transform.label_count == 0:
        account = context.account.account_id
        raise EntityNotFoundError(
            f"No labelset exists for transformId {transform.transform_id} in account id {account}."
        )


def _plan_run(context: Context, transform: Transform, task_type: TaskType, properties: Mapping[str, Any]) -> Run:
    run_id = f"tsk-{context.make_hex(20)}"
    return Run(
        run_id=run_id,
        status=RunStatus.STARTING,
        started_on=context.now,
        last_modified_on=context.now,
        timeout=transform.timeout,
        max_retries=transform.max_retries,
        capacity=transform.capacity,
        transform_id=transform.transform_id,
        task_type=task_type,
        properties=properties,
        log_group=storage.join(context.account.storage_uri, "runs", run_id),
    )


def _check_label_file(path: str, limit_mb: int) -> None:
    if path.endswith("/"):
        raise InvalidInputError("Invalid label file path. InputS3Path must name one CSV file, not a folder.")
    try:
        size = storage.size(path)
    except GlueMLError as error:
        raise InvalidInputError(f"Cannot access the label file at {path}. {error}.") from error
    if size == 0:
        raise InvalidInputError("Invalid label file of size 0.")
    if size > limit_mb * _MEGABYTE:
        raise ResourceNumberLimitExceededError(
            f"Label file has exceeded the limit of {limit_mb} MB. Split it into smaller files."
        )


def _require_run(connection: Connection, context: Context, request: dict[str, Any]) -> Run:
    transform = find_or_refuse(connection, context, request["TransformId"])
    run = store.find_run(connection, request["TaskRunId"])
    if run is None or run.transform_id != transform.transform_id:
        raise EntityNotFoundError(
            f"No ML Task Run found for {request['TaskRunId']}: in account {context.account.account_id} "
            f"for transform {transform.transform_id}."
        )
    return run


def _read_filter(request: dict[str, Any]) -> store.RunFilter:
    asked = request.get("Filter") or {}
    return store.RunFilter(
        task_type=TaskType(asked["TaskRunType"]) if "TaskRunType" in asked else None,
        status=RunStatus(asked["Status"]) if "Status" in asked else None,
        started_before=asked.get("StartedBefore"),
        started_after=asked.get("StartedAfter"),
    )


def _write_position(column: str, run: Run) -> list[Any]:
    value = getattr(run, column)
    return [(value - _EPOCH) // timedelta(milliseconds=1) if isinstance(value, datetime) else value, run.run_id]


def _read_position(column: str, position: list[Any] | None) -> tuple[Any, str] | None:
    if position is None:
        return None
    value, run_id = position
    return (_EPOCH + timedelta(milliseconds=value) if column == "started_on" else value), run_id


def _describe_properties(run: Run) -> dict[str, Any]:
    told: dict[str, Any] = {"TaskType": None if run.task_type is None else run.task_type.value}
    properties = run.properties
    if run.task_type is TaskType.IMPORT_LABELS:
        imported = {"InputS3Path": properties["input"], "Replace": properties["replace"]}
        told["ImportLabelsTaskRunProperties"] = imported
    elif run.task_type is TaskType.EXPORT_LABELS:
        told["ExportLabelsTaskRunProperties"] = {"OutputS3Path": properties["output"]}
    elif run.task_type is TaskType.LABELING_SET_GENERATION:
        told["LabelingSetGenerationTaskRunProperties"] = {"OutputS3Path": properties["output"]}
    elif run.task_type is TaskType.FIND_MATCHES:
        job = {"JobId": run.job_name, "JobName": run.job_name, "JobRunId": run.job_run_id}
        told["FindMatchesTaskRunProperties"] = job
    return told


OPERATIONS: Mapping[str, Operation] = {
    "StartMLEvaluationTaskRun": start_ml_evaluation_task_run,
    "StartMLLabelingSetGenerationTaskRun": start_ml_labeling_set_generation_task_run,
    "StartImportLabelsTaskRun": start_import_labels_task_run,
    "StartExportLabelsTaskRun": start_export_labels_task_run,
    "GetMLTaskRun": get_ml_task_run,
    "GetMLTaskRuns": get_ml_task_runs,
    "CancelMLTaskRun": cancel_ml_task_run,
}
