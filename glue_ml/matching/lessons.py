"""Lessons: labelled pairs as rows of a table, measured like the pairs that are to be judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from glue_ml.domain.labels import LabeledPair, LabeledRow, labeled_pairs
from glue_ml.errors import LabelError, NotReadyError
from glue_ml.matching.candidate_lists import CONTEXT, CandidateLists, look_up_context
from glue_ml.matching.comparison import Feature, compare
from glue_ml.matching.labeling import is_drawn
from glue_ml.matching.model import MatchModel
from glue_ml.matching.records import Records

Rows = npt.NDArray[np.int64]
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


def across_sources(records: Records, pairs: TrainingPairs, source: str | None) -> TrainingPairs:
    """Return the pairs whose records differ in the column `source`; all pairs where it is None."""
    codes = records.codes_of(source)
    return pairs if codes is None else pairs.select(codes[pairs.left] != codes[pairs.right])


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
