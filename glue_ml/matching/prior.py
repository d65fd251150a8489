"""The prior: what the Fellegi-Sunter model says without labels, mixed into what a forest has learned from them.

A forest of a hundred labelled rows has seen some ten matches, and most of its trees never ask the model that every
candidate pair has taught (unsupervised.py). So its log-odds are added to those of the forest's votes, as a weighted
opinion (a logarithmic pool: Genest and Zidek 1986; weights fitted by logistic regression: stacking, Wolpert 1992). The
weight is fitted to the labelled pairs, each voted on by a forest that did not see it, and shrunk towards none: where
the model without labels is wrong, labels say so, and the more there are the more the forest is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from glue_ml.matching.evaluation import score_log_odds, smooth_targets

Scores = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Feature = npt.NDArray[np.float32]

SHARE = 1.0 / 3.0  #: Columns agree together more often than the model believes, so its log-odds are too large.
MOST_LOG_ODDS = 5.0  #: No pair's prior says more than this.
SHRINKAGE = 2.0  #: As many labelled pairs of full doubt speak for the votes as they are, and for no prior.
SLOPES = ((0.1, 10.0), (0.0, 2.0))  #: Of the votes, and of the prior, which may not speak for the contrary.
INTERCEPTS = (-20.0, 20.0)


@dataclass(frozen=True)
class Prior:
    """The position of the model's log-odds among the features of a pair, and how much they count."""

    column: int = 0
    weight: float = 0.0

    def mix(self, votes: Scores, features: Feature) -> Scores:
        """Return the votes, shares from 0 to 1, with the prior: as shares again."""
        if self.weight == 0.0:
            return votes
        mixed = score_log_odds(votes) + self.weight * temper(features[:, self.column])
        return np.asarray(expit(mixed), dtype=np.float64)


def temper(log_odds: npt.NDArray[np.floating]) -> Scores:
    """Return the log-odds that the prior speaks with."""
    return np.clip(log_odds.astype(np.float64) * SHARE, -MOST_LOG_ODDS, MOST_LOG_ODDS)


def fit_prior(votes: Scores, features: Feature, column: int, is_match: Flags) -> Prior:
    """Return the prior that best explains labelled pairs, given a forest's out-of-fold votes on them.

    A logistic regression on both log-odds, shrunk towards the votes as they are and no prior. The weight counts by the
    posterior probability that there is any (BIC: Schwarz 1978; as an average over models: Raftery 1995): where few
    labels leave it open, it is next to none. Without both classes there is none.
    """
    if is_match.all() or not is_match.any():
        return Prior(column)
    log_odds = np.stack([score_log_odds(votes), temper(features[:, column])], axis=-1)
    alone, _ = _regress(log_odds[:, :1], is_match, np.array([1.0]))
    mixed, (slope, weight) = _regress(log_odds, is_match, np.array([1.0, 0.0]))
    evidence = expit(alone - mixed - 0.5 * np.log(len(votes)))
    return Prior(column, float(evidence * weight / slope))


def _regress(log_odds: Scores, is_match: Flags, usual: Scores) -> tuple[float, Scores]:
    """Return the loss (negative log-likelihood, with the shrinkage to `usual`) and the slopes that make it least."""
    # only the driver learns: a worker that scores pairs need not spend half a second on this import
    from scipy.optimize import minimize

    target = smooth_targets(is_match)

    def lose(found: Scores) -> tuple[float, Scores]:
        z, away = log_odds @ found[:-1] + found[-1], found[:-1] - usual
        slack = expit(z) - target
        loss = (np.logaddexp(0.0, z) - target * z).sum() + SHRINKAGE * (away @ away) / 2.0
        return float(loss), np.append(log_odds.T @ slack + SHRINKAGE * away, slack.sum())

    bounds = [*SLOPES[: len(usual)], INTERCEPTS]
    found = minimize(lose, np.append(usual, 0.0), jac=True, method="L-BFGS-B", bounds=bounds)
    return float(found.fun), np.asarray(found.x[:-1])
