"""Tell how well a transform matches, by its labels: train the model if need be, and report its held-out scores."""

import sys

from pyspark.sql import SparkSession

from glue_ml.domain.job import JobResult, JobSpec, TaskType
from glue_ml.job_runner import Progress, read_input, run_job
from glue_ml.matching.registry import load_or_train_model


def evaluate(spark: SparkSession, spec: JobSpec, progress: Progress) -> JobResult:
    """Write the metrics of the model for the present labels into the result."""
    model = load_or_train_model(spark, spec, read_input(spark, spec), progress)
    evaluation = model.evaluate()
    counts = {"labeled_rows": model.label_count_, "labeled_pairs": evaluation.labeled_pairs}
    return JobResult(True, counts=counts, metrics=evaluation.to_dict())


if __name__ == "__main__":
    sys.exit(run_job(evaluate, task_type=TaskType.EVALUATION))
