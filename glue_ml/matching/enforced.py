"""Matches that a user enforces: rows that share a group in the output, whatever the model thinks of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

from glue_ml.errors import InputError
from glue_ml.matching.row_pairs import label_components
from glue_ml.matching.table import CONFIDENCE, MATCH_ID, attach_groups, collect_arrow, quote

SET = "__glue_ml_set"  #: Rows with equal numbers in this column are enforced matches of each other.
_TARGET = "__glue_ml_target"

Numbers = npt.NDArray[np.int64]


def read_enforced(frame: DataFrame, *, primary_key: str) -> pa.Table:
    """The keys (as text) of a frame of enforced matches and the number of the set that each belongs to.

    The frame has either the primary key and `match_id`, of which equal ones are matches, or exactly two columns, the
    keys of a pair in each row. Sets that have a key in common are one. A row with a null enforces nothing. The frame is
    collected, as it is what somebody found out by hand. Raises InputError for a frame of another shape.
    """
    names = {name.casefold(): name for name in frame.columns}
    key, match_id = names.get(primary_key.casefold()), names.get(MATCH_ID)
    if key is not None and match_id is not None:
        first, second = _collect_columns(frame, key, match_id)
        return number_groups(first, second)
    if len(frame.columns) == 2:
        first, second = _collect_columns(frame, *frame.columns)
        return _number_pairs(first, second)
    raise InputError(
        f"the frame of enforced matches has the columns {frame.columns}; it needs either {primary_key!r} and "
        f"{MATCH_ID!r}, whose equal values are matches, or exactly two columns, the values of {primary_key!r} of a pair"
    )


def merge_groups(matches: DataFrame, sets: pa.Table, *, primary_key: str) -> DataFrame:
    """`matches` with the groups that a set of enforced matches connects made one, named by the smallest of their ids.

    A key that the table lacks enforces nothing. A merged group's confidence is the least of its parts'. Cost: one Spark
    job, which collects the ids of the rows that are in a set.
    """
    tagged = attach_groups(matches, sets, primary_key=primary_key)
    links = collect_arrow(tagged.where(F.col(SET).isNotNull()).select(SET, MATCH_ID).distinct())
    ids, targets = connect_groups(links.column(0).to_numpy(), links.column(1).to_numpy())
    changed = ids != targets
    if not changed.any():
        return matches
    moved = look_up(
        matches, dict(zip(ids[changed].tolist(), targets[changed].tolist(), strict=True)), MATCH_ID, _TARGET
    )
    named = moved.withColumn(MATCH_ID, F.coalesce(_TARGET, MATCH_ID))
    return level_confidence(named).select(*(F.col(quote(name)) for name in matches.columns))


def connect_groups(sets: Numbers, match_ids: Numbers) -> tuple[Numbers, Numbers]:
    """The distinct ids, and for each the smallest id that it is connected with.

    A row of the group `match_ids[i]` is in the set `sets[i]`.
    """
    ids, groups = np.unique(match_ids, return_inverse=True)
    names, members = np.unique(sets, return_inverse=True)
    components = label_components(len(ids) + len(names), groups, members + len(ids))
    # a component is named by its smallest position, and ids are sorted: so that is its smallest id
    return ids, ids[components[: len(ids)]]


def look_up(df: DataFrame, targets: Mapping[int, int], column: str, name: str) -> DataFrame:
    """`df` with what `targets` says of the whole numbers in `column` as a new column `name`, null where nothing."""
    table = pa.table({column: pa.array(targets.keys(), pa.int64()), name: pa.array(targets.values(), pa.int64())})
    # named types, as an empty table tells none
    schema = T.StructType([T.StructField(field, T.LongType()) for field in table.column_names])
    return df.join(df.sparkSession.createDataFrame(table.to_pandas(), schema=schema), on=column, how="left")


def level_confidence(matches: DataFrame) -> DataFrame:
    """`matches` with the least confidence of a group's rows as that of all of them; untouched where it has none."""
    if CONFIDENCE not in matches.columns:
        return matches
    return matches.withColumn(CONFIDENCE, F.min(CONFIDENCE).over(Window.partitionBy(MATCH_ID)))


def _collect_columns(frame: DataFrame, first: str, second: str) -> tuple[pa.Array, pa.Array]:
    one, other = (F.col(quote(name)).cast("string") for name in (first, second))
    rows = collect_arrow(frame.select(one.alias("first"), other.alias("second")).dropna())
    return rows.column(0).combine_chunks(), rows.column(1).combine_chunks()


def number_groups(keys: pa.Array, match_ids: pa.Array) -> pa.Table:
    """Return each distinct key and the number of its set: keys with equal `match_ids`, over any number of steps."""
    members, groups = keys.dictionary_encode(), match_ids.dictionary_encode()
    count = len(members.dictionary)
    sets = label_components(count + len(groups.dictionary), _codes(members), _codes(groups) + count)
    return pa.table({"key": members.dictionary, SET: sets[:count]})


def _number_pairs(first: pa.Array, second: pa.Array) -> pa.Table:
    members = pa.concat_arrays([first, second]).dictionary_encode()
    codes = _codes(members)
    sets = label_components(len(members.dictionary), codes[: len(first)], codes[len(first) :])
    return pa.table({"key": members.dictionary, SET: sets})


def _codes(encoded: pa.DictionaryArray) -> Numbers:
    return np.asarray(encoded.indices, dtype=np.int64)
