"""The partition operations of the Data Catalog."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from zlib import crc32

from sqlalchemy import Connection

from glue_ml.errors import AlreadyExistsError, ApiError, EntityNotFoundError, InvalidInputError
from glue_ml.operations.context import Context, Members, Operation
from glue_ml.operations.databases import check_catalog
from glue_ml.operations.listing import Fetch, select_matching, take_page
from glue_ml.operations.partition_expressions import parse_expression
from glue_ml.operations.tables import require_table
from glue_ml.store import catalog as store
from glue_ml.store.catalog import StoredPartition, StoredTable

Values = tuple[str, ...]


def create_partition(context: Context, request: dict[str, Any]) -> Members:
    """CreatePartition."""
    with context.database.writing() as connection:
        table = _find_table(connection, context, request, lock=True)
        partition = _plan(context, table, request["PartitionInput"])
        if store.find_partitions(connection, table, [partition.values]):
            raise AlreadyExistsError("Partition already exists.")
        store.insert_partitions(connection, table, [partition])
    return {}


def batch_create_partition(context: Context, request: dict[str, Any]) -> Members:
    """BatchCreatePartition: what can be made of them is; the others are told as errors."""
    inputs = request["PartitionInputList"]
    with context.database.writing() as connection:
        table = _find_table(connection, context, request, lock=True)
        taken = set(store.find_partitions(connection, table, [tuple(one.get("Values", ())) for one in inputs]))
        added, errors = _plan_all(context, table, inputs, taken)
        store.insert_partitions(connection, table, added)
    return {"Errors": errors}


def get_partition(context: Context, request: dict[str, Any]) -> Members:
    """GetPartition."""
    with context.database.reading() as connection:
        table = _find_table(connection, context, request)
        partition = _require_partition(connection, table, request["PartitionValues"])
    return {"Partition": _describe(context, table, partition)}


def batch_get_partition(context: Context, request: dict[str, Any]) -> Members:
    """BatchGetPartition: those that there are, in the order asked; none is left unprocessed."""
    wanted = [tuple(entry["Values"]) for entry in request["PartitionsToGet"]]
    with context.database.reading() as connection:
        table = _find_table(connection, context, request)
        found = store.find_partitions(connection, table, wanted)
    told = [_describe(context, table, found[values]) for values in dict.fromkeys(wanted) if values in found]
    return {"Partitions": told, "UnprocessedKeys": []}


def get_partitions(context: Context, request: dict[str, Any]) -> Members:
    """GetPartitions: those that Expression and Segment select, by their values, in pages."""
    listing = {name: request.get(name) for name in ("DatabaseName", "TableName", "Expression", "Segment")}
    with context.database.reading() as connection:
        table = _find_table(connection, context, request)
        fetch = _fetch_partitions(connection, table, _read_selection(table, request))
        page, token = take_page(
            connection, request, {"operation": "GetPartitions", **listing}, fetch=fetch, locate=_locate
        )
    described = [_describe(context, table, partition) for partition in page]
    if request.get("ExcludeColumnSchema"):
        described = [_drop_columns(partition) for partition in described]
    return {"Partitions": described, "NextToken": token}


def update_partition(context: Context, request: dict[str, Any]) -> Members:
    """UpdatePartition: the new definition takes the place of the old one, and may have other values."""
    with context.database.writing() as connection:
        table = _find_table(connection, context, request, lock=True)
        before = _require_partition(connection, table, request["PartitionValueList"])
        given = {"Values": list(before.values), **request["PartitionInput"]}
        after = _plan(context, table, given)
        if after.values != before.values and store.find_partitions(connection, table, [after.values]):
            raise InvalidInputError(f"Partition {list(after.values)} already exists.")
        store.replace_partition(connection, table, before.values, after)
    return {}


def delete_partition(context: Context, request: dict[str, Any]) -> Members:
    """DeletePartition; the data it describes stays where it is."""
    with context.database.writing() as connection:
        table = _find_table(connection, context, request, lock=True)
        partition = _require_partition(connection, table, request["PartitionValues"])
        store.delete_partitions(connection, table, [partition.values])
    return {}


def batch_delete_partition(context: Context, request: dict[str, Any]) -> Members:
    """BatchDeletePartition: what there is of them; the others are told as errors."""
    wanted = [tuple(entry["Values"]) for entry in request["PartitionsToDelete"]]
    with context.database.writing() as connection:
        table = _find_table(connection, context, request, lock=True)
        found = store.find_partitions(connection, table, wanted)
        store.delete_partitions(connection, table, list(found))
    missing = [values for values in wanted if values not in found]
    return {"Errors": [_describe_error(values, EntityNotFoundError("Partition not found.")) for values in missing]}


def _find_table(
    connection: Connection, context: Context, request: dict[str, Any], *, lock: bool = False
) -> StoredTable:
    check_catalog(context, request)
    return require_table(connection, request["DatabaseName"], request["TableName"], lock=lock)


def _require_partition(connection: Connection, table: StoredTable, values: Sequence[str]) -> StoredPartition:
    wanted = tuple(values)
    found = store.find_partitions(connection, table, [wanted]).get(wanted)
    if found is None:
        raise EntityNotFoundError(f"Partition {list(wanted)} of table {table.name} not found.")
    return found


def _plan(context: Context, table: StoredTable, given: Mapping[str, Any]) -> StoredPartition:
    values, keys = tuple(given.get("Values", ())), _read_keys(table)
    if len(values) != len(keys):
        raise InvalidInputError(
            "The number of partition keys do not match the number of partition values: "
            f"table {table.name} has {len(keys)} ({', '.join(name for name, _ in keys)}), and {len(values)} were given."
        )
    return StoredPartition(values, given, context.now)


def _plan_all(
    context: Context, table: StoredTable, inputs: Sequence[Mapping[str, Any]], taken: set[Values]
) -> tuple[list[StoredPartition], list[Members]]:
    added: list[StoredPartition] = []
    errors: list[Members] = []
    known = set(taken)
    for given in inputs:
        try:
            partition = _plan(context, table, given)
            if partition.values in known:
                raise AlreadyExistsError("Partition already exists.")
        except ApiError as error:
            errors.append(_describe_error(given.get("Values", ()), error))
        else:
            known.add(partition.values)
            added.append(partition)
    return added, errors


def _read_keys(table: StoredTable) -> list[tuple[str, str]]:
    return [(key["Name"], key.get("Type", "string")) for key in table.document["input"].get("PartitionKeys", [])]


def _read_selection(table: StoredTable, request: dict[str, Any]) -> list[Callable[[StoredPartition], bool]]:
    """What a partition must be to be told."""
    wanted: list[Callable[[StoredPartition], bool]] = []
    if request.get("Expression", "").strip():
        predicate = parse_expression(request["Expression"], _read_keys(table))
        wanted.append(lambda partition: predicate(partition.values) is True)
    if segment := request.get("Segment"):
        number, total = segment["SegmentNumber"], segment["TotalSegments"]
        if number >= total:
            raise InvalidInputError(f"SegmentNumber is {number}, and must be less than TotalSegments, {total}.")
        wanted.append(lambda partition: crc32(partition.key.encode()) % total == number)
    return wanted


def _fetch_partitions(
    connection: Connection, table: StoredTable, wanted: Sequence[Callable[[StoredPartition], bool]]
) -> Fetch[StoredPartition]:
    def fetch(after: list[Any] | None, limit: int) -> list[StoredPartition]:
        return store.list_partitions(connection, table, after[0] if after else None, limit)

    if not wanted:
        return fetch
    return select_matching(fetch, lambda partition: all(is_wanted(partition) for is_wanted in wanted), _locate)


def _locate(partition: StoredPartition) -> list[Any]:
    return [partition.key]


def _describe(context: Context, table: StoredTable, partition: StoredPartition) -> dict[str, Any]:
    return {
        **partition.document,
        "Values": list(partition.values),
        "DatabaseName": table.database_name,
        "TableName": table.name,
        "CreationTime": partition.created_on,
        "CatalogId": context.account.account_id,
    }


def _drop_columns(described: dict[str, Any]) -> dict[str, Any]:
    storage = described.get("StorageDescriptor")
    if storage is None:
        return described
    kept = {name: member for name, member in storage.items() if name != "Columns"}
    return {**described, "StorageDescriptor": kept}


def _describe_error(values: Sequence[str], error: ApiError) -> Members:
    return {
        "PartitionValues": list(values),
        "ErrorDetail": {"ErrorCode": error.code, "ErrorMessage": error.message},
    }


OPERATIONS: Mapping[str, Operation] = {
    "CreatePartition": create_partition,
    "BatchCreatePartition": batch_create_partition,
    "GetPartition": get_partition,
    "BatchGetPartition": batch_get_partition,
    "GetPartitions": get_partitions,
    "UpdatePartition": update_partition,
    "DeletePartition": delete_partition,
    "BatchDeletePartition": batch_delete_partition,
}
