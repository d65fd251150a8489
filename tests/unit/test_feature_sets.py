"""Sets of features against what a few lines of plain Python say, in blocks of every size."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from glue_ml.matching import feature_sets
from glue_ml.matching.feature_sets import FeatureSets, count_numbers, list_blocks, unite
from glue_ml.matching.tokens import Incidence

WIDTH = 6
sets_of_rows = st.lists(st.frozensets(st.integers(0, WIDTH - 1)), max_size=12)


def to_matrix(sets: list[frozenset[int]]) -> Incidence:
    """Return the sets as a 0/1 matrix."""
    offsets = np.cumsum([0, *map(len, sets)])
    numbers = np.array([number for each in sets for number in sorted(each)], dtype=np.int32)
    return sparse.csr_matrix((np.ones(len(numbers), np.float32), numbers, offsets), shape=(len(sets), WIDTH))


def to_sets(offsets: np.ndarray, numbers: np.ndarray) -> list[list[int]]:
    return [numbers[start:end].tolist() for start, end in pairwise(offsets)]


@pytest.fixture(params=[1, 3, 1_000])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(feature_sets, "ROWS_AT_ONCE", request.param)
    monkeypatch.setattr(feature_sets, "NUMBERS_AT_ONCE", request.param)
    return int(request.param)


@pytest.mark.usefixtures("block")
class TestBlocks:
    """Whatever the size of the blocks."""

    @given(rows=st.integers(0, 12))
    def test_blocks_cover_every_row_once(self, rows: int) -> None:
        assert [row for block in list_blocks(rows) for row in range(rows)[block]] == list(range(rows))

    @given(values=st.lists(sets_of_rows, max_size=3), data=st.data())
    def test_a_row_has_what_any_of_its_values_has(
        self, values: list[list[frozenset[int]]], data: st.DataObject
    ) -> None:
        rows = data.draw(st.integers(0, 12))
        codes = [data.draw(st.lists(st.integers(-1, len(each) - 1), min_size=rows, max_size=rows)) for each in values]
        parts = [
            (to_matrix([*each, frozenset()]), np.array(places, dtype=np.int32))
            for each, places in zip(values, codes, strict=True)
        ]
        expected = [
            sorted({n for each, places in zip(values, codes, strict=True) for n in [*each, frozenset()][places[row]]})
            for row in range(rows)
        ]
        assert to_sets(*unite(parts, rows)) == expected

    @given(sets=sets_of_rows, data=st.data())
    def test_rows_are_weighed_by_all_features_and_keep_some(
        self, sets: list[frozenset[int]], data: st.DataObject
    ) -> None:
        weights = np.array(
            data.draw(st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=WIDTH, max_size=WIDTH)), dtype=np.float32
        )
        kept = np.array(data.draw(st.lists(st.booleans(), min_size=WIDTH, max_size=WIDTH)))
        matrix = to_matrix(sets)
        weighed = FeatureSets.of(matrix, np.arange(WIDTH)).weigh(weights, kept)
        dense = matrix.toarray() * weights
        length = np.maximum(np.sqrt((dense**2).sum(axis=1, keepdims=True)), 1e-6)
        np.testing.assert_allclose(weighed.toarray(), dense / length * kept, rtol=1e-6)
        assert (weighed.data > 0).all()

    @given(numbers=st.lists(st.integers(0, WIDTH - 1), max_size=20))
    def test_numbers_are_counted(self, numbers: list[int]) -> None:
        counted = count_numbers(np.array(numbers, dtype=np.int32), WIDTH)
        assert counted.tolist() == [numbers.count(number) for number in range(WIDTH)]


def test_a_feature_is_counted_once_in_a_row() -> None:
    sets = FeatureSets.of(to_matrix([frozenset({0, 2}), frozenset({2}), frozenset()]), np.arange(WIDTH))
    assert sets.frequency.tolist() == [1, 0, 2, 0, 0, 0]
    assert sets.rows == 3
