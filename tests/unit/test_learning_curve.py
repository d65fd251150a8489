"""What more labels would bring: much while the model still learns, little once it has, and never without doubt."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from glue_ml.matching.learning import FoldForests, assign_folds, grow_fold_forests
from glue_ml.matching.learning_curve import (
    USUAL_EXPONENT,
    WORTHWHILE,
    ExpectedGain,
    LearningCurve,
    expect_gain,
    measure_curve,
)

Features = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


def make_lesson(pairs: int, *, columns: int = 12, sets: int | None = None) -> tuple[Features, Flags, tuple[str, ...]]:
    """Pairs whose match is a matter of several features, so that a forest goes on learning for a long time."""
    rng = np.random.default_rng(3)
    features = rng.random((pairs, columns)).astype(np.float32)
    is_match = features[:, :4].sum(axis=1) + rng.normal(0, 0.1, pairs) > 2.3
    return features, is_match, tuple(f"s{place % (pairs // 10 if sets is None else sets)}" for place in range(pairs))


def curve_of(features: Features, is_match: Flags, sets: tuple[str, ...], *, seed: int = 0) -> LearningCurve:
    folds = grow_fold_forests(features, is_match, assign_folds(sets, seed=0), seed=0)
    return measure_curve(features, is_match, sets, folds, judged=np.ones(len(sets), dtype=bool), seed=seed)


def test_a_model_that_learns_has_a_rising_curve() -> None:
    curve = curve_of(*make_lesson(500))
    assert curve.exponent > 0.2
    assert 0 < curve.doubt < USUAL_EXPONENT[1]
    assert curve.scatter > 0


def test_labels_that_say_nothing_have_a_flatter_curve_than_those_that_do() -> None:
    features, is_match, sets = make_lesson(500)
    shuffled = np.random.default_rng(1).permutation(is_match)
    assert curve_of(features, shuffled, sets).exponent < 0.1 < curve_of(features, is_match, sets).exponent


def test_the_curve_is_the_same_for_the_same_seed_and_labels() -> None:
    lesson = make_lesson(200)
    assert curve_of(*lesson) == curve_of(*lesson)
    assert curve_of(*lesson) != curve_of(*lesson, seed=1)


@pytest.mark.parametrize("sets", [1, 2, 3])
def test_few_labelling_sets_are_drawn_pair_by_pair(sets: int) -> None:
    curve = curve_of(*make_lesson(120, sets=sets))
    assert 0 < curve.doubt <= USUAL_EXPONENT[1]


def test_a_match_and_a_non_match_are_enough() -> None:
    features = np.array([[0.0], [1.0]], dtype=np.float32)
    is_match, sets = np.array([True, False]), ("a", "a")
    folds = FoldForests(np.array([0, 1]), (None, None), np.array([0.5, 0.5]))
    curve = measure_curve(features, is_match, sets, folds, judged=np.array([True, False]), seed=0)
    gain = expect_gain(curve, f1=0.5, matches=1, labelled=2)
    assert 0 <= gain.gain <= 0.5
    assert gain.error > 0


def test_the_error_falls_by_the_power_law() -> None:
    gain = expect_gain(LearningCurve(0.5, 0.1, 0.05), f1=0.8, matches=10_000, labelled=100)
    assert gain.gain == pytest.approx(0.2 * (1 - 0.5**0.5))
    more = expect_gain(LearningCurve(0.5, 0.1, 0.05), f1=0.8, matches=10_000, labelled=100, rows=300)
    assert more.gain == pytest.approx(0.2 * (1 - 0.25**0.5))


def test_the_more_labels_there_are_the_less_another_hundred_brings() -> None:
    curve = LearningCurve(0.4, 0.2, 0.1)
    gains = [expect_gain(curve, f1=0.9, matches=1000, labelled=rows).gain for rows in (100, 200, 500, 1000)]
    assert gains == sorted(gains, reverse=True)


def test_labels_are_never_expected_to_do_harm() -> None:
    gain = expect_gain(LearningCurve(-0.5, 0.2, 0.1), f1=0.9, matches=1000, labelled=200)
    assert gain.gain == 0
    assert gain.error > 0


def test_no_mistakes_seen_among_few_matches_leave_more_doubt_than_among_many() -> None:
    few, many = (expect_gain(LearningCurve(0.4, 0.2, 0.1), f1=1.0, matches=m, labelled=300) for m in (50, 5000))
    assert few.error > 10 * many.error > 0
    assert not many.pays


def test_a_small_number_of_mistakes_makes_the_error_large() -> None:
    few, many = (expect_gain(LearningCurve(0.4, 0.2, 0.0), f1=0.98, matches=m, labelled=300) for m in (100, 100_000))
    assert few.gain == many.gain
    assert few.error > 0.02 * 0.5**0.5
    assert many.error < 0.005


def test_the_gain_is_told_in_points_and_whether_it_pays() -> None:
    assert str(ExpectedGain(100, 0.0234, 0.011)) == (
        "100 more labelled rows are expected to raise F1 by 2.3 points, give or take 1.1"
    )
    assert str(ExpectedGain(100, 0.001, 0.002)) == (
        "more labels would hardly pay: 100 more labelled rows are expected to raise F1 by 0.1 points, give or take 0.2"
    )
    assert ExpectedGain(100, WORTHWHILE, 1.0).pays


def test_a_gain_survives_its_json() -> None:
    gain = ExpectedGain(100, 0.0234, 0.011)
    assert ExpectedGain.from_dict(gain.to_dict()) == gain
