"""The constants of the cost model (`glue_ml/domain/cost_constants.py`), measured anew on this machine and printed.

    python -m tests.benchmarks.cost_constants --rows 100000 --model /tmp/people-model

CPU seconds of one core, without Spark, and bytes of the arrays. Two tables: persons of the project's generator, for
what a row and a pair cost, and the same persons with an article (code, price, class, title, description), so that there
is a column of every kind, for what a column costs. The model learns from 500 labelled rows of 10,000 other persons and
is kept in the folder of `--model`. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from glue_ml.domain.labels import LabeledRow
from glue_ml.matching import FindMatches
from glue_ml.matching.blocking import build_index, choose_budget, list_candidates, list_pairs
from glue_ml.matching.clustering import ClusterOptions, cluster
from glue_ml.matching.comparison import compare
from glue_ml.matching.mapped_values import lay_out
from glue_ml.matching.model import MatchModel, load_model, save_model
from glue_ml.matching.pipeline import PAIRS_PER_BATCH, Blocked, DriverCandidates
from glue_ml.matching.profile import ColumnProfile
from glue_ml.matching.records import Column, Records, prepare_records
from glue_ml.matching.scoring import look_again, look_first
from glue_ml.matching.sparse_view import SparseView
from glue_ml.synthetic import make_people, split_truth
from glue_ml.synthetic.people import ENTITY_ID, KEY
from tests.benchmarks.sparkless import Frame, collect_rows, without_spark

T = TypeVar("T")
LABELLED_ROUNDS = 5
TRAINING_ROWS = 10_000
TITLE_WORDS, DESCRIPTION_WORDS, VOCABULARY = 7, 45, 30_000
DIALS = (0.0, 0.5, 1.0)  #: AccuracyCostTradeoffs at which candidates are counted.


def make_tables(rows: int, *, seed: int) -> tuple[pa.Table, pa.Table]:
    """Return persons, and persons with an article each; records of one person have nearly the same article."""
    people, truth = split_truth(make_people(rows, seed=seed))
    people = pa.table({name: people.column(name).cast(pa.string()) for name in people.column_names})
    entity = truth.column(ENTITY_ID).to_numpy()
    articles = people
    for name, values in _write_articles(entity, np.random.default_rng(seed)).items():
        articles = articles.append_column(name, pa.array(values, pa.string()))
    return people, articles


def _write_articles(entity: npt.NDArray[np.int64], rng: np.random.Generator) -> dict[str, list[str]]:
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(letters[rng.integers(0, 26, size)]) for size in rng.integers(3, 10, VOCABULARY)]
    shares = np.cumsum(1.0 / (np.arange(VOCABULARY) + 4.0))
    drawn = np.searchsorted(shares / shares[-1], rng.random((int(entity.max()) + 1, DESCRIPTION_WORDS)))
    dropped = rng.integers(0, DESCRIPTION_WORDS, len(entity))
    texts = [[words[w] for w in drawn[e]] for e in entity]
    for text, place in zip(texts, dropped, strict=True):
        del text[place]
    return {
        "class": [f"class {number % 23}" for number in entity],
        "article": [f"{words[number % VOCABULARY][:2]}{number * 7919 % 9_999_991:07d}" for number in entity],
        "price": [f"{number * 104_729 % 300_000 / 100:.2f}" for number in entity],
        "title": [" ".join(text[:TITLE_WORDS]) for text in texts],
        "description": [" ".join(text) for text in texts],
    }


def train_model(folder: Path) -> MatchModel:
    """Return the model of `folder`, made if it is not there."""
    if not folder.exists():
        table, truth = split_truth(make_people(TRAINING_ROWS, seed=99))
        entity = dict(zip(truth.column(KEY).to_pylist(), truth.column(ENTITY_ID).to_pylist(), strict=True))
        with without_spark():
            save_model(_learn(Frame(table), entity), str(folder))
    return load_model(str(folder))


def _learn(frame: Any, entity: Mapping[str, int]) -> MatchModel:
    find, labels = FindMatches(primary_key=KEY, semantic_encoder="off"), list[LabeledRow]()
    model = find.fit(frame)
    for _ in range(LABELLED_ROUNDS):
        asked = collect_rows(model.labeling_sets(frame, rows=100), ["labeling_set_id", KEY])
        labels += [LabeledRow(row["labeling_set_id"], str(entity[row[KEY]]), row[KEY]) for row in asked]
        model = find.fit(frame, labels)
    return model.model_


def measure_stages(table: pa.Table, model: MatchModel) -> Iterator[tuple[str, float]]:
    """Yield what a row, a multiply-add, a candidate pair and an edge cost: bytes, and microseconds of a core."""
    rows = len(table)
    records, seconds = _time(lambda: prepare_records(table, model.profiles))
    yield "prepare, us a row", seconds / rows * 1e6
    index, seconds = _time(lambda: build_index(records, choose_budget(None), source=model.source_column))
    yield "build the index, us a row", seconds / rows * 1e6
    yield from measure_memory(table, records)
    yield "index, bytes a row", _file_bytes(index) / rows
    views = [view for view in index.views if isinstance(view, SparseView)]
    for view in views:
        yield f"index of {view.name}, features a row", view.matrix.nnz / rows
    work = sum(float((np.bincount(view.matrix.indices).astype(np.float64) ** 2).sum()) for view in views)
    yield "multiply-adds a row", work / rows
    candidates = DriverCandidates(Blocked(records, index))
    _, seconds = _time(lambda: candidates.batches)
    pairs = sum(len(batch.lo) for batch in candidates.batches)
    yield "list candidates, us a row", seconds / rows * 1e6
    yield "candidate pairs a row", pairs / rows
    yield "rows of lists a pair", len(list_candidates(index, np.arange(rows)).row) / pairs
    _, seconds = _time(lambda: [batch.compared for batch in candidates.batches])
    yield "compare, us a pair", seconds / pairs * 1e6
    yield from _measure_looks(candidates, model, pairs)


def _measure_looks(candidates: DriverCandidates, model: MatchModel, pairs: int) -> Iterator[tuple[str, float]]:
    floor = ClusterOptions().island_probability(model.threshold)
    (again, _), seconds = _time(lambda: look_first(candidates, model, floor=floor))
    yield "first look, us a pair", seconds / pairs * 1e6
    rows = len(candidates.blocked.records)
    yield "pairs of the second look a row", len(again) / rows
    edges, seconds = _time(lambda: look_again(candidates, model, again))
    yield "second look, us a pair of it", seconds / len(again) * 1e6
    lo, hi, probability = (edges.column(name).to_numpy() for name in ("lo", "hi", "probability"))

    def score(left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        return model.plain_probability(candidates.blocked.records, left, right)

    _, seconds = _time(lambda: cluster(rows, lo, hi, probability, threshold=model.threshold, score_pairs=score))
    yield "cluster, us a row", seconds / rows * 1e6


def measure_memory(table: pa.Table, records: Records) -> Iterator[tuple[str, float]]:
    """Yield the bytes a row of the Arrow table and of the prepared records, as they lie in their file."""
    yield "Arrow table, bytes a row", table.nbytes / len(records)
    yield "records, bytes a row", _file_bytes(records) / len(records)


def _file_bytes(value: Any) -> int:
    with tempfile.TemporaryDirectory() as folder:
        lay_out(value, Path(folder) / "file")
        return (Path(folder) / "file").stat().st_size


def measure_candidates(table: pa.Table) -> Iterator[tuple[str, float]]:
    """Yield the candidate pairs a row by AccuracyCostTradeoff."""
    records = prepare_records(table)
    for dial in DIALS:
        budget = choose_budget(dial)
        lo, _, _ = list_pairs(build_index(records, budget))
        yield f"candidate pairs a row over top_k, dial {dial}", len(lo) / len(records) / budget.top_k


def measure_columns(table: pa.Table, *, without: Sequence[str] = ()) -> Iterator[tuple[str, dict[str, float | str]]]:
    """Yield what each column costs alone: characters, words and share of distinct values; CPU a row and a pair.

    A pair is a candidate pair of the whole table: whether cells are equal or alike decides what comparing them costs.
    """
    records = prepare_records(table)
    lo, hi, _ = list_pairs(build_index(records, choose_budget(None)))
    chosen = np.sort(np.random.default_rng(0).choice(len(lo), min(len(lo), 10 * PAIRS_PER_BATCH), replace=False))
    lo, hi = lo[chosen], hi[chosen]
    for column in records.columns:
        name = column.profile.name
        if name in without:
            continue
        alone = _prepare_alone(table, column.profile)
        _, seconds = _time(lambda alone=alone: _compare(alone, lo, hi))  # type: ignore[misc]
        _, preparing = _time(lambda p=column.profile: _prepare_alone(table, p))  # type: ignore[misc]
        yield (
            name,
            {
                "kind": column.profile.kind.value,
                "chars": sum(map(len, column.values.to_pylist())) / max(len(column.values), 1),
                "words": 0.0 if column.words is None else column.words.nnz / max(len(column.values), 1),
                "distinct": len(column.values) / len(records),
                "fill": column.profile.fill,
                "bytes": _column_bytes(column) / len(records),
                "prepare_us": preparing / len(records) * 1e6,
                "pair_us": seconds / len(lo) * 1e6,
            },
        )


def _prepare_alone(table: pa.Table, profile: ColumnProfile) -> Records:
    return prepare_records(table.select([table.column_names[0], profile.name]), [profile])


def _compare(records: Records, lo: npt.NDArray[np.int64], hi: npt.NDArray[np.int64]) -> None:
    for start in range(0, len(lo), PAIRS_PER_BATCH):
        compare(records, lo[start : start + PAIRS_PER_BATCH], hi[start : start + PAIRS_PER_BATCH])


def _matrix_bytes(matrix: Any) -> int:
    return 0 if matrix is None else int(matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes)


def _column_bytes(column: Column) -> int:
    arrays = (column.codes, column.rarity, column.same, column.numbers, column.dates)
    return int(column.values.nbytes) + sum(a.nbytes for a in arrays if a is not None) + _matrix_bytes(column.words)


def _time(function: Callable[[], T]) -> tuple[T, float]:
    began = time.process_time()
    made = function()
    return made, time.process_time() - began


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure from the command line; print what was measured as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--model", type=Path, default=Path("/tmp/glue-ml-cost-model"))
    parser.add_argument("--only", choices=["stages", "candidates", "columns"], nargs="*", default=["stages", "columns"])
    given = parser.parse_args(arguments)
    people, articles = make_tables(given.rows, seed=1)
    measured: dict[str, Any] = {"rows": given.rows}
    if "stages" in given.only:
        measured["stages"] = dict(measure_stages(people, train_model(given.model)))
    if "candidates" in given.only:
        measured["candidates"] = dict(measure_candidates(people))
    if "columns" in given.only:
        known = people.column_names
        measured["columns"] = dict(measure_columns(people)) | dict(measure_columns(articles, without=known))
    sys.stdout.write(json.dumps(measured, indent=1, default=float) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
