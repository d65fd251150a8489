"""Word evidence: what a word says for or against a match where both records have it, or one of them alone.

How rare a word is (`Records.idf`) tells how alike two records are that share it, not whether it matters: a title may
lack "department" or "the new" and mean the same, but not "upgrade" or "volume two". Labels hold too few words to tell.
So words are counted over all candidate pairs that may match, each pair as a match as far as a model that has learned
from the labels believes in it, and as none for the rest: the agreement weights that Fellegi and Sunter (1969) give
columns, for words, by one step of expectation maximisation (Dempster, Laird and Rubin 1977; with labels: Nigam,
McCallum, Thrun and Mitchell 2000). Words that few pairs hold are taken for what others as rare are.

Only the words of running text are evidence of their own; in names and codes letters say more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from glue_ml.matching.comparison import FeatureName
from glue_ml.matching.profile import ColumnKind, ColumnProfile
from glue_ml.matching.records import Column, Records
from glue_ml.matching.tokens import Incidence

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]
Feature = npt.NDArray[np.float32]

MEASURES = ("evidence", "best_shared", "worst_unshared")  #: The sum over all words, and the words that say most.
MIN_WORDS = 3.0  #: On average, in a column whose words are weighed one by one.
STEPS = 10  #: Of rarity, within which words that few pairs hold are taken for alike.
BELIEF = 8.0  #: As many pairs speak for what is usual of a word as rare.
STEP_BELIEF = 5.0  #: And as many for what is usual of any word, in a step of rarity.
MOST_WORDS = 20_000  #: Of a column; those that most pairs hold.
PAIRS_AT_ONCE = 50_000
_LEAST = 1e-3  # no share is so small or so near to 1 that one word decides


@dataclass(frozen=True)
class ColumnEvidence:
    """The weights of a column's words: natural logarithms of likelihood ratios, 2 x words (shared, unshared).

    `usual` (2 x STEPS + 1): those of words that are not among `words`, by their rarity.
    """

    column: str
    words: pa.StringArray
    weights: Scores
    usual: Scores

    def look_up(self, vocabulary: pa.StringArray, step: Rows) -> Scores:
        """Return the weights (2 x words) of a vocabulary, whose words are as rare as `step` says."""
        place = pc.fill_null(pc.index_in(vocabulary, value_set=self.words), -1).to_numpy(zero_copy_only=False)
        known = place >= 0
        found = self.usual[:, step]
        found[:, known] = self.weights[:, place[known]]
        return found


@dataclass(frozen=True)
class WordEvidence:
    """What the words of some columns say, in table order."""

    columns: tuple[ColumnEvidence, ...] = ()

    @property
    def names(self) -> tuple[FeatureName, ...]:
        """The names of what `measure` returns."""
        return tuple(FeatureName(each.column, measure) for each in self.columns for measure in MEASURES)

    def measure(self, records: Records, left: Rows, right: Rows) -> Feature:
        """Return the MEASURES of the columns (pairs x features, float32) for pairs of row numbers; symmetric."""
        by_name = {column.profile.name: column for column in records.columns}
        blocks = [_measure_column(records, by_name[each.column], each, left, right) for each in self.columns]
        return np.hstack([np.zeros((len(left), 0), dtype=np.float32), *blocks])

    def to_arrow(self) -> pa.Table:
        """Return a row for each word, and for each step of rarity one without a word."""
        tables = [_describe(each) for each in self.columns]
        return pa.concat_tables([_describe(None), *tables])

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Self:
        """Rebuild the evidence from `to_arrow`."""
        names = pc.unique(table.column("column")).to_pylist()
        return cls(tuple(_read(name, table.filter(pc.equal(table.column("column"), name))) for name in names))


def choose_worded_columns(profiles: Sequence[ColumnProfile]) -> tuple[str, ...]:
    """Return the columns of running text."""
    texts = (ColumnKind.TEXT, ColumnKind.LONG_TEXT)
    return tuple(profile.name for profile in profiles if profile.kind in texts and profile.words >= MIN_WORDS)


def weigh_evidence(records: Records, lo: Rows, hi: Rows, probability: Scores) -> WordEvidence:
    """Weigh the words by pairs of row numbers, each of which is a match with this probability."""
    chosen = choose_worded_columns(records.profiles)
    columns = [column for column in records.columns if column.profile.name in chosen and column.words is not None]
    return WordEvidence(tuple(_weigh_column(records, column, lo, hi, probability) for column in columns))


def _weigh_column(records: Records, column: Column, lo: Rows, hi: Rows, probability: Scores) -> ColumnEvidence:
    """Compare how often a word is shared by the records that have it, among matches and among others."""
    counts = _count(column, lo, hi, probability)
    step = _step(records)
    by_step = np.apply_along_axis(lambda count: np.bincount(step, weights=count, minlength=STEPS + 1), -1, counts)
    usual = _share(by_step, _share(by_step.sum(axis=-1), np.full(2, 0.5), 1.0)[:, None], STEP_BELIEF)
    shares = _share(counts, usual[:, step], BELIEF)
    held = counts.sum(axis=(0, 1))
    kept = np.sort(np.argsort(-held, kind="stable")[: min(MOST_WORDS, int((held > 0).sum()))])
    weights = _compare_shares(shares[:, kept])
    return ColumnEvidence(column.profile.name, records.vocabulary.take(pa.array(kept)), weights, _compare_shares(usual))


def _count(column: Column, lo: Rows, hi: Rows, probability: Scores) -> Scores:
    """Return how many matches and others (first axis) share each word or hold it on one side (second axis)."""
    assert column.words is not None
    counts = np.zeros((2, 2, column.words.shape[1]))
    for start in range(0, len(lo), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        belief = np.stack([probability[part], 1.0 - probability[part]])
        for place, words in enumerate(_meet(column, lo[part], hi[part])):
            counts[:, place] += (words.T @ belief.T).T
    return counts


def _share(counts: Scores, usual: Scores, belief: float) -> Scores:
    """Return the share of the pairs that share a word, of those that hold it: matches, and others (2 x words)."""
    shared, held = counts[:, 0], counts.sum(axis=1)
    return np.asarray(np.clip((shared + belief * usual) / (held + belief), _LEAST, 1.0 - _LEAST), dtype=np.float64)


def _compare_shares(shares: Scores) -> Scores:
    matches, others = shares
    return np.stack([np.log(matches / others), np.log((1.0 - matches) / (1.0 - others))])


def _step(records: Records) -> Rows:
    return np.rint(records.idf * STEPS).astype(np.int64)


def _measure_column(records: Records, column: Column, evidence: ColumnEvidence, left: Rows, right: Rows) -> Feature:
    shared, unshared = _meet(column, left, right)
    of_shared, of_unshared = evidence.look_up(records.vocabulary, _step(records))
    total = shared @ of_shared + unshared @ of_unshared
    best, worst = _choose(np.maximum, shared, of_shared), _choose(np.minimum, unshared, of_unshared)
    return np.stack([total, best, worst], axis=-1).astype(np.float32)


def _choose(choose: np.ufunc, words: Incidence, weight: Scores) -> Scores:
    """Return the weight of the word in each row that `choose` chooses; 0 is always among them."""
    chosen = np.zeros(words.shape[0])
    choose.at(chosen, np.repeat(np.arange(words.shape[0]), np.diff(words.indptr)), weight[words.indices])
    return chosen


def _meet(column: Column, left: Rows, right: Rows) -> tuple[Incidence, Incidence]:
    """Return the words that both rows of each pair have, and those that one has alone."""
    assert column.words is not None
    # code -1 selects the empty row at the end
    a, b = (column.words[column.codes[side]] for side in (left, right))
    met = a.minimum(b), abs(a - b)
    for words in met:
        words.eliminate_zeros()
        words.sort_indices()
    return met


def _describe(evidence: ColumnEvidence | None) -> pa.Table:
    words = pa.array([], pa.string()) if evidence is None else evidence.words
    usual, weights = (np.zeros((2, 0)),) * 2 if evidence is None else (evidence.usual, evidence.weights)
    shared, unshared = np.hstack([usual, weights])
    return pa.table({
        "column": pa.array([None if evidence is None else evidence.column] * len(shared), pa.string()),
        "word": pa.concat_arrays([pa.nulls(usual.shape[1], pa.string()), words]),
        "shared": shared,
        "unshared": unshared,
    })  # fmt: skip


def _read(name: str, table: pa.Table) -> ColumnEvidence:
    weights = np.stack([table.column(side).to_numpy() for side in ("shared", "unshared")])
    is_usual = pc.is_null(table.column("word")).to_numpy()
    if is_usual.sum() != STEPS + 1:
        raise ValueError(f"the words of {name} need {STEPS + 1} weights for those that are not listed")
    words = table.column("word").combine_chunks().drop_null()
    return ColumnEvidence(name, words, weights[:, ~is_usual], weights[:, is_usual])
