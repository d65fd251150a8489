"""`glue-ml quickstart` as a user starts it, its numbers computed again from the files that it wrote."""

from __future__ import annotations

import csv
import itertools
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

ROWS = 600
ROUNDS = 3


@dataclass(frozen=True)
class Run:
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
        with (self.directory / f"labels-{number}.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


def start(directory: Path) -> Run:
    code = "from glue_ml.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "quickstart", "--rows", str(ROWS), "--directory", str(directory), "--seed", "7",
         "--master", "local[2]"],
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Run(directory, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return start(tmp_path_factory.mktemp("quick") / "start")


def find_pairs(groups: dict[str, Any]) -> set[tuple[str, str]]:
    keys = sorted(groups)
    return {(one, other) for one, other in itertools.combinations(keys, 2) if groups[one] == groups[other]}


def test_the_numbers_are_those_of_the_files(run: Run) -> None:
    true = find_pairs(run.read_truth())
    found = find_pairs({row["customer_id"]: row["match_id"] for row in run.read_matches()})
    precision, recall = len(true & found) / len(found), len(true & found) / len(true)
    expected = {"precision": precision, "recall": recall, "f1": 2 * precision * recall / (precision + recall)}
    assert run.read_report()["quality"] == pytest.approx(expected)
    shown = re.search(r"by the truth, over all pairs of rows +(\S+) +(\S+) +(\S+)", run.stdout)
    assert shown is not None
    assert shown.groups() == tuple(f"{value:.4f}" for value in expected.values())


def test_the_matches_are_good(run: Run) -> None:
    assert run.read_report()["quality"]["f1"] > 0.93


def test_the_estimate_is_shown_as_it_was_written(run: Run) -> None:
    evaluation = run.read_report()["evaluation"]
    shown = re.search(r"by the labels, over the hard pairs labelled +(\S+) +(\S+) +(\S+)", run.stdout)
    assert shown is not None
    assert shown.groups() == tuple(f"{evaluation[name]:.4f}" for name in ("precision", "recall", "f1"))


def test_every_customer_is_matched_once_and_unchanged(run: Run) -> None:
    customers = pq.read_table(run.directory / "customers.parquet").sort_by("customer_id")
    matches = pq.read_table(run.directory / "matches").sort_by("customer_id")
    assert customers.num_rows == ROWS
    assert matches.select(customers.column_names).to_pylist() == customers.to_pylist()
    assert matches.column_names[-2:] == ["match_id", "match_confidence_score"]
    assert all(0.0 <= score <= 1.0 for score in matches.column("match_confidence_score").to_pylist())


def test_the_engine_never_sees_the_truth(run: Run) -> None:
    assert "entity_id" not in pq.read_schema(run.directory / "customers.parquet").names
    assert "entity_id" not in run.read_labels(1)[0]


def test_labels_say_what_the_truth_says(run: Run) -> None:
    truth = run.read_truth()
    for number in range(1, ROUNDS + 1):
        rows = run.read_labels(number)
        assert 50 <= len(rows) <= 100
        for one, other in itertools.combinations(rows, 2):
            if one["labeling_set_id"] == other["labeling_set_id"]:
                is_match = truth[one["customer_id"]] == truth[other["customer_id"]]
                assert (one["label"] == other["label"]) == is_match


def test_no_row_is_asked_about_twice(run: Run) -> None:
    keys = [row["customer_id"] for number in range(1, ROUNDS + 1) for row in run.read_labels(number)]
    assert len(keys) == len(set(keys)) == run.read_report()["labeled_rows"]


def test_it_ends_with_groups_and_the_paths_of_everything(run: Run) -> None:
    assert len(re.findall(r"^match_id \d+, confidence [01]\.\d{3}", run.stdout, re.MULTILINE)) == 3
    report = run.read_report()
    assert len(report["paths"]) == ROUNDS + 5
    for path in report["paths"].values():
        assert Path(path).exists()
        assert path in run.stdout
    written = {path.name for path in run.directory.iterdir()}
    assert written == {Path(path).name for path in report["paths"].values()}


def test_progress_names_every_stage_and_spark_is_quiet(run: Run) -> None:
    lines = run.stderr.strip().splitlines()
    assert [line.split("]")[0] for line in lines] == [f"[{i}/{len(lines)}" for i in range(1, len(lines) + 1)]
    assert lines[0].endswith("start Spark")
    assert lines[-1].endswith("compare with the truth")


def test_again_in_the_same_directory_gives_the_same(run: Run) -> None:
    before = (run.read_report(), sorted(run.read_matches(), key=lambda row: str(row["customer_id"])))
    labels = [run.read_labels(number) for number in range(1, ROUNDS + 1)]
    again = start(run.directory)
    assert again.stdout == run.stdout
    assert (again.read_report(), sorted(again.read_matches(), key=lambda row: str(row["customer_id"]))) == before
    assert [again.read_labels(number) for number in range(1, ROUNDS + 1)] == labels
