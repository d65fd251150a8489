"""The command `glue-ml size`: which workers a table of some size needs, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from glue_ml.console import report_errors, show_remarks, show_table
from glue_ml.domain.recommendation import Recommendation, recommend_for
from glue_ml.domain.sizing import Cost, Workload, parse_columns

COLUMNS_HELP = (
    "What is compared: KIND, KIND:COUNT or KIND:COUNT:CHARACTERS of a value. Kinds: name, code, phone, email, date, "
    "number, category, text (a few words), long_text (a description)."
)


def size(
    rows: Annotated[int, typer.Option("--rows", metavar="N", min=2, help="The rows of the table.")],
    columns: Annotated[str, typer.Option("--columns", metavar="KIND:COUNT ...", help=COLUMNS_HELP)],
    more: Annotated[
        list[str], typer.Argument(metavar="[KIND:COUNT]...", help="Further columns, as --columns tells them.")
    ] = [],  # noqa: B006 - typer wants the default itself and copies it
    accuracy_cost: Annotated[
        float | None,
        typer.Option(
            "--accuracy-cost",
            metavar="0..1",
            min=0.0,
            max=1.0,
            help="The transform's AccuracyCostTradeoff; else 0.5. At 1 a row has ten times the candidates of 0.",
        ),
    ] = None,
    minutes: Annotated[
        float, typer.Option("--minutes", metavar="M", min=1.0, help="How long a run of FIND_MATCHES may take.")
    ] = 60.0,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the traceback of an error.")] = False,
) -> None:
    """Tell the WorkerType and the NumberOfWorkers that a FIND_MATCHES run over a table should get, and why.

    \b
    A million customers with three names, a code, a phone, an e-mail address and a date:
        glue-ml size --rows 1000000 --columns name:3 code:1 phone:1 email:1 date:1

    \b
    200,000 products with a title, a description of 500 characters and two codes:
        glue-ml size --rows 200000 --columns text:1 long_text:1:500 code:2

    The figures are those of a model on paper, measured on synthetic persons: expect to be off by half. The key is no
    column. It goes by a model that has been trained. What no worker holds as a whole is matched in pieces.
    """
    with report_errors(verbose=verbose):
        workload = Workload(rows, parse_columns([columns, *more]), accuracy_cost)
        cost, chosen = recommend_for(workload, seconds=minutes * 60)
        _show_cost(cost)
        _show_workers(chosen)
        show_remarks((*chosen.reasons, *cost.limits))


def _show_cost(cost: Cost) -> None:
    held = (("table", cost.table_bytes), ("records", cost.records_bytes), ("index", cost.index_bytes))
    sizes = [(name, _describe_bytes(amount)) for name, amount in (*held, ("shuffled", cost.shuffle_bytes))]
    show_table(("what", "size"), [*sizes, ("candidate pairs", f"{cost.candidate_pairs:,.0f}")], title="The run")
    stages = [
        (stage.name, "executors" if stage.shared else "driver", f"{stage.cpu_seconds:,.1f}") for stage in cost.stages
    ]
    show_table(("stage", "where", "CPU seconds"), stages)


def _show_workers(chosen: Recommendation) -> None:
    resources = chosen.resources
    heap, beside = resources.executor_memory_mb / 1024, resources.executor_overhead_mb / 1024
    show_table(
        ("what", "recommended"),
        [
            ("WorkerType", chosen.worker_type),
            ("NumberOfWorkers", str(chosen.number_of_workers)),
            ("which is", f"{chosen.dpu:g} DPU"),
            ("executors", f"{resources.executors}, and a driver of the same size"),
            ("each", f"{resources.executor_cores} cores, {heap:.1f} GiB of heap and {beside:.1f} GiB beside it"),
            ("expected time", f"{chosen.seconds / 60:,.1f} minutes"),
        ],
    )  # fmt: skip


def _describe_bytes(amount: float) -> str:
    return f"{amount / 2**30:,.1f} GiB" if amount >= 2**30 else f"{amount / 2**20:,.1f} MiB"
