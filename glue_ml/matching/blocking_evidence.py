"""What blocking sees in a pair: the words and letter groups that bring it together, and its rank among rivals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from glue_ml.matching.blocking import BlockingIndex
from glue_ml.matching.blocking_keys import spell_keys
from glue_ml.matching.candidate_lists import CandidateLists, look_up_lists
from glue_ml.matching.records import Records
from glue_ml.matching.sparse_view import SparseView
from glue_ml.matching.tokens import spell_grams
from glue_ml.matching.views import View

Rows = npt.NDArray[np.int64]

SHOWN_TERMS = 8  #: Shared words or letter groups told for each view.


@dataclass(frozen=True)
class ViewEvidence:
    """What one view of blocking sees in a pair.

    `cosine` is the likeness in this view; `shared` the words or letter groups that make most of it, each with its share
    of the cosine, the largest first.
    """

    view: str
    proposed: bool
    cosine: float
    shared: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class BlockingEvidence:
    """Why the pair was compared at all. A rank counts from 1 in the candidate list of one record; None: not in it."""

    views: tuple[ViewEvidence, ...]
    rank_of_b_for_a: int | None
    rank_of_a_for_b: int | None

    @property
    def proposed_by(self) -> tuple[str, ...]:
        """The views that propose the pair from either side; empty where blocking does not."""
        return tuple(view.view for view in self.views if view.proposed)


def find_evidence(
    records: Records, index: BlockingIndex, lists: CandidateLists, left: int, right: int
) -> BlockingEvidence:
    """Return what blocking sees in a pair of rows whose candidate lists are in `lists`."""
    rows, others = np.array([left, right]), np.array([right, left])
    bits, ranks = look_up_lists(lists, rows, others)
    either = int(bits[0] | bits[1])
    views = tuple(
        _look_through(view, records, left, right, proposed=bool(either >> bit & 1))
        for bit, view in enumerate(index.views)
    )
    rank_of_b, rank_of_a = (int(rank) or None for rank in ranks)
    return BlockingEvidence(views, rank_of_b, rank_of_a)


def _look_through(view: View, records: Records, left: int, right: int, *, proposed: bool) -> ViewEvidence:
    if not isinstance(view, SparseView):
        return ViewEvidence(view.name, proposed, float(view.cosine(np.array([left]), np.array([right]))[0]), ())
    product = view.matrix[[left]].multiply(view.matrix[[right]]).tocsr()
    spelled = _spell(view.name, records, left, right)
    shares: dict[str, float] = {}
    for code, share in zip(view.codes[product.indices].tolist(), product.data.tolist(), strict=True):
        term = spelled.get(code)
        if term is not None:
            shares[term] = shares.get(term, 0.0) + share
    shared = sorted(shares.items(), key=lambda item: (-item[1], item[0]))[:SHOWN_TERMS]
    return ViewEvidence(view.name, proposed, float(product.sum()), tuple(shared))


def _spell(name: str, records: Records, left: int, right: int) -> Mapping[int, str]:
    """Return the text of the features that two records may share in a view; other views have nothing to spell."""
    if name == "keys":
        shared = np.intersect1d(records.words[[left]].indices, records.words[[right]].indices)
        # in the order of the vocabulary, as the words are paired
        return spell_keys(records.vocabulary.take(pa.array(shared)).to_pylist())
    return _spell_shared_grams(records, left, right) if name == "grams" else {}


def _spell_shared_grams(records: Records, left: int, right: int) -> Mapping[int, str]:
    sides: list[dict[int, str]] = [{}, {}]
    for column in records.columns:
        for side, row in zip(sides, (left, right), strict=True):
            if column.words is not None and (value := column.read(row)) is not None:
                side |= spell_grams(value)
    return {code: gram for code, gram in sides[0].items() if code in sides[1]}
