"""Blocking keys learned from labels, against their definitions and on a table where words are not enough."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from glue_ml.domain.labels import LabeledRow
from glue_ml.matching.blocking import LEARNED_KEYS, BlockingBudget, build_index
from glue_ml.matching.blocking_choice import block_by_labels, find_views
from glue_ml.matching.fellegi_sunter import FellegiSunter
from glue_ml.matching.key_rules import KeyRule, Predicate, find_rule_keys, learn_key_rules
from glue_ml.matching.model import MatchModel, Settings, load_model, save_model
from glue_ml.matching.pipeline import Blocked
from glue_ml.matching.records import Records, prepare_records
from glue_ml.matching.unsupervised import Unsupervised

NOISE = [f"{a}{b}" for a in ("lorem", "ipsum", "dolor", "amet", "elit") for b in "abcdefgh"]
TIGHT = BlockingBudget(top_k=1, work_per_record=60)


def make_records(entities: int = 80) -> Records:
    """Two rows of each entity: they share the start of a name and a number, and differ in long noise."""
    rng = random.Random(5)
    rows = []
    for entity in range(entities):
        start = "".join(rng.choice("bcdfgk") + rng.choice("aeiou") for _ in range(2))
        for copy in range(2):
            rest = "".join(rng.choice("lmnprst") + rng.choice("aeiou") for _ in range(9))
            note = " ".join(rng.sample(NOISE, 12))
            rows.append((f"k{2 * entity + copy:03}", start + rest, f"{entity % 9}", note))
    keys, names, numbers, notes = (list(column) for column in zip(*rows, strict=True))
    return prepare_records(pa.table({"id": keys, "name": names, "shelf": numbers, "note": notes}))


def pairs_of(records: Records) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], ...]:
    left = np.arange(0, len(records), 2)
    return left, left + 1


def share(records: Records, rule: KeyRule, left: int, right: int) -> bool:
    matrix = find_rule_keys(records, [rule]).matrix
    return bool(matrix[[left]].multiply(matrix[[right]]).nnz)


def value_of(records: Records, name: str, row: int) -> str:
    column = next(column for column in records.columns if column.profile.name == name)
    return str(column.read(row))


def test_a_rule_brings_together_rows_that_agree_in_all_of_its_parts() -> None:
    records = make_records(20)
    start, shelf = Predicate("name", "start"), Predicate("shelf", "value")
    for left in range(0, 40, 3):
        for right in range(1, 40, 7):
            same_start = value_of(records, "name", left)[:4] == value_of(records, "name", right)[:4]
            same_shelf = value_of(records, "shelf", left) == value_of(records, "shelf", right)
            assert share(records, KeyRule((start,)), left, right) == same_start
            assert share(records, KeyRule((start, shelf)), left, right) == (same_start and same_shelf)


@pytest.mark.parametrize(
    ("kind", "one", "other", "expected"),
    [
        ("value", "red apple 12", "red apple 12", True),
        ("value", "red apple 12", "red apple", False),
        ("word", "red apple 12", "apple pie", True),
        ("code", "red x12", "blue x12", True),
        ("code", "red x12", "red y34", False),
        ("start", "red apple", "reda something", True),
        ("end", "tel 0170-1234", "1234", True),
        ("end", "tel 0170-1234", "234", False),
    ],
)
def test_predicates_read_what_they_are_named_for(kind: str, one: str, other: str, expected: bool) -> None:
    texts = [one, other, *(f"filler{i} text{i} number{i}" for i in range(10))]
    records = prepare_records(pa.table({"id": [f"k{i:02}" for i in range(12)], "text": texts}))
    assert share(records, KeyRule((Predicate("text", kind),)), 0, 1) == expected


def test_a_missing_value_has_no_key_and_meets_nobody() -> None:
    texts = [None, None, *(f"filler{i} text{i}" for i in range(10))]
    records = prepare_records(pa.table({"id": [f"k{i:02}" for i in range(12)], "text": texts}))
    for kind in ("value", "word", "code", "start", "end"):
        assert not share(records, KeyRule((Predicate("text", kind),)), 0, 1)


def test_the_rule_that_covers_most_at_least_cost_is_learned() -> None:
    records = make_records()
    rules = learn_key_rules(records, *pairs_of(records))
    assert rules
    parts = {predicate for rule in rules for predicate in rule.predicates}
    assert Predicate("name", "start") in parts
    assert not any(predicate.column == "note" for predicate in rules[0].predicates)
    left, right = pairs_of(records)
    matrix = find_rule_keys(records, rules).matrix
    assert (np.asarray(matrix[left].multiply(matrix[right]).sum(axis=1)).ravel() > 0).mean() > 0.95


def test_few_missed_matches_or_none_teach_nothing() -> None:
    records = make_records(20)
    nothing = np.zeros(0, dtype=np.int64)
    assert learn_key_rules(records, nothing, nothing) == ()
    assert learn_key_rules(records, np.array([0]), np.array([1])) == ()


def test_a_rule_of_a_column_that_is_not_there_gives_no_keys() -> None:
    keys = find_rule_keys(make_records(20), [KeyRule((Predicate("gone", "value"),))])
    assert keys.matrix.shape == (40, 0)
    assert len(keys.codes) == 0


def make_model(records: Records) -> MatchModel:
    return MatchModel(Settings("id"), records.profiles, Unsupervised(FellegiSunter(0.1, (), ()), ()))


def label(records: Records, entities: int) -> list[LabeledRow]:
    """Labelling sets of five entities each."""
    return [LabeledRow(f"set{row // 10}", f"e{row // 2}", f"k{row:03}") for row in range(2 * entities)]


def test_labels_raise_the_recall_of_blocking_also_of_matches_not_labelled() -> None:
    records = make_records()
    blocked = Blocked(records, build_index(records, TIGHT))
    left, right = pairs_of(records)
    before = (find_views(blocked.index, left, right) > 0).mean()
    model, learned, source = block_by_labels(make_model(records), blocked, label(records, 40))
    assert source is None
    assert model.key_rules
    assert [view.name for view in learned.index.views][-1] == LEARNED_KEYS
    after = (find_views(learned.index, left[40:], right[40:]) > 0).mean()
    assert before < 0.85
    assert after > 0.95


def test_keys_that_find_nothing_new_are_not_kept() -> None:
    records = make_records()
    blocked = Blocked(records, build_index(records, BlockingBudget(top_k=160, work_per_record=10_000)))
    model, again, _ = block_by_labels(make_model(records), blocked, label(records, 40))
    assert model.key_rules == ()
    assert again is blocked


def test_with_few_labels_blocking_stays_as_it_is() -> None:
    records = make_records()
    blocked = Blocked(records, build_index(records, TIGHT))
    model, again, _ = block_by_labels(make_model(records), blocked, label(records, 5))
    assert model.key_rules == ()
    assert again is blocked


def test_rules_come_back_with_the_model(tmp_path: Path) -> None:
    records = make_records(20)
    rules = (KeyRule((Predicate("name", "start"), Predicate("shelf", "value"))), KeyRule((Predicate("note", "word"),)))
    save_model(replace(make_model(records), key_rules=rules), str(tmp_path / "model"))
    assert load_model(str(tmp_path / "model")).key_rules == rules
    assert str(rules[0]) == "same start of name and same value of shelf"
