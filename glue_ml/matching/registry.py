"""The trained models of a transform: one folder for each version of the labels and the settings they were used with.

Training happens in whichever job first finds no model for the present labels. Two jobs that train at once write the
same files, as the same labels and settings give the same model; `model.json`, written last, completes a version.
"""

from __future__ import annotations

import hashlib
import json
import logging

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from glue_ml import __version__, storage
from glue_ml.domain.job import JobSpec
from glue_ml.domain.labels import LabeledRow, labeled_pairs
from glue_ml.errors import InputError, NotFoundError, NotReadyError
from glue_ml.matching.find_matches import FIT_STAGES, FindMatches, FindMatchesModel
from glue_ml.matching.job_descriptions import describe_jobs
from glue_ml.matching.label_table import label_version, read_versioned_labels
from glue_ml.matching.plan_choice import parse_plan
from glue_ml.matching.stages import Progress
from glue_ml.matching.table import quote

logger = logging.getLogger(__name__)


def load_or_train_model(spark: SparkSession, spec: JobSpec, df: DataFrame, progress: Progress) -> FindMatchesModel:
    """The model of the present labels and settings: the stored one, or one trained on `df` now and stored.

    Raises NotReadyError unless the labels hold both a match and a non-match.
    """
    model = _load_present(spec, df, progress)
    if model is None:
        version, labels = _read_labels_at(spark, spec)
        if not _are_usable(labels):
            raise NotReadyError(
                f"The transform {spec.transform_id} is not ready: it needs labels with at least one match and one "
                "non-match. Generate labelling sets, label them and import them first"
            )
        logger.info("training a model on %d labelled rows", len(labels))
        model = make_find_matches(spec, progress).fit(df, labels)
        uri = locate_model(spec, df.columns, version)
        if uri is not None:
            model.save(uri)
    model.progress, model.connected_components = progress, spec.connected_components
    model.blocking_plan, model.work_folder = parse_plan(spec.blocking_plan), spec.work_uri
    return model


def _load_present(spec: JobSpec, df: DataFrame, progress: Progress) -> FindMatchesModel | None:
    """The stored model of the present labels, if there is one; it was trained on them, so they need not be read.

    To read them takes Delta five Spark jobs, and a JVM that has just started ten seconds.
    """
    version = None if spec.labels_uri is None else label_version(spec.labels_uri)
    uri = None if version is None else locate_model(spec, df.columns, version)
    return None if uri is None else _load(uri, progress)


def make_find_matches(spec: JobSpec, progress: Progress) -> FindMatches:
    """An untrained engine with the settings of `spec`."""
    return FindMatches(
        primary_key=spec.primary_key,
        precision_recall_tradeoff=spec.precision_recall_tradeoff,
        accuracy_cost_tradeoff=spec.accuracy_cost_tradeoff,
        enforce_provided_labels=spec.enforce_provided_labels,
        seed=spec.seed,
        semantic_encoder=spec.semantic_encoder,
        progress=progress,
        reuse_prepared=True,
        connected_components=spec.connected_components,
    )


def _read_labels_at(spark: SparkSession, spec: JobSpec) -> tuple[int | None, list[LabeledRow]]:
    """The version of the labels and the labels of just that version; None and none before the first import."""
    if spec.labels_uri is None:
        raise InputError(f"the spec of {spec.task_type} needs labels_uri")
    with describe_jobs(spark, "train: read the labels"):
        return read_versioned_labels(spark, spec.labels_uri)


def _are_usable(labels: list[LabeledRow]) -> bool:
    """Whether a model can be trained on `labels`: they hold a match and a non-match."""
    return len({pair.is_match for pair in labeled_pairs(labels)}) == 2


def locate_model(spec: JobSpec, columns: list[str], version: int | None) -> str | None:
    """The folder of the model for a label version, these settings and table columns; None where models are not kept."""
    if spec.models_uri is None:
        return None
    settings = {
        "primary_key": spec.primary_key,
        "precision_recall_tradeoff": spec.precision_recall_tradeoff,
        "accuracy_cost_tradeoff": spec.accuracy_cost_tradeoff,
        "enforce_provided_labels": spec.enforce_provided_labels,
        "seed": spec.seed,
        "semantic_encoder": spec.semantic_encoder,
        "columns": columns,
        "glue_ml": __version__,
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    return storage.join(spec.models_uri, f"{version:06d}-{digest}")


def _load(uri: str, progress: Progress) -> FindMatchesModel | None:
    try:
        model = FindMatchesModel.load(uri)
        if model.model_.semantics is not None:
            model.model_.semantics.open()
    except NotFoundError:
        return None
    except InputError as error:
        logger.warning("training again, as the stored model cannot be used: %s", error)
        return None
    progress("load the model", len(FIT_STAGES), len(FIT_STAGES))
    return model


def find_known_keys(df: DataFrame, primary_key: str, keys: set[str]) -> set[str]:
    """Those of `keys` that occur in `df` as text; the table may be far too large to collect all of its keys."""
    column = F.col(quote(primary_key)).cast("string").alias("key")
    asked = df.sparkSession.createDataFrame([(key,) for key in sorted(keys)], "key string")
    return {row["key"] for row in df.select(column).join(F.broadcast(asked), "key", "left_semi").distinct().collect()}
