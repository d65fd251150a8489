"""How well scores tell matches from non-matches, and how a score becomes a probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from glue_ml.domain.labels import tell_slips
from glue_ml.errors import InputError

Flags = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64]

SCORE_MARGIN = 1e-3  #: Scores are kept this far from 0 and 1, so that their log-odds stay within about 7.
PROBABILITY_MARGIN = 1e-9  #: So far from 0 and 1 stays a calibrated probability.
SLOPES = (0.1, 10.0)  #: Above 0 keeps the order of the scores; bounded, because separable labels ask for infinity.
INTERCEPTS = (-20.0, 20.0)
INTERVALS = ("precision_interval", "recall_interval", "f1_interval")
THRESHOLDS = (0.01, 0.99)  #: Labels cannot tell probabilities outside apart any more.


class PrecisionRecallCurve(NamedTuple):
    """Precision and recall of "a match is what scores at least `threshold`", by distinct threshold, descending."""

    precision: Scores
    recall: Scores
    threshold: Scores


class Confusion(NamedTuple):
    """Counts of pairs, by what they are and what they were taken for."""

    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int

    @property
    def precision(self) -> float:
        """The share of the pairs taken for matches that are; 0 where none was."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """The share of the matches that were found; 0 where there is none."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)


Interval = tuple[float, float]


@dataclass(frozen=True)
class Quality:
    """What is estimated for a whole table, as in `Evaluation`, with 90 % confidence intervals."""

    area: float
    precision: float
    recall: float
    f1: float
    precision_interval: Interval
    recall_interval: Interval
    f1_interval: Interval


@dataclass(frozen=True)
class Evaluation:
    """The quality of a model, by labelled pairs that it was not trained on.

    `precision`, `recall`, `f1` and `area_under_pr_curve` are estimates for all pairs of the table, with 90 % confidence
    intervals (see `estimation`); recall counts what blocking misses as far as labels can tell, so it may be less than
    estimated, never more. Precision and recall are those of the groups at `threshold` (see `Middle`); `f1` is the
    largest over all thresholds, so it need not follow from them. The four counts are of labelled pairs, at `threshold`:
    these are the hardest of the table, so their own precision and recall are lower. `candidate_recall` is the share of
    the matches that blocking proposes at all, as far as labels can tell.

    Without intervals the evaluation is of an older version, or there were no candidate pairs: all its numbers are then
    of the labelled pairs alone.
    """

    area_under_pr_curve: float
    precision: float
    recall: float
    f1: float
    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int
    column_importances: tuple[tuple[str, float], ...]
    candidate_recall: float
    threshold: float
    labeled_pairs: int
    precision_interval: Interval | None = None
    recall_interval: Interval | None = None
    f1_interval: Interval | None = None
    slips: int = 0  #: Labelled pairs that were not learned from, as nearly all others contradict them.

    def to_dict(self) -> dict[str, Any]:
        """Return the evaluation as JSON members."""
        pairs = {name: list(value) for name, value in vars(self).items() if name in INTERVALS and value is not None}
        return asdict(self) | {"column_importances": [list(share) for share in self.column_importances]} | pairs

    @classmethod
    def from_dict(cls, members: Mapping[str, Any]) -> Self:
        """Rebuild an evaluation from `to_dict`, of this version or of one that knew no intervals."""
        importances = tuple((str(name), float(share)) for name, share in members["column_importances"])
        pairs = {
            name: (float(members[name][0]), float(members[name][1]))
            for name in INTERVALS
            if members.get(name) is not None
        }
        return cls(**{**members, "column_importances": importances, **pairs})


def tell_quality(evaluation: Evaluation) -> tuple[str, ...]:
    """Return precision, recall and F1 as sentences, with their intervals where there are such."""
    told = (("Precision", "precision"), ("Recall", "recall"), ("F1, the best over all thresholds,", "f1"))
    sentences = []
    for name, member in told:
        interval: Interval | None = getattr(evaluation, f"{member}_interval")
        between = "" if interval is None else f" (90 % interval {interval[0]:.4f} to {interval[1]:.4f})"
        sentences.append(f"{name} is {getattr(evaluation, member):.4f}{between}.")
    return (*sentences, *tell_slips(evaluation.slips, evaluation.labeled_pairs))


@dataclass(frozen=True)
class HeldOut:
    """The labelled pairs by the keys of their rows, and what each was given by a forest that did not see its set.

    `is_slip`: nothing was learned from the pair, see `learning.find_slips`.
    """

    left: tuple[str, ...]
    right: tuple[str, ...]
    is_match: Flags
    probability: Scores
    is_slip: Flags

    def __len__(self) -> int:
        return len(self.is_match)


class Middle(NamedTuple):
    """The thresholds of a tradeoff of 0.5: for pairs that are to be grouped, and for pairs that stand each for itself.

    The groups of the one hold about as many right and wrong pairs as are called matches by the other.
    """

    grouped: float = 0.5
    alone: float = 0.5


#: A table whose best F1 is lower yet is not matched more loosely.
LEAST_BALANCE = Middle(grouped=0.1, alone=0.2)


def balance(f1: float) -> Middle:
    """Return the probabilities from which calling a pair a match raises F1, where the largest F1 of pairs is `f1`.

    Of pairs that stand each for itself it is half of F1 (Lipton, Elkan and Naryanaswamy, "Optimal thresholding of
    classifiers to maximize F1 measure", ECML 2014). Groups overrule pairs: a wrong one seldom stands where a row has a
    better partner, or the rest of the group says no, so more may be let in, the more the worse pairs are told apart.
    Half of the square was best on public sets, as they are and with most of their columns left out.

    >>> balance(0.6)
    Middle(grouped=0.18, alone=0.3)
    """
    return Middle(max(f1 * f1 / 2.0, LEAST_BALANCE.grouped), max(f1 / 2.0, LEAST_BALANCE.alone))


def choose_threshold(tradeoff: float | None, middle: float = 0.5) -> float:
    """Return the probability from which a pair is a match, given PrecisionRecallTradeoff (None works as 0.5).

    `middle` is that of a tradeoff of 0.5. With calibrated probabilities and a middle of 0.5 the threshold t is the
    cheapest where a false match costs t and a missed one 1 - t.
    """
    if tradeoff is None or tradeoff == 0.5:
        return middle
    return float(np.clip(expit(logit(tradeoff) + logit(middle)), *THRESHOLDS))


def evaluate_scores(
    is_match: Flags,
    score: Scores,
    *,
    threshold: float,
    column_importances: Sequence[tuple[str, float]],
    candidate_recall: float,
    quality: Quality | None = None,
) -> Evaluation:
    """Measure scores of labelled pairs; importances come out sorted, the largest first.

    `quality`: what was estimated for the whole table, to be told in place of the quality on the labelled pairs.
    """
    counts = confusion(is_match, score, threshold)
    measured = Evaluation(
        area_under_pr_curve=area_under_precision_recall(is_match, score),
        precision=counts.precision,
        recall=counts.recall,
        f1=max_f1(is_match, score)[0],
        **counts._asdict(),
        column_importances=tuple(sorted(column_importances, key=lambda share: (-share[1], share[0]))),
        candidate_recall=float(candidate_recall),
        threshold=float(threshold),
        labeled_pairs=len(is_match),
    )
    if quality is None:
        return measured
    estimated = {name: value for name, value in vars(quality).items() if name != "area"}
    return replace(measured, area_under_pr_curve=quality.area, **estimated)


def confusion(is_match: Flags, score: Scores, threshold: float) -> Confusion:
    """Count what is right and wrong when pairs that score at least `threshold` are taken for matches."""
    found = score >= threshold
    return Confusion(
        int((is_match & found).sum()),
        int((~is_match & found).sum()),
        int((~is_match & ~found).sum()),
        int((is_match & ~found).sum()),
    )


def precision_recall_curve(is_match: Flags, score: Scores, weight: Scores | None = None) -> PrecisionRecallCurve:
    """Return one point for each distinct score: pairs of equal score are accepted or refused together.

    Recall is 0 throughout where there is no match. `weight`: how much each pair counts, 1 by default.
    """
    _check_lengths(is_match, score, weight)
    weights = np.ones(len(score)) if weight is None else weight
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) if len(score) else np.zeros(0, np.int64)
    found = np.cumsum(np.where(is_match, weights, 0.0)[order])[ends]
    accepted = np.cumsum(weights[order])[ends]
    matches = found[-1] if len(found) else 0.0
    precision = np.divide(found, accepted, out=np.zeros(len(ends)), where=accepted > 0)
    recall = found / matches if matches > 0 else np.zeros(len(ends))
    return PrecisionRecallCurve(precision, recall, ordered[ends])


def area_under_precision_recall(is_match: Flags, score: Scores, weight: Scores | None = None) -> float:
    """Return the average precision: precision summed over the steps in recall. 0 where there is no match."""
    curve = precision_recall_curve(is_match, score, weight)
    return float(np.sum(np.diff(curve.recall, prepend=0.0) * curve.precision))


def max_f1(is_match: Flags, score: Scores, weight: Scores | None = None) -> tuple[float, float]:
    """Return the largest F1 and the highest threshold that reaches it; (0, 1) where there is no match."""
    precision, recall, threshold = precision_recall_curve(is_match, score, weight)
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros(len(both)), where=both > 0)
    if not f1.any():
        return 0.0, 1.0
    best = int(np.argmax(f1))
    return float(f1[best]), float(threshold[best])


@dataclass(frozen=True)
class Calibration:
    """A score's log-odds times `slope` plus `intercept` are the log-odds of a match."""

    slope: float = 1.0
    intercept: float = 0.0

    def apply(self, score: Scores) -> Scores:
        """Return probabilities, strictly between 0 and 1 and never falling as the score rises."""
        probability = expit(self.slope * score_log_odds(score) + self.intercept)
        return np.asarray(np.clip(probability, PROBABILITY_MARGIN, 1.0 - PROBABILITY_MARGIN), dtype=np.float64)

    def translate(self, other: Calibration) -> Calibration:
        """Return the calibration that turns probabilities of this one into those of `other` for the same score."""
        slope = other.slope / self.slope
        return Calibration(slope, other.intercept - slope * self.intercept)

    def to_dict(self) -> dict[str, Any]:
        """Return the calibration as JSON members."""
        return {"slope": self.slope, "intercept": self.intercept}

    @classmethod
    def from_dict(cls, members: Mapping[str, Any]) -> Self:
        """Rebuild a calibration from `to_dict`."""
        return cls(float(members["slope"]), float(members["intercept"]))


def fit_calibration(score: Scores, is_match: Flags, weight: Scores | None = None) -> Calibration:
    """Fit by Platt scaling (Platt 1999) on the log-odds of scores from 0 to 1.

    Platt's smoothed targets keep few labels from claiming certainty. Where one class is missing nothing can be
    learned about telling them apart, and scores are taken as probabilities.
    """
    # only the driver calibrates: a worker that scores pairs need not spend half a second on this import
    from scipy.optimize import minimize

    _check_lengths(is_match, score, weight)
    weights = np.ones(len(score)) if weight is None else weight
    matches, others = float(weights[is_match].sum()), float(weights[~is_match].sum())
    if matches <= 0 or others <= 0:
        return Calibration()
    target = smooth_targets(is_match, weights)
    share = weights / (matches + others)
    log_odds = score_log_odds(score)

    def loss(parameters: Scores) -> tuple[float, Scores]:
        z = parameters[0] * log_odds + parameters[1]
        slack = share * (expit(z) - target)
        return float(share @ (np.logaddexp(0.0, z) - target * z)), np.array([slack @ log_odds, slack.sum()])

    start = np.array([1.0, 0.0])
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=[SLOPES, INTERCEPTS], options={"ftol": 1e-14, "gtol": 1e-9}
    )
    return Calibration(float(found.x[0]), float(found.x[1]))


def smooth_targets(is_match: Flags, weight: Scores | None = None) -> Scores:
    """Return what to fit a logistic regression to instead of 1 and 0: what few labels allow to claim (Platt 1999)."""
    weights = np.ones(len(is_match)) if weight is None else weight
    matches, others = float(weights[is_match].sum()), float(weights[~is_match].sum())
    return np.where(is_match, (matches + 1.0) / (matches + 2.0), 1.0 / (others + 2.0))


def score_log_odds(score: Scores) -> Scores:
    """Return the log-odds of scores from 0 to 1, kept within about 7."""
    return np.asarray(logit(np.clip(score, SCORE_MARGIN, 1.0 - SCORE_MARGIN)), dtype=np.float64)


def _check_lengths(is_match: Flags, score: Scores, weight: Scores | None) -> None:
    lengths = {len(is_match), len(score), len(score) if weight is None else len(weight)}
    if len(lengths) > 1:
        raise InputError(f"there are {len(is_match)} flags for {len(score)} scores; each pair needs one of both")


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
