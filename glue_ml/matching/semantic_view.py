"""A view of meaning: records whose values in a column mean much the same are near each other, whatever the words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from glue_ml.matching.nearest import Partition, nearest
from glue_ml.matching.sentence_encoder import Vectors
from glue_ml.matching.views import Cosines, Entered, Rows, Sources, find_in_parts, keep_apart, take_sources

Codes = npt.NDArray[np.int32]

PAIRS_AT_ONCE = 20_000  #: Their vectors are held in memory twice.


@dataclass(frozen=True)
class SemanticView:
    """The vectors of a column's values: row i has `vectors[codes[i]]`, and the last vector, of zeros, where -1.

    `partition`: where to search, if looking at every pair is too much.
    """

    column: str
    vectors: Vectors
    codes: npt.NDArray[np.int32]
    source: Sources | None = None
    partition: Partition | None = None
    laid_out_with: ClassVar = ("embeddings",)

    @property
    def name(self) -> str:
        """What people call it."""
        return self.name_for(self.column)

    @staticmethod
    def name_for(column: str) -> str:
        """Return the name of the view of a column."""
        return f"meaning of {column}"

    @property
    def is_optional(self) -> bool:
        """Labels show whether it pays."""
        return True

    @cached_property
    def embeddings(self) -> Vectors:
        """Rows x dimensions."""
        return self.vectors[self.codes]

    @property
    def rows(self) -> int:
        """The number of records."""
        return len(self.codes)

    @property
    def size_bytes(self) -> int:
        """Memory of the view on a worker."""
        spread = int(self.rows * self.vectors.shape[1] * self.vectors.itemsize)
        return spread + self.vectors.nbytes + (0 if self.partition is None else self.partition.size_bytes)

    def across(self, source: Sources | None) -> Self:
        """Return the view of the same rows with this `source`."""
        return replace(self, source=source)

    def take(self, rows: Rows) -> Self:
        """Return the view of these rows alone; all of them are searched."""
        source = None if self.source is None else self.source[rows]
        return replace(self, codes=self.codes[rows], source=source, partition=None)

    def cosine(self, left: Rows, right: Rows) -> Cosines:
        """Return the cosine of each pair of rows; 0 where a value is missing."""
        return measure_meaning(self.vectors, self.codes[left], self.codes[right])

    def search(self, rows: Rows, top_k: int) -> Rows:
        """Return row * self.rows + other for the `top_k` others nearest to each of `rows`."""
        found = nearest(self.embeddings, rows, top_k, exclude=self.source, partition=self.partition)
        return np.asarray(found.row * np.int64(self.rows) + found.other, dtype=np.int64)

    def find_entered(self, rows: Rows, bounds: Cosines) -> Entered:
        """Return which lists the new `rows` come into."""
        return find_in_parts(rows, lambda part: self._find_entered(part, bounds))

    def _find_entered(self, rows: Rows, bounds: Cosines) -> Entered:
        cosine = self.embeddings[rows] @ self.embeddings.T
        place, owner = np.nonzero((cosine >= bounds) & (cosine > 0))
        return keep_apart(self.source, (owner, rows[place], cosine[place, owner]))

    def extend(self, added: Self, order: Rows) -> Self:
        """Return the view of its rows and, below them, those of `added`, then taken in `order`."""
        vectors = np.concatenate([self.vectors[:-1], added.vectors])
        # -1 means the last vector in both
        codes = np.append(self.codes, np.where(added.codes < 0, -1, added.codes + len(self.vectors) - 1))
        codes = codes.astype(np.int32)[order]
        return replace(self, vectors=vectors, codes=codes, source=take_sources(self.source, added.source, order))


def measure_meaning(vectors: Vectors, left: Codes, right: Codes) -> Cosines:
    """Return the cosine of pairs of `vectors`, by number; 0 where they point away from each other.

    Exact, as vectors lie on a grid.
    """
    cosine = np.empty(len(left), dtype=np.float32)
    for start in range(0, len(left), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        cosine[part] = np.einsum("ij,ij->i", vectors[left[part]], vectors[right[part]])
    return np.maximum(cosine, np.float32(0.0))
