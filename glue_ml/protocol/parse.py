"""From the body of an AWS JSON request to members of Python types, by the operation's input shape.

Follows the AWS JSON 1.1 protocol: unknown members are ignored, a null in a structure means that the member is absent,
an empty body is an empty structure. A wrong JSON type is an error: nothing is converted but 10.0 to 10.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SPECIAL_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_INTEGER_BITS = {"integer": 31, "long": 63}
_LAST_SECOND = 253_402_300_799  #: The end of the year 9999.
_MAX_DEPTH = 64


class SerializationError(Exception):
    """The body is no JSON, or a member has another JSON type than its shape; the message says which and where."""


def parse_body(body: bytes, shape: StructureShape | None) -> dict[str, Any]:
    """The members of a request. Raises SerializationError."""
    document = _load_json(body) if body else {}
    if not isinstance(document, dict):
        raise SerializationError(f"The body must be a JSON object, not {_name_type(document)}")
    return {} if shape is None else _parse_structure(shape, document, "", 0)


def _load_json(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant, parse_int=_parse_int)
    except UnicodeDecodeError as error:
        raise SerializationError(f"The body is not UTF-8, at byte {error.start}") from error
    except RecursionError as error:
        raise SerializationError("The body is nested too deeply") from error
    except ValueError as error:
        raise SerializationError(f"The body is not JSON: {error}") from error


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON number")


def _parse_int(text: str) -> int | float:
    return int(text) if len(text) <= 20 else float(text)  # a longer one is no 64-bit number, and costs time


def _parse(shape: Shape, value: Any, path: str, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise SerializationError(f"{path} is nested too deeply")
    if isinstance(shape, StructureShape):
        parse_inside = _parse_document if shape.is_document_type else _parse_structure
        return parse_inside(shape, value, path, depth)
    if isinstance(shape, ListShape):
        member = shape.member
        values = enumerate(_expect(value, list, path), 1)
        return [_parse(member, one, f"{path}.{place}.member", depth + 1) for place, one in values if one is not None]
    if isinstance(shape, MapShape):
        inner = shape.value
        members = _expect(value, dict, path).items()
        return {
            _parse_text(key, path): _parse(inner, one, f"{path}.{key[:40]}.member", depth + 1)
            for key, one in members
            if one is not None
        }
    return _parse_scalar(shape, value, path)


def _parse_structure(shape: StructureShape, value: Any, path: str, depth: int) -> dict[str, Any]:
    given = _expect(value, dict, path)
    found = {}
    for name, member in shape.members.items():
        key = member.serialization.get("name", name)
        if given.get(key) is not None:
            found[name] = _parse(member, given[key], join_path(path, name), depth + 1)
    return found


def _parse_document(shape: Shape, value: Any, path: str, depth: int) -> Any:
    """Any JSON, nulls too, as long as it can be stored and written again."""
    if depth > _MAX_DEPTH:
        raise SerializationError(f"{path} is nested too deeply")
    if isinstance(value, dict):
        return {_parse_text(key, path): _parse_document(shape, one, path, depth + 1) for key, one in value.items()}
    if isinstance(value, list):
        return [_parse_document(shape, one, path, depth + 1) for one in value]
    if isinstance(value, str):
        return _parse_text(value, path)
    return _parse_number(value, path) if isinstance(value, float) else value


def _parse_scalar(shape: Shape, value: Any, path: str) -> Any:
    match shape.type_name:
        case "string" | "character":
            return _parse_text(_expect(value, str, path), path)
        case "boolean":
            return _expect(value, bool, path)
        case "integer" | "long":
            return _parse_integer(value, path, _INTEGER_BITS[shape.type_name])
        case "float" | "double":
            return _parse_number(value, path)
        case "timestamp":
            return _parse_timestamp(value, path)
        case "blob":
            return _parse_blob(_expect(value, str, path), path)
        case kind:
            raise SerializationError(f"{path} is of the type {kind}, which this service does not take")


def _parse_text(text: str, path: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise SerializationError(f"{path or 'a key'} holds half of a surrogate pair") from error
    if "\0" in text:  # no database keeps it in text, and nothing that is named here may hold it
        raise SerializationError(f"{path or 'a key'} holds the character U+0000")
    return text


def _parse_integer(value: Any, path: str, bits: int) -> int:
    number = _parse_number(value, path)
    if not math.isfinite(number) or number != int(number):
        raise SerializationError(f"{path} must be a whole number, not {_show(value)}")
    exact = value if isinstance(value, int) else int(number)
    if not -(1 << bits) <= exact < (1 << bits):
        raise SerializationError(f"{path} must be a number of {bits + 1} bits, not {_show(value)}")
    return exact


def _parse_number(value: Any, path: str) -> float:
    if isinstance(value, str) and value in _SPECIAL_NUMBERS:
        return _SPECIAL_NUMBERS[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SerializationError(f"{path} must be a number, not {_name_type(value)}")
    if isinstance(value, float) and math.isinf(value):  # JSON has no infinity, but 1e999 reads as one
        raise SerializationError(f"{path} must be a number that a double can hold")
    return float(value)


def _parse_timestamp(value: Any, path: str) -> datetime:
    if isinstance(value, str) and value not in _SPECIAL_NUMBERS:
        return _parse_iso(value, path)
    seconds = _parse_number(value, path)
    if not 0 <= seconds <= _LAST_SECOND:  # NaN fails too
        raise SerializationError(f"{path} must be a time from 1970 to 9999, in seconds since 1970, not {_show(value)}")
    return _EPOCH + timedelta(milliseconds=round(seconds * 1000))


def _parse_iso(text: str, path: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise SerializationError(f"{path} must be a time in seconds since 1970, not {_show(text)}") from error
    return max(moment, _EPOCH)


def _parse_blob(text: str, path: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise SerializationError(f"{path} must be base64") from error


def _expect(value: Any, kind: type, path: str) -> Any:
    if not isinstance(value, kind):
        raise SerializationError(f"{path} must be {_TYPE_NAMES[kind]}, not {_name_type(value)}")
    return value


_TYPE_NAMES = {str: "a string", bool: "true or false", list: "a list", dict: "an object"}


def _name_type(value: Any) -> str:
    if value is None:
        return "null"
    for kind in (bool, str, list, dict):
        if isinstance(value, kind):
            return _TYPE_NAMES[kind] if kind is not bool else str(value).lower()
    return "a number"


def _show(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def join_path(path: str, name: str) -> str:
    """The path of a member as AWS writes it: each name begins in lower case."""
    return f"{path}.{name[:1].lower()}{name[1:]}" if path else name[:1].lower() + name[1:]
