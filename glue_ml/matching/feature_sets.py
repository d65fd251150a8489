"""The features of rows as sets of numbers: before they are weighed nothing need be stored with them.

Rows are worked on some at a time, so what is held in between does not grow with the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from glue_ml.matching.threads import map_at_once
from glue_ml.matching.tokens import Incidence

Rows = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.int32]
Weights = npt.NDArray[np.float32]

ROWS_AT_ONCE = 20_000
NUMBER_BITS = 32  #: A row and a number are sorted as one; there are fewer features.
NUMBER_MASK = (1 << NUMBER_BITS) - 1
NUMBERS_AT_ONCE = 10_000_000  #: Counted together.


@dataclass(frozen=True)
class FeatureSets:
    """Row i has the features `numbers[offsets[i]:offsets[i + 1]]`, ascending; feature j has the code `codes[j]`."""

    offsets: Rows
    numbers: Numbers
    codes: Rows

    @classmethod
    def of(cls, matrix: Incidence, codes: Rows) -> FeatureSets:
        """Return the features of a 0/1 matrix (rows x features) whose indices are sorted."""
        return cls(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), codes)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.offsets) - 1

    @cached_property
    def frequency(self) -> Rows:
        """In how many rows each feature is."""
        return count_numbers(self.numbers, len(self.codes))

    def weigh(self, weights: Weights, kept: npt.NDArray[np.bool_]) -> Incidence:
        """Return the rows as vectors of length 1 (rows x features) of these weights; only what is `kept` stays in them.

        What is left out counts for the length: two rows that share nothing else are not made more alike by it.
        """
        stored, squares = kept & (weights > 0), weights**2
        parts = map_at_once(lambda rows: self._weigh_rows(rows, weights, squares, stored), list_blocks(self.rows))
        data, indices, lengths = (np.concatenate(each) for each in zip(*parts, strict=True))
        return Incidence((data, indices, np.concatenate([[0], np.cumsum(lengths)])), shape=(self.rows, len(self.codes)))

    def _weigh_rows(
        self, rows: slice, weights: Weights, squares: Weights, stored: npt.NDArray[np.bool_]
    ) -> tuple[Weights, Numbers, Rows]:
        """Return the stored entries of some rows, as weights and numbers, and how many each row has."""
        offsets = self.offsets[rows.start : rows.stop + 1]
        numbers = self.numbers[offsets[0] : offsets[-1]]
        ones = np.ones(len(numbers), dtype=np.float32)
        part = Incidence((ones, numbers, offsets - offsets[0]), shape=(len(offsets) - 1, len(self.codes)))
        scale = np.float32(1.0) / np.maximum(np.sqrt(part @ squares), np.float32(1e-6))
        places = np.flatnonzero(stored[numbers])
        lengths = np.diff(np.searchsorted(places, offsets - offsets[0]))
        chosen = numbers[places]
        return np.repeat(scale, lengths) * weights[chosen], chosen, lengths


def list_blocks(rows: int) -> Iterator[slice]:
    """Yield slices of at most ROWS_AT_ONCE rows, at least one slice."""
    return (slice(start, min(start + ROWS_AT_ONCE, rows)) for start in range(0, max(rows, 1), ROWS_AT_ONCE))


def unite(parts: Sequence[tuple[Incidence, Numbers]], rows: int) -> tuple[Rows, Numbers]:
    """Return what each row has in any of the `parts`, as offsets and numbers, ascending.

    A part is a 0/1 matrix (distinct values x features) with an empty last row, and the value of each row, -1 for none.
    """

    def unite_block(block: slice) -> tuple[Rows, Numbers]:
        entries = np.concatenate([_number_entries(matrix[codes[block]]) for matrix, codes in parts])
        # one sort of numbers takes half the time of adding up the matrices
        entries.sort()
        distinct = entries[np.append(True, entries[1:] != entries[:-1])[: len(entries)]]
        lengths = np.bincount(distinct >> NUMBER_BITS, minlength=block.stop - block.start)
        return lengths, (distinct & NUMBER_MASK).astype(np.int32)

    if not parts:
        return np.zeros(rows + 1, dtype=np.int64), np.zeros(0, dtype=np.int32)
    lengths, numbers = zip(*map_at_once(unite_block, list_blocks(rows)), strict=True)
    return np.cumsum(np.concatenate([[0], *lengths])), np.concatenate(numbers)


def _number_entries(matrix: Incidence) -> Rows:
    """Return each stored entry as one number, row before column."""
    return np.asarray(list_rows(matrix) << NUMBER_BITS | matrix.indices, dtype=np.int64)


def list_rows(matrix: Incidence) -> Rows:
    """Return the row of each stored entry of a matrix."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def add_empty_row(matrix: Incidence) -> Incidence:
    """Give a matrix of distinct values the row that code -1 selects, and return it."""
    matrix.resize(matrix.shape[0] + 1, matrix.shape[1])
    return matrix


def count_rows(matrix: Incidence) -> Rows:
    """Return in how many rows each column of a 0/1 matrix is set."""
    return count_numbers(matrix.indices, matrix.shape[1])


def count_numbers(numbers: npt.NDArray[np.integer], width: int) -> Rows:
    """Return how often each of the numbers 0 to `width` - 1 occurs."""
    total = np.zeros(width, dtype=np.int64)
    for start in range(0, len(numbers), NUMBERS_AT_ONCE):
        total += np.bincount(numbers[start : start + NUMBERS_AT_ONCE], minlength=width)
    return total
