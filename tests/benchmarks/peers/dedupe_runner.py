"""dedupe, with the labels that its own active learning asks for.

Runs within dedupe's environment; see `exchange` for what it is given and leaves.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

import dedupe
import numpy as np
from dedupe import variables

from tests.benchmarks.peers.columns import Column, Kind, clean_cell, profile_columns
from tests.benchmarks.peers.exchange import (
    KEY,
    SOURCE,
    Link,
    Row,
    Task,
    join_links,
    read_answers,
    read_rows,
    read_task,
    write_clusters,
    write_report,
)
from tests.benchmarks.peers.oracle import Oracle

THRESHOLD = 0.5  #: dedupe's own default for clusters and joins.

Records = dict[str, dict[str, Any]]


def define_field(column: Column, cells: Sequence[str | None]) -> list[Any]:
    """Return dedupe's variables for a column; none for one that tells nothing."""
    missing = column.fill < 1
    if column.kind is Kind.EMPTY:
        return []
    if column.kind is Kind.CATEGORY:
        return [variables.Exact(column.name, has_missing=missing)]
    text = variables.Text(column.name, corpus=[cell.lower() for cell in cells if cell], has_missing=missing)
    if column.kind is Kind.LONG_TEXT:
        return [text]
    if column.kind is Kind.TEXT:
        return [variables.String(column.name, has_missing=missing), text]
    if column.kind is Kind.NAME:
        return [variables.String(column.name, has_missing=missing)]
    return [variables.ShortString(column.name, has_missing=missing)]


def prepare_records(rows: Sequence[Row], columns: Sequence[Column]) -> Records:
    """Return the cleaned records, which dedupe's guide asks for, by their keys."""
    kinds = {column.name: column.kind for column in columns if column.kind is not Kind.EMPTY}
    clean = {str(row[KEY]): {name: clean_cell(row[name], kind) for name, kind in kinds.items()} for row in rows}
    return {key: {**record, KEY: key} for key, record in clean.items()}


def split_sources(rows: Sequence[Row], records: Records) -> list[Records]:
    """Return the records of each source apart; the first is the larger one, as a join of dedupe's assumes."""
    sources = {row[SOURCE] for row in rows}
    parts = [
        {str(row[KEY]): records[str(row[KEY])] for row in rows if row[SOURCE] == name}
        for name in sorted(map(str, sources))
    ]
    return sorted(parts, key=len, reverse=True)


def learn(matcher: Any, oracle: Oracle, deadline: float) -> None:
    """Answer what the matcher asks until the budget, the time for it or its questions are at an end."""
    while not oracle.is_spent and time.monotonic() < deadline:
        try:
            ((one, other),) = matcher.uncertain_pairs()
        except IndexError:  # it has no pair left to ask about
            return
        if not oracle.affords((one[KEY], other[KEY])):
            return
        kind = "match" if oracle.is_match(one[KEY], other[KEY]) else "distinct"
        matcher.mark_pairs({"match": [], "distinct": [], kind: [(one, other)]})


def resolve_one_table(fields: list[Any], records: Records, oracle: Oracle, deadline: float) -> dict[str, str]:
    """Cluster a table."""
    matcher = dedupe.Dedupe(fields)
    matcher.prepare_training(records)
    learn(matcher, oracle, deadline)
    matcher.train()
    groups = matcher.partition(records, THRESHOLD)
    return {key: str(number) for number, (keys, _) in enumerate(groups) for key in keys}


def link_tables(fields: list[Any], parts: list[Records], oracle: Oracle, link: Link, deadline: float) -> dict[str, str]:
    """Link two tables."""
    matcher = dedupe.RecordLink(fields)
    matcher.prepare_training(*parts)
    learn(matcher, oracle, deadline)
    matcher.train()
    constraint = "one-to-one" if link is Link.ONE_TO_ONE else "many-to-many"
    return join_links(pair for pair, _ in matcher.join(*parts, THRESHOLD, constraint))


def main(task: Task) -> None:
    """Cluster the records of a task."""
    random.seed(task.seed)
    np.random.seed(task.seed)
    deadline = time.monotonic() + task.learning_seconds
    rows, labels = read_rows(task.records), _answers(task)
    columns = profile_columns(rows)
    records, oracle = prepare_records(rows, columns), Oracle(labels, task.rows)
    fields = [field for column in columns for field in define_field(column, [row[column.name] for row in rows])]
    if task.link is Link.ANY:
        clusters = resolve_one_table(fields, records, oracle, deadline)
    else:
        clusters = link_tables(fields, split_sources(rows, records), oracle, task.link, deadline)
    write_clusters(task, clusters)
    write_report(task, {"threshold": THRESHOLD, **oracle.to_report(), "columns": {c.name: c.kind for c in columns}})


def _answers(task: Task) -> Mapping[str, str]:
    if task.answers is None:
        raise ValueError("dedupe learns from labels: give --answers")
    return read_answers(task.answers)


if __name__ == "__main__":
    main(read_task())
