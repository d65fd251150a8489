"""Requests that nobody wrote, to the whole server: whatever comes, it answers soon, in its own shape, never with a 500.

GLUE_ML_TEST_FUZZ=N tries N examples of each kind, at random; without it a few, always the same.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from glue_ml.operations import databases, job_runs, jobs, partitions, tables, tags, task_runs, transforms
from tests.wire.strategies import JSON, garbage, near_valid, valid
from tests.wire.wire import CONTENT_TYPE, MANY, SECONDS, Answer, Catalog, Wire

MODEL = ServiceModel(Loader().load_service_model("glue", "service-2"), "glue")
MODULES = (databases, tables, partitions, transforms, task_runs, tags, jobs, job_runs)
OPERATIONS = sorted({name for module in MODULES for name in module.OPERATIONS})
LONG = os.environ.get("GLUE_ML_TEST_FUZZ")
EXAMPLES = int(LONG or 25)
#: What a request may be answered with before its operation, and beyond what the operation lists.
GENERAL = {"SerializationException", "UnknownOperationException", "InvalidInputException"}
UNLISTED = {
    ("StartExportLabelsTaskRun", "ConcurrentRunsExceededException"),
    ("CreateDatabase", "EntityNotFoundException"),  # of a catalog that is another account's
}

fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=LONG is None,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


@dataclass(frozen=True)
class World:
    """What exists on the server, by the names of the members that may name it."""

    connection: http.client.HTTPConnection
    known: Mapping[str, list[Any]]

    def call(self, operation: str, body: bytes) -> Answer:
        """Call an operation; a connection that the server closed is opened again."""
        headers = {"X-Amz-Target": f"AWSGlue.{operation}", "Content-Type": CONTENT_TYPE}
        for fresh in (False, True):
            try:
                self.connection.request("POST", "/", body, headers)
                response = self.connection.getresponse()
                told = {name.lower(): value for name, value in response.getheaders()}
                return Answer(response.status, told, response.read())
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self.connection.close()
                if fresh:
                    raise
        raise AssertionError("not reached")


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """A server of its own, for what is left on it."""
    from glue_ml.app import open_server
    from glue_ml.settings import Settings

    server = Settings(
        home=str(tmp_path_factory.mktemp("fuzzed")),
        port=0,
        read_timeout_seconds=3.0,
        max_transforms=MANY,
        max_runs_per_account=MANY,
        max_runs_per_transform=MANY,
    )
    with open_server(server, with_scheduler=False) as endpoint:
        yield Wire(endpoint)


@pytest.fixture
def world(fuzzed: Wire, make_catalog: Callable[[Wire], Catalog], tmp_path: Path) -> Iterator[World]:
    """One of everything, and a connection that is kept."""
    catalog = make_catalog(fuzzed)
    labels = tmp_path / "labels.csv"
    labels.write_text("labeling_set_id,label,id\n", encoding="utf-8")
    known = make_everything(catalog, labels.as_uri())
    parts = urlsplit(fuzzed.endpoint)
    assert parts.hostname is not None
    with closing(http.client.HTTPConnection(parts.hostname, parts.port, timeout=SECONDS)) as connection:
        yield World(connection, known)


def make_everything(catalog: Catalog, labels: str) -> dict[str, list[Any]]:
    """A database with tables and a partition, transforms, a job, runs, tokens; by the members that may name them."""

    def call(operation: str, **members: Any) -> dict[str, Any]:
        answer = catalog.wire.call(operation, members)
        assert answer.status == 200, answer.body
        return answer.members

    transform, other = catalog.make_transform(), catalog.make_transform()
    output = "file:///tmp/never-written"
    run = call("StartMLLabelingSetGenerationTaskRun", TransformId=transform, OutputS3Path=output)["TaskRunId"]
    job = f"job {catalog.database}"
    call("CreateJob", Name=job, Role="any", Command={"ScriptLocation": "builtin://find_matches"})
    arguments = {"--TransformId": transform, "--OutputPath": output}
    job_run = call("StartJobRun", JobName=job, Arguments=arguments)["JobRunId"]
    keys = [{"Name": "day", "Type": "date"}, {"Name": "shop", "Type": "int"}]
    call("CreateTable", DatabaseName=catalog.database, TableInput={"Name": "days", "PartitionKeys": keys})
    values = ["2026-01-02", "7"]
    call("CreatePartition", DatabaseName=catalog.database, TableName="days", PartitionInput={"Values": values})
    tokens = [call(name, MaxResults=1)["NextToken"] for name in ("ListMLTransforms", "GetMLTransforms")]
    names = ["people", "days", catalog.database, job]
    return {
        "TransformId": [transform, other],
        "TaskRunId": [run],
        "RunId": [job_run],
        "JobRunId": [job_run],
        "JobRunIds": [[job_run], [job_run, "jr_1"]],
        "JobName": [job],
        "JobNames": [[job]],
        "DatabaseName": [catalog.database],
        "TableName": ["people", "days"],
        "TablesToDelete": [["people"], ["days", "nobody"]],
        "Name": names,
        "CatalogId": ["000000000000"],
        "ResourceArn": [
            f"arn:aws:glue:us-east-1:000000000000:{kind}"
            for kind in (f"mlTransform/{other}", f"job/{job}", f"database/{catalog.database}", "job/nothing")
        ],
        "InputRecordTables": [[catalog.table], [catalog.table, catalog.table]],
        "PrimaryKeyColumnName": ["id", "name"],
        "OutputS3Path": [output],
        "InputS3Path": [labels, labels.replace("file://", "file:"), "file:///", "file:///nowhere/x.csv"],
        "ScriptLocation": ["builtin://find_matches", "builtin://other", "s3://bucket/x.py"],
        "Arguments": [arguments, {**arguments, "--ExistingMatchesPath": output}, {"--OutputFormat": "csv"}],
        "Values": [values, ["2026-01-03", "8"], ["x"], ["", "y"]],
        "PartitionValues": [values],
        "PartitionValueList": [values],
        "Expression": ["day > '2026-01-01' and shop in (7, 8)", "shop between 1 and", "peo*", "[a-z]+|d.*", "not ("],
        "NextToken": tokens,
        "VersionId": ["0", "1"],
        "Role": ["any"],
        "Command": [{"Name": "glueetl", "ScriptLocation": "builtin://find_matches"}],
        "WorkerType": ["G.1X", "Standard"],
    }


def plant(known: Mapping[str, list[Any]], value: Any) -> st.SearchStrategy[Any]:
    """The value, with what exists in place of some of the members that name something."""
    if isinstance(value, dict):
        members = {name: plant_member(known, name, member) for name, member in value.items()}
        return st.fixed_dictionaries(members)
    if isinstance(value, list):
        return st.tuples(*(plant(known, one) for one in value)).map(list)
    return st.just(value)


def plant_member(known: Mapping[str, list[Any]], name: str, member: Any) -> st.SearchStrategy[Any]:
    inner = plant(known, member)
    if name not in known:
        return inner
    real = st.sampled_from(known[name])
    return st.one_of(real, real, real, inner)


def check_answer(answer: Answer, operation: str | None = None) -> None:
    """Nothing but an answer of the API, or an error of the API that is the caller's fault."""
    assert answer.status < 500, answer.body
    assert answer.headers["content-type"] == CONTENT_TYPE
    assert len(answer.headers["x-amzn-requestid"]) == 36
    if answer.status != 200:
        assert answer.code == answer.headers["x-amzn-errortype"]
        assert answer.message.strip()
    if operation is None:
        return
    model = MODEL.operation_model(operation)
    if answer.status == 200:
        told = {"status_code": 200, "headers": dict(answer.headers), "body": answer.body}
        assert model.output_shape is not None
        create_parser("json").parse(told, model.output_shape)
        return
    assert answer.status == 400
    listed = GENERAL | {shape.name for shape in model.error_shapes}
    assert answer.code in listed or (operation, answer.code) in UNLISTED, answer.body


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_answers_whatever_members_it_is_given(world: World, operation: str) -> None:
    shape = MODEL.operation_model(operation).input_shape
    assert shape is not None
    whole = valid(shape).flatmap(lambda members: plant(world.known, members))
    broken = near_valid(shape).flatmap(lambda members: plant(world.known, members))

    @fuzz
    @given(st.one_of(whole, whole, whole, broken, garbage()))
    def answer_is_right(members: Any) -> None:
        check_answer(world.call(operation, json.dumps(members).encode()), operation)

    answer_is_right()


@pytest.mark.parametrize("operation", ["CreateMLTransform", "GetMLTransforms", "StartJobRun", "CreateTable"])
def test_an_operation_answers_whatever_bytes_it_is_given(world: World, operation: str) -> None:
    shape = MODEL.operation_model(operation).input_shape
    assert shape is not None
    whole = valid(shape).map(lambda members: json.dumps(members).encode())
    cut = st.tuples(whole, st.integers(1, 40)).map(lambda both: both[0][: -both[1]])
    spoiled = st.tuples(whole, st.integers(0, 200), st.binary(max_size=3)).map(
        lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + 1 :]
    )

    @fuzz
    @given(st.one_of(st.binary(max_size=200), cut, spoiled, st.text(max_size=50).map(str.encode)))
    def answer_is_right(body: bytes) -> None:
        check_answer(world.call(operation, body), operation)

    answer_is_right()


TOKENS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=30).map(str.strip)
HEADERS = st.dictionaries(
    st.sampled_from(["Authorization", "X-Amz-Date", "Content-Type", "Accept-Encoding", "amz-sdk-invocation-id",
                     "X-Amz-Security-Token", "Content-Encoding", "Expect", "Connection", "Cookie", "X-Amz-Target"]),
    TOKENS | st.sampled_from([
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=, Signature=", "gzip", "close",
        "100-continue", "AWSGlue.GetMLTransforms", "AWSGlue.GetCrawlers", "a.b.c", "application/json; charset=x",
    ]),
    max_size=5,
)  # fmt: skip


def test_headers_methods_and_places_of_any_kind_are_answered(fuzzed: Wire) -> None:
    methods = st.sampled_from(["POST", "POST", "POST", "GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
    paths = st.sampled_from(["/", "/", "/", "/x", "//", "/health/", "/%00", "/?a=b", "/..", "*"])

    @fuzz
    @given(methods, paths, HEADERS, JSON.map(lambda document: json.dumps(document).encode()))
    def answer_is_right(method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        answer = fuzzed.send(body, headers, method=method, path=path)
        assert answer.status < 500
        if method != "HEAD" and answer.headers["content-type"] == CONTENT_TYPE:
            check_answer(answer)
        elif method != "HEAD":  # what is no HTTP, such as a part of a header that is missing
            assert 400 <= answer.status < 500

    answer_is_right()


def exchange_bytes(endpoint: str, data: bytes) -> bytes:
    """All that the server sends for these bytes, until one of both closes the connection."""
    parts = urlsplit(endpoint)
    with socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=SECONDS) as connection:
        received = b""
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                received += chunk
        return received


def test_bytes_that_are_hardly_http_do_no_harm(fuzzed: Wire) -> None:
    lines = st.lists(
        st.sampled_from([
            b"POST / HTTP/1.1", b"POST / HTTP/9.9", b"GET  /", b"Host: 127.0.0.1", b"Host:", b"Content-Length: 5",
            b"Content-Length: -1", b"Content-Length: 99999999999999999999", b"Content-Length: x",
            b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", b"X-Amz-Target: AWSGlue.GetMLTransforms",
            b"ffffffffffffffff", b"0", b"5", b"{}", b": x", b" folded", b"\x00\xff", b"", b"",
        ]) | st.binary(max_size=20),
        max_size=12,
    ).map(b"\r\n".join)  # fmt: skip

    @fuzz
    @given(lines | lines.map(lambda rest: b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + rest) | st.binary(max_size=300))
    def answer_is_none_or_a_refusal(data: bytes) -> None:
        received = exchange_bytes(fuzzed.endpoint, data)
        if received:
            assert received.startswith((b"HTTP/1.1 2", b"HTTP/1.1 4", b"HTTP/1.1 100")), (data, received)
            assert b"HTTP/1.1 5" not in received

    answer_is_none_or_a_refusal()


def test_afterwards_the_server_works_as_before(fuzzed: Wire, make_catalog: Callable[[Wire], Catalog]) -> None:
    health = fuzzed.send(b"", {}, method="GET", path="/health")
    assert (health.status, health.members["status"]) == (200, "ok")
    transform = make_catalog(fuzzed).make_transform()
    assert fuzzed.call("GetMLTransform", {"TransformId": transform}).members["TransformId"] == transform
    assert fuzzed.call("ListMLTransforms", {"MaxResults": 1000}).status == 200
