"""Add a label file to the labels of a transform, or put it in their place; a broken file changes nothing."""

import logging
from datetime import UTC, datetime

from pyspark.sql import SparkSession

from glue_ml import storage
from glue_ml.domain.job import JobResult, JobSpec
from glue_ml.domain.labels import check_file_size, check_known_keys, parse_labels
from glue_ml.job_runner import Progress, read_input, require_uri
from glue_ml.matching.label_table import import_labels
from glue_ml.matching.registry import find_known_keys

logger = logging.getLogger(__name__)


def import_label_file(spark: SparkSession, spec: JobSpec, progress: Progress) -> JobResult:
    """Check the file against its size limit, its form and the keys of the table, then commit it as one version."""
    source, labels_uri = require_uri(spec, "input_uri"), require_uri(spec, "labels_uri")
    check_file_size(storage.size(source), limit_mb=spec.label_file_limit_mb)
    df, key = read_input(spark, spec), spec.primary_key
    progress("check the label file", 0, 2)
    limit = spec.label_file_limit_mb
    labels = parse_labels(storage.read_bytes(source), primary_key=key, columns=df.columns, limit_mb=limit)
    check_known_keys(labels.rows, find_known_keys(df, key, {row.key for row in labels.rows}))
    progress("store the labels", 1, 2)
    counts = import_labels(spark, labels_uri, labels.rows, replace=spec.replace_labels, now=datetime.now(UTC))
    for remark in counts.remarks:
        logger.warning("%s", remark)
    told = {name: value for name, value in vars(counts).items() if name != "remarks"} | {"blank": labels.blank}
    return JobResult(True, counts=told, paths={"labels": labels_uri}, remarks=counts.remarks)
