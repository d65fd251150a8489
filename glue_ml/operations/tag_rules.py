"""What a tag may be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from glue_ml.errors import InvalidInputError

MAX_TAGS = 50  #: On one resource.

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def check_tags(tags: Mapping[str, str]) -> Mapping[str, str]:
    """The tags as given; InvalidInputError for a reserved key or a character that no text has."""
    check_keys(tags)
    for key, value in tags.items():
        if _UNSTORABLE.search(value):
            raise InvalidInputError(f"The value of the tag {key!r} has a character that is not allowed.")
    return tags


def check_keys(keys: Iterable[str]) -> None:
    """Raise InvalidInputError for a key that is reserved or has a character that no text has."""
    for key in keys:
        if key.lower().startswith("aws:"):
            raise InvalidInputError(f"The tag key {key!r} begins with aws:, which is reserved. Use another.")
        if _UNSTORABLE.search(key):
            raise InvalidInputError(f"The tag key {key!r} has a character that is not allowed.")
