"""Checks the signature of a request (AWS Signature Version 4) with botocore's own signer."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials

MAX_SKEW = timedelta(minutes=5)
_ALGORITHM = "AWS4-HMAC-SHA256"
_DATE = "%Y%m%dT%H%M%SZ"
_MEMBER = re.compile(r"(Credential|SignedHeaders|Signature)=([^,\s]+)")
_BODY_HASH = "x-amz-content-sha256"


class SignatureError(Exception):
    """A request that is not signed, or not as it should be; `code` is what AWS answers."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Scope:
    """Who signed, and what for: the access key, the day (YYYYMMDD), the region and the service."""

    access_key: str
    day: str
    region: str
    service: str


@dataclass(frozen=True)
class SignedRequest:
    """What a signature covers: method, path and query as they were sent, headers by lower-case name, and the body."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


def read_scope(authorization: str | None) -> Scope | None:
    """The scope that an Authorization header names; None if there is none that can be read. Nothing is checked."""
    members = dict(_MEMBER.findall(authorization or ""))
    parts = members.get("Credential", "").split("/")
    if len(parts) < 5 or parts[-1] != "aws4_request":
        return None
    return Scope("/".join(parts[:-4]), *parts[-4:-1])


def check_signature(request: SignedRequest, *, credentials: Mapping[str, str], service: str, now: datetime) -> Scope:
    """Who signed the request. Raises SignatureError if nobody did whom `credentials` (secrets by access key) hold."""
    authorization = request.headers.get("authorization")
    if not authorization:
        raise SignatureError("MissingAuthenticationTokenException", "Missing Authentication Token")
    scope, members = read_scope(authorization), dict(_MEMBER.findall(authorization))
    if not authorization.startswith(_ALGORITHM) or scope is None or len(members) != 3:
        raise SignatureError(
            "IncompleteSignatureException",
            f"Authorization header must be {_ALGORITHM} with Credential, SignedHeaders and Signature.",
        )
    moment = _check_time(request, scope, now)
    _check_scope(request, scope, service)
    signed = members["SignedHeaders"].lower().split(";")
    _check_headers(request, signed)
    secret = credentials.get(scope.access_key)
    expected = _sign(request, scope, signed, secret=secret or "", moment=moment)
    if secret is None:
        raise SignatureError(
            "UnrecognizedClientException", "The security token included in the request is invalid: unknown access key."
        )
    if not hmac.compare_digest(expected.encode(), members["Signature"].encode()):
        raise SignatureError(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method.",
        )
    return scope


def _check_time(request: SignedRequest, scope: Scope, now: datetime) -> str:
    text = request.headers.get("x-amz-date")
    try:
        if text is None:
            moment = parsedate_to_datetime(request.headers.get("date", "")).astimezone(UTC)
            text = moment.strftime(_DATE)
        else:
            moment = datetime.strptime(text, _DATE).replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise SignatureError(
            "IncompleteSignatureException", "The header X-Amz-Date, such as 20260131T235959Z, or Date must be there."
        ) from None
    if text[:8] != scope.day:
        raise SignatureError("InvalidSignatureException", "The date of the credential is not that of the request.")
    if abs(now - moment) > MAX_SKEW:
        told = "expired" if moment < now else "not yet current"
        raise SignatureError(
            "InvalidSignatureException",
            f"Signature {told}: it is of {text}, and the time here is {now.strftime(_DATE)}. Check the clock.",
        )
    return text


def _check_scope(request: SignedRequest, scope: Scope, service: str) -> None:
    if scope.service != service:
        raise SignatureError(
            "InvalidSignatureException", f"Credential should be scoped to the service {service}, not {scope.service}."
        )
    if request.query:
        raise SignatureError("IncompleteSignatureException", "Requests with a query are not taken.")


def _check_headers(request: SignedRequest, signed: list[str]) -> None:
    """What decides on the request's meaning must be signed, and the hash of the body must be the body's."""
    date = "x-amz-date" if "x-amz-date" in request.headers else "date"
    needed = {"host", date} | ({"x-amz-target"} & set(request.headers))
    missing = sorted(needed - set(signed)) + [name for name in signed if name not in request.headers]
    if missing:
        raise SignatureError("IncompleteSignatureException", f"The header {missing[0]} must be there and be signed.")
    told = request.headers.get(_BODY_HASH)
    if told is not None and not hmac.compare_digest(told.encode(), hashlib.sha256(request.body).hexdigest().encode()):
        raise SignatureError("InvalidSignatureException", f"{_BODY_HASH} is not the hash of the body.")


def _sign(request: SignedRequest, scope: Scope, signed: list[str], *, secret: str, moment: str) -> str:
    headers = {name: request.headers[name] for name in signed}
    url = f"http://localhost{request.path}"  # the name is signed as a header; in a URL it may not even be a name
    sent = AWSRequest(method=request.method, url=url, headers=headers, data=request.body)
    sent.context["timestamp"] = moment
    signer = _ExactSigner(Credentials(scope.access_key, secret), scope.service, scope.region)
    return str(signer.signature(signer.string_to_sign(sent, signer.canonical_request(sent)), sent))


class _ExactSigner(SigV4Auth):
    """Signs just the headers that the caller signed, be they such as botocore would leave out."""

    def headers_to_sign(self, request: Any) -> Any:
        headers = HTTPHeaders()
        for name, value in request.headers.items():
            headers[name.lower()] = value
        return headers
