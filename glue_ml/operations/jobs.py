"""The job operations: what is to be run, with which script, arguments and capacity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from glue_ml.domain.transform import DEFAULT_TIMEOUT, Capacity
from glue_ml.errors import AlreadyExistsError, EntityNotFoundError, InvalidInputError
from glue_ml.operations.context import Context, Members, Operation
from glue_ml.operations.listing import take_page
from glue_ml.operations.scripts import check_script
from glue_ml.operations.tag_rules import check_tags
from glue_ml.operations.transform_members import DEFAULT_CAPACITY, read_capacity, read_retries
from glue_ml.store import jobs as store
from glue_ml.store import tags
from glue_ml.store.jobs import Job

#: Members that are kept and told as they were given.
_KEPT = (
    "JobMode", "JobRunQueuingEnabled", "Description", "LogUri", "Role", "DefaultArguments", "NonOverridableArguments",
    "Connections", "SecurityConfiguration", "NotificationProperty", "GlueVersion", "CodeGenConfigurationNodes",
    "ExecutionClass", "SourceControlDetails", "MaintenanceWindow",
)  # fmt: skip
_COMMAND = "glueetl"


def create_job(context: Context, request: dict[str, Any]) -> Members:
    """CreateJob. A name in use is refused, whatever its definition."""
    job = Job(request["Name"], _read_definition(context, request), context.now, context.now)
    if not job.name.strip():
        raise InvalidInputError("Name cannot be blank.")
    wanted = check_tags(request.get("Tags") or {})
    with context.database.writing() as connection:
        try:
            store.insert_job(connection, job)
        except IntegrityError as error:
            raise AlreadyExistsError(f"Job with name {job.name} already exists.") from error
        tags.put_tags(connection, f"job/{job.name}", wanted)
    return {"Name": job.name}


def update_job(context: Context, request: dict[str, Any]) -> Members:
    """UpdateJob: the new definition takes the place of the old one in full."""
    definition = _read_definition(context, request["JobUpdate"])
    with context.database.writing() as connection:
        before = require_job(connection, request["JobName"], lock=True)
        store.update_job(connection, replace(before, document=definition, last_modified_on=context.now))
    return {"JobName": before.name}


def get_job(context: Context, request: dict[str, Any]) -> Members:
    """GetJob."""
    with context.database.reading() as connection:
        return {"Job": _describe(require_job(connection, request["JobName"]))}


def get_jobs(context: Context, request: dict[str, Any]) -> Members:
    """GetJobs: by name, in pages."""
    page, token = _take_page(context, request, operation="GetJobs")
    return {"Jobs": [_describe(job) for job in page], "NextToken": token}


def list_jobs(context: Context, request: dict[str, Any]) -> Members:
    """ListJobs: names only, and those with certain tags if asked."""
    check_tags(request.get("Tags") or {})
    page, token = _take_page(context, request, operation="ListJobs")
    return {"JobNames": [job.name for job in page], "NextToken": token}


def batch_get_jobs(context: Context, request: dict[str, Any]) -> Members:
    """BatchGetJobs."""
    names = list(dict.fromkeys(request["JobNames"]))
    with context.database.reading() as connection:
        found = store.find_jobs(connection, names)
    return {
        "Jobs": [_describe(found[name]) for name in names if name in found],
        "JobsNotFound": [name for name in names if name not in found],
    }


def delete_job(context: Context, request: dict[str, Any]) -> Members:
    """DeleteJob: also of one that does not exist. Runs that were started go on, and stay."""
    name = request["JobName"]
    with context.database.writing() as connection:
        store.delete_job(connection, name)
        tags.remove_tags(connection, f"job/{name}")
    return {"JobName": name}


def require_job(connection: Connection, name: str, *, lock: bool = False) -> Job:
    """The job of that name; EntityNotFoundError if there is none."""
    job = store.find_job(connection, name, lock=lock)
    if job is None:
        raise EntityNotFoundError(f"Job {name} not found.")
    return job


def read_job_capacity(request: Members, *, default: Capacity = DEFAULT_CAPACITY) -> Capacity:
    """The capacity that a job or a run asks for, `default` if it says nothing about it.

    AllocatedCapacity is an old name of MaxCapacity. Raises InvalidInputError as `read_capacity` does.
    """
    old, new = request.get("AllocatedCapacity"), request.get("MaxCapacity")
    if old is not None and new is not None and old != new:
        raise InvalidInputError(f"AllocatedCapacity is {old} and MaxCapacity {new}: set MaxCapacity only.")
    asked = {**request, "MaxCapacity": new if old is None else float(old)}
    if all(asked.get(name) is None for name in ("MaxCapacity", "WorkerType", "NumberOfWorkers")):
        return default
    return read_capacity(asked)


def describe_capacity(capacity: Capacity) -> dict[str, Any]:
    """A capacity as the members of a job or a run; what does not apply is left out."""
    members = {
        "MaxCapacity": capacity.max_capacity,
        "AllocatedCapacity": None if capacity.max_capacity is None else int(capacity.max_capacity),
        "WorkerType": capacity.worker_type,
        "NumberOfWorkers": capacity.number_of_workers,
    }
    return {name: value for name, value in members.items() if value is not None}


def _read_definition(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    for name in ("Role", "Command"):
        if not given.get(name):
            raise InvalidInputError(f"{name} is missing. A job needs it.")
    concurrent = (given.get("ExecutionProperty") or {}).get("MaxConcurrentRuns", 1)
    if concurrent < 1:
        raise InvalidInputError(f"ExecutionProperty.MaxConcurrentRuns is {concurrent}, and must be at least 1.")
    return {
        **{name: given[name] for name in _KEPT if given.get(name) is not None},
        "Command": _read_command(context, given["Command"]),
        "ExecutionProperty": {"MaxConcurrentRuns": concurrent},
        "MaxRetries": read_retries(given),
        "Timeout": given.get("Timeout", DEFAULT_TIMEOUT),
        **describe_capacity(read_job_capacity(given)),
    }


def _read_command(context: Context, command: dict[str, Any]) -> dict[str, Any]:
    name, location = command.get("Name", _COMMAND), command.get("ScriptLocation")
    if name != _COMMAND:
        raise InvalidInputError(f"Command.Name {name[:100]!r} cannot be run here. Use {_COMMAND}, a Spark script.")
    if not location:
        raise InvalidInputError("Command.ScriptLocation is missing. A job needs a script.")
    check_script(context, location)
    return {**command, "Name": name}


def _take_page(context: Context, request: dict[str, Any], *, operation: str) -> tuple[list[Job], str | None]:
    wanted = request.get("Tags")
    with context.database.reading() as connection:
        return take_page(
            connection,
            request,
            {"operation": operation, "tags": wanted},
            fetch=lambda after, limit: store.list_jobs(connection, after[0] if after else None, limit, tags=wanted),
            locate=lambda job: [job.name],
        )


def _describe(job: Job) -> dict[str, Any]:
    return {**job.document, "Name": job.name, "CreatedOn": job.created_on, "LastModifiedOn": job.last_modified_on}


OPERATIONS: Mapping[str, Operation] = {
    "CreateJob": create_job,
    "UpdateJob": update_job,
    "GetJob": get_job,
    "GetJobs": get_jobs,
    "ListJobs": list_jobs,
    "BatchGetJobs": batch_get_jobs,
    "DeleteJob": delete_job,
}
