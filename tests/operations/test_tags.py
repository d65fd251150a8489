"""Tags on transforms, jobs and databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from glue_ml.errors import EntityNotFoundError, InvalidInputError
from glue_ml.operations.context import Context, Members
from glue_ml.operations.databases import create_database
from glue_ml.operations.jobs import create_job
from glue_ml.operations.tags import get_tags, tag_resource, untag_resource
from glue_ml.operations.transforms import create_ml_transform, delete_ml_transform

ROOT = "arn:aws:glue:us-east-1:000000000000:"
NAME = "a job/with: signs"


@pytest.fixture
def resources(context: Context, make_table: Callable[..., Members]) -> dict[str, str]:
    """ARNs of one resource of each kind."""
    make_table()
    command = {"ScriptLocation": "builtin://find_matches"}
    create_job(context, {"Name": NAME, "Role": "r", "Command": command})
    transform: dict[str, Any] = {
        "Name": "people",
        "Role": "r",
        "InputRecordTables": [{"DatabaseName": "db", "TableName": "people"}],
        "Parameters": {"TransformType": "FIND_MATCHES", "FindMatchesParameters": {"PrimaryKeyColumnName": "id"}},
        "Tags": {"from": "create"},
    }
    made = create_ml_transform(context, transform)["TransformId"]
    return {"mlTransform": f"{ROOT}mlTransform/{made}", "job": f"{ROOT}job/{NAME}", "database": f"{ROOT}database/DB"}


def read(context: Context, arn: str) -> dict[str, str]:
    return dict(get_tags(context, {"ResourceArn": arn})["Tags"])


@pytest.mark.parametrize("kind", ["mlTransform", "job", "database"])
def test_tags_are_added_replaced_and_removed(context: Context, resources: dict[str, str], kind: str) -> None:
    arn = resources[kind]
    before = read(context, arn)
    tag_resource(context, {"ResourceArn": arn, "TagsToAdd": {"a": "1", "ß": ""}})
    tag_resource(context, {"ResourceArn": arn, "TagsToAdd": {"a": "2"}})
    assert read(context, arn) == {**before, "a": "2", "ß": ""}
    untag_resource(context, {"ResourceArn": arn, "TagsToRemove": ["a", "none"]})
    assert read(context, arn) == {**before, "ß": ""}
    for other in set(resources) - {kind}:
        assert "ß" not in read(context, resources[other])


def test_the_tags_of_a_create_are_there(context: Context, resources: dict[str, str]) -> None:
    assert read(context, resources["mlTransform"]) == {"from": "create"}


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_any_partition_is_taken(context: Context, resources: dict[str, str], partition: str) -> None:
    assert read(context, resources["mlTransform"].replace("aws", partition, 1)) == {"from": "create"}


def test_a_resource_has_at_most_50_tags(context: Context, resources: dict[str, str]) -> None:
    arn = resources["job"]
    tag_resource(context, {"ResourceArn": arn, "TagsToAdd": {str(i): "" for i in range(49)}})
    tag_resource(context, {"ResourceArn": arn, "TagsToAdd": {"0": "again", "last": ""}})
    with pytest.raises(InvalidInputError, match="would have 51 tags, and 50 is the most"):
        tag_resource(context, {"ResourceArn": arn, "TagsToAdd": {"more": ""}})
    assert len(read(context, arn)) == 50


@pytest.mark.parametrize("tags", [{"aws:a": "1"}, {"AWS:a": "1"}, {"\x00": "1"}, {"a": "\x00"}, {"a": "\ud800"}])
def test_a_tag_that_cannot_be_is_refused(context: Context, resources: dict[str, str], tags: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError, match="tag"):
        tag_resource(context, {"ResourceArn": resources["job"], "TagsToAdd": tags})
    with pytest.raises(InvalidInputError, match="tag"):
        create_database(context, {"DatabaseInput": {"Name": "new"}, "Tags": tags})


def test_a_reserved_key_cannot_be_removed(context: Context, resources: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError, match="reserved"):
        untag_resource(context, {"ResourceArn": resources["job"], "TagsToRemove": ["aws:a"]})


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:glue:us-east-1:000000000000:table/db/t",
        "arn:aws:glue:us-east-1:000000000000:mlTransform/",
        "arn:aws:glue:us-east-1:000000000000:mlTransform",
        "arn:aws:glue:us-east-1:000000000000:job/\x00",
        "arn:aws:glue:us-east-1",
        "arn:aws:glue:",
        "arn:aws:glue:" + "x" * 9000,
        "arn:aws:s3:us-east-1:000000000000:job/x",
    ],
)
@pytest.mark.usefixtures("resources")
def test_an_arn_of_another_kind_is_refused(context: Context, arn: str) -> None:
    with pytest.raises(InvalidInputError, match="Give arn:aws:glue:REGION:ACCOUNT:KIND/NAME"):
        read(context, arn)


@pytest.mark.parametrize(
    "arn",
    [
        f"arn:aws:glue:us-east-1:111111111111:job/{NAME}",
        f"arn:aws:glue:eu-west-1:000000000000:job/{NAME}",
        f"{ROOT}job/none",
        f"{ROOT}database/none",
        f"{ROOT}mlTransform/tfm-none",
    ],
)
@pytest.mark.usefixtures("resources")
def test_what_is_not_here_is_not_found(context: Context, arn: str) -> None:
    for operation, more in (
        (get_tags, {}),
        (tag_resource, {"TagsToAdd": {"a": "1"}}),
        (untag_resource, {"TagsToRemove": ["a"]}),
    ):
        with pytest.raises(EntityNotFoundError):
            operation(context, {"ResourceArn": arn, **more})


def test_a_transform_that_is_being_deleted_has_no_tags(context: Context, resources: dict[str, str]) -> None:
    arn = resources["mlTransform"]
    delete_ml_transform(context, {"TransformId": arn.rpartition("/")[2]})
    with pytest.raises(EntityNotFoundError, match="being deleted"):
        read(context, arn)
