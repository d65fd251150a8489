"""Curves and areas against scikit-learn and by hand; calibration by its promises and a direct maximisation."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import minimize
from sklearn import metrics

from glue_ml.errors import InputError
from glue_ml.matching.evaluation import (
    LEAST_BALANCE,
    PROBABILITY_MARGIN,
    SLOPES,
    THRESHOLDS,
    Calibration,
    Confusion,
    Evaluation,
    Quality,
    area_under_precision_recall,
    balance,
    choose_threshold,
    confusion,
    evaluate_scores,
    fit_calibration,
    max_f1,
    precision_recall_curve,
    tell_quality,
)

Flags = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64]


def judged_pairs(seed: int, *, size: int = 40, decimals: int = 1) -> tuple[Flags, Scores]:
    """Return flags of both kinds and informative scores with many ties."""
    rng = np.random.default_rng(seed)
    is_match = rng.random(size) < 0.4
    is_match[:2] = [True, False]
    score = np.clip(rng.normal(0.35 + 0.3 * is_match, 0.25), 0.0, 1.0)
    return is_match, np.round(score, decimals)


quick = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 10**6)
scores = hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(0.0, 1.0))


class TestPrecisionRecall:
    @given(seeds)
    @quick
    def test_curve_equals_scikit_learn(self, seed: int) -> None:
        is_match, score = judged_pairs(seed)
        curve = precision_recall_curve(is_match, score)
        precision, recall, threshold = metrics.precision_recall_curve(is_match, score)
        assert curve.threshold.tolist() == threshold[::-1].tolist()
        assert curve.precision == pytest.approx(precision[-2::-1])
        assert curve.recall == pytest.approx(recall[-2::-1])

    @given(seeds)
    @quick
    def test_area_equals_scikit_learn(self, seed: int) -> None:
        is_match, score = judged_pairs(seed)
        assert area_under_precision_recall(is_match, score) == pytest.approx(
            metrics.average_precision_score(is_match, score)
        )

    @given(seeds)
    @quick
    def test_weights_equal_scikit_learn(self, seed: int) -> None:
        is_match, score = judged_pairs(seed)
        weight = np.random.default_rng(seed).uniform(0.1, 3.0, len(score))
        assert area_under_precision_recall(is_match, score, weight) == pytest.approx(
            metrics.average_precision_score(is_match, score, sample_weight=weight)
        )

    @given(seeds)
    @quick
    def test_a_whole_weight_is_a_repetition(self, seed: int) -> None:
        is_match, score = judged_pairs(seed)
        times = np.random.default_rng(seed).integers(1, 4, len(score))
        weighted = precision_recall_curve(is_match, score, times.astype(np.float64))
        repeated = precision_recall_curve(np.repeat(is_match, times), np.repeat(score, times))
        assert weighted.precision == pytest.approx(repeated.precision)
        assert weighted.recall == pytest.approx(repeated.recall)

    def test_tied_scores_are_one_step(self) -> None:
        # at 0.8 one match of two, at 0.3 the other with both non-matches: 1/2 * 1 + 1/2 * 2/4
        is_match, score = np.array([True, True, False, False]), np.array([0.8, 0.3, 0.3, 0.3])
        assert area_under_precision_recall(is_match, score) == pytest.approx(0.75)

    def test_without_a_match_all_is_zero(self) -> None:
        is_match, score = np.zeros(3, dtype=bool), np.array([0.1, 0.5, 0.9])
        assert area_under_precision_recall(is_match, score) == 0.0
        assert max_f1(is_match, score) == (0.0, 1.0)

    def test_without_pairs_all_is_zero(self) -> None:
        nothing = np.zeros(0)
        assert len(precision_recall_curve(nothing.astype(bool), nothing).threshold) == 0
        assert area_under_precision_recall(nothing.astype(bool), nothing) == 0.0
        assert max_f1(nothing.astype(bool), nothing) == (0.0, 1.0)

    def test_lengths_must_agree(self) -> None:
        with pytest.raises(InputError, match="2 flags for 3 scores"):
            area_under_precision_recall(np.array([True, False]), np.zeros(3))


class TestMaxF1:
    @given(seeds)
    @quick
    def test_is_the_best_over_all_thresholds(self, seed: int) -> None:
        is_match, score = judged_pairs(seed)
        f1 = {t: float(metrics.f1_score(is_match, score >= t)) for t in np.unique(score)}
        found, threshold = max_f1(is_match, score)
        assert found == pytest.approx(max(f1.values()))
        assert f1[threshold] == pytest.approx(found)

    def test_by_hand(self) -> None:
        # at 0.7: precision 2/3, recall 1; at 0.9: precision 1, recall 1/2
        found = max_f1(np.array([True, False, True, False]), np.array([0.9, 0.8, 0.7, 0.1]))
        assert found == pytest.approx((0.8, 0.7))


class TestConfusion:
    def test_a_score_at_the_threshold_is_a_match(self) -> None:
        is_match = np.array([True, True, True, False, False])
        assert confusion(is_match, np.array([0.9, 0.5, 0.4, 0.5, 0.1]), 0.5) == Confusion(2, 1, 1, 1)

    @given(seeds, st.floats(0.0, 1.0))
    @quick
    def test_equals_scikit_learn(self, seed: int, threshold: float) -> None:
        is_match, score = judged_pairs(seed)
        true_negatives, false_positives, false_negatives, true_positives = metrics.confusion_matrix(
            is_match, score >= threshold, labels=[False, True]
        ).ravel()
        counts = confusion(is_match, score, threshold)
        assert counts == Confusion(true_positives, false_positives, true_negatives, false_negatives)
        assert counts.recall == pytest.approx(metrics.recall_score(is_match, score >= threshold))
        assert counts.precision == pytest.approx(metrics.precision_score(is_match, score >= threshold, zero_division=0))


class TestThreshold:
    @given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
    @quick
    def test_the_better_pairs_are_told_apart_the_surer_one_must_be(self, one: float, other: float) -> None:
        worse, better = balance(min(one, other)), balance(max(one, other))
        assert LEAST_BALANCE.grouped <= worse.grouped <= better.grouped <= 0.5
        assert LEAST_BALANCE.alone <= worse.alone <= better.alone <= 0.5
        # groups overrule pairs
        assert better.grouped <= better.alone

    @given(seeds, st.floats(-2.0, 4.0))
    @quick
    def test_half_of_the_best_f1_of_pairs_is_where_it_is_largest(self, seed: int, middle: float) -> None:
        # many pairs whose probabilities are true: what is expected of a threshold is what comes
        log_odds = np.random.default_rng(seed).normal(middle, 3.0, size=5_000)
        probability = np.sort(1.0 / (1.0 + np.exp(-log_odds)))[::-1]
        f1 = 2.0 * np.cumsum(probability) / (np.arange(1, 5_001) + probability.sum())
        alone = f1[(probability >= balance(f1.max()).alone).sum() - 1]
        assert alone == pytest.approx(f1.max(), abs=1e-6)

    def test_a_table_that_cannot_be_matched_well_is_not_matched_at_random(self) -> None:
        assert balance(0.05) == balance(0.0) == LEAST_BALANCE

    def test_the_tradeoff_is_the_threshold_where_nothing_else_is_known(self) -> None:
        assert choose_threshold(None) == choose_threshold(0.5) == 0.5
        assert choose_threshold(0.8) == pytest.approx(0.8)
        assert (choose_threshold(0.0), choose_threshold(1.0)) == THRESHOLDS

    @given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(LEAST_BALANCE.grouped, 0.5))
    @quick
    def test_more_precision_is_never_a_lower_threshold(self, one: float, other: float, middle: float) -> None:
        low, high = (choose_threshold(tradeoff, middle) for tradeoff in sorted((one, other)))
        assert low <= high
        assert choose_threshold(None, middle) == choose_threshold(0.5, middle) == middle


QUALITY = Quality(0.95, 0.97, 0.8, 0.9, (0.95, 1.0), (0.7, 0.85), (0.82, 0.93))


class TestEvaluation:
    def evaluate(self, quality: Quality | None = None) -> Evaluation:
        return evaluate_scores(
            np.array([True, False, True, False]),
            np.array([0.9, 0.8, 0.7, 0.1]),
            threshold=0.85,
            column_importances=[("city", 0.25), ("street", 0.25), ("name", 0.5)],
            candidate_recall=0.75,
            quality=quality,
        )

    def test_measures_at_the_threshold_and_the_best_f1(self) -> None:
        # accepted in turn: match, other, match, other; only the first scores 0.85 or more
        assert self.evaluate() == Evaluation(
            area_under_pr_curve=0.5 * 1.0 + 0.5 * (2 / 3),
            precision=1.0,
            recall=0.5,
            f1=0.8,
            true_positives=1,
            false_positives=0,
            true_negatives=2,
            false_negatives=1,
            column_importances=(("name", 0.5), ("city", 0.25), ("street", 0.25)),
            candidate_recall=0.75,
            threshold=0.85,
            labeled_pairs=4,
        )

    def test_survives_json(self) -> None:
        for evaluation in (self.evaluate(), self.evaluate(QUALITY)):
            assert Evaluation.from_dict(json.loads(json.dumps(evaluation.to_dict()))) == evaluation

    def test_one_that_was_stored_before_there_were_intervals_is_read(self) -> None:
        evaluation = self.evaluate()
        old = {name: value for name, value in evaluation.to_dict().items() if not name.endswith("_interval")}
        assert Evaluation.from_dict(json.loads(json.dumps(old))) == evaluation
        assert evaluation.f1_interval is None

    def test_what_was_estimated_for_the_table_is_told_and_the_counts_stay_those_of_the_labels(self) -> None:
        found = self.evaluate(QUALITY)
        assert (found.precision, found.recall, found.f1, found.area_under_pr_curve) == (0.97, 0.8, 0.9, 0.95)
        assert found.recall_interval == (0.7, 0.85)
        assert (found.true_positives, found.false_negatives, found.labeled_pairs) == (1, 1, 4)

    def test_is_told_in_sentences(self) -> None:
        assert tell_quality(self.evaluate(QUALITY)) == (
            "Precision is 0.9700 (90 % interval 0.9500 to 1.0000).",
            "Recall is 0.8000 (90 % interval 0.7000 to 0.8500).",
            "F1, the best over all thresholds, is 0.9000 (90 % interval 0.8200 to 0.9300).",
        )
        assert tell_quality(self.evaluate())[0] == "Precision is 1.0000."

    def test_slips_are_told_where_there_are_some(self) -> None:
        found = self.evaluate(QUALITY)
        assert len(tell_quality(found)) == 3
        assert tell_quality(replace(found, slips=1))[3].startswith("Of 4 labelled pairs 1 look like slips: ")


class TestCalibration:
    @given(seeds, scores)
    @quick
    def test_is_monotone_and_strictly_inside_0_and_1(self, seed: int, score: Scores) -> None:
        calibration = fit_calibration(*judged_pairs(seed)[::-1])
        probability = calibration.apply(np.sort(score))
        assert (np.diff(probability) >= 0).all()
        assert ((probability > 0) & (probability < 1)).all()

    @given(hnp.arrays(np.bool_, st.integers(0, 12)), st.data())
    @quick
    def test_any_labels_give_usable_probabilities(self, is_match: Flags, data: st.DataObject) -> None:
        score = data.draw(hnp.arrays(np.float64, len(is_match), elements=st.floats(0.0, 1.0)))
        calibration = fit_calibration(score, is_match)
        assert SLOPES[0] <= calibration.slope <= SLOPES[1]
        probability = calibration.apply(np.array([0.0, 0.5, 1.0]))
        assert (probability >= PROBABILITY_MARGIN).all()
        assert (probability <= 1 - PROBABILITY_MARGIN).all()

    def test_recovers_a_known_distortion(self) -> None:
        rng = np.random.default_rng(3)
        true_log_odds = rng.normal(-0.5, 1.5, 200_000)
        is_match = rng.random(200_000) < 1 / (1 + np.exp(-true_log_odds))
        score = 1 / (1 + np.exp(-(true_log_odds + 1.0) / 2.0))  # true log-odds = 2 * the score's - 1
        calibration = fit_calibration(score, is_match)
        assert (calibration.slope, calibration.intercept) == pytest.approx((2.0, -1.0), abs=0.03)

    @given(seeds)
    @quick
    def test_equals_a_direct_maximisation(self, seed: int) -> None:
        is_match, score = judged_pairs(seed, decimals=3)
        matches, others = is_match.sum(), (~is_match).sum()
        target = np.where(is_match, (matches + 1) / (matches + 2), 1 / (others + 2))
        clipped = np.clip(score, 1e-3, 1 - 1e-3)
        log_odds = np.log(clipped / (1 - clipped))

        def cost(parameters: Scores) -> float:
            z = parameters[0] * log_odds + parameters[1]
            p = np.clip(1 / (1 + np.exp(-z)), 1e-12, 1 - 1e-12)
            return float(-(target * np.log(p) + (1 - target) * np.log(1 - p)).mean())

        direct = minimize(cost, [1.0, 0.0], method="Nelder-Mead", bounds=[SLOPES, (-20, 20)], options={"xatol": 1e-7})
        calibration = fit_calibration(score, is_match)
        assert cost(np.array([calibration.slope, calibration.intercept])) <= direct.fun + 1e-7

    def test_separable_labels_give_a_bounded_slope(self) -> None:
        score = np.repeat([0.49, 0.51], 500)
        calibration = fit_calibration(score, score > 0.5)
        assert calibration.slope == SLOPES[1]

    def test_few_labels_do_not_claim_certainty(self) -> None:
        probability = fit_calibration(np.array([0.0, 1.0]), np.array([False, True])).apply(np.array([0.0, 1.0]))
        assert probability == pytest.approx([1 / 3, 2 / 3], abs=1e-3)

    def test_misleading_scores_lose_weight_but_keep_their_order(self) -> None:
        score = np.linspace(0, 1, 100)
        calibration = fit_calibration(score, score < 0.5)
        assert calibration.slope == SLOPES[0]
        assert (np.diff(calibration.apply(np.array([0.2, 0.5, 0.8]))) > 0).all()

    @pytest.mark.parametrize("is_match", [True, False])
    def test_one_class_leaves_scores_as_they_are(self, is_match: bool) -> None:
        calibration = fit_calibration(np.array([0.2, 0.7]), np.full(2, is_match))
        assert calibration.apply(np.array([0.2, 0.7])) == pytest.approx([0.2, 0.7])

    @given(seeds)
    @quick
    def test_a_whole_weight_is_a_repetition(self, seed: int) -> None:
        is_match, score = judged_pairs(seed)
        times = np.random.default_rng(seed).integers(1, 4, len(score))
        weighted = fit_calibration(score, is_match, times.astype(np.float64))
        repeated = fit_calibration(np.repeat(score, times), np.repeat(is_match, times))
        assert (weighted.slope, weighted.intercept) == pytest.approx((repeated.slope, repeated.intercept), abs=1e-4)

    def test_translates_probabilities_into_those_of_another(self) -> None:
        one, other, score = Calibration(1.2, -0.4), Calibration(2.1, 0.3), np.linspace(0.01, 0.99, 50)
        assert one.translate(other).apply(one.apply(score)) == pytest.approx(other.apply(score), abs=2e-3)
        assert one.translate(one) == Calibration()

    def test_survives_json(self) -> None:
        calibration = Calibration(1.7, -0.3)
        assert Calibration.from_dict(json.loads(json.dumps(calibration.to_dict()))) == calibration
