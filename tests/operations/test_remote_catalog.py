"""The catalog of an AWS account in the place of the embedded one, with moto's as the account."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from glue_ml.errors import AlreadyExistsError, ApiError, EntityNotFoundError, ErrorKind, GlueMLError
from glue_ml.operations import databases, partitions, tables
from glue_ml.operations.context import Context, Members, Operation
from glue_ml.operations.remote_catalog import make_find_table, make_remote_operations
from glue_ml.store.database import Database

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient


def connect(endpoint: str) -> GlueClient:
    return boto3.client(
        "glue",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=5),
    )


@pytest.fixture
def remote(moto: str) -> Iterator[Mapping[str, Operation]]:
    """The operations over a catalog with the empty database `db`."""
    client = connect(moto)
    client.create_database(DatabaseInput={"Name": "db"})
    yield make_remote_operations(client)
    client.delete_database(Name="db")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """What is handed on needs no store."""
    database = Database(f"sqlite:///{tmp_path / 'unused.db'}")
    yield database
    database.dispose()


class Refusing:
    """A client whose every call is answered with one error."""

    def __init__(self, response: dict[str, Any]) -> None:
        self._response = response

    def get_table(self, **_: Any) -> Members:
        raise ClientError(self._response, "GetTable")  # type: ignore[arg-type]


def test_the_same_operations_are_there_as_in_the_embedded_catalog(remote: Mapping[str, Operation]) -> None:
    assert set(remote) == {*databases.OPERATIONS, *tables.OPERATIONS, *partitions.OPERATIONS}


def test_requests_and_answers_are_handed_on(context: Context, remote: Mapping[str, Operation]) -> None:
    keys = [{"Name": "day", "Type": "string"}]
    table = {"Name": "people", "PartitionKeys": keys, "StorageDescriptor": {"Columns": [{"Name": "id"}]}}
    assert remote["CreateTable"](context, {"DatabaseName": "db", "TableInput": table}) == {}
    found = remote["GetTable"](context, {"DatabaseName": "db", "Name": "people"})
    assert set(found) == {"Table"}
    assert found["Table"]["PartitionKeys"] == keys
    at = {"DatabaseName": "db", "TableName": "people"}
    inputs = [{"Values": ["1"], "StorageDescriptor": {}}, {"Values": ["2"], "StorageDescriptor": {}}]
    remote["BatchCreatePartition"](context, {**at, "PartitionInputList": inputs})
    selected = remote["GetPartitions"](context, {**at, "Expression": "day = '2'"})["Partitions"]
    assert [partition["Values"] for partition in selected] == [["2"]]


def test_a_refusal_is_the_same_error_here(context: Context, remote: Mapping[str, Operation]) -> None:
    with pytest.raises(AlreadyExistsError, match="Database already exists"):
        remote["CreateDatabase"](context, {"DatabaseInput": {"Name": "db"}})
    with pytest.raises(EntityNotFoundError):
        remote["GetTable"](context, {"DatabaseName": "db", "Name": "none"})


def test_a_table_is_looked_up(context: Context, moto: str, remote: Mapping[str, Operation]) -> None:
    storage = {"Columns": [{"Name": "id", "Type": "int"}]}
    remote["CreateTable"](context, {"DatabaseName": "db", "TableInput": {"Name": "t", "StorageDescriptor": storage}})
    find_table = make_find_table(connect(moto))
    found = find_table(context, database="db", table="t", catalog_id=None)
    assert found is not None
    assert found["StorageDescriptor"]["Columns"] == storage["Columns"]
    assert find_table(context, database="db", table="none", catalog_id=None) is None
    assert find_table(context, database="none", table="t", catalog_id="123456789012") is None


def test_a_code_that_we_do_not_raise_ourselves_is_kept(context: Context) -> None:
    response = {"Error": {"Code": "FederationSourceException", "Message": "No."}, "FederationSourceErrorCode": "X"}
    operation = make_remote_operations(Refusing({**response, "ResponseMetadata": {}}))["GetTable"]
    with pytest.raises(ApiError, match=r"No\.") as caught:
        operation(context, {"DatabaseName": "db", "Name": "t"})
    assert caught.value.code == "FederationSourceException"
    assert (caught.value.message, caught.value.members) == ("No.", {"FederationSourceErrorCode": "X"})


def test_a_catalog_that_does_not_answer_is_unavailable(context: Context) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    operation = make_remote_operations(connect(f"http://127.0.0.1:{port}"))["GetDatabases"]
    with pytest.raises(GlueMLError, match="GetDatabases cannot be handed on") as caught:
        operation(context, {})
    assert caught.value.kind is ErrorKind.UNAVAILABLE
