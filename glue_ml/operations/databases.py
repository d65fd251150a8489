"""The database operations of the Data Catalog. Names are folded to lower case, as in Hive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from glue_ml.errors import AlreadyExistsError, EntityNotFoundError, InvalidInputError
from glue_ml.operations.context import Context, Members, Operation
from glue_ml.operations.listing import take_page
from glue_ml.operations.tag_rules import check_tags
from glue_ml.store import catalog as store
from glue_ml.store import tags
from glue_ml.store.catalog import StoredDatabase


def create_database(context: Context, request: dict[str, Any]) -> Members:
    """CreateDatabase."""
    check_catalog(context, request)
    name = fold_name(request["DatabaseInput"]["Name"])
    wanted = check_tags(request.get("Tags") or {})
    with context.database.writing() as connection:
        try:
            store.insert_database(connection, StoredDatabase(name, request["DatabaseInput"], context.now))
        except IntegrityError as error:
            raise AlreadyExistsError("Database already exists.") from error
        tags.put_tags(connection, f"database/{name}", wanted)
    return {}


def get_database(context: Context, request: dict[str, Any]) -> Members:
    """GetDatabase."""
    check_catalog(context, request)
    with context.database.reading() as connection:
        return {"Database": _describe(context, require_database(connection, request["Name"]))}


def get_databases(context: Context, request: dict[str, Any]) -> Members:
    """GetDatabases: by name, in pages. Nothing is shared with this account, so FOREIGN and FEDERATED list nothing."""
    check_catalog(context, request)
    if request.get("ResourceShareType", "ALL") != "ALL":
        return {"DatabaseList": []}
    with context.database.reading() as connection:
        page, token = take_page(
            connection,
            request,
            {"operation": "GetDatabases"},
            fetch=lambda after, limit: store.list_databases(connection, after[0] if after else None, limit),
            locate=lambda database: [database.name],
        )
    return {"DatabaseList": [_describe(context, database) for database in page], "NextToken": token}


def update_database(context: Context, request: dict[str, Any]) -> Members:
    """UpdateDatabase: the new definition takes the place of the old one; a database cannot be renamed."""
    check_catalog(context, request)
    name, given = fold_name(request["Name"]), fold_name(request["DatabaseInput"]["Name"])
    with context.database.writing() as connection:
        require_database(connection, name, lock=True)
        if given != name:
            raise InvalidInputError(f"Database {name} cannot be renamed to {given}. Create a new one instead.")
        store.update_database(connection, name, request["DatabaseInput"])
    return {}


def delete_database(context: Context, request: dict[str, Any]) -> Members:
    """DeleteDatabase, with its tables and their partitions; the data they describe stays where it is."""
    check_catalog(context, request)
    with context.database.writing() as connection:
        database = require_database(connection, request["Name"], lock=True)
        store.delete_database(connection, database.name)
        tags.remove_tags(connection, f"database/{database.name}")
    return {}


def fold_name(name: str) -> str:
    """The name of a database or a table as the catalog keeps it."""
    return name.lower()


def check_catalog(context: Context, request: Members) -> None:
    """Raise EntityNotFoundError if the request names another catalog than the account's own."""
    catalog = request.get("CatalogId")
    if catalog not in (None, context.account.account_id):
        raise EntityNotFoundError(f"Catalog {catalog} not found. This server has {context.account.account_id}.")


def require_database(connection: Connection, name: str, *, lock: bool = False) -> StoredDatabase:
    """The database of that name; EntityNotFoundError if there is none."""
    database = store.find_database(connection, fold_name(name), lock=lock)
    if database is None:
        raise EntityNotFoundError(f"Database {fold_name(name)} not found.")
    return database


def _describe(context: Context, database: StoredDatabase) -> Members:
    known = {"Name": database.name, "CreateTime": database.created_on, "CatalogId": context.account.account_id}
    return {**database.document, **known}


OPERATIONS: Mapping[str, Operation] = {
    "CreateDatabase": create_database,
    "GetDatabase": get_database,
    "GetDatabases": get_databases,
    "UpdateDatabase": update_database,
    "DeleteDatabase": delete_database,
}
