"""Which of two scorers decides: the one that sees more, unless the other is better beyond chance."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from glue_ml.matching.learning import is_at_least_as_good

IS_MATCH = np.arange(300) % 5 == 0


def score(noise: float, seed: int) -> npt.NDArray[np.float64]:
    blurred = IS_MATCH + np.random.default_rng(seed).normal(0, noise, len(IS_MATCH))
    return np.asarray(blurred.clip(0, 1), dtype=np.float64)


def test_a_better_scorer_is_at_least_as_good_and_a_worse_one_is_not() -> None:
    good, bad = score(0.3, 1), score(1.0, 2)
    assert is_at_least_as_good(IS_MATCH, good, bad, seed=0)
    assert not is_at_least_as_good(IS_MATCH, bad, good, seed=0)


def test_what_a_few_pairs_turn_round_is_chance() -> None:
    one = score(0.3, 1)
    other = one.copy()
    best = np.flatnonzero(~IS_MATCH)[:1]
    one[best] = 1.0  # a wrong label, say
    assert is_at_least_as_good(IS_MATCH, one, other, seed=0)
    assert is_at_least_as_good(IS_MATCH, other, one, seed=0)


def test_a_lead_of_less_than_two_standard_errors_is_chance() -> None:
    good, hardly_worse, worse = score(0.5, 1), score(0.52, 1), score(0.54, 1)  # by 1.6 and 2.4 standard errors
    assert is_at_least_as_good(IS_MATCH, hardly_worse, good, seed=0)
    assert not is_at_least_as_good(IS_MATCH, worse, good, seed=0)


@pytest.mark.parametrize("pairs", [0, 1])
def test_of_nearly_no_pairs_nothing_speaks_against_either(pairs: int) -> None:
    assert is_at_least_as_good(IS_MATCH[:pairs], np.zeros(pairs), np.ones(pairs), seed=0)
