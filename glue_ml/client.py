"""What people do with the Glue API, over boto3: any endpoint that speaks it will do, glue-ml's own or AWS's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import TYPE_CHECKING, Any

from glue_ml.errors import GlueMLError, InputError, NotFoundError
from glue_ml.table_schema import describe_table

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient

DEFAULT_DATABASE = "default"
ENDED = frozenset({"SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT", "ERROR", "EXPIRED"})
POLL_SECONDS = 0.5

_JOB_RUN = "jr_"

Transform = Mapping[str, Any]


@dataclass(frozen=True)
class RunAddress:
    """How the API finds a run: a task run by its transform, a job run (`jr_...`) by its job."""

    run_id: str
    transform_id: str | None = None
    job_name: str | None = None


@dataclass(frozen=True)
class Run:
    """A task run or a job run as the API tells it. `kind` is the task type, or JOB; `output` is where it writes to."""

    address: RunAddress
    kind: str
    status: str
    started_on: datetime | None = None
    seconds: int = 0
    error: str | None = None
    log_group: str = ""
    output: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in ENDED


def list_transforms(glue: GlueClient) -> list[Transform]:
    """All transforms, by name."""
    sort = {"Column": "NAME", "SortDirection": "ASCENDING"}
    return list(_collect(glue.get_ml_transforms, "Transforms", Sort=sort))


def find_transform(glue: GlueClient, name: str) -> Transform:
    """The transform of that name or id. Raises NotFoundError."""
    found = list(_collect(glue.get_ml_transforms, "Transforms", Filter={"Name": name}))
    exact = next((transform for transform in found if transform["Name"] == name), None)
    if exact is not None:
        return exact
    try:
        return glue.get_ml_transform(TransformId=name)
    except glue.exceptions.EntityNotFoundException as error:
        raise NotFoundError(f"There is no transform {name}; glue-ml transforms shows those that there are") from error


def create_transform(glue: GlueClient, name: str, *, table: str, key: str) -> str:
    """Make a transform with the defaults of the API over one table, DATABASE.TABLE or TABLE; return its id."""
    database, table_name = split_name(table)
    created = glue.create_ml_transform(
        Name=name,
        Role="glue-ml",  # the API wants one; only AWS itself uses it
        InputRecordTables=[{"DatabaseName": database, "TableName": table_name}],
        Parameters={"TransformType": "FIND_MATCHES", "FindMatchesParameters": {"PrimaryKeyColumnName": key}},
    )
    return created["TransformId"]


def list_runs(glue: GlueClient, transforms: Sequence[Transform], *, limit: int) -> list[tuple[Transform, Run]]:
    """The newest runs of some transforms, each with its transform, the newest first."""
    found: list[tuple[Transform, Run]] = []
    for transform in transforms:
        told = glue.get_ml_task_runs(TransformId=transform["TransformId"], MaxResults=min(limit, 1000))["TaskRuns"]
        found += [(transform, _read_task_run(run)) for run in told]
    found.sort(key=lambda pair: pair[1].started_on.timestamp() if pair[1].started_on else 0.0, reverse=True)
    return found[:limit]


def locate_run(glue: GlueClient, run_id: str, *, transform: str | None = None) -> RunAddress:
    """Find out whose run an id names; `transform` (a name or id) spares the search. Raises NotFoundError."""
    if transform is not None:
        return RunAddress(run_id, transform_id=find_transform(glue, transform)["TransformId"])
    if run_id.startswith(_JOB_RUN):
        names = (name for page in glue.get_paginator("list_jobs").paginate() for name in page["JobNames"])
        candidates = [RunAddress(run_id, job_name=name) for name in names]
    else:
        candidates = [RunAddress(run_id, transform_id=each["TransformId"]) for each in list_transforms(glue)]
    for candidate in candidates:
        try:
            describe_run(glue, candidate)
        except glue.exceptions.EntityNotFoundException:
            continue
        return candidate
    raise NotFoundError(f"There is no run {run_id}; glue-ml runs shows those that there are")


def describe_run(glue: GlueClient, address: RunAddress) -> Run:
    """The run as it is now."""
    if address.transform_id is not None:
        return _read_task_run(glue.get_ml_task_run(TransformId=address.transform_id, TaskRunId=address.run_id))
    return _read_job_run(glue.get_job_run(JobName=address.job_name or "", RunId=address.run_id)["JobRun"])


def cancel_run(glue: GlueClient, address: RunAddress) -> None:
    """Ask for a run to be stopped; one that has ended stays as it is. Raises InputError where that is refused."""
    if address.transform_id is not None:
        glue.cancel_ml_task_run(TransformId=address.transform_id, TaskRunId=address.run_id)
        return
    stopped = glue.batch_stop_job_run(JobName=address.job_name or "", JobRunIds=[address.run_id])
    for error in stopped["Errors"]:
        raise InputError(error["ErrorDetail"]["ErrorMessage"])


def wait_for_run(
    glue: GlueClient,
    address: RunAddress,
    *,
    tell: Callable[[Run], None] = lambda run: None,
    sleep: Callable[[float], None] = time.sleep,
    seconds: float = POLL_SECONDS,
) -> Run:
    """Ask every so many seconds until the run has ended; `tell` hears each answer."""
    while True:
        run = describe_run(glue, address)
        tell(run)
        if run.has_ended:
            return run
        sleep(seconds)


def require_success(run: Run, *, log: str | None = None) -> Run:
    """The run if it has succeeded; else GlueMLError with its error and the place of its `log`."""
    if run.status == "SUCCEEDED":
        return run
    reason = f": {run.error.rstrip('.')}" if run.error else ""
    where = f". Its log: {log or run.log_group}" if log or run.log_group else ""
    raise GlueMLError(f"The {name_kind(run.kind)} {run.address.run_id} is {run.status}{reason}{where}")


def name_kind(kind: str) -> str:
    """A kind of run in words: `labeling set generation`."""
    return "job run" if kind == "JOB" else kind.lower().replace("_", " ")


def split_name(name: str, *, default: str = DEFAULT_DATABASE) -> tuple[str, str]:
    """The database and the table of DATABASE.TABLE or TABLE. Raises InputError."""
    database, dot, table = name.rpartition(".")
    if not table or (dot and not database) or "." in database:
        raise InputError(f"{name!r} is no name of a table; write it TABLE or DATABASE.TABLE")
    return database or default, table


def add_table(
    glue: GlueClient,
    name: str,
    path: str,
    *,
    format: str | None = None,
    database: str = DEFAULT_DATABASE,
    replace: bool = False,
) -> dict[str, Any]:
    """Put the table at `path` in the catalog as DATABASE.TABLE, its database too if need be; return the TableInput.

    Raises InputError for a table that is there already, unless it is to be replaced, and all that
    `table_schema.describe_table` raises; then nothing has been made.
    """
    database, table_name = split_name(name, default=database)
    described = describe_table(table_name, path, format=format)
    if _has_table(glue, database, table_name):
        if not replace:
            raise InputError(
                f"The table {database}.{table_name} is in the catalog already; --replace describes it anew"
            )
        glue.update_table(DatabaseName=database, TableInput=described)  # type: ignore[arg-type]
        return described
    _make_database(glue, database)
    glue.create_table(DatabaseName=database, TableInput=described)  # type: ignore[arg-type]
    return described


def _collect(list_page: Callable[..., Mapping[str, Any]], member: str, **request: Any) -> Iterator[Mapping[str, Any]]:
    """What all pages of a listing hold; boto3 has no paginators for these."""
    token: dict[str, str] = {}
    for _ in count():
        page = list_page(**request, **token)
        yield from page[member]
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}


def _read_task_run(told: Mapping[str, Any]) -> Run:
    properties = told.get("Properties", {})
    places = (value.get("OutputS3Path") for value in properties.values() if isinstance(value, Mapping))
    return Run(
        RunAddress(told["TaskRunId"], transform_id=told["TransformId"]),
        kind=properties.get("TaskType", "TASK"),
        status=told["Status"],
        started_on=told.get("StartedOn"),
        seconds=told.get("ExecutionTime", 0),
        error=told.get("ErrorString"),
        log_group=told.get("LogGroupName", ""),
        output=next(filter(None, places), None),
    )


def _read_job_run(told: Mapping[str, Any]) -> Run:
    arguments = told.get("Arguments", {})
    return Run(
        RunAddress(told["Id"], job_name=told["JobName"]),
        kind="FIND_MATCHES" if "--TransformId" in arguments and "--OutputPath" in arguments else "JOB",
        status=told["JobRunState"],
        started_on=told.get("StartedOn"),
        seconds=told.get("ExecutionTime", 0),
        error=told.get("ErrorMessage"),
        log_group=told.get("LogGroupName", ""),
        output=arguments.get("--OutputPath"),
    )


def _has_table(glue: GlueClient, database: str, table: str) -> bool:
    try:
        glue.get_table(DatabaseName=database, Name=table)
    except glue.exceptions.EntityNotFoundException:
        return False
    return True


def _make_database(glue: GlueClient, name: str) -> None:
    try:
        glue.create_database(DatabaseInput={"Name": name})
    except glue.exceptions.AlreadyExistsException:
        return
