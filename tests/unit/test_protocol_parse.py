"""Bodies of requests: what is taken, and what is told of the rest."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glue_ml.protocol.parse import SerializationError, parse_body
from tests.unit.test_protocol_validate import input_shape


def parse(operation: str, document: Any) -> dict[str, Any]:
    return parse_body(json.dumps(document).encode(), input_shape(operation))


def test_an_empty_body_is_an_empty_object() -> None:
    assert parse_body(b"", input_shape("GetMLTransforms")) == {}


def test_null_and_unknown_members_are_as_if_they_were_not_there() -> None:
    assert parse("GetMLTransforms", {"Filter": None, "Sort": {"Column": "NAME", "More": 1}, "New": {}}) == {
        "Sort": {"Column": "NAME"}
    }


@pytest.mark.parametrize(("value", "read"), [(10, 10), (10.0, 10), (-1, -1), (2**31 - 1, 2**31 - 1)])
def test_a_whole_number_may_be_written_with_a_point(value: float, read: int) -> None:
    found = parse("CreateMLTransform", {"Timeout": value})["Timeout"]
    assert (found, type(found)) == (read, int)


@pytest.mark.parametrize("value", [True, "10", 1.5, 2**31, -(2**31) - 1, 10**400, [], "NaN", 1e300])
def test_what_is_no_whole_number_of_32_bits_is_refused(value: Any) -> None:
    with pytest.raises(SerializationError, match="timeout must be"):
        parse("CreateMLTransform", {"Timeout": value})


def test_special_numbers_travel_as_strings() -> None:
    assert math.isnan(parse("CreateMLTransform", {"MaxCapacity": "NaN"})["MaxCapacity"])
    assert parse("CreateMLTransform", {"MaxCapacity": "-Infinity"})["MaxCapacity"] == -math.inf


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_a_bare_special_number_is_no_json(text: str) -> None:
    with pytest.raises(SerializationError, match="is not JSON"):
        parse_body(f'{{"MaxCapacity": {text}}}'.encode(), input_shape("CreateMLTransform"))


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (1795251414, datetime(2026, 11, 21, 8, 56, 54, tzinfo=UTC)),
        (1795251414.4691, datetime(2026, 11, 21, 8, 56, 54, 469_000, tzinfo=UTC)),
        ("2026-11-21T08:56:54Z", datetime(2026, 11, 21, 8, 56, 54, tzinfo=UTC)),
        ("2026-11-21T10:56:54+02:00", datetime(2026, 11, 21, 8, 56, 54, tzinfo=UTC)),
    ],
)
def test_times_are_seconds_since_1970(value: Any, read: datetime) -> None:
    assert parse("GetMLTransforms", {"Filter": {"CreatedBefore": value}})["Filter"]["CreatedBefore"] == read


@pytest.mark.parametrize("value", [-1, 1e300, "NaN", "yesterday", True, {}, 253_402_300_800])
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(SerializationError, match=r"filter\.createdBefore must be"):
        parse("GetMLTransforms", {"Filter": {"CreatedBefore": value}})


@pytest.mark.parametrize(
    ("operation", "document", "told"),
    [
        ("GetMLTransforms", [], "must be a JSON object, not a list"),
        ("GetMLTransforms", {"Filter": []}, "filter must be an object, not a list"),
        ("CreateMLTransform", {"Name": 7}, "name must be a string, not a number"),
        ("CreateMLTransform", {"InputRecordTables": {}}, "inputRecordTables must be a list, not an object"),
        ("CreateMLTransform", {"Tags": {"a": 1}}, "tags.a.member must be a string, not a number"),
        (
            "StartImportLabelsTaskRun",
            {"ReplaceAllLabels": "true"},
            "replaceAllLabels must be true or false, not a string",
        ),
        ("StartImportLabelsTaskRun", {"ReplaceAllLabels": 1}, "replaceAllLabels must be true or false, not a number"),
        ("CreateMLTransform", {"Name": "a\0b"}, "name holds the character U\\+0000"),
        ("CreateMLTransform", {"Name": "\ud800"}, "name holds half of a surrogate pair"),
        ("CreateMLTransform", {"Tags": {"\udfff": "x"}}, "tags holds half of a surrogate pair"),
    ],
)
def test_a_wrong_type_is_told_with_its_place(operation: str, document: Any, told: str) -> None:
    with pytest.raises(SerializationError, match=told):
        parse(operation, document)


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b'{"a": 1} x', b"[" * 100_000, b'{"Filter":' * 100_000, b"'", b"\xef\xbb\xbf{}"]
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(SerializationError):
        parse_body(body, input_shape("GetMLTransforms"))


@pytest.mark.parametrize("text", ["1e999", "-1e999", "9" * 400])
def test_a_number_that_no_double_holds_is_refused(text: str) -> None:
    with pytest.raises(SerializationError, match="maxCapacity must be a number that a double can hold"):
        parse_body(f'{{"MaxCapacity": {text}}}'.encode(), input_shape("CreateMLTransform"))


def parse_type_of_iceberg_field(text: str) -> Any:
    before = '{"OpenTableFormatInput": {"IcebergInput": {"CreateIcebergTableInput": {"Schema": {"Fields": [{"Type": '
    body = f"{before}{text}}}]}}}}}}}}}}"
    found = parse_body(body.encode(), input_shape("CreateTable"))
    fields = found["OpenTableFormatInput"]["IcebergInput"]["CreateIcebergTableInput"]["Schema"]["Fields"]
    return fields[0]["Type"]


def test_a_document_is_taken_as_it_is() -> None:
    assert parse_type_of_iceberg_field('{"a": [1, 1.5, true, null, "b"]}') == {"a": [1, 1.5, True, None, "b"]}


@pytest.mark.parametrize("text", ['"\\ud800"', '{"\\ud800": 1}', '["\\u0000"]', "1e999", "[" * 400 + "]" * 400])
def test_a_document_holds_nothing_that_cannot_be_stored(text: str) -> None:
    with pytest.raises(SerializationError):
        parse_type_of_iceberg_field(text)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(document=_JSON)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_any_json_is_either_read_or_refused(document: Any) -> None:
    for operation in ("CreateMLTransform", "CreateTable"):
        for body in (document, {"Parameters": document, "TableInput": document, "Tags": document, "Name": document}):
            with suppress(SerializationError):
                assert isinstance(parse(operation, body), dict)
