"""Whether a table joins two sources, told without labels: by how far the nearest neighbours of its rows stand out.

Where a column names two sources that hold few duplicates of their own, a row's match lies across, and what else is
like it (other models of a product, other films of a series) mostly within. So if only rows across are looked at, the
match stands out from all others. It does less so beside any other half of the table: with rows dealt out by chance half
of the matches are on a row's own side. A column in which matches agree, as most do, makes fewer rows stand out.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from glue_ml.matching.blocking import BlockingIndex, code_sources, list_candidates, look_across
from glue_ml.matching.candidate_lists import CandidateLists
from glue_ml.matching.records import Column, Records, could_be_source
from glue_ml.matching.views import Sources

Rows = npt.NDArray[np.int64]

STANDS_OUT = 1.5  #: A nearest neighbour is so many times as near as the next one.
LEAST_GAIN = 1.3  #: Pairs that stand out, for each where rows are dealt out by chance; two equal sources have 2.
LEAST_DEVIATIONS = 3.0  #: Standard deviations of the difference between the two counts.
DEALS = 3  #: So often rows are dealt out by chance.
SAMPLED_ROWS = 10_000  #: Of a larger table these rows are looked at, and their neighbours.


def guess_source(records: Records, index: BlockingIndex, *, seed: int) -> str | None:
    """Return the column that seems to name the two sources of a table, None where none does.

    `index` has no source yet. Cost: for each column of two values 1 + DEALS searches of at most
    SAMPLED_ROWS rows and their neighbours.
    """
    gains = {
        column.profile.name: gain
        for column in records.columns
        if _names_two(column) and (gain := _measure_gain(records, index, column.profile.name, seed=seed)) > 0.0
    }
    return max(gains, key=lambda name: gains[name], default=None)


def _names_two(column: Column) -> bool:
    return could_be_source(column) and len(column.values) == 2


def _measure_gain(records: Records, index: BlockingIndex, name: str, *, seed: int) -> float:
    """Return how many times as many pairs stand out across a column as by chance; 0 where that may be chance."""
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(index.rows)[:SAMPLED_ROWS])
    source = code_sources(records, name)
    assert source is not None
    across = count_outstanding(index, source, rows)
    by_chance = sum(count_outstanding(index, rng.permutation(source), rows) for _ in range(DEALS)) / DEALS
    is_sure = across - by_chance >= LEAST_DEVIATIONS * (across + by_chance / DEALS) ** 0.5
    gain = across / max(by_chance, 1.0)
    return gain if is_sure and gain >= LEAST_GAIN else 0.0


def count_outstanding(index: BlockingIndex, source: Sources, rows: Rows) -> int:
    """Count the pairs, one of each in `rows`, that are nearest to one another of all across and stand out for both."""
    across = look_across(index, source)
    row, other = _find_outstanding(list_candidates(across, rows))
    back, own = _find_outstanding(list_candidates(across, np.unique(other)))
    mutual = np.isin(row * index.rows + other, own * index.rows + back)
    lo, hi = np.minimum(row, other)[mutual], np.maximum(row, other)[mutual]
    return len(np.unique(lo * index.rows + hi))


def _find_outstanding(lists: CandidateLists) -> tuple[Rows, Rows]:
    """Return the rows whose nearest neighbour stands out, and these neighbours."""
    chosen = (lists.rank == 1) & (lists.ratio >= STANDS_OUT)
    return lists.row[chosen], lists.other[chosen]
