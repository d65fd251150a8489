"""What labels say about blocking: whether matches cross sources only, and where meaning finds what words do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from glue_ml.domain.labels import LabeledRow
from glue_ml.matching.blocking import BlockingIndex, build_index, list_candidates
from glue_ml.matching.candidate_lists import look_up_lists
from glue_ml.matching.model import MatchModel
from glue_ml.matching.pipeline import Blocked
from glue_ml.matching.records import Records, add_meaning
from glue_ml.matching.semantic_view import SemanticView
from glue_ml.matching.training import across_sources, find_source_column, locate_pairs

Rows = npt.NDArray[np.int64]

MIN_MATCHES = 20  #: Labelled matches needed before a view is given up.
MIN_GAIN = 0.01  #: Share of the labelled matches that a view must add to what the others find.


def block_by_labels(
    model: MatchModel, blocked: Blocked, labels: Sequence[LabeledRow]
) -> tuple[MatchModel, Blocked, str | None]:
    """Return the model and its blocking as `labels` want them, and the source column that they show, if any.

    `blocked` is what was blocked without labels. Raises LabelError or NotReadyError where labels cannot be used.
    """
    pairs = locate_pairs(blocked.records, labels)
    source = find_source_column(blocked.records, pairs)
    matches = across_sources(blocked.records, pairs.select(pairs.is_match), source)
    if model.semantics is None:
        return model, blocked if source is None else _block(blocked.records, blocked.index, source), source
    every = replace(model.semantics, searched=frozenset(model.semantics.columns))
    whole = _block(add_meaning(blocked.records, every), blocked.index, source)
    chosen = replace(every, searched=choose_searched(whole.index, matches.left, matches.right))
    views = tuple(v for v in whole.index.views if not isinstance(v, SemanticView) or v.column in chosen.searched)
    blocked = Blocked(add_meaning(blocked.records, chosen), replace(whole.index, views=views))
    return replace(model, semantics=chosen), blocked, source


def _block(records: Records, index: BlockingIndex, source: str | None) -> Blocked:
    return Blocked(records, build_index(records, index.budget, source=source))


def choose_searched(index: BlockingIndex, left: Rows, right: Rows) -> frozenset[str]:
    """Return the columns to be searched by meaning, given labelled matches and an index with all of its views.

    A semantic view pays where it alone proposes some of the matches. They are taken greedily, the one that adds most
    first, as long as one adds MIN_GAIN. Before enough matches are labelled to tell, all are searched.
    """
    views = {bit: view.column for bit, view in enumerate(index.views) if isinstance(view, SemanticView)}
    if len(left) < MIN_MATCHES or not views:
        return frozenset(views.values())
    lists = list_candidates(index, np.unique(np.append(left, right)))
    bits = look_up_lists(lists, left, right)[0] | look_up_lists(lists, right, left)[0]
    words = sum(1 << bit for bit in range(len(index.views)) if bit not in views)
    return frozenset(views[bit] for bit in _cover(bits, bits & words > 0, sorted(views)))


def _cover(bits: Rows, covered: npt.NDArray[np.bool_], rest: list[int]) -> list[int]:
    """Return the bits that add most to those `covered`, in the order in which they do."""
    gains = [float((~covered & (bits >> bit & 1 > 0)).mean()) for bit in rest]
    if not rest or max(gains) < MIN_GAIN:
        return []
    best = rest[int(np.argmax(gains))]
    return [best, *_cover(bits, covered | (bits >> best & 1 > 0), [bit for bit in rest if bit != best])]
