"""Tell how well a transform matches, by its labels: train the model if need be, and report its held-out scores."""

import logging
from datetime import UTC, datetime

from pyspark.sql import SparkSession

from glue_ml.domain.job import JobResult, JobSpec
from glue_ml.job_runner import Progress, chain_progress, read_input, require_uri
from glue_ml.matching.evaluation import tell_quality
from glue_ml.matching.evaluation_report import write_report
from glue_ml.matching.find_matches import FIT_STAGES
from glue_ml.matching.registry import load_or_train_model
from glue_ml.matching.stages import Stages

REPORT = "write the report"

logger = logging.getLogger(__name__)


def evaluate(spark: SparkSession, spec: JobSpec, progress: Progress) -> JobResult:
    """Write the metrics of the model for the present labels into the result, and the report beside it.

    A remark tells what more labels are expected to bring; the metrics hold it as `expected_gain`.
    Without the packages of the extra `report` the result says in a remark that there is none.
    """
    df, report = read_input(spark, spec), require_uri(spec, "report_uri")
    training, reporting = chain_progress(progress, len(FIT_STAGES), 1)
    model = load_or_train_model(spark, spec, df, training)
    evaluation = model.evaluate()
    for sentence in tell_quality(evaluation):
        logger.info("%s", sentence)
    stages = Stages("evaluate", (REPORT,), reporting, spark, list(model.stages_))
    with stages.run(REPORT):
        title = f"How well {spec.transform_id} matches"
        remark = write_report(model, df, report, title=title, now=datetime.now(UTC))
    if remark is not None:
        logger.warning("%s", remark)
    gain = model.expected_gain_
    if gain is not None:
        logger.info("%s", gain)
    counts = {"labeled_rows": model.label_count_, "labeled_pairs": evaluation.labeled_pairs}
    metrics = evaluation.to_dict() | {"expected_gain": None if gain is None else gain.to_dict()}
    remarks = tuple(str(told) for told in (remark, gain) if told is not None)
    paths = {"report": report} if remark is None else {}
    return JobResult(True, counts=counts, metrics=metrics, paths=paths, remarks=remarks, stages=tuple(stages.done))
