"""Training: from prepared records and labelled rows to a `Learned` model. Pure numpy, on the driver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from glue_ml.domain.labels import LabeledPair, LabeledRow, labeled_pairs
from glue_ml.errors import LabelError, NotReadyError
from glue_ml.matching.blocking import list_candidates
from glue_ml.matching.candidate_lists import CONTEXT, CandidateLists, look_up_context
from glue_ml.matching.comparison import Feature, compare
from glue_ml.matching.estimation import (
    Population,
    Sample,
    estimate_quality,
    fit_population_calibration,
)
from glue_ml.matching.evaluation import Calibration, HeldOut, Quality, area_under_precision_recall, evaluate_scores
from glue_ml.matching.labeling import is_drawn
from glue_ml.matching.learning import (
    MIN_CALIBRATED,
    FoldForests,
    Scorer,
    assign_folds,
    fit_scorer,
    grow_fold_forests,
    measure_column_importances,
)
from glue_ml.matching.learning_curve import expect_gain, measure_curve
from glue_ml.matching.model import Learned, MatchModel
from glue_ml.matching.pipeline import Candidates
from glue_ml.matching.population import count_scores
from glue_ml.matching.records import Records
from glue_ml.matching.rivals import find_rivals, measure_rivals
from glue_ml.matching.row_pairs import locate
from glue_ml.matching.scoring import look_first
from glue_ml.matching.unproposed import Unproposed, estimate_coverage, find_unproposed

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

MIN_OTHERS = 100  #: Pairs that blocking does not propose, to learn from in any case.


@dataclass(frozen=True)
class TrainingPairs:
    """The labelled pairs as row numbers, with the set each was judged in."""

    left: Rows
    right: Rows
    is_match: npt.NDArray[np.bool_]
    sets: tuple[str, ...]

    def select(self, kept: Flags) -> TrainingPairs:
        """Return the pairs where `kept`."""
        sets = tuple(name for name, keep in zip(self.sets, kept, strict=True) if keep)
        return TrainingPairs(self.left[kept], self.right[kept], self.is_match[kept], sets)


def locate_pairs(records: Records, labels: Sequence[LabeledRow]) -> TrainingPairs:
    """Find the labelled pairs in the table.

    Raises LabelError for a key that the table does not hold, NotReadyError unless there is a match and a non-match.
    """
    pairs = labeled_pairs(labels)
    left, right = _find(records, pairs, "left"), _find(records, pairs, "right")
    is_match = np.array([pair.is_match for pair in pairs], dtype=bool)
    if not is_match.any() or is_match.all():
        held = "no pair at all" if not len(is_match) else "only matches" if is_match.all() else "only non-matches"
        raise NotReadyError(f"the labels hold {held}; at least one match (two rows of a set with equal labels) and "
                            "one non-match (different labels) are needed")  # fmt: skip
    return TrainingPairs(left, right, is_match, tuple(pair.labeling_set_id for pair in pairs))


def _find(records: Records, pairs: Sequence[LabeledPair], side: str) -> Rows:
    keys = [getattr(pair, side) for pair in pairs]
    rows = records.find_rows(keys)
    if (rows < 0).any():
        unknown = keys[int(np.argmax(rows < 0))]
        raise LabelError(f"the labels name key {unknown!r}, which the table does not hold; label rows of this table")
    return rows


@dataclass(frozen=True)
class Lesson:
    """What there is to learn from: labelled pairs and their features.

    `listed`: which of them blocking proposes; `drawn`: which of these were drawn at random.
    """

    pairs: TrainingPairs
    features: Feature
    listed: Flags
    drawn: Flags

    def select(self, kept: Flags) -> Lesson:
        """Return the lesson of some of the pairs."""
        return Lesson(self.pairs.select(kept), self.features[kept], self.listed[kept], self.drawn[kept])


def learn(model: MatchModel, candidates: Candidates, labels: Sequence[LabeledRow], *, source: str | None) -> Learned:
    """Learn from `labels`: grow the forests, calibrate and evaluate them out of fold.

    `candidates` are those of the table with the source column `source`; pairs within a source are left out.
    """
    records, index, seed = candidates.blocked.records, candidates.blocked.index, model.settings.seed
    pairs = across_sources(records, locate_pairs(records, labels), source)
    lists = list_candidates(index, np.unique(np.concatenate([pairs.left, pairs.right])))
    whole = prepare_lesson(model, records, lists, pairs)
    kept = choose_taught(whole, seed=seed)
    lesson = whole.select(kept)
    fold = assign_folds(lesson.pairs.sets, seed=seed)
    plain, plain_folds = _teach(lesson, lesson.features[:, : -len(CONTEXT)], fold, seed=seed, on=None)
    context, context_folds = _teach(lesson, lesson.features, fold, seed=seed, on=lesson.listed)
    seen, proposed = look_first(candidates, model, context)
    rivals = measure_labeled_rivals(seen, lesson.pairs, context_folds.score)
    second, second_folds = _teach(lesson, np.hstack([lesson.features, rivals]), fold, seed=seed, on=lesson.listed)
    prefers_context = _quality(lesson, second_folds) >= _quality(lesson, plain_folds)
    folded = second_folds if prefers_context else plain_folds
    sample = sample_lesson(lesson, folded)
    scorer = second if prefers_context else plain
    probability = plain.probability(whole.features)
    probability[kept] = np.where(
        lesson.listed, scorer.calibration.apply(folded.score), plain.calibration.apply(plain_folds.score)
    )
    folds = context_folds if prefers_context else plain_folds
    used = lesson.features if prefers_context else lesson.features[:, : -len(CONTEXT)]
    names = model.features[: used.shape[1]]
    population = count_scores(candidates, model, scorer, pairs=proposed, seen=seen if prefers_context else None)
    unproposed = sort_out_unproposed(whole, probability, threshold=model.threshold)
    evaluation = evaluate_scores(
        pairs.is_match,
        probability,
        threshold=model.threshold,
        column_importances=measure_column_importances(used, names, lesson.pairs.is_match, folds, seed=seed),
        candidate_recall=estimate_coverage(unproposed),
        quality=estimate_table(model, sample, scorer.calibration, population, unproposed),
    )
    held_out = hold_out(records, pairs, probability)
    curve = measure_curve(
        used, lesson.pairs.is_match, lesson.pairs.sets, folds, judged=lesson.listed, seed=seed
    )  # fmt: skip
    likely = int((seen.column("first_score").to_numpy() >= 0.5).sum())
    gain = expect_gain(curve, f1=evaluation.f1, matches=likely, labelled=len(labels))
    told = scorer.calibration.translate(fit_population_calibration(sample))
    return Learned(
        context, second, plain, prefers_context, source, evaluation, tuple(labels), held_out, gain, told
    )  # fmt: skip


def sample_lesson(lesson: Lesson, folds: FoldForests) -> Sample:
    """Return the labelled pairs that blocking proposes, with their out-of-fold scores.

    All labelled pairs, where these hold too few of a class: see `learning.fit_scorer`.
    """
    sample = Sample(folds.score, lesson.pairs.is_match, lesson.drawn, lesson.pairs.sets)
    listed = sample.select(lesson.listed)
    return listed if np.bincount(listed.is_match, minlength=2).min() >= MIN_CALIBRATED else sample


def estimate_table(
    model: MatchModel, sample: Sample, calibration: Calibration, population: Population, unproposed: Unproposed
) -> Quality | None:
    """Estimate the quality on all pairs of the table; None where there is no candidate pair."""
    if not population.pairs.any():
        return None
    threshold, seed = model.threshold, model.settings.seed
    return estimate_quality(sample, population, unproposed, calibration, threshold=threshold, seed=seed)


def sort_out_unproposed(lesson: Lesson, probability: Scores, *, threshold: float) -> Unproposed:
    """Return the labelled matches that tell what blocking misses, the likeliest being taken for chosen."""
    pairs, matches = lesson.pairs, np.flatnonzero(lesson.pairs.is_match)
    order = matches[np.argsort(-probability[matches], kind="stable")]
    sets = [pairs.sets[i] for i in order.tolist()]
    implied = order[find_unproposed(pairs.left[order], pairs.right[order], sets, lesson.listed[order])]
    names = tuple(pairs.sets[i] for i in implied.tolist())
    return Unproposed(names, lesson.listed[implied], probability[implied] >= threshold)


def hold_out(records: Records, pairs: TrainingPairs, probability: Scores) -> HeldOut:
    """Return the labelled pairs by their keys, with their out-of-fold probabilities."""
    left, right = (tuple(records.keys.take(pa.array(side)).to_pylist()) for side in (pairs.left, pairs.right))
    return HeldOut(left, right, pairs.is_match, probability)


def across_sources(records: Records, pairs: TrainingPairs, source: str | None) -> TrainingPairs:
    """Return the pairs whose records differ in the column `source`; all pairs where it is None."""
    codes = records.codes_of(source)
    return pairs if codes is None else pairs.select(codes[pairs.left] != codes[pairs.right])


def prepare_lesson(model: MatchModel, records: Records, lists: CandidateLists, pairs: TrainingPairs) -> Lesson:
    """Measure the labelled pairs; `lists` holds the candidates of all of their rows."""
    context = look_up_context(lists, pairs.left, pairs.right)
    features = model.measure(compare(records, pairs.left, pairs.right), context)
    listed = context[:, CONTEXT.index("lists")] > 0
    return Lesson(pairs, features, listed, listed & find_drawn(records, pairs))


def find_drawn(records: Records, pairs: TrainingPairs) -> Flags:
    """Return which pairs the names of their sets mark as drawn at random."""
    left, right = (records.keys.take(pa.array(side)).to_pylist() for side in (pairs.left, pairs.right))
    return np.array([is_drawn(*each) for each in zip(pairs.sets, left, right, strict=True)], dtype=bool)


def choose_taught(lesson: Lesson, *, seed: int) -> Flags:
    """Return which pairs to learn from: matches, proposed pairs, and as many of the others.

    Most pairs of a labelling set are rows that nobody would confuse: thousands of them teach no more than a few, they
    take most of the time, and they are unlike the pairs to be scored.
    """
    kept = lesson.listed | lesson.pairs.is_match
    others = np.flatnonzero(~kept)
    chosen = np.random.default_rng(seed).permutation(others)[: max(MIN_OTHERS, int(kept.sum()))]
    kept[chosen] = True
    return kept


def _teach(lesson: Lesson, features: Feature, fold: Rows, *, seed: int, on: Flags | None) -> tuple[Scorer, FoldForests]:
    is_match = lesson.pairs.is_match
    folds = grow_fold_forests(features, is_match, fold, seed=seed)
    columns = np.arange(features.shape[1])
    return fit_scorer(features, columns, is_match, folds, seed=seed, calibrated_on=on), folds


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


def _quality(lesson: Lesson, folds: FoldForests) -> float:
    """The area under the precision-recall curve over the pairs that blocking proposes."""
    return area_under_precision_recall(lesson.pairs.is_match[lesson.listed], folds.score[lesson.listed])
