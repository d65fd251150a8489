"""Delimited text: lines to cells on any number of tasks, in Hive's dialects and in that of ordinary CSV files.

Spark's own CSV reader knows one way to write a quote inside quotes; OpenCSV's files mix two, and Hive's text format
knows none. So the lines come from Spark's text reader and are parsed in Arrow batches.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, groupby, islice
from operator import itemgetter

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from glue_ml.catalog.columns import URI, metadata_column
from glue_ml.catalog.layout import Dialect
from glue_ml.catalog.locations import DataFile, read_head
from glue_ml.errors import InputError

_ROWS_PER_BATCH = 4096
_CHARACTERS_PER_BATCH = 1 << 24

Cells = list[str | None]


def read_delimited(spark: SparkSession, files: Sequence[DataFile], *, dialect: Dialect, width: int) -> DataFrame:
    """The records of `files` as string columns c0, c1, ... and the URI of their file.

    A shorter record is filled up with nulls, of a longer one the rest is left out; blank lines are none. Lines are
    parsed wherever they are; only where a quoted cell runs over the end of a line is each file parsed by one task.
    Cost: one pass to find that out, if the dialect has quotes, and one to read.
    """
    text = spark.read.option("lineSep", "\n").text([file.pattern for file in files])
    metadata = metadata_column(text)
    block = metadata["file_block_start"].alias("start")
    lines = text.select(F.col("value").cast("binary").alias("line"), metadata["file_path"].alias("uri"), block)
    whole = dialect.quote is not None and _has_open_lines(text, dialect)
    if whole:
        lines = _gather_files(lines)
    schema = T.StructType([T.StructField(f"c{i}", T.StringType()) for i in range(width)]).add(URI, T.StringType())
    return lines.mapInArrow(partial(parse_batches, dialect=dialect, width=width, whole=whole), schema)


def read_header(spark: SparkSession, file: DataFile, dialect: Dialect) -> tuple[str, ...]:
    """The first record of a file: its column names, `_c0`, `_c1`, ... where they are blank, as Spark calls them.

    Raises InputError where the file cannot be read as text of the dialect's encoding.
    """
    head = read_head(spark, file)
    check_text(file.path, head, dialect.encoding)
    text = head.decode(dialect.encoding, errors="replace").removeprefix("\ufeff")
    header = next((record for record in _tokenize(iter(text.split("\n")), dialect) if any(record)), [])
    return tuple(name or f"_c{i}" for i, name in enumerate(cell.strip() for cell in header))


def check_text(path: str, head: bytes, encoding: str) -> None:
    """Raise InputError if the first bytes of a file are no text of that encoding, or with Mac line ends of old."""
    if b"\0" in head:
        raise InputError(f"{path} is no UTF-8 text but a binary file or UTF-16; save it as CSV in UTF-8")
    try:
        # The end may cut a character in two.
        head[:-4].decode(encoding) if len(head) > 4 else head.decode(encoding, errors="ignore")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 8:
            raise InputError(f"{path} is not {encoding.upper()} at byte {error.start}; save it as UTF-8") from error
    if b"\r" in head and b"\n" not in head:
        raise InputError(f"{path} ends its lines with carriage returns alone; save it with line feeds")


def _has_open_lines(text: DataFrame, dialect: Dialect) -> bool:
    """Whether any line holds an odd number of quotes, so that a cell may run over its end."""
    bare = F.col("value")
    if dialect.escape is not None:
        bare = F.regexp_replace(bare, "(?s)" + re.escape(dialect.escape) + ".", "")
    without = F.replace(bare, F.lit(dialect.quote), F.lit(""))
    row = text.agg(F.max((F.length(bare) - F.length(without)) % 2 == 1)).head()
    return row is not None and bool(row[0])


def _gather_files(lines: DataFrame) -> DataFrame:
    """All lines of a file in one partition and in order: the number grows within each block, blocks by their start."""
    numbered = lines.withColumn("number", F.monotonically_increasing_id())
    return numbered.repartition("uri").sortWithinPartitions("uri", "start", "number").drop("number")


def parse_batches(
    batches: Iterable[pa.RecordBatch], *, dialect: Dialect, width: int, whole: bool
) -> Iterator[pa.RecordBatch]:
    """Parse batches of (line, uri, start of its block) to batches of `width` cells and the uri.

    With `whole`, all lines of a file follow one another, and quoted cells may run over their ends. Raises InputError
    for a line that is not of the dialect's encoding.
    """
    csv.field_size_limit(sys.maxsize)
    names = [*(f"c{i}" for i in range(width)), URI]
    rows = _parse_files(_decode_lines(batches, dialect.encoding), dialect, whole=whole)
    padded = ([*cells[:width], *[None] * (width - len(cells)), uri] for uri, cells in rows)
    for chunk in _cut_chunks(padded):
        columns = [pa.array(column, pa.string()) for column in zip(*chunk, strict=True)]
        yield pa.RecordBatch.from_arrays(columns, names=names)


def _cut_chunks(rows: Iterator[Cells]) -> Iterator[list[Cells]]:
    """Rows in lists that are bounded in number and in characters, as a cell may hold megabytes."""
    chunk: list[Cells] = []
    characters = 0
    for row in rows:
        chunk.append(row)
        characters += sum(map(len, filter(None, row)))
        if len(chunk) >= _ROWS_PER_BATCH or characters >= _CHARACTERS_PER_BATCH:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _decode_lines(batches: Iterable[pa.RecordBatch], encoding: str) -> Iterator[tuple[str, int, str]]:
    """(uri, start, line) of each line; the mark at the head of a file that says UTF-8 is left out."""
    for batch in batches:
        raw, uris, starts = (batch.column(i).to_pylist() for i in range(3))
        for line, uri, start in zip(raw, uris, starts, strict=True):
            try:
                yield uri, start, line.decode(encoding)
            except UnicodeDecodeError as error:
                raise InputError(f"{uri} is not {encoding.upper()}: a line has {error.object[error.start]:#x}; "
                                 "save it as UTF-8") from None  # fmt: skip


def _parse_files(
    lines: Iterator[tuple[str, int, str]], dialect: Dialect, *, whole: bool
) -> Iterator[tuple[str, Cells]]:
    key = itemgetter(0) if whole else itemgetter(0, 1)
    for _, group in groupby(lines, key):
        uri, start, first = next(group)
        head = first.removeprefix("\ufeff") if start == 0 else first
        text = chain((head,), map(itemgetter(2), group))  # noqa: B031 - the group goes on where next() left it
        records = parse_records(text, dialect, whole=whole)
        if start == 0:
            records = islice(records, dialect.skip, None)
        yield from ((uri, cells) for cells in records if cells)


def parse_records(lines: Iterator[str], dialect: Dialect, *, whole: bool) -> Iterator[Cells]:
    """The cells of each record; an empty list for a blank line.

    `lines` come without their line feeds. With `whole`, a quoted cell may run over the end of a line; without it, a
    quote that is never closed costs its own line only.
    """
    if dialect.quote is None:
        return (_split_line(line.removesuffix("\r"), dialect) for line in lines)
    records = _tokenize(lines, dialect) if whole else _parse_lines(lines, dialect)
    return (_mark_nulls(record, dialect) for record in records)


def _mark_nulls(record: list[str], dialect: Dialect) -> Cells:
    if dialect.blank_is_null:
        return [cell or None for cell in record]
    if dialect.null is not None:
        return [None if cell == dialect.null else cell for cell in record]
    return [*record]


def _parse_lines(lines: Iterator[str], dialect: Dialect) -> Iterator[list[str]]:
    """The record of each line, by the csv module unless the line holds what that reads in another way."""
    delimiter, quote, escape = dialect.delimiter, dialect.quote, dialect.escape
    for line in lines:
        text = line.removesuffix("\r")
        if "\r" in text or (escape is not None and escape in text):
            yield from _tokenize(iter((text,)), dialect)
        else:
            yield from csv.reader((text,), delimiter=delimiter, quotechar=quote, doublequote=True)


def _tokenize(lines: Iterator[str], dialect: Dialect) -> Iterator[list[str]]:
    """The records of lines, of which a quoted cell may hold several.

    A quote opens a quoted cell at the cell's beginning only. In quotes, the escape takes its meaning from a quote or
    another escape; anywhere else it is a character like any other, so that no text is lost.
    """
    record: list[str] = []
    scan = _CellScan(dialect)
    for line in lines:
        ended = scan.read(line, record)
        if ended:
            yield record
            record = []
    if scan.is_open:
        yield scan.close(record)


class _CellScan:
    """Where a scan of delimited text is: the pieces of the cell so far, and whether it is in quotes."""

    def __init__(self, dialect: Dialect) -> None:
        self._quote, self._escape = dialect.quote, dialect.escape
        special = dialect.delimiter + (dialect.quote or "") + (dialect.escape or "")
        self._special = re.compile("[" + re.escape(special) + "]")
        self._pieces: list[str] = []
        self.is_open = False

    def read(self, line: str, record: list[str]) -> bool:
        """Add the cells of a line to `record`; whether the record ends with it."""
        if not (line.rstrip("\r") or self.is_open or record):
            return True
        at = 0
        while found := self._special.search(line, at):
            self._add(line[at : found.start()])
            at = self._take(line, found.end(), record)
        rest = line[at:]
        if self.is_open:
            self._pieces += (rest, "\n")
            return False
        self._add(rest.removesuffix("\r"))
        self.close(record)
        return True

    def close(self, record: list[str]) -> list[str]:
        """End the cell, and with it what is open."""
        text = "".join(self._pieces)
        record.append(text.removesuffix("\n") if self.is_open else text)
        self._pieces, self.is_open = [], False
        return record

    def _add(self, text: str) -> None:
        if text:
            self._pieces.append(text)

    def _take(self, line: str, after: int, record: list[str]) -> int:
        """Deal with the special character before `after`; return where to go on."""
        character, following = line[after - 1], line[after : after + 1]
        if self.is_open and following and self._escapes(character, following):
            self._pieces.append(following)
            return after + 1
        if character == self._quote and self.is_open:
            self.is_open = False
            self._pieces.append("")  # the cell has begun: another quote is text
        elif character == self._quote and not self._pieces:
            self.is_open = True
            self._pieces.append("")
        elif not self.is_open and character not in (self._quote, self._escape):
            self.close(record)
        else:
            self._pieces.append(character)
        return after

    def _escapes(self, character: str, following: str) -> bool:
        if character == self._quote:
            return following == self._quote
        return character == self._escape and following in (self._quote, self._escape)


def _split_line(line: str, dialect: Dialect) -> Cells:
    if not line:
        return []
    delimiter, escape, null = dialect.delimiter, dialect.escape, dialect.null
    if escape is None or escape not in line:
        return [None if cell == null else cell for cell in line.split(delimiter)]
    found = re.split("((?s:" + re.escape(escape) + ".))|" + re.escape(delimiter), line)
    return [None if cell == null else _unescape(cell, escape) for cell in _join_escaped(found)]


def _join_escaped(found: Sequence[str | None]) -> Iterator[str]:
    """The cells of a line that was split at delimiters (None between pieces) and at escaped characters (kept)."""
    cell = ""
    for i, piece in enumerate(found):
        if i % 2 and piece is None:
            yield cell
            cell = ""
        else:
            cell += piece or ""
    yield cell


def _unescape(cell: str, escape: str) -> str:
    return re.sub(re.escape(escape) + "(?s:(.))", r"\1", cell)
