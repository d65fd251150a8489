"""Prepared records: a table's rows in the order of their keys, cleaned, dictionary-encoded and tokenised.

This is what blocking and comparison read. It is built once per run; all that grows with the table is an array or Arrow
strings, so that it can lie in a file which workers map (`mapped_values`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from glue_ml.matching.feature_sets import add_empty_row, count_rows, unite
from glue_ml.matching.profile import ColumnKind, ColumnProfile, parse_date, parse_number, profile_column
from glue_ml.matching.semantic import Semantics, choose_semantic_columns, learn_semantics
from glue_ml.matching.sentence_encoder import Vectors
from glue_ml.matching.threads import map_at_once
from glue_ml.matching.tokens import Incidence, build_incidence, clean, encode_sorted, split_words
from glue_ml.matching.weighted_words import WeightedWords

Frequency = npt.NDArray[np.int64]

MAX_COMPARED = 400  #: Comparisons look at so many characters of a value.
SPILLED_ROWS = 2_000_000  #: Records of more rows, some 600 bytes each, are put aside while the index is built.
MAX_SOURCES = 10  #: Each source has an inverted index of its own.
WORDLESS = frozenset({ColumnKind.EMPTY, ColumnKind.CATEGORY})  #: Kinds whose words are too common to be evidence.


@dataclass(frozen=True)
class Column:
    """One column: row i holds `values[codes[i]]`, or nothing where the code is -1.

    `words` has a row per distinct value and one empty row at its end, which code -1 selects.
    `same` is a number per distinct value, equal where values are the same as far as they are compared; None where no
    two are. `numbers` (one per distinct value, NaN where it is none) is set for numbers, `dates` (year, month, day) for
    dates.
    """

    profile: ColumnProfile
    codes: npt.NDArray[np.int32]
    values: pa.StringArray
    rarity: npt.NDArray[np.float32]  #: -log of the value's share of the filled rows, over log(rows): 0 to 1.
    words: Incidence | None
    same: npt.NDArray[np.int32] | None = None
    numbers: npt.NDArray[np.float64] | None = None
    dates: npt.NDArray[np.float64] | None = None
    vectors: Vectors | None = None  #: What the values mean, where that is read; and zeros at the end, for code -1.
    searched: bool = False  #: Whether blocking searches by `vectors`.

    def read(self, row: int) -> str | None:
        """Return the value of a row; None where it is missing."""
        code = int(self.codes[row])
        return None if code < 0 else self.values[code].as_py()


class Counts(Protocol):
    """How often values and words occur in some table: the weights of evidence. They may weigh records of another."""

    @property
    def rows(self) -> int:
        """The rows of that table."""

    def count_values(self, column: int, values: pa.StringArray, codes: npt.NDArray[np.int32]) -> tuple[Frequency, int]:
        """Return the rows that hold each of a column's distinct `values`, and those that hold any value of it.

        `codes`: by row, which of the values the records hold there.
        """

    def count_words(self, vocabulary: pa.StringArray, words: Incidence) -> Frequency:
        """Return the rows that hold each word of the `vocabulary`. `words`: which of them the records hold, by row."""


@dataclass(frozen=True)
class ValueCounts:
    """How often values and words occur in a table, by text. Both are sorted and distinct.

    A value that they lack is as rare as can be.
    """

    rows: int
    words: pa.StringArray
    word_rows: npt.NDArray[np.int64]  #: Rows that hold each word.
    values: tuple[pa.StringArray, ...]  #: By column, cleaned.
    value_rows: tuple[npt.NDArray[np.int64], ...]

    def count_values(self, column: int, values: pa.StringArray, codes: npt.NDArray[np.int32]) -> tuple[Frequency, int]:
        """Return what `Counts` says."""
        known = self.value_rows[column]
        return look_up_counts(values, self.values[column], known), int(known.sum())

    def count_words(self, vocabulary: pa.StringArray, words: Incidence) -> Frequency:
        """Return what `Counts` says."""
        return look_up_counts(vocabulary, self.words, self.word_rows)


@dataclass(frozen=True)
class RowCounts:
    """How often values and words occur in a table, by the rows that hold them: some of its rows carry it with them.

    `filled`: by column, the rows of the table that hold a value. `values`: by column, for each row here, the rows of
    the table that hold the same value. `words`: the same for each word of each row, in the order of `Records.words`.
    """

    rows: int
    filled: tuple[int, ...]
    values: tuple[Frequency, ...]
    words: Frequency

    def count_values(self, column: int, values: pa.StringArray, codes: npt.NDArray[np.int32]) -> tuple[Frequency, int]:
        """Return what `Counts` says."""
        counted = np.zeros(len(values) + 1, dtype=np.int64)
        counted[codes] = self.values[column]
        return counted[:-1], self.filled[column]

    def count_words(self, vocabulary: pa.StringArray, words: Incidence) -> Frequency:
        """Return what `Counts` says."""
        counted = np.zeros(len(vocabulary), dtype=np.int64)
        counted[words.indices] = self.words
        return counted


@dataclass(frozen=True)
class Records:
    """All rows of a run. Row numbers follow the sorted keys, so they depend on the data alone."""

    keys: pa.StringArray
    columns: tuple[Column, ...]
    words: Incidence  #: rows x vocabulary, 0/1: the words of all columns together.
    vocabulary: pa.StringArray
    counts: Counts | None = None  #: None: their own.
    laid_out_with: ClassVar = ("idf", "frequency", "weighted_words", "weighted_codes", "weighted_columns")

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def profiles(self) -> tuple[ColumnProfile, ...]:
        """The profile of each column, in table order."""
        return tuple(column.profile for column in self.columns)

    @cached_property
    def idf(self) -> npt.NDArray[np.float32]:
        """Inverse document frequency of each word, as a share of the largest possible: 0 (everywhere) to 1."""
        return inverse_frequency(self.frequency, len(self) if self.counts is None else self.counts.rows)

    @cached_property
    def frequency(self) -> npt.NDArray[np.int64]:
        """The number of rows that hold each word, by `counts`."""
        if self.counts is None:
            return count_rows(self.words)
        return self.counts.count_words(self.vocabulary, self.words)

    @cached_property
    def code_words(self) -> npt.NDArray[np.bool_]:
        """Which words hold a digit: model numbers, house numbers, years."""
        has_digit = pc.match_substring_regex(self.vocabulary, r"\p{Nd}")
        return np.asarray(has_digit.to_numpy(zero_copy_only=False), dtype=bool)

    @cached_property
    def weighted_words(self) -> WeightedWords:
        """The words of each row, weighed by idf."""
        return WeightedWords.weigh(self.words, self.idf)

    @cached_property
    def weighted_codes(self) -> WeightedWords:
        """The words with digits of each row, weighed by idf."""
        return WeightedWords.weigh(self.words, self.idf * self.code_words)

    @cached_property
    def weighted_columns(self) -> tuple[WeightedWords | None, ...]:
        """For each column the words of its distinct values, weighed by idf; None where words are not read."""
        words = (column.words for column in self.columns)
        return tuple(None if matrix is None else WeightedWords.weigh(matrix, self.idf) for matrix in words)

    def codes_of(self, name: str | None) -> npt.NDArray[np.int32] | None:
        """Return the codes of the column of that name, None where there is none."""
        return next((column.codes for column in self.columns if column.profile.name == name), None)

    def gather(self, lo: npt.NDArray[np.int64], hi: npt.NDArray[np.int64]) -> Gathered:
        """Return records that hold the rows of these pairs, which are the records themselves."""
        return self, lo, hi

    def find_rows(self, keys: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the row number of each key, -1 where the table has no such key."""
        found = pc.index_in(pa.array(keys, pa.string()), value_set=self.keys)
        return np.asarray(pc.fill_null(found, -1), dtype=np.int64)


#: Records, and where in them both rows of each of some pairs are.
Gathered: TypeAlias = tuple[Records, npt.NDArray[np.int64], npt.NDArray[np.int64]]


class Table(Protocol):
    """The rows of a run, numbered in the order of their keys, wherever they lie."""

    def __len__(self) -> int:
        """The number of rows."""

    @property
    def profiles(self) -> tuple[ColumnProfile, ...]:
        """The profile of each column, in table order."""

    def gather(self, lo: npt.NDArray[np.int64], hi: npt.NDArray[np.int64]) -> Gathered:
        """Return records that hold the rows of these pairs, and where in them."""

    def find_rows(self, keys: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the row number of each key, -1 where the table has no such key."""


def could_be_source(column: Column) -> bool:
    """Tell whether a column may name the source that a record comes from: a category of a few values, never missing."""
    profile = column.profile
    return profile.kind is ColumnKind.CATEGORY and profile.fill == 1.0 and len(column.values) <= MAX_SOURCES


def inverse_frequency(frequency: npt.NDArray[np.int64], rows: int) -> npt.NDArray[np.float32]:
    """Return log(rows / frequency) / log(rows) per feature, clipped to [0, 1]; unused features get 1."""
    scale = np.log(max(rows, 2))
    return np.asarray(np.clip(1.0 - np.log(np.maximum(frequency, 1)) / scale, 0.0, 1.0), dtype=np.float32)


def look_up_counts(
    values: pa.StringArray, known: pa.StringArray, counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the count of each value, 0 where it is not among those `known`; both are distinct."""
    if len(values) >= len(known):
        place = pc.fill_null(pc.index_in(values, value_set=known), -1).to_numpy(zero_copy_only=False)
        return np.asarray(np.append(counts, 0)[place], dtype=np.int64)
    # the texts that are hashed and kept take longer than those that are looked up
    place = pc.fill_null(pc.index_in(known, value_set=values), -1).to_numpy(zero_copy_only=False)
    found = np.zeros(len(values) + 1, dtype=np.int64)
    found[place] = counts
    return found[:-1]


def count_values(table: pa.Table, records: Records) -> ValueCounts:
    """Count the values and words of `table`, of which `records` were prepared."""
    encoded = map_at_once(encode_column, table.columns[1:])
    return ValueCounts(
        len(records),
        records.vocabulary,
        records.frequency,
        tuple(values for _, values in encoded),
        tuple(np.bincount(codes[codes >= 0], minlength=len(values)) for codes, values in encoded),
    )


def prepare_records(
    table: pa.Table,
    profiles: Sequence[ColumnProfile] | None = None,
    counts: Counts | None = None,
    semantics: Semantics | None = None,
) -> Records:
    """Prepare `table` (first column the unique key, the rest strings under their own names), sorted by key.

    `profiles` are those of the model that will score the records; without them the columns are profiled here.
    `counts` say how common a value is; without them the table itself does. `semantics` say what values mean.
    """
    order = pc.sort_indices(table.column(0))
    keys = table.column(0).take(order).combine_chunks()
    # codes are put in order, not texts
    encoded = [(codes[order], values) for codes, values in map_at_once(encode_column, table.columns[1:])]
    if profiles is None:
        profiles = [
            profile_column(name, values.to_pylist(), np.bincount(codes[codes >= 0]), rows=len(keys))
            for name, (codes, values) in zip(table.column_names[1:], encoded, strict=True)
        ]
    wordy = [i for i, profile in enumerate(profiles) if profile.kind not in WORDLESS]
    matrices, vocabulary = build_incidence(map_at_once(split_words, [encoded[i][1] for i in wordy]))
    words = {i: add_empty_row(matrix) for i, matrix in zip(wordy, matrices, strict=True)}

    def build(place: int) -> Column:
        codes, values = encoded[place]
        counted = _count_column(codes, values, counts, place)
        return _build_column(profiles[place], codes, values, words.get(place), counted)

    columns = tuple(map_at_once(build, range(len(encoded))))
    records = Records(keys, columns, _union_words(columns, len(keys), len(vocabulary)), vocabulary, counts)
    return records if semantics is None else add_meaning(records, semantics)


def learn_meaning(records: Records, setting: str) -> Semantics | None:
    """Return how to read the meaning of the columns where that may pay, by the encoder that `setting` names."""
    chosen = choose_semantic_columns(records.profiles)
    texts = {c.profile.name: c.values.to_pylist() for c in records.columns if c.profile.name in chosen}
    return learn_semantics(texts, setting)


def add_meaning(records: Records, semantics: Semantics) -> Records:
    """Return the records with the vectors of the columns that `semantics` read."""
    return replace(records, columns=tuple(_add_vectors(column, semantics) for column in records.columns))


def _add_vectors(column: Column, semantics: Semantics) -> Column:
    name = column.profile.name
    if name not in semantics.columns:
        return column
    vectors = semantics.encode(name, column.values.to_pylist()) if column.vectors is None else column.vectors
    return replace(column, vectors=vectors, searched=name in semantics.searched)


def encode_column(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int32], pa.StringArray]:
    """Dictionary-encode a column of strings after cleaning; distinct raw values are cleaned once.

    Returns the code of each row (-1: missing), and the values in order.
    """
    raw = column.combine_chunks().dictionary_encode()
    recode, values = encode_sorted(clean(raw.dictionary.cast(pa.string())))
    recode = np.append(recode, -1).astype(np.int32)
    return recode[pc.fill_null(raw.indices, -1).to_numpy(zero_copy_only=False)], values


def _count_column(
    codes: npt.NDArray[np.int32], values: pa.StringArray, counts: Counts | None, column: int
) -> tuple[npt.NDArray[np.int64], int]:
    """Return the rows of each distinct value, and the filled rows in all."""
    if counts is None:
        return np.bincount(codes[codes >= 0], minlength=len(values)), int((codes >= 0).sum())
    return counts.count_values(column, values, codes)


def _build_column(
    profile: ColumnProfile,
    codes: npt.NDArray[np.int32],
    dictionary: pa.StringArray,
    words: Incidence | None,
    counted: tuple[npt.NDArray[np.int64], int],
) -> Column:
    if profile.kind is ColumnKind.PHONE:
        dictionary = pc.replace_substring_regex(dictionary, r"\P{Nd}+", "")
    numbers = dates = None
    if profile.kind is ColumnKind.NUMBER:
        numbers = np.array([parse_number(value) for value in dictionary.to_pylist()], dtype=np.float64)
    if profile.kind is ColumnKind.DATE:
        nothing = (np.nan, np.nan, np.nan)
        parsed = [parse_date(value) or nothing for value in dictionary.to_pylist()]
        dates = np.array(parsed, dtype=np.float64).reshape(-1, 3)
    rarity, same = inverse_frequency(*counted), _number_same(dictionary)
    return Column(profile, codes, dictionary, rarity, words, same, numbers, dates)


def _number_same(values: pa.StringArray) -> npt.NDArray[np.int32] | None:
    """Return `Column.same`: values may differ in what is not compared, or in what was taken out of them."""
    compared = pc.utf8_slice_codeunits(values, 0, MAX_COMPARED).dictionary_encode()
    return None if len(compared.dictionary) == len(values) else compared.indices.to_numpy()


def _union_words(columns: Sequence[Column], rows: int, width: int) -> Incidence:
    parts = [(column.words, column.codes) for column in columns if column.words is not None]
    offsets, numbers = unite(parts, rows)
    return Incidence((np.ones(len(numbers), dtype=np.float32), numbers, offsets), shape=(rows, max(width, 1)))
