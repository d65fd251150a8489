"""The quickstart: starts a server and goes a user's way through boto3, on made-up customers whose truth is known."""

from __future__ import annotations

import csv
import string
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from glue_ml import storage
from glue_ml.client import (
    Run,
    RunAddress,
    add_table,
    cancel_run,
    list_transforms,
    require_success,
    wait_for_run,
)
from glue_ml.connection import connect
from glue_ml.errors import InputError
from glue_ml.quickstart_report import (
    Quality,
    QuickstartReport,
    count_groups,
    describe_report,
    measure_quality,
    pick_groups,
)
from glue_ml.run_log import find_log, read_progress, read_result
from glue_ml.settings import Settings
from glue_ml.synthetic import ENTITY_ID, KEY, make_people, split_truth

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient

ROUNDS = 3
MIN_ROWS = 100  #: Fewer hold too few duplicates to learn from.
REPORT = "quickstart.json"
EVALUATION = "evaluation.html"
NAME = "quickstart"
POLL_SECONDS = 0.3
STEPS = (
    "start the server",
    "make customers and their table",
    "make a transform",
    *(step for i in range(1, ROUNDS + 1) for step in (f"choose rows to label, round {i}", f"import labels, round {i}")),
    "evaluate",
    "find matches",
    "compare with the truth",
)


class Steps(Protocol):
    """Whoever wants to know how far it is: `begin` starts the next of the steps, `tell` moves within it."""

    def begin(self) -> None: ...  # noqa: D102

    def tell(self, stage: str, done: int, total: int) -> None: ...  # noqa: D102


def prepare_directory(directory: Path) -> None:
    """Make the directory ready, be it new or of an earlier quickstart; InputError if it is somebody else's."""
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory} is not a directory; name another one with --directory")
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()) and not (directory / REPORT).exists():
        raise InputError(f"{directory} holds files that are not from a quickstart; name an empty one with --directory")
    (directory / REPORT).write_text("{}", encoding="utf-8")


@contextmanager
def open_api(directory: Path) -> Iterator[GlueClient]:
    """A boto3 client of a server that runs in this process, on a free port, as long as the client is needed."""
    try:
        from glue_ml.app import open_server
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is missing; install it with: pip install 'glue-ml[server]'") from error
    with open_server(Settings(home=str(directory / "home"), port=0)) as endpoint, connect(endpoint) as glue:
        yield glue


def run_quickstart(glue: GlueClient, directory: Path, *, rows: int, seed: int, bar: Steps) -> QuickstartReport:
    """Do the whole of it in a directory that `prepare_directory` made ready; every step is told to `bar`."""
    bar.begin()
    folder = directory.absolute()
    entities = _write_customers(folder, rows=rows, seed=seed)
    add_table(glue, f"{NAME}.customers", str(folder / "customers.parquet"), replace=True)
    bar.begin()
    remove_former(glue)
    transform = _make_transform(glue)
    labeled = sum(_label_rows(glue, transform, folder / f"labels-{i}", entities, bar) for i in range(1, ROUNDS + 1))
    estimate = _evaluate(glue, transform, folder / EVALUATION, bar)
    _find_matches(glue, transform, folder / "matches", bar)
    bar.begin()
    matches = pq.read_table(folder / "matches")
    report = QuickstartReport(
        endpoint=glue.meta.endpoint_url,
        labeled_rows=labeled,
        quality=measure_quality(matches, entities),
        estimate=estimate,
        counts=count_groups(matches),
        groups=pick_groups(matches, entities),
        paths=_name_paths(folder),
    )
    storage.write_bytes(str(folder / REPORT), describe_report(report, rows=rows, seed=seed))
    return report


def _make_transform(glue: GlueClient) -> str:
    created = glue.create_ml_transform(
        Name=NAME,
        Role="any",
        WorkerType="G.1X",
        NumberOfWorkers=1,
        InputRecordTables=[{"DatabaseName": NAME, "TableName": "customers"}],
        Parameters={"TransformType": "FIND_MATCHES", "FindMatchesParameters": {"PrimaryKeyColumnName": KEY}},
    )
    return created["TransformId"]


def _label_rows(glue: GlueClient, transform: str, sets: Path, entities: Mapping[str, int], bar: Steps) -> int:
    """One round: ask which rows are worth labelling, label them, import the labels; return how many rows."""
    bar.begin()
    storage.remove(str(sets))
    started = glue.start_ml_labeling_set_generation_task_run(TransformId=transform, OutputS3Path=f"file://{sets}/")
    _finish(glue, RunAddress(started["TaskRunId"], transform), bar)
    [file] = sets.glob("*.csv")
    labeled = label_file(file, entities)
    bar.begin()
    imported = glue.start_import_labels_task_run(TransformId=transform, InputS3Path=f"file://{file}")
    _finish(glue, RunAddress(imported["TaskRunId"], transform), bar)
    return labeled


def _evaluate(glue: GlueClient, transform: str, report: Path, bar: Steps) -> Quality:
    """Evaluate the transform, and copy the report of it to where a reader finds it, if one could be written."""
    bar.begin()
    storage.remove(str(report))
    started = glue.start_ml_evaluation_task_run(TransformId=transform)
    result = read_result(_finish(glue, RunAddress(started["TaskRunId"], transform), bar))
    if result is not None and "report" in result.paths:
        storage.write_bytes(str(report), storage.read_bytes(result.paths["report"]))
    metrics = glue.get_ml_transform(TransformId=transform)["EvaluationMetrics"]["FindMatchesMetrics"]
    return Quality(metrics["Precision"], metrics["Recall"], metrics["F1"])


def _find_matches(glue: GlueClient, transform: str, output: Path, bar: Steps) -> None:
    bar.begin()
    glue.create_job(
        Name=NAME,
        Role="any",
        Command={"Name": "glueetl", "ScriptLocation": "builtin://find_matches"},
        WorkerType="G.1X",
        NumberOfWorkers=1,
    )
    arguments = {
        "--TransformId": transform, "--OutputPath": f"file://{output}", "--ComputeMatchConfidenceScores": "true"
    }  # fmt: skip
    started = glue.start_job_run(JobName=NAME, Arguments=arguments)
    _finish(glue, RunAddress(started["JobRunId"], job_name=NAME), bar)


def label_file(path: Path, entities: Mapping[str, int]) -> int:
    """Fill the column `label` of a file of labelling sets: in each set a letter per person; return how many rows."""
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    key = header.index(KEY)
    letters: dict[str, dict[int, str]] = defaultdict(dict)
    for row in rows:
        known = letters[row[0]]
        row[1] = known.setdefault(entities[row[key]], _name_label(len(known)))
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return len(rows)


def _finish(glue: GlueClient, address: RunAddress, bar: Steps) -> Run:
    """Wait for a run, and tell its stages; GlueMLError if it fails. Who gives up waiting stops the run."""
    try:
        run = wait_for_run(glue, address, tell=lambda run: _tell_progress(run, bar), seconds=POLL_SECONDS)
    except KeyboardInterrupt:
        cancel_run(glue, address)
        wait_for_run(glue, address)
        raise
    require_success(run, log=find_log(run))
    return run


def _tell_progress(run: Run, bar: Steps) -> None:
    if progress := read_progress(run):
        bar.tell(progress.stage, progress.done, progress.total)


def remove_former(glue: GlueClient) -> None:
    """Remove the job and the transform of a former quickstart; a transform goes when its runs have ended."""
    glue.delete_job(JobName=NAME)
    while former := [each for each in list_transforms(glue) if each["Name"] == NAME]:
        if former[0]["Status"] != "DELETING":
            glue.delete_ml_transform(TransformId=former[0]["TransformId"])
        time.sleep(POLL_SECONDS)


def _write_customers(directory: Path, *, rows: int, seed: int) -> dict[str, int]:
    """Write the table that the engine sees, and beside it the truth, which it does not; return who each row is."""
    customers, truth = split_truth(make_people(rows, seed=seed))
    sink = pa.BufferOutputStream()
    pq.write_table(customers, sink)
    storage.write_bytes(str(directory / "customers.parquet"), sink.getvalue().to_pybytes())
    sink = pa.BufferOutputStream()
    pa.csv.write_csv(truth, sink)
    storage.write_bytes(str(directory / "truth.csv"), sink.getvalue().to_pybytes())
    return dict(zip(truth.column(KEY).to_pylist(), truth.column(ENTITY_ID).to_pylist(), strict=True))


def _name_label(number: int) -> str:
    """Return A to Z, then A2 to Z2, and so on."""
    turn, place = divmod(number, 26)
    return string.ascii_uppercase[place] + (str(turn + 1) if turn else "")


def _name_paths(directory: Path) -> dict[str, str]:
    names = {
        "the customers": "customers.parquet",
        "the truth": "truth.csv",
        **{f"the labels of round {i}": f"labels-{i}" for i in range(1, ROUNDS + 1)},
        **({"the report of the evaluation": EVALUATION} if (directory / EVALUATION).exists() else {}),
        "the matches": "matches",
        "the home of the server": "home",
        "these numbers": REPORT,
    }
    return {what: str(directory / name) for what, name in names.items()}
