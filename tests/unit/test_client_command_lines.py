"""The commands over the Glue API: what they teach and refuse, what they print, and the table command on a catalog."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner, Result

from glue_ml.cli import app
from glue_ml.client import Run, RunAddress
from glue_ml.console import show_metrics, show_table
from glue_ml.domain.job import JobResult
from glue_ml.run_outcome import show_outcome

COMMANDS = (
    ["transforms"], ["transforms", "create"], ["transforms", "delete"], ["runs"], ["run", "watch"], ["run", "cancel"],
    ["logs"], ["table", "add"],
)  # fmt: skip


def run(*arguments: str, endpoint: str = "http://127.0.0.1:9") -> Result:
    environment = {
        "COLUMNS": "200", "TERM": "dumb", "AWS_ENDPOINT_URL_GLUE": endpoint, "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
    }  # fmt: skip
    return CliRunner().invoke(app, arguments, prog_name="glue-ml", env=environment)


@pytest.fixture
def catalog(moto: str) -> Any:
    return boto3.client("glue", endpoint_url=moto, region_name="us-east-1", aws_access_key_id="any",
                        aws_secret_access_key="any")  # fmt: skip


# teaching and refusing


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_option_and_argument_has_help(command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    lines = [line.strip("│ *") for line in result.stdout.splitlines()]
    options = [line for line in lines if line.startswith("--") or re.match(r"[A-Z]+ +<|\[?[A-Z]+\]? {2,}", line)]
    assert len(options) >= 3
    assert all(len(line.split()) >= 3 for line in options)
    assert any(line.startswith("--endpoint-url") for line in lines)


def test_help_imports_no_boto3() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from glue_ml.cli import app; "
        "assert CliRunner().invoke(app, ['table', 'add', '--help']).exit_code == 0; "
        "slow = {'pyspark', 'pyarrow', 'numpy', 'boto3', 'botocore', 'starlette'} & set(sys.modules); "
        "assert not slow, slow"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["transforms", "create"], "NAME"),
        (["transforms", "create", "people"], "--table"),
        (["transforms", "create", "people", "--table", "crm.people"], "--key"),
        (["transforms", "delete"], "NAME"),
        (["runs", "--limit", "0"], "--limit"),
        (["run", "watch"], "ID"),
        (["run", "stop", "tsk-1"], "stop"),
        (["logs"], "ID"),
        (["logs", "tsk-1", "--attempt", "0"], "--attempt"),
        (["table", "add", "people"], "PATH"),
        (["table", "add", "people", "people.csv", "--format", "xlsx"], "xlsx"),
    ],
)
def test_wrong_usage_exits_with_2_and_names_what_is_wrong(arguments: list[str], named: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert named in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [["transforms"], ["runs"], ["run", "watch", "tsk-1"], ["run", "cancel", "jr_1"], ["logs", "tsk-1"]],
    ids=" ".join,
)
def test_a_server_that_is_not_there_is_one_sentence(arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == ("Error: There is no answer from http://127.0.0.1:9; start a server with: glue-ml serve.\n")


def test_the_endpoint_that_is_named_is_called() -> None:
    assert "http://127.0.0.1:7" in run("transforms", "--endpoint-url", "http://127.0.0.1:7").stderr


# tables


def test_a_table_is_added_and_shown(moto: str, catalog: Any, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("id;name\n1;Ann\n", encoding="utf-8")
    result = run("table", "add", "crm.people", str(tmp_path / "people.csv"), endpoint=moto)
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.search(r"^ +id +string *$", result.stdout, re.MULTILINE)
    assert result.stdout.splitlines()[-1] == (
        f"The table crm.people is in the catalog: 2 columns, file://{tmp_path}/people.csv (csv)."
    )
    stored = catalog.get_table(DatabaseName="crm", Name="people")["Table"]
    assert stored["StorageDescriptor"]["SerdeInfo"]["Parameters"]["field.delim"] == ";"


def test_a_table_without_a_database_goes_where_it_is_told(moto: str, catalog: Any, tmp_path: Path) -> None:
    (tmp_path / "t").write_text('{"id": 1}\n', encoding="utf-8")
    result = run("table", "add", "t", str(tmp_path / "t"), "--format", "json", "--database", "here", endpoint=moto)
    assert result.exit_code == 0
    assert catalog.get_table(DatabaseName="here", Name="t")["Table"]["Parameters"] == {"classification": "json"}


def test_a_table_that_is_there_is_left_alone_unless_it_is_to_be_replaced(
    moto: str, catalog: Any, tmp_path: Path
) -> None:
    path = tmp_path / "people.csv"
    path.write_text("id\n1\n", encoding="utf-8")
    assert run("table", "add", "left.people", str(path), endpoint=moto).exit_code == 0
    path.write_text("id,name\n1,Ann\n", encoding="utf-8")
    result = run("table", "add", "left.people", str(path), endpoint=moto)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: The table left.people is in the catalog already; --replace describes it anew.\n"
    assert run("table", "add", "left.people", str(path), "--replace", endpoint=moto).exit_code == 0
    stored = catalog.get_table(DatabaseName="left", Name="people")["Table"]
    assert len(stored["StorageDescriptor"]["Columns"]) == 2


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [("a.csv", None, "does not exist"), ("a.csv", "", "is empty"), ("a.csv", "id,id\n", "names columns alike"),
     ("a.csv", "id,\n", "no name for column 2"), ("a.xlsx", "x", "name it with --format")],
)  # fmt: skip
def test_bad_input_is_one_sentence_and_makes_nothing(
    moto: str, catalog: Any, tmp_path: Path, name: str, data: str | None, told: str
) -> None:
    if data is not None:
        (tmp_path / name).write_text(data, encoding="utf-8")
    result = run("table", "add", "bad.people", str(tmp_path / name), endpoint=moto)
    assert (result.exit_code, result.stdout) == (1, "")
    assert told in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert "bad" not in [database["Name"] for database in catalog.get_databases()["DatabaseList"]]


# what came of a run

METRICS = {
    "AreaUnderPRCurve": 0.9876, "Precision": 0.75, "Recall": 0.6, "F1": 0.7,
    "ConfusionMatrix": {"NumTruePositives": 30, "NumFalsePositives": 10, "NumTrueNegatives": 55,
                        "NumFalseNegatives": 20},
    "ColumnImportances": [{"ColumnName": "phone", "Importance": 0.4}, {"ColumnName": "city", "Importance": 0.2}],
}  # fmt: skip


class FakeGlue:
    """A transform that has been evaluated."""

    def get_ml_transform(self, TransformId: str) -> dict[str, Any]:
        return {"Name": "people", "LabelCount": 300, "Status": "READY",
                "EvaluationMetrics": {"FindMatchesMetrics": METRICS}}  # fmt: skip


def tell_outcome(capsys: pytest.CaptureFixture[str], folder: Path, kind: str, result: JobResult | None) -> str:
    if result is not None:
        (folder / "1").mkdir()
        (folder / "1" / "result.json").write_text(result.to_json(), encoding="utf-8")
    glue: Any = FakeGlue()
    address = RunAddress("tsk-1", transform_id="tfm-1")
    show_outcome(glue, Run(address, kind, "SUCCEEDED", None, 12, None, f"file://{folder}", "s3://b/out/"))
    return capsys.readouterr().out


COUNTS = {"rows": 9, "groups": 7, "merged_rows": 4, "merged_groups": 2, "largest_group": 2}


@pytest.mark.parametrize(
    ("kind", "result", "told"),
    [
        ("IMPORT_LABELS", JobResult(True, counts={"rows": 99, "sets": 10, "blank": 1, "total_rows": 300}),
         ["99 labelled rows in 10 sets were imported (1 more have a blank label).",
          "The transform people has 300 labels and is READY."]),
        ("IMPORT_LABELS", None, ["The transform people has 300 labels and is READY."]),
        ("EXPORT_LABELS", JobResult(True, counts={"rows": 5}, paths={"labels_file": "s3://b/out/x.csv"}),
         ["5 labelled rows are in s3://b/out/x.csv."]),
        ("EXPORT_LABELS", None, ["The labels are in s3://b/out/."]),
        ("LABELING_SET_GENERATION", JobResult(True, counts={"rows": 9, "sets": 2}, paths={"labeling_sets": "s3://x.csv"}),
         ["9 rows in 2 labelling sets are in s3://x.csv. Now fill the column `label`:"]),
        ("LABELING_SET_GENERATION", None, ["The labelling sets are in s3://b/out/. Now fill the column `label`:"]),
        ("FIND_MATCHES", JobResult(True, counts=COUNTS, paths={"matches": "s3://b/out/"}),
         ["9 rows are 7 different ones: 4 of them were merged into 2 groups, the largest of 2 rows.",
          "They are in s3://b/out/, each with its match_id."]),
        ("FIND_MATCHES", None, ["The matches are in s3://b/out/."]),
        ("JOB", None, []),
    ],
)  # fmt: skip
def test_what_came_of_a_run_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str, result: JobResult | None, told: list[str]
) -> None:
    first, *lines = tell_outcome(capsys, tmp_path, kind, result).splitlines()
    name = "job run" if kind == "JOB" else kind.lower().replace("_", " ")
    assert first == f"The {name} tsk-1 has succeeded after 12 s."
    assert lines[: len(told)] == told


def test_an_evaluation_is_told_with_its_tables(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shown = tell_outcome(capsys, tmp_path, "EVALUATION", None)
    rows = {line.split("  ")[1]: line.split() for line in shown.splitlines() if line.startswith("  ")}
    assert rows["precision"][-1] == "0.7500"
    assert rows["labelled as a match"][-2:] == ["30", "20"]
    assert rows["labelled as a non-match"][-2:] == ["10", "55"]
    assert (rows["phone"][-1].count("█"), rows["city"][-1].count("█")) == (30, 15)


def test_metrics_that_are_not_there_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    show_metrics({"F1": 0.5})
    shown = capsys.readouterr().out
    assert "0.5000" in shown
    assert "precision" not in shown.replace("precision-recall", "")
    assert "labelled as" not in shown


# the console


def test_a_whole_column_is_never_broken(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    name = "tsk-" + "0123456789" * 4
    show_table(("id", "error"), [(name, "a word " * 40)], whole=("id",))
    assert name in capsys.readouterr().out
