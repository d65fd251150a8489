"""`glue-ml match`, `label` and `evaluate` on real tables and real Spark, from a file to match ids."""

from __future__ import annotations

import csv
import itertools
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from typer.testing import CliRunner, Result

from glue_ml.cli import app
from glue_ml.synthetic import make_people

ROWS = 400
ODD_COLUMN = 'e-mail "private".x'


@dataclass(frozen=True)
class Customers:
    """A table as a CSV file, with a column name that is hard to quote; and who is who."""

    folder: Path
    path: Path
    truth: dict[str, int]
    rows: dict[str, dict[str, str]]

    def fill(self, path: Path, label: Callable[[dict[str, str]], str]) -> None:
        """Fill in the labels of a file as a person would with a spreadsheet."""
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(reader.fieldnames or ()))
            writer.writeheader()
            writer.writerows({**row, "label": label(row)} for row in rows)

    def measure_f1(self, match_ids: dict[str, Any]) -> float:
        pairs = list(itertools.combinations(sorted(self.truth), 2))
        true = {pair for pair in pairs if self.truth[pair[0]] == self.truth[pair[1]]}
        found = {pair for pair in pairs if match_ids[pair[0]] == match_ids[pair[1]]}
        return 2 * len(true & found) / (len(true) + len(found))


@pytest.fixture(scope="module")
def customers(tmp_path_factory: pytest.TempPathFactory) -> Customers:
    table = make_people(ROWS, seed=21, duplicate_share=0.4)
    truth = dict(zip(table.column("customer_id").to_pylist(), table.column("entity_id").to_pylist(), strict=True))
    names = [ODD_COLUMN if name == "email" else name for name in table.column_names]
    table = table.rename_columns(names).drop_columns(["entity_id"])
    folder = tmp_path_factory.mktemp("customers")
    pa.csv.write_csv(table, folder / "customers.csv")
    rows = {row["customer_id"]: {name: value or "" for name, value in row.items()} for row in table.to_pylist()}
    return Customers(folder, folder / "customers.csv", truth, rows)


@pytest.fixture(scope="module")
def labels(customers: Customers, spark: SparkSession) -> Path:
    """A file of 100 rows that `glue-ml label` chose, filled in from the truth."""
    path = customers.folder / "labels.csv"
    result = run("label", customers.path, "--key", "customer_id", "--output", path)
    assert result.exit_code == 0, result.stderr
    assert "labelling sets are in" in result.stdout
    assert f"--labels {path}" in result.stdout
    customers.fill(path, lambda row: str(customers.truth[row["customer_id"]]))
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


def read_csv_folder(folder: Path) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    for path in sorted(folder.glob("part-*")):
        with path.open(encoding="utf-8", newline="") as file:
            rows += csv.DictReader(file)
    return rows


def test_without_labels_from_a_shell(customers: Customers) -> None:
    output, events = customers.folder / "unsupervised", customers.folder / "event logs"
    events.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", "from glue_ml.cli import main; main()", "match", str(customers.path), "--key",
         "customer_id", "--output", str(output), "--master", "local[2]", "--event-log-dir", str(events)],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    matches = pq.read_table(output)
    assert matches.column_names == [*next(iter(customers.rows.values())), "match_id"]
    assert matches.schema.field("match_id").type == pa.int64()
    groups = Counter(matches.column("match_id").to_pylist())
    merged = [size for size in groups.values() if size > 1]
    assert done.stdout.splitlines()[:2] == [
        f"{ROWS} rows are {len(groups)} different ones: {sum(merged)} of them were merged into {len(merged)} groups, "
        f"the largest of {max(merged)} rows.",
        f"They are in {output} (parquet), each with its match_id.",
    ]
    assert done.stdout.splitlines()[2].startswith("No labels were used")
    ids = dict(zip(matches.column("customer_id").to_pylist(), matches.column("match_id").to_pylist(), strict=True))
    assert customers.measure_f1(ids) > 0.5
    assert re.fullmatch(r"(\[\d/5\] after \d+ s: [a-zA-Z ]+(, [a-z0-9. ]+ left)?\n){5}", done.stderr)
    assert re.search(r"find matches, [a-z0-9. ]+ left\n", done.stderr)
    assert list(events.iterdir())


def test_with_labels_as_csv_and_the_model_again(customers: Customers, labels: Path) -> None:
    output, model = customers.folder / "supervised", customers.folder / "model"
    result = run("match", customers.path, "--key", "customer_id", "--labels", labels, "--output", output,
                 "--format", "csv", "--scores", "--save-model", model)  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "labelled rows were read." in result.stdout
    assert f"The model is in {model}." in result.stdout
    assert "No labels" not in result.stdout
    rows = {row["customer_id"]: row for row in read_csv_folder(output)}
    for key, row in customers.rows.items():
        assert {name: rows[key][name] for name in row} == row
    assert customers.measure_f1({key: row["match_id"] for key, row in rows.items()}) > 0.9
    assert all(0.0 <= float(row["match_confidence_score"]) <= 1.0 for row in rows.values())

    again = run("match", customers.path, "--model", model, "--output", customers.folder / "again", "--format", "json")
    assert again.exit_code == 0, again.stderr
    found = [
        json.loads(line)
        for path in (customers.folder / "again").glob("part-*")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    assert {row["customer_id"]: str(row["match_id"]) for row in found} == {k: r["match_id"] for k, r in rows.items()}


def test_links_are_explained_in_a_folder_of_their_own(customers: Customers, labels: Path) -> None:
    output, why = customers.folder / "explained", customers.folder / "why"
    result = run("match", customers.path, "--key", "customer_id", "--labels", labels, "--output", output,
                 "--explain", why)  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert f"The links that hold the groups together are in {why}." in result.stdout
    matches = pq.read_table(output)
    ids = dict(zip(matches.column("customer_id").to_pylist(), matches.column("match_id").to_pylist(), strict=True))
    links = pq.read_table(why).to_pylist()
    assert links
    assert all(ids[link["key_a"]] == ids[link["key_b"]] == link["match_id"] for link in links)


def test_explanations_and_matches_need_two_places(customers: Customers) -> None:
    output = customers.folder / "one-place"
    result = run("match", customers.path, "--key", "customer_id", "--output", output, "--explain", output / "why")
    assert result.exit_code == 1
    assert "are in one place; name another folder" in result.stderr
    assert not output.exists()


def test_an_evaluation_writes_a_report_once(customers: Customers, labels: Path) -> None:
    report = customers.folder / "report.html"
    asked = ("evaluate", customers.path, "--key", "customer_id", "--labels", labels, "--report", report)
    result = run(*asked)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-1] == f"The report is in {report}."
    written = report.read_bytes()
    assert b"Rows that cannot be linked" in written
    again = run(*asked)
    assert again.exit_code == 1
    assert "exists already" in again.stderr
    assert report.read_bytes() == written


def test_precision_and_recall_move_the_result(customers: Customers, labels: Path) -> None:
    groups = {}
    for share in ("0", "1"):
        output = customers.folder / f"tradeoff-{share}"
        result = run("match", customers.path, "--key", "customer_id", "--labels", labels, "--output", output,
                     "--precision-recall", share)  # fmt: skip
        assert result.exit_code == 0, result.stderr
        groups[share] = len(set(pq.read_table(output).column("match_id").to_pylist()))
    assert groups["0"] < groups["1"]


def test_enforced_labels_hold_in_the_result(customers: Customers, labels: Path) -> None:
    wrong = customers.folder / "wrong.csv"
    wrong.write_text(labels.read_text(encoding="utf-8"), encoding="utf-8")
    flipped: dict[str, str] = {}

    def label(row: dict[str, str]) -> str:
        # in the first set everybody is called the same
        flipped.setdefault("set", row["labeling_set_id"])
        return "same" if row["labeling_set_id"] == flipped["set"] else row["label"]

    customers.fill(wrong, label)
    output = customers.folder / "enforced"
    result = run("match", customers.path, "--key", "customer_id", "--labels", wrong, "--output", output,
                 "--enforce-labels")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    with wrong.open(encoding="utf-8", newline="") as file:
        same = [row["customer_id"] for row in csv.DictReader(file) if row["labeling_set_id"] == flipped["set"]]
    matches = {row["customer_id"]: row["match_id"] for row in pq.read_table(output).to_pylist()}
    assert len({matches[key] for key in same}) == 1


def test_delta_in_and_out(customers: Customers, spark: SparkSession) -> None:
    source, output = customers.folder / "source", customers.folder / "delta"
    rows = [
        (key, row["first_name"], row["last_name"], row["street"], row["phone"]) for key, row in customers.rows.items()
    ]
    names = ["customer_id", "first_name", "last_name", "street", "phone"]
    spark.createDataFrame(rows, names).write.format("delta").save(str(source))
    result = run("match", source, "--key", "customer_id", "--output", output, "--format", "delta")
    assert result.exit_code == 0, result.stderr
    matches = spark.read.format("delta").load(str(output))
    assert matches.columns == [*names, "match_id"]
    assert matches.count() == ROWS
    assert (output / "_delta_log").is_dir()


def test_more_rows_to_label_are_other_rows(customers: Customers, labels: Path) -> None:
    more = customers.folder / "more.csv"
    result = run("label", customers.path, "--key", "customer_id", "--labels", labels, "--output", more, "--rows", 40)
    assert result.exit_code == 0, result.stderr
    with labels.open(encoding="utf-8", newline="") as one, more.open(encoding="utf-8", newline="") as other:
        known, fresh = list(csv.DictReader(one)), list(csv.DictReader(other))
    assert {row["customer_id"] for row in known}.isdisjoint(row["customer_id"] for row in fresh)
    assert 20 <= len(fresh) <= 40
    assert list(fresh[0])[:2] == ["labeling_set_id", "label"]
    assert all(row["label"] == "" for row in fresh)
    for row in fresh:
        assert {name: row[name] for name in customers.rows[row["customer_id"]]} == customers.rows[row["customer_id"]]


def test_labels_of_one_class_still_lead_to_more_rows(customers: Customers, labels: Path) -> None:
    lonely, more = customers.folder / "lonely.csv", customers.folder / "more-after-lonely.csv"
    lonely.write_text(labels.read_text(encoding="utf-8"), encoding="utf-8")
    customers.fill(lonely, lambda row: row["customer_id"])
    result = run("label", customers.path, "--key", "customer_id", "--labels", lonely, "--output", more, "--rows", 40)
    assert result.exit_code == 0, result.stderr
    with lonely.open(encoding="utf-8", newline="") as one, more.open(encoding="utf-8", newline="") as other:
        known, fresh = ({row["customer_id"] for row in csv.DictReader(file)} for file in (one, other))
    assert fresh
    assert known.isdisjoint(fresh)

    output = customers.folder / "no"
    refused = run("match", customers.path, "--key", "customer_id", "--labels", lonely, "--output", output)
    assert refused.exit_code == 1
    assert "The labels hold non-matches only" in refused.stderr
    assert not output.exists()


def test_evaluate_shows_metrics_and_columns(customers: Customers, labels: Path) -> None:
    result = run("evaluate", customers.path, "--key", "customer_id", "--labels", labels)
    assert result.exit_code == 0, result.stderr
    counts = [int(n) for n in re.findall(r"labelled as a (?:match|non-match) +(\d+) +(\d+)", result.stdout) for n in n]
    with labels.open(encoding="utf-8", newline="") as file:
        sizes = Counter(row["labeling_set_id"] for row in csv.DictReader(file))
    assert sum(counts) == sum(size * (size - 1) // 2 for size in sizes.values())
    # the labelled pairs are counted, the table's quality is estimated
    for name in ("precision", "recall", "F1"):
        told = re.search(rf"{name}\D* +(\d\.\d+)\D+(\d\.\d+)\D+(\d\.\d+)", result.stdout)
        assert told is not None, name
        point, low, high = map(float, told.groups())
        assert 0.0 <= low <= point <= high <= 1.0
    assert "█" in result.stdout
    for name in customers.rows[next(iter(customers.rows))]:
        assert name == "customer_id" or name in result.stdout


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("labeling_set_id,label,customer_id\n1,A,nobody\n", "line 2: The key 'nobody' does not occur in the table"),
        ("labeling_set_id,label,id\n1,A,x\n", "line 1: The header lacks the primary key 'customer_id'"),
        ("", "Invalid label file of size 0"),
    ],
)
def test_a_broken_label_file_is_named_with_its_line(
    customers: Customers, spark: SparkSession, content: str, told: str
) -> None:
    broken, output = customers.folder / "broken.csv", customers.folder / "never"
    broken.write_text(content, encoding="utf-8")
    result = run("match", customers.path, "--key", "customer_id", "--labels", broken, "--output", output)
    assert result.exit_code == 1
    assert f"Error: {broken}: {told}" in result.stderr
    assert "Traceback" not in result.stderr
    assert not output.exists()


@pytest.mark.parametrize(
    ("table", "options", "told"),
    [
        ("missing.csv", [], "missing.csv"),
        ("customers.csv", ["--key", "nokey"], "the table has no column 'nokey'"),
        ("customers.csv", ["--labels", "missing-labels.csv"], "missing-labels.csv does not exist"),
        ("customers.csv", ["--model", "missing-model"], "there is no model at missing-model"),
        ("customers.csv", ["--input-format", "xlsx"], "xlsx"),
        ("twice.csv", ["--key", "id"], "primary key column 'id' is not unique: '1'"),
        ("empty.csv", ["--key", "id"], "empty.csv"),
        ("text.txt", ["--key", "id"], "text.txt"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(
    customers: Customers, spark: SparkSession, table: str, options: list[str], told: str
) -> None:
    (customers.folder / "twice.csv").write_text("id,name\n1,Ann\n1,Bob\n", encoding="utf-8")
    (customers.folder / "empty.csv").write_text("", encoding="utf-8")
    (customers.folder / "text.txt").write_text("hello", encoding="utf-8")
    output = customers.folder / "never"
    key = [] if {"--key", "--model"} & set(options) else ["--key", "customer_id"]
    result = run("match", customers.folder / table, *key, *options, "--output", output)
    assert result.exit_code == 1
    errors = [line for line in result.stderr.splitlines() if not line.startswith("[")]
    assert len(errors) == 1
    assert errors[0].startswith("Error: ")
    assert told in errors[0]
    assert not output.exists()
