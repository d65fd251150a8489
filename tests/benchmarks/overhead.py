"""What a task run costs beside its work: the seconds from its start call to Spark, and from its result to SUCCEEDED.

    python -m tests.benchmarks.overhead
    python -m tests.benchmarks.overhead --repeat 5 --json out.json

A server with its scheduler and the local launcher runs IMPORT_LABELS, the cheapest task, on a table of 50 rows: twice
in a row, the first with an empty cache of resolved packages. All of it is repeated with a new home, and medians are
told. The target: the start call to the first line of the log, and the result to SUCCEEDED as the API tells it, take
less than 1 s together, and the second run resolves no packages.

Spark's own part is told as well, as it moves with the load of the machine: what spark-submit needs until its first line
is a shell, a Python that looks for Spark, and a JVM that writes the command line of another.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import boto3

from tests.benchmarks.served import serve

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient
    from mypy_boto3_glue.type_defs import StorageDescriptorTypeDef

TARGET_SECONDS = 1.0
NAME, ROWS = "overhead", 50

_COLUMNS = ("id", "name", "town")
_POLL_SECONDS, _WATCH_SECONDS, _LONGEST_SECONDS = 0.02, 0.002, 300
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT")
_RESOLVING = "resolving dependencies"  #: What Ivy prints when it is asked.


@dataclass(frozen=True)
class Moments:
    """When each step of a run was reached, in seconds since 1970."""

    called: float
    answered: float
    spawned: float  #: The launcher's supervisor opened the log, and starts spark-submit next.
    first_line: float
    job: float  #: The job's Python runs, and Spark's session comes next.
    session: float  #: The session is there and the table open.
    result: float
    succeeded: float
    resolved: bool  #: Whether packages were resolved.

    def tell_intervals(self) -> dict[str, float]:
        """The seconds between them, by what happens in them."""
        return {
            "start call answered": self.answered - self.called,
            "answer to spark-submit spawned": self.spawned - self.answered,
            "spawned to first line in the log": self.first_line - self.spawned,
            "first line to the job's Python": self.job - self.first_line,
            "Python to session and table ready": self.session - self.job,
            "ready to result written": self.result - self.session,
            "result to SUCCEEDED": self.succeeded - self.result,
            "in all": self.succeeded - self.called,
            "OVERHEAD: call to first line, result to SUCCEEDED": self.overhead,
        }

    @property
    def overhead(self) -> float:
        """The seconds that the target is about."""
        return self.first_line - self.called + self.succeeded - self.result


class _LogWatch(threading.Thread):
    """Looks for the log of a run more often than the API is asked: when it is made, and when its first line comes."""

    def __init__(self, log: Path) -> None:
        super().__init__(name="log-watch", daemon=True)
        self.made: float | None = None
        self.first_line: float | None = None
        self._log = log

    def run(self) -> None:
        until = time.monotonic() + _LONGEST_SECONDS
        while self.first_line is None and time.monotonic() < until:
            now, size = time.time(), self._log.stat().st_size if self._log.exists() else None
            if size is not None:
                self.made = self.made or now
                self.first_line = now if size else None
            time.sleep(_WATCH_SECONDS)


def measure_run(glue: GlueClient, transform: str, labels: Path) -> Moments:
    """Import the labels, and tell when what happened. RuntimeError if the run does not succeed."""
    called = time.time()
    run_id = glue.start_import_labels_task_run(TransformId=transform, InputS3Path=f"file://{labels}")["TaskRunId"]
    answered = time.time()
    folder = labels.parent / "home" / "storage" / "runs" / run_id / "1"
    watch = _LogWatch(folder / "spark.log")
    watch.start()
    succeeded = _wait_for_success(glue, transform, run_id)
    watch.join()
    log = (folder / "spark.log").read_text(encoding="utf-8")
    assert watch.made is not None
    assert watch.first_line is not None
    return Moments(
        called=called,
        answered=answered,
        spawned=watch.made,
        first_line=watch.first_line,
        job=_read_time(log, "start Spark"),
        session=_read_time(log, "check the label file"),
        result=(folder / "result.json").stat().st_mtime,
        succeeded=succeeded,
        resolved=_RESOLVING in log,
    )


def _wait_for_success(glue: GlueClient, transform: str, run_id: str) -> float:
    until = time.monotonic() + _LONGEST_SECONDS
    while time.monotonic() < until:
        run = glue.get_ml_task_run(TransformId=transform, TaskRunId=run_id)
        if run["Status"] == "SUCCEEDED":
            return time.time()
        if run["Status"] in _ENDED:
            raise RuntimeError(f"the run ended {run['Status']}: {run.get('ErrorString')}")
        time.sleep(_POLL_SECONDS)
    raise RuntimeError(f"the run {run_id} has not ended after {_LONGEST_SECONDS} s")


def _read_time(log: str, stage: str) -> float:
    """When the job logged that it begins a stage."""
    line = next(line for line in log.splitlines() if f"INFO {stage} (" in line)
    return datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f").timestamp()


def _write_table(folder: Path) -> None:
    """50 people, and labels for a first pair that matches and a second that does not."""
    people = [(f"k{number}", f"Name {number // 2}", f"Town {number % 7}") for number in range(ROWS)]
    with (folder / "people.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([_COLUMNS, *people])
    labelled = [("s1", label, *people[row]) for row, label in enumerate("AABC")]
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("labeling_set_id", "label", *_COLUMNS), *labelled])


def _make_transform(glue: GlueClient, folder: Path) -> str:
    storage: StorageDescriptorTypeDef = {
        "Columns": [{"Name": name, "Type": "string"} for name in _COLUMNS],
        "Location": f"file://{folder}/people.csv",
        "SerdeInfo": {
            "SerializationLibrary": "org.apache.hadoop.hive.serde2.OpenCSVSerde",
            "Parameters": {"separatorChar": ","},
        },
    }
    table = {"skip.header.line.count": "1", "classification": "csv"}
    glue.create_database(DatabaseInput={"Name": NAME})
    glue.create_table(
        DatabaseName=NAME, TableInput={"Name": "people", "StorageDescriptor": storage, "Parameters": table}
    )
    return glue.create_ml_transform(
        Name=NAME,
        Role="any",
        InputRecordTables=[{"DatabaseName": NAME, "TableName": "people"}],
        Parameters={"TransformType": "FIND_MATCHES", "FindMatchesParameters": {"PrimaryKeyColumnName": "id"}},
    )["TransformId"]


def measure_home() -> list[Moments]:
    """A first and a second run in a new home."""
    with tempfile.TemporaryDirectory(prefix="glue-ml-overhead-") as name:
        folder = Path(name)
        _write_table(folder)
        with serve(folder / "home") as server:
            glue = boto3.client("glue", endpoint_url=server.endpoint, region_name="us-east-1",
                                aws_access_key_id="any", aws_secret_access_key="any")  # fmt: skip
            transform = _make_transform(glue, folder)
            return [measure_run(glue, transform, folder / "labels.csv") for _ in range(2)]


def find_medians(runs: Sequence[Moments]) -> Mapping[str, float]:
    """The median of each interval over runs."""
    intervals = [run.tell_intervals() for run in runs]
    return {name: statistics.median(each[name] for each in intervals) for name in intervals[0]}


def show_table(first: Sequence[Moments], second: Sequence[Moments]) -> None:
    """Print the medians of the first runs beside those of the second, and whether the target is met."""
    lines, medians = [f"{'seconds (median)':52}{'first run':>12}{'second run':>12}"], find_medians(second)
    lines += [f"{name:52}{seconds:12.2f}{medians[name]:12.2f}" for name, seconds in find_medians(first).items()]
    resolved = [f"{sum(run.resolved for run in runs)} of {len(runs)}" for runs in (first, second)]
    lines.append(f"{'packages resolved':52}{resolved[0]:>12}{resolved[1]:>12}")
    worst = max(statistics.median(run.overhead for run in runs) for runs in (first, second))
    met = worst < TARGET_SECONDS and not any(run.resolved for run in second)
    lines.append(f"target {'met' if met else 'MISSED'}: {worst:.2f} s of {TARGET_SECONDS:.2f} s")
    print("\n".join(lines))  # noqa: T201  the benchmark's output


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    pairs = []
    for number in range(arguments.repeat):
        print(f"pair {number + 1} of {arguments.repeat}, load average {os.getloadavg()}", flush=True)  # noqa: T201
        pairs.append(measure_home())
    first, second = ([pair[place] for pair in pairs] for place in (0, 1))
    show_table(first, second)
    if arguments.json:
        arguments.json.write_text(json.dumps([[run.tell_intervals() for run in pair] for pair in pairs], indent=1))


if __name__ == "__main__":
    main()
