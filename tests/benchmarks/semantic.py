"""What the semantic view finds and costs: recall of the ten nearest, seconds to encode, and the search beyond exact.

    python -m tests.benchmarks.semantic --data ../shared/data amazon_google abt_buy dblp_scholar --json out.json

For each data set of two sources, each encoder and each choice of columns (the first that `choose_semantic_columns`
takes, then all of them, joined): the share of the true pairs across the sources where one is among the ten nearest of
the other; and the share of the exact search's answers that the search in a partition finds, whatever the size. Seconds
are CPU seconds. Large sets are sampled by whole entities, those with a true pair first, to `--rows` records.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import sys
import time
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from glue_ml.matching.nearest import Neighbours, choose_partition, nearest
from glue_ml.matching.profile import ColumnProfile, profile_column
from glue_ml.matching.semantic import Encoder, choose_semantic_columns, find_encoder

TOP_K = 10
Row = dict[str, str]
Pairs = set[tuple[int, int]]


def read_sample(folder: Path, rows: int) -> tuple[list[Row], Pairs]:
    """Return at most about `rows` records and their true pairs across sources, by place."""
    with (folder / "truth.csv").open(newline="", encoding="utf-8") as file:
        entity = {row["rec_id"]: row["entity_id"] for row in csv.DictReader(file)}
    groups: dict[str, list[Row]] = defaultdict(list)
    with (folder / "records.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            groups[entity[row["rec_id"]]].append(row)
    chosen: list[Row] = []
    for name in order_entities(groups, rows):
        chosen.extend(groups[name])
    return chosen, true_pairs(chosen, entity)


def order_entities(groups: dict[str, list[Row]], rows: int) -> list[str]:
    """Choose entities in an order by hash: with several sources up to half of `rows`, then any, up to `rows`."""
    ordered = sorted(groups, key=lambda name: hashlib.sha256(name.encode()).digest())
    linked = [name for name in ordered if len({row["source"] for row in groups[name]}) > 1]
    total = sum(len(group) for group in groups.values())
    chosen, size = dict[str, None](), 0
    for names, limit in ((linked, rows // 2), (ordered, rows)):
        for name in names:
            if (size < limit or total <= rows) and name not in chosen:
                chosen[name] = None
                size += len(groups[name])
    return list(chosen)


def true_pairs(rows: list[Row], entity: dict[str, str]) -> Pairs:
    """Return the pairs of places lo < hi with one entity and two sources."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        places[entity[row["rec_id"]]].append(place)
    pairs = (pair for group in places.values() for pair in combinations(group, 2))
    return {(a, b) for a, b in pairs if rows[a]["source"] != rows[b]["source"]}


def profile(rows: list[Row]) -> list[ColumnProfile]:
    """Profile the attributes of `rows`."""
    profiles = []
    for name in rows[0].keys() - {"rec_id", "source"}:
        counted = Counter(value for row in rows if (value := row[name].strip().lower()))
        counts = np.array(list(counted.values()), dtype=np.int64)
        profiles.append(profile_column(name, list(counted), counts, rows=len(rows)))
    return sorted(profiles, key=lambda column: list(rows[0]).index(column.name))


def entries(found: Neighbours) -> set[tuple[int, int]]:
    """Return (row, other) of each entry."""
    return set(zip(found.row.tolist(), found.other.tolist(), strict=True))


def recall_of(found: Neighbours, truth: Pairs) -> float:
    """Return the share of `truth` among `found`, in either direction."""
    listed = {(min(a, b), max(a, b)) for a, b in entries(found)}
    return round(len(truth & listed) / len(truth), 4)


def measure(rows: list[Row], truth: Pairs, encoder: Encoder, columns: tuple[str, ...]) -> dict[str, Any]:
    """Encode the joined `columns` and search."""
    texts = [" ".join(row[name] for name in columns) for row in rows]
    started = time.process_time()
    vectors = encoder.adapt(texts).encode(texts)
    encoded = time.process_time()
    source = np.unique([row["source"] for row in rows], return_inverse=True)[1].astype(np.int32)
    found = nearest(vectors, np.arange(len(rows)), TOP_K, exclude=source)
    searched = time.process_time()
    partition = choose_partition(vectors, seed=0, exact_rows=0)
    near = nearest(vectors, np.arange(len(rows)), TOP_K, exclude=source, partition=partition)
    return {
        "columns": list(columns),
        "recall": recall_of(found, truth),
        "encode_seconds_per_10k": round((encoded - started) / len(rows) * 10_000, 2),
        "search_seconds": round(searched - encoded, 2),
        "partition_seconds": round(time.process_time() - searched, 2),
        "partition_finds": round(len(entries(found) & entries(near)) / max(len(found.row), 1), 4),
        "partition_recall": recall_of(near, truth),
    }


def measure_set(folder: Path, encoders: dict[str, Encoder], rows: int) -> list[dict[str, Any]]:
    """Measure every encoder on one data set."""
    sample, truth = read_sample(folder, rows)
    columns = choose_semantic_columns(profile(sample))
    choices = dict.fromkeys([columns[:1], columns])
    about = {"set": folder.name, "rows": len(sample), "pairs": len(truth)}
    return [
        {**about, "encoder": name, **measure(sample, truth, encoder, choice)}
        for name, encoder in encoders.items()
        for choice in choices
        if choice
    ]


def find_encoders(names: list[str]) -> dict[str, Encoder]:
    """Return the encoders that there are."""
    found: dict[str, Encoder] = {}
    for name in names:
        if encoder := find_encoder(name):
            found[name] = encoder
    return found


def main() -> None:
    """Measure the data sets named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--data", default=os.environ.get("GLUE_ML_DATA", "../shared/data"), type=Path)
    parser.add_argument("--encoders", nargs="+", default=["static", "sentence"])
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    encoders, results = find_encoders(options.encoders), list[dict[str, Any]]()
    for name in options.sets:
        if not (options.data / name).is_dir():
            sys.stderr.write(f"{name}: not below {options.data}, skipped\n")
            continue
        for result in measure_set(options.data / name, encoders, options.rows):
            results.append(result)
            sys.stdout.write(json.dumps(result) + "\n")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
