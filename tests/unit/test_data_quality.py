from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest

from glue_ml.matching import data_quality
from glue_ml.matching.blocking import BlockingIndex, build_index, choose_budget, list_candidates
from glue_ml.matching.blocking_evidence import find_evidence
from glue_ml.matching.data_quality import ColumnQuality, inspect_columns, inspect_rows
from glue_ml.matching.model import MatchModel
from glue_ml.matching.records import Records, prepare_records


@dataclass(frozen=True)
class FilledModel:
    """Believes a pair as far as both rows are filled."""

    threshold: float = 0.5

    def plain_probability(self, records: Records, left: Any, right: Any) -> Any:
        filled = np.mean([column.codes >= 0 for column in records.columns], axis=0)
        return np.minimum(filled[left], filled[right])


MODEL = cast("MatchModel", FilledModel())


def prepare(names: list[str | None], cities: list[str | None] | None = None) -> tuple[Records, BlockingIndex]:
    table = pa.table(
        {
            "id": [f"k{i:04}" for i in range(len(names))],
            "name": pa.array(names, pa.string()),
            "city": pa.array(cities or [None] * len(names), pa.string()),
        }
    )
    records = prepare_records(table)
    return records, build_index(records, choose_budget(None))


def test_columns_are_counted_as_they_are_compared() -> None:
    names = ["Anna Smith", "ANNA  SMITH", "Bert Jones", None, " ", "Ännä Smith"]
    records, _ = prepare(names)
    name, city = inspect_columns(records)
    assert (name.rows, name.filled, name.distinct) == (6, 4, 2)
    assert name.frequent == (("anna smith", 3), ("bert jones", 1))
    assert name.completeness == pytest.approx(4 / 6)
    assert (city.filled, city.distinct, city.frequent, city.completeness) == (0, 0, (), 0.0)


def test_equally_frequent_values_have_one_order() -> None:
    records, _ = prepare([f"person number{i}" for i in range(30)])
    name, _ = inspect_columns(records)
    assert [count for _, count in name.frequent] == [1] * 5
    assert list(name.frequent) == sorted(name.frequent)


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (ColumnQuality("c", "empty", 10, 10, 1, (("x", 10),)), "the same value everywhere"),
        (ColumnQuality("c", "phone", 1000, 1000, 700, (("0000", 300),)), "may be a default"),
        (ColumnQuality("c", "name", 1000, 200, 150, (("smith", 2),)), "more empty than filled"),
    ],
)
def test_what_stands_out_is_remarked(column: ColumnQuality, said: str) -> None:
    (remark,) = column.remarks
    assert said in remark


def test_a_plain_column_has_no_remark() -> None:
    assert ColumnQuality("c", "name", 1000, 990, 700, (("smith", 12),)).remarks == ()


def test_rows_that_share_nothing_or_hold_too_little_cannot_be_linked() -> None:
    names = ["anna smith", "anna smyth", "bert jones", "bert jones", None, "xqzw vvkk"]
    cities = ["leeds", "leeds", "york", "york", None, "ooooo"]
    records, index = prepare(names, cities)
    found = inspect_rows(MODEL, records, index, seed=0)
    assert (found.rows, found.sampled) == (6, False)
    assert found.candidates[:4].min() >= 1
    assert found.candidates[4:].tolist() == [0, 0]
    assert (found.without_candidate, found.below_threshold, found.unlinkable) == (2, 1, 2)
    assert found.examples == ("k0004", "k0005")


def test_of_a_large_table_a_sample_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_quality, "SAMPLE_ROWS", 10)
    records, index = prepare([f"anna smith{i % 7} lane{i % 5}" for i in range(50)])
    one, same, other = (inspect_rows(MODEL, records, index, seed=seed) for seed in (1, 1, 2))
    assert (one.rows, one.sampled) == (10, True)
    assert len(one.candidates) == 10
    assert one.candidates.tolist() == same.candidates.tolist()
    assert one.rows == other.rows


def test_keys_and_grams_are_spelled_by_their_text() -> None:
    names = [f"{first} {last}" for first in ("anna", "bert", "carla") for last in ("smith", "jones", "weber")]
    records, index = prepare([*names, "anna smithe", "zoltan kovacs", "zoltan kovac"])
    pair = records.find_rows(["k0010", "k0011"])
    evidence = find_evidence(records, index, list_candidates(index, pair), int(pair[0]), int(pair[1]))
    keys, grams = evidence.views
    assert dict(keys.shared).keys() == {"zoltan"}
    assert len(grams.shared) == 8
    assert all(gram in "^zoltan kovacs$" for gram, _ in grams.shared)
    assert evidence.proposed_by == ("keys", "grams")
    assert (evidence.rank_of_b_for_a, evidence.rank_of_a_for_b) == (1, 1)
    for view in evidence.views:
        assert sum(share for _, share in view.shared) <= view.cosine + 1e-6
