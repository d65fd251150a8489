"""Comparison: the similarity features of pairs of records, computed column by column with vectorised kernels.

A feature is a float32; most lie in [0, 1]. A comparison with a missing value is BOTH_MISSING or ONE_MISSING, so that
the model can tell "unknown" from "different". Every feature is symmetric in the two records. A pair of distinct
values is compared once however often it occurs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rapidfuzz import fuzz, process
from rapidfuzz.distance import OSA, Indel, JaroWinkler

from glue_ml.matching.profile import ColumnKind, ColumnProfile
from glue_ml.matching.records import Column, Records
from glue_ml.matching.semantic_view import measure_meaning
from glue_ml.matching.tokens import Incidence

Rows = npt.NDArray[np.int64]
Feature = npt.NDArray[np.float32]
Kernel = Callable[["Column", Rows, Rows], dict[str, Feature]]

BOTH_MISSING = np.float32(-1.0)
ONE_MISSING = np.float32(-0.5)
MAX_EDIT_LENGTH = 128  #: Edit distances look at so many characters: their cost grows with the square.
MAX_SET_LENGTH = 400  #: Word-set ratios look at so many.
RECORD = ""  #: The column name of features of the whole record.


@dataclass(frozen=True)
class FeatureName:
    """A feature's column (RECORD for the whole record) and what it measures."""

    column: str
    measure: str

    def __str__(self) -> str:
        return f"{self.column or '*'}:{self.measure}"


# ---- kernels: each compares distinct values `left[i]` and `right[i]` of one column, none of them missing


def _strings(column: Column, codes: Rows, length: int) -> list[str]:
    values = column.values
    return [values[code][:length] for code in codes]


def _pairwise(scorer: Callable[..., float], left: Sequence[str], right: Sequence[str]) -> Feature:
    return np.asarray(process.cpdist(left, right, scorer=scorer, dtype=np.float32), dtype=np.float32)


def compare_equality(column: Column, left: Rows, right: Rows) -> dict[str, Feature]:
    """Equal or not; and, where equal, how rare the value is."""
    texts = zip(_strings(column, left, MAX_SET_LENGTH), _strings(column, right, MAX_SET_LENGTH), strict=True)
    equal = np.array([a == b for a, b in texts], dtype=np.float32)
    return {"equal": equal, "rarity": equal * column.rarity[left]}


def compare_edits(column: Column, left: Rows, right: Rows) -> dict[str, Feature]:
    """Jaro-Winkler, and optimal string alignment (edits and swaps of neighbours) over the longer length."""
    a, b = _strings(column, left, MAX_EDIT_LENGTH), _strings(column, right, MAX_EDIT_LENGTH)
    return {
        "jaro_winkler": _pairwise(JaroWinkler.normalized_similarity, a, b),
        "edit": _pairwise(OSA.normalized_similarity, a, b),
    }


def compare_word_sets(column: Column, left: Rows, right: Rows) -> dict[str, Feature]:
    """Likeness of the word sets, and of the longest common subsequence of the strings (OVERLAPS come with rarity)."""
    a, b = _strings(column, left, MAX_SET_LENGTH), _strings(column, right, MAX_SET_LENGTH)
    return {
        "word_set": _pairwise(fuzz.token_set_ratio, a, b) / np.float32(100),
        "common_letters": _pairwise(Indel.normalized_similarity, a, b),
    }


def compare_numbers(column: Column, left: Rows, right: Rows) -> dict[str, Feature]:
    """Relative difference of two quantities, as a similarity."""
    assert column.numbers is not None
    a, b = column.numbers[left], column.numbers[right]
    largest = np.maximum(np.abs(a), np.abs(b))
    similarity = 1.0 - np.abs(a - b) / np.where(largest == 0, 1.0, 2.0 * largest)
    return {"closeness": np.nan_to_num(similarity, nan=float(BOTH_MISSING)).astype(np.float32)}


def compare_dates(column: Column, left: Rows, right: Rows) -> dict[str, Feature]:
    """Agreement of year, month and day, as they stand or with day and month swapped, and years between."""
    assert column.dates is not None
    a, b = column.dates[left], column.dates[right]
    known = ~np.isnan(a[:, 0]) & ~np.isnan(b[:, 0])
    straight = (a == b).sum(axis=1)
    swapped = (a[:, 0] == b[:, 0]).astype(int) + (a[:, 1] == b[:, 2]) + (a[:, 2] == b[:, 1])
    years = np.abs(a[:, 0] - b[:, 0]) + np.abs(a[:, 1] - b[:, 1]) / 12 + np.abs(a[:, 2] - b[:, 2]) / 365
    return {
        "date_parts": np.where(known, np.maximum(straight, swapped) / 3, BOTH_MISSING).astype(np.float32),
        "date_closeness": np.where(known, np.exp(-np.nan_to_num(years)), BOTH_MISSING).astype(np.float32),
    }


def compare_ends(column: Column, left: Rows, right: Rows) -> dict[str, Feature]:
    """Agreement of the last seven characters (a phone without its prefixes) or of an e-mail's part before the @."""
    if column.profile.kind is ColumnKind.EMAIL:
        a, b = ([column.values[c].partition("@")[0] for c in codes] for codes in (left, right))
    else:
        a, b = ([column.values[c][-7:] for c in codes] for codes in (left, right))
    return {"core": _pairwise(JaroWinkler.normalized_similarity, a, b)}


_EQUALITY_AND_EDITS: tuple[Kernel, ...] = (compare_equality, compare_edits)
KERNELS: dict[ColumnKind, tuple[Kernel, ...]] = {
    ColumnKind.EMPTY: (),
    ColumnKind.CATEGORY: _EQUALITY_AND_EDITS,
    ColumnKind.EMAIL: (*_EQUALITY_AND_EDITS, compare_ends),
    ColumnKind.PHONE: (*_EQUALITY_AND_EDITS, compare_ends),
    ColumnKind.DATE: (*_EQUALITY_AND_EDITS, compare_dates),
    ColumnKind.NUMBER: (*_EQUALITY_AND_EDITS, compare_numbers),
    ColumnKind.CODE: _EQUALITY_AND_EDITS,
    ColumnKind.NAME: (*_EQUALITY_AND_EDITS, compare_word_sets),
    ColumnKind.TEXT: (*_EQUALITY_AND_EDITS, compare_word_sets),
    ColumnKind.LONG_TEXT: (compare_equality, compare_word_sets),
}
MEASURES: dict[Kernel, tuple[str, ...]] = {
    compare_equality: ("equal", "rarity"),
    compare_edits: ("jaro_winkler", "edit"),
    compare_word_sets: ("word_set", "common_letters"),
    compare_numbers: ("closeness",),
    compare_dates: ("date_parts", "date_closeness"),
    compare_ends: ("core",),
}
OVERLAPS = ("cosine", "containment", "rarest_shared", "rarest_unshared", "rarest_unshared_of_both")
WORDED = frozenset({ColumnKind.NAME, ColumnKind.TEXT, ColumnKind.LONG_TEXT})  #: Kinds whose words overlap in part.
CODES = ("shared_codes", "rarest_shared_code", "unshared_codes", "unshared_codes_of_both")
COUNTS = ("equal_columns", "compared_columns")
MEANING = "meaning"  #: Cosine of the vectors of two values (semantic.py).


def name_features(profiles: Sequence[ColumnProfile], semantic: Sequence[str] = ()) -> tuple[FeatureName, ...]:
    """Name the features that `compare` yields for columns of these profiles, in its order.

    `semantic`: the columns whose meaning is read, in table order.
    """
    names = [
        FeatureName(profile.name, measure)
        for profile in profiles
        for measure in (
            *(m for kernel in KERNELS[profile.kind] for m in MEASURES[kernel]),
            *(OVERLAPS if profile.kind in WORDED else ()),
        )
    ]
    whole = (FeatureName(RECORD, measure) for measure in (*OVERLAPS, *CODES, *COUNTS))
    return (*names, *whole, *(FeatureName(name, MEANING) for name in semantic))


def compare(records: Records, left: Rows, right: Rows) -> Feature:
    """Return the features (pairs x features, float32) of the pairs of row numbers, named by `name_features`."""
    blocks = [_compare_column(column, records, left, right) for column in records.columns]
    whole = _compare_words(records.words, records.idf, left, right)
    codes = _compare_codes(records, left, right)
    equal = np.sum([b[:, 0] == 1 for b in blocks if b.shape[1]], axis=0) if blocks else np.zeros(len(left))
    known = np.sum([b[:, 0] >= 0 for b in blocks if b.shape[1]], axis=0) if blocks else np.zeros(len(left))
    counts = np.broadcast_to(np.stack([equal, known], axis=-1), (len(left), 2)).astype(np.float32)
    # at the end, so that what counts on the places of the others need not know which columns are read
    meaning = [_compare_meaning(column, left, right) for column in records.columns if column.vectors is not None]
    return np.hstack([*blocks, whole, codes, counts, *meaning]).astype(np.float32)


def _compare_meaning(column: Column, left: Rows, right: Rows) -> Feature:
    assert column.vectors is not None
    a, b = column.codes[left], column.codes[right]
    cosine = measure_meaning(column.vectors, a, b)
    missing = (a < 0).astype(np.int8) + (b < 0)
    cosine[missing == 2] = BOTH_MISSING
    cosine[missing == 1] = ONE_MISSING
    return cosine[:, None]


def _compare_column(column: Column, records: Records, left: Rows, right: Rows) -> Feature:
    """Compare one column; each distinct pair of values once."""
    kernels = KERNELS[column.profile.kind]
    worded = column.profile.kind in WORDED
    width = sum(len(MEASURES[kernel]) for kernel in kernels) + (len(OVERLAPS) if worded else 0)
    result = np.empty((len(left), width), dtype=np.float32)
    a, b = column.codes[left].astype(np.int64), column.codes[right].astype(np.int64)
    missing = (a < 0).astype(np.int8) + (b < 0)
    result[missing == 2] = BOTH_MISSING
    result[missing == 1] = ONE_MISSING
    present = missing == 0
    if width == 0 or not present.any():
        return result
    size = np.int64(len(column.values))
    pairs, place = np.unique(
        np.minimum(a[present], b[present]) * size + np.maximum(a[present], b[present]), return_inverse=True
    )
    low, high = np.divmod(pairs, size)
    measured = [feature for kernel in kernels for feature in kernel(column, low, high).values()]
    compared = np.stack(measured, axis=-1)
    if worded:
        assert column.words is not None
        compared = np.hstack([compared, _compare_words(column.words, records.idf, low, high)])
    result[present] = compared[place.ravel()]
    return result


def _compare_words(words: Incidence, idf: Feature, left: Rows, right: Rows) -> Feature:
    """Return OVERLAPS of the word sets: cosine, share of the smaller set, rarest shared and unshared words."""
    a, b = words[left], words[right]
    weighted = a.multiply(idf).tocsr()
    other = b.multiply(idf).tocsr()
    shared = weighted.multiply(b).tocsr()
    total_a, total_b, total = (_sum(m) for m in (weighted, other, shared))
    norms = np.sqrt(_sum(weighted.multiply(weighted)) * _sum(other.multiply(other)))
    cosine = _sum(shared.multiply(shared)) / np.maximum(norms, 1e-6)
    containment = total / np.maximum(np.minimum(total_a, total_b), 1e-6)
    alone_a, alone_b = _max(weighted - shared), _max(other - shared)
    overlaps = [cosine, containment, _max(shared), np.minimum(alone_a, alone_b), np.maximum(alone_a, alone_b)]
    result = np.stack(overlaps, axis=-1).astype(np.float32)
    empty = (total_a == 0).astype(np.int8) + (total_b == 0)
    result[empty == 2] = BOTH_MISSING
    result[empty == 1] = ONE_MISSING
    return result


def _compare_codes(records: Records, left: Rows, right: Rows) -> Feature:
    """Return CODES: what the words with digits have in common and what each record has alone, by rarity."""
    weights = (records.idf * records.code_words).astype(np.float32)
    a = records.words[left].multiply(weights).tocsr()
    b = records.words[right].multiply(weights).tocsr()
    shared = a.multiply(records.words[right]).tocsr()
    total_a, total_b, total = _sum(a), _sum(b), _sum(shared)
    alone_a, alone_b = total_a - total, total_b - total
    share = total / np.maximum(np.minimum(total_a, total_b), 1e-6)
    codes = [share, _max(shared), np.minimum(alone_a, alone_b), np.maximum(alone_a, alone_b)]
    result = np.stack(codes, axis=-1).astype(np.float32)
    result[:, 0][(total_a == 0) & (total_b == 0)] = BOTH_MISSING
    result[:, 0][(total_a == 0) != (total_b == 0)] = ONE_MISSING
    return result


def _sum(matrix: Incidence) -> Feature:
    return np.asarray(matrix.sum(axis=1), dtype=np.float32).ravel()


def _max(matrix: Incidence) -> Feature:
    if 0 in matrix.shape:
        return np.zeros(matrix.shape[0], dtype=np.float32)
    return np.asarray(matrix.max(axis=1).todense(), dtype=np.float32).ravel()
