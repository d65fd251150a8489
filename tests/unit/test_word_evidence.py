"""What words say of a match, on a table whose truth is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from glue_ml.domain.labels import LabeledRow
from glue_ml.errors import InputError
from glue_ml.matching import FindMatches
from glue_ml.matching.candidate_lists import CONTEXT
from glue_ml.matching.comparison import compare
from glue_ml.matching.match_state import advance_state, match_again, start_state
from glue_ml.matching.model import MatchModel, load_model, save_model
from glue_ml.matching.profile import profile_column
from glue_ml.matching.records import Records, ValueCounts, count_values, prepare_records
from glue_ml.matching.rivals import RIVALS, measure_rivals
from glue_ml.matching.state_files import digest_model
from glue_ml.matching.word_evidence import MEASURES, STEPS, WordEvidence, choose_worded_columns, weigh_evidence
from tests.benchmarks.sparkless import Frame, without_spark

TITLES = 300


def make_titles() -> tuple[Records, np.ndarray, np.ndarray, np.ndarray]:
    """Return titles of products, pairs of them, and which are matches.

    Of each there is a "deluxe" edition, which is another product, and of both a title that says "new", which is not.
    """
    rng = np.random.default_rng(0)
    names = [" ".join(f"w{word}" for word in rng.integers(0, 400, 4)) for _ in range(TITLES)]
    rows = [text for name in names for text in (name, f"{name} new", f"{name} deluxe", f"{name} deluxe new")]
    keys = [f"k{number:04}" for number in range(len(rows))]
    records = prepare_records(pa.table({"id": keys, "title": rows, "maker": ["acme"] * len(rows)}))
    pairs = [(0, 1), (2, 3), (0, 2), (0, 3), (1, 2), (1, 3)]
    left, right = (np.add.outer([pair[side] for pair in pairs], np.arange(TITLES) * 4).ravel() for side in (0, 1))
    return records, left, right, np.arange(6 * TITLES) < 2 * TITLES


def weights_of(evidence: WordEvidence, word: str) -> tuple[float, float]:
    """Return what a word says where both have it, and where one has it alone."""
    (column,) = evidence.columns
    place = column.words.to_pylist().index(word)
    return float(column.weights[0, place]), float(column.weights[1, place])


def test_a_word_that_others_lack_speaks_against_a_match_only_where_matches_do_not_lack_it() -> None:
    records, left, right, is_match = make_titles()
    evidence = weigh_evidence(records, left, right, is_match.astype(np.float64))
    (both_deluxe, deluxe), (_, new) = (weights_of(evidence, word) for word in ("deluxe", "new"))
    assert deluxe < -3.0
    assert both_deluxe > 1.0
    assert new > 0.0


def test_the_evidence_tells_matches_that_no_likeness_tells() -> None:
    records, left, right, is_match = make_titles()
    half = np.arange(len(left)) % 2 == 0
    evidence = weigh_evidence(records, left[half], right[half], is_match[half].astype(np.float64))
    total = evidence.measure(records, left[~half], right[~half])[:, MEASURES.index("evidence")]
    assert total[is_match[~half]].min() > total[~is_match[~half]].max()


def test_a_model_that_is_unsure_of_every_pair_tells_nothing() -> None:
    records, left, right, _ = make_titles()
    evidence = weigh_evidence(records, left, right, np.full(len(left), 0.5))
    np.testing.assert_allclose(evidence.measure(records, left, right), 0.0, atol=1e-6)


def test_the_evidence_is_symmetric_and_does_not_depend_on_other_pairs() -> None:
    records, left, right, is_match = make_titles()
    evidence = weigh_evidence(records, left, right, np.where(is_match, 0.9, 0.2))
    measured = evidence.measure(records, left, right)
    assert measured.dtype == np.float32
    assert measured.shape == (len(left), len(MEASURES)) == (len(left), len(evidence.names))
    np.testing.assert_array_equal(evidence.measure(records, right, left), measured)
    np.testing.assert_array_equal(evidence.measure(records, left[7:9], right[7:9]), measured[7:9])


def test_rows_of_their_own_are_measured_as_within_the_table() -> None:
    records, left, right, is_match = make_titles()
    evidence = weigh_evidence(records, left, right, np.where(is_match, 0.9, 0.2))
    table = pa.table({
        "id": records.keys,
        **{c.profile.name: c.values.take(pa.array(c.codes)) for c in records.columns},
    })  # fmt: skip
    counts: ValueCounts = count_values(table, records)
    some = prepare_records(table.slice(32, 60), records.profiles, counts)
    chosen = (left >= 32) & (right < 92)
    measured = evidence.measure(some, left[chosen] - 32, right[chosen] - 32)
    np.testing.assert_array_equal(measured, evidence.measure(records, left[chosen], right[chosen]))


def test_words_that_nobody_knows_are_taken_for_what_is_usual_of_their_rarity() -> None:
    records, left, right, is_match = make_titles()
    (column,) = weigh_evidence(records, left, right, is_match.astype(np.float64)).columns
    found = column.look_up(pa.array(["deluxe", "unheard of"]), np.array([0, STEPS]))
    np.testing.assert_array_equal(found[:, 1], column.usual[:, STEPS])
    assert found[1, 0] == weights_of(WordEvidence((column,)), "deluxe")[1]


def test_what_is_kept_is_read_again() -> None:
    records, left, right, is_match = make_titles()
    evidence = weigh_evidence(records, left, right, is_match.astype(np.float64))
    again = WordEvidence.from_arrow(evidence.to_arrow())
    np.testing.assert_array_equal(again.measure(records, left, right), evidence.measure(records, left, right))
    assert again.names == evidence.names
    assert WordEvidence.from_arrow(WordEvidence().to_arrow()) == WordEvidence()


def test_a_damaged_file_is_refused() -> None:
    records, left, right, is_match = make_titles()
    evidence = weigh_evidence(records, left, right, is_match.astype(np.float64))
    with pytest.raises(ValueError, match="title need 11 weights"):
        WordEvidence.from_arrow(evidence.to_arrow().slice(1))


def test_names_and_codes_are_left_to_letters() -> None:
    values = {
        "name": [f"Anna {letter}son" for letter in "abcdefghij"],
        "code": [f"x-{number}" for number in range(10)],
        "text": [f"the quick fox number {number} jumps" for number in range(10)],
    }
    profiles = [profile_column(name, texts, np.ones(10, np.int64), rows=10) for name, texts in values.items()]
    assert choose_worded_columns(profiles) == ("text",)


def test_without_running_text_there_is_no_evidence() -> None:
    records = prepare_records(pa.table({"id": ["a", "b"], "code": ["x-1", "x-2"]}))
    evidence = weigh_evidence(records, np.array([0]), np.array([1]), np.array([0.5]))
    assert evidence == WordEvidence()
    assert evidence.measure(records, np.array([0]), np.array([1])).shape == (1, 0)


def table_of(records: Records) -> pa.Table:
    """Return the keys and the titles of records."""
    title = records.columns[0]
    return pa.table({"id": records.keys, "title": title.values.take(pa.array(title.codes))})


@pytest.fixture(scope="module")
def taught() -> tuple[MatchModel, Records]:
    """Return a model that has learned from the titles of 30 products, and the records of all."""
    records = make_titles()[0]
    table = table_of(records)
    entity = {records.keys[int(row)].as_py(): str(row // 2) for row in range(len(records))}
    keys = records.keys.to_pylist()
    labels = [LabeledRow(f"s{row // 8}", entity[keys[row]], keys[row]) for row in range(120)]
    df: Any = Frame(table)
    with without_spark():
        model = FindMatches(primary_key="id", semantic_encoder="static").fit(df, labels).model_
    return model, prepare_records(table, model.profiles, semantics=model.semantics)


def test_a_model_that_learns_from_text_hears_what_words_say(taught: tuple[MatchModel, Records]) -> None:
    model, _ = taught
    assert model.learned is not None
    assert [each.column for each in model.learned.words.columns] == ["title"]
    deluxe, new = (weights_of(model.learned.words, word)[1] for word in ("deluxe", "new"))
    assert deluxe < -1.0 < new
    added = len(model.closer_features)
    assert added == len(RIVALS) + len(MEASURES)
    assert model.learned.second.width == model.learned.context.width + added


def test_a_saved_model_hears_the_same(taught: tuple[MatchModel, Records], tmp_path: Path) -> None:
    model, records = taught
    save_model(model, str(tmp_path))
    again = load_model(str(tmp_path))
    left, right = np.arange(50), np.arange(50) + 1
    expected = model.plain_probability(records, left, right)
    np.testing.assert_array_equal(again.plain_probability(records, left, right), expected)
    assert digest_model(again) == digest_model(model)


def test_a_model_that_was_saved_without_words_judges_by_the_pair_alone(
    taught: tuple[MatchModel, Records], tmp_path: Path
) -> None:
    model, records = taught
    save_model(model, str(tmp_path))
    described = json.loads((tmp_path / "model.json").read_text("utf-8"))
    del described["learned"]["alone"]
    (tmp_path / "model.json").write_text(json.dumps(described | {"format": 3}), "utf-8")
    (tmp_path / "words.parquet").unlink()
    older = load_model(str(tmp_path))
    assert older.learned is not None
    assert (older.learned.alone, older.learned.words) == (None, WordEvidence())
    found = older.plain_probability(records, np.arange(50), np.arange(50) + 1)
    assert ((found > 0.0) & (found < 1.0)).all()
    (tmp_path / "model.json").write_text(json.dumps(described | {"format": 2}), "utf-8")
    with pytest.raises(InputError, match="train it again"):
        load_model(str(tmp_path))


def test_other_words_are_another_model(taught: tuple[MatchModel, Records]) -> None:
    model, _ = taught
    assert model.learned is not None
    deaf = model.with_learned(replace(model.learned, words=WordEvidence()))
    assert digest_model(deaf) != digest_model(model)


def test_no_pair_is_likelier_at_the_second_look_than_its_bound(taught: tuple[MatchModel, Records]) -> None:
    model, records = taught
    rng = np.random.default_rng(0)
    left, right = rng.integers(0, len(records), (2, 2_000))
    context = rng.random((2_000, len(CONTEXT))).astype(np.float32)
    features = model.measure(compare(records, left, right), context)
    first = model.first_look(features)
    closer = model.look_closer((records, left, right), measure_rivals(first, *rng.random((2, 2_000))))
    found = model.second_look(features, closer)[1]
    assert (found <= model.best_second_look(features, first) + 1e-12).all()
    assert found.max() > found.min()


@pytest.mark.parametrize("twice", [True, False], ids=["second look", "pairs alone"])
def test_rows_that_come_and_go_come_to_what_matching_everything_finds(
    taught: tuple[MatchModel, Records], twice: bool
) -> None:
    model, records = taught
    assert model.learned is not None
    model = model.with_learned(replace(model.learned, prefers_context=twice))
    table = table_of(records)
    state = start_state(table.slice(0, 900), model)
    for removed, added in (([], table.slice(900, 100)), (["k0007", "k0950"], table.slice(1000))):
        state = advance_state(state, model, removed=removed, added=added).state
        full = match_again(state, model)
        assert full.labels.tolist() == state.found.labels.tolist()
        assert full.pairs.edges.probability.tolist() == state.found.pairs.edges.probability.tolist()
    assert len(np.unique(full.labels)) < len(full.labels)
