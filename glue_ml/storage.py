"""Small files by URI: a plain path, `file:///...`, `s3://...` or `s3a://...`.

What follows the scheme is taken as it is written (no percent-decoding), which is how Spark reads the same URI. S3 is
reached with boto3's own configuration: its credential chain, AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from glue_ml.errors import AccessError, GlueMLError, InputError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ErrorTypeDef, ObjectIdentifierTypeDef

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?=/)(.*)", re.DOTALL)
_MISSING = {"404", "NoSuchBucket", "NoSuchKey", "NotFound"}
_DENIED = {"401", "403", "AccessDenied", "AllAccessDisabled", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken",
           "SignatureDoesNotMatch"}  # fmt: skip


class _Object(NamedTuple):
    bucket: str
    key: str


def join(uri: str, *names: str) -> str:
    """The URI of what `names` lead to below the folder `uri`."""
    root = uri if uri.endswith("/") else uri + "/"
    return root + "/".join(name.strip("/") for name in names) if names else uri


def read_bytes(uri: str) -> bytes:
    """The content of a file. Raises NotFoundError, AccessError, UnavailableError, or InputError for a folder."""
    place = _locate(uri)
    if isinstance(place, _Object):
        with _s3(uri, "read") as client:
            return client.get_object(Bucket=place.bucket, Key=place.key)["Body"].read()
    with _local(uri, "read"):
        return place.read_bytes()


def write_bytes(uri: str, data: bytes | memoryview) -> None:
    """Put `data` in the place of the file at `uri`, all or nothing; missing folders are made.

    Raises AccessError, UnavailableError, NotFoundError for a bucket that does not exist, InputError for a folder.
    """
    place = _locate(uri)
    if isinstance(place, _Object):
        with _s3(uri, "written") as client:
            client.put_object(Bucket=place.bucket, Key=place.key, Body=bytes(data))
        return
    with _local(uri, "written"):
        _replace(place, data)


def find_path(uri: str) -> Path | None:
    """The path of a local file or folder, be it there or not; None for what is in S3."""
    place = _locate(uri)
    return place if isinstance(place, Path) else None


def size(uri: str) -> int:
    """The size of a file in bytes. Raises what `read_bytes` raises."""
    place = _locate(uri)
    if isinstance(place, _Object):
        with _s3(uri, "read") as client:
            return client.head_object(Bucket=place.bucket, Key=place.key)["ContentLength"]
    with _local(uri, "read"):
        if place.is_dir():
            raise InputError(f"{uri} is a folder; name a file in it")
        return place.stat().st_size


def exists(uri: str) -> bool:
    """Whether there is a file or a folder. Raises AccessError or UnavailableError where that cannot be told."""
    place = _locate(uri)
    try:
        if isinstance(place, _Object):
            return _object_exists(uri, place)
        with _local(uri, "read"):
            place.stat()
    except NotFoundError:
        return False
    return True


def list_names(uri: str) -> list[str]:
    """The names directly below a folder, sorted. Raises NotFoundError where there is no such folder."""
    place = _locate(uri, folder=True)
    if isinstance(place, _Object):
        return _list_objects(uri, place)
    with _local(uri, "listed"):
        return sorted(entry.name for entry in place.iterdir())


def remove(uri: str) -> None:
    """Remove a file, or a folder with all that is in it; what is not there, or is being removed by another, is fine.

    Raises AccessError, UnavailableError, and InputError for the root of a file system or a whole bucket.
    """
    place = _locate(uri)
    if isinstance(place, _Object):
        _remove_objects(uri, place)
        return
    if place.resolve() == Path(place.anchor or "/"):
        raise InputError(f"{uri} is the root of the file system, and will not be removed")
    with _local(uri, "removed"):
        _remove_tree(place)


def overlap(first: str, second: str) -> bool:
    """Whether one of two places is, or is in, the other, however their URIs are spelled."""
    one, other = _spell(first), _spell(second)
    return one.startswith(other) or other.startswith(one)


def _spell(uri: str) -> str:
    """The one way to write a URI that has several, ending in a slash."""
    scheme, _, path = uri.rpartition(":/")
    if scheme.lower() in ("", "file"):
        return os.path.join(os.path.realpath(f"/{path.lstrip('/')}" if scheme else uri), "")
    return re.sub("/+", "/", f"{scheme.lower().replace('s3a', 's3')}:/{path}/")


def _locate(uri: str, *, folder: bool = False) -> _Object | Path:
    found = _SCHEME.fullmatch(uri)
    scheme, rest = (found[1].lower(), found[2]) if found else ("", uri)
    if not rest or "\0" in rest:
        raise InputError(f"{uri!r} is not a path; give a local path, file:///..., s3://... or s3a://...")
    if scheme == "":
        return Path(rest)
    if scheme == "file":
        return _locate_local(uri, rest)
    if scheme in ("s3", "s3a"):
        return _locate_object(uri, rest, folder=folder)
    raise InputError(f"{uri} has the scheme {scheme!r}; use a local path, file:///..., s3://... or s3a://...")


def _locate_local(uri: str, rest: str) -> Path:
    if not rest.startswith("//"):
        return Path(rest)
    host, slash, path = rest[2:].partition("/")
    if host not in ("", "localhost") or not slash:
        raise InputError(f"{uri} names the host {host!r}; write a local file as file:///path")
    return Path("/" + path)


def _locate_object(uri: str, rest: str, *, folder: bool) -> _Object:
    bucket, _, key = rest.removeprefix("//").partition("/")
    if not rest.startswith("//") or not bucket or (not key and not folder):
        raise InputError(f"{uri} is not an S3 object; write it as s3://bucket/key")
    return _Object(bucket, key)


@contextmanager
def _local(uri: str, action: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotFoundError(f"{uri} does not exist") from error
    except PermissionError as error:
        raise AccessError(f"{uri} may not be {action}: permission denied") from error
    except IsADirectoryError as error:
        raise InputError(f"{uri} is a folder; name a file in it") from error
    except NotADirectoryError as error:
        if action == "written" or not Path(error.filename or "").exists():
            raise NotFoundError(f"{uri} does not exist: a part of its path is a file, not a folder") from error
        raise InputError(f"{uri} is a file, not a folder") from error
    except FileExistsError as error:
        raise InputError(f"{uri} cannot be written: a part of its path is a file, not a folder") from error
    except OSError as error:
        raise UnavailableError(f"{uri} cannot be {action}: {error.strerror or error}") from error


def _replace(path: Path, data: bytes | memoryview) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError
    aside = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with aside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise


def _remove_tree(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
        return
    while path.exists():
        with suppress(FileNotFoundError):  # another removes it too: what it took first stops one pass, not the next
            shutil.rmtree(path)


@contextmanager
def _s3(uri: str, action: str) -> Iterator[S3Client]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield _open_client(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"))
    except ClientError as error:
        raise _explain_refusal(uri, action, error) from error
    except BotoCoreError as error:
        raise explain_aws_failure(f"{uri} cannot be {action}", error) from error


@cache
def _open_client(endpoint: str | None) -> S3Client:
    """One client for each endpoint that the environment has named; boto3 reads the endpoint itself."""
    import boto3
    from botocore.config import Config

    # an S3 that does not answer must not hold up whoever asks for a file for minutes
    patience = Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 3, "mode": "standard"})
    return boto3.client("s3", config=patience)


def _explain_refusal(uri: str, action: str, error: Exception) -> GlueMLError:
    response = getattr(error, "response", {})
    code, text = response.get("Error", {}).get("Code", ""), response.get("Error", {}).get("Message", "")
    if code == "NoSuchBucket":
        return NotFoundError(f"{uri} does not exist: there is no such bucket")
    if code in _MISSING:
        return NotFoundError(f"{uri} does not exist")
    if code in _DENIED:
        return AccessError(f"{uri} may not be {action} with these credentials: {code} {text}".rstrip())
    if response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500) >= 500 or code in ("SlowDown", "503"):
        return UnavailableError(f"{uri} cannot be {action} now: S3 answered {code} {text}".rstrip())
    return InputError(f"{uri} cannot be {action}: S3 answered {code} {text}".rstrip())


def explain_aws_failure(subject: str, error: Exception) -> GlueMLError:
    """The error to raise for a botocore error that is no answer of the service: no credentials, no region, no answer.

    `subject` says what could not be done, as the start of a sentence.
    """
    from botocore import exceptions

    text = str(error).rstrip(".")
    if isinstance(error, exceptions.NoRegionError):
        return InputError(f"{subject}: no AWS region is set; set AWS_REGION")
    if isinstance(error, (exceptions.NoCredentialsError, exceptions.PartialCredentialsError,
                          exceptions.CredentialRetrievalError, exceptions.TokenRetrievalError,
                          exceptions.SSOError, exceptions.ProfileNotFound)):  # fmt: skip
        return AccessError(f"{subject}: {text}")
    if isinstance(error, (exceptions.ParamValidationError, exceptions.InvalidRegionError)):
        return InputError(f"{subject}: {text}")
    return UnavailableError(f"{subject}: {text}")


def _object_exists(uri: str, place: _Object) -> bool:
    try:
        size(uri)
    except NotFoundError:
        prefix = place.key.rstrip("/") + "/"
        with _s3(uri, "read") as client:
            found = client.list_objects_v2(Bucket=place.bucket, Prefix=prefix, MaxKeys=1)
            return found["KeyCount"] > 0
    return True


def _list_objects(uri: str, place: _Object) -> list[str]:
    prefix = place.key.rstrip("/") + "/" if place.key.strip("/") else ""
    names: set[str] = set()
    with _s3(uri, "listed") as client:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=prefix, Delimiter="/")
        for page in pages:
            names.update(found["Prefix"] for found in page.get("CommonPrefixes", ()))
            names.update(found["Key"] for found in page.get("Contents", ()))
    if not names and prefix:
        raise NotFoundError(f"{uri} does not exist")
    return sorted(name.removeprefix(prefix).rstrip("/") for name in names if name != prefix)


def _remove_objects(uri: str, place: _Object) -> None:
    """Remove the object of that key and all below it; a page of a listing is as much as one request may remove."""
    prefix = place.key.rstrip("/")
    if not prefix:
        raise InputError(f"{uri} is a whole bucket, and will not be removed")
    with _s3(uri, "removed") as client:
        client.delete_object(Bucket=place.bucket, Key=place.key)
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=prefix + "/")
        for page in pages:
            if keys := [found["Key"] for found in page.get("Contents", ())]:
                objects: list[ObjectIdentifierTypeDef] = [{"Key": key} for key in keys]
                told = client.delete_objects(Bucket=place.bucket, Delete={"Objects": objects, "Quiet": True})
                _check_removed(uri, told.get("Errors", []))


def _check_removed(uri: str, errors: Sequence[ErrorTypeDef]) -> None:
    if errors:
        code, text = errors[0].get("Code", ""), errors[0].get("Message", "")
        kind = AccessError if code in _DENIED else UnavailableError
        raise kind(f"{uri} cannot be removed: S3 answered {code} {text} for {errors[0].get('Key', '')}")
