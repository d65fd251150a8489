"""Raw requests to a server, and what a transform needs to be there."""

from __future__ import annotations

import http.client
import itertools
import json
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient

CONTENT_TYPE = "application/x-amz-json-1.1"
SECONDS = 10.0  #: An answer that takes longer is a hang.
MANY = 1_000_000  #: A limit that no test reaches.
KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


@dataclass(frozen=True)
class Answer:
    """What a server sent back; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def members(self) -> dict[str, Any]:
        """The body as the JSON object that it must be."""
        document = json.loads(self.body)
        assert isinstance(document, dict)
        return document

    @property
    def code(self) -> str | None:
        """The name of the error; None if there is none."""
        code = self.members.get("__type")
        assert code is None or isinstance(code, str)
        return code

    @property
    def message(self) -> str:
        """The text of the error."""
        return str(self.members.get("Message") or self.members["message"])


@dataclass(frozen=True)
class Wire:
    """Sends requests as no SDK would, each on a connection of its own."""

    endpoint: str

    def call(self, operation: str, members: Any = None) -> Answer:
        """Call an operation with members as JSON; None sends no body at all."""
        body = b"" if members is None else json.dumps(members).encode()
        return self.send(body, {"X-Amz-Target": f"AWSGlue.{operation}", "Content-Type": CONTENT_TYPE})

    def send(self, body: bytes, headers: Mapping[str, str], *, method: str = "POST", path: str = "/") -> Answer:
        """Send these very bytes and headers."""
        parts = urlsplit(self.endpoint)
        assert parts.hostname is not None
        with closing(http.client.HTTPConnection(parts.hostname, parts.port, timeout=SECONDS)) as connection:
            with suppress(BrokenPipeError, ConnectionResetError):  # it may answer before it has read everything
                connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            told = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, told, response.read())


def open_client(endpoint: str, *, access_key: str = "any", secret: str = "any", checked: bool = True) -> GlueClient:
    """A boto3 client that never tries again; unless `checked`, it sends what its own validation would refuse."""
    config = Config(
        retries={"total_max_attempts": 1},
        parameter_validation=checked,
        connect_timeout=SECONDS,
        read_timeout=SECONDS,
    )
    return boto3.client(
        "glue",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret,
        config=config,
    )


@dataclass(frozen=True)
class Catalog:
    """A database with the table `people`, and transforms over it, all by requests to the API."""

    wire: Wire
    database: str
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def make(self) -> None:
        """Make the database and its table."""
        columns = [
            {"Name": name, "Type": kind} for name, kind in (("id", "string"), ("name", "string"), ("age", "int"))
        ]
        storage = {"Columns": columns, "Location": "file:///nowhere/people"}
        self._require("CreateDatabase", {"DatabaseInput": {"Name": self.database}})
        self._require(
            "CreateTable",
            {"DatabaseName": self.database, "TableInput": {"Name": "people", "StorageDescriptor": storage}},
        )

    @property
    def table(self) -> dict[str, Any]:
        """The table as a transform names it."""
        return {"DatabaseName": self.database, "TableName": "people"}

    def describe(self, **members: Any) -> dict[str, Any]:
        """A request for a transform, of a name of its own; a member that is None is left out."""
        request = {
            "Name": f"{self.database}-{next(self.numbers)}",
            "Role": "arn:aws:iam::000000000000:role/glue",
            "InputRecordTables": [self.table],
            "Parameters": {"TransformType": "FIND_MATCHES", "FindMatchesParameters": {"PrimaryKeyColumnName": "id"}},
            **members,
        }
        return {name: value for name, value in request.items() if value is not None}

    def make_transform(self, **members: Any) -> str:
        """Make a transform and tell its id."""
        return str(self._require("CreateMLTransform", self.describe(**members))["TransformId"])

    def _require(self, operation: str, members: Mapping[str, Any]) -> dict[str, Any]:
        answer = self.wire.call(operation, members)
        assert answer.status == 200, answer.body
        return answer.members
