"""Hive's names of types, as the Glue Data Catalog writes them, and Spark's types for them."""

from __future__ import annotations

import re

from pyspark.sql import types as T

from glue_ml.errors import InputError

_PLAIN: dict[str, T.DataType] = {
    "string": T.StringType(),
    "char": T.StringType(),
    "varchar": T.StringType(),
    "boolean": T.BooleanType(),
    "tinyint": T.ByteType(),
    "byte": T.ByteType(),
    "smallint": T.ShortType(),
    "short": T.ShortType(),
    "int": T.IntegerType(),
    "integer": T.IntegerType(),
    "bigint": T.LongType(),
    "long": T.LongType(),
    "float": T.FloatType(),
    "real": T.FloatType(),
    "double": T.DoubleType(),
    "double precision": T.DoubleType(),
    "decimal": T.DecimalType(10, 0),
    "numeric": T.DecimalType(10, 0),
    "date": T.DateType(),
    "timestamp": T.TimestampType(),
    "timestamp with local time zone": T.TimestampType(),
    "binary": T.BinaryType(),
}
_SIZED = re.compile(r"(char|varchar)\s*\(\s*\d+\s*\)")
_DECIMAL = re.compile(r"(?:decimal|numeric)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")
_NESTED = re.compile(r"(array|map|struct)\s*<(.*)>", re.DOTALL | re.IGNORECASE)


def parse_type(text: str) -> T.DataType:
    """Spark's type for a Hive type such as `decimal(10,2)` or `array<struct<a:int,b:string>>`.

    char and varchar become string. Raises InputError for what is no such type.
    """
    wanted = text.strip()
    plain = " ".join(wanted.lower().split())
    if plain in _PLAIN:
        return _PLAIN[plain]
    if _SIZED.fullmatch(plain):
        return T.StringType()
    if found := _DECIMAL.fullmatch(plain):
        return _make_decimal(text, precision=int(found[1]), scale=int(found[2] or 0))
    if found := _NESTED.fullmatch(wanted):
        return _parse_nested(text, kind=found[1].lower(), parts=_split_parts(found[2]))
    raise InputError(f"{text!r} is no Hive type; use one such as string, bigint, decimal(10,2) or date")


def _make_decimal(text: str, *, precision: int, scale: int) -> T.DecimalType:
    if not 1 <= precision <= 38 or scale > precision:
        raise InputError(f"{text!r} is no decimal type: the precision is 1 to 38, the scale 0 to the precision")
    return T.DecimalType(precision, scale)


def _parse_nested(text: str, *, kind: str, parts: list[str]) -> T.DataType:
    if kind == "array" and len(parts) == 1:
        return T.ArrayType(parse_type(parts[0]))
    if kind == "map" and len(parts) == 2:
        return T.MapType(parse_type(parts[0]), parse_type(parts[1]))
    if kind == "struct" and all(":" in part for part in parts):
        pairs = [part.split(":", 1) for part in parts]
        return T.StructType([T.StructField(name.strip().strip("`"), parse_type(inner)) for name, inner in pairs])
    raise InputError(f"{text!r} is not a complete {kind} type; write array<T>, map<K,V> or struct<name:T,...>")


def _split_parts(text: str) -> list[str]:
    """The parts of a nested type: split at the commas that are in no bracket."""
    parts, depth, start = [], 0, 0
    for at, character in enumerate(text):
        depth += (character in "<(") - (character in ">)")
        if character == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]
