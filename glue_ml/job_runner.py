"""Runs one task of a transform: reads `spec.json` of a run directory, tells progress, writes `result.json`."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from glue_ml import storage
from glue_ml.domain.job import JobProgress, JobResult, JobSpec, TaskType
from glue_ml.domain.time_left import TASK_SHARES, StageClock, describe_seconds
from glue_ml.errors import GlueMLError, InputError
from glue_ml.session import find_session, open_session
from glue_ml.spark_errors import classify_error, redact

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Progress = Callable[[str, int, int], None]  #: Stage name, stages done, stages in all.
Task = Callable[["SparkSession", JobSpec, Progress], JobResult]
LoadTask = Callable[[], Task]  #: Imports a task, so that what goes wrong there is told in the result, too.

logger = logging.getLogger(__name__)

_HELP = """\
Run one task of a transform on Spark. The run directory is the whole contract:

  spec.json      read:    what to do (task_type {task}, transform_id, primary_key, tables, labels_uri, ...)
  progress.json  written: the stage, how many of all are done, and the seconds left; replaced while the job runs
  result.json    written: counts, metrics, plan, paths, seconds, and each stage with its rows, bytes and seconds;
                 or the error, with its kind and one sentence

The exit code is 0 if the task succeeded and 1 if not.

  spark-submit jobs/{script}.py --run-directory file:///tmp/run-1
  spark-submit --properties-file conf/spark-defaults.conf jobs/{script}.py --run-directory s3://bucket/runs/1
"""


def run_job(load_task: LoadTask, *, task_type: TaskType, arguments: Sequence[str] | None = None) -> int:
    """Carry out a task on the run directory named by the arguments (by default the process's); return the exit code.

    Whatever happens once the run directory is known ends in a `result.json`: an error is classified and told in one
    sentence, and its traceback goes to the log only. A session that is already there is used and left open.
    """
    directory = _RunDirectory(_parse_arguments(task_type, arguments))
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("glue_ml").setLevel(logging.INFO)
    opened_here = find_session() is None
    with _stop_on_signals():
        result = _perform(load_task, task_type, directory)
        written = directory.write_result(result)
    if opened_here:
        _stop_session()
    return 0 if result.succeeded and written else 1


def run_script(load_task: LoadTask, *, task_type: TaskType) -> NoReturn:
    """Do what `run_job` does and end the process with its exit code.

    Where the session was opened here it ends at once: what Python would take apart object by object goes with the
    process anyway, and would take seconds after a large table.
    """
    sys.path[:] = leave_out_zips(sys.path, os.environ.get("SPARK_HOME"))
    code = run_job(load_task, task_type=task_type)
    if find_session() is not None:
        sys.exit(code)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # whoever read it may be gone
            stream.flush()
    os._exit(code)


def leave_out_zips(path: Sequence[str], spark_home: str | None) -> list[str]:
    """Return a module search path without the zips of Spark's Python, where pip installed just this Spark.

    spark-submit puts these zips first. They hold sources alone, which each process would compile anew.
    """
    if spark_home is None:
        return list(path)
    zips = Path(spark_home, "python", "lib")
    rest = [entry for entry in path if Path(entry).suffix != ".zip" or Path(entry).parent != zips]
    found = {name: PathFinder.find_spec(name, rest) for name in ("pyspark", "py4j")}
    installed = Path(spark_home).parent
    same = all(spec and spec.origin == str(installed / name / "__init__.py") for name, spec in found.items())
    return rest if same else list(path)


def chain_progress(progress: Progress, *lengths: int) -> list[Progress]:
    """Split `progress` into one for each part of a job with so many stages, so that done never goes back."""
    total = sum(lengths)

    def shift(before: int) -> Progress:
        return lambda stage, done, _: progress(stage, before + done, total)

    return [shift(sum(lengths[:i])) for i in range(len(lengths))]


def read_input(spark: SparkSession, spec: JobSpec) -> DataFrame:
    """The input tables of `spec` as one; a Glue client is made only where a table is named by its database."""
    from glue_ml.catalog import read_tables

    if not spec.tables:
        raise InputError("the spec names no input table; `tables` needs one to ten")
    glue = _glue_client(spec) if any(table.database for table in spec.tables) else None
    return read_tables(spark, spec.tables, glue=glue)


def require_uri(spec: JobSpec, member: str) -> str:
    """A URI that this kind of task needs; InputError if the spec leaves it out."""
    uri: str | None = getattr(spec, member)
    if not uri:
        raise InputError(f"the spec of {spec.task_type} needs {member}")
    return uri


@dataclass(frozen=True)
class _RunDirectory:
    """The files by which a job is told what to do and tells what came of it."""

    uri: str

    def read_spec(self, task_type: TaskType) -> JobSpec:
        spec = JobSpec.from_json(storage.read_bytes(storage.join(self.uri, "spec.json")))
        if spec.task_type is not task_type:
            raise InputError(f"this job does {task_type}, but spec.json in {self.uri} asks for {spec.task_type}")
        if task_type is TaskType.EVALUATION and spec.report_uri is None:
            return replace(spec, report_uri=storage.join(self.uri, "report.html"))
        return spec

    def write_progress(self, progress: JobProgress) -> None:
        try:
            self._write("progress.json", progress.to_json())
        except GlueMLError as error:  # the work goes on: the next stage may get through
            logger.warning("progress was not written: %s", redact(str(error)))

    def write_result(self, result: JobResult) -> bool:
        try:
            self._write("result.json", result.to_json())
        except GlueMLError as error:
            logger.error("result.json was not written: %s", redact(str(error)))
            return False
        return True

    def _write(self, name: str, text: str) -> None:
        storage.write_bytes(storage.join(self.uri, name), text.encode())


class _ProgressTeller:
    """Logs how far a job is, with an estimate of the time left, and keeps it in the run directory."""

    def __init__(self, directory: _RunDirectory, task_type: TaskType) -> None:
        self._directory = directory
        self._shares = TASK_SHARES.get(task_type, ())
        self._clock = StageClock(self._shares)

    def __call__(self, stage: str, done: int, total: int) -> None:
        left = self._estimate(done) if total == len(self._shares) else None
        logger.info("%s (%d of %d)%s", stage, done, total, f", {describe_seconds(left)} left" if left else "")
        self._directory.write_progress(JobProgress(stage, done, total, left))

    def _estimate(self, done: int) -> float | None:
        now = time.monotonic()
        self._clock.tell(done, now=now)
        left = self._clock.seconds_left(now=now)
        return None if left is None else round(left, 1)


def _parse_arguments(task_type: TaskType, arguments: Sequence[str] | None) -> str:
    script = task_type.lower()
    parser = argparse.ArgumentParser(
        prog=f"{script}.py",
        description=_HELP.format(task=task_type, script=script),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--run-directory", required=True, metavar="URI", help="a path, file:///, s3:// or s3a:// folder"
    )
    return str(parser.parse_args(arguments).run_directory)


def _perform(load_task: LoadTask, task_type: TaskType, directory: _RunDirectory) -> JobResult:
    started = time.monotonic()
    try:
        spec = directory.read_spec(task_type)
        progress = _ProgressTeller(directory, task_type)
        progress("start Spark", 0, 1)
        task = load_task()
        result = task(open_session(f"glue-ml {task_type} {spec.transform_id}"), spec, progress)
    except KeyboardInterrupt as error:
        logger.warning("the run was stopped")
        result = JobResult(False, error=classify_error(error))
    except Exception as error:  # the rim of the process: every failure must end in a result.json
        failure = classify_error(error)
        if isinstance(error, GlueMLError):
            logger.error("%s: %s", failure.kind, failure.message)
        else:
            logger.exception("%s: %s", failure.kind, failure.message)
        result = JobResult(False, error=failure)
    return replace(result, seconds={**result.seconds, "total": round(time.monotonic() - started, 3)})


@contextmanager
def _stop_on_signals() -> Iterator[None]:
    """Let SIGTERM end the task as Ctrl-C does, so that it leaves a result."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not cut off the writing of the result
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _stop_session() -> None:
    from py4j.protocol import Py4JError  # type: ignore[import-untyped]

    session = find_session()
    if session is not None:
        with suppress(Py4JError, OSError):  # the JVM may be gone, and the result is written
            session.stop()


def _glue_client(spec: JobSpec) -> Any:
    import boto3
    from botocore.exceptions import NoRegionError

    # An endpoint of our own does not care about the region, but the client wants one to sign for.
    region = spec.region or os.environ.get("AWS_REGION") or ("us-east-1" if spec.catalog_endpoint else None)
    # The keys of a control plane that gave them; AWS's own are for the data, and may be none of its.
    key, secret = (os.environ.get(f"GLUE_ML_{name}") for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"))
    session = boto3.Session(key, secret) if spec.catalog_endpoint and key and secret else boto3.Session()
    try:
        return session.client("glue", endpoint_url=spec.catalog_endpoint, region_name=region)
    except NoRegionError as error:
        raise InputError("no AWS region is known; set `region` in the spec or AWS_REGION in the environment") from error
