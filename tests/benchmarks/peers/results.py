"""One peer's result on one data set, and all of them as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from rich.table import Table

_NUMBERS = ("rows", "F1", "precision", "recall", "seconds", "memory (GB)")


@dataclass(frozen=True)
class Result:
    """How one peer did on one data set.

    `outcome` is "finished", or how the run ended without a result: the scores are then None. `rows_labelled` is what
    was really asked, which may be less than `rows`, the budget. `peak_memory` is in bytes, `report` is the peer's own.
    """

    set: str
    peer: str
    rows: int
    seed: int
    outcome: str
    rows_labelled: int
    seconds: float
    peak_memory: int
    f1: float | None = None
    precision: float | None = None
    recall: float | None = None
    report: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON members."""
        return asdict(self)

    @classmethod
    def from_dict(cls, members: Mapping[str, Any]) -> Self:
        """Rebuild a result from `to_dict`."""
        return cls(**members)


def add_result(results: Sequence[Result], new: Result) -> list[Result]:
    """Return the results with the new one in the place of an older one of the same run, or at the end."""
    kept = [old for old in results if _run(old) != _run(new)]
    return [*kept, new]


def _run(result: Result) -> tuple[str, str, int, int]:
    return result.set, result.peer, result.rows, result.seed


def read_results(path: Path) -> list[Result]:
    """Return the results in a file, none if it does not exist."""
    if not path.exists():
        return []
    return [Result.from_dict(members) for members in json.loads(path.read_text(encoding="utf-8"))]


def write_results(path: Path, results: Sequence[Result]) -> None:
    """Write what `read_results` reads."""
    path.write_text(json.dumps([result.to_dict() for result in results], indent=1), encoding="utf-8")


def draw_table(results: Sequence[Result]) -> Table:
    """Return the results as a table, those of one set together."""
    table = Table("set", "peer")
    for heading in _NUMBERS:
        table.add_column(heading, justify="right")
    for name in dict.fromkeys(result.set for result in results):
        for result in (result for result in results if result.set == name):
            table.add_row(*format_row(result))
        table.add_section()
    return table


def format_row(result: Result) -> list[str]:
    """Return the cells of a result's row."""
    scores = [result.f1, result.precision, result.recall]
    told = [f"{score:.4f}" if score is not None else "-" for score in scores]
    if result.outcome != "finished":
        told[0] = result.outcome
    numbers = [f"{result.seconds:.0f}", f"{result.peak_memory / 1e9:.1f}"]
    return [result.set, result.peer, str(result.rows_labelled), *told, *numbers]
