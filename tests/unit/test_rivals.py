"""Rivals against what looking at every pair of a record finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glue_ml.matching import rivals
from glue_ml.matching.rivals import MARGIN, RIVALS, find_rivals, measure_rivals
from glue_ml.matching.row_pairs import locate

PAIRS = st.dictionaries(
    st.tuples(st.integers(0, 8), st.integers(0, 8)).filter(lambda pair: pair[0] < pair[1]),
    st.sampled_from([0.0, 0.1, 0.5, 0.5000001, 0.9, 1.0]),
    max_size=20,
)


@pytest.fixture(autouse=True, params=[2, 1_000_000])
def _parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rivals, "PAIRS_AT_ONCE", request.param)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PAIRS)
def test_a_rival_is_the_best_other_pair_of_the_record(scores: dict[tuple[int, int], float]) -> None:
    pairs = list(scores)
    lo, hi = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
    at_lo, at_hi = find_rivals(lo, hi, np.array([scores[pair] for pair in pairs], dtype=np.float64))
    for i, pair in enumerate(pairs):
        for row, found in ((pair[0], at_lo[i]), (pair[1], at_hi[i])):
            assert found == max((scores[other] for other in pairs if other != pair and row in other), default=0.0)
    some = np.arange(len(pairs)) % 2 == 0
    alone = find_rivals(lo, hi, np.array([scores[pair] for pair in pairs], dtype=np.float64), some)
    np.testing.assert_array_equal(alone, (at_lo[some], at_hi[some]))


def test_the_features_say_the_same_whichever_record_comes_first() -> None:
    score, low, high = np.array([0.9, 0.4]), np.array([0.2, 0.0]), np.array([0.95, 1.0])
    one, other = measure_rivals(score, low, high), measure_rivals(score, high, low)
    assert one.shape == (2, len(RIVALS))
    np.testing.assert_array_equal(one, other)


def test_the_margin_is_negative_for_a_pair_with_a_better_rival_and_bounded_for_one_without() -> None:
    (beaten, alone) = measure_rivals(np.array([0.6, 1.0]), np.array([0.9, 0.0]), np.array([0.1, 0.0]))
    named = dict(zip(RIVALS, beaten.tolist(), strict=True))
    assert named["least_margin"] < 0 < named["largest_margin"]
    assert named["best_rival"] > named["worst_rival"]
    assert np.isfinite(alone).all()
    assert alone[RIVALS.index("least_margin")] == np.float32(2 * np.log((1 - MARGIN) / MARGIN))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PAIRS, PAIRS)
def test_pairs_are_located_where_they_are(
    known: dict[tuple[int, int], float], asked: dict[tuple[int, int], float]
) -> None:
    pairs, wanted = sorted(known), sorted(asked)
    lo, hi, wanted_lo, wanted_hi = (
        np.array([pair[side] for pair in some], dtype=np.int64) for some in (pairs, wanted) for side in (0, 1)
    )
    place, found = locate(lo, hi, wanted_lo, wanted_hi)
    assert found.tolist() == [pair in known for pair in wanted]
    assert [pairs[i] for i, there in zip(place.tolist(), found, strict=True) if there] == [
        p for p in wanted if p in known
    ]
