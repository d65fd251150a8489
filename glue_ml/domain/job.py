"""The contract between the control half and the data half: what a job is told and what it tells.

A run directory holds `spec.json` (a `JobSpec`, written before the job starts), `progress.json` (a `JobProgress`,
replaced while it runs) and `result.json` (a `JobResult`, written once at its end).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, Self

from glue_ml.errors import ErrorKind, InputError

#: What `connected_components` may be; `matching.components` says what each does.
COMPONENT_METHODS = ("auto", "driver", "graphframes", "contraction")

#: What `blocking_plan` may be; `matching.plan_choice` says what each does.
BLOCKING_PLANS = ("auto", "shipped", "pieces")


class TaskType(StrEnum):
    """The five kinds of task run, as the Glue API names them."""

    EVALUATION = "EVALUATION"
    LABELING_SET_GENERATION = "LABELING_SET_GENERATION"
    IMPORT_LABELS = "IMPORT_LABELS"
    EXPORT_LABELS = "EXPORT_LABELS"
    FIND_MATCHES = "FIND_MATCHES"


class _Document:
    """A frozen dataclass that is kept as one JSON object; unknown members are refused by name."""

    @classmethod
    def from_dict(cls, members: Mapping[str, Any]) -> Self:
        known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
        if unknown := sorted(set(members) - known):
            raise InputError(f"{cls.__name__} has no member {unknown[0]!r}; its members are {sorted(known)}")
        try:
            return cls(**members)
        except TypeError as error:
            raise InputError(f"{cls.__name__} is incomplete: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)  # type: ignore[call-overload, no-any-return]

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        try:
            members = json.loads(text)
        except ValueError as error:
            raise InputError(f"{cls.__name__} is not JSON: {error}") from error
        if not isinstance(members, dict):
            raise InputError(f"{cls.__name__} must be a JSON object, not {type(members).__name__}")
        return cls.from_dict(members)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False)


@dataclass(frozen=True)
class TableSpec(_Document):
    """One input table: either `database` and `table` of a Glue Data Catalog, or a `path` with its `format`.

    `columns` are declared (name, Hive type) pairs of a path-based table; they win over what the file says.
    `options` are the API's AdditionalOptions: `pushDownPredicate` and `catalogPartitionPredicate`.
    """

    database: str | None = None
    table: str | None = None
    catalog_id: str | None = None
    path: str | None = None
    format: str | None = None
    columns: tuple[tuple[str, str], ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple((name, kind) for name, kind in self.columns))
        if (self.path is None) == (self.database is None or self.table is None):
            raise InputError("a table needs either a path, or a database and a table name")


@dataclass(frozen=True)
class JobSpec(_Document):
    """Everything a job needs to know. Tradeoffs are 0 to 1, None where the user left them out (works as 0.5)."""

    task_type: TaskType
    transform_id: str
    primary_key: str
    tables: tuple[TableSpec, ...] = ()
    precision_recall_tradeoff: float | None = None
    accuracy_cost_tradeoff: float | None = None
    enforce_provided_labels: bool = False
    seed: int = 0
    semantic_encoder: str = "auto"  #: What reads the meaning of texts; see `matching.semantic.find_encoder`.
    connected_components: str = "auto"  #: How components are found, one of COMPONENT_METHODS; changes no output.
    blocking_plan: str = "auto"  #: How FIND_MATCHES blocks, one of BLOCKING_PLANS; changes no output.
    work_uri: str | None = None  #: A folder for files of the run, which driver and executors reach.
    labels_uri: str | None = None  #: The Delta table of the imported labels.
    models_uri: str | None = None  #: The folder that holds a model per version.
    input_uri: str | None = None  #: IMPORT_LABELS: the label file.
    output_uri: str | None = None  #: Where labelling sets, exports and matches go.
    output_format: str = "parquet"
    replace_labels: bool = False
    label_file_limit_mb: int = 10
    compute_match_confidence_scores: bool = False
    existing_matches_uri: str | None = None  #: FIND_MATCHES: rows with match ids; then the tables hold new rows.
    existing_matches_format: str | None = None  #: None: told by what is there.
    match_state_uri: str | None = None  #: FIND_MATCHES: what a run leaves so that the next matches changes only.
    merge_matches: bool = False  #: Bring the Delta table of existing matches, which is the output, up to date by MERGE.
    explanations_uri: str | None = None  #: FIND_MATCHES: where the links that hold groups together are explained.
    explained_links: int = 100  #: At most so many links of a group are explained.
    report_uri: str | None = None  #: EVALUATION: the report; None: report.html in the run directory.
    catalog_endpoint: str | None = None
    region: str | None = None

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "task_type", TaskType(self.task_type))
        except ValueError:
            raise InputError(f"task_type {self.task_type!r} is none of {[t.value for t in TaskType]}") from None
        tables = (t if isinstance(t, TableSpec) else TableSpec.from_dict(t) for t in self.tables)
        object.__setattr__(self, "tables", tuple(tables))


@dataclass(frozen=True)
class JobProgress(_Document):
    """How far a running job is: the stage's name and `done` of `total` stages.

    `seconds_left` is the time until its end as it was estimated when this was written; None where nobody can tell yet.
    """

    stage: str
    done: int
    total: int
    seconds_left: float | None = None


@dataclass(frozen=True)
class Stage(_Document):
    """What a stage of a job took: wall seconds, the rows that went in and came out, bytes of what came out in memory.

    None where that is not known. What a row is follows from the stage: a record where the table is read and blocked, a
    candidate pair that goes into the scoring, a pair that may link two records where it comes out and goes into the
    clustering, a group that comes out of that, and a record again where the result is written.
    """

    name: str
    seconds: float
    rows_in: int | None = None
    rows_out: int | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class JobError(_Document):
    """Why a job failed: a kind to act on and one sentence to read."""

    kind: ErrorKind
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", ErrorKind(self.kind))


@dataclass(frozen=True)
class JobResult(_Document):
    """What came of a job: counts, metrics, the physical plan and the paths written; or the error.

    `seconds` are those of the matching by stage and the `total`; `stages` are all stages in the order in which they
    ended, those of a training too. `remarks` are sentences on what else is worth knowing.
    """

    succeeded: bool
    counts: Mapping[str, int] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    error: JobError | None = None
    remarks: tuple[str, ...] = ()
    stages: tuple[Stage, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "remarks", tuple(map(str, self.remarks)))
        stages = (stage if isinstance(stage, Stage) else Stage.from_dict(stage) for stage in self.stages)
        object.__setattr__(self, "stages", tuple(stages))
        if isinstance(self.error, Mapping):
            object.__setattr__(self, "error", JobError.from_dict(self.error))
        if self.succeeded != (self.error is None):
            raise InputError("a job result has an error exactly when it did not succeed")
