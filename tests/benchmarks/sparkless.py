"""The engine's own face, `FindMatches`, on a table in memory and without Spark: the same code, the same results.

`without_spark` puts Arrow in the place of the few functions by which the face reads and writes a DataFrame, and lets
candidate pairs be asked in this process whatever their number. What depends on the table alone (prepared records,
blocking, comparison, the start without labels) is done once per table and kept, as a benchmark teaches many models on
one: seconds measured here are therefore not those of a user.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from unittest import mock

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from glue_ml.matching import FindMatchesModel, find_matches, pipeline
from glue_ml.matching.blocking import BlockingIndex, build_index, list_pairs
from glue_ml.matching.pipeline import Blocked, DriverCandidates
from glue_ml.matching.profile import ColumnProfile
from glue_ml.matching.records import Records, prepare_records
from glue_ml.matching.scoring import count_candidate_patterns
from glue_ml.matching.table import KEY
from glue_ml.matching.unsupervised import fit_unsupervised

T = TypeVar("T")
Rows = npt.NDArray[np.int64]

KEPT = 6  #: Answers of a function that are kept, as those about a table may be large.


@dataclass(frozen=True, eq=False)
class Frame:
    """A table in the place of a DataFrame."""

    table: pa.Table
    sparkSession: None = None

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self.table.column_names)


def collect_rows(df: Any, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return some columns of a DataFrame or a Frame as rows."""
    if isinstance(df, Frame):
        return list(df.table.select(list(names)).to_pylist())
    return [row.asDict() for row in df.select(*names).collect()]


@contextmanager
def without_spark() -> Iterator[None]:
    """Let `FindMatches` and its models take a Frame instead of a DataFrame."""
    with (
        mock.patch.multiple(pipeline, name_rows=_name_rows, attach_named=_attach_named),
        mock.patch.multiple(
            find_matches,
            check_table=_accept,
            compared_columns=_list_compared,
            read_rows=remember(_read_rows),
            lay_out_sets=_lay_out_sets,
            choose_cut=_ship,
            prepare_records=_prepare_once(prepare_records),
            build_index=remember(build_index),
            open_candidates=_open_once(),
            count_candidate_patterns=remember(count_candidate_patterns),
            fit_unsupervised=remember(fit_unsupervised),
        ),
    ):
        yield


def remember(function: Callable[..., T]) -> Callable[..., T]:
    """Return a function that answers again what it was asked lately: about the same objects, equal plain values."""
    known: OrderedDict[tuple[object, ...], tuple[T, tuple[object, ...]]] = OrderedDict()

    @functools.wraps(function)
    def ask(*args: Any, **named: Any) -> T:
        given = (*args, *(part for name in sorted(named) for part in (name, named[name])))
        key = tuple(_identify(value) for value in given)
        if key not in known:
            # what was given is kept too, so that no other object can take its identity
            known[key] = (function(*args, **named), given)
        known.move_to_end(key)
        if len(known) > KEPT:
            known.popitem(last=False)
        return known[key][0]

    return ask


def _identify(value: object) -> object:
    try:
        hash(value)
    except TypeError:
        return tuple(map(_identify, value)) if isinstance(value, list) else id(value)
    return value


def _accept(df: Frame, *, primary_key: str, reserved: Sequence[str] = ()) -> None:
    pass


def _list_compared(df: Frame, *, primary_key: str) -> list[str]:
    return [name for name in df.columns if name != primary_key]


def _read_rows(df: Frame, *, primary_key: str, columns: Sequence[str]) -> pa.Table:
    return df.table.select([primary_key, *columns])


def _lay_out_sets(df: Frame, sets: Sequence[tuple[str, Sequence[str]]], *, primary_key: str) -> Frame:
    keys = pa.array([key for _, members in sets for key in members], pa.string())
    places = pc.index_in(keys, df.table.column(primary_key))
    rows = df.table.take(places)
    names = [set_id for set_id, members in sets for _ in members]
    columns: dict[str, Any] = {"labeling_set_id": pa.array(names, pa.string()), "label": pa.nulls(len(names))}
    return Frame(pa.table({**columns, **{name: rows.column(name) for name in df.columns}}))


def _ship(df: Frame, columns: Sequence[str], wanted: str, **_: object) -> None:
    """No table is cut into pieces here."""


def _name_rows(spark: None, keys: pa.StringArray, values: pa.Table) -> pa.Table:
    return values.add_column(0, KEY, keys)


def _attach_named(df: Frame, named: pa.Table, *, rows: int, primary_key: str) -> Frame:
    rows_of = named.take(pc.index_in(df.table.column(primary_key), named.column(0).combine_chunks()))
    table = df.table
    for name in named.column_names[1:]:
        table = table.append_column(name, rows_of.column(name))
    return Frame(table)


def _prepare_once(prepare: Callable[..., Records]) -> Callable[..., Records]:
    """The profiles of a model that learned from the same table are those that the table would be given anyway."""
    ask = remember(prepare)

    def prepare_again(table: pa.Table, profiles: Sequence[ColumnProfile] | None = None, **more: Any) -> Records:
        records = ask(table)
        if more or (profiles is not None and tuple(profiles) != records.profiles):
            return ask(table, profiles, **more)
        return records

    return prepare_again


def _open_once() -> Callable[[None, Blocked], DriverCandidates]:
    def open_driver(records: Records, index: BlockingIndex) -> DriverCandidates:
        return DriverCandidates(Blocked(records, index))

    opened = remember(open_driver)
    return lambda spark, blocked: opened(blocked.records, blocked.index)


def list_candidate_rows(model: FindMatchesModel, df: Any) -> tuple[Rows, Rows]:
    """Return the row numbers of the candidate pairs that a model's run on a DataFrame or a Frame would look at."""
    lo, hi, _ = list_pairs(model.prepare(df).index)
    return lo, hi
