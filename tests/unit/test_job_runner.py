"""What a job does before Spark is needed; the rest is in tests/spark."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from glue_ml.domain.job import JobResult, JobSpec, TaskType
from glue_ml.domain.time_left import MATCH_SHARES, WRITE_SHARE, describe_seconds
from glue_ml.errors import InputError
from glue_ml.job_runner import (
    Task,
    _ProgressTeller,
    _RunDirectory,
    chain_progress,
    leave_out_zips,
    require_uri,
    run_job,
)


def _never(*_: object) -> JobResult:
    raise AssertionError("the task must not run")


def _run(directory: Path, task_type: TaskType = TaskType.EVALUATION) -> tuple[int, dict[str, Any]]:
    code = run_job(lambda: _never, task_type=task_type, arguments=["--run-directory", str(directory)])
    result: dict[str, Any] = json.loads((directory / "result.json").read_bytes())
    return code, result


def test_a_missing_spec_leaves_a_result(tmp_path: Path) -> None:
    code, result = _run(tmp_path)
    assert code == 1
    assert result["succeeded"] is False
    assert result["error"]["kind"] == "NOT_FOUND"
    assert "spec.json" in result["error"]["message"]


def test_a_broken_spec_leaves_a_result(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text("{")
    code, result = _run(tmp_path)
    assert code == 1
    assert result["error"]["kind"] == "INPUT"
    assert result["error"]["message"].startswith("JobSpec is not JSON")


def test_a_spec_of_another_task_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(JobSpec(TaskType.FIND_MATCHES, "tfm-1", "id").to_json())
    code, result = _run(tmp_path)
    assert code == 1
    assert result["error"]["kind"] == "INPUT"
    assert "does EVALUATION, but spec.json" in result["error"]["message"]
    assert "asks for FIND_MATCHES" in result["error"]["message"]


def test_a_run_directory_that_cannot_be_written_is_a_failure(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    assert run_job(lambda: _never, task_type=TaskType.EVALUATION, arguments=["--run-directory", str(file)]) == 1
    assert "result.json was not written" in caplog.text


def test_a_task_that_cannot_be_imported_leaves_a_result(tmp_path: Path) -> None:
    def fail() -> Task:
        raise ImportError("No module named 'numpy'")

    (tmp_path / "spec.json").write_text(JobSpec(TaskType.EVALUATION, "tfm-1", "id").to_json())
    assert run_job(fail, task_type=TaskType.EVALUATION, arguments=["--run-directory", str(tmp_path)]) == 1
    result = json.loads((tmp_path / "result.json").read_bytes())
    assert result["error"] == {"kind": "INTERNAL", "message": "ImportError: No module named 'numpy'"}


@pytest.mark.parametrize("task_type", list(TaskType))
def test_help_teaches_the_contract(task_type: TaskType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_job(lambda: _never, task_type=task_type, arguments=["--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    for word in ("spec.json", "progress.json", "result.json", "exit code", task_type, f"{task_type.lower()}.py"):
        assert word in shown


def test_the_run_directory_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_job(lambda: _never, task_type=TaskType.EVALUATION, arguments=[])
    assert ended.value.code == 2
    assert "--run-directory" in capsys.readouterr().err


def test_progress_of_parts_never_goes_back() -> None:
    told: list[tuple[str, int, int]] = []
    first, second = chain_progress(lambda *stage: told.append(stage), 4, 2)
    first("learn", 4, 4)
    second("block", 0, 2)
    second("block", 2, 2)
    assert told == [("learn", 4, 6), ("block", 4, 6), ("block", 6, 6)]


def test_progress_tells_the_time_left_once_a_stage_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shown = iter([0.0, 10.0, 18.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(shown))
    teller, total = _ProgressTeller(_RunDirectory(str(tmp_path)), TaskType.FIND_MATCHES), 10
    told = []
    with caplog.at_level("INFO"):
        for stage, done in (("load the model", 4), ("block", 5), ("score", 6)):
            teller(stage, done, total)
            told.append(json.loads((tmp_path / "progress.json").read_bytes())["seconds_left"])
    read, block, *rest = *MATCH_SHARES, WRITE_SHARE
    first, second = (block + sum(rest)) * 10 / read, sum(rest) * 18 / (read + block)
    assert told == [None, pytest.approx(first, abs=0.1), pytest.approx(second, abs=0.1)]
    assert f"score (6 of 10), {describe_seconds(second)} left" in caplog.text


def test_a_job_of_unknown_length_tells_no_time(tmp_path: Path) -> None:
    teller = _ProgressTeller(_RunDirectory(str(tmp_path)), TaskType.IMPORT_LABELS)
    teller("read", 0, 2)
    teller("read", 1, 2)
    assert json.loads((tmp_path / "progress.json").read_bytes()) == {
        "stage": "read", "done": 1, "total": 2, "seconds_left": None,
    }  # fmt: skip


def test_a_uri_that_is_needed_is_named() -> None:
    spec = JobSpec(TaskType.EXPORT_LABELS, "tfm-1", "id", output_uri="/out")
    assert require_uri(spec, "output_uri") == "/out"
    with pytest.raises(InputError, match="EXPORT_LABELS needs labels_uri"):
        require_uri(spec, "labels_uri")


class TestZipsOfSpark:
    """spark-submit's zips leave the search path where the same Spark was installed by pip, and only there."""

    @pytest.fixture
    def site(self, tmp_path: Path) -> Path:
        for package in ("pyspark", "py4j"):
            (tmp_path / package).mkdir()
            (tmp_path / package / "__init__.py").touch()
        return tmp_path

    def _path(self, site: Path) -> list[str]:
        zips = site / "pyspark" / "python" / "lib"
        return ["/app", str(zips / "pyspark.zip"), str(zips / "py4j-0.10.9.9-src.zip"), "/user/code.zip", str(site)]

    def test_those_of_the_installed_spark_are_left_out(self, site: Path) -> None:
        assert leave_out_zips(self._path(site), str(site / "pyspark")) == ["/app", "/user/code.zip", str(site)]

    def test_another_pyspark_does_not_take_their_place(
        self, site: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        other = tmp_path_factory.mktemp("other")
        (other / "pyspark").mkdir()
        (other / "pyspark" / "__init__.py").touch()
        path = [str(other), *self._path(site)]
        assert leave_out_zips(path, str(site / "pyspark")) == path

    @pytest.mark.parametrize("missing", ["pyspark", "py4j"])
    def test_they_stay_where_only_they_hold_a_package(self, site: Path, missing: str) -> None:
        (site / missing / "__init__.py").unlink()
        (site / missing / "__init__.pyx").touch()
        assert leave_out_zips(self._path(site), str(site / "pyspark")) == self._path(site)

    def test_without_a_home_of_spark_nothing_changes(self, site: Path) -> None:
        assert leave_out_zips(self._path(site), None) == self._path(site)

    def test_this_process_imports_as_before(self) -> None:
        assert leave_out_zips(sys.path, "/nowhere/pyspark") == sys.path
