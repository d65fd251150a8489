"""F1 by labelled rows on public data sets with truth, through the library's own face.

    python -m tests.benchmarks.quality --data ../shared/data febrl3 abt_buy --rows 100 200 500 1000 --json out.json

Labels are bought only through labelling sets and answered from the truth; each set is measured without labels and at
each row budget. A data set is a folder with records.csv (rec_id, source, attributes) and truth.csv (rec_id,
entity_id). Scores count all pairs implied by equal match ids against all pairs of equal entities; for sets whose
truth links sources only, pairs of different sources. The folder comes from --data or GLUE_ML_DATA.

Exits with 1 where an F1 is below the one in floors.json, which holds what was measured less what it varies by.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from glue_ml.domain.labels import LabeledRow
from glue_ml.matching import FindMatches, FindMatchesModel
from glue_ml.session import open_session

FLOORS = Path(__file__).parent / "floors.json"  #: The least F1 by set and labelled rows.
CROSS = frozenset({"febrl4", "abt_buy", "amazon_google", "dblp_acm", "dblp_scholar", "fodors_zagats", "imdb_tmdb"})


def read_truth(folder: Path) -> dict[str, str]:
    """Return the entity of each record."""
    with (folder / "truth.csv").open(newline="", encoding="utf-8") as file:
        return {row["rec_id"]: row["entity_id"] for row in csv.DictReader(file)}


def read_records(spark: SparkSession, folder: Path) -> DataFrame:
    """Return the records, every column a string."""
    path = str((folder / "records.csv").resolve())
    return spark.read.csv(path, header=True, quote='"', escape='"', multiLine=True)


def count_pairs(keys: Counter[Any]) -> int:
    """Return the number of pairs within groups of these sizes."""
    return sum(n * (n - 1) // 2 for n in keys.values())


def measure(rows: list[tuple[str, str, int]], entity: dict[str, str], *, cross: bool) -> dict[str, float]:
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


def evaluate_model(model: FindMatchesModel, df: DataFrame, entity: dict[str, str], *, cross: bool) -> dict[str, Any]:
    """Match the whole table and score the result."""
    started = time.monotonic()
    result = model.find_matches(df)
    rows = [(r[0], r[1], r[2]) for r in result.matches.select("rec_id", "source", "match_id").collect()]
    seconds = round(time.monotonic() - started, 1)
    return {**measure(rows, entity, cross=cross), "candidates": result.counts["candidate_pairs"], "seconds": seconds}


def run(spark: SparkSession, folder: Path, budgets: list[int], *, seed: int) -> list[dict[str, Any]]:
    """Measure one data set without labels and at each budget of labelled rows."""
    entity, df, cross = read_truth(folder), read_records(spark, folder).cache(), folder.name in CROSS
    estimator = FindMatches(primary_key="rec_id", seed=seed)
    labels: list[LabeledRow] = []
    model = estimator.fit(df)
    results: list[dict[str, Any]] = []
    for budget in sorted({0, *budgets}):
        while len(labels) < budget:
            asked = model.labeling_sets(df, rows=min(100, budget - len(labels))).collect()
            if not asked:
                break
            labels += [LabeledRow(r["labeling_set_id"], entity[r["rec_id"]], r["rec_id"]) for r in asked]
            model = estimator.fit(df, labels)
        scores = evaluate_model(model, df, entity, cross=cross)
        results.append({"set": folder.name, "seed": seed, "budget": budget, "rows_labelled": len(labels), **scores})
        print(json.dumps(results[-1]), flush=True)  # noqa: T201  the benchmark's output
    df.unpersist()
    return results


def find_drops(results: list[dict[str, Any]], floors: dict[str, dict[str, float]]) -> list[str]:
    """Return a sentence for each result whose F1 is below its floor; results without a floor are not judged."""
    drops = []
    for result in results:
        floor = floors.get(result["set"], {}).get(str(result["budget"]))
        if floor is not None and result["f1"] < floor:
            drops.append(f"{result['set']} at {result['budget']} rows: F1 {result['f1']:.4f} is below {floor}")
    return drops


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("GLUE_ML_DATA", "../shared/data")))
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 200, 500, 1000])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--master", default="local[*]")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        sys.exit(f"no data at {arguments.data}: name the folder of data sets with --data or GLUE_ML_DATA")
    spark = open_session("glue-ml quality", master=arguments.master)
    results = [r for name in arguments.sets
               for r in run(spark, arguments.data / name, arguments.rows, seed=arguments.seed)]  # fmt: skip
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))
    if drops := find_drops(results, json.loads(FLOORS.read_text(encoding="utf-8"))):
        sys.exit("\n".join(drops))


if __name__ == "__main__":
    main()
