"""Requests made from botocore's model: valid ones, ones with one constraint broken, and garbage."""

from __future__ import annotations

from typing import Any

from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape
from hypothesis import strategies as st

from glue_ml.protocol.model import compile_pattern

_DEPTH = 5  #: Deeper structures are left empty: catalog shapes contain each other.
_MOST = 3  #: Members of a list or a map, where the shape allows them.
_LONGEST = 40  #: Characters of a text, where the shape allows them.
_NUMBERS = {"integer": 2**31 - 1, "long": 2**63 - 1, "float": 1e6, "double": 1e6}

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def valid(shape: Shape, depth: int = 0) -> st.SearchStrategy[Any]:
    """JSON that keeps every constraint of the shape."""
    if isinstance(shape, StructureShape):
        return _structure(shape, depth)
    if isinstance(shape, ListShape):
        return st.lists(valid(shape.member, depth + 1), min_size=_least(shape), max_size=_most(shape, _MOST))
    if isinstance(shape, MapShape):
        keys, values = valid(shape.key, depth + 1), valid(shape.value, depth + 1)
        return st.dictionaries(keys, values, min_size=_least(shape), max_size=_most(shape, _MOST))
    if isinstance(shape, StringShape):
        return _text(shape)
    return _scalar(shape)


def near_valid(shape: StructureShape) -> st.SearchStrategy[Any]:
    """JSON of which one member, at any depth, breaks one constraint, is missing though required, or of another type."""
    return valid(shape).flatmap(lambda members: _break_one(shape, members))


def garbage() -> st.SearchStrategy[Any]:
    """JSON of any kind."""
    return JSON


def _structure(shape: StructureShape, depth: int) -> st.SearchStrategy[Any]:
    needed = {
        name: valid(member, depth + 1) for name, member in shape.members.items() if name in shape.required_members
    }
    others = {
        name: valid(member, depth + 1)
        for name, member in shape.members.items()
        if name not in shape.required_members and depth < _DEPTH
    }
    if shape.is_tagged_union:
        return st.sampled_from(sorted(others)).flatmap(lambda name: st.fixed_dictionaries({name: others[name]}))
    return st.fixed_dictionaries(needed, optional=others)


def _text(shape: StringShape) -> st.SearchStrategy[str]:
    if shape.metadata.get("enum"):
        return st.sampled_from(shape.metadata["enum"])
    least, most = _least(shape), _most(shape, _LONGEST)
    pattern = shape.metadata.get("pattern")
    plain = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), min_size=least, max_size=most)
    if pattern is None:
        return plain
    choices = plain | st.sampled_from(
        ["1.0", "0.9", "arn:aws:glue:us-east-1:000000000000:mlTransform/tfm-1", "a" * max(1, least)]
    )
    return choices.filter(lambda text: least <= len(text) <= max(most, 80) and _fits(pattern, text))


def _fits(pattern: str, text: str) -> bool:
    return compile_pattern(pattern).fullmatch(text) is not None


def _scalar(shape: Shape) -> st.SearchStrategy[Any]:
    kind = shape.type_name
    if kind == "boolean":
        return st.booleans()
    if kind == "timestamp":
        return st.integers(0, 4_000_000_000) | st.floats(0, 4e9)
    if kind == "blob":
        return st.just("YWJj")
    least = shape.metadata.get("min", 0)
    most = shape.metadata.get("max", _NUMBERS[kind])
    return st.integers(int(least), int(most)) if kind in ("integer", "long") else st.floats(least, most)


def _break_one(shape: StructureShape, members: dict[str, Any]) -> st.SearchStrategy[Any]:
    names = [name for name, member in shape.members.items() if not _is_document(member)]
    if not names:
        return st.just([members])
    change = st.sampled_from(sorted(names)).flatmap(
        lambda name: _break_any(shape.members[name], members.get(name)).map(lambda value: {**members, name: value})
    )
    if not shape.required_members:
        return change
    without = st.sampled_from(sorted(shape.required_members)).flatmap(
        lambda name: st.sampled_from([{**members, name: None}, {k: v for k, v in members.items() if k != name}])
    )
    return change | without


def _is_document(shape: Shape) -> bool:
    """Whether it takes any JSON, so that nothing breaks it."""
    return isinstance(shape, StructureShape) and shape.is_document_type


def _break_any(shape: Shape, value: Any) -> st.SearchStrategy[Any]:
    """The value with something broken inside it, or another one in its place."""
    inside: list[st.SearchStrategy[Any]] = []
    if isinstance(shape, StructureShape) and value is not None:
        inside.append(_break_one(shape, value))
    elif isinstance(shape, ListShape) and value and not _is_document(shape.member):
        inside.append(_break_any(shape.member, value[-1]).map(lambda one: [*value[:-1], one]))
    elif isinstance(shape, MapShape) and value and not _is_document(shape.value):
        key = next(iter(value))
        inside.append(_break_any(shape.value, value[key]).map(lambda one: {**value, key: one}))
        if _is_short(shape.key):
            inside.append(st.just({**value, "x" * (shape.key.metadata["max"] + 1): value[key]}))
    return st.one_of([*inside, _break(shape)])


def _is_short(shape: Shape) -> bool:
    return int(shape.metadata.get("max", 20_000)) < 20_000


def _break(shape: Shape) -> st.SearchStrategy[Any]:
    """A value that the shape does not take, whatever its type."""
    other: Any = [True] if shape.type_name in ("structure", "map", "string") else "text"
    broken: list[st.SearchStrategy[Any]] = [st.just(other)]
    if shape.type_name in ("string", "list", "map", "blob"):
        broken += _break_length(shape)
    elif shape.type_name in _NUMBERS:
        broken += [
            st.just(shape.metadata[edge] + step) for edge, step in (("min", -1), ("max", 1)) if edge in shape.metadata
        ]
    if shape.metadata.get("enum"):
        broken.append(st.just("NO_SUCH_VALUE"))
    if "pattern" in shape.metadata and not _fits(shape.metadata["pattern"], "\x07"):
        broken.append(st.just("\x07"))
    return st.one_of(broken)


def _break_length(shape: Shape) -> list[st.SearchStrategy[Any]]:
    found: list[st.SearchStrategy[Any]] = []
    least, most = _least(shape), shape.metadata.get("max")
    if shape.type_name == "string":
        found += [st.just("")] if least else []
        found += [st.just("x" * (most + 1))] if most is not None and most < 20_000 else []
    if shape.type_name == "list":
        found += [st.just([])] if least else []
        found += [st.just(["x"] * (most + 1))] if most is not None and most < 2_000 else []
    if shape.type_name == "map":
        found += [st.just({})] if least else []
        found += [st.just({f"k{n}": "v" for n in range(most + 1)})] if most is not None and most < 2_000 else []
    return found


def _least(shape: Shape) -> int:
    return int(shape.metadata.get("min", 0))


def _most(shape: Shape, most: int) -> int:
    return max(_least(shape), min(most, int(shape.metadata.get("max", most))))
