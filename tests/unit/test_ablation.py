"""The ablation switches off what it says, and calls nothing what cannot be told from noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from glue_ml.matching import find_matches, labeling, learning
from glue_ml.matching.blocking import choose_budget
from glue_ml.matching.candidate_lists import CONTEXT
from glue_ml.matching.comparison import CODES, OVERLAPS, RECORD, FeatureName
from glue_ml.matching.forest import Forest
from glue_ml.matching.records import prepare_records
from glue_ml.matching.rivals import RIVALS
from tests.benchmarks.ablation import (
    GROUPS,
    WHOLE,
    compare_changes,
    hide_features,
    hide_view,
    is_worthless,
    turn_shares,
)

RECORD_MEASURES = (*OVERLAPS, *CODES, "fellegi_sunter", *CONTEXT, *RIVALS)
NAMES = (
    *(FeatureName("name", measure) for measure in ("edit", "cosine", "evidence")),
    *(FeatureName(RECORD, measure) for measure in RECORD_MEASURES),
)


def grow(features: Any, is_match: Any) -> Forest:
    forest: Forest = learning.__dict__["grow_forest"](features, is_match, seed=1, trees=5)
    return forest


def looked_at(forest: Forest) -> set[int]:
    return set(forest.feature[forest.left != np.arange(len(forest.left))].tolist())


def test_every_feature_is_in_one_group_or_in_that_of_context_and_rivals_besides() -> None:
    for name in NAMES:
        groups = [group for group, holds in GROUPS.items() if holds(name)]
        assert len(groups) == (2 if name.measure in (*CONTEXT, *RIVALS) else 1), name


def test_a_forest_never_looks_at_what_is_hidden_but_at_the_rest() -> None:
    names = tuple(FeatureName(str(i), "edit") for i in range(4))
    rng = np.random.default_rng(0)
    features = rng.random((300, 3)).astype(np.float32)
    is_match = features[:, 0] + features[:, 2] > 1.0
    with hide_features(names, lambda name: name.column in {"0", "3"}):
        forest = grow(features, is_match)
    assert looked_at(forest) == {1, 2}
    assert forest.score(features)[is_match].mean() > forest.score(features)[~is_match].mean() + 0.2
    assert looked_at(grow(features, is_match)) == {0, 1, 2}


def test_a_hidden_view_is_in_no_index() -> None:
    records = prepare_records(pa.table({"id": ["1", "2", "3"], "name": ["ann lee", "ann leigh", "bob ray"]}))
    with hide_view("grams"):
        build = find_matches.__dict__["build_index"]
        assert [view.name for view in build(records, choose_budget(None)).views] == ["keys"]
    assert len(find_matches.__dict__["build_index"](records, choose_budget(None)).views) > 1


def test_shares_are_put_back() -> None:
    before = labeling.COVERAGE_SHARE, labeling.RANDOM_SHARE, labeling.NEIGHBOURHOOD_ROWS
    with turn_shares(0.5, 0.4, 2):
        assert (labeling.COVERAGE_SHARE, labeling.RANDOM_SHARE, labeling.NEIGHBOURHOOD_ROWS) == (0.5, 0.4, 2)
    assert before == (labeling.COVERAGE_SHARE, labeling.RANDOM_SHARE, labeling.NEIGHBOURHOOD_ROWS)


def test_a_change_is_compared_with_the_whole_at_the_same_seed() -> None:
    def result(change: str, seed: int, f1: float) -> dict[str, object]:
        return {"set": "people", "rows": 200, "seed": seed, "change": change, "f1": f1}

    results = [result(WHOLE, 0, 0.9), result(WHOLE, 1, 0.7), result("without a", 0, 0.8), result("without a", 1, 0.6)]
    compared = compare_changes(results)
    assert compared[WHOLE]["people", 200][0] == pytest.approx(0.8)
    assert compared["without a"]["people", 200] == pytest.approx((-0.1, 0.0))


def test_a_part_is_worth_nothing_only_if_no_set_misses_it() -> None:
    assert is_worthless({("a", 200): (-0.01, 0.02), ("b", 200): (0.03, 0.0)})
    assert not is_worthless({("a", 200): (-0.01, 0.02), ("b", 200): (-0.03, 0.0)})
