"""Teaching a transform on a public set: rows are bought through labelling sets and answered from the truth."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from glue_ml.domain.labels import LabeledRow, labeled_pairs
from glue_ml.matching import FindMatches, FindMatchesModel
from tests.benchmarks.public_data import KEY, PublicSet
from tests.benchmarks.sparkless import collect_rows

ROWS_A_CALL = 100  #: Rows asked for at once.


def answer_sets(
    asked: Sequence[tuple[str, str]], entity: Mapping[str, str], *, noise: float, seed: int
) -> list[LabeledRow]:
    """Label (set, key) rows with the entity of each; a share `noise` of the labels, drawn by `seed`, is wrong.

    A wrong label is, by the toss of a coin, that of another entity of the set (two that differ are called the same) or
    one of its own (a row is torn from its likes); of its own too where the set holds no other entity.
    """
    rng = random.Random(seed)
    members: dict[str, list[str]] = {}
    for set_id, key in asked:
        members.setdefault(set_id, []).append(entity[key])
    rows = []
    for set_id, key in asked:
        label = entity[key]
        if rng.random() < noise:
            others = sorted(set(members[set_id]) - {label})
            label = rng.choice(others) if others and rng.random() < 0.5 else f"alone {key}"
        rows.append(LabeledRow(set_id, label, key))
    return rows


@dataclass
class Course:
    """What was learned so far about a table, `df`, which is a DataFrame, or a Frame within `without_spark`."""

    data: PublicSet
    df: Any
    seed: int = 0
    noise: float = 0.0
    accuracy_cost: float | None = None
    labels: list[LabeledRow] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.find = FindMatches(primary_key=KEY, seed=self.seed, accuracy_cost_tradeoff=self.accuracy_cost)
        self.model: FindMatchesModel = self.find.fit(self.df)

    def advance(self, budgets: Sequence[int]) -> Iterator[int]:
        """Buy labels up to each budget of rows in turn, and yield it; the last may not be reached."""
        for budget in budgets:
            while len(self.labels) < budget and self.buy(min(ROWS_A_CALL, budget - len(self.labels))):
                pass
            yield budget

    def buy(self, rows: int) -> bool:
        """Ask for about `rows` rows, answer them and learn from all labels; tell whether there were any to ask for."""
        asked = self._ask(rows)
        self.labels += answer_sets(asked, self.data.entity, noise=self.noise, seed=self.seed + len(self.labels))
        if asked and is_teachable(self.labels):
            self.model = self.find.fit(self.df, self.labels)
        return bool(asked)

    def _ask(self, rows: int) -> list[tuple[str, str]]:
        # labels of one class teach nothing, not even which rows they are about
        known = set() if self.model.supervised_ else {row.key for row in self.labels}
        sets = self.model.labeling_sets(self.df, rows=rows + len(known))
        asked = [(row["labeling_set_id"], row[KEY]) for row in collect_rows(sets, ["labeling_set_id", KEY])]
        stale = {set_id for set_id, key in asked if key in known}
        return [(set_id, key) for set_id, key in asked if set_id not in stale]

    def match(self) -> tuple[dict[str, float], int]:
        """Match the whole table: precision, recall and F1, and the number of candidate pairs."""
        return match_table(self.model, self.data, self.df)


def match_table(model: FindMatchesModel, data: PublicSet, df: Any) -> tuple[dict[str, float], int]:
    """Match a table with a model: precision, recall and F1, and the number of candidate pairs."""
    result = model.find_matches(df)
    groups = {row[KEY]: row["match_id"] for row in collect_rows(result.matches, [KEY, "match_id"])}
    return data.score(groups), int(result.counts["candidate_pairs"])


def is_teachable(labels: Sequence[LabeledRow]) -> bool:
    """Tell whether labels hold a match and a non-match."""
    return len({pair.is_match for pair in labeled_pairs(labels)}) == 2
