"""Training: from lessons to a `Learned` model. Pure numpy, on the driver.

Three forests are grown: one sees the pair alone (plain), one also its candidate lists (context), and one looks a second
time at the pairs that may match, given what the second forest thinks of their rivals, and what it has told of words. A
fourth judges by the pair and its words what blocking does not propose. Every labelled pair is scored by
forests that did not see its set; these scores choose between the forests, calibrate them and tell how good they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from glue_ml.domain.labels import LabeledRow
from glue_ml.matching.blocking import list_candidates
from glue_ml.matching.candidate_lists import CONTEXT
from glue_ml.matching.comparison import Feature
from glue_ml.matching.estimation import (
    SLIPS,
    Population,
    Sample,
    estimate_quality,
    expect_slips,
    find_middle,
    fit_population_calibration,
)
from glue_ml.matching.evaluation import (
    Evaluation,
    HeldOut,
    Middle,
    choose_threshold,
    evaluate_scores,
    fit_calibration,
)
from glue_ml.matching.forest import grow_forest
from glue_ml.matching.learning import (
    FoldForests,
    Scorer,
    assign_folds,
    choose_calibrated,
    grow_fold_forests,
    is_at_least_as_good,
    measure_column_importances,
)
from glue_ml.matching.learning_curve import ExpectedGain, expect_gain, measure_curve
from glue_ml.matching.lessons import (
    Lesson,
    TrainingPairs,
    across_sources,
    choose_taught,
    locate_pairs,
    prepare_lesson,
)
from glue_ml.matching.model import Learned, MatchModel
from glue_ml.matching.pipeline import BlockedCandidates, Candidates
from glue_ml.matching.population import count_scores
from glue_ml.matching.prior import fit_prior
from glue_ml.matching.records import Records
from glue_ml.matching.rivals import find_rivals, measure_rivals
from glue_ml.matching.row_pairs import locate
from glue_ml.matching.scoring import look_first, scatter_pairs
from glue_ml.matching.slips import find_slips
from glue_ml.matching.unproposed import Unproposed, estimate_coverage, expect_mistaken, find_unproposed
from glue_ml.matching.word_evidence import WordEvidence, weigh_evidence

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

WEIGHING_PAIRS = 200_000  #: Of more pairs that may match a sample tells what words mean.


@dataclass(frozen=True)
class Taught:
    """A scorer, the forests that voted on the labelled pairs out of fold, and these pairs' scores from such votes."""

    scorer: Scorer
    folds: FoldForests
    score: Scores

    @property
    def probability(self) -> Scores:
        """The calibrated out-of-fold score of each labelled pair."""
        return self.scorer.calibration.apply(self.score)


@dataclass(frozen=True)
class Trained:
    """The forests, and the candidate pairs that were looked at a second time: `seen`, of `proposed` in all.

    `words` are evidence for `second` and `alone`, which judges what blocking does not propose. `prefers_context`:
    whether looking twice decides, and not the pair alone. `slips`: the share of wrong labels that is still expected
    among those of the lesson.
    """

    lesson: Lesson
    plain: Taught
    context: Taught
    second: Taught
    alone: Scorer | None
    words: WordEvidence
    seen: pa.Table
    proposed: int
    prefers_context: bool
    slips: float = SLIPS

    @property
    def decisive(self) -> Taught:
        """What decides about candidate pairs."""
        return self.second if self.prefers_context else self.plain

    @property
    def explained(self) -> tuple[Feature, FoldForests]:
        """The features and the forests by which columns are weighed: those of the first look."""
        if self.prefers_context:
            return self.lesson.features, self.context.folds
        return self.lesson.features[:, : -len(CONTEXT)], self.plain.folds


def learn(
    model: MatchModel, candidates: BlockedCandidates, labels: Sequence[LabeledRow], *, source: str | None
) -> Learned:
    """Learn from `labels`: grow the forests, calibrate and evaluate them out of fold.

    `candidates` are those of the table with the source column `source`; pairs within a source are left out.
    """
    records, index, seed = candidates.blocked.records, candidates.blocked.index, model.settings.seed
    pairs = across_sources(records, locate_pairs(records, labels), source)
    lists = list_candidates(index, np.unique(np.concatenate([pairs.left, pairs.right])))
    whole = prepare_lesson(model, records, lists, pairs)
    taught = choose_taught(whole, seed=seed)
    slips = find_lesson_slips(whole, taught, seed=seed)
    kept = taught & ~slips
    trained = replace(train(model, candidates, whole.select(kept)), slips=expect_slips(slips.sum() / taught.sum()))
    probability = judge_held_out(trained, whole, kept)
    population, calibration = count_population(model, candidates, trained), trained.decisive.scorer.calibration
    sample = sample_lesson(trained)
    told = fit_population_calibration(sample)
    middle = find_middle(sample, population, told, calibration)
    evaluation = evaluate(model, trained, whole, probability, population, middle=middle, slips=slips)
    return Learned(
        trained.context.scorer,
        trained.second.scorer,
        trained.plain.scorer,
        trained.prefers_context,
        source,
        evaluation,
        tuple(labels),
        hold_out(records, pairs, probability, slips),
        foresee_gain(trained, evaluation, labelled=len(labels), seed=seed),
        calibration.translate(told),
        middle.grouped,
        trained.alone,
        trained.words,
    )


def find_lesson_slips(whole: Lesson, taught: Flags, *, seed: int) -> Flags:
    """Tell which of the `taught` pairs are slips, by forests with and without the candidate lists."""
    slips, lesson = taught.copy(), whole.select(taught)
    views = [lesson.features, lesson.features[:, : -len(CONTEXT)]]
    slips[taught] = find_slips(lesson, views, seed=seed)
    return slips


def train(model: MatchModel, candidates: BlockedCandidates, lesson: Lesson) -> Trained:
    """Grow the forests, each on what the one before it has found."""
    seed = model.settings.seed
    fold = assign_folds(lesson.pairs.sets, seed=seed)
    alike, everybody = choose_calibrated(lesson.pairs.is_match, lesson.listed), np.ones(len(fold), dtype=bool)
    plain = _teach(lesson, lesson.features[:, : -len(CONTEXT)], fold, seed=seed, on=everybody)
    context = _teach(lesson, lesson.features, fold, seed=seed, on=alike)
    seen, proposed = look_first(candidates, model, context.scorer)
    rivals = measure_labeled_rivals(seen, lesson.pairs, context.score)
    evidence = weigh_words(candidates.blocked.records, seen, lesson.pairs, context, seed=seed)
    words = evidence.measure(candidates.blocked.records, lesson.pairs.left, lesson.pairs.right)
    second = _teach(lesson, np.hstack([lesson.features, rivals, words]), fold, seed=seed, on=alike)
    beyond = np.hstack([_forget_lists(lesson.features), np.zeros_like(rivals), words])
    alone = _teach(lesson, beyond, fold, seed=seed, on=everybody).scorer if evidence.columns else None
    listed = lesson.listed
    twice = is_at_least_as_good(lesson.pairs.is_match[listed], second.score[listed], plain.score[listed], seed=seed)
    return Trained(lesson, plain, context, second, alone, evidence, seen, proposed, twice)


def judge_held_out(trained: Trained, whole: Lesson, kept: Flags) -> Scores:
    """Return the probability of every labelled pair by forests that did not see it.

    Pairs that nobody learned from (not `kept`) and those that blocking does not propose are judged by themselves.
    """
    probability = trained.plain.scorer.probability(whole.features)
    listed = trained.lesson.listed
    probability[kept] = np.where(listed, trained.decisive.probability, trained.plain.probability)
    return probability


def count_population(model: MatchModel, candidates: Candidates, trained: Trained) -> Population:
    """Count all candidate pairs by the score that decides."""
    seen = trained.seen if trained.prefers_context else None
    scorer, words = trained.decisive.scorer, trained.words
    return count_scores(candidates, model, scorer, pairs=trained.proposed, seen=seen, words=words)


def evaluate(
    model: MatchModel, trained: Trained, whole: Lesson, probability: Scores, population: Population, *,
    middle: Middle, slips: Flags,
) -> Evaluation:  # fmt: skip
    """Measure the labelled pairs, of these out-of-fold probabilities, and estimate the quality of the whole table.

    The counts are of all labelled pairs; in the estimates `slips` have no say. Precision and recall are estimated of
    pairs that stand alone, at the threshold at which these are as right as the groups.
    """
    features, folds = trained.explained
    names, seed = model.features[: features.shape[1]], model.settings.seed
    threshold, alone = (choose_threshold(model.settings.precision_recall_tradeoff, each) for each in middle)
    unproposed = sort_out_unproposed(whole.select(~slips), probability[~slips], threshold=threshold)
    quality = None
    if population.pairs.any():
        sample, calibration = sample_lesson(trained), trained.decisive.scorer.calibration
        quality = estimate_quality(sample, population, unproposed, calibration, threshold=alone, seed=seed)
    measured = evaluate_scores(
        whole.pairs.is_match,
        probability,
        threshold=threshold,
        column_importances=measure_column_importances(features, names, trained.lesson.pairs.is_match, folds, seed=seed),
        candidate_recall=estimate_coverage(unproposed),
        quality=quality,
    )
    return replace(measured, slips=int(slips.sum()))


def foresee_gain(trained: Trained, evaluation: Evaluation, *, labelled: int, seed: int) -> ExpectedGain:
    """Return what more labels are expected to bring."""
    features, folds = trained.explained
    pairs = trained.lesson.pairs
    curve = measure_curve(features, pairs.is_match, pairs.sets, folds, judged=trained.lesson.listed, seed=seed)
    likely = int((trained.seen.column("first_score").to_numpy() >= 0.5).sum())
    return expect_gain(curve, f1=evaluation.f1, matches=likely, labelled=labelled)


def sample_lesson(trained: Trained) -> Sample:
    """Return the labelled pairs that blocking proposes, with the out-of-fold scores that decide.

    All labelled pairs, where these hold too few of a class: see `learning.choose_calibrated`.
    """
    lesson = trained.lesson
    sample = Sample(trained.decisive.score, lesson.pairs.is_match, lesson.drawn, lesson.pairs.sets, trained.slips)
    return sample.select(choose_calibrated(lesson.pairs.is_match, lesson.listed))


def sort_out_unproposed(lesson: Lesson, probability: Scores, *, threshold: float) -> Unproposed:
    """Return the labelled matches that tell what blocking misses, the likeliest being taken for chosen."""
    pairs, matches = lesson.pairs, np.flatnonzero(lesson.pairs.is_match)
    order = matches[np.argsort(-probability[matches], kind="stable")]
    sets = [pairs.sets[i] for i in order.tolist()]
    implied = order[find_unproposed(pairs.left[order], pairs.right[order], sets, lesson.listed[order])]
    names = tuple(pairs.sets[i] for i in implied.tolist())
    mistaken = expect_mistaken(len(np.unique(np.append(pairs.left, pairs.right))), len(matches))
    return Unproposed(names, lesson.listed[implied], probability[implied] >= threshold, mistaken)


def hold_out(records: Records, pairs: TrainingPairs, probability: Scores, slips: Flags) -> HeldOut:
    """Return the labelled pairs by their keys, with their out-of-fold probabilities."""
    left, right = (tuple(records.keys.take(pa.array(side)).to_pylist()) for side in (pairs.left, pairs.right))
    return HeldOut(left, right, pairs.is_match, probability, slips)


def _forget_lists(features: Feature) -> Feature:
    """Return the features as they are of pairs that no candidate list holds."""
    forgotten = features.copy()
    forgotten[:, -len(CONTEXT) :] = 0.0
    return forgotten


def weigh_words(records: Records, seen: pa.Table, pairs: TrainingPairs, first: Taught, *, seed: int) -> WordEvidence:
    """Weigh the words by what `look_first` found with the scorer `first`.

    Labelled pairs count by their out-of-fold probability: what their labels say may come from their words alone.
    """
    lo, hi, found = (seen.column(name).to_numpy() for name in ("lo", "hi", "first_score"))
    place, known = locate(lo, hi, *np.sort([pairs.left, pairs.right], axis=0))
    honest = found.copy()
    honest[place[known]] = first.score[known]
    chosen = scatter_pairs(lo, hi, seed) < WEIGHING_PAIRS / max(len(lo), 1)
    return weigh_evidence(records, lo[chosen], hi[chosen], first.scorer.calibration.apply(honest[chosen]))


def _teach(lesson: Lesson, features: Feature, fold: Rows, *, seed: int, on: Flags) -> Taught:
    """Grow a forest on all labelled pairs; fit its prior and its calibration to the out-of-fold votes of those `on`."""
    is_match, log_odds = lesson.pairs.is_match, lesson.features.shape[1] - len(CONTEXT) - 1
    folds = grow_fold_forests(features, is_match, fold, seed=seed)
    prior = fit_prior(folds.votes[on], features[on], log_odds, is_match[on])
    score = prior.mix(folds.votes, features)
    forest = grow_forest(features, is_match, seed=seed)
    scorer = Scorer(features.shape[1], forest, fit_calibration(score[on], is_match[on]), prior)
    return Taught(scorer, folds, score)


def measure_labeled_rivals(seen: pa.Table, pairs: TrainingPairs, score: Scores) -> Feature:
    """Return the RIVALS of labelled pairs, given what `look_first` found and each pair's own out-of-fold `score`.

    A labelled rival counts with its out-of-fold score too: the forest has seen it, as it will not have seen others.
    """
    lo, hi, found = (seen.column(name).to_numpy() for name in ("lo", "hi", "first_score"))
    low, high = np.minimum(pairs.left, pairs.right), np.maximum(pairs.left, pairs.right)
    place, known = locate(lo, hi, low, high)
    honest = found.copy()
    honest[place[known]] = score[known]
    at_lo, at_hi = find_rivals(
        np.append(lo, low[~known]), np.append(hi, high[~known]), np.append(honest, score[~known])
    )
    place[~known] = len(lo) + np.arange((~known).sum())
    return measure_rivals(score, at_lo[place], at_hi[place])
