"""What an operation works with: the store, the account with its limits, and the moment and identity of the request."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from glue_ml.store.database import Database

Members = Mapping[str, Any]  #: Members of a request or an answer, as the wire names them.


@dataclass(frozen=True)
class Limits:
    """How much an account may have; the defaults are AWS's."""

    transforms: int = 100
    runs_per_transform: int = 3
    runs_per_account: int = 30
    label_file_mb: int = 10


@dataclass(frozen=True)
class Account:
    """Whose data this is, where it lies, and what it may do.

    `storage_uri` is the root of labels, models and run directories; user scripts are run only from `script_roots`.
    """

    storage_uri: str
    account_id: str = "000000000000"
    region: str = "us-east-1"
    limits: Limits = Limits()
    script_roots: tuple[str, ...] = ()
    local_files: bool = True  #: Whether requests may name `file:///` places of this machine.


class TableLookup(Protocol):
    """Finds a table of the Data Catalog; None if there is none."""

    def __call__(self, context: Context, *, database: str, table: str, catalog_id: str | None) -> Members | None: ...  # noqa: D102


@dataclass(frozen=True)
class Context:
    """One request. `invocation_id` is the caller's own id for it, the same when it is sent again."""

    database: Database
    account: Account
    find_table: TableLookup
    now: datetime
    invocation_id: str | None = None
    make_hex: Callable[[int], str] = field(default=secrets.token_hex)  #: so many random bytes as hexadecimal digits


Operation = Callable[[Context, dict[str, Any]], Members]
