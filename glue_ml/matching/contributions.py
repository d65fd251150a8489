"""What each feature adds to the log-odds of a pair, for a forest and for the Fellegi-Sunter model.

A forest's score is followed along the paths of its trees: each decision moves the share of matches, and the move
belongs to the feature that was asked (Saabas, "Interpreting random forests", 2014). The sum over all moves is the score
less that of the roots. From scores to log-odds the moves are carried over by one factor, the secant of the calibration
between the two: signs and proportions stay, and the contributions sum to the difference in log-odds. What the prior
adds to the votes belongs to the feature that it reads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from glue_ml.matching.agreement import choose_columns, code_patterns, code_standings
from glue_ml.matching.candidate_lists import CONTEXT
from glue_ml.matching.comparison import RECORD, Feature, FeatureName
from glue_ml.matching.forest import Forest
from glue_ml.matching.learning import Scorer
from glue_ml.matching.model import MatchModel
from glue_ml.matching.records import Gathered
from glue_ml.matching.rivals import RIVALS

Scores = npt.NDArray[np.float64]

STANDSTILL = 1e-9  #: Scores nearer to that of the roots have no secant; the slope there takes its place.
BLOCK = 20_000  #: Pairs decomposed at once: a few tens of MB.


@dataclass(frozen=True)
class Contributions:
    """The log-odds of some pairs, taken apart: base + values.sum(axis=1) == log_odds.

    `base` is what the model says of a pair before it looks at it; `values` and `measured` are pairs x names.
    `model` tells in words which model speaks.
    """

    model: str
    names: tuple[FeatureName, ...]
    base: float
    log_odds: Scores
    probability: Scores
    values: Scores
    measured: Feature

    def top(self, pair: int, *, limit: int) -> list[int]:
        """Return the positions of the features that move this pair most, either way; none that does not move it."""
        moves = np.abs(self.values[pair])
        order = np.argsort(-moves, kind="stable")[:limit]
        return [int(place) for place in order if moves[place] > 0]

    def by_column(self, pair: int) -> tuple[tuple[str, float], ...]:
        """Return each column's sum (comparison.RECORD: the whole record), the largest move first."""
        totals: dict[str, float] = {}
        for name, value in zip(self.names, self.values[pair].tolist(), strict=True):
            totals[name.column] = totals.get(name.column, 0.0) + value
        return tuple(sorted(totals.items(), key=lambda total: (-abs(total[1]), total[0])))


def weigh_features(
    model: MatchModel, gathered: Gathered, features: Feature, *, proposed: bool, rivals: Feature | None = None
) -> Contributions:
    """Take the log-odds of pairs of gathered records (`MatchModel.measure`) apart.

    `proposed`: blocking has proposed the pairs; others have no candidate list to be judged by, as in clustering.
    `rivals`: their RIVALS, where the model looks twice and they scored enough at first.
    """
    if model.learned is None:
        return _weigh_columns(model, features)
    names = (*model.features, *model.closer_features)
    if not proposed and model.learned.alone is not None:
        scorer, told = model.learned.alone, "learned from labels, the pair alone"
        nothing = np.zeros((len(features), len(RIVALS)), dtype=np.float32)
        features = np.hstack([features, model.look_closer(gathered, nothing)])
    elif not (proposed and model.looks_twice):
        scorer, told = model.learned.plain, "learned from labels, the pair alone"
    elif rivals is None:
        scorer, told = model.learned.context, "learned from labels, with the candidate lists; too unlikely for more"
    else:
        scorer, told = model.learned.second, "learned from labels, with the candidate lists and the scores of rivals"
        features = np.hstack([features, model.look_closer(gathered, rivals)])
    return _weigh_scorer(scorer, features, names[: features.shape[1]], told)


def _weigh_scorer(scorer: Scorer, features: Feature, names: tuple[FeatureName, ...], told: str) -> Contributions:
    measured = features[:, : scorer.width]
    root, moves = decompose_forest(scorer.forest, measured)
    votes = scorer.forest.score(measured)
    base = float(_log_odds(scorer, np.array([root]))[0])
    without = _log_odds(scorer, votes)
    values = np.zeros(features.shape, dtype=np.float64)
    values[:, : scorer.width] = moves * _carry_over(scorer, root, votes, without - base)[:, None]
    log_odds = _log_odds(scorer, scorer.score(features))
    values[:, scorer.prior.column] += log_odds - without
    return Contributions(told, names, base, log_odds, expit(log_odds), values, features)


def _log_odds(scorer: Scorer, score: Scores) -> Scores:
    return np.asarray(logit(scorer.calibration.apply(score)), dtype=np.float64)


def _carry_over(scorer: Scorer, root: float, score: Scores, difference: Scores) -> Scores:
    moved = score - root
    near = np.clip(np.array([root - 1e-4, root + 1e-4]), 0.0, 1.0)
    slope = float(np.diff(_log_odds(scorer, near))[0] / np.diff(near)[0])
    still = np.abs(moved) < STANDSTILL
    return np.where(still, slope, difference / np.where(still, 1.0, moved))


def decompose_forest(forest: Forest, measured: Feature) -> tuple[float, Scores]:
    """Return the mean score of the roots and, pairs x features, how far each feature moves the score from there."""
    # as the forest itself does: single precision per tree, so that nothing is left over
    value = forest.value.astype(np.float32).astype(np.float64)
    moves = np.zeros(measured.shape, dtype=np.float64)
    for start in range(0, len(measured), BLOCK):
        block = slice(start, start + BLOCK)
        for root in forest.roots:
            _follow(forest, value, int(root), measured[block], moves[block])
    return float(value[forest.roots].mean()), moves / len(forest.roots)


def _follow(forest: Forest, value: Scores, root: int, measured: Feature, moves: Scores) -> None:
    """Add to `moves` what each decision of one tree adds, until every pair is in a leaf."""
    pairs = np.arange(len(measured))
    node = np.full(len(measured), root, dtype=np.int64)
    for _ in range(forest.depth):
        asked = forest.feature[node]
        goes_left = measured[pairs, asked] <= forest.threshold[node]
        after = np.where(goes_left, forest.left[node], forest.right[node])
        if np.array_equal(after, node):
            return
        moves[pairs, asked] += value[after] - value[node]
        node = after


def _weigh_columns(model: MatchModel, features: Feature) -> Contributions:
    """The weights that decide without labels: one feature for each compared column, and one for the standing.

    Columns are measured by their level of agreement.
    """
    fitted, profiles, context = model.unsupervised, model.profiles, features[:, -len(CONTEXT) :]
    base, values = fitted.weigh(features, profiles, context)
    names = [FeatureName(profiles[i].name, "agreement") for i in choose_columns(profiles)]
    levels = [code_patterns(features, profiles)]
    if fitted.decider is not None:
        names.append(FeatureName(RECORD, "standing"))
        levels.append(code_standings(context)[:, None])
    log_odds = base + values.sum(axis=1)
    told = "not learned from labels: how columns agree, how rare that is, and whether a better candidate is there"
    return Contributions(
        told, tuple(names), base, log_odds, expit(log_odds), values, np.hstack(levels).astype(np.float32)
    )
