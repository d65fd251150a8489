"""Signatures that botocore's own signer makes, with either of the headers that tell the time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from glue_ml.protocol.sigv4 import SignatureError, SignedRequest, check_signature

KEYS = {"AKIDEXAMPLE": "secret"}


def sign(host: str = "localhost:8420", **headers: str) -> SignedRequest:
    sent = AWSRequest("POST", "http://localhost/", {"Host": host, "X-Amz-Target": "AWSGlue.GetTags", **headers}, b"{}")
    SigV4Auth(Credentials("AKIDEXAMPLE", "secret", "token"), "glue", "us-east-1").add_auth(sent)
    return SignedRequest("POST", "/", "", {name.lower(): value for name, value in sent.headers.items()}, b"{}")


def check(request: SignedRequest, *, later: timedelta = timedelta(0)) -> str:
    now = datetime.now(UTC) + later
    return check_signature(request, credentials=KEYS, service="glue", now=now).access_key


def test_the_time_may_be_in_x_amz_date_or_in_date() -> None:
    dated = sign(Date="any")
    assert "date" in dated.headers
    assert "x-amz-date" not in dated.headers
    assert check(sign()) == check(dated) == "AKIDEXAMPLE"


def test_an_old_date_is_told() -> None:
    with pytest.raises(SignatureError, match="Signature expired") as caught:
        check(sign(Date="any"), later=timedelta(minutes=6))
    assert caught.value.code == "InvalidSignatureException"


@pytest.mark.parametrize("date", ["", "yesterday", "Thu, 01 Jan 10000 00:00:00 GMT", "Mon, 01 Jan 0001 00:00:00 +1400"])
def test_a_date_that_is_none_is_told(date: str) -> None:
    request = sign(Date="any")
    with pytest.raises(SignatureError) as caught:
        check(SignedRequest("POST", "/", "", {**request.headers, "date": date}, b"{}"))
    assert caught.value.code in ("IncompleteSignatureException", "InvalidSignatureException")


@pytest.mark.parametrize("host", ["[", "[::1", "a/b", "a?b", "a#b", "\xbd"])
def test_a_host_that_is_no_name_is_only_text_to_sign(host: str) -> None:
    assert check(sign(host)) == "AKIDEXAMPLE"


def test_another_host_than_was_signed_is_not_taken() -> None:
    request = sign("[")
    with pytest.raises(SignatureError, match="does not match"):
        check(SignedRequest("POST", "/", "", {**request.headers, "host": "[["}, b"{}"))
