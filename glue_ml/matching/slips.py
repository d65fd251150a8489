"""Slips: labels that people gave by mistake, told by forests that did not see them.

A wrong label costs more than a hard one teaches (Brodley and Friedl 1999). What the votes on a pair say of its label is
weighed against how rare slips are: labels are a mixture of right ones and slips (Copas 1988), whose share is fitted to
them (expectation maximisation: Dempster, Laird and Rubin 1977). A person slips about a row, so where one pair of a row
is a slip, its other pairs of the same set may well be too. And a row that is put with the wrong ones matches records
that have nothing in common with it: of the matches that blocking does not propose many may be slips, where few others
are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from glue_ml.matching.comparison import Feature
from glue_ml.matching.estimation import MOST_SLIPS, PRIOR, SLIPS
from glue_ml.matching.evaluation import score_log_odds
from glue_ml.matching.learning import assign_folds, grow_fold_forests
from glue_ml.matching.lessons import Lesson, TrainingPairs

Flags = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64]

SLOPE = PRIOR[2]  #: The votes of forests are too timid, even about pairs that were chosen for their doubt.
MOST_EXPECTED = 0.1  #: However many there seem to be, forests have to be sure of a slip as of nine in ten.
BELIEF = 50.0  #: As many labelled pairs speak for the share of slips that is expected (SLIPS).
BESIDE = 1.0 / 3.0  #: Share of slips among the other pairs of two rows one of which was labelled by mistake.
ROUNDS = 2  #: Forests that have not learned the first slips see more: a quarter more, over ten public sets.
_STEPS = 20


def find_slips(lesson: Lesson, views: Sequence[Feature], *, seed: int) -> Flags:
    """Tell which labels are likelier wrong than right, by forests that did not see their set.

    `views`: the features of the pairs, in several ways; the one that speaks most for a label counts (consensus
    filtering: Brodley and Friedl 1999). What is found in the first round is not learned from in the second.
    """
    is_match, fold = lesson.pairs.is_match, assign_folds(lesson.pairs.sets, seed=seed)
    slips = np.zeros(len(is_match), dtype=bool)
    for _ in range(ROUNDS):
        votes = [grow_fold_forests(features, is_match, fold, seed=seed, taught=~slips).votes for features in views]
        found = slips | judge_labels(lesson, votes)
        if (found == slips).all():
            break
        slips = found
    return slips


def judge_labels(lesson: Lesson, votes: Sequence[Scores]) -> Flags:
    """Tell which labels are likelier wrong than right, given several votes (0 to 1) on each pair.

    Where more than MOST_SLIPS of a class would be slips, the class is hard, or too small to be known: then none is.
    """
    is_match = lesson.pairs.is_match
    support = np.max([np.where(is_match, 1.0, -1.0) * score_log_odds(vote) for vote in votes], axis=0)
    right, slips = expit(SLOPE * support), np.zeros(len(is_match), dtype=bool)
    unlikely = is_match & ~lesson.listed
    for kind in (unlikely, ~unlikely):
        slips[kind] = doubt(right[kind], fit_share(right[kind])) > 0.5
    slips |= find_beside(lesson.pairs, slips) & (doubt(right, BESIDE) > 0.5)
    for one_class in (is_match, ~is_match):
        slips[one_class] &= slips[one_class].mean() <= MOST_SLIPS
    return slips


def fit_share(right: Scores) -> float:
    """Return the share of slips among labels, each of which is `right` with this probability by its features alone.

    It is at most MOST_EXPECTED: hard matches that blocking does not propose look like slips, and teach more than most.
    """
    share = SLIPS
    for _ in range(_STEPS):
        share = float((BELIEF * SLIPS + doubt(right, share).sum()) / (BELIEF + len(right)))
    return min(share, MOST_EXPECTED)


def doubt(right: Scores, share: float) -> Scores:
    """Return the probability that labels are slips, where such a `share` is."""
    return np.asarray(expit(logit(share) - logit(right)), dtype=np.float64)


def find_beside(pairs: TrainingPairs, slips: Flags) -> Flags:
    """Return which pairs hold a row that is in a slip of the same set."""
    ends = [list(zip(pairs.sets, side.tolist(), strict=True)) for side in (pairs.left, pairs.right)]
    suspected = {end for side in ends for end, slip in zip(side, slips, strict=True) if slip}
    return np.array([left in suspected or right in suspected for left, right in zip(*ends, strict=True)], dtype=bool)
