"""How far the model that knows no labels is listened to beside a forest."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from glue_ml.matching.evaluation import area_under_precision_recall
from glue_ml.matching.prior import MOST_LOG_ODDS, SHARE, Prior, fit_prior, temper

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


def make_pairs(count: int, *, votes_know: float, prior_knows: float, seed: int = 0) -> Pairs:
    """Return votes, features (log-odds in column 1) and matches; each source shows the truth so well, with noise."""
    rng = np.random.default_rng(seed)
    is_match = rng.random(count) < 0.4
    sign = 2.0 * is_match - 1.0
    votes = expit(votes_know * sign + rng.normal(0.0, 1.0, count))
    log_odds = (prior_knows * sign + rng.normal(0.0, 1.0, count)) / SHARE
    return votes, np.stack([np.zeros(count), log_odds], axis=-1).astype(np.float32), is_match


def test_a_prior_that_knows_more_is_listened_to() -> None:
    votes, features, is_match = make_pairs(100, votes_know=0.5, prior_knows=2.0)
    prior = fit_prior(votes, features, 1, is_match)
    assert prior.weight > 0.5
    assert prior.column == 1
    mixed = area_under_precision_recall(is_match, prior.mix(votes, features))
    assert mixed > area_under_precision_recall(is_match, votes) + 0.05


@pytest.mark.parametrize("prior_knows", [0.0, -2.0])
def test_a_prior_that_knows_nothing_or_the_contrary_is_not(prior_knows: float) -> None:
    weights = [
        fit_prior(*make_pairs(200, votes_know=2.0, prior_knows=prior_knows, seed=seed)[:2], 1,
                  make_pairs(200, votes_know=2.0, prior_knows=prior_knows, seed=seed)[2]).weight
        for seed in range(5)
    ]  # fmt: skip
    assert max(weights) < 0.05


def test_what_few_labels_leave_open_counts_little() -> None:
    votes, features, is_match = make_pairs(300, votes_know=1.0, prior_knows=0.8)
    few = slice(0, 12)
    assert fit_prior(votes[few], features[few], 1, is_match[few]).weight < 0.3
    assert fit_prior(votes, features, 1, is_match).weight > 0.3


@pytest.mark.parametrize("matches", [0, 10])
def test_labels_of_one_class_give_no_prior(matches: int) -> None:
    is_match = np.full(10, bool(matches))
    assert fit_prior(np.linspace(0, 1, 10), np.ones((10, 1), np.float32), 0, is_match) == Prior(0, 0.0)


def test_without_weight_votes_stay_as_they_are_to_the_last_bit() -> None:
    votes = np.array([0.0, 1e-9, 0.3, 1.0])
    assert Prior(0, 0.0).mix(votes, np.full((4, 1), 9.0, np.float32)) is votes


def test_mixed_votes_rise_with_the_votes_and_with_the_prior() -> None:
    votes = np.linspace(0.0, 1.0, 50)
    low, high = (Prior(0, 0.7).mix(votes, np.full((50, 1), value, np.float32)) for value in (-6.0, 6.0))
    assert (np.diff(low) >= 0).all()
    assert (low < high).all()
    assert ((low > 0) & (high < 1)).all()


def test_the_prior_says_a_third_of_the_log_odds_within_bounds() -> None:
    assert temper(np.array([-1e9, -3.0, 0.0, 3.0, 1e9])).tolist() == pytest.approx(
        [-MOST_LOG_ODDS, -1.0, 0.0, 1.0, MOST_LOG_ODDS]
    )
