"""Places that a request names: which of them this server will read from and write to."""

from __future__ import annotations

from urllib.parse import urlsplit

from glue_ml.errors import InvalidInputError
from glue_ml.operations.context import Context


def check_path(context: Context, member: str, path: str) -> str:
    """The path as given, if it is an S3 URI, or a file URI where the account allows local files.

    Raises InvalidInputError that names the member and says what a path looks like.
    """
    allowed = "s3://BUCKET/KEY or file:///FOLDER/FILE" if context.account.local_files else "s3://BUCKET/KEY"
    scheme, place, key = _split(path)
    if scheme in ("s3", "s3a") and place:
        return path
    if scheme == "file" and place in ("", "localhost") and key.startswith("/") and context.account.local_files:
        return path
    shown = path if len(path) <= 200 else path[:200] + "..."
    if scheme == "file" and not context.account.local_files:
        raise InvalidInputError(f"{member} {shown!r} is a file of this server, which it does not give access to.")
    raise InvalidInputError(f"Invalid {member} {shown!r}. Give {allowed}.")


def _split(path: str) -> tuple[str, str, str]:
    try:
        parts = urlsplit(path)
    except ValueError:
        return "", "", ""
    return parts.scheme, parts.netloc, parts.path
