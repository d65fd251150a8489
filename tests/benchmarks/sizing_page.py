"""The tables of `deploy/sizing.md`, written by the cost model; a test keeps them in step with its constants.

python -m tests.benchmarks.sizing_page        # writes them anew
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from glue_ml.domain import cost_constants as constants
from glue_ml.domain.capacity import WORKER_TYPES
from glue_ml.domain.recommendation import largest_table, recommend_for
from glue_ml.domain.sizing import Cost, Workload, estimate_cost, parse_columns

PAGE = Path(__file__).parents[2] / "deploy" / "sizing.md"
ROWS = (1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
PERSONS = "name:6 code:1:3 phone email date"
PRODUCTS = "text:1 long_text:1:500 code:2 number:1"

EDGE_BYTES, ROUNDS = 16, 8  #: A pair of rows, sent once in each round of the components.
EDGES_PER_ROW = 0.5  #: What the second look keeps; measured on the persons.
ASK_BYTES = 36  #: A candidate pair with its context.
CODE_BYTES = 24  #: A value, word or key that a piece asks about, and the answer: its code and two counts.

Row = tuple[str, Callable[[Cost], str]]


def _gib(amount: float) -> str:
    if amount >= 2**40:
        return f"{amount / 2**40:,.1f} TiB"
    return f"{amount / 2**30:,.1f} GiB" if amount < 100 * 2**30 else f"{amount / 2**30:,.0f} GiB"


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:,.2f}" if hours < 10 else f"{hours:,.0f}"


def _stage(name: str) -> Callable[[Cost], str]:
    return lambda cost: _hours(next(stage.cpu_seconds for stage in cost.stages if stage.name == name))


MEMORY: tuple[Row, ...] = (
    ("candidate pairs", lambda cost: f"{cost.candidate_pairs / 1e6:,.0f} M"),
    ("table, as Arrow", lambda cost: _gib(cost.table_bytes)),
    ("prepared records", lambda cost: _gib(cost.records_bytes)),
    ("index", lambda cost: _gib(cost.index_bytes)),
    ("driver's Python process, at its peak", lambda cost: _gib(cost.driver_bytes)),
    ("file of both, one for each executor", lambda cost: _gib(cost.file_bytes)),
    ("shuffled: lists that meet", lambda cost: _gib(cost.shuffle_bytes)),
    ("sent to the driver: possible links", lambda cost: _gib(cost.rows * EDGES_PER_ROW * ASK_BYTES * 2)),
)
HOURS: tuple[Row, ...] = (
    ("read the table", _stage("read the table")),
    ("block", _stage("block")),
    ("list candidates", _stage("list candidates")),
    ("compare pairs", _stage("compare pairs")),
    ("score pairs", _stage("score pairs")),
    ("cluster (driver)", _stage("cluster")),
    ("write the matches", _stage("write the matches")),
    ("all", lambda cost: _hours(cost.cpu_seconds(shared=True) + cost.cpu_seconds(shared=False))),
)
PIECES: tuple[Row, ...] = (
    ("pieces", lambda cost: f"{cost.pieces:,}"),
    ("shuffled: the table, by ranges of its key", lambda cost: _gib(cost.table_bytes)),
    ("shuffled: what pieces ask of values, words and keys", lambda cost: _gib(_asked(cost) * CODE_BYTES)),
    ("shuffled: lists that meet", lambda cost: _gib(cost.shuffle_bytes)),
    ("files: rows with their counts, and the index", lambda cost: _gib(cost.file_bytes)),
    ("read of them to list candidates", lambda cost: _gib(cost.pieces * cost.index_bytes)),
    ("read of them to compare pairs", lambda cost: _gib(_gathered(cost) * cost.table_bytes / cost.rows)),
    (
        "shuffled: links, in all rounds of the components",
        lambda cost: _gib(cost.rows * EDGES_PER_ROW * EDGE_BYTES * ROUNDS),
    ),
    ("driver's Python process, at its peak", lambda cost: _gib(cost.driver_bytes)),
)


def _asked(cost: Cost) -> float:
    """Return how many distinct values, words and keys all pieces have: about as many as features of the index."""
    return cost.index_bytes / constants.FEATURE_BYTES


def _gathered(cost: Cost) -> float:
    return constants.GATHERED_ROWS * cost.candidate_pairs


def render(rows: Sequence[Row], *, in_pieces: bool = False) -> str:
    """Return a table in Markdown: a line for each of `rows`, a column for each of ROWS."""
    costs = [estimate_cost(Workload(count, parse_columns([PERSONS])), in_pieces=in_pieces) for count in ROWS]
    head = ["", *(f"{count // 10**6:,} M" for count in ROWS)]
    body = [[name, *(tell(cost) for cost in costs)] for name, tell in rows]
    return _lay_out([head, ["---"] + ["---:"] * len(ROWS), *body])


def render_workers() -> str:
    """Return a table in Markdown: how many rows each WorkerType holds."""
    sizes = [estimate_cost(Workload(10**6, parse_columns([columns]))) for columns in (PERSONS, PRODUCTS)]
    pieces = estimate_cost(Workload(10**6, parse_columns([PERSONS])), in_pieces=True)
    costs = (*sizes, pieces)
    lines = [[name, *(_round(largest_table(cost, name)) for cost in costs)] for name in WORKER_TYPES]
    head = ["WorkerType", "persons", "products", "persons in pieces"]
    return _lay_out([head, ["---", "---:", "---:", "---:"], *lines])


def render_recommendations() -> str:
    """Return a table in Markdown: what is recommended for persons, in an hour and in ten minutes."""
    lines = [["rows", "in an hour", "in ten minutes"], ["---:", "---", "---"]]
    for count in (100_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000, 100_000_000, 200_000_000):
        workload = Workload(count, parse_columns([PERSONS]))
        lines.append([f"{count:,}", *(_recommend(workload, seconds) for seconds in (3600.0, 600.0))])
    return _lay_out(lines)


def _recommend(workload: Workload, seconds: float) -> str:
    cost, chosen = recommend_for(workload, seconds=seconds)
    how = ", in pieces" if cost.pieces else ""
    late = "" if chosen.seconds <= seconds else ", too late"
    return f"{chosen.worker_type} x {chosen.number_of_workers}: {chosen.seconds / 60:.0f} min{how}{late}"


def _round(number: int) -> str:
    return f"{number / 1e6:.1f} M"


def _lay_out(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


TABLES: dict[str, Callable[[], str]] = {
    "memory": lambda: render(MEMORY),
    "hours": lambda: render(HOURS),
    "pieces": lambda: render(PIECES, in_pieces=True),
    "piece hours": lambda: render(HOURS, in_pieces=True),
    "workers": render_workers,
    "recommendations": render_recommendations,
}


def fill_in(page: str) -> str:
    """Return the page with its tables as the model tells them; they stand between comments that name them."""
    for name, make in TABLES.items():
        head, _, rest = page.partition(f"<!-- {name} -->\n")
        page = f"{head}<!-- {name} -->\n{make()}\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
    return page


def main() -> int:
    """Write the tables of the page anew."""
    PAGE.write_text(fill_in(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
