"""The floors of quality on public data with truth; skipped where the data is not at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from tests.benchmarks.quality import run

DATA = Path(os.environ.get("GLUE_ML_DATA", Path(__file__).parents[3] / "shared" / "data"))


@pytest.mark.parametrize(("name", "rows", "floor"), [("febrl3", 200, 0.995), ("abt_buy", 1000, 0.90)])
def test_f1_with_labelled_rows_reaches_the_floor(spark: SparkSession, name: str, rows: int, floor: float) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"no data set at {DATA / name}: name the folder of data sets with GLUE_ML_DATA")
    _, labelled = run(spark, DATA / name, [rows], seed=0)
    assert labelled["rows_labelled"] <= rows
    assert labelled["f1"] >= floor
