"""The commands against this project's server: over runs that have ended in a quickstart, and over one that goes on."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from glue_ml import client
from glue_ml.app import open_server
from glue_ml.cli import app
from glue_ml.connection import connect
from glue_ml.domain.job import JobProgress
from glue_ml.settings import Settings
from tests.end_to_end.conftest import QuickstartRun

RunCommand = Callable[..., Result]


def make_environment(endpoint: str) -> dict[str, str]:
    return {
        "TERM": "dumb",
        "AWS_ENDPOINT_URL_GLUE": endpoint,
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
    }


def make_command(endpoint: str) -> RunCommand:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, arguments, prog_name="glue-ml", env=make_environment(endpoint))

    return run


def read_rows(shown: str) -> list[list[str]]:
    """The cells of a table that was printed, below its head."""
    lines = [re.split(r" {2,}", line.strip()) for line in shown.splitlines() if line.startswith("  ") and line.strip()]
    return lines[1:]


# runs that have ended


@dataclass(frozen=True)
class Finished:
    """The server of a quickstart that has ended, opened again without a scheduler."""

    endpoint: str
    runs: Mapping[str, str]  #: By task type, the newest run of each.
    job_run: str


@pytest.fixture(scope="module")
def finished(quickstart: QuickstartRun) -> Iterator[Finished]:
    settings = Settings(home=str(quickstart.directory / "home"), port=0)
    with open_server(settings, with_scheduler=False) as endpoint, connect(endpoint) as glue:
        found = client.list_runs(glue, client.list_transforms(glue), limit=100)
        runs = {run.kind: run.address.run_id for _, run in reversed(found)}
        job_run = glue.get_job_runs(JobName="quickstart")["JobRuns"][0]["Id"]
        yield Finished(endpoint, runs, job_run)


@pytest.fixture
def run(finished: Finished) -> RunCommand:
    return make_command(finished.endpoint)


def test_the_transform_of_the_quickstart_is_shown(
    run: RunCommand, quickstart: QuickstartRun, finished: Finished
) -> None:
    result = run("transforms")
    report = quickstart.read_report()
    [row] = read_rows(result.stdout)
    assert row[0] == "quickstart"
    labels, f1 = str(report["labeled_rows"]), f"{report['estimate']['f1']:.4f}"
    assert row[2:6] == ["READY", labels, f1, "quickstart.customers"]
    assert result.stdout.splitlines()[-1] == f"1 transform at {finished.endpoint}, 1 of them READY."


def test_its_runs_are_shown_the_newest_first(run: RunCommand, finished: Finished) -> None:
    result = run("runs")
    rows = read_rows(result.stdout)
    rounds = ["IMPORT_LABELS", "LABELING_SET_GENERATION"] * 3
    assert [row[1] for row in rows] == ["FIND_MATCHES", "EVALUATION", *rounds]
    assert {row[2] for row in rows} == {"SUCCEEDED"}
    assert rows[1][0] == finished.runs["EVALUATION"]
    assert [row[0] for row in read_rows(run("runs", "quickstart", "--limit", "2").stdout)] == [rows[0][0], rows[1][0]]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("EVALUATION", "precision"),
        ("IMPORT_LABELS", r"^\d+ labelled rows in \d+ sets were imported\.$"),
        ("LABELING_SET_GENERATION", r"^\d+ rows in \d+ labelling sets are in file:///.*\.csv\."),
        ("FIND_MATCHES", r"^They are in file:///.*/matches, each with its match_id\.$"),
    ],
)
def test_a_run_that_has_ended_is_told_at_once(run: RunCommand, finished: Finished, kind: str, told: str) -> None:
    result = run("run", "watch", finished.runs[kind])
    assert result.exit_code == 0
    name = kind.lower().replace("_", " ")
    assert re.match(rf"The {name} {finished.runs[kind]} has succeeded after \d+ s\.\n", result.stdout)
    assert re.search(told, result.stdout, re.MULTILINE)
    assert result.stderr == f"{finished.runs[kind]}: SUCCEEDED\n"


def test_the_evaluation_is_told_as_the_quickstart_told_it(
    run: RunCommand, quickstart: QuickstartRun, finished: Finished
) -> None:
    shown = run("run", "watch", finished.runs["EVALUATION"], "--transform", "quickstart").stdout
    for value in quickstart.read_report()["estimate"].values():
        assert f"{value:.4f}" in shown
    assert "█" in shown


def test_a_job_run_is_told_like_its_task_run(run: RunCommand, finished: Finished) -> None:
    result = run("run", "watch", finished.job_run)
    assert result.exit_code == 0
    assert "different ones" in result.stdout


def test_the_log_of_a_run_is_printed(run: RunCommand, quickstart: QuickstartRun, finished: Finished) -> None:
    run_id = finished.runs["EVALUATION"]
    log = quickstart.directory / "home" / "storage" / "runs" / run_id / "1" / "spark.log"
    for options in ([], ["--attempt", "1"], ["--follow"]):
        result = run("logs", run_id, *options)
        assert (result.exit_code, result.stdout) == (0, log.read_text(encoding="utf-8", errors="replace"))
    missing = run("logs", run_id, "--attempt", "2")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert missing.stderr == f"Error: The run {run_id} has no attempt 2 that can be read from here.\n"


def test_what_has_ended_stays_as_it_is(run: RunCommand, finished: Finished) -> None:
    for run_id, name in ((finished.runs["IMPORT_LABELS"], "import labels"), (finished.job_run, "find matches")):
        result = run("run", "cancel", run_id)
        assert (result.exit_code, result.stdout) == (0, f"The {name} {run_id} is SUCCEEDED.\n")


@pytest.mark.parametrize("run_id", ["tsk-" + "0" * 40, "jr_" + "0" * 64, "nonsense"])
def test_a_run_that_is_not_there_is_one_sentence(run: RunCommand, run_id: str) -> None:
    result = run("run", "watch", run_id)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"Error: There is no run {run_id}; glue-ml runs shows those that there are.\n"


# a server where nothing is run, so that a run stays where it is


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[str]:
    with open_server(Settings(home=str(tmp_path / "home"), port=0), with_scheduler=False) as endpoint:
        yield endpoint


@pytest.fixture
def waiting(idle: str, tmp_path: Path) -> client.Run:
    """A run that no scheduler has taken."""
    (tmp_path / "people.csv").write_text("id,name\n1,Ann\n", encoding="utf-8")
    command = make_command(idle)
    assert command("table", "add", "crm.people", str(tmp_path / "people.csv")).exit_code == 0
    assert command("transforms", "create", "people", "--table", "crm.people", "--key", "id").exit_code == 0
    with connect(idle) as glue:
        transform = client.find_transform(glue, "people")["TransformId"]
        started = glue.start_ml_labeling_set_generation_task_run(
            TransformId=transform, OutputS3Path="file:///tmp/sets/"
        )
        return client.describe_run(glue, client.RunAddress(started["TaskRunId"], transform_id=transform))


def test_an_empty_server_says_how_to_begin(idle: str) -> None:
    result = make_command(idle)("transforms")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"There are no transforms at {idle}. Make one of a table in the catalog:",
        "  glue-ml table add crm.customers customers.csv",
        "  glue-ml transforms create customers --table crm.customers --key id",
    ]
    assert make_command(idle)("runs").stdout == "There are no runs.\n"


def test_a_transform_needs_its_table_and_its_key(idle: str, waiting: client.Run) -> None:
    command = make_command(idle)
    result = command("transforms", "create", "others", "--table", "crm.nobody", "--key", "id")
    assert result.exit_code == 1
    assert "Table nobody not found in database crm" in result.stderr
    result = command("transforms", "create", "others", "--table", "crm.people", "--key", "nr")
    assert result.exit_code == 1
    assert "primary key: [nr]" in result.stderr
    assert command("transforms", "create", "people", "--table", "crm.people", "--key", "id").exit_code == 1


def test_a_transform_is_deleted_by_its_name(idle: str, waiting: client.Run) -> None:
    command = make_command(idle)
    result = command("transforms", "delete", "people")
    assert result.stdout == f"The transform people ({waiting.address.transform_id}) is being deleted.\n"
    assert command("transforms", "delete", "nobody").stderr == (
        "Error: There is no transform nobody; glue-ml transforms shows those that there are.\n"
    )


def test_a_transform_without_runs_is_told_as_such(idle: str, waiting: client.Run) -> None:
    command = make_command(idle)
    assert command("transforms", "create", "more", "--table", "crm.people", "--key", "id").exit_code == 0
    assert command("runs", "more").stdout == "more has no runs.\n"
    assert len(read_rows(command("runs").stdout)) == 1


def test_a_run_is_cancelled(idle: str, waiting: client.Run) -> None:
    result = make_command(idle)("run", "cancel", waiting.address.run_id)
    assert result.exit_code == 0
    assert re.fullmatch(rf"The labeling set generation {waiting.address.run_id} is STOP(PING|PED)\.\n", result.stdout)


def test_a_run_without_a_log_says_so(idle: str, waiting: client.Run) -> None:
    result = make_command(idle)("logs", waiting.address.run_id)
    assert result.exit_code == 1
    assert result.stderr == f"Error: The run {waiting.address.run_id} has no log yet that can be read from here.\n"


@pytest.fixture
def watch(idle: str, waiting: client.Run) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a command that goes on; it is ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        # where a shell started these tests in the background, they and what they start are deaf to Ctrl-C
        hear = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
        code = f"{hear}; from glue_ml.cli import main; main()"
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments, "--endpoint-url", idle],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def read_line(stream: Any) -> str:
    line: str = stream.readline()
    return line


def test_progress_is_shown_and_ctrl_c_leaves_the_run_alone(
    idle: str, waiting: client.Run, watch: Callable[..., subprocess.Popen[str]]
) -> None:
    run_id = waiting.address.run_id
    process = watch("run", "watch", run_id)
    assert read_line(process.stderr) == f"{run_id}: STARTING\n"
    directory = Path(waiting.log_group.removeprefix("file://")) / "1"
    directory.mkdir(parents=True)
    (directory / "progress.json").write_text(JobProgress("block", 1, 8).to_json(), encoding="utf-8")
    assert read_line(process.stderr) == f"{run_id}: STARTING, block (1 of 8)\n"
    process.send_signal(signal.SIGINT)
    said, complained = process.communicate(timeout=120)
    assert process.returncode == 130
    assert (
        said
        == f"The run goes on. To see it again: glue-ml run watch {run_id}; to stop it: glue-ml run cancel {run_id}\n"
    )
    assert complained == ""
    with connect(idle) as glue:
        assert client.describe_run(glue, waiting.address).status == "STARTING"


def test_a_log_is_followed_while_it_grows(waiting: client.Run, watch: Callable[..., subprocess.Popen[str]]) -> None:
    process = watch("logs", waiting.address.run_id, "--follow", "--transform", "people")
    log = Path(waiting.log_group.removeprefix("file://")) / "1" / "spark.log"
    log.parent.mkdir(parents=True)
    for line in ("it begins\n", "it goes on\n"):
        with log.open("a", encoding="utf-8") as file:
            file.write(line)
        assert read_line(process.stdout) == line
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=120) == ("", "")
    assert process.returncode == 130
