"""The features that blocking sees in records: words, pairs of common words, and hashed letter groups.

A word that few records hold is a key by itself; common words count only in pairs (Borthwick et al., arXiv 2008.08285,
intersect common values in the same way).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pandas.util import hash_array
from scipy import sparse

from glue_ml.matching.feature_sets import (
    NUMBER_BITS,
    NUMBER_MASK,
    FeatureSets,
    Numbers,
    add_empty_row,
    list_blocks,
    list_rows,
    unite,
)
from glue_ml.matching.records import Records
from glue_ml.matching.sorted_sets import number_distinct
from glue_ml.matching.tokens import GRAM_BITS, Incidence, hash_grams

Rows = npt.NDArray[np.int64]

PAIR_FACTOR = np.int64(0x1E3779B97F4A7C15)  #: Odd, so that the code of a pair of words tells which comes first.
PAIRED_WORDS = 5  #: A record's rarest common words are paired; 5 give 10 keys.


def find_keys(records: Records, common: int) -> FeatureSets:
    """Return the words of each record and the pairs of its rarest words that over `common` rows hold.

    A word is as common as `records.counts` say.
    """
    # words are distinct: there is nothing to gain by looking for equal ones first
    letters = hash_array(records.vocabulary.to_numpy(zero_copy_only=False), categorize=False).view(np.int64)
    words = _CommonWords.of(records.frequency, letters, common)
    blocks = list(list_blocks(len(records)))
    found = [words.pair(records.words[block]) for block in blocks]
    distinct, place = number_distinct(np.concatenate([codes for _, codes in found]))
    codes = np.append(letters, distinct)
    order = np.argsort(codes)
    number = np.empty(len(codes), dtype=np.int64)
    number[order] = np.arange(len(codes))
    ends = np.cumsum([len(codes) for _, codes in found])
    parts = [
        _merge_rows(records.words[block], number, rows, number[len(letters) + part])
        for block, (rows, _), part in zip(blocks, found, np.split(place, ends[:-1]), strict=True)
    ]
    lengths, numbers = (np.concatenate(each) for each in zip(*parts, strict=True))
    return FeatureSets(np.concatenate([[0], np.cumsum(lengths)]), numbers, codes[order])


def _merge_rows(words: Incidence, number: Rows, rows: Rows, pairs: Rows) -> tuple[Rows, Numbers]:
    """Return how many features each of some rows has, and their numbers: those of its words and of its pairs."""
    both = np.append(list_rows(words), rows) << NUMBER_BITS | np.append(number[words.indices], pairs)
    lengths = np.bincount(both >> NUMBER_BITS, minlength=words.shape[0])
    return lengths, (np.sort(both) & NUMBER_MASK).astype(np.int32)


@dataclass(frozen=True)
class _CommonWords:
    """The words of a vocabulary: whether they are common, their ranks by frequency, by rank their places, and codes."""

    is_common: npt.NDArray[np.bool_]
    rank: Rows
    by_rank: Rows
    codes: Rows

    @classmethod
    def of(cls, frequency: Rows, codes: Rows, cap: int) -> _CommonWords:
        """Call those common that more than `cap` rows hold."""
        by_rank = np.argsort(frequency, kind="stable")
        rank = np.empty_like(by_rank)
        rank[by_rank] = np.arange(len(by_rank))
        return cls(frequency > cap, rank, by_rank, codes)

    def pair(self, words: Incidence) -> tuple[Rows, Rows]:
        """Return the pairs of the rarest common words of each row: the row and the code of each pair."""
        common = self.is_common[words.indices]
        # row and rank in one number, as numbers are sorted several times as fast as pairs of them
        ordered = np.sort(list_rows(words)[common] << NUMBER_BITS | self.rank[words.indices[common]])
        rows = ordered >> NUMBER_BITS
        rarest = np.arange(len(rows)) - np.searchsorted(rows, rows) < PAIRED_WORDS
        rows, place = rows[rarest], self.by_rank[ordered[rarest] & NUMBER_MASK]
        pair_rows, codes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for gap in range(1, PAIRED_WORDS):
            both = np.flatnonzero(rows[gap:] == rows[:-gap]) if len(rows) > gap else np.zeros(0, np.int64)
            a, b = np.minimum(place[both], place[both + gap]), np.maximum(place[both], place[both + gap])
            pair_rows.append(rows[both])
            codes.append(self.codes[a] * PAIR_FACTOR + self.codes[b])
        return np.concatenate(pair_rows), np.concatenate(codes)


def spell_keys(words: Sequence[str]) -> dict[int, str]:
    """Return the codes of the keys that some words, in the order of a vocabulary, may make, with their text."""
    codes = hash_array(np.array(words, dtype=object)).view(np.int64)
    spelled = dict(zip(codes.tolist(), words, strict=True))
    for i, first in enumerate(words):
        pairs = (codes[i : i + 1] * PAIR_FACTOR + codes[i + 1 :]).tolist()
        spelled |= {code: f"{first} + {second}" for code, second in zip(pairs, words[i + 1 :], strict=True)}
    return spelled


def number_codes(rows: Rows, codes: Rows, height: int) -> tuple[Incidence, Rows]:
    """Return the 0/1 matrix of (row, code) entries, codes renumbered densely, and the codes by number."""
    distinct, columns = np.unique(codes, return_inverse=True)
    ones = np.ones(len(rows), dtype=np.float32)
    matrix = sparse.csr_matrix((ones, (rows, columns)), shape=(height, len(distinct)), dtype=np.float32)
    matrix.data[:] = 1.0
    return matrix, distinct


def find_grams(records: Records) -> FeatureSets:
    """Return the grams of each record; their codes are their hashes."""
    parts = [(add_empty_row(hash_grams(c.values)), c.codes) for c in records.columns if c.words is not None]
    occurs = np.zeros(1 << GRAM_BITS, dtype=bool)
    for grams, _ in parts:
        occurs[grams.indices] = True
    seen = np.flatnonzero(occurs)
    number = np.cumsum(occurs, dtype=np.int32) - 1
    narrow = [
        (Incidence((grams.data, number[grams.indices], grams.indptr), shape=(grams.shape[0], len(seen))), codes)
        for grams, codes in parts
    ]
    return FeatureSets(*unite(narrow, len(records)), seen)
