"""Estimates for a whole table against populations whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import expit

from glue_ml.errors import InputError
from glue_ml.matching.estimation import (
    MOST_SLIPS,
    PRIOR,
    SLIPS,
    Population,
    Sample,
    estimate_best_f1,
    estimate_quality,
    expect_slips,
    find_middle,
    fit_population_calibration,
)
from glue_ml.matching.evaluation import Calibration, Middle, Quality, max_f1
from glue_ml.matching.unproposed import (
    EXPECTED,
    Unproposed,
    estimate_coverage,
    expect_mistaken,
    find_unproposed,
)

Flags = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64]

SLOPE, MIDDLE = 2.0, 0.4  #: What the log-odds of a score mean in the populations.
NOTHING = Unproposed((), np.zeros(0, dtype=bool), np.zeros(0, dtype=bool))
DECISION = Calibration(1.0, -MIDDLE)


def make_table(seed: int, pairs: int = 20_000, *, slope: float = SLOPE) -> tuple[Scores, Flags]:
    """Return the log-odds of the scores of candidate pairs, most of them low, and which pairs are matches."""
    rng = np.random.default_rng(seed)
    high = rng.random(pairs) < 0.1
    log_odds = np.clip(rng.normal(np.where(high, 3.5, -4.0), 1.6), -6.9, 6.9)
    return log_odds, rng.random(pairs) < expit(slope * (log_odds - MIDDLE))


def label(seed: int, *, telling: int, random: int, slope: float = SLOPE, table: int = 0) -> Sample:
    """Return labelled pairs: telling ones, which are hard, and some drawn from the table over the range of scores."""
    rng = np.random.default_rng([seed, 1])
    hard = np.clip(rng.normal(0.0, 2.5, telling), -6.9, 6.9)
    log_odds, is_match = make_table(table, slope=slope)
    # a random order that takes the strata of the score in turn
    stratum = np.minimum((expit(log_odds) * 10).astype(int), 9)
    drawn = np.array([rng.choice(np.flatnonzero(stratum == i % 10)) for i in range(random)], dtype=np.int64)
    flags = np.append(rng.random(telling) < expit(1.1 * (hard - MIDDLE)), is_match[drawn])
    names = [f"s{i // 5}" for i in range(telling)] + [f"random-{i // 5}" for i in range(random)]
    scores = expit(np.append(hard, log_odds[drawn]))
    return Sample(scores, flags, np.arange(telling + random) >= telling, tuple(names))


def truth(table: int, *, slope: float = SLOPE) -> tuple[float, float, float]:
    log_odds, is_match = make_table(table, slope=slope)
    found = log_odds >= MIDDLE
    both = float((found & is_match).sum())
    return both / found.sum(), both / is_match.sum(), 2 * both / (found.sum() + is_match.sum())


def estimate(sample: Sample, *, table: int = 0, slope: float = SLOPE, unproposed: Unproposed = NOTHING) -> Quality:
    population = Population.count(expit(make_table(table, slope=slope)[0]))
    return estimate_quality(sample, population, unproposed, DECISION, threshold=0.5, seed=3)


def decide(sample: Sample, population: Population, calibration: Calibration) -> Middle:
    return find_middle(sample, population, fit_population_calibration(sample), calibration)


class TestEstimate:
    def test_is_right_on_average_though_the_labelled_pairs_are_hard(self) -> None:
        errors = []
        for seed in range(30):
            found = estimate(label(seed, telling=150, random=40, table=seed), table=seed)
            expected = truth(seed)
            errors.append([found.precision - expected[0], found.recall - expected[1], found.f1 - expected[2]])
        assert np.abs(np.mean(errors, axis=0)) == pytest.approx([0.0, 0.0, 0.0], abs=0.012)
        # among the labelled pairs themselves it looks far worse
        sample = label(0, telling=150, random=0)
        found = sample.score >= expit(MIDDLE)
        assert sample.is_match[found].mean() < truth(0)[0] - 0.08

    def test_the_intervals_hold_the_truth_about_as_often_as_they_say(self) -> None:
        inside = []
        for seed in range(60):
            slope = float(np.exp(np.random.default_rng(seed).normal(np.log(2.0), 0.3)))
            found = estimate(label(seed, telling=150, random=20, slope=slope, table=seed), table=seed, slope=slope)
            intervals = (found.precision_interval, found.recall_interval, found.f1_interval)
            inside.append(
                [low <= value <= high for (low, high), value in zip(intervals, truth(seed, slope=slope), strict=True)]
            )
        assert (np.mean(inside, axis=0) >= 0.82).all()

    def test_a_wrong_label_or_two_do_not_make_matches_be_told_of_everywhere(self) -> None:
        """As where somebody calls a pair a match that is nothing alike, and it was drawn at random."""
        errors = []
        for seed in range(10):
            sample = label(seed, telling=150, random=40, table=seed)
            lowest = np.argsort(np.where(sample.is_random, sample.score, 1.0), kind="stable")[:2]
            assert not sample.is_match[lowest].any()
            wrong = replace(sample, is_match=np.where(np.isin(np.arange(190), lowest), True, sample.is_match))
            errors.append(estimate(wrong, table=seed).recall - truth(seed)[1])
        assert np.abs(errors).mean() < 0.05  # 0.36 where every label is believed

    def test_random_pairs_tell_a_slope_that_is_far_from_the_prior(self) -> None:
        gentle = fit_population_calibration(label(1, telling=150, random=300, slope=0.7))
        steep = fit_population_calibration(label(1, telling=150, random=300, slope=3.5))
        assert gentle.slope == pytest.approx(0.7, abs=0.3)
        assert steep.slope > 2.5

    def test_without_marked_sets_the_prior_stands_and_the_interval_is_wider(self) -> None:
        marked = label(2, telling=150, random=300)
        unmarked = replace(marked, is_random=np.zeros(450, dtype=bool)).select(~marked.is_random)
        assert fit_population_calibration(unmarked).slope == pytest.approx(PRIOR[1], rel=0.1)
        wide, narrow = (estimate(sample).recall_interval for sample in (unmarked, marked))
        assert wide[1] - wide[0] > 1.3 * (narrow[1] - narrow[0])
        assert wide[0] <= truth(0)[1] <= wide[1]

    def test_each_estimate_lies_inside_its_interval_and_between_0_and_1(self) -> None:
        for seed in range(10):
            found = estimate(label(seed, telling=20, random=3))
            for value, (low, high) in (
                (found.precision, found.precision_interval),
                (found.recall, found.recall_interval),
                (found.f1, found.f1_interval),
            ):
                assert 0.0 <= low <= value <= high <= 1.0
            assert 0.0 <= found.area <= 1.0

    def test_the_same_seed_gives_the_same_estimate(self) -> None:
        sample = label(4, telling=80, random=10)
        order = np.random.default_rng(0).permutation(90)
        mixed = Sample(
            sample.score[order], sample.is_match[order], sample.is_random[order], tuple(sample.sets[i] for i in order)
        )
        assert estimate(sample) == estimate(sample) == estimate(mixed)

    @pytest.mark.parametrize("is_match", [True, False])
    def test_labels_of_one_class_still_give_an_estimate(self, is_match: bool) -> None:
        sample = Sample(np.array([0.2, 0.9]), np.full(2, is_match), np.zeros(2, dtype=bool), ("a", "a"))
        assert fit_population_calibration(sample) == Calibration(PRIOR[1], PRIOR[0])
        found = estimate(sample)
        assert found.f1_interval[0] < found.f1 <= found.f1_interval[1]

    def test_one_set_only_still_has_an_interval_from_the_prior(self) -> None:
        sample = replace(label(5, telling=60, random=0), sets=("only",) * 60)
        low, high = estimate(sample).f1_interval
        assert high - low > 0.01

    def test_no_pair_above_the_threshold_is_a_recall_of_0(self) -> None:
        sample, nobody = label(6, telling=60, random=0), Population.count(np.full(50, 0.01))
        found = estimate_quality(sample, nobody, NOTHING, DECISION, threshold=0.5, seed=0)
        assert (found.precision, found.recall) == (0.0, 0.0)

    def test_the_f1_is_the_best_over_all_thresholds(self) -> None:
        sample, population = label(7, telling=150, random=20), Population.count(expit(make_table(0)[0]))
        told = [
            estimate_quality(sample, population, NOTHING, DECISION, threshold=threshold, seed=0)
            for threshold in (0.1, 0.5, 0.9)
        ]
        at_threshold = [2 * each.precision * each.recall / (each.precision + each.recall) for each in told]
        assert all(each.f1 >= max(at_threshold) - 0.005 for each in told)
        assert estimate_best_f1(population, fit_population_calibration(sample)) == pytest.approx(told[1].f1, abs=0.005)
        assert told[0].recall > told[1].recall > told[2].recall
        assert told[0].precision < told[1].precision < told[2].precision

    def test_the_best_threshold_is_near_where_f1_is_largest(self) -> None:
        sample, (log_odds, is_match) = label(8, telling=150, random=20), make_table(0)
        calibration = Calibration(1.1, -1.1 * MIDDLE)  # that of the telling pairs
        middle = decide(sample, Population.count(expit(log_odds)), calibration)
        assert middle.grouped < middle.alone
        found = calibration.apply(expit(log_odds)) >= middle.alone
        f1 = 2 * (found & is_match).sum() / (found.sum() + is_match.sum())
        assert f1 == pytest.approx(max_f1(is_match, expit(log_odds))[0], abs=0.015)

    @pytest.mark.parametrize("timid", [Calibration(0.4, -2.7), Calibration(0.1, -3.0)])
    def test_where_no_score_is_called_likely_matches_are_found_all_the_same(self, timid: Calibration) -> None:
        """As where three of fifty labelled pairs are matches."""
        sample, (log_odds, is_match) = label(8, telling=150, random=20), make_table(0)
        assert timid.apply(np.ones(1))[0] < 0.53
        middle = decide(sample, Population.count(expit(log_odds)), timid)
        found = timid.apply(expit(log_odds)) >= middle.grouped
        assert is_match[found].mean() > 0.85
        assert found[is_match].mean() > 0.85

    def test_labels_that_nobody_drew_at_random_leave_the_threshold_in_the_middle(self) -> None:
        chosen, population = label(9, telling=60, random=0), Population.count(expit(make_table(0)[0]))
        assert decide(chosen, population, DECISION) == (0.5, 0.5)
        nobody = Population(np.zeros(0), np.zeros(0))
        assert decide(label(9, telling=60, random=9), nobody, DECISION) == (0.5, 0.5)

    def test_flags_must_fit_the_scores(self) -> None:
        with pytest.raises(InputError, match="one score"):
            Sample(np.zeros(2), np.zeros(3, dtype=bool), np.zeros(2, dtype=bool), ("a", "b"))


class TestUnproposed:
    def test_pairs_that_others_imply_tell_what_blocking_misses(self) -> None:
        # a set with one entity of four rows: three proposed pairs hold it together, three others are implied
        left, right = np.array([0, 1, 2, 0, 0, 1]), np.array([1, 2, 3, 2, 3, 3])
        listed = np.array([True, True, True, True, False, False])
        implied = find_unproposed(left, right, ["s"] * 6, listed)
        assert implied.tolist() == [False, False, False, True, True, True]

    def test_a_pair_that_was_chosen_tells_nothing(self) -> None:
        implied = find_unproposed(np.array([0, 2]), np.array([1, 3]), ["s", "s"], np.array([True, True]))
        assert not implied.any()
        assert estimate_coverage(NOTHING) == 1.0

    def test_sets_do_not_hold_each_other_together(self) -> None:
        left, right = np.array([0, 1, 0]), np.array([1, 2, 2])
        assert not find_unproposed(left, right, ["a", "b", "c"], np.array([True, True, True])).any()

    def test_what_blocking_misses_lowers_the_recall_unless_it_is_found_anyway(self) -> None:
        sample, listed = label(8, telling=100, random=10), np.arange(40) < 20
        whole = estimate(sample).recall
        sets = tuple(f"more-{i}" for i in range(40))
        missed = estimate(sample, unproposed=Unproposed(sets, listed, np.zeros(40, dtype=bool)))
        found = estimate(sample, unproposed=Unproposed(sets, listed, np.ones(40, dtype=bool)))
        share = estimate_coverage(Unproposed(sets, listed, listed))
        assert share == (20 + EXPECTED) / (40 + EXPECTED)
        assert missed.recall == pytest.approx(share * whole)
        assert found.recall == pytest.approx(share * whole + 1.0 - share)
        low, high = missed.recall_interval
        assert high - low > 0.1

    def test_one_wrong_label_does_not_tell_of_a_blocking_that_misses_all(self) -> None:
        nowhere = np.array([False])
        assert estimate_coverage(Unproposed(("wrong",), nowhere, nowhere)) > 0.9

    def test_matches_that_are_likely_wrong_labels_do_not_count(self) -> None:
        nowhere, sets = np.zeros(4, dtype=bool), ("a", "b", "c", "d")
        mistaken = expect_mistaken(rows=100, matches=100)
        assert mistaken == 3.0
        assert estimate_coverage(Unproposed(sets, nowhere, nowhere, mistaken)) == EXPECTED / (1 + EXPECTED)
        assert estimate_coverage(Unproposed(sets, nowhere, nowhere, 5.0)) == 1.0


class TestPopulation:
    def test_counts_pairs_by_score(self) -> None:
        counted = Population.count(np.array([0.5, 0.5, 0.9, 0.0, 0.0001]))
        assert counted.pairs.tolist() == [2.0, 2.0, 1.0]
        assert counted.score == pytest.approx([0.001, 0.5, 0.9], abs=0.005)

    def test_weights_count_for_several_pairs_and_counts_add_up(self) -> None:
        both = Population.count(np.array([0.5]), np.array([7.0])) + Population.count(np.array([0.9]))
        assert both.pairs.sum() == 8.0


def test_as_many_more_slips_are_expected_as_were_found() -> None:
    assert expect_slips(0.0) == SLIPS
    assert expect_slips(0.03) == pytest.approx(SLIPS + 0.03)
    assert expect_slips(0.9) == MOST_SLIPS


def test_the_more_slips_are_expected_the_less_one_label_sways_what_a_score_means() -> None:
    right = label(2, telling=200, random=25)
    likeliest = int(np.argmax(np.where(right.is_random & right.is_match, right.score, 0.0)))
    wrong = replace(right, is_match=np.where(np.arange(len(right.score)) == likeliest, False, right.is_match))
    slope = fit_population_calibration(right).slope
    swayed = [fit_population_calibration(replace(wrong, slips=share)).slope for share in (SLIPS, 0.05)]
    assert swayed[0] < swayed[1] <= slope * 1.05
    assert slope - swayed[1] < 0.5 * (slope - swayed[0])


def test_reckoning_with_more_slips_changes_little_where_labels_are_right() -> None:
    right = label(2, telling=200, random=25)
    slope = fit_population_calibration(right).slope
    assert fit_population_calibration(replace(right, slips=0.06)).slope == pytest.approx(slope, rel=0.1)
