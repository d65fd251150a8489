"""How good the matching of the whole table is, estimated from labelled pairs that are not like the table.

Labels are bought where they teach most, so the labelled pairs of a score are the hardest of that score. Among them the
probability of a match rises more slowly with the score than among all candidate pairs: precision and recall over the
labelled pairs tell how hard the questions were, not how good the answer is. So the quality is estimated by a model, as
in survey sampling with a model-assisted estimator (Särndal, Swensson and Wretman 1992; for entity resolution, Marchant
and Rubinstein 2017): the expected matches are the sum of the probabilities of *all* candidate pairs, and the labels say
what probability a score stands for.

The log-odds of a match are a slope times how far those of the score are from the middle, where a pair is as likely a
match as not. At the middle hard pairs are like all others, so every labelled pair speaks on where it is. On the slope
over all candidate pairs only pairs speak that were drawn at random (labeling.is_drawn). There are few of them, and they
were drawn from strata of an earlier score: a pair in doubt then was drawn much more readily than its likes today that
never were. So they correct a prior of 2 a little: the votes of a forest are known to be too timid (Niculescu-Mizil and
Caruana 2005), and on public sets with truth the slope was mostly between 1.4 and 3.0. The pairs chosen for their doubt
have a slope of their own. Labels of other people, whose sets nobody has marked, leave the slope at the prior, and the
interval as wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from glue_ml.errors import InputError
from glue_ml.matching.evaluation import (
    THRESHOLDS,
    Calibration,
    Flags,
    Middle,
    Quality,
    Scores,
    area_under_precision_recall,
    balance,
    score_log_odds,
)
from glue_ml.matching.unproposed import Unproposed, number_sets, resample_coverage

Rows = npt.NDArray[np.int64]

BIN = 0.1  #: Width, in log-odds of the score, of the bins that pairs are counted in.
RESAMPLES = 200
CONFIDENCE = 0.9  #: The share of such intervals that should hold the truth.
PRIOR = (0.0, 2.0, 1.3)  #: Intercept, slope over all candidate pairs, slope over the pairs chosen for their doubt.
PRIOR_SPREAD = (0.6, 0.4, 0.6)  #: Standard deviations of the prior.
FEW_LABELS = 10  #: With so many labelled pairs a forest is twice as timid as with many.
SLOPE_FACTOR = 0.5  #: Standard deviation of the logarithm of the slope that an interval allows for.
SLIPS = 0.02  #: Share of wrong labels that is reckoned with, whoever labels (contaminated regression, Copas 1988).
MOST_SLIPS = 0.25  #: Share beyond which the labels would say nothing any more.
GROUPING = 0.5  #: The same of the errors: pairs are decided by their groups, which mends or makes some.
MOST_SHIFT = 2.0  #: So far from 0.5, in log-odds, a score may be as likely a match as not.
LEAST_SLOPE, GREATEST_SLOPE = 0.3, 10.0
_DOUBT = 10.0  # how much faster than the slope the doubt about it grows where labels are few
_NEWTON_STEPS = 15


@dataclass(frozen=True)
class Sample:
    """Labelled pairs: out-of-fold score from 0 to 1, whether it is a match, whether it was drawn at random, its set.

    `slips`: the share of the labels that is taken for wrong.
    """

    score: Scores
    is_match: Flags
    is_random: Flags
    sets: tuple[str, ...]
    slips: float = SLIPS

    def __post_init__(self) -> None:
        lengths = {len(self.score), len(self.is_match), len(self.is_random), len(self.sets)}
        if len(lengths) > 1:
            raise InputError("a sample needs one score, one flag of each kind and one set for each pair")

    def select(self, kept: Flags) -> Sample:
        """Return the pairs where `kept`."""
        sets = tuple(name for name, keep in zip(self.sets, kept, strict=True) if keep)
        return Sample(self.score[kept], self.is_match[kept], self.is_random[kept], sets, self.slips)


@dataclass(frozen=True)
class Population:
    """All candidate pairs by score: `pairs` of them have a score of about `score` (0 to 1)."""

    score: Scores
    pairs: Scores

    @classmethod
    def count(cls, score: Scores, weight: Scores | None = None) -> Population:
        """Count pairs by their scores, each as `weight` pairs (1 by default)."""
        place, number = np.unique(bin_scores(score), return_inverse=True)
        return cls(expit(place * BIN), np.bincount(number, weights=weight, minlength=len(place)).astype(np.float64))

    def __add__(self, other: Population) -> Population:
        return Population(np.append(self.score, other.score), np.append(self.pairs, other.pairs))


class _Cells(NamedTuple):
    """The distinct (log-odds, match, random) of a sample, and how often each set holds each (sets x cells)."""

    log_odds: Scores
    is_match: Flags
    is_random: Flags
    counts: Scores


def bin_scores(score: Scores) -> Rows:
    """Return the number of the bin that each score falls into; the bin of 0.5 is 0."""
    return np.asarray(np.rint(score_log_odds(score) / BIN), dtype=np.int64)


def fit_population_calibration(sample: Sample) -> Calibration:
    """Return what probability a score stands for among all candidate pairs, given labelled ones.

    Where one class is missing the prior stands.
    """
    if sample.is_match.all() or not sample.is_match.any():
        return Calibration(PRIOR[1], PRIOR[0])
    cells = _tabulate(sample, sorted(set(sample.sets)))
    intercept, slope = _fit(cells, cells.counts.sum(axis=0)[None, :], _expect(sample)[None, :], sample.slips)[0]
    return Calibration(float(slope), float(intercept))


def estimate_quality(
    sample: Sample,
    population: Population,
    unproposed: Unproposed,
    calibration: Calibration,
    *,
    threshold: float,
    seed: int,
    resamples: int = RESAMPLES,
) -> Quality:
    """Estimate precision, recall and F1 of calling each pair of at least `threshold` a match, with 90 % intervals.

    `calibration` is that of the model: it decides. What scores mean is fitted to `sample` anew. The intervals come from
    a bootstrap over labelling sets (Efron 1979) in which the prior is drawn too, and the matches that happen to be in
    the table; what labels cannot tell is in `unproposed`.
    """
    rng = np.random.default_rng(seed)
    names = sorted({*sample.sets, *unproposed.sets})
    drawn = rng.multinomial(len(names), np.full(len(names), 1.0 / max(len(names), 1)), size=resamples).astype(float)
    weight = np.vstack([np.ones(len(names)), drawn]) if names else np.ones((1 + resamples, 0))
    expected = _expect(sample)
    prior = np.vstack([expected, _draw_priors(expected, resamples, rng)])
    probability = _tell(sample, names, population, weight, prior)
    listed, found = resample_coverage(unproposed, names, weight)
    decided = calibration.apply(population.score)
    at_threshold = _measure(probability, population.pairs, decided >= threshold, listed, found, rng)
    best = _choose_best(probability[0], population, listed[0], found[0])
    at_best = _measure(probability, population.pairs, population.score >= best, listed, found, rng)
    # the model's own threshold may do better than any that a bin allows
    best_f1 = max((at_best, at_threshold), key=lambda measured: float(measured[2][0]))[2]
    return Quality(
        area=_area(probability[0], population) * float(listed[0]),
        precision=float(at_threshold[0][0]),
        recall=float(at_threshold[1][0]),
        f1=float(best_f1[0]),
        precision_interval=_interval(at_threshold[0]),
        recall_interval=_interval(at_threshold[1]),
        f1_interval=_interval(best_f1),
    )


def find_middle(sample: Sample, population: Population, told: Calibration, calibration: Calibration) -> Middle:
    """Return the thresholds that should make F1 largest, as probabilities that `calibration`, the model's, tells.

    `told`: what scores mean among all candidate pairs (`fit_population_calibration` of the sample). The thresholds come
    from the largest F1 that is expected of pairs (`evaluation.balance`). Models tell probabilities of pairs like the
    labelled ones, the hardest, which rise more slowly with the score, and hardly at all where few matches are labelled:
    a pair that is likely enough among all candidate pairs is let in in any case.

    0.5 where no labelled pair was drawn at random: of labels that people chose by themselves, who knows how they differ
    from the table.
    """
    if not (population.pairs.any() and sample.is_random.any()):
        return Middle()
    found = balance(estimate_best_f1(population, told))
    among_all = told.translate(calibration).apply(np.array(found))
    return Middle(*np.clip(np.minimum(found, among_all), *THRESHOLDS).tolist())


def estimate_best_f1(population: Population, told: Calibration) -> float:
    """Return the largest F1 over all thresholds that is expected of the candidate pairs, whose scores mean `told`.

    What blocking misses is left out: no threshold changes it, and a few wrong labels can make it look like everything.
    """
    probability = told.apply(population.score)
    accepted = population.score >= _choose_best(probability, population, 1.0, 0.0)
    right, matches = probability @ (population.pairs * accepted), probability @ population.pairs
    return float(_divide(2.0 * right, matches + population.pairs @ accepted))


def _tell(sample: Sample, names: Sequence[str], population: Population, weight: Scores, prior: Scores) -> Scores:
    """Return what probability each score of the population stands for (fits x scores); `weight`: fits x sets."""
    cells = _tabulate(sample, names)
    meaning = _fit(cells, weight @ cells.counts, prior, sample.slips)
    return np.asarray(expit(meaning[:, :1] + meaning[:, 1:] * score_log_odds(population.score)), dtype=np.float64)


def expect_slips(found: float) -> float:
    """Return the share of wrong labels to reckon with, where so large a share was found and left out.

    Of people who slip about a pair that nobody would confuse, others will have slipped where it does not show.
    """
    return min(SLIPS + found, MOST_SLIPS)


def _expect(sample: Sample) -> Scores:
    """Return the prior: the fewer labels a forest has learned from, the more timid it is."""
    return np.array([PRIOR[0], PRIOR[1] * (1.0 + FEW_LABELS / max(len(sample.score), 1)), PRIOR[2]])


def _draw_priors(expected: Scores, count: int, rng: np.random.Generator) -> Scores:
    """Draw priors (count x 3); the slope by factors, so that it may be twice as well as half as steep.

    It is the less certain the more the few labels (`_expect`) have shifted it.
    """
    spread = SLOPE_FACTOR * np.sqrt(1.0 + _DOUBT * (expected[1] / PRIOR[1] - 1.0))
    drawn = rng.normal(expected, PRIOR_SPREAD, size=(count, len(PRIOR)))
    drawn[:, 1] = expected[1] * np.exp(rng.normal(0.0, spread, size=count))
    return drawn


def _tabulate(sample: Sample, names: Sequence[str]) -> _Cells:
    key = (bin_scores(sample.score) * 2 + sample.is_match) * 2 + sample.is_random
    cells, place = np.unique(key, return_inverse=True)
    held = np.bincount(number_sets(sample.sets, names) * len(cells) + place, minlength=len(names) * len(cells))
    counts: Scores = held.reshape(len(names), len(cells)).astype(np.float64)
    return _Cells((cells // 4).astype(np.float64) * BIN, cells // 2 % 2 == 1, cells % 2 == 1, counts)


def _fit(cells: _Cells, weight: Scores, prior: Scores, slips: float) -> Scores:
    """Return intercept and slope (fits x 2) over all candidate pairs; `weight`: fits x cells, `prior`: fits x 3.

    First where a labelled pair is as likely a match as not, then how steeply the probability rises from there.
    """
    both = np.stack([np.ones(len(cells.log_odds)), cells.log_odds])
    asked = _climb(both, cells.is_match, weight, prior[:, [0, 2]], np.array(PRIOR_SPREAD)[[0, 2]], slips)
    middle = np.clip(-asked[:, 0] / np.maximum(asked[:, 1], LEAST_SLOPE), -MOST_SHIFT, MOST_SHIFT)
    rise = (cells.log_odds - middle[:, None])[:, None, :]
    # hard pairs are not expected to be told apart better than all
    steep = np.maximum(prior[:, [1]], asked[:, [1]])
    slope = _climb(rise, cells.is_match, weight * cells.is_random, steep, np.array(PRIOR_SPREAD)[[1]], slips)[:, 0]
    slope = np.clip(slope, LEAST_SLOPE, GREATEST_SLOPE)
    return np.stack([-slope * middle, slope], axis=-1)


def _climb(design: Scores, is_match: Flags, weight: Scores, prior: Scores, spread: Scores, slips: float) -> Scores:
    """Return logistic coefficients (fits x k) by Fisher scoring; `design`: fits x k x cells, or the same for all.

    A share `slips` of the labels is taken for wrong: of few pairs drawn at random one that is labelled a match where
    nobody else sees one would else flatten the slope, and matches would be told of everywhere.
    """
    design = np.broadcast_to(design, (len(prior), *design.shape[-2:]))
    found, precision = prior.copy(), 1.0 / np.square(spread)
    for _ in range(_NEWTON_STEPS):
        right = expit(np.einsum("fk,fkc->fc", found, design))
        probability = slips + (1.0 - 2.0 * slips) * right
        steepness = (1.0 - 2.0 * slips) * right * (1.0 - right) / (probability * (1.0 - probability))
        slack = weight * steepness * (probability - is_match)
        slope = np.einsum("fc,fkc->fk", slack, design) + (found - prior) * precision
        known = weight * np.square(steepness) * probability * (1.0 - probability)
        curvature = np.einsum("fc,fic,fjc->fij", known, design, design)
        step = np.linalg.solve(curvature + np.diag(precision), slope[..., None])[..., 0]
        found -= np.clip(step, -1.0, 1.0)
    return found


def _measure(
    probability: Scores, pairs: Scores, accepted: Flags, listed: Scores, found: Scores, rng: np.random.Generator
) -> tuple[Scores, Scores, Scores]:
    """Return precision, recall and F1: first the estimate, then one of each resample."""
    right, wrong = probability @ (pairs * accepted), (1.0 - probability) @ (pairs * accepted)
    missed = probability @ (pairs * ~accepted)
    # a table holds whole errors: where less than one is expected there may well be none
    grouping = np.exp(rng.normal(0.0, GROUPING, size=(2, len(wrong) - 1)))
    wrong[1:], missed[1:] = rng.poisson(wrong[1:] * grouping[0]), rng.poisson(missed[1:] * grouping[1])
    precision, recall = _divide(right, right + wrong), _divide(right, right + missed)
    recall = listed * recall + (1.0 - listed) * found
    return precision, recall, _divide(2.0 * precision * recall, precision + recall)


def _choose_best(probability: Scores, population: Population, listed: float, found: float) -> float:
    """Return the score from which pairs should be called matches for the largest F1."""
    order = np.argsort(-population.score)
    right = np.cumsum((probability * population.pairs)[order])
    accepted, matches = np.cumsum(population.pairs[order]), max(float(probability @ population.pairs), 1e-300)
    recall = listed * right / matches + (1.0 - listed) * found
    precision = _divide(right, accepted)
    f1 = _divide(2.0 * precision * recall, precision + recall)
    return float(population.score[order[int(np.argmax(f1))]]) if len(f1) else 1.0


def _area(probability: Scores, population: Population) -> float:
    is_match = np.repeat([True, False], len(probability))
    weight = np.append(population.pairs * probability, population.pairs * (1.0 - probability))
    return area_under_precision_recall(is_match, np.tile(population.score, 2), weight)


def _interval(values: Scores) -> tuple[float, float]:
    """Return the interval of the resamples, widened to the estimate where that lies outside."""
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(values[1:], [tail, 1.0 - tail])
    return float(min(low, values[0])), float(max(high, values[0]))


def _divide(part: Scores, whole: Scores) -> Scores:
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=whole > 0)
