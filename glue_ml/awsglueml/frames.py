"""The frames that scripts hand over: Spark's DataFrames, and DynamicFrames or what else has `toDF` and `fromDF`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from glue_ml.errors import InputError
from glue_ml.matching.table import quote

Frame = TypeVar("Frame")


def unwrap_frame(frame: object, *, subject: str) -> DataFrame:
    """The frame's DataFrame; `subject` names it in the message of the InputError for what is no frame."""
    if isinstance(frame, DataFrame):
        return frame
    convert = getattr(frame, "toDF", None)
    df = convert() if callable(convert) and hasattr(type(frame), "fromDF") else None
    if not isinstance(df, DataFrame):
        raise InputError(f"{subject} is a {type(frame).__name__}; it must be a DataFrame or a DynamicFrame")
    return df


def wrap_frame(df: DataFrame, *, like: Frame) -> Frame:
    """`df` as a frame of the class of `like`, with its context and name."""
    if isinstance(like, DataFrame):
        return cast(Frame, df)
    make: Callable[..., Frame] = getattr(type(like), "fromDF")  # noqa: B009 - the type of a frame is not known
    return make(df, getattr(like, "glue_ctx", None), getattr(like, "name", ""))


def name_columns(df: DataFrame, columns: Sequence[str], *, subject: str) -> DataFrame:
    """`df` with the names that are `columns` but for their case spelled as there.

    Raises InputError if one is missing; `subject` names the frame in its message.
    """
    present = {name.casefold() for name in df.columns}
    if missing := [name for name in columns if name.casefold() not in present]:
        raise InputError(
            f"{subject} lacks columns of the transform: {', '.join(map(repr, missing))}; it has {sorted(df.columns)}"
        )
    spelled = {name.casefold(): name for name in columns}
    return df.toDF(*(spelled.get(name.casefold(), name) for name in df.columns))


def select_columns(df: DataFrame, columns: Sequence[str]) -> DataFrame:
    """The columns of those names, whatever characters these hold."""
    return df.select(*(F.col(quote(name)) for name in columns))
