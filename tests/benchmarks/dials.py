"""What the two tradeoffs of a transform do, on data sets with truth.

    python -m tests.benchmarks.dials --data ../shared/data abt_buy febrl3 --rows 300

AccuracyCostTradeoff at 0, 0.25, 0.5, 0.75 and 1: the candidate pairs per record, the share of the true pairs among them
(blocking recall), and the time that listing and comparing them takes; all three should rise, or stay where recall is
full. PrecisionRecallTradeoff at five settings: precision and recall of the pairs that the groups imply, after `--rows`
labelled rows. Works on the driver alone, without Spark. A data set is a folder as `quality` reads it.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from glue_ml.domain.labels import LabeledRow
from glue_ml.matching.blocking import build_index, choose_budget
from glue_ml.matching.clustering import cluster
from glue_ml.matching.labeling import SET_ROWS, choose_neighbourhoods, deal_sets, name_set
from glue_ml.matching.model import MatchModel, Settings
from glue_ml.matching.pipeline import Blocked, DriverCandidates
from glue_ml.matching.records import Records, prepare_records
from glue_ml.matching.scoring import count_candidate_patterns, score_edges, score_pool
from glue_ml.matching.training import find_source_column, learn, locate_pairs
from glue_ml.matching.unsupervised import fit_unsupervised
from tests.benchmarks.quality import CROSS, measure, read_truth

STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Bench:
    """A data set: its prepared records, each row's entity and source, and whether only pairs across sources count."""

    records: Records
    entity: dict[str, str]
    source: list[str]
    cross: bool

    @classmethod
    def read(cls, folder: Path) -> Bench:
        """Read records.csv and truth.csv."""
        with (folder / "records.csv").open(newline="", encoding="utf-8") as file:
            rows = sorted(csv.DictReader(file), key=lambda row: row["rec_id"])
        table = pa.table({name: pa.array([row[name] or None for row in rows], pa.string()) for name in rows[0]})
        records = prepare_records(table.select(["rec_id", *(n for n in table.column_names if n != "rec_id")]))
        return cls(records, read_truth(folder), [row["source"] for row in rows], folder.name in CROSS)

    def open(self, accuracy: float, source: str | None = None) -> DriverCandidates:
        """Return the candidate pairs at an AccuracyCostTradeoff."""
        return DriverCandidates(
            Blocked(self.records, build_index(self.records, choose_budget(accuracy), source=source))
        )

    def measure_recall(self, candidates: DriverCandidates) -> float:
        """Return the share of the true pairs that are candidates."""
        names = np.unique([self.entity[key] for key in self.records.keys.to_pylist()], return_inverse=True)[1]
        sources = np.unique(self.source, return_inverse=True)[1]
        lo, hi = (np.concatenate([getattr(batch, side) for batch in candidates.batches]) for side in ("lo", "hi"))
        found = (names[lo] == names[hi]) & ((sources[lo] != sources[hi]) | (not self.cross))
        sizes = np.unique(names, return_counts=True)[1]
        total = int((sizes * (sizes - 1) // 2).sum())
        if self.cross:
            within = np.unique(np.stack([names, sources]), axis=1, return_counts=True)[1]
            total -= int((within * (within - 1) // 2).sum())
        return float(found.sum()) / max(total, 1)

    def score(self, labels: Rows) -> dict[str, float]:
        """Return precision, recall and F1 of groups, given each row's."""
        keys = self.records.keys.to_pylist()
        return measure(list(zip(keys, self.source, labels.tolist(), strict=True)), self.entity, cross=self.cross)


def turn_accuracy(bench: Bench) -> Iterator[dict[str, Any]]:
    """Yield what each AccuracyCostTradeoff comes to."""
    for accuracy in STEPS:
        started = time.perf_counter()
        candidates = bench.open(accuracy)
        pairs = sum(len(batch.compared) for batch in candidates.batches)
        seconds = time.perf_counter() - started
        yield {
            "accuracy_cost": accuracy,
            "pairs_per_record": round(pairs / len(bench.records), 2),
            "blocking_recall": round(bench.measure_recall(candidates), 4),
            "seconds": round(seconds, 2),
        }


def teach(bench: Bench, rows: int, seed: int) -> tuple[MatchModel, DriverCandidates]:
    """Return a model of about `rows` labelled rows, bought in labelling sets of a hundred, and its candidates."""
    (taught,) = teach_in_steps(bench, [rows], seed)
    return taught


def teach_in_steps(bench: Bench, budgets: list[int], seed: int) -> Iterator[tuple[MatchModel, DriverCandidates]]:
    """Yield what `teach` returns at each number of rows, rising; labels are kept from one to the next."""
    candidates = bench.open(0.5)
    start = fit_unsupervised(bench.records, count_candidate_patterns(candidates), seed=seed)
    base = model = MatchModel(Settings("rec_id", seed=seed), bench.records.profiles, start)
    labels: list[LabeledRow] = []
    for rows in budgets:
        while len(labels) < rows:
            bought = _buy_labels(bench, candidates, model, labels, min(100, rows - len(labels)))
            if not bought:
                break
            labels += bought
            source = find_source_column(bench.records, locate_pairs(bench.records, labels))
            candidates = bench.open(0.5, source)
            model = base.with_learned(learn(base, candidates, labels, source=source))
        yield model, candidates


def _buy_labels(
    bench: Bench, candidates: DriverCandidates, model: MatchModel, labels: list[LabeledRow], rows: int
) -> list[LabeledRow]:
    pool, known = score_pool(candidates, model), bench.records.find_rows([row.key for row in labels])
    chosen = choose_neighbourhoods(pool, rows=rows, excluded=known, seed=len(labels))
    names = bench.records.keys.to_pylist()
    drawn, bought = [(names[one], names[other]) for one, other in chosen.drawn], []
    for members in deal_sets(chosen.groups, sets=max(1, round(rows / SET_ROWS)), seed=len(labels)):
        keys = [names[row] for row in members]
        bought += [LabeledRow(name_set(keys, drawn), bench.entity[key], key) for key in keys]
    return bought


def turn_precision(bench: Bench, rows: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield what each PrecisionRecallTradeoff comes to, with one model."""
    taught, candidates = teach(bench, rows, seed)
    for tradeoff in STEPS:
        model = replace(taught, settings=replace(taught.settings, precision_recall_tradeoff=tradeoff))
        edges, _ = score_edges(candidates, model)
        lo, hi, probability = (edges.column(name).to_numpy() for name in ("lo", "hi", "probability"))
        groups = cluster(
            len(bench.records), lo, hi, probability, threshold=model.threshold,
            score_pairs=lambda a, b, model=model: model.plain_probability(bench.records, a, b),  # type: ignore[misc]
        )  # fmt: skip
        scores = {name: round(value, 4) for name, value in bench.score(groups.labels).items()}
        yield {"precision_recall": tradeoff, "rows_labelled": rows, **scores}


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("GLUE_ML_DATA", "../shared/data")))
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for name in arguments.sets:
        bench = Bench.read(arguments.data / name)
        for result in (*turn_accuracy(bench), *turn_precision(bench, arguments.rows, arguments.seed)):
            print(json.dumps({"set": name, **result}), flush=True)  # noqa: T201  the benchmark's output


if __name__ == "__main__":
    main()
