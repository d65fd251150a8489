"""Give every row of a table a match id: rows with equal ids are the same thing."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from pyspark.sql import DataFrame, SparkSession

from glue_ml import storage
from glue_ml.catalog import read_tables, write_table
from glue_ml.catalog.failures import explain_failures
from glue_ml.domain.job import JobResult, JobSpec, TableSpec
from glue_ml.errors import InputError
from glue_ml.job_runner import Progress, chain_progress, read_input, require_uri
from glue_ml.matching import MatchResult
from glue_ml.matching.explained_changes import explain_touched
from glue_ml.matching.find_matches import FIT_STAGES, MATCH_STAGES, FindMatchesModel
from glue_ml.matching.incremental import (
    Increment,
    check_increment,
    count_groups,
    enforced_labels,
    match_increment,
    stack_tables,
)
from glue_ml.matching.kept_matches import (
    LEDGER,
    KeptMatches,
    append_ledger,
    attach_matches,
    keep_state,
    match_first,
    match_next,
    merge_into_delta,
    number_generation,
    open_state,
)
from glue_ml.matching.registry import load_or_train_model
from glue_ml.matching.stages import Stages
from glue_ml.matching.state_files import read_kept_version
from glue_ml.matching.table import quote
from glue_ml.matching.table_version import TableVersion, follow, read_version

WRITE = "write the matches"
CHANGED = "match what changed"


def find_matches(spark: SparkSession, spec: JobSpec, progress: Progress) -> JobResult:
    """Match with the model of the present labels and write the table with its match ids, all or nothing.

    With `existing_matches_uri` the tables hold new rows: all rows are written, and the ids of the existing ones stay.
    With `match_state_uri` a run leaves a state there, and goes on from what is there: only what changed is matched,
    groups are those of a full run, and a ledger tells which ids merged, split or were retired.
    """
    output = require_uri(spec, "output_uri")
    check_explanations(spec, output)
    check_state(spec, output)
    try:
        return _find_matches(spark, spec, progress)
    finally:
        if spec.work_uri is not None:
            storage.remove(spec.work_uri)


def _find_matches(spark: SparkSession, spec: JobSpec, progress: Progress) -> JobResult:
    output, df = require_uri(spec, "output_uri"), read_input(spark, spec)
    training, matching, writing = chain_progress(progress, len(FIT_STAGES), len(MATCH_STAGES), 1)
    if spec.match_state_uri is not None:
        return _match_kept(spark, spec, df, state_uri=spec.match_state_uri, steps=(training, matching, writing))
    find = _match if spec.existing_matches_uri is None else _match_increment
    model, found = find(spark, spec, df, training, matching)
    paths = {"matches": output}
    stages = Stages("match", (WRITE,), writing, spark, list(model.stages_))
    with stages.run(WRITE) as amounts:
        if found.explanations is not None and spec.explanations_uri is not None:
            paths["explanations"] = spec.explanations_uri
            write_table(found.explanations, spec.explanations_uri, format=spec.output_format)
        write_table(found.matches, output, format=spec.output_format)
        amounts.rows_in = amounts.rows_out = found.counts["rows"]
    return JobResult(
        True, counts=found.counts, plan=found.plan, paths=paths, seconds=found.seconds, remarks=model.remarks_,
        stages=tuple(stages.done),
    )  # fmt: skip


def check_explanations(spec: JobSpec, output: str) -> None:
    """Raise InputError where explanations were asked for that cannot be written, before any work is done."""
    if spec.explanations_uri is None:
        return
    if spec.existing_matches_uri is not None and spec.match_state_uri is None:
        raise InputError(
            "explanations of new rows beside existing matches need match_state_uri, which tells the groups that they "
            "touched; name one, or leave out explanations_uri"
        )
    if storage.overlap(output, spec.explanations_uri):
        raise InputError(
            f"the output {output} and the explanations {spec.explanations_uri} are in the same place; name another "
            "folder for the explanations"
        )


def check_state(spec: JobSpec, output: str) -> None:
    """Raise InputError where the members that go with a match state contradict each other."""
    state, existing = spec.match_state_uri, spec.existing_matches_uri
    if spec.merge_matches and (state is None or existing is None or output != existing):
        raise InputError(
            "merge_matches brings the existing matches up to date: it needs match_state_uri, and existing_matches_uri "
            "and output_uri of one Delta table"
        )
    for place in filter(None, (output, existing, spec.explanations_uri)):
        if state is not None and storage.overlap(state, place):
            raise InputError(f"the match state {state} is in the same place as {place}; name another folder for it")
    if existing is not None and not spec.merge_matches:
        check_apart(output, existing)


def check_apart(output: str, existing: str) -> None:
    """Raise InputError where one of the two places is, or is in, the other: writing would touch what is there."""
    if storage.overlap(output, existing):
        raise InputError(
            f"the output {output} and the existing matches {existing} are in the same place, which would replace "
            "what is read; name another folder for the output"
        )


def _match(
    spark: SparkSession, spec: JobSpec, df: DataFrame, training: Progress, matching: Progress
) -> tuple[FindMatchesModel, MatchResult]:
    model = load_or_train_model(spark, spec, df, training)
    model.progress = matching
    limit = None if spec.explanations_uri is None else spec.explained_links
    return model, model.find_matches(df, scores=spec.compute_match_confidence_scores, explained_links=limit)


def _match_increment(
    spark: SparkSession, spec: JobSpec, df: DataFrame, training: Progress, matching: Progress
) -> tuple[FindMatchesModel, MatchResult]:
    stacked = _read_increment(spark, spec, df)
    assert stacked is not None
    increment = check_increment(stacked)
    model = load_or_train_model(spark, spec, increment.rows.select(*map(quote, df.columns)), training)
    model.progress = matching
    found = match_increment(
        increment, model, scores=spec.compute_match_confidence_scores, labels=enforced_labels(model)
    )
    return model, replace(found, counts={**found.counts, **count_groups(found.matches)})


def _match_kept(
    spark: SparkSession, spec: JobSpec, df: DataFrame, *, state_uri: str, steps: Sequence[Progress]
) -> JobResult:
    """Match by the state of the run before: ledger, output and state are written in this order, each all or nothing."""
    training, matching, writing = steps
    scores, output = spec.compute_match_confidence_scores, require_uri(spec, "output_uri")
    version = None  # found before anything is read: what is read later may only be newer, and then shows
    if spec.existing_matches_format in (None, "delta"):
        version = _find_version(spark, spec.existing_matches_uri)
    increment = _read_increment(spark, spec, df)
    if increment is not None and (version is None or version != read_kept_version(state_uri)):
        increment = check_increment(increment)
    rows = df if increment is None else increment.rows
    model = load_or_train_model(spark, spec, rows.select(*map(quote, df.columns)), training)
    stages = Stages("match", (CHANGED,), _stretch(matching, len(MATCH_STAGES)), spark, list(model.stages_))
    with stages.run(CHANGED) as amounts:
        if increment is None:
            kept = match_first(df, model)
        else:
            kept = match_next(increment, model, open_state(state_uri, model), version=version)
        kept = number_generation(spark, state_uri, kept)
        amounts.rows_out = kept.counts.get("rows")
    stages = Stages("match", (WRITE,), writing, spark, stages.done)
    with stages.run(WRITE) as amounts:
        told = _write_explanations(spark, spec, kept, model)
        replaced = version if spec.merge_matches else _find_version(spark, output)
        generation, run = kept.state.generation, f"{spec.transform_id} {kept.state.generation}"
        append_ledger(spark, state_uri, kept.entries, run=run, generation=generation, now=datetime.now(UTC))
        if increment is not None and spec.merge_matches:
            merge_into_delta(output, increment, kept, scores=scores)
        else:
            matches = attach_matches(rows, kept, primary_key=spec.primary_key, scores=scores)
            write_table(matches, output, format=spec.output_format)
        keep_state(state_uri, kept, model, version=follow(replaced, _find_version(spark, output)))
        amounts.rows_in = amounts.rows_out = kept.counts.get("rows")
    paths = {"matches": output, "ledger": storage.join(state_uri, LEDGER)}
    if spec.explanations_uri is not None:
        paths["explanations"] = spec.explanations_uri
    counts = {**kept.counts, **told}
    return JobResult(
        True, counts=counts, paths=paths, remarks=(*model.remarks_, *kept.remarks), stages=tuple(stages.done)
    )


def _find_version(spark: SparkSession, uri: str | None) -> TableVersion | None:
    if uri is None:
        return None
    with explain_failures(f"{uri} cannot be read"):
        return read_version(spark, uri)


def _stretch(progress: Progress, total: int) -> Progress:
    """The progress of one stage that stands for so many."""
    return lambda stage, done, _: progress(stage, done * total, total)


def _write_explanations(
    spark: SparkSession, spec: JobSpec, kept: KeptMatches, model: FindMatchesModel
) -> dict[str, int]:
    """Explain the links of the groups that the run touched, where that is asked for; return what was counted."""
    if spec.explanations_uri is None:
        return {}
    explanations, links = explain_touched(spark, kept, model, limit=spec.explained_links)
    write_table(explanations, spec.explanations_uri, format=spec.output_format)
    return links.counts


def _read_increment(spark: SparkSession, spec: JobSpec, df: DataFrame) -> Increment | None:
    if spec.existing_matches_uri is None:
        return None
    existing = read_tables(spark, [TableSpec(path=spec.existing_matches_uri, format=spec.existing_matches_format)])
    return stack_tables(existing, df, primary_key=spec.primary_key)
