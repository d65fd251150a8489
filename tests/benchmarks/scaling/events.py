"""What Spark's event log tells of an application: its jobs, and the seconds, bytes and skew of each stage."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

LONG_TASK = 1.0  #: Seconds; among shorter tasks a ratio says nothing about skew.


@dataclass(frozen=True)
class Stage:
    """A stage: its tasks, their seconds in all, of the slowest and of the median one, and the MB that were moved."""

    number: int
    name: str
    description: str
    tasks: int
    seconds: float
    slowest: float
    median: float
    read_mb: float
    shuffled_mb: float
    spilled_mb: float

    @property
    def skew(self) -> float | None:
        """The slowest task over the median one; None where all tasks are short."""
        return round(self.slowest / self.median, 2) if self.slowest >= LONG_TASK and self.median > 0 else None

    def to_dict(self) -> dict[str, Any]:
        """Return the stage and its skew as JSON members."""
        return {**asdict(self), "skew": self.skew}


@dataclass(frozen=True)
class Application:
    """The jobs that an application ran (by their descriptions) and its stages, in order."""

    jobs: tuple[str, ...]
    stages: tuple[Stage, ...]


@dataclass
class _Tasks:
    seconds: list[float] = field(default_factory=list)
    bytes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("read", "shuffled", "spilled"), 0))

    def add(self, event: Mapping[str, Any]) -> None:
        metrics = event.get("Task Metrics") or {}
        self.seconds.append(metrics.get("Executor Run Time", 0) / 1000)
        self.bytes["read"] += metrics.get("Input Metrics", {}).get("Bytes Read", 0)
        self.bytes["shuffled"] += metrics.get("Shuffle Write Metrics", {}).get("Shuffle Bytes Written", 0)
        self.bytes["spilled"] += metrics.get("Disk Bytes Spilled", 0)


def read_events(folder: Path) -> Application:
    """Read the one event log in `folder`, written plain and in one file. FileNotFoundError if there is none."""
    logs = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    if not logs:
        raise FileNotFoundError(f"there is no event log in {folder}; was the application run with spark.eventLog.dir?")
    with logs[-1].open(encoding="utf-8") as lines:
        return collect_events(map(json.loads, lines))


def collect_events(events: Iterable[Mapping[str, Any]]) -> Application:
    """Put the events of an application together."""
    jobs: list[str] = []
    tasks: dict[int, _Tasks] = {}
    done: list[tuple[Mapping[str, Any], str]] = []
    described: dict[int, str] = {}
    for event in events:
        kind = event["Event"]
        if kind == "SparkListenerJobStart":
            jobs.append(_describe(event))
            described |= dict.fromkeys(event["Stage IDs"], jobs[-1])
        elif kind == "SparkListenerTaskEnd":
            tasks.setdefault(event["Stage ID"], _Tasks()).add(event)
        elif kind == "SparkListenerStageCompleted":
            info = event["Stage Info"]
            done.append((info, described.get(info["Stage ID"], "")))
    return Application(tuple(jobs), tuple(_make_stages(done, tasks)))


def _describe(event: Mapping[str, Any]) -> str:
    return str((event.get("Properties") or {}).get("spark.job.description", ""))


def _make_stages(done: Iterable[tuple[Mapping[str, Any], str]], tasks: Mapping[int, _Tasks]) -> Iterator[Stage]:
    for info, description in done:
        number = info["Stage ID"]
        own = tasks.get(number, _Tasks())
        times = own.seconds or [0.0]
        moved = {name: round(size / 2**20, 1) for name, size in own.bytes.items()}
        yield Stage(
            number, info["Stage Name"], description, len(own.seconds), round(sum(times), 2), round(max(times), 2),
            round(statistics.median(times), 2), moved["read"], moved["shuffled"], moved["spilled"],
        )  # fmt: skip
