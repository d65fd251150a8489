"""Lists that were packed and met tell of each pair what they tell where they are all at hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glue_ml.matching.bundles import choose_bundles, meet_lists, pack_lists
from glue_ml.matching.candidate_lists import CONTEXT, CandidateLists, look_up_context, rank_candidates

LISTED = st.sets(st.tuples(st.integers(0, 8), st.integers(0, 8)).filter(lambda pair: pair[0] != pair[1]), max_size=30)


def make_lists(listed: set[tuple[int, int]]) -> CandidateLists:
    row, other = np.array(sorted(listed), dtype=np.int64).reshape(-1, 2).T
    score = (np.minimum(row, other) * 7 + np.maximum(row, other) * 3) % 5 / np.float32(4.0)
    return rank_candidates(row, other, score.astype(np.float32), (1 + row % 3).astype(np.int8))


def select(lists: CandidateLists, kept: np.ndarray) -> CandidateLists:
    return CandidateLists(*(getattr(lists, name)[kept] for name in ("row", "other", "score", "rank", "ratio", "views")))


@given(LISTED, st.integers(1, 6), st.integers(1, 4))
def test_pairs_meet_whoever_lists_them_and_whatever_the_bundles(
    listed: set[tuple[int, int]], bundles: int, tasks: int
) -> None:
    lists = make_lists(listed)
    sent = [pack_lists(select(lists, lists.row % tasks == task), bundles, rows=9) for task in range(tasks)]
    met = [meet_lists([packed[place] for packed in sent if place in packed]) for place in range(bundles)]
    lo, hi, context = (np.concatenate(part) for part in zip(*met, strict=True))
    order = np.lexsort((hi, lo))
    expected = sorted({(min(pair), max(pair)) for pair in listed})
    assert list(zip(lo[order].tolist(), hi[order].tolist(), strict=True)) == expected
    left, right = np.array(expected, dtype=np.int64).reshape(-1, 2).T
    np.testing.assert_array_equal(context[order], look_up_context(lists, left, right))


def test_a_bundle_without_entries_has_no_pairs() -> None:
    lo, hi, context = meet_lists([])
    assert (len(lo), len(hi), context.shape) == (0, 0, (0, len(CONTEXT)))


@pytest.mark.parametrize("bundles", [3, 64, 200])
def test_pairs_are_dealt_out_evenly(bundles: int) -> None:
    lo, hi = (side.ravel() for side in np.meshgrid(np.arange(400), np.arange(400, 800)))
    dealt = np.bincount(choose_bundles(lo, hi, bundles, rows=800), minlength=bundles)
    assert dealt.max() < 1.15 * dealt.mean()
    assert dealt.min() > 0.85 * dealt.mean()
