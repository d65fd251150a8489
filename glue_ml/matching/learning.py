"""Learning from labelled pairs: forests, out-of-fold scores, calibration and column importances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from glue_ml.matching.comparison import RECORD, Feature, FeatureName
from glue_ml.matching.evaluation import Calibration, area_under_precision_recall
from glue_ml.matching.forest import Forest, grow_forest
from glue_ml.matching.prior import Prior

Scores = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

FOLDS = 5
MIN_CALIBRATED = 10  #: Pairs of either class, to calibrate on them.
RESAMPLES = 100  #: Of the bootstrap.
CLEAR = 2.0  #: So many standard errors are no chance, at about one in forty.
FOLD_TREES = 60  #: Fold forests only measure; fewer trees than the final forest make them cheap.


@dataclass(frozen=True)
class Scorer:
    """A forest over the first `width` of the features, the prior mixed into its votes, and what its scores mean."""

    width: int
    forest: Forest
    calibration: Calibration
    prior: Prior = field(default_factory=Prior)

    def vote(self, features: Feature) -> Scores:
        """Return the share of the trees' votes for a match, 0 to 1, for each pair."""
        return self.forest.score(features[:, : self.width])

    def score(self, features: Feature) -> Scores:
        """Return the votes with the prior, 0 to 1, for each pair."""
        return self.prior.mix(self.vote(features), features)

    def bound(self, features: Feature, unknown: npt.NDArray[np.int64]) -> Scores:
        """Return the largest score that a pair may have, whatever the features at the positions `unknown` are."""
        return self.prior.mix(self.forest.bound(features[:, : self.width], unknown.tolist()), features)

    def probability(self, features: Feature) -> Scores:
        """Return the calibrated probability that each pair matches."""
        return self.calibration.apply(self.score(features))


@dataclass(frozen=True)
class FoldForests:
    """Which fold each labelled pair was held out in, the forests grown without each fold, and their votes."""

    fold: npt.NDArray[np.int64]
    forests: tuple[Forest | None, ...]
    votes: Scores  #: Share of the out-of-fold votes for a match, for each labelled pair.


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


def grow_fold_forests(
    features: Feature, is_match: Flags, fold: npt.NDArray[np.int64], *, seed: int, taught: Flags | None = None
) -> FoldForests:
    """Grow a forest without each fold; where the rest holds one class only, its share of matches is the vote.

    All pairs are voted on; where `taught` is given only such pairs are learned from.
    """
    taught = np.ones(len(is_match), dtype=bool) if taught is None else taught
    votes = np.full(len(is_match), is_match[taught].mean())
    forests: list[Forest | None] = []
    for number in range(int(fold.max()) + 1):
        held, rest = fold == number, (fold != number) & taught
        if 0 < is_match[rest].sum() < rest.sum():
            forests.append(grow_forest(features[rest], is_match[rest], seed=seed + number, trees=FOLD_TREES))
            votes[held] = forests[-1].score(features[held])  # type: ignore[union-attr]
        else:
            forests.append(None)
    return FoldForests(fold, tuple(forests), votes)


def is_at_least_as_good(is_match: Flags, one: Scores, other: Scores, *, seed: int) -> bool:
    """Tell whether `one` tells the pairs apart as well as `other`, or not clearly (`CLEAR`) worse.

    By the area under the precision-recall curve and its bootstrap (Efron 1979). A few pairs may turn a difference
    round; where the candidates of a record say much, deciding without them costs more than the other mistake ever does.
    """
    if len(is_match) == 0:
        return True
    lead = _lead(is_match, one, other)
    draws = np.random.default_rng(seed).integers(0, len(is_match), (RESAMPLES, len(is_match)))
    error = np.std([_lead(is_match[drawn], one[drawn], other[drawn]) for drawn in draws])
    return bool(lead + CLEAR * error >= 0)


def _lead(is_match: Flags, one: Scores, other: Scores) -> float:
    return area_under_precision_recall(is_match, one) - area_under_precision_recall(is_match, other)


def choose_calibrated(is_match: Flags, alike: Flags) -> Flags:
    """Return which labelled pairs to calibrate on: those that are `alike` the pairs to be scored.

    Where they hold too few of a class all count: people who bring labels of their own often have matches, and
    non-matches that nobody would confuse.
    """
    enough = np.bincount(is_match[alike], minlength=2).min() >= MIN_CALIBRATED
    return alike if enough else np.ones(len(is_match), dtype=bool)


def measure_column_importances(
    features: Feature, names: Sequence[FeatureName], is_match: Flags, folds: FoldForests, *, seed: int
) -> tuple[tuple[str, float], ...]:
    """Return each column's share of what shuffling its features costs in area under the precision-recall curve.

    Measured on out-of-fold pairs (Breiman 2001, permutation importance); sorted descending, summing to 1, or all 0
    where no column matters. Features of the whole record belong to no column and stay as they are.
    """
    columns = list(dict.fromkeys(name.column for name in names if name.column != RECORD))
    base = area_under_precision_recall(is_match, folds.votes)
    rng = np.random.default_rng(seed)
    losses = []
    for column in columns:
        members = np.flatnonzero([name.column == column for name in names])
        shuffled = features.copy()
        shuffled[:, members] = features[rng.permutation(len(features))][:, members]
        losses.append(max(0.0, base - area_under_precision_recall(is_match, vote_held(shuffled, folds))))
    total = sum(losses)
    shares = [(column, loss / total if total > 0 else 0.0) for column, loss in zip(columns, losses, strict=True)]
    return tuple(sorted(shares, key=lambda share: (-share[1], share[0])))


def vote_held(features: Feature, folds: FoldForests, *, trees: int = FOLD_TREES) -> Scores:
    """Return the votes on labelled pairs of these features, by the first `trees` of the forest grown without each."""
    votes = folds.votes.copy()
    for number, forest in enumerate(folds.forests):
        held = folds.fold == number
        if forest is not None and held.any():
            votes[held] = forest.take(trees).score(features[held])
    return votes
