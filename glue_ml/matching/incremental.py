"""New rows beside rows that have match ids: these ids stay, and new rows join their groups or make new ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from glue_ml.errors import InputError
from glue_ml.matching.enforced import SET, connect_groups, level_confidence, look_up
from glue_ml.matching.enforced_labels import EnforcedLabels, add_labels, separate_rows
from glue_ml.matching.find_matches import FindMatchesModel, MatchResult
from glue_ml.matching.table import CONFIDENCE, KEY, MATCH_ID, attach_groups, check_table, collect_arrow, quote

_EXISTING, _CHOSEN = "__glue_ml_existing", "__glue_ml_chosen"
_BY_SET, _BY_GROUP = "__glue_ml_by_set", "__glue_ml_by_group"
_WHOLE = (T.ByteType, T.ShortType, T.IntegerType, T.LongType)
_LARGEST = 2**63 - 1
SHOWN_KEYS = 5  #: Keys that a message names.


@dataclass(frozen=True)
class Increment:
    """Existing and new rows put under one another.

    `rows` are all of them without ids, in the columns of the existing ones, then those that only the new ones have;
    `added` are the new ones alone, in the same columns and types; `ids` has the key as text and the match id of each
    existing row. `retyped` are columns that have another type here than in the table of the existing rows.
    """

    rows: DataFrame
    added: DataFrame
    ids: DataFrame
    primary_key: str
    retyped: frozenset[str]


@dataclass(frozen=True)
class CheckedIncrement(Increment):
    """An increment whose ids and keys were looked at: all ids from `first_free` on are free."""

    first_free: int


def prepare_increment(existing: DataFrame, incremental: DataFrame, *, primary_key: str) -> CheckedIncrement:
    """Do what `stack_tables` and `check_increment` do, and raise what they raise."""
    return check_increment(stack_tables(existing, incremental, primary_key=primary_key))


def stack_tables(existing: DataFrame, incremental: DataFrame, *, primary_key: str) -> Increment:
    """Put `incremental` under `existing`, which has a column `match_id`: whole numbers, or text that spells them.

    A column that one of them lacks is null there; one of two types becomes text, unless both are numbers. A confidence
    score of the existing rows is left out. No row is looked at. Raises InputError where columns are missing.
    """
    _check_tables(existing, incremental, primary_key)
    match_id = next((name for name in existing.columns if name.casefold() == MATCH_ID), None)
    if match_id is None:
        raise InputError(
            f"the existing rows have no column {MATCH_ID!r}; they must be the output of an earlier run. "
            f"Their columns are {sorted(existing.columns)}"
        )
    ids = existing.select(_key_column(primary_key), _read_id(existing, match_id).alias(_EXISTING))
    dropped = [name for name in existing.columns if name.casefold() in (MATCH_ID, CONFIDENCE)]
    kept, added = _align_columns(existing.drop(*dropped), incremental)
    rows = kept.union(added)
    added = added.select(*(F.col(quote(f.name)).cast(f.dataType).alias(f.name) for f in rows.schema.fields))
    return Increment(rows, added, ids, primary_key, _find_retyped(existing, rows))


def check_increment(increment: Increment) -> CheckedIncrement:
    """Look at ids and keys, where that was not done yet. Cost: two Spark jobs over the keys and ids.

    Raises InputError where an existing row has no id, a new one has, or a key is in both.
    """
    if isinstance(increment, CheckedIncrement):
        return increment
    first_free = _find_first_free(increment.ids)
    both = increment.added.select(_key_column(increment.primary_key)).join(increment.ids, on=KEY, how="left_semi")
    shown = [row[KEY] for row in both.distinct().orderBy(KEY).limit(SHOWN_KEYS + 1).collect()]
    refuse_shared(shown, increment.primary_key)
    return CheckedIncrement(**vars(increment), first_free=first_free)


def refuse_shared(keys: Sequence[str], primary_key: str) -> None:
    """Raise InputError where there are `keys`, in order, of both existing and new rows; some are enough."""
    if not keys:
        return
    more = " and others" if len(keys) > SHOWN_KEYS else ""
    raise InputError(
        f"rows with these values of {primary_key!r} are among the existing and the new rows: "
        f"{', '.join(map(repr, keys[:SHOWN_KEYS]))}{more}; take them out of one of the two"
    )


def match_increment(
    increment: CheckedIncrement,
    model: FindMatchesModel,
    *,
    scores: bool = False,
    enforced: pa.Table | None = None,
    labels: EnforcedLabels | None = None,
) -> MatchResult:
    """Give every row of `increment` a match id; those that are there stay as they are.

    All rows are matched together. New rows that are found with existing ones take their id: that which most of the rows
    found with them have, the smallest of equally frequent ones. Where there are none, they are a new group, whose id is
    greater than all existing ones; new ids follow the order of the groups' smallest keys, as text. A new row that is an
    enforced match (see `read_enforced`) of existing ones takes the smallest id of these, and its new group with it.
    A group's confidence is the least of those that its rows were found with. What `labels` enforce of new rows holds
    in the same way: a new row that must not be with another leaves its group for one of its own.

    Cost: today that of a full match of all rows, and a join by key. The result does not depend on partitions.
    Raises what `FindMatchesModel.find_matches` raises.
    """
    found = model.find_matches(increment.rows, scores=scores)
    if increment.first_free > _LARGEST - found.counts["rows"]:
        raise InputError(f"the greatest existing {MATCH_ID} is {increment.first_free - 1}; there is no room above it")
    matches, labels = _assign(found.matches, increment), labels or EnforcedLabels()
    enforced = add_labels(enforced, labels)
    if enforced is not None:
        matches = _move_enforced(matches, enforced, increment)
    matches = separate_rows(
        matches, labels.apart, enforced,
        primary_key=increment.primary_key, existing=_EXISTING, first_free=increment.first_free + found.counts["rows"],
    )  # fmt: skip
    matches = level_confidence(matches).select(*(F.col(quote(name)) for name in found.matches.columns))
    counts = {name: found.counts[name] for name in ("rows", "candidate_pairs", "labeled_rows")}
    return MatchResult(matches, counts, found.plan, found.seconds, stages=found.stages)


def enforced_labels(model: FindMatchesModel) -> EnforcedLabels:
    """Return what the labels of `model` enforce: nothing, unless it was told to enforce them."""
    learned = model.model_.learned
    if learned is None or not model.settings.enforce_provided_labels:
        return EnforcedLabels()
    return EnforcedLabels.of_rows(learned.labels)


def count_groups(matches: DataFrame) -> dict[str, int]:
    """The number of groups of a matched table, and of those with more than one row. Cost: one Spark job."""
    sizes = matches.groupBy(MATCH_ID).agg(F.count(F.lit(1)).alias("size"))
    merged = F.when(F.col("size") > 1, F.col("size"))
    totals = sizes.agg(
        F.count("size").alias("groups"),
        F.count(merged).alias("merged_groups"),
        F.coalesce(F.sum(merged), F.lit(0)).alias("merged_rows"),
        F.coalesce(F.max("size"), F.lit(0)).alias("largest_group"),
    ).head()
    assert totals is not None
    return {name: int(value) for name, value in totals.asDict().items()}


def _check_tables(existing: DataFrame, incremental: DataFrame, primary_key: str) -> None:
    for df, subject, reserved in ((existing, "existing", ()), (incremental, "new", (MATCH_ID, CONFIDENCE))):
        try:
            check_table(df, primary_key=primary_key, reserved=reserved)
        except InputError as error:
            raise InputError(f"the {subject} rows cannot be used: {error}") from error


def _key_column(primary_key: str) -> Column:
    return F.col(quote(primary_key)).cast("string").alias(KEY)


def _read_id(existing: DataFrame, name: str) -> Column:
    """The ids as longs, null where they are none."""
    kind, column = existing.schema[name].dataType, F.col(quote(name))
    if isinstance(kind, _WHOLE):
        return column.cast("long")
    if isinstance(kind, T.StringType):
        text = F.trim(column)
        number = F.when(text.rlike(r"^-?\d{1,19}$"), text.cast("decimal(19,0)"))
        return F.when(number.between(-_LARGEST - 1, _LARGEST), number.cast("long"))
    raise InputError(
        f"column {name!r} of the existing rows is of type {kind.simpleString()}; match ids are whole numbers (bigint)"
    )


def _find_first_free(ids: DataFrame) -> int:
    lost = F.col(_EXISTING).isNull()
    summary = ids.agg(
        F.max(_EXISTING).alias("greatest"),
        F.count(F.when(lost, F.lit(1))).alias("lost"),
        F.min(F.when(lost, F.col(KEY))).alias("example"),
    ).head()
    assert summary is not None
    if summary["lost"]:
        raise InputError(
            f"{MATCH_ID} is empty or no whole number in {summary['lost']} of the existing rows, among them that with "
            f"the key {summary['example']!r}; every existing row needs one"
        )
    return max(-1, -1 if summary["greatest"] is None else int(summary["greatest"])) + 1


def _find_retyped(existing: DataFrame, rows: DataFrame) -> frozenset[str]:
    known = {field.name.casefold(): field.dataType for field in existing.schema.fields}
    return frozenset(field.name for field in rows.schema.fields if known.get(field.name.casefold()) != field.dataType)


def _align_columns(existing: DataFrame, incremental: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Both in the same columns, those of the existing rows first; names that differ by case only are the same."""
    tables = [{field.name.casefold(): field for field in df.schema.fields} for df in (existing, incremental)]
    names = list(dict.fromkeys([*tables[0], *tables[1]]))
    kept, added = (
        df.select(*(_align(table, [t.get(name) for t in tables], name) for name in names))
        for df, table in zip((existing, incremental), tables, strict=True)
    )
    return kept, added


def _align(table: dict[str, T.StructField], fields: Sequence[T.StructField | None], name: str) -> Column:
    known = [field for field in fields if field is not None]
    kinds = {field.dataType.simpleString() for field in known}
    own = table.get(name)
    column = F.lit(None).cast(known[0].dataType) if own is None else F.col(quote(own.name))
    if len(kinds) > 1 and not all(isinstance(field.dataType, T.NumericType) for field in known):
        column = column.cast("string")
    return column.alias(known[-1].name)


def _assign(found: DataFrame, increment: CheckedIncrement) -> DataFrame:
    """The ids that are there, then those of the existing rows found together with a new one, then new ones."""
    keyed = found.withColumn(KEY, _key_column(increment.primary_key))
    known = keyed.join(increment.ids, on=KEY, how="left").drop(KEY)
    votes = known.where(F.col(_EXISTING).isNotNull()).groupBy(MATCH_ID, _EXISTING).agg(F.count(F.lit(1)).alias("votes"))
    # the complement turns the order of ids round, and no id is too small for it
    weight = F.struct("votes", F.bitwise_not(_EXISTING))
    chosen = votes.groupBy(MATCH_ID).agg(F.max_by(_EXISTING, weight).alias(_CHOSEN))
    new = F.col(MATCH_ID) + F.lit(increment.first_free)
    return known.join(chosen, on=MATCH_ID, how="left").withColumn(MATCH_ID, F.coalesce(_EXISTING, _CHOSEN, new))


def _move_enforced(assigned: DataFrame, enforced: pa.Table, increment: CheckedIncrement) -> DataFrame:
    """Give the new rows of each set of enforced matches one id, and the new groups that they are from."""
    tagged = attach_groups(assigned, enforced, primary_key=increment.primary_key)
    links = collect_arrow(tagged.where(F.col(SET).isNotNull()).select(SET, MATCH_ID, _EXISTING).distinct())
    by_set = _choose_existing(links, increment.first_free)
    by_group = _choose_for_groups(links, by_set, increment.first_free)
    moved = look_up(look_up(tagged, by_set, SET, _BY_SET), by_group, MATCH_ID, _BY_GROUP)
    return moved.withColumn(MATCH_ID, F.coalesce(_EXISTING, _BY_SET, _BY_GROUP, MATCH_ID))


def _choose_existing(links: pa.Table, first_free: int) -> dict[int, int]:
    """For each set the smallest id of its existing rows, else the smallest existing one that its new rows took."""
    best: dict[int, tuple[bool, int]] = {}
    for which, match_id, existing in zip(*(column.to_pylist() for column in links.columns), strict=True):
        if match_id < first_free:
            rank = (existing is None, match_id)
            best[which] = min(best.get(which, rank), rank)
    return {which: match_id for which, (_, match_id) in best.items()}


def _choose_for_groups(links: pa.Table, by_set: Mapping[int, int], first_free: int) -> dict[int, int]:
    """For each new group that a set touches the smallest id that it is to have by its sets, or a group they touch."""
    new = links.filter(pc.greater_equal(links.column(MATCH_ID), first_free))
    ids, names = connect_groups(new.column(0).to_numpy(), new.column(1).to_numpy())
    name_of = dict(zip(ids.tolist(), names.tolist(), strict=True))
    wanted = dict(zip(names.tolist(), names.tolist(), strict=True))
    for which, match_id in zip(new.column(0).to_pylist(), new.column(1).to_pylist(), strict=True):
        name = name_of[match_id]
        wanted[name] = min(wanted[name], by_set.get(which, name))  # existing ids are smaller than new ones
    return {match_id: wanted[name] for match_id, name in name_of.items()}
