"""Fellegi-Sunter: EM against a directly computed likelihood, a direct maximisation and simulated truth."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from glue_ml.errors import InputError
from glue_ml.matching.fellegi_sunter import (
    SMOOTHING,
    TERM_FREQUENCY_FLOOR,
    FellegiSunter,
    estimate_u,
    fit_fellegi_sunter,
)

Patterns = npt.NDArray[np.int8]
Counts = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]

TRUE_M = (np.array([0.05, 0.15, 0.8]), np.array([0.1, 0.9]), np.array([0.02, 0.08, 0.2, 0.7]))
TRUE_U = (np.array([0.9, 0.08, 0.02]), np.array([0.8, 0.2]), np.array([0.7, 0.2, 0.07, 0.03]))
LEVELS = (3, 2, 4)
SHARE = 0.2


def simulate(seed: int, *, size: int = 20_000, missing: float = 0.1) -> tuple[Patterns, Counts]:
    rng = np.random.default_rng(seed)
    is_match = rng.random(size) < SHARE
    columns = [
        np.where(is_match, rng.choice(len(m), size, p=m), rng.choice(len(u), size, p=u))
        for m, u in zip(TRUE_M, TRUE_U, strict=True)
    ]
    patterns = np.where(rng.random((size, len(LEVELS))) < missing, -1, np.stack(columns, axis=1)).astype(np.int8)
    distinct, counts = np.unique(patterns, axis=0, return_counts=True)
    return distinct, counts


def log_likelihood(patterns: Patterns, counts: Counts, share: float, m: Sequence[Scores], u: Sequence[Scores]) -> float:
    """The definition, pattern by pattern."""
    total = 0.0
    for pattern, count in zip(patterns.tolist(), counts.tolist(), strict=True):
        match, other = share, 1 - share
        for level, among_matches, among_others in zip(pattern, m, u, strict=True):
            if level >= 0:
                match *= among_matches[level]
                other *= among_others[level]
        total += count * np.log(match + other)
    return float(total)


def smoothed_likelihood(patterns: Patterns, counts: Counts, model: FellegiSunter, *, free_u: bool) -> float:
    """What EM climbs: the likelihood and the prior observations on every level."""
    prior = sum(np.log(part).sum() for part in (model.m + model.u if free_u else model.m))
    prior += np.log(model.match_share) + np.log(1 - model.match_share)
    fit = log_likelihood(patterns, counts, model.match_share, model.m, model.u)
    return float(fit + SMOOTHING * prior)


def fit(
    patterns: Patterns,
    counts: Counts,
    *,
    u: Sequence[Scores] | None = None,
    iterations: int = 500,
    levels: Sequence[int] = LEVELS,
    prior_share: float = 0.1,
) -> FellegiSunter:
    return fit_fellegi_sunter(
        patterns, counts, level_counts=levels, u=u, prior_share=prior_share, max_iterations=iterations, tolerance=1e-7
    )


class TestFit:
    @given(st.integers(0, 10**6), st.sampled_from([None, TRUE_U]))
    @settings(max_examples=20, deadline=None)
    def test_never_lowers_the_likelihood(self, seed: int, u: Sequence[Scores] | None) -> None:
        patterns, counts = simulate(seed, size=300)
        reached = [
            smoothed_likelihood(patterns, counts, fit(patterns, counts, u=u, iterations=n), free_u=u is None)
            for n in range(15)
        ]
        assert (np.diff(reached) >= -1e-9 * abs(reached[0])).all()
        assert reached[-1] > reached[0] + 1.0

    def test_reports_the_likelihood_of_what_it_found(self) -> None:
        patterns, counts = simulate(1, size=2000)
        model = fit(patterns, counts)
        assert model.log_likelihood == pytest.approx(
            log_likelihood(patterns, counts, model.match_share, model.m, model.u)
        )

    @pytest.mark.parametrize("u", [None, TRUE_U])
    @pytest.mark.parametrize("missing", [0.0, 0.2])
    def test_recovers_simulated_parameters(self, u: Sequence[Scores] | None, missing: float) -> None:
        model = fit(*simulate(2, size=200_000, missing=missing), u=u)
        assert model.match_share == pytest.approx(SHARE, abs=0.01)
        for found, true in zip(model.m + model.u, TRUE_M + TRUE_U, strict=True):
            assert found == pytest.approx(true, abs=0.02)

    def test_equals_a_direct_maximisation(self) -> None:
        patterns, counts = simulate(3, size=3000)

        def build(parameters: Scores) -> FellegiSunter:
            parts = np.split(parameters[1:], np.cumsum(LEVELS)[:-1])
            exponents = [np.exp(part - part.max()) for part in parts]
            return FellegiSunter(
                float(1 / (1 + np.exp(-parameters[0]))), tuple(part / part.sum() for part in exponents), TRUE_U
            )

        def cost(parameters: Scores) -> float:
            return -smoothed_likelihood(patterns, counts, build(parameters), free_u=False) / float(counts.sum())

        start = np.concatenate([[-1.0], *(np.arange(size, dtype=np.float64) for size in LEVELS)])
        direct = build(minimize(cost, start, method="BFGS", options={"gtol": 1e-7}).x)
        model = fit(patterns, counts, u=TRUE_U)
        assert model.match_share == pytest.approx(direct.match_share, abs=1e-3)
        for found, expected in zip(model.m, direct.m, strict=True):
            assert found == pytest.approx(expected, abs=1e-3)

    def test_u_stays_fixed_when_given(self) -> None:
        model = fit(*simulate(4), u=TRUE_U)
        assert all((found == given).all() for found, given in zip(model.u, TRUE_U, strict=True))

    @pytest.mark.parametrize("prior_share", [0.001, 0.1, 0.9, 0.999])
    def test_the_match_class_is_the_one_that_agrees_more(self, prior_share: float) -> None:
        model = fit(*simulate(5), prior_share=prior_share)
        assert model.match_share == pytest.approx(SHARE, abs=0.05)
        assert all(m[-1] > u[-1] for m, u in zip(model.m, model.u, strict=True))

    def test_fixed_u_that_agrees_more_than_the_data_gives_the_start(self) -> None:
        patterns, counts = np.array([[0], [1]], dtype=np.int8), np.array([1000, 10])
        model = fit(patterns, counts, u=[np.array([0.1, 0.9])], levels=[2])
        assert model.match_share == 0.1
        assert model.m[0] == pytest.approx([0.2, 0.8])

    def test_no_level_is_impossible(self) -> None:
        model = fit(np.array([[2, 1, 3]], dtype=np.int8), np.array([1000]))
        assert all((part > 0).all() for part in model.m + model.u)
        assert 0 < model.match_share < 1

    @pytest.mark.parametrize("counts", [[], [0]])
    def test_without_observations_the_start_is_returned(self, counts: list[int]) -> None:
        patterns = np.zeros((len(counts), 3), dtype=np.int8)
        model = fit(patterns, np.array(counts, dtype=np.int64))
        assert (model.match_share, model.iterations) == (0.1, 0)
        assert all((np.diff(m) > 0).all() for m in model.m)

    def test_without_comparisons_every_pair_is_alike(self) -> None:
        model = fit(np.zeros((0, 0), dtype=np.int8), np.zeros(0, dtype=np.int64), levels=[])
        assert model.probability(np.zeros((2, 0), dtype=np.int8)) == pytest.approx([0.1, 0.1])

    def test_splitting_counts_changes_nothing(self) -> None:
        patterns, counts = simulate(6, size=2000)
        doubled = fit(np.vstack([patterns, patterns]), np.append(counts - 1, np.ones_like(counts)))
        assert doubled.match_share == pytest.approx(fit(patterns, counts).match_share)

    @pytest.mark.parametrize("pattern", [[3, 0, 0], [-2, 0, 0], [0, 0]])
    def test_patterns_that_do_not_fit_are_refused(self, pattern: list[int]) -> None:
        with pytest.raises(InputError, match="level_counts"):
            fit(np.array([pattern], dtype=np.int8), np.array([1]))

    @pytest.mark.parametrize("u", [TRUE_U[:2], (*TRUE_U[:2], np.array([0.0, 0.2, 0.3, 0.5]))])
    def test_u_that_does_not_fit_is_refused(self, u: Sequence[Scores]) -> None:
        with pytest.raises(InputError, match="u does not fit"):
            fit(*simulate(7, size=10), u=u)

    @pytest.mark.parametrize("share", [0.0, 1.0, float("nan")])
    def test_a_prior_share_outside_0_to_1_is_refused(self, share: float) -> None:
        with pytest.raises(InputError, match="prior_share"):
            fit(*simulate(8, size=10), prior_share=share)


class TestScore:
    model = FellegiSunter(SHARE, TRUE_M, TRUE_U)

    def test_log_odds_by_hand(self) -> None:
        expected = np.log(0.2 / 0.8) + np.log(0.8 / 0.02) + np.log(0.1 / 0.8) + np.log(0.2 / 0.07)
        assert self.model.log_odds(np.array([[2, 0, 2]], dtype=np.int8)) == pytest.approx([expected])

    def test_probability_is_bayes_rule(self) -> None:
        match, other = 0.2 * 0.15 * 0.9, 0.8 * 0.08 * 0.2
        found = self.model.probability(np.array([[1, 1, -1]], dtype=np.int8))
        assert found == pytest.approx([match / (match + other)])

    def test_a_missing_value_says_nothing(self) -> None:
        assert self.model.probability(np.full((1, 3), -1, dtype=np.int8)) == pytest.approx([SHARE])

    def test_a_rare_value_counts_for_more(self) -> None:
        patterns = np.array([[2, 1, -1]] * 3, dtype=np.int8)
        frequency = np.array([[0.02, np.nan, 0.5], [0.001, np.nan, 0.5], [0.3, np.nan, 0.5]])
        plain = self.model.log_odds(patterns)
        weighed = self.model.log_odds(patterns, term_frequency=frequency)
        assert weighed - plain == pytest.approx([0.0, np.log(0.02 / 0.001), np.log(0.02 / 0.3)])

    def test_term_frequency_needs_exact_agreement(self) -> None:
        patterns = np.array([[1, 0, 2], [-1, -1, -1]], dtype=np.int8)
        frequency = np.full((2, 3), 1e-4)
        assert self.model.log_odds(patterns, term_frequency=frequency) == pytest.approx(self.model.log_odds(patterns))

    def test_term_frequency_has_a_floor(self) -> None:
        pattern, frequency = np.array([[2, -1, -1]], dtype=np.int8), np.array([[0.0, np.nan, np.nan]])
        gain = self.model.log_odds(pattern, term_frequency=frequency) - self.model.log_odds(pattern)
        assert gain == pytest.approx([np.log(0.02 / TERM_FREQUENCY_FLOOR)])

    def test_survives_json(self) -> None:
        model = fit(*simulate(9, size=500))
        again = FellegiSunter.from_dict(json.loads(json.dumps(model.to_dict())))
        assert again.to_dict() == model.to_dict()
        patterns = simulate(10, size=200)[0]
        assert again.log_odds(patterns).tolist() == model.log_odds(patterns).tolist()


class TestEstimateU:
    def test_counts_what_is_not_missing(self) -> None:
        patterns = np.array([[0, 1], [1, -1], [0, 0]], dtype=np.int8)
        first, second = estimate_u(patterns, np.array([70, 20, 9]), [2, 3])
        assert first == pytest.approx(np.array([79.5, 20.5]) / 100)
        assert second == pytest.approx(np.array([9.5, 70.5, 0.5]) / 80.5)

    def test_without_pairs_all_levels_are_equally_likely(self) -> None:
        assert estimate_u(np.zeros((0, 1), np.int8), np.zeros(0, np.int64), [4])[0] == pytest.approx([0.25] * 4)
