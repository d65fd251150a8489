"""What is shipped arrives on the workers as it was, in a file that they map, and can be removed."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile
from zipimport import zipimporter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from pyspark import SparkFiles
from pyspark.sql import SparkSession

from glue_ml.matching import shipping
from glue_ml.matching.mapped_values import LEAST_BYTES
from glue_ml.matching.nearest import Neighbours
from glue_ml.matching.shipping import KEPT, Shipped, settle_worker
from glue_ml.matching.table import collect_arrow

LARGE = np.arange(LEAST_BYTES)


def make_value(number: int, rows: npt.NDArray[np.int64]) -> Neighbours:
    """Return a value with a large or a small array; a worker knows the engine's types, not those of a test."""
    return Neighbours(np.array([number]), rows, np.zeros(0, dtype=np.float32))


def files() -> set[Path]:
    return set(Path(SparkFiles.getRootDirectory()).glob("glue-ml-*"))


def sum_on_workers(spark: SparkSession, shipped: Shipped[Neighbours]) -> list[dict[str, Any]]:
    """Return, by task, the sum of the array and whether the process has the file mapped."""

    def add_up(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in batches:
            total = int(shipped.value.other.sum())
            mapped = shipped._name in Path("/proc/self/maps").read_text(encoding="utf-8")
            yield pa.RecordBatch.from_pylist([{"total": total, "mapped": mapped}])

    return list(collect_arrow(spark.range(0, 2, 1, 2).mapInArrow(add_up, "total long, mapped boolean")).to_pylist())


def test_workers_map_the_file_of_a_large_array(spark: SparkSession) -> None:
    shipped = Shipped(spark, make_value(7, LARGE))
    assert sum_on_workers(spark, shipped) == [{"total": int(LARGE.sum()), "mapped": True}] * 2
    assert shipped.value.row.tolist() == [7]


def test_a_small_array_needs_no_file(spark: SparkSession) -> None:
    shipped = Shipped(spark, make_value(0, np.arange(3)))
    assert sum_on_workers(spark, shipped) == [{"total": 3, "mapped": False}] * 2


def test_a_released_value_leaves_no_file_and_disturbs_no_other(spark: SparkSession) -> None:
    before = files()
    one, other = (Shipped(spark, make_value(number, LARGE)) for number in range(2))
    assert len(files() - before) == 2
    one.release()
    assert len(files() - before) == 1
    assert other.value.row.tolist() == [1]
    other.release()
    assert files() == before


def test_a_process_keeps_only_the_last_values_mapped(spark: SparkSession) -> None:
    many = [Shipped(spark, make_value(number, LARGE)) for number in range(KEPT + 2)]
    assert [each.value.row.tolist() for each in many] == [[number] for number in range(KEPT + 2)]
    assert len(shipping._mapped) == KEPT
    assert many[0].value.row.tolist() == [0]
    for each in many:
        each.release()


def test_without_a_spark_context_the_value_goes_with_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for a session of Spark Connect, which has no context and can't be started here."""

    class Session:
        @property
        def sparkContext(self) -> Any:
            raise NotImplementedError("Spark Connect has none")

    value = make_value(0, LARGE)
    shipped: Shipped[Neighbours] = Shipped(Session(), value)  # type: ignore[arg-type]
    assert shipped.value is value
    shipped.release()


def test_a_settled_process_reads_no_zip_again_and_still_imports_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "modules.zip"
    with ZipFile(archive, "w") as file:
        for name in ("zipped_one", "zipped_other"):
            file.writestr(f"{name}.py", f"NAME = {name!r}")
    monkeypatch.setattr(sys, "path", [str(archive), *sys.path])
    importlib.import_module("zipped_one")
    assert isinstance(sys.path_importer_cache[str(archive)], zipimporter)

    settle_worker()

    gc.unfreeze()
    assert not [path for path, importer in sys.path_importer_cache.items() if isinstance(importer, zipimporter)]
    assert importlib.import_module("zipped_other").NAME == "zipped_other"
