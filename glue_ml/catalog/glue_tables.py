"""What a Glue Data Catalog says of a table: its columns, layout, location and partitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from glue_ml.catalog.layout import Layout, describe_layout
from glue_ml.domain.job import TableSpec
from glue_ml.errors import AccessError, GlueMLError, InputError, NotFoundError, UnavailableError
from glue_ml.storage import explain_aws_failure

Columns = tuple[tuple[str, str], ...]

_DENIED = (
    "AccessDenied", "ExpiredToken", "IncompleteSignature", "InvalidClientTokenId", "InvalidSignature",
    "MissingAuthenticationToken", "NotAuthorized", "OptInRequired", "SignatureDoesNotMatch", "UnrecognizedClient",
)  # fmt: skip
_BUSY = (
    "InternalFailure", "InternalService", "OperationTimeout", "ServiceUnavailable", "Throttling", "TooManyRequests",
)  # fmt: skip
_PLACEHOLDER = "__PLACEHOLDER__"


@dataclass(frozen=True)
class Partition:
    """A partition's values, one for each partition key, and where and how it is stored."""

    values: tuple[str, ...]
    location: str
    layout: Layout
    columns: Columns


@dataclass(frozen=True)
class CatalogTable:
    """A table as a catalog describes it; types are Hive's names."""

    name: str
    location: str
    layout: Layout
    columns: Columns
    partition_keys: Columns
    partitions: tuple[Partition, ...] = ()


def fetch_table(glue: Any, spec: TableSpec) -> CatalogTable:
    """Ask a boto3 Glue client for a table and the partitions that `catalogPartitionPredicate` selects.

    Raises NotFoundError, AccessError, UnavailableError, and InputError for a view or a layout that cannot be read.
    """
    name = f"{spec.database}.{spec.table}"
    at = {"DatabaseName": spec.database} | ({"CatalogId": spec.catalog_id} if spec.catalog_id else {})
    with _explain_answers(name):
        described = glue.get_table(Name=spec.table, **at)["Table"]
    table = describe_table(name, described)
    predicate = spec.options.get("catalogPartitionPredicate", "").strip()
    if table.layout.format == "delta" or not table.partition_keys:
        if predicate:
            raise InputError(f"table {name} has no partitions in the catalog for catalogPartitionPredicate to select")
        return table
    expression = {"Expression": predicate} if predicate else {}
    with _explain_answers(name):
        pages = glue.get_paginator("get_partitions").paginate(TableName=spec.table, **at, **expression)
        found = [partition for page in pages for partition in page["Partitions"]]
    parameters = described.get("Parameters") or {}
    return replace(table, partitions=tuple(_describe_partition(table, each, parameters) for each in found))


def describe_table(name: str, described: Mapping[str, Any]) -> CatalogTable:
    """A catalog's Table structure as a `CatalogTable` without partitions. Raises InputError."""
    if "VIEW" in (described.get("TableType") or ""):
        raise InputError(f"table {name} is a view and holds no data; name the table behind it")
    storage = described.get("StorageDescriptor") or {}
    parameters = described.get("Parameters") or {}
    layout = describe_layout(name, storage, parameters)
    path = ((storage.get("SerdeInfo") or {}).get("Parameters") or {}).get("path")
    location = storage.get("Location") or ""
    # Spark keeps the place of its own tables in the SerDe's parameters and a placeholder in the location.
    location = path if path and (not location or _PLACEHOLDER in location) else location
    if not location:
        raise InputError(f"table {name} has no location in the catalog")
    columns, keys = _describe_columns(storage.get("Columns")), _describe_columns(described.get("PartitionKeys"))
    if not columns and layout.format != "delta":
        raise InputError(f"table {name} has no columns in the catalog")
    return CatalogTable(name, location, layout, columns, keys)


def _describe_columns(columns: Any) -> Columns:
    return tuple((column["Name"], column.get("Type") or "string") for column in columns or ())


def _describe_partition(table: CatalogTable, described: Mapping[str, Any], parameters: Mapping[str, str]) -> Partition:
    """What a partition does not say of its storage is as in its table."""
    values = tuple(described.get("Values") or ())
    if len(values) != len(table.partition_keys):
        raise InputError(f"a partition of {table.name} has the values {values}; the keys are {table.partition_keys}")
    storage = described.get("StorageDescriptor") or {}
    columns = _describe_columns(storage.get("Columns")) or table.columns
    says_how = (storage.get("SerdeInfo") or {}).get("SerializationLibrary") or storage.get("InputFormat")
    merged = {**parameters, **(described.get("Parameters") or {})}
    layout = describe_layout(table.name, storage, merged) if says_how else table.layout
    pairs = zip(table.partition_keys, values, strict=True)
    default = table.location.rstrip("/") + "".join(f"/{key}={value}" for (key, _), value in pairs)
    return Partition(values, storage.get("Location") or default, layout, columns)


@contextmanager
def _explain_answers(name: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise _explain_refusal(name, error) from error
    except BotoCoreError as error:
        raise explain_aws_failure(f"table {name} cannot be looked up in the Glue Data Catalog", error) from error


def _explain_refusal(name: str, error: Any) -> GlueMLError:
    answer = error.response.get("Error", {})
    code, text = str(answer.get("Code", "")), str(answer.get("Message", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code.startswith("EntityNotFound"):
        return NotFoundError(f"table {name} is not in the Glue Data Catalog: {text}")
    if code.startswith(_DENIED) or status in (401, 403):
        return AccessError(f"table {name} may not be looked up with these credentials: {code} {text}".rstrip())
    if code.startswith(_BUSY) or status >= 500:
        return UnavailableError(f"the Glue Data Catalog cannot be asked for table {name} now: {code} {text}".rstrip())
    return InputError(f"the Glue Data Catalog refused to look up table {name}: {code} {text}".rstrip())
