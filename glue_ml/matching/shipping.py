"""Values on every worker: their arrays in a file that Spark brings to each executor once, mapped by its processes."""

from __future__ import annotations

import gc
import sys
import uuid
from collections import OrderedDict
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar
from zipimport import zipimporter

from pyspark import SparkContext, SparkFiles
from pyspark.sql import SparkSession

from glue_ml.matching.mapped_values import lay_out, map_back

T = TypeVar("T")

KEPT = 4  #: Values that a process keeps mapped.
_mapped: OrderedDict[str, Any] = OrderedDict()


class Shipped(Generic[T]):
    """A value that every executor gets once, see `mapped_values`; Spark Connect ships it with the task.

    The file is in Spark's own temporary folders, which go with the application; `release` makes room sooner.
    """

    def __init__(self, spark: SparkSession, value: T) -> None:
        self._name = f"glue-ml-{uuid.uuid4().hex}"
        self._outline: Any = None
        self._value: Any = None
        context = _find_context(spark)
        if context is None:
            self._value = value
        else:
            self._outline = _lay_out_in(context, value, self._name)

    @property
    def value(self) -> T:
        """The value, on the driver or on a worker."""
        if self._outline is None:
            return self._value  # type: ignore[no-any-return]
        if self._name not in _mapped:
            _mapped[self._name] = map_back(self._outline, Path(SparkFiles.get(self._name)))
            while len(_mapped) > KEPT:
                _mapped.popitem(last=False)
        _mapped.move_to_end(self._name)
        return _mapped[self._name]  # type: ignore[no-any-return]

    def release(self) -> None:
        """Remove the file of a local session; no task may need it any more.

        A cluster keeps it as long as the application runs: an executor that comes later asks for all its files.
        """
        _mapped.pop(self._name, None)
        context = SparkContext._active_spark_context
        if self._outline is not None and context is not None and _is_local(context):
            Path(SparkFiles.get(self._name)).unlink(missing_ok=True)


def settle_worker() -> None:
    """Spare the tasks that follow on this worker what PySpark would do before and after each of them: .3 s."""
    _freeze_imported()
    # before a task all importers look again what they can import: one of PySpark's zip reads its 1,500 entries. An
    # importer that is not there is made when something is imported that nobody has imported yet.
    for path, importer in list(sys.path_importer_cache.items()):
        if isinstance(importer, zipimporter):
            sys.path_importer_cache.pop(path, None)


@cache
def _freeze_imported() -> None:
    """Take what is imported out of the sight of the garbage collector, which PySpark calls after every task."""
    gc.freeze()


def find_shared_folder(spark: SparkSession) -> str | None:
    """Return a folder that driver and workers share, and that goes with the application; None on a cluster."""
    context = _find_context(spark)
    return SparkFiles.getRootDirectory() if context is not None and _is_local(context) else None


def _find_context(spark: SparkSession) -> SparkContext | None:
    try:
        return spark.sparkContext
    except (AttributeError, NotImplementedError, RuntimeError):
        return None


def _lay_out_in(context: SparkContext, value: Any, name: str) -> Any:
    """Lay out `value` in the file `name` that `SparkFiles.get` finds on every executor; return the outline."""
    file = Path(SparkFiles.getRootDirectory()) / name
    outline = lay_out(value, file)
    if not _is_local(context):
        context.addFile(str(file))
    return outline


def _is_local(context: SparkContext) -> bool:
    """Tell whether driver and workers share a folder of files."""
    return str(context.master).split("[")[0] == "local"
