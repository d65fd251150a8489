"""What 1 % new rows cost beside a full run: synthetic people, a trained model, both ways to the end on one session.

    python -m tests.benchmarks.incremental --rows 100000 --json out.json

The full run reads, matches and writes all rows. The incremental run reads the new rows, loads the state, matches what
the new rows touch, merges into the Delta table of matches and keeps the state. The state is made before,
and its cost is told too. Labels come from the generator's truth. `--check` matches everything once more and fails
unless the groups are the same.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from glue_ml.domain.labels import LabeledRow
from glue_ml.matching import FindMatches, FindMatchesModel
from glue_ml.matching.incremental import stack_tables
from glue_ml.matching.kept_matches import (
    attach_matches,
    keep_state,
    match_first,
    match_next,
    merge_into_delta,
    open_state,
)
from glue_ml.matching.match_state import match_again
from glue_ml.matching.table_version import follow, read_version
from glue_ml.session import open_session
from glue_ml.synthetic import make_people, split_truth
from glue_ml.synthetic.people import ENTITY_ID, KEY

TEACHING_ROWS = 5_000
LABELING_CALLS = 3  #: Of a hundred rows each.
T = TypeVar("T")


def write_rows(table: pa.Table, spark: SparkSession, place: Path) -> DataFrame:
    """Write the rows as Parquet and return them as Spark reads them."""
    spark.createDataFrame(table.to_pandas()).write.parquet(str(place))
    return spark.read.parquet(str(place))


def teach(spark: SparkSession, place: Path) -> FindMatchesModel:
    """Train on other people than those matched, by rows bought through labelling sets and answered from the truth."""
    table, truth = split_truth(make_people(TEACHING_ROWS, seed=99))
    entity = dict(zip(truth.column(KEY).to_pylist(), truth.column(ENTITY_ID).to_pylist(), strict=True))
    rows, find = write_rows(table, spark, place / "teaching"), FindMatches(primary_key=KEY)
    model, labels = find.fit(rows), list[LabeledRow]()
    for _ in range(LABELING_CALLS):
        asked = model.labeling_sets(rows, rows=100).collect()
        labels += [LabeledRow(row["labeling_set_id"], str(entity[row[KEY]]), row[KEY]) for row in asked]
        model = find.fit(rows, labels)
    return model


def measure(
    spark: SparkSession, rows: int, *, share: float, check: bool, deletion_vectors: bool, place: Path
) -> dict[str, float]:
    """Return the seconds of a full run, of making the state, and of the increment with its parts; and the ratio."""
    table, _ = split_truth(make_people(rows, seed=1))
    model, split = teach(spark, place), round(rows * (1 - share))
    everything = write_rows(table, spark, place / "all")
    old, new = (
        write_rows(part, spark, place / name) for name, part in (("old", table[:split]), ("new", table[split:]))
    )
    seconds: dict[str, float] = {"rows": rows, "new_rows": rows - split}

    def clock(name: str, work: Callable[[], T]) -> T:
        started = time.monotonic()
        done = work()
        seconds[name] = round(time.monotonic() - started, 2)
        sys.stderr.write(f"{name} {seconds[name]}\n")
        return done

    matches, state = str(place / "matches"), str(place / "state")
    clock("full", lambda: model.transform(everything).write.format("delta").save(str(place / "full")))
    first = clock("first", lambda: match_first(old, model))
    writer = attach_matches(old, first, primary_key=KEY, scores=False).write.format("delta")
    writer.option("delta.enableDeletionVectors", str(deletion_vectors).lower()).save(matches)
    clock("keep_first", lambda: keep_state(state, first, model, version=read_version(spark, matches)))
    # as `tasks.find_matches` does
    version = clock("prepare", lambda: read_version(spark, matches))
    increment = stack_tables(spark.read.format("delta").load(matches), new, primary_key=KEY)
    opened = clock("load", lambda: open_state(state, model))
    kept = clock("match", lambda: match_next(increment, model, opened, version=version))
    clock("merge", lambda: merge_into_delta(matches, increment, kept, scores=False))
    after = follow(version, read_version(spark, matches))
    assert after is not None, "the next run would read the whole table"
    clock("keep", lambda: keep_state(state, kept, model, version=after))
    seconds["incremental"] = round(sum(seconds[name] for name in ("prepare", "load", "match", "merge", "keep")), 2)
    seconds["ratio"] = round(seconds["incremental"] / seconds["full"], 3)
    seconds |= {name: kept.counts[name] for name in ("touched_rows", "scored_pairs")}
    if check:
        again = match_again(kept.state, model.model_)
        assert again.labels.tolist() == kept.state.found.labels.tolist(), "the increment is not what a full run finds"
    return seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description="Time 1 % new rows against a full run.")
    parser.add_argument("--rows", type=int, default=100_000, help="rows in all; 1000000 for the stated target")
    parser.add_argument("--share", type=float, default=0.01, help="share of them that is new")
    parser.add_argument("--check", action="store_true", help="also match in full by the state's counts, and compare")
    parser.add_argument("--deletion-vectors", action="store_true", help="on the Delta table that is merged into")
    parser.add_argument("--json", type=Path, help="where the figures go")
    given = parser.parse_args(arguments)
    spark = open_session("glue-ml incremental benchmark", master="local[2]")
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(
            spark, given.rows, share=given.share, check=given.check, deletion_vectors=given.deletion_vectors,
            place=Path(folder),
        )  # fmt: skip
    text = json.dumps(figures, indent=1)
    sys.stdout.write(text + "\n")
    if given.json is not None:
        given.json.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
