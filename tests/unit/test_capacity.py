"""From the API's capacity to Spark's executors."""

from __future__ import annotations

import pytest

from glue_ml.domain.capacity import (
    WORKER_TYPES,
    LocalResources,
    check_capacity,
    clamp_to_machine,
    max_capacity_of,
    size_for,
    split_memory,
)
from glue_ml.domain.transform import Capacity
from glue_ml.errors import InputError


@pytest.mark.parametrize(
    ("capacity", "executors", "cores", "container_mb"),
    [
        (Capacity(), 20, 2, 8192),
        (Capacity(max_capacity=10.0), 20, 2, 8192),
        (Capacity(max_capacity=2.9), 4, 2, 8192),
        (Capacity(None, "Standard", 3), 6, 2, 8192),
        (Capacity(0.5, "G.025X", 2), 2, 2, 4096),
        (Capacity(5.0, "G.1X", 5), 5, 4, 16384),
        (Capacity(10.0, "G.2X", 5), 5, 8, 32768),
        (Capacity(4.0, "G.4X", 1), 1, 16, 65536),
        (Capacity(8.0, "G.8X", 1), 1, 32, 131072),
        (Capacity(4.0, "Z.2X", 2), 2, 8, 65536),
    ],
)
def test_a_capacity_becomes_executors_whose_memory_is_just_the_container(
    capacity: Capacity, executors: int, cores: int, container_mb: int
) -> None:
    found = size_for(capacity)
    assert (found.executors, found.executor_cores) == (executors, cores)
    assert found.executor_memory_mb + found.executor_overhead_mb == container_mb
    assert (found.driver_cores, found.driver_memory_mb, found.driver_overhead_mb) == (
        found.executor_cores, found.executor_memory_mb, found.executor_overhead_mb,
    )  # fmt: skip


@pytest.mark.parametrize("container_mb", [*(shape.memory_mb for shape in WORKER_TYPES.values()), 1, 777])
def test_heap_and_overhead_are_the_whole_container(container_mb: int) -> None:
    heap, overhead = split_memory(container_mb)
    assert heap + overhead == container_mb
    assert heap <= overhead  # the kernels run beside the heap


@pytest.mark.parametrize(
    ("worker_type", "dpu"), [("Standard", 2.0), ("G.025X", 0.5), ("G.1X", 2.0), ("G.2X", 4.0), ("Z.2X", 4.0)]
)
def test_workers_count_in_dpu(worker_type: str, dpu: float) -> None:
    assert max_capacity_of(worker_type, 2) == dpu


@pytest.mark.parametrize(
    "given",
    [
        (2.0, None, None), (100.0, None, None), (None, None, None), (None, "G.1X", 1), (None, "Standard", 299),
    ],
)  # fmt: skip
def test_what_the_rules_allow_is_allowed(given: tuple[float | None, str | None, int | None]) -> None:
    check_capacity(*given)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((10.0, "G.1X", 2), "Cannot set Max Capacity and Worker Num/Type at the same time."),
        ((10.0, None, 2), "Cannot set Max Capacity and Worker Num/Type at the same time."),
        ((None, "G.1X", None), "Both WorkerType and NumberOfWorkers should be set."),
        ((None, None, 2), "Both WorkerType and NumberOfWorkers should be set."),
        ((1.99, None, None), "MaxCapacity should be >= 2."),
        ((float("nan"), None, None), "MaxCapacity should be >= 2."),
        ((100.01, None, None), "MaxCapacity should be <= 100."),
        ((None, "G.1X", 0), "NumberOfWorkers should be >= 1."),
        ((None, "R.8X", 1), "WorkerType R.8X is not supported; use one of: Standard, G.025X"),
    ],
)
def test_each_rule_that_is_broken_is_named(given: tuple[float | None, str | None, int | None], told: str) -> None:
    with pytest.raises(InputError) as caught:
        check_capacity(*given)
    assert str(caught.value).startswith(told)


def test_local_mode_takes_what_the_machine_has_and_says_what_it_cut() -> None:
    resources = size_for(Capacity(None, "G.2X", 2))
    assert clamp_to_machine(resources, cores=64, memory_mb=1 << 20) == (LocalResources(16, 29491), ())
    found, cut = clamp_to_machine(resources, cores=2, memory_mb=8192)
    assert found == LocalResources(2, 3686)
    assert cut == (
        "16 cores were asked for, and 2 are used, as this machine gives no more",
        "65536 MB were asked for, and 8192 MB are used, as this machine gives no more",
    )


def test_a_heap_that_spark_would_not_start_with_is_raised_and_told() -> None:
    resources = size_for(Capacity(None, "G.1X", 1))
    found, told = clamp_to_machine(resources, cores=4, memory_mb=600)
    assert found == LocalResources(4, 512)
    assert told[1:] == ("a heap of 270 MB would come of that, and 512 MB are used, as Spark needs them to start",)
    found, told = clamp_to_machine(resources, cores=4, memory_mb=1138)
    assert (found, len(told)) == (LocalResources(4, 512), 1)


@pytest.mark.parametrize("max_capacity", [float("inf"), float("-inf"), 0.0625, 1.0, 0.0])
def test_a_capacity_out_of_bounds_is_refused(max_capacity: float) -> None:
    with pytest.raises(InputError, match="MaxCapacity should be"):
        check_capacity(max_capacity, None, None)


@pytest.mark.parametrize("worker_type", ["G.12X", "G.16X", "R.1X", "R.2X", "R.4X", "R.8X", "g.1x", ""])
def test_a_worker_type_that_is_not_supported_is_refused_with_those_that_are(worker_type: str) -> None:
    with pytest.raises(InputError, match=f"use one of: {', '.join(WORKER_TYPES)}."):
        check_capacity(None, worker_type, 2)
