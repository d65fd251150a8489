"""Which workers, and how many, a run of some cost should get: a decision with its reasons."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from glue_ml.domain import cost_constants as constants
from glue_ml.domain.capacity import MAX_MAX_CAPACITY, WORKER_TYPES, SparkResources, max_capacity_of, size_for
from glue_ml.domain.sizing import MB, Cost, Workload, estimate_cost
from glue_ml.domain.transform import Capacity
from glue_ml.errors import InputError

DEFAULT_SECONDS = 3600.0  #: What a run may take, where nobody says otherwise.


@dataclass(frozen=True)
class Recommendation:
    """Workers for a run, what they become, the seconds that it is expected to take, and why."""

    worker_type: str
    number_of_workers: int
    resources: SparkResources
    seconds: float
    reasons: tuple[str, ...]

    @property
    def dpu(self) -> float:
        """What the workers count in DPU."""
        return max_capacity_of(self.worker_type, self.number_of_workers)


def recommend_for(workload: Workload, *, seconds: float = DEFAULT_SECONDS) -> tuple[Cost, Recommendation]:
    """Return the cost of a run by the plan that workers can hold, in pieces where none hold the whole, and the workers.

    Raises InputError for less than two rows, and where the memory of no worker type suffices either way.
    """
    whole = estimate_cost(workload)
    if any(_holds(whole, name) for name in WORKER_TYPES):
        return whole, recommend_workers(whole, seconds=seconds)
    pieces = estimate_cost(workload, in_pieces=True)
    return pieces, recommend_workers(pieces, seconds=seconds)


def recommend_workers(cost: Cost, *, seconds: float = DEFAULT_SECONDS) -> Recommendation:
    """Return the cheapest workers that hold a run of this cost and end it within `seconds`, if any do.

    Where none are fast enough, those that are fastest. InputError where the memory of none suffices.
    """
    options = [option for name in WORKER_TYPES if (option := _choose_number(cost, name, seconds)) is not None]
    if not options:
        raise InputError(_explain_misfit(cost))
    cheapest = min(options, key=lambda chosen: (max(chosen.seconds - seconds, 0.0), chosen.dpu, chosen.seconds))
    resources, reasons = cheapest.resources, tuple(_give_reasons(cost, cheapest, seconds))
    return Recommendation(cheapest.worker_type, cheapest.number_of_workers, resources, cheapest.seconds, reasons)


def executor_need_mb(cost: Cost, resources: SparkResources) -> tuple[float, float]:
    """Return MB that an executor needs beside its heap, and that the driver does, for their Python processes."""
    workers = 0.0 if cost.on_driver else cost.workers_bytes(resources.executor_cores) / MB
    return workers + _jvm_outside(resources), cost.driver_bytes / MB + _jvm_outside(resources)


def predict_seconds(cost: Cost, resources: SparkResources) -> float:
    """Return how long a run takes: what the driver does alone, and what is shared, by its slowest tasks."""
    cores = max(resources.executors * resources.executor_cores, 1)
    shared = cost.cpu_seconds(shared=True) * constants.SKEW / cores
    return constants.START_SECONDS + cost.cpu_seconds(shared=False) + shared


def largest_table(cost: Cost, worker_type: str) -> int:
    """Return how many rows like these a worker type holds, at the most."""
    resources = size_for(Capacity(None, worker_type, 1))
    spare = resources.executor_overhead_mb - _jvm_outside(resources)
    row_driver = (cost.driver_bytes / MB - constants.PROCESS_MB) / cost.rows
    driver = (spare - constants.PROCESS_MB) / row_driver
    if cost.pieces:
        # whatever the rows, an executor has the same pieces at hand
        return int(driver) if executor_need_mb(cost, resources)[0] <= resources.executor_overhead_mb else 0
    executor = (spare - constants.PROCESS_MB * resources.executor_cores) / (cost.file_bytes / MB / cost.rows)
    return max(int(min(driver, executor)), 0)


def _jvm_outside(resources: SparkResources) -> float:
    container = resources.executor_memory_mb + resources.executor_overhead_mb
    return max(container * constants.JVM_OUTSIDE_SHARE, 384.0)


def _holds(cost: Cost, worker_type: str) -> bool:
    one = size_for(Capacity(None, worker_type, 1))
    return max(executor_need_mb(cost, one)) <= one.executor_overhead_mb


def _choose_number(cost: Cost, worker_type: str, seconds: float) -> Recommendation | None:
    """Return the fewest workers of a type that are fast enough, else the most; None if they hold too little."""
    if not _holds(cost, worker_type):
        return None
    one = size_for(Capacity(None, worker_type, 1))
    cores, alone = one.executors * one.executor_cores, predict_seconds(cost, one)
    shared = cost.cpu_seconds(shared=True) * constants.SKEW
    spare = seconds - (alone - shared / cores)
    most = max(int(MAX_MAX_CAPACITY / WORKER_TYPES[worker_type].dpu), 1)
    wanted = math.ceil(shared / (spare * cores)) if spare > 0 else most
    number = 1 if cost.on_driver else min(max(wanted, 1), most)
    resources = size_for(Capacity(None, worker_type, number))
    return Recommendation(worker_type, number, resources, predict_seconds(cost, resources), ())


def _give_reasons(cost: Cost, chosen: Recommendation, seconds: float) -> Iterator[str]:
    resources = chosen.resources
    executor, driver = (f"{need / 1024:.1f} GiB" for need in executor_need_mb(cost, resources))
    beside = f"beside its heap, of {resources.executor_overhead_mb / 1024:.1f} GiB that there are"
    file, cores = f"{cost.file_bytes / 2**30:,.1f} GiB", resources.executor_cores
    if cost.on_driver:
        yield f"{cost.rows:,} rows are compared on the driver sooner than executors would start: one worker suffices"
    elif cost.pieces:
        yield (
            f"no worker type holds records and index of all rows, so they are matched in {cost.pieces:,} "
            f"pieces: with {cores} Python workers an executor takes {executor} {beside}, and up to "
            f"{file} of its disk"
        )
    else:
        yield (
            f"an executor maps a file of the records and the index, {file}, which its {cores} Python workers share: "
            f"it takes {executor} {beside}"
        )
    held = "match ids and the links to cluster" if cost.pieces else "the table, the records and the index"
    yield f"the driver holds {held}, at its peak {driver} {beside}"
    hours, alone = cost.cpu_seconds(shared=True) / 3600, cost.cpu_seconds(shared=False)
    if not cost.on_driver:
        shared = resources.executors * resources.executor_cores
        yield f"{hours:.2f} core hours are shared by {shared} cores; the driver alone works for {alone:,.0f} s"
    if chosen.seconds > seconds:
        yield f"no workers end it within {seconds:,.0f} s: these are the fastest"
    elif not cost.on_driver:
        yield f"it is the cheapest that ends within {seconds:,.0f} s: {chosen.dpu:g} DPU"


def _explain_misfit(cost: Cost) -> str:
    holds = {name: largest_table(cost, name) for name in WORKER_TYPES}
    best = max(holds, key=lambda name: holds[name])
    how, needed = "", f"{cost.file_bytes / 2**30:,.0f} GiB"
    if cost.pieces:
        how, needed = ", even in pieces", "what two pieces take for each core"
    return (
        f"no worker type holds {cost.rows:,} rows of this form{how}: the driver needs "
        f"{cost.driver_bytes / 2**30:,.0f} GiB beside its heap, and every executor {needed}. {best} holds the most, "
        f"about {holds[best]:,} rows. Compare fewer or shorter columns, or match parts of the table"
    )
