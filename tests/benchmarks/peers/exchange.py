"""What a peer's process is given and what it leaves: files, so that a peer needs nothing of this project's packages.

Given: records.csv (rec_id, source, attributes; an empty cell is a missing value), for peers that learn answers.csv
(rec_id, label), a budget of labelled rows, and what is known of the sources.
Left: clusters.csv (rec_id, cluster), clusters@VARIANT.csv of other settings, if any, and report.json with whatever
the peer has to tell about its run.
Standard library only: this module is imported within every peer's environment.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

KEY, SOURCE = "rec_id", "source"

Row = dict[str, str | None]


class Link(StrEnum):
    """Which records can be equal, as far as somebody who knows the sources can tell."""

    ANY = "any"
    ACROSS = "across"  #: Only pairs of different sources are asked for, each record with any number of others.
    ONE_TO_ONE = "one_to_one"  #: Besides, each source lists an entity once, or nearly so.


@dataclass(frozen=True)
class Task:
    """One data set for one peer. `answers` is None for those that use no labels; `rows` is the budget of labels.

    `work` is a folder of the run's own, in which the results are left. `rules` is a file of blocking rules written by
    hand, for peers that take them. A peer asks no more questions once `learning_seconds` have passed.
    """

    records: Path
    work: Path
    answers: Path | None = None
    rows: int = 0
    link: Link = Link.ANY
    seed: int = 0
    rules: Path | None = None
    learning_seconds: float = 600

    def to_arguments(self) -> list[str]:
        """Return the command line that `read_task` reads."""
        named = {"--records": self.records, "--work": self.work, "--answers": self.answers, "--rules": self.rules}
        paths = [part for name, path in named.items() if path is not None for part in (name, str(path.resolve()))]
        numbers = ["--rows", self.rows, "--seed", self.seed, "--learning-seconds", self.learning_seconds]
        return [*paths, *map(str, numbers), "--link", self.link]


def read_task(arguments: Sequence[str] | None = None) -> Task:
    """Return the task that a peer's process was started with."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--answers", type=Path)
    parser.add_argument("--rules", type=Path)
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learning-seconds", type=float, default=600)
    parser.add_argument("--link", type=Link, default=Link.ANY)
    return Task(**vars(parser.parse_args(arguments)))


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a CSV file in their order; an empty or blank cell is None."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: (cell or "").strip() or None for name, cell in row.items()} for row in csv.DictReader(file)]


def attributes(rows: Sequence[Row]) -> list[str]:
    """Return the names of the columns that describe a record, which key and source do not."""
    return [name for name in (rows[0] if rows else {}) if name not in {KEY, SOURCE}]


def read_answers(path: Path) -> dict[str, str]:
    """Return the label of each record: equal labels mean equal entities."""
    with path.open(newline="", encoding="utf-8") as file:
        return {row["rec_id"]: row["label"] for row in csv.DictReader(file)}


def write_answers(path: Path, entity: Mapping[str, str]) -> None:
    """Write what `read_answers` reads."""
    _write(path, ("rec_id", "label"), entity.items())


def read_clusters(path: Path) -> dict[str, str]:
    """Return the cluster of each record that the peer gave one."""
    with path.open(newline="", encoding="utf-8") as file:
        return {row["rec_id"]: row["cluster"] for row in csv.DictReader(file)}


def write_clusters(task: Task, clusters: Mapping[str, object], variant: str | None = None) -> None:
    """Leave the cluster of each record; those of another setting of the same model are told by a variant's name."""
    name = f"clusters@{variant}.csv" if variant else "clusters.csv"
    _write(task.work / name, ("rec_id", "cluster"), clusters.items())


def find_variants(work: Path) -> dict[str, Path]:
    """Return the files of clusters that were left, by the name of the variant, which is empty for the first one."""
    return {path.stem.partition("@")[2]: path for path in sorted(work.glob("clusters*.csv"))}


def write_report(task: Task, report: Mapping[str, object]) -> None:
    """Leave what the peer has to tell about its run: rows and pairs labelled, thresholds, notes."""
    (task.work / "report.json").write_text(json.dumps(report), encoding="utf-8")


def join_links(links: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the connected component of each linked record, named by its smallest member."""
    parent: dict[str, str] = {}

    def find(node: str) -> str:
        while (above := parent.setdefault(node, node)) != node:
            parent[node] = node = parent[above]
        return node

    for one, other in links:
        low, high = sorted((find(one), find(other)))
        parent[high] = low
    return {node: find(node) for node in list(parent)}


def _write(path: Path, header: tuple[str, str], rows: Iterable[tuple[object, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
