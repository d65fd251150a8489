"""Lists in pages: what follows the last one told, so that nothing is repeated or skipped when others are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sqlalchemy import Connection

from glue_ml.operations.context import Members
from glue_ml.operations.paging import DEFAULT_RESULTS, decode_token, encode_token
from glue_ml.store.database import read_paging_key

T = TypeVar("T")
Position = list[Any]  #: Where in its order one element of a list stands.
Fetch = Callable[[Position | None, int], list[T]]  #: So many elements that follow a position, in order.

_BATCH = 500  #: How many elements are looked at in one query.


def take_page(
    connection: Connection,
    request: Members,
    listing: Mapping[str, Any],
    *,
    fetch: Fetch[T],
    locate: Callable[[T], Position],
) -> tuple[list[T], str | None]:
    """The page that a request asks for by MaxResults and NextToken, and the token of the next; None after the last.

    Raises InvalidInputError for a token that is not of this listing.
    """
    key = read_paging_key(connection) or ""
    after = decode_token(key, listing, request.get("NextToken"))
    limit = request.get("MaxResults", DEFAULT_RESULTS)
    found = fetch(after, limit + 1)
    token = encode_token(key, listing, locate(found[limit - 1])) if len(found) > limit else None
    return found[:limit], token


def select_matching(fetch: Fetch[T], keep: Callable[[T], bool], locate: Callable[[T], Position]) -> Fetch[T]:
    """Fetches only what is to be kept; at most one batch of the rest is in memory."""

    def fetch_kept(after: Position | None, limit: int) -> list[T]:
        kept: list[T] = []
        while len(kept) < limit:
            batch = fetch(after, _BATCH)
            kept += [one for one in batch if keep(one)]
            if len(batch) < _BATCH:
                break
            after = locate(batch[-1])
        return kept[:limit]

    return fetch_kept
