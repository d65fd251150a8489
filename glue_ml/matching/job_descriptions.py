"""What Spark's web page and event log say of a job: the stage of the run that it belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession

_DESCRIPTION = "spark.job.description"


@contextmanager
def describe_jobs(spark: SparkSession, text: str) -> Iterator[None]:
    """Let the jobs that this thread starts meanwhile bear `text`; afterwards what was said before holds again.

    Nothing is said under Spark Connect, which has no such description.
    """
    try:
        context = spark.sparkContext
    except (AttributeError, NotImplementedError, RuntimeError):
        yield
        return
    before = context.getLocalProperty(_DESCRIPTION)
    context.setLocalProperty(_DESCRIPTION, text)
    try:
        yield
    finally:
        # null takes the property away, which the signature does not know
        context.setLocalProperty(_DESCRIPTION, before)  # type: ignore[arg-type]
