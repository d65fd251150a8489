"""Folders and files as Spark sees them, through Hadoop's FileSystem API with the session's configuration."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from pyspark.sql import SparkSession

from glue_ml.catalog.failures import explain_failures
from glue_ml.catalog.layout import READABLE
from glue_ml.errors import InputError, NotFoundError

_GLOB = re.compile(r"([\[\]{}*?\\])")
_FORMATS = {
    "csv": "csv", "tsv": "csv", "json": "json", "jsonl": "json", "ndjson": "json", "parquet": "parquet", "orc": "orc",
    "avro": "avro", "delta": "delta",
}  # fmt: skip
_COMPRESSIONS = {"gz", "gzip", "bz2", "zst", "snappy", "lz4", "deflate", "xz"}


@dataclass(frozen=True)
class DataFile:
    """A file of a table: its path as Spark takes it, the URI that Spark tells for its rows, its path below the root."""

    path: str
    uri: str
    relative: str

    @property
    def pattern(self) -> str:
        """The path with the characters escaped that Spark would take for a pattern."""
        return _GLOB.sub(r"\\\1", self.path)

    @property
    def folder_values(self) -> dict[str, str]:
        """What `key=value` folders on the way to the file say."""
        pairs = (part.split("=", 1) for part in self.relative.split("/")[:-1] if "=" in part)
        return {unquote(key): unquote(value) for key, value in pairs}


@dataclass(frozen=True)
class Listing:
    """What is at a place: a table of Delta, or files (none that is hidden or empty), sorted by path."""

    uri: str
    is_delta: bool
    files: tuple[DataFile, ...]


def open_path(spark: SparkSession, uri: str) -> tuple[Any, Any]:
    """Hadoop's (FileSystem, Path) of a URI. Raises InputError where there is no such file system."""
    if not uri.strip():
        raise InputError("the path of a table is empty")
    jvm: Any = spark._jvm
    with explain_failures(f"{uri} cannot be opened"):
        path = jvm.org.apache.hadoop.fs.Path(uri)
        return path.getFileSystem(spark._jsc.hadoopConfiguration()), path


def list_table(spark: SparkSession, uri: str) -> Listing:
    """What is at `uri`: one file, or a folder with all that is below it. Raises NotFoundError or AccessError."""
    system, path = open_path(spark, uri)
    with explain_failures(f"{uri} cannot be read"):
        if not system.exists(path):
            raise NotFoundError(f"{uri} does not exist")
        is_delta = bool(system.exists(path.suffix("/_delta_log")))
        files = [] if is_delta else _list_files(system, path)
    return Listing(uri, is_delta, tuple(sorted(files, key=lambda file: file.path)))


def _list_files(system: Any, path: Any) -> list[DataFile]:
    root = str(system.makeQualified(path).toString())
    found, files = system.listFiles(path, True), []
    while found.hasNext():
        status = found.next()
        at = status.getPath()
        full = str(at.toString())
        relative = full[len(root) :].lstrip("/") if full.startswith(root) else full
        if status.getLen() > 0 and not is_hidden(relative):
            files.append(DataFile(full, _spell_uri(at), relative if relative else posixpath.basename(full)))
    return files


def _spell_uri(path: Any) -> str:
    """The URI as Spark's file_path metadata column spells it."""
    return re.sub(r"^file:/+", "file:/", str(path.toUri().toString()))


def is_hidden(relative: str) -> bool:
    """Whether Hive leaves a file out: a part of its path begins with a dot, or with `_` and is no partition."""
    parts = relative.split("/")
    return any(part.startswith(".") or (part.startswith("_") and "=" not in part) for part in parts)


def guess_format(listing: Listing) -> str:
    """The format by what is there and how it is called. Raises InputError where that does not tell."""
    if listing.is_delta:
        return "delta"
    names = [listing.uri.rstrip("/")] if len(listing.files) == 1 else []
    formats = {_FORMATS.get(find_suffix(file.relative), "") for file in listing.files}
    formats = formats if formats - {""} else {_FORMATS.get(find_suffix(name), "") for name in names}
    if len(formats) == 1 and (kind := formats.pop()):
        return kind
    told = f"its files are of several formats, {sorted(formats)}" if len(formats) > 1 else "its name does not tell"
    raise InputError(f"the format of {listing.uri} is unknown ({told}); name one of {', '.join(READABLE)}")


def find_suffix(name: str) -> str:
    """The end of a file's name that tells its format: `csv` for `a.csv.gz`."""
    parts = posixpath.basename(name).lower().split(".")[1:]
    while parts and parts[-1] in _COMPRESSIONS:
        parts.pop()
    return parts[-1] if parts else ""


def read_head(spark: SparkSession, file: DataFile, *, limit: int = 1 << 16) -> bytes:
    """The first bytes of a file, unpacked if its name says that it is packed. Raises InputError or AccessError."""
    jvm: Any = spark._jvm
    conf = spark._jsc.hadoopConfiguration()
    with explain_failures(f"{file.path} cannot be read"):
        path = jvm.org.apache.hadoop.fs.Path(file.path)
        codec = jvm.org.apache.hadoop.io.compress.CompressionCodecFactory(conf).getCodec(path)
        raw = path.getFileSystem(conf).open(path)
        try:
            stream = raw if codec is None else codec.createInputStream(raw)
            return bytes(stream.readNBytes(limit))
        finally:
            raw.close()
