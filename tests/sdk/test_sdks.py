"""The AWS SDKs for Go, JavaScript and Java take the server for AWS Glue: they sign, send and read in their own ways.

The SDKs write numbers as 10 or as 10.0, sign different headers, and turn `__type` into exception classes.
"""

from __future__ import annotations

import json
import time

from tests.sdk.conftest import Client


def test_an_sdk_creates_gets_and_lists_a_transform(client: Client) -> None:
    name, started = f"people-{time.time_ns()}", int(time.time())
    done = client(name)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    transform, created = told.pop("id"), told.pop("createdOn")
    assert transform.startswith("tfm-")
    assert started <= created <= time.time()
    assert told == {
        "name": name,
        "status": "NOT_READY",
        "maxCapacity": 10,
        "precisionRecallTradeoff": 1,
        "accuracyCostTradeoff": 0.25,
        "columns": 3,
        "listed": [transform],
        "secondRefused": True,
    }


def test_an_sdk_with_another_secret_is_refused_in_words(client: Client) -> None:
    done = client("refused", secret="another-secret")
    assert done.returncode != 0
    assert "The request signature we calculated does not match" in done.stderr
