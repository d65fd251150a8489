"""Public data sets with truth: their records, who is who, and how well groups or candidate pairs agree with it.

A data set is a folder with records.csv (rec_id, source, attributes) and truth.csv (rec_id, entity_id). Scores count all
pairs implied by equal match ids against all pairs of equal entities; for sets whose truth links sources only, pairs of
different sources.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

KEY, SOURCE = "rec_id", "source"
CROSS = frozenset({"febrl4", "abt_buy", "amazon_google", "dblp_acm", "dblp_scholar", "fodors_zagats", "imdb_tmdb"})

Rows = npt.NDArray[np.int64]


def read_truth(folder: Path) -> dict[str, str]:
    """Return the entity of each record."""
    with (folder / "truth.csv").open(newline="", encoding="utf-8") as file:
        return {row["rec_id"]: row["entity_id"] for row in csv.DictReader(file)}


def count_pairs(keys: Counter[Any]) -> int:
    """Return the number of pairs within groups of these sizes."""
    return sum(n * (n - 1) // 2 for n in keys.values())


def measure(rows: list[tuple[str, str, int]], entity: Mapping[str, str], *, cross: bool) -> dict[str, float]:
    """Return precision, recall and F1 of (key, source, match id) rows over the pairs they imply."""

    def count(*names: str) -> int:
        columns = [{"e": entity[key], "m": match, "s": source} for key, source, match in rows]
        within = count_pairs(Counter(tuple(row[n] for n in names) for row in columns))
        if not cross:
            return within
        return within - count_pairs(Counter(tuple(row[n] for n in (*names, "s")) for row in columns))

    true, found, both = count("e"), count("m"), count("e", "m")
    precision, recall = both / max(found, 1), both / max(true, 1)
    return {"precision": precision, "recall": recall, "f1": 2 * both / max(found + true, 1)}


@dataclass(frozen=True)
class PublicSet:
    """A data set: its records (columns of strings, the key first, in the order of the keys) and each key's entity."""

    name: str
    table: pa.Table
    entity: Mapping[str, str]
    cross: bool

    @classmethod
    def read(cls, folder: Path) -> PublicSet:
        """Read records.csv, in which an empty cell is a missing value, and truth.csv."""
        with (folder / "records.csv").open(newline="", encoding="utf-8") as file:
            rows = sorted(csv.DictReader(file), key=lambda row: row[KEY])
        names = [KEY, *(name for name in rows[0] if name != KEY)]
        table = pa.table({name: pa.array([row[name] or None for row in rows], pa.string()) for name in names})
        return cls(folder.name, table, read_truth(folder), folder.name in CROSS)

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def keys(self) -> list[str]:
        """The keys in order: row i of the engine's records has the i-th."""
        return list(self.table.column(KEY).to_pylist())

    @cached_property
    def sources(self) -> list[str]:
        """The source of each row."""
        return list(self.table.column(SOURCE).to_pylist())

    def score(self, groups: Mapping[str, int]) -> dict[str, float]:
        """Return precision, recall and F1 of the group of each key."""
        rows = [(key, source, groups[key]) for key, source in zip(self.keys, self.sources, strict=True)]
        return measure(rows, self.entity, cross=self.cross)

    def cover(self, lo: Rows, hi: Rows) -> dict[str, float]:
        """Return the share of the true pairs that are among the pairs of rows lo, hi: `blocking_recall`.

        And `connected_recall`, the share that chains of true pairs among them connect, which clustering may close.
        """
        names = np.unique([self.entity[key] for key in self.keys], return_inverse=True)[1]
        sources = np.unique(self.sources, return_inverse=True)[1]
        same = names[lo] == names[hi]
        found = same & ((sources[lo] != sources[hi]) | (not self.cross))
        links = coo_matrix((np.ones(int(same.sum())), (lo[same], hi[same])), shape=(len(self), len(self)))
        chained = connected_components(links, directed=False)[1]
        true = max(self._count_within(names, sources), 1)
        return {
            "blocking_recall": int(found.sum()) / true,
            "connected_recall": self._count_within(chained, sources) / true,
        }

    def _count_within(self, group: Rows, sources: Rows) -> int:
        """Count the pairs within groups; on linked sets those of different sources."""
        pairs = count_pairs(Counter(group.tolist()))
        if not self.cross:
            return pairs
        return pairs - count_pairs(Counter(zip(group.tolist(), sources.tolist(), strict=True)))


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sets and the folder that they are in."""
    parser.add_argument("sets", nargs="+", help="folders below --data")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("GLUE_ML_DATA", "../shared/data")))


def check_data_folder(folder: Path) -> None:
    """End the program with a sentence where there is no such folder."""
    if not folder.is_dir():
        sys.exit(f"no data at {folder}: name the folder of data sets with --data or GLUE_ML_DATA")
