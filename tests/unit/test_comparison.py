"""Similarity features against their definitions, written out pair by pair."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glue_ml.matching.comparison import (
    BOTH_MISSING,
    ONE_MISSING,
    RECORD,
    FeatureName,
    compare,
    name_features,
)
from glue_ml.matching.profile import ColumnKind, ColumnProfile
from glue_ml.matching.records import Records, prepare_records

WORDS = ["red", "blue", "x100", "pro", "mini", "psl-350", "cable", "usb"]


def make_records(values: Sequence[str | None], kind: ColumnKind) -> Records:
    table = pa.table({"id": [f"{i:05}" for i in range(len(values))], "c": pa.array(values, pa.string())})
    return prepare_records(table, [ColumnProfile("c", kind, 1.0, 1.0, 2.0)])


def feature(records: Records, column: str, measure: str, left: int, right: int) -> float:
    names = name_features(records.profiles)
    row = compare(records, np.array([left]), np.array([right]))[0]
    return float(row[names.index(FeatureName(column, measure))])


def osa_distance(a: str, b: str) -> int:
    """Optimal string alignment by its recurrence."""
    table = [[i + j if i * j == 0 else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + (a[i - 1] != b[j - 1]))
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                table[i][j] = min(table[i][j], table[i - 2][j - 2] + 1)
    return table[-1][-1]


def longest_common_subsequence(a: str, b: str) -> int:
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


def jaro_winkler(a: str, b: str) -> float:
    """Winkler 1990, prefix weight 0.1 over at most four characters, applied above a Jaro similarity of 0.7."""
    if a == b:
        return 1.0
    window = max(max(len(a), len(b)) // 2 - 1, 0)
    matched_b = [False] * len(b)
    first = []
    for i, x in enumerate(a):
        for j in range(max(0, i - window), min(len(b), i + window + 1)):
            if not matched_b[j] and b[j] == x:
                matched_b[j] = True
                first.append(x)
                break
    second = [y for y, hit in zip(b, matched_b, strict=True) if hit]
    if not first:
        return 0.0
    m, t = len(first), sum(x != y for x, y in zip(first, second, strict=True)) // 2
    jaro = (m / len(a) + m / len(b) + (m - t) / m) / 3
    prefix = 0
    while prefix < min(4, len(a), len(b)) and a[prefix] == b[prefix]:
        prefix += 1
    return jaro + prefix * 0.1 * (1 - jaro) if jaro > 0.7 else jaro


WORDISH = st.text("abcde", min_size=1, max_size=8)


@settings(deadline=None)
@given(WORDISH, WORDISH)
def test_string_similarities_equal_their_definitions(a: str, b: str) -> None:
    records = make_records([a, b, "zz"], ColumnKind.NAME)
    longest = max(len(a), len(b))
    assert feature(records, "c", "edit", 0, 1) == pytest.approx(1 - osa_distance(a, b) / longest, abs=1e-6)
    common = 2 * longest_common_subsequence(a, b) / (len(a) + len(b))
    assert feature(records, "c", "common_letters", 0, 1) == pytest.approx(common, abs=1e-6)
    assert feature(records, "c", "jaro_winkler", 0, 1) == pytest.approx(jaro_winkler(a, b), abs=1e-6)
    assert feature(records, "c", "equal", 0, 1) == float(a == b)


TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join), min_size=3, max_size=8)


@settings(deadline=None)
@given(TEXTS)
def test_word_overlaps_equal_their_definitions(texts: list[str]) -> None:
    records = make_records([*texts, "other words here"], ColumnKind.TEXT)
    sets = [_word_set(text) for text in [*texts, "other words here"]]
    frequency = Counter(word for words in sets for word in words)
    n = len(sets)
    idf = {word: 1 - math.log(count) / math.log(n) for word, count in frequency.items()}
    a, b = sets[0], sets[1]
    if not a or not b or not any(idf[w] for w in a) or not any(idf[w] for w in b):
        return
    shared = a & b
    norm = math.sqrt(sum(idf[w] ** 2 for w in a) * sum(idf[w] ** 2 for w in b))
    expected = {
        "cosine": sum(idf[w] ** 2 for w in shared) / norm,
        "containment": sum(idf[w] for w in shared) / min(sum(idf[w] for w in a), sum(idf[w] for w in b)),
        "rarest_shared": max((idf[w] for w in shared), default=0.0),
        "rarest_unshared": min(max((idf[w] for w in x - shared), default=0.0) for x in (a, b)),
        "rarest_unshared_of_both": max(max((idf[w] for w in x - shared), default=0.0) for x in (a, b)),
    }
    for measure, value in expected.items():
        assert feature(records, RECORD, measure, 0, 1) == pytest.approx(value, abs=1e-5), measure
        assert feature(records, "c", measure, 0, 1) == pytest.approx(value, abs=1e-5), measure
    codes_a, codes_b = ({w for w in x if any(c.isdigit() for c in w)} for x in (a, b))
    if codes_a and codes_b and all(sum(idf[w] for w in x) for x in (codes_a, codes_b)):
        both = sum(idf[w] for w in codes_a & codes_b)
        least = min(sum(idf[w] for w in x) for x in (codes_a, codes_b))
        assert feature(records, RECORD, "shared_codes", 0, 1) == pytest.approx(both / least, abs=1e-5)


def _word_set(text: str) -> set[str]:
    split = {part for part in text.replace("-", " ").split(" ") if part}
    return split | {part for part in text.replace("-", "").split(" ") if part}


def test_a_missing_value_is_told_from_a_different_one() -> None:
    records = make_records(["a", "b", None, "", "c"], ColumnKind.NAME)
    assert feature(records, "c", "jaro_winkler", 0, 2) == ONE_MISSING
    assert feature(records, "c", "jaro_winkler", 2, 3) == BOTH_MISSING
    assert feature(records, "c", "jaro_winkler", 0, 1) == 0.0


def test_agreeing_on_a_rare_value_tells_more_than_on_a_common_one() -> None:
    records = make_records(["smith"] * 8 + ["zuckmayer"] * 2, ColumnKind.NAME)
    common, rare = feature(records, "c", "rarity", 0, 1), feature(records, "c", "rarity", 8, 9)
    assert common == pytest.approx(1 - math.log(8) / math.log(10), abs=1e-5)
    assert rare == pytest.approx(1 - math.log(2) / math.log(10), abs=1e-5)


def test_numbers_are_compared_by_their_relative_difference() -> None:
    records = make_records(["$100.00", "50", "0", "n/a", "100"], ColumnKind.NUMBER)
    assert feature(records, "c", "closeness", 0, 1) == pytest.approx(0.75)
    assert feature(records, "c", "closeness", 0, 4) == 1.0
    assert feature(records, "c", "closeness", 2, 2) == 1.0
    assert feature(records, "c", "closeness", 0, 3) == BOTH_MISSING


def test_dates_agree_by_parts_also_when_day_and_month_are_swapped() -> None:
    records = make_records(["1979-03-10", "1979-10-03", "1979-03-11", "later"], ColumnKind.DATE)
    assert feature(records, "c", "date_parts", 0, 1) == 1.0
    assert feature(records, "c", "date_parts", 0, 2) == pytest.approx(2 / 3)
    assert feature(records, "c", "date_closeness", 0, 2) == pytest.approx(math.exp(-1 / 365), abs=1e-6)
    assert feature(records, "c", "date_parts", 0, 3) == BOTH_MISSING


def test_phones_are_compared_by_their_digits() -> None:
    records = make_records(["(02) 555-1234", "02 5551234", "+49 2 555 1234", "1"], ColumnKind.PHONE)
    assert feature(records, "c", "equal", 0, 1) == 1.0
    assert feature(records, "c", "core", 0, 2) == 1.0


@settings(deadline=None, max_examples=30)
@given(st.lists(st.one_of(st.none(), st.text(max_size=12)), min_size=2, max_size=12), st.sampled_from(ColumnKind))
def test_features_are_finite_symmetric_and_named(values: list[str | None], kind: ColumnKind) -> None:
    clean = [v if v is None else v.encode("utf-8", "ignore").decode() for v in values]
    records = make_records(clean, kind)
    left = np.repeat(np.arange(len(values)), len(values))
    right = np.tile(np.arange(len(values)), len(values))
    there, back = compare(records, left, right), compare(records, right, left)
    assert there.shape == (len(left), len(name_features(records.profiles)))
    assert np.isfinite(there).all()
    np.testing.assert_allclose(there, back, atol=1e-6)


def test_each_feature_depends_on_its_pair_alone() -> None:
    records = make_records([f"{w} {v}" for w in WORDS for v in WORDS], ColumnKind.TEXT)
    rng = np.random.default_rng(0)
    left, right = rng.integers(0, len(records), (2, 300))
    together = compare(records, left, right)
    alone = np.vstack([compare(records, left[i : i + 1], right[i : i + 1]) for i in range(300)])
    np.testing.assert_array_equal(together, alone)
