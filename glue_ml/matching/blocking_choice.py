"""What labels say about blocking: whether matches cross sources only, and which further views find matches.

Keys and letter groups of words are always searched. A view of meaning, and keys learned from labels, stay where they
alone propose some of the labelled matches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from glue_ml.domain.labels import LabeledRow
from glue_ml.matching.blocking import LEARNED_KEYS, BlockingIndex, build_index, list_candidates
from glue_ml.matching.candidate_lists import look_up_lists
from glue_ml.matching.key_rules import KeyRule, learn_key_rules
from glue_ml.matching.lessons import TrainingPairs, across_sources, locate_pairs
from glue_ml.matching.model import MatchModel
from glue_ml.matching.pipeline import Blocked
from glue_ml.matching.records import Records, add_meaning, could_be_source
from glue_ml.matching.semantic_view import SemanticView
from glue_ml.matching.source_guess import guess_source

Bits = npt.NDArray[np.int64]

MIN_SOURCE_MATCHES = 10  #: Labelled matches needed before a column is believed to name the source.
SOURCE_SHARE = 0.95  #: Share of the matches that must differ in it.
MIN_MATCHES = 20  #: Labelled matches needed before keys are learned.
ENOUGH_MATCHES = 100  #: Without one that only a view proposes, it is 95 % certain that it adds less than 3 in 100.
MIN_GAIN = 0.01  #: Share of the labelled matches that a view must add to what the others find.


def block_by_labels(
    model: MatchModel, blocked: Blocked, labels: Sequence[LabeledRow]
) -> tuple[MatchModel, Blocked, str | None]:
    """Return the model and its blocking as `labels` want them, and the source column that they show, if any.

    `blocked` is what was blocked without labels. Raises LabelError or NotReadyError where labels cannot be used.
    """
    records, budget = blocked.records, blocked.index.budget
    pairs = locate_pairs(records, labels)
    matches = pairs.select(pairs.is_match)
    source = find_source(records, blocked.index, matches, seed=model.settings.seed)
    matches = across_sources(records, matches, source)
    if source is not None:
        blocked = Blocked(records, build_index(records, budget, source=source))
    rules = _learn_rules(blocked, matches)
    if model.semantics is None and not rules:
        return model, blocked, source
    every = model if model.semantics is None else _search_by_meaning(model, frozenset(model.semantics.columns))
    whole = block(replace(every, key_rules=rules), blocked, source)
    kept = choose_views(whole.index, matches.left, matches.right)
    model = _keep_views(replace(every, key_rules=rules), kept)
    keeps_all = all(view.name in kept for view in whole.index.views if view.is_optional)
    return model, whole if keeps_all else block(model, blocked, source), source


def choose_credible(index: BlockingIndex, matches: TrainingPairs) -> TrainingPairs:
    """Return the labelled matches that blocking proposes, if they are enough to tell the source by; else all.

    A row with a wrong label matches any row of its set: most of such pairs have nothing in common.
    """
    proposed = find_views(index, matches.left, matches.right) > 0
    return matches.select(proposed) if proposed.sum() >= MIN_SOURCE_MATCHES else matches


def find_source(records: Records, index: BlockingIndex, matches: TrainingPairs, *, seed: int) -> str | None:
    """Return the column in which matches differ, if labels show one, or do not contradict what the table suggests.

    The latter only where they are too few to show anything: see `guess_source`.
    """
    credible = choose_credible(index, matches)
    if len(credible.left) >= MIN_SOURCE_MATCHES:
        return find_source_column(records, credible)
    guessed = guess_source(records, index, seed=seed)
    codes = records.codes_of(guessed)
    return guessed if codes is not None and (codes[matches.left] != codes[matches.right]).all() else None


def find_source_column(records: Records, matches: TrainingPairs) -> str | None:
    """Return the column in which the labelled matches differ, if there is one: the table then joins several sources.

    It must be a category that every row has, and enough matches must speak for it; a few mistaken labels may not.
    """
    if len(matches.left) < MIN_SOURCE_MATCHES:
        return None
    for column in filter(could_be_source, records.columns):
        differ = float((column.codes[matches.left] != column.codes[matches.right]).mean())
        by_chance = 1.0 - float((np.bincount(column.codes) / len(records)).max())
        if differ >= SOURCE_SHARE and by_chance < SOURCE_SHARE:
            return column.profile.name
    return None


def block(model: MatchModel, blocked: Blocked, source: str | None) -> Blocked:
    """Return the records of `blocked` as `model` wants them blocked, across the sources of a column or among all."""
    records = blocked.records if model.semantics is None else add_meaning(blocked.records, model.semantics)
    return Blocked(records, build_index(records, blocked.index.budget, source=source, rules=model.key_rules))


def _learn_rules(blocked: Blocked, matches: TrainingPairs) -> tuple[KeyRule, ...]:
    if len(matches.left) < MIN_MATCHES:
        return ()
    missed = find_views(blocked.index, matches.left, matches.right) == 0
    if missed.mean() < MIN_GAIN:
        return ()
    return learn_key_rules(blocked.records, matches.left[missed], matches.right[missed])


def _search_by_meaning(model: MatchModel, columns: frozenset[str]) -> MatchModel:
    assert model.semantics is not None
    return replace(model, semantics=replace(model.semantics, searched=columns))


def _keep_views(model: MatchModel, kept: frozenset[str]) -> MatchModel:
    """Return the model that searches only the optional views of these names."""
    rules = model.key_rules if LEARNED_KEYS in kept else ()
    model = replace(model, key_rules=rules)
    if model.semantics is None:
        return model
    columns = model.semantics.searched
    return _search_by_meaning(model, frozenset(c for c in columns if SemanticView.name_for(c) in kept))


def choose_views(index: BlockingIndex, left: Bits, right: Bits) -> frozenset[str]:
    """Return the names of the optional views that pay, given labelled matches and an index with all of its views.

    They are taken greedily, the one that proposes most of the matches that no other does first, as long as one adds
    MIN_GAIN. Before enough matches are labelled to tell, all are kept: what is not searched is not asked about, so no
    label would ever bring a view back that chance has taken away.
    """
    optional = [bit for bit, view in enumerate(index.views) if view.is_optional]
    if len(left) < ENOUGH_MATCHES:
        return frozenset(index.views[bit].name for bit in optional)
    bits = find_views(index, left, right)
    always = sum(1 << bit for bit in range(len(index.views)) if bit not in optional)
    return frozenset(index.views[bit].name for bit in _cover(bits, bits & always > 0, optional))


def find_views(index: BlockingIndex, left: Bits, right: Bits) -> Bits:
    """Return the bit set of the views that propose each pair of rows, from either side."""
    lists = list_candidates(index, np.unique(np.append(left, right)))
    return look_up_lists(lists, left, right)[0] | look_up_lists(lists, right, left)[0]


def _cover(bits: Bits, covered: npt.NDArray[np.bool_], rest: list[int]) -> list[int]:
    """Return the bits that add most to those `covered`, in the order in which they do."""
    gains = [float((~covered & (bits >> bit & 1 > 0)).mean()) for bit in rest]
    if not rest or max(gains) < MIN_GAIN:
        return []
    best = rest[int(np.argmax(gains))]
    return [best, *_cover(bits, covered | (bits >> best & 1 > 0), [bit for bit in rest if bit != best])]
