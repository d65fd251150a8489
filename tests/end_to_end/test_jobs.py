"""The jobs as a user runs them: `spark-submit jobs/X.py`, each in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from glue_ml.domain.job import JobSpec, TableSpec, TaskType

if TYPE_CHECKING:
    from tests.conftest import People

ROOT = Path(__file__).parents[2]
ROWS = 400
LONGEST = 240


def _spark_submit() -> str:
    beside = Path(sys.executable).parent / "spark-submit"
    found = str(beside) if beside.exists() else shutil.which("spark-submit")
    assert found is not None
    return found


class Transform:
    """Runs the tasks of one transform with spark-submit."""

    def __init__(self, folder: Path, people: People) -> None:
        self.folder, self.people = folder, people

    def prepare(self, task_type: TaskType, name: str, **members: Any) -> Path:
        directory = self.folder / "runs" / name
        directory.mkdir(parents=True)
        spec = JobSpec(
            task_type,
            "tfm-1",
            self.people.key,
            (TableSpec(path=str(self.people.path), format="parquet"),),
            labels_uri=str(self.folder / "labels"),
            models_uri=str(self.folder / "models"),
            **members,
        )
        (directory / "spec.json").write_text(spec.to_json())
        return directory

    def start(self, task_type: TaskType, directory: Path, *options: str) -> subprocess.Popen[str]:
        job = ROOT / "jobs" / f"{task_type.lower()}.py"
        # the environment of a shell in which this virtual environment is not activated
        environment = {**os.environ, "PYSPARK_PYTHON": sys.executable}
        return subprocess.Popen(
            [_spark_submit(), "--master", "local[2]", *options, str(job), "--run-directory", str(directory)],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, task_type: TaskType, name: str, *options: str, **members: Any) -> tuple[int, dict[str, Any], str]:
        directory = self.prepare(task_type, name, **members)
        process = self.start(task_type, directory, *options)
        try:
            log, _ = process.communicate(timeout=LONGEST)
        finally:
            process.kill()
        assert (directory / "result.json").exists(), log
        return process.returncode, json.loads((directory / "result.json").read_bytes()), log


@pytest.fixture(scope="module")
def transform(tmp_path_factory: pytest.TempPathFactory, make_people_file: Callable[[int], People]) -> Transform:
    return Transform(tmp_path_factory.mktemp("jobs"), make_people_file(ROWS))


def test_from_nothing_to_match_ids(transform: Transform) -> None:
    folder, people = transform.folder, transform.people
    defaults = ("--properties-file", str(ROOT / "conf" / "spark-defaults.conf"))

    code, result, log = transform.run(TaskType.LABELING_SET_GENERATION, "sets", output_uri=str(folder / "sets"))
    assert code == 0, log
    (sets,) = (folder / "sets").iterdir()
    assert result["paths"] == {"labeling_sets": str(sets)}
    (folder / "answers.csv").write_bytes(people.answer(sets.read_bytes()))

    code, result, log = transform.run(
        TaskType.IMPORT_LABELS, "import", *defaults, input_uri=str(folder / "answers.csv")
    )
    assert code == 0, log
    assert result["counts"]["total_rows"] >= 50

    code, result, log = transform.run(TaskType.EVALUATION, "evaluation")
    assert code == 0, log
    assert result["metrics"]["f1"] > 0.5

    code, result, log = transform.run(TaskType.FIND_MATCHES, "matches", *defaults, output_uri=str(folder / "matches"))
    assert code == 0, log
    progress = json.loads((folder / "runs" / "matches" / "progress.json").read_bytes())
    assert progress["done"] == progress["total"] > 1
    matches = pq.read_table(folder / "matches")
    assert matches.num_rows == result["counts"]["rows"] == ROWS
    assert matches.column_names == [*people.columns, "match_id"]
    pairs = _pairs(dict(zip(matches[people.key].to_pylist(), matches["match_id"].to_pylist(), strict=True)))
    truth = _pairs(people.truth)
    assert len(pairs & truth) / len(pairs) > 0.8
    assert len(pairs & truth) / len(truth) > 0.8

    code, result, log = transform.run(TaskType.EXPORT_LABELS, "export", output_uri=str(folder / "export"))
    assert code == 0, log
    (exported,) = (folder / "export").iterdir()
    assert exported.name.startswith("tfm-1_labels_")


def test_a_failure_has_an_exit_code_a_result_and_no_stack_trace(transform: Transform) -> None:
    broken = transform.folder / "broken.csv"
    broken.write_bytes(f"labeling_set_id,label,{transform.people.key}\ns,A\n".encode())
    code, result, log = transform.run(TaskType.IMPORT_LABELS, "broken", input_uri=str(broken))
    assert code == 1
    assert result["error"]["kind"] == "INPUT"
    assert result["error"]["message"].startswith("line 2: ")
    assert "Traceback" not in log
    assert "\tat " not in log


def test_a_stopped_job_leaves_a_result(transform: Transform) -> None:
    directory = transform.prepare(TaskType.LABELING_SET_GENERATION, "stopped", output_uri=str(transform.folder / "no"))
    process = transform.start(TaskType.LABELING_SET_GENERATION, directory)
    deadline = time.monotonic() + LONGEST
    while not (directory / "progress.json").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=LONGEST)
    while not (directory / "result.json").exists() and time.monotonic() < deadline:
        time.sleep(0.1)  # spark-submit ends first, and its Python then sees that it is alone
    assert process.returncode != 0
    result = json.loads((directory / "result.json").read_bytes())
    assert result["succeeded"] is False
    assert not (transform.folder / "no").exists()


def _pairs(groups: Any) -> set[tuple[str, str]]:
    members: dict[Any, list[str]] = {}
    for key, group in sorted(groups.items()):
        members.setdefault(group, []).append(str(key))
    return {(a, b) for keys in members.values() for i, a in enumerate(keys) for b in keys[i + 1 :]}
