"""`glue-ml quickstart` as a user starts it, its numbers computed again from the files that it wrote."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from glue_ml.client import add_table, create_transform, list_transforms
from glue_ml.quickstart import NAME, ROUNDS, STEPS, label_file, open_api, prepare_directory, remove_former
from tests.end_to_end.conftest import QUICKSTART_ROWS, QuickstartRun

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient


def find_pairs(groups: dict[str, Any]) -> set[tuple[str, str]]:
    keys = sorted(groups)
    return {(one, other) for one, other in itertools.combinations(keys, 2) if groups[one] == groups[other]}


def test_the_numbers_are_those_of_the_files(quickstart: QuickstartRun) -> None:
    true = find_pairs(quickstart.read_truth())
    found = find_pairs({row["customer_id"]: row["match_id"] for row in quickstart.read_matches()})
    precision, recall = len(true & found) / len(found), len(true & found) / len(true)
    expected = {"precision": precision, "recall": recall, "f1": 2 * precision * recall / (precision + recall)}
    assert quickstart.read_report()["quality"] == pytest.approx(expected)
    shown = re.search(r"by the truth, over all pairs of rows +(\S+) +(\S+) +(\S+)", quickstart.stdout)
    assert shown is not None
    assert shown.groups() == tuple(f"{value:.4f}" for value in expected.values())


def test_the_matches_are_good(quickstart: QuickstartRun) -> None:
    assert quickstart.read_report()["quality"]["f1"] > 0.93


def test_the_estimate_is_shown_as_it_was_written(quickstart: QuickstartRun) -> None:
    estimate = quickstart.read_report()["estimate"]
    shown = re.search(r"as estimated from the labels +(\S+) +(\S+) +(\S+)", quickstart.stdout)
    assert shown is not None
    assert shown.groups() == tuple(f"{estimate[name]:.4f}" for name in ("precision", "recall", "f1"))


def test_the_counts_are_those_of_the_matches(quickstart: QuickstartRun) -> None:
    ids = [row["match_id"] for row in quickstart.read_matches()]
    sizes = [ids.count(number) for number in set(ids)]
    merged = [size for size in sizes if size > 1]
    assert quickstart.read_report()["counts"] == {
        "rows": QUICKSTART_ROWS, "groups": len(sizes), "merged_rows": sum(merged), "merged_groups": len(merged),
        "largest_group": max(sizes),
    }  # fmt: skip


def test_every_customer_is_matched_once_and_unchanged(quickstart: QuickstartRun) -> None:
    customers = pq.read_table(quickstart.directory / "customers.parquet").sort_by("customer_id")
    matches = pq.read_table(quickstart.directory / "matches").sort_by("customer_id")
    assert customers.num_rows == QUICKSTART_ROWS
    assert matches.select(customers.column_names).to_pylist() == customers.to_pylist()
    assert matches.column_names[-2:] == ["match_id", "match_confidence_score"]
    assert all(0.0 <= score <= 1.0 for score in matches.column("match_confidence_score").to_pylist())


def test_the_engine_never_sees_the_truth(quickstart: QuickstartRun) -> None:
    assert "entity_id" not in pq.read_schema(quickstart.directory / "customers.parquet").names
    assert "entity_id" not in quickstart.read_labels(1)[0]


def test_labels_say_what_the_truth_says(quickstart: QuickstartRun) -> None:
    truth = quickstart.read_truth()
    for number in range(1, ROUNDS + 1):
        rows = quickstart.read_labels(number)
        assert 50 <= len(rows) <= 100
        for one, other in itertools.combinations(rows, 2):
            if one["labeling_set_id"] == other["labeling_set_id"]:
                is_match = truth[one["customer_id"]] == truth[other["customer_id"]]
                assert (one["label"] == other["label"]) == is_match


def test_no_row_is_asked_about_twice(quickstart: QuickstartRun) -> None:
    keys = [row["customer_id"] for number in range(1, ROUNDS + 1) for row in quickstart.read_labels(number)]
    assert len(keys) == len(set(keys)) == quickstart.read_report()["labeled_rows"]


def test_it_ends_with_groups_and_paths_and_how_to_go_on(quickstart: QuickstartRun) -> None:
    assert len(re.findall(r"^match_id \d+, confidence [01]\.\d{3}", quickstart.stdout, re.MULTILINE)) == 3
    report = quickstart.read_report()
    assert len(report["paths"]) == ROUNDS + 6
    for path in report["paths"].values():
        assert Path(path).exists()
        assert path in quickstart.stdout
    written = {path.name for path in quickstart.directory.iterdir()}
    assert written == {Path(path).name for path in report["paths"].values()}
    assert re.search(r"Glue API at http://127\.0\.0\.1:\d+, whose server has ended", quickstart.stdout)
    assert f"glue-ml serve --home '{quickstart.directory / 'home'}'" in quickstart.stdout
    assert "glue-ml transforms" in quickstart.stdout.splitlines()[-1]


def test_progress_names_every_step_and_nothing_else_is_said(quickstart: QuickstartRun) -> None:
    lines = quickstart.stderr.strip().splitlines()
    assert [line.split("]")[0] for line in lines] == [f"[{i}/{len(STEPS)}" for i in range(1, len(STEPS) + 1)]
    assert [line.partition(": ")[2] for line in lines] == list(STEPS)


def test_spark_is_not_started_in_its_process() -> None:
    code = (
        "import sys; from glue_ml.cli import main; from glue_ml import quickstart, quickstart_report, app; "
        "slow = {'pyspark', 'py4j', 'scipy', 'sklearn'} & set(sys.modules); assert not slow, slow"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# what needs no Spark


@pytest.fixture
def api(tmp_path: Path) -> Iterator[GlueClient]:
    prepare_directory(tmp_path)
    with open_api(tmp_path) as glue:
        yield glue


def test_what_a_former_quickstart_left_is_removed(api: GlueClient, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("customer_id,name\n1,Ann\n", encoding="utf-8")
    add_table(api, "crm.people", str(tmp_path / "people.csv"))
    remove_former(api)
    other = create_transform(api, f"{NAME}-of-mine", table="crm.people", key="customer_id")
    create_transform(api, NAME, table="crm.people", key="customer_id")
    api.create_job(Name=NAME, Role="any", Command={"Name": "glueetl", "ScriptLocation": "builtin://find_matches"})
    remove_former(api)
    assert [transform["TransformId"] for transform in list_transforms(api)] == [other]
    assert api.get_jobs()["Jobs"] == []


def test_a_file_of_labelling_sets_is_filled_set_by_set(tmp_path: Path) -> None:
    path = tmp_path / "sets.csv"
    rows = ["s1,,a,x", "s1,,b,x", 's1,,c,"x, y"', "s2,,c,x", "s2,,a,x"]
    path.write_text("\n".join(["labeling_set_id,label,customer_id,name", *rows]), encoding="utf-8")
    assert label_file(path, {"a": 1, "b": 2, "c": 1}) == 5
    filled = ["s1,A,a,x", "s1,B,b,x", 's1,A,c,"x, y"', "s2,A,c,x", "s2,A,a,x"]
    assert path.read_text(encoding="utf-8").splitlines()[1:] == filled
