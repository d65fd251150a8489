"""A user's script for AWS Glue, as a job of the project's own server: it imports `awsglueml` and names a transform."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pyarrow.parquet as pq
import pytest

from glue_ml.app import open_server
from glue_ml.client import add_table
from glue_ml.settings import Settings
from tests.people import f1_score

if TYPE_CHECKING:
    from tests.conftest import People

PATIENCE = 300.0
ACTIVE = ("STARTING", "RUNNING", "STOPPING")
SCRIPT = """
import sys

from awsglueml.transforms import FindMatches
from pyspark.sql import SparkSession

arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
spark = SparkSession.builder.getOrCreate()
people = spark.read.parquet(arguments["--table"])
matches = FindMatches.apply(frame=people, transformId=arguments["--TransformId"], computeMatchConfidenceScores=True)
matches.write.parquet(arguments["--output"])
print("this is", arguments["--JOB_NAME"])
"""


@pytest.fixture
def glue(tmp_path: Path) -> Iterator[Any]:
    settings = Settings(home=str(tmp_path / "home"), port=0, script_roots=((tmp_path / "scripts").as_uri(),))
    with open_server(settings) as endpoint:
        yield boto3.client("glue", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="any",
                           aws_secret_access_key="any")  # fmt: skip


def wait(read: Callable[[], str]) -> str:
    """The status of a run once it has ended."""
    deadline = time.monotonic() + PATIENCE
    while (status := read()) in ACTIVE:
        assert time.monotonic() < deadline
        time.sleep(0.3)
    return status


def test_a_script_of_a_user_finds_matches(glue: Any, tmp_path: Path, make_people_file: Callable[[int], People]) -> None:
    people = make_people_file(250)
    transform = _teach(glue, people, tmp_path / "labels.csv")
    script = tmp_path / "scripts" / "match.py"
    script.parent.mkdir()
    script.write_text(SCRIPT, encoding="utf-8")
    glue.create_job(Name="own", Role="any", Command={"Name": "glueetl", "ScriptLocation": script.as_uri()})
    arguments = {"--TransformId": transform, "--table": str(people.path), "--output": str(tmp_path / "matches")}
    run = glue.start_job_run(JobName="own", Arguments=arguments)["JobRunId"]
    status = wait(lambda: glue.get_job_run(JobName="own", RunId=run)["JobRun"]["JobRunState"])
    told = glue.get_job_run(JobName="own", RunId=run)["JobRun"]
    assert status == "SUCCEEDED", told.get("ErrorMessage")

    (task,) = glue.get_ml_task_runs(TransformId=transform, Filter={"TaskRunType": "FIND_MATCHES"})["TaskRuns"]
    assert task["Properties"]["FindMatchesTaskRunProperties"] == {"JobId": "own", "JobName": "own", "JobRunId": run}
    log = Path(task["LogGroupName"].removeprefix("file://")) / "1" / "spark.log"
    assert "this is own" in log.read_text(encoding="utf-8")
    _check_matches(tmp_path / "matches", people)


def test_a_script_outside_of_the_roots_is_refused(glue: Any, tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    for place in (tmp_path / "elsewhere.py", tmp_path / "scripts" / ".." / "elsewhere.py"):
        command = {"Name": "glueetl", "ScriptLocation": f"file://{place}"}
        with pytest.raises(glue.exceptions.InvalidInputException, match="GLUE_ML_SCRIPT_ROOTS"):
            glue.create_job(Name="own", Role="any", Command=command)


def _teach(glue: Any, people: People, file: Path) -> str:
    """Make a transform and import labels: sets of ten rows, and who they are."""
    add_table(glue, "crm.people", str(people.path))
    transform: str = glue.create_ml_transform(
        Name="people",
        Role="any",
        InputRecordTables=[{"DatabaseName": "crm", "TableName": "people"}],
        Parameters={"TransformType": "FIND_MATCHES", "FindMatchesParameters": {"PrimaryKeyColumnName": people.key}},
    )["TransformId"]
    by_person = sorted(people.truth.items(), key=lambda row: row[1])
    rows = [f"s{i // 10},{entity},{key}" for i, (key, entity) in enumerate(by_person[:100])]
    file.write_text("\n".join([f"labeling_set_id,label,{people.key}", *rows]), encoding="utf-8")
    started = glue.start_import_labels_task_run(TransformId=transform, InputS3Path=file.as_uri())["TaskRunId"]
    assert wait(lambda: glue.get_ml_task_run(TransformId=transform, TaskRunId=started)["Status"]) == "SUCCEEDED"
    assert glue.get_ml_transform(TransformId=transform)["Status"] == "READY"
    return transform


def _check_matches(folder: Path, people: People) -> None:
    matches = pq.read_table(folder)
    assert matches.column_names == [*people.columns, "match_id", "match_confidence_score"]
    assert sorted(map(str, matches[people.key].to_pylist())) == sorted(people.truth)
    found = zip(map(str, matches[people.key].to_pylist()), matches["match_id"].to_pylist(), strict=True)
    entities = {entity: i for i, entity in enumerate(sorted(set(people.truth.values())))}
    assert f1_score(dict(found), {key: entities[entity] for key, entity in people.truth.items()}) > 0.8
