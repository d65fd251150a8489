"""What the two tradeoffs of a transform do, on data sets with truth.

    python -m tests.benchmarks.dials --data ../shared/data abt_buy febrl3 --rows 300

AccuracyCostTradeoff at 0, 0.25, 0.5, 0.75 and 1: the candidate pairs per record, the share of the true pairs among them
(blocking recall), and the time that listing and comparing them takes; all three should rise, or stay where recall is
full. PrecisionRecallTradeoff at five settings: precision and recall of the pairs that the groups imply, after `--rows`
labelled rows. Works on the driver alone, without Spark. A data set is a folder as `public_data` reads it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from glue_ml.matching import FindMatchesModel
from glue_ml.matching.blocking import build_index, choose_budget
from glue_ml.matching.pipeline import Blocked, DriverCandidates
from glue_ml.matching.records import prepare_records
from tests.benchmarks.public_data import PublicSet, add_data_arguments, check_data_folder
from tests.benchmarks.sparkless import Frame, without_spark
from tests.benchmarks.teaching import Course, match_table

STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)


def turn_accuracy(data: PublicSet) -> Iterator[dict[str, Any]]:
    """Yield what each AccuracyCostTradeoff comes to."""
    records = prepare_records(data.table)
    for accuracy in STEPS:
        started = time.perf_counter()
        candidates = DriverCandidates(Blocked(records, build_index(records, choose_budget(accuracy))))
        pairs = sum(len(batch.compared) for batch in candidates.batches)
        seconds = time.perf_counter() - started
        lo, hi = (np.concatenate([getattr(batch, side) for batch in candidates.batches]) for side in ("lo", "hi"))
        yield {
            "accuracy_cost": accuracy,
            "pairs_per_record": round(pairs / len(data), 2),
            **{name: round(share, 4) for name, share in data.cover(lo, hi).items()},
            "seconds": round(seconds, 2),
        }


def turn_precision(data: PublicSet, rows: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield what each PrecisionRecallTradeoff comes to, with one model."""
    course = Course(data, Frame(data.table), seed)
    list(course.advance([rows]))
    taught = course.model.model_
    for tradeoff in STEPS:
        turned = replace(taught, settings=replace(taught.settings, precision_recall_tradeoff=tradeoff))
        scores, _ = match_table(FindMatchesModel(turned), data, course.df)
        rounded = {name: round(value, 4) for name, value in scores.items()}
        yield {"precision_recall": tradeoff, "rows_labelled": len(course.labels), **rounded}


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    check_data_folder(arguments.data)
    for name in arguments.sets:
        data = PublicSet.read(arguments.data / name)
        with without_spark():
            for result in (*turn_accuracy(data), *turn_precision(data, arguments.rows, arguments.seed)):
                print(json.dumps({"set": name, **result}), flush=True)  # noqa: T201  the benchmark's output


if __name__ == "__main__":
    main()
