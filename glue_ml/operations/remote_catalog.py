"""The Data Catalog of a real AWS account in the place of the embedded one: requests are handed on as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError

from glue_ml.errors import ApiError, EntityNotFoundError
from glue_ml.operations import databases, partitions, tables
from glue_ml.operations.context import Context, Members, Operation, TableLookup
from glue_ml.storage import explain_aws_failure

NAMES = (*databases.OPERATIONS, *tables.OPERATIONS, *partitions.OPERATIONS)  #: The operations that are handed on.

_OWN_MEMBERS = frozenset({"Error", "ResponseMetadata", "Message", "message"})


def make_remote_operations(client: Any) -> Mapping[str, Operation]:
    """The catalog operations, each answered by a boto3 Glue client.

    They raise an ApiError with the code and text of the refusal, UnavailableError if the catalog does not answer, and
    AccessError without credentials.
    """
    return {name: _make_operation(client, name) for name in NAMES}


def make_find_table(client: Any) -> TableLookup:
    """Finds tables in the catalog of a boto3 Glue client."""

    def find_table(context: Context, *, database: str, table: str, catalog_id: str | None) -> Members | None:
        request = {"DatabaseName": database, "Name": table, **({"CatalogId": catalog_id} if catalog_id else {})}
        try:
            return dict(_call(client, "GetTable", request)["Table"])
        except EntityNotFoundError:
            return None

    return find_table


def _make_operation(client: Any, name: str) -> Operation:
    return lambda context, request: _call(client, name, request)


def _call(client: Any, name: str, request: dict[str, Any]) -> Members:
    try:
        answer = getattr(client, xform_name(name))(**request)
    except ClientError as error:
        raise _translate(error) from error
    except BotoCoreError as error:
        raise explain_aws_failure(f"{name} cannot be handed on to the Glue Data Catalog", error) from error
    return {member: value for member, value in answer.items() if member != "ResponseMetadata"}


def _translate(error: ClientError) -> ApiError:
    """The same error as ours: of its class if there is one, else of one that is made for its code."""
    response: Mapping[str, Any] = error.response
    code = str(response.get("Error", {}).get("Code") or "InternalServiceException")
    text = response.get("Error", {}).get("Message")
    members = {name: value for name, value in response.items() if name not in _OWN_MEMBERS}
    return _find_class(code)(text or None, **members)


def _find_class(code: str) -> type[ApiError]:
    known: dict[str, type[ApiError]] = {one.code: one for one in ApiError.__subclasses__() if hasattr(one, "code")}
    return known.get(code) or type("RemoteCatalogError", (ApiError,), {"code": code, "__doc__": ApiError.__doc__})
