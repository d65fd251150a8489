"""The transform operations of the Glue ML API: create, update, delete, get and list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from glue_ml.domain.task_run import RunStatus
from glue_ml.domain.transform import DEFAULT_GLUE_VERSION, DEFAULT_TIMEOUT, Transform, TransformStatus
from glue_ml.errors import (
    AlreadyExistsError,
    EntityNotFoundError,
    IdempotentParameterMismatchError,
    InvalidInputError,
    ResourceNumberLimitExceededError,
)
from glue_ml.operations.context import Context, Members, Operation
from glue_ml.operations.paging import DEFAULT_RESULTS, decode_token, encode_token
from glue_ml.operations.tag_rules import check_tags
from glue_ml.operations.transform_members import (
    TRANSFORM_TYPE,
    check_primary_key,
    collect_schema,
    describe_transform,
    digest_request,
    read_capacity,
    read_name,
    read_parameters,
    read_retries,
)
from glue_ml.store import runs, tags
from glue_ml.store import transforms as store
from glue_ml.store.database import lock_account, read_paging_key

_SORT_KEYS: Mapping[str, Callable[[Transform], Any]] = {
    "NAME": lambda transform: transform.name,
    "TRANSFORM_TYPE": lambda transform: TRANSFORM_TYPE,
    "STATUS": lambda transform: transform.status.value,
    "CREATED": lambda transform: _milliseconds(transform.created_on),
    "LAST_MODIFIED": lambda transform: _milliseconds(transform.last_modified_on),
}


def create_ml_transform(context: Context, request: dict[str, Any]) -> Members:
    """CreateMLTransform. A request that a client sends again (by its invocation id) gets the same transform."""
    transform = _plan_transform(context, request)
    check_tags(request.get("Tags") or {})
    with context.database.writing() as connection:
        lock_account(connection)
        if known := _find_repetition(connection, context, request):
            return {"TransformId": known}
        if store.find_by_name(connection, transform.name) is not None:
            raise AlreadyExistsError(f"Transform with name [{transform.name}] already exists.")
        _check_limit(connection, context)
        invocation = context.invocation_id and store.Invocation(context.invocation_id, digest_request(request))
        store.insert_transform(connection, transform, invocation or None)
        tags.put_tags(connection, f"mlTransform/{transform.transform_id}", request.get("Tags") or {})
    return {"TransformId": transform.transform_id}


def update_ml_transform(context: Context, request: dict[str, Any]) -> Members:
    """UpdateMLTransform: what the request leaves out stays as it is; tables, tags and encryption cannot be changed."""
    with context.database.writing() as connection:
        before = require_transform(connection, context, request["TransformId"], lock=True)
        after = _change_transform(before, request, context.now)
        try:
            store.update_transform(connection, after)
        except IntegrityError as error:
            raise InvalidInputError(f"Another transform with name [{after.name}] already exists.") from error
    return {"TransformId": after.transform_id}


def delete_ml_transform(context: Context, request: dict[str, Any]) -> Members:
    """DeleteMLTransform: its active runs are stopped, then the scheduler removes it with its labels and models."""
    with context.database.writing() as connection:
        transform = find_or_refuse(connection, context, request["TransformId"], lock=True)
        if transform.status is not TransformStatus.DELETING:
            store.update_transform(connection, store.mark_deleting(transform, context.now))
            for run in runs.list_active_of(connection, transform.transform_id):
                if run.status is not RunStatus.STOPPING:
                    note, at = "its transform is being deleted", context.now
                    runs.move_run(connection, run, RunStatus.STOPPING, now=at, note=note, changes={"stopping_on": at})
    return {"TransformId": transform.transform_id}


def get_ml_transform(context: Context, request: dict[str, Any]) -> Members:
    """GetMLTransform."""
    with context.database.reading() as connection:
        return describe_transform(find_or_refuse(connection, context, request["TransformId"]))


def get_ml_transforms(context: Context, request: dict[str, Any]) -> Members:
    """GetMLTransforms: filtered, sorted (the newest first if nothing else is asked) and paged."""
    page, token = _list_page(context, request, operation="GetMLTransforms")
    return {"Transforms": [describe_transform(transform) for transform in page], "NextToken": token}


def list_ml_transforms(context: Context, request: dict[str, Any]) -> Members:
    """ListMLTransforms: as GetMLTransforms, but ids only, and by tags too."""
    page, token = _list_page(context, request, operation="ListMLTransforms")
    return {"TransformIds": [transform.transform_id for transform in page], "NextToken": token}


def find_or_refuse(connection: Connection, context: Context, transform_id: str, *, lock: bool = False) -> Transform:
    """The transform of that id, be it being deleted or not; EntityNotFoundError if there is none."""
    transform = store.find_transform(connection, transform_id, lock=lock)
    if transform is None:
        account = context.account.account_id
        raise EntityNotFoundError(f"Cannot find MLTransform in account {account} with handle {transform_id}.")
    return transform


def require_transform(connection: Connection, context: Context, transform_id: str, *, lock: bool = False) -> Transform:
    """As `find_or_refuse`, but one that is being deleted is not there any more."""
    transform = find_or_refuse(connection, context, transform_id, lock=lock)
    if transform.status is TransformStatus.DELETING:
        account = context.account.account_id
        raise EntityNotFoundError(
            f"Cannot find MLTransform in account {account} with handle {transform_id}: it is being deleted."
        )
    return transform


def _plan_transform(context: Context, request: dict[str, Any]) -> Transform:
    parameters = read_parameters(request)
    schema = collect_schema(context, request["InputRecordTables"])
    check_primary_key(parameters, schema)
    return Transform(
        transform_id=f"tfm-{context.make_hex(20)}",
        name=read_name(request),
        role=request["Role"],
        parameters=parameters,
        tables=tuple(request["InputRecordTables"]),
        schema=schema,
        created_on=context.now,
        last_modified_on=context.now,
        capacity=read_capacity(request),
        description=request.get("Description", ""),
        glue_version=request.get("GlueVersion", DEFAULT_GLUE_VERSION),
        timeout=request.get("Timeout", DEFAULT_TIMEOUT),
        max_retries=read_retries(request),
        encryption=request.get("TransformEncryption"),
    )


def _find_repetition(connection: Connection, context: Context, request: dict[str, Any]) -> str | None:
    if context.invocation_id is None:
        return None
    known = store.find_invocation(connection, context.invocation_id)
    if known is None:
        return None
    transform_id, digest = known
    if digest != digest_request(request):
        raise IdempotentParameterMismatchError(
            f"Idempotent create request for transform {request['Name']} had mismatching parameters."
        )
    return transform_id


def _check_limit(connection: Connection, context: Context) -> None:
    count, limit = store.count_transforms(connection), context.account.limits.transforms
    if count >= limit:
        raise ResourceNumberLimitExceededError(
            f"ML Transforms count ({count}) has exceeded the limit of {limit} transforms. Delete one first."
        )


def _change_transform(before: Transform, request: dict[str, Any], now: datetime) -> Transform:
    parameters = read_parameters(request) if "Parameters" in request else before.parameters
    check_primary_key(parameters, before.schema)
    return replace(
        before,
        name=read_name(request) if "Name" in request else before.name,
        description=request.get("Description", before.description),
        parameters=parameters,
        role=request.get("Role", before.role),
        glue_version=request.get("GlueVersion", before.glue_version),
        capacity=read_capacity(request, default=before.capacity),
        timeout=request.get("Timeout", before.timeout),
        max_retries=read_retries(request, before.max_retries),
        last_modified_on=now,
    )


def _list_page(context: Context, request: dict[str, Any], *, operation: str) -> tuple[list[Transform], str | None]:
    """One page of the transforms wanted, and the token of the next.

    A page goes on after the last one's sort key and id, so it neither repeats nor skips when others are made between.
    """
    asked = {name: request.get(name) for name in ("Filter", "Sort", "Tags")}
    listing = {"operation": operation, **asked}
    sort = request.get("Sort") or {"Column": "CREATED", "SortDirection": "DESCENDING"}
    key_of, backwards = _SORT_KEYS[sort["Column"]], sort["SortDirection"] == "DESCENDING"
    with context.database.reading() as connection:
        key = read_paging_key(connection) or ""
        after = decode_token(key, listing, request.get("NextToken"))
        found = store.list_transforms(connection, _read_filter(request))
    found = [transform for transform in found if _has_schema(transform, request)]
    positioned = sorted(([key_of(transform), transform.transform_id], transform) for transform in found)
    ordered = positioned[::-1] if backwards else positioned
    if after is not None:
        ordered = [one for one in ordered if (one[0] < after if backwards else one[0] > after)]
    limit = request.get("MaxResults", DEFAULT_RESULTS)
    token = encode_token(key, listing, ordered[limit - 1][0]) if len(ordered) > limit else None
    return [transform for _, transform in ordered[:limit]], token


def _read_filter(request: dict[str, Any]) -> store.TransformFilter:
    asked = request.get("Filter") or {}
    return store.TransformFilter(
        name=asked.get("Name"),
        status=TransformStatus(asked["Status"]) if "Status" in asked else None,
        glue_version=asked.get("GlueVersion"),
        created_before=asked.get("CreatedBefore"),
        created_after=asked.get("CreatedAfter"),
        modified_before=asked.get("LastModifiedBefore"),
        modified_after=asked.get("LastModifiedAfter"),
        tags=request.get("Tags"),
    )


def _has_schema(transform: Transform, request: dict[str, Any]) -> bool:
    """Whether every column that the filter names is in the transform, with its type where the filter gives one."""
    wanted = (request.get("Filter") or {}).get("Schema") or ()
    return all(
        any(
            column.get("Name") in (None, name) and column.get("DataType") in (None, kind)
            for name, kind in transform.schema
        )
        for column in wanted
    )


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


OPERATIONS: Mapping[str, Operation] = {
    "CreateMLTransform": create_ml_transform,
    "UpdateMLTransform": update_ml_transform,
    "DeleteMLTransform": delete_ml_transform,
    "GetMLTransform": get_ml_transform,
    "GetMLTransforms": get_ml_transforms,
    "ListMLTransforms": list_ml_transforms,
}
