"""How labels show that a table joins two sources: on clean answers, with wrong ones, and where sources repeat."""

from __future__ import annotations

import random

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from glue_ml.matching.blocking import BlockingBudget, BlockingIndex, build_index
from glue_ml.matching.blocking_choice import choose_credible, find_source_column
from glue_ml.matching.lessons import TrainingPairs
from glue_ml.matching.records import Records, prepare_records

ENTITIES = 60
Rows = npt.NDArray[np.int64]


def spell(entity: int) -> str:
    """Three words of their own for each entity."""
    rng = random.Random(entity)
    return " ".join("".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=8)) for _ in range(3))


def make_records() -> tuple[Records, BlockingIndex]:
    """Each entity once in either source, and once more in the first: rows 3 e, 3 e + 1 and 3 e + 2."""
    rows = [(f"k{3 * e + i:03}", spell(e), "ab"[i == 1]) for e in range(ENTITIES) for i in range(3)]
    keys, names, sources = (list(column) for column in zip(*rows, strict=True))
    records = prepare_records(pa.table({"id": keys, "name": names, "source": sources}))
    return records, build_index(records, BlockingBudget(top_k=3, work_per_record=600))


def pair(left: Rows, right: Rows) -> TrainingPairs:
    return TrainingPairs(left, right, np.ones(len(left), dtype=bool), ("s",) * len(left))


def test_matches_that_always_cross_show_the_source() -> None:
    records, index = make_records()
    rows = 3 * np.arange(20)
    assert find_source_column(records, choose_credible(index, pair(rows, rows + 1))) == "source"


def test_wrong_answers_about_rows_that_have_nothing_in_common_do_not_hide_the_source() -> None:
    records, index = make_records()
    rows = 3 * np.arange(20)
    wrong = 3 * np.arange(5)
    left, right = np.append(rows, wrong), np.append(rows + 1, 3 * (wrong // 3 + 30))
    assert find_source_column(records, pair(left, right)) is None
    assert find_source_column(records, choose_credible(index, pair(left, right))) == "source"


def test_matches_within_a_source_show_that_it_is_none() -> None:
    records, index = make_records()
    rows = 3 * np.arange(20)
    left, right = np.append(rows, rows[:5]), np.append(rows + 1, rows[:5] + 2)
    assert find_source_column(records, choose_credible(index, pair(left, right))) is None


def test_few_matches_show_nothing() -> None:
    records, index = make_records()
    rows = 3 * np.arange(9)
    assert find_source_column(records, choose_credible(index, pair(rows, rows + 1))) is None


def test_where_blocking_proposes_too_few_all_matches_count() -> None:
    _, index = make_records()
    rows = 3 * np.arange(20)
    strangers = pair(rows, 3 * (rows // 3 + 30) + 1)
    assert choose_credible(index, strangers) is strangers
