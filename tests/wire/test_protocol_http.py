"""The protocol over real HTTP: a real boto3 client and raw sockets against handlers that do little."""

from __future__ import annotations

import http.client
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
import uvicorn
from botocore.config import Config
from botocore.exceptions import ClientError

from glue_ml.errors import EntityNotFoundError, InputError, InternalServiceError, UnavailableError
from glue_ml.protocol.connections import Limits, uvicorn_settings
from glue_ml.protocol.server import Caller, make_app

LIMITS = Limits(body_bytes=4096, read_seconds=0.5)
KEYS = {"AKIDEXAMPLE": "secret+with/signs"}
TARGET = "AWSGlue.GetMLTransform"


class Toys:
    """Handlers for the tests, and the calls that came through."""

    def __init__(self) -> None:
        self.calls: list[tuple[Caller, dict[str, Any]]] = []

    def get(self, caller: Caller, request: dict[str, Any]) -> Mapping[str, Any]:
        self.calls.append((caller, request))
        match request["TransformId"]:
            case "unknown":
                raise EntityNotFoundError("Not there.", FromFederationSource=False)
            case "fault":
                raise InternalServiceError("Dependency failure.")
            case "input":
                raise InputError("The path is wrong.")
            case "away":
                raise UnavailableError("The store did not answer.")
            case "defect":
                raise RuntimeError("a secret detail")
        return {"TransformId": request["TransformId"], "CreatedOn": caller.now}


@contextmanager
def serving(app: Any) -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", **uvicorn_settings(LIMITS))
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def make(toys: Toys, **settings: Any) -> Any:
    health = {"status": "ok"}
    defaults = {"health": lambda: health, "now": lambda: datetime.now(UTC), "limits": LIMITS}
    return make_app({"GetMLTransform": toys.get}, **{**defaults, **settings})


@pytest.fixture(scope="module")
def toys() -> Toys:
    return Toys()


@pytest.fixture(scope="module")
def port(toys: Toys) -> Iterator[int]:
    with serving(make(toys, allowed_hosts=frozenset({"glue.test"}))) as port:
        yield port


@pytest.fixture(scope="module")
def signed_port(toys: Toys) -> Iterator[int]:
    with serving(make(toys, credentials=KEYS)) as port:
        yield port


def client(port: int, key: str = "any", secret: str = "any", **config: Any) -> Any:
    return boto3.client(
        "glue", endpoint_url=f"http://127.0.0.1:{port}", region_name="eu-west-1", aws_access_key_id=key,
        aws_secret_access_key=secret, config=Config(retries={"total_max_attempts": 2, "mode": "standard"}, **config),
    )  # fmt: skip


def send(
    port: int, body: bytes | Iterator[bytes] = b'{"TransformId": "t"}', *, method: str = "POST", path: str = "/",
    target: str | None = TARGET, **headers: str,
) -> tuple[int, dict[str, str], dict[str, Any]]:  # fmt: skip
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    sent = {
        **({} if target is None else {"X-Amz-Target": target}),
        **{k.replace("_", "-"): v for k, v in headers.items()},
    }
    try:
        connection.request(method, path, body, sent)
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    told = {name.lower(): value for name, value in response.getheaders()}
    return response.status, told, json.loads(content) if content else {}


def refusal(call: Callable[[], Any]) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        call()
    return dict(caught.value.response)


class TestAnswers:
    def test_boto3_gets_what_the_handler_gave(self, port: int, toys: Toys) -> None:
        answer = client(port).get_ml_transform(TransformId="tfm-1")
        assert answer["TransformId"] == "tfm-1"
        caller, request = toys.calls[-1]
        assert answer["CreatedOn"] == caller.now.replace(microsecond=caller.now.microsecond // 1000 * 1000) or abs(
            answer["CreatedOn"] - caller.now
        ) < timedelta(milliseconds=1)
        assert answer["ResponseMetadata"]["RequestId"] == caller.request_id
        assert (caller.access_key, caller.region, request) == ("any", "eu-west-1", {"TransformId": "tfm-1"})
        assert caller.invocation_id

    def test_every_answer_has_the_content_type_and_a_request_id(self, port: int) -> None:
        for body in (b'{"TransformId": "t"}', b"{", b"{}"):
            _, headers, _ = send(port, body)
            assert headers["content-type"] == "application/x-amz-json-1.1"
            assert len(headers["x-amzn-requestid"]) == 36

    @pytest.mark.parametrize(
        ("asked", "status", "code", "message"),
        [
            ("unknown", 400, "EntityNotFoundException", "Not there."),
            ("input", 400, "InvalidInputException", "The path is wrong."),
            ("away", 400, "OperationTimeoutException", "The store did not answer."),
            ("fault", 500, "InternalServiceException", "Dependency failure."),
        ],
    )
    def test_an_error_reaches_boto3_with_code_status_and_text(
        self, port: int, asked: str, status: int, code: str, message: str
    ) -> None:
        told = refusal(lambda: client(port).get_ml_transform(TransformId=asked))
        assert told["Error"] == {"Code": code, "Message": message}
        assert told["ResponseMetadata"]["HTTPStatusCode"] == status
        _, headers, body = send(port, json.dumps({"TransformId": asked}).encode())
        assert (headers["x-amzn-errortype"], body["__type"], body["Message"]) == (code, code, message)

    def test_a_client_tries_a_fault_again_but_not_a_refusal(self, port: int, toys: Toys) -> None:
        for asked, times in (("fault", 2), ("unknown", 1)):
            before = len(toys.calls)
            refusal(lambda asked=asked: client(port).get_ml_transform(TransformId=asked))  # type: ignore[misc]
            calls = toys.calls[before:]
            assert len(calls) == times
            assert len({caller.invocation_id for caller, _ in calls}) == 1

    def test_a_defect_is_a_fault_without_its_details(self, port: int, caplog: pytest.LogCaptureFixture) -> None:
        status, headers, body = send(port, b'{"TransformId": "defect"}')
        assert (status, body["__type"]) == (500, "InternalServiceException")
        assert "secret detail" not in body["Message"]
        assert headers["x-amzn-requestid"] in body["Message"]
        assert "secret detail" in caplog.text

    def test_a_fault_that_a_handler_tells_is_in_the_log(self, port: int, caplog: pytest.LogCaptureFixture) -> None:
        _, headers, _ = send(port, b'{"TransformId": "fault"}')
        told = f"request {headers['x-amzn-requestid']} failed"
        (record,) = (record for record in caplog.records if record.getMessage() == told)
        assert record.exc_info  # the log's form is the handler's own affair

    def test_a_broken_constraint_is_told(self, port: int) -> None:
        told = refusal(lambda: client(port, parameter_validation=False).get_ml_transform(TransformId=""))
        assert told["Error"]["Code"] == "InvalidInputException"
        assert told["Error"]["Message"].startswith("1 validation error detected: Value '' at 'transformId'")


class TestRequests:
    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b"{", "SerializationException"),
            (b'{"TransformId": 1}', "SerializationException"),
            (b"", "InvalidInputException"),
        ],
    )
    def test_a_body_that_cannot_be_used_is_told(self, port: int, body: bytes, code: str) -> None:
        status, _, told = send(port, body)
        assert (status, told["__type"]) == (400, code)

    @pytest.mark.parametrize(
        "target", [None, "", "GetMLTransform", "AWSGlue.Nope", "SageMaker.GetMLTransform", "AWSGlue."]
    )
    def test_a_target_that_is_none_is_refused(self, port: int, target: str | None) -> None:
        status, _, told = send(port, target=target)
        assert (status, told["__type"]) == (400, "UnknownOperationException")

    def test_an_operation_that_is_not_served_is_told_so(self, port: int) -> None:
        status, _, told = send(port, target="AWSGlue.GetCrawler")
        assert (status, told["__type"]) == (400, "UnknownOperationException")
        assert "GetCrawler is not implemented here" in told["message"]

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/", 405), ("OPTIONS", "/", 405), ("PUT", "/", 405), ("TRACE", "/", 405), ("ODD", "/", 405),
            ("POST", "/x", 404), ("ODD", "/x", 404), ("POST", "/health", 405), ("GET", "/health/", 404),
        ],
    )  # fmt: skip
    def test_other_methods_and_places_are_refused(self, port: int, method: str, path: str, status: int) -> None:
        found, headers, told = send(port, method=method, path=path)
        assert (found, told["__type"]) == (status, "UnknownOperationException")
        assert headers.get("allow") == ({"/": "POST", "/health": "GET"}[path] if status == 405 else None)
        assert not [name for name in headers if name.startswith("access-control")]

    @pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil.example:80"])
    def test_a_host_of_another_name_is_refused(self, port: int, host: str) -> None:
        status, _, told = send(port, Host=host)
        assert (status, told["__type"]) == (403, "AccessDeniedException")

    def test_health_is_not_told_under_another_name_either(self, port: int) -> None:
        status, _, told = send(port, method="GET", path="/health", target=None, Host="evil.example")
        assert (status, told["__type"]) == (403, "AccessDeniedException")

    @pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8420", "[::1]:8420", "glue.test"])
    def test_a_host_of_this_machine_or_of_the_settings_is_not(self, port: int, host: str) -> None:
        assert send(port, Host=host)[0] == 200

    @pytest.mark.parametrize("chunked", [False, True])
    def test_a_body_has_a_limit(self, port: int, chunked: bool) -> None:
        inside, outside = (json.dumps({"TransformId": "t", "x": "y" * (n - 30)}).encode() for n in (4000, 4200))
        for body, status in ((inside, 200), (outside, 413)):
            sent = iter([body[:100], body[100:]]) if chunked else body
            assert send(port, sent)[0] == status

    def test_a_length_that_is_a_lie_does_no_harm(self, port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
            raw.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: " + TARGET.encode()
                        + b"\r\nContent-Length: 99999999\r\n\r\n{}")  # fmt: skip
            assert b" 413 " in raw.recv(4096)

    @pytest.mark.parametrize("part", [b"POST / HT", b"POST / HTTP/1.1\r\nHost: localhost\r\n"])
    def test_a_client_that_never_ends_its_headers_is_let_go(self, port: int, part: bytes) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
            raw.sendall(part)
            assert raw.recv(4096) == b""

    def test_a_client_that_never_ends_its_body_is_told_and_let_go(self, port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
            raw.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: " + TARGET.encode()
                        + b"\r\nContent-Length: 10\r\n\r\n{")  # fmt: skip
            assert b" 408 " in raw.recv(4096)

    def test_a_slow_but_honest_client_can_send_more_than_one_request(self, port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        for _ in range(3):
            time.sleep(0.3)  # less than the limit for each, more for all of them
            connection.request("POST", "/", b'{"TransformId": "t"}', {"X-Amz-Target": TARGET})
            response = connection.getresponse()
            assert (response.status, response.read()[:1]) == (200, b"{")
        connection.close()

    def test_health_is_told(self, port: int) -> None:
        assert send(port, method="GET", path="/health", target=None)[0] == 200

    def test_a_server_that_is_not_well_says_so(self, toys: Toys) -> None:
        with serving(make(toys, health=lambda: {"status": "failing"})) as sick:
            assert send(sick, method="GET", path="/health", target=None)[0] == 503

    def test_a_server_that_cannot_tell_its_health_is_not_well(self, toys: Toys) -> None:
        def fail() -> Mapping[str, object]:
            raise RuntimeError("a secret detail")

        with serving(make(toys, health=fail)) as sick:
            status, _, told = send(sick, method="GET", path="/health", target=None)
            assert (status, told["__type"]) == (500, "InternalServiceException")

    def test_more_clients_than_the_limit_are_told_to_come_back(self) -> None:
        assert uvicorn_settings(Limits(connections=7))["limit_concurrency"] == 7

    def test_the_log_has_one_line_a_request_and_no_secret(self, port: int, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO, logger="glue_ml.access"):
            refusal(lambda: client(port).get_ml_transform(TransformId="unknown"))
        (record,) = caplog.records
        members = record.__dict__["members"]
        assert (members["operation"], members["status"], members["code"], members["access_key"]) == (
            "GetMLTransform", 400, "EntityNotFoundException", "any",
        )  # fmt: skip
        assert "ignature" not in str(members)


class TestSignatures:
    def test_what_boto3_signs_is_taken(self, signed_port: int, toys: Toys) -> None:
        client(signed_port, *next(iter(KEYS.items()))).get_ml_transform(TransformId="tfm-1")
        assert toys.calls[-1][0].access_key == "AKIDEXAMPLE"

    @pytest.mark.parametrize(
        ("key", "secret", "code"),
        [
            ("AKIDEXAMPLE", "wrong", "InvalidSignatureException"),
            ("AKIDOTHER", "secret+with/signs", "UnrecognizedClientException"),
        ],
    )
    def test_another_key_or_secret_is_not(self, signed_port: int, key: str, secret: str, code: str) -> None:
        told = refusal(lambda: client(signed_port, key, secret).get_ml_transform(TransformId="t"))
        assert (told["Error"]["Code"], told["ResponseMetadata"]["HTTPStatusCode"]) == (code, 400)

    @pytest.mark.parametrize("host", ["[", "[::1", "a/b"])
    def test_a_host_that_is_no_name_is_no_fault_of_the_server(self, signed_port: int, host: str) -> None:
        headers = {**self.capture(signed_port), "Host": host}
        status, _, told = self.resend(signed_port, headers)
        assert (status, told["__type"]) == (400, "InvalidSignatureException")

    def test_an_unsigned_request_is_not(self, signed_port: int) -> None:
        assert send(signed_port)[2]["__type"] == "MissingAuthenticationTokenException"

    def test_another_body_or_target_than_was_signed_is_not(self, signed_port: int) -> None:
        headers = self.capture(signed_port)
        assert self.resend(signed_port, headers)[0] == 200
        assert (
            self.resend(signed_port, headers, b'{"TransformId": "other"}')[2]["__type"] == "InvalidSignatureException"
        )
        changed = {**headers, "X-Amz-Target": "AWSGlue.DeleteMLTransform"}
        assert self.resend(signed_port, changed)[2]["__type"] == "UnknownOperationException"
        shorter = {**headers, "Authorization": headers["Authorization"].replace(";x-amz-target", "")}
        assert self.resend(signed_port, shorter)[2]["__type"] == "IncompleteSignatureException"

    @pytest.mark.parametrize(
        ("authorization", "code"),
        [
            ("AWS4-HMAC-SHA256", "IncompleteSignatureException"),
            ("Basic eDp5", "IncompleteSignatureException"),
            ("AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=x", "IncompleteSignatureException"),
            (
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20200101/r/glue/aws4_request, SignedHeaders=host, Signature=x",
                "IncompleteSignatureException",
            ),
        ],
    )
    def test_what_is_no_signature_is_told(self, signed_port: int, authorization: str, code: str) -> None:
        assert send(signed_port, Authorization=authorization)[2]["__type"] == code

    def test_a_signature_of_another_time_is_not(self, toys: Toys) -> None:
        for minutes, text in ((6, "Signature expired"), (-6, "Signature not yet current")):
            now = datetime.now(UTC) + timedelta(minutes=minutes)
            with serving(make(toys, credentials=KEYS, now=lambda now=now: now)) as port:
                told = refusal(lambda port=port: client(port, *next(iter(KEYS.items()))).get_ml_transform(TransformId="t"))  # type: ignore[misc] # fmt: skip # noqa: E501
                assert told["Error"]["Code"] == "InvalidSignatureException"
                assert text in told["Error"]["Message"]

    def capture(self, port: int) -> dict[str, str]:
        """The headers of a good request, as boto3 makes them."""
        captured: dict[str, str] = {}
        glue = client(port, *next(iter(KEYS.items())))

        def keep(request: Any, **_: Any) -> None:
            captured.update({k: v.decode() if isinstance(v, bytes) else v for k, v in request.headers.items()})

        glue.meta.events.register("before-send.glue", keep)
        glue.get_ml_transform(TransformId="t")
        return captured

    def resend(self, port: int, headers: dict[str, str], body: bytes = b'{"TransformId": "t"}') -> Any:
        sent = {
            name: value for name, value in headers.items() if name.lower() not in ("content-length", "x-amz-target")
        }
        return send(port, body, target=headers["X-Amz-Target"], **sent)
