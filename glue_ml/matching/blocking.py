"""Blocking: which pairs of records are worth comparing.

Views in union. *Keys*: a word that few records hold is a key by itself; common words count only in pairs
(Borthwick et al., arXiv 2008.08285, intersect common values in the same way; here every key is counted exactly).
*Grams*: hashed character 3-grams, for typing errors. *Meaning*: vectors of the values of a column (semantic.py).
*Learned keys*: conjunctions that labels have shown (key_rules.py). In each view a record's candidates are the `top_k`
records with the largest cosine (Paulsen et al., PVLDB 16(6), 2023); sparse features are weighed by idf. Their work, the
number of multiply-adds of a self-join, is bounded by a budget: the commonest features are left out until it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from pandas.util import hash_array

from glue_ml.matching.blocking_keys import find_grams, find_keys
from glue_ml.matching.candidate_lists import CandidateLists, look_up_context, rank_candidates
from glue_ml.matching.feature_sets import FeatureSets
from glue_ml.matching.key_rules import KeyRule, find_rule_keys
from glue_ml.matching.nearest import choose_partition
from glue_ml.matching.records import Records, inverse_frequency
from glue_ml.matching.semantic_view import SemanticView
from glue_ml.matching.sorted_sets import distinct, look_up
from glue_ml.matching.sparse_view import SparseView
from glue_ml.matching.threads import map_at_once
from glue_ml.matching.tokens import Incidence
from glue_ml.matching.views import Sources, View

Rows = npt.NDArray[np.int64]

LEARNED_KEYS = "learned keys"  #: The name of the view of keys that labels have shown.
SMALL_TABLE_WORK = 300_000_000  #: Multiply-adds that any table may cost (about a second): small ones lose nothing.
LARGE_TABLE_ROWS = 5_000_000  #: Of more rows one view is built after the other: what both take is gigabytes.


@dataclass(frozen=True)
class BlockingBudget:
    """What blocking may spend: candidates per record and view, and multiply-adds per record and view."""

    top_k: int
    work_per_record: int

    def work(self, rows: int) -> int:
        """Return the multiply-adds allowed for a table of `rows`."""
        return max(SMALL_TABLE_WORK, self.work_per_record * rows)


def choose_budget(accuracy_cost_tradeoff: float | None) -> BlockingBudget:
    """Turn AccuracyCostTradeoff (0 = lowest cost, 1 = highest accuracy, None = 0.5) into a budget.

    >>> choose_budget(None)
    BlockingBudget(top_k=10, work_per_record=600)
    """
    accuracy = 0.5 if accuracy_cost_tradeoff is None else accuracy_cost_tradeoff
    return BlockingBudget(top_k=round(3 * (100 / 9) ** accuracy), work_per_record=round(60 * 100**accuracy))


@dataclass(frozen=True)
class KeyCounts:
    """In how many rows of a table the features of its views occur, and when they are too common.

    `common`: words in more rows are paired; `caps`: for each view, features in more rows are left out. `codes` and
    `frequency` are, by view, the features' codes in ascending order and the rows that hold each.
    """

    rows: int
    common: int
    caps: tuple[int, ...]
    codes: tuple[Rows, ...]
    frequency: tuple[Rows, ...]


@dataclass(frozen=True)
class BlockingIndex:
    """All views over one table, and the budget they were cut to. `counts` are those of the sparse views, in order."""

    budget: BlockingBudget
    views: tuple[View, ...]
    counts: KeyCounts

    @property
    def source(self) -> Sources | None:
        """The number of each row's source; where set, only rows of different sources are candidates."""
        return self.views[0].source

    @property
    def rows(self) -> int:
        """The number of records."""
        return self.views[0].rows

    @property
    def size_bytes(self) -> int:
        """Memory of the index on a worker."""
        return sum(view.size_bytes for view in self.views)


def build_index(
    records: Records,
    budget: BlockingBudget,
    *,
    source: str | None = None,
    counts: KeyCounts | None = None,
    rules: Sequence[KeyRule] = (),
) -> BlockingIndex:
    """Build the views of `records` within `budget`; `source` names a column in which candidates must differ.

    `counts` say how common a key is, and replace the budget's bound; without them the records themselves do. `rules`,
    where there are any, give the keys of a view of their own.
    """
    work = budget.work(len(records))
    common = bounded_frequency(records.frequency, work) if counts is None else counts.common
    found = find_features(records, common, rules)
    counted = _count_keys(tuple(found.values()), common, work) if counts is None else counts
    # a feature that one row has proposes nothing, but where others count it another row may come and share it
    least = 2 if counts is None else 0
    sources = code_sources(records, source)
    views = tuple(build_sparse_views(found, counted, sources, least=least))
    # a partition follows the table, so a table that is to change without being searched anew has none
    semantic = build_semantic_views(records, sources, partitioned=counts is None)
    return BlockingIndex(budget, (*views, *semantic), counted)


def find_features(records: Records, common: int, rules: Sequence[KeyRule] = ()) -> dict[str, FeatureSets]:
    """Return the features of each sparse view by its name; words in more than `common` rows are paired."""
    finders: dict[str, Callable[[], FeatureSets]] = {
        "keys": lambda: find_keys(records, common),
        "grams": lambda: find_grams(records),
    }
    at_once = 1 if len(records) > LARGE_TABLE_ROWS else len(finders)
    found = dict(zip(finders, map_at_once(lambda find: find(), finders.values(), most=at_once), strict=True))
    if rules:
        keys = find_rule_keys(records, rules)
        found[LEARNED_KEYS] = FeatureSets.of(keys.matrix, keys.codes)
    return found


def build_sparse_views(
    found: Mapping[str, FeatureSets], counts: KeyCounts, sources: Sources | None, *, least: int
) -> Iterator[SparseView]:
    """Weigh the features of each view by idf, leaving out those in more rows than its cap and in fewer than `least`."""
    return (
        SparseView(
            name, _weigh(features, counts, place, least=least), features.codes, sources,
            is_optional=name == LEARNED_KEYS,
        )
        for place, (name, features) in enumerate(found.items())
    )  # fmt: skip


def build_semantic_views(records: Records, sources: Sources | None, *, partitioned: bool) -> tuple[SemanticView, ...]:
    """Return a view for each column searched by meaning; `partitioned`: whether a large table is searched in parts."""
    views = (
        SemanticView(column.profile.name, column.vectors, column.codes, sources)
        for column in records.columns
        if column.vectors is not None and column.searched
    )
    if not partitioned:
        return tuple(views)
    return tuple(replace(view, partition=choose_partition(view.embeddings, seed=0)) for view in views)


def extend_index(index: BlockingIndex, added: BlockingIndex, order: Rows) -> BlockingIndex:
    """Return the index of the rows of `index` and, below them, those of `added`, then taken in `order`.

    Both must be weighted by the same counts, and hold lone features: be built with `counts`.
    """
    views = tuple(one.extend(other, order) for one, other in zip(index.views, added.views, strict=True))
    return BlockingIndex(index.budget, views, index.counts)


def look_across(index: BlockingIndex, source: Sources | None) -> BlockingIndex:
    """Return the index of the same rows in which only rows of different `source` are candidates; None: any two."""
    return replace(index, views=tuple(view.across(source) for view in index.views))


def take_rows(index: BlockingIndex, rows: Rows) -> BlockingIndex:
    """Return the index of some rows alone, weighed as before."""
    return replace(index, views=tuple(view.take(rows) for view in index.views))


def code_sources(records: Records, source: str | None) -> Sources | None:
    """Return a code per row that depends on its value of the column `source` alone; None without such a column."""
    column = next((column for column in records.columns if column.profile.name == source), None)
    if column is None:
        return None
    coded = (hash_array(np.array([*column.values.to_pylist(), ""], dtype=object)) >> np.uint64(33)).astype(np.int32)
    return np.where(column.codes < 0, np.int32(-1), coded[column.codes])


def _count_keys(found: Sequence[FeatureSets], common: int, work: int) -> KeyCounts:
    frequency = tuple(features.frequency for features in found)
    caps = tuple(bounded_frequency(rows, work) for rows in frequency)
    return KeyCounts(found[0].rows, common, caps, tuple(features.codes for features in found), frequency)


def _look_up_codes(codes: Rows, known: Rows, rows: Rows) -> Rows:
    if codes is known:  # a table's own counts
        return rows
    place, found = look_up(codes, known)
    counts = np.zeros(len(codes), dtype=np.int64)
    counts[found] = rows[place[found]]
    return counts


def bounded_frequency(frequency: npt.NDArray[np.int64], work: int) -> int:
    """Return the largest frequency f such that the features in at most f records cost at most `work`.

    A feature in d records costs d * d multiply-adds in a self-join.
    """
    return bound_histogram(*np.unique(frequency, return_counts=True), work)


def bound_histogram(frequency: Rows, features: Rows, work: int) -> int:
    """Return what `bounded_frequency` does, given the distinct frequencies, ascending, and how many features have each.

    Features of equal frequency stay or go together: which ones is not a matter of order.
    """
    shared = frequency > 1
    frequency, features = frequency[shared], features[shared]
    if len(frequency) == 0:
        return 1
    cost = np.cumsum(frequency.astype(np.float64) ** 2 * features)
    affordable = int(np.searchsorted(cost, work, side="right"))
    return int(frequency[-1]) if affordable == len(frequency) else int(frequency[affordable]) - 1


def _weigh(features: FeatureSets, counts: KeyCounts, place: int, *, least: int) -> Incidence:
    frequency = _look_up_codes(features.codes, counts.codes[place], counts.frequency[place])
    kept = (frequency <= counts.caps[place]) & (frequency >= least)
    return features.weigh(inverse_frequency(frequency, counts.rows), kept)


def list_candidates(index: BlockingIndex, rows: Rows) -> CandidateLists:
    """Return the candidates of each of `rows`. Cost: the views' self-join restricted to these rows.

    A row's list depends on the index alone, not on which rows are asked for together.
    """
    return rank_found(index, [view.search(rows, index.budget.top_k) for view in index.views])


def rank_found(index: BlockingIndex, found: Sequence[Rows]) -> CandidateLists:
    """Return the lists of some rows from what each view found for them: numbers row * rows of the index + other."""
    row, other, views = unite_found(np.int64(index.rows), found)
    return rank_united(row, other, views, np.stack([view.cosine(row, other) for view in index.views]))


def unite_found(height: np.int64, found: Sequence[Rows]) -> tuple[Rows, Rows, npt.NDArray[np.int8]]:
    """Return what any view found, numbers row * height + other: row, other, and the bits of the views that did."""
    pairs, place = np.unique(np.concatenate(found), return_inverse=True)
    views = np.zeros(len(pairs), dtype=np.int8)
    start = 0
    for bit, entries in enumerate(found):
        views[place[start : start + len(entries)]] |= np.int8(1 << bit)
        start += len(entries)
    row, other = np.divmod(pairs, height)
    return row, other, views


def rank_united(
    row: Rows, other: Rows, views: npt.NDArray[np.int8], cosines: npt.NDArray[np.float32]
) -> CandidateLists:
    """Return the lists of the pairs that `unite_found` returned; `cosines` (views x pairs) are added up."""
    return rank_candidates(row, other, cosines.sum(axis=0, dtype=np.float32), views)


def list_pairs(index: BlockingIndex) -> tuple[Rows, Rows, npt.NDArray[np.float32]]:
    """Return all candidate pairs of a table in row order: lo, hi (lo < hi) and their CONTEXT features."""
    lists = list_candidates(index, np.arange(index.rows))
    low, high = np.minimum(lists.row, lists.other), np.maximum(lists.row, lists.other)
    lo, hi = np.divmod(distinct(low * np.int64(index.rows) + high), np.int64(max(index.rows, 1)))
    return lo, hi, look_up_context(lists, lo, hi)
