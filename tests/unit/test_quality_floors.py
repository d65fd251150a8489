"""The gate of the quality benchmark: a drop is told, and only a drop."""

from __future__ import annotations

import itertools
import json

from tests.benchmarks.quality import FLOORS, find_drops


def result(name: str, budget: int, f1: float) -> dict[str, object]:
    return {"set": name, "budget": budget, "f1": f1}


def test_a_result_below_its_floor_is_told_with_both_figures() -> None:
    floors = {"people": {"0": 0.5, "100": 0.9}}
    found = find_drops([result("people", 0, 0.5), result("people", 100, 0.89994)], floors)
    assert found == ["people at 100 rows: F1 0.8999 is below 0.9"]


def test_a_set_or_a_budget_without_a_floor_is_not_judged() -> None:
    assert find_drops([result("people", 300, 0.1), result("places", 0, 0.1)], {"people": {"0": 0.5}}) == []


def test_the_stored_floors_are_shares_that_do_not_fall_far_as_labels_come() -> None:
    floors = json.loads(FLOORS.read_text(encoding="utf-8"))
    assert floors
    for steps in floors.values():
        values = [steps[budget] for budget in sorted(steps, key=int)]
        assert all(0 < value < 1 for value in values)
        assert all(later >= earlier - 0.02 for earlier, later in itertools.pairwise(values))
