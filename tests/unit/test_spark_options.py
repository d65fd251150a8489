"""Command lines of spark-submit, as lists."""

from __future__ import annotations

from dataclasses import replace

from glue_ml.domain.capacity import LocalResources, SparkResources
from glue_ml.launchers.launcher import Application
from glue_ml.launchers.spark_options import render_local, render_standalone
from glue_ml.session import QUICK_JVM

APPLICATION = Application(
    "tsk-1-1", "glue-ml EVALUATION tsk-1; rm -rf /", "/jobs/evaluation.py", ("--run-directory", "file:///a b"),
    "file:///a b", SparkResources(1, 1, 1, 1, 1, 1, 1), {"SECRET": "x"}, {"spark.z": "1", "spark.a": "b c"},
)  # fmt: skip


def test_a_local_application_is_told_its_cores_its_heap_and_its_configuration() -> None:
    assert render_local(APPLICATION, LocalResources(2, 512)) == [
        "--master", "local[2]",
        "--driver-memory", "512m",
        "--name", "glue-ml EVALUATION tsk-1; rm -rf /",
        "--conf", "spark.a=b c",
        "--conf", f"spark.driver.defaultJavaOptions={QUICK_JVM}",
        "--conf", "spark.driver.host=127.0.0.1",
        "--conf", "spark.ui.enabled=false",
        "--conf", "spark.z=1",
        "/jobs/evaluation.py",
        "--run-directory", "file:///a b",
    ]  # fmt: skip


def test_the_configuration_of_an_application_wins_over_that_of_local_mode() -> None:
    told = render_local(replace(APPLICATION, conf={"spark.ui.enabled": "true"}), LocalResources(1, 256))
    assert told[8:12] == ["--conf", "spark.driver.host=127.0.0.1", "--conf", "spark.ui.enabled=true"]
    assert "spark.ui.enabled=false" not in told


def test_an_application_without_arguments_ends_with_its_script() -> None:
    told = render_local(replace(APPLICATION, arguments=(), conf={}), LocalResources(1, 256))
    assert told[-1] == "/jobs/evaluation.py"


def test_a_standalone_cluster_is_told_the_cores_of_all_executors_as_it_counts_nothing_else() -> None:
    resources = SparkResources(4, 2, 3_686, 4_506, 2, 1_024, 512)
    sized = replace(APPLICATION, conf={"spark.executor.memory": "600m", "spark.a": "b c"})
    assert render_standalone(sized, resources, master="spark://127.0.0.1:7077") == [
        "--master", "spark://127.0.0.1:7077",
        "--name", "glue-ml EVALUATION tsk-1; rm -rf /",
        "--conf", "spark.a=b c",
        "--conf", "spark.cores.max=8",
        "--conf", "spark.driver.memory=1024m",
        "--conf", "spark.executor.cores=2",
        "--conf", "spark.executor.memory=600m",
        "/jobs/evaluation.py",
        "--run-directory", "file:///a b",
    ]  # fmt: skip
