"""Between the members of the Glue API and a transform: what a request asks for, checked, and what an answer tells."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from glue_ml.domain.capacity import check_capacity, max_capacity_of
from glue_ml.domain.transform import (
    DEFAULT_MAX_CAPACITY,
    MAX_SCHEMA_COLUMNS,
    Capacity,
    MatchParameters,
    Transform,
)
from glue_ml.errors import InputError, InvalidInputError
from glue_ml.operations.context import Context, Members

TRANSFORM_TYPE = "FIND_MATCHES"
DEFAULT_CAPACITY = Capacity(max_capacity=DEFAULT_MAX_CAPACITY)

_TYPES = frozenset({
    "array", "bigint", "binary", "boolean", "byte", "char", "date", "decimal", "double", "double precision", "float",
    "int", "integer", "long", "map", "numeric", "real", "short", "smallint", "string", "struct", "timestamp",
    "timestamp with local time zone", "tinyint", "varchar",
})  # fmt: skip
_CAPACITY_MEMBERS = ("MaxCapacity", "WorkerType", "NumberOfWorkers")


def read_capacity(request: Members, *, default: Capacity = DEFAULT_CAPACITY) -> Capacity:
    """The capacity that a request asks for, `default` if it says nothing about it.

    Raises InvalidInputError for a combination or a number that the API does not allow. MaxCapacity follows from a
    WorkerType other than Standard, and is read-only then.
    """
    amount, kind, number = (request.get(name) for name in _CAPACITY_MEMBERS)
    if amount is None and kind is None and number is None:
        return default
    if amount is not None and kind is None and number is None and default.worker_type not in (None, "Standard"):
        raise InvalidInputError(
            f"MaxCapacity follows from the WorkerType {default.worker_type} and cannot be set. "
            "Change NumberOfWorkers, together with WorkerType, instead."
        )
    try:
        check_capacity(amount, kind, number)
    except InputError as error:
        raise InvalidInputError(str(error)) from error
    if kind is None or number is None or kind == "Standard":
        return Capacity(amount, kind, number)
    return Capacity(max_capacity_of(kind, number), kind, number)


def read_parameters(request: Members) -> MatchParameters:
    """The settings of FindMatches in `Parameters`; InvalidInputError without a primary key."""
    asked = request["Parameters"].get("FindMatchesParameters")
    if asked is None:
        raise InvalidInputError("Find Matches parameters have not been set.")
    if not asked.get("PrimaryKeyColumnName"):
        raise InvalidInputError("A primary key must be specified in Find Matches parameters.")
    return MatchParameters(
        primary_key=asked["PrimaryKeyColumnName"],
        precision_recall_tradeoff=asked.get("PrecisionRecallTradeoff"),
        accuracy_cost_tradeoff=asked.get("AccuracyCostTradeoff"),
        enforce_provided_labels=asked.get("EnforceProvidedLabels"),
    )


def read_retries(request: Members, default: int = 0) -> int:
    """MaxRetries; InvalidInputError if it is negative."""
    retries = request.get("MaxRetries")
    if retries is not None and retries < 0:
        raise InvalidInputError("Max retries should be non-negative.")
    return default if retries is None else int(retries)


def read_name(request: Members) -> str:
    """The transform's name; InvalidInputError for one of spaces only."""
    name = str(request["Name"])
    if not name.strip():
        raise InvalidInputError("Transform name cannot be blank.")
    return name


def collect_schema(context: Context, tables: Iterable[Members]) -> tuple[tuple[str, str], ...]:
    """The columns of the catalog tables in their order, those of later tables after those of earlier ones.

    Partition keys come last; a name that is there already is not repeated, as a table may list a column as a key too.
    Only the catalog is read, never the data. Raises InvalidInputError for no table, one that does not exist, a column
    of an unknown type, or more than 100 columns.
    """
    schema: dict[str, str] = {}
    asked = list(tables)
    if not asked:
        raise InvalidInputError("An AWS Glue Table input source should be specified in transform.")
    for one in asked:
        for name, kind in _read_columns(context, one):
            schema.setdefault(name, kind)
    if not schema:
        raise InvalidInputError("Schema is not defined on the transform: its table has no columns in the catalog.")
    if len(schema) > MAX_SCHEMA_COLUMNS:
        raise InvalidInputError(
            f"The input has {len(schema)} columns, and a transform takes at most {MAX_SCHEMA_COLUMNS}. "
            "Name a table, or a view, with fewer."
        )
    return tuple(schema.items())


def check_primary_key(parameters: MatchParameters, schema: Iterable[tuple[str, str]]) -> None:
    """Raise InvalidInputError unless the primary key is a column of the schema; case does not matter, as in Hive."""
    if parameters.primary_key.lower() not in {name.lower() for name, _ in schema}:
        raise InvalidInputError(f"Schema should contain given primary key: [{parameters.primary_key}].")


def digest_request(request: Members) -> str:
    """What a request asked, as one line: equal for the same request sent again."""
    return hashlib.sha256(json.dumps(request, sort_keys=True, default=str).encode()).hexdigest()


def describe_transform(transform: Transform) -> dict[str, Any]:
    """The transform as the API's MLTransform; what was never set is left out."""
    members = {
        "TransformId": transform.transform_id,
        "Name": transform.name,
        "Description": transform.description,
        "Status": transform.status.value,
        "CreatedOn": transform.created_on,
        "LastModifiedOn": transform.last_modified_on,
        "InputRecordTables": [dict(table) for table in transform.tables],
        "Parameters": _describe_parameters(transform.parameters),
        "EvaluationMetrics": None if transform.metrics is None else describe_metrics(transform.metrics),
        "LabelCount": transform.label_count,
        "Schema": [{"Name": name, "DataType": kind} for name, kind in transform.schema],
        "Role": transform.role,
        "GlueVersion": transform.glue_version,
        "MaxCapacity": transform.capacity.max_capacity,
        "WorkerType": transform.capacity.worker_type,
        "NumberOfWorkers": transform.capacity.number_of_workers,
        "Timeout": transform.timeout,
        "MaxRetries": transform.max_retries,
        "TransformEncryption": transform.encryption,
    }
    return {name: value for name, value in members.items() if value is not None}


def describe_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """An evaluation's metrics as the API's EvaluationMetrics; at most 100 column importances, the largest first."""
    return {
        "TransformType": TRANSFORM_TYPE,
        "FindMatchesMetrics": {
            "AreaUnderPRCurve": metrics["area_under_pr_curve"],
            "Precision": metrics["precision"],
            "Recall": metrics["recall"],
            "F1": metrics["f1"],
            "ConfusionMatrix": {
                "NumTruePositives": metrics["true_positives"],
                "NumFalsePositives": metrics["false_positives"],
                "NumTrueNegatives": metrics["true_negatives"],
                "NumFalseNegatives": metrics["false_negatives"],
            },
            "ColumnImportances": [
                {"ColumnName": name, "Importance": share} for name, share in metrics["column_importances"][:100]
            ],
        },
    }


def _read_columns(context: Context, asked: Members) -> Iterable[tuple[str, str]]:
    database, name = asked["DatabaseName"], asked["TableName"]
    table = context.find_table(context, database=database, table=name, catalog_id=asked.get("CatalogId"))
    if table is None:
        raise InvalidInputError(
            f"Problem fetching the data catalog schema: Table {name} not found in database {database}. "
            "Create it in the catalog first."
        )
    storage = table.get("StorageDescriptor") or {}
    for column in [*(storage.get("Columns") or ()), *(table.get("PartitionKeys") or ())]:
        kind = column.get("Type") or "string"
        if " ".join(kind.lower().split("(")[0].split("<")[0].split()) not in _TYPES:
            raise InvalidInputError(
                f"Input source column [{column['Name']}] has an invalid data type defined in the catalog: {kind[:100]}."
            )
        yield column["Name"], kind


def _describe_parameters(parameters: MatchParameters) -> dict[str, Any]:
    members = {
        "PrimaryKeyColumnName": parameters.primary_key,
        "PrecisionRecallTradeoff": parameters.precision_recall_tradeoff,
        "AccuracyCostTradeoff": parameters.accuracy_cost_tradeoff,
        "EnforceProvidedLabels": parameters.enforce_provided_labels,
    }
    told = {name: value for name, value in members.items() if value is not None}
    return {"TransformType": TRANSFORM_TYPE, "FindMatchesParameters": told}
