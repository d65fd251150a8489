"""The client against a real catalog (moto), and against answers made up where a fault or an end must be injected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from glue_ml import run_log
from glue_ml.client import (
    Run,
    RunAddress,
    add_table,
    describe_run,
    list_runs,
    list_transforms,
    require_success,
    split_name,
    wait_for_run,
)
from glue_ml.connection import connect
from glue_ml.domain.job import JobProgress, JobResult
from glue_ml.errors import AccessError, GlueMLError, InputError, NotFoundError, UnavailableError

RUN = Run(RunAddress("tsk-1", transform_id="tfm-1"), "EVALUATION", "SUCCEEDED", seconds=3)


@pytest.fixture
def people(tmp_path: Path) -> str:
    path = tmp_path / "people.csv"
    path.write_text("id,name\n1,Ann\n", encoding="utf-8")
    return str(path)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the developer's own AWS configuration counts."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_GLUE", "AWS_ACCESS_KEY_ID",
                 "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_REGION"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))


# the connection


@pytest.mark.parametrize(
    ("given", "environment", "called"),
    [
        (None, {}, "http://127.0.0.1:8420"),
        (None, {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "http://127.0.0.1:1"),
        (None, {"AWS_ENDPOINT_URL": "http://a:1", "AWS_ENDPOINT_URL_GLUE": "http://127.0.0.1:2"}, "http://127.0.0.1:2"),
        ("http://127.0.0.1:3", {"AWS_ENDPOINT_URL_GLUE": "http://127.0.0.1:2"}, "http://127.0.0.1:3"),
    ],
)
def test_the_endpoint_is_the_one_given_or_configured_or_the_default(
    monkeypatch: pytest.MonkeyPatch, given: str | None, environment: dict[str, str], called: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with connect(given) as glue:
        assert glue.meta.endpoint_url == called
        assert glue.meta.region_name == "us-east-1"


def test_the_configured_region_and_key_are_used(monkeypatch: pytest.MonkeyPatch, moto: str) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    headers: list[str] = []
    with connect(moto) as glue:
        glue.meta.events.register("before-send", lambda request, **_: headers.append(str(request.headers)))
        glue.get_databases()
    assert "Credential=mine/" in headers[0]
    assert "/eu-west-1/glue/" in headers[0]


def test_a_local_endpoint_is_called_without_any_configured_key(moto: str) -> None:
    with connect(moto) as glue:
        glue.get_databases()


def test_a_local_endpoint_is_called_without_a_proxy(monkeypatch: pytest.MonkeyPatch, moto: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with connect(moto) as glue:
        glue.get_databases()


def test_a_remote_endpoint_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    sentence = r"http://example\.invalid cannot be called: Unable to locate credentials"
    with pytest.raises(AccessError, match=sentence), connect("http://example.invalid") as glue:
        glue.get_databases()


def test_a_server_that_is_not_there_is_told_with_how_to_start_one() -> None:
    sentence = r"no answer from http://127\.0\.0\.1:9; .*glue-ml serve"
    with pytest.raises(UnavailableError, match=sentence), connect("http://127.0.0.1:9") as glue:
        glue.get_databases()


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(InputError, match="'localhost' is no address"), connect("localhost"):
        pass


def test_a_profile_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(AccessError, match="nobody"), connect():
        pass


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("EntityNotFoundException", 400, NotFoundError),
        ("AccessDeniedException", 400, AccessError),
        ("UnrecognizedClientException", 400, AccessError),
        ("Whatever", 403, AccessError),
        ("ThrottlingException", 400, UnavailableError),
        ("InternalServiceException", 500, UnavailableError),
        ("InvalidInputException", 400, InputError),
    ],
)
def test_an_answer_of_the_api_becomes_a_sentence(code: str, status: int, kind: type[GlueMLError]) -> None:
    answer: Any = {"Error": {"Code": code, "Message": "It is so."}, "ResponseMetadata": {"HTTPStatusCode": status}}
    with pytest.raises(kind) as raised, connect():
        raise ClientError(answer, "GetTable")
    assert str(raised.value) == f"It is so ({code}, http://127.0.0.1:8420)"


def test_an_answer_that_does_not_come_in_time_is_told() -> None:
    with pytest.raises(UnavailableError, match="cannot be called: Read timeout"), connect():
        raise ReadTimeoutError(endpoint_url="http://127.0.0.1:8420")


# tables


@pytest.mark.parametrize(
    ("name", "parts"), [("t", ("default", "t")), ("d.t", ("d", "t")), ("Crm.People", ("Crm", "People"))]
)
def test_a_table_is_named_with_or_without_its_database(name: str, parts: tuple[str, str]) -> None:
    assert split_name(name) == parts


@pytest.mark.parametrize("name", ["", ".", "d.", ".t", "a.b.c"])
def test_what_is_no_name_of_a_table_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="no name of a table"):
        split_name(name)


def test_a_table_is_added_with_its_database(moto: str, people: str) -> None:
    with connect(moto) as glue:
        made = add_table(glue, "added.people", people)
        stored = glue.get_table(DatabaseName="added", Name="people")["Table"]
        assert stored["StorageDescriptor"]["Location"] == f"file://{people}"
        assert {name: stored.get(name) for name in made} == made
        add_table(glue, "others", people, database="added")
        assert len(glue.get_tables(DatabaseName="added")["TableList"]) == 2


def test_a_table_that_is_there_is_refused_unless_it_is_to_be_replaced(moto: str, people: str) -> None:
    with connect(moto) as glue:
        add_table(glue, "again.people", people)
        Path(people).write_text("id,name,city\n1,Ann,Leeds\n", encoding="utf-8")
        with pytest.raises(InputError, match=r"again\.people is in the catalog already; --replace"):
            add_table(glue, "again.people", people)
        assert len(glue.get_table(DatabaseName="again", Name="people")["Table"]["StorageDescriptor"]["Columns"]) == 2
        add_table(glue, "again.people", people, replace=True)
        assert len(glue.get_table(DatabaseName="again", Name="people")["Table"]["StorageDescriptor"]["Columns"]) == 3


def test_nothing_is_made_of_a_file_that_is_no_table(moto: str, tmp_path: Path) -> None:
    with connect(moto) as glue:
        with pytest.raises(NotFoundError, match="does not exist"):
            add_table(glue, "nothing.people", str(tmp_path / "nothing.csv"))
        names = [database["Name"] for database in glue.get_databases()["DatabaseList"]]
        assert "nothing" not in names


# runs


class FakeGlue:
    """Answers in turn, for what no server can be made to answer at will."""

    def __init__(self, **answers: list[Any]) -> None:
        self._answers = answers
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def answer(**request: Any) -> Any:
            self.calls.append((name, request))
            return self._answers[name].pop(0)

        return answer


def make_task_run(number: int, status: str = "RUNNING", **members: Any) -> dict[str, Any]:
    return {
        "TransformId": "tfm-1", "TaskRunId": f"tsk-{number}", "Status": status, "LogGroupName": f"file:///runs/{number}",
        "Properties": {"TaskType": "EVALUATION"}, "StartedOn": datetime(2026, 1, number, tzinfo=UTC),
        "ExecutionTime": number, **members,
    }  # fmt: skip


def test_every_page_of_transforms_is_asked_for() -> None:
    pages: list[Any] = [
        {"Transforms": [{"Name": "a"}], "NextToken": "x"},
        {"Transforms": [], "NextToken": "y"},
        {"Transforms": [{"Name": "b"}]},
    ]
    fake = FakeGlue(get_ml_transforms=pages)
    assert [each["Name"] for each in list_transforms(cast("Any", fake))] == ["a", "b"]
    assert [request.get("NextToken") for _, request in fake.calls] == [None, "x", "y"]


def test_the_newest_runs_of_all_transforms_come_first() -> None:
    pages = [{"TaskRuns": [make_task_run(4), make_task_run(1)]}, {"TaskRuns": [make_task_run(3), make_task_run(2)]}]
    transforms = [{"Name": "a", "TransformId": "tfm-1"}, {"Name": "b", "TransformId": "tfm-2"}]
    found = list_runs(cast("Any", FakeGlue(get_ml_task_runs=pages)), transforms, limit=3)
    assert [(owner["Name"], run.address.run_id) for owner, run in found] == [
        ("a", "tsk-4"), ("b", "tsk-3"), ("b", "tsk-2"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("properties", "kind", "output"),
    [
        ({"TaskType": "EVALUATION"}, "EVALUATION", None),
        (
            {"TaskType": "EXPORT_LABELS", "ExportLabelsTaskRunProperties": {"OutputS3Path": "s3://b/x/"}},
            "EXPORT_LABELS",
            "s3://b/x/",
        ),
        (
            {"TaskType": "FIND_MATCHES", "FindMatchesTaskRunProperties": {"JobName": "j", "JobRunId": "jr_1"}},
            "FIND_MATCHES",
            None,
        ),
    ],
)
def test_a_task_run_tells_where_it_writes(properties: Mapping[str, Any], kind: str, output: str | None) -> None:
    fake = FakeGlue(get_ml_task_run=[make_task_run(1, Properties=properties, ErrorString="no")])
    run = describe_run(cast("Any", fake), RunAddress("tsk-1", transform_id="tfm-1"))
    assert (run.kind, run.output, run.error, run.status) == (kind, output, "no", "RUNNING")


def test_a_job_run_is_told_alike() -> None:
    told = {"Id": "jr_1", "JobName": "j", "JobRunState": "FAILED", "ErrorMessage": "no", "ExecutionTime": 7,
            "Arguments": {"--TransformId": "tfm-1", "--OutputPath": "s3://b/out"}}  # fmt: skip
    run = describe_run(cast("Any", FakeGlue(get_job_run=[{"JobRun": told}])), RunAddress("jr_1", job_name="j"))
    assert (run.kind, run.output, run.error, run.seconds) == ("FIND_MATCHES", "s3://b/out", "no", 7)
    assert run.has_ended
    script = {**told, "Arguments": {}, "JobRunState": "STOPPING"}
    other = describe_run(cast("Any", FakeGlue(get_job_run=[{"JobRun": script}])), RunAddress("jr_1", job_name="j"))
    assert (other.kind, other.has_ended) == ("JOB", False)


def test_a_run_is_asked_about_until_it_has_ended() -> None:
    statuses = ["STARTING", "RUNNING", "STOPPING", "STOPPED"]
    fake = FakeGlue(get_ml_task_run=[make_task_run(1, status) for status in statuses])
    heard: list[str] = []
    slept: list[float] = []
    run = wait_for_run(
        cast("Any", fake), RUN.address, tell=lambda run: heard.append(run.status), sleep=slept.append, seconds=0.25
    )
    assert run.status == "STOPPED"
    assert heard == statuses
    assert slept == [0.25] * 3


def test_a_run_that_did_not_succeed_is_an_error_with_its_reason_and_its_log() -> None:
    assert require_success(RUN) is RUN
    failed = replace(RUN, status="FAILED", error="The key is not unique.", log_group="group")
    with pytest.raises(GlueMLError) as raised:
        require_success(failed, log="file:///runs/1/spark.log")
    assert str(raised.value) == (
        "The evaluation tsk-1 is FAILED: The key is not unique. Its log: file:///runs/1/spark.log"
    )
    with pytest.raises(GlueMLError, match=r"^The job run tsk-1 is STOPPED\. Its log: group$"):
        require_success(replace(RUN, kind="JOB", status="STOPPED", log_group="group"))


# run directories


def test_the_last_attempt_of_a_run_tells(tmp_path: Path) -> None:
    run = replace(RUN, log_group=f"file://{tmp_path}")
    assert run_log.find_attempt(run) is None
    assert run_log.open_log(run) is None
    for attempt in (2, 9, 10):
        (tmp_path / str(attempt)).mkdir()
        (tmp_path / str(attempt) / "progress.json").write_text(JobProgress("learn", attempt, 12).to_json())
    (tmp_path / "other").mkdir()
    assert run_log.find_attempt(run) == f"file://{tmp_path}/10"
    assert run_log.find_attempt(run, 2) == f"file://{tmp_path}/2"
    assert run_log.find_attempt(run, 3) is None
    assert run_log.find_log(run) == f"file://{tmp_path}/10/spark.log"
    assert run_log.read_progress(run) == JobProgress("learn", 10, 12)
    assert run_log.read_result(run) is None
    (tmp_path / "10" / "result.json").write_text(JobResult(True, counts={"rows": 3}).to_json())
    assert run_log.read_result(run) == JobResult(True, counts={"rows": 3})


@pytest.mark.parametrize("text", ["", "{", "[]", '{"stage": "learn"}', '{"more": 1}'])
def test_progress_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "progress.json").write_text(text)
    assert run_log.read_progress(replace(RUN, log_group=f"file://{tmp_path}")) is None


@pytest.mark.parametrize("group", ["", "/aws-glue/jobs", "file:///there/is/nothing"])
def test_a_run_whose_directory_cannot_be_seen_tells_nothing(group: str) -> None:
    run = replace(RUN, log_group=group)
    assert run_log.find_attempt(run) is None
    assert run_log.read_progress(run) is None
    assert run_log.read_result(run) is None


def test_a_growing_log_is_read_piece_by_piece(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    log = run_log.open_log(replace(RUN, log_group=f"file://{tmp_path}"))
    assert isinstance(log, run_log.FileLog)
    assert log.read_more() == ""
    path = tmp_path / "1" / "spark.log"
    path.write_bytes("first é".encode()[:-1])
    assert log.read_more() == "first "
    path.write_bytes("first é\nsecond".encode())
    assert log.read_more() == "é\nsecond"
    assert log.read_more() == ""


def test_a_log_group_of_cloudwatch_is_read_event_by_event(moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", moto)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    log = run_log.open_log(replace(RUN, log_group="/aws-glue/ml"))
    assert isinstance(log, run_log.CloudLog)
    assert log.read_more() == ""
    logs: Any = boto3.client("logs", region_name="us-east-1")
    now = int(datetime.now(UTC).timestamp() * 1000)
    logs.create_log_group(logGroupName="/aws-glue/ml")
    logs.create_log_stream(logGroupName="/aws-glue/ml", logStreamName="tsk-1")
    put_events(logs, [(now, "it begins"), (now + 1, "and goes on")])
    assert log.read_more() == "it begins\nand goes on\n"
    put_events(logs, [(now + 2, "and ends\n")])
    assert log.read_more() == "and ends\n"


def put_events(logs: Any, events: list[tuple[int, str]]) -> None:
    told = [{"timestamp": at, "message": text} for at, text in events]
    logs.put_log_events(logGroupName="/aws-glue/ml", logStreamName="tsk-1", logEvents=told)
