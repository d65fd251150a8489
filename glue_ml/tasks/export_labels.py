"""Write the labels of a transform as one CSV, in the form in which they can be imported again."""

import uuid
from datetime import UTC, datetime

from pyspark.sql import SparkSession

from glue_ml import storage
from glue_ml.domain.job import JobResult, JobSpec
from glue_ml.domain.labels import export_name, render_labels
from glue_ml.errors import NotFoundError
from glue_ml.job_runner import Progress, require_uri
from glue_ml.matching.label_table import read_labels


def export_label_file(spark: SparkSession, spec: JobSpec, progress: Progress) -> JobResult:
    """Write all labels below `output_uri`; NotFoundError if there are none."""
    folder, labels_uri = require_uri(spec, "output_uri"), require_uri(spec, "labels_uri")
    progress("read the labels", 0, 2)
    rows = read_labels(spark, labels_uri)
    if not rows:
        raise NotFoundError(f"No labelset exists for transformId [{spec.transform_id}]")
    progress("write the file", 1, 2)
    columns = list(dict.fromkeys(name for row in rows for name in row.attributes))
    path = storage.join(folder, export_name(spec.transform_id, datetime.now(UTC), str(uuid.uuid4())))
    storage.write_bytes(path, render_labels(rows, primary_key=spec.primary_key, columns=columns))
    return JobResult(True, counts={"rows": len(rows)}, paths={"labels_file": path})
