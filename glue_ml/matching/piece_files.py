"""Files of a run that all its processes reach: arrays and tables, written whole, and mapped rather than read."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark import SparkFiles

from glue_ml import storage

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class PieceFiles:
    """A folder (a URI, see `storage`) of arrays and tables by name.

    What is in S3 is brought to a machine once, into Spark's own temporary folder, which goes with the application.
    Raises what `storage` raises.
    """

    root: str

    def save_arrays(self, name: str, arrays: Mapping[str, Array]) -> int:
        """Write arrays that belong together; return their bytes. Writing the same again changes nothing."""
        for key, array in arrays.items():
            sink = io.BytesIO()
            np.save(sink, array, allow_pickle=False)
            storage.write_bytes(self._locate(f"{name}.{key}.npy"), sink.getbuffer())
        return sum(array.nbytes for array in arrays.values())

    def load_arrays(self, name: str, keys: Iterable[str]) -> list[Array]:
        """Return arrays that were saved. Writing to them changes nothing elsewhere."""
        # copied on writing, as sparse_dot_topn takes no read-only arrays
        paths = (self._bring(f"{name}.{key}.npy") for key in keys)
        return [np.asarray(np.load(path, mmap_mode="c", allow_pickle=False)) for path in paths]

    def has_arrays(self, name: str, key: str) -> bool:
        """Tell whether an array was saved."""
        return storage.exists(self._locate(f"{name}.{key}.npy"))

    def save_table(self, name: str, table: pa.Table) -> None:
        """Write a table."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        storage.write_bytes(self._locate(f"{name}.arrow"), sink.getvalue().to_pybytes())

    def load_table(self, name: str) -> pa.Table:
        """Return a table that was saved; its pages are read when they are touched."""
        return pa.ipc.open_file(pa.memory_map(str(self._bring(f"{name}.arrow")))).read_all()

    def remove(self, *suffixes: str) -> None:
        """Remove the files whose names end in one of these; all of them, and the folder, if none are given."""
        if not suffixes:
            storage.remove(self.root)
            return
        for file in storage.list_names(self.root):
            if file.endswith(suffixes):
                storage.remove(self._locate(file))

    def _locate(self, file: str) -> str:
        return storage.join(self.root, file)

    def _bring(self, file: str) -> Path:
        uri = self._locate(file)
        here = storage.find_path(uri)
        if here is not None:
            return here
        folder = Path(SparkFiles.getRootDirectory()) / hashlib.sha256(self.root.encode()).hexdigest()[:16]
        if not (folder / file).exists():
            storage.write_bytes(str(folder / file), storage.read_bytes(uri))
        return folder / file
