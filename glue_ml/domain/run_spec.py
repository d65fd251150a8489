"""From a run and its transform to what its job is told: the `JobSpec`, or the arguments of a user's script."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from glue_ml.domain.job import BLOCKING_PLANS, COMPONENT_METHODS, JobSpec, TableSpec, TaskType
from glue_ml.domain.task_run import Run
from glue_ml.domain.transform import Transform
from glue_ml.errors import InputError

OUTPUT_FORMATS = ("parquet", "csv", "json", "delta")

_FLAGS: Mapping[str, bool] = {"true": True, "false": False}


@dataclass(frozen=True)
class RunSettings:
    """What every run of an account shares.

    `storage_uri` is the root of labels, models and run directories; jobs read their tables from `catalog_endpoint`,
    and sign for `region`.
    """

    storage_uri: str
    catalog_endpoint: str | None = None
    region: str = "us-east-1"
    label_file_limit_mb: int = 10
    semantic_encoder: str = "auto"
    connected_components: str = "auto"
    blocking_plan: str = "auto"


def make_spec(run: Run, transform: Transform, *, settings: RunSettings) -> JobSpec:
    """What the job of a task run is told. InputError if an argument of the run is missing or malformed."""
    if run.task_type is None:
        raise InputError(f"The run {run.run_id} is of no task type")
    parameters, folder = transform.parameters, locate_transform(transform.transform_id, settings)
    return JobSpec(
        task_type=run.task_type,
        transform_id=transform.transform_id,
        primary_key=parameters.primary_key,
        tables=tuple(_read_table(table) for table in transform.tables),
        precision_recall_tradeoff=parameters.precision_recall_tradeoff,
        accuracy_cost_tradeoff=parameters.accuracy_cost_tradeoff,
        enforce_provided_labels=bool(parameters.enforce_provided_labels),
        labels_uri=f"{folder}/labels",
        models_uri=f"{folder}/models",
        label_file_limit_mb=settings.label_file_limit_mb,
        semantic_encoder=settings.semantic_encoder,
        catalog_endpoint=settings.catalog_endpoint,
        region=settings.region,
        work_uri=f"{locate_attempt(run, settings)}/work" if run.task_type is TaskType.FIND_MATCHES else None,
        **{
            "connected_components": settings.connected_components,
            "blocking_plan": settings.blocking_plan,
            **_read_places(run, run.task_type),
        },
    )


def make_script_arguments(run: Run) -> tuple[str, ...]:
    """The arguments of a user's script, as Glue gives them: who it is, then the run's own as pairs."""
    names = {"--JOB_NAME": run.job_name, "--JOB_ID": run.job_name, "--JOB_RUN_ID": run.job_run_id}
    pairs = {name: value for name, value in names.items() if value is not None}
    pairs |= {str(name): str(value) for name, value in run.properties.get("arguments", {}).items()}
    return tuple(part for pair in pairs.items() for part in pair)


def locate_transform(transform_id: str, settings: RunSettings) -> str:
    """The URI of the folder that holds the labels and the models of a transform."""
    return f"{settings.storage_uri.rstrip('/')}/transforms/{transform_id}"


def locate_run(run: Run, settings: RunSettings) -> str:
    """The URI of the folder that holds the run directories of a run's attempts."""
    return run.log_group or f"{settings.storage_uri.rstrip('/')}/runs/{run.run_id}"


def locate_attempt(run: Run, settings: RunSettings) -> str:
    """The URI of the run directory of the present attempt."""
    return f"{locate_run(run, settings)}/{run.attempt}"


def _read_table(table: Mapping[str, Any]) -> TableSpec:
    return TableSpec(
        database=table["DatabaseName"],
        table=table["TableName"],
        catalog_id=table.get("CatalogId"),
        options=dict(table.get("AdditionalOptions") or {}),
    )


def _read_places(run: Run, task_type: TaskType) -> dict[str, Any]:
    """Where this kind of run reads from and writes to, as members of a JobSpec."""
    match task_type:
        case TaskType.IMPORT_LABELS:
            return {"input_uri": run.properties["input"], "replace_labels": run.properties["replace"]}
        case TaskType.EXPORT_LABELS | TaskType.LABELING_SET_GENERATION:
            return {"output_uri": run.properties["output"]}
        case TaskType.FIND_MATCHES:
            return _read_arguments(run.properties.get("arguments") or {})
        case _:
            return {}


def _read_arguments(arguments: Mapping[str, str]) -> dict[str, Any]:
    output = arguments.get("--OutputPath")
    if not output:
        raise InputError("The job run has no argument --OutputPath; give the folder that the matches go to")
    members: dict[str, Any] = {
        "output_uri": output,
        "output_format": _choose(arguments, "--OutputFormat", OUTPUT_FORMATS),
        "compute_match_confidence_scores": _read_flag(arguments, "--ComputeMatchConfidenceScores"),
    }
    if explanations := arguments.get("--ExplanationPath"):
        members["explanations_uri"] = explanations
    if "--ExplainedLinks" in arguments:
        members["explained_links"] = _read_count(arguments, "--ExplainedLinks")
    if state := arguments.get("--MatchStatePath"):
        members["match_state_uri"] = state
    if "--MergeMatches" in arguments:
        members["merge_matches"] = _read_flag(arguments, "--MergeMatches")
    if "--ConnectedComponents" in arguments:
        members["connected_components"] = _choose(arguments, "--ConnectedComponents", COMPONENT_METHODS)
    if "--BlockingPlan" in arguments:
        members["blocking_plan"] = _choose(arguments, "--BlockingPlan", BLOCKING_PLANS)
    if existing := arguments.get("--ExistingMatchesPath"):
        members["existing_matches_uri"] = existing
        if "--ExistingMatchesFormat" in arguments:
            members["existing_matches_format"] = _choose(arguments, "--ExistingMatchesFormat", OUTPUT_FORMATS)
    return members


def _choose(arguments: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    """Return the choice that an argument names, in any case; the first one where it is not given."""
    chosen = arguments.get(name, choices[0]).lower()
    if chosen not in choices:
        raise InputError(f"The job run's argument {name} is {chosen!r}; use one of {', '.join(choices)}")
    return chosen


def _read_count(arguments: Mapping[str, str], name: str) -> int:
    text = arguments[name]
    if not is_link_count(text):
        raise InputError(f"The job run's argument {name} is {text!r}; use a whole number from 1 to 1000000")
    return int(text)


def is_link_count(text: str) -> bool:
    """Whether the text is a number of links that may be explained of a group: 1 to 1,000,000."""
    return text.isascii() and text.isdigit() and len(text) <= 7 and 1 <= int(text) <= 1_000_000


def _read_flag(arguments: Mapping[str, str], name: str) -> bool:
    text = arguments.get(name, "false")
    try:
        return _FLAGS[text.lower()]
    except KeyError:
        raise InputError(f"The job run's argument {name} is {text!r}; use true or false") from None
