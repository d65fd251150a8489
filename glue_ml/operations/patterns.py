"""Patterns of names and values that cost no more than pattern times text, whatever was written in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from glue_ml.errors import InvalidInputError

_SUPPORTED = (
    "Use letters, * for any text, . for any character, [a-z], +, ?, | between alternatives, and \\ before signs"
)
_CLASSES: dict[str, Callable[[str], bool]] = {
    "d": str.isdecimal,
    "w": lambda one: one.isalnum() or one == "_",
    "s": str.isspace,
}


@dataclass(frozen=True)
class Item:
    """Characters of one kind, so many times."""

    accepts: Callable[[str], bool]
    optional: bool = False
    repeated: bool = False


Alternative = tuple[Item, ...]

MAX_ITEMS = 300  #: Of alternatives in which a place can be reached in several ways: they cost this times the text.


def matches(alternatives: Sequence[Alternative], text: str) -> bool:
    """Whether the whole text is as one of the alternatives says."""
    return any(_matches(items, text) for items in alternatives)


def parse_name_pattern(pattern: str) -> tuple[Alternative, ...]:
    """What the Expression of GetTables says: a regular expression without groups and counts, in which `*` is any text.

    That is how the catalog of Hive reads `people_*`, and a client that writes `people_.*` means the same. Case does not
    matter. Raises InvalidInputError for what is not supported, at which character.
    """
    return _check_cost(_NamePattern(pattern.lower()).parse())


def parse_like(pattern: str) -> tuple[Alternative, ...]:
    """What an SQL LIKE says: `%` is any text, `_` any character, and a backslash takes the next one as it is."""
    items = []
    characters = iter(pattern)
    for one in characters:
        if one == "%":
            items.append(Item(_accept_any, optional=True, repeated=True))
        elif one == "_":
            items.append(Item(_accept_any))
        else:
            items.append(_accept_one(next(characters, one) if one == "\\" else one))
    return _check_cost((tuple(items),))


def _check_cost(alternatives: tuple[Alternative, ...]) -> tuple[Alternative, ...]:
    costly = [items for items in alternatives if any(item.optional or item.repeated for item in items)]
    if sum(len(items) for items in costly) > MAX_ITEMS:
        raise InvalidInputError(f"Expression has a pattern of more than {MAX_ITEMS} characters. Use a shorter one.")
    return alternatives


def _matches(items: Alternative, text: str) -> bool:
    """Walk the text once with the set of all places of the pattern that may have been reached."""
    reached = _skip_optional(items, {0})
    for one in text:
        moved = set()
        for place in reached:
            if place < len(items) and items[place].accepts(one):
                moved.add(place + 1)
                if items[place].repeated:
                    moved.add(place)
        reached = _skip_optional(items, moved)
        if not reached:
            return False
    return len(items) in reached


def _skip_optional(items: Alternative, places: set[int]) -> set[int]:
    reached = set(places)
    for place in range(min(places, default=len(items)), len(items)):
        if place in reached and items[place].optional:
            reached.add(place + 1)
    return reached


def _accept_any(_: str) -> bool:
    return True


def _accept_one(wanted: str) -> Item:
    return Item(lambda one: one == wanted)


class _NamePattern:
    """One pass over a pattern."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._place = 0

    def parse(self) -> tuple[Alternative, ...]:
        alternatives: list[Alternative] = []
        items: list[Item] = []
        while self._place < len(self._pattern):
            one = self._take()
            if one == "|":
                alternatives.append(tuple(items))
                items = []
            elif not self._is_anchor(one):
                items.append(self._read_item(one))
        return (*alternatives, tuple(items))

    def _take(self) -> str:
        one = self._pattern[self._place : self._place + 1]
        self._place += 1
        return one

    def _is_anchor(self, one: str) -> bool:
        before, after = self._pattern[: self._place - 1], self._pattern[self._place :]
        if one == "^":
            return before == "" or before.endswith("|")
        return one == "$" and (after == "" or after.startswith("|"))

    def _read_item(self, one: str) -> Item:
        if one == "*":
            return Item(_accept_any, optional=True, repeated=True)
        if one in "(){}+?^$":
            raise self._refuse(one)
        many = one in ".[\\"
        accepts = self._read_kind(one)
        count = self._pattern[self._place : self._place + 1]
        if count in ("+", "?") or (count == "*" and many):  # after a plain sign, * is any text of its own
            self._place += 1
            return Item(accepts, optional=count != "+", repeated=count != "?")
        return Item(accepts)

    def _read_kind(self, one: str) -> Callable[[str], bool]:
        if one == ".":
            return _accept_any
        if one == "[":
            return self._read_class()
        if one == "\\":
            one = self._take()
            if not one or (one.isalnum() and one not in _CLASSES):
                raise self._refuse(f"\\{one}")
            return _CLASSES.get(one) or _accept_one(one).accepts
        return _accept_one(one).accepts

    def _read_class(self) -> Callable[[str], bool]:
        end = self._pattern.find("]", self._place + 1)
        body = self._pattern[self._place : end]
        if end < 0 or "\\" in body or "[" in body:
            raise self._refuse("[")
        self._place = end + 1
        negated = body.startswith("^")
        ranges = _split_ranges(body[negated:])
        return lambda one: any(low <= one <= high for low, high in ranges) != negated

    def _refuse(self, what: str) -> InvalidInputError:
        return InvalidInputError(f"Expression cannot have {what!r} at character {self._place}. {_SUPPORTED}.")


def _split_ranges(body: str) -> list[tuple[str, str]]:
    ranges = []
    while body:
        width = 3 if len(body) >= 3 and body[1] == "-" else 1
        ranges.append((body[0], body[width - 1]))
        body = body[width:]
    return ranges
