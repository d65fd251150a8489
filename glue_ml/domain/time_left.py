"""How long a run still takes, by how long its stages have taken so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from glue_ml.domain.job import TaskType

#: Shares of a run over 100,000 persons on two cores, by stage. Only how they compare counts. A stage that takes as long
#: for a small table as for a large one, such as the start of Spark, has no share: it tells nothing about the others.
FIT_SHARES = (7.0, 4.0, 90.0, 130.0)
MATCH_SHARES = (7.0, 4.0, 80.0, 2.0, 1.0)
LABEL_SHARES = (7.0, 4.0, 80.0, 2.0)
WRITE_SHARE = 8.0

#: By kind of job: the shares of all of its stages, in order.
TASK_SHARES: Mapping[TaskType, tuple[float, ...]] = {
    TaskType.EVALUATION: (*FIT_SHARES, WRITE_SHARE),
    TaskType.LABELING_SET_GENERATION: (*FIT_SHARES, *LABEL_SHARES),
    TaskType.FIND_MATCHES: (*FIT_SHARES, *MATCH_SHARES, WRITE_SHARE),
}


def estimate_seconds_left(
    shares: Sequence[float], spent: Mapping[int, float], current: int, elapsed: float
) -> float | None:
    """Return the seconds until the last stage has ended; None while nothing tells how fast this run is.

    `spent` are the seconds of stages that ran, by place in `shares`; those that were left out are not in it. `elapsed`
    is for how long the stage `current` has run. A stage that takes longer than its share makes those ahead longer too.

    >>> estimate_seconds_left((1.0, 4.0, 2.0), {0: 10.0}, current=1, elapsed=15.0)
    45.0
    """
    if current >= len(shares):
        return 0.0
    known = sum(shares[place] for place in spent)
    seconds = sum(taken for place, taken in spent.items() if shares[place] > 0)
    pace = seconds / known if known > 0 else 0.0
    if shares[current] > 0 and elapsed > pace * shares[current]:
        pace = (seconds + elapsed) / (known + shares[current]) if known > 0 else 0.0
    if pace == 0.0:
        return None
    return max(pace * shares[current] - elapsed, 0.0) + pace * sum(shares[current + 1 :])


class StageClock:
    """Notes when each of the stages began, and estimates from that how long the rest takes.

    `now` is any clock's seconds. Without shares, or where told of another number of stages, it knows nothing.
    """

    def __init__(self, shares: Sequence[float]) -> None:
        self._shares = shares
        self._spent: dict[int, float] = {}
        self._current = 0
        self._began: float | None = None

    def tell(self, done: int, *, now: float) -> None:
        """Note that so many stages are done. Where the number leaps, the stages in between were left out."""
        if self._began is not None and done == self._current:
            return
        if self._began is not None and done == self._current + 1:
            self._spent[self._current] = now - self._began
        self._current, self._began = done, now

    def seconds_left(self, *, now: float) -> float | None:
        """Return the estimate, None where there is none yet."""
        if self._began is None or not self._shares:
            return None
        return estimate_seconds_left(self._shares, self._spent, self._current, now - self._began)


def describe_seconds(seconds: float) -> str:
    """Return a time that is known roughly, in words.

    >>> [describe_seconds(seconds) for seconds in (4, 38, 500, 9000, 200_000)]
    ['a few seconds', 'about 40 s', 'about 8 min', 'about 2.5 h', 'about 56 h']
    """
    if seconds < 7.5:
        return "a few seconds"
    if seconds < 90:
        return f"about {round(seconds / 5) * 5} s"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} min"
    hours = seconds / 3600
    return f"about {round(hours)} h" if hours >= 10 else f"about {hours:.1f} h"
