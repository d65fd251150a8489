"""The features that blocking sees in records: words, pairs of common words, and hashed letter groups.

A word that few records hold is a key by itself; common words count only in pairs (Borthwick et al., arXiv 2008.08285,
intersect common values in the same way).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pandas.util import hash_array
from scipy import sparse

from glue_ml.matching.feature_sets import FeatureSets, unite
from glue_ml.matching.records import Records
from glue_ml.matching.tokens import GRAM_BITS, Incidence, hash_grams

Rows = npt.NDArray[np.int64]

PAIR_FACTOR = np.int64(0x1E3779B97F4A7C15)  #: Odd, so that the code of a pair of words tells which comes first.
RANK_BITS = 32  #: More words than a vocabulary has.
PAIRED_WORDS = 5  #: A record's rarest common words are paired; 5 give 10 keys.


def find_keys(records: Records, common: int) -> FeatureSets:
    """Return the words of each record and the pairs of its common ones."""
    # words are distinct: there is nothing to gain by looking for equal ones first
    words = hash_array(records.vocabulary.to_numpy(zero_copy_only=False), categorize=False).view(np.int64)
    pairs, codes = _pair_common_words(records, words, common)
    joined = sparse.hstack([records.words[:, : len(words)], pairs], format="csr")
    return _order_features(joined, np.append(words, codes))


def spell_keys(words: Sequence[str]) -> dict[int, str]:
    """Return the codes of the keys that some words, in the order of a vocabulary, may make, with their text."""
    codes = hash_array(np.array(words, dtype=object)).view(np.int64)
    spelled = dict(zip(codes.tolist(), words, strict=True))
    for i, first in enumerate(words):
        pairs = (codes[i : i + 1] * PAIR_FACTOR + codes[i + 1 :]).tolist()
        spelled |= {code: f"{first} + {second}" for code, second in zip(pairs, words[i + 1 :], strict=True)}
    return spelled


def _order_features(matrix: Incidence, codes: Rows) -> FeatureSets:
    """Return the features of a matrix in the order of their codes."""
    order = np.argsort(codes)
    number = np.empty(len(codes), dtype=np.int32)
    number[order] = np.arange(len(codes))
    ordered = Incidence((matrix.data, number[matrix.indices], matrix.indptr), shape=matrix.shape)
    ordered.sort_indices()
    return FeatureSets.of(ordered, codes[order])


def _pair_common_words(records: Records, letters: Rows, cap: int) -> tuple[Incidence, Rows]:
    """Return the matrix of word pairs, and their codes: for each record, those of its rarest words in over `cap` rows.

    A word is as common as `records.counts` say. `letters` are the words' codes.
    """
    words = records.words
    common = (records.frequency > cap)[words.indices]
    rows = np.repeat(np.arange(words.shape[0]), np.diff(words.indptr))[common]
    by_frequency = np.argsort(records.frequency, kind="stable")
    rank = np.empty_like(by_frequency)
    rank[by_frequency] = np.arange(len(by_frequency))
    # row and rank in one number, as numbers are sorted several times as fast as pairs of them
    ordered = np.sort((rows << RANK_BITS) | rank[words.indices[common]])
    first = np.cumsum(np.bincount(rows, minlength=words.shape[0])) - np.bincount(rows, minlength=words.shape[0])
    ordered = ordered[np.arange(len(ordered)) - first[ordered >> RANK_BITS] < PAIRED_WORDS]
    rows, codes = ordered >> RANK_BITS, by_frequency[ordered & ((1 << RANK_BITS) - 1)]
    pair_rows, pair_codes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for gap in range(1, PAIRED_WORDS):
        both = np.flatnonzero(rows[gap:] == rows[:-gap]) if len(rows) > gap else np.zeros(0, np.int64)
        a, b = np.minimum(codes[both], codes[both + gap]), np.maximum(codes[both], codes[both + gap])
        pair_rows.append(rows[both])
        pair_codes.append(letters[a] * PAIR_FACTOR + letters[b])
    return number_codes(np.concatenate(pair_rows), np.concatenate(pair_codes), words.shape[0])


def number_codes(rows: Rows, codes: Rows, height: int) -> tuple[Incidence, Rows]:
    """Return the 0/1 matrix of (row, code) entries, codes renumbered densely, and the codes by number."""
    distinct, columns = np.unique(codes, return_inverse=True)
    ones = np.ones(len(rows), dtype=np.float32)
    matrix = sparse.csr_matrix((ones, (rows, columns)), shape=(height, len(distinct)), dtype=np.float32)
    matrix.data[:] = 1.0
    return matrix, distinct


def find_grams(records: Records) -> FeatureSets:
    """Return the grams of each record; their codes are their hashes."""
    parts = [(_with_empty_row(hash_grams(c.values)), c.codes) for c in records.columns if c.words is not None]
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


def _with_empty_row(grams: Incidence) -> Incidence:
    grams.resize(grams.shape[0] + 1, grams.shape[1])
    return grams
