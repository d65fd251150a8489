"""A full FIND_MATCHES run by rows: seconds by stage, memory by role, skew, F1; and Splink on the same file.

    python -m tests.benchmarks.scale --rows 100000 1000000 --master 'local[2]' --peers splink --json out.json

The table is the project's synthetic persons: Zipf names, 30 % further records of a person. A model is trained from 500
labelled rows of a sample of it. The run is what a control plane starts: `spark-submit jobs/find_matches.py` on a run
directory, its start included. Tables and models are kept in the folder of `--work` and taken from there the next time.
Splink (`--peers splink`) reads the same Parquet files in its own environment, with settings and blocking rules written
by hand for this table.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from glue_ml.class_archive import find_spark, make_archive, name_options
from glue_ml.domain.job import BLOCKING_PLANS
from glue_ml.session import JAR_CACHE, QUICK_JVM
from glue_ml.synthetic.people import KEY
from tests.benchmarks.peers.environments import default_folder, make_environment
from tests.benchmarks.scaling.events import read_events
from tests.benchmarks.scaling.memory import Ended, run_application
from tests.benchmarks.scaling.people import Table, make_table, measure_clusters
from tests.benchmarks.scaling.training import describe_run

ROOT = Path(__file__).parents[2]
#: G1 works beside the program and takes its cores: on two of them this one is quicker, with a quarter less memory. No
#: default of glue-ml, as a JVM that is told of two collectors does not start.
COLLECTOR = "-XX:+UseParallelGC"


@dataclass(frozen=True)
class Bounds:
    """Where a run takes place and what it may take: bytes of memory in all, seconds, and heap of the driver in MB.

    `accuracy_cost` is the AccuracyCostTradeoff of its transform, `blocking_plan` one of BLOCKING_PLANS.
    """

    work: Path
    master: str
    seconds: float
    memory: int
    heap_mb: int
    accuracy_cost: float | None = None
    blocking_plan: str = "auto"


def prepare(rows: int, bounds: Bounds) -> tuple[Table, Path]:
    """Return the table and the folder of its labels and model, both made if they are not there."""
    table = make_table(rows, bounds.work)
    folder = bounds.work / ("-".join(["model", str(rows), *_name_cost(bounds)]))
    if not (folder / "models").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        module = "tests.benchmarks.scaling.training"
        command = [sys.executable, "-m", module, str(rows), str(bounds.work), str(folder), bounds.master]
        command += _name_cost(bounds)
        _run(command, folder / "training.log", bounds)
    return table, folder


def _name_cost(bounds: Bounds) -> list[str]:
    return [] if bounds.accuracy_cost is None else [str(bounds.accuracy_cost)]


def run_glue_ml(table: Table, model: Path, bounds: Bounds, conf: Sequence[str] = ()) -> dict[str, Any]:
    """Submit the FIND_MATCHES job; return what it took and found."""
    run = bounds.work / f"run-{table.rows}"
    shutil.rmtree(run, ignore_errors=True)
    (run / "events").mkdir(parents=True)
    spec = describe_run(table, model, run / "output", accuracy_cost=bounds.accuracy_cost)
    spec = replace(spec, blocking_plan=bounds.blocking_plan)
    (run / "spec.json").write_text(spec.to_json(), encoding="utf-8")
    ended = _run(submit_command(run, bounds, conf), run / "spark.log", bounds)
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    application = read_events(run / "events")
    clusters = pq.read_table(run / "output", columns=[KEY, "match_id"])
    return {
        **_describe(ended),
        **measure_clusters(table, clusters),
        "stages": result["seconds"],
        "counts": result["counts"],
        "plan": result["plan"],
        "jobs": len(application.jobs),
        "skew": max((stage.skew for stage in application.stages if stage.skew is not None), default=None),
        "spark_stages": [stage.to_dict() for stage in application.stages],
    }


def submit_command(run: Path, bounds: Bounds, conf: Sequence[str] = ()) -> list[str]:
    """Return the command that submits the job of a run directory, with a plain event log in one file."""
    told = [
        f"spark.driver.defaultJavaOptions={QUICK_JVM}{name_options(_find_classes(bounds))}",
        f"spark.driver.extraJavaOptions={COLLECTOR}",
        "spark.driver.host=127.0.0.1",
        "spark.ui.enabled=false", "spark.eventLog.enabled=true",
        f"spark.eventLog.dir={(run / 'events').as_uri()}", "spark.eventLog.compress=false",
        "spark.eventLog.rolling.enabled=false", *conf,
    ]  # fmt: skip
    return [
        str(_spark_home() / "bin" / "spark-submit"), "--master", bounds.master,
        "--driver-memory", f"{bounds.heap_mb}m", *(part for pair in told for part in ("--conf", pair)),
        str(ROOT / "jobs" / "find_matches.py"), "--run-directory", str(run),
    ]  # fmt: skip


def _find_classes(bounds: Bounds) -> Path:
    """The classes of this Spark's JVM, as a control plane keeps them after its first application."""
    archive = bounds.work / f"spark-{version('pyspark')}.jsa"
    if not archive.exists():
        make_archive(archive)
    return archive


def _spark_home() -> Path:
    home = find_spark()
    assert home is not None
    return home


def _variables(bounds: Bounds) -> dict[str, str]:
    own = {
        "PYTHONPATH": str(ROOT), "SPARK_HOME": str(_spark_home()), "PYSPARK_PYTHON": sys.executable,
        "OMP_NUM_THREADS": "1", JAR_CACHE: str(bounds.work / "jars.json"),
    }  # fmt: skip
    return {**os.environ, **own}


def run_splink(table: Table, python: Path, bounds: Bounds) -> dict[str, Any]:
    """Run Splink in its environment; return what it took and found, at the best of its thresholds."""
    run = bounds.work / f"splink-{table.rows}"
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir()
    ended = _run(
        [str(python), "-m", "tests.benchmarks.peers.splink_people", str(table.records), str(run)],
        run / "splink.log",
        bounds,
    )
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    found = {
        path.stem.partition("@")[2]: measure_clusters(table, pq.read_table(path)) for path in run.glob("clusters@*")
    }
    best = max(found, key=lambda name: found[name]["f1"])
    return {**_describe(ended), **found[best], "threshold": best, "stages": report["seconds"], "pairs": report["pairs"]}


def _run(command: Sequence[str], log: Path, bounds: Bounds) -> Ended:
    ended = run_application(
        command, log=log, variables=_variables(bounds), seconds=bounds.seconds, memory=bounds.memory
    )
    if ended.code != 0:
        tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        held = {name: f"{size / 2**30:.1f} GB" for name, size in ended.peak.items()}
        sys.exit(
            f"{command[0]} {ended.why} after {ended.seconds} s, exit code {ended.code}, held {held}: {log}\n{tail}"
        )
    return ended


def _describe(ended: Ended) -> dict[str, Any]:
    taken = {"seconds": ended.seconds, "cpu_seconds": ended.cpu_seconds}
    return {**taken, "peak_mb": {name: size >> 20 for name, size in ended.peak.items()}}


def compare(mine: dict[str, Any], theirs: dict[str, Any]) -> dict[str, float]:
    """Return seconds, CPU seconds and memory over the peer's, and by how much F1 is above its."""
    return {
        "seconds": round(mine["seconds"] / theirs["seconds"], 3),
        "cpu_seconds": round(mine["cpu_seconds"]["all"] / theirs["cpu_seconds"]["all"], 3),
        "memory": round(mine["peak_mb"]["all"] / max(theirs["peak_mb"]["all"], 1), 3),
        "f1_above": round(mine["f1"] - theirs["f1"], 5),
    }


def measure(rows: int, bounds: Bounds, *, peer: Path | None, conf: Sequence[str]) -> dict[str, Any]:
    """Measure a number of rows; `peer` is the interpreter of Splink's environment."""
    table, model = prepare(rows, bounds)
    figures: dict[str, Any] = {"rows": rows, "master": bounds.master, "accuracy_cost": bounds.accuracy_cost}
    figures["glue_ml"] = run_glue_ml(table, model, bounds, conf)
    if peer is not None:
        figures["splink"] = run_splink(table, peer, bounds)
        figures["ratio"] = compare(figures["glue_ml"], figures["splink"])
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure from the command line and print one JSON object for each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--master", default="local[2]")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "glue-ml-scale")
    parser.add_argument("--seconds", type=float, default=3600, help="the most that one run may take")
    parser.add_argument("--memory", type=float, default=16, help="GB that one run may take, all its processes together")
    parser.add_argument("--heap-mb", type=int, default=4096, help="heap of the driver, which is the executor too")
    parser.add_argument("--accuracy-cost", type=float, help="AccuracyCostTradeoff, 0 to 1")
    parser.add_argument("--blocking-plan", default="auto", choices=BLOCKING_PLANS)
    parser.add_argument("--conf", action="append", default=[], help="a Spark setting, name=value")
    parser.add_argument("--peers", nargs="*", default=[], choices=["splink"])
    parser.add_argument("--environments", type=Path, default=default_folder())
    parser.add_argument("--json", type=Path, help="where the figures go")
    given = parser.parse_args(arguments)
    given.work.mkdir(parents=True, exist_ok=True)
    bounds = Bounds(
        given.work.resolve(), given.master, given.seconds, int(given.memory * 2**30), given.heap_mb,
        given.accuracy_cost, given.blocking_plan,
    )  # fmt: skip
    peer = make_environment("splink", given.environments) if given.peers else None
    measured = []
    for rows in given.rows:
        measured.append(measure(rows, bounds, peer=peer, conf=given.conf))
        sys.stdout.write(json.dumps(measured[-1], indent=1) + "\n")
        sys.stdout.flush()
        if given.json is not None:
            given.json.write_text(json.dumps(measured, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
