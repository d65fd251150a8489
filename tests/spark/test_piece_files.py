"""Arrays and tables of a run's folder: whole, mapped, brought from S3 once, and gone when they are removed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import numpy as np
import pyarrow as pa
import pytest
from moto.s3.models import s3_backends
from pyspark.sql import SparkSession

from glue_ml import storage
from glue_ml.errors import NotFoundError
from glue_ml.matching.piece_files import PieceFiles


@pytest.fixture(params=["local", "s3"])
def files(
    request: pytest.FixtureRequest, spark: SparkSession, moto: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[PieceFiles]:
    if request.param == "local":
        yield PieceFiles(str(tmp_path / "work"))
        return
    for name, value in (
        ("AWS_ENDPOINT_URL_S3", moto), ("AWS_ACCESS_KEY_ID", "testing"), ("AWS_SECRET_ACCESS_KEY", "testing"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="shelf")
    # a folder of its own: what was brought here stays as long as the session
    yield PieceFiles(f"s3://shelf/{tmp_path.name}")
    s3_backends.reset()


@pytest.mark.parametrize(
    "array",
    [np.arange(5, dtype=np.int32), np.zeros(0, dtype=np.float32), np.arange(12.0).reshape(3, 4)],
    ids=["numbers", "nothing", "rows"],
)
def test_arrays_come_back_and_may_be_written_to(files: PieceFiles, array: np.ndarray) -> None:
    assert not files.has_arrays("1.keys", "data")
    assert files.save_arrays("1.keys", {"data": array, "other": array + 1}) == 2 * array.nbytes
    assert files.has_arrays("1.keys", "data")
    data, other = files.load_arrays("1.keys", ("data", "other"))
    assert data.dtype == array.dtype
    np.testing.assert_array_equal(data, array)
    data += 1
    np.testing.assert_array_equal(other, data)
    np.testing.assert_array_equal(files.load_arrays("1.keys", ["data"])[0], array)


def test_objects_are_not_saved(files: PieceFiles) -> None:
    """They would be pickled."""
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        files.save_arrays("1", {"data": np.array([{}], dtype=object)})


def test_tables_come_back(files: PieceFiles) -> None:
    table = pa.table({"key": ["a", None], "n": [[1, 2], []]})
    files.save_table("1.rows", table)
    assert files.load_table("1.rows").equals(table)


def test_files_are_removed_by_the_ends_of_their_names(files: PieceFiles) -> None:
    for name in ("1.keys", "2.keys", "1.grams"):
        files.save_arrays(name, {"data": np.arange(3)})
    files.remove("keys.data.npy")
    assert storage.list_names(files.root) == ["1.grams.data.npy"]
    files.remove()
    with pytest.raises(NotFoundError):
        storage.list_names(files.root)
