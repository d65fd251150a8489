"""The table that all are measured on: synthetic persons with their truth, and the quality of clusters against it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from glue_ml.synthetic import make_people, split_truth
from glue_ml.synthetic.people import ENTITY_ID, KEY

SEED = 1
SAMPLE_ROWS = 10_000  #: Rows that a model is trained on.
FILES = 8  #: Of the table, so that it is read by more than one task.
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Table:
    """Where the records are (a folder of Parquet files), a sample of them, and the truth (key, entity_id)."""

    rows: int
    records: Path
    sample: Path
    truth: Path


def make_table(rows: int, folder: Path) -> Table:
    """Return the table of so many rows, made in `folder` unless it is there."""
    place = folder / f"people-{rows}"
    table = Table(rows, place / "records", place / "sample.parquet", place / "truth.parquet")
    if not table.truth.exists():
        people = make_people(rows, seed=SEED)
        records, truth = split_truth(people)
        table.records.mkdir(parents=True, exist_ok=True)
        step = -(-max(rows, 1) // FILES)
        for number in range(FILES):
            pq.write_table(records.slice(number * step, step), table.records / f"part-{number}.parquet")
        pq.write_table(sample_people(people).drop_columns([ENTITY_ID]), table.sample)
        pq.write_table(truth, table.truth)
    return table


def sample_people(people: pa.Table, rows: int = SAMPLE_ROWS) -> pa.Table:
    """Return about so many rows: all records of some persons, who are a random part of all.

    Rows drawn one by one from a large table would hold next to no pair of records of one person.
    """
    entity = people.column(ENTITY_ID).to_numpy()
    persons = np.unique(entity)
    share = min(1.0, rows / max(len(entity), 1))
    chosen = np.random.default_rng(SEED).random(len(persons)) < share
    return people.filter(pa.array(chosen[np.searchsorted(persons, entity)]))


def read_entities(table: Table) -> dict[str, str]:
    """Return the person of each record, as text."""
    truth = pq.read_table(table.truth)
    return dict(zip(truth.column(KEY).to_pylist(), map(str, truth.column(ENTITY_ID).to_pylist()), strict=True))


def measure_clusters(table: Table, clusters: pa.Table) -> dict[str, float]:
    """Return precision, recall and F1 of clusters (key, cluster) over the pairs that they imply.

    ValueError if a record has no cluster or two.
    """
    truth = pq.read_table(table.truth)
    place = pc.index_in(truth.column(KEY), value_set=clusters.column(0).combine_chunks())
    if place.null_count or len(clusters) != len(truth):
        raise ValueError(f"{len(clusters)} records have a cluster, of {len(truth)}, of which {place.null_count} none")
    cluster = _number(clusters.column(1).combine_chunks().take(place.combine_chunks()))
    entity = _number(truth.column(ENTITY_ID).combine_chunks())
    both = count_pairs(cluster * (1 + entity.max(initial=0)) + entity)
    found, true = count_pairs(cluster), count_pairs(entity)
    return {
        "precision": round(both / max(found, 1), 5),
        "recall": round(both / max(true, 1), 5),
        "f1": round(2 * both / max(found + true, 1), 5),
    }


def count_pairs(names: Ints) -> int:
    """Return the number of pairs of positions with equal names."""
    sizes = np.unique(names, return_counts=True)[1].astype(np.int64)
    return int((sizes * (sizes - 1) // 2).sum())


def _number(names: pa.Array) -> Ints:
    return np.asarray(names.dictionary_encode().indices, dtype=np.int64)
