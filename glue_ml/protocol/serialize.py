"""From the members of an answer to the body that the SDKs read."""

from __future__ import annotations

import base64
import json
import logging
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from glue_ml.protocol.model import Service

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


def _write(shape: Shape, value: Any) -> Any:
    if isinstance(shape, StructureShape):
        return value if shape.is_document_type else _write_structure(shape, value)
    if isinstance(shape, ListShape):
        return [_write(shape.member, one) for one in value if one is not None]
    if isinstance(shape, MapShape):
        inner = shape.value
        return {str(key): _write(inner, one) for key, one in value.items() if one is not None}
    return _write_scalar(shape.type_name, value)


def _write_structure(shape: StructureShape, members: Mapping[str, Any]) -> dict[str, Any]:
    told = {}
    for name, value in members.items():
        if value is None:
            continue
        if name not in shape.members:
            logger.warning("%s has no member %s: it is not sent", shape.name, name)
            continue
        member = shape.members[name]
        told[member.serialization.get("name", name)] = _write(member, value)
    return told


def _write_scalar(kind: str, value: Any) -> Any:
    match kind:
        case "timestamp":
            return round(value.timestamp(), 3) if isinstance(value, datetime) else value
        case "float" | "double":
            return _write_number(float(value))
        case "integer" | "long":
            return int(value)
        case "blob":
            return base64.b64encode(value).decode("ascii")
        case "boolean":
            return bool(value)
        case _:
            return str(value)


def _write_number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
