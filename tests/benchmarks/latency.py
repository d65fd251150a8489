"""Latency and throughput of the API over a store with more than 10,000 task runs, by operation.

    python -m tests.benchmarks.latency
    GLUE_ML_TEST_POSTGRES=postgresql+psycopg://USER@HOST/postgres python -m tests.benchmarks.latency --json out.json

The server is `glue-ml serve --no-scheduler` in a process of its own that may use one core; the load generator uses
another. Measured over SQLite, over SQLite with signed requests that the server checks, and, where GLUE_ML_TEST_POSTGRES
names a server on which databases may be made, over PostgreSQL, whose own processes may use every core. The column `cpu`
is the server's processor time per request, which other work on the machine disturbs least. The target: with one
client, 99 of 100 answers to Get, List and Create come within 50 ms; pages of 1,000 runs are told besides.

Starts are counted against limits, so they get slower with each that this makes: by far more than an account may have.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import psutil

from tests.benchmarks.filled_store import (
    COLUMNS,
    DATABASE,
    POSTGRES,
    TABLE,
    Filling,
    fill_store,
    make_postgres_database,
)
from tests.benchmarks.load import make_request, run_load
from tests.benchmarks.served import Server, serve

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient
    from mypy_boto3_glue.type_defs import StorageDescriptorTypeDef

TARGET_MS = 50.0
KEY = ("AKIDBENCHMARK", "benchmark-secret")
SERVER_CORE, CLIENT_CORE = 0, 1

_STORES = ("sqlite", "signed", "postgresql")

#: High enough for every transform and run that the benchmark itself makes.
_SETTINGS = {"max_transforms": 1_000_000, "max_runs_per_transform": 1_000_000, "max_runs_per_account": 1_000_000}
_WARM_UP = 20  #: Requests of each kind that are not measured.

Members = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """One operation with a way of asking: `make` gives the members of the next request."""

    name: str
    operation: str
    make: Callable[[], Members]
    share: float = 1.0  #: Of the requests that are asked for; less where each is heavy.


@dataclass(frozen=True)
class Result:
    """What was measured of a case; times in milliseconds, `cpu` is the server's processor time per request."""

    store: str
    case: str
    clients: int
    requests: int
    per_second: float
    p50: float
    p95: float
    p99: float
    worst: float
    cpu: float

    @property
    def counts(self) -> bool:
        """Whether the target is about it: one client, and no page of 1,000."""
        return self.clients == 1 and not self.case.endswith(" 1000")


def list_cases(filling: Filling, glue: GlueClient, chance: random.Random) -> list[Case]:
    """What is measured; what makes further transforms and runs comes last, where it weighs on nothing else."""
    return [*_reading_runs(filling, glue, chance), *_reading_transforms(filling, chance), *_writing(filling, chance)]


def _reading_runs(filling: Filling, glue: GlueClient, chance: random.Random) -> list[Case]:
    busy = {"TransformId": filling.busy}
    pages = [{**busy, "NextToken": token} for token in _collect_tokens(glue, filling.busy)]

    def pick_run() -> Members:
        transform, run = chance.choice(filling.runs)
        return {"TransformId": transform, "TaskRunId": run}

    asked: dict[str, Members] = {
        "10": {"MaxResults": 10},
        "100": {},
        "100 of a type": {"Filter": {"TaskRunType": "IMPORT_LABELS"}},
        "100 of a status": {"Filter": {"Status": "FAILED"}},
        "100 before a time": {"Filter": {"StartedBefore": filling.middle.timestamp()}},
        "100 by status": {"Sort": {"Column": "STATUS", "SortDirection": "ASCENDING"}},
    }
    name = "GetMLTaskRuns"
    lists = [Case(f"{name}, {text}", name, partial(dict, {**busy, **members})) for text, members in asked.items()]
    later = Case(f"{name}, 100 of a later page", name, lambda: chance.choice(pages))
    largest = Case(f"{name}, 1000", name, lambda: {**busy, "MaxResults": 1000}, share=0.2)
    return [Case("GetMLTaskRun", "GetMLTaskRun", pick_run), *lists, later, largest]


def _reading_transforms(filling: Filling, chance: random.Random) -> list[Case]:
    return [
        Case("GetMLTransform", "GetMLTransform", lambda: {"TransformId": chance.choice(filling.transforms)}),
        Case("GetMLTransforms, 10", "GetMLTransforms", lambda: {"MaxResults": 10}),
        Case("GetMLTransforms, 100", "GetMLTransforms", dict),
        Case("ListMLTransforms, 100", "ListMLTransforms", dict),
    ]


def _writing(filling: Filling, chance: random.Random) -> list[Case]:
    numbers = count()
    parameters = {"TransformType": "FIND_MATCHES", "FindMatchesParameters": {"PrimaryKeyColumnName": "column_0"}}
    tables = [{"DatabaseName": DATABASE, "TableName": TABLE}]

    def create() -> Members:
        return {"Name": f"made-{next(numbers)}", "Role": "any", "InputRecordTables": tables, "Parameters": parameters}

    def start() -> Members:
        return {"TransformId": chance.choice(filling.transforms), "OutputS3Path": "s3://bucket/sets/"}

    return [
        Case("CreateMLTransform", "CreateMLTransform", create),
        Case("StartMLLabelingSetGen...", "StartMLLabelingSetGenerationTaskRun", start),
    ]


def _collect_tokens(glue: GlueClient, transform: str) -> list[str]:
    """The tokens of all pages of 100 runs after the first."""
    tokens: list[str] = []
    answer = glue.get_ml_task_runs(TransformId=transform)
    while token := answer.get("NextToken"):
        tokens.append(token)
        answer = glue.get_ml_task_runs(TransformId=transform, NextToken=token)
    return tokens


def _add_table(glue: GlueClient) -> None:
    """The catalog table that the new transforms match."""
    storage: StorageDescriptorTypeDef = {"Columns": [{"Name": name, "Type": kind} for name, kind in COLUMNS]}
    glue.create_database(DatabaseInput={"Name": DATABASE})
    glue.create_table(DatabaseName=DATABASE, TableInput={"Name": TABLE, "StorageDescriptor": storage})


@dataclass(frozen=True)
class Bench:
    """A server with the store behind it, and how it is to be called."""

    name: str
    server: Server
    key: tuple[str, str] | None

    def measure(self, case: Case, *, requests: int, clients: int) -> Result:
        """Send so many requests of a case, after some that warm the server up."""
        endpoint, requests = self.server.endpoint, round(requests * case.share)
        asked = [make_request(endpoint, case.operation, case.make(), key=self.key) for _ in range(requests + _WARM_UP)]
        run_load(endpoint, asked[:_WARM_UP], connections=clients)
        before = _processor_seconds(self.server)
        measured = run_load(endpoint, asked[_WARM_UP:], connections=clients)
        cpu = 1000 * (_processor_seconds(self.server) - before) / requests
        p50, p95, p99, worst = (measured.quantile(share) for share in (0.5, 0.95, 0.99, 1.0))
        return Result(self.name, case.name, clients, requests, measured.per_second, p50, p95, p99, worst, cpu)


def _processor_seconds(server: Server) -> float:
    times = psutil.Process(server.pid).cpu_times()
    return times.user + times.system


def measure_store(name: str, url: str | None, arguments: argparse.Namespace, *, signed: bool = False) -> list[Result]:
    """Fill one store, serve it, and measure every case with every number of clients."""
    with tempfile.TemporaryDirectory(prefix="glue-ml-latency-") as folder:
        home, results = Path(folder), []
        filling = fill_store(url or f"sqlite:///{home}/glue_ml.db", transform_count=arguments.transforms,
                             runs_each=arguments.runs, busy_runs=arguments.busy)  # fmt: skip
        settings = {**_SETTINGS, **({"database_url": url} if url else {})}
        key = KEY if signed else None
        settings |= {"access_key_id": KEY[0], "secret_access_key": KEY[1]} if signed else {}
        with serve(home, options=["--no-scheduler"], settings=settings, core=SERVER_CORE) as server:
            glue = boto3.client("glue", endpoint_url=server.endpoint, region_name="us-east-1",
                                aws_access_key_id=KEY[0], aws_secret_access_key=KEY[1])  # fmt: skip
            _add_table(glue)
            bench = Bench(name, server, key)
            for case in list_cases(filling, glue, random.Random(arguments.seed)):
                if arguments.only not in case.name:
                    continue
                for clients in arguments.clients:
                    results.append(bench.measure(case, requests=arguments.requests, clients=clients))
                    _show(results[-1])
    return results


def run(arguments: argparse.Namespace) -> list[Result]:
    """Measure every store that is asked for and that there is."""
    results: list[Result] = []
    if "sqlite" in arguments.stores:
        results += measure_store("SQLite", None, arguments)
    if "signed" in arguments.stores:
        results += measure_store("SQLite, signed", None, arguments, signed=True)
    if "postgresql" in arguments.stores and os.environ.get(POSTGRES):
        with make_postgres_database() as url:
            results += measure_store("PostgreSQL", url, arguments)
    elif "postgresql" in arguments.stores:
        print(f"PostgreSQL is not measured: {POSTGRES} names none")  # noqa: T201
    return results


def tell_verdict(results: Sequence[Result]) -> str:
    """Whether the target is met, and by how much, from what one client saw."""
    worst = max((each for each in results if each.counts), key=lambda result: result.p99)
    verdict, where = "met" if worst.p99 < TARGET_MS else "MISSED", f"{worst.case} over {worst.store}"
    return f"target {verdict}: the slowest p99 is {worst.p99:.1f} ms of {TARGET_MS:.0f} ms, {where}"


_HEADER = (
    f"{'store':16}{'operation':36}{'clients':>8}{'per s':>8}{'p50':>8}{'p95':>8}{'p99':>8}{'max':>8}{'cpu':>8}   ms"
)


def _show(result: Result) -> None:
    times = "".join(f"{ms:8.1f}" for ms in (result.p50, result.p95, result.p99, result.worst, result.cpu))
    line = f"{result.store:16}{result.case:36}{result.clients:8}{result.per_second:8.0f}{times}"
    print(line, flush=True)  # noqa: T201  the benchmark's output


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transforms", type=int, default=100)
    parser.add_argument("--runs", type=int, default=100, help="runs of each transform")
    parser.add_argument("--busy", type=int, default=2000, help="runs of one more transform, which the lists are of")
    parser.add_argument(
        "--requests", type=int, default=500, help="requests measured in each line; fewer where each is large"
    )
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--stores", nargs="+", default=_STORES, choices=_STORES)
    parser.add_argument("--only", default="", metavar="TEXT", help="measure the operations whose names hold this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # who ends it leaves no server behind
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > CLIENT_CORE:
        os.sched_setaffinity(0, {CLIENT_CORE})
    print(f"load average before: {os.getloadavg()}\n{_HEADER}", flush=True)  # noqa: T201
    results = run(arguments)
    print(f"load average after: {os.getloadavg()}\n{tell_verdict(results)}")  # noqa: T201
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(result) for result in results], indent=1))


if __name__ == "__main__":
    main()
