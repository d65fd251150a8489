"""A process with an end: by its own will, by the clock or by the memory it and its children take."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

Outcome = Literal["finished", "failed", "timed out", "out of memory"]

_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Limits:
    """The most that a process may take. `memory` is in bytes, with the children's, shared pages counted once."""

    seconds: float
    memory: int


@dataclass(frozen=True)
class Watched:
    """How a process ended, its seconds by the clock, and the most bytes it and its children held at a look."""

    outcome: Outcome
    seconds: float
    peak_memory: int


@dataclass(frozen=True)
class Place:
    """Where a process works, where what it prints goes, and its variables."""

    folder: Path
    log: Path
    variables: Mapping[str, str]


def run_watched(command: Sequence[str], place: Place, limits: Limits) -> Watched:
    """Run a command in a group of its own until it ends or breaks a limit.

    Its descendants are stopped at the end, whatever the outcome. Memory is looked at twice a second, so a shorter peak
    is not seen.
    """
    begun = time.monotonic()
    with place.log.open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=place.folder,
            env=dict(place.variables),
            start_new_session=True,
        )
    try:
        outcome, peak = _watch(process, begun, limits)
    finally:
        stop_all(process)
    return Watched(outcome, round(time.monotonic() - begun, 1), peak)


def _watch(process: subprocess.Popen[bytes], begun: float, limits: Limits) -> tuple[Outcome, int]:
    peak = 0
    while process.poll() is None:
        peak = max(peak, measure_memory(process.pid))
        if peak > limits.memory:
            return "out of memory", peak
        if time.monotonic() - begun > limits.seconds:
            return "timed out", peak
        threading.Event().wait(_LOOK_SECONDS)
    return ("finished" if process.returncode == 0 else "failed"), peak


def measure_memory(pid: int) -> int:
    """Return the bytes that a process and its descendants hold; 0 if it is gone."""
    return sum(_measure_one(process) for process in list_family(pid))


def list_family(pid: int) -> list[psutil.Process]:
    """Return a process and its descendants; none if it is gone."""
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _measure_one(process: psutil.Process) -> int:
    """Return a process's share of the memory (what n processes share counts as an n-th in each), or 0 if it is gone."""
    try:
        full = process.memory_full_info()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
    return int(getattr(full, "pss", full.rss))


def stop_all(process: subprocess.Popen[bytes]) -> None:
    """Stop what is left of the process's group, and those of its descendants that have made groups of their own."""
    left = list_family(process.pid)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for child in left:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    process.wait()
