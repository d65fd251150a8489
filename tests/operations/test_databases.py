"""Databases of the embedded catalog."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from glue_ml.errors import AlreadyExistsError, EntityNotFoundError, InvalidInputError
from glue_ml.operations.context import Context, Members
from glue_ml.operations.databases import (
    create_database,
    delete_database,
    get_database,
    get_databases,
    update_database,
)
from glue_ml.operations.partitions import create_partition, get_partitions
from glue_ml.operations.tables import get_table
from glue_ml.operations.tags import get_tags
from tests.operations.conftest import NOW, MakeContext

ARN = "arn:aws:glue:us-east-1:000000000000:database/db"


def create(context: Context, name: str = "db", **members: Any) -> None:
    create_database(context, {"DatabaseInput": {"Name": name, **members}})


def test_a_database_is_told_as_it_was_given(context: Context) -> None:
    create(context, Description="People", LocationUri="s3://bucket/x", Parameters={"$milliseconds": "1"})
    assert get_database(context, {"Name": "db"})["Database"] == {
        "Name": "db",
        "Description": "People",
        "LocationUri": "s3://bucket/x",
        "Parameters": {"$milliseconds": "1"},
        "CreateTime": NOW,
        "CatalogId": "000000000000",
    }


def test_a_name_is_folded_to_lower_case(context: Context) -> None:
    create(context, "Größe")
    assert get_database(context, {"Name": "GRÖSSE".replace("SS", "ß")})["Database"]["Name"] == "größe"


def test_a_name_in_use_is_refused_in_any_case(context: Context) -> None:
    create(context)
    with pytest.raises(AlreadyExistsError, match="Database already exists"):
        create(context, "DB")


def test_a_database_that_does_not_exist_is_not_found(context: Context) -> None:
    for operation, request in (
        (get_database, {"Name": "None"}),
        (delete_database, {"Name": "None"}),
        (update_database, {"Name": "None", "DatabaseInput": {"Name": "None"}}),
    ):
        with pytest.raises(EntityNotFoundError, match=r"Database none not found\."):
            operation(context, request)


def test_the_account_s_own_catalog_may_be_named_and_no_other(context: Context) -> None:
    create_database(context, {"CatalogId": "000000000000", "DatabaseInput": {"Name": "db"}})
    for operation in (get_database, delete_database):
        with pytest.raises(EntityNotFoundError, match="Catalog 111111111111 not found"):
            operation(context, {"CatalogId": "111111111111", "Name": "db"})
    with pytest.raises(EntityNotFoundError, match="Catalog"):
        get_databases(context, {"CatalogId": "111111111111"})


def test_an_update_takes_the_place_of_the_old_definition(make_context: MakeContext) -> None:
    create(make_context(), Description="old", LocationUri="s3://b/old")
    later = make_context(now=NOW + timedelta(hours=1))
    update_database(later, {"Name": "DB", "DatabaseInput": {"Name": "Db", "Description": "new"}})
    database = get_database(later, {"Name": "db"})["Database"]
    assert database == {"Name": "db", "Description": "new", "CreateTime": NOW, "CatalogId": "000000000000"}


def test_a_database_cannot_be_renamed(context: Context) -> None:
    create(context)
    with pytest.raises(InvalidInputError, match="cannot be renamed to other"):
        update_database(context, {"Name": "db", "DatabaseInput": {"Name": "other"}})


def test_databases_are_listed_by_name_in_pages(context: Context) -> None:
    for name in ("c", "a", "e", "b", "d"):
        create(context, name)
    told, token = [], None
    while True:
        page = get_databases(context, {"MaxResults": 2} | ({"NextToken": token} if token else {}))
        told.append([database["Name"] for database in page["DatabaseList"]])
        token = page["NextToken"]
        if token is None:
            break
        create(context, f"a{len(told)}")  # before the place: it neither repeats nor moves what follows
    assert told == [["a", "b"], ["c", "d"], ["e"]]


def test_a_token_that_is_not_ours_is_refused(context: Context) -> None:
    with pytest.raises(InvalidInputError, match="NextToken"):
        get_databases(context, {"NextToken": "x"})


def test_nothing_is_shared_with_this_account(context: Context) -> None:
    create(context)
    assert get_databases(context, {"ResourceShareType": "FOREIGN"})["DatabaseList"] == []
    assert len(get_databases(context, {"ResourceShareType": "ALL"})["DatabaseList"]) == 1


def test_a_database_goes_with_its_tables_partitions_and_tags(
    context: Context, make_table: Callable[..., Members]
) -> None:
    create_database(context, {"DatabaseInput": {"Name": "db"}, "Tags": {"team": "data"}})
    assert get_tags(context, {"ResourceArn": ARN})["Tags"] == {"team": "data"}
    create(context, "kept")
    make_table(database="gone", keys={"day": "string"})
    at = {"DatabaseName": "gone", "TableName": "people"}
    create_partition(context, {**at, "PartitionInput": {"Values": ["1"]}})
    delete_database(context, {"Name": "gone"})
    delete_database(context, {"Name": "db"})
    with pytest.raises(EntityNotFoundError, match="Database gone not found"):
        get_table(context, {"DatabaseName": "gone", "Name": "people"})
    assert [database["Name"] for database in get_databases(context, {})["DatabaseList"]] == ["kept"]
    create(context)
    assert get_tags(context, {"ResourceArn": ARN})["Tags"] == {}
    create(context, "gone")
    make_table("people", database="new", keys={"day": "string"})
    assert get_partitions(context, {"DatabaseName": "new", "TableName": "people"})["Partitions"] == []
