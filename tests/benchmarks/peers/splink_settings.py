"""How Splink is set up for a table nobody has tuned it to: blocking keys and derived columns, from column profiles.

Columns are renamed c0, c1, ... so that no name of a user's gets into Splink's SQL. Standard library only.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from tests.benchmarks.peers.columns import Column, Kind, clean_cell, count_words, profile_columns, split_words
from tests.benchmarks.peers.exchange import KEY, SOURCE, Link, Row

Cell = str | float | list[str] | None
Rule = tuple[str, ...]
Keys = dict[str, list[Cell]]

COMPARED = 12  #: At most so many columns are compared: agreement patterns grow with each.
PAIRS_PER_RECORD = 20  #: A blocking rule may propose so many pairs per record.
TRAINING_PAIRS = 200  #: A model is estimated only under rules that leave so many pairs.
RARE = 30  #: A word that stands in at most so many records is a blocking key.
_WORDY = {Kind.NAME, Kind.TEXT, Kind.LONG_TEXT}


@dataclass(frozen=True)
class Plan:
    """The columns to compare by their short names, and the blocking rules: columns that must be equal together.

    `exploded` are rules over one array column, of which one word must be equal; `training` are those under which the
    model is estimated. `certain` are rules that hold for hardly any pair but true ones; where none hold for enough,
    as with texts that are never equal as a whole, there are none, and `matches`, the share of all pairs that is
    expected to match, stands in.
    """

    columns: dict[str, Column]
    rules: list[Rule]
    exploded: list[str]
    certain: list[Rule]
    training: list[Rule]
    matches: float


def make_plan(rows: Sequence[Row], link: Link) -> tuple[Plan, dict[str, list[Cell]]]:
    """Return the plan for a table and the table that it speaks of, by column."""
    columns = choose_columns(profile_columns(rows), least_fill(rows, link))
    table = derive_columns(rows, columns)
    keys = {name: table[name] for name, column in columns.items() if column.kind is not Kind.LONG_TEXT}
    origin = None if link is Link.ANY else table["origin"]
    singles, pairs = choose_rules(keys, columns, origin)
    wordy = choose_word_columns(columns)
    by_word: list[Rule] = [(f"{name}_key",) for name in wordy]
    useful = [pair for pair in pairs if not any((name,) in singles for name in pair)]
    certain, expected = (pairs or singles)[:3], expect_matches(rows, link)
    found = sum(count_equal([table[name] for name in rule], origin) for rule in certain)
    plan = Plan(
        columns,
        singles + useful,
        [f"{name}_words" for name in wordy],
        certain if found >= expected else [],
        choose_training([*(singles[:3] if len(columns) > 1 else []), *by_word], table, origin),
        expected / max(count_all(rows, link), 1),
    )
    return plan, table


def read_rules(path: Path, plan: Plan) -> list[Rule]:
    """Return the blocking rules written by hand, a list of lists of column names, in the plan's short names.

    KeyError if a rule names a column that is not compared.
    """
    short = {column.name: name for name, column in plan.columns.items()}
    return [tuple(short[name] for name in rule) for rule in json.loads(path.read_text(encoding="utf-8"))]


def least_fill(rows: Sequence[Row], link: Link) -> dict[str, float]:
    """Return the share of rows with a value by column: where sources are linked, in the source that has fewest."""
    sources = {row[SOURCE] if link is not Link.ANY else None for row in rows}
    parts = [[row for row in rows if source is None or row[SOURCE] == source] for source in sources]
    return {name: min(sum(row[name] is not None for row in part) / len(part) for part in parts) for name in rows[0]}


def choose_columns(columns: Sequence[Column], fill: Mapping[str, float]) -> dict[str, Column]:
    """Return the columns worth comparing by short names, those that tell most first."""
    useful = [column for column in columns if column.kind is not Kind.EMPTY and fill[column.name] >= 0.05]
    ranked = sorted(useful, key=lambda column: -column.fill * column.distinct)[:COMPARED]
    return {f"c{number}": column for number, column in enumerate(ranked)}


def choose_training(rules: Sequence[Rule], table: Keys, origin: Sequence[Cell] | None) -> list[Rule]:
    """Return the rules to estimate the model under: the first few that leave enough pairs to estimate from."""
    enough = [rule for rule in rules if count_equal([table[name] for name in rule], origin) >= TRAINING_PAIRS]
    return list(enough[:4]) or list(rules[:1])


def choose_word_columns(columns: dict[str, Column]) -> list[str]:
    """Return the columns whose rare words are blocking keys: long texts only where there are no shorter ones."""
    wordy = [name for name, column in columns.items() if column.kind in _WORDY]
    return [name for name in wordy if columns[name].kind is not Kind.LONG_TEXT] or wordy


def derive_columns(rows: Sequence[Row], columns: dict[str, Column]) -> dict[str, list[Cell]]:
    """Return key, source and the columns in lower case; of texts also all words, the rare ones and the rarest."""
    table: dict[str, list[Cell]] = {"unique_id": [row[KEY] for row in rows], "origin": [row[SOURCE] for row in rows]}
    for name, column in columns.items():
        cells = [row[column.name] for row in rows]
        table[name] = [clean_cell(cell, column.kind) for cell in cells]
        if column.kind is Kind.NUMBER:
            table[f"{name}_number"] = [read_number(cell) for cell in cells]
        if column.kind in _WORDY:
            table.update(_derive_words(name, cells))
    return table


def _derive_words(name: str, cells: Sequence[str | None]) -> dict[str, list[Cell]]:
    counts = count_words(cells)

    def rare(cell: str | None, least: int) -> list[str]:
        words = [word for word in split_words(cell) if least <= counts[word] <= RARE]
        return sorted(words, key=lambda word: (counts[word], word))

    return {
        f"{name}_all": [split_words(cell) or None for cell in cells],
        f"{name}_words": [rare(cell, 2) or None for cell in cells],
        f"{name}_key": [next(iter(rare(cell, 2)), None) for cell in cells],
    }


def read_number(cell: str | None) -> float | None:
    """Return a quantity without its currency sign and thousands separators, or None."""
    try:
        return float((cell or "").strip("$€£% ").replace(",", ""))
    except ValueError:
        return None


def expect_matches(rows: Sequence[Row], link: Link) -> float:
    """Return how many pairs are expected to be equal where nothing is known yet.

    Of linked tables half of the smaller one is expected in the other, of a single table one record in ten twice.
    """
    sizes = Counter(row[SOURCE] for row in rows)
    return 0.1 * len(rows) if link is Link.ANY else 0.5 * min(sizes.values())


def count_all(rows: Sequence[Row], link: Link) -> int:
    """Return how many pairs of records there are to compare."""
    within = _count_pairs(row[SOURCE] for row in rows)
    return _count_pairs([0] * len(rows)) - (0 if link is Link.ANY else within)


def choose_rules(
    keys: Keys, columns: dict[str, Column], origin: Sequence[Cell] | None
) -> tuple[list[Rule], list[Rule]]:
    """Return the single columns that are few enough pairs when equal, and the pairs of columns that are, best first."""
    records = len(next(iter(keys.values()), []))

    def is_affordable(rule: Rule) -> bool:
        return 0 < count_equal([keys[name] for name in rule], origin) <= PAIRS_PER_RECORD * records

    names = [name for name in keys if columns[name].kind not in {Kind.CATEGORY, Kind.NUMBER}]
    singles: list[Rule] = [(name,) for name in names]
    pairs = combinations(list(keys)[:8], 2)
    return [rule for rule in singles if is_affordable(rule)], [rule for rule in pairs if is_affordable(rule)]


def count_equal(columns: Sequence[Sequence[Cell]], origin: Sequence[Cell] | None = None) -> int:
    """Return how many pairs of records have equal values in all columns, none of them missing.

    With the records' sources, only pairs of different sources count.
    """
    values = [value for value in zip(*columns, origin or columns[0], strict=True) if None not in value[:-1]]
    within = _count_pairs(value[:-1] for value in values)
    return within - (_count_pairs(values) if origin else 0)


def _count_pairs(values: Iterable[Hashable]) -> int:
    return sum(n * (n - 1) // 2 for n in Counter(values).values())
