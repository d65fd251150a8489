"""The driver of a FIND_MATCHES run for spark-submit that works as for a large table, and loses executors on demand.

    spark-submit breaking_driver.py FOLDER [STAGE ...] -- --run-directory URI

In each STAGE (see STAGES) the first task to get there kills the JVM of its executor, and tells in FOLDER which. What is
defined here is sent to the tasks by value, as they cannot import the script that was submitted.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa

from glue_ml.domain.job import TaskType
from glue_ml.job_runner import run_job
from glue_ml.matching import pipeline
from glue_ml.session import open_session
from glue_ml.tasks.find_matches import find_matches

Task = Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]

#: The stages by the function that makes their tasks: those to break when a task begins, and when its work is done.
STAGES = {
    "_cut_task": ((), ("cut",)),
    "_answer": (("count",), ()),
    "_take": ((), ("take",)),
    "_list_task": ((), ("list candidates",)),
    "ask_task": (("meet",), ("score",)),
    "PieceCandidates": ((), ("score",)),
    "_cluster_task": (("cluster",), ()),
}


def kill_executor_once(folder: str, stage: str) -> None:
    """Kill the JVM that this Python worker belongs to, unless another task of the stage did so before."""
    try:
        marker = (Path(folder) / stage).open("x", encoding="utf-8")
    except FileExistsError:
        return
    jvms = ((process.pid, process.cmdline()) for process in psutil.Process().parents())
    pid, command = next((p, c) for p, c in jvms if any(part.endswith("CoarseGrainedExecutorBackend") for part in c))
    with marker:
        names = ("--app-id", "--executor-id")
        json.dump({"pid": pid, **{name: command[command.index(name) + 1] for name in names}}, marker)
    psutil.Process(pid).kill()
    time.sleep(60)  # nothing must come of this task


def break_task(task: Task, folder: str, before: tuple[str, ...], after: tuple[str, ...]) -> Task:
    """A task that kills its executor when it begins, or when it has something to tell."""

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for stage in before:
            kill_executor_once(folder, stage)
        for batch in task(batches):
            for stage in after:
                kill_executor_once(folder, stage)
            yield batch

    return run


def break_stages(session: Any, folder: str, chosen: set[str]) -> None:
    """Let the tasks of DataFrame.mapInArrow break as chosen."""
    frame = type(session.range(1))
    plain = frame.mapInArrow

    def map_in_arrow(df: Any, func: Task, *arguments: Any, **named: Any) -> Any:
        before, after = (
            tuple(stage for stage in stages if stage in chosen)
            for stages in STAGES.get(func.__qualname__.split(".")[0], ((), ()))
        )
        return plain(df, break_task(func, folder, before, after) if before or after else func, *arguments, **named)

    frame.mapInArrow = map_in_arrow


def main(folder: str, stages: list[str], arguments: list[str]) -> int:
    pipeline.DRIVER_ROWS = 0
    session = open_session("glue-ml FIND_MATCHES")
    if stages:
        break_stages(session, folder, set(stages))
    code = run_job(lambda: find_matches, task_type=TaskType.FIND_MATCHES, arguments=arguments)
    session.stop()
    return code


if __name__ == "__main__":
    cut = sys.argv.index("--")
    sys.exit(main(sys.argv[1], sys.argv[2:cut], sys.argv[cut + 1 :]))
