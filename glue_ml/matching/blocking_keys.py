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

from glue_ml.matching.records import Records
from glue_ml.matching.tokens import Incidence, hash_grams

Rows = npt.NDArray[np.int64]

PAIR_FACTOR = np.int64(0x1E3779B97F4A7C15)  #: Odd, so that the code of a pair of words tells which comes first.
PAIRED_WORDS = 5  #: A record's rarest common words are paired; 5 give 10 keys.


def find_keys(records: Records, common: int) -> tuple[Incidence, Rows]:
    """Return the 0/1 matrix of the words of each record and of the pairs of its common ones, and its columns' codes."""
    words = hash_array(records.vocabulary.to_numpy(zero_copy_only=False)).view(np.int64)
    pairs, codes = _pair_common_words(records, words, common)
    joined = sparse.hstack([records.words[:, : len(words)], pairs], format="csr")
    return _order_columns(joined, np.append(words, codes))


def spell_keys(words: Sequence[str]) -> dict[int, str]:
    """Return the codes of the keys that some words, in the order of a vocabulary, may make, with their text."""
    codes = hash_array(np.array(words, dtype=object)).view(np.int64)
    spelled = dict(zip(codes.tolist(), words, strict=True))
    for i, first in enumerate(words):
        pairs = (codes[i : i + 1] * PAIR_FACTOR + codes[i + 1 :]).tolist()
        spelled |= {code: f"{first} + {second}" for code, second in zip(pairs, words[i + 1 :], strict=True)}
    return spelled


def _order_columns(matrix: Incidence, codes: Rows) -> tuple[Incidence, Rows]:
    order = np.argsort(codes)
    number = np.empty(len(codes), dtype=np.int32)
    number[order] = np.arange(len(codes))
    ordered = Incidence((matrix.data, number[matrix.indices], matrix.indptr), shape=matrix.shape)
    ordered.sort_indices()
    return ordered, codes[order]


def _pair_common_words(records: Records, letters: Rows, cap: int) -> tuple[Incidence, Rows]:
    """Return the matrix of word pairs, and their codes: for each record, those of its rarest words in over `cap` rows.

    A word is as common as `records.counts` say. `letters` are the words' codes.
    """
    words = records.words
    frequency = records.frequency[words.indices]
    common = frequency > cap
    rows = np.repeat(np.arange(words.shape[0]), np.diff(words.indptr))[common]
    codes, frequency = words.indices[common].astype(np.int64), frequency[common]
    order = np.lexsort((codes, frequency, rows))
    rows, codes = rows[order], codes[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    rows, codes = rows[place < PAIRED_WORDS], codes[place < PAIRED_WORDS]
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


def find_grams(records: Records) -> tuple[Incidence, Rows]:
    """Return the 0/1 matrix of the grams of each record, and the hashes of those that occur, by number."""
    total = Incidence((len(records), 1), dtype=np.float32)
    for column in records.columns:
        if column.words is None:
            continue
        grams = hash_grams(column.values)
        grams.resize(grams.shape[0] + 1, grams.shape[1])
        chosen = grams[column.codes]
        total.resize(chosen.shape)
        total = total + chosen
    total.data[:] = 1.0
    seen = np.flatnonzero(count_rows(total))
    number = np.zeros(total.shape[1], dtype=total.indices.dtype)
    number[seen] = np.arange(len(seen))
    return Incidence((total.data, number[total.indices], total.indptr), shape=(len(records), len(seen))), seen


def count_rows(matrix: Incidence) -> npt.NDArray[np.int64]:
    """Return in how many rows each column of a 0/1 matrix is set."""
    return np.bincount(matrix.indices, minlength=matrix.shape[1])
