"""How far a run is, shown on standard error: a bar with the time left, or lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from glue_ml.console import BAR_WIDTH, open_console
from glue_ml.domain.time_left import StageClock, describe_seconds


class _Bar:
    """What is drawn while the context is open."""

    def __init__(self, estimate: Callable[[], float | None]) -> None:
        self._console = open_console(stderr=True)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(BAR_WIDTH), TimeElapsedColumn())
        self._bar = Progress(
            *columns, _TimeLeftColumn(estimate),
            console=self._console, transient=True, disable=not self._console.is_terminal,
        )  # fmt: skip

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


class StageBar(_Bar):
    """A progress bar on standard error over steps that are known beforehand; a plain line per step without a terminal.

    `begin` starts the next step, `tell` moves within it and has the shape of the engine's progress callback. Steps that
    come with the shares of their stages in a run (see `time_left`) let the time left be estimated.
    """

    def __init__(self, steps: Sequence[str] | Mapping[str, Sequence[float]]) -> None:
        shares = list(steps.values()) if isinstance(steps, Mapping) else []
        self._steps = tuple(steps)
        self._lengths = [len(stages) for stages in shares]
        self._clock = StageClock([share for stages in shares for share in stages])
        self._begun = 0
        self._started = time.monotonic()
        super().__init__(self._estimate)
        self._task = self._bar.add_task("", total=len(steps))

    def begin(self) -> None:
        """Start the next step."""
        self._begun += 1
        step = self._steps[self._begun - 1]
        self._note(0)
        self._bar.update(self._task, description=step, completed=self._begun - 1)
        if self._bar.disable:
            seconds, left = time.monotonic() - self._started, _tell_left(self._estimate())
            told = f"[{self._begun}/{len(self._steps)}] after {seconds:.0f} s: {step}"
            self._console.print(f"{told}, {left}" if left else told, soft_wrap=True)

    def tell(self, stage: str, done: int, total: int) -> None:
        """Say how far the current step is: `done` of `total` stages."""
        step = self._steps[self._begun - 1]
        completed = self._begun - 1 + done / max(total, 1)
        self._note(done)
        self._bar.update(self._task, description=f"{step}: {stage}", completed=completed)

    def _note(self, done: int) -> None:
        """Note that so many stages of the present step are done."""
        self._clock.tell(sum(self._lengths[: self._begun - 1]) + done, now=time.monotonic())

    def _estimate(self) -> float | None:
        return self._clock.seconds_left(now=time.monotonic())


class RunBar(_Bar):
    """The progress of a run elsewhere on standard error: a bar, or without a terminal a line for each change.

    `tell` takes the run's status and, if that is known, its stage, how many of its stages are done, and the seconds
    that were left when that stage began or ended.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._told: tuple[str, str | None] | None = None
        self._left: float | None = None
        self._left_on = 0.0
        super().__init__(self._estimate)
        self._task = self._bar.add_task(name, total=None)

    def tell(
        self, status: str, stage: str | None = None, done: int = 0, total: int = 0, seconds_left: float | None = None
    ) -> None:
        """Show where the run is now."""
        if seconds_left != self._left:
            self._left, self._left_on = seconds_left, time.monotonic()
        where = f"{status}, {stage} ({done} of {total})" if stage else status
        self._bar.update(self._task, description=f"{self._name}: {where}", completed=done, total=total or None)
        if self._bar.disable and self._told != (status, stage):
            left = _tell_left(seconds_left)
            self._console.print(f"{self._name}: {where}{', ' if left else ''}{left}", soft_wrap=True)
        self._told = (status, stage)

    def _estimate(self) -> float | None:
        """Return what is left of the seconds that were told last."""
        return None if self._left is None else max(self._left - (time.monotonic() - self._left_on), 0.0)


class _TimeLeftColumn(ProgressColumn):
    """The time left, asked for anew whenever the bar is drawn."""

    def __init__(self, estimate: Callable[[], float | None]) -> None:
        super().__init__()
        self._estimate = estimate

    def render(self, task: Task) -> Text:
        """Return the time in words, nothing where there is no estimate."""
        return Text(_tell_left(self._estimate()))


def _tell_left(seconds: float | None) -> str:
    return "" if seconds is None else f"{describe_seconds(seconds)} left"
