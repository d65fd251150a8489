"""A boto3 client for the Glue API at any endpoint, and what its failures mean in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.configprovider import ConfiguredEndpointProvider
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError

from glue_ml.errors import AccessError, GlueMLError, InputError, NotFoundError, UnavailableError
from glue_ml.storage import explain_aws_failure

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient

DEFAULT_ENDPOINT = "http://127.0.0.1:8420"
DEFAULT_REGION = "us-east-1"

_LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
_PLACEHOLDER = "any"  #: A server on this machine takes any key until it was given one.


@contextmanager
def connect(endpoint_url: str | None = None) -> Iterator[GlueClient]:
    """A boto3 Glue client; what fails while it is used is raised as a GlueMLError with one sentence.

    Without `endpoint_url` the endpoint is what boto3 is configured with, else a server on this machine at its default
    port. One on this machine is called with a placeholder key where none is configured.
    """
    endpoint = endpoint_url or DEFAULT_ENDPOINT
    try:
        session = botocore.session.get_session()
        endpoint = endpoint_url or _find_endpoint(session) or DEFAULT_ENDPOINT
        yield _open_client(session, endpoint)
    except EndpointConnectionError as error:
        hint = "; start a server with: glue-ml serve" if _is_local(endpoint) else ""
        raise UnavailableError(f"There is no answer from {endpoint}{hint}") from error
    except BotoCoreError as error:
        raise explain_aws_failure(f"{endpoint} cannot be called", error) from error
    except ClientError as error:
        raise _explain_answer(endpoint, error) from error


def _find_endpoint(session: botocore.session.Session) -> str | None:
    """The endpoint that boto3 is configured with: AWS_ENDPOINT_URL_GLUE, AWS_ENDPOINT_URL, or a profile's."""
    provider = ConfiguredEndpointProvider(session.full_config, session.get_scoped_config(), client_name="glue")
    found: str | None = provider.provide()
    return found


def _open_client(session: botocore.session.Session, endpoint: str) -> GlueClient:
    key, proxies = None, None
    if _is_local(endpoint):
        proxies = dict[str, str]()  # none: a proxy of the environment cannot reach this machine's own address
        session.get_component("credential_provider").remove("iam-role")  # asking the network for it takes seconds
        key = _PLACEHOLDER if session.get_credentials() is None else None
    region = session.get_config_variable("region") or DEFAULT_REGION
    try:
        return boto3.Session(botocore_session=session, region_name=region).client(
            "glue",
            endpoint_url=endpoint,
            aws_access_key_id=key,
            aws_secret_access_key=key,
            config=Config(connect_timeout=5, retries={"mode": "standard", "total_max_attempts": 3}, proxies=proxies),
        )
    except ValueError as error:
        raise InputError(f"{endpoint!r} is no address of an API; write it as {DEFAULT_ENDPOINT}") from error


def _is_local(endpoint: str) -> bool:
    return (urlsplit(endpoint).hostname or "") in _LOCAL_HOSTS


def _explain_answer(endpoint: str, error: ClientError) -> GlueMLError:
    answer = error.response.get("Error", {})
    code, text = str(answer.get("Code", "")), str(answer.get("Message", "")).rstrip(".")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    told = f"{text or 'no reason was told'} ({code}, {endpoint})"
    if code == "EntityNotFoundException":
        return NotFoundError(told)
    if status in (401, 403) or code.startswith(("AccessDenied", "ExpiredToken", "UnrecognizedClient")):
        return AccessError(told)
    return UnavailableError(told) if status >= 500 or code.startswith("Throttling") else InputError(told)
