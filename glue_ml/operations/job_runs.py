"""The job run operations: start, get, list and stop."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from glue_ml import storage
from glue_ml.domain.job import TaskType
from glue_ml.domain.task_run import ENDED, Run, RunStatus, execution_seconds
from glue_ml.domain.transform import DEFAULT_TIMEOUT, Capacity, Transform, TransformStatus
from glue_ml.errors import ApiError, ConcurrentRunsExceededError, EntityNotFoundError, InvalidInputError
from glue_ml.operations.context import Context, Members, Operation
from glue_ml.operations.job_arguments import check_find_matches, find_transform_id, merge_arguments
from glue_ml.operations.jobs import describe_capacity, read_job_capacity, require_job
from glue_ml.operations.listing import take_page
from glue_ml.operations.scripts import BUILTIN, check_script
from glue_ml.operations.stopping import request_stop
from glue_ml.operations.task_runs import check_run_limits
from glue_ml.store import jobs as job_store
from glue_ml.store import runs as store
from glue_ml.store import transforms
from glue_ml.store.database import lock_account
from glue_ml.store.jobs import Job

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Members of a run that are told as the request, or else the job, gave them.
_KEPT = ("GlueVersion", "SecurityConfiguration", "NotificationProperty", "ExecutionClass", "JobMode")


def start_job_run(context: Context, request: dict[str, Any]) -> Members:
    """StartJobRun. A run that names a transform is a FIND_MATCHES task run of it as well."""
    with context.database.writing() as connection:
        lock_account(connection)
        job = require_job(connection, request["JobName"], lock=True)
        arguments = merge_arguments(job.document, _choose_arguments(connection, request))
        script = check_script(context, job.document["Command"]["ScriptLocation"])
        if script == BUILTIN:
            check_find_matches(context, arguments)
        transform = _find_transform(connection, context, arguments, needed=script == BUILTIN)
        _check_limits(connection, context, job, transform)
        asked = {"arguments": arguments} | ({} if script == BUILTIN else {"script": script})
        run = _plan_run(context, request, job, transform, asked)
        store.insert_run(connection, run)
    return {"JobRunId": run.job_run_id}


def get_job_run(context: Context, request: dict[str, Any]) -> Members:
    """GetJobRun."""
    with context.database.reading() as connection:
        return {"JobRun": describe_job_run(_require_run(connection, request["JobName"], request["RunId"]), context.now)}


def get_job_runs(context: Context, request: dict[str, Any]) -> Members:
    """GetJobRuns: the newest first, in pages. The runs of a job that was deleted are still told."""
    name = request["JobName"]

    def fetch(after: list[Any] | None, limit: int) -> list[Run]:
        position = None if after is None else (_EPOCH + timedelta(milliseconds=after[0]), str(after[1]))
        return store.list_job_runs(connection, name, store.Page(after=position, limit=limit))

    with context.database.reading() as connection:
        page, token = take_page(
            connection, request, {"operation": "GetJobRuns", "job": name}, fetch=fetch, locate=_locate
        )
        if not page:
            require_job(connection, name)
    return {"JobRuns": [describe_job_run(run, context.now) for run in page], "NextToken": token}


def batch_stop_job_run(context: Context, request: dict[str, Any]) -> Members:
    """BatchStopJobRun: STOPPING until the application is gone; what cannot be stopped is told as an error."""
    stopped, errors = [], []
    for run_id in request["JobRunIds"]:
        named = {"JobName": request["JobName"], "JobRunId": run_id}
        try:
            _stop(context, request["JobName"], run_id)
        except ApiError as error:
            errors.append({**named, "ErrorDetail": {"ErrorCode": error.code, "ErrorMessage": error.message}})
        else:
            stopped.append(named)
    return {"SuccessfulSubmissions": stopped, "Errors": errors}


def describe_job_run(run: Run, now: datetime) -> dict[str, Any]:
    """The run as the API's JobRun; what is not known yet is left out."""
    members = {
        "Id": run.job_run_id,
        "Attempt": run.attempt - 1,
        "PreviousRunId": run.properties.get("previous_run_id"),
        "JobName": run.job_name,
        "StartedOn": run.started_on,
        "LastModifiedOn": run.last_modified_on,
        "CompletedOn": run.completed_on,
        "JobRunState": run.status.value,
        "Arguments": run.properties["arguments"],
        "ErrorMessage": run.error,
        "PredecessorRuns": [],
        "ExecutionTime": execution_seconds(run, now),
        "Timeout": run.timeout,
        "LogGroupName": run.log_group,
        **describe_capacity(run.capacity),
        **run.properties.get("members", {}),
    }
    return {name: value for name, value in members.items() if value is not None}


def _choose_arguments(connection: Connection, request: dict[str, Any]) -> Mapping[str, str]:
    """The run's own arguments, over those of the run that it tries again."""
    given: Mapping[str, str] = request.get("Arguments") or {}
    if "JobRunId" not in request:
        return given
    previous = _require_run(connection, request["JobName"], request["JobRunId"])
    return {**previous.properties["arguments"], **given}


def _find_transform(
    connection: Connection, context: Context, arguments: Mapping[str, str], *, needed: bool
) -> Transform | None:
    """The living transform that the arguments name; EntityNotFoundError if it is needed and there is none."""
    named = find_transform_id(arguments)
    transform = None if named is None else transforms.find_transform(connection, named, lock=True)
    if transform is not None and transform.status is not TransformStatus.DELETING:
        return transform
    if needed:
        raise EntityNotFoundError(
            f"Cannot find MLTransform in account {context.account.account_id} with handle "
            f"{arguments['--TransformId'][:255]}, which the argument --TransformId names."
        )
    return None


def _check_limits(connection: Connection, context: Context, job: Job, transform: Transform | None) -> None:
    allowed = job.document["ExecutionProperty"]["MaxConcurrentRuns"]
    if store.count_active(connection, job_name=job.name) >= allowed:
        raise ConcurrentRunsExceededError(f"Concurrent runs exceeded for job {job.name}. It may have {allowed}.")
    if transform is not None:
        check_run_limits(connection, context, transform, refusal=ConcurrentRunsExceededError)
        return
    count, limit = store.count_active(connection), context.account.limits.runs_per_account
    if count >= limit:
        raise ConcurrentRunsExceededError(f"{count} runs are active, and the limit is {limit}. Wait for one to end.")


def _plan_run(
    context: Context, request: dict[str, Any], job: Job, transform: Transform | None, properties: dict[str, Any]
) -> Run:
    run_id = f"tsk-{context.make_hex(20)}"
    kept = {name: request.get(name, job.document.get(name)) for name in _KEPT}
    properties = {**properties, "members": {name: value for name, value in kept.items() if value is not None}}
    if "JobRunId" in request:
        properties["previous_run_id"] = request["JobRunId"]
    return Run(
        run_id=run_id,
        status=RunStatus.STARTING,
        started_on=context.now,
        last_modified_on=context.now,
        timeout=request.get("Timeout", job.document.get("Timeout", DEFAULT_TIMEOUT)),
        max_retries=job.document["MaxRetries"],
        capacity=read_job_capacity(request, default=_read_capacity(job)),
        transform_id=None if transform is None else transform.transform_id,
        task_type=None if transform is None else TaskType.FIND_MATCHES,
        job_name=job.name,
        job_run_id=f"jr_{context.make_hex(32)}",
        properties=properties,
        log_group=storage.join(context.account.storage_uri, "runs", run_id),
    )


def _read_capacity(job: Job) -> Capacity:
    document = job.document
    return Capacity(document.get("MaxCapacity"), document.get("WorkerType"), document.get("NumberOfWorkers"))


def _require_run(connection: Connection, job_name: str, job_run_id: str) -> Run:
    run = store.find_job_run(connection, job_name, job_run_id)
    if run is None:
        if job_store.find_job(connection, job_name) is None:
            raise EntityNotFoundError(f"Job {job_name} not found.")
        raise EntityNotFoundError(f"Job run {job_run_id} of job {job_name} not found.")
    return run


def _stop(context: Context, job_name: str, run_id: str) -> None:
    with context.database.writing() as connection:
        run = _require_run(connection, job_name, run_id)
        status = request_stop(connection, run, context.now)
    if status in ENDED:
        raise InvalidInputError(f"Job run {run_id} cannot be stopped: it is {status.value}.")


def _locate(run: Run) -> list[Any]:
    return [(run.started_on - _EPOCH) // timedelta(milliseconds=1), run.run_id]


OPERATIONS: Mapping[str, Operation] = {
    "StartJobRun": start_job_run,
    "GetJobRun": get_job_run,
    "GetJobRuns": get_job_runs,
    "BatchStopJobRun": batch_stop_job_run,
}
