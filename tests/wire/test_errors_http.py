"""Errors of the whole server: which operation answers with which, and what every one of them looks like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.model import ServiceModel

from tests.wire.wire import CONTENT_TYPE, KEY, SECRET, Answer, Catalog, Wire, open_client

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient

GOLDEN = Path(__file__).parent / "golden"
MODEL = ServiceModel(Loader().load_service_model("glue", "service-2"), "glue")
NOBODY = "tfm-" + "0" * 40
NOBODYS_ARN = f"arn:aws:glue:us-east-1:000000000000:mlTransform/{NOBODY}"
#: Answers that an operation's page does not list. An export counts as a run like any other, and no error that it lists
#: says that there are too many.
UNLISTED = {("StartExportLabelsTaskRun", "ConcurrentRunsExceededException")}

NOT_FOUND: list[tuple[str, dict[str, Any]]] = [
    ("GetMLTransform", {"TransformId": NOBODY}),
    ("UpdateMLTransform", {"TransformId": NOBODY, "Role": "other"}),
    ("DeleteMLTransform", {"TransformId": NOBODY}),
    ("StartMLEvaluationTaskRun", {"TransformId": NOBODY}),
    ("StartMLLabelingSetGenerationTaskRun", {"TransformId": NOBODY, "OutputS3Path": "s3://b/k"}),
    ("StartImportLabelsTaskRun", {"TransformId": NOBODY, "InputS3Path": "s3://b/k.csv"}),
    ("StartExportLabelsTaskRun", {"TransformId": NOBODY, "OutputS3Path": "s3://b/k"}),
    ("GetMLTaskRun", {"TransformId": NOBODY, "TaskRunId": "tsk-1"}),
    ("GetMLTaskRuns", {"TransformId": NOBODY}),
    ("CancelMLTaskRun", {"TransformId": NOBODY, "TaskRunId": "tsk-1"}),
    ("GetTags", {"ResourceArn": NOBODYS_ARN}),
    ("TagResource", {"ResourceArn": NOBODYS_ARN, "TagsToAdd": {"a": "b"}}),
    ("UntagResource", {"ResourceArn": NOBODYS_ARN, "TagsToRemove": ["a"]}),
    ("GetDatabase", {"Name": "nowhere"}),
    ("GetTable", {"DatabaseName": "nowhere", "Name": "nobody"}),
    ("GetPartitions", {"DatabaseName": "nowhere", "TableName": "nobody"}),
    ("GetPartitionIndexes", {"DatabaseName": "nowhere", "TableName": "nobody"}),
    ("GetJob", {"JobName": "nothing"}),
    ("StartJobRun", {"JobName": "nothing"}),
    ("GetJobRun", {"JobName": "nothing", "RunId": "jr_1"}),
    ("GetJobRuns", {"JobName": "nothing"}),
]


def check_shape(answer: Answer, code: str, status: int = 400) -> None:
    assert (answer.status, answer.code) == (status, code), answer.body
    assert answer.headers["x-amzn-errortype"] == code
    assert answer.headers["content-type"] == CONTENT_TYPE
    assert len(answer.headers["x-amzn-requestid"]) == 36
    assert answer.message.strip()
    assert set(answer.members) == {"__type", "Message" if code in MODEL.shape_names else "message"}


@pytest.mark.parametrize(("operation", "request_members"), NOT_FOUND, ids=[operation for operation, _ in NOT_FOUND])
def test_what_does_not_exist_is_not_found(wire: Wire, operation: str, request_members: dict[str, Any]) -> None:
    check_shape(wire.call(operation, request_members), "EntityNotFoundException")


@pytest.mark.parametrize(("operation", "request_members"), NOT_FOUND, ids=[operation for operation, _ in NOT_FOUND])
def test_boto3_raises_it_by_its_own_class(glue: GlueClient, operation: str, request_members: dict[str, Any]) -> None:
    method = next(name for name, known in glue.meta.method_to_api_mapping.items() if known == operation)
    with pytest.raises(glue.exceptions.EntityNotFoundException) as caught:
        getattr(glue, method)(**request_members)
    assert caught.value.response["Error"]["Message"]
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert len(caught.value.response["ResponseMetadata"]["RequestId"]) == 36


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_recorded_errors_are_those_that_the_operation_lists(path: Path) -> None:
    steps = [step for step in json.loads(path.read_text(encoding="utf-8")) if "request" in step]
    for step in steps:
        operation, code = step["request"]["target"].partition(".")[2], step["response"]["body"].get("__type")
        listed = {shape.name for shape in MODEL.operation_model(operation).error_shapes}
        assert code is None or code in listed or (operation, code) in UNLISTED, (operation, code)


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'"x"', b"null", b"\xff\xfe", b'{"TransformId": 1}', b'{"TransformId": "\\u0000"}',
     b'{"TransformId": "\\ud800"}', b"{" + b'"a":[' * 5000, b'{"TransformId": ' + b"9" * 5000 + b"}"],
    ids=lambda body: body[:20].decode("ascii", "replace"),
)  # fmt: skip
def test_a_body_that_is_not_right_is_told(wire: Wire, body: bytes) -> None:
    check_shape(wire.send(body, {"X-Amz-Target": "AWSGlue.GetMLTransform"}), "SerializationException")


@pytest.mark.parametrize(
    "target",
    [
        "AWSGlue.GetCrawlers",
        "AWSGlue.Nothing",
        "AWSGlue.",
        "SageMaker.GetMLTransform",
        "GetMLTransform",
        "",
        ".",
        "A.B.C",
    ],
)
def test_an_operation_that_is_not_here_is_told(wire: Wire, target: str) -> None:
    check_shape(wire.send(b"{}", {"X-Amz-Target": target}), "UnknownOperationException")


def test_a_body_has_at_most_a_megabyte(wire: Wire, catalog: Catalog) -> None:
    request = json.dumps(catalog.describe()).encode()
    target = {"X-Amz-Target": "AWSGlue.CreateMLTransform"}
    padded = request[:-1] + b" " * ((1 << 20) - len(request)) + b"}"
    assert len(padded) == 1 << 20
    assert wire.send(padded, target).status == 200
    check_shape(wire.send(padded + b" ", target), "RequestEntityTooLargeException", status=413)


def test_boto3_is_told_that_a_body_is_too_large(catalog: Catalog, endpoint: str) -> None:
    request: Any = catalog.describe(Role="r" * (3 << 20))
    with pytest.raises(ClientError) as caught:
        open_client(endpoint).create_ml_transform(**request)
    assert caught.value.response["Error"]["Code"] == "RequestEntityTooLargeException"


def test_a_defect_is_a_fault_and_tells_nothing_of_the_inside(
    wire: Wire, catalog: Catalog, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("a detail")

    transform = catalog.make_transform()
    monkeypatch.setattr("glue_ml.operations.transforms.describe_transform", fail)
    answer = wire.call("GetMLTransform", {"TransformId": transform})
    check_shape(answer, "InternalServiceException", status=500)
    assert answer.headers["x-amzn-requestid"] in answer.message
    assert "detail" not in answer.message
    client = open_client(endpoint)
    with pytest.raises(client.exceptions.InternalServiceException):
        client.get_ml_transform(TransformId=transform)


class TestKeys:
    """A server that takes one key only."""

    def test_the_right_key_is_taken_by_every_kind_of_operation(self, guarded_endpoint: str) -> None:
        client = open_client(guarded_endpoint, access_key=KEY, secret=SECRET)
        assert client.list_ml_transforms()["TransformIds"] == []
        client.create_database(DatabaseInput={"Name": "db", "Description": "caf\u00e9 \u4e2d"})
        assert client.get_database(Name="db")["Database"]["Description"] == "caf\u00e9 \u4e2d"

    @pytest.mark.parametrize(
        ("key", "secret", "code"),
        [(KEY, "wrong", "InvalidSignatureException"), ("AKIDOTHER", SECRET, "UnrecognizedClientException")],
    )
    def test_another_key_or_secret_is_not(self, guarded_endpoint: str, key: str, secret: str, code: str) -> None:
        client = open_client(guarded_endpoint, access_key=key, secret=secret)
        with pytest.raises(ClientError) as caught:
            client.list_ml_transforms()
        assert caught.value.response["Error"]["Code"] == code
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 403)

    def test_without_a_signature_nothing_is_told_but_health(self, guarded_endpoint: str) -> None:
        wire = Wire(guarded_endpoint)
        answer = wire.call("ListMLTransforms", {})
        check_shape(answer, "MissingAuthenticationTokenException", status=answer.status)
        assert wire.send(b"", {}, method="GET", path="/health").status == 200
