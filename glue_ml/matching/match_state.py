"""What a run leaves behind so that the next one need only look at what changed; in memory, and as files.

The counts that weigh words and keys are those of the first run: they stay, whatever rows come and go, because a run
with other counts would have to match everything again. When the table has outgrown them (`drift`), a full run pays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from glue_ml.domain.labels import label_constraints, labeled_pairs
from glue_ml.matching.blocking import (
    BlockingBudget,
    BlockingIndex,
    build_index,
    choose_budget,
    extend_index,
    list_candidates,
)
from glue_ml.matching.clustering import Constraints
from glue_ml.matching.comparison import Feature, compare
from glue_ml.matching.ledger import NO_ID, LedgerEntry, assign_ids
from glue_ml.matching.model import MatchModel
from glue_ml.matching.records import Records, ValueCounts, count_values, prepare_records
from glue_ml.matching.row_pairs import Flags, Rows, Scores
from glue_ml.matching.table_version import TableVersion
from glue_ml.matching.threads import map_at_once
from glue_ml.matching.touched import Found, match_changed, match_everything
from glue_ml.matching.touched_pairs import Judge, ListRows

T = TypeVar("T")

PAIRS_PER_BATCH = 50_000  #: Pairs compared at once.
OUTGROWN = 2.0  #: From so many times the rows that were counted on, or fewer than the inverse, a full run is advised.


@dataclass(frozen=True)
class MatchState:
    """A matched table. `table` has the key and the compared columns as text, sorted by key; `ids` are the match ids.

    `version`: which version of a Delta table has just these rows and ids, where that is known.
    """

    table: pa.Table
    values: ValueCounts
    index: BlockingIndex
    found: Found
    ids: Rows
    generation: int = 0
    version: TableVersion | None = None

    @property
    def keys(self) -> pa.ChunkedArray:
        """The key of each row, as text."""
        return self.table.column(0)

    @property
    def drift(self) -> float:
        """How many times as many rows there are as the counts were taken from."""
        return len(self.ids) / max(self.values.rows, 1)


@dataclass(frozen=True)
class Step:
    """The state after a change, the rows whose match ids were looked at again, and what was counted and told.

    `changed`: by row, whether its id is another than before.
    """

    state: MatchState
    touched: Rows
    changed: Flags
    entries: tuple[LedgerEntry, ...]
    scored_pairs: int


def start_state(table: pa.Table, model: MatchModel, *, list_rows: ListRows = list_candidates) -> MatchState:
    """Match `table` (first column the unique key as text, then the columns of the model's profiles) in full.

    Its own counts become those of all steps that follow. Match ids are the groups' smallest row numbers.
    """
    table = _sort(table)
    records = prepare_records(table, model.profiles, semantics=model.semantics)
    values = count_values(table, records)
    counts = build_index(records, _budget(model), source=model.source_column, rules=model.key_rules).counts
    index = build_index(
        replace(records, counts=values),
        _budget(model),
        source=model.source_column,
        counts=counts,
        rules=model.key_rules,
    )
    found = match_everything(judge_by(model, table, values, index, list_rows=list_rows))
    return MatchState(table, values, index, found, found.labels)


def match_again(state: MatchState, model: MatchModel) -> Found:
    """Match the table of `state` in full by its counts: what all steps that led to it must come to."""
    records = prepare_records(state.table, model.profiles, state.values, model.semantics)
    index = build_index(
        records, _budget(model), source=model.source_column, counts=state.index.counts, rules=model.key_rules
    )
    return match_everything(judge_by(model, state.table, state.values, index))


def advance_state(
    state: MatchState,
    model: MatchModel,
    *,
    removed: Sequence[str] = (),
    added: pa.Table | None = None,
    added_ids: Rows | None = None,
    first_free: int | None = None,
) -> Step:
    """Take the rows with the keys `removed` out and put `added` in; a changed row is in both.

    `added` has the columns of the state's table; a key of it must not be there after the removal. New ids start at
    `first_free`, by default after the greatest. `added_ids` are the ids that added rows come with (`NO_ID`: none), by
    default those that changed rows had: they vote for their groups' ids.
    """
    added = state.table.slice(0, 0) if added is None else added.cast(state.table.schema)
    added_ids = _find_ids(added, state) if added_ids is None else added_ids
    sorting = pc.sort_indices(added.column(0))
    added, added_ids = added.take(sorting), added_ids[sorting.to_numpy()]
    gone = pc.is_in(state.keys, value_set=pa.array(removed, pa.string())).to_numpy(zero_copy_only=False)
    stays = np.flatnonzero(~gone)
    order, places = _interleave(state.keys, added.column(0), stays)
    table = pa.concat_tables([state.table, added]).take(pa.array(order)).combine_chunks()
    index = extend_index(state.index, _index_rows(added, model, state), order)
    change = match_changed(judge_by(model, table, state.values, index), state.found, places)
    before = np.append(state.ids, added_ids)[order]
    free = max(-1, int(before.max(initial=-1))) + 1 if first_free is None else first_free
    naming = assign_ids(
        before[change.touched], change.found.labels[change.touched], first_free=free,
        lost=np.setdiff1d(state.ids[gone], before).tolist() if gone.any() else (),
    )  # fmt: skip
    ids = before.copy()
    ids[change.touched] = naming.ids
    after = MatchState(table, state.values, index, change.found, ids, state.generation + 1)
    return Step(after, change.touched, ids != before, naming.entries, change.scored_pairs)


def judge_by(
    model: MatchModel,
    table: pa.Table,
    values: ValueCounts,
    index: BlockingIndex,
    *,
    list_rows: ListRows = list_candidates,
) -> Judge:
    """Return how `model` decides pairs of `table`; only the rows that are asked about are prepared."""

    def map_pairs(lo: Rows, hi: Rows, measure: Callable[[Records, Rows, Rows, slice], T]) -> list[T]:
        rows, place = np.unique(np.append(lo, hi), return_inverse=True)
        records = prepare_records(table.take(pa.array(rows)), model.profiles, values, model.semantics)
        left, right = place[: len(lo)], place[len(lo) :]
        parts = [slice(start, start + PAIRS_PER_BATCH) for start in range(0, len(lo), PAIRS_PER_BATCH)]
        return map_at_once(lambda part: measure(records, left[part], right[part], part), parts)

    def score(lo: Rows, hi: Rows, context: Feature) -> tuple[Scores, Scores]:
        def measure(records: Records, left: Rows, right: Rows, part: slice) -> tuple[Scores, Scores]:
            features = model.measure(compare(records, left, right), context[part])
            if not model.looks_twice:
                return (probability := model.probability(features)), probability
            first = model.first_look(features)
            return first, model.best_second_look(features, first)

        parts = map_pairs(lo, hi, measure)
        return join_scores([first for first, _ in parts]), join_scores([best for _, best in parts])

    def score_again(lo: Rows, hi: Rows, context: Feature, rivals: Feature) -> Scores:
        def measure(records: Records, left: Rows, right: Rows, part: slice) -> Scores:
            features = model.measure(compare(records, left, right), context[part])
            return model.second_look(features, model.look_closer((records, left, right), rivals[part]))[1]

        return join_scores(map_pairs(lo, hi, measure))

    def score_alone(lo: Rows, hi: Rows) -> Scores:
        parts = map_pairs(lo, hi, lambda records, left, right, _: model.plain_probability(records, left, right))
        return join_scores(parts)

    return Judge(
        index,
        model.threshold,
        score,
        score_alone,
        score_again if model.looks_twice else None,
        uses_context=model.uses_context,
        constraints=find_constraints(model, table.column(0)),
        list_rows=list_rows,
    )


def join_scores(parts: Sequence[Scores]) -> Scores:
    """Return the scores of some batches end to end."""
    return np.concatenate([np.zeros(0), *parts])


def find_constraints(model: MatchModel, keys: pa.ChunkedArray) -> Constraints:
    """Return what the labels enforce of the rows with these keys, if they are to be enforced."""
    if model.learned is None or not model.settings.enforce_provided_labels:
        return Constraints()
    linked = label_constraints(labeled_pairs(model.learned.labels))
    return Constraints(*(_find_pairs(keys, pairs) for pairs in linked))


def _find_pairs(keys: pa.ChunkedArray, pairs: Sequence[tuple[str, str]]) -> Rows:
    named = pa.array([key for pair in pairs for key in pair], pa.string())
    rows = pc.fill_null(pc.index_in(named, value_set=keys), -1).to_numpy(zero_copy_only=False).astype(np.int64)
    rows = rows.reshape(-1, 2)
    return np.sort(rows[(rows >= 0).all(axis=1)], axis=1)


def _budget(model: MatchModel) -> BlockingBudget:
    return choose_budget(model.settings.accuracy_cost_tradeoff)


def _sort(table: pa.Table) -> pa.Table:
    return table.take(pc.sort_indices(table.column(0))).combine_chunks()


def _interleave(keys: pa.ChunkedArray, added: pa.ChunkedArray, stays: Rows) -> tuple[Rows, Rows]:
    """Return the order that sorts rows that stay and added ones, numbered after the old; and the places."""
    joined = pa.chunked_array([*keys.take(pa.array(stays)).chunks, *added.chunks], pa.string())
    numbers = np.append(stays, len(keys) + np.arange(len(added)))
    order = numbers[pc.sort_indices(joined).to_numpy()]
    place = np.full(len(keys) + len(added), -1)
    place[order] = np.arange(len(order))
    return order, place[: len(keys)]


def _index_rows(added: pa.Table, model: MatchModel, state: MatchState) -> BlockingIndex:
    records: Records = prepare_records(added, model.profiles, state.values, model.semantics)
    return build_index(
        records, _budget(model), source=model.source_column, counts=state.index.counts, rules=model.key_rules
    )


def _find_ids(added: pa.Table, state: MatchState) -> Rows:
    """The ids that changed rows had, NO_ID for new rows."""
    place = pc.fill_null(pc.index_in(added.column(0), value_set=state.keys.combine_chunks()), -1)
    rows: npt.NDArray[np.int64] = place.to_numpy().astype(np.int64)
    return np.where(rows < 0, NO_ID, np.append(state.ids, NO_ID)[rows])
