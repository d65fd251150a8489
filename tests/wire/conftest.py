"""Servers that listen on a port of this machine, and clients of them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.wire.wire import KEY, MANY, SECRET, Catalog, Wire, open_client

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that all tests share. Nothing runs what is started there."""
    from glue_ml.app import open_server
    from glue_ml.settings import Settings

    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=str(home), port=0, max_transforms=MANY, max_runs_per_account=MANY)
    with open_server(settings, with_scheduler=False) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def guarded_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that takes one access key only."""
    from glue_ml.app import open_server
    from glue_ml.settings import Settings

    home = tmp_path_factory.mktemp("guarded")
    settings = Settings(home=str(home), port=0, access_key_id=KEY, secret_access_key=SECRET)
    with open_server(settings, with_scheduler=False) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def wire(endpoint: str) -> Wire:
    """Sends raw requests to the shared server."""
    return Wire(endpoint)


@pytest.fixture(scope="session")
def glue(endpoint: str) -> GlueClient:
    """A boto3 client of the shared server."""
    return open_client(endpoint)


@pytest.fixture
def make_catalog() -> Callable[[Wire], Catalog]:
    """Makes a database of a new name, with its table, on a server."""

    def make(wire: Wire) -> Catalog:
        catalog = Catalog(wire, f"db_{secrets.token_hex(6)}")
        catalog.make()
        return catalog

    return make


@pytest.fixture
def catalog(wire: Wire, make_catalog: Callable[[Wire], Catalog]) -> Catalog:
    """A database of the test's own on the shared server."""
    return make_catalog(wire)


@pytest.fixture
def open_small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Wire]]:
    """Opens servers of the test's own, with an empty store and settings as given."""
    from contextlib import ExitStack

    from glue_ml.app import open_server
    from glue_ml.settings import Settings

    with ExitStack() as stack:

        def open_one(*, with_scheduler: bool = False, **settings: Any) -> Wire:
            home = str(tmp_path_factory.mktemp("small"))
            server = open_server(Settings(home=home, port=0, **settings), with_scheduler=with_scheduler)
            return Wire(stack.enter_context(server))

        yield open_one
