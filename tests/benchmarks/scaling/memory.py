"""The memory and CPU seconds of a Spark application by role: the JVM, the driver's Python, and the Python workers."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.benchmarks.peers.watched_process import list_family, stop_all

LOOK_SECONDS = 1.0
ROLES = ("jvm", "driver_python", "workers")


@dataclass(frozen=True)
class Ended:
    """How an application ended: its exit code (None: it was stopped), seconds, peak bytes by role.

    `seconds` are by the clock, `cpu_seconds` those of all its processes at the last look, by role and "all", which
    other load on the machine changes less; what has ended counts for who started it. `peak["all"]` is the peak of the
    sum, `worker_processes` the most workers at a look.
    """

    code: int | None
    why: str
    seconds: float
    cpu_seconds: Mapping[str, float]
    peak: Mapping[str, int]
    worker_processes: int


@dataclass
class _Peaks:
    bytes: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*ROLES, "all"), 0))
    workers: int = 0
    cpu: dict[str, float] = field(default_factory=lambda: dict.fromkeys((*ROLES, "all"), 0.0))

    def look(self, pid: int) -> int:
        """Add a look at a process and its descendants; return the bytes that they hold now."""
        held, taken, workers = dict.fromkeys(ROLES, 0), dict.fromkeys(ROLES, 0.0), 0
        for process in list_family(pid):
            role, size, seconds = _measure(process)
            taken[role] += seconds
            held[role] += size
            workers += role == "workers"
        total = sum(held.values())
        for name, size in {**held, "all": total}.items():
            self.bytes[name] = max(self.bytes[name], size)
        for name, seconds in {**taken, "all": sum(taken.values())}.items():
            self.cpu[name] = max(self.cpu[name], seconds)
        self.workers = max(self.workers, workers)
        return total


def run_application(
    command: Sequence[str], *, log: Path, variables: Mapping[str, str], seconds: float, memory: int
) -> Ended:
    """Run a command until it ends, or stop it after so many seconds or when it holds more than `memory` bytes.

    What n processes share counts as an n-th in each. A peak between two looks, a second apart, is not seen.
    """
    begun, peaks, why = time.monotonic(), _Peaks(), ""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=dict(variables), start_new_session=True
        )
    try:
        while process.poll() is None and not why:
            if peaks.look(process.pid) > memory:
                why = "out of memory"
            elif time.monotonic() - begun > seconds:
                why = "timed out"
            with suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_SECONDS)
    finally:
        stop_all(process)
    taken = round(time.monotonic() - begun, 1)
    code = None if why else process.returncode
    return Ended(
        code, why or "ended", taken, {name: round(s, 1) for name, s in peaks.cpu.items()}, peaks.bytes, peaks.workers
    )


def _measure(process: psutil.Process) -> tuple[str, int, float]:
    """Return a process's role, bytes, and CPU seconds with those of its children that have ended."""
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        words = process.cmdline()
        name = Path(words[0]).name if words else ""
        workers = any("pyspark.daemon" in word or "pyspark.worker" in word for word in words)
        role = "jvm" if name.startswith("java") else "workers" if workers else "driver_python"
        full = process.memory_full_info()
        return role, int(getattr(full, "pss", full.rss)), sum(process.cpu_times()[:4])
    return "driver_python", 0, 0.0
