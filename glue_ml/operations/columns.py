"""The values of partition keys as their Hive types have them, so that they can be compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

Value = Any  #: A str, Decimal, date, datetime or bool; values of one key are of one type, and so have an order.
Read = Callable[[str], Value]  #: Reads a text as a value; ValueError if it is none.

NULL = "__HIVE_DEFAULT_PARTITION__"  #: What stands for null in the values of a partition.

_NUMBER = re.compile(r"\s*([+-]?(?:[0-9]{1,80}(?:\.[0-9]{0,80})?|\.[0-9]{1,80})(?:[eE][+-]?[0-9]{1,3})?)\s*", re.ASCII)
_MOMENT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[ T]([0-9:]{5,8})(?:\.([0-9]{1,9}))?)?", re.ASCII)


def find_reader(kind: str) -> Read:
    """How a value of a Hive type is read; one of a type that has no order of its own is compared as text."""
    return _READERS.get(kind.lower().partition("(")[0].strip(), str)


def read_number(text: str) -> Decimal:
    """A decimal number; ValueError if it is none."""
    return Decimal(_match(_NUMBER, text)[1])


def _read_date(text: str) -> date:
    return date.fromisoformat(_match(_MOMENT, text.strip())[1])


def _read_moment(text: str) -> datetime:
    found = _match(_MOMENT, text.strip())
    fraction = (found[3] or "").ljust(6, "0")[:6]
    return datetime.fromisoformat(f"{found[1]} {found[2] or '00:00:00'}").replace(microsecond=int(fraction))


def _read_flag(text: str) -> bool:
    try:
        return {"true": True, "false": False}[text.strip().lower()]
    except KeyError as error:
        raise ValueError(text) from error


def _match(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    found = pattern.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return found


_NUMERIC = (
    "tinyint", "byte", "smallint", "short", "int", "integer", "bigint", "long", "decimal", "numeric", "float", "real",
    "double", "double precision",
)  # fmt: skip
_READERS: Mapping[str, Read] = {
    **dict.fromkeys(_NUMERIC, read_number),
    "date": _read_date,
    "timestamp": _read_moment,
    "boolean": _read_flag,
}
