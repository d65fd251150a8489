"""WordPiece: texts as the numbers of sub-words that language models of the BERT family read.

The normalisation and the greedy longest match of BERT (Devlin et al., NAACL 2019) in plain Python, so that no library
with a network client is needed. `wordpiece_vocabulary.txt` is the vocabulary of BERT base uncased (Google, Apache-2.0).
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glue_ml.errors import InputError

LONGEST_WORD = 100  #: Characters; a longer word is unknown.
LONGEST_TEXT = 10_000  #: Characters read of a text; models look at far fewer.
LARGEST_FILE = 64 << 20  #: Bytes of a tokenizer file.
CONTINUED = "##"

UNKNOWN, START, END, PADDING = "[UNK]", "[CLS]", "[SEP]", "[PAD]"


@dataclass(frozen=True)
class Pieces:
    """The sub-words of several texts: text i holds `ids[starts[i]:starts[i + 1]]`."""

    ids: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def lengths(self) -> npt.NDArray[np.int64]:
        """Return the number of sub-words of each text."""
        return np.diff(self.starts)


@dataclass(frozen=True)
class WordPiece:
    """A vocabulary, numbered by place, and whether texts are lower-cased and stripped of accents first."""

    vocabulary: tuple[str, ...]
    lowercase: bool = True

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """The number of each sub-word."""
        return {piece: number for number, piece in enumerate(self.vocabulary)}

    @cached_property
    def longest(self) -> int:
        """Characters of the longest sub-word."""
        return max(len(piece) for piece in self.vocabulary)

    def __getstate__(self) -> dict[str, Any]:
        return {"vocabulary": self.vocabulary, "lowercase": self.lowercase}

    def split(self, texts: Sequence[str]) -> Pieces:
        """Split each text into sub-words, without start and end marks. A text's pieces depend on that text alone."""
        known: dict[str, list[int]] = {}
        ids: list[int] = []
        starts = [0]
        for text in texts:
            for chunk in text[:LONGEST_TEXT].split():
                if chunk not in known:
                    known[chunk] = self._split_chunk(chunk)
                ids.extend(known[chunk])
            starts.append(len(ids))
        return Pieces(np.array(ids, dtype=np.int32), np.array(starts, dtype=np.int64))

    def _split_chunk(self, chunk: str) -> list[int]:
        return [number for word in _split_words(chunk, lowercase=self.lowercase) for number in self._match(word)]

    def _match(self, word: str) -> list[int]:
        """Match the longest sub-word at each place; a word that cannot be matched whole is unknown."""
        numbers, found, start = self.numbers, list[int](), 0
        if len(word) > LONGEST_WORD:
            return [numbers[UNKNOWN]]
        while start < len(word):
            prefix = CONTINUED if start else ""
            for end in range(min(len(word), start + self.longest), start, -1):
                number = numbers.get(prefix + word[start:end])
                if number is not None:
                    found.append(number)
                    start = end
                    break
            else:
                return [numbers[UNKNOWN]]
        return found


def _split_words(chunk: str, *, lowercase: bool) -> list[str]:
    """Split a text without spaces at punctuation and around CJK characters, each such character a word."""
    if chunk.isascii() and chunk.isalnum():
        return [chunk.lower() if lowercase else chunk]
    if lowercase:
        chunk = "".join(c for c in unicodedata.normalize("NFD", chunk) if unicodedata.category(c) != "Mn").lower()
    return "".join(_set_apart(chunk)).split()


def _set_apart(chunk: str) -> Iterator[str]:
    for c in chunk:
        if c.isalnum() and c.isascii():
            yield c
        elif _is_punctuation(c) or _is_ideograph(ord(c)):
            yield f" {c} "
        elif not _is_control(c):
            yield c


def _is_punctuation(c: str) -> bool:
    return (c.isascii() and c.isprintable() and not c.isalnum()) or unicodedata.category(c)[0] == "P"


def _is_control(c: str) -> bool:
    return c == "\ufffd" or unicodedata.category(c)[0] == "C"


def _is_ideograph(code: int) -> bool:
    """Whether BERT takes a code point for a Chinese character (the CJK blocks; no kana, no hangul)."""
    return (
        0x4E00 <= code <= 0x9FFF
        or 0x3400 <= code <= 0x4DBF
        or 0x20000 <= code <= 0x2A6DF
        or 0x2A700 <= code <= 0x2CEAF
        or 0xF900 <= code <= 0xFAFF
        or 0x2F800 <= code <= 0x2FA1F
    )


def read_default_wordpiece() -> WordPiece:
    """Return the vocabulary that comes with this package: BERT base uncased, 30,522 sub-words."""
    return _parse_lines(resources.files("glue_ml.matching").joinpath("wordpiece_vocabulary.txt").read_text("utf-8"))


def read_wordpiece(path: Path) -> WordPiece:
    """Read `tokenizer.json` (Hugging Face) or `vocab.txt`, one sub-word a line.

    Raises InputError where the file is missing, too large, not a WordPiece vocabulary, or lacks a special sub-word.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"{path} is larger than {LARGEST_FILE >> 20} MiB: it is not a tokenizer file")
        text = path.read_text(encoding="utf-8")
        found = _parse_tokenizer(json.loads(text)) if path.suffix == ".json" else _parse_lines(text)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as a WordPiece tokenizer: {error!r}") from error
    missing = [piece for piece in (UNKNOWN, START, END, PADDING) if piece not in found.numbers]
    if missing or len(found.numbers) != len(found.vocabulary):
        raise InputError(f"{path} is no WordPiece vocabulary: {', '.join(missing) or 'some sub-words'} not there once")
    return found


def _parse_lines(text: str) -> WordPiece:
    return WordPiece(tuple(text.removesuffix("\n").split("\n")))


def _parse_tokenizer(members: Any) -> WordPiece:
    model = members["model"]
    if model["type"] != "WordPiece" or model["continuing_subword_prefix"] != CONTINUED:
        raise ValueError(f"only WordPiece with {CONTINUED} can be used, not {model['type']}")
    vocabulary: dict[str, int] = model["vocab"]
    ordered = sorted(vocabulary, key=lambda piece: vocabulary[piece])
    if [vocabulary[piece] for piece in ordered] != list(range(len(ordered))):
        raise ValueError("the numbers of the vocabulary have gaps")
    return WordPiece(tuple(ordered), lowercase=bool(members["normalizer"]["lowercase"]))
