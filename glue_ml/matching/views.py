"""The views of blocking: ways of seeing records, each of which finds the records nearest to another by cosine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Cosines = npt.NDArray[np.float32]
Sources = npt.NDArray[np.int32]
Entered = tuple[Rows, Rows, Cosines]

ROWS_AT_ONCE = 2_000  #: New rows searched at once; their products with all rows are held in memory.


class View(Protocol):
    """One way of seeing records. Only rows of different `source`, where there is one, are candidates."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def is_optional(self) -> bool:
        """Whether the view is searched only where labels show that it pays."""

    @property
    def source(self) -> Sources | None:
        """The number of each row's source, if rows of the same are no candidates."""

    @property
    def rows(self) -> int:
        """The number of records."""

    @property
    def size_bytes(self) -> int:
        """Memory of the view on a worker."""

    def across(self, source: Sources | None) -> Self:
        """Return the view of the same rows with this `source`."""

    def take(self, rows: Rows) -> Self:
        """Return the view of these rows alone."""

    def cosine(self, left: Rows, right: Rows) -> Cosines:
        """Return the cosine of each pair of rows."""

    def search(self, rows: Rows, top_k: int) -> Rows:
        """Return row * self.rows + other for the `top_k` others nearest to each of `rows`, ties to the lower number.

        A row's answer depends on the view alone, not on which rows are asked for together.
        """

    def find_entered(self, rows: Rows, bounds: Cosines) -> Entered:
        """Return which lists the new `rows` come into: the owner of the list, the row, and their cosine.

        `bounds` (one for each row of the view): the cosine from which another row comes into a row's list.
        """

    def extend(self, added: Self, order: Rows) -> Self:
        """Return the view of its rows and, below them, those of `added`, then taken in `order`."""


def take_sources(source: Sources | None, added: Sources | None, order: Rows) -> Sources | None:
    """Return the sources of two views' rows end to end, then in `order`; None where there are none."""
    return None if source is None or added is None else np.append(source, added)[order]


def keep_apart(source: Sources | None, entered: Entered) -> Entered:
    """Leave out a row that would come into its own list, or into that of a row of its own source."""
    owner, row, cosine = entered
    apart = owner != row if source is None else source[owner] != source[row]
    return owner[apart], row[apart], cosine[apart]


def find_in_parts(rows: Rows, find: Callable[[Rows], Entered]) -> Entered:
    """Return what `find` finds for `rows`, asked for ROWS_AT_ONCE at a time."""
    nothing = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    parts = (find(rows[start : start + ROWS_AT_ONCE]) for start in range(0, len(rows), ROWS_AT_ONCE))
    owners, entrants, cosines = zip(nothing, *parts, strict=True)
    return np.concatenate(owners), np.concatenate(entrants), np.concatenate(cosines)
