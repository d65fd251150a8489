"""AWS JSON 1.1 over HTTP: one ASGI application for one service, driven by botocore's model of it."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.model import OperationModel
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from glue_ml.errors import ApiError, ErrorKind, GlueMLError
from glue_ml.protocol.connections import Limits
from glue_ml.protocol.model import Service, load_service
from glue_ml.protocol.parse import SerializationError, parse_body
from glue_ml.protocol.serialize import find_status, serialize_error, serialize_output
from glue_ml.protocol.sigv4 import SignatureError, SignedRequest, check_signature, read_scope
from glue_ml.protocol.validate import CONSTRAINT_ERROR, validate

App = Starlette

DEFAULT_LIMITS = Limits()
DEFAULT_REGION = "us-east-1"
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})

_PORT = re.compile(r":\d+$")
_METHODS = {"/": "POST", "/health": "GET"}

#: What a failure that is no error of the API answers with.
_CODES: Mapping[ErrorKind, str] = {
    ErrorKind.INPUT: "InvalidInputException",
    ErrorKind.NOT_READY: "MLTransformNotReadyException",
    ErrorKind.NOT_FOUND: "EntityNotFoundException",
    ErrorKind.ACCESS: "AccessDeniedException",
    ErrorKind.UNAVAILABLE: "OperationTimeoutException",
}

logger = logging.getLogger(__name__)
access_logger = logging.getLogger("glue_ml.access")


@dataclass(frozen=True)
class Caller:
    """Who calls, and in which request. `invocation_id` is an SDK's own id of a call, the same when it tries again."""

    request_id: str
    access_key: str | None
    region: str
    now: datetime
    invocation_id: str | None = None


Handler = Callable[[Caller, dict[str, Any]], Mapping[str, Any]]


class RequestError(Exception):
    """A request that is answered with an error before, or instead of, its operation."""

    def __init__(
        self, code: str, message: str | None, *, status: int | None = None, members: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.members = members or {}


@dataclass(frozen=True)
class _Api:
    """What every request needs."""

    service: Service
    handlers: Mapping[str, Handler]
    credentials: Mapping[str, str] | None
    limits: Limits
    hosts: frozenset[str] | None
    health: Callable[[], Mapping[str, object]]
    now: Callable[[], datetime]


@dataclass
class _Exchange:
    """One request on its way to its answer, and what the access log tells of it."""

    request: Request
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    operation: str | None = None
    access_key: str | None = None
    code: str | None = None
    started: float = field(default_factory=time.monotonic)


def make_app(
    handlers: Mapping[str, Handler],
    *,
    health: Callable[[], Mapping[str, object]],
    now: Callable[[], datetime],
    service: str = "glue",
    credentials: Mapping[str, str] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    allowed_hosts: frozenset[str] | None = None,
) -> App:
    """An ASGI application that answers POST / for the operations of `handlers`, and GET /health.

    With `credentials` (secrets by access key) every request must be signed with one of them; with None any caller,
    and any signature, is taken. With `allowed_hosts` the Host header must be a name of this machine or one of these, so
    that a web page cannot reach the server under a name of its own. Handlers run in threads. What they raise becomes
    an error of the service: an ApiError its own, another GlueMLError one by its kind, anything else
    InternalServiceException.
    """
    hosts = None if allowed_hosts is None else LOOPBACK_HOSTS | allowed_hosts
    api = _Api(load_service(service), handlers, credentials, limits, hosts, health, now)

    async def answer(request: Request) -> Response:
        exchange = _Exchange(request)
        response = await _exchange(api, exchange, _serve)
        _log(exchange, response.status_code)
        return response

    async def tell_health(request: Request) -> Response:
        return await _exchange(api, _Exchange(request), _tell_health)

    async def refuse_method(request: Request, _: Exception) -> Response:
        return await answer(request)

    return Starlette(
        routes=[
            Route("/health", tell_health, methods=["GET"]),
            Route("/{path:path}", answer, methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
        ],
        exception_handlers={405: refuse_method},  # of methods that are not listed
    )


async def _exchange(
    api: _Api, exchange: _Exchange, serve: Callable[[_Api, _Exchange], Awaitable[Response]]
) -> Response:
    """The whole path of a request; whatever happens, there is an answer in the shape of the service's own."""
    try:
        return await serve(api, exchange)
    except RequestError as error:
        return _answer_error(api, exchange, error)
    except Exception:  # the rim of the server: every defect must be answered
        logger.exception("request %s failed", exchange.request_id)
        message = f"The server failed; its log tells more under the request id {exchange.request_id}."
        return _answer_error(api, exchange, RequestError("InternalServiceException", message, status=500))


async def _serve(api: _Api, exchange: _Exchange) -> Response:
    request = exchange.request
    _check_place(request)
    _check_host(api, request)
    operation = _find_operation(api, exchange)
    body = await _read_body(request, api.limits)
    caller = _identify_caller(api, exchange, body)
    return _respond(api, exchange, 200, await run_in_threadpool(_perform, api, operation, caller, body))


async def _tell_health(api: _Api, exchange: _Exchange) -> Response:
    _check_host(api, exchange.request)
    told = await run_in_threadpool(api.health)
    return Response(json.dumps(told), 200 if told.get("status") == "ok" else 503, media_type="application/json")


def _check_place(request: Request) -> None:
    method = _METHODS.get(request.scope["path"])
    if method is None:
        raise RequestError("UnknownOperationException", "There is nothing but / and /health here.", status=404)
    if request.method != method:
        raise RequestError("UnknownOperationException", f"Requests are made by {method} here.", status=405)


def _check_host(api: _Api, request: Request) -> None:
    host = _PORT.sub("", request.headers.get("host", "")).lower()
    if api.hosts is not None and host not in api.hosts:
        raise RequestError(
            "AccessDeniedException",
            f"This server does not answer to the name {host[:100]!r}; name it in the setting allowed_hosts.",
            status=403,
        )


def _find_operation(api: _Api, exchange: _Exchange) -> OperationModel:
    prefix, _, name = exchange.request.headers.get("x-amz-target", "").rpartition(".")
    operation = api.service.find_operation(name) if prefix == api.service.target_prefix else None
    if operation is None:
        raise RequestError("UnknownOperationException", "The header X-Amz-Target names no operation of this service.")
    exchange.operation = operation.name
    if name not in api.handlers:
        raise RequestError("UnknownOperationException", f"The operation {name} is not implemented here.")
    return operation


async def _read_body(request: Request, limits: Limits) -> bytes:
    too_large = RequestError(
        "RequestEntityTooLargeException", f"A request may have at most {limits.body_bytes} bytes.", status=413
    )
    if request.headers.get("content-length", "0").isdigit() is False:
        raise RequestError("SerializationException", "Content-Length must be a number.")
    if int(request.headers.get("content-length", "0")) > limits.body_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(limits.read_seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limits.body_bytes:
                    raise too_large
    except TimeoutError:
        message = f"The request did not arrive within {limits.read_seconds:g} s."
        raise RequestError("RequestTimeoutException", message, status=408) from None
    except ClientDisconnect:
        raise RequestError("RequestTimeoutException", "The client went away.", status=408) from None
    return bytes(body)


def _identify_caller(api: _Api, exchange: _Exchange, body: bytes) -> Caller:
    headers, now = exchange.request.headers, api.now()
    scope = read_scope(headers.get("authorization"))
    if api.credentials is not None:
        query = exchange.request.scope["query_string"].decode("latin-1")
        signed = SignedRequest("POST", "/", query, _merge_headers(exchange.request), body)
        try:
            scope = check_signature(signed, credentials=api.credentials, service=api.service.signing_name, now=now)
        except SignatureError as error:
            raise RequestError(error.code, str(error)) from error
    exchange.access_key = None if scope is None else scope.access_key
    region = scope.region if scope is not None and scope.region else DEFAULT_REGION
    return Caller(exchange.request_id, exchange.access_key, region, now, headers.get("amz-sdk-invocation-id"))


def _merge_headers(request: Request) -> dict[str, str]:
    """The headers by name, as the signature sees them: those of one name are joined by commas."""
    merged: dict[str, str] = {}
    for name, value in request.headers.items():
        merged[name] = f"{merged[name]},{value}" if name in merged else value
    return merged


def _perform(api: _Api, operation: OperationModel, caller: Caller, body: bytes) -> bytes:
    """Read the members, call the handler, write its answer: all in a thread, for a large body takes a while."""
    members = _read_members(operation, body)
    return serialize_output(operation.output_shape, _call(api.handlers[operation.name], caller, members))


def _read_members(operation: OperationModel, body: bytes) -> dict[str, Any]:
    try:
        members = parse_body(body, operation.input_shape)
    except SerializationError as error:
        raise RequestError("SerializationException", str(error)) from error
    if problem := validate(operation.input_shape, members):
        raise RequestError(CONSTRAINT_ERROR, problem)
    return members


def _call(handler: Handler, caller: Caller, members: dict[str, Any]) -> Mapping[str, Any]:
    try:
        return handler(caller, members)
    except ApiError as error:
        if error.kind is ErrorKind.INTERNAL:
            logger.exception("request %s failed", caller.request_id)
        raise RequestError(error.code, error.message, members=error.members) from error
    except GlueMLError as error:
        if error.kind not in _CODES:
            raise
        raise RequestError(_CODES[error.kind], str(error)) from error


def _answer_error(api: _Api, exchange: _Exchange, error: RequestError) -> Response:
    exchange.code = error.code
    status = find_status(api.service, error.code) if error.status is None else error.status
    return _respond(api, exchange, status, serialize_error(api.service, error.code, error.message, error.members))


def _respond(api: _Api, exchange: _Exchange, status: int, body: bytes) -> Response:
    headers = {"content-type": api.service.content_type, "x-amzn-RequestId": exchange.request_id}
    if exchange.code is not None:
        headers["x-amzn-ErrorType"] = exchange.code
    if status == 405:
        headers["allow"] = _METHODS[exchange.request.scope["path"]]
    if status in (408, 413):  # what is still to come of the request would be read as the next one
        headers["connection"] = "close"
    return Response(body, status, headers=headers)


def _log(exchange: _Exchange, status: int) -> None:
    members = {
        "request_id": exchange.request_id,
        "operation": exchange.operation,
        "status": status,
        "code": exchange.code,
        "seconds": round(time.monotonic() - exchange.started, 4),
        "access_key": exchange.access_key,
    }
    access_logger.info("%s %s", exchange.operation or "-", status, extra={"members": members})
