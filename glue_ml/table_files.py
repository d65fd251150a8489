"""The files of a table, on this machine or in S3, as far as one has to look at them to describe the table."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from pyarrow import fs

from glue_ml.errors import AccessError, InputError, NotFoundError, UnavailableError
from glue_ml.storage import explain_aws_failure

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
_DEFAULT_REGION = "us-east-1"
_AWS = (".amazonaws.com", ".amazonaws.com.cn")
_COMPRESSIONS = {"gz", "gzip", "bz2", "zst", "lz4"}


@dataclass(frozen=True)
class Place:
    """A file or a folder: its URI, its path in its file system, its path below the folder asked for, its bytes."""

    uri: str
    path: str
    system: fs.FileSystem
    relative: str = ""
    size: int = 0

    @property
    def suffix(self) -> str:
        """The end of the name that tells the format: `csv` for `a.csv.gz`, nothing for `data`."""
        parts = posixpath.basename(self.uri.rstrip("/")).lower().split(".")[1:]
        while parts and parts[-1] in _COMPRESSIONS:
            parts.pop()
        return parts[-1] if parts else ""

    @property
    def is_hidden(self) -> bool:
        """Whether Hive leaves it out: a part of its path begins with a dot, or with `_` and is no partition."""
        parts = self.relative.split("/")
        return any(part.startswith(".") or (part.startswith("_") and "=" not in part) for part in parts)


def locate(path: str) -> Place:
    """Where a path leads: a local one is made absolute, s3://BUCKET/KEY is S3. Raises InputError for other schemes."""
    found = _SCHEME.fullmatch(path)
    if not path.strip() or "\0" in path:
        raise InputError(f"{path!r} is not a path; give a file or a folder, file:///... or s3://...")
    if found is None or found[1].lower() == "file":
        local = path if found is None else re.sub(r"^localhost(?=/)", "", found[2])
        if found is not None and not local.startswith("/"):
            raise InputError(f"{path} names a host; write a local file as file:///path")
        local = os.path.abspath(local)
        return Place(f"file://{local}", local, fs.LocalFileSystem())
    if found[1].lower() in ("s3", "s3a") and found[2].strip("/"):
        key = found[2].strip("/")
        return Place(f"s3://{key}", key, _open_s3(f"s3://{key}"))
    raise InputError(f"{path} is not a place that can be read; give a file or a folder, file:///... or s3://...")


def list_files(place: Place) -> list[Place]:
    """The file at a place, or all files below the folder there, sorted, hidden ones too. Raises NotFoundError."""
    with explain_failures(place):
        found = place.system.get_file_info(place.path)
        if found.type == fs.FileType.NotFound:
            raise NotFoundError(f"{place.uri} does not exist")
        if found.type == fs.FileType.File:
            return [replace(place, relative=posixpath.basename(place.path), size=found.size)]
        listed = place.system.get_file_info(fs.FileSelector(place.path, recursive=True))
    files = (_place_below(place, info) for info in listed if info.type == fs.FileType.File)
    return sorted(files, key=lambda file: file.relative)


def read_head(file: Place, limit: int) -> bytes:
    """The first bytes of a file, unpacked if its name says that it is packed."""
    with explain_failures(file), file.system.open_input_stream(file.path, compression="detect") as stream:
        return bytes(stream.read(limit))


def read_whole(file: Place) -> bytes:
    """All bytes of a file as they are."""
    with explain_failures(file), file.system.open_input_stream(file.path, compression=None) as stream:
        return bytes(stream.read())


def _open_s3(uri: str) -> fs.S3FileSystem:
    """Arrow's S3, with the endpoint, the region and the credentials that boto3 is configured with."""
    import boto3
    from botocore.exceptions import BotoCoreError

    session = boto3.Session()
    try:
        endpoint = session.client("s3", region_name=session.region_name or _DEFAULT_REGION).meta.endpoint_url
        found = session.get_credentials()
        keys = None if found is None else found.get_frozen_credentials()
    except BotoCoreError as error:
        raise explain_aws_failure(f"{uri} cannot be read", error) from error
    return fs.S3FileSystem(
        access_key=keys and keys.access_key,
        secret_key=keys and keys.secret_key,
        session_token=keys and keys.token,
        region=session.region_name or _DEFAULT_REGION,
        endpoint_override=None if (urlsplit(endpoint).hostname or "").endswith(_AWS) else endpoint,
    )


def _place_below(place: Place, info: fs.FileInfo) -> Place:
    relative = info.path[len(place.path) :].lstrip("/")
    return Place(f"{place.uri.rstrip('/')}/{relative}", info.path, place.system, relative, info.size)


@contextmanager
def explain_failures(place: Place) -> Iterator[None]:
    """Turn a failure to read a place into NotFoundError, AccessError or UnavailableError."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFoundError(f"{place.uri} does not exist") from error
    except PermissionError as error:
        raise AccessError(f"{place.uri} may not be read: permission denied") from error
    except OSError as error:
        told = str(error).strip().partition("\n")[0].rstrip(".")
        kind = AccessError if "ACCESS_DENIED" in told else UnavailableError
        raise kind(f"{place.uri} cannot be read: {told}") from error
