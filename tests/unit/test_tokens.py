from __future__ import annotations

import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glue_ml.matching.tokens import GRAM_BITS, MAX_CHARACTERS, build_incidence, clean, hash_grams, split_words

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def words_of(values: list[str | None]) -> list[list[str]]:
    words = split_words(pa.array(values, pa.string()))
    flat = words.flat.to_pylist()
    return [sorted(flat[words.offsets[i] : words.offsets[i + 1]]) for i in range(len(values))]


def test_words_are_split_at_punctuation_and_joined_across_it() -> None:
    assert words_of(["am-53 bk"]) == [["53", "am", "am53", "bk", "bk"]]


def test_a_missing_string_has_no_words_and_does_not_shift_the_others() -> None:
    assert words_of(["a", None, "", "b c"]) == [["a", "a"], [], [], ["b", "b", "c", "c"]]


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("  José  NÚÑEZ ", "jose nunez"),
        ("ﬁne", "fine"),
        ("a\u00a0\tb\r\nc", "a b c"),
        (" \t", None),
        ("", None),
        (None, None),
        ("東京", "東京"),
        ("😀", "😀"),
    ],
)
def test_clean_folds_what_a_person_would_not_tell_apart(raw: str | None, cleaned: str | None) -> None:
    assert clean(pa.array([raw], pa.string())).to_pylist() == [cleaned]


@given(st.lists(TEXT, max_size=5))
def test_clean_is_idempotent_and_leaves_no_outer_space(values: list[str]) -> None:
    once = clean(pa.array(values, pa.string()))
    assert clean(once).to_pylist() == once.to_pylist()
    assert all(v is None or v == v.strip() for v in once.to_pylist())


def test_a_huge_cell_is_cut() -> None:
    assert len(clean(pa.array(["x" * 1_000_000])).to_pylist()[0]) == MAX_CHARACTERS


@given(st.lists(TEXT, min_size=1, max_size=6))
def test_incidence_says_which_words_each_string_holds(values: list[str]) -> None:
    words = split_words(pa.array(values, pa.string()))
    (matrix,), vocabulary = build_incidence([words])
    for i, expected in enumerate(words_of(list(values))):
        held = {vocabulary[j].as_py() for j in matrix[i].indices}
        assert held == set(expected)
    assert set(np.unique(matrix.data)) <= {np.float32(1)}


def test_columns_share_one_vocabulary() -> None:
    first, second = (split_words(pa.array([v])) for v in ("smith john", "john"))
    (a, b), vocabulary = build_incidence([first, second])
    assert vocabulary.to_pylist() == ["john", "smith"]
    assert b.indices.tolist() == [0]
    assert sorted(a.indices.tolist()) == [0, 1]


def naive_grams(text: str) -> set[int]:
    padded = f"^{text}$"
    codes = (ord(padded[i]) | ord(padded[i + 1]) << 21 | ord(padded[i + 2]) << 42 for i in range(len(padded) - 2))
    return {(code * 0x9E3779B97F4A7C15 % 2**64) >> (64 - GRAM_BITS) for code in codes}


@given(st.lists(TEXT, min_size=1, max_size=6))
def test_grams_equal_their_definition(values: list[str]) -> None:
    matrix = hash_grams(pa.array(values, pa.string()))
    assert [set(matrix[i].indices.tolist()) for i in range(len(values))] == [naive_grams(v) for v in values]


def test_normal_forms_of_the_same_word_meet() -> None:
    composed, decomposed = (unicodedata.normalize(form, "Zoë") for form in ("NFC", "NFD"))
    assert len(set(clean(pa.array([composed, decomposed])).to_pylist())) == 1
