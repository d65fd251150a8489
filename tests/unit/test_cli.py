"""The command line without Spark: what it teaches, what it refuses, and what it prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from glue_ml import __version__
from glue_ml.cli import app
from glue_ml.console import report_errors, say, show_evaluation, show_matches, show_metrics, show_table
from glue_ml.errors import InputError, LabelError
from glue_ml.matching.evaluation import Evaluation


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, prog_name="glue-ml", env={"COLUMNS": "200", "TERM": "dumb"})


def test_help_shows_every_command_and_examples() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for line in (
        "glue-ml quickstart",
        "glue-ml match customers.csv --key id --output matches",
        "glue-ml label customers.csv --key id --output labels.csv",
        "glue-ml evaluate customers.csv --key id --labels labels.csv",
    ):
        assert line in result.stdout


@pytest.mark.parametrize("command", ["quickstart", "match", "label", "evaluate", "size"])
def test_every_option_of_a_command_has_help(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    options = [line.strip("│ *") for line in result.stdout.splitlines() if line.strip("│ *").startswith("--")]
    assert len(options) >= 5
    assert all(len(line.split()) >= 3 for line in options)


def test_version() -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"glue-ml {__version__}\n")


def test_help_imports_neither_spark_nor_the_engine() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from glue_ml.cli import app; "
        "assert CliRunner().invoke(app, ['match', '--help']).exit_code == 0; "
        "slow = {'pyspark', 'pyarrow', 'numpy', 'scipy', 'sklearn', 'boto3'} & set(sys.modules); assert not slow, slow"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["match"], "TABLE"),
        (["match", "t.csv"], "--output"),
        (["match", "t.csv", "--output", "out"], "--key"),
        (["match", "t.csv", "--key", "id", "--output", "out", "--format", "xlsx"], "xlsx"),
        (["match", "t.csv", "--key", "id", "--output", "out", "--precision-recall", "1.5"], "--precision-recall"),
        (["match", "t.csv", "--key", "id", "--output", "out", "--accuracy-cost", "-0.1"], "--accuracy-cost"),
        (["match", "t.csv", "--key", "id", "--output", "out", "--accuracy-cost", "high"], "--accuracy-cost"),
        (["match", "t.csv", "--model", "m", "--labels", "l.csv", "--output", "out"], "--model"),
        (["match", "t.csv", "--model", "m", "--precision-recall", "0.0", "--output", "out"], "--model"),
        (["label", "t.csv", "--key", "id", "--output", "l.csv", "--rows", "1"], "--rows"),
        (["evaluate", "t.csv", "--key", "id"], "--labels"),
        (["quickstart", "--rows", "99"], "--rows"),
        (["mach", "t.csv"], "mach"),
    ],
)
def test_wrong_usage_exits_with_2_and_names_what_is_wrong(arguments: list[str], named: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert named in result.stderr
    assert result.stdout == ""


def test_an_output_that_exists_is_refused_before_spark_starts(tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "part-0").write_text("precious", encoding="utf-8")
    result = run("match", "t.csv", "--key", "id", "--output", str(output))
    assert result.exit_code == 1
    assert (
        result.stderr
        == f"Error: {output} exists already and is left as it is; name another place, or remove it first.\n"
    )
    assert (output / "part-0").read_text(encoding="utf-8") == "precious"


def test_a_file_of_labels_is_never_written_over(tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("an hour of work", encoding="utf-8")
    result = run("label", "t.csv", "--key", "id", "--output", str(labels))
    assert result.exit_code == 1
    assert "exists already" in result.stderr
    assert labels.read_text(encoding="utf-8") == "an hour of work"


def test_quickstart_leaves_a_directory_of_somebody_else_alone(tmp_path: Path) -> None:
    (tmp_path / "matches").mkdir()
    (tmp_path / "matches" / "mine").write_text("precious", encoding="utf-8")
    result = run("quickstart", "--directory", str(tmp_path))
    assert result.exit_code == 1
    assert "holds files that are not from a quickstart" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["matches"]
    assert (tmp_path / "matches" / "mine").exists()


def test_quickstart_refuses_a_file_as_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    result = run("quickstart", "--directory", str(tmp_path / "file"))
    assert result.exit_code == 1
    assert "is not a directory" in result.stderr


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (InputError("the table is empty"), "Error: the table is empty."),
        (
            LabelError("The row has too few cells. Add some", line=7),
            "Error: line 7: The row has too few cells. Add some.",
        ),
        (FileNotFoundError(2, "No such file or directory", "a/b"), "Error: a/b: No such file or directory."),
        (OSError("disk full"), "Error: disk full."),
        (InputError("a value [red]x[/red] :smile:"), "Error: a value [red]x[/red] :smile:."),
    ],
)
def test_an_error_is_one_sentence_on_standard_error(
    error: Exception, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left, report_errors(verbose=False):
        raise error
    captured = capsys.readouterr()
    assert left.value.code == 1
    assert (captured.out, captured.err) == ("", f"{sentence}\n")


def test_verbose_adds_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), report_errors(verbose=True):
        raise InputError("no such thing")
    captured = capsys.readouterr().err
    assert "Traceback" in captured
    assert captured.endswith("Error: no such thing.\n")


def test_a_defect_is_not_taken_for_an_expected_error() -> None:
    with pytest.raises(ZeroDivisionError), report_errors(verbose=False):
        raise ZeroDivisionError


@pytest.mark.parametrize(("option", "shown"), [([], False), (["--verbose"], True)])
def test_a_defect_is_told_in_one_sentence(option: list[str], shown: bool) -> None:
    code = (
        "import sys; from glue_ml import cli; "
        "cli.app.command('explode')(lambda verbose=False: 1 // 0 if True else verbose); "
        "sys.argv = ['glue-ml', 'explode', *sys.argv[1:]]; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code, *option], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert ("Traceback" in done.stderr) == shown
    assert "ZeroDivisionError" in done.stderr
    assert shown or len(done.stderr.strip().splitlines()) == 1


def test_long_sentences_and_paths_are_not_broken(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/".join(["folder"] * 60)
    say(f"It is in {path}.")
    assert capsys.readouterr().out == f"It is in {path}.\n"


def test_a_table_shows_data_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("name", "count"), [("[bold]Ann[/bold]", "12"), (None, "3")])
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[0] == ["name", "count"]
    assert lines[2:] == [["[bold]Ann[/bold]", "12"], ["3"]]


COUNTS = {"rows": 12345, "groups": 12000, "merged_rows": 600, "merged_groups": 255, "largest_group": 7}


def test_matches_are_told_with_their_counts(capsys: pytest.CaptureFixture[str]) -> None:
    show_matches(COUNTS, "out", "csv")
    assert capsys.readouterr().out.splitlines() == [
        "12,345 rows are 12,000 different ones: 600 of them were merged into 255 groups, the largest of 7 rows.",
        "They are in out (csv), each with its match_id.",
    ]


def test_no_match_is_told_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    show_matches({**COUNTS, "merged_rows": 0, "merged_groups": 0, "groups": 12345, "largest_group": 1}, "out", "csv")
    assert capsys.readouterr().out.startswith("12,345 rows are 12,345 different ones: no two of them match.\n")


def test_an_evaluation_is_shown_with_bars_in_proportion(capsys: pytest.CaptureFixture[str]) -> None:
    show_evaluation(
        Evaluation(
            area_under_pr_curve=0.9876, precision=0.75, recall=0.6, f1=0.7, true_positives=30, false_positives=10,
            true_negatives=55, false_negatives=20, column_importances=(("phone", 0.4), ("city", 0.2), ("x", 0.0)),
            candidate_recall=0.99, threshold=0.5, labeled_pairs=115,
        )
    )  # fmt: skip
    shown = capsys.readouterr().out
    rows = {line.split("  ")[1]: line.split() for line in shown.splitlines() if line.startswith("  ")}
    assert rows["precision"][-1] == "0.7500"
    assert rows["area under the precision-recall curve"][-1] == "0.9876"
    assert rows["labelled as a match"][-2:] == ["30", "20"]
    assert rows["labelled as a non-match"][-2:] == ["10", "55"]
    assert (rows["phone"][-1].count("█"), rows["city"][-1].count("█")) == (30, 15)
    assert "█" not in "".join(rows["x"])


def test_intervals_are_shown_where_there_are_such(capsys: pytest.CaptureFixture[str]) -> None:
    evaluation = Evaluation(
        area_under_pr_curve=0.9, precision=0.75, recall=0.6, f1=0.7, true_positives=3, false_positives=1,
        true_negatives=5, false_negatives=2, column_importances=(("x", 1.0),), candidate_recall=0.99, threshold=0.5,
        labeled_pairs=11, precision_interval=(0.7, 0.81), recall_interval=(0.5, 0.65), f1_interval=(0.58, 0.72),
    )  # fmt: skip
    show_evaluation(evaluation)
    alone = capsys.readouterr().out
    api = {"Precision": 0.75, "Recall": 0.6, "F1": 0.7, "AreaUnderPRCurve": 0.9}
    show_metrics(api, evaluation.to_dict())
    served = capsys.readouterr().out
    for shown in (alone, served):
        assert "90 % interval" in shown
        words = " ".join(shown.split())
        assert "precision 0.7500 0.7000 to 0.8100" in words
        assert "0.7000 0.5800 to 0.7200" in words
    show_metrics(api)
    assert "interval" not in capsys.readouterr().out


def test_slips_are_shown_by_either_way(capsys: pytest.CaptureFixture[str]) -> None:
    evaluation = Evaluation(
        area_under_pr_curve=0.9, precision=0.75, recall=0.6, f1=0.7, true_positives=3, false_positives=1,
        true_negatives=5, false_negatives=2, column_importances=(), candidate_recall=0.99, threshold=0.5,
        labeled_pairs=11, slips=2,
    )  # fmt: skip
    show_evaluation(evaluation)
    alone = capsys.readouterr().out
    show_metrics({"Precision": 0.75}, evaluation.to_dict())
    for shown in (alone, capsys.readouterr().out):
        assert "Of 11 labelled pairs 2 look like slips" in " ".join(shown.split())


def test_size_recommends_workers_with_its_reasons() -> None:
    result = run("size", "--rows", "200000", "--columns", "name:3", "text:1", "long_text:1", "code:2")
    assert result.exit_code == 0
    words = " ".join(result.stdout.split())
    assert "WorkerType" in words
    assert "NumberOfWorkers" in words
    assert "xecutor maps a file of the records and the index" in words
    assert result.stdout == run("size", "--rows", "200000", "--columns", "name:3 text,long_text code:2").stdout


@pytest.mark.parametrize(
    ("columns", "said"), [("words:2", "'words' is no kind of column"), ("name:3", "no worker type holds")]
)
def test_size_says_what_it_cannot_tell(columns: str, said: str) -> None:
    result = run("size", "--rows", "1000000000", "--columns", columns)
    assert result.exit_code == 1
    assert said in result.stderr
