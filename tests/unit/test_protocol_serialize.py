"""Answers, read back by botocore's own client parser."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.model import StructureShape
from botocore.parsers import create_parser
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glue_ml.protocol.model import load_service
from glue_ml.protocol.parse import parse_body
from glue_ml.protocol.serialize import find_status, serialize_error, serialize_output
from tests.unit.test_protocol_validate import ML_OPERATIONS
from tests.wire.strategies import valid

SERVICE = load_service("glue")


def output_shape(operation: str) -> StructureShape:
    found = SERVICE.find_operation(operation)
    assert found is not None
    assert found.output_shape is not None
    return found.output_shape


def read_back(operation: str, body: bytes, status: int = 200) -> dict[str, Any]:
    response = {"status_code": status, "headers": {}, "body": body}
    parsed: dict[str, Any] = create_parser("json").parse(response, output_shape(operation))
    return parsed


def test_an_answer_comes_back_as_it_was() -> None:
    moment = datetime(2026, 11, 21, 8, 56, 54, 469_000, tzinfo=UTC)
    told = {
        "TransformId": "tfm-1",
        "Status": "READY",
        "CreatedOn": moment,
        "LabelCount": 3,
        "MaxCapacity": 10.0,
        "Schema": [{"Name": "\U0001f600", "DataType": "int"}],
        "Parameters": {
            "TransformType": "FIND_MATCHES",
            "FindMatchesParameters": {"PrecisionRecallTradeoff": 0.0, "EnforceProvidedLabels": False},
        },
    }
    found = read_back("GetMLTransform", serialize_output(output_shape("GetMLTransform"), told))
    del found["ResponseMetadata"]
    assert found == told


@pytest.mark.parametrize("operation", [*ML_OPERATIONS, "GetTable", "GetPartitions", "GetJobRun"])
def test_whatever_is_answered_comes_back_as_it_was(operation: str) -> None:
    shape = output_shape(operation)
    quiet = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]

    @given(st.data())
    @settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=quiet)
    def check(data: st.DataObject) -> None:
        told = parse_body(json.dumps(data.draw(valid(shape))).encode(), shape)  # members with times as datetimes
        found = read_back(operation, serialize_output(shape, told))
        del found["ResponseMetadata"]
        assert found == told

    check()


def test_none_is_no_member_and_a_time_is_seconds_with_milliseconds() -> None:
    moment = datetime(2026, 1, 1, 0, 0, 0, 123_456, tzinfo=UTC)
    body = serialize_output(output_shape("GetMLTaskRun"), {"StartedOn": moment, "ErrorString": None})
    assert json.loads(body) == {"StartedOn": 1767225600.123}


def test_a_special_number_travels_as_a_string() -> None:
    body = serialize_output(output_shape("GetMLTransform"), {"MaxCapacity": float("nan")})
    assert json.loads(body) == {"MaxCapacity": "NaN"}


def test_an_unknown_member_is_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        body = serialize_output(output_shape("DeleteMLTransform"), {"TransformId": "t", "Odd": 1})
    assert json.loads(body) == {"TransformId": "t"}
    assert "has no member Odd" in caplog.text


def test_an_operation_without_output_answers_an_object() -> None:
    assert serialize_output(None, {}) == b"{}"


def test_an_error_carries_its_code_its_message_and_its_members() -> None:
    body = serialize_error(SERVICE, "EntityNotFoundException", "Not there.", {"FromFederationSource": True})
    assert json.loads(body) == {
        "__type": "EntityNotFoundException", "Message": "Not there.", "FromFederationSource": True,
    }  # fmt: skip
    found = read_back("GetMLTransform", body, 400)
    assert found["Error"] == {"Code": "EntityNotFoundException", "Message": "Not there."}


def test_an_error_without_a_message_has_no_such_member() -> None:
    assert json.loads(serialize_error(SERVICE, "InvalidInputException", None, {})) == {
        "__type": "InvalidInputException"
    }


@pytest.mark.parametrize(
    ("code", "status"),
    [("InternalServiceException", 500), ("InvalidInputException", 400), ("SerializationException", 400)],
)
def test_only_a_fault_of_the_server_is_a_500(code: str, status: int) -> None:
    assert find_status(SERVICE, code) == status
