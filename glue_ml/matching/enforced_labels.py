"""What labels enforce of new rows beside existing ones, whose ids stay: must-links as sets, cannot-links afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from glue_ml.domain.labels import LabeledRow, label_constraints, labeled_pairs
from glue_ml.matching.enforced import SET, number_groups
from glue_ml.matching.table import MATCH_ID, attach_groups, collect_arrow

_MOVED = "__glue_ml_moved"


@dataclass(frozen=True)
class EnforcedLabels:
    """Pairs of keys (as text) that must share a match id, and those that must not."""

    together: tuple[tuple[str, str], ...] = ()
    apart: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of_rows(cls, rows: Sequence[LabeledRow]) -> EnforcedLabels:
        """Return what labelled rows enforce."""
        together, apart = label_constraints(labeled_pairs(rows))
        return cls(tuple(together), tuple(apart))


def add_labels(sets: pa.Table | None, labels: EnforcedLabels) -> pa.Table | None:
    """Return enforced matches (see `read_enforced`) and must-links as sets; those with a key in common are one."""
    if not labels.together:
        return sets
    keys = [key for pair in labels.together for key in pair]
    names = [f"label {place // 2}" for place in range(len(keys))]
    if sets is not None:
        keys += sets.column("key").to_pylist()
        names += [f"set {number}" for number in sets.column(SET).to_pylist()]
    return number_groups(pa.array(keys, pa.string()), pa.array(names, pa.string()))


def separate_rows(
    assigned: DataFrame,
    apart: Sequence[tuple[str, str]],
    sets: pa.Table | None,
    *,
    primary_key: str,
    existing: str,
    first_free: int,
) -> DataFrame:
    """`assigned` with new rows that share an id with a row they must not be with moved to new ids from `first_free` on.

    A row takes those along that it is an enforced match of. The column `existing` holds the ids of existing rows, which
    stay; where both rows are existing ones, or tied to such by a set, nothing is moved. Cost: one Spark job over the
    rows that are in a set or must be apart.
    """
    if not apart:
        return assigned
    members = _list_members(apart, sets)
    named = pa.table({"key": pa.array(members, pa.string()), _MOVED: pa.array(range(len(members)), pa.int64())})
    tagged = attach_groups(assigned, named, primary_key=primary_key)
    known = collect_arrow(tagged.where(F.col(_MOVED).isNotNull()).select(_MOVED, MATCH_ID, existing))
    keys = list(members)
    rows = {keys[number]: (match_id, old) for number, match_id, old in zip(*known.to_pydict().values(), strict=True)}
    moved = dict(_choose_moves(apart, members, rows, first_free=first_free))
    if not moved:
        return assigned
    table = pa.table({"key": pa.array(moved, pa.string()), _MOVED: pa.array(moved.values(), pa.int64())})
    joined = attach_groups(assigned, table, primary_key=primary_key)
    return joined.withColumn(MATCH_ID, F.coalesce(_MOVED, MATCH_ID)).drop(_MOVED)


def _list_members(apart: Sequence[tuple[str, str]], sets: pa.Table | None) -> dict[str, str]:
    """Each key that is in a set or must be apart, and the name of its set: a key alone is a set of its own."""
    members = {key: f"key {key}" for pair in apart for key in pair}
    if sets is not None:
        numbers = zip(sets.column("key").to_pylist(), sets.column(SET).to_pylist(), strict=True)
        members |= {key: f"set {number}" for key, number in numbers}
    return members


def _choose_moves(
    apart: Sequence[tuple[str, str]],
    members: Mapping[str, str],
    rows: Mapping[str, tuple[int, int | None]],
    *,
    first_free: int,
) -> Iterator[tuple[str, int]]:
    """Yield the keys that are moved with their new ids; the larger key of a pair moves if it may."""
    ids = {key: match_id for key, (match_id, _) in rows.items()}
    tied = {members[key] for key, (_, old) in rows.items() if old is not None}
    for pair in sorted(apart):
        if not all(key in ids for key in pair) or ids[pair[0]] != ids[pair[1]] or members[pair[0]] == members[pair[1]]:
            continue
        movable = [key for key in sorted(pair, reverse=True) if members[key] not in tied]
        if movable:
            taken = [key for key in rows if members[key] == members[movable[0]]]
            ids |= dict.fromkeys(taken, first_free)
            yield from ((key, first_free) for key in taken)
            first_free += 1
