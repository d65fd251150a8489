"""Sets of numbers as sorted arrays, against Python's own sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glue_ml.matching import sorted_sets
from glue_ml.matching.sorted_sets import distinct, is_in, number_distinct

NUMBERS = st.lists(st.integers(-(2**62), 2**62) | st.integers(-3, 3), max_size=30)
HASHES = st.lists(st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-(2**63), -1, 0, 2**63 - 1]), max_size=60)


@given(values=NUMBERS)
def test_distinct_values_come_once_and_in_order(values: list[int]) -> None:
    assert distinct(np.array(values, dtype=np.int64)).tolist() == sorted(set(values))


@given(values=NUMBERS, known=NUMBERS)
def test_values_are_in_a_set_or_not(values: list[int], known: list[int]) -> None:
    found = is_in(np.array(values, dtype=np.int64), np.array(sorted(known), dtype=np.int64))
    assert found.tolist() == [value in set(known) for value in values]


@given(values=HASHES)
def test_many_numbers_are_numbered_as_few_are(values: list[int]) -> None:
    numbers = np.array(values, dtype=np.int64)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sorted_sets, "NUMBERED_AT_ONCE", 0)
        known, place = number_distinct(numbers)
    assert known.tolist() == sorted(set(values))
    assert known[place].tolist() == values
    assert [part.tolist() for part in number_distinct(numbers)] == [known.tolist(), place.tolist()]
