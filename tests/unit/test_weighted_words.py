"""Weighted word sets against sets written out."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from glue_ml.matching.weighted_words import WeightedWords, add_up, find_largest

WEIGHT = np.array([0.0, 0.25, 0.5, 0.75, 1.0, 0.125], dtype=np.float32)
SETS = st.lists(st.sets(st.integers(0, 5)), min_size=2, max_size=6)


def make_words(sets: list[set[int]]) -> sparse.csr_matrix:
    dense = np.zeros((len(sets), len(WEIGHT)), dtype=np.float32)
    for row, words in enumerate(sets):
        dense[row, list(words)] = 1.0
    return sparse.csr_matrix(dense)


@given(SETS)
def test_pairs_of_sets_are_measured_as_written_out(sets: list[set[int]]) -> None:
    words = WeightedWords.weigh(make_words(sets), WEIGHT)
    left, right = (side.ravel() for side in np.meshgrid(np.arange(len(sets)), np.arange(len(sets))))
    met = words.meet(left, right)
    alone = met.find_largest_alone()
    for place, (a, b) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        shared = sets[a] & sets[b]
        assert add_up(met.shared)[place] == sum(WEIGHT[list(shared)])
        assert find_largest(met.shared)[place] == max(WEIGHT[list(shared)], default=0.0)
        for side, mine in ((0, a), (1, b)):
            assert met.totals[side][place] == sum(WEIGHT[list(sets[mine])])
            assert alone[side][place] == max(WEIGHT[list(sets[mine] - shared)], default=0.0)


def test_weighing_leaves_the_sets_as_they_were() -> None:
    words = make_words([{0, 1, 2}, {0, 3}, {0}])
    before = words.toarray()
    light, heavy = WeightedWords.weigh(words, WEIGHT * 0), WeightedWords.weigh(words, WEIGHT)
    assert light.matrix.nnz == 0
    assert heavy.matrix.nnz == 3
    np.testing.assert_array_equal(words.toarray(), before)


def test_sets_without_any_word_have_nothing_in_common() -> None:
    words = WeightedWords.weigh(sparse.csr_matrix((2, 1), dtype=np.float32), WEIGHT[:1])
    met = words.meet(np.array([0]), np.array([1]))
    assert find_largest(met.shared).tolist() == add_up(met.shared).tolist() == [0.0]
