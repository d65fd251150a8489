"""Words and character 3-grams of strings as sparse incidence matrices; vectorised, exact, deterministic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

MAX_CHARACTERS = 4_000  #: A longer cell is cut before it is read for words: a 1 MB cell must not stall a run.
GRAM_BITS = 22  #: 3-grams are hashed into 2**22 columns; a collision only makes one gram look commoner.

Incidence: TypeAlias = sparse.csr_matrix  #: rows x features, float32 ones.


@dataclass(frozen=True)
class Words:
    """The words of some strings: `flat[offsets[i]:offsets[i + 1]]` belong to string i."""

    offsets: npt.NDArray[np.int64]
    flat: pa.StringArray


def clean(values: pa.Array) -> pa.Array:
    """Fold case, accents and runs of white space; a string without a visible character becomes null."""
    text = pc.utf8_slice_codeunits(pc.utf8_normalize(values, form="NFKD"), 0, MAX_CHARACTERS)
    text = pc.replace_substring_regex(pc.utf8_lower(text), r"\p{Mn}+", "")
    text = pc.utf8_trim_whitespace(pc.replace_substring_regex(text, r"[\s\p{Cc}]+", " "))
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, text.type), text)


def split_words(values: pa.Array) -> Words:
    """Split at everything that is no letter or digit; `am-53 bk` also yields the joined `am53`.

    Joined forms make `PSLX-350H` and `PSLX350H` meet; a word is listed as often as it occurs.
    """
    parts = pc.split_pattern_regex(values, r"[^\p{L}\p{N}]+")
    joined = pc.split_pattern_regex(pc.replace_substring_regex(values, r"[^\p{L}\p{N} ]+", ""), r" +")
    rows = np.concatenate([pc.list_parent_indices(parts).to_numpy(), pc.list_parent_indices(joined).to_numpy()])
    flat = pa.concat_arrays([parts.flatten(), joined.flatten()])
    keep = pc.not_equal(flat, "").to_numpy(zero_copy_only=False)
    order = np.argsort(rows[keep], kind="stable")
    offsets = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows[keep], minlength=len(values)), out=offsets[1:])
    return Words(offsets, flat.filter(pa.array(keep)).take(pa.array(order)))


def build_incidence(columns: list[Words]) -> tuple[list[Incidence], pa.StringArray]:
    """Number the words of all `columns` in one sorted vocabulary; return a 0/1 matrix per column, and that."""
    flat = pa.concat_arrays([words.flat for words in columns]) if columns else pa.array([], pa.string())
    codes, vocabulary = encode_sorted(flat)
    matrices, start = [], 0
    for words in columns:
        stop = start + len(words.flat)
        matrices.append(_incidence(words.offsets, codes[start:stop], len(vocabulary)))
        start = stop
    return matrices, vocabulary


def encode_sorted(values: pa.Array) -> tuple[npt.NDArray[np.int64], pa.StringArray]:
    """Dictionary-encode strings: a code per value (-1: null), and the distinct ones in order.

    The order makes the number of a value relative to others, and so all that is summed up in the order of numbers, a
    matter of the values alone: not of what other rows there are.
    """
    encoded = values.dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    recode = np.full(len(order) + 1, -1, dtype=np.int64)
    recode[order] = np.arange(len(order))
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return recode[codes], encoded.dictionary.take(pa.array(order))


def hash_grams(values: pa.Array) -> Incidence:
    """Return the 0/1 matrix of the hashed character 3-grams of each string, `^` and `$` marking its ends."""
    padded = pc.binary_join_element_wise("^", pc.fill_null(values, ""), "$", "")
    lengths = pc.utf8_length(padded).to_numpy(zero_copy_only=False).astype(np.int64)
    letters = np.frombuffer("".join(padded.to_pylist()).encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    ends = np.cumsum(lengths)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    start = np.flatnonzero(np.arange(len(letters)) + 3 <= ends[rows])
    code = letters[start] | (letters[start + 1] << np.uint64(21)) | (letters[start + 2] << np.uint64(42))
    bucket = (code * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - GRAM_BITS)
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows[start], minlength=len(lengths)), out=offsets[1:])
    return _incidence(offsets, bucket.astype(np.int64), 1 << GRAM_BITS)


def _incidence(offsets: npt.NDArray[np.int64], codes: npt.NDArray[np.int64], width: int) -> Incidence:
    ones = np.ones(len(codes), dtype=np.float32)
    matrix = sparse.csr_matrix((ones, codes, offsets), shape=(len(offsets) - 1, max(width, 1)))
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def spell_grams(text: str) -> dict[int, str]:
    """Return the 3-grams of one string by the column that `hash_grams` puts them in."""
    padded = f"^{text}$"
    grams = {padded[i : i + 3] for i in range(len(padded) - 2)}
    return {_hash_gram(gram): gram for gram in sorted(grams)}


def _hash_gram(gram: str) -> int:
    code = ord(gram[0]) | ord(gram[1]) << 21 | ord(gram[2]) << 42
    return (code * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF) >> (64 - GRAM_BITS)
