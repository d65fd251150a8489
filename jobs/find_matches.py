"""Give every row of a table a match id: rows with equal ids are the same thing."""

import os
import re
import sys
from dataclasses import replace

from pyspark.sql import DataFrame, SparkSession

from glue_ml.catalog import read_tables, write_table
from glue_ml.domain.job import JobResult, JobSpec, TableSpec, TaskType
from glue_ml.errors import InputError
from glue_ml.job_runner import Progress, chain_progress, read_input, require_uri, run_job
from glue_ml.matching import MatchResult
from glue_ml.matching.find_matches import FIT_STAGES, MATCH_STAGES
from glue_ml.matching.incremental import count_groups, match_increment, prepare_increment
from glue_ml.matching.registry import load_or_train_model
from glue_ml.matching.table import quote


def find_matches(spark: SparkSession, spec: JobSpec, progress: Progress) -> JobResult:
    """Match with the model of the present labels and write the table with its match ids, all or nothing.

    With `existing_matches_uri` the tables hold new rows: all rows are written, and the ids of the existing ones stay.
    """
    output, df = require_uri(spec, "output_uri"), read_input(spark, spec)
    training, matching, writing = chain_progress(progress, len(FIT_STAGES), len(MATCH_STAGES), 1)
    if spec.existing_matches_uri is None:
        found = _match(spark, spec, df, training, matching)
    else:
        check_apart(output, spec.existing_matches_uri)
        found = _match_increment(spark, spec, df, training, matching)
    writing("write the matches", 0, 1)
    write_table(found.matches, output, format=spec.output_format)
    writing("write the matches", 1, 1)
    return JobResult(True, counts=found.counts, plan=found.plan, paths={"matches": output}, seconds=found.seconds)


def check_apart(output: str, existing: str) -> None:
    """Raise InputError where one of the two places is, or is in, the other: writing would touch what is there."""
    one, other = _spell(output), _spell(existing)
    if one.startswith(other) or other.startswith(one):
        raise InputError(
            f"the output {output} and the existing matches {existing} are in the same place, which would replace "
            "what is read; name another folder for the output"
        )


def _spell(uri: str) -> str:
    """The one way to write a URI that has several, ending in a slash."""
    scheme, _, path = uri.rpartition(":/")
    if scheme.lower() in ("", "file"):
        return os.path.join(os.path.realpath(f"/{path.lstrip('/')}" if scheme else uri), "")
    return re.sub("/+", "/", f"{scheme.lower().replace('s3a', 's3')}:/{path}/")


def _match(spark: SparkSession, spec: JobSpec, df: DataFrame, training: Progress, matching: Progress) -> MatchResult:
    model = load_or_train_model(spark, spec, df, training)
    model.progress = matching
    return model.find_matches(df, scores=spec.compute_match_confidence_scores)


def _match_increment(
    spark: SparkSession, spec: JobSpec, df: DataFrame, training: Progress, matching: Progress
) -> MatchResult:
    existing = read_tables(spark, [TableSpec(path=spec.existing_matches_uri, format=spec.existing_matches_format)])
    increment = prepare_increment(existing, df, primary_key=spec.primary_key)
    model = load_or_train_model(spark, spec, increment.rows.select(*map(quote, df.columns)), training)
    model.progress = matching
    found = match_increment(increment, model, scores=spec.compute_match_confidence_scores)
    return replace(found, counts={**found.counts, **count_groups(found.matches)})


if __name__ == "__main__":
    sys.exit(run_job(find_matches, task_type=TaskType.FIND_MATCHES))
