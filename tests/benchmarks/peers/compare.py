"""glue-ml and its peers on the same sets, with the same budget of labelled rows and the same evaluator.

    python -m tests.benchmarks.peers.compare febrl3 abt_buy --data ../shared/data --rows 300 --json out.json

Each peer gets an environment of its own (made at the first run) and each run a process of its own, one at a time, that
ends by itself or at a limit of time or memory. See README.md beside this file for what each peer is given and why.
Results go to the file of --json as they come; a run that is in it is not repeated unless --again is given.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.benchmarks.peers import exchange
from tests.benchmarks.peers.environments import PEERS, default_folder, make_environment
from tests.benchmarks.peers.exchange import KEY, SOURCE, Link, Task, read_rows, write_answers
from tests.benchmarks.peers.results import Result, add_result, draw_table, read_results, write_results
from tests.benchmarks.peers.watched_process import Limits, Place, Watched, run_watched
from tests.benchmarks.public_data import CROSS, measure, read_truth

ROOT = Path(__file__).parents[3]
RULES = Path(__file__).parent / "rules"

OURS = "glue_ml"
LEARNERS = frozenset({OURS, "dedupe", "zingg"})  #: Those that use labels.

#: Link sets in which a source lists an entity more than once by its nature: no one-to-one assignment there.
_MANY = frozenset({"dblp_scholar"})


@dataclass(frozen=True)
class Plan:
    """What all runs have in common."""

    data: Path
    environments: Path
    rows: int
    seed: int
    limits: Limits
    logs: Path


def choose_link(name: str) -> Link:
    """Return what somebody who knows a set's sources would tell a peer."""
    if name not in CROSS:
        return Link.ANY
    return Link.ACROSS if name in _MANY else Link.ONE_TO_ONE


def score_clusters(folder: Path, clusters: Mapping[str, str], *, cross: bool) -> dict[str, float]:
    """Score clusters by the evaluator of the quality benchmark; a record in no cluster is alone.

    ValueError if a cluster holds a record that the set does not.
    """
    records = {str(row[KEY]): str(row[SOURCE]) for row in read_rows(folder / "records.csv")}
    if strange := set(clusters) - set(records):
        raise ValueError(f"clusters hold {len(strange)} records that are not in {folder}, such as {min(strange)!r}")
    numbers = number_clusters(list(records), clusters)
    return measure([(key, records[key], numbers[key]) for key in records], read_truth(folder), cross=cross)


def number_clusters(keys: Sequence[str], clusters: Mapping[str, str]) -> dict[str, int]:
    """Return a number for each record's cluster, and one of its own for each record that is in none."""
    names = [("cluster", clusters[key]) if key in clusters else ("alone", key) for key in keys]
    number = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return {key: number[name] for key, name in zip(keys, names, strict=True)}


def make_task(plan: Plan, name: str, peer: str, work: Path) -> Task:
    """Return a peer's task, its answers written beside it if it learns.

    Half of the time may be spent on questions, so that a slow learner still has a result.
    """
    folder, rules = plan.data / name, RULES / f"{name}.json"
    task = Task(folder / "records.csv", work, link=choose_link(name), seed=plan.seed)
    if peer in LEARNERS:
        write_answers(work / "answers.csv", read_truth(folder))
        halftime = plan.limits.seconds / 2
        return replace(task, answers=work / "answers.csv", rows=plan.rows, learning_seconds=halftime)
    return replace(task, rules=rules) if peer == "splink" and rules.exists() else task


def run_peer(plan: Plan, name: str, peer: str, work: Path) -> Watched:
    """Run a peer on a set in a process of its own."""
    python = Path(sys.executable) if peer == OURS else make_environment(peer, plan.environments.resolve())
    task = make_task(plan, name, peer, work)
    command = [str(python), "-m", f"tests.benchmarks.peers.{peer}_runner", *task.to_arguments()]
    log = plan.logs.resolve() / f"{name}-{peer}-{plan.rows}-{plan.seed}.log"
    return run_watched(command, Place(work, log, choose_variables(peer, work)), plan.limits)


def choose_variables(peer: str, work: Path) -> dict[str, str]:
    """Return the variables of a peer's process: the project on its path, its temporary files in the run's folder.

    The variables of this process's own Spark and of pip are left out, so that each peer finds its own.
    """
    foreign = ("SPARK_", "PYSPARK_", "PYTHON", "PIP_", "VIRTUAL_ENV", "GOLDENMATCH_", "ZINGG_")
    passed = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    ours = {"PYSPARK_PYTHON": sys.executable} if peer == OURS else {}
    return {**passed, **ours, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0", "TMPDIR": str(work)}


def compare(plan: Plan, name: str, peer: str) -> list[Result]:
    """Run and score a peer on a set; variants of it, by other settings of the same run, are called PEER@VARIANT."""
    with tempfile.TemporaryDirectory(prefix=f"{peer}-") as folder:
        work = Path(folder)
        watched = run_peer(plan, name, peer, work)
        report = _read_report(work / "report.json")
        known = (plan.rows if peer in LEARNERS else 0, plan.seed, watched.outcome, int(report.get("rows_labelled", 0)))
        result = Result(name, peer, *known, watched.seconds, watched.peak_memory, report=report)
        if watched.outcome != "finished":
            return [result]
        return [
            replace(result, peer="@".join(filter(None, (peer, variant))), **scores)
            for variant, scores in _score_variants(plan.data / name, work).items()
        ]


def _score_variants(folder: Path, work: Path) -> dict[str, dict[str, Any]]:
    cross = folder.name in CROSS
    found = exchange.find_variants(work)
    return {name: score_clusters(folder, exchange.read_clusters(path), cross=cross) for name, path in found.items()}


def _read_report(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def main() -> None:
    """Run the comparison from the command line."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the peer at work is stopped too
    arguments = read_arguments()
    if not arguments.data.is_dir():
        sys.exit(f"no data at {arguments.data}: name the folder of data sets with --data or GLUE_ML_DATA")
    arguments.logs.mkdir(parents=True, exist_ok=True)
    limits = Limits(arguments.seconds, int(arguments.memory * 1e9))
    plan = Plan(arguments.data, arguments.environments, arguments.rows, arguments.seed, limits, arguments.logs)
    results = read_results(arguments.json) if arguments.json else []
    done = {(r.set, r.peer, r.rows, r.seed) for r in results}
    console = Console(width=120)
    for name in arguments.sets:
        for peer in arguments.peers:
            rows = arguments.rows if peer in LEARNERS else 0
            if (name, peer, rows, arguments.seed) in done and not arguments.again:
                continue
            for result in compare(plan, name, peer):
                results = add_result(results, result)
                console.print(json.dumps(result.to_dict()), soft_wrap=True, highlight=False)
            if arguments.json:
                write_results(arguments.json, results)
    console.print(draw_table(results))


def read_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", help="folders below --data")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("GLUE_ML_DATA", "../shared/data")))
    parser.add_argument("--peers", nargs="+", default=[OURS, *PEERS], choices=[OURS, *PEERS])
    parser.add_argument("--rows", type=int, default=300, help="labelled rows for those that learn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=900, help="for one peer on one set")
    parser.add_argument("--memory", type=float, default=16, help="GB for one peer, with its children")
    parser.add_argument("--environments", type=Path, default=default_folder())
    parser.add_argument("--logs", type=Path, default=Path(tempfile.gettempdir()) / "glue-ml-peer-logs")
    parser.add_argument("--json", type=Path, help="where the results are kept")
    parser.add_argument("--again", action="store_true", help="repeat the runs that --json already has")
    return parser.parse_args()


if __name__ == "__main__":
    main()
