"""What a run leaves while it works: its log, its progress and its result, read from its run directory.

`LogGroupName` is the URI of a run's folder, with a folder for each attempt below it. AWS's own API tells the name of a
log group instead, of which only the log can be read.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from typing import Any

from glue_ml import storage
from glue_ml.client import Run
from glue_ml.connection import DEFAULT_REGION
from glue_ml.domain.job import JobProgress, JobResult
from glue_ml.errors import GlueMLError, NotFoundError, UnavailableError

LOG = "spark.log"

_SCHEMES = ("file:///", "s3://", "s3a://")


def find_attempt(run: Run, attempt: int | None = None) -> str | None:
    """The run directory of an attempt (by default the last), None if there is none or it cannot be seen from here."""
    if not run.log_group.startswith(_SCHEMES):
        return None
    try:
        numbers = [int(name) for name in storage.list_names(run.log_group) if name.isascii() and name.isdigit()]
    except GlueMLError:  # the folder of another machine, or there is nothing yet: then the API alone tells of the run
        return None
    wanted = [number for number in numbers if attempt in (None, number)]
    return storage.join(run.log_group, str(max(wanted))) if wanted else None


def find_log(run: Run) -> str | None:
    """The URI of the log of the last attempt, None if it cannot be seen from here."""
    directory = find_attempt(run)
    return None if directory is None else storage.join(directory, LOG)


def read_progress(run: Run) -> JobProgress | None:
    """How far the run is, None if that cannot be seen."""
    try:
        data = _read_file(run, "progress.json")
        return None if data is None else JobProgress.from_json(data)
    except GlueMLError:  # progress is a comfort: nobody waits for it
        return None


def read_result(run: Run) -> JobResult | None:
    """What came of the run in detail, None if that cannot be seen."""
    try:
        data = _read_file(run, "result.json")
        return None if data is None else JobResult.from_json(data)
    except GlueMLError:  # the API has told the essence of it
        return None


class FileLog:
    """The log of an attempt as text, read piece by piece while it grows."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._read = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read_more(self) -> str:
        """What has come since the last look. Raises AccessError or UnavailableError."""
        try:
            data = storage.read_bytes(self._uri)
        except NotFoundError:
            return ""
        more, self._read = data[self._read :], len(data)
        return self._decoder.decode(more)


class CloudLog:
    """The log of a run in CloudWatch Logs, read event by event while it grows; `logs` is a boto3 client."""

    def __init__(self, logs: Any, *, group: str, run_id: str) -> None:
        self._logs = logs
        self._asked = {"logGroupName": group, "logStreamNamePrefix": run_id}
        self._seen: set[str] = set()

    def read_more(self) -> str:
        """What has come since the last look. Raises what `explain_aws_failure` makes of a failure."""
        events = [event for event in self._list_events() if event["eventId"] not in self._seen]
        self._seen.update(event["eventId"] for event in events)
        return "".join(f"{event['message'].rstrip()}\n" for event in events)

    def _list_events(self) -> Iterator[Mapping[str, Any]]:
        from botocore.exceptions import BotoCoreError, ClientError

        group = self._asked["logGroupName"]
        try:
            for page in self._logs.get_paginator("filter_log_events").paginate(**self._asked):
                yield from page["events"]
        except self._logs.exceptions.ResourceNotFoundException:
            return
        except BotoCoreError as error:
            raise storage.explain_aws_failure(f"The log group {group} cannot be read", error) from error
        except ClientError as error:
            raise UnavailableError(f"The log group {group} cannot be read: {error}") from error


def open_log(run: Run, *, attempt: int | None = None) -> FileLog | CloudLog | None:
    """The log of a run, None if there is none yet, or no such attempt."""
    if run.log_group.startswith(_SCHEMES):
        directory = find_attempt(run, attempt)
        return None if directory is None else FileLog(storage.join(directory, LOG))
    if not run.log_group:
        return None
    import boto3

    logs = boto3.client("logs", region_name=boto3.Session().region_name or DEFAULT_REGION)
    return CloudLog(logs, group=run.log_group, run_id=run.address.run_id)


def _read_file(run: Run, name: str) -> bytes | None:
    directory = find_attempt(run)
    if directory is None:
        return None
    try:
        return storage.read_bytes(storage.join(directory, name))
    except NotFoundError:
        return None
