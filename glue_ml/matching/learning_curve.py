"""What more labels would bring: the learning curve of the labels so far, followed a little further.

Forests are grown again on random halves of the labelling sets. How much less they know than those of all sets, on pairs
that neither has seen, is what the last doubling of the labels brought. Learning curves are close to power laws over
such a stretch (Perlich, Provost and Simonoff, JMLR 4, 2003): from n to m labelled rows the error falls to (n / m) ** b.
The halves tell the exponent b, and the F1 that the model has reached the error it applies to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from glue_ml.matching.comparison import Feature
from glue_ml.matching.evaluation import area_under_precision_recall
from glue_ml.matching.forest import grow_forest
from glue_ml.matching.learning import FoldForests, vote_held

Scores = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.int64]

NEXT_ROWS = 100  #: Labelled rows that are foreseen: what a call for labelling sets brings.
WORTHWHILE = 0.005  #: A gain in F1 below this hardly pays the work of a hundred labels.
DRAWS = 3  #: Halves of the labels.
CURVE_TREES = 15  #: The exponent compares forests of equal size, so small ones do.
RESAMPLES = 60  #: Bootstrap samples of the labelling sets.
MIN_SETS = 4  #: With fewer labelling sets single pairs are drawn instead.
USUAL_EXPONENT = (0.5, 0.5)  #: Mean and spread of b where labels tell nothing: errors fall with the root of the labels.
LEAST_DOUBT = 0.1  #: An exponent is not known better than this, however well the resamples agree.


@dataclass(frozen=True)
class ExpectedGain:
    """What `rows` more labelled rows are expected to add to F1, and the error (standard deviation) of that."""

    rows: int
    gain: float
    error: float

    def __str__(self) -> str:
        added = f"{self.rows} more labelled rows are expected to raise F1 by {100 * self.gain:.1f} points"
        told = f"{added}, give or take {100 * self.error:.1f}"
        return told if self.pays else f"more labels would hardly pay: {told}"

    @property
    def pays(self) -> bool:
        """Whether the gain is worth the work, as far as can be told."""
        return self.gain >= WORTHWHILE

    def to_dict(self) -> dict[str, Any]:
        """Return the gain as JSON members."""
        return asdict(self)

    @classmethod
    def from_dict(cls, members: Mapping[str, Any]) -> Self:
        """Rebuild a gain from `to_dict`."""
        return cls(int(members["rows"]), float(members["gain"]), float(members["error"]))


@dataclass(frozen=True)
class LearningCurve:
    """The exponent b of the error's power law and its doubt; the relative scatter of the errors of like models."""

    exponent: float
    doubt: float
    scatter: float


def measure_curve(
    features: Feature, is_match: Flags, sets: Sequence[str], folds: FoldForests, *, judged: Flags, seed: int
) -> LearningCurve:
    """Compare forests of halves of the labelling sets with those of all, each on pairs of folds it has not seen.

    `folds` were grown on the labelled pairs with these features, and name the sets as `sets` does; only `judged` pairs
    (those that blocking proposes) are compared. Cost: DRAWS x folds small forests on half of the pairs.
    Deterministic in its arguments.
    """
    groups = _number_groups(sets)
    rng = np.random.default_rng(seed)
    whole = vote_held(features, folds, trees=CURVE_TREES)
    halves = [_score_half(features, is_match, groups, folds, rng) for _ in range(DRAWS)]
    if not 0 < is_match[judged].sum() < judged.sum():
        judged = np.ones(len(is_match), dtype=bool)
    exponents = list(_resample(is_match[judged], groups[judged], whole[judged], [h[judged] for h in halves], rng))
    lost = np.array([_lose(is_match[judged], half[judged]) for half in halves])
    return LearningCurve(*_temper(np.array(exponents)), float(lost.std(ddof=1) / lost.mean()))


def expect_gain(curve: LearningCurve, *, f1: float, matches: int, labelled: int, rows: int = NEXT_ROWS) -> ExpectedGain:
    """Follow the curve from `labelled` rows and the F1 reached with them for `rows` more.

    `matches`: about how many the table holds. The error holds the doubt about the exponent, and that two models of
    equally many labels differ by chance, at least as far as a small number of mistakes does.
    """
    # what shows no error may still have one
    missing = max(1.0 - f1, 0.5 / max(matches, 1))
    scatter = max(curve.scatter, max(missing * matches, 1.0) ** -0.5)

    def follow(exponent: float) -> float:
        return float(missing * (1.0 - (1.0 + rows / max(labelled, 1)) ** -max(exponent, 0.0)))

    swing = (follow(curve.exponent + curve.doubt) - follow(curve.exponent - curve.doubt)) / 2.0
    return ExpectedGain(rows, follow(curve.exponent), float(np.hypot(swing, missing * scatter)))


def _number_groups(sets: Sequence[str]) -> Groups:
    """Return what is drawn together: the pairs of a set, or single pairs where there are too few sets."""
    names, number = np.unique(np.asarray(sets), return_inverse=True)
    return np.arange(len(number)) if len(names) < MIN_SETS else np.asarray(number, dtype=np.int64)


def _score_half(
    features: Feature, is_match: Flags, groups: Groups, folds: FoldForests, rng: np.random.Generator
) -> Scores:
    """Return out-of-fold scores of forests that saw a random half of the groups outside of the fold."""
    score = np.full(len(is_match), is_match.mean())
    for number in range(len(folds.forests)):
        held, rest = folds.fold == number, folds.fold != number
        names = np.unique(groups[rest])
        drawn = rest & np.isin(groups, rng.permutation(names)[: max(1, len(names) // 2)])
        if 0 < is_match[drawn].sum() < drawn.sum():
            seed = int(rng.integers(2**31))
            score[held] = grow_forest(features[drawn], is_match[drawn], seed=seed, trees=CURVE_TREES).score(
                features[held]
            )
    return score


def _resample(
    is_match: Flags, groups: Groups, whole: Scores, halves: Sequence[Scores], rng: np.random.Generator
) -> Iterator[float]:
    """Yield exponents as bootstrap samples of the groups tell them, from each half in turn."""
    number = np.unique(groups, return_inverse=True)[1]
    total = int(number.max()) + 1
    for place in range(RESAMPLES):
        weight = np.bincount(rng.integers(0, total, total), minlength=total)[number].astype(np.float64)
        if (weight * is_match).sum() > 0:
            more, less = (_lose(is_match, score, weight) for score in (whole, halves[place % len(halves)]))
            yield float(np.log2(less / more))


def _lose(is_match: Flags, score: Scores, weight: Scores | None = None) -> float:
    """Return what is missing of the area under the precision-recall curve; never 0, as nobody's error is known to be.

    The area takes all scores into account, so that it says more than F1 about few pairs.
    """
    return 1.0 - area_under_precision_recall(is_match, score, weight) + 0.5 / max(float(is_match.sum()), 1.0)


def _temper(exponents: Scores) -> tuple[float, float]:
    """Weigh what was measured with what is usual, each by its precision; the exponent and the doubt about it."""
    usual, spread = USUAL_EXPONENT
    if len(exponents) < 2:
        return usual, spread
    measured, doubt = float(exponents.mean()), max(float(exponents.std()), LEAST_DOUBT)
    precision = doubt**-2 + spread**-2
    return (measured * doubt**-2 + usual * spread**-2) / precision, precision**-0.5
