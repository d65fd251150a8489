from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glue_ml.errors import InputError
from glue_ml.matching.wordpiece import WordPiece, read_default_wordpiece, read_wordpiece

DEFAULT = read_default_wordpiece()


def split(text: str, wordpiece: WordPiece = DEFAULT) -> list[str]:
    return [wordpiece.vocabulary[number] for number in wordpiece.split([text]).ids]


def test_the_vocabulary_that_comes_along_is_the_one_of_bert() -> None:
    assert len(DEFAULT.vocabulary) == 30_522
    assert [DEFAULT.numbers[piece] for piece in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "the")] == [0, 100, 101, 102, 1996]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("  \t\n ", []),
        ("Hello, World!", ["hello", ",", "world", "!"]),
        ("photoshop CS3", ["photos", "##hop", "cs", "##3"]),
        ("Café naïve", ["cafe", "naive"]),
        ("rock'n'roll", ["rock", "'", "n", "'", "roll"]),
        ("$9.99", ["$", "9", ".", "99"]),
        ("北京", ["北", "京"]),
        ("a\x00b\u200bc", ["abc"]),
        ("x" * 101, ["[UNK]"]),
        ("\U0001f600", ["[UNK]"]),
    ],
)
def test_texts_are_split_as_bert_does(text: str, pieces: list[str]) -> None:
    assert split(text) == pieces


@given(st.lists(st.text(), max_size=5))
def test_a_texts_pieces_do_not_depend_on_the_others(texts: list[str]) -> None:
    together = DEFAULT.split(texts)
    assert len(together) == len(texts)
    parts = [together.ids[a:b].tolist() for a, b in zip(together.starts, together.starts[1:], strict=False)]
    assert parts == [DEFAULT.split([text]).ids.tolist() for text in texts]


def test_only_the_first_characters_of_an_endless_text_are_read() -> None:
    assert len(DEFAULT.split(["a " * 1_000_000])) == 1
    assert len(DEFAULT.split(["a " * 1_000_000]).ids) == 5_000


def tokenizer(**changes: object) -> dict[str, object]:
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "Tax": 5, "tax": 4}
    model = {"type": "WordPiece", "continuing_subword_prefix": "##", "vocab": vocabulary}
    return {"model": {**model, **changes}, "normalizer": {"lowercase": False}}


def test_a_tokenizer_file_tells_vocabulary_and_case(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(tokenizer()))
    assert split("Tax tax TAX", read_wordpiece(path)) == ["Tax", "tax", "[UNK]"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        "null",
        "[" * 100_000,
        json.dumps(tokenizer(type="Unigram")),
        json.dumps(tokenizer(vocab={"[UNK]": 0, "a": 2})),
        json.dumps(tokenizer(vocab={"[UNK]": 0, "a": 1})),
        json.dumps(tokenizer(vocab={"[UNK]": "0", "a": 1})),
        json.dumps(tokenizer(vocab=[["a", 1]])),
    ],
)
def test_a_tokenizer_file_that_is_none_is_an_input_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"tokenizer\.json"):
        read_wordpiece(path)


@pytest.mark.parametrize("content", [b"", b"a\nb", b"[PAD]\n[UNK]\n[CLS]\n[SEP]\na\na", b"\xff\xfe"])
def test_a_vocabulary_that_is_none_is_an_input_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"vocab\.txt"):
        read_wordpiece(path)
