"""Whether the signal that says when labels stop paying is right, on data sets with truth.

    python -m tests.benchmarks.stop_signal --data ../shared/data abt_buy cora_1295 --rows 600 --seeds 0 1

For every hundred rows: the F1 that the model has, the gain that it expects of the next hundred rows with its error, the
gain in true F1 that then happened, and what would be expected if the evaluation knew the true F1. The last lines tell,
over all of them, the mean of each, the error of the forecast beside that of always expecting none, and the share of
gains within one and within two of the stated errors (68 and 95 % would be right). Works without Spark.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from rich.console import Console
from rich.table import Table

from glue_ml.matching import learning_curve, training
from glue_ml.matching.learning_curve import NEXT_ROWS, ExpectedGain
from tests.benchmarks.public_data import PublicSet, add_data_arguments, check_data_folder
from tests.benchmarks.sparkless import Frame, without_spark
from tests.benchmarks.teaching import Course

Forecast = dict[str, Any]


def foresee(data: PublicSet, rows: int, seed: int) -> Iterator[Forecast]:
    """Yield what was expected at each hundred labelled rows, and what the next hundred brought."""
    asked: list[dict[str, Any]] = []

    def listen(curve: Any, **known: Any) -> ExpectedGain:
        asked.append({"curve": curve, **known})
        return learning_curve.expect_gain(curve, **known)

    last: Forecast | None = None
    with mock.patch.object(training, "expect_gain", listen):
        course = Course(data, Frame(data.table), seed)
        for budget in course.advance(range(NEXT_ROWS, rows + 1, NEXT_ROWS)):
            f1 = course.match()[0]["f1"]
            if last is not None and len(course.labels) == last["rows"] + NEXT_ROWS:
                yield {**last, "happened": f1 - last["f1"]}
            gain = course.model.expected_gain_
            if gain is None or len(course.labels) < budget:
                return
            by_truth = learning_curve.expect_gain(asked[-1].pop("curve"), **{**asked[-1], "f1": f1})
            last = {"set": data.name, "seed": seed, "rows": budget, "f1": f1, "estimate": course.model.evaluate().f1}
            last |= {"expected": gain.gain, "error": gain.error}
            last |= {"expected_by_truth": by_truth.gain, "error_by_truth": by_truth.error}


def judge(forecasts: Sequence[Forecast], suffix: str = "") -> dict[str, float]:
    """Return how well the forecasts agree with what happened."""
    misses = [forecast[f"expected{suffix}"] - forecast["happened"] for forecast in forecasts]
    errors = [forecast[f"error{suffix}"] for forecast in forecasts]
    both = list(zip(misses, errors, strict=True))
    return {
        "mean expected": statistics.mean(forecast[f"expected{suffix}"] for forecast in forecasts),
        "mean happened": statistics.mean(forecast["happened"] for forecast in forecasts),
        "root mean square miss": statistics.mean(miss**2 for miss in misses) ** 0.5,
        "the same, expecting none": statistics.mean(forecast["happened"] ** 2 for forecast in forecasts) ** 0.5,
        "within one error": statistics.mean(abs(miss) <= error for miss, error in both),
        "within two errors": statistics.mean(abs(miss) <= 2 * error for miss, error in both),
    }


def draw_table(forecasts: Sequence[Forecast]) -> Table:
    """Return the forecasts as a table, in points of F1."""
    table = Table("set")
    for heading in ("seed", "rows", "F1", "estimate", "expected", "happened", "expected, knowing F1"):
        table.add_column(heading, justify="right")
    for told in forecasts:
        points = {name: 100 * told[name] for name in told if name not in ("set", "seed", "rows")}
        table.add_row(
            told["set"], str(told["seed"]), str(told["rows"]), f"{told['f1']:.4f}", f"{told['estimate']:.4f}",
            f"{points['expected']:+.2f} ±{points['error']:.2f}", f"{points['happened']:+.2f}",
            f"{points['expected_by_truth']:+.2f} ±{points['error_by_truth']:.2f}",
        )  # fmt: skip
    return table


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    check_data_folder(arguments.data)
    forecasts: list[Forecast] = []
    for name in arguments.sets:
        data = PublicSet.read(arguments.data / name)
        with without_spark():
            for seed in arguments.seeds:
                for forecast in foresee(data, arguments.rows, seed):
                    print(json.dumps(forecast), flush=True)  # noqa: T201  the benchmark's output
                    forecasts.append(forecast)
        if arguments.json:
            arguments.json.write_text(json.dumps(forecasts, indent=1), encoding="utf-8")
    console = Console(width=120)
    console.print(draw_table(forecasts))
    for title, suffix in (("by the evaluation's F1", ""), ("by the true F1", "_by_truth")):
        told = ", ".join(f"{name} {value:.4f}" for name, value in judge(forecasts, suffix).items())
        console.print(f"{title}: {told}", highlight=False)


if __name__ == "__main__":
    main()
