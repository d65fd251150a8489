"""Matching what changed rows touch against matching everything: the same to the last bit, whatever the batches."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import expit

from glue_ml.matching.blocking import BlockingBudget, BlockingIndex, KeyCounts, build_index, list_candidates
from glue_ml.matching.clustering import ClusterOptions, Constraints
from glue_ml.matching.comparison import Feature, compare, name_features
from glue_ml.matching.records import Column, Records, ValueCounts, count_values, prepare_records
from glue_ml.matching.sentence_encoder import scale_rows
from glue_ml.matching.sparse_view import SparseView
from glue_ml.matching.touched import Change, Found, match_changed, match_everything
from glue_ml.matching.touched_pairs import Judge

Rows = npt.NDArray[np.int64]
Row = tuple[str, str | None, str]

BUDGET = BlockingBudget(top_k=3, work_per_record=600)
NAMES = ["anna smith", "anna smyth", "ana smith", "bert jones", "bert jonas", "bert jones jr", "carla", "dora baker"]
STREETS = ["1 high street", "2 high street", "12 low road", "12 low rd", "7 long lane", None]
ROW = st.tuples(st.sampled_from(NAMES), st.sampled_from(STREETS), st.sampled_from("ab"))
KEYS = [f"k{i:02}" for i in range(26)]
EQUAL: Row = ("anna smith", "1 high street", "a")
TABLES = st.dictionaries(st.sampled_from(KEYS), ROW, max_size=len(KEYS))


def to_table(rows: dict[str, Row]) -> pa.Table:
    columns = list(zip(*rows.values(), strict=True)) if rows else [(), (), ()]
    names = ("name", "street", "source")
    texts = {name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)}
    return pa.table({"id": pa.array(list(rows), pa.string()), **texts})


def read_meaning(column: Column) -> Column:
    """Vectors that follow from the value alone; what they mean does not matter here."""
    seeds = [zlib.crc32(value.encode()) for value in column.values.to_pylist()]
    vectors = [np.random.default_rng(seed).normal(size=3) for seed in seeds]
    return replace(column, vectors=scale_rows(np.array([*vectors, np.zeros(3)])), searched=True)


class Base:
    """The table whose counts weigh all others, with more rows than the drawn ones so that its profile is stable."""

    def __init__(
        self, *, source: str | None = None, work: int | None = None, twice: bool = False, semantic: bool = False
    ) -> None:
        rows: dict[str, Row] = {
            f"b{i}": (f"{name} {i % 3}", street, "ab"[i % 2])
            for i, name in enumerate(NAMES * 8)
            for street in STREETS[:1]
        }
        table = to_table(rows)
        records = prepare_records(table)
        self.profiles, self.source, self.rows, self.twice = records.profiles, source, rows, twice
        self.semantic = semantic
        self.values: ValueCounts = count_values(table, records)
        self.keys: KeyCounts = build_index(records, BUDGET).counts
        if work is not None:
            self.keys = replace(self.keys, common=2, caps=(6, 6))

    def prepare(self, rows: dict[str, Row]) -> tuple[Records, BlockingIndex]:
        records = prepare_records(to_table(rows), self.profiles, self.values)
        if self.semantic:
            records = replace(records, columns=(read_meaning(records.columns[0]), *records.columns[1:]))
        return records, build_index(records, BUDGET, source=self.source, counts=self.keys)

    def judge(self, rows: dict[str, Row], *, links: Sequence[tuple[str, str, bool]] = (), cap: int = 500) -> Judge:
        records, index = self.prepare(rows)
        cosine = [str(name) for name in name_features(self.profiles)].index("*:cosine")

        def score(lo: Rows, hi: Rows, context: Feature) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
            likeness = compare(records, lo, hi)[:, cosine].astype(np.float64)
            odds = 8 * likeness - 5 + context[:, 4] - 0.25 * context[:, 1] - 0.125 * context[:, 2]
            return np.asarray(expit(odds), dtype=np.float64), np.asarray(expit(odds + 2), dtype=np.float64)

        def score_alone(lo: Rows, hi: Rows) -> npt.NDArray[np.float64]:
            return np.asarray(expit(8 * compare(records, lo, hi)[:, cosine].astype(np.float64) - 5), dtype=np.float64)

        pairs = records.find_rows([key for a, b, _ in links for key in (a, b)]).reshape(-1, 2)
        known = (pairs >= 0).all(axis=1) & (pairs[:, 0] != pairs[:, 1])
        must = np.array([must for _, _, must in links], dtype=bool)
        constraints = Constraints(np.sort(pairs[known & must], axis=1), np.sort(pairs[known & ~must], axis=1))

        def score_again(lo: Rows, hi: Rows, context: Feature, rivals: Feature) -> npt.NDArray[np.float64]:
            odds = rivals[:, 0].astype(np.float64) + 0.5 * rivals[:, 1] + 0.125 * rivals[:, 4] + context[:, 0]
            return np.asarray(expit(odds), dtype=np.float64)

        options = ClusterOptions(island_cap=cap, piece_cap=max(2, cap // 2))
        again = score_again if self.twice else None
        return Judge(index, 0.5, score, score_alone, again, constraints=constraints, options=options)


BASE, SOURCES, TIGHT, TWICE = Base(), Base(source="source"), Base(work=1), Base(twice=True)
MEANING = Base(source="source", twice=True, semantic=True)
LINKS = st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(KEYS), st.booleans()), max_size=3)


def find_places(before: dict[str, Row], after: dict[str, Row]) -> Rows:
    """The new row numbers of the rows that stayed as they were."""
    number = {key: place for place, key in enumerate(sorted(after))}
    return np.array([number[key] if after.get(key) == before[key] else -1 for key in sorted(before)], dtype=np.int64)


def assert_same(one: Found, other: Found) -> None:
    for field in fields(one.lists):
        assert getattr(one.lists, field.name).tolist() == getattr(other.lists, field.name).tolist(), field.name
    assert one.bounds.tolist() == other.bounds.tolist()
    for field in fields(one.pairs.edges):
        for a, b in (
            (one.pairs.edges, other.pairs.edges),
            (one.pairs.first, other.pairs.first),
            (one.pairs.hopeful, other.pairs.hopeful),
        ):
            assert getattr(a, field.name).tolist() == getattr(b, field.name).tolist(), field.name
    assert one.labels.tolist() == other.labels.tolist()
    assert one.confidence.tolist() == other.confidence.tolist()


@pytest.mark.parametrize(
    "base", [BASE, SOURCES, TIGHT, TWICE, MEANING], ids=["plain", "sources", "tight", "twice", "meaning"]
)
@given(steps=st.lists(TABLES, min_size=2, max_size=4), links=LINKS, cap=st.sampled_from([3, 500]))
@example(steps=[dict.fromkeys(KEYS[:3], EQUAL), dict.fromkeys(KEYS[:2], EQUAL)], links=[], cap=3)  # a rival goes
@settings(max_examples=25, deadline=None)
def test_changes_in_steps_come_to_what_matching_everything_finds(
    base: Base, steps: list[dict[str, Row]], links: list[tuple[str, str, bool]], cap: int
) -> None:
    before: dict[str, Row] = steps[0]
    found = match_everything(base.judge(before, links=links, cap=cap))
    for after in steps[1:]:
        judge = base.judge(after, links=links, cap=cap)
        change = match_changed(judge, found, find_places(before, after))
        assert_same(change.found, match_everything(judge))
        before, found = after, change.found


@given(rows=TABLES, cuts=st.lists(st.integers(0, len(KEYS)), max_size=3), order=st.permutations(KEYS))
@settings(max_examples=25, deadline=None)
def test_rows_added_in_any_batches_and_order_come_to_one_full_run(
    rows: dict[str, Row], cuts: list[int], order: list[str]
) -> None:
    edges = [0, *sorted(cuts), len(order)]
    present: dict[str, Row] = {}
    found = match_everything(BASE.judge(present))
    for start, stop in pairwise(edges):
        after = present | {key: rows[key] for key in order[start:stop] if key in rows}
        found = match_changed(BASE.judge(after), found, find_places(present, after)).found
        present = after
    assert_same(found, match_everything(BASE.judge(rows)))


def test_a_row_that_resembles_nothing_touches_nothing_but_itself() -> None:
    rows = dict(BASE.rows)
    found = match_everything(BASE.judge(rows))
    after = {**rows, "n": ("zzz", None, "a")}
    change: Change = match_changed(BASE.judge(after), found, find_places(rows, after))
    assert change.scored_pairs == 0
    assert change.touched.tolist() == [sorted(after).index("n")]


def test_without_context_only_new_pairs_are_scored() -> None:
    rows = dict(BASE.rows)
    found = match_everything(BASE.judge(rows))
    after = {**rows, "n": ("anna smith", "1 high street", "a")}
    with_context = BASE.judge(after)
    without = replace(with_context, uses_context=False)
    places = find_places(rows, after)
    assert match_changed(without, found, places).scored_pairs < match_changed(with_context, found, places).scored_pairs


def test_the_counts_of_a_table_weigh_it_as_it_does_itself() -> None:
    table = to_table(BASE.rows)
    own = prepare_records(table)
    counted = prepare_records(table, own.profiles, count_values(table, own))
    assert own.idf.tolist() == counted.idf.tolist()
    assert [c.rarity.tolist() for c in own.columns] == [c.rarity.tolist() for c in counted.columns]
    index = build_index(own, BUDGET)
    again = build_index(counted, BUDGET, counts=index.counts)
    for view, other in zip(index.views, again.views, strict=True):
        assert isinstance(view, SparseView)
        assert isinstance(other, SparseView)
        assert (view.matrix != other.matrix).nnz == 0
    everything = np.arange(len(own))
    lists = [list_candidates(i, everything) for i in (index, again)]
    assert lists[0].score.tolist() == lists[1].score.tolist()
