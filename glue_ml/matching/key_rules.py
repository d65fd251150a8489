"""Blocking keys learned from labels: conjunctions of simple predicates that bring together what blocking misses.

A predicate reads keys from a column: the value itself, its words, its first or last letters, its words with digits. Two
records meet where a conjunction of one or two predicates gives both the same key, and no more than a cap of others.
Rules are chosen by greedy weighted cover of the labelled matches that the other views miss, a rule's weight being the
pairs that it proposes (Bilenko, Kamath and Mooney, ICDM 2006; Michelson and Knoblock, AAAI 2006).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pandas.util import hash_array

from glue_ml.matching.blocking_keys import number_codes
from glue_ml.matching.feature_sets import count_rows, list_rows
from glue_ml.matching.records import Column, Records
from glue_ml.matching.tokens import Incidence

Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

LARGEST_BLOCK = 50  #: A key that more rows have is left out: a rule must stay cheap on any table.
MIN_COVERED = 2  #: Missed matches that a rule must bring together; one may be a slip.
MAX_RULES = 4
WIDEST = 3  #: A record's rarest words of a column are its keys there.
TRIED_CONJUNCTIONS = 20  #: Those that cover most of the missed matches before blocks are capped.
ENDS = 4  #: Letters.


@dataclass(frozen=True, order=True)
class Predicate:
    """What is read from a column: "value", "word", "code" (a word with a digit), "start" or "end"."""

    column: str
    kind: str

    def __str__(self) -> str:
        return f"same {self.kind} of {self.column}"


@dataclass(frozen=True)
class KeyRule:
    """A conjunction of predicates, of different columns, in the order of their names."""

    predicates: tuple[Predicate, ...]

    def __str__(self) -> str:
        return " and ".join(map(str, self.predicates))

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as JSON members."""
        return {"predicates": [[p.column, p.kind] for p in self.predicates]}

    @classmethod
    def from_dict(cls, members: dict[str, Any]) -> KeyRule:
        """Rebuild a rule from `to_dict`."""
        return cls(tuple(Predicate(str(column), str(kind)) for column, kind in members["predicates"]))


@dataclass(frozen=True)
class Keys:
    """The keys of all rows: a 0/1 matrix (rows x keys), and the keys' codes, ascending, which name them anywhere."""

    matrix: Incidence
    codes: Rows

    def capped(self) -> Incidence:
        """The matrix without the keys that more than LARGEST_BLOCK rows have."""
        kept = (count_rows(self.matrix) <= LARGEST_BLOCK).astype(np.float32)
        capped = self.matrix.multiply(kept).tocsr()
        capped.eliminate_zeros()
        return capped


def find_rule_keys(records: Records, rules: Sequence[KeyRule]) -> Keys:
    """Return the keys that `rules` give to each row; rules for columns that the records lack give none."""
    parts = [_read_rule(records, rule) for rule in rules]
    rows = np.concatenate([np.zeros(0, np.int64), *(list_rows(part.matrix) for part in parts)])
    codes = np.concatenate([np.zeros(0, np.int64), *(part.codes[part.matrix.indices] for part in parts)])
    matrix, distinct = number_codes(rows, codes, len(records))
    return Keys(matrix, distinct)


def learn_key_rules(records: Records, left: Rows, right: Rows) -> tuple[KeyRule, ...]:
    """Return rules that bring together as many as can be of the pairs of rows, at little cost; maybe none.

    The pairs are matches that blocking misses. Cost: a pass over all records for each of some twenty rules.
    """
    if len(left) < MIN_COVERED:
        return ()
    single = {predicate: _read_keys(records, predicate) for predicate in _list_predicates(records)}
    rules = [KeyRule((predicate,)) for predicate in single] + _choose_conjunctions(single, left, right)
    found: list[tuple[KeyRule, Flags, float]] = []
    for rule in rules:
        keys = _conjoin([single[predicate] for predicate in rule.predicates])
        capped = keys.capped()
        frequency = count_rows(capped).astype(np.float64)
        found.append((rule, _meet(capped, left, right), float((frequency * (frequency - 1)).sum()) / len(records)))
    return tuple(_cover(found, np.zeros(len(left), dtype=bool)))


def _cover(found: Sequence[tuple[KeyRule, Flags, float]], covered: Flags) -> Iterator[KeyRule]:
    """Yield rules, each the one that covers most further pairs for the candidates it adds to a record."""
    for _ in range(MAX_RULES):
        worth = [
            (newly / (1.0 + cost) if (newly := int((meets & ~covered).sum())) >= MIN_COVERED else 0.0)
            for _, meets, cost in found
        ]
        best = int(np.argmax(worth)) if worth else 0
        if not worth or worth[best] == 0.0:
            return
        yield found[best][0]
        covered = covered | found[best][1]


def _choose_conjunctions(single: dict[Predicate, Keys], left: Rows, right: Rows) -> list[KeyRule]:
    meets = {predicate: _meet(keys.matrix, left, right) for predicate, keys in single.items()}
    pairs = [(a, b) for a, b in combinations(sorted(single), 2) if a.column != b.column]
    pairs.sort(key=lambda pair: (-int((meets[pair[0]] & meets[pair[1]]).sum()), pair))
    return [KeyRule(pair) for pair in pairs[:TRIED_CONJUNCTIONS]]


def _list_predicates(records: Records) -> list[Predicate]:
    kinds = {True: ("value", "word", "code", "start", "end"), False: ("value",)}
    return [
        Predicate(column.profile.name, kind)
        for column in records.columns
        if len(column.values) > 1
        for kind in kinds[column.words is not None]
    ]


def _meet(matrix: Incidence, left: Rows, right: Rows) -> Flags:
    """Return which pairs of rows have a key in common."""
    return np.asarray(matrix[left].multiply(matrix[right]).sum(axis=1)).ravel() > 0


def _read_rule(records: Records, rule: KeyRule) -> Keys:
    names = {column.profile.name for column in records.columns}
    if any(predicate.column not in names for predicate in rule.predicates):
        return Keys(Incidence((len(records), 0), dtype=np.float32), np.zeros(0, dtype=np.int64))
    return _conjoin([_read_keys(records, predicate) for predicate in rule.predicates])


def _read_keys(records: Records, predicate: Predicate) -> Keys:
    """Return the keys that a predicate gives to each row."""
    column = next(column for column in records.columns if column.profile.name == predicate.column)
    places, texts = _READERS[predicate.kind](column, records)
    salted = np.array([f"{predicate.kind} {predicate.column} {text}" for text in texts], dtype=object)
    codes = hash_array(salted).view(np.int64) if len(salted) else np.zeros(0, dtype=np.int64)
    # one row for each distinct value, and one without keys for code -1
    matrix, distinct = number_codes(places, codes, len(column.values) + 1)
    return Keys(matrix[column.codes], distinct)


def _conjoin(parts: Sequence[Keys]) -> Keys:
    """Return the keys of a conjunction: each key of the one with each of the other."""
    if len(parts) == 1:
        return parts[0]
    first, second = parts
    rows = first.matrix.shape[0]
    widths = np.diff(second.matrix.indptr)[list_rows(first.matrix)]
    own = np.repeat(np.arange(first.matrix.nnz), widths)
    place = np.arange(len(own)) - np.repeat(np.cumsum(widths) - widths, widths)
    row = list_rows(first.matrix)[own]
    other = second.matrix.indptr[row] + place
    codes = _mix(first.codes[first.matrix.indices[own]], second.codes[second.matrix.indices[other]])
    matrix, distinct = number_codes(row, codes, rows)
    return Keys(matrix, distinct)


def _mix(first: Rows, second: Rows) -> Rows:
    mixed = first.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ second.view(np.uint64)
    return np.asarray((mixed * np.uint64(0xBF58476D1CE4E5B9)).view(np.int64), dtype=np.int64)


Read = tuple[Rows, Sequence[str]]  #: Places of distinct values, and a text that each yields.


def _read_values(column: Column, records: Records) -> Read:
    return np.arange(len(column.values)), column.values.to_pylist()


def _read_starts(column: Column, records: Records) -> Read:
    return _read_ends_of(column, lambda text: text[:ENDS])


def _read_ends(column: Column, records: Records) -> Read:
    return _read_ends_of(column, lambda text: text[-ENDS:])


def _read_ends_of(column: Column, cut: Callable[[str], str]) -> Read:
    letters = ["".join(filter(str.isalnum, value)) for value in column.values.to_pylist()]
    long = [place for place, text in enumerate(letters) if len(text) >= ENDS]
    return np.array(long, dtype=np.int64), [cut(letters[place]) for place in long]


def _read_words(column: Column, records: Records) -> Read:
    return _read_rarest(column, records, lambda word: True)


def _read_code_words(column: Column, records: Records) -> Read:
    return _read_rarest(column, records, lambda word: any(c.isdigit() for c in word))


def _read_rarest(column: Column, records: Records, wanted: Callable[[str], bool]) -> Read:
    assert column.words is not None
    chosen = np.array([wanted(word) for word in records.vocabulary.to_pylist()] + [False], dtype=bool)
    numbers = column.words.indices
    rows = list_rows(column.words)[chosen[numbers]]
    numbers = numbers[chosen[numbers]]
    order = np.lexsort((numbers, records.frequency[numbers], rows))
    rows, numbers = rows[order], numbers[order]
    first = np.arange(len(rows)) - np.searchsorted(rows, rows) < WIDEST
    return rows[first], records.vocabulary.take(pa.array(numbers[first])).to_pylist()


_READERS: dict[str, Callable[[Column, Records], Read]] = {
    "value": _read_values,
    "word": _read_words,
    "code": _read_code_words,
    "start": _read_starts,
    "end": _read_ends,
}
