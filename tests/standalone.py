"""A Spark standalone cluster on loopback: a master and some workers, each a process, gone when the test is over."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from glue_ml.session import QUICK_JVM

SHORT_JVM = f"{QUICK_JVM} -XX:+UseSerialGC"  #: For processes that live for seconds: half the CPU to start.
PATIENCE = 120.0  #: Seconds that a process may take to say that it is there.
_MASTER = re.compile(r"Starting Spark master at (spark://\S+)")
_REGISTERED = re.compile(r"Registering worker ")


def find_spark() -> Path | None:
    """The folder of the Spark that PySpark brings, if it can start a cluster."""
    found = find_spec("pyspark")
    home = None if found is None or found.origin is None else Path(found.origin).parent
    return home if home is not None and (home / "bin" / "spark-class").is_file() else None


def make_environment(spark: Path) -> dict[str, str]:
    """What the processes of a cluster, and those that submit to it, find in their environment."""
    return {
        **os.environ,
        "SPARK_HOME": str(spark),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_PUBLIC_DNS": "127.0.0.1",
        "SPARK_DAEMON_JAVA_OPTS": SHORT_JVM,
        "SPARK_DAEMON_MEMORY": "256m",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
    }


@contextmanager
def open_cluster(spark: Path, folder: Path, *, workers: int, cores: int, memory_mb: int) -> Iterator[str]:
    """Run a master and `workers`, each of so many cores and so much memory; yields the master's address."""
    environment, log = make_environment(spark) | {"SPARK_LOCAL_DIRS": str(folder / "local")}, folder / "master.log"
    run = [str(spark / "bin" / "spark-class"), "org.apache.spark.deploy"]
    here = ["--host", "127.0.0.1", "--webui-port", "0"]
    with ExitStack() as stack:
        command = [run[0], f"{run[1]}.master.Master", *here, "--port", "0"]
        stack.enter_context(_run_process(command, environment, log))
        master = _wait_for(_MASTER, log, times=1)[0]
        for number in range(workers):
            command = [run[0], f"{run[1]}.worker.Worker", *here, "--cores", str(cores), "--memory", f"{memory_mb}m",
                       "--work-dir", str(folder / f"worker-{number}"), master]  # fmt: skip
            stack.enter_context(_run_process(command, environment, folder / f"worker-{number}.log"))
        _wait_for(_REGISTERED, log, times=workers)
        yield master


def _wait_for(pattern: re.Pattern[str], log: Path, *, times: int) -> list[str]:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = pattern.findall(log.read_text(errors="replace"))
        if len(found) >= times:
            return found
        time.sleep(0.1)
    raise TimeoutError(f"{log} does not say {pattern.pattern!r} {times} times")


@contextmanager
def _run_process(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[None]:
    """Run a process with a session of its own, and end it with all that it started."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
