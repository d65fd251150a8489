from __future__ import annotations

from contextlib import suppress

from pyspark.sql import SparkSession

from glue_ml.matching.job_descriptions import describe_jobs


def described(spark: SparkSession) -> str | None:
    return spark.sparkContext.getLocalProperty("spark.job.description")


def test_jobs_bear_the_text_only_meanwhile(spark: SparkSession) -> None:
    before = described(spark)
    with describe_jobs(spark, "outer"):
        with describe_jobs(spark, "inner"):
            assert described(spark) == "inner"
        assert described(spark) == "outer"
    assert described(spark) == before


def test_a_failure_takes_the_text_away_too(spark: SparkSession) -> None:
    before = described(spark)
    with suppress(KeyError), describe_jobs(spark, "failing"):
        raise KeyError
    assert described(spark) == before


def test_a_session_without_a_context_is_left_alone() -> None:
    class Remote:
        @property
        def sparkContext(self) -> None:
            raise NotImplementedError

    with describe_jobs(Remote(), "anything"):  # type: ignore[arg-type]
        pass
