"""Entry points of jobs: the built-in one, or a user's script that lies where scripts may be run from."""

from __future__ import annotations

import os.path
import re
from urllib.parse import urlsplit

from glue_ml.errors import InvalidInputError
from glue_ml.operations.context import Context

BUILTIN = "builtin://find_matches"

_MAX_LENGTH = 4096
#: Whether these are taken as they are, decoded or cut off differs between those who read a path.
_UNSURE = re.compile(r"[\x00-\x1f\x7f\\%?#\ud800-\udfff]")

Place = tuple[str, tuple[str, ...]]  #: The bucket ("" for this machine), and the names of the folders and the file.


def check_script(context: Context, location: str) -> str:
    """The location of a job's script as it may be run: links and `..` of a local path are resolved.

    Raises InvalidInputError unless it is the built-in one or lies below one of the account's script roots.
    """
    if location == BUILTIN:
        return location
    if location.startswith("builtin://"):
        raise InvalidInputError(f"Command.ScriptLocation {_shorten(location)!r} does not exist. Use {BUILTIN}.")
    roots = context.account.script_roots
    if not roots:
        raise InvalidInputError(
            "Command.ScriptLocation cannot be a script: none may be run here. Set GLUE_ML_SCRIPT_ROOTS to the folders "
            f"that scripts may be run from, or use {BUILTIN}."
        )
    place = _resolve(location)
    if place is None:
        raise InvalidInputError(
            f"Command.ScriptLocation {_shorten(location)!r} is not a script. "
            "Give s3://BUCKET/KEY, file:///FOLDER/FILE or " + BUILTIN + "; without '..' in a key, '%', '?' or '#'."
        )
    if not any(_lies_below(place, root) for root in map(_resolve, roots) if root is not None):
        raise InvalidInputError(
            f"Command.ScriptLocation {_shorten(location)!r} is in no folder that scripts may be run from "
            f"({', '.join(roots)}). Put it into one, or add its folder to GLUE_ML_SCRIPT_ROOTS."
        )
    bucket, names = place
    return f"s3://{bucket}/{'/'.join(names)}" if bucket else f"file:///{'/'.join(names)}"


def _resolve(location: str) -> Place | None:
    """Where a location really is; None for one that can be read in more than one way."""
    if not location or len(location) > _MAX_LENGTH or _UNSURE.search(location):
        return None
    try:
        parts = urlsplit(location)
    except ValueError:
        return None
    if parts.scheme in ("s3", "s3a", "s3n") and parts.netloc:
        names = [name for name in parts.path.split("/") if name]
        return None if {".", ".."} & set(names) else (parts.netloc, tuple(names))
    local = parts.scheme in ("", "file") and parts.netloc in ("", "localhost") and parts.path.startswith("/")
    return ("", tuple(name for name in os.path.realpath(parts.path).split("/") if name)) if local else None


def _lies_below(place: Place, root: Place) -> bool:
    return place[0] == root[0] and len(place[1]) > len(root[1]) and place[1][: len(root[1])] == root[1]


def _shorten(location: str) -> str:
    return location if len(location) <= 200 else location[:200] + "..."
