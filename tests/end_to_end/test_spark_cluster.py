"""FIND_MATCHES on a Spark standalone cluster: many executors, some of which die, and the output of one machine."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from glue_ml.domain.capacity import size_for
from glue_ml.domain.job import JobSpec, TableSpec, TaskType
from glue_ml.domain.transform import Capacity
from glue_ml.job_runner import Task, run_job
from glue_ml.launchers.launcher import Application
from glue_ml.launchers.spark_options import render_standalone
from glue_ml.session import JAR_CACHE
from glue_ml.tasks.find_matches import find_matches
from glue_ml.tasks.import_labels import import_label_file
from glue_ml.tasks.labeling_set_generation import generate_labeling_sets
from tests.standalone import SHORT_JVM, find_spark, make_environment, open_cluster

if TYPE_CHECKING:
    from tests.conftest import People

ROWS = 2_000
DRIVER = Path(__file__).parents[1] / "breaking_driver.py"
IN_PIECES = ("cut", "count", "take", "list candidates", "score")
BREAKABLE = ("list candidates", "meet", "score", "cluster")
TASKS: dict[TaskType, Task] = {
    TaskType.FIND_MATCHES: find_matches,
    TaskType.IMPORT_LABELS: import_label_file,
    TaskType.LABELING_SET_GENERATION: generate_labeling_sets,
}
pytestmark = pytest.mark.skipif(find_spark() is None, reason="PySpark has no bin/spark-class to start a cluster with")


@dataclass(frozen=True)
class Transform:
    """A taught transform in a folder, and the matches that one machine finds with it."""

    folder: Path
    people: People

    def write_spec(self, name: str, task_type: TaskType, **members: Any) -> str:
        directory = self.folder / name
        directory.mkdir()
        spec = JobSpec(
            task_type, "tfm-1", self.people.key, (TableSpec(path=str(self.people.path), format="parquet"),),
            labels_uri=str(self.folder / "labels"), models_uri=str(self.folder / "models"), **members,
        )  # fmt: skip
        (directory / "spec.json").write_text(spec.to_json())
        return str(directory)

    def run_here(self, name: str, task_type: TaskType, **members: Any) -> dict[str, Any]:
        directory = self.write_spec(name, task_type, **members)
        assert run_job(lambda: TASKS[task_type], task_type=task_type, arguments=["--run-directory", directory]) == 0
        result: dict[str, Any] = json.loads((Path(directory) / "result.json").read_bytes())
        return result

    def teach(self) -> None:
        """Label what the transform asks for, and match on this machine."""
        sets = self.run_here("ask", TaskType.LABELING_SET_GENERATION, output_uri=str(self.folder / "sets"))
        answers = self.folder / "answers.csv"
        answers.write_bytes(self.people.answer(Path(sets["paths"]["labeling_sets"]).read_bytes()))
        self.run_here("teach", TaskType.IMPORT_LABELS, input_uri=str(answers))
        members = {"output_uri": str(self.folder / "expected"), "compute_match_confidence_scores": True}
        result = self.run_here("match", TaskType.FIND_MATCHES, **members)
        assert result["plan"]["name"] == "driver"

    def read_matches(self, name: str) -> pa.Table:
        table = pq.read_table(self.folder / name, columns=[self.people.key, "match_id", "match_confidence_score"])
        return table.sort_by(self.people.key)


@dataclass(frozen=True)
class ClusterRun:
    """What a run on a cluster left: its result, and what Spark logged of it."""

    result: Mapping[str, Any]
    events: tuple[Mapping[str, Any], ...]

    def list_events(self, kind: str) -> list[Mapping[str, Any]]:
        return [event for event in self.events if event["Event"] == f"SparkListener{kind}"]

    def tell_busy(self) -> set[str]:
        """The executors that were given tasks."""
        return {event["Task Info"]["Executor ID"] for event in self.list_events("TaskStart")}


@pytest.fixture(scope="module")
def transform(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, make_people_file: Callable[[int], People]
) -> Transform:
    taught = Transform(tmp_path_factory.mktemp("taught"), make_people_file(ROWS))
    taught.teach()
    return taught


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Four workers of four cores; the machine may have fewer, which makes it slow and changes nothing."""
    spark = find_spark()
    assert spark is not None
    with open_cluster(spark, tmp_path_factory.mktemp("cluster"), workers=4, cores=4, memory_mb=1024) as address:
        yield address


@dataclass(frozen=True)
class Submitter:
    """Submits FIND_MATCHES to a cluster as the launcher would, with as little memory as Spark starts with."""

    transform: Transform
    master: str

    def match(self, name: str, capacity: Capacity, *stages: str, **members: Any) -> ClusterRun:
        """Match with executors for `capacity`, of which one is killed in each of `stages`."""
        folder = self.transform.folder
        directory = self.transform.write_spec(
            f"run {name}", TaskType.FIND_MATCHES, output_uri=str(folder / name), connected_components="contraction",
            compute_match_confidence_scores=True, **members,
        )  # fmt: skip
        (folder / f"killed {name}").mkdir()
        (folder / f"events {name}").mkdir()
        application = Application(
            name, f"glue-ml {name}", str(DRIVER),
            (str(folder / f"killed {name}"), *stages, "--", "--run-directory", directory),
            directory, size_for(capacity), conf=self._configure(folder / f"events {name}"),
        )  # fmt: skip
        self._submit(application)
        result = json.loads((Path(directory) / "result.json").read_bytes())
        (log,) = (folder / f"events {name}").iterdir()
        return ClusterRun(result, tuple(map(json.loads, log.read_text().splitlines())))

    def _configure(self, events: Path) -> dict[str, str]:
        return {
            "spark.default.parallelism": "4",
            "spark.driver.extraJavaOptions": SHORT_JVM,
            "spark.driver.host": "127.0.0.1",
            "spark.driver.memory": "600m",
            "spark.eventLog.compress": "false",
            "spark.eventLog.dir": events.as_uri(),
            "spark.eventLog.enabled": "true",
            "spark.eventLog.rolling.enabled": "false",
            "spark.executor.extraJavaOptions": SHORT_JVM,
            "spark.executor.memory": "512m",
            "spark.scheduler.minRegisteredResourcesRatio": "1.0",  # no task starts before all executors are there
            "spark.scheduler.maxRegisteredResourcesWaitingTime": "120s",
            "spark.shuffle.io.maxRetries": "1",  # of fetching from an executor that is dead
            "spark.shuffle.io.retryWait": "1s",
            "spark.sql.shuffle.partitions": "4",
            "spark.ui.enabled": "false",
        }

    def _submit(self, application: Application) -> None:
        spark = find_spark()
        assert spark is not None
        command = render_standalone(application, application.resources, master=self.master)
        done = subprocess.run(
            [str(spark / "bin" / "spark-submit"), *command],
            env=make_environment(spark) | {JAR_CACHE: str(self.transform.folder / "jars.json")},
            capture_output=True, text=True, check=False, timeout=400,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def submitter(transform: Transform, master: str) -> Submitter:
    return Submitter(transform, master)


def test_two_large_workers_are_two_executors_and_both_take_part(submitter: Submitter) -> None:
    found = submitter.match("large", Capacity(worker_type="G.1X", number_of_workers=2))
    added = found.list_events("ExecutorAdded")
    assert [event["Executor Info"]["Total Cores"] for event in added] == [4, 4]
    assert found.tell_busy() == {event["Executor ID"] for event in added}
    assert found.result["plan"]["name"] != "driver"
    assert found.result["plan"]["clustering"]["connected_components"] == "contraction"
    assert submitter.transform.read_matches("large").equals(submitter.transform.read_matches("expected"))


def test_of_four_executors_one_may_die_in_each_stage_and_the_output_stays(submitter: Submitter) -> None:
    found = submitter.match("broken", Capacity(worker_type="Standard", number_of_workers=2), *BREAKABLE)
    added = found.list_events("ExecutorAdded")
    assert {event["Executor Info"]["Total Cores"] for event in added} == {2}
    assert len(added) > 4  # those that the master puts in place of the dead
    assert {event["Executor ID"] for event in added[:4]} <= found.tell_busy()
    check_killed(submitter, "broken", found, BREAKABLE)


def test_in_pieces_one_executor_may_die_in_each_stage_as_well(submitter: Submitter) -> None:
    work = submitter.transform.folder / "work"
    members = {"blocking_plan": "pieces", "work_uri": work.as_uri()}
    found = submitter.match("cut", Capacity(worker_type="Standard", number_of_workers=2), *IN_PIECES, **members)
    assert found.result["plan"]["name"] == "pieces"
    check_killed(submitter, "cut", found, IN_PIECES)
    assert not work.exists()


def check_killed(submitter: Submitter, name: str, found: ClusterRun, stages: Sequence[str]) -> None:
    """Check that an executor was killed in each of the stages, and that the output is what it is without that."""
    folder = submitter.transform.folder / f"killed {name}"
    killed = {path.name: json.loads(path.read_bytes()) for path in folder.iterdir()}
    assert killed.keys() == set(stages)
    assert len({told["pid"] for told in killed.values()}) == len(stages)
    removed = {event["Executor ID"] for event in found.list_events("ExecutorRemoved")}
    assert {told["--executor-id"] for told in killed.values()} <= removed
    assert submitter.transform.read_matches(name).equals(submitter.transform.read_matches("expected"))
