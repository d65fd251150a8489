"""Command lines of spark-submit, as lists."""

from __future__ import annotations

from glue_ml.domain.capacity import LocalResources, SparkResources
from glue_ml.launchers.launcher import Application
from glue_ml.launchers.spark_options import render_local


def test_a_local_application_is_told_its_cores_its_heap_and_its_configuration() -> None:
    application = Application(
        "tsk-1-1", "glue-ml EVALUATION tsk-1; rm -rf /", "/jobs/evaluation.py", ("--run-directory", "file:///a b"),
        "file:///a b", SparkResources(1, 1, 1, 1, 1, 1, 1), {"SECRET": "x"}, {"spark.z": "1", "spark.a": "b c"},
    )  # fmt: skip
    assert render_local(application, LocalResources(2, 512)) == [
        "--master", "local[2]",
        "--driver-memory", "512m",
        "--name", "glue-ml EVALUATION tsk-1; rm -rf /",
        "--conf", "spark.a=b c",
        "--conf", "spark.z=1",
        "/jobs/evaluation.py",
        "--run-directory", "file:///a b",
    ]  # fmt: skip
