"""The requests of the fuzz test are what they say: the protocol takes the valid ones and refuses the others."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glue_ml.protocol.parse import SerializationError, parse_body
from glue_ml.protocol.validate import validate
from tests.unit.test_protocol_validate import ML_OPERATIONS, input_shape
from tests.wire.strategies import near_valid, valid

SLOW_TO_DRAW = (HealthCheck.too_slow, HealthCheck.filter_too_much)
QUIET = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=SLOW_TO_DRAW)


def refused(operation: str, document: Any) -> bool:
    try:
        members = parse_body(json.dumps(document).encode(), input_shape(operation))
    except SerializationError:
        return True
    return validate(input_shape(operation), members) is not None


@pytest.mark.parametrize("operation", ML_OPERATIONS)
def test_valid_requests_are_taken(operation: str) -> None:
    @given(valid(input_shape(operation)))
    @QUIET
    def check(document: Any) -> None:
        assert not refused(operation, document)

    check()


@pytest.mark.parametrize("operation", ML_OPERATIONS)
def test_nearly_valid_requests_are_refused(operation: str) -> None:
    @given(st.data())
    @QUIET
    def check(data: st.DataObject) -> None:
        assert refused(operation, data.draw(near_valid(input_shape(operation))))

    check()
