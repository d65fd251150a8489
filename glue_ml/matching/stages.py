"""The stages of a run: each is timed, told to whoever follows the run, and named on Spark's web page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pyspark.sql import SparkSession

from glue_ml.domain.job import Stage
from glue_ml.matching.job_descriptions import describe_jobs

Progress = Callable[[str, int, int], None]  #: Stage name, stages done, stages in all.


@dataclass
class Amounts:
    """What a stage may say of itself while it runs: rows that went in and came out, bytes of what came out."""

    rows_in: int | None = None
    rows_out: int | None = None
    bytes: int | None = None


@dataclass
class Stages:
    """The stages of one thing that is done, such as `train`, by their names in order.

    `done` grows by one `Stage` as each ends; a list that is given is gone on with.
    """

    doing: str
    names: tuple[str, ...]
    progress: Progress | None
    spark: SparkSession
    done: list[Stage] = field(default_factory=list)
    _before: int = field(init=False)

    def __post_init__(self) -> None:
        self._before = len(self.done)

    @property
    def mine(self) -> tuple[Stage, ...]:
        """The stages that have ended, without those that were there before."""
        return tuple(self.done[self._before :])

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds by stage."""
        return {stage.name: stage.seconds for stage in self.mine}

    @contextmanager
    def run(self, name: str) -> Iterator[Amounts]:
        """Time what is done meanwhile as the stage `name`; what is yielded takes the amounts.

        A failure ends no stage.
        """
        place, amounts = self.names.index(name), Amounts()
        self._tell(name, place)
        started = time.monotonic()
        with describe_jobs(self.spark, f"{self.doing}: {name}"):
            yield amounts
        seconds = round(time.monotonic() - started, 3)
        self.done.append(Stage(name, seconds, amounts.rows_in, amounts.rows_out, amounts.bytes))
        self._tell(name, place + 1)

    def _tell(self, name: str, done: int) -> None:
        if self.progress is not None:
            self.progress(name, done, len(self.names))
