"""Comparison: the similarity features of pairs of records, computed column by column with vectorised kernels.

A feature is a float32; most lie in [0, 1]. A comparison with a missing value is BOTH_MISSING or ONE_MISSING, so that
the model can tell "unknown" from "different". Every feature is symmetric in the two records. A pair of distinct
values is compared once however often it occurs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pandas import factorize
from rapidfuzz import fuzz, process
from rapidfuzz.distance import OSA, Indel, JaroWinkler

from glue_ml.matching.profile import ColumnKind, ColumnProfile
from glue_ml.matching.records import MAX_COMPARED, Column, Records
from glue_ml.matching.semantic_view import measure_meaning
from glue_ml.matching.weighted_words import WeightedWords, add_up, find_largest, square

Rows = npt.NDArray[np.int64]
Feature = npt.NDArray[np.float32]
Texts: TypeAlias = npt.NDArray[np.object_]  #: Strings, as an array: to take many of them at once.
TextPairs: TypeAlias = tuple[list[str], list[str]]
Kernel = Callable[["ValuePairs"], dict[str, Feature]]

BOTH_MISSING = np.float32(-1.0)
ONE_MISSING = np.float32(-0.5)
MAX_EDITED = 128  #: Edit distances look at so many characters: their cost grows with the square.
RECORD = ""  #: The column name of features of the whole record.


@dataclass(frozen=True)
class FeatureName:
    """A feature's column (RECORD for the whole record) and what it measures."""

    column: str
    measure: str

    def __str__(self) -> str:
        return f"{self.column or '*'}:{self.measure}"


@dataclass(frozen=True)
class ValuePairs:
    """Distinct values `left[i]` and `right[i]` of one column, none of them missing."""

    column: Column
    left: Rows
    right: Rows

    @cached_property
    def _read(self) -> tuple[Rows, Texts, int]:
        """Where the two sides (2 x pairs) are among the values that occur, these as texts, and bytes of the longest."""
        place, numbers = factorize(np.concatenate([self.left, self.right]))
        values = self.column.values.take(pa.array(numbers))
        longest = pc.max(pc.binary_length(values)).as_py() or 0
        return place.reshape(2, -1), values.to_numpy(zero_copy_only=False), longest

    @cached_property
    def texts(self) -> TextPairs:
        """The texts of both sides, cut to MAX_COMPARED characters."""
        return self._cut(MAX_COMPARED)

    @cached_property
    def short_texts(self) -> TextPairs:
        """The texts of both sides, cut to MAX_EDITED characters."""
        return self.texts if self._read[2] <= MAX_EDITED else self._cut(MAX_EDITED)

    @cached_property
    def cores(self) -> TextPairs:
        """The last seven characters of the texts of both sides, or e-mails' parts before the @."""
        is_email = self.column.profile.kind is ColumnKind.EMAIL
        texts = self._read[1]
        return self._pair([text.partition("@")[0][:MAX_COMPARED] if is_email else text[-7:] for text in texts])

    def _cut(self, length: int) -> TextPairs:
        _, texts, longest = self._read
        # no text has more characters than bytes
        return self._pair(texts if longest <= length else [text[:length] for text in texts])

    def _pair(self, texts: Sequence[str] | Texts) -> TextPairs:
        distinct = np.empty(len(texts), dtype=np.object_)
        distinct[:] = texts
        left, right = self._read[0]
        return distinct[left].tolist(), distinct[right].tolist()


def rate(scorer: Callable[..., float], texts: TextPairs) -> Feature:
    """Return what `scorer` says of each pair of texts."""
    return np.asarray(process.cpdist(*texts, scorer=scorer, dtype=np.float32), dtype=np.float32)


# ---- kernels


def compare_equality(values: ValuePairs) -> dict[str, Feature]:
    """Equal or not; and, where equal, how rare the value is."""
    column, left, right = values.column, values.left, values.right
    equal = left == right if column.same is None else column.same[left] == column.same[right]
    return {"equal": equal.astype(np.float32), "rarity": equal * column.rarity[left]}


def compare_edits(values: ValuePairs) -> dict[str, Feature]:
    """Jaro-Winkler, and optimal string alignment (edits and swaps of neighbours) over the longer length."""
    return {
        "jaro_winkler": rate(JaroWinkler.normalized_similarity, values.short_texts),
        "edit": rate(OSA.normalized_similarity, values.short_texts),
    }


def compare_word_sets(values: ValuePairs) -> dict[str, Feature]:
    """Likeness of the word sets, and of the longest common subsequence of the strings (OVERLAPS come with rarity)."""
    return {
        "word_set": rate(fuzz.token_set_ratio, values.texts) / np.float32(100),
        "common_letters": rate(Indel.normalized_similarity, values.texts),
    }


def compare_numbers(values: ValuePairs) -> dict[str, Feature]:
    """Relative difference of two quantities, as a similarity."""
    numbers = values.column.numbers
    assert numbers is not None
    a, b = numbers[values.left], numbers[values.right]
    largest = np.maximum(np.abs(a), np.abs(b))
    similarity = 1.0 - np.abs(a - b) / np.where(largest == 0, 1.0, 2.0 * largest)
    return {"closeness": np.nan_to_num(similarity, nan=float(BOTH_MISSING)).astype(np.float32)}


def compare_dates(values: ValuePairs) -> dict[str, Feature]:
    """Agreement of year, month and day, as they stand or with day and month swapped, and years between."""
    dates = values.column.dates
    assert dates is not None
    a, b = dates[values.left], dates[values.right]
    known = ~np.isnan(a[:, 0]) & ~np.isnan(b[:, 0])
    straight = (a == b).sum(axis=1)
    swapped = (a[:, 0] == b[:, 0]).astype(int) + (a[:, 1] == b[:, 2]) + (a[:, 2] == b[:, 1])
    years = np.abs(a[:, 0] - b[:, 0]) + np.abs(a[:, 1] - b[:, 1]) / 12 + np.abs(a[:, 2] - b[:, 2]) / 365
    return {
        "date_parts": np.where(known, np.maximum(straight, swapped) / 3, BOTH_MISSING).astype(np.float32),
        "date_closeness": np.where(known, np.exp(-np.nan_to_num(years)), BOTH_MISSING).astype(np.float32),
    }


def compare_cores(values: ValuePairs) -> dict[str, Feature]:
    """Agreement of the last seven characters (a phone without its prefixes) or of an e-mail's part before the @."""
    return {"core": rate(JaroWinkler.normalized_similarity, values.cores)}


_EQUALITY_AND_EDITS: tuple[Kernel, ...] = (compare_equality, compare_edits)
KERNELS: dict[ColumnKind, tuple[Kernel, ...]] = {
    ColumnKind.EMPTY: (),
    ColumnKind.CATEGORY: _EQUALITY_AND_EDITS,
    ColumnKind.EMAIL: (*_EQUALITY_AND_EDITS, compare_cores),
    ColumnKind.PHONE: (*_EQUALITY_AND_EDITS, compare_cores),
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
    compare_cores: ("core",),
}
OVERLAPS = ("cosine", "containment", "rarest_shared", "rarest_unshared", "rarest_unshared_of_both")
WORDED = frozenset({ColumnKind.NAME, ColumnKind.TEXT, ColumnKind.LONG_TEXT})  #: Kinds whose words overlap in part.
CODES = ("shared_codes", "rarest_shared_code", "unshared_codes", "unshared_codes_of_both")
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
    whole = (FeatureName(RECORD, measure) for measure in (*OVERLAPS, *CODES))
    return (*names, *whole, *(FeatureName(name, MEANING) for name in semantic))


def compare(records: Records, left: Rows, right: Rows) -> Feature:
    """Return the features (pairs x features, float32) of the pairs of row numbers, named by `name_features`."""
    blocks = [
        _compare_column(column, words, left, right)
        for column, words in zip(records.columns, records.weighted_columns, strict=True)
    ]
    whole = _compare_words(records.weighted_words, left, right)
    codes = _compare_codes(records.weighted_codes, left, right)
    # at the end, so that what counts on the places of the others need not know which columns are read
    meaning = [_compare_meaning(column, left, right) for column in records.columns if column.vectors is not None]
    return np.hstack([*blocks, whole, codes, *meaning]).astype(np.float32)


def _compare_meaning(column: Column, left: Rows, right: Rows) -> Feature:
    assert column.vectors is not None
    a, b = column.codes[left], column.codes[right]
    cosine = measure_meaning(column.vectors, a, b)
    missing = (a < 0).astype(np.int8) + (b < 0)
    cosine[missing == 2] = BOTH_MISSING
    cosine[missing == 1] = ONE_MISSING
    return cosine[:, None]


def _compare_column(column: Column, words: WeightedWords | None, left: Rows, right: Rows) -> Feature:
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
    place, pairs = factorize(np.minimum(a[present], b[present]) * size + np.maximum(a[present], b[present]))
    low, high = np.divmod(pairs, size)
    values = ValuePairs(column, low, high)
    measured = [feature for kernel in kernels for feature in kernel(values).values()]
    compared = np.stack(measured, axis=-1)
    if worded:
        assert words is not None
        compared = np.hstack([compared, _compare_words(words, low, high)])
    result[present] = compared[place]
    return result


def _compare_words(words: WeightedWords, left: Rows, right: Rows) -> Feature:
    """Return OVERLAPS of the word sets: cosine, share of the smaller set, rarest shared and unshared words."""
    met = words.meet(left, right)
    norms = np.sqrt(words.squares[left] * words.squares[right])
    cosine = add_up(square(met.shared)) / np.maximum(norms, 1e-6)
    containment = add_up(met.shared) / np.maximum(np.minimum(*met.totals), 1e-6)
    alone = met.find_largest_alone()
    overlaps = [cosine, containment, find_largest(met.shared), np.minimum(*alone), np.maximum(*alone)]
    result = np.stack(overlaps, axis=-1).astype(np.float32)
    empty = (met.totals[0] == 0).astype(np.int8) + (met.totals[1] == 0)
    result[empty == 2] = BOTH_MISSING
    result[empty == 1] = ONE_MISSING
    return result


def _compare_codes(codes: WeightedWords, left: Rows, right: Rows) -> Feature:
    """Return CODES: what the words with digits have in common and what each record has alone, by rarity."""
    met = codes.meet(left, right)
    total = add_up(met.shared)
    alone = met.totals[0] - total, met.totals[1] - total
    share = total / np.maximum(np.minimum(*met.totals), 1e-6)
    result = np.stack([share, find_largest(met.shared), np.minimum(*alone), np.maximum(*alone)], axis=-1)
    missing = (met.totals[0] == 0).astype(np.int8) + (met.totals[1] == 0)
    result[missing == 2, 0] = BOTH_MISSING
    result[missing == 1, 0] = ONE_MISSING
    return result.astype(np.float32)
