"""The table operations of the Data Catalog. A table is told as it was given: no place or format is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from glue_ml.errors import AlreadyExistsError, ConcurrentModificationError, EntityNotFoundError, InvalidInputError
from glue_ml.operations.context import Context, Members, Operation
from glue_ml.operations.databases import check_catalog, fold_name, require_database
from glue_ml.operations.listing import Fetch, select_matching, take_page
from glue_ml.operations.patterns import matches, parse_name_pattern
from glue_ml.store import catalog as store
from glue_ml.store.catalog import StoredTable

MAX_INDEXES = 3


def create_table(context: Context, request: dict[str, Any]) -> Members:
    """CreateTable: any location, format and keys are taken as they are given."""
    check_catalog(context, request)
    given = _require_input(request)
    indexes = _check_indexes(given, request.get("PartitionIndexes") or [])
    with context.database.writing() as connection:
        database = require_database(connection, request["DatabaseName"], lock=True)
        table = StoredTable(
            database.name, fold_name(given["Name"]), {"input": given, "indexes": indexes}, context.now, context.now
        )
        if store.find_table(connection, table.database_name, table.name) is not None:
            raise AlreadyExistsError("Table already exists.")
        store.insert_table(connection, table)
    return {}


def get_table(context: Context, request: dict[str, Any]) -> Members:
    """GetTable."""
    check_catalog(context, request)
    with context.database.reading() as connection:
        return {"Table": describe_table(context, require_table(connection, request["DatabaseName"], request["Name"]))}


def get_tables(context: Context, request: dict[str, Any]) -> Members:
    """GetTables: those whose names Expression matches, by name, in pages."""
    check_catalog(context, request)
    if request.get("ResourceShareType", "ALL") != "ALL":
        return {"TableList": []}
    with context.database.reading() as connection:
        database = require_database(connection, request["DatabaseName"]).name
        listing = {"operation": "GetTables", "database": database, "expression": request.get("Expression")}
        fetch = _fetch_tables(connection, database, request.get("Expression"))
        page, token = take_page(connection, request, listing, fetch=fetch, locate=_locate)
    return {"TableList": [describe_table(context, table) for table in page], "NextToken": token}


def update_table(context: Context, request: dict[str, Any]) -> Members:
    """UpdateTable: the new definition takes the place of the old one; a table cannot be renamed.

    A VersionId that is not the present one is refused, for somebody else changed the table meanwhile.
    """
    check_catalog(context, request)
    given = _require_input(request)
    with context.database.writing() as connection:
        require_database(connection, request["DatabaseName"])
        before = require_table(connection, request["DatabaseName"], given["Name"], lock=True)
        if request.get("VersionId") not in (None, str(before.version)):
            raise ConcurrentModificationError(
                f"Table {before.name} has the version {before.version}, and not {request['VersionId']}. Get it again."
            )
        document = {**before.document, "input": given}
        store.update_table(
            connection, replace(before, document=document, updated_on=context.now, version=before.version + 1)
        )
    return {}


def delete_table(context: Context, request: dict[str, Any]) -> Members:
    """DeleteTable, with its partitions; the data it describes stays where it is."""
    check_catalog(context, request)
    with context.database.writing() as connection:
        table = require_table(connection, request["DatabaseName"], request["Name"], lock=True)
        store.delete_table(connection, table.database_name, table.name)
    return {}


def batch_delete_table(context: Context, request: dict[str, Any]) -> Members:
    """BatchDeleteTable: what there is of them; the others are told as errors."""
    check_catalog(context, request)
    with context.database.writing() as connection:
        database = require_database(connection, request["DatabaseName"], lock=True).name
        names = request["TablesToDelete"]
        missing = [name for name in names if not store.delete_table(connection, database, fold_name(name))]
    return {"Errors": [{"TableName": name, "ErrorDetail": _describe_missing(fold_name(name))} for name in missing]}


def get_partition_indexes(context: Context, request: dict[str, Any]) -> Members:
    """GetPartitionIndexes: those that the table was created with; they are there at once."""
    check_catalog(context, request)
    with context.database.reading() as connection:
        table = require_table(connection, request["DatabaseName"], request["TableName"])
    kinds = {key["Name"].lower(): key.get("Type", "string") for key in table.document["input"].get("PartitionKeys", [])}
    described = [
        {
            "IndexName": index["IndexName"],
            "Keys": [{"Name": name, "Type": kinds.get(name.lower(), "string")} for name in index["Keys"]],
            "IndexStatus": "ACTIVE",
        }
        for index in table.document["indexes"]
    ]
    return {"PartitionIndexDescriptorList": described}


def find_table(context: Context, *, database: str, table: str, catalog_id: str | None) -> Members | None:
    """The table of the embedded catalog as the API's Table, None if there is none."""
    if catalog_id not in (None, context.account.account_id):
        return None
    with context.database.reading() as connection:
        found = store.find_table(connection, fold_name(database), fold_name(table))
    return None if found is None else describe_table(context, found)


def require_table(connection: Connection, database: str, name: str, *, lock: bool = False) -> StoredTable:
    """The table of that name; EntityNotFoundError that tells whether it or its database is missing."""
    table = store.find_table(connection, fold_name(database), fold_name(name), lock=lock)
    if table is None:
        require_database(connection, database)
        raise EntityNotFoundError(_describe_missing(fold_name(name))["ErrorMessage"])
    return table


def describe_table(context: Context, table: StoredTable) -> dict[str, Any]:
    """The table as the API's Table."""
    return {
        "Retention": 0,
        "PartitionKeys": [],
        **table.document["input"],
        "Name": table.name,
        "DatabaseName": table.database_name,
        "CreateTime": table.created_on,
        "UpdateTime": table.updated_on,
        "IsRegisteredWithLakeFormation": False,
        "CatalogId": context.account.account_id,
        "VersionId": str(table.version),
    }


def _require_input(request: dict[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] | None = request.get("TableInput")
    if given is None:
        raise InvalidInputError("TableInput is missing; tables of an open table format are described by it too.")
    asked = request.get("Name", given["Name"])
    if fold_name(asked) != fold_name(given["Name"]):
        raise InvalidInputError(f"Name {asked!r} and TableInput.Name {given['Name']!r} must be the same.")
    return given


def _check_indexes(given: Members, indexes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    keys = {key["Name"].lower() for key in given.get("PartitionKeys", [])}
    if len(indexes) > MAX_INDEXES:
        raise InvalidInputError(f"PartitionIndexes has {len(indexes)} indexes; a table has at most {MAX_INDEXES}.")
    if len({index["IndexName"].lower() for index in indexes}) < len(indexes):
        raise InvalidInputError("PartitionIndexes names two indexes alike.")
    for index in indexes:
        if unknown := [name for name in index["Keys"] if name.lower() not in keys]:
            raise InvalidInputError(f"Index {index['IndexName']!r} has {unknown[0]!r}, which is no partition key.")
    return indexes


def _fetch_tables(connection: Connection, database: str, expression: str | None) -> Fetch[StoredTable]:
    def fetch(after: list[Any] | None, limit: int) -> list[StoredTable]:
        return store.list_tables(connection, database, after[0] if after else None, limit)

    if not expression:
        return fetch
    pattern = parse_name_pattern(expression)
    return select_matching(fetch, lambda table: matches(pattern, table.name), _locate)


def _locate(table: StoredTable) -> list[Any]:
    return [table.name]


def _describe_missing(name: str) -> dict[str, str]:
    return {"ErrorCode": EntityNotFoundError.code, "ErrorMessage": f"Table {name} not found."}


OPERATIONS: Mapping[str, Operation] = {
    "CreateTable": create_table,
    "GetTable": get_table,
    "GetTables": get_tables,
    "UpdateTable": update_table,
    "DeleteTable": delete_table,
    "BatchDeleteTable": batch_delete_table,
    "GetPartitionIndexes": get_partition_indexes,
}
