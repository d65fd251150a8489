"""A machine-learning transform: what it matches, with which settings, and how far it has been taught."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from glue_ml.domain.job import JobResult, TaskType

DEFAULT_GLUE_VERSION = "0.9"
DEFAULT_MAX_CAPACITY = 10.0  #: DPU
DEFAULT_TIMEOUT = 2880  #: minutes
MAX_SCHEMA_COLUMNS = 100


class TransformStatus(StrEnum):
    """How far a transform is, as the Glue API names it."""

    NOT_READY = "NOT_READY"  #: It has no labels that it could learn from.
    READY = "READY"  #: It has labels with a match and a non-match.
    DELETING = "DELETING"  #: Its runs are being stopped and its files removed.


@dataclass(frozen=True)
class Capacity:
    """What a run may use: MaxCapacity in DPU, or workers of a type; both where the type makes MaxCapacity follow."""

    max_capacity: float | None = None
    worker_type: str | None = None
    number_of_workers: int | None = None


@dataclass(frozen=True)
class MatchParameters:
    """The settings of FindMatches; tradeoffs are 0 to 1, None where the user left them out (works as 0.5)."""

    primary_key: str
    precision_recall_tradeoff: float | None = None
    accuracy_cost_tradeoff: float | None = None
    enforce_provided_labels: bool | None = None


@dataclass(frozen=True)
class Transform:
    """A transform as it is stored; `tables` and `encryption` are kept as the API gave them.

    `schema` holds (column, Hive type) pairs in the order of the table, `label_version` is the version of the labels
    that `label_count` (labelled rows) was counted at, and `metrics` are those of the last evaluation, in the words of
    `Evaluation.to_dict`.
    """

    transform_id: str
    name: str
    role: str
    parameters: MatchParameters
    tables: tuple[Mapping[str, Any], ...]
    schema: tuple[tuple[str, str], ...]
    created_on: datetime
    last_modified_on: datetime
    capacity: Capacity = Capacity(max_capacity=DEFAULT_MAX_CAPACITY)
    status: TransformStatus = TransformStatus.NOT_READY
    description: str | None = None
    glue_version: str = DEFAULT_GLUE_VERSION
    timeout: int = DEFAULT_TIMEOUT
    max_retries: int = 0
    encryption: Mapping[str, Any] | None = None
    label_count: int = 0
    label_version: int | None = None
    metrics: Mapping[str, Any] | None = field(default=None)

    def __post_init__(self) -> None:
        if self.created_on.tzinfo is None or self.last_modified_on.tzinfo is None:
            raise ValueError("the times of a transform must have a time zone")


def learn_from_run(transform: Transform, task_type: TaskType, result: JobResult, now: datetime) -> Transform:
    """The transform after a task run succeeded: an import teaches it, an evaluation measures it.

    An import of an older version of the labels than is counted already changes nothing: runs may end in another order
    than they committed in.
    """
    if task_type is TaskType.EVALUATION:
        return replace(transform, metrics=dict(result.metrics), last_modified_on=now)
    if task_type is not TaskType.IMPORT_LABELS:
        return transform
    version = result.counts["version"]
    if transform.label_version is not None and version < transform.label_version:
        return transform
    status = TransformStatus.READY if transform.status is TransformStatus.NOT_READY else transform.status
    return replace(
        transform,
        status=status,
        label_count=result.counts["total_rows"],
        label_version=version,
        last_modified_on=now,
    )
