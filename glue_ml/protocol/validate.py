"""Checks the members of a request against the constraints of its shape, in the words of the live services.

botocore's own validator leaves max, pattern, enum and the size of maps to the server, and is lenient elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any, cast

from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape

from glue_ml.protocol.model import compile_pattern
from glue_ml.protocol.parse import join_path

#: The code of a broken constraint: each operation of this API declares it, and none declares ValidationException.
CONSTRAINT_ERROR = "InvalidInputException"

_SHOWN_VALUE = 256  #: Characters of a value that are repeated in a message.
_SHOWN_ERRORS = 10  #: Further ones are not looked for: a request of 1 MiB can hold 300,000.


def validate(shape: StructureShape | None, members: dict[str, Any]) -> str | None:
    """What is wrong with a request, in one line; None if nothing is."""
    problems = [] if shape is None else list(islice(_check_structure(shape, members, ""), _SHOWN_ERRORS))
    if not problems:
        return None
    count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected"
    return f"{count}: {'; '.join(problems)}"


def _check(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        if not shape.is_document_type:
            yield from _check_structure(shape, value, path)
    elif isinstance(shape, ListShape):
        yield from _check_length(shape, value, path)
        for place, one in enumerate(value, 1):
            yield from _check(shape.member, one, f"{path}.{place}.member")
    elif isinstance(shape, MapShape):
        yield from _check_length(shape, value, path)
        for key, one in value.items():
            yield from _check_key(shape.key, key, path)
            yield from _check(shape.value, one, f"{path}.{_shorten(key)}.member")
    elif isinstance(shape, StringShape):
        yield from _check_length(shape, value, path)
        yield from _check_text(shape, value, path)
    elif shape.type_name in ("integer", "long", "float", "double"):
        yield from _check_range(shape, value, path)
    elif shape.type_name == "blob":
        yield from _check_length(shape, value, path)


def _check_structure(shape: StructureShape, members: dict[str, Any], path: str) -> Iterator[str]:
    for name in shape.required_members:
        if name not in members:
            yield f"Value at '{join_path(path, name)}' failed to satisfy constraint: Member must not be null"
    for name, member in shape.members.items():
        if name in members:
            yield from _check(member, members[name], join_path(path, name))


def _check_key(shape: Shape, key: str, path: str) -> Iterator[str]:
    broken = [*_list_length(shape, len(key)), *_list_text(cast("StringShape", shape), key)]
    if broken:
        listed = ", ".join(f"Member must {phrase}" for phrase in broken)
        yield _tell(path, _shorten(key), f"Map keys must satisfy constraint: [{listed}]")


def _check_length(shape: Shape, value: Any, path: str) -> Iterator[str]:
    for phrase in _list_length(shape, len(value)):
        yield _tell(path, value, f"Member must {phrase}")


def _check_text(shape: StringShape, value: str, path: str) -> Iterator[str]:
    for phrase in _list_text(shape, value):
        yield _tell(path, value, f"Member must {phrase}")


def _check_range(shape: Shape, value: float, path: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and not value >= least:  # so that NaN is below
        yield _tell(path, _show_number(value), f"Member must have value greater than or equal to {least:g}")
    elif most is not None and not value <= most:
        yield _tell(path, _show_number(value), f"Member must have value less than or equal to {most:g}")


def _list_length(shape: Shape, length: int) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and length < least:
        yield f"have length greater than or equal to {least}"
    if most is not None and length > most:
        yield f"have length less than or equal to {most}"


def _list_text(shape: StringShape, value: str) -> Iterator[str]:
    pattern, choices = shape.metadata.get("pattern"), shape.metadata.get("enum")
    if pattern is not None and compile_pattern(pattern).fullmatch(value) is None:
        yield f"satisfy regular expression pattern: {pattern}"
    if choices is not None and value not in choices:
        yield f"satisfy enum value set: [{', '.join(choices)}]"


def _tell(path: str, value: Any, constraint: str) -> str:
    return f"Value '{_shorten(value)}' at '{path}' failed to satisfy constraint: {constraint}"


def _shorten(value: Any) -> str:
    """A value for a message: not long, and in one line."""
    text = str(value[:_SHOWN_VALUE] if isinstance(value, str | bytes | list) else value)
    shown = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text[:_SHOWN_VALUE])
    return shown if len(text) <= _SHOWN_VALUE and len(str(value)) <= len(text) else f"{shown}..."


def _show_number(value: float) -> str:
    return str(int(value)) if math.isfinite(value) and value == int(value) else str(value)
