"""Column profiles: what sort of values a column holds, which decides how they are cleaned and compared."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

import numpy as np
import numpy.typing as npt

SAMPLE = 2_000  #: Distinct values looked at per column; more changes no share by more than about 2 points.


class ColumnKind(StrEnum):
    """How the values of a column are to be compared."""

    EMPTY = "empty"  #: No value, or the same value everywhere: tells nothing.
    CATEGORY = "category"  #: Few distinct values.
    EMAIL = "email"
    PHONE = "phone"
    DATE = "date"
    NUMBER = "number"  #: A quantity, with or without a currency sign.
    CODE = "code"  #: One token, mostly with digits: part numbers, postcodes, registrations.
    NAME = "name"  #: One to three words.
    TEXT = "text"  #: A title, an address: a few words.
    LONG_TEXT = "long_text"  #: A description.


@dataclass(frozen=True)
class ColumnProfile:
    """What is known of one column. `fill` and `distinct` are shares of the rows, `words` the mean per value."""

    name: str
    kind: ColumnKind
    fill: float
    distinct: float
    words: float

    def to_dict(self) -> dict[str, Any]:
        """Return the profile as JSON members."""
        return asdict(self)

    @classmethod
    def from_dict(cls, members: Mapping[str, Any]) -> Self:
        """Rebuild a profile from `to_dict`."""
        return cls(**{**members, "kind": ColumnKind(members["kind"])})


_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_PHONE = re.compile(r"[+(]?\d[\d\s()./+x-]{5,22}")
_NUMBER = re.compile(r"[$€£¥]?\s*[+-]?(\d{1,3}(,\d{3})+|\d+)?(\.\d+)?\s*([$€£¥%]|usd|eur|gbp)?")
_ISO_DATE = re.compile(r"(\d{4})[-/.]?(\d{2})[-/.]?(\d{2})([t ].*)?")
_LOCAL_DATE = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{2}|\d{4})")


def parse_date(text: str) -> tuple[int, int, int] | None:
    """Read a calendar date as (year, month, day); day-first where only that is possible, else month-first.

    A swapped day and month is common dirt, so the comparison looks at the parts and not only at the days between.
    """
    if match := _ISO_DATE.fullmatch(text):
        year, month, day = (int(part) for part in match.groups()[:3])
    elif match := _LOCAL_DATE.fullmatch(text):
        month, day, year = (int(part) for part in match.groups())
        if month > 12:
            month, day = day, month
        if year < 100:
            year += 1900 if year > 30 else 2000
    else:
        return None
    plausible = 1000 <= year <= 2200 and 0 <= month <= 31 and 0 <= day <= 31
    return (year, month, day) if plausible else None


def parse_number(text: str) -> float:
    """Read a quantity with an optional currency or percent sign and thousands separators; NaN if it is none."""
    if not text or not _NUMBER.fullmatch(text):
        return float("nan")
    digits = re.sub(r"[^0-9.+-]", "", text)
    try:
        return float(digits)
    except ValueError:
        return float("nan")


def profile_column(name: str, values: Sequence[str], counts: npt.NDArray[np.int64], *, rows: int) -> ColumnProfile:
    """Profile one column from its distinct cleaned `values` (order does not matter) and how often each occurs."""
    filled = int(counts.sum())
    if rows == 0 or len(values) < 2:
        return ColumnProfile(name, ColumnKind.EMPTY, filled / max(rows, 1), 0.0, 0.0)
    sample = sorted(values)[:: max(1, len(values) // SAMPLE)]
    words = float(np.mean([len(value.split()) for value in sample]))
    kind = _kind_of(sample, words=words, distinct=len(values), filled=filled)
    return ColumnProfile(name, kind, filled / rows, len(values) / rows, words)


def _kind_of(sample: Sequence[str], *, words: float, distinct: int, filled: int) -> ColumnKind:
    def share(accepts: Any) -> float:
        return sum(1 for value in sample if accepts(value)) / len(sample)

    if distinct <= min(50, max(2, filled // 20)):
        return ColumnKind.CATEGORY
    if share(_EMAIL.fullmatch) >= 0.8:
        return ColumnKind.EMAIL
    if share(parse_date) >= 0.8:
        return ColumnKind.DATE
    if share(_is_phone) >= 0.8:
        return ColumnKind.PHONE
    if share(lambda value: not np.isnan(parse_number(value))) >= 0.8:
        return ColumnKind.NUMBER
    if words < 1.3 and share(lambda value: any(c.isdigit() for c in value)) >= 0.5:
        return ColumnKind.CODE
    if words <= 3:
        return ColumnKind.NAME
    return ColumnKind.TEXT if words <= 15 else ColumnKind.LONG_TEXT


def _is_phone(text: str) -> bool:
    digits = sum(c.isdigit() for c in text)
    separated = digits < len(text)
    return 7 <= digits <= 15 and (separated or digits >= 10) and _PHONE.fullmatch(text) is not None
