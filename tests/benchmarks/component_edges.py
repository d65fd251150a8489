"""Connected components of many edges: seconds and memory by method, and whether all methods agree.

    python -m tests.benchmarks.component_edges --edges 1000000 10000000
    python -m tests.benchmarks.component_edges --edges 10000000 --methods contraction --heap-mb 2048

The edges are those of matches: groups of up to eight records, and in one neighbourhood of three thousand chains from
group to group, which take a search many rounds. Spark draws them, so that they are never in the driver. Each method
runs in a process of its own on a table in Parquet, and leaves its labels as one; a sum over all of them, which no order
changes, tells whether two methods agree. The memory is that of the driver's Python and of the JVM, which is the
executor too. `graphframes` needs its package: PYSPARK_SUBMIT_ARGS="--jars graphframes.jar pyspark-shell".
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from rich.console import Console
from rich.table import Table

from glue_ml.matching.components import Method, find_components
from glue_ml.session import open_session
from tests.benchmarks.scaling.memory import Ended, run_application

GROUP = 8  #: Records that a group has at most.
EDGES_OF_GROUP = 5
CHAINED = 3_000  #: Of so many neighbourhoods of groups one is a chain.
NEIGHBOURHOOD = 1_000


def draw_edges(spark: SparkSession, count: int) -> DataFrame:
    """Return `count` edges (lo, hi: longs), the same for the same count."""
    edge, group = F.col("id"), F.floor(F.col("id") / EDGES_OF_GROUP)
    ends = [group * GROUP + F.pmod(F.xxhash64(edge, F.lit(side)), F.lit(GROUP)) for side in (0, 1)]
    is_link = (F.pmod(edge, F.lit(EDGES_OF_GROUP)) == 0) & (F.pmod(F.floor(group / NEIGHBOURHOOD), F.lit(CHAINED)) == 0)
    next_group = ends[1] + F.when(is_link, F.lit(GROUP)).otherwise(F.lit(0))
    return spark.range(count).select(ends[0].cast("long").alias("lo"), next_group.cast("long").alias("hi"))


def run_method(method: Method, table: Path, labels: Path) -> dict[str, Any]:
    """Find the components of a table here; return what it took without Spark's start, and what was found."""
    spark = open_session("components", settings={"spark.sql.shuffle.partitions": "8"})
    begun = time.monotonic()
    found = find_components(spark.read.parquet(str(table)), method=method)
    found.labels.write.parquet(str(labels))
    seconds = time.monotonic() - begun
    kept = spark.read.parquet(str(labels))
    sums = kept.select(
        F.count("id").alias("vertices"),
        F.sum((F.col("id") == F.col("component")).cast("long")).alias("components"),
        F.sum(F.pmod(F.xxhash64("id", "component"), F.lit(2**31))).alias("sum"),
    )
    return {"seconds": seconds, "rounds": found.rounds, **sums.collect()[0].asDict()}


def measure(method: Method, edges: int, work: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run a method in a process of its own and return what it told, with its memory."""
    table, told = work / f"edges-{edges}", work / f"{method}-{edges}.json"
    command = [sys.executable, "-m", "tests.benchmarks.component_edges", "--one", method, str(table), str(told)]
    submit = os.environ.get("PYSPARK_SUBMIT_ARGS", "pyspark-shell")
    heap = {"PYSPARK_SUBMIT_ARGS": f"--driver-memory {arguments.heap_mb}m --master {arguments.master} {submit}"}
    ended = run_application(
        command, log=work / f"{method}-{edges}.log", variables={**os.environ, **heap},
        seconds=arguments.seconds, memory=arguments.memory << 30,
    )  # fmt: skip
    result = json.loads(told.read_bytes()) if ended.code == 0 else {}
    return {"method": method, "edges": edges, **_tell_end(ended), **result}


def _tell_end(ended: Ended) -> dict[str, Any]:
    outcome = "finished" if ended.code == 0 else ended.why or f"failed ({ended.code})"
    return {"outcome": outcome, "driver_python": ended.peak["driver_python"], "jvm": ended.peak["jvm"]}


def draw_table(results: list[dict[str, Any]]) -> Table:
    """Return the results as a table, the seconds also as multiples of the first finished method's."""
    table = Table("edges", "method", "seconds", "ratio", "rounds", "components", "driver GB", "JVM GB", "sum")
    first: dict[int, float] = {}
    for r in results:
        memory = [f"{r[name] / 2**30:.1f}" for name in ("driver_python", "jvm")]
        if r["outcome"] != "finished":
            table.add_row(f"{r['edges']:,}", r["method"], r["outcome"], "", "", "", *memory, "")
            continue
        ratio = r["seconds"] / first.setdefault(r["edges"], r["seconds"])
        table.add_row(
            f"{r['edges']:,}", r["method"], f"{r['seconds']:.1f}", f"{ratio:.2f}", str(r["rounds"]),
            f"{r['components']:,}", *memory, str(r["sum"]),
        )  # fmt: skip
    return table


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edges", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--methods", type=Method, nargs="+", default=[Method.DRIVER, Method.CONTRACTION])
    parser.add_argument("--master", default="local[2]")
    parser.add_argument("--heap-mb", type=int, default=4096)
    parser.add_argument("--seconds", type=float, default=1800, help="the most that one method may take")
    parser.add_argument("--memory", type=int, default=16, help="GB that one method may take")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--one", nargs=3, metavar=("METHOD", "TABLE", "RESULT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        method, table, told = arguments.one
        Path(told).write_text(json.dumps(run_method(Method(method), Path(table), Path(f"{told}.labels"))))
        return
    results = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        spark = open_session("edges", master=arguments.master)
        for edges in arguments.edges:
            draw_edges(spark, edges).write.parquet(str(work / f"edges-{edges}"))
        spark.stop()
        for edges in arguments.edges:
            for method in arguments.methods:
                results.append(measure(method, edges, work, arguments))
                print(json.dumps(results[-1]), flush=True)  # noqa: T201  the benchmark's output
    Console(width=120).print(draw_table(results))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
