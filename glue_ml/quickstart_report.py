"""What the quickstart tells at its end: how good the matches are, by the truth and by the labels, and some of them."""

from __future__ import annotations

import json
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from glue_ml.console import say, show_matches, show_table
from glue_ml.synthetic import KEY

SHOWN_GROUPS = 3


@dataclass(frozen=True)
class Quality:
    """Precision, recall and F1 over all pairs of rows that are in one group."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Group:
    """Rows that were merged, as a reader sees them; `person` is the truth."""

    match_id: int
    confidence: float
    rows: Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class QuickstartReport:
    """What came of it: quality by the truth and by the labels, some merged groups, and the paths written."""

    endpoint: str
    labeled_rows: int
    quality: Quality
    estimate: Quality
    counts: Mapping[str, int]
    groups: Sequence[Group]
    paths: Mapping[str, str]


def show_report(report: QuickstartReport) -> None:
    """Print how good the matches are, some of them, where everything is, and how to go on."""
    truth, estimate = report.quality, report.estimate
    show_matches(report.counts, report.paths["the matches"], "parquet")
    say(f"Before that, {report.labeled_rows} rows were labelled from the truth, as a person would label them.")
    show_table(
        ("", "precision", "recall", "F1"),
        [
            ("by the truth, over all pairs of rows", *_round(truth.precision, truth.recall, truth.f1)),
            ("as estimated from the labels", *_round(estimate.precision, estimate.recall, estimate.f1)),
        ],
        title="How good the matches are",
    )
    for group in report.groups:
        title = f"match_id {group.match_id}, confidence {group.confidence:.3f}"
        show_table(list(group.rows[0]), [list(row.values()) for row in group.rows], title=title)
    show_table(("what", "where"), list(report.paths.items()), title="Everything that was written")
    say(f"All of it went through the Glue API at {report.endpoint}, whose server has ended now. To look at it again:")
    say(f"  glue-ml serve --home {shlex.quote(report.paths['the home of the server'])}")
    say("  glue-ml transforms     (in another terminal)")


def _round(*values: float) -> tuple[str, ...]:
    return tuple(f"{value:.4f}" for value in values)


def measure_quality(matches: pa.Table, entities: Mapping[str, int]) -> Quality:
    """Compare the groups of a match output with who the rows really are, over all pairs of rows."""
    found = matches.column("match_id").to_numpy()
    true = np.array([entities[key] for key in matches.column(KEY).to_pylist()], dtype=np.int64)
    both = _count_pairs(np.stack([found, true], axis=1))
    found_pairs, true_pairs = _count_pairs(found[:, None]), _count_pairs(true[:, None])
    precision = both / found_pairs if found_pairs else 1.0
    recall = both / true_pairs if true_pairs else 1.0
    return Quality(precision, recall, 2 * precision * recall / (precision + recall) if both else 0.0)


def count_groups(matches: pa.Table) -> dict[str, int]:
    """How many rows and groups a match output has, and how many of them are merged."""
    _, sizes = np.unique(matches.column("match_id").to_numpy(), return_counts=True)
    merged = sizes[sizes > 1]
    counts = (matches.num_rows, sizes.size, merged.sum(), merged.size, sizes.max(initial=0))
    names = ("rows", "groups", "merged_rows", "merged_groups", "largest_group")
    return {name: int(number) for name, number in zip(names, counts, strict=True)}


def pick_groups(matches: pa.Table, entities: Mapping[str, int]) -> list[Group]:
    """Return some merged groups: the largest, and those that the model is least sure of."""
    rows: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in matches.sort_by(KEY).to_pylist():
        rows[row["match_id"]].append(row)
    merged = [
        Group(number, rows[number][0]["match_confidence_score"], [_show_row(row, entities) for row in rows[number]])
        for number in sorted(rows)
        if len(rows[number]) > 1
    ]
    largest = sorted(merged, key=lambda group: -len(group.rows))[:1]
    unsure = [group for group in sorted(merged, key=lambda group: group.confidence) if group not in largest]
    return largest + unsure[: SHOWN_GROUPS - 1]


def _show_row(row: Mapping[str, str | None], entities: Mapping[str, int]) -> dict[str, str]:
    def join(*names: str) -> str:
        return " ".join(filter(None, (row[name] for name in names)))

    return {
        "name": join("first_name", "last_name"),
        "address": join("street", "house_number", "postcode", "city"),
        "phone": join("phone"),
        "born": join("date_of_birth"),
        "person": str(entities[str(row[KEY])]),
    }


def _count_pairs(groups: npt.NDArray[np.int64]) -> int:
    _, sizes = np.unique(groups, axis=0, return_counts=True)
    return int((sizes * (sizes - 1) // 2).sum())


def describe_report(report: QuickstartReport, *, rows: int, seed: int) -> bytes:
    """The numbers and the paths as JSON, with what was asked for."""
    members: dict[str, Any] = {
        "rows": rows,
        "seed": seed,
        "labeled_rows": report.labeled_rows,
        "quality": vars(report.quality),
        "estimate": vars(report.estimate),
        "counts": dict(report.counts),
        "paths": dict(report.paths),
    }
    return json.dumps(members, indent=1, ensure_ascii=False).encode()
