from __future__ import annotations

import math

import numpy as np
import pytest

from glue_ml.matching.profile import ColumnKind, ColumnProfile, parse_date, parse_number, profile_column


def kind_of(values: list[str], *, repeats: int = 1) -> ColumnKind:
    counts = np.full(len(values), repeats, dtype=np.int64)
    return profile_column("c", values, counts, rows=len(values) * repeats).kind


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([f"ann.{i}@example.org" for i in range(200)], ColumnKind.EMAIL),
        ([f"(0{i % 90 + 10}) 555-{i:04}" for i in range(200)], ColumnKind.PHONE),
        ([f"19{i % 90 + 10}-{i % 12 + 1:02}-{i % 28 + 1:02}" for i in range(200)], ColumnKind.DATE),
        ([f"19{i % 90 + 10}{i % 12 + 1:02}{i % 28 + 1:02}" for i in range(200)], ColumnKind.DATE),
        ([f"${i}.99" for i in range(200)], ColumnKind.NUMBER),
        ([str(i) for i in range(200)], ColumnKind.NUMBER),
        ([f"ab{i}x" for i in range(200)], ColumnKind.CODE),
        ([f"name{chr(97 + i % 26)}{chr(97 + i // 26)}".replace("name", "lee") for i in range(200)], ColumnKind.NAME),
        ([f"a title of some {chr(97 + i % 26)}{chr(97 + i // 26)} words" for i in range(200)], ColumnKind.TEXT),
        ([" ".join(["word"] * 30) + chr(97 + i % 26) + chr(97 + i // 26) for i in range(200)], ColumnKind.LONG_TEXT),
    ],
)
def test_the_kind_is_read_off_the_values(values: list[str], kind: ColumnKind) -> None:
    assert kind_of(values) is kind


def test_few_distinct_values_make_a_category() -> None:
    assert kind_of(["nsw", "vic", "qld"], repeats=100) is ColumnKind.CATEGORY


def test_one_value_or_none_tells_nothing() -> None:
    assert kind_of(["same"], repeats=100) is ColumnKind.EMPTY
    assert profile_column("c", [], np.zeros(0, dtype=np.int64), rows=10).kind is ColumnKind.EMPTY
    assert profile_column("c", [], np.zeros(0, dtype=np.int64), rows=0).fill == 0.0


def test_a_profile_survives_json() -> None:
    profile = ColumnProfile('näme "x"', ColumnKind.DATE, 0.5, 0.25, 1.0)
    assert ColumnProfile.from_dict(profile.to_dict()) == profile


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("1979-10-03", (1979, 10, 3)),
        ("19791003", (1979, 10, 3)),
        ("1979-10-03t00:00:00", (1979, 10, 3)),
        ("10/03/1979", (1979, 10, 3)),
        ("25/12/1979", (1979, 12, 25)),
        ("05/31/14", (2014, 5, 31)),
        ("05/31/74", (1974, 5, 31)),
        ("9999-99-99", None),
        ("soon", None),
        ("", None),
    ],
)
def test_dates(text: str, parts: tuple[int, int, int] | None) -> None:
    assert parse_date(text) == parts


@pytest.mark.parametrize(
    ("text", "number"), [("$1,234.50", 1234.5), ("-3", -3.0), ("12 eur", 12.0), ("7%", 7.0), (".5", 0.5)]
)
def test_numbers(text: str, number: float) -> None:
    assert parse_number(text) == number


@pytest.mark.parametrize("text", ["", "abc", "1-2", "$", "+", "1,23", "nan", "inf"])
def test_what_is_no_number_is_nan(text: str) -> None:
    assert math.isnan(parse_number(text))
