from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from glue_ml.matching.sentence_encoder import SentenceEncoder, Vectors, scale_rows
from glue_ml.matching.static_embeddings import distill, load_or_distill, name_table
from glue_ml.matching.wordpiece import Pieces, WordPiece

VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"word{i}" for i in range(60)))


@dataclass
class Teacher:
    """Stands in for a transformer: a fixed vector for each sub-word; counts how often it is asked."""

    digest: str = "teacher"
    wordpiece: WordPiece = field(default_factory=lambda: WordPiece(VOCABULARY))
    asked: int = 0

    def encode_pieces(self, pieces: Pieces) -> Vectors:
        self.asked += 1
        return scale_rows(np.random.default_rng(3).normal(size=(len(pieces), 24)))


def make_teacher(digest: str = "teacher") -> tuple[Teacher, SentenceEncoder]:
    teacher = Teacher(digest)
    return teacher, cast(SentenceEncoder, teacher)


def test_a_distilled_table_is_the_same_each_time_and_says_nothing_of_unknown_words() -> None:
    _, encoder = make_teacher()
    first, second = distill(encoder, 16), distill(encoder, 16)
    assert np.array_equal(first.table, second.table)
    assert first.dimensions == 16
    assert not first.encode(["unknown ?"]).any()
    assert first.name == f"static-{name_table(encoder, 16)}"


def test_a_table_is_made_once_and_then_read(tmp_path: Path) -> None:
    teacher, encoder = make_teacher()
    first, second = load_or_distill(encoder, tmp_path), load_or_distill(encoder, tmp_path)
    assert teacher.asked == 1
    assert np.array_equal(first.table, second.table)
    assert first.wordpiece == second.wordpiece


def test_a_damaged_table_is_made_again(tmp_path: Path) -> None:
    teacher, encoder = make_teacher()
    load_or_distill(encoder, tmp_path)
    next(tmp_path.iterdir()).write_bytes(b"half a file")
    load_or_distill(encoder, tmp_path)
    load_or_distill(encoder, tmp_path)
    assert teacher.asked == 2


def test_another_encoder_has_another_table(tmp_path: Path) -> None:
    names = {load_or_distill(make_teacher(digest)[1], tmp_path).name for digest in ("one", "two")}
    assert len(names) == len(list(tmp_path.iterdir())) == 2
