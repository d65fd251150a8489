"""The quickstart: make customers with known duplicates, label a few rows from the truth, match, and compare."""

from __future__ import annotations

import json
import string
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from glue_ml import storage
from glue_ml.catalog import read_tables, write_table
from glue_ml.console import say, show_matches, show_table
from glue_ml.domain.job import TableSpec
from glue_ml.domain.labels import LabeledRow, parse_labels
from glue_ml.errors import InputError
from glue_ml.local_run import Steps, choose_rows, write_labeling_file
from glue_ml.matching import Evaluation, FindMatches
from glue_ml.synthetic import ENTITY_ID, KEY, make_people, split_truth

ROUNDS = 3
ROWS_PER_ROUND = 100
MIN_ROWS = 100  #: Fewer hold too few duplicates to learn from.
REPORT = "quickstart.json"
SHOWN_GROUPS = 3
STEPS = (
    "start Spark",
    "make customers",
    "learn without labels",
    *(step for i in range(1, ROUNDS + 1) for step in (f"choose rows to label, round {i}", f"learn, round {i}")),
    "find matches",
    "write matches",
    "compare with the truth",
)


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

    labeled_rows: int
    quality: Quality
    evaluation: Evaluation
    counts: Mapping[str, int]
    groups: Sequence[Group]
    paths: Mapping[str, str]


def prepare_directory(directory: Path) -> None:
    """Make the directory ready, be it new or of an earlier quickstart; InputError if it is somebody else's."""
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory} is not a directory; name another one with --directory")
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()) and not (directory / REPORT).exists():
        raise InputError(f"{directory} holds files that are not from a quickstart; name an empty one with --directory")
    (directory / REPORT).write_text("{}", encoding="utf-8")


def run_quickstart(spark: SparkSession, directory: Path, *, rows: int, seed: int, bar: Steps) -> QuickstartReport:
    """Do the whole of it in a directory that `prepare_directory` made ready; every step is told to `bar`."""
    bar.begin()
    truth = _write_customers(directory, rows=rows, seed=seed)
    df = read_tables(spark, [TableSpec(path=str(directory / "customers.parquet"), format="parquet")])
    entities = dict(zip(truth.column(KEY).to_pylist(), truth.column(ENTITY_ID).to_pylist(), strict=True))
    find = FindMatches(primary_key=KEY, seed=seed, progress=bar.tell)
    bar.begin()
    model, labels = find.fit(df), list[LabeledRow]()
    for number in range(1, ROUNDS + 1):
        bar.begin()
        sets = choose_rows(model, df, rows=ROWS_PER_ROUND)
        labels += _answer(sets, entities, path=directory / f"labels-{number}.csv", columns=df.columns)
        bar.begin()
        model = find.fit(df, labels)
    model.save(str(directory / "model"))
    bar.begin()
    result = model.find_matches(df, scores=True)
    bar.begin()
    write_table(result.matches, str(directory / "matches"), format="parquet")
    bar.begin()
    matches = pq.read_table(directory / "matches")
    report = QuickstartReport(
        labeled_rows=len(labels),
        quality=measure_quality(matches, entities),
        evaluation=model.evaluate(),
        counts=result.counts,
        groups=pick_groups(matches, entities),
        paths=_name_paths(directory),
    )
    storage.write_bytes(str(directory / REPORT), _describe(report, rows=rows, seed=seed))
    return report


def show_report(report: QuickstartReport) -> None:
    """Print how good the matches are, some of them, and where everything is."""
    truth, estimate = report.quality, report.evaluation
    show_matches(report.counts, report.paths["the matches"], "parquet")
    say(f"Before that, {report.labeled_rows} rows were labelled from the truth, as a person would label them.")
    show_table(
        ("", "precision", "recall", "F1"),
        [
            ("by the truth, over all pairs of rows", *_round(truth.precision, truth.recall, truth.f1)),
            ("by the labels, over the hard pairs labelled", *_round(estimate.precision, estimate.recall, estimate.f1)),
        ],
        title="How good the matches are",
    )
    for group in report.groups:
        title = f"match_id {group.match_id}, confidence {group.confidence:.3f}"
        show_table(list(group.rows[0]), [list(row.values()) for row in group.rows], title=title)
    show_table(("what", "where"), list(report.paths.items()), title="Everything that was written")


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


def _write_customers(directory: Path, *, rows: int, seed: int) -> pa.Table:
    """Write the table that the engine sees, and beside it the truth, which it does not; return the truth."""
    customers, truth = split_truth(make_people(rows, seed=seed))
    sink = pa.BufferOutputStream()
    pq.write_table(customers, sink)
    storage.write_bytes(str(directory / "customers.parquet"), sink.getvalue().to_pybytes())
    sink = pa.BufferOutputStream()
    pa.csv.write_csv(truth, sink)
    storage.write_bytes(str(directory / "truth.csv"), sink.getvalue().to_pybytes())
    return truth


def _answer(
    rows: Sequence[LabeledRow], entities: Mapping[str, int], *, path: Path, columns: Sequence[str]
) -> list[LabeledRow]:
    """Label each row with a letter per person, write the file, and return it as read back."""
    letters: dict[str, dict[int, str]] = defaultdict(dict)
    labeled = []
    for row in rows:
        known = letters[row.labeling_set_id]
        label = known.setdefault(entities[row.key], _name_label(len(known)))
        labeled.append(replace(row, label=label))
    write_labeling_file(labeled, str(path), primary_key=KEY, columns=columns)
    return list(parse_labels(path.read_bytes(), primary_key=KEY, columns=columns).rows)


def _name_label(number: int) -> str:
    """Return A to Z, then A2 to Z2, and so on."""
    turn, place = divmod(number, 26)
    return string.ascii_uppercase[place] + (str(turn + 1) if turn else "")


def _count_pairs(groups: npt.NDArray[np.int64]) -> int:
    _, sizes = np.unique(groups, axis=0, return_counts=True)
    return int((sizes * (sizes - 1) // 2).sum())


def _name_paths(directory: Path) -> dict[str, str]:
    names = {
        "the customers": "customers.parquet",
        "the truth": "truth.csv",
        **{f"the labels of round {i}": f"labels-{i}.csv" for i in range(1, ROUNDS + 1)},
        "the model": "model",
        "the matches": "matches",
        "these numbers": REPORT,
    }
    return {what: str(directory / name) for what, name in names.items()}


def _describe(report: QuickstartReport, *, rows: int, seed: int) -> bytes:
    members = {
        "rows": rows,
        "seed": seed,
        "labeled_rows": report.labeled_rows,
        "quality": vars(report.quality),
        "evaluation": report.evaluation.to_dict(),
        "counts": dict(report.counts),
        "paths": dict(report.paths),
    }
    return json.dumps(members, indent=1, ensure_ascii=False).encode()
