"""What a table itself says about how well its rows can be matched: columns, frequent values, unlinkable rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glue_ml.matching.blocking import BlockingIndex, list_candidates
from glue_ml.matching.model import MatchModel
from glue_ml.matching.records import Column, Records

Rows = npt.NDArray[np.int64]

FREQUENT_VALUES = 5
SAMPLE_ROWS = 20_000  #: Of a larger table so many rows are looked at for candidates and self-comparison.
SHOWN_UNLINKABLE = 10


@dataclass(frozen=True)
class ColumnQuality:
    """One compared column: how many rows have a value, how many distinct ones there are, and the most frequent.

    Values are counted as they are compared: case, accents and white space folded.
    """

    name: str
    kind: str
    rows: int
    filled: int
    distinct: int
    frequent: tuple[tuple[str, int], ...]

    @property
    def completeness(self) -> float:
        """The share of the rows that have a value."""
        return self.filled / self.rows if self.rows else 0.0

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is worth a look before more rows are labelled."""
        found = []
        if self.filled and self.distinct == 1:
            found.append("the same value everywhere: it tells nothing")
        elif self.frequent and self.frequent[0][1] > 0.2 * self.filled and self.distinct > 50:
            found.append("one value stands out: it may be a default that stands for nothing")
        if self.completeness < 0.5:
            found.append("more empty than filled")
        return tuple(found)


@dataclass(frozen=True)
class RowQuality:
    """What the rows looked at (`rows`) have to be matched by.

    `candidates` has each row's number of candidates. A row is unlinkable where blocking finds nobody for it, or where
    a second row exactly like it would not be called a match, as too little of it is filled: no model and no label can
    link such a row. `without_candidate` and `below_threshold` count the two, `examples` are keys of some.
    """

    rows: int
    sampled: bool
    candidates: Rows
    without_candidate: int
    below_threshold: int
    unlinkable: int
    examples: tuple[str, ...]


def inspect_columns(records: Records) -> tuple[ColumnQuality, ...]:
    """Return the quality of each compared column, in table order."""
    return tuple(_inspect(column) for column in records.columns)


def _inspect(column: Column) -> ColumnQuality:
    counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.values))
    order = sorted(np.argsort(-counts, kind="stable")[: 10 * FREQUENT_VALUES].tolist(), key=lambda i: (-counts[i], i))
    frequent = tuple((column.values[i].as_py(), int(counts[i])) for i in order[:FREQUENT_VALUES] if counts[i] > 0)
    profile = column.profile
    return ColumnQuality(
        profile.name, profile.kind.value, len(column.codes), int(counts.sum()), int((counts > 0).sum()), frequent
    )


def inspect_rows(model: MatchModel, records: Records, index: BlockingIndex, *, seed: int) -> RowQuality:
    """Return what the rows have to be matched by; of more than SAMPLE_ROWS a sample that `seed` draws."""
    rows = np.arange(len(records))
    sampled = len(rows) > SAMPLE_ROWS
    if sampled:
        rows = np.sort(np.random.default_rng(seed).choice(rows, SAMPLE_ROWS, replace=False))
    lists = list_candidates(index, rows)
    candidates = np.bincount(np.searchsorted(rows, lists.row), minlength=len(rows)).astype(np.int64)
    alone = candidates == 0
    faint = model.plain_probability(records, rows, rows) < model.threshold
    unlinkable = np.flatnonzero(alone | faint)
    examples = records.keys.take(rows[unlinkable[:SHOWN_UNLINKABLE]]).to_pylist()
    return RowQuality(
        rows=len(rows),
        sampled=sampled,
        candidates=candidates,
        without_candidate=int(alone.sum()),
        below_threshold=int(faint.sum()),
        unlinkable=len(unlinkable),
        examples=tuple(examples),
    )
