"""What sort of values a column holds, by counts alone: how somebody sets up a peer who has looked at the columns.

One rule for all data sets, chosen without the truth. Standard library only: imported within the peers' environments.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tests.benchmarks.peers.exchange import Row, attributes

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_DATE = re.compile(r"\d{4}[-/.]?\d{2}[-/.]?\d{2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})")
_NUMBER = re.compile(r"[$€£]?\s*-?[\d,]*\.?\d+\s*[$€£%]?")
_TOKEN = re.compile(r"[^\W_]+")


class Kind(StrEnum):
    """How the values of a column are best compared."""

    EMPTY = "empty"  #: Less than two different values: tells nothing.
    CATEGORY = "category"  #: Few different values.
    EMAIL = "email"
    DATE = "date"
    NUMBER = "number"  #: A quantity, a year, a price.
    CODE = "code"  #: One token, mostly digits.
    NAME = "name"  #: One to three words.
    TEXT = "text"  #: A title, an address: a few words.
    LONG_TEXT = "long_text"  #: A description.


@dataclass(frozen=True)
class Column:
    """A column's name and kind; `fill` is the share of rows with a value, `distinct` that of values among those."""

    name: str
    kind: Kind
    fill: float
    distinct: float


def profile_columns(rows: Sequence[Row]) -> list[Column]:
    """Return the profiles of the attributes, in their order."""
    return [profile_column(name, [row[name] for row in rows]) for name in attributes(rows)]


def profile_column(name: str, cells: Sequence[str | None]) -> Column:
    """Return the profile of one column's cells."""
    counts = Counter(cell.lower() for cell in cells if cell)
    filled = sum(counts.values())
    distinct = len(counts) / max(filled, 1)
    return Column(name, _find_kind(list(counts), distinct), filled / max(len(cells), 1), distinct)


def clean_cell(cell: str | None, kind: Kind) -> str | None:
    """Return a value in lower case with single spaces; a code also without its separators."""
    text = " ".join((cell or "").lower().split())
    return ("".join(_TOKEN.findall(text)) if kind is Kind.CODE else text) or None


def split_words(value: str | None) -> list[str]:
    """Return the different words of a value, in lower case, sorted."""
    return sorted(set(_TOKEN.findall((value or "").lower())))


def count_words(values: Iterable[str | None]) -> Counter[str]:
    """Return in how many of the values each word stands."""
    return Counter(word for value in values for word in split_words(value))


def _find_kind(values: list[str], distinct: float) -> Kind:
    if len(values) < 2:
        return Kind.EMPTY
    for kind, pattern in ((Kind.EMAIL, _EMAIL), (Kind.DATE, _DATE)):
        if _share(pattern, values) > 0.8:
            return kind
    words = sum(len(value.split()) for value in values) / len(values)
    if len(values) <= 20 or (distinct < 0.02 and words < 4):
        return Kind.CATEGORY
    if words < 1.5 and sum(map(_digits, values)) / len(values) > 0.5:
        return _find_code(values)
    if words <= 3:
        return Kind.NAME
    return Kind.TEXT if words <= 20 else Kind.LONG_TEXT


def _find_code(values: list[str]) -> Kind:
    """Tell quantities from codes: codes are of one length, and longer than a year."""
    lengths = Counter(map(len, values)).most_common(1)[0]
    is_code = lengths[0] > 4 and lengths[1] > 0.8 * len(values)
    return Kind.NUMBER if not is_code and _share(_NUMBER, values) > 0.8 else Kind.CODE


def _share(pattern: re.Pattern[str], values: list[str]) -> float:
    return sum(pattern.fullmatch(value) is not None for value in values) / len(values)


def _digits(value: str) -> float:
    return sum(character.isdigit() for character in value) / len(value)
