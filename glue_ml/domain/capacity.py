"""What a worker is, and how many Spark executors of which size come of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from glue_ml.domain.transform import Capacity
from glue_ml.errors import InputError


@dataclass(frozen=True)
class WorkerShape:
    """A worker: its executors, the cores and the memory (MB) of each, its disk (GB), and what it counts in DPU."""

    executors: int
    cores: int
    memory_mb: int
    disk_gb: int
    dpu: float


#: The worker types that are supported. 1 DPU is 4 vCPU and 16 GB.
WORKER_TYPES: Mapping[str, WorkerShape] = {
    "Standard": WorkerShape(2, 2, 8 << 10, 50, 1.0),
    "G.025X": WorkerShape(1, 2, 4 << 10, 64, 0.25),
    "G.1X": WorkerShape(1, 4, 16 << 10, 64, 1.0),
    "G.2X": WorkerShape(1, 8, 32 << 10, 128, 2.0),
    "G.4X": WorkerShape(1, 16, 64 << 10, 256, 4.0),
    "G.8X": WorkerShape(1, 32, 128 << 10, 512, 8.0),
    "Z.2X": WorkerShape(1, 8, 64 << 10, 128, 2.0),
}
DEFAULT_MAX_CAPACITY = 10.0  #: DPU, of a run that says nothing
MIN_MAX_CAPACITY = 2.0
MAX_MAX_CAPACITY = 100.0

#: Of a container, the part that is Java heap. The engine's kernels run in Python workers, beside the heap.
HEAP_SHARE = 0.45
MIN_HEAP_MB = 512  #: Spark refuses to start with less than 450 MB.


@dataclass(frozen=True)
class SparkResources:
    """Executors and a driver, each a container: heap and overhead (MB) add up to exactly the worker's share.

    The overhead holds the JVM's own needs and the Python workers.
    """

    executors: int
    executor_cores: int
    executor_memory_mb: int
    executor_overhead_mb: int
    driver_cores: int
    driver_memory_mb: int
    driver_overhead_mb: int


@dataclass(frozen=True)
class LocalResources:
    """What a driver that is also the executor gets of this machine: cores, and heap in MB."""

    cores: int
    heap_mb: int


def check_capacity(max_capacity: float | None, worker_type: str | None, number_of_workers: int | None) -> None:
    """Raise InputError, saying which rule is broken, unless this is MaxCapacity alone, or both of the others."""
    if max_capacity is not None and (worker_type is not None or number_of_workers is not None):
        raise InputError(
            "Cannot set Max Capacity and Worker Num/Type at the same time. "
            "Give either MaxCapacity, or WorkerType and NumberOfWorkers."
        )
    if (worker_type is None) != (number_of_workers is None):
        raise InputError("Both WorkerType and NumberOfWorkers should be set.")
    if max_capacity is not None and not max_capacity >= MIN_MAX_CAPACITY:  # so that NaN is refused too
        raise InputError(f"MaxCapacity should be >= {MIN_MAX_CAPACITY:g}.")
    if max_capacity is not None and max_capacity > MAX_MAX_CAPACITY:
        raise InputError(f"MaxCapacity should be <= {MAX_MAX_CAPACITY:g}.")
    if number_of_workers is not None and number_of_workers < 1:
        raise InputError("NumberOfWorkers should be >= 1.")
    if worker_type is not None:
        find_shape(worker_type)


def find_shape(worker_type: str) -> WorkerShape:
    """The shape of a worker type; InputError for one that is not supported."""
    if worker_type not in WORKER_TYPES:
        raise InputError(f"WorkerType {worker_type} is not supported; use one of: {', '.join(WORKER_TYPES)}.")
    return WORKER_TYPES[worker_type]


def max_capacity_of(worker_type: str, number_of_workers: int) -> float:
    """What so many workers count in DPU."""
    return find_shape(worker_type).dpu * number_of_workers


def size_for(capacity: Capacity) -> SparkResources:
    """The executors for a capacity: MaxCapacity counts Standard workers, rounded down. The driver is one more."""
    if capacity.worker_type is not None and capacity.number_of_workers is not None:
        shape, workers = find_shape(capacity.worker_type), capacity.number_of_workers
    else:
        amount = DEFAULT_MAX_CAPACITY if capacity.max_capacity is None else capacity.max_capacity
        shape, workers = WORKER_TYPES["Standard"], math.floor(amount)
    heap, overhead = split_memory(shape.memory_mb)
    return SparkResources(shape.executors * workers, shape.cores, heap, overhead, shape.cores, heap, overhead)


def split_memory(container_mb: int) -> tuple[int, int]:
    """Heap and overhead (MB) of a container; together exactly the container."""
    heap = int(container_mb * HEAP_SHARE)
    return heap, container_mb - heap


def clamp_to_machine(
    resources: SparkResources, *, cores: int, memory_mb: int
) -> tuple[LocalResources, tuple[str, ...]]:
    """What local mode gets of `resources` on a machine with so much, and a sentence on each thing that was cut."""
    wanted_cores = resources.executors * resources.executor_cores
    wanted_mb = resources.executors * (resources.executor_memory_mb + resources.executor_overhead_mb)
    cut = []
    if wanted_cores > cores:
        cut.append(f"{wanted_cores} cores were asked for, and {cores} are used, as this machine gives no more")
    if wanted_mb > memory_mb:
        cut.append(f"{wanted_mb} MB were asked for, and {memory_mb} MB are used, as this machine gives no more")
    heap, _ = split_memory(min(wanted_mb, memory_mb))
    if heap < MIN_HEAP_MB:
        cut.append(
            f"a heap of {heap} MB would come of that, and {MIN_HEAP_MB} MB are used, as Spark needs them to start"
        )
    return LocalResources(min(wanted_cores, cores), max(heap, MIN_HEAP_MB)), tuple(cut)
