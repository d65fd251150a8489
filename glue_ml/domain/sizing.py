"""How much a FIND_MATCHES run costs by its rows and columns: memory, CPU by stage, bytes shuffled. A model on paper.

It follows what the engine does today: the driver prepares the records and the index of all rows, and every executor
gets a file of both, which its Python workers map. The numbers are in `cost_constants`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from glue_ml.domain import cost_constants as constants
from glue_ml.domain.cost_constants import KINDS
from glue_ml.domain.transform import MAX_SCHEMA_COLUMNS
from glue_ml.errors import InputError

DRIVER_ROWS = 20_000  #: As in `matching.pipeline`: up to so many rows the driver does the work itself.
MOST_CHARS = 4_000  #: Of a cell, as many characters are read.
MB = 1 << 20

_COLUMNS = re.compile(r"([a-z_]+)(?::(\d{1,3}))?(?::(\d{1,5}))?")


@dataclass(frozen=True)
class ColumnShape:
    """A column that is compared: its kind, as profiles name it, and how many characters a value has on average."""

    kind: str
    chars: float


@dataclass(frozen=True)
class Workload:
    """What is to be matched; `accuracy_cost` is AccuracyCostTradeoff, None works as 0.5."""

    rows: int
    columns: tuple[ColumnShape, ...]
    accuracy_cost: float | None = None


@dataclass(frozen=True)
class StageCost:
    """A stage of a run: CPU seconds of one core, and whether the executors share it or the driver does it alone."""

    name: str
    cpu_seconds: float
    shared: bool


@dataclass(frozen=True)
class Cost:
    """What a run costs. Bytes are of the whole table.

    `build_bytes` is what the driver needs besides while it builds the index. What of `records_bytes` and `index_bytes`
    lies in memory is what is in use: it is in a file. `limits` are sentences on what ends a run of this size today,
    whatever its memory.
    """

    rows: int
    table_bytes: float
    records_bytes: float
    index_bytes: float
    build_bytes: float
    candidate_pairs: float
    shuffle_bytes: float
    stages: tuple[StageCost, ...]
    limits: tuple[str, ...]
    pieces: int = 0  #: 0: records and index are shipped as a whole.

    @property
    def on_driver(self) -> bool:
        """Whether the driver does all of it by itself, as it does for a small table."""
        return self.rows <= DRIVER_ROWS

    @property
    def driver_bytes(self) -> float:
        """Memory of the driver's Python process, at its peak."""
        if self.pieces:
            return constants.PROCESS_MB * MB + self.rows * constants.PIECE_DRIVER_ROW_BYTES
        return constants.PROCESS_MB * MB + self.table_bytes + self.records_bytes + self.build_bytes

    @property
    def file_bytes(self) -> float:
        """The files of records and index, of which an executor has a copy and maps what it uses."""
        return self.records_bytes + self.index_bytes

    def workers_bytes(self, cores: int) -> float:
        """Memory of the Python workers of an executor of so many cores, with the file between them."""
        if self.pieces:
            return cores * (constants.PROCESS_MB * MB + constants.PIECE_FACTOR * self.file_bytes / self.pieces)
        return constants.PROCESS_MB * MB * cores + self.file_bytes

    def cpu_seconds(self, *, shared: bool) -> float:
        """CPU seconds of the stages that the executors share, or of those that the driver does alone."""
        return sum(stage.cpu_seconds for stage in self.stages if stage.shared is shared)


def parse_columns(texts: Iterable[str]) -> tuple[ColumnShape, ...]:
    """Read columns told as KIND, KIND:COUNT or KIND:COUNT:CHARS, with spaces or commas between. Raises InputError.

    >>> [(column.kind, column.chars) for column in parse_columns(["name:2:9 date:1:10", "text:1:500"])]
    [('name', 9.0), ('name', 9.0), ('date', 10.0), ('text', 500.0)]
    """
    told = [part for text in texts for part in re.split(r"[\s,]+", text) if part]
    columns = tuple(column for part in told for column in _parse_part(part))
    if not 1 <= len(columns) <= MAX_SCHEMA_COLUMNS:
        raise InputError(f"{len(columns)} columns were told; a table has 1 to {MAX_SCHEMA_COLUMNS} that are compared")
    return columns


def _parse_part(part: str) -> list[ColumnShape]:
    found = _COLUMNS.fullmatch(part)
    if found is None:
        raise InputError(f"{part!r} tells no columns; write KIND:COUNT or KIND:COUNT:CHARACTERS, such as name:3")
    kind, count, chars = found.groups()
    if kind not in KINDS:
        raise InputError(f"{kind!r} is no kind of column; they are: {', '.join(KINDS)}")
    if chars is not None and not 1 <= int(chars) <= MOST_CHARS:
        raise InputError(f"{part!r}: of a value 1 to {MOST_CHARS} characters are read")
    length = KINDS[kind].chars if chars is None else float(chars)
    return [ColumnShape(kind, length)] * (1 if count is None else int(count))


def candidates_per_view(accuracy_cost: float | None) -> int:
    """Return the candidates that a view proposes for a record, as `matching.blocking.choose_budget` has them."""
    accuracy = 0.5 if accuracy_cost is None else accuracy_cost
    return round(3 * math.pow(100 / 9, accuracy))


def work_per_record(workload: Workload) -> float:
    """Return the multiply-adds that a record may cost in a view, by the same."""
    accuracy = 0.5 if workload.accuracy_cost is None else workload.accuracy_cost
    return max(round(60 * math.pow(100, accuracy)), constants.SMALL_TABLE_WORK / max(workload.rows, 1))


def count_pieces(workload: Workload) -> int:
    """Return into how many pieces the table is cut, as `matching.plan_choice` has them, if it is."""
    chars = workload.rows * sum(column.chars for column in workload.columns)
    return math.ceil(max(workload.rows / constants.PIECE_ROWS, chars / constants.PIECE_CHARS))


def estimate_cost(workload: Workload, *, in_pieces: bool = False) -> Cost:
    """Estimate what a run over `workload` costs, with a model at hand. Raises InputError for less than two rows."""
    if workload.rows < 2:
        raise InputError(f"{workload.rows} rows hold no two that could match; give the number of rows of the table")
    rows, columns = workload.rows, workload.columns
    pairs = rows * constants.PAIRS_PER_CANDIDATE * candidates_per_view(workload.accuracy_cost)
    return Cost(
        rows=rows,
        table_bytes=rows * (constants.KEY_BYTES + sum(constants.CELL_BYTES + column.chars for column in columns)),
        records_bytes=rows * (constants.KEY_BYTES + sum(map(_record_bytes, columns))),
        index_bytes=rows * constants.FEATURE_BYTES * _index_features(workload),
        build_bytes=rows * constants.BUILD_BYTES * sum(_words(column) + column.chars for column in columns),
        candidate_pairs=pairs,
        shuffle_bytes=0.0 if rows <= DRIVER_ROWS else pairs * constants.SHUFFLE_BYTES_PER_PAIR,
        stages=tuple((_estimate_stages_in_pieces if in_pieces else _estimate_stages)(workload, pairs)),
        limits=() if in_pieces else tuple(_find_limits(rows, columns)),
        pieces=count_pieces(workload) if in_pieces else 0,
    )


def _words(column: ColumnShape) -> float:
    """The words of a value; they grow with its characters."""
    kind = KINDS[column.kind]
    return kind.words * _stretch(column)


def _stretch(column: ColumnShape) -> float:
    """How much longer the values are than those that the constants were measured on."""
    usual = KINDS[column.kind].chars
    return column.chars / usual if usual else 1.0


def _record_bytes(column: ColumnShape) -> float:
    words = _words(column)
    value = constants.VALUE_BYTES + column.chars + constants.WORD_BYTES * words
    return constants.CODE_BYTES + KINDS[column.kind].distinct * value + constants.ROW_WORD_BYTES * words


def _index_features(workload: Workload) -> float:
    words, chars = sum(map(_words, workload.columns)), sum(column.chars for column in workload.columns)
    kept = min(constants.GRAMS_PER_CHAR * work_per_record(workload), constants.MOST_GRAMS_PER_CHAR)
    return words + kept * chars


def _estimate_stages(workload: Workload, pairs: float) -> Iterable[StageCost]:
    rows, columns = workload.rows, workload.columns
    features = sum(_words(column) + column.chars for column in columns)
    list_us = constants.LIST_US + constants.VIEWS * work_per_record(workload) * constants.MULTIPLY_ADD_US
    compare = constants.TOGETHER * sum(KINDS[column.kind].pair_us * _stretch(column) for column in columns)
    second = constants.SECOND_LOOK_SHARE * (compare + constants.SECOND_LOOK_US)
    # a small table spares the driver all that Spark does around the kernels
    factor = 1.0 if rows <= DRIVER_ROWS else constants.SPARK_FACTOR
    shared = rows > DRIVER_ROWS
    yield StageCost("read the table", rows * (constants.READ_US + _prepare_us(workload)) / 1e6, shared=False)
    yield StageCost("block", rows * features * constants.INDEX_US / 1e6, shared=False)
    yield StageCost("list candidates", rows * list_us * factor / 1e6, shared)
    yield StageCost("compare pairs", pairs * compare * factor / 1e6, shared)
    yield StageCost("score pairs", pairs * (constants.FIRST_LOOK_US + second) * factor / 1e6, shared)
    yield StageCost("cluster", rows * constants.CLUSTER_US / 1e6, shared=False)
    yield StageCost("write the matches", rows * constants.WRITE_US / 1e6, shared=True)


def _estimate_stages_in_pieces(workload: Workload, pairs: float) -> Iterable[StageCost]:
    """Estimate the stages of a table in pieces: the same work, shared by the executors, and what pieces add to it."""
    rows, prepare = workload.rows, _prepare_us(workload)
    added = {
        "read the table": rows * (constants.CUT_US + prepare),
        "list candidates": rows * count_pieces(workload) * constants.SEARCH_PIECE_US,
        "compare pairs": pairs * constants.GATHERED_ROWS * prepare,
    }
    for stage in _estimate_stages(workload, pairs):
        seconds = stage.cpu_seconds + added.get(stage.name, 0.0) * constants.SPARK_FACTOR / 1e6
        yield StageCost(stage.name, seconds, shared=stage.name != "cluster")


def _prepare_us(workload: Workload) -> float:
    return sum(KINDS[column.kind].prepare_us * _stretch(column) for column in workload.columns)


def _find_limits(rows: int, columns: Sequence[ColumnShape]) -> Iterable[str]:
    longest = max(column.chars for column in columns)
    if rows * longest > 2**31:
        yield "a column of more than 2 GiB does not fit in one Arrow array, and the driver puts columns together"
