"""Matching by meaning through the engine's face: rows without a word in common, on a real session."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from glue_ml.domain.labels import LabeledRow
from glue_ml.matching import FindMatches, FindMatchesModel
from glue_ml.matching.static_embeddings import StaticEncoder, save_static_encoder
from glue_ml.matching.wordpiece import WordPiece

CONCEPTS = 24
ENTITIES = 120


def spell(letters: str, concept: int) -> str:
    """A word of five of the letters for each concept."""
    return "".join(random.Random(concept).choices(letters, k=5))


#: The two words of each concept have no letter in common.
SIDES = tuple([spell(letters, concept) for concept in range(CONCEPTS)] for letters in ("abcdefghij", "klmnopqrst"))
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *(word for pair in zip(*SIDES, strict=True) for word in pair))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An encoder to which the two words of a concept mean the same."""
    table = np.zeros((len(VOCABULARY), CONCEPTS), dtype=np.float16)
    for number in range(CONCEPTS):
        table[4 + 2 * number : 6 + 2 * number, number] = 1.0
    path = tmp_path_factory.mktemp("encoder") / "concepts.npz"
    save_static_encoder(StaticEncoder(table, WordPiece(VOCABULARY), "fedcba9876543210"), path)
    return str(path)


def make_rows() -> list[tuple[str, str]]:
    """Each entity twice, in other words; every third also has a word of its own in common."""
    rng = np.random.default_rng(11)
    rows = []
    for entity in range(ENTITIES):
        chosen = rng.choice(CONCEPTS, 6, replace=False)
        own = f" {entity}" if entity % 3 == 0 else ""
        for copy, words in enumerate(SIDES):
            rows.append((f"k{2 * entity + copy:03}", " ".join(words[c] for c in chosen) + own))
    return rows


def label(entities: range) -> list[LabeledRow]:
    """Labelling sets of five entities."""
    return [
        LabeledRow(f"s{entity // 5}", f"e{entity}", f"k{2 * entity + copy:03}")
        for entity in entities
        for copy in range(2)
    ]


def count_matched(model: FindMatchesModel, spark: SparkSession, rows: list[tuple[str, str]], first: int) -> int:
    matches = model.transform(spark.createDataFrame(rows, "id string, text string"))
    groups = {row["id"]: row["match_id"] for row in matches.collect()}
    return sum(groups[f"k{2 * e:03}"] == groups[f"k{2 * e + 1:03}"] for e in range(first, ENTITIES))


def test_labels_let_meaning_find_what_words_do_not(spark: SparkSession, encoder: str, tmp_path: Path) -> None:
    rows = make_rows()
    df = spark.createDataFrame(rows, "id string, text string")
    labels = label(range(60))
    by_words = FindMatches(primary_key="id", semantic_encoder="off").fit(df, labels)
    by_meaning = FindMatches(primary_key="id", semantic_encoder=encoder).fit(df, labels)
    assert by_meaning.model_.semantics is not None
    assert by_meaning.model_.semantics.searched == {"text"}
    found = count_matched(by_meaning, spark, rows, 60)
    assert found >= 50
    assert count_matched(by_words, spark, rows, 60) < 30
    by_meaning.save(str(tmp_path / "model"))
    assert count_matched(FindMatchesModel.load(str(tmp_path / "model")), spark, rows, 60) == found


def test_an_explanation_names_the_view_of_meaning(spark: SparkSession, encoder: str) -> None:
    df = spark.createDataFrame(make_rows(), "id string, text string")
    told = FindMatches(primary_key="id", semantic_encoder=encoder).fit(df, label(range(60))).explain(df, "k002", "k003")
    assert "meaning of text" in told.blocking.proposed_by
    assert any(share.measure == "meaning" and share.value > 0.99 for share in told.features)


def test_without_labels_nothing_is_read_by_meaning(spark: SparkSession) -> None:
    df = spark.createDataFrame(make_rows(), "id string, text string")
    model = FindMatches(primary_key="id", semantic_encoder="/no/such/encoder").fit(df)
    assert model.model_.semantics is None
