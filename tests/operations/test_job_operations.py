"""Jobs and their runs: definitions, which scripts may be run, arguments, limits and stopping."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from glue_ml.domain.job import TaskType
from glue_ml.domain.task_run import Run, RunStatus
from glue_ml.errors import AlreadyExistsError, ConcurrentRunsExceededError, EntityNotFoundError, InvalidInputError
from glue_ml.operations.context import Context, Limits, Members
from glue_ml.operations.job_runs import batch_stop_job_run, get_job_run, get_job_runs, start_job_run
from glue_ml.operations.jobs import batch_get_jobs, create_job, delete_job, get_job, get_jobs, list_jobs, update_job
from glue_ml.operations.scripts import BUILTIN, check_script
from glue_ml.operations.stopping import request_stop
from glue_ml.operations.tags import get_tags
from glue_ml.operations.task_runs import get_ml_task_runs
from glue_ml.operations.transforms import create_ml_transform, delete_ml_transform
from glue_ml.store import runs as store
from tests.operations.conftest import NOW, MakeContext

MakeTable = Callable[..., Members]
ROLE = "arn:aws:iam::000000000000:role/glue"
COMMAND = {"Name": "glueetl", "ScriptLocation": BUILTIN}


def create(context: Context, name: str = "match", **members: Any) -> None:
    create_job(context, {"Name": name, "Role": ROLE, "Command": COMMAND, **members})


@pytest.fixture
def transform(context: Context, make_table: MakeTable) -> str:
    make_table()
    request = {
        "Name": "people",
        "Role": ROLE,
        "InputRecordTables": [{"DatabaseName": "db", "TableName": "people"}],
        "Parameters": {"TransformType": "FIND_MATCHES", "FindMatchesParameters": {"PrimaryKeyColumnName": "id"}},
    }
    return str(create_ml_transform(context, request)["TransformId"])


@pytest.fixture
def arguments(transform: str, tmp_path: Path) -> dict[str, str]:
    return {"--TransformId": transform, "--OutputPath": f"file://{tmp_path}/out"}


def find_run(context: Context, job_run_id: str, job: str = "match") -> Run:
    with context.database.reading() as connection:
        run = store.find_job_run(connection, job, job_run_id)
    assert run is not None
    return run


def end(context: Context, job_run_id: str, *, job: str = "match") -> None:
    with context.database.writing() as connection:
        run = find_run(context, job_run_id, job)
        changes = {"completed_on": NOW + timedelta(minutes=2), "released": True}
        assert store.move_run(connection, run, RunStatus.SUCCEEDED, now=NOW, note="", changes=changes)


def test_a_job_is_told_with_its_defaults(context: Context) -> None:
    create(context, Description="Match", DefaultArguments={"--a": "1"}, Connections={"Connections": ["x"]})
    assert get_job(context, {"JobName": "match"})["Job"] == {
        "Name": "match",
        "Role": ROLE,
        "Command": COMMAND,
        "Description": "Match",
        "DefaultArguments": {"--a": "1"},
        "Connections": {"Connections": ["x"]},
        "ExecutionProperty": {"MaxConcurrentRuns": 1},
        "MaxRetries": 0,
        "Timeout": 2880,
        "MaxCapacity": 10.0,
        "AllocatedCapacity": 10,
        "CreatedOn": NOW,
        "LastModifiedOn": NOW,
    }


def test_a_name_in_use_is_refused(context: Context) -> None:
    create(context)
    with pytest.raises(AlreadyExistsError, match="Job with name match already exists"):
        create(context)


def test_an_update_replaces_the_definition_in_full(make_context: MakeContext) -> None:
    create(make_context(), Description="old", Timeout=5, MaxCapacity=3.0, DefaultArguments={"--a": "1"})
    later = make_context(now=NOW + timedelta(hours=1))
    update = {"Role": "other", "Command": {"ScriptLocation": BUILTIN}, "WorkerType": "G.2X", "NumberOfWorkers": 2}
    assert update_job(later, {"JobName": "match", "JobUpdate": update}) == {"JobName": "match"}
    job = get_job(later, {"JobName": "match"})["Job"]
    assert (job["Role"], job["Timeout"], job["Command"]) == ("other", 2880, COMMAND)
    assert (job["WorkerType"], job["NumberOfWorkers"]) == ("G.2X", 2)
    assert {"Description", "DefaultArguments"} & set(job) == set()
    assert (job["CreatedOn"], job["LastModifiedOn"]) == (NOW, NOW + timedelta(hours=1))


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"Name": " "}, "Name cannot be blank"),
        ({"Role": ""}, "Role is missing"),
        ({"Command": {}}, "Command is missing"),
        ({"Command": {"Name": "glueetl"}}, r"Command\.ScriptLocation is missing"),
        ({"Command": {"Name": "pythonshell", "ScriptLocation": BUILTIN}}, r"Command\.Name 'pythonshell'"),
        ({"Command": {"Name": "gluestreaming", "ScriptLocation": BUILTIN}}, r"Command\.Name 'gluestreaming'"),
        ({"Command": {"Name": "glueray", "ScriptLocation": BUILTIN}}, r"Command\.Name 'glueray'"),
        ({"Command": {"ScriptLocation": "builtin://other"}}, "does not exist. Use builtin://find_matches"),
        ({"Command": {"ScriptLocation": "s3://b/x.py"}}, "GLUE_ML_SCRIPT_ROOTS"),
        ({"MaxRetries": -1}, "non-negative"),
        ({"ExecutionProperty": {"MaxConcurrentRuns": 0}}, "MaxConcurrentRuns is 0"),
        ({"MaxCapacity": 5.0, "WorkerType": "G.1X", "NumberOfWorkers": 2}, "MaxCapacity"),
        ({"WorkerType": "G.1X"}, "NumberOfWorkers"),
        ({"MaxCapacity": float("nan")}, "MaxCapacity"),
        ({"MaxCapacity": 5.0, "AllocatedCapacity": 6}, "set MaxCapacity only"),
        ({"Tags": {"aws:x": "1"}}, "reserved"),
    ],
)
def test_a_definition_that_makes_no_sense_is_refused(context: Context, members: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        create_job(context, {"Name": "match", "Role": ROLE, "Command": COMMAND, **members})
    assert get_jobs(context, {})["Jobs"] == []


def test_an_update_needs_a_role_and_a_command(context: Context) -> None:
    create(context)
    for update in ({"Role": ROLE}, {"Command": COMMAND}):
        with pytest.raises(InvalidInputError, match="is missing"):
            update_job(context, {"JobName": "match", "JobUpdate": update})


def test_the_old_name_of_max_capacity_is_understood(context: Context) -> None:
    create(context, AllocatedCapacity=4)
    job = get_job(context, {"JobName": "match"})["Job"]
    assert (job["MaxCapacity"], job["AllocatedCapacity"]) == (4.0, 4)


def test_what_does_not_exist_is_not_found_but_deletes(context: Context) -> None:
    with pytest.raises(EntityNotFoundError, match=r"Job match not found\."):
        get_job(context, {"JobName": "match"})
    with pytest.raises(EntityNotFoundError, match=r"Job match not found\."):
        update_job(context, {"JobName": "match", "JobUpdate": {"Role": ROLE, "Command": COMMAND}})
    with pytest.raises(EntityNotFoundError, match=r"Job match not found\."):
        start_job_run(context, {"JobName": "match"})
    with pytest.raises(EntityNotFoundError, match=r"Job match not found\."):
        get_job_runs(context, {"JobName": "match"})
    assert delete_job(context, {"JobName": "match"}) == {"JobName": "match"}


def test_jobs_are_listed_by_name_in_pages_and_by_tags(context: Context) -> None:
    for name in ("c", "a", "b"):
        create(context, name, Tags={"team": "data", "first": "yes" if name == "a" else "no"})
    page = list_jobs(context, {"MaxResults": 2})
    assert page["JobNames"] == ["a", "b"]
    assert list_jobs(context, {"MaxResults": 2, "NextToken": page["NextToken"]})["JobNames"] == ["c"]
    assert list_jobs(context, {"Tags": {"team": "data", "first": "no"}})["JobNames"] == ["b", "c"]
    assert [job["Name"] for job in get_jobs(context, {})["Jobs"]] == ["a", "b", "c"]
    with pytest.raises(InvalidInputError, match="another"):
        get_jobs(context, {"NextToken": page["NextToken"]})
    found = batch_get_jobs(context, {"JobNames": ["b", "none", "a"]})
    assert [job["Name"] for job in found["Jobs"]] == ["b", "a"]
    assert found["JobsNotFound"] == ["none"]


def test_a_job_goes_with_its_tags(context: Context) -> None:
    arn = {"ResourceArn": "arn:aws:glue:us-east-1:000000000000:job/match"}
    create(context, Tags={"a": "b"})
    assert get_tags(context, arn)["Tags"] == {"a": "b"}
    delete_job(context, {"JobName": "match"})
    create(context)
    assert get_tags(context, arn)["Tags"] == {}


@pytest.mark.parametrize(
    ("location", "run"),
    [
        ("s3://bucket/scripts/a.py", "s3://bucket/scripts/a.py"),
        ("s3a://bucket/scripts//deep/a.py", "s3://bucket/scripts/deep/a.py"),
        ("file://{root}/a.py", "file://{root}/a.py"),
        ("{root}/x/../a.py", "file://{root}/a.py"),
        ("file://localhost{root}/b/a.py", "file://{root}/b/a.py"),
    ],
)
def test_a_script_below_a_root_may_be_run(make_context: MakeContext, tmp_path: Path, location: str, run: str) -> None:
    root = (tmp_path / "scripts").resolve()
    context = make_context(script_roots=("s3://bucket/scripts/", f"file://{root}"))
    assert check_script(context, location.format(root=root)) == run.format(root=root)


@pytest.mark.parametrize(
    "location",
    [
        "s3://bucket/scripts",
        "s3://bucket/scripts2/a.py",
        "s3://other/scripts/a.py",
        "s3://bucket/scripts/../a.py",
        "s3://bucket/scripts/./../../x/a.py",
        "s3://bucket/scripts/%2e%2e/a.py",
        "s3://bucket/scripts\\..\\a.py",
        "s3://bucket/other/a.py#/scripts/",
        "s3://bucket/x?/scripts/a.py",
        "s3:///bucket/scripts/a.py",
        "https://bucket/scripts/a.py",
        "file://host{root}/a.py",
        "file://{root}/../a.py",
        "{root}/../scripts2/a.py",
        "{root}/link/a.py",
        "{root}",
        "scripts/a.py",
        "file:scripts/a.py",
        "{root}/a\x00.py",
        "{root}/" + "a" * 5000,
        "s3://[bucket/scripts/a.py",
        "",
    ],
)
def test_a_script_elsewhere_is_refused(make_context: MakeContext, tmp_path: Path, location: str) -> None:
    root = (tmp_path / "scripts").resolve()
    (tmp_path / "outside").mkdir()
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "outside")
    context = make_context(script_roots=("s3://bucket/scripts", f"{root}"))
    with pytest.raises(InvalidInputError, match=r"Command\.ScriptLocation"):
        check_script(context, location.format(root=root))
    with pytest.raises(InvalidInputError, match=r"Command\.ScriptLocation"):
        create(context, Command={"ScriptLocation": location.format(root=root)})


def test_a_root_that_was_taken_away_is_noticed_at_the_start(make_context: MakeContext) -> None:
    create(make_context(script_roots=("s3://b/x",)), Command={"ScriptLocation": "s3://b/x/a.py"})
    with pytest.raises(InvalidInputError, match="GLUE_ML_SCRIPT_ROOTS"):
        start_job_run(make_context(script_roots=("s3://b/y",)), {"JobName": "match"})


def test_a_run_is_a_task_run_of_its_transform(context: Context, arguments: dict[str, str], tmp_path: Path) -> None:
    create(context, DefaultArguments=arguments, Timeout=7, MaxRetries=2, GlueVersion="4.0")
    job_run_id = start_job_run(context, {"JobName": "match"})["JobRunId"]
    assert job_run_id.startswith("jr_")
    assert len(job_run_id) == 3 + 64
    run = find_run(context, job_run_id)
    assert (run.task_type, run.transform_id, run.is_script) == (
        TaskType.FIND_MATCHES,
        arguments["--TransformId"],
        False,
    )
    assert (run.timeout, run.max_retries, run.status) == (7, 2, RunStatus.STARTING)
    told = get_job_run(context, {"JobName": "match", "RunId": job_run_id})["JobRun"]
    assert told == {
        "Id": job_run_id,
        "Attempt": 0,
        "JobName": "match",
        "StartedOn": NOW,
        "LastModifiedOn": NOW,
        "JobRunState": "STARTING",
        "Arguments": arguments,
        "PredecessorRuns": [],
        "ExecutionTime": 0,
        "Timeout": 7,
        "MaxCapacity": 10.0,
        "AllocatedCapacity": 10,
        "LogGroupName": f"file://{tmp_path}/storage/runs/{run.run_id}",
        "GlueVersion": "4.0",
    }
    tasks = get_ml_task_runs(context, {"TransformId": arguments["--TransformId"]})["TaskRuns"]
    assert [task["Properties"]["FindMatchesTaskRunProperties"]["JobRunId"] for task in tasks] == [job_run_id]


def test_arguments_are_overlaid(context: Context, arguments: dict[str, str]) -> None:
    fixed = {"--OutputFormat": "csv"}
    create(context, DefaultArguments={**arguments, "--a": "1", "--b": "1"}, NonOverridableArguments=fixed)
    asked = {"--OutputFormat": "json", "--b": "2", "--TempDir": "s3://x/"}
    job_run_id = start_job_run(context, {"JobName": "match", "Arguments": asked})["JobRunId"]
    assert find_run(context, job_run_id).properties["arguments"] == {
        **arguments, "--a": "1", "--b": "2", "--TempDir": "s3://x/", "--OutputFormat": "csv"
    }  # fmt: skip


def test_a_run_may_have_its_own_time_and_capacity(context: Context, arguments: dict[str, str]) -> None:
    create(context, DefaultArguments=arguments, WorkerType="G.1X", NumberOfWorkers=3)
    capacity = {"WorkerType": "G.2X", "NumberOfWorkers": 2}
    own = start_job_run(context, {"JobName": "match", "Timeout": 9, **capacity})["JobRunId"]
    told = get_job_run(context, {"JobName": "match", "RunId": own})["JobRun"]
    assert (told["Timeout"], told["WorkerType"], told["NumberOfWorkers"]) == (9, "G.2X", 2)
    end(context, own)
    of_job = start_job_run(context, {"JobName": "match"})["JobRunId"]
    told = get_job_run(context, {"JobName": "match", "RunId": of_job})["JobRun"]
    assert (told["WorkerType"], told["NumberOfWorkers"]) == ("G.1X", 3)
    end(context, of_job)
    with pytest.raises(InvalidInputError, match=r"WorkerType|NumberOfWorkers"):
        start_job_run(context, {"JobName": "match", "NumberOfWorkers": 2})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"--TransformId": ""}, "--TransformId is missing"),
        ({"--OutputPath": ""}, "--OutputPath is missing"),
        ({"--OutputPath": "http://x/y"}, "--OutputPath 'http://x/y'"),
        ({"--OutputFormat": "xlsx"}, "--OutputFormat is 'xlsx'. Use one of: parquet, csv, json, delta"),
        ({"--ComputeMatchConfidenceScores": "perhaps"}, "--ComputeMatchConfidenceScores is 'perhaps'"),
        ({"--ExistingMatchesPath": "nowhere"}, "--ExistingMatchesPath 'nowhere'"),
        ({"--ExplanationPath": "nowhere"}, "--ExplanationPath 'nowhere'"),
        ({"--ExplanationPath": "s3://b/y", "--ExistingMatchesPath": "s3://b/x"}, "cannot be used with --ExistingMatch"),
        ({"--ExplainedLinks": "5"}, "--ExplainedLinks needs --ExplanationPath"),
        ({"--ExplanationPath": "s3://b/y", "--ExplainedLinks": "0"}, "--ExplainedLinks is '0'. Use a whole number"),
        ({"--ExplanationPath": "s3://b/y", "--ExplainedLinks": "٣"}, "--ExplainedLinks is"),
        ({"--BlockingPlan": "fast"}, "--BlockingPlan is 'fast'. Use one of: auto, shipped, pieces"),
        ({"--ConnectedComponents": "scipy"}, "--ConnectedComponents is 'scipy'. Use one of: auto, driver, graphframes"),
        ({"--ExistingMatchesFormat": "csv"}, "--ExistingMatchesFormat needs --ExistingMatchesPath"),
        ({"--ExistingMatchesPath": "s3://b/x", "--ExistingMatchesFormat": "xml"}, "--ExistingMatchesFormat is 'xml'"),
    ],
)
def test_a_wrong_argument_is_named(
    context: Context, arguments: dict[str, str], change: dict[str, str], told: str
) -> None:
    create(context, DefaultArguments=arguments)
    with pytest.raises(InvalidInputError, match=told):
        start_job_run(context, {"JobName": "match", "Arguments": change})
    assert get_job_runs(context, {"JobName": "match"})["JobRuns"] == []


def test_good_arguments_of_every_kind_are_taken(context: Context, arguments: dict[str, str]) -> None:
    create(context, DefaultArguments=arguments)
    asked = {
        "--OutputFormat": "Delta",
        "--ComputeMatchConfidenceScores": "True",
        "--ExistingMatchesPath": "s3://b/x",
        "--ExistingMatchesFormat": "csv",
        "--ConnectedComponents": "contraction",
        "--BlockingPlan": "pieces",
        "--job-language": "python",
    }
    assert start_job_run(context, {"JobName": "match", "Arguments": asked})["JobRunId"]


def test_links_may_be_explained(context: Context, arguments: dict[str, str]) -> None:
    create(context, DefaultArguments=arguments)
    asked = {"--ExplanationPath": "s3://b/why", "--ExplainedLinks": "10"}
    assert start_job_run(context, {"JobName": "match", "Arguments": asked})["JobRunId"]


@pytest.mark.parametrize("named", ["tfm-" + "0" * 40, "x\x00", "\ud800", "x" * 5000])
def test_a_transform_that_does_not_exist_is_not_found(context: Context, arguments: dict[str, str], named: str) -> None:
    create(context, DefaultArguments={**arguments, "--TransformId": named})
    with pytest.raises(EntityNotFoundError, match="which the argument --TransformId names"):
        start_job_run(context, {"JobName": "match"})


def test_a_transform_that_is_being_deleted_is_not_found(context: Context, arguments: dict[str, str]) -> None:
    create(context, DefaultArguments=arguments)
    delete_ml_transform(context, {"TransformId": arguments["--TransformId"]})
    with pytest.raises(EntityNotFoundError, match="Cannot find MLTransform"):
        start_job_run(context, {"JobName": "match"})


@pytest.mark.parametrize("name", ["--TransformId", "--transformId", "--transform_id"])
def test_a_script_that_names_a_transform_is_its_task_run(make_context: MakeContext, transform: str, name: str) -> None:
    context = make_context(script_roots=("s3://b",))
    create(context, Command={"ScriptLocation": "s3://b/a.py"})
    job_run_id = start_job_run(context, {"JobName": "match", "Arguments": {name: transform}})["JobRunId"]
    run = find_run(context, job_run_id)
    assert (run.transform_id, run.task_type) == (transform, TaskType.FIND_MATCHES)
    assert run.properties["script"] == "s3://b/a.py"


@pytest.mark.parametrize("arguments", [{}, {"--TransformId": "tfm-none"}, {"--transform_id": "\x00"}])
def test_a_script_needs_no_transform(make_context: MakeContext, arguments: dict[str, str]) -> None:
    context = make_context(script_roots=("s3://b",))
    create(context, Command={"ScriptLocation": "s3://b/a.py"})
    run = find_run(context, start_job_run(context, {"JobName": "match", "Arguments": arguments})["JobRunId"])
    assert (run.transform_id, run.task_type, run.is_script) == (None, None, True)
    assert run.properties["arguments"] == arguments


def test_a_job_has_one_run_at_a_time_unless_it_says_more(context: Context, arguments: dict[str, str]) -> None:
    create(context, DefaultArguments=arguments)
    first = start_job_run(context, {"JobName": "match"})["JobRunId"]
    with pytest.raises(ConcurrentRunsExceededError, match="Concurrent runs exceeded for job match"):
        start_job_run(context, {"JobName": "match"})
    end(context, first)
    start_job_run(context, {"JobName": "match"})


def test_the_limits_of_the_transform_and_the_account_hold(make_context: MakeContext, arguments: dict[str, str]) -> None:
    many: dict[str, Any] = {"ExecutionProperty": {"MaxConcurrentRuns": 9}}
    context = make_context(script_roots=("s3://b",), limits=Limits(runs_per_transform=2, runs_per_account=3))
    create(context, DefaultArguments=arguments, **many)
    create(context, "script", Command={"ScriptLocation": "s3://b/a.py"}, **many)
    for _ in range(2):
        start_job_run(context, {"JobName": "match"})
    with pytest.raises(ConcurrentRunsExceededError, match="transform limit of 2"):
        start_job_run(context, {"JobName": "match"})
    start_job_run(context, {"JobName": "script"})
    with pytest.raises(ConcurrentRunsExceededError, match="the limit is 3"):
        start_job_run(context, {"JobName": "script"})


def test_limits_hold_for_starts_at_the_same_time(context: Context, arguments: dict[str, str]) -> None:
    create(context, DefaultArguments=arguments, ExecutionProperty={"MaxConcurrentRuns": 2})

    def start(_: int) -> bool:
        try:
            return bool(start_job_run(context, {"JobName": "match"}))
        except ConcurrentRunsExceededError:
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(start, range(8))) == 2


def test_a_run_is_tried_again_with_its_arguments(context: Context, arguments: dict[str, str]) -> None:
    create(context, DefaultArguments={"--a": "job"})
    asked = {"JobName": "match", "Arguments": {**arguments, "--a": "run"}}
    first = start_job_run(context, asked)["JobRunId"]
    end(context, first)
    again = start_job_run(context, {"JobName": "match", "JobRunId": first, "Arguments": {"--b": "2"}})["JobRunId"]
    told = get_job_run(context, {"JobName": "match", "RunId": again})["JobRun"]
    assert told["PreviousRunId"] == first
    assert told["Arguments"] == {**arguments, "--a": "run", "--b": "2"}
    with pytest.raises(EntityNotFoundError, match="Job run jr_x of job match not found"):
        start_job_run(context, {"JobName": "match", "JobRunId": "jr_x"})


def test_runs_are_listed_the_newest_first_in_pages(make_context: MakeContext, arguments: dict[str, str]) -> None:
    create(make_context(), DefaultArguments=arguments)
    started = []
    for hour in range(3):
        context = make_context(now=NOW + timedelta(hours=hour))
        started.append(start_job_run(context, {"JobName": "match"})["JobRunId"])
        end(context, started[-1])
    page = get_job_runs(context, {"JobName": "match", "MaxResults": 2})
    assert [run["Id"] for run in page["JobRuns"]] == [started[2], started[1]]
    rest = get_job_runs(context, {"JobName": "match", "MaxResults": 2, "NextToken": page["NextToken"]})
    assert [run["Id"] for run in rest["JobRuns"]] == [started[0]]
    assert rest["NextToken"] is None
    delete_job(context, {"JobName": "match"})
    assert len(get_job_runs(context, {"JobName": "match"})["JobRuns"]) == 3


def test_the_time_of_a_run_is_told_in_whole_seconds(make_context: MakeContext, arguments: dict[str, str]) -> None:
    context = make_context()
    create(context, DefaultArguments=arguments)
    job_run_id = start_job_run(context, {"JobName": "match"})["JobRunId"]
    with context.database.writing() as connection:
        run = find_run(context, job_run_id)
        assert store.move_run(
            connection, run, RunStatus.RUNNING, now=NOW, note="", changes={"running_on": NOW, "attempt": 2}
        )
    later = make_context(now=NOW + timedelta(seconds=90.9))
    told = get_job_run(later, {"JobName": "match", "RunId": job_run_id})["JobRun"]
    assert (told["ExecutionTime"], told["JobRunState"], told["Attempt"]) == (90, "RUNNING", 1)


def test_a_run_of_another_job_is_not_found(context: Context, arguments: dict[str, str]) -> None:
    create(context, DefaultArguments=arguments)
    create(context, "other")
    job_run_id = start_job_run(context, {"JobName": "match"})["JobRunId"]
    with pytest.raises(EntityNotFoundError, match="of job other not found"):
        get_job_run(context, {"JobName": "other", "RunId": job_run_id})
    with pytest.raises(EntityNotFoundError, match="Job none not found"):
        get_job_run(context, {"JobName": "none", "RunId": job_run_id})


def test_runs_are_stopped_and_those_that_cannot_be_told(context: Context, arguments: dict[str, str]) -> None:
    create(context, DefaultArguments=arguments, ExecutionProperty={"MaxConcurrentRuns": 3})
    active, ended = (start_job_run(context, {"JobName": "match"})["JobRunId"] for _ in range(2))
    end(context, ended)
    answer = batch_stop_job_run(context, {"JobName": "match", "JobRunIds": [active, "jr_none", ended]})
    assert answer["SuccessfulSubmissions"] == [{"JobName": "match", "JobRunId": active}]
    told = [(error["JobRunId"], error["ErrorDetail"]["ErrorCode"]) for error in answer["Errors"]]
    assert told == [("jr_none", "EntityNotFoundException"), (ended, "InvalidInputException")]
    run = find_run(context, active)
    assert (run.status, run.stopping_on) == (RunStatus.STOPPING, NOW)
    again = batch_stop_job_run(context, {"JobName": "match", "JobRunIds": [active]})
    assert (len(again["SuccessfulSubmissions"]), again["Errors"]) == (1, [])
    with context.database.reading() as connection:
        assert [event.to_status for event in store.list_events(connection, run.run_id)] == ["STARTING", "STOPPING"]


def test_a_run_that_moved_meanwhile_is_stopped_as_it_is_now(context: Context, arguments: dict[str, str]) -> None:
    create(context, DefaultArguments=arguments)
    stale = find_run(context, start_job_run(context, {"JobName": "match"})["JobRunId"])
    with context.database.writing() as connection:
        assert store.move_run(connection, stale, RunStatus.RUNNING, now=NOW, note="", changes={"running_on": NOW})
        assert request_stop(connection, stale, NOW) is RunStatus.STOPPING
        assert request_stop(connection, replace(stale, run_id="tsk-gone"), NOW) is RunStatus.STOPPED
