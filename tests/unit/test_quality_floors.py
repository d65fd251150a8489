"""The gate of the quality benchmark: a drop is told, and only a drop; its recall, and how its answers go wrong."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.benchmarks.public_data import PublicSet
from tests.benchmarks.quality import FLOORS, Floor, find_drops, keep_floors, read_floors, summarise
from tests.benchmarks.teaching import answer_sets, is_teachable


def result(name: str, budget: int, f1: float, *, seed: int = 0, noise: float = 0.0) -> dict[str, object]:
    measures = dict.fromkeys(("precision", "recall", "blocking_recall", "connected_recall"), 1.0)
    told = {"set": name, "budget": budget, "f1": f1, "seed": seed, "noise": noise, "candidates_per_record": 9.0}
    return {**told, **measures}


def people(*, cross: bool) -> PublicSet:
    keys, sources = ["a", "b", "c", "d", "e"], ["x", "x", "y", "y", "y"]
    table = pa.table({"rec_id": keys, "source": sources, "name": ["?"] * 5})
    return PublicSet("people", table, {"a": "1", "b": "1", "c": "1", "d": "1", "e": "2"}, cross)


def test_the_floor_is_the_mean_less_the_noise_of_both_means() -> None:
    floor = Floor(mean=0.9, spread=0.02, seeds=4)
    assert floor.least(4) == pytest.approx(0.9 - 2 * 0.02 / 2**0.5)
    assert floor.least(1) < floor.least(3) < floor.mean


def test_runs_that_agree_by_chance_leave_room_for_noise() -> None:
    assert Floor(mean=1.0, spread=0.0, seeds=3).least(3) < 0.998


def test_a_mean_below_its_floor_is_told_with_both_figures() -> None:
    floors = {"people": {"100": Floor(0.95, 0.01, 2)}}
    runs = [result("people", 100, 0.91, seed=0), result("people", 100, 0.93, seed=1)]
    assert find_drops(summarise(runs), floors) == [
        "people at 100 rows: F1 0.9200 is below 0.9300, which is 0.9500 less its noise"
    ]
    assert find_drops(summarise([result("people", 100, 0.94)]), floors) == []


def test_what_has_no_floor_or_had_wrong_answers_is_not_judged() -> None:
    floors = {"people": {"0": Floor(0.5, 0.0, 3)}}
    runs = [result("people", 300, 0.1), result("places", 0, 0.1), result("people", 0, 0.1, noise=0.05)]
    assert find_drops(summarise(runs), floors) == []


def test_the_summary_holds_mean_and_spread_over_the_seeds() -> None:
    (row,) = summarise([result("people", 100, f1, seed=seed) for seed, f1 in enumerate((0.8, 0.9, 1.0))])
    assert row["seeds"] == 3
    assert row["f1"] == pytest.approx(0.9)
    assert row["f1_spread"] == pytest.approx(0.1)


def test_kept_floors_are_read_back_beside_those_of_other_sets(tmp_path: Path) -> None:
    path = tmp_path / "floors.json"
    path.write_text('{"places": {"0": [0.5, 0.01, 3]}, "people": {"100": [0.5, 0.1, 1]}}', encoding="utf-8")
    keep_floors(summarise([result("people", 100, 0.9), result("people", 0, 0.7)]), path)
    floors = read_floors(path)
    assert floors["people"] == {"0": Floor(0.7, 0.0, 1), "100": Floor(0.9, 0.0, 1)}
    assert floors["places"] == {"0": Floor(0.5, 0.01, 3)}


def test_the_stored_floors_are_shares_that_leave_no_more_room_than_their_noise() -> None:
    floors = read_floors(FLOORS)
    assert floors
    for floor in (floor for steps in floors.values() for floor in steps.values()):
        assert 0 < floor.mean <= 1
        assert floor.mean - 4 * max(floor.spread, 0.003) < floor.least(1) < floor.mean


def test_recall_of_blocking_counts_pairs_and_chains_of_true_pairs() -> None:
    lo, hi = np.array([0, 1, 3]), np.array([1, 2, 4])
    assert people(cross=False).cover(lo, hi) == {"blocking_recall": 2 / 6, "connected_recall": 3 / 6}


def test_recall_of_blocking_on_linked_sets_counts_pairs_across_sources_only() -> None:
    lo, hi = np.array([0, 1, 3]), np.array([1, 2, 4])
    assert people(cross=True).cover(lo, hi) == {"blocking_recall": 1 / 4, "connected_recall": 2 / 4}


def test_answers_without_noise_are_the_truth() -> None:
    entity = {"a": "1", "b": "1", "c": "2"}
    rows = answer_sets([("s", "a"), ("s", "b"), ("s", "c")], entity, noise=0.0, seed=1)
    assert [(row.key, row.label) for row in rows] == [("a", "1"), ("b", "1"), ("c", "2")]


def test_as_many_answers_are_wrong_as_asked_for_half_of_them_alone() -> None:
    asked = [(f"s{i // 10}", f"k{i}") for i in range(20_000)]
    entity = {key: str(i // 2) for i, (_, key) in enumerate(asked)}
    rows = answer_sets(asked, entity, noise=0.05, seed=3)
    wrong = [row for row in rows if row.label != entity[row.key]]
    kinds = Counter(str(row.label).startswith("alone") for row in wrong)
    assert len(wrong) == pytest.approx(1000, abs=120)
    assert kinds[True] == pytest.approx(500, abs=80)
    assert rows == answer_sets(asked, entity, noise=0.05, seed=3)
    assert rows != answer_sets(asked, entity, noise=0.05, seed=4)


def test_labels_of_one_class_do_not_teach() -> None:
    entity = {"a": "1", "b": "1", "c": "2"}
    assert not is_teachable(answer_sets([("s", "a"), ("s", "b")], entity, noise=0.0, seed=0))
    assert is_teachable(answer_sets([("s", "a"), ("s", "b"), ("s", "c")], entity, noise=0.0, seed=0))
