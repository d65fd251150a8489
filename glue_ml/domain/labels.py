"""What labels mean: pairs that match, pairs that do not, and what holds when they come in over several imports.

Two rows of one labelling set with the same label are a match, with different labels a non-match. Rows of different sets
say nothing about each other, even if their labels are equal. A row with a blank label says nothing at all.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import combinations

from glue_ml.domain.label_file import (
    MAX_SET_ROWS,
    LabeledRow,
    LabelFile,
    check_characters,
    check_file_size,
    export_name,
    is_blank,
    parse_labels,
    render_labels,
    shorten,
)
from glue_ml.errors import LabelError

__all__ = [
    "MAX_SET_ROWS",
    "Contradiction",
    "LabelFile",
    "LabeledPair",
    "LabeledRow",
    "check_both_classes",
    "check_characters",
    "check_file_size",
    "check_known_keys",
    "check_set_sizes",
    "contradictions",
    "distinguish_sets",
    "export_name",
    "is_blank",
    "label_constraints",
    "labeled_pairs",
    "merge_rows",
    "parse_labels",
    "render_labels",
]

_TEACH = "Label some rows that are the same with one label, and some rows of the same set that differ with another"


@dataclass(frozen=True, order=True)
class LabeledPair:
    """Two records, by primary key with `left` < `right`, and whether a person holds them to be the same."""

    labeling_set_id: str
    left: str
    right: str
    is_match: bool


@dataclass(frozen=True)
class Contradiction:
    """A pair that was judged differently: every judgement as its two rows, in order, and what the pair is taken as."""

    pair: LabeledPair
    judgements: tuple[tuple[LabeledRow, LabeledRow], ...]

    def __str__(self) -> str:
        said = (f"{_verdict(_agree(two))} in set {shorten(two[0].labeling_set_id)}" for two in self.judgements)
        pair = f"{shorten(self.pair.left)} and {shorten(self.pair.right)}"
        return f"{pair} are {', '.join(said)}; taken as {_verdict(self.pair.is_match)}"


_Judgement = tuple[int, int, LabeledRow, LabeledRow]  # places of the later and the earlier row, then the two rows


def labeled_pairs(rows: Iterable[LabeledRow]) -> list[LabeledPair]:
    """Return what `rows` say about pairs of records, each pair once, sorted by its two keys.

    A pair that was judged several times is what most of the judgements say; if they are even, what the one with the
    latest row says (rows come in the order of their import). The pair names the set of the last judgement that agrees
    with it. The cost grows with the number of pairs within sets.
    """
    return [_resolve(keys, judgements) for keys, judgements in sorted(_judge_pairs(rows).items())]


def contradictions(rows: Iterable[LabeledRow]) -> list[Contradiction]:
    """Return the pairs that some rows call a match and others a non-match, sorted by their two keys."""
    found = []
    for keys, judgements in sorted(_judge_pairs(rows).items()):
        if len(judgements) > 1 and len({_agree(j[2:]) for j in judgements}) == 2:
            in_order = tuple(j[2:] for j in sorted(judgements, key=lambda j: j[:2]))
            found.append(Contradiction(_resolve(keys, judgements), in_order))
    return found


def label_constraints(pairs: Iterable[LabeledPair]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return the pairs that must end in one group, and those that must not, each in the order given."""
    must_link: list[tuple[str, str]] = []
    cannot_link: list[tuple[str, str]] = []
    for pair in pairs:
        (must_link if pair.is_match else cannot_link).append((pair.left, pair.right))
    return must_link, cannot_link


def check_known_keys(rows: Sequence[LabeledRow], known: Collection[str]) -> None:
    """Raise LabelError unless the key of every row is in `known`, the keys of the table."""
    keys = known if isinstance(known, Set) else set(known)
    unknown = [row for row in rows if row.key not in keys]
    if unknown:
        others = len({row.key for row in unknown}) - 1
        more = "" if not others else ", nor does 1 other key" if others == 1 else f", nor do {others} other keys"
        raise LabelError(
            f"The key {shorten(unknown[0].key)} does not occur in the table{more}. Label records of this table only, "
            "and keep keys as text: spreadsheets change long numbers and drop leading zeros",
            line=unknown[0].line,
        )


def check_both_classes(rows: Iterable[LabeledRow]) -> None:
    """Raise LabelError unless `rows` together hold at least one match and at least one non-match."""
    judged = {pair.is_match for pair in labeled_pairs(rows)}
    if not judged:
        raise LabelError(f"The labels hold no pair: no set has two rows with a label. {_TEACH}")
    if judged == {True}:
        raise LabelError(f"The labels hold matches only, no non-match: every set has one label only. {_TEACH}")
    if judged == {False}:
        raise LabelError(f"The labels hold non-matches only, no match: no two rows of a set share a label. {_TEACH}")


def check_set_sizes(rows: Iterable[LabeledRow]) -> None:
    """Raise LabelError if a labelling set has more than 50 rows, as it may once an import was added to it."""
    for set_id, size in Counter(row.labeling_set_id for row in rows).items():
        if size > MAX_SET_ROWS:
            raise LabelError(
                f"The labelling set {shorten(set_id)} would have {size} rows, with those that are stored already; at "
                f"most {MAX_SET_ROWS} are allowed. Give the new rows another labeling_set_id"
            )


def distinguish_sets(stored: Iterable[LabeledRow], incoming: Sequence[LabeledRow]) -> list[LabeledRow]:
    """Return `incoming` with set ids that name a stored set only where it is the same set.

    A set is the same as a stored one of its id if they share a key: it corrects it. If they share none, people have
    numbered their sets anew in each file: the set is then a stored set that was renamed so and shares a key with it,
    or gets a fresh id (`1~2`, then `1~3`).
    """
    stored_keys = _keys_of_sets(stored)
    incoming_keys = _keys_of_sets(incoming)
    taken = stored_keys.keys() | incoming_keys.keys()
    names = {set_id: _name_set(set_id, incoming_keys, stored_keys, taken) for set_id in incoming_keys}
    return [replace(row, labeling_set_id=names[row.labeling_set_id]) for row in incoming]


def merge_rows(stored: Sequence[LabeledRow], incoming: Sequence[LabeledRow]) -> list[LabeledRow]:
    """Return the labels after `incoming` (its sets told apart already) was added to `stored`.

    The newer label wins per set and key and counts as the later row; attributes that it does not have stay.
    """
    merged = {(row.labeling_set_id, row.key): row for row in stored}
    for row in incoming:
        older = merged.pop((row.labeling_set_id, row.key), None)
        kept = {} if older is None else older.attributes
        merged[row.labeling_set_id, row.key] = replace(row, attributes={**kept, **row.attributes})
    return list(merged.values())


def _judge_pairs(rows: Iterable[LabeledRow]) -> dict[tuple[str, str], list[_Judgement]]:
    sets: dict[str, list[tuple[int, LabeledRow]]] = defaultdict(list)
    for place, row in enumerate(rows):
        if not is_blank(row.label):
            sets[row.labeling_set_id].append((place, row))
    judged: dict[tuple[str, str], list[_Judgement]] = defaultdict(list)
    for members in sets.values():
        for (earlier, one), (later, other) in combinations(members, 2):
            if one.key < other.key:
                judged[one.key, other.key].append((later, earlier, one, other))
            elif other.key < one.key:
                judged[other.key, one.key].append((later, earlier, other, one))
    return judged


def _resolve(keys: tuple[str, str], judgements: Sequence[_Judgement]) -> LabeledPair:
    matches = [j for j in judgements if _agree(j[2:])]
    others = [j for j in judgements if not _agree(j[2:])]
    winners = max((matches, others), key=lambda side: (len(side), max(map(_place, side), default=(-1, -1))))
    return LabeledPair(max(winners, key=_place)[2].labeling_set_id, *keys, is_match=winners is matches)


def _place(judgement: _Judgement) -> tuple[int, int]:
    return judgement[:2]


def _agree(rows: tuple[LabeledRow, LabeledRow]) -> bool:
    return rows[0].label == rows[1].label


def _verdict(is_match: bool) -> str:
    return "a match" if is_match else "a non-match"


def _keys_of_sets(rows: Iterable[LabeledRow]) -> dict[str, set[str]]:
    keys: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        keys[row.labeling_set_id].add(row.key)
    return dict(keys)


def _name_set(set_id: str, incoming: Mapping[str, Set[str]], stored: Mapping[str, Set[str]], taken: set[str]) -> str:
    """Return the id under which a set is stored; a fresh one is added to `taken`."""
    keys = incoming[set_id]
    if set_id not in stored or not keys.isdisjoint(stored[set_id]):
        return set_id
    number = 2
    while (name := f"{set_id}~{number}") in taken:
        if name not in incoming and not keys.isdisjoint(stored.get(name, ())):
            return name
        number += 1
    taken.add(name)
    return name


def tell_slips(slips: int, labeled_pairs: int) -> tuple[str, ...]:
    """Return a sentence on labels that were not learned from, if there are such."""
    if slips == 0:
        return ()
    return (
        f"Of {labeled_pairs:,} labelled pairs {slips:,} look like slips: nearly all others contradict them, and "
        "nothing was learned from them. See the hardest pairs of the report.",
    )
