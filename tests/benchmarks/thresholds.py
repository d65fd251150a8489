"""What the threshold of a transform costs against the best there is, on data sets with truth.

    python -m tests.benchmarks.thresholds --data ../shared/data abt_buy cora_1295 --rows 100 200 500
    python -m tests.benchmarks.thresholds --data ../shared/data abt_buy --columns name --rows 100

After each number of labelled rows: F1 of the groups at THRESHOLDS, with one model; at the threshold that was chosen for
a PrecisionRecallTradeoff of 0.5 (`estimation.find_middle`); and at half of the F1 that was expected, which is
the best for pairs that stand alone. `loss` and `loss_of_half` are against the best of THRESHOLDS. `--columns` leaves
all other columns out, which makes a hard table of an easy one. Works without Spark.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np

from glue_ml.matching import FindMatchesModel, estimation, training
from glue_ml.matching.evaluation import Middle
from tests.benchmarks.public_data import KEY, SOURCE, PublicSet, add_data_arguments, check_data_folder
from tests.benchmarks.sparkless import Frame, without_spark
from tests.benchmarks.teaching import Course, match_table

THRESHOLDS = (0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9)


def keep_columns(data: PublicSet, columns: Sequence[str]) -> PublicSet:
    """Return the data set with no columns but these, the key and the source; all of them where none is named."""
    return replace(data, table=data.table.select([KEY, SOURCE, *columns])) if columns else data


def try_thresholds(data: PublicSet, budgets: Sequence[int], *, seed: int) -> Iterator[dict[str, Any]]:
    """Yield F1 by threshold after each budget of labelled rows."""
    course, found = Course(data, Frame(data.table), seed), [Middle()]
    find = estimation.find_middle

    def listen(*arguments: Any) -> Middle:
        found.append(find(*arguments))
        return found[-1]

    with mock.patch.object(training, "find_middle", listen):
        for budget in course.advance(budgets):
            f1 = {threshold: _match(course, threshold) for threshold in THRESHOLDS}
            best, (chosen, half) = max(f1.values()), found[-1]
            yield {
                "set": data.name, "seed": seed, "rows": budget, "best": round(best, 4), "chosen": round(chosen, 3),
                "loss": round(best - _match(course, chosen), 4), "half": round(half, 3),
                "loss_of_half": round(best - _match(course, half), 4),
                "f1": {str(threshold): round(value, 4) for threshold, value in f1.items()},
            }  # fmt: skip


def _match(course: Course, threshold: float) -> float:
    """Return F1 where pairs of this probability are matches."""
    taught = course.model.model_
    assert taught.learned is not None
    turned = replace(taught, learned=replace(taught.learned, middle=threshold))
    return match_table(FindMatchesModel(turned), course.data, course.df)[0]["f1"]


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 200, 500])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--columns", nargs="+", default=[], help="leave the others out; the source stays")
    arguments = parser.parse_args()
    check_data_folder(arguments.data)
    results = []
    for name in arguments.sets:
        data = keep_columns(PublicSet.read(arguments.data / name), arguments.columns)
        for seed in arguments.seeds:
            with without_spark():
                for result in try_thresholds(data, sorted(arguments.rows), seed=seed):
                    print(json.dumps(result), flush=True)  # noqa: T201  the benchmark's output
                    results.append(result)
    means = {name: round(float(np.mean([each[name] for each in results])), 4) for name in ("loss", "loss_of_half")}
    print(json.dumps({"mean": means}))  # noqa: T201


if __name__ == "__main__":
    main()
