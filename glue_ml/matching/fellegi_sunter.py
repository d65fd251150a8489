"""The Fellegi-Sunter model of record linkage, fitted by expectation-maximisation on counts of agreement patterns.

A pattern holds a level of agreement per comparison: 0 (different) up to L - 1 (exact), or -1 where a value is missing.
A missing value says nothing: it has weight 0. Comparisons are taken as independent given the class.
Fellegi and Sunter, "A Theory for Record Linkage" (1969); Winkler (1988) for EM; Winkler (2000) for term frequencies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.special import expit, logit

from glue_ml.errors import InputError

Patterns = npt.NDArray[np.int8]
Counts = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]

SMOOTHING = 0.5  #: Observations added to each level (Jeffreys' prior), so that no probability is 0.
TERM_FREQUENCY_FLOOR = 1e-6  #: Rarer values are no stronger evidence than one in a million.


@dataclass(frozen=True)
class FellegiSunter:
    """The share of matches and, per comparison, the probability of each level among matches (m) and others (u)."""

    match_share: float
    m: tuple[Scores, ...]
    u: tuple[Scores, ...]
    iterations: int = 0
    log_likelihood: float = 0.0

    def log_odds(self, patterns: Patterns, *, term_frequency: Scores | None = None) -> Scores:
        """Return the natural log-odds of a match for each pattern.

        `term_frequency` (patterns x comparisons): the relative frequency of the value that an exact agreement agrees
        on, NaN where unknown. A rare value then counts for more than the average one, a common value for less.
        """
        weights = self.weights(patterns, term_frequency=term_frequency)
        total = np.full(len(patterns), float(logit(self.match_share)))
        for k in range(len(self.m)):
            total += weights[:, k]
        return total

    def weights(self, patterns: Patterns, *, term_frequency: Scores | None = None) -> Scores:
        """Return what each comparison adds to the log-odds, patterns x comparisons; see `log_odds`."""
        weights = np.zeros((len(patterns), len(self.m)))
        for k, (m, u) in enumerate(zip(self.m, self.u, strict=True)):
            levels = patterns[:, k]
            weights[:, k] = np.append(np.log(m) - np.log(u), 0.0)[levels]  # level -1, missing, finds the 0 at the end
            if term_frequency is not None:
                weights[:, k] += _weigh_terms(levels == len(u) - 1, term_frequency[:, k], exact=float(u[-1]))
        return weights

    def probability(self, patterns: Patterns, *, term_frequency: Scores | None = None) -> Scores:
        """Return the probability of a match for each pattern; see `log_odds`."""
        return np.asarray(expit(self.log_odds(patterns, term_frequency=term_frequency)), dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """Return the model as JSON members."""
        return {
            "match_share": self.match_share,
            "m": [levels.tolist() for levels in self.m],
            "u": [levels.tolist() for levels in self.u],
            "iterations": self.iterations,
            "log_likelihood": self.log_likelihood,
        }

    @classmethod
    def from_dict(cls, members: Mapping[str, Any]) -> Self:
        """Rebuild a model from `to_dict`."""
        m, u = (tuple(np.array(levels, dtype=np.float64) for levels in members[name]) for name in "mu")
        return cls(members["match_share"], m, u, members["iterations"], members["log_likelihood"])


def _weigh_terms(exact_agreement: npt.NDArray[np.bool_], frequency: Scores, *, exact: float) -> Scores:
    known = exact_agreement & ~np.isnan(frequency)
    bounded = np.maximum(np.where(known, frequency, 1.0), TERM_FREQUENCY_FLOOR)
    return np.where(known, np.log(exact) - np.log(bounded), 0.0)


def estimate_u(patterns: Patterns, counts: Counts | Scores, level_counts: Sequence[int]) -> tuple[Scores, ...]:
    """Return the smoothed frequency of each level among random pairs, which are practically all non-matches."""
    levels = _Levels.of(patterns, level_counts)
    return levels.split(levels.normalise(levels.indicator.T @ counts.astype(np.float64)))


def expect_by_chance(patterns: Patterns, random: Patterns, sampled: Counts, *, pairs: float) -> Scores:
    """Return how many of the `pairs` of a table would hold each pattern if comparisons agreed independently.

    `random`, `sampled`: the distinct patterns of random pairs and how often each was seen. Some records must share a
    common name and nothing else; taken for matches, they would make sharing a name what a match is.
    Of a single comparison chance explains everything, matches too: nothing can be said, and 0 is returned.
    """
    if patterns.shape[1] < 2:
        return np.zeros(len(patterns))
    expected = np.full(len(patterns), pairs)
    for levels, seen in zip(patterns.T, random.T, strict=True):
        often = np.bincount(seen + 1, weights=sampled, minlength=int(levels.max(initial=0)) + 2)
        expected *= often[levels + 1] / max(sampled.sum(), 1)  # level -1, missing, is as good as any
    return expected


def fit_fellegi_sunter(
    patterns: Patterns,
    counts: Counts,
    *,
    level_counts: Sequence[int],
    u: Sequence[Scores] | None = None,
    most: Scores | None = None,
    prior_share: float,
    max_iterations: int,
    tolerance: float,
) -> FellegiSunter:
    """Fit by EM from `prior_share` matches; `u`, if given, stays fixed. Stops when no parameter moves by `tolerance`.

    `most`: so many pairs of each pattern are taken for matches at most, however probable; see `expect_by_chance`.
    Each iteration costs one pass over the distinct patterns and never lowers the smoothed likelihood, unless `most`
    bounds it. The match class is the one that agrees more: where it came out the other way round the classes are
    exchanged or, with `u` fixed, the starting values are returned.
    """
    if not 0.0 < prior_share < 1.0:
        raise InputError(f"prior_share is {prior_share}; it must lie between 0 and 1, both excluded")
    levels = _Levels.of(patterns, level_counts)
    start = _start(levels, u, prior_share)
    if counts.sum() == 0:
        return levels.model(start, 0, 0.0)
    weights = counts.astype(np.float64)
    state, iterations = start, 0
    for iterations in range(1, max_iterations + 1):  # noqa: B007 - reported with the model
        before, state = state, _improve(levels, state, weights, most=most, fixed_u=u is not None)
        if state.distance(before) < tolerance:
            break
    if levels.agreement(state.m) < levels.agreement(state.u):
        state = start if u is not None else _State(1.0 - state.share, state.u, state.m)
    return levels.model(state, iterations, float(weights @ _log_mixture(levels, state)))


@dataclass(frozen=True)
class _State:
    """The parameters during EM; m and u of all comparisons lie end to end."""

    share: float
    m: Scores
    u: Scores

    def distance(self, other: _State) -> float:
        moves = (np.abs(self.m - other.m), np.abs(self.u - other.u), [abs(self.share - other.share)])
        return float(max(np.max(move, initial=0.0) for move in moves))


@dataclass(frozen=True)
class _Levels:
    """The patterns as a sparse 0/1 matrix with one column for each level of each comparison; missing has none."""

    indicator: csr_array[np.float64]
    sizes: npt.NDArray[np.int64]

    @classmethod
    def of(cls, patterns: Patterns, level_counts: Sequence[int]) -> _Levels:
        sizes = np.asarray(level_counts, dtype=np.int64)
        if patterns.shape[1] != len(sizes) or (patterns >= sizes).any() or (patterns < -1).any():
            raise InputError("the agreement patterns do not fit level_counts: one number of levels for each comparison")
        row, comparison = np.nonzero(patterns >= 0)
        column = (np.cumsum(sizes) - sizes)[comparison] + patterns[row, comparison]
        shape = (len(patterns), int(sizes.sum()))
        return cls(csr_array((np.ones(len(row)), (row, column)), shape=shape), sizes)

    def normalise(self, level_weights: Scores) -> Scores:
        smoothed = level_weights + SMOOTHING
        comparison = np.repeat(np.arange(len(self.sizes)), self.sizes)
        totals = np.bincount(comparison, weights=smoothed, minlength=len(self.sizes))
        return np.asarray(smoothed / totals[comparison], dtype=np.float64)

    def split(self, values: Scores) -> tuple[Scores, ...]:
        return tuple(np.split(values, np.cumsum(self.sizes)[:-1])) if len(self.sizes) else ()

    def agreement(self, values: Scores) -> float:
        """Return the mean level of agreement, each comparison scaled to 0..1."""
        return sum(float(part @ np.linspace(0.0, 1.0, len(part))) for part in self.split(values))

    def model(self, state: _State, iterations: int, log_likelihood: float) -> FellegiSunter:
        return FellegiSunter(state.share, self.split(state.m), self.split(state.u), iterations, log_likelihood)


def _start(levels: _Levels, u: Sequence[Scores] | None, prior_share: float) -> _State:
    """Matches start with each level four times as likely as the one below, non-matches the other way round."""
    rising = [4.0 ** np.arange(size) for size in levels.sizes]
    m = [part / part.sum() for part in rising]
    others = [part[::-1] for part in m] if u is None else list(u)
    if [len(part) for part in others] != levels.sizes.tolist() or any((part <= 0).any() for part in others):
        raise InputError("u does not fit level_counts; give each level of each comparison a probability above 0")
    return _State(prior_share, _join(m), _join(others))


def _join(parts: Sequence[Scores]) -> Scores:
    return np.concatenate([np.asarray(part, dtype=np.float64) for part in parts]) if len(parts) else np.zeros(0)


def _improve(levels: _Levels, state: _State, weights: Scores, *, most: Scores | None, fixed_u: bool) -> _State:
    odds = float(logit(state.share)) + levels.indicator @ (np.log(state.m) - np.log(state.u))
    matching = np.minimum(weights * expit(odds), weights if most is None else most)
    share = (matching.sum() + SMOOTHING) / (weights.sum() + 2 * SMOOTHING)
    m = levels.normalise(levels.indicator.T @ matching)
    u = state.u if fixed_u else levels.normalise(levels.indicator.T @ (weights - matching))
    return _State(float(share), m, u)


def _log_mixture(levels: _Levels, state: _State) -> Scores:
    match = np.log(state.share) + levels.indicator @ np.log(state.m)
    other = np.log1p(-state.share) + levels.indicator @ np.log(state.u)
    return np.asarray(np.logaddexp(match, other), dtype=np.float64)
