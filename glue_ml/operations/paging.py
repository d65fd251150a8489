"""Page tokens: opaque to the caller, signed, and bound to the list they were made for."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from glue_ml.errors import InvalidInputError

DEFAULT_RESULTS = 100  #: The size of a page where the caller names none.
_SIGNATURE_BYTES = 16


def encode_token(key: str, listing: Mapping[str, Any], position: list[Any]) -> str:
    """The token for what follows `position` in a listing; `listing` holds the operation, its filter and its sort."""
    body = json.dumps([_digest(listing), position], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_sign(key, body) + body).decode()


def decode_token(key: str, listing: Mapping[str, Any], token: str | None) -> list[Any] | None:
    """The position that a token holds, None for no token.

    Raises InvalidInputError if the token is not ours, or was made for another listing.
    """
    if not token:
        return None
    try:
        raw = base64.urlsafe_b64decode(token.encode("ascii"))
    except ValueError:
        raw = b""
    signature, body = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _sign(key, body)):
        raise InvalidInputError("NextToken is not one that this service gave; start again without it.")
    made_for, position = json.loads(body)
    if made_for != _digest(listing):
        raise InvalidInputError("NextToken belongs to a list with another Filter or Sort; start again without it.")
    return list(position)


def _sign(key: str, body: bytes) -> bytes:
    return hmac.new(bytes.fromhex(key), body, hashlib.sha256).digest()[:_SIGNATURE_BYTES]


def _digest(listing: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(listing, sort_keys=True, default=str).encode()).hexdigest()[:16]
