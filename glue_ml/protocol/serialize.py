"""From the members of an answer to the body that the SDKs read."""

from __future__ import annotations

import base64
import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cache, partial
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from glue_ml.protocol.model import Service

Writer = Callable[[Any], Any]

logger = logging.getLogger(__name__)


def serialize_output(shape: StructureShape | None, members: Mapping[str, Any]) -> bytes:
    """The body of an answer: members that are None are left out, times are seconds since 1970 with milliseconds."""
    return _dump({} if shape is None else _write_structure(shape, members))


def serialize_error(service: Service, code: str, message: str | None, members: Mapping[str, Any]) -> bytes:
    """The body of an error: `__type` names it, a message that is not there is no member, further members follow.

    The message is sent under the name that the shape gives it, `Message` in Glue, `message` where there is no shape.
    """
    shape = service.find_error(code)
    told: dict[str, Any] = {"__type": code}
    if isinstance(shape, StructureShape):
        name = next((name for name in shape.members if name.lower() == "message"), "message")
        told |= _write_structure(shape, members)
    else:
        name = "message"
    return _dump(told if message is None else {**told, name: message})


def find_status(service: Service, code: str) -> int:
    """The HTTP status of an error: 500 for the server's own faults, else 400."""
    return 500 if code in service.faults else 400


def _dump(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")


@cache
def _writer_of(shape: Shape) -> Writer:
    """How values of a shape are written; found once, as a page holds thousands of them."""
    if isinstance(shape, StructureShape):
        return _keep if shape.is_document_type else partial(_write_structure, shape)
    if isinstance(shape, ListShape):
        return partial(_write_list, _writer_of(shape.member))
    if isinstance(shape, MapShape):
        return partial(_write_map, _writer_of(shape.value))
    return _SCALARS.get(shape.type_name, str)


@cache
def _members_of(shape: StructureShape) -> Mapping[str, tuple[str, Writer]]:
    """By member: its name on the wire, and how it is written."""
    members = shape.members.items()
    return {name: (member.serialization.get("name", name), _writer_of(member)) for name, member in members}


def _write_structure(shape: StructureShape, members: Mapping[str, Any]) -> dict[str, Any]:
    known, told = _members_of(shape), {}
    for name, value in members.items():
        if value is None:
            continue
        if name not in known:
            logger.warning("%s has no member %s: it is not sent", shape.name, name)
            continue
        wire_name, write = known[name]
        told[wire_name] = write(value)
    return told


def _write_list(write: Writer, values: Iterable[Any]) -> list[Any]:
    return [write(one) for one in values if one is not None]


def _write_map(write: Writer, members: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): write(one) for key, one in members.items() if one is not None}


def _keep(value: Any) -> Any:
    return value


def _write_time(value: Any) -> Any:
    return round(value.timestamp(), 3) if isinstance(value, datetime) else value


def _write_blob(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _write_number(value: Any) -> float | str:
    number = float(value)
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


#: By the type of a shape; anything else is text.
_SCALARS: Mapping[str, Writer] = {
    "timestamp": _write_time,
    "float": _write_number,
    "double": _write_number,
    "integer": int,
    "long": int,
    "blob": _write_blob,
    "boolean": bool,
}
