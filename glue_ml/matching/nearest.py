"""The nearest rows of embeddings: exact for what fits a few seconds, else within a partition of the space.

A partition (an inverted file, Jegou et al., PAMI 2011) puts every row into the list of its nearest centre; a row is
compared with the rows of the `probes` lists whose centres are nearest to it. The centres come from a few rounds of
spherical k-means on a sample chosen by the seed. Embeddings lie on a grid (`scale_rows`) on which products are exact: a
row's answer depends on the embeddings alone, neither on who asks with it nor on the library that multiplies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from glue_ml.matching.sentence_encoder import Vectors, scale_rows

Rows = npt.NDArray[np.int64]

EXACT_ROWS = 30_000  #: Up to so many rows every pair is looked at: 10 s on one core.
TILE = 256  #: Rows that ask together.
WIDTH = 8_192  #: Rows that are looked at together.
FULLEST = 4  #: A list holds at most so many times the average: the work is bounded even where all texts are alike.
PROBES = 64  #: Lists looked at for each row.
ROUNDS = 5  #: Of k-means.
SAMPLE_OF_LIST = 20  #: Rows of the sample for each centre.


@dataclass(frozen=True)
class Neighbours:
    """Entries (row, other, cosine): by row in the order asked for, then by falling cosine, then by other."""

    row: Rows
    other: Rows
    cosine: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Partition:
    """Centres (lists x dimensions, of length 1) and the rows of list i: `rows[starts[i]:starts[i + 1]]`, ascending."""

    centres: Vectors
    rows: Rows
    starts: Rows
    probes: int

    @property
    def size_bytes(self) -> int:
        """What a worker gets besides the embeddings."""
        return self.centres.nbytes + self.rows.nbytes + self.starts.nbytes


@dataclass
class _Best:
    """The best `k` so far of each row that asks: falling cosines and whose they are, -1 where there is none."""

    cosine: Vectors
    other: Rows

    @classmethod
    def none_of(cls, asking: int, k: int) -> _Best:
        # only a positive cosine counts: texts that have nothing in common are nobody's neighbours
        return cls(np.zeros((asking, k), dtype=np.float32), np.full((asking, k), -1, dtype=np.int64))

    def add(self, asking: Rows, cosine: Vectors, others: Rows) -> None:
        """Take in cosines (asking x others) with rows not seen before; `asking` are places in this object."""
        k = self.cosine.shape[1]
        least = self.cosine[asking, -1]
        if cosine.shape[1] > k:
            fresh = self.other[asking, -1] < 0
            least[fresh] = np.maximum(np.partition(cosine[fresh], -k, axis=1)[:, -k], 0.0)
        place, column = np.divmod(np.flatnonzero((cosine >= least[:, None]) & (cosine > 0)), cosine.shape[1])
        changed, local = np.unique(place, return_inverse=True)
        owner = np.concatenate([np.repeat(np.arange(len(changed)), k), local])
        value = np.concatenate([self.cosine[asking[changed]].ravel(), cosine[place, column]])
        other = np.concatenate([self.other[asking[changed]].ravel(), others[column]])
        order = np.lexsort((other, -value, owner))
        rank = np.arange(len(order)) - np.searchsorted(owner[order], owner[order])
        order = order[rank < k]
        self.cosine[asking[changed]] = value[order].reshape(len(changed), k)
        self.other[asking[changed]] = other[order].reshape(len(changed), k)


def nearest(
    embeddings: Vectors,
    rows: Rows,
    top_k: int,
    *,
    exclude: npt.NDArray[np.int32] | None = None,
    partition: Partition | None = None,
) -> Neighbours:
    """Return the `top_k` rows nearest to each of `rows` by cosine, ties to the lower row number.

    embeddings: all rows x dimensions as encoders make them, of length 1, or 0 for a row without text, which is nobody's
    neighbour, as is a row with a cosine of 0 or less. A row is not its own neighbour, nor of one with the same number
    in `exclude` (its source), where given. Without `partition` every pair is looked at, at a cost of len(rows) *
    len(embeddings) * dimensions multiply-adds; with one, the rows of the probed lists.
    """
    best = _Best.none_of(len(rows), top_k)
    searches = _probe_all(embeddings, rows) if partition is None else _probe(embeddings, rows, partition)
    for asking, others in searches:
        cosine = embeddings[rows[asking]] @ embeddings[others].T
        cosine[others[None, :] == rows[asking][:, None]] = -1.0
        if exclude is not None:
            cosine[exclude[rows[asking]][:, None] == exclude[others][None, :]] = -1.0
        best.add(asking, cosine, others)
    kept = best.other >= 0
    return Neighbours(np.broadcast_to(rows[:, None], kept.shape)[kept], best.other[kept], best.cosine[kept])


def _probe_all(embeddings: Vectors, rows: Rows) -> Iterator[tuple[Rows, Rows]]:
    """Yield who asks (places in `rows`) whom (row numbers): everybody everyone."""
    for start in range(0, len(rows), TILE):
        asking = np.arange(start, min(start + TILE, len(rows)))
        for first in range(0, len(embeddings), WIDTH):
            yield asking, np.arange(first, min(first + WIDTH, len(embeddings)))


def _probe(embeddings: Vectors, rows: Rows, partition: Partition) -> Iterator[tuple[Rows, Rows]]:
    """Yield who asks whom: the rows of each list are asked by those that have its centre among their nearest."""
    if len(partition.centres) == 0:
        return
    probed = choose_lists(embeddings, rows, partition.centres, partition.probes)
    order = np.argsort(probed.ravel(), kind="stable")
    lists, firsts = np.unique(probed.ravel()[order], return_index=True)
    for number, asking in zip(lists, np.split(order // probed.shape[1], firsts[1:]), strict=True):
        others = partition.rows[partition.starts[number] : partition.starts[number + 1]]
        for start in range(0, len(asking), TILE):
            yield asking[start : start + TILE], others


def choose_lists(embeddings: Vectors, rows: Rows, centres: Vectors, count: int) -> Rows:
    """Return the `count` centres nearest to each row (rows x count, ascending). A row's choice is its own."""
    count, chosen = min(count, len(centres)), [np.zeros((0, min(count, len(centres))), dtype=np.int64)]
    for start in range(0, len(rows), TILE):
        cosine = embeddings[rows[start : start + TILE]] @ centres.T
        if count == 1:
            chosen.append(cosine.argmax(axis=1)[:, None])
        elif count == len(centres):
            chosen.append(np.broadcast_to(np.arange(count), cosine.shape))
        else:
            chosen.append(np.sort(np.argpartition(-cosine, count - 1, axis=1)[:, :count], axis=1))
    return np.concatenate(chosen)


def choose_partition(embeddings: Vectors, *, seed: int, exact_rows: int = EXACT_ROWS) -> Partition | None:
    """Partition the embeddings, or return None where looking at every pair is affordable.

    There are 2 sqrt(rows) lists, so a row is compared with some 30 sqrt(rows) others and centres. Rows without text are
    in no list. Deterministic for a seed.
    """
    if len(embeddings) <= exact_rows:
        return None
    filled = np.flatnonzero(np.einsum("ij,ij->i", embeddings, embeddings, optimize=False) > 0)
    count = max(1, round(2 * len(filled) ** 0.5))
    centres = find_centres(embeddings, filled, count, seed=seed)
    number = choose_lists(embeddings, filled, centres, 1)[:, 0]
    order = np.argsort(number, kind="stable")
    parts, firsts = _split_full(number[order], FULLEST * -(-len(filled) // count))
    return Partition(centres[parts], filled[order], np.append(firsts, len(order)), PROBES)


def _split_full(number: Rows, most: int) -> tuple[Rows, Rows]:
    """Cut lists of more than `most` rows; return the centre and the first place of each. `number` is ascending."""
    place = np.arange(len(number)) - np.searchsorted(number, number)
    firsts = np.flatnonzero(place % most == 0)
    return number[firsts], firsts


def find_centres(embeddings: Vectors, rows: Rows, count: int, *, seed: int) -> Vectors:
    """Return `count` centres of `rows` by spherical k-means on a sample (Dhillon and Modha, 2001)."""
    sample = np.random.default_rng(seed).permutation(rows)[: SAMPLE_OF_LIST * count]
    centres = np.zeros((count, embeddings.shape[1]), dtype=np.float32)
    centres[: len(sample)] = embeddings[sample[:count]]
    for _ in range(ROUNDS):
        owner = choose_lists(embeddings, sample, centres, 1)[:, 0]
        entries = (np.ones(len(sample), dtype=np.float32), (owner, np.arange(len(sample))))
        member = sparse.csr_matrix(entries, shape=(count, len(sample)))
        moved = scale_rows(np.asarray(member @ embeddings[sample]))
        centres = np.where(np.any(moved, axis=1)[:, None], moved, centres)
    return centres
