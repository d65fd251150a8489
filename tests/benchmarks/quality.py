"""F1 by labelled rows on public data sets with truth, through the library's own face.

    python -m tests.benchmarks.quality --data ../shared/data febrl3 abt_buy --rows 100 200 500 1000 --seeds 0 1 2

Labels are bought only through labelling sets and answered from the truth; each set is measured without labels and at
each row budget, once for each seed. `--noise 0.05` makes so large a share of the answers wrong, drawn by the seed:
half of them say that a row is the same as another of its set that it is not, half that it is like no other (see
`teaching.answer_sets`). With each result come the share of the true pairs that blocking proposes, the share that is
connected by proposed true pairs, and the candidate pairs per record.

The engine is driven without Spark (see `sparkless`); `--spark` measures through Spark, more slowly, and gets the same
F1. The table at the end tells mean and spread (standard deviation) over the seeds; --json keeps it and all runs.
`--accuracy-cost 1` measures at the accuracy end, where a sentence encoder reads the texts.

Exits with 1 where the mean F1 is below what floors.json holds, less the noise of both means. `--keep` writes what was
measured there instead. Results with wrong answers are not judged.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from rich.console import Console
from rich.table import Table

from glue_ml.session import open_session
from tests.benchmarks.public_data import PublicSet, add_data_arguments, check_data_folder
from tests.benchmarks.sparkless import Frame, list_candidate_rows, without_spark
from tests.benchmarks.teaching import Course

FLOORS = Path(__file__).parent / "floors.json"  #: F1 by set and labelled rows: mean, spread, number of seeds.
LEAST_SPREAD = 0.003  #: Three runs may agree by chance.
MEASURES = ("f1", "precision", "recall", "blocking_recall", "connected_recall", "candidates_per_record")

Result = dict[str, Any]
Floors = Mapping[str, Mapping[str, "Floor"]]


@dataclass(frozen=True)
class Floor:
    """What was measured once: the mean F1 of some seeds and its standard deviation."""

    mean: float
    spread: float
    seeds: int

    def least(self, seeds: int) -> float:
        """Return the F1 that the mean of `seeds` runs is not below but by a change: twice the noise of both means."""
        noise: float = max(self.spread, LEAST_SPREAD) * (1 / self.seeds + 1 / seeds) ** 0.5
        return self.mean - 2 * noise


def read_records(spark: SparkSession, folder: Path) -> DataFrame:
    """Return the records, every column a string."""
    path = str((folder / "records.csv").resolve())
    return spark.read.csv(path, header=True, quote='"', escape='"', multiLine=True)


def run(
    spark: SparkSession | None, folder: Path, budgets: Sequence[int], *, seed: int, noise: float = 0.0
) -> list[Result]:
    """Measure one data set without labels and at each budget of labelled rows; without `spark` on this process alone.

    Without `spark` it must be called within `without_spark`.
    """
    data = PublicSet.read(folder)
    return list(measure_course(data, _open(spark, folder, data), budgets, seed=seed, noise=noise))


def _open(spark: SparkSession | None, folder: Path, data: PublicSet) -> Any:
    return Frame(data.table) if spark is None else read_records(spark, folder).cache()


def measure_course(
    data: PublicSet,
    df: Any,
    budgets: Sequence[int],
    *,
    seed: int,
    noise: float = 0.0,
    accuracy_cost: float | None = None,
) -> Iterator[Result]:
    """Yield what is reached without labels and at each budget of labelled rows."""
    started = time.monotonic()
    course = Course(data, df, seed, noise, accuracy_cost)
    for budget in course.advance(sorted({0, *budgets})):
        scores, pairs = course.match()
        found = data.cover(*list_candidate_rows(course.model, df))
        yield {
            "set": data.name, "seed": seed, "noise": noise, "accuracy_cost": accuracy_cost, "budget": budget,
            "rows_labelled": len(course.labels),
            **scores, **found, "candidates_per_record": pairs / len(data),
            "seconds": round(time.monotonic() - started, 1),
        }  # fmt: skip


def summarise(results: Sequence[Result]) -> list[Result]:
    """Return, by set and budget, the mean of each measure over the seeds and the standard deviation of F1."""
    runs: dict[tuple[str, int, float], list[Result]] = defaultdict(list)
    for result in results:
        runs[result["set"], result["budget"], result.get("noise", 0.0)].append(result)
    return [
        {
            "set": name, "budget": budget, "noise": noise, "seeds": len(found),
            **{measure: statistics.mean(r[measure] for r in found) for measure in MEASURES},
            "f1_spread": statistics.stdev(r["f1"] for r in found) if len(found) > 1 else 0.0,
        }
        for (name, budget, noise), found in runs.items()
    ]  # fmt: skip


def draw_summary(summary: Sequence[Result]) -> Table:
    """Return the summary as a table."""
    table = Table("set")
    headings = ("rows", "noise", "seeds", "F1", "spread", "precision", "recall", "blocking", "connected", "candidates")
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in summary:
        shares = [row[name] for name in ("f1", "f1_spread", *MEASURES[1:5])]
        table.add_row(
            row["set"], str(row["budget"]), f"{row['noise']:g}", str(row["seeds"]),
            *(f"{share:.4f}" for share in shares), f"{row['candidates_per_record']:.1f}",
        )  # fmt: skip
    return table


def read_floors(path: Path = FLOORS) -> dict[str, dict[str, Floor]]:
    """Return the floors by set and labelled rows."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    return {name: {rows: Floor(*floor) for rows, floor in steps.items()} for name, steps in stored.items()}


def find_drops(summary: Sequence[Result], floors: Floors) -> list[str]:
    """Return a sentence for each mean F1 below its floor; what has none, or had wrong answers, is not judged."""
    drops = []
    for row in summary:
        floor = floors.get(row["set"], {}).get(str(row["budget"]))
        if floor is not None and not row["noise"] and row["f1"] < floor.least(row["seeds"]):
            drops.append(
                f"{row['set']} at {row['budget']} rows: F1 {row['f1']:.4f} is below {floor.least(row['seeds']):.4f}, "
                f"which is {floor.mean:.4f} less its noise"
            )
    return drops


def keep_floors(summary: Sequence[Result], path: Path = FLOORS) -> None:
    """Write what was measured in the place of the floors of the same sets and budgets."""
    floors = json.loads(path.read_text(encoding="utf-8"))
    for row in summary:
        if not row["noise"]:
            kept = [round(row["f1"], 4), round(row["f1_spread"], 4), row["seeds"]]
            floors.setdefault(row["set"], {})[str(row["budget"])] = kept
    sets = [
        f"  {json.dumps(name)}: {json.dumps(dict(sorted(steps.items(), key=lambda step: int(step[0]))))}"
        for name, steps in floors.items()
    ]
    path.write_text("{\n" + ",\n".join(sets) + "\n}\n", encoding="utf-8")


@contextmanager
def open_engine(master: str | None) -> Iterator[SparkSession | None]:
    """Open Spark on `master`, or let the engine work without it where that is None."""
    if master is not None:
        yield open_session("glue-ml quality", master=master)
        return
    with without_spark():
        yield None


def main() -> None:
    """Run the benchmark from the command line."""
    arguments = read_arguments()
    check_data_folder(arguments.data)
    results: list[Result] = []
    for name in arguments.sets:
        # what is kept of a set is dropped before the next one
        with open_engine(arguments.master if arguments.spark else None) as spark:
            data = PublicSet.read(arguments.data / name)
            df = _open(spark, arguments.data / name, data)
            for seed in arguments.seeds:
                for result in measure_course(
                    data, df, arguments.rows, seed=seed, noise=arguments.noise, accuracy_cost=arguments.accuracy_cost
                ):
                    print(json.dumps(result), flush=True)  # noqa: T201  the benchmark's output
                    results.append(result)
        if arguments.json:
            kept = {"summary": summarise(results), "runs": results}
            arguments.json.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    summary = summarise(results)
    Console(width=120).print(draw_summary(summary))
    if arguments.accuracy_cost is not None:
        return
    if arguments.keep:
        keep_floors(summary)
    elif drops := find_drops(summary, read_floors()):
        sys.exit("\n".join(drops))


def read_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 200, 500, 1000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--noise", type=float, default=0.0, help="share of wrong answers, 0 to 1")
    parser.add_argument("--accuracy-cost", type=float, help="AccuracyCostTradeoff; off the default nothing is judged")
    parser.add_argument("--spark", action="store_true", help="measure through Spark")
    parser.add_argument("--master", default="local[*]", help="Spark's, with --spark")
    parser.add_argument("--json", type=Path, help="where the table and all runs are kept")
    parser.add_argument("--keep", action="store_true", help="write the means into floors.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
