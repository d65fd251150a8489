"""The filter of GetPartitions: an SQL condition on partition keys, read by hand, as it comes from anybody.

    condition  = conjunction {OR conjunction}
    conjunction = negation {AND negation}
    negation   = [NOT] ( "(" condition ")" | comparison )
    comparison = operand ( (= | == | <> | != | < | <= | > | >=) operand | IS [NOT] NULL
               | [NOT] ( IN "(" literal {, literal} ")" | BETWEEN operand AND operand | LIKE text ) )
    operand    = key | [+ | -] number | 'text' | DATE 'text' | TIMESTAMP 'text' | TRUE | FALSE

A comparison is of the key's own type, and unknown where a value is null or not of that type, as in SQL.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from glue_ml.errors import InvalidInputError
from glue_ml.operations.columns import NULL, Read, Value, find_reader, read_number
from glue_ml.operations.patterns import matches, parse_like

MAX_DEPTH = 50  #: Of parentheses and NOT within one another.

Row = Sequence[str]  #: The values of a partition, in the order of the keys.
Predicate = Callable[[Row], bool | None]  #: None: unknown.
Compare = Callable[[Value, Value], bool]

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![A-Za-z_0-9]))
      | (?P<text>'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`)
      | (?P<word>[^\W\d][\w$]*)
      | (?P<sign><>|!=|<=|>=|==|[=<>(),+-])""",
    re.VERBOSE,
)
_COMPARISONS: Mapping[str, Compare] = {
    "=": operator.eq, "==": operator.eq, "<>": operator.ne, "!=": operator.ne,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_RESERVED = frozenset({"and", "or", "not", "in", "between", "like", "is", "null"})


def parse_expression(expression: str, keys: Sequence[tuple[str, str]]) -> Predicate:
    """What an Expression says of partitions with these (name, Hive type) keys.

    Raises InvalidInputError that says at which character it cannot be understood, and what was expected there.
    """
    parser = _Parser(expression, keys)
    predicate = parser.read_condition()
    parser.expect_end()
    return predicate


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    place: int  #: Of its first character, counted from 1.

    @property
    def word(self) -> str:
        """The token as a keyword or a sign."""
        return self.text.lower() if self.kind in ("word", "sign") else ""


@dataclass(frozen=True)
class _Operand:
    """A key by its index, or a literal text, with the type that it has by itself."""

    place: int
    read: Read | None
    index: int | None = None
    text: str = ""


class _Parser:
    def __init__(self, expression: str, keys: Sequence[tuple[str, str]]) -> None:
        self._expression = expression
        self._keys = {name.lower(): (index, find_reader(kind)) for index, (name, kind) in enumerate(keys)}
        self._tokens = self._split()
        self._next = 0
        self._depth = 0

    def read_condition(self) -> Predicate:
        parts = [self._read_conjunction()]
        while self._take("or"):
            parts.append(self._read_conjunction())
        return parts[0] if len(parts) == 1 else lambda row: _any(part(row) for part in parts)

    def expect_end(self) -> None:
        if self._peek().kind != "end":
            raise self._refuse("AND, OR or the end")

    def _read_conjunction(self) -> Predicate:
        parts = [self._read_negation()]
        while self._take("and"):
            parts.append(self._read_negation())
        return parts[0] if len(parts) == 1 else lambda row: _all(part(row) for part in parts)

    def _read_negation(self) -> Predicate:
        negated = False
        while self._take("not"):
            negated = not negated
        predicate = self._read_parenthesis() if self._peek().word == "(" else self._read_comparison()
        return _negate(predicate) if negated else predicate

    def _read_parenthesis(self) -> Predicate:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._refuse(f"at most {MAX_DEPTH} parentheses within one another")
        self._expect("(")
        predicate = self.read_condition()
        self._expect(")")
        self._depth -= 1
        return predicate

    def _read_comparison(self) -> Predicate:
        left = self._read_operand()
        if (compare := _COMPARISONS.get(self._peek().word)) is not None:
            self._next += 1
            return self._compare(left, self._read_operand(), compare)
        if self._take("is"):
            negated = self._take("not")
            self._expect("null")
            return _is_null(left, negated)
        negated = self._take("not")
        predicate = self._read_membership(left)
        return _negate(predicate) if negated else predicate

    def _read_membership(self, left: _Operand) -> Predicate:
        if self._take("in"):
            return self._read_list(left)
        if self._take("between"):
            low = self._compare(left, self._read_operand(), operator.ge)
            self._expect("and")
            high = self._compare(left, self._read_operand(), operator.le)
            return lambda row: _all((low(row), high(row)))
        if self._take("like"):
            return self._read_like(left)
        raise self._refuse("a comparison (=, <>, <, <=, >, >=, IN, BETWEEN, LIKE, IS NULL)")

    def _read_list(self, left: _Operand) -> Predicate:
        self._expect("(")
        parts = [self._compare(left, self._read_operand(), operator.eq)]
        while self._take(","):
            parts.append(self._compare(left, self._read_operand(), operator.eq))
        self._expect(")")
        return lambda row: _any(part(row) for part in parts)

    def _read_like(self, left: _Operand) -> Predicate:
        if self._peek().kind not in ("text", "quoted"):
            raise self._refuse("a text in quotes")
        pattern = parse_like(_unquote(self._pop().text))
        value = _make_getter(left, str)

        def is_like(row: Row) -> bool | None:
            text = value(row)
            return None if text is None else matches(pattern, text)

        return is_like

    def _read_operand(self) -> _Operand:
        token = self._pop()
        if token.word in ("-", "+"):
            if self._peek().kind != "number":
                raise self._refuse("a number")
            number = self._pop()
            return _Operand(token.place, read_number, text=token.text + number.text)
        if token.kind == "number":
            return _Operand(token.place, read_number, text=token.text)
        if token.kind == "text":
            return _Operand(token.place, None, text=_unquote(token.text))
        if token.word in ("true", "false"):
            return _Operand(token.place, find_reader("boolean"), text=token.text)
        if token.word in ("date", "timestamp") and self._peek().kind == "text":
            return _Operand(token.place, find_reader(token.word), text=_unquote(self._pop().text))
        return self._find_key(token)

    def _find_key(self, token: _Token) -> _Operand:
        name = _unquote(token.text) if token.kind == "quoted" else token.text
        if token.kind in ("word", "quoted") and token.word not in _RESERVED and name.lower() in self._keys:
            index, read = self._keys[name.lower()]
            return _Operand(token.place, read, index)
        if token.text.startswith('"'):  # some engines write texts so
            return _Operand(token.place, None, text=name)
        self._next = self._tokens.index(token)
        raise self._refuse(f"a value or one of the partition keys ({', '.join(self._keys) or 'the table has none'})")

    def _compare(self, left: _Operand, right: _Operand, compare: Compare) -> Predicate:
        """A comparison in the type of the key that it is about, or of the literals where there is none."""
        key = next((one for one in (left, right) if one.index is not None), None)
        read = (key.read if key else left.read or right.read) or str
        for operand in (left, right):
            self._check_literal(operand, read)
        one, other = _make_getter(left, read), _make_getter(right, read)

        def decide(row: Row) -> bool | None:
            a, b = one(row), other(row)
            return None if a is None or b is None else compare(a, b)

        return decide

    def _check_literal(self, operand: _Operand, read: Read) -> None:
        if operand.index is not None:
            return
        try:
            read(operand.text)
        except ValueError as error:
            raise InvalidInputError(
                f"Expression compares {operand.text[:100]!r} at character {operand.place} with something of another "
                "type. Give a value of the partition key's type."
            ) from error

    def _split(self) -> list[_Token]:
        tokens, place = [], 0
        while place < len(self._expression):
            found = _TOKEN.match(self._expression, place)
            if found is None:
                shown = self._expression[place : place + 20]
                raise InvalidInputError(f"Expression cannot be understood at character {place + 1}: {shown!r}.")
            if found.lastgroup != "space":
                tokens.append(_Token(str(found.lastgroup), found[0], place + 1))
            place = found.end()
        return [*tokens, _Token("end", "", len(self._expression) + 1)]

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _pop(self) -> _Token:
        token = self._peek()
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _take(self, word: str) -> bool:
        found = self._peek().word == word
        self._next += found
        return found

    def _expect(self, word: str) -> None:
        if not self._take(word):
            raise self._refuse(word.upper())

    def _refuse(self, expected: str) -> InvalidInputError:
        token = self._peek()
        shown = repr(token.text[:100]) if token.text else "the end"
        return InvalidInputError(f"Expression has {shown} at character {token.place}; expected {expected}.")


def _make_getter(operand: _Operand, read: Read) -> Callable[[Row], Any]:
    """How the operand's value is found in a row; None for null and for what is not of the type."""
    if operand.index is None:
        literal = read(operand.text)
        return lambda row: literal
    index = operand.index

    def get(row: Row) -> Any:
        text = row[index] if index < len(row) else NULL
        try:
            return None if text == NULL else read(text)
        except ValueError:
            return None

    return get


def _is_null(operand: _Operand, negated: bool) -> Predicate:
    value = _make_getter(operand, str)
    return lambda row: (value(row) is None) != negated


def _negate(predicate: Predicate) -> Predicate:
    def negated(row: Row) -> bool | None:
        known = predicate(row)
        return None if known is None else not known

    return negated


def _any(parts: Any) -> bool | None:
    unknown = False
    for part in parts:
        if part:
            return True
        unknown = unknown or part is None
    return None if unknown else False


def _all(parts: Any) -> bool | None:
    unknown = False
    for part in parts:
        if part is False:
            return False
        unknown = unknown or part is None
    return None if unknown else True


def _unquote(text: str) -> str:
    mark = text[0]
    return text[1:-1].replace(mark * 2, mark)
