"""`FindMatches` and `FindIncrementalMatches` with the arguments that AWS Glue documents.

The argument names are AWS's. `stageThreshold` and `totalThreshold`, the numbers of bad records that Glue tolerates, do
nothing here: there are no records that could be skipped. Nor do `transformation_ctx` and `info`.
"""

from __future__ import annotations

import logging
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from glue_ml.awsglueml.control_plane import TaughtTransform, fetch_transform
from glue_ml.awsglueml.frames import Frame, name_columns, select_columns, unwrap_frame, wrap_frame
from glue_ml.catalog.failures import explain_failures
from glue_ml.errors import InputError
from glue_ml.matching import FindMatchesModel
from glue_ml.matching.enforced import merge_groups, read_enforced
from glue_ml.matching.incremental import enforced_labels, match_increment, prepare_increment
from glue_ml.matching.registry import load_or_train_model
from glue_ml.matching.table import CONFIDENCE, MATCH_ID, check_table
from glue_ml.session import DELTA_EXTENSION

logger = logging.getLogger(__name__)


class _GlueTransform:
    """What all transforms of Glue's scripts have."""

    @classmethod
    def name(cls) -> str:
        """The transform's name."""
        return cls.__name__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(self, "apply")(*args, **kwargs)  # noqa: B009 - each transform has arguments of its own


class FindMatches(_GlueTransform):
    """Finds the rows of a frame that are the same thing."""

    @classmethod
    def apply(
        cls,
        frame: Frame,
        transformId: str,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
        enforcedMatches: object = None,
        computeMatchConfidenceScores: int | bool = 0,
    ) -> Frame:
        """Return `frame` with `match_id` (long; equal means same), as a frame of the same class.

        The transform's columns are compared; others are carried along. `computeMatchConfidenceScores` adds
        `match_confidence_score` (0 to 1, one for each group). `enforcedMatches` is a frame of rows that shall share a
        group: with the primary key and `match_id`, or with two columns of primary keys.

        Raises InputError, NotFoundError, NotReadyError, AccessError or UnavailableError of `glue_ml.errors`.
        """
        _note_ignored(cls.name(), stageThreshold, totalThreshold)
        scores = bool(computeMatchConfidenceScores)
        df = unwrap_frame(frame, subject="frame")
        with explain_failures(f"matches cannot be found with {transformId}"):
            transform = _open_transform(df.sparkSession, transformId)
            rows = _name_rows(df, transform, subject="frame")
            check_table(
                rows, primary_key=transform.spec.primary_key, reserved=(MATCH_ID, CONFIDENCE) if scores else (MATCH_ID,)
            )
            sets = _read_sets(enforcedMatches, transform)
            matches = _find_model(rows, transform).find_matches(rows, scores=scores).matches
            if sets is not None:
                matches = merge_groups(matches, sets, primary_key=transform.spec.primary_key)
            added = matches.columns[len(df.columns) :]
            return wrap_frame(matches.toDF(*df.columns, *added), like=frame)


class FindIncrementalMatches(_GlueTransform):
    """Finds what new rows are the same thing as rows that were matched before, or as each other."""

    @classmethod
    def apply(
        cls,
        existingFrame: Frame,
        incrementalFrame: object,
        transformId: str,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
        enforcedMatches: object = None,
        computeMatchConfidenceScores: int | bool = 0,
    ) -> Frame:
        """Return the rows of both frames with `match_id`, as a frame of the class of `existingFrame`.

        `existingFrame` is the output of an earlier run; no id in it changes. See `match_increment` for those of the new
        rows, and `FindMatches.apply` for the other arguments and what is raised. A key may be in one frame only.
        An `incrementalFrame` without columns, which is what Glue makes of no files, has no rows.
        """
        _note_ignored(cls.name(), stageThreshold, totalThreshold)
        existing = unwrap_frame(existingFrame, subject="existingFrame")
        new = unwrap_frame(incrementalFrame, subject="incrementalFrame")
        with explain_failures(f"incremental matches cannot be found with {transformId}"):
            transform = _open_transform(existing.sparkSession, transformId)
            old_rows = _name_rows(existing, transform, subject="existingFrame")
            new_rows = _name_rows(new, transform, subject="incrementalFrame") if new.columns else _empty_like(old_rows)
            increment = prepare_increment(old_rows, new_rows, primary_key=transform.spec.primary_key)
            sets = _read_sets(enforcedMatches, transform)
            model = _find_model(increment.rows, transform)
            scores = bool(computeMatchConfidenceScores)
            found = match_increment(increment, model, scores=scores, enforced=sets, labels=enforced_labels(model))
            matches = found.matches
            spelled = {name.casefold(): name for name in (*new.columns, *existing.columns)}
            spelled |= {MATCH_ID: MATCH_ID, CONFIDENCE: CONFIDENCE}
            names = (spelled.get(name.casefold(), name) for name in matches.columns)
            return wrap_frame(matches.toDF(*names), like=existingFrame)


def _note_ignored(name: str, stage_threshold: int, total_threshold: int) -> None:
    if stage_threshold or total_threshold:
        logger.debug("%s ignores stageThreshold %s and totalThreshold %s", name, stage_threshold, total_threshold)


def _open_transform(spark: SparkSession, transform_id: str) -> TaughtTransform:
    """The transform, once it is sure that this session can read its labels."""
    if DELTA_EXTENSION not in (spark.conf.get("spark.sql.extensions", "") or ""):
        raise InputError(
            "this Spark session has no Delta, in which the labels are kept; start the script with spark-submit "
            "--properties-file conf/spark-defaults.conf, or take the session of glue_ml.session.open_session()"
        )
    return fetch_transform(transform_id)


def _name_rows(df: DataFrame, transform: TaughtTransform, *, subject: str) -> DataFrame:
    needed = dict.fromkeys((transform.spec.primary_key, *transform.columns))
    return name_columns(df, list(needed), subject=subject)


def _empty_like(existing: DataFrame) -> DataFrame:
    own = [name for name in existing.columns if name.casefold() not in (MATCH_ID, CONFIDENCE)]
    return select_columns(existing, own).limit(0)


def _find_model(rows: DataFrame, transform: TaughtTransform) -> FindMatchesModel:
    """The model of the transform's own columns, so that the jobs and all scripts share it."""
    columns = select_columns(rows, transform.columns) if transform.columns else rows
    return load_or_train_model(rows.sparkSession, transform.spec, columns, _log_progress)


def _log_progress(stage: str, done: int, total: int) -> None:
    logger.info("%s (%d of %d)", stage, done, total)


def _read_sets(frame: object, transform: TaughtTransform) -> pa.Table | None:
    if frame is None:
        return None
    enforced = unwrap_frame(frame, subject="enforcedMatches")
    return read_enforced(enforced, primary_key=transform.spec.primary_key)
