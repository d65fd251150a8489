"""Sets of words, each word with its weight: what two sets share, and what each has alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glue_ml.matching.tokens import Incidence

Rows = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float32]

_ONE = np.ones(1, dtype=np.float32)


@dataclass(frozen=True)
class WeightedWords:
    """A set of words in each row: `matrix` (rows x vocabulary) holds the weights, none of them 0 or negative.

    `total` is the sum of a row's weights, `squares` that of their squares.
    """

    matrix: Incidence
    total: Weights
    squares: Weights

    @classmethod
    def weigh(cls, words: Incidence, weight: Weights) -> WeightedWords:
        """Give each word of the sets (a 0/1 matrix) its weight; words without weight are left out."""
        # a copy: leaving words out moves the others
        matrix = words.copy()
        matrix.data = weight[matrix.indices].astype(np.float32)
        matrix.eliminate_zeros()
        matrix.sort_indices()
        return cls(matrix, add_up(matrix), add_up(square(matrix)))

    def meet(self, left: Rows, right: Rows) -> Meeting:
        """Bring the sets of pairs of rows together."""
        a, b = self.matrix[left], self.matrix[right]
        # a word has the same weight in both
        return Meeting(a, b, a.minimum(b), (self.total[left], self.total[right]))


@dataclass(frozen=True)
class Meeting:
    """The sets of pairs of rows, what they share, and the sums of both sides' weights."""

    left: Incidence
    right: Incidence
    shared: Incidence
    totals: tuple[Weights, Weights]

    def find_largest_alone(self) -> tuple[Weights, Weights]:
        """Return the largest weight that each side has alone; 0 where it has none."""
        return find_largest(self.left - self.shared), find_largest(self.right - self.shared)


def square(matrix: Incidence) -> Incidence:
    """Return the matrix of the squares."""
    return Incidence((matrix.data**2, matrix.indices, matrix.indptr), shape=matrix.shape)


def add_up(matrix: Incidence) -> Weights:
    """Return the sum of each row, added up in the order of the columns: the same number in whatever batch it stands."""
    # a product with ones adds up one entry after the other; all stand in one column for it, as there may be many more
    # columns than entries
    column = Incidence((matrix.data, np.zeros_like(matrix.indices), matrix.indptr), shape=(matrix.shape[0], 1))
    return np.asarray(column @ _ONE, dtype=np.float32)


def find_largest(matrix: Incidence) -> Weights:
    """Return the largest entry of each row; 0 where it has none."""
    largest = np.zeros(matrix.shape[0], dtype=np.float32)
    filled = np.diff(matrix.indptr) > 0
    if filled.any():
        largest[filled] = np.maximum.reduceat(matrix.data, matrix.indptr[:-1][filled])
    return largest
