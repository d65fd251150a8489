"""Values laid out in a file come back as they were, share its pages, and change nothing but themselves."""

from __future__ import annotations

import pickle
import resource
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from glue_ml.errors import UnavailableError
from glue_ml.matching.blocking import build_index, choose_budget, list_candidates
from glue_ml.matching.comparison import compare
from glue_ml.matching.mapped_values import LEAST_BYTES, lay_out, map_back, spill
from glue_ml.matching.pipeline import Blocked
from glue_ml.matching.records import prepare_records
from tests.people import make_people

LARGE = np.arange(LEAST_BYTES, dtype=np.int32)


@dataclass(frozen=True)
class Leaf:
    """A value with a property that is worked out of it."""

    name: str
    numbers: npt.NDArray[Any]
    laid_out_with: ClassVar = ("doubled",)

    @cached_property
    def doubled(self) -> npt.NDArray[Any]:
        """Twice the numbers."""
        return self.numbers * 2


@dataclass(frozen=True)
class Tree:
    """A value of values."""

    leaves: tuple[Leaf, ...]
    matrix: sparse.csr_matrix
    texts: pa.StringArray
    nothing: None = None


def make_tree(texts: list[str]) -> Tree:
    matrix = sparse.random(300, 400, density=0.2, format="csr", dtype=np.float32, random_state=np.random.default_rng(0))
    return Tree((Leaf("small", np.arange(3.0)), Leaf("large", LARGE)), matrix, pa.array(texts, pa.string()))


def there_and_back(value: Any, folder: Path) -> Any:
    """Lay out a value; send the outline as Spark would; map it back."""
    outline = pickle.dumps(lay_out(value, folder / "file"))
    return map_back(pickle.loads(outline), folder / "file")


def test_a_value_comes_back_as_it_was(tmp_path: Path) -> None:
    tree = make_tree([f"text {i}" * 3 for i in range(1_000)])
    back = there_and_back(tree, tmp_path)
    assert [leaf.name for leaf in back.leaves] == ["small", "large"]
    for mine, other in zip(tree.leaves, back.leaves, strict=True):
        np.testing.assert_array_equal(mine.numbers, other.numbers)
        assert mine.numbers.dtype == other.numbers.dtype
    assert (back.matrix != tree.matrix).nnz == 0
    assert back.texts.equals(tree.texts)
    assert back.nothing is None


def test_what_follows_from_a_value_lies_in_the_file_and_does_not_stay_behind(tmp_path: Path) -> None:
    tree = make_tree([])
    back = there_and_back(tree, tmp_path)
    np.testing.assert_array_equal(vars(back.leaves[1])["doubled"], LARGE * 2)
    assert "doubled" not in vars(tree.leaves[1])


def test_the_outline_is_small_however_large_the_value(tmp_path: Path) -> None:
    outline = lay_out(make_tree(["a long text of some words"] * 10_000), tmp_path / "file")
    assert len(pickle.dumps(outline)) < 4_000
    assert (tmp_path / "file").stat().st_size > 2 * LARGE.nbytes


def test_writing_to_what_is_mapped_changes_neither_the_file_nor_another_copy(tmp_path: Path) -> None:
    outline = lay_out(make_tree([]), tmp_path / "file")
    before = (tmp_path / "file").read_bytes()
    one, other = (map_back(outline, tmp_path / "file") for _ in range(2))
    one.leaves[1].numbers[:] = -1
    np.testing.assert_array_equal(other.leaves[1].numbers, LARGE)
    assert (tmp_path / "file").read_bytes() == before


def test_what_is_spilled_is_as_it_was_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spilled = spill(make_tree(["a text"] * 1_000))
    assert spilled.texts.to_pylist() == ["a text"] * 1_000
    np.testing.assert_array_equal(spilled.leaves[1].numbers, LARGE)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError):
        lay_out(make_tree([]), tmp_path / "file")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


def test_a_disk_that_is_full_is_told_and_keeps_nothing_of_the_file(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # no file may be larger: to the writer that is like a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGE.nbytes // 2, before[1]))
    try:
        with pytest.raises(UnavailableError, match=r"file could not be written: .*make room"):
            lay_out(make_tree([]), tmp_path / "file")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_a_value_without_large_arrays_needs_no_bytes_of_the_file(tmp_path: Path) -> None:
    back = there_and_back(Leaf("small", np.arange(3)), tmp_path)
    assert (tmp_path / "file").stat().st_size == 0
    np.testing.assert_array_equal(back.doubled, [0, 2, 4])


@given(
    texts=st.lists(st.text(max_size=20), min_size=1, max_size=50),
    start=st.integers(0, 400),
    length=st.integers(300, 900),
)
def test_slices_of_strings_come_back(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], start: int, length: int
) -> None:
    strings = pa.array((texts * 1_000)[:2_000], pa.string()).slice(start, length)
    back = there_and_back(Tree((), sparse.csr_matrix((1, 1)), strings), tmp_path_factory.mktemp("slices"))
    assert back.texts.to_pylist() == strings.to_pylist()


def test_strings_with_missing_ones_come_back(tmp_path: Path) -> None:
    strings = pa.array(["some text", None] * 1_000, pa.string())
    back = there_and_back(Tree((), sparse.csr_matrix((1, 1)), strings), tmp_path)
    assert back.texts.equals(strings)


def test_mapped_records_are_blocked_and_compared_as_the_others(tmp_path: Path) -> None:
    records = prepare_records(pa.Table.from_pylist(make_people(600)[0]))
    index = build_index(records, choose_budget(None))
    back: Blocked = there_and_back(Blocked(records, index), tmp_path)
    rows = np.arange(len(records))
    mine, other = (list_candidates(each, rows) for each in (index, back.index))
    for name in ("row", "other", "score", "rank", "ratio", "views"):
        np.testing.assert_array_equal(getattr(mine, name), getattr(other, name))
    np.testing.assert_array_equal(compare(records, mine.row, mine.other), compare(back.records, mine.row, mine.other))
