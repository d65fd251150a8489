"""The scheduler's side of run directories: writes `spec.json`, and reads `result.json` as often as is cheap."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from glue_ml import storage
from glue_ml.domain.job import JobError, JobResult, JobSpec, TaskType
from glue_ml.domain.task_run import Run
from glue_ml.errors import AccessError, ErrorKind, GlueMLError, InputError, NotFoundError, UnavailableError

REMOTE_INTERVAL = timedelta(seconds=2)  #: Between two looks for a result where each is a request that costs.

#: Counts that a result must have, as the transform learns from them.
_NEEDED_COUNTS: Mapping[TaskType, tuple[str, ...]] = {TaskType.IMPORT_LABELS: ("version", "total_rows")}


def write_spec(directory: str, spec: JobSpec) -> None:
    """Put the spec where the job looks for it. Raises what `storage.write_bytes` raises."""
    storage.write_bytes(storage.join(directory, "spec.json"), spec.to_json().encode())


class ResultFiles:
    """Reads the results of running jobs; remembers those that it has read and when it last looked for others."""

    def __init__(self) -> None:
        self._read: dict[str, JobResult] = {}
        self._looked_on: dict[str, datetime] = {}

    def find(self, run: Run, directory: str, *, ended: bool, now: datetime) -> JobResult | None:
        """The result of the run's present attempt, None if there is none yet.

        One that cannot be used is a failed result which says so. After the application `ended` it is looked for in any
        case, and UnavailableError says that the storage cannot tell; before, what cannot be read is no result yet.
        """
        token = run.token
        if token not in self._read:
            if not ended and self._is_too_soon(token, directory, now):
                return None
            self._looked_on[token] = now
            found = _read_result(run, directory, ended=ended)
            if found is None:
                return None
            self._read[token] = found
        return self._read[token]

    def forget(self, token: str) -> None:
        """Drop what is remembered of an attempt."""
        self._read.pop(token, None)
        self._looked_on.pop(token, None)

    def _is_too_soon(self, token: str, directory: str, now: datetime) -> bool:
        looked_on = self._looked_on.get(token)
        remote = directory.startswith(("s3://", "s3a://"))
        return remote and looked_on is not None and now - looked_on < REMOTE_INTERVAL


def parse_result(data: bytes, task_type: TaskType | None) -> JobResult:
    """A result as a job wrote it. InputError if it is no result, or lacks what the transform learns from it."""
    try:
        result = JobResult.from_json(data)
        json.dumps(result.to_dict(), allow_nan=False)  # a database would refuse what is no number
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"JobResult is malformed: {error}") from error
    if not _is_well_typed(result):
        raise InputError("JobResult is malformed: a member is of another type than it must be")
    if result.succeeded and task_type is not None:
        _check_counts(result, _NEEDED_COUNTS.get(task_type, ()))
    return result


def _is_well_typed(result: JobResult) -> bool:
    told = result.error is None or (isinstance(result.error, JobError) and isinstance(result.error.message, str))
    mappings = all(isinstance(member, Mapping) for member in (result.counts, result.metrics, result.paths))
    return told and mappings and isinstance(result.succeeded, bool)


def _check_counts(result: JobResult, needed: tuple[str, ...]) -> None:
    for name in needed:
        count = result.counts.get(name)
        if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count < 2**63:
            raise InputError(f"JobResult is malformed: its counts have no usable {name!r}")


def _read_result(run: Run, directory: str, *, ended: bool) -> JobResult | None:
    uri = storage.join(directory, "result.json")
    try:
        return parse_result(storage.read_bytes(uri), run.task_type)
    except NotFoundError:
        return None
    except (UnavailableError, AccessError) as error:
        if not ended:
            return None
        if isinstance(error, UnavailableError):
            raise
        return _fail(error, f"The result of the job cannot be read: {error}")
    except GlueMLError as error:
        return _fail(error, f"The result of the job cannot be used: {error} ({uri})")


def _fail(error: GlueMLError, message: str) -> JobResult:
    kind = ErrorKind.INTERNAL if isinstance(error, InputError) else error.kind
    return JobResult(False, error=JobError(kind, message))
