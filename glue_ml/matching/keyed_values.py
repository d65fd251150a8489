"""Numbers by key, looked up where the rows are: a table of any size gets its match ids without moving a row.

Every executor gets a file of hashes, in order, and the numbers that go with them. Only the key of a row goes through
Python; a join would send all keys as text to every executor's heap, or shuffle the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from pandas.util import hash_array
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas.functions import pandas_udf

from glue_ml.matching.shipping import Shipped, settle_worker
from glue_ml.matching.table import KEY, quote, spark_schema

Hashes = npt.NDArray[np.uint64]

KEYS_AT_ONCE = 100_000  #: Held as text of Python.


@dataclass(frozen=True)
class KeyedValues:
    """Columns of numbers, in the order of the `hashes` (ascending, distinct) of their keys, see `hash_keys`."""

    salt: int
    hashes: Hashes
    columns: tuple[npt.NDArray[Any], ...]

    @classmethod
    def of(cls, keys: pa.StringArray, values: pa.Table) -> Self:
        """Return the columns of `values` by `keys`, which are distinct."""
        salt, hashes, order = next(_find_distinct(keys))
        return cls(salt, hashes[order], tuple(column.to_numpy()[order] for column in values.columns))

    def find(self, keys: npt.NDArray[np.object_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Return the place of each key, and whether it is there."""
        if len(self.hashes) == 0:
            return np.zeros(len(keys), dtype=np.int64), np.zeros(len(keys), dtype=bool)
        hashes = hash_keys(keys, self.salt)
        place = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        return place, self.hashes[place] == hashes


def hash_keys(keys: npt.NDArray[np.object_], salt: int) -> Hashes:
    """Return the SipHash of each key, which is text."""
    return hash_array(keys, hash_key=f"{salt:016d}", categorize=False) if len(keys) else np.zeros(0, dtype=np.uint64)


def attach_values(df: DataFrame, keys: pa.StringArray, values: pa.Table, *, primary_key: str) -> DataFrame:
    """Return `df` with the columns of `values` (longs and doubles) added, row i of them where the key is `keys[i]`.

    Null where the key is none of `keys`. Rows stay where they are, in their order. The file, 16 or 24 bytes a row, is
    there as long as the application: nobody knows when what is returned is read for the last time.
    """
    shipped = Shipped(df.sparkSession, KeyedValues.of(keys, values))
    names, schema = values.column_names, T.StructType(spark_schema(values).fields[1:])

    def look_up(batches: Iterator[pd.Series]) -> Iterator[pd.DataFrame]:
        settle_worker()
        for batch in batches:
            place, found = shipped.value.find(batch.to_numpy())
            columns = (_take(column, place, found) for column in shipped.value.columns)
            yield pd.DataFrame(dict(zip(names, columns, strict=True)))

    # the type of pandas_udf knows of no function that returns a struct
    make: Any = pandas_udf
    found = make(look_up, schema)(F.col(quote(primary_key)).cast("string"))
    added = (F.col(f"{KEY}.{quote(name)}") for name in names)
    return df.withColumn(KEY, found).select(*(F.col(quote(name)) for name in df.columns), *added)


def _take(column: npt.NDArray[Any], place: npt.NDArray[np.int64], found: npt.NDArray[np.bool_]) -> pd.Series[Any]:
    if found.all():
        return pd.Series(column[place])
    taken = pd.Series(column[place] if len(column) else np.zeros(len(place), dtype=column.dtype))
    return taken.astype("Int64" if column.dtype.kind == "i" else "Float64").mask(~found)


def _find_distinct(keys: pa.StringArray) -> Iterator[tuple[int, Hashes, npt.NDArray[np.int64]]]:
    """Yield a salt by which all hashes differ, the hashes, and their order. The first salt nearly always does."""
    for salt in range(1_000):
        hashes = _hash_all(keys, salt)
        order = np.argsort(hashes)
        ordered = hashes[order]
        if (ordered[1:] != ordered[:-1]).all():
            yield salt, hashes, order


def _hash_all(keys: pa.StringArray, salt: int) -> Hashes:
    parts = (keys.slice(start, KEYS_AT_ONCE) for start in range(0, len(keys), KEYS_AT_ONCE))
    hashed = [hash_keys(part.to_numpy(zero_copy_only=False), salt) for part in parts]
    return np.concatenate([np.zeros(0, dtype=np.uint64), *hashed])
