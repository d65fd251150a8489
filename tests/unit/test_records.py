"""How often values occur, looked up by text."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from glue_ml.matching.records import look_up_counts

TEXTS = st.lists(st.text("abä ", max_size=3), unique=True, max_size=12).map(sorted)


@given(TEXTS, TEXTS)
def test_every_value_gets_its_count_whichever_are_more(values: list[str], known: list[str]) -> None:
    counts = np.arange(1, len(known) + 1)
    found = look_up_counts(pa.array(values, pa.string()), pa.array(known, pa.string()), counts)
    assert found.tolist() == [known.index(value) + 1 if value in known else 0 for value in values]
