"""Whether a table joins two sources, told without labels: by how far the nearest neighbours of its rows stand out.

Where a column names two sources that hold few duplicates of their own, a row's match lies across, and what else is
like it (other models of a product, other films of a series) mostly within. So if only rows across are looked at, the
match stands out from all others. It does less so beside any other half of the table: with rows dealt out by chance half
of the matches are on a row's own side. A column in which matches agree, as most do, makes fewer rows stand out.
"""

from __future__ import annotations

import numpy as np

from glue_ml.matching.blocking import BlockingIndex, code_sources, list_candidates, look_across, take_rows
from glue_ml.matching.records import Column, Records, could_be_source
from glue_ml.matching.views import Sources

STANDS_OUT = 1.5  #: A nearest neighbour is so many times as near as the next one.
LEAST_GAIN = 1.25  #: Pairs that stand out, for each where rows are dealt out by chance; two equal sources have 2.
LEAST_DEVIATIONS = 3.0  #: Standard deviations of the difference between the two counts.
DEALS = 3  #: So often rows are dealt out by chance.
SAMPLED_ROWS = 20_000  #: Of a larger table so many rows are looked at by themselves.


def guess_source(records: Records, index: BlockingIndex, *, seed: int) -> str | None:
    """Return the column that seems to name the two sources of a table, None where none does.

    `index` has no source yet. Cost: for each column of two values 1 + DEALS self-joins of at most SAMPLED_ROWS rows.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(index.rows)[:SAMPLED_ROWS])
    sampled = take_rows(index, rows)
    gains = {}
    for column in filter(_names_two, records.columns):
        source = code_sources(records, column.profile.name)
        assert source is not None
        gains[column.profile.name] = measure_gain(sampled, source[rows], seed=seed)
    best = max(gains, key=lambda name: gains[name], default=None)
    return None if best is None or gains[best] < LEAST_GAIN else best


def _names_two(column: Column) -> bool:
    return could_be_source(column) and len(column.values) == 2


def measure_gain(index: BlockingIndex, source: Sources, *, seed: int) -> float:
    """Return how many times as many pairs stand out across a column as by chance; 1 where that may be chance."""
    rng = np.random.default_rng(seed)
    across = count_outstanding(index, source)
    by_chance = sum(count_outstanding(index, rng.permutation(source)) for _ in range(DEALS)) / DEALS
    is_sure = across - by_chance >= LEAST_DEVIATIONS * (across + by_chance / DEALS) ** 0.5
    return across / max(by_chance, 1.0) if is_sure else 1.0


def count_outstanding(index: BlockingIndex, source: Sources) -> int:
    """Count the pairs that are nearest to one another of all across and stand out for both."""
    lists = list_candidates(look_across(index, source), np.arange(index.rows))
    chosen = (lists.rank == 1) & (lists.ratio >= STANDS_OUT)
    row, other = lists.row[chosen], lists.other[chosen]
    return int(np.isin(row * index.rows + other, other * index.rows + row).sum()) // 2
