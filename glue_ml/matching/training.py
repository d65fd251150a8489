"""Training: from prepared records and labelled rows to a `Learned` model. Pure numpy, on the driver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glue_ml.domain.labels import LabeledPair, LabeledRow, labeled_pairs
from glue_ml.errors import LabelError, NotReadyError
from glue_ml.matching.blocking import (
    CONTEXT,
    BlockingIndex,
    CandidateLists,
    build_index,
    list_candidates,
    look_up_context,
)
from glue_ml.matching.comparison import compare
from glue_ml.matching.evaluation import area_under_precision_recall, evaluate_scores
from glue_ml.matching.learning import (
    FoldForests,
    assign_folds,
    fit_scorer,
    grow_fold_forests,
    measure_column_importances,
)
from glue_ml.matching.model import Learned, MatchModel
from glue_ml.matching.profile import ColumnKind
from glue_ml.matching.records import Records

Rows = npt.NDArray[np.int64]

MIN_SOURCE_MATCHES = 10  #: Labelled matches needed before a column is believed to name the source.
SOURCE_SHARE = 0.95  #: Share of the matches that must differ in it.
MAX_SOURCES = 10  #: Each source has an inverted index of its own.


@dataclass(frozen=True)
class TrainingPairs:
    """The labelled pairs as row numbers, with the set each was judged in."""

    left: Rows
    right: Rows
    is_match: npt.NDArray[np.bool_]
    sets: tuple[str, ...]


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


def find_source_column(records: Records, pairs: TrainingPairs) -> str | None:
    """Return the column in which the labelled matches differ, if there is one: the table then joins several sources.

    It must be a category that every row has, and enough matches must speak for it; a few mistaken labels may not.
    """
    if pairs.is_match.sum() < MIN_SOURCE_MATCHES:
        return None
    left, right = pairs.left[pairs.is_match], pairs.right[pairs.is_match]
    for column in records.columns:
        sources = len(column.values)
        if column.profile.kind is ColumnKind.CATEGORY and column.profile.fill == 1.0 and sources <= MAX_SOURCES:
            differ = float((column.codes[left] != column.codes[right]).mean())
            by_chance = 1.0 - float((np.bincount(column.codes) / len(records)).max())
            if differ >= SOURCE_SHARE and by_chance < SOURCE_SHARE:
                return column.profile.name
    return None


def learn(model: MatchModel, records: Records, index: BlockingIndex, labels: Sequence[LabeledRow]) -> Learned:
    """Learn from `labels`: grow the forests, calibrate and evaluate them out of fold."""
    pairs = locate_pairs(records, labels)
    seed = model.settings.seed
    source = find_source_column(records, pairs)
    if source is not None:
        index = build_index(records, index.budget, source=source)
    lists = list_candidates(index, np.unique(np.concatenate([pairs.left, pairs.right])))
    context = look_up_context(lists, pairs.left, pairs.right, budget=index.budget)
    features = model.measure(compare(records, pairs.left, pairs.right), context)
    names = model.features
    everything = np.arange(features.shape[1])
    alone = everything[: -len(CONTEXT)]
    fold = assign_folds(pairs.sets, seed=seed)
    with_context = grow_fold_forests(features, pairs.is_match, fold, seed=seed)
    without = grow_fold_forests(features[:, alone], pairs.is_match, fold, seed=seed)
    scorers = [
        fit_scorer(features, columns, pairs.is_match, folds, seed=seed)
        for columns, folds in ((everything, with_context), (alone, without))
    ]
    prefers_context = _quality(pairs, with_context) >= _quality(pairs, without)
    chosen, folds = (scorers[0], with_context) if prefers_context else (scorers[1], without)
    used = features if prefers_context else features[:, alone]
    evaluation = evaluate_scores(
        pairs.is_match,
        chosen.calibration.apply(folds.score),
        threshold=model.threshold,
        column_importances=measure_column_importances(used, names[: used.shape[1]], pairs.is_match, folds, seed=seed),
        candidate_recall=measure_candidate_recall(lists, pairs),
    )
    return Learned(scorers[0], scorers[1], prefers_context, source, evaluation, tuple(labels))


def _quality(pairs: TrainingPairs, folds: FoldForests) -> float:
    return area_under_precision_recall(pairs.is_match, folds.score)


def measure_candidate_recall(lists: CandidateLists, pairs: TrainingPairs) -> float:
    """Return the share of labelled matches that blocking proposes from either side: what no model can win back."""
    width = np.int64(1 + max(lists.other.max(initial=0), pairs.left.max(initial=0), pairs.right.max(initial=0)))
    proposed = lists.row * width + lists.other
    found = np.isin(pairs.left * width + pairs.right, proposed) | np.isin(pairs.right * width + pairs.left, proposed)
    return float(found[pairs.is_match].mean())
