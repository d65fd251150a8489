"""Sets of numbers as sorted arrays, against Python's own sets."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from glue_ml.matching.sorted_sets import distinct, is_in

NUMBERS = st.lists(st.integers(-(2**62), 2**62) | st.integers(-3, 3), max_size=30)


@given(values=NUMBERS)
def test_distinct_values_come_once_and_in_order(values: list[int]) -> None:
    assert distinct(np.array(values, dtype=np.int64)).tolist() == sorted(set(values))


@given(values=NUMBERS, known=NUMBERS)
def test_values_are_in_a_set_or_not(values: list[int], known: list[int]) -> None:
    found = is_in(np.array(values, dtype=np.int64), np.array(sorted(known), dtype=np.int64))
    assert found.tolist() == [value in set(known) for value in values]
