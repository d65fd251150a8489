"""How the end of a task, good or bad, becomes a `result.json`, with Spark's real errors."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from glue_ml.domain.job import JobProgress, JobResult, JobSpec, TableSpec, TaskType
from glue_ml.errors import InputError, NotReadyError
from glue_ml.job_runner import Progress, read_input, run_job
from glue_ml.session import find_session

SPEC = JobSpec(TaskType.EVALUATION, "tfm-1", "id")
Run = Callable[[Callable[[SparkSession, JobSpec, Progress], JobResult]], tuple[int, dict[str, Any]]]


@pytest.fixture
def run(spark: SparkSession, tmp_path: Path) -> Run:
    """Runs a task in a new run directory; gives the exit code and the members of the result."""
    (tmp_path / "spec.json").write_text(SPEC.to_json())

    def carry_out(task: Callable[[SparkSession, JobSpec, Progress], JobResult]) -> tuple[int, dict[str, Any]]:
        code = run_job(lambda: task, task_type=TaskType.EVALUATION, arguments=["--run-directory", tmp_path.as_uri()])
        assert find_session() is spark
        assert spark.range(2).count() == 2
        return code, json.loads((tmp_path / "result.json").read_bytes())

    return carry_out


def test_a_task_gets_the_session_and_the_spec(run: Run, spark: SparkSession) -> None:
    def task(session: SparkSession, spec: JobSpec, progress: Progress) -> JobResult:
        assert session is spark
        return JobResult(True, counts={"rows": session.range(7).count()}, paths={"key": spec.primary_key})

    code, result = run(task)
    assert code == 0
    assert result["succeeded"] is True
    assert result["error"] is None
    assert result["counts"] == {"rows": 7}
    assert result["paths"] == {"key": "id"}
    assert result["seconds"]["total"] >= 0


def test_progress_is_there_from_the_start_and_is_replaced(run: Run, tmp_path: Path) -> None:
    seen = []

    def task(_: SparkSession, __: JobSpec, progress: Progress) -> JobResult:
        seen.append(JobProgress.from_json((tmp_path / "progress.json").read_bytes()))
        progress("block", 1, 4)
        seen.append(JobProgress.from_json((tmp_path / "progress.json").read_bytes()))
        return JobResult(True)

    assert run(task)[0] == 0
    assert seen == [JobProgress("start Spark", 0, 1), JobProgress("block", 1, 4)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["progress.json", "result.json", "spec.json"]


def _missing_path(spark: SparkSession, _: JobSpec, __: Progress) -> JobResult:
    spark.read.parquet("/nonexistent/table")
    return JobResult(True)


def _missing_column(spark: SparkSession, _: JobSpec, __: Progress) -> JobResult:
    spark.range(1).select("colour")
    return JobResult(True)


def _not_ready(_: SparkSession, __: JobSpec, ___: Progress) -> JobResult:
    raise NotReadyError("no labels yet")


def _refused_by_worker(spark: SparkSession, _: JobSpec, __: Progress) -> JobResult:
    def refuse(batches: Iterable[pd.DataFrame]) -> Iterable[pd.DataFrame]:
        raise InputError("the cell in row 3 is over 1 MB")

    spark.range(1).mapInPandas(refuse, "id long").collect()
    return JobResult(True)


def _no_file_system(spark: SparkSession, _: JobSpec, __: Progress) -> JobResult:
    spark.read.parquet("gopher://host/table")
    return JobResult(True)


def _defect(_: SparkSession, __: JobSpec, ___: Progress) -> JobResult:
    return JobResult(True, counts={"share": 1 // 0})


@pytest.mark.parametrize(
    ("task", "kind", "said"),
    [
        (_missing_path, "NOT_FOUND", "/nonexistent/table"),
        (_missing_column, "INPUT", "colour"),
        (_not_ready, "NOT_READY", "no labels yet"),
        (_refused_by_worker, "INPUT", "the cell in row 3 is over 1 MB"),
        (_no_file_system, "INPUT", "gopher"),
        (_defect, "INTERNAL", "ZeroDivisionError: integer division or modulo by zero"),
    ],
)
def test_a_failure_is_told_in_one_sentence(
    run: Run, task: Callable[[SparkSession, JobSpec, Progress], JobResult], kind: str, said: str
) -> None:
    code, result = run(task)
    assert code == 1
    assert result["succeeded"] is False
    assert result["error"]["kind"] == kind
    assert said in result["error"]["message"]
    for trace in ("\n", "\tat ", "Traceback", "SQLSTATE", "JVM stacktrace"):
        assert trace not in result["error"]["message"]


def test_the_traceback_of_a_defect_is_in_the_log(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    run(_defect)
    assert "_defect" in caplog.text


def test_a_terminated_run_says_so(run: Run) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def task(_: SparkSession, __: JobSpec, ___: Progress) -> JobResult:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
        return JobResult(True)

    code, result = run(task)
    assert code == 1
    assert result["error"]["message"] == "The run was stopped before it was done."
    assert signal.getsignal(signal.SIGTERM) is before


def test_input_needs_a_table(spark: SparkSession) -> None:
    with pytest.raises(InputError, match="names no input table"):
        read_input(spark, SPEC)


def test_a_catalog_table_needs_a_region(spark: SparkSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    spec = JobSpec(TaskType.EVALUATION, "tfm-1", "id", (TableSpec(database="db", table="people"),))
    with pytest.raises(InputError, match="no AWS region is known"):
        read_input(spark, spec)
