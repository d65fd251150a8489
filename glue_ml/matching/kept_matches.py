"""Runs that go on from the state of the run before: what changed is found, and only what it touches is matched again.

A state says of which version of a Delta table it is. Where the existing rows are those of that version, they are not
read: only the new ones are. Otherwise the state is not trusted: it is compared with the rows, value by value, and a row
that differs is one that is gone and one that is new. So a state that is old costs time and changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from glue_ml import storage
from glue_ml.errors import InputError
from glue_ml.matching.find_matches import FindMatchesModel
from glue_ml.matching.incremental import SHOWN_KEYS, Increment, check_increment, refuse_shared
from glue_ml.matching.ledger import NO_ID, LedgerEntry, assign_ids
from glue_ml.matching.match_state import OUTGROWN, MatchState, Step, advance_state, start_state
from glue_ml.matching.model import MatchModel
from glue_ml.matching.row_pairs import Flags, Rows, flag_rows
from glue_ml.matching.state_files import load_state, save_state
from glue_ml.matching.table import (
    CONFIDENCE,
    KEY,
    MATCH_ID,
    attach_groups,
    check_table,
    collect_arrow,
    name_rows,
    quote,
    read_rows,
)
from glue_ml.matching.table_version import TableVersion

logger = logging.getLogger(__name__)

LEDGER = "ledger"  #: The Delta table below the place of the state.
_IS_NEW = "__glue_ml_is_new"  #: A column of the rows that are merged.
LEDGER_SCHEMA = T.StructType(
    [
        T.StructField("match_id", T.LongType()),
        T.StructField("event", T.StringType()),
        T.StructField("from_ids", T.ArrayType(T.LongType())),
        T.StructField("into_ids", T.ArrayType(T.LongType())),
        T.StructField("run", T.StringType()),
        T.StructField("generation", T.LongType()),
        T.StructField("at", T.TimestampType()),
    ]
)


@dataclass(frozen=True)
class KeptMatches:
    """What a run found with `model`: the state to keep, and the ledger's entries.

    Flags by row: `changed`, whose id is another now; `touched`, whose group was looked at again.

    `counts` are for the result; `remarks` say what else is worth knowing.
    """

    model: MatchModel
    state: MatchState
    entries: tuple[LedgerEntry, ...]
    changed: Flags
    touched: Flags
    counts: dict[str, int]
    remarks: tuple[str, ...] = ()

    def groups(self, *, scores: bool, changed_only: bool = False) -> pa.Table:
        """Return key, match id and, if asked, confidence of all rows, or of those where one may have changed."""
        columns = {"key": self.state.keys, MATCH_ID: pa.array(self.state.ids, pa.int64())}
        if scores:
            columns[CONFIDENCE] = pa.array(self.model.tell_confidence(self.state.found.confidence), pa.float64())
        table = pa.table(columns)
        return table.filter(pa.array(self.changed | (self.touched & scores))) if changed_only else table


def match_first(df: DataFrame, model: FindMatchesModel) -> KeptMatches:
    """Match `df` in full and leave a state. Cost: one Spark job to read it; the rest happens on the driver."""
    primary_key = model.settings.primary_key
    check_table(df, primary_key=primary_key, reserved=(MATCH_ID, CONFIDENCE))
    state = start_state(_read(df, model), model.model_)
    everything = np.ones(len(state.ids), dtype=bool)
    counts = _count(state, touched=len(state.ids), pairs=0)
    return KeptMatches(model.model_, state, (), everything, everything, counts)


def match_next(
    increment: Increment, model: FindMatchesModel, state: MatchState | None, *, version: TableVersion | None = None
) -> KeptMatches:
    """Match the rows of `increment`, of which `state` knows the most; without one all are matched.

    Groups are those of a full run by the state's counts. A group keeps the id of the existing group with which it
    shares most rows (see `assign_ids`), so that the ids of groups that nothing touched stay. `version`: that of the
    Delta table which the existing rows are. Cost: what the changed rows touch, on the driver; a Spark job that reads
    the new rows and, unless the state is of that version, three more that read keys and ids and all rows.

    Raises what `check_increment` raises.
    """
    if state is not None and _knows(state, version, increment):
        return _keep(_match_added(increment, model, state), model)
    increment = check_increment(increment)
    table = _read(increment.rows, model)
    ids, free = _align_ids(table, increment.ids), increment.first_free
    if state is None or state.table.column_names != table.column_names:
        started = start_state(table, model.model_)
        naming = assign_ids(ids, started.ids, first_free=free)
        everything, scored = np.arange(len(ids)), len(started.found.lists.other)
        return _keep(
            Step(replace(started, ids=naming.ids), everything, naming.ids != ids, naming.entries, scored), model
        )
    return _keep(_advance(state, table, ids, model=model, first_free=free), model)


def _knows(state: MatchState, version: TableVersion | None, increment: Increment) -> bool:
    """Whether the state has the existing rows, as text, as they would be read."""
    if version is None or state.version != version or not increment.retyped.isdisjoint(state.table.column_names):
        return False
    # the rows were read to be matched, and once more to be written: Delta's statistics tell if there were others then
    return increment.ids.count() == len(state.ids)


def _match_added(increment: Increment, model: FindMatchesModel, state: MatchState) -> Step:
    added = _read(increment.added, model)
    keys = added.column(0)
    shared = keys.filter(pc.is_in(keys, value_set=state.keys.combine_chunks()))
    refuse_shared(shared.slice(0, SHOWN_KEYS + 1).to_pylist(), increment.primary_key)
    return advance_state(state, model.model_, added=added, added_ids=np.full(len(added), NO_ID))


def _keep(step: Step, model: FindMatchesModel) -> KeptMatches:
    state = step.state
    touched = flag_rows(step.touched, len(state.ids))
    counts = _count(state, touched=len(step.touched), pairs=step.scored_pairs)
    return KeptMatches(model.model_, state, step.entries, step.changed, touched, counts, _remark(state))


def find_changes(before: pa.Table, after: pa.Table) -> tuple[list[str], Rows]:
    """Return the keys of the rows of `before` that are gone or differ, and the rows of `after` that are new or differ.

    Both have the same columns, the first the unique key; any other value is compared as it is, null equal to null.
    """
    place = pc.fill_null(pc.index_in(after.column(0), value_set=before.column(0)), -1).to_numpy().astype(np.int64)
    known = np.flatnonzero(place >= 0)
    differs = np.zeros(len(known), dtype=bool)
    for column in after.column_names[1:]:
        old, new = before.column(column).take(pa.array(place[known])), after.column(column).take(pa.array(known))
        same = pc.fill_null(pc.equal(old, new), False).to_numpy()
        differs |= ~(same | (pc.is_null(old).to_numpy() & pc.is_null(new).to_numpy()))
    stays = np.zeros(len(before), dtype=bool)
    stays[place[known[~differs]]] = True
    renewed = np.ones(len(after), dtype=bool)
    renewed[known[~differs]] = False
    return before.column(0).filter(pa.array(~stays)).to_pylist(), np.flatnonzero(renewed)


def attach_matches(df: DataFrame, kept: KeptMatches, *, primary_key: str, scores: bool) -> DataFrame:
    """Return `df` with `match_id` and, if asked, `match_confidence_score`. One join by key."""
    return attach_groups(df, kept.groups(scores=scores), primary_key=primary_key)


def merge_into_delta(uri: str, increment: Increment, kept: KeptMatches, *, scores: bool) -> None:
    """Bring the Delta table of existing matches at `uri` up to date by one MERGE: changed ids, and the new rows.

    Only rows whose id or, with `scores`, confidence may have changed are written. Raises InputError where it is no
    Delta table, or lacks a column that is needed.
    """
    spark, key = increment.rows.sparkSession, increment.primary_key
    if not DeltaTable.isDeltaTable(spark, uri):
        raise InputError(f"{uri} is no Delta table, into which alone rows can be merged; write a new output instead")
    table = DeltaTable.forPath(spark, uri)
    schema = {field.name.casefold(): field for field in table.toDF().schema.fields}
    groups = kept.groups(scores=scores, changed_only=True)
    told = groups.select(groups.column_names[1:])
    names = [*increment.added.columns, *told.column_names]
    if missing := [name for name in names if name.casefold() not in schema]:
        raise InputError(f"the Delta table {uri} has no column {missing[0]!r}; write a new output, or drop the column")
    values: dict[str, str | Column] = {
        quote(field.name): F.col(f"new.{quote(name)}").cast(field.dataType)
        for name, field in ((name, schema[name.casefold()]) for name in names)
    }
    updated = {quote(schema[name].name): values[quote(schema[name].name)] for name in told.column_names}
    # existing rows are told by their keys alone: the rest of them is in the table, and need not be read for this
    added = increment.added.withColumns({KEY: F.col(quote(key)).cast("string"), _IS_NEW: F.lit(True)})
    changed = name_rows(spark, groups.column(0), told).join(added, on=KEY, how="left")
    same = F.col(f"old.{quote(schema[key.casefold()].name)}").cast("string") == F.col(f"new.{KEY}")
    merge = table.alias("old").merge(changed.alias("new"), same).whenMatchedUpdate(set=updated)
    merge.whenNotMatchedInsert(condition=F.col(f"new.{_IS_NEW}"), values=values).execute()


def open_state(uri: str, model: FindMatchesModel) -> MatchState | None:
    """Return the state at `uri` if this model led to it, else None. Raises InputError where it is damaged."""
    state = load_state(uri, model.model_)
    if state is None and storage.exists(storage.join(uri, "state.json")):
        logger.warning("the match state at %s is of another model or version; all rows are matched again", uri)
    return state


def append_ledger(
    spark: SparkSession, uri: str, entries: Sequence[LedgerEntry], *, run: str, generation: int, now: datetime
) -> None:
    """Append what happened to ids to the ledger below `uri`, as one version of a Delta table.

    The same generation is appended once only, however often it is tried: so it is written before the output, and a run
    that is repeated after a failure says nothing twice.
    """
    if not entries:
        return
    rows = [(e.match_id, str(e.event), list(e.from_ids), list(e.into_ids), run, generation, now) for e in entries]
    writer = spark.createDataFrame(rows, LEDGER_SCHEMA).coalesce(1).write.format("delta").mode("append")
    writer.option("txnAppId", "glue-ml match ledger").option("txnVersion", generation).save(storage.join(uri, LEDGER))


def number_generation(spark: SparkSession, uri: str, kept: KeptMatches) -> KeptMatches:
    """Let a state that was started anew follow all generations that the ledger below `uri` tells of."""
    place = storage.join(uri, LEDGER)
    if kept.state.generation or not storage.exists(storage.join(place, "_delta_log")):
        return kept
    last = spark.read.format("delta").load(place).agg(F.max("generation")).head()
    generation = 0 if last is None or last[0] is None else int(last[0]) + 1
    return replace(kept, state=replace(kept.state, generation=generation))


def keep_state(uri: str, kept: KeptMatches, model: FindMatchesModel, *, version: TableVersion | None = None) -> None:
    """Write the state for the next run; do so when the output is in place.

    `version`: what the output is, if it is a Delta table and nobody else can have written to it since it was read.
    """
    save_state(replace(kept.state, version=version), uri, model.model_)


def _advance(state: MatchState, table: pa.Table, ids: Rows, *, model: FindMatchesModel, first_free: int) -> Step:
    removed, renewed = find_changes(state.table, table)
    place = pc.fill_null(pc.index_in(state.keys, value_set=table.column(0)), -1).to_numpy().astype(np.int64)
    # the ids of the existing rows count, not those that the state remembers
    known = replace(state, ids=np.where(place >= 0, np.append(ids, NO_ID)[place], state.ids))
    added = table.take(pa.array(renewed))
    return advance_state(
        known, model.model_, removed=removed, added=added, added_ids=ids[renewed], first_free=first_free
    )


def _read(df: DataFrame, model: FindMatchesModel) -> pa.Table:
    """Read what is compared, sorted by key."""
    columns = [profile.name for profile in model.profiles_]
    table = read_rows(df, primary_key=model.settings.primary_key, columns=columns)
    schema = pa.schema([(name, pa.string()) for name in table.column_names])
    return table.cast(schema).take(pc.sort_indices(table.column(0))).combine_chunks()


def _align_ids(table: pa.Table, ids: DataFrame) -> Rows:
    """The existing id of each row of `table`, NO_ID for new rows."""
    known = collect_arrow(ids)
    place = pc.fill_null(pc.index_in(table.column(0), value_set=known.column(0).cast(pa.string())), -1).to_numpy()
    return np.asarray(np.append(known.column(1).to_numpy().astype(np.int64), NO_ID)[place])


def _count(state: MatchState, *, touched: int, pairs: int) -> dict[str, int]:
    _, sizes = np.unique(state.ids, return_counts=True)
    return {
        "rows": len(state.ids),
        "groups": len(sizes),
        "merged_groups": int((sizes > 1).sum()),
        "merged_rows": int(sizes[sizes > 1].sum()),
        "largest_group": int(sizes.max(initial=0)),
        "touched_rows": touched,
        "scored_pairs": pairs,
    }


def _remark(state: MatchState) -> tuple[str, ...]:
    if 1 / OUTGROWN < state.drift < OUTGROWN:
        return ()
    return (
        f"The table has {len(state.ids)} rows; how common values are was counted on {state.values.rows}. Remove "
        "state.json from the place of the match state, so that the next run counts anew and matches in full",
    )
