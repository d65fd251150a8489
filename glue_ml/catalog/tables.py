"""Input tables as one DataFrame: each from its catalog or path, then put under one another by column name."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from glue_ml.catalog.columns import Declared, check_distinct, convert, quote
from glue_ml.catalog.failures import explain_failures
from glue_ml.catalog.glue_tables import CatalogTable, Columns, fetch_table
from glue_ml.catalog.hive_types import parse_type
from glue_ml.catalog.layout import READABLE, Dialect, Layout
from glue_ml.catalog.locations import DataFile, Listing, find_suffix, guess_format, list_table
from glue_ml.catalog.partitions import Values, attach_values, filter_rows, select_partitions
from glue_ml.catalog.reading import FileGroup, read_group
from glue_ml.domain.job import TableSpec
from glue_ml.errors import InputError, NotFoundError
from glue_ml.storage import explain_aws_failure

logger = logging.getLogger("glue_ml.catalog")

MAX_TABLES = 10


def read_tables(spark: SparkSession, specs: Sequence[TableSpec], *, glue: Any | None = None) -> DataFrame:
    """The rows of one to ten tables, their columns matched by name; a column of several types becomes a string.

    `glue` is a boto3 Glue client for the tables that are named by database and table; by default one is made from the
    environment. Declared types win over what files say, and values that are not of them become null.

    Raises InputError, NotFoundError, AccessError or UnavailableError. A CSV file that is not UTF-8 deep inside is
    found only while its rows are read.
    """
    if not 1 <= len(specs) <= MAX_TABLES:
        raise InputError(f"{len(specs)} input tables were named; it must be 1 to {MAX_TABLES}")
    frames = []
    for spec in specs:
        name = spec.path if spec.path is not None else f"{spec.database}.{spec.table}"
        with explain_failures(f"table {name} cannot be read"):
            df = _read_path(spark, spec) if spec.path is not None else _read_catalog(spark, spec, glue)
            check_distinct(df.columns, f"table {name}")
            frames.append(df)
    return _union(frames)


@dataclass(frozen=True)
class _Part:
    """A partition, or a whole table that has none: its values and files, and how the files are to be read."""

    values: Values
    files: tuple[DataFile, ...]
    layout: Layout
    columns: Columns


def _read_path(spark: SparkSession, spec: TableSpec) -> DataFrame:
    path = spec.path
    assert path is not None
    if spec.options.get("catalogPartitionPredicate"):
        raise InputError(f"{path} is in no catalog, so catalogPartitionPredicate cannot be used; use pushDownPredicate")
    declared = _parse_columns(spec.columns, path)
    listing = list_table(spark, path)
    if not listing.is_delta and not listing.files:
        raise InputError(f"{path} holds no data: there is no file that is not empty or hidden")
    kind = spec.format.lower() if spec.format is not None else guess_format(listing)
    if kind not in READABLE:
        raise InputError(f"{path} has the format {spec.format!r}; it must be one of {', '.join(READABLE)}")
    predicate = spec.options.get("pushDownPredicate")
    if listing.is_delta:
        return _read_delta(spark, path, predicate)
    if kind == "delta":
        raise InputError(f"{path} is no Delta table: it has no _delta_log")
    return _read_listing(spark, listing, kind=kind, declared=declared, predicate=predicate)


def _read_listing(
    spark: SparkSession, listing: Listing, *, kind: str, declared: Declared, predicate: str | None
) -> DataFrame:
    """The files of a path-based table, with the `key=value` folders above them as columns."""
    names = list(dict.fromkeys(key for file in listing.files for key in file.folder_values))
    types = {name.casefold(): kind for name, kind in declared}
    keys = [(name, types.get(name.casefold(), T.StringType())) for name in names]
    values = {file: tuple(file.folder_values.get(name) for name in names) for file in listing.files}
    if predicate:
        rows = list(dict.fromkeys(values.values()))
        selected = {rows[i] for i in select_partitions(spark, predicate, keys=keys, values=rows)}
        values = {file: row for file, row in values.items() if row in selected}
        if not values:
            raise InputError(f"pushDownPredicate {predicate!r} selects no partition of {listing.uri}")
    folded = {name.casefold() for name in names}
    columns = [(name, kind) for name, kind in declared if name.casefold() not in folded]
    delimiter = "\t" if all(find_suffix(file.relative) == "tsv" for file in values) else ","
    layout = Layout(kind, Dialect(delimiter=delimiter) if kind == "csv" else None)
    group = FileGroup(listing.uri, layout, tuple(values), columns, declared_in_full=False)
    return attach_values(read_group(spark, group), {f.uri: row for f, row in values.items()}, keys=keys)


def _parse_columns(columns: Columns, subject: str) -> list[tuple[str, T.DataType]]:
    check_distinct((name for name, _ in columns), f"the declaration of {subject}")
    return [(name, parse_type(kind)) for name, kind in columns]


def _read_delta(spark: SparkSession, location: str, predicate: str | None) -> DataFrame:
    """A Delta table: it knows its own columns and types, so no declaration is needed."""
    df = spark.read.format("delta").load(location)
    if not predicate:
        return df
    from delta.tables import DeltaTable

    detail = DeltaTable.forPath(spark, location).detail().select("partitionColumns").head()
    assert detail is not None
    return filter_rows(spark, df, predicate, keys=list(detail[0]))


def _read_catalog(spark: SparkSession, spec: TableSpec, glue: Any | None) -> DataFrame:
    table = fetch_table(glue if glue is not None else _make_client(spec), spec)
    predicate = spec.options.get("pushDownPredicate")
    if table.layout.format == "delta":
        if not _require_location(spark, table).is_delta:
            raise InputError(f"table {table.name} is a Delta table, but {table.location} has no _delta_log")
        return _read_delta(spark, table.location, predicate)
    columns = _parse_columns(table.columns, table.name)
    keys = _parse_columns(table.partition_keys, f"{table.name}'s partition keys")
    repeated = {name.casefold() for name, _ in keys} <= {name.casefold() for name, _ in columns}
    if keys and not table.partitions and repeated and not spec.options:
        keys = []
    parts = _list_parts(spark, table, keys=keys, predicate=predicate)
    return _assemble(spark, table, parts, columns=columns, keys=keys)


def _make_client(spec: TableSpec) -> Any:
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        return boto3.client("glue")
    except BotoCoreError as error:
        raise explain_aws_failure(f"table {spec.database}.{spec.table} cannot be looked up", error) from error


def _require_location(spark: SparkSession, table: CatalogTable) -> Listing:
    try:
        return list_table(spark, table.location)
    except NotFoundError as error:
        raise NotFoundError(f"table {table.name} is in the catalog, but {table.location} does not exist") from error


def _list_parts(spark: SparkSession, table: CatalogTable, *, keys: Declared, predicate: str | None) -> list[_Part]:
    """The partitions that the predicate selects, or the whole table. A partition without a folder is empty."""
    if not keys:
        if predicate:
            raise InputError(f"table {table.name} has no partition columns for pushDownPredicate {predicate!r}")
        return [_Part((), _require_location(spark, table).files, table.layout, table.columns)]
    partitions = table.partitions
    if predicate:
        values = [partition.values for partition in partitions]
        partitions = tuple(partitions[i] for i in select_partitions(spark, predicate, keys=keys, values=values))
    if not partitions:
        logger.warning("table %s: no partition is in the catalog that the predicates select; it is empty", table.name)
    parts = []
    for partition in partitions:
        try:
            files = list_table(spark, partition.location).files
        except NotFoundError:
            logger.warning("table %s: partition %s has no folder %s", table.name, partition.values, partition.location)
            continue
        parts.append(_Part(partition.values, files, partition.layout, partition.columns))
    return parts


def _assemble(
    spark: SparkSession, table: CatalogTable, parts: Sequence[_Part], *, columns: Declared, keys: Declared
) -> DataFrame:
    """The rows of all parts under the table's own columns, read together where they are stored alike."""
    alike: dict[tuple[Layout, Columns], list[_Part]] = {}
    for part in parts:
        if part.files:
            alike.setdefault((part.layout, part.columns), []).append(part)
    folded = {name.casefold() for name, _ in columns}
    names = [name for name, _ in columns] + [name for name, _ in keys if name.casefold() not in folded]
    frames = []
    for (layout, stored), members in alike.items():
        files = tuple(file for part in members for file in part.files)
        bound = _bind_stored(stored, columns) if layout.format == "csv" else columns
        rows = read_group(spark, FileGroup(table.name, layout, files, bound, declared_in_full=True))
        values = {file.uri: part.values for part in members for file in part.files}
        attached = attach_values(rows, values, keys=keys)
        frames.append(_select(attached, names, dict([*columns, *keys])))
    if not frames:
        types = {name.casefold(): kind for name, kind in [*columns, *keys]}
        return spark.createDataFrame([], T.StructType([T.StructField(n, types[n.casefold()]) for n in names]))
    result = frames[0]
    for frame in frames[1:]:
        result = result.union(frame)
    return result


def _bind_stored(stored: Columns, columns: Declared) -> Declared:
    """A partition's own columns, which say the order of its delimited text, with the types that the table declares."""
    types = {name.casefold(): kind for name, kind in columns}
    return [(name, types[name.casefold()] if name.casefold() in types else parse_type(kind)) for name, kind in stored]


def _select(df: DataFrame, names: Sequence[str], types: dict[str, T.DataType]) -> DataFrame:
    present = {name.casefold(): name for name in df.columns}
    missing = [name for name in names if name.casefold() not in present]
    df = df.withColumns({name: F.lit(None).cast(types[name]) for name in missing})
    return df.select(*(F.col(quote(present.get(name.casefold(), name))).alias(name) for name in names))


def _union(frames: Sequence[DataFrame]) -> DataFrame:
    """The rows of all frames under the names of all; the first frame that has a name says how it is written."""
    if len(frames) == 1:
        return frames[0]
    names: dict[str, str] = {}
    types: dict[str, dict[str, T.DataType]] = {}
    for frame in frames:
        for field in frame.schema.fields:
            names.setdefault(field.name.casefold(), field.name)
            types.setdefault(field.name.casefold(), {})[field.dataType.simpleString()] = field.dataType
    wanted = {key: next(iter(found.values())) if len(found) == 1 else T.StringType() for key, found in types.items()}
    aligned = [_align(frame, names, wanted) for frame in frames]
    result = aligned[0]
    for frame in aligned[1:]:
        result = result.union(frame)
    return result


def _align(frame: DataFrame, names: dict[str, str], wanted: dict[str, T.DataType]) -> DataFrame:
    present = {field.name.casefold(): field for field in frame.schema.fields}
    columns = []
    for key, name in names.items():
        field, kind = present.get(key), wanted[key]
        if field is None:
            column = F.lit(None).cast(kind)
        elif field.dataType.simpleString() == kind.simpleString():
            column = F.col(quote(field.name))
        else:
            column = convert(F.col(quote(field.name)), field.dataType, T.StringType())
        columns.append(column.alias(name))
    return frame.select(*columns)
