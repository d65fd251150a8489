"""The tag operations: on transforms, jobs and databases, by their ARNs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from glue_ml.errors import EntityNotFoundError, InvalidInputError
from glue_ml.operations.context import Context, Members, Operation
from glue_ml.operations.databases import fold_name, require_database
from glue_ml.operations.jobs import require_job
from glue_ml.operations.tag_rules import MAX_TAGS, check_keys, check_tags
from glue_ml.operations.transforms import require_transform
from glue_ml.store import tags as store
from glue_ml.store.database import lock_account

_UNSTORABLE = re.compile("[\x00-\x1f\ud800-\udfff]")
_SHAPE = "arn:aws:glue:REGION:ACCOUNT:KIND/NAME, where KIND is mlTransform, job or database"


def tag_resource(context: Context, request: dict[str, Any]) -> Members:
    """TagResource: tags of the same key are replaced; a resource has at most 50."""
    added = check_tags(request["TagsToAdd"])
    with context.database.writing() as connection:
        lock_account(connection)
        resource = _require_resource(connection, context, request["ResourceArn"])
        count = len({**store.read_tags(connection, resource), **added})
        if count > MAX_TAGS:
            raise InvalidInputError(f"{resource} would have {count} tags, and {MAX_TAGS} is the most. Remove some.")
        store.put_tags(connection, resource, added)
    return {}


def untag_resource(context: Context, request: dict[str, Any]) -> Members:
    """UntagResource: keys that are not there are ignored."""
    check_keys(request["TagsToRemove"])
    with context.database.writing() as connection:
        resource = _require_resource(connection, context, request["ResourceArn"])
        store.remove_tags(connection, resource, request["TagsToRemove"])
    return {}


def get_tags(context: Context, request: dict[str, Any]) -> Members:
    """GetTags."""
    with context.database.reading() as connection:
        resource = _require_resource(connection, context, request["ResourceArn"])
        return {"Tags": store.read_tags(connection, resource)}


def _require_resource(connection: Connection, context: Context, arn: str) -> str:
    """The part of the ARN after the account, of a resource that there is.

    Raises InvalidInputError for what is no such ARN, EntityNotFoundError if it is another account's or does not exist.
    """
    _, _, service, region, account, resource = (*arn.split(":", 5), "", "", "", "", "", "")[:6]
    kind, _, name = resource.partition("/")
    if service != "glue" or not name or kind not in ("mlTransform", "job", "database") or _UNSTORABLE.search(name):
        raise InvalidInputError(f"ResourceArn {arn[:200]!r} is not one that can be tagged. Give {_SHAPE}.")
    if (region, account) != (context.account.region, context.account.account_id):
        raise EntityNotFoundError(
            f"Resource {arn[:300]} is not of this account; "
            f"here ARNs begin with arn:aws:glue:{context.account.region}:{context.account.account_id}:."
        )
    if kind == "database":
        require_database(connection, name)
        return f"{kind}/{fold_name(name)}"
    if kind == "job":
        require_job(connection, name)
    else:
        require_transform(connection, context, name)
    return resource


OPERATIONS: Mapping[str, Operation] = {
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
    "GetTags": get_tags,
}
