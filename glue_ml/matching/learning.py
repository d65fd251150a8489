"""Learning from labelled pairs: forests, out-of-fold scores, calibration and column importances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glue_ml.matching.comparison import RECORD, Feature, FeatureName
from glue_ml.matching.evaluation import Calibration, area_under_precision_recall, fit_calibration
from glue_ml.matching.forest import Forest, grow_forest

Scores = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

FOLDS = 5
MIN_CALIBRATED = 10  #: Pairs of either class, to calibrate on them.
FOLD_TREES = 60  #: Fold forests only measure; fewer trees than the final forest make them cheap.


@dataclass(frozen=True)
class Scorer:
    """A forest over some of the features (`columns`: their positions) and the calibration of its scores."""

    columns: npt.NDArray[np.int64]
    forest: Forest
    calibration: Calibration

    def score(self, features: Feature) -> Scores:
        """Return the share of the trees' votes for a match, 0 to 1, for each pair."""
        return self.forest.score(features[:, self.columns])

    def probability(self, features: Feature) -> Scores:
        """Return the calibrated probability that each pair matches."""
        return self.calibration.apply(self.score(features))


@dataclass(frozen=True)
class FoldForests:
    """Which fold each labelled pair was held out in, the forests grown without each fold, and their scores."""

    fold: npt.NDArray[np.int64]
    forests: tuple[Forest | None, ...]
    score: Scores  #: Out-of-fold score of each labelled pair.


def assign_folds(sets: Sequence[str], *, seed: int) -> npt.NDArray[np.int64]:
    """Deal whole labelling sets into folds, so that no pair is scored by a forest that saw its set.

    With fewer sets than two, single pairs are dealt: leakage within the set is then unavoidable.
    """
    names, place = np.unique(np.asarray(sets), return_inverse=True)
    rng = np.random.default_rng(seed)
    if len(names) < 2:
        return rng.permutation(len(place)) % FOLDS
    folds = rng.permutation(len(names)) % min(FOLDS, len(names))
    return np.asarray(folds[place], dtype=np.int64)


def grow_fold_forests(features: Feature, is_match: Flags, fold: npt.NDArray[np.int64], *, seed: int) -> FoldForests:
    """Grow a forest without each fold; where the rest holds one class only, its share of matches is the score."""
    score = np.full(len(is_match), is_match.mean())
    forests: list[Forest | None] = []
    for number in range(int(fold.max()) + 1):
        held, rest = fold == number, fold != number
        if 0 < is_match[rest].sum() < rest.sum():
            forests.append(grow_forest(features[rest], is_match[rest], seed=seed + number, trees=FOLD_TREES))
            score[held] = forests[-1].score(features[held])  # type: ignore[union-attr]
        else:
            forests.append(None)
    return FoldForests(fold, tuple(forests), score)


def fit_scorer(
    features: Feature,
    columns: npt.NDArray[np.int64],
    is_match: Flags,
    folds: FoldForests,
    *,
    seed: int,
    calibrated_on: Flags | None = None,
) -> Scorer:
    """Grow the final forest on all labelled pairs; calibrate it by the out-of-fold scores.

    `calibrated_on`: the pairs that are like those to be scored, if not all are. Where they hold too few of a class all
    count: people who bring labels of their own often have matches, and non-matches that nobody would confuse.
    """
    forest = grow_forest(features[:, columns], is_match, seed=seed)
    if calibrated_on is None or np.bincount(is_match[calibrated_on], minlength=2).min() < MIN_CALIBRATED:
        calibrated_on = np.ones(len(is_match), dtype=bool)
    return Scorer(columns, forest, fit_calibration(folds.score[calibrated_on], is_match[calibrated_on]))


def measure_column_importances(
    features: Feature, names: Sequence[FeatureName], is_match: Flags, folds: FoldForests, *, seed: int
) -> tuple[tuple[str, float], ...]:
    """Return each column's share of what shuffling its features costs in area under the precision-recall curve.

    Measured on out-of-fold pairs (Breiman 2001, permutation importance); sorted descending, summing to 1, or all 0
    where no column matters. Features of the whole record belong to no column and stay as they are.
    """
    columns = list(dict.fromkeys(name.column for name in names if name.column != RECORD))
    base = area_under_precision_recall(is_match, folds.score)
    rng = np.random.default_rng(seed)
    losses = []
    for column in columns:
        members = np.flatnonzero([name.column == column for name in names])
        shuffled = features.copy()
        shuffled[:, members] = features[rng.permutation(len(features))][:, members]
        losses.append(max(0.0, base - area_under_precision_recall(is_match, _score_held(shuffled, folds))))
    total = sum(losses)
    shares = [(column, loss / total if total > 0 else 0.0) for column, loss in zip(columns, losses, strict=True)]
    return tuple(sorted(shares, key=lambda share: (-share[1], share[0])))


def _score_held(features: Feature, folds: FoldForests) -> Scores:
    score = folds.score.copy()
    for number, forest in enumerate(folds.forests):
        held = folds.fold == number
        if forest is not None and held.any():
            score[held] = forest.score(features[held])
    return score
