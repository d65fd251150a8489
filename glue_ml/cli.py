"""The command line `glue-ml`: match a table, choose rows to label, evaluate, and a quickstart that shows all of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glue_ml import __version__, client_commands, event_logs, server_commands, size_command
from glue_ml.console import (
    report_errors,
    report_unexpected,
    say,
    show_evaluation,
    show_labels,
    show_matches,
    show_remarks,
    show_report_place,
)
from glue_ml.progress_bars import StageBar

# pyspark and the engine take seconds to import: every command imports them where it needs them, --help does not
if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from glue_ml.domain.labels import LabeledRow
    from glue_ml.local_run import MatchOutcome, Source, TableLabels


class TableFormat(StrEnum):
    """The formats that a table is written in."""

    PARQUET = "parquet"
    CSV = "csv"
    JSON = "json"
    DELTA = "delta"


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
)

Table = Annotated[str, typer.Argument(metavar="TABLE", help="A file or a folder; a path, file:/// or s3://.")]
Key = Annotated[
    str, typer.Option("--key", metavar="COLUMN", help="The column that identifies a row: unique, never empty.")
]
Labels = Annotated[
    list[str], typer.Option("--labels", metavar="FILE", help="A file of labelled rows; may be given more than once.")
]
InputFormat = Annotated[
    str | None, typer.Option("--input-format", metavar="NAME", help="TABLE's format, if its name does not tell.")
]
PrecisionRecall = Annotated[
    float | None,
    typer.Option(
        "--precision-recall",
        metavar="0..1",
        min=0.0,
        max=1.0,
        help="0 finds more matches, 1 is surer of each; else 0.5.",
    ),
]
AccuracyCost = Annotated[
    float | None,
    typer.Option(
        "--accuracy-cost", metavar="0..1", min=0.0, max=1.0, help="0 is fastest, 1 looks at the most pairs; else 0.5."
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="The same table, labels and seed give the same result.")]
Semantic = Annotated[
    str,
    typer.Option(
        "--semantic",
        metavar="NAME",
        help="What reads texts by meaning: auto, off, static, sentence or a path (extra semantic).",
    ),
]
Components = Annotated[
    str,
    typer.Option(
        "--connected-components",
        metavar="NAME",
        help="Where groups are put together: auto, driver, graphframes or contraction. The result is the same.",
    ),
]
Blocking = Annotated[
    str,
    typer.Option(
        "--blocking-plan",
        metavar="NAME",
        help="How blocking is carried out: auto, shipped (quicker) or pieces (any size). The result is the same.",
    ),
]
Master = Annotated[
    str | None,
    typer.Option("--master", metavar="URL", help="The Spark master; else what Spark is set to, or local[*]."),
]
EventLog = Annotated[
    str,
    typer.Option(
        "--event-log-dir",
        metavar="DIR",
        envvar=event_logs.VARIABLE,
        show_envvar=False,
        help="A folder that exists, for Spark's event log of the run.",
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show Spark's warnings, and the traceback of an error.")]


def main() -> None:
    """Run the command line; a defect is told in one sentence too."""
    sys.excepthook = report_unexpected
    typer.main.get_command(app)()  # calling the app itself would put typer's own hook in place


@app.callback(invoke_without_command=True)
def describe(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    """Find the rows of a table that mean the same thing, on any Spark.

    \b
    See it work on made-up customers, in a few minutes:
        glue-ml quickstart

    \b
    Serve the AWS Glue API, to boto3, the AWS CLI, Terraform and other SDKs:
        glue-ml serve

    \b
    Match a table of your own without a server, without labels at first:
        glue-ml match customers.csv --key id --output matches

    \b
    Make it better by labelling the rows that it is unsure of:
        glue-ml label customers.csv --key id --output labels.csv
        (fill its column `label`: in one labeling_set_id, equal means a match)
        glue-ml evaluate customers.csv --key id --labels labels.csv
        glue-ml match customers.csv --key id --labels labels.csv --output new
    """
    if version:
        say(f"glue-ml {__version__}")
        raise typer.Exit


app.command("serve")(server_commands.serve)
app.command("scheduler")(server_commands.run_scheduler)
app.command("migrate")(server_commands.migrate)
app.add_typer(client_commands.transforms_app, name="transforms")
app.command("runs")(client_commands.show_runs)
app.add_typer(client_commands.run_app, name="run")
app.command("logs")(client_commands.show_log)
app.command("size")(size_command.size)
app.add_typer(client_commands.table_app, name="table")


@app.command()
def quickstart(
    rows: Annotated[
        int, typer.Option("--rows", metavar="N", min=100, max=1_000_000, help="How many customers to make.")
    ] = 5000,
    directory: Annotated[Path, typer.Option("--directory", metavar="DIR", help="Where everything is written.")] = Path(
        "glue-ml-quickstart"
    ),
    seed: Seed = 7,
    verbose: Verbose = False,
) -> None:
    """Start a server and go a user's way through boto3: make customers, label 300 rows, evaluate, match, compare."""
    with report_errors(verbose=verbose):
        from glue_ml.quickstart import STEPS, open_api, prepare_directory, run_quickstart
        from glue_ml.quickstart_report import show_report

        prepare_directory(directory)
        with StageBar(STEPS) as bar:
            bar.begin()
            with open_api(directory) as glue:
                report = run_quickstart(glue, directory, rows=rows, seed=seed, bar=bar)
        show_report(report)


@app.command()
def match(
    table: Table,
    output: Annotated[
        str, typer.Option("--output", metavar="PLACE", help="The folder to write; there must be nothing there yet.")
    ],
    key: Annotated[
        str | None, typer.Option("--key", metavar="COLUMN", help="The column that identifies a row; a model knows it.")
    ] = None,
    labels: Labels = [],  # noqa: B006 - typer wants the default itself and copies it
    model: Annotated[
        str | None, typer.Option("--model", metavar="DIR", help="Match with a saved model instead of learning.")
    ] = None,
    save_model: Annotated[
        str | None, typer.Option("--save-model", metavar="DIR", help="The folder to save the model in.")
    ] = None,
    input_format: InputFormat = None,
    output_format: Annotated[
        TableFormat, typer.Option("--format", metavar="NAME", help="parquet, csv, json or delta.")
    ] = TableFormat.PARQUET,
    precision_recall: PrecisionRecall = None,
    accuracy_cost: AccuracyCost = None,
    enforce_labels: Annotated[
        bool, typer.Option("--enforce-labels", help="Make the result agree with labels.")
    ] = False,
    scores: Annotated[bool, typer.Option("--scores", help="Add match_confidence_score, 0 to 1 per group.")] = False,
    explain: Annotated[
        str | None,
        typer.Option(
            "--explain", metavar="PLACE", help="Another folder: which links hold each group together, and why."
        ),
    ] = None,
    seed: Seed = 0,
    semantic: Semantic = "auto",
    components: Components = "auto",
    blocking_plan: Blocking = "auto",
    master: Master = None,
    event_log_dir: EventLog = "",
    verbose: Verbose = False,
) -> None:
    """Give every row of a table a match_id; rows with the same one mean the same thing.

    With --labels it learns from them, without it goes by what agrees and how rare that is.
    """
    if model is None and key is None:
        raise typer.BadParameter("name the column that identifies a row", param_hint="--key")
    given = (
        bool(labels),
        precision_recall is not None,
        accuracy_cost is not None,
        enforce_labels,
        save_model is not None,
        semantic != "auto",
    )
    if model is not None and any(given):
        raise typer.BadParameter("a saved model brings its labels and settings; leave them out", param_hint="--model")
    with report_errors(verbose=verbose):
        from glue_ml import local_run

        conf = _configure_spark(event_log_dir, verbose=verbose)
        source = local_run.Source(table, input_format, key, tuple(labels))
        tuning = local_run.Tuning(precision_recall, accuracy_cost, enforce_labels, seed, semantic)
        target = local_run.Target(output, output_format.value, scores, save_model, explain, components, blocking_plan)
        local_run.check_target(target)
        with StageBar(local_run.MATCH_STEPS) as bar, _open_spark(bar, master, conf) as spark:
            learner = model if model is not None else tuning
            outcome = local_run.match_source(spark, source, learner, target=target, bar=bar)
        _show_outcome(outcome)


@app.command()
def label(
    table: Table,
    key: Key,
    output: Annotated[
        str, typer.Option("--output", metavar="PLACE", help="The CSV file to write; it must not exist yet.")
    ],
    labels: Labels = [],  # noqa: B006
    rows: Annotated[
        int, typer.Option("--rows", metavar="N", min=2, max=10_000, help="About how many rows to ask for.")
    ] = 100,
    input_format: InputFormat = None,
    seed: Seed = 0,
    semantic: Semantic = "auto",
    master: Master = None,
    event_log_dir: EventLog = "",
    verbose: Verbose = False,
) -> None:
    """Write the rows that are worth labelling next to a CSV file; rows in --labels are left out."""
    with report_errors(verbose=verbose):
        from glue_ml import local_run

        conf = _configure_spark(event_log_dir, verbose=verbose)
        source = local_run.Source(table, input_format, key, tuple(labels))
        local_run.refuse_existing(output)
        with StageBar(local_run.LABEL_STEPS) as bar, _open_spark(bar, master, conf) as spark:
            tuning = local_run.Tuning(seed=seed, semantic_encoder=semantic)
            chosen, read, gain = local_run.write_open_sets(spark, source, output, tuning, rows=rows, bar=bar)
        _show_labels(read)
        _show_chosen(chosen, source, output)
        show_remarks(() if gain is None else (gain,))


@app.command()
def evaluate(
    table: Table,
    key: Key,
    labels: Annotated[
        list[str],
        typer.Option("--labels", metavar="FILE", help="A file of labelled rows; may be given more than once."),
    ],
    input_format: InputFormat = None,
    precision_recall: PrecisionRecall = None,
    accuracy_cost: AccuracyCost = None,
    report: Annotated[
        str | None,
        typer.Option("--report", metavar="FILE", help="An HTML file to write: charts, the hardest pairs, the columns."),
    ] = None,
    seed: Seed = 0,
    semantic: Semantic = "auto",
    master: Master = None,
    event_log_dir: EventLog = "",
    verbose: Verbose = False,
) -> None:
    """Tell how well labelled pairs are told apart by models that did not see them, and which columns matter."""
    with report_errors(verbose=verbose):
        from glue_ml import local_run

        conf = _configure_spark(event_log_dir, verbose=verbose)
        source = local_run.Source(table, input_format, key, tuple(labels))
        tuning = local_run.Tuning(precision_recall, accuracy_cost, seed=seed, semantic_encoder=semantic)
        asked = None
        if report is not None:
            local_run.refuse_existing(report)
            asked = local_run.Report(report, datetime.now(UTC))
        steps = local_run.EVALUATE_STEPS if asked is None else local_run.REPORT_STEPS
        with StageBar(steps) as bar, _open_spark(bar, master, conf) as spark:
            found = local_run.evaluate_source(spark, source, tuning, report=asked, bar=bar)
        _show_labels(found.labels)
        show_evaluation(found.evaluation)
        show_remarks(() if found.gain is None else (found.gain,))
        show_report_place(found.report, found.remark)


def _configure_spark(event_log_dir: str, *, verbose: bool) -> Mapping[str, str]:
    """Return the settings of a session; raises what `configure_event_log` raises."""
    shown = {"spark.log.level": "WARN"} if verbose else {}
    return {**shown, **event_logs.configure_event_log(event_log_dir)}


@contextmanager
def _open_spark(bar: StageBar, master: str | None, conf: Mapping[str, str]) -> Iterator[SparkSession]:
    """Open a session as the bar's first step; one that was started here is stopped at the end."""
    from glue_ml.session import find_session, open_session

    bar.begin()
    mine = find_session() is None
    spark = open_session("glue-ml", master=master, settings=conf)
    try:
        yield spark
    finally:
        if mine:
            spark.stop()


def _show_labels(labels: TableLabels) -> None:
    show_labels(len(labels.rows), blank=labels.blank, remarks=labels.remarks)


def _show_outcome(outcome: MatchOutcome) -> None:
    source, target = outcome.source, outcome.target
    _show_labels(outcome.labels)
    show_matches(outcome.counts, target.output, target.format)
    show_remarks(outcome.remarks)
    if target.explanations is not None:
        say(f"The links that hold the groups together are in {target.explanations}.")
    if target.model is not None:
        say(f"The model is in {target.model}.")
    if not outcome.supervised:
        say(
            "No labels were used: take this as a first guess, by what agrees and how rare that is. For rows worth "
            f"labelling: glue-ml label {source.table} --key {source.primary_key} --output labels.csv"
        )


def _show_chosen(rows: Sequence[LabeledRow], source: Source, output: str) -> None:
    sets = len({row.labeling_set_id for row in rows})
    files = " ".join(f"--labels {path}" for path in (*source.labels, output))
    say(f"{len(rows)} rows in {sets} labelling sets are in {output}. Now fill its column `label`:")
    say("  within one labeling_set_id, rows that mean the same thing get the same label (A, B, ...),")
    say("  a row that matches no other gets a label of its own, and a label left empty says nothing.")
    say(f"Keep it CSV in UTF-8. Then: glue-ml match {source.table} --key {source.primary_key} {files} --output matches")
