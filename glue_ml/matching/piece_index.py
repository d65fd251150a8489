"""The blocking index of a table in pieces: each piece has views of its own rows, weighed as in the whole table.

A row is searched in one piece after the other, and of what it finds the nearest ones stay. Features are numbered by
their codes in every piece, so cosines are added up in the same order, and candidates are those of one index of all
rows, to the last bit. A process holds the piece whose rows it lists and one other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession

from glue_ml.matching.blocking import (
    LEARNED_KEYS,
    BlockingBudget,
    KeyCounts,
    bound_histogram,
    build_sparse_views,
    code_sources,
    find_features,
    rank_united,
    unite_found,
)
from glue_ml.matching.candidate_lists import CandidateLists, order_lists
from glue_ml.matching.count_exchange import Found, exchange_counts, salt
from glue_ml.matching.feature_sets import FeatureSets
from glue_ml.matching.key_rules import KeyRule
from glue_ml.matching.piece_files import PieceFiles
from glue_ml.matching.pieces import HISTOGRAM, Pieces, add_up_histograms, make_histogram
from glue_ml.matching.shipping import settle_worker
from glue_ml.matching.sorted_sets import distinct, look_up
from glue_ml.matching.sparse_view import SparseView, find_nearest, multiply_rows
from glue_ml.matching.table import collect_arrow
from glue_ml.matching.tokens import Incidence
from glue_ml.matching.views import Cosines, Sources

Rows = npt.NDArray[np.int64]

_FOUND = ("found.npy", "counted.npy")  #: Files that nobody needs once the index is there.
_MATRIX = ("data", "indices", "indptr")


@dataclass(frozen=True)
class PieceIndex:
    """The views of all pieces, in files. `sources`: all codes of sources, where rows of the same are no candidates."""

    files: PieceFiles
    budget: BlockingBudget
    names: tuple[int, ...]
    starts: tuple[int, ...]
    views: tuple[str, ...]
    sources: tuple[int, ...] | None
    size_bytes: int

    @property
    def rows(self) -> int:
        """The number of records."""
        return self.starts[-1]

    def list_candidates(self, rows: Rows) -> CandidateLists:
        """Return the candidates of `rows`, which are of one piece: what `blocking.list_candidates` returns for them."""
        mine = int(np.searchsorted(self.starts, rows[0], side="right")) - 1
        queries = {view: Query.of(self._load(mine, view), rows - self.starts[mine]) for view in self.views}
        place, other, views = unite_found(np.int64(self.rows), self._search(queries, rows))
        return rank_united(rows[place], other, views, self._measure(queries, place, other))

    def _search(self, queries: dict[str, Query], rows: Rows) -> list[Rows]:
        """Return what each view finds for `rows`: numbers place among them * rows of the table + other."""
        nearest = {view: Nearest.empty(len(rows), self.budget.top_k) for view in queries}
        for piece, (first, last) in enumerate(pairwise(self.starts)):
            itself = np.where((rows >= first) & (rows < last), rows - first, -1)
            for view, query in queries.items():
                place, other, cosine = query.search(self._load(piece, view), itself, self.budget.top_k)
                nearest[view].add(place, other + first, cosine)
        return [found.list_entries(np.int64(self.rows)) for found in nearest.values()]

    def _measure(self, queries: dict[str, Query], place: Rows, other: Rows) -> Cosines:
        """Return the cosines (views x pairs) of pairs of a row of the queries and one of the table."""
        cosines = np.zeros((len(queries), len(place)), dtype=np.float32)
        for piece, (first, last) in enumerate(pairwise(self.starts)):
            there = np.flatnonzero((other >= first) & (other < last))
            for bit, (view, query) in enumerate(queries.items()):
                cosines[bit, there] = query.cosine(self._load(piece, view), place[there], other[there] - first)
        return cosines

    def _load(self, piece: int, view: str) -> PieceView:
        return PieceView.load(self.files, f"{self.names[piece]}.{view}", self.sources)

    def release(self) -> None:
        """Remove the files; nothing is listed any more."""
        self.files.remove(*(f".{view}.{part}.npy" for view in self.views for part in PieceView.parts(self.sources)))


@dataclass(frozen=True)
class PieceView:
    """One view of a piece: unit-length rows of features, whose codes ascend, and what rows of other sources search."""

    matrix: Incidence
    codes: Rows
    source: Sources | None
    searched: dict[int | None, Incidence]

    @staticmethod
    def parts(sources: Sequence[int] | None) -> list[str]:
        """Return the names of the arrays of a view."""
        searched = [None] if sources is None else sources
        inverted = (f"inverted{source}-{part}" for source in searched for part in _MATRIX)
        return [*_MATRIX, "codes", *inverted, *([] if sources is None else ["source"])]

    @classmethod
    def load(cls, files: PieceFiles, name: str, sources: Sequence[int] | None) -> Self:
        """Map a view that `save` wrote."""
        parts = dict(zip(cls.parts(sources), files.load_arrays(name, cls.parts(sources)), strict=True))
        rows, width = len(parts["indptr"]) - 1, len(parts["codes"])
        inverted: dict[int | None, Incidence] = {
            source: Incidence(tuple(parts[f"inverted{source}-{part}"] for part in _MATRIX), shape=(width, rows))
            for source in ([None] if sources is None else sources)
        }
        matrix = Incidence(tuple(parts[part] for part in _MATRIX), shape=(rows, width))
        return cls(matrix, parts["codes"], parts.get("source"), inverted)

    @staticmethod
    def save(files: PieceFiles, name: str, view: SparseView, sources: Sequence[int] | None) -> int:
        """Save a view without the features that no row has; return its bytes."""
        matrix, used = narrow(view.matrix)
        arrays = _name_parts("", matrix) | {"codes": view.codes[used]}
        if sources is None or view.source is None:
            arrays |= _name_parts("invertedNone-", matrix.T.tocsr())
        else:
            arrays["source"] = view.source
            for source in sources:
                inverted = SparseView(view.name, matrix).invert_without(view.source == source)
                arrays |= _name_parts(f"inverted{source}-", inverted)
        return files.save_arrays(name, arrays)


def _name_parts(prefix: str, matrix: Incidence) -> dict[str, npt.NDArray[np.generic]]:
    narrow = matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)
    return dict(zip((prefix + part for part in _MATRIX), (matrix.data, *narrow), strict=True))


@dataclass(frozen=True)
class Query:
    """Rows of one piece's view that are searched in the same view of others."""

    matrix: Incidence
    codes: Rows
    source: Sources | None

    @classmethod
    def of(cls, view: PieceView, rows: Rows) -> Self:
        """Take rows of a view; only features that they have are looked up elsewhere."""
        matrix, used = narrow(view.matrix[rows])
        return cls(matrix, view.codes[used], None if view.source is None else view.source[rows])

    def search(self, view: PieceView, itself: Rows, top_k: int) -> tuple[Rows, Rows, Cosines]:
        """Return what `find_nearest` finds for these rows in another piece."""
        there = self._number_as(view, self.matrix)
        if self.source is None:
            return find_nearest(there, view.searched[None], itself, top_k)
        found = []
        for source in np.unique(self.source).tolist():
            chosen = np.flatnonzero(self.source == source)
            place, other, cosine = find_nearest(there[chosen], view.searched[source], itself[chosen], top_k)
            found.append((chosen[place], other, cosine))
        places, others, cosines = (np.concatenate(each) for each in zip(*found, strict=True))
        return places, others, cosines

    def cosine(self, view: PieceView, place: Rows, other: Rows) -> Cosines:
        """Return the cosine of each pair of a row here and one there."""
        return multiply_rows(self._number_as(view, self.matrix[place]), view.matrix[other])

    def _number_as(self, view: PieceView, rows: Incidence) -> Incidence:
        """Return some rows with their features numbered as in `view`, without those that it lacks."""
        column, known = look_up(self.codes, view.codes)
        kept = known[rows.indices]
        ends = np.concatenate([[0], np.cumsum(kept)])[rows.indptr].astype(np.int32)
        columns = column.astype(np.int32)[rows.indices[kept]]
        return Incidence((rows.data[kept], columns, ends), shape=(rows.shape[0], len(view.codes)))


def narrow(matrix: Incidence) -> tuple[Incidence, Rows]:
    """Return a matrix without its empty columns, and which columns are left."""
    filled = np.zeros(matrix.shape[1], dtype=bool)
    filled[matrix.indices] = True
    used = np.flatnonzero(filled)
    columns = (np.cumsum(filled, dtype=np.int32) - 1)[matrix.indices]
    return Incidence((matrix.data, columns, matrix.indptr), shape=(matrix.shape[0], len(used))), used


@dataclass(frozen=True)
class Nearest:
    """The nearest rows found so far (rows x top_k, nearest first; cosine 0: a free place)."""

    other: Rows
    cosine: Cosines

    @classmethod
    def empty(cls, rows: int, top_k: int) -> Self:
        """Begin with free places."""
        return cls(np.full((rows, top_k), -1, dtype=np.int64), np.zeros((rows, top_k), dtype=np.float32))

    def add(self, row: Rows, other: Rows, cosine: Cosines) -> None:
        """Let in what is nearer than the last of its row, ties to the lower number."""
        last, place = self.cosine[row, -1], self.other[row, -1]
        better = (cosine > last) | ((cosine == last) & (other < place))
        row, other, cosine = row[better], other[better], cosine[better]
        changed, top_k = distinct(row), self.cosine.shape[1]
        number = np.concatenate([np.repeat(np.arange(len(changed)), top_k), np.searchsorted(changed, row)])
        others = np.append(self.other[changed].ravel(), other)
        cosines = np.append(self.cosine[changed].ravel(), cosine)
        order = order_lists(number, others, cosines)
        number = number[order]
        chosen = order[np.arange(len(number)) - np.searchsorted(number, number) < top_k]
        self.other[changed] = others[chosen].reshape(-1, top_k)
        self.cosine[changed] = cosines[chosen].reshape(-1, top_k)

    def list_entries(self, height: np.int64) -> Rows:
        """Return row * height + other for each place that is taken."""
        row, place = np.nonzero(self.cosine > 0)
        return np.asarray(row * height + self.other[row, place], dtype=np.int64)


def index_pieces(
    spark: SparkSession, pieces: Pieces, budget: BlockingBudget, *, source: str | None, rules: Sequence[KeyRule] = ()
) -> PieceIndex:
    """Build the index of all pieces; what `blocking.build_index` is for a table that is in one.

    Views of meaning are not searched. Cost: three Spark jobs, and some short ones.
    """
    count, files = len(pieces.names), pieces.files
    work = budget.work(len(pieces))
    common = bound_histogram(*pieces.word_histogram, work)
    views = ("keys", "grams", *((LEARNED_KEYS,) if rules else ()))
    counted = exchange_counts(
        spark,
        count,
        lambda piece: _find_keys(pieces, piece, views, common, source, rules),
        lambda piece, found, total: _save_counts(files, pieces.names[piece], found, total),
        HISTOGRAM,
    )
    histograms = add_up_histograms(counted, spaces=len(views))
    caps = tuple(bound_histogram(*histogram, work) for histogram in histograms)
    codes = counted.filter(pc.equal(counted.column("space"), _SOURCES)).column("frequency").to_pylist()
    sources = None if source is None else tuple(sorted(set(codes)))

    def save_views(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        settle_worker()
        for piece in (number for batch in batches for number in batch.column(0).to_pylist()):
            saved = _save_views(pieces, piece, views, (common, caps), sources)
            yield pa.RecordBatch.from_pydict({"bytes": pa.array([saved], pa.int64())})

    sizes = collect_arrow(spark.range(0, count, 1, count).mapInArrow(save_views, "bytes long"))
    files.remove(*_FOUND)
    return PieceIndex(files, budget, pieces.names, pieces.starts, views, sources, pc.sum(sizes.column(0)).as_py())


_SOURCES = -1  #: In place of a space of a histogram: its frequencies are codes of sources.


def _find_keys(
    pieces: Pieces, piece: int, views: Sequence[str], common: int, source: str | None, rules: Sequence[KeyRule]
) -> Found[dict[str, FeatureSets]]:
    """Return the codes of the features of all views; they are found once, and saved."""
    files, name = pieces.files, pieces.names[piece]
    if not files.has_arrays(f"{name}.{views[-1]}", "codes.found"):
        records = pieces.read_piece(piece)
        sources = code_sources(records, source)
        if sources is not None:
            files.save_arrays(str(name), {"source.found": sources})
        for view, features in find_features(records, common, rules).items():
            # the codes last: where they are, all is there
            files.save_arrays(
                f"{name}.{view}",
                {"offsets.found": features.offsets, "numbers.found": features.numbers, "codes.found": features.codes},
            )
    found = {view: _load_features(files, f"{name}.{view}") for view in views}
    codes = [salt(features.codes, space) for space, features in enumerate(found.values())]
    return Found(np.concatenate(codes), np.concatenate([features.frequency for features in found.values()]), found)


def _load_features(files: PieceFiles, name: str) -> FeatureSets:
    return FeatureSets(*files.load_arrays(name, ("offsets.found", "numbers.found", "codes.found")))


def _save_counts(files: PieceFiles, name: int, found: dict[str, FeatureSets], total: Rows) -> pa.Table:
    """Save in how many rows of the whole table each feature is; return the histograms, and the sources that occur."""
    counts = np.split(total, np.cumsum([len(features.codes) for features in found.values()])[:-1])
    histograms = []
    for space, ((view, features), frequency) in enumerate(zip(found.items(), counts, strict=True)):
        files.save_arrays(f"{name}.{view}", {"counted": frequency})
        histograms.append(make_histogram(space, frequency, features.frequency))
    if files.has_arrays(str(name), "source.found"):
        (source,) = files.load_arrays(str(name), ["source.found"])
        codes = np.unique(source).astype(np.int64)
        histograms.append(pa.table({"space": np.full(len(codes), _SOURCES), "frequency": codes, "held": codes}))
    return pa.concat_tables(histograms)


def _save_views(
    pieces: Pieces, piece: int, views: Sequence[str], bounds: tuple[int, tuple[int, ...]], sources: Sequence[int] | None
) -> int:
    files, name = pieces.files, pieces.names[piece]
    found = {view: _load_features(files, f"{name}.{view}") for view in views}
    frequency = tuple(files.load_arrays(f"{name}.{view}", ["counted"])[0] for view in views)
    counts = KeyCounts(len(pieces), *bounds, tuple(features.codes for features in found.values()), frequency)
    source = None if sources is None else files.load_arrays(str(name), ["source.found"])[0]
    built = build_sparse_views(found, counts, source, least=2)
    return sum(PieceView.save(files, f"{name}.{view.name}", view, sources) for view in built)
