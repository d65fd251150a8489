from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from glue_ml.matching import nearest as nearest_module
from glue_ml.matching.nearest import Neighbours, choose_partition, nearest
from glue_ml.matching.sentence_encoder import Vectors, scale_rows


def make_vectors(rows: int, *, seed: int = 0, groups: int = 40) -> Vectors:
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(groups, 16))
    return scale_rows(centres[generator.integers(groups, size=rows)] + 0.7 * generator.normal(size=(rows, 16)))


def entries(found: Neighbours) -> list[tuple[int, int, float]]:
    return list(zip(found.row.tolist(), found.other.tolist(), found.cosine.tolist(), strict=True))


def search_plainly(vectors: Vectors, top_k: int, exclude: npt.NDArray[np.int32] | None = None) -> dict[int, list[int]]:
    cosine = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    found = {}
    for row in range(len(vectors)):
        others = [o for o in range(len(vectors)) if o != row and cosine[row, o] > 0]
        others = [o for o in others if exclude is None or exclude[o] != exclude[row]]
        found[row] = sorted(others, key=lambda o: (-cosine[row, o], o))[:top_k]
    return found


def group(found: Neighbours, rows: int) -> dict[int, list[int]]:
    return {row: found.other[found.row == row].tolist() for row in range(rows)}


@pytest.mark.parametrize("rows", [1, 2, 5, 300, 700])
@pytest.mark.parametrize("sources", [0, 3])
def test_the_exact_search_finds_the_nearest(rows: int, sources: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_module, "WIDTH", 128)
    vectors = make_vectors(rows)
    exclude = (np.arange(rows) % sources).astype(np.int32) if sources else None
    found = nearest(vectors, np.arange(rows), 7, exclude=exclude)
    assert group(found, rows) == search_plainly(vectors, 7, exclude)


def test_no_rows_have_no_neighbours() -> None:
    assert entries(nearest(make_vectors(9), np.zeros(0, np.int64), 3)) == []


def test_a_row_without_text_is_nobodys_neighbour() -> None:
    vectors = make_vectors(20, groups=1)
    vectors[[3, 8]] = 0
    found = nearest(vectors, np.arange(20), 19)
    assert not {3, 8} & (set(found.row.tolist()) | set(found.other.tolist()))


def test_equal_texts_are_taken_by_row_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_module, "WIDTH", 64)
    vectors = np.repeat(make_vectors(3, groups=3), 100, axis=0)[np.random.default_rng(2).permutation(300)]
    for row, others in group(nearest(vectors, np.arange(300), 5), 300).items():
        same = np.flatnonzero((vectors == vectors[row]).all(axis=1))
        assert others == [other for other in same.tolist() if other != row][:5]


@pytest.mark.parametrize("partitioned", [False, True])
def test_a_rows_neighbours_do_not_depend_on_who_asks_with_it(partitioned: bool) -> None:
    vectors = make_vectors(900)
    partition = choose_partition(vectors, seed=1, exact_rows=0) if partitioned else None
    together = entries(nearest(vectors, np.arange(900), 5, partition=partition))
    alone = [nearest(vectors, np.array([row]), 5, partition=partition) for row in range(0, 900, 9)]
    assert [entry for entry in together if entry[0] % 9 == 0] == [entry for found in alone for entry in entries(found)]


def test_rows_come_in_the_order_asked_for() -> None:
    found = nearest(make_vectors(50, groups=1), np.array([7, 3, 40]), 2)
    assert found.row.tolist() == [7, 7, 3, 3, 40, 40]


def test_a_small_table_is_searched_exactly() -> None:
    assert choose_partition(make_vectors(50), seed=0) is None


def test_a_partition_holds_each_row_with_text_once_and_is_the_same_for_a_seed() -> None:
    vectors = make_vectors(2_000)
    vectors[5] = 0
    first, second = (choose_partition(vectors, seed=3, exact_rows=0) for _ in range(2))
    assert first is not None
    assert second is not None
    assert sorted(first.rows.tolist()) == [row for row in range(2_000) if row != 5]
    assert np.array_equal(first.rows, second.rows)
    assert np.array_equal(first.centres, second.centres)


def test_a_partition_probed_in_full_is_exact() -> None:
    vectors, rows = make_vectors(1_500), np.arange(1_500)
    partition = choose_partition(vectors, seed=0, exact_rows=0)
    assert partition is not None
    everywhere = replace(partition, probes=len(partition.centres))
    full = nearest(vectors, rows, 5, partition=everywhere)
    assert group(full, 1_500) == group(nearest(vectors, rows, 5), 1_500)


def test_a_partition_finds_most_of_the_nearest() -> None:
    vectors, rows = make_vectors(4_000, groups=200), np.arange(4_000)
    exact = {entry[:2] for entry in entries(nearest(vectors, rows, 5))}
    partition = choose_partition(vectors, seed=0, exact_rows=0)
    found = {entry[:2] for entry in entries(nearest(vectors, rows, 5, partition=partition))}
    assert len(exact & found) / len(exact) > 0.9


def test_lists_are_bounded_where_all_texts_are_alike() -> None:
    vectors = np.repeat(make_vectors(1), 3_000, axis=0)
    partition = choose_partition(vectors, seed=0, exact_rows=0)
    assert partition is not None
    assert np.diff(partition.starts).max() <= 4 * -(-3_000 // round(2 * 3_000**0.5))
    assert len(nearest(vectors, np.arange(10), 5, partition=partition).row) == 50


def test_rows_without_any_text_make_an_empty_partition() -> None:
    vectors = np.zeros((100, 16), dtype=np.float32)
    partition = choose_partition(vectors, seed=0, exact_rows=0)
    assert partition is not None
    assert entries(nearest(vectors, np.arange(100), 5, partition=partition)) == []
