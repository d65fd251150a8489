"""A small table of persons with duplicates, made by hand for tests: plain enough to reason about."""

from __future__ import annotations

import random

FIRST = ["anna", "bert", "carla", "dora", "emil", "fritz", "greta", "hugo", "irma", "jonas", "karin", "ludwig"]
LAST = ["smith", "jones", "miller", "baker", "fischer", "weber", "wagner", "becker", "hoffmann", "schulz", "koch"]
STREETS = ["high street", "low road", "long lane", "short way", "mill road", "church street", "park avenue"]

Person = dict[str, str | None]


def make_people(entities: int, *, seed: int = 0) -> tuple[list[Person], dict[str, int]]:
    """Return rows (id, name, street, born, phone) and the entity of each id; about every second entity twice."""
    rng = random.Random(seed)
    rows: list[Person] = []
    truth: dict[str, int] = {}
    for entity in range(entities):
        person: Person = {
            "name": f"{rng.choice(FIRST)} {rng.choice(LAST)}",
            "street": f"{rng.randrange(1, 200)} {rng.choice(STREETS)}",
            "born": f"{rng.randrange(1930, 2005)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}",
            "phone": f"0{rng.randrange(10, 99)} {rng.randrange(10**6, 10**7)}",
        }
        for copy in range(rng.choice([1, 1, 2, 2, 3])):
            key = f"p{rng.randrange(10**8):08}"
            rows.append({"id": key, **(person if copy == 0 else _soil(person, rng))})
            truth[key] = entity
    rng.shuffle(rows)
    return rows, truth


def _soil(person: Person, rng: random.Random) -> Person:
    dirty = dict(person)
    field = rng.choice(["name", "street", "born", "phone"])
    value = dirty[field] or ""
    place = rng.randrange(1, len(value) - 1)
    dirty[field] = rng.choice([value[:place] + value[place + 1 :], value[:place] + "x" + value[place:], None])
    return dirty


def count_pairs(groups: dict[str, list[str]]) -> set[tuple[str, str]]:
    """Return all pairs of members that share a group."""
    return {(a, b) for members in groups.values() for a in members for b in members if a < b}


def f1_score(found: dict[str, object], truth: dict[str, int]) -> float:
    """Return F1 over the pairs implied by equal values."""
    pairs = []
    for mapping in (found, truth):
        groups: dict[str, list[str]] = {}
        for key, group in mapping.items():
            groups.setdefault(str(group), []).append(key)
        pairs.append(count_pairs(groups))
    return 2 * len(pairs[0] & pairs[1]) / max(len(pairs[0]) + len(pairs[1]), 1)
