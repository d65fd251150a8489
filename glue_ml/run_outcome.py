"""What came of a run that has succeeded, in sentences: where its files lie, what it counted, how good matches are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from glue_ml.client import Run, name_kind
from glue_ml.console import say, show_matches, show_metrics, show_remarks, show_report_place
from glue_ml.domain.job import JobResult
from glue_ml.run_log import read_result

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient


def show_outcome(glue: GlueClient, run: Run) -> None:
    """Print it: what the API tells, and what the run's own result tells where that can be read from here."""
    kind = name_kind(run.kind)
    say(f"The {kind} {run.address.run_id} has succeeded after {run.seconds} s.")
    if show := _SHOW.get(run.kind):
        show(glue, run, read_result(run))


def _show_evaluation(glue: GlueClient, run: Run, result: JobResult | None) -> None:
    if run.address.transform_id is None:
        return
    told = glue.get_ml_transform(TransformId=run.address.transform_id).get("EvaluationMetrics", {})
    if metrics := told.get("FindMatchesMetrics"):
        show_metrics(metrics, None if result is None else result.metrics)
    if result is not None:
        show_report_place(result.paths.get("report"), None)
        show_remarks(result.remarks)


def _show_import(glue: GlueClient, run: Run, result: JobResult | None) -> None:
    counts = {} if result is None else result.counts
    if "rows" in counts:
        blank = f" ({counts['blank']} more have a blank label)" if counts.get("blank") else ""
        say(f"{counts['rows']} labelled rows in {counts.get('sets', 0)} sets were imported{blank}.")
    if run.address.transform_id is not None:
        transform = glue.get_ml_transform(TransformId=run.address.transform_id)
        say(f"The transform {transform['Name']} has {transform['LabelCount']} labels and is {transform['Status']}.")


def _show_labeling_sets(glue: GlueClient, run: Run, result: JobResult | None) -> None:
    counts, place = _read_counts(run, result, "labeling_sets")
    rows = f"{counts['rows']} rows in {counts['sets']} labelling sets" if "sets" in counts else "The labelling sets"
    say(f"{rows} are in {place}. Now fill the column `label`:")
    say("  within one labeling_set_id, rows that mean the same thing get the same label (A, B, ...),")
    say("  a row that matches no other gets a label of its own, and a label left empty says nothing.")
    say("Then import the file: it is the InputS3Path of StartImportLabelsTaskRun.")
    if result is not None:
        show_remarks(result.remarks)


def _show_export(glue: GlueClient, run: Run, result: JobResult | None) -> None:
    counts, place = _read_counts(run, result, "labels_file")
    rows = f"{counts['rows']} labelled rows" if "rows" in counts else "The labels"
    say(f"{rows} are in {place}.")


def _show_matches(glue: GlueClient, run: Run, result: JobResult | None) -> None:
    counts, place = _read_counts(run, result, "matches")
    if "merged_groups" in counts:
        show_matches(counts, place)
    elif place:
        say(f"The matches are in {place}.")
    if result is not None and "explanations" in result.paths:
        say(f"The links that hold the groups together are in {result.paths['explanations']}.")


def _read_counts(run: Run, result: JobResult | None, path: str) -> tuple[Mapping[str, int], str]:
    """What a run counted, and where it wrote: the file that its result names, else the folder that it was given."""
    if result is None:
        return {}, run.output or ""
    return result.counts, result.paths.get(path) or run.output or ""


_SHOW: Mapping[str, Callable[[GlueClient, Run, JobResult | None], None]] = {
    "EVALUATION": _show_evaluation,
    "IMPORT_LABELS": _show_import,
    "LABELING_SET_GENERATION": _show_labeling_sets,
    "EXPORT_LABELS": _show_export,
    "FIND_MATCHES": _show_matches,
}
