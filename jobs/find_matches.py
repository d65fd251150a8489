"""Give every row of a table a match id: rows with equal ids are the same thing."""

import sys

from pyspark.sql import SparkSession

from glue_ml.catalog import write_table
from glue_ml.domain.job import JobResult, JobSpec, TaskType
from glue_ml.job_runner import Progress, chain_progress, read_input, require_uri, run_job
from glue_ml.matching.find_matches import FIT_STAGES, MATCH_STAGES
from glue_ml.matching.registry import load_or_train_model


def find_matches(spark: SparkSession, spec: JobSpec, progress: Progress) -> JobResult:
    """Match with the model of the present labels and write the table with its match ids, all or nothing."""
    output, df = require_uri(spec, "output_uri"), read_input(spark, spec)
    training, matching, writing = chain_progress(progress, len(FIT_STAGES), len(MATCH_STAGES), 1)
    model = load_or_train_model(spark, spec, df, training)
    model.progress = matching
    found = model.find_matches(df, scores=spec.compute_match_confidence_scores)
    writing("write the matches", 0, 1)
    write_table(found.matches, output, format=spec.output_format)
    writing("write the matches", 1, 1)
    return JobResult(True, counts=found.counts, plan=found.plan, paths={"matches": output}, seconds=found.seconds)


if __name__ == "__main__":
    sys.exit(run_job(find_matches, task_type=TaskType.FIND_MATCHES))
