"""Write a file of labelling sets: the rows whose labels would teach a transform most, for people to judge."""

import logging
import uuid

from pyspark.sql import SparkSession

from glue_ml import storage
from glue_ml.domain.job import JobResult, JobSpec
from glue_ml.domain.labels import LabeledRow, render_labels
from glue_ml.errors import NotReadyError
from glue_ml.job_runner import Progress, chain_progress, read_input, require_uri
from glue_ml.matching.find_matches import FIT_STAGES, LABEL_STAGES
from glue_ml.matching.registry import load_or_train_model, make_find_matches

logger = logging.getLogger(__name__)


def generate_labeling_sets(spark: SparkSession, spec: JobSpec, progress: Progress) -> JobResult:
    """Choose the sets with what the labels so far have taught, or without any label, and write them as one CSV.

    Where there are labels a remark tells what more of them are expected to bring.
    """
    folder, df = require_uri(spec, "output_uri"), read_input(spark, spec)
    training, choosing = chain_progress(progress, len(FIT_STAGES), len(LABEL_STAGES))
    try:
        model = load_or_train_model(spark, spec, df, training)
    except NotReadyError:
        model = make_find_matches(spec, training).fit(df)
    model.progress = choosing
    records = [record.asDict() for record in model.labeling_sets(df).collect()]
    key = spec.primary_key
    rows = [LabeledRow(r.pop("labeling_set_id"), r.pop("label"), r[key], r) for r in records]
    path = storage.join(folder, f"{spec.transform_id}_{uuid.uuid4()}.csv")
    storage.write_bytes(path, render_labels(rows, primary_key=key, columns=df.columns))
    counts = {"rows": len(rows), "sets": len({row.labeling_set_id for row in rows})}
    gain = model.expected_gain_
    if gain is not None:
        logger.info("%s", gain)
    remarks = () if gain is None else (str(gain),)
    return JobResult(True, counts=counts, paths={"labeling_sets": path}, remarks=remarks, stages=tuple(model.stages_))
