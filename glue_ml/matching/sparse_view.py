"""A view of sparse features: records that share rare words, pairs of words or letter groups are near each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sparse_dot_topn.unchecked import sp_matmul_topn

from glue_ml.matching.sorted_sets import distinct
from glue_ml.matching.tokens import Incidence
from glue_ml.matching.views import Cosines, Entered, Rows, Sources, find_in_parts, keep_apart, take_sources
from glue_ml.matching.weighted_words import add_up

#: Multiply-adds at once where the nearest rows cannot be told by rank: a call costs as much as there are columns.
WORK_OF_EQUALS = 4_000_000
PAIRS_AT_ONCE = 100_000  #: Rows of both sides are brought together for so many pairs at a time.


@dataclass(frozen=True)
class SparseView:
    """Unit-length rows of idf-weighted features, and the inverted index of them."""

    name: str
    matrix: Incidence
    codes: Rows = field(default_factory=lambda: np.zeros(0, dtype=np.int64))  #: By column, ascending: which feature.
    source: Sources | None = None
    is_optional: bool = False
    laid_out_with: ClassVar = ("searched",)

    @cached_property
    def inverted(self) -> Incidence:
        """Features x rows."""
        return self.matrix.T.tocsr()

    @cached_property
    def searched(self) -> tuple[tuple[int | None, Incidence], ...]:
        """For each source (None: all rows), the features x rows that its rows search."""
        if self.source is None:
            return ((None, self.inverted),)
        return tuple((int(s), self.invert_without(self.source == s)) for s in np.unique(self.source))

    def invert_without(self, left_out: npt.NDArray[np.bool_]) -> Incidence:
        """Return features x rows, with nothing in the rows that are left out."""
        return sparse.diags((~left_out).astype(np.float32)).dot(self.matrix).T.tocsr()

    @property
    def rows(self) -> int:
        """The number of records."""
        return int(self.matrix.shape[0])

    @property
    def size_bytes(self) -> int:
        """Memory of the view on a worker, inverted copy included."""
        return 2 * sum(int(array.nbytes) for array in (self.matrix.data, self.matrix.indices, self.matrix.indptr))

    def across(self, source: Sources | None) -> Self:
        """Return the view of the same rows with this `source`."""
        return replace(self, source=source)

    def take(self, rows: Rows) -> Self:
        """Return the view of these rows alone."""
        return replace(self, matrix=self.matrix[rows], source=None if self.source is None else self.source[rows])

    def cosine(self, left: Rows, right: Rows) -> Cosines:
        """Return the cosine of each pair of rows."""
        parts = (slice(start, start + PAIRS_AT_ONCE) for start in range(0, len(left), PAIRS_AT_ONCE))
        cosines = [multiply_rows(self.matrix[left[part]], self.matrix[right[part]]) for part in parts]
        return np.concatenate([np.zeros(0, dtype=np.float32), *cosines])

    def search(self, rows: Rows, top_k: int) -> Rows:
        """Return row * self.rows + other for the `top_k` others nearest to each of `rows`."""
        found = [np.zeros(0, dtype=np.int64)]
        for source, inverted in self.searched:
            chosen = rows if source is None or self.source is None else rows[self.source[rows] == source]
            place, other, _ = find_nearest(self.matrix[chosen], inverted, chosen, top_k)
            found.append(chosen[place] * np.int64(self.rows) + other)
        return np.concatenate(found)

    def find_entered(self, rows: Rows, bounds: Cosines) -> Entered:
        """Return which lists the new `rows` come into."""
        return find_in_parts(rows, lambda part: self._find_entered(part, bounds))

    def _find_entered(self, rows: Rows, bounds: Cosines) -> Entered:
        near = (self.matrix[rows] @ self.inverted).tocoo()
        kept = (near.data >= bounds[near.col]) & (near.data > 0)
        entered = near.col[kept].astype(np.int64), rows[near.row[kept]], near.data[kept]
        return keep_apart(self.source, entered)

    def extend(self, added: Self, order: Rows) -> Self:
        """Return the view of its rows and, below them, those of `added`, then taken in `order`."""
        codes = distinct(np.append(self.codes, added.codes))
        parts = [part._renumber(codes) for part in (self, added)]
        matrix = sparse.vstack(parts, format="csr")[order]
        return replace(self, matrix=matrix, codes=codes, source=take_sources(self.source, added.source, order))

    def _renumber(self, codes: Rows) -> Incidence:
        columns = np.searchsorted(codes, self.codes).astype(np.int32)[self.matrix.indices]
        return Incidence((self.matrix.data, columns, self.matrix.indptr), shape=(self.rows, len(codes)))


def multiply_rows(left: Incidence, right: Incidence) -> Cosines:
    """Return the inner product of each row with the other's row at the same place."""
    # added up in the order of the features, as the search does: the same number to the last bit
    return add_up(left.multiply(right).tocsr())


def find_nearest(query: Incidence, inverted: Incidence, itself: Rows, top_k: int) -> tuple[Rows, Rows, Cosines]:
    """Return the `top_k` columns of `inverted` nearest to each row of `query`: row, column, cosine; in no order.

    `itself`: for each row the column that is left out, as it is the row itself; -1 where it is not among them. Of
    equally near ones those with the smallest numbers: which ones are found must not depend on who else is there.
    """
    # a row is its own nearest neighbour, and one more tells whether the last place is shared
    near = _multiply_nearest(query, inverted, top_k + 2)
    row, other = np.repeat(np.arange(len(itself)), np.diff(near.indptr)), near.indices.astype(np.int64)
    place = np.arange(len(row)) - np.repeat(near.indptr[:-1], np.diff(near.indptr))
    is_self = itself[row] == other
    # where duplicates crowd a row out of its own list the last entry is one too many
    place = np.where(is_self, -1, place - _before(is_self, near.indptr))
    last = np.flatnonzero(place == top_k)
    before = np.where(is_self[np.maximum(last - 1, 0)], last - 2, last - 1)
    last = last[near.data[last] == near.data[before]]
    kept = (place >= 0) & (place < top_k) & ~np.isin(row, row[last])
    equals = _find_nearest_of_equals(query, inverted, itself, (row[last], near.data[last]), top_k)
    parts = ((row[kept], other[kept], near.data[kept]), *equals)
    rows, others, cosines = (np.concatenate(each) for each in zip(*parts, strict=True))
    return rows, others, cosines


def _multiply_nearest(query: Incidence, inverted: Incidence, most: int) -> Incidence:
    """Return the `most` largest entries above 0 of each row of the product, largest first.

    The checks of `sparse_dot_topn` copy the indices of both factors, which takes longer than to search them.
    """
    if query.nnz == 0 or inverted.nnz == 0:
        return Incidence((query.shape[0], inverted.shape[1]), dtype=np.float32)
    # both factors need indices of one width; set afterwards, as a matrix that is made of wide ones may narrow them
    query, kind = query.copy(), inverted.indices.dtype
    query.indices, query.indptr = query.indices.astype(kind), query.indptr.astype(kind)
    most = min(most, inverted.shape[1])
    return sp_matmul_topn(query, inverted, most, sort=True, threshold=0.0, density=1.0)


def _find_nearest_of_equals(
    query: Incidence, inverted: Incidence, itself: Rows, tied: tuple[Rows, Cosines], top_k: int
) -> Iterator[tuple[Rows, Rows, Cosines]]:
    """Yield what `find_nearest` returns for rows whose last place, at some cosine, is shared: they need all equals."""
    for part in _cut_by_work(_count_work(query[tied[0]], inverted), WORK_OF_EQUALS):
        rows, least = (each[part] for each in tied)
        near = (query[rows] @ inverted).tocoo()
        kept = near.data >= least[near.row]
        row, other, cosine = rows[near.row[kept]], near.col[kept].astype(np.int64), near.data[kept]
        order = np.lexsort((other, -cosine, row))
        order = order[itself[row[order]] != other[order]]
        row, other, cosine = row[order], other[order], cosine[order]
        first = np.arange(len(row)) - np.searchsorted(row, row) < top_k
        yield row[first], other[first], cosine[first]


def _count_work(query: Incidence, inverted: Incidence) -> Rows:
    """Return the multiply-adds that each row of `query` costs."""
    lengths = inverted.indptr[query.indices + 1] - inverted.indptr[query.indices]
    total = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return np.asarray(np.diff(total[query.indptr]), dtype=np.int64)


def _cut_by_work(work: Rows, most: int) -> list[slice]:
    """Return slices of what costs so much work, each of at most `most` or of one.

    >>> _cut_by_work(np.array([3, 3, 9, 1, 1]), 6)
    [slice(0, 2, None), slice(2, 3, None), slice(3, 5, None)]
    """
    total, cuts = np.cumsum(work), [0]
    while cuts[-1] < len(work):
        done = total[cuts[-1] - 1] if cuts[-1] else 0
        cuts.append(max(cuts[-1] + 1, int(np.searchsorted(total, done + most, side="right"))))
    return [slice(first, last) for first, last in pairwise(cuts)]


def _before(flags: npt.NDArray[np.bool_], offsets: npt.NDArray[np.int32]) -> Rows:
    """Return, for each entry, how many flagged entries its list has up to it."""
    total = np.concatenate([[0], np.cumsum(flags)])
    return np.asarray(total[1:] - np.repeat(total[offsets[:-1]], np.diff(offsets)), dtype=np.int64)
