"""One small Spark session for every test that needs one; starting Spark costs more than most tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from glue_ml.session import open_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A local session on two cores with Delta and Avro."""
    folder = tmp_path_factory.mktemp("spark")
    session = open_session(
        "glue-ml tests",
        master="local[2]",
        settings={
            "spark.default.parallelism": "4",
            "spark.sql.shuffle.partitions": "4",
            "spark.sql.warehouse.dir": str(folder / "warehouse"),
            "spark.local.dir": str(folder / "local"),
        },
    )
    yield session
    session.stop()
