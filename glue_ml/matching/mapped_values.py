"""Values whose arrays lie in a file: the processes of a machine map it, and so hold one copy between them.

A value is a tree of dataclasses and tuples. `lay_out` writes its arrays, sparse matrices and Arrow strings to a file
one after the other and returns what is left, an outline that is small enough to be sent anywhere; `map_back` makes the
value of the outline and the file, without reading it: pages come when they are touched, and leave when memory is short.

A dataclass may name in `laid_out_with` properties that follow from its fields and cost something. They are worked out
while it is laid out and lie in the file too.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from glue_ml.errors import UnavailableError

T = TypeVar("T")

ALIGNMENT = 64  #: Bytes; what vector instructions like best.
LEAST_BYTES = 4_096  #: A smaller array travels in the outline.


@dataclass(frozen=True)
class _Array:
    start: int
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class _Matrix:
    shape: tuple[int, int]
    parts: tuple[Any, Any, Any]


@dataclass(frozen=True)
class _Strings:
    length: int
    offsets: Any
    letters: Any


@dataclass(frozen=True)
class _Tree:
    kind: type
    members: Mapping[str, Any]


def lay_out(value: Any, path: Path) -> Any:
    """Write the arrays of `value` to a new file at `path`; return the outline of the value.

    Raises UnavailableError where the disk does not take them; nothing of the file stays then.
    """
    try:
        with path.open("xb") as file:
            return _lay_out(value, _Writer(file))
    except FileExistsError:
        raise
    except OSError as error:  # also of the last bytes, which are written when the file is closed
        path.unlink(missing_ok=True)
        raise UnavailableError(
            f"{path} could not be written: {error.strerror}. Records and index of the table lie there while it is "
            "matched, about 1 KB for each row: make room, or name another disk by TMPDIR and spark.local.dir"
        ) from error


def spill(value: T) -> T:
    """Return the value with its arrays in a temporary file that nobody else sees, and that goes when they go.

    Memory that is short then drops what is not in use, as it can be read again.
    """
    with tempfile.TemporaryDirectory(prefix="glue-ml-") as folder:
        path = Path(folder) / "spilled"
        spilled: T = map_back(lay_out(value, path), path)
        return spilled


def map_back(outline: Any, path: Path) -> Any:
    """Return the value of an outline. Its arrays are those of the file; writing to them changes nothing elsewhere."""
    with path.open("rb") as file:
        # copied on writing, as sparse_dot_topn takes no read-only arrays; an empty file cannot be mapped
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) if path.stat().st_size else b""
    return _map_back(outline, memoryview(mapped))


@dataclass(frozen=True)
class _Writer:
    file: BinaryIO

    def write(self, array: npt.NDArray[Any]) -> Any:
        if array.dtype.hasobject or array.nbytes < LEAST_BYTES:
            return array
        self.file.write(b"\0" * (-self.file.tell() % ALIGNMENT))
        start = self.file.tell()
        self.file.write(np.ascontiguousarray(array).data)
        return _Array(start, array.dtype.str, array.shape)


def _lay_out(value: Any, writer: _Writer) -> Any:
    if isinstance(value, np.ndarray):
        return writer.write(value)
    if isinstance(value, sparse.csr_matrix):
        return _Matrix(value.shape, tuple(writer.write(part) for part in (value.data, value.indices, value.indptr)))
    if isinstance(value, pa.StringArray) and value.null_count == 0 and value.nbytes >= LEAST_BYTES:
        return _lay_out_strings(value, writer)
    if type(value) is tuple:
        return tuple(_lay_out(each, writer) for each in value)
    if is_dataclass(value) and not isinstance(value, type):
        members = {name: member for name, member in vars(value).items() if not _is_derived(type(value), name)}
        laid_out = {name: _lay_out(member, writer) for name, member in members.items()}
        for name in getattr(value, "laid_out_with", ()):
            # of what is worked out here nothing stays: once it is written, the memory is free
            laid_out[name] = _lay_out(_derive(value, name), writer)
        return _Tree(type(value), laid_out)
    return value


def _lay_out_strings(strings: pa.StringArray, writer: _Writer) -> _Strings:
    # a slice holds the letters of others, too
    whole = strings if strings.offset == 0 else pa.concat_arrays([strings])
    _, offsets, letters = whole.buffers()
    placed = np.frombuffer(offsets, dtype=np.int32)[: len(whole) + 1]
    return _Strings(len(whole), writer.write(placed), writer.write(np.frombuffer(letters, np.uint8)[: placed[-1]]))


def _is_derived(kind: type, name: str) -> bool:
    return isinstance(getattr(kind, name, None), cached_property)


def _derive(value: Any, name: str) -> Any:
    # a value that was mapped back has it at hand
    if name in vars(value):
        return vars(value)[name]
    derive: Callable[[Any], Any] = getattr(type(value), name).func
    return derive(value)


def _map_back(outline: Any, mapped: memoryview) -> Any:
    if isinstance(outline, _Array):
        count = int(np.prod(outline.shape, dtype=np.int64))
        return np.frombuffer(mapped, outline.dtype, count, outline.start).reshape(outline.shape)
    if isinstance(outline, _Matrix):
        parts = tuple(_map_back(part, mapped) for part in outline.parts)
        return sparse.csr_matrix(parts, shape=outline.shape, copy=False)
    if isinstance(outline, _Strings):
        buffers = [pa.py_buffer(_map_back(part, mapped)) for part in (outline.offsets, outline.letters)]
        return pa.StringArray.from_buffers(outline.length, *buffers)
    if isinstance(outline, _Tree):
        return _restore(outline.kind, {name: _map_back(member, mapped) for name, member in outline.members.items()})
    if type(outline) is tuple:
        return tuple(_map_back(each, mapped) for each in outline)
    return outline


def _restore(kind: type, members: Mapping[str, Any]) -> Any:
    """Return an object with these members; nothing is checked again, as it was made once before."""
    restored: Any = object.__new__(kind)
    vars(restored).update(members)
    return restored
