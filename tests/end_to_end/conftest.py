"""One small quickstart for all tests that look at what it left: it starts Spark eight times."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

QUICKSTART_ROWS = 400


@dataclass(frozen=True)
class QuickstartRun:
    """What `glue-ml quickstart` wrote to its directory and said."""

    directory: Path
    stdout: str
    stderr: str

    def read_report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads((self.directory / "quickstart.json").read_text(encoding="utf-8"))
        return report

    def read_truth(self) -> dict[str, str]:
        with (self.directory / "truth.csv").open(encoding="utf-8", newline="") as file:
            return {row["customer_id"]: row["entity_id"] for row in csv.DictReader(file)}

    def read_matches(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(self.directory / "matches").to_pylist()
        return rows

    def read_labels(self, number: int) -> list[dict[str, str]]:
        [path] = (self.directory / f"labels-{number}").iterdir()
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> QuickstartRun:
    """A quickstart as a user starts it, in a folder whose name has a space."""
    directory = tmp_path_factory.mktemp("quick start") / "here"
    done = subprocess.run(
        [sys.executable, "-c", "from glue_ml.cli import main; main()", "quickstart", "--rows", str(QUICKSTART_ROWS),
         "--directory", str(directory), "--seed", "7"],
        capture_output=True, text=True, check=False, timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return QuickstartRun(directory, done.stdout, done.stderr)
