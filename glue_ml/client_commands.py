"""The commands for people who use a Glue API, this project's server or another: transforms, runs, logs and tables."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from glue_ml.console import report_errors, say, show_table, write_text
from glue_ml.errors import NotFoundError
from glue_ml.progress_bars import RunBar

# boto3 takes a while to import: every command imports it where it needs it, --help does not
if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_glue import GlueClient

    from glue_ml.client import Run, RunAddress, Transform

LONGEST_ERROR = 60
INTERRUPTED = 130  #: What shells exit with after Ctrl-C.


class FileFormat(StrEnum):
    """The formats of a table that can be added from its files."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    DELTA = "delta"


EndpointUrl = Annotated[
    str | None,
    typer.Option(
        "--endpoint-url",
        metavar="URL",
        help="The API to call; else what boto3 is configured with, or http://127.0.0.1:8420.",
    ),
]
OfTransform = Annotated[
    str | None, typer.Option("--transform", metavar="NAME", help="The run's transform; spares looking for it.")
]
RunId = Annotated[str, typer.Argument(metavar="ID", help="A task run (tsk-...) or a job run (jr_...).")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show the traceback of an error.")]

transforms_app = typer.Typer(add_completion=False, help="Show the transforms, make one, or delete one.")
run_app = typer.Typer(add_completion=False, no_args_is_help=True, help="Watch a run until its end, or cancel it.")
table_app = typer.Typer(add_completion=False, no_args_is_help=True, help="Put a table in the catalog.")


@transforms_app.callback(invoke_without_command=True)
def show_transforms(context: typer.Context, endpoint_url: EndpointUrl = None, verbose: Verbose = False) -> None:
    """Show the transforms, make one, or delete one.

    \b
        glue-ml transforms
        glue-ml transforms create customers --table crm.customers --key id
    """
    if context.invoked_subcommand is not None:
        return
    with _open_api(endpoint_url, verbose=verbose) as glue:
        from glue_ml.client import list_transforms

        transforms = list_transforms(glue)
        if not transforms:
            say(f"There are no transforms at {glue.meta.endpoint_url}. Make one of a table in the catalog:")
            say("  glue-ml table add crm.customers customers.csv")
            say("  glue-ml transforms create customers --table crm.customers --key id")
            return
        columns = ("name", "id", "status", "labels", "F1", "tables", "modified")
        show_table(columns, [_describe_transform(transform) for transform in transforms], whole=("id",))
        ready = sum(transform["Status"] == "READY" for transform in transforms)
        say(f"{_count(len(transforms), 'transform')} at {glue.meta.endpoint_url}, {ready} of them READY.")


@transforms_app.command("create")
def create_transform(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the transform is to be called.")],
    table: Annotated[str, typer.Option("--table", metavar="DATABASE.TABLE", help="The table, from the catalog.")],
    key: Annotated[str, typer.Option("--key", metavar="COLUMN", help="The column that identifies a row.")],
    endpoint_url: EndpointUrl = None,
    verbose: Verbose = False,
) -> None:
    """Make a transform over a table, with the defaults of the API for all else."""
    with _open_api(endpoint_url, verbose=verbose) as glue:
        from glue_ml import client

        made = client.create_transform(glue, name, table=table, key=key)
        say(f"The transform {name} is {made}. It is NOT_READY until labels are imported.")


@transforms_app.command("delete")
def delete_transform(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The transform, by name or id.")],
    endpoint_url: EndpointUrl = None,
    verbose: Verbose = False,
) -> None:
    """Delete a transform, with its labels and models; its runs are stopped."""
    with _open_api(endpoint_url, verbose=verbose) as glue:
        from glue_ml.client import find_transform

        transform = find_transform(glue, name)
        glue.delete_ml_transform(TransformId=transform["TransformId"])
        say(f"The transform {transform['Name']} ({transform['TransformId']}) is being deleted.")


def show_runs(
    transform: Annotated[str | None, typer.Argument(metavar="[TRANSFORM]", help="By name or id; else all.")] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=1000, help="How many at most.")] = 20,
    endpoint_url: EndpointUrl = None,
    verbose: Verbose = False,
) -> None:
    """Show the task runs of a transform, or of all of them, the newest first."""
    with _open_api(endpoint_url, verbose=verbose) as glue:
        from glue_ml.client import find_transform, list_runs, list_transforms

        transforms = [find_transform(glue, transform)] if transform else list_transforms(glue)
        found = list_runs(glue, transforms, limit=limit)
        if not found:
            say("There are no runs." if transform is None else f"{transforms[0]['Name']} has no runs.")
            return
        columns = ("id", "type", "status", "started", "seconds", "error")
        rows = [(*_describe_run(run), str(owner["Name"])) for owner, run in found]
        if transform is None:
            show_table((*columns, "transform"), rows, whole=("id",))
        else:
            show_table(columns, [row[:-1] for row in rows], whole=("id",))
        say(f"{_count(len(found), 'run')}; glue-ml run watch ID and glue-ml logs ID tell more of one.")


@run_app.command("watch")
def watch_run(
    run_id: RunId, transform: OfTransform = None, endpoint_url: EndpointUrl = None, verbose: Verbose = False
) -> None:
    """Show how far a run is until it has ended, and what came of it. Ctrl-C leaves the run alone.

    The exit code is 0 if it succeeded and 1 if not.
    """
    with _open_api(endpoint_url, verbose=verbose) as glue:
        from glue_ml.client import locate_run, require_success
        from glue_ml.run_log import find_log
        from glue_ml.run_outcome import show_outcome

        address = locate_run(glue, run_id, transform=transform)
        try:
            run = _watch(glue, address)
        except KeyboardInterrupt:
            say(
                f"The run goes on. To see it again: glue-ml run watch {run_id}; to stop it: glue-ml run cancel {run_id}"
            )
            raise typer.Exit(INTERRUPTED) from None
        show_outcome(glue, require_success(run, log=find_log(run)))


@run_app.command("cancel")
def cancel_run(
    run_id: RunId, transform: OfTransform = None, endpoint_url: EndpointUrl = None, verbose: Verbose = False
) -> None:
    """Ask for a run to be stopped."""
    with _open_api(endpoint_url, verbose=verbose) as glue:
        from glue_ml import client

        address = client.locate_run(glue, run_id, transform=transform)
        run = client.describe_run(glue, address)
        if not run.has_ended:
            client.cancel_run(glue, address)
            run = client.describe_run(glue, address)
        say(f"The {client.name_kind(run.kind)} {run_id} is {run.status}.")


def show_log(
    run_id: RunId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
    attempt: Annotated[
        int | None, typer.Option("--attempt", metavar="N", min=1, help="Which attempt, from 1; else the last.")
    ] = None,
    transform: OfTransform = None,
    endpoint_url: EndpointUrl = None,
    verbose: Verbose = False,
) -> None:
    """Print the log of a run."""
    with _open_api(endpoint_url, verbose=verbose) as glue:
        from glue_ml.client import locate_run

        address = locate_run(glue, run_id, transform=transform)
        if not _print_log(glue, address, attempt=attempt, follow=follow):
            wanted = "log yet" if attempt is None else f"attempt {attempt}"
            raise NotFoundError(f"The run {run_id} has no {wanted} that can be read from here")


@table_app.callback()
def describe_tables() -> None:
    """Put a table in the catalog."""


@table_app.command("add")
def add_table(
    name: Annotated[str, typer.Argument(metavar="NAME", help="TABLE or DATABASE.TABLE.")],
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="A file, a folder of files, or a Delta table; file:/// and s3:// too.")
    ],
    file_format: Annotated[
        FileFormat | None, typer.Option("--format", metavar="NAME", help="If names do not tell: csv, json, parquet.")
    ] = None,
    database: Annotated[
        str, typer.Option("--database", metavar="NAME", help="The database of a NAME that tells none.")
    ] = "default",
    replace: Annotated[bool, typer.Option("--replace", help="Describe a table anew that is there already.")] = False,
    endpoint_url: EndpointUrl = None,
    verbose: Verbose = False,
) -> None:
    """Put a table in the catalog, with the columns that its files tell. The files stay where they are.

    \b
        glue-ml table add crm.customers customers.csv

    CSV and TSV (with a header, and any of `,` `;` `|` or tabs), JSON (one object a line), Parquet and Delta. Columns
    of CSV and JSON are strings. A database that is not there is made.
    """
    with _open_api(endpoint_url, verbose=verbose) as glue:
        from glue_ml import client

        kind = None if file_format is None else file_format.value
        made = client.add_table(glue, name, path, format=kind, database=database, replace=replace)
        full = ".".join(client.split_name(name, default=database))
        columns = [(column["Name"], column["Type"]) for column in made["StorageDescriptor"]["Columns"]]
        show_table(("column", "type"), columns)
        stored = f"{made['StorageDescriptor']['Location']} ({made['Parameters']['classification']})"
        say(f"The table {full} is in the catalog: {_count(len(columns), 'column')}, {stored}.")


@contextmanager
def _open_api(endpoint_url: str | None, *, verbose: bool) -> Iterator[GlueClient]:
    with report_errors(verbose=verbose):
        from glue_ml.connection import connect

        with connect(endpoint_url) as glue:
            try:
                yield glue
            except KeyboardInterrupt:
                raise typer.Exit(INTERRUPTED) from None


def _watch(glue: GlueClient, address: RunAddress) -> Run:
    from glue_ml.client import wait_for_run
    from glue_ml.run_log import read_progress

    with RunBar(address.run_id) as bar:

        def tell(run: Run) -> None:
            progress = None if run.has_ended else read_progress(run)
            if progress is None:
                bar.tell(run.status)
            else:
                bar.tell(run.status, progress.stage, progress.done, progress.total, progress.seconds_left)

        return wait_for_run(glue, address, tell=tell)


def _print_log(glue: GlueClient, address: RunAddress, *, attempt: int | None, follow: bool) -> bool:
    """Print the log, and go on if it is to be followed; whether there was one."""
    from glue_ml.client import POLL_SECONDS, describe_run
    from glue_ml.run_log import open_log

    log = None
    while True:
        run = describe_run(glue, address)  # asked before the log is read, so that its last lines are not missed
        log = log or open_log(run, attempt=attempt)
        if log is not None:
            write_text(log.read_more())
        if not follow or run.has_ended:
            return log is not None
        time.sleep(POLL_SECONDS)


def _describe_transform(transform: Transform) -> Sequence[str | None]:
    f1 = transform.get("EvaluationMetrics", {}).get("FindMatchesMetrics", {}).get("F1")
    tables = (f"{table['DatabaseName']}.{table['TableName']}" for table in transform["InputRecordTables"])
    return (
        transform["Name"],
        transform["TransformId"],
        transform["Status"],
        str(transform.get("LabelCount", 0)),
        None if f1 is None else f"{f1:.4f}",
        ", ".join(tables),
        _show_time(transform.get("LastModifiedOn")),
    )


def _describe_run(run: Run) -> Sequence[str | None]:
    error = " ".join((run.error or "").split())
    short = error if len(error) <= LONGEST_ERROR else f"{error[: LONGEST_ERROR - 3]}..."
    return run.address.run_id, run.kind, run.status, _show_time(run.started_on), str(run.seconds), short


def _show_time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
