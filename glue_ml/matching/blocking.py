"""Blocking: which pairs of records are worth comparing.

Two views in union. *Keys*: a word that few records hold is a key by itself; common words count only in pairs
(Borthwick et al., arXiv 2008.08285, intersect common values in the same way; here every key is counted exactly).
*Grams*: hashed character 3-grams, for typing errors. In each view a record's candidates are the `top_k` records with
the largest cosine of idf-weighted features (Paulsen et al., PVLDB 16(6), 2023). The work of a view, the number of
multiply-adds of its self-join, is bounded by a budget: the commonest features are left out until it is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pandas.util import hash_array
from scipy import sparse
from sparse_dot_topn import sp_matmul_topn

from glue_ml.matching.records import Column, Records, inverse_frequency
from glue_ml.matching.tokens import Incidence, hash_grams

Rows = npt.NDArray[np.int64]

SMALL_TABLE_WORK = 300_000_000  #: Multiply-adds that any table may cost (about a second): small ones lose nothing.
ROWS_OF_EQUALS = 1_000  #: Rows compared with all others at once, where the nearest ones cannot be told by rank.
PAIR_FACTOR = np.int64(0x1E3779B97F4A7C15)  #: Odd, so that the code of a pair of words tells which comes first.
PAIRED_WORDS = 5  #: A record's rarest common words are paired; 5 give 10 keys.


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
class View:
    """One way of seeing records: unit-length rows of idf-weighted features, and the inverted index of them."""

    name: str
    matrix: Incidence
    codes: Rows = field(default_factory=lambda: np.zeros(0, dtype=np.int64))  #: By column, ascending: which feature.

    @cached_property
    def inverted(self) -> Incidence:
        """Features x rows."""
        return self.matrix.T.tocsr()

    def inverted_without(self, left_out: npt.NDArray[np.bool_]) -> Incidence:
        """Features x rows, the rows `left_out` emptied."""
        return sparse.diags((~left_out).astype(np.float32)).dot(self.matrix).T.tocsr()

    def cosine(self, left: Rows, right: Rows) -> npt.NDArray[np.float32]:
        """Return the cosine of each pair of rows."""
        product = self.matrix[left].multiply(self.matrix[right]).tocsr()
        # a product with ones adds up in the order of the features, as the search does: the same number to the last bit
        return np.asarray(product @ np.ones(product.shape[1], dtype=np.float32))


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
    """All views over one table, and the budget they were cut to."""

    budget: BlockingBudget
    views: tuple[View, ...]
    counts: KeyCounts
    source: npt.NDArray[np.int32] | None = None  #: Where set, only rows of different sources are candidates.

    @cached_property
    def searched(self) -> tuple[tuple[int | None, tuple[Incidence, ...]], ...]:
        """For each source (None: all rows), the inverted index of each view that its rows search."""
        if self.source is None:
            return ((None, tuple(view.inverted for view in self.views)),)
        return tuple(
            (int(s), tuple(view.inverted_without(self.source == s) for view in self.views))
            for s in np.unique(self.source)
        )

    @property
    def rows(self) -> int:
        """The number of records."""
        return int(self.views[0].matrix.shape[0])

    @property
    def size_bytes(self) -> int:
        """Memory of the index on a worker, inverted copies included."""
        arrays = [a for v in self.views for a in (v.matrix.data, v.matrix.indices, v.matrix.indptr)]
        return 2 * sum(int(array.nbytes) for array in arrays)


@dataclass(frozen=True)
class CandidateLists:
    """The candidates of some rows, one entry per (row, other); `ranked` says how they compare within their list.

    score is the sum of the views' cosines; rank counts from 1 by falling score; ratio is the score over the best score
    among the row's *other* candidates (2 where there is no other, so that a lone candidate stands out).
    """

    row: Rows
    other: Rows
    score: npt.NDArray[np.float32]
    rank: npt.NDArray[np.int32]
    ratio: npt.NDArray[np.float32]
    views: npt.NDArray[np.int8]  #: Bit set of the views that proposed the pair: 1 keys, 2 grams.


def build_index(
    records: Records, budget: BlockingBudget, *, source: str | None = None, counts: KeyCounts | None = None
) -> BlockingIndex:
    """Build both views of `records` within `budget`; `source` names a column in which candidates must differ.

    `counts` say how common a key is, and replace the budget's bound; without them the records themselves do.
    """
    work = budget.work(len(records))
    common = bounded_frequency(records.frequency, work) if counts is None else counts.common
    plain = (View("keys", *_record_keys(records, common)), View("grams", *_record_grams(records)))
    counted = _count_keys(plain, common, work) if counts is None else counts
    # a feature that one row has proposes nothing, but where others count it another row may come and share it
    views = tuple(_weigh(view, counted, place, lone=counts is not None) for place, view in enumerate(plain))
    column = next((column for column in records.columns if column.profile.name == source), None)
    return BlockingIndex(budget, views, counted, None if column is None else _code_sources(column))


def extend_index(index: BlockingIndex, added: BlockingIndex, order: Rows) -> BlockingIndex:
    """Return the index of the rows of `index` and, below them, those of `added`, then taken in `order`.

    Both must be weighted by the same counts, and hold lone features: be built with `counts`.
    """
    views = tuple(_join_views(a, b, order) for a, b in zip(index.views, added.views, strict=True))
    sources = None
    if index.source is not None and added.source is not None:
        sources = np.append(index.source, added.source)[order]
    return BlockingIndex(index.budget, views, index.counts, sources)


def _join_views(view: View, added: View, order: Rows) -> View:
    codes = np.union1d(view.codes, added.codes)
    parts = []
    for part in (view, added):
        number = np.searchsorted(codes, part.codes).astype(np.int32)
        columns = number[part.matrix.indices]
        shape = (part.matrix.shape[0], len(codes))
        parts.append(Incidence((part.matrix.data, columns, part.matrix.indptr), shape=shape))
    return View(view.name, sparse.vstack(parts, format="csr")[order], codes)


def _code_sources(column: Column) -> npt.NDArray[np.int32]:
    """Return a code per row that depends on its value alone."""
    coded = (hash_array(np.array([*column.values, ""], dtype=object)) >> np.uint64(33)).astype(np.int32)
    return np.where(column.codes < 0, np.int32(-1), coded[column.codes])


def _count_keys(views: Sequence[View], common: int, work: int) -> KeyCounts:
    frequency = tuple(_frequency(view.matrix) for view in views)
    caps = tuple(bounded_frequency(rows, work) for rows in frequency)
    return KeyCounts(views[0].matrix.shape[0], common, caps, tuple(view.codes for view in views), frequency)


def _look_up_codes(codes: Rows, known: Rows, rows: Rows) -> Rows:
    if len(known) == 0:
        return np.zeros(len(codes), dtype=np.int64)
    place = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    return np.where(known[place] == codes, rows[place], 0)


def _record_keys(records: Records, common: int) -> tuple[Incidence, Rows]:
    """Return the 0/1 matrix of the words of each record and of the pairs of its common ones, and its columns' codes."""
    words = hash_array(np.array(records.vocabulary, dtype=object)).view(np.int64)
    pairs, codes = _pair_common_words(records, words, common)
    joined = sparse.hstack([records.words[:, : len(words)], pairs], format="csr")
    return _order_columns(joined, np.append(words, codes))


def spell_keys(words: Sequence[str]) -> dict[int, str]:
    """Return the codes of the keys that some words, in the order of a vocabulary, may make, with their text."""
    codes = hash_array(np.array(words, dtype=object)).view(np.int64)
    spelled = dict(zip(codes.tolist(), words, strict=True))
    for i, first in enumerate(words):
        pairs = (codes[i : i + 1] * PAIR_FACTOR + codes[i + 1 :]).tolist()
        spelled |= {code: f"{first} + {second}" for code, second in zip(pairs, words[i + 1 :], strict=True)}
    return spelled


def _order_columns(matrix: Incidence, codes: Rows) -> tuple[Incidence, Rows]:
    order = np.argsort(codes)
    number = np.empty(len(codes), dtype=np.int32)
    number[order] = np.arange(len(codes))
    ordered = Incidence((matrix.data, number[matrix.indices], matrix.indptr), shape=matrix.shape)
    ordered.sort_indices()
    return ordered, codes[order]


def _pair_common_words(records: Records, letters: Rows, cap: int) -> tuple[Incidence, Rows]:
    """Return the matrix of word pairs, and their codes: for each record, those of its rarest words in over `cap` rows.

    A word is as common as `records.counts` say. `letters` are the words' codes.
    """
    words = records.words
    frequency = records.frequency[words.indices]
    common = frequency > cap
    rows = np.repeat(np.arange(words.shape[0]), np.diff(words.indptr))[common]
    codes, frequency = words.indices[common].astype(np.int64), frequency[common]
    order = np.lexsort((codes, frequency, rows))
    rows, codes = rows[order], codes[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    rows, codes = rows[place < PAIRED_WORDS], codes[place < PAIRED_WORDS]
    pair_rows, pair_codes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for gap in range(1, PAIRED_WORDS):
        both = np.flatnonzero(rows[gap:] == rows[:-gap]) if len(rows) > gap else np.zeros(0, np.int64)
        a, b = np.minimum(codes[both], codes[both + gap]), np.maximum(codes[both], codes[both + gap])
        pair_rows.append(rows[both])
        pair_codes.append(letters[a] * PAIR_FACTOR + letters[b])
    return _number(np.concatenate(pair_rows), np.concatenate(pair_codes), words.shape[0])


def _number(rows: Rows, codes: Rows, height: int) -> tuple[Incidence, Rows]:
    """Return the 0/1 matrix of (row, code) entries, codes renumbered densely, and the codes by number."""
    distinct, columns = np.unique(codes, return_inverse=True)
    ones = np.ones(len(rows), dtype=np.float32)
    return sparse.csr_matrix((ones, (rows, columns)), shape=(height, len(distinct)), dtype=np.float32), distinct


def _record_grams(records: Records) -> tuple[Incidence, Rows]:
    """Return the 0/1 matrix of the grams of each record, and the hashes of those that occur, by number."""
    total = Incidence((len(records), 1), dtype=np.float32)
    for column in records.columns:
        if column.words is None:
            continue
        grams = hash_grams(pa.array(column.values, pa.string()))
        grams.resize(grams.shape[0] + 1, grams.shape[1])
        chosen = grams[column.codes]
        total.resize(chosen.shape)
        total = total + chosen
    total.data[:] = 1.0
    seen = np.flatnonzero(_frequency(total))
    number = np.zeros(total.shape[1], dtype=total.indices.dtype)
    number[seen] = np.arange(len(seen))
    return Incidence((total.data, number[total.indices], total.indptr), shape=(len(records), len(seen))), seen


def _frequency(matrix: Incidence) -> npt.NDArray[np.int64]:
    return np.bincount(matrix.indices, minlength=matrix.shape[1])


def bounded_frequency(frequency: npt.NDArray[np.int64], work: int) -> int:
    """Return the largest frequency f such that the features in at most f records cost at most `work`.

    A feature in d records costs d * d multiply-adds in a self-join.
    """
    ordered = np.sort(frequency[frequency > 1])
    if len(ordered) == 0:
        return 1
    affordable = int(np.searchsorted(np.cumsum(ordered.astype(np.float64) ** 2), work, side="right"))
    if affordable == len(ordered):
        return int(ordered[-1])
    # features of equal frequency stay or go together: which ones is not a matter of order
    return int(ordered[affordable]) - 1


def _weigh(view: View, counts: KeyCounts, place: int, *, lone: bool) -> View:
    """Weigh the features by idf and scale the rows to length 1; leave out features too common, or `lone` ones."""
    frequency = _look_up_codes(view.codes, counts.codes[place], counts.frequency[place])
    idf = inverse_frequency(frequency, counts.rows)
    kept = (frequency <= counts.caps[place]) & (lone | (_frequency(view.matrix) > 1))
    norm = np.sqrt(np.asarray(view.matrix.multiply(idf**2).sum(axis=1))).ravel()
    weighted = view.matrix.multiply(idf * kept).tocsr().astype(np.float32)
    weighted.eliminate_zeros()
    weighted = sparse.diags(1.0 / np.maximum(norm, 1e-6)).dot(weighted).tocsr().astype(np.float32)
    weighted.sort_indices()
    return View(view.name, weighted, view.codes)


def list_candidates(index: BlockingIndex, rows: Rows) -> CandidateLists:
    """Return the candidates of each of `rows`. Cost: the views' self-join restricted to these rows.

    A row's list depends on the index alone, not on which rows are asked for together.
    """
    return rank_found(index, [_search(index, number, rows) for number in range(len(index.views))])


def rank_found(index: BlockingIndex, found: Sequence[Rows]) -> CandidateLists:
    """Return the lists of some rows from what each view found for them: numbers row * rows of the index + other."""
    height = np.int64(index.rows)
    pairs, place = np.unique(np.concatenate(found), return_inverse=True)
    views = np.zeros(len(pairs), dtype=np.int8)
    start = 0
    for bit, entries in enumerate(found):
        views[place[start : start + len(entries)]] |= np.int8(1 << bit)
        start += len(entries)
    row, other = np.divmod(pairs, height)
    score = np.stack([view.cosine(row, other) for view in index.views]).sum(axis=0, dtype=np.float32)
    return _rank(row, other, score, views)


def _search(index: BlockingIndex, number: int, rows: Rows) -> Rows:
    """Return (row * height + other) of the nearest others of each row in view `number`."""
    matrix, found = index.views[number].matrix, [np.zeros(0, dtype=np.int64)]
    for source, inverted in index.searched:
        chosen = rows if source is None or index.source is None else rows[index.source[rows] == source]
        found.append(_top(matrix, inverted[number], chosen, index.budget.top_k))
    return np.concatenate(found)


def _top(matrix: Incidence, inverted: Incidence, rows: Rows, top_k: int) -> Rows:
    """Return (row * height + other) of the `top_k` rows of `inverted` nearest to each of `rows`, itself excluded.

    Of equally near ones those with the smallest numbers: which ones are found must not depend on who else is there.
    """
    # a row is its own nearest neighbour, and one more tells whether the last place is shared
    near = sp_matmul_topn(matrix[rows], inverted, top_n=top_k + 2, threshold=0.0, sort=True)
    row, other = np.repeat(rows, np.diff(near.indptr)), near.indices.astype(np.int64)
    place = np.arange(len(row)) - np.repeat(near.indptr[:-1], np.diff(near.indptr))
    itself = row == other
    # where duplicates crowd a row out of its own list the last entry is one too many
    place = np.where(itself, -1, place - _before(itself, near.indptr))
    last = np.flatnonzero(place == top_k)
    before = np.where(itself[np.maximum(last - 1, 0)], last - 2, last - 1)
    last = last[near.data[last] == near.data[before]]
    kept = (place >= 0) & (place < top_k) & ~np.isin(row, row[last])
    found = np.asarray(row[kept] * matrix.shape[0] + other[kept], dtype=np.int64)
    return np.concatenate([found, *_top_of_equals(matrix, inverted, row[last], near.data[last], top_k)])


def _top_of_equals(
    matrix: Incidence, inverted: Incidence, rows: Rows, least: npt.NDArray[np.float32], top_k: int
) -> Iterator[Rows]:
    """Yield what `_top` returns for rows whose last place, at the cosine `least`, is shared: they need all equals."""
    for start in range(0, len(rows), ROWS_OF_EQUALS):
        part = slice(start, start + ROWS_OF_EQUALS)
        near = (matrix[rows[part]] @ inverted).tocoo()
        kept = near.data >= least[part][near.row]
        row, other, cosine = rows[part][near.row[kept]], near.col[kept].astype(np.int64), near.data[kept]
        order = np.lexsort((other, -cosine, row))
        order = order[row[order] != other[order]]
        row, other = row[order], other[order]
        first = np.arange(len(row)) - np.searchsorted(row, row) < top_k
        yield np.asarray(row[first] * matrix.shape[0] + other[first], dtype=np.int64)


def _before(flags: npt.NDArray[np.bool_], offsets: npt.NDArray[np.int32]) -> Rows:
    """Return, for each entry, how many flagged entries its list has up to it."""
    total = np.concatenate([[0], np.cumsum(flags)])
    return np.asarray(total[1:] - np.repeat(total[offsets[:-1]], np.diff(offsets)), dtype=np.int64)


def _rank(row: Rows, other: Rows, score: npt.NDArray[np.float32], views: npt.NDArray[np.int8]) -> CandidateLists:
    order = np.lexsort((other, -score, row))
    row, other, score, views = row[order], other[order], score[order], views[order]
    first = np.searchsorted(row, row)
    last = np.searchsorted(row, row, side="right")
    rank = (np.arange(len(row)) - first + 1).astype(np.int32)
    rival = np.where(rank == 1, first + 1, first)
    lone = last - first == 1
    best = score[np.where(lone, first, np.minimum(rival, len(row) - 1))] if len(row) else score
    ratio = np.where(lone, 2.0, score / np.maximum(best, 1e-6))
    return CandidateLists(row, other, score, rank, np.clip(ratio, 0.0, 2.0).astype(np.float32), views)


CONTEXT = ("score", "best_rank", "worst_rank", "best_ratio", "worst_ratio", "lists", "views")


def look_up_context(
    lists: CandidateLists, left: Rows, right: Rows, *, budget: BlockingBudget
) -> npt.NDArray[np.float32]:
    """Return the CONTEXT features (pairs x 7) of pairs whose both rows have their lists in `lists`.

    The context says how a pair compares with the other candidates of either record; a pair in neither list gets
    score 0, rank `unlisted_rank` and ratio 0.
    """
    height = np.int64(1 + max(lists.other.max(initial=0), left.max(initial=0), right.max(initial=0)))
    known = lists.row * height + lists.other
    order = np.argsort(known)
    sides = [_find(known[order], order, a * height + b) for a, b in ((left, right), (right, left))]
    place, listed = np.stack([s[0] for s in sides]), np.stack([s[1] for s in sides])
    if len(known) == 0:
        place, listed = np.zeros_like(place), np.zeros_like(listed)
        return merge_context(np.zeros(place.shape), np.ones(place.shape), np.zeros(place.shape), listed, listed, budget)
    return merge_context(
        lists.score[place], lists.rank[place], lists.ratio[place], listed, lists.views[place] * listed, budget
    )


def list_pairs(index: BlockingIndex) -> tuple[Rows, Rows, npt.NDArray[np.float32]]:
    """Return all candidate pairs of a table in row order: lo, hi (lo < hi) and their CONTEXT features."""
    lists = list_candidates(index, np.arange(index.rows))
    low, high = np.minimum(lists.row, lists.other), np.maximum(lists.row, lists.other)
    lo, hi = np.divmod(np.unique(low * np.int64(index.rows) + high), np.int64(max(index.rows, 1)))
    return lo, hi, look_up_context(lists, lo, hi, budget=index.budget)


def _find(ordered: Rows, order: Rows, wanted: Rows) -> tuple[Rows, npt.NDArray[np.bool_]]:
    if len(ordered) == 0:
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    place = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return order[place], ordered[place] == wanted


def unlisted_rank(budget: BlockingBudget) -> int:
    """Return the rank of a record that is in no list: one more than both views together could fill."""
    return 2 * budget.top_k + 1


def merge_context(
    score: npt.NDArray[np.generic], rank: npt.NDArray[np.generic], ratio: npt.NDArray[np.generic],
    listed: npt.NDArray[np.bool_], views: npt.NDArray[np.generic], budget: BlockingBudget,
) -> npt.NDArray[np.float32]:  # fmt: skip
    """Merge what the two sides' lists say (arrays 2 x pairs) into CONTEXT, whichever side comes first."""
    rank = np.where(listed, rank, unlisted_rank(budget))
    ratio = np.where(listed, ratio, 0.0)
    bits = views[0].astype(np.int64) | views[1].astype(np.int64)
    columns = [
        np.where(listed, score, 0.0).max(axis=0), rank.min(axis=0), rank.max(axis=0),
        ratio.max(axis=0), ratio.min(axis=0), listed.sum(axis=0), (bits & 1) + (bits >> 1),
    ]  # fmt: skip
    return np.stack(columns, axis=-1).astype(np.float32)
