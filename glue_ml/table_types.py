"""Arrow's and Spark's types by the names that Hive, and so the Data Catalog, has for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import types

from glue_ml.errors import InputError

_ARROW: Mapping[pa.DataType, str] = {
    pa.null(): "string",
    pa.bool_(): "boolean",
    pa.int8(): "tinyint",
    pa.int16(): "smallint",
    pa.int32(): "int",
    pa.int64(): "bigint",
    # as Spark reads them: the next larger type with a sign
    pa.uint8(): "smallint",
    pa.uint16(): "int",
    pa.uint32(): "bigint",
    pa.uint64(): "decimal(20,0)",
    pa.float16(): "float",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.string(): "string",
    pa.large_string(): "string",
    pa.binary(): "binary",
    pa.large_binary(): "binary",
    pa.date32(): "date",
    pa.date64(): "date",
}
_SPARK: Mapping[str, str] = {
    "byte": "tinyint",
    "short": "smallint",
    "integer": "int",
    "long": "bigint",
    "timestamp_ntz": "timestamp",
    "void": "string",
    "null": "string",
}
_SAME = {"string", "boolean", "float", "double", "binary", "date", "timestamp"}


def name_arrow_type(field: pa.Field) -> str:
    """The Hive type of a column of Parquet. Raises InputError where there is none."""
    return _name_arrow(field.type, field.name)


def name_spark_type(kind: str | Mapping[str, Any]) -> str:
    """The Hive type of a type in Spark's JSON of a schema, as a Delta log has it. Raises InputError if unknown."""
    if isinstance(kind, str):
        if kind in _SAME or kind.startswith("decimal("):
            return kind.replace(" ", "")
        if kind in _SPARK:
            return _SPARK[kind]
    elif kind["type"] == "array":
        return f"array<{name_spark_type(kind['elementType'])}>"
    elif kind["type"] == "map":
        return f"map<{name_spark_type(kind['keyType'])},{name_spark_type(kind['valueType'])}>"
    elif kind["type"] == "struct":
        return _name_struct([(field["name"], name_spark_type(field["type"])) for field in kind["fields"]])
    raise InputError(f"The catalog has no type for {kind!r}; leave such columns out")


def _name_arrow(kind: pa.DataType, column: str) -> str:
    if kind in _ARROW:
        return _ARROW[kind]
    if types.is_timestamp(kind):
        return "timestamp"
    if types.is_decimal(kind) and kind.scale >= 0 and kind.precision <= 38:
        return f"decimal({kind.precision},{kind.scale})"
    if types.is_dictionary(kind):
        return _name_arrow(kind.value_type, column)
    if types.is_fixed_size_binary(kind):
        return "binary"
    if types.is_map(kind):
        return f"map<{_name_arrow(kind.key_type, column)},{_name_arrow(kind.item_type, column)}>"
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return f"array<{_name_arrow(kind.value_type, column)}>"
    if types.is_struct(kind):
        return _name_struct([(field.name, _name_arrow(field.type, column)) for field in kind])
    raise InputError(f"The column {column!r} is of the type {kind}, for which the catalog has none; leave it out")


def _name_struct(fields: Sequence[tuple[str, str]]) -> str:
    for name, _ in fields:
        if not name or set(name) & set(",:<>`"):
            raise InputError(f"The nested column {name!r} cannot be named in the catalog; rename or flatten it")
    return f"struct<{','.join(f'{name}:{kind}' for name, kind in fields)}>"
