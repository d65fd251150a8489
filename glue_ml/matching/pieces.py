"""A table in pieces, each of them rows whose keys stand together: for tables that no single process should hold.

A piece is self-contained. Beside every row stands in how many rows of the whole table each of its values and words
occurs (`RowCounts`), so rows taken from any pieces are prepared and compared as they would be among all others, to the
last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pandas.util import hash_array
from pyspark import TaskContext
from pyspark.sql import DataFrame, SparkSession

from glue_ml.matching.count_exchange import Found, exchange_counts, salt
from glue_ml.matching.piece_files import PieceFiles
from glue_ml.matching.profile import ColumnKind, ColumnProfile
from glue_ml.matching.records import Gathered, Records, RowCounts, encode_column, prepare_records
from glue_ml.matching.semantic import Semantics
from glue_ml.matching.sorted_sets import distinct
from glue_ml.matching.table import KEY, check_key_counts, collect_arrow, find_repeated, select_rows, spark_schema

Rows = npt.NDArray[np.int64]
Codes: TypeAlias = npt.NDArray[np.int32]

_CUT = "piece long, rows long, empty long, repeated long, example string"
HISTOGRAM = "space long, frequency long, held long"


@dataclass(frozen=True)
class Layout:
    """The columns of a table that are compared, and how a model reads them."""

    profiles: tuple[ColumnProfile, ...]
    semantics: Semantics | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in table order."""
        return tuple(profile.name for profile in self.profiles)


@dataclass(frozen=True)
class Pieces:
    """The rows of a run in files. Piece i has the rows from `starts[i]` to `starts[i + 1]`, and is named `names[i]`.

    `filled`: by column, the rows that hold a value. `word_histogram`: how many words are in how many rows.
    """

    files: PieceFiles
    layout: Layout
    names: tuple[int, ...]
    starts: tuple[int, ...]
    filled: tuple[int, ...]
    word_histogram: tuple[Rows, Rows]

    def __len__(self) -> int:
        return self.starts[-1]

    @property
    def profiles(self) -> tuple[ColumnProfile, ...]:
        """The profile of each column, in table order."""
        return self.layout.profiles

    def read(self, rows: Rows) -> Records:
        """Return some rows (ascending), prepared, as records of their own."""
        bounds = np.searchsorted(rows, self.starts)
        parts = [
            _load_rows(self.files, name).take(pa.array(rows[first:last] - start))
            for name, start, (first, last) in zip(self.names, self.starts, pairwise(bounds.tolist()), strict=False)
            if first < last
        ]
        return self._prepare(pa.concat_tables(parts) if parts else _load_rows(self.files, self.names[0]).slice(0, 0))

    def read_piece(self, piece: int) -> Records:
        """Return all rows of a piece, prepared."""
        return self._prepare(_load_rows(self.files, self.names[piece]))

    def gather(self, lo: Rows, hi: Rows) -> Gathered:
        """Return records that hold the rows of these pairs, and where in them."""
        rows = distinct(np.concatenate([lo, hi]))
        return self.read(rows), np.searchsorted(rows, lo), np.searchsorted(rows, hi)

    def find_rows(self, keys: Sequence[str]) -> Rows:
        """Return the row number of each key, -1 where the table has no such key."""
        found = np.full(len(keys), -1, dtype=np.int64)
        for name, start in zip(self.names, self.starts, strict=False):
            here = pc.index_in(pa.array(keys, pa.string()), value_set=self._load_keys(name))
            place = np.asarray(pc.fill_null(here, -1), dtype=np.int64)
            found = np.where(place >= 0, place + start, found)
        return found

    def name_rows(self, spark: SparkSession, values: pa.Table) -> DataFrame:
        """Return a DataFrame of each row's key, as text, in a column KEY, and its row of `values`."""
        self.files.save_arrays("named", {name: values.column(name).to_numpy() for name in values.column_names})
        count, task = len(self.names), _name_task(self, values.schema)
        return spark.range(0, count, 1, count).mapInArrow(task, spark_schema(values))

    def _load_keys(self, name: int) -> pa.ChunkedArray:
        return _load_rows(self.files, name).column("key")

    def _prepare(self, table: pa.Table) -> Records:
        width = len(self.layout.columns)
        counts = tuple(table.column(f"n{i}").to_numpy().astype(np.int64) for i in range(width))
        words = table.column("words").combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(np.int64)
        return prepare_records(
            _name_columns(table, self.layout),
            self.layout.profiles,
            RowCounts(len(self), self.filled, counts, words),
            self.layout.semantics,
        )


def cut_table(df: DataFrame, files: PieceFiles, layout: Layout, *, primary_key: str, pieces: int) -> Pieces:
    """Cut a table into `pieces`, or somewhat fewer, by ranges of its key. Cost: three Spark jobs, the table twice.

    Raises InputError where the key is null or not unique.
    """
    spark = df.sparkSession
    chosen = select_rows(df, primary_key=primary_key, columns=layout.columns)
    cut = collect_arrow(chosen.repartitionByRange(pieces, "key").mapInArrow(_cut_task(files), _CUT))
    cut = cut.sort_by("piece")
    empty, repeated = (pc.sum(cut.column(name)).as_py() or 0 for name in ("empty", "repeated"))
    rows, example = cut.column("rows").to_pylist(), pc.min(cut.column("example")).as_py()
    check_key_counts(primary_key, rows=sum(rows), empty=empty, repeated=repeated, example=example)
    names, width = cut.column("piece").to_pylist(), len(layout.columns)
    counted = exchange_counts(
        spark,
        len(names),
        lambda piece: _find_values(files, names[piece], layout),
        lambda piece, values, total: _save_rows(files, names[piece], values, total),
        HISTOGRAM,
    )
    histograms = add_up_histograms(counted, spaces=width + 1)
    files.remove("raw.arrow", "values.npy")
    filled = tuple(int((frequency * features).sum()) for frequency, features in histograms[:width])
    starts = (0, *np.cumsum(rows).tolist())
    return Pieces(files, layout, tuple(names), starts, filled, histograms[width])


def make_histogram(space: int, total: Rows, rows: Rows) -> pa.Table:
    """Return what a piece tells of some codes: by `total`, the rows of all that hold one, the rows of its own that do.

    Over all pieces these come to `total` for each code, see `add_up_histograms`.
    """
    frequency, place = np.unique(total, return_inverse=True)
    held = np.bincount(place, weights=rows, minlength=len(frequency)).astype(np.int64)
    spaces = np.full(len(frequency), space, dtype=np.int64)
    return pa.table({"space": spaces, "frequency": frequency, "held": held})


def add_up_histograms(parts: pa.Table, *, spaces: int) -> list[tuple[Rows, Rows]]:
    """Return for each space the distinct frequencies, ascending, and how many codes have each."""
    summed = parts.group_by(["space", "frequency"]).aggregate([("held", "sum")])
    summed = summed.sort_by([("space", "ascending"), ("frequency", "ascending")])
    space, frequency, held = (summed.column(name).to_numpy() for name in ("space", "frequency", "held_sum"))
    bounds = np.searchsorted(space, np.arange(spaces + 1)).tolist()
    return [(frequency[a:b], held[a:b] // frequency[a:b]) for a, b in pairwise(bounds)]


def _cut_task(files: PieceFiles) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        parts = list(batches)
        context = TaskContext.get()
        if not parts or context is None:
            return
        table = pa.Table.from_batches(parts)
        keys, piece = table.column("key"), context.partitionId()
        repeated, example = find_repeated(keys)
        files.save_table(f"{piece}.raw", table.take(pc.sort_indices(keys)).combine_chunks())
        yield pa.RecordBatch.from_pydict({
            "piece": [piece], "rows": [len(table)], "empty": [keys.null_count], "repeated": [repeated],
            "example": pa.array([example], pa.string()),
        })  # fmt: skip

    return run


@dataclass(frozen=True)
class _Values:
    """What the rows of a piece hold: by column the number of each row's value, -1 for none, and each row's words.

    `codes` and `rows` are those of the values of the first column, of the next ones and, last, of the words: what they
    are called anywhere, and in how many rows of the piece they are. They end at `ends`.
    """

    columns: tuple[Codes, ...]
    word_offsets: Rows
    words: Codes
    codes: Rows
    rows: Rows
    ends: Rows

    @classmethod
    def find(cls, table: pa.Table, layout: Layout) -> Self:
        """Read the values of a table whose keys are in order."""
        records = prepare_records(_name_columns(table, layout), layout.profiles)
        texts = [
            # of a phone only its digits are kept, and counted are values as they are
            encode_column(table.column(f"c{i}"))[1] if column.profile.kind is ColumnKind.PHONE else column.values
            for i, column in enumerate(records.columns)
        ]
        codes = [_hash_texts(values, space) for space, values in enumerate([*texts, records.vocabulary])]
        rows = [np.bincount(c.codes[c.codes >= 0], minlength=len(c.values)) for c in records.columns]
        return cls(
            tuple(column.codes for column in records.columns),
            records.words.indptr,
            records.words.indices,
            np.concatenate(codes),
            np.concatenate([*rows, records.frequency]),
            np.cumsum([len(part) for part in codes]),
        )

    def save(self, files: PieceFiles, name: str) -> None:
        """Save the values, the last of them when all others are there."""
        files.save_arrays(name, {f"column{i}.values": codes for i, codes in enumerate(self.columns)})
        files.save_arrays(name, {f"{member}.values": getattr(self, member) for member in _ARRAYS})

    @classmethod
    def load(cls, files: PieceFiles, name: str, *, columns: int) -> Self | None:
        """Return what was saved; None where nothing was, or not all."""
        if not files.has_arrays(name, f"{_ARRAYS[-1]}.values"):
            return None
        codes = files.load_arrays(name, (f"column{i}.values" for i in range(columns)))
        return cls(tuple(codes), *files.load_arrays(name, (f"{member}.values" for member in _ARRAYS)))


_ARRAYS = ("word_offsets", "words", "codes", "rows", "ends")


def _find_values(files: PieceFiles, name: int, layout: Layout) -> Found[_Values]:
    """Return the values of a piece; they are found once, and saved."""
    values = _Values.load(files, str(name), columns=len(layout.columns))
    if values is None:
        values = _Values.find(files.load_table(f"{name}.raw"), layout)
        values.save(files, str(name))
    return Found(values.codes, values.rows, values)


def _hash_texts(texts: pa.StringArray, space: int) -> Rows:
    values = texts.to_numpy(zero_copy_only=False)
    hashed = hash_array(values, categorize=False) if len(values) else np.zeros(0, dtype=np.uint64)
    return salt(hashed.view(np.int64), space)


def _save_rows(files: PieceFiles, name: int, values: _Values, total: Rows) -> pa.Table:
    """Save the rows of a piece with their counts; return the histograms."""
    parts = (np.split(each, values.ends[:-1]) for each in (total, values.rows))
    counted = list(zip(*parts, strict=True))
    table = files.load_table(f"{name}.raw")
    for i, (codes, (everywhere, _)) in enumerate(zip(values.columns, counted, strict=False)):
        table = table.append_column(f"n{i}", pa.array(np.append(everywhere, 0)[codes].astype(np.int32)))
    offsets, words = pa.array(values.word_offsets.astype(np.int32)), counted[-1][0].astype(np.int32)
    table = table.append_column("words", pa.ListArray.from_arrays(offsets, pa.array(words[values.words])))
    files.save_table(f"{name}.rows", table)
    return pa.concat_tables(make_histogram(space, *counts) for space, counts in enumerate(counted))


def _load_rows(files: PieceFiles, name: int) -> pa.Table:
    return files.load_table(f"{name}.rows")


def _name_columns(table: pa.Table, layout: Layout) -> pa.Table:
    chosen = table.select(["key", *(f"c{i}" for i in range(len(layout.columns)))])
    return chosen.rename_columns(["key", *layout.columns])


def _name_task(pieces: Pieces, schema: pa.Schema) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for piece in (number for batch in batches for number in batch.column(0).to_pylist()):
            values = pieces.files.load_arrays("named", schema.names)
            part = slice(pieces.starts[piece], pieces.starts[piece + 1])
            named = {name: pa.array(array[part]) for name, array in zip(schema.names, values, strict=True)}
            yield from pa.table({KEY: pieces._load_keys(pieces.names[piece]), **named}).to_batches()

    return run
