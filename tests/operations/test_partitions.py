"""Partitions of the embedded catalog, and the expressions that select them."""

from __future__ import annotations

import functools
import operator
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glue_ml.errors import AlreadyExistsError, EntityNotFoundError, InvalidInputError
from glue_ml.operations.context import Context, Members
from glue_ml.operations.partition_expressions import MAX_DEPTH, parse_expression
from glue_ml.operations.partitions import (
    batch_create_partition,
    batch_delete_partition,
    batch_get_partition,
    create_partition,
    delete_partition,
    get_partition,
    get_partitions,
    update_partition,
)
from tests.operations.conftest import NOW, MakeContext

MakeTable = Callable[..., Members]
AT = {"DatabaseName": "db", "TableName": "people"}
KEYS = [
    ("year", "int"), ("name", "string"), ("day", "date"), ("at", "timestamp"), ("price", "decimal(10,2)"),
    ("kind", "varchar(10)"), ("size", "bigint"), ("open", "boolean"),
]  # fmt: skip
ROW = ("2026", "O'Neil", "2026-03-04", "2026-03-04 05:06:07.5", "10.50", "a_b", "9000000000", "true")


@pytest.fixture
def table(make_table: MakeTable) -> Members:
    return make_table(keys={"year": "int", "name": "string"})


def create(context: Context, *values: str, **members: Any) -> None:
    create_partition(context, {**AT, "PartitionInput": {"Values": list(values), **members}})


def list_values(context: Context, **asked: Any) -> list[list[str]]:
    return [partition["Values"] for partition in get_partitions(context, {**AT, **asked})["Partitions"]]


@pytest.mark.usefixtures("table")
def test_a_partition_is_told_as_it_was_given(context: Context) -> None:
    seen = datetime(2020, 1, 1, tzinfo=UTC)
    storage = {"Location": "s3://b/x", "Columns": [{"Name": "id", "Type": "string"}]}
    create(context, "2026", "Ä/=\x00", StorageDescriptor=storage, Parameters={"a": "b"}, LastAccessTime=seen)
    told = get_partition(context, {"DatabaseName": "DB", "TableName": "People", "PartitionValues": ["2026", "Ä/=\x00"]})
    assert told["Partition"] == {
        "Values": ["2026", "Ä/=\x00"],
        "StorageDescriptor": storage,
        "Parameters": {"a": "b"},
        "LastAccessTime": seen,
        "DatabaseName": "db",
        "TableName": "people",
        "CreationTime": NOW,
        "CatalogId": "000000000000",
    }
    bare = get_partitions(context, {**AT, "ExcludeColumnSchema": True})["Partitions"][0]
    assert bare["StorageDescriptor"] == {"Location": "s3://b/x"}


@pytest.mark.usefixtures("table")
def test_the_values_must_be_as_many_as_the_keys(context: Context) -> None:
    for values in ((), ("2026",), ("2026", "a", "b")):
        with pytest.raises(
            InvalidInputError, match=r"number of partition keys do not match .*people has 2 \(year, name"
        ):
            create(context, *values)


@pytest.mark.usefixtures("table")
def test_values_in_use_are_refused(context: Context) -> None:
    create(context, "2026", "a")
    with pytest.raises(AlreadyExistsError, match="Partition already exists"):
        create(context, "2026", "a")


@pytest.mark.usefixtures("table")
def test_what_is_missing_is_named(context: Context) -> None:
    for operation in (get_partition, delete_partition):
        with pytest.raises(EntityNotFoundError, match=r"Partition .*'b'.* not found"):
            operation(context, {**AT, "PartitionValues": ["2026", "b"]})
        with pytest.raises(EntityNotFoundError, match="Table none"):
            operation(context, {**AT, "TableName": "none", "PartitionValues": ["2026", "b"]})
    with pytest.raises(EntityNotFoundError, match="Database none"):
        get_partitions(context, {**AT, "DatabaseName": "none"})
    with pytest.raises(EntityNotFoundError, match="Catalog 1"):
        get_partitions(context, {**AT, "CatalogId": "1"})


@pytest.mark.usefixtures("table")
def test_a_batch_makes_what_it_can_and_tells_the_rest(context: Context) -> None:
    create(context, "2026", "a")
    inputs = [{"Values": values} for values in (["2026", "a"], ["2026", "b"], ["2026"], ["2026", "b"])]
    errors = batch_create_partition(context, {**AT, "PartitionInputList": [*inputs, {}]})["Errors"]
    told = [(error["PartitionValues"], error["ErrorDetail"]["ErrorCode"]) for error in errors]
    assert told == [
        (["2026", "a"], "AlreadyExistsException"),
        (["2026"], "InvalidInputException"),
        (["2026", "b"], "AlreadyExistsException"),
        ([], "InvalidInputException"),
    ]
    assert list_values(context) == [["2026", "a"], ["2026", "b"]]
    assert batch_create_partition(context, {**AT, "PartitionInputList": []}) == {"Errors": []}


@pytest.mark.usefixtures("table")
def test_a_batch_gets_those_that_there_are_in_the_order_asked(context: Context) -> None:
    create(context, "1", "a")
    create(context, "2", "b")
    asked = [{"Values": values} for values in (["2", "b"], ["3", "c"], ["1", "a"], ["2", "b"])]
    answer = batch_get_partition(context, {**AT, "PartitionsToGet": asked})
    assert [partition["Values"] for partition in answer["Partitions"]] == [["2", "b"], ["1", "a"]]
    assert answer["UnprocessedKeys"] == []


@pytest.mark.usefixtures("table")
def test_a_batch_deletes_those_that_there_are(context: Context) -> None:
    create(context, "1", "a")
    create(context, "2", "b")
    asked = [{"Values": ["1", "a"]}, {"Values": ["3", "c"]}]
    errors = batch_delete_partition(context, {**AT, "PartitionsToDelete": asked})["Errors"]
    assert [(error["PartitionValues"], error["ErrorDetail"]["ErrorCode"]) for error in errors] == [
        (["3", "c"], "EntityNotFoundException")
    ]
    delete_partition(context, {**AT, "PartitionValues": ["2", "b"]})
    assert list_values(context) == []


@pytest.mark.usefixtures("table")
def test_an_update_may_change_the_values_too(make_context: MakeContext) -> None:
    context = make_context()
    create(context, "1", "a", Parameters={"old": "1"})
    create(context, "2", "b")
    later = make_context(now=NOW + timedelta(days=1))
    change = {**AT, "PartitionValueList": ["1", "a"]}
    update_partition(later, {**change, "PartitionInput": {"Parameters": {"new": "1"}}})
    told = get_partition(later, {**AT, "PartitionValues": ["1", "a"]})["Partition"]
    assert (told["Parameters"], told["CreationTime"]) == ({"new": "1"}, NOW)
    with pytest.raises(InvalidInputError, match="already exists"):
        update_partition(later, {**change, "PartitionInput": {"Values": ["2", "b"]}})
    update_partition(later, {**change, "PartitionInput": {"Values": ["3", "c"]}})
    assert list_values(later) == [["2", "b"], ["3", "c"]]
    with pytest.raises(EntityNotFoundError, match="not found"):
        update_partition(later, {**change, "PartitionInput": {"Values": ["4", "d"]}})


@pytest.mark.usefixtures("table")
def test_partitions_are_listed_in_pages_that_an_expression_selects(context: Context) -> None:
    inputs = [{"Values": [str(2000 + i), "even" if i % 2 == 0 else "odd"]} for i in range(7)]
    batch_create_partition(context, {**AT, "PartitionInputList": inputs})
    asked: dict[str, Any] = {**AT, "Expression": "name = 'even' AND year > 2000", "MaxResults": 2}
    first = get_partitions(context, asked)
    second = get_partitions(context, {**asked, "NextToken": first["NextToken"]})
    assert [one["Values"][0] for one in first["Partitions"]] == ["2002", "2004"]
    assert [one["Values"][0] for one in second["Partitions"]] == ["2006"]
    assert second["NextToken"] is None
    assert len(list_values(context, Expression=" ")) == 7
    with pytest.raises(InvalidInputError, match="NextToken"):
        get_partitions(context, {**AT, "NextToken": first["NextToken"]})


@pytest.mark.usefixtures("table")
def test_segments_divide_the_partitions(context: Context) -> None:
    inputs = [{"Values": [str(i), "a"]} for i in range(40)]
    batch_create_partition(context, {**AT, "PartitionInputList": inputs})
    parts = [list_values(context, Segment={"SegmentNumber": i, "TotalSegments": 3}) for i in range(3)]
    assert all(parts)
    assert sorted(functools.reduce(operator.iadd, parts, [])) == list_values(context)
    with pytest.raises(InvalidInputError, match="SegmentNumber is 3"):
        list_values(context, Segment={"SegmentNumber": 3, "TotalSegments": 3})


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("year = 2026", True),
        ("year == '2026'", True),
        ("YEAR<>2026", False),
        ("year != 2025.5", True),
        ("2025 < year", True),
        ("year >= -1 and year <= +3000", True),
        ("year > 100000000000000000000000", False),
        ("year > 300", True),  # as a number, not as a text
        ("size > 9", True),
        ("name = 'O''Neil'", True),
        ('name = "O\'Neil"', True),
        ("`name` LIKE 'O%l'", True),
        ("\"name\" LIKE 'O_l'", False),
        ("name NOT LIKE '%x%'", True),
        ("kind LIKE 'a\\_b' AND kind LIKE 'a_b' AND NOT kind LIKE 'a\\%b'", True),
        ("day = '2026-03-04'", True),
        ("day > date '2025-12-31'", True),
        ("day BETWEEN '2026-03-01' AND '2026-03-04'", True),
        ("day NOT BETWEEN '2026-03-01' AND '2026-03-04'", False),
        ("at > '2026-03-04 05:06:07'", True),
        ("at < timestamp '2026-03-05'", True),
        ("at = '2026-03-04T05:06:07.500'", True),
        ("price = 10.5", True),
        ("price IN (1, 2.0, 1.05e1)", True),
        ("price NOT IN (1, 2)", True),
        ("year in (2025, 2026) or name = 'x'", True),
        ("not (year = 2026)", False),
        ("NOT NOT year = 2026", True),
        ("year = 1 or year = 2026 and name = 'x'", False),  # AND binds closer
        ("(year = 1 or year = 2026) and open = true", True),
        ("open = 'FALSE'", False),
        ("name IS NOT NULL and not name is null", True),
        ("1 = 1", True),
        ("'a' = 'b'", False),
        ("year = size", False),
        (" \r\n\tyear\n=\t2026 ", True),
    ],
)
def test_an_expression_is_understood(expression: str, expected: bool) -> None:
    assert parse_expression(expression, KEYS)(ROW) is expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("year = 1", None),
        ("year <> 1", None),
        ("not year = 1", None),
        ("year is null", True),
        ("year = 1 or name = 'a'", True),
        ("year = 1 and name = 'b'", False),
        ("year = 1 and name = 'a'", None),
        ("year in (1, 2)", None),
        ("day = '2026-01-01'", None),  # its value is no date
        ("day is not null", True),
        ("year like '%'", None),
    ],
)
def test_what_is_null_is_unknown(expression: str, expected: bool | None) -> None:
    keys = [("year", "int"), ("name", "string"), ("day", "date")]
    assert parse_expression(expression, keys)(("__HIVE_DEFAULT_PARTITION__", "a", "someday")) is expected


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("", "the end at character 1"),
        ("year", "the end at character 5; expected a comparison"),
        ("year =", "the end at character 7; expected a value or one of the partition keys"),
        ("age = 1", r"'age' at character 1; expected a value or one of the partition keys \(year, name"),
        ("year = 1 name = 'a'", "'name' at character 10; expected AND, OR or the end"),
        ("(year = 1", r"the end at character 10; expected \)"),
        ("year = 1)", r"'\)' at character 9"),
        ("year in 1", r"'1' at character 9; expected \("),
        ("year in ()", r"'\)' at character 10"),
        ("year between 1 or 2", "'or' at character 16; expected AND"),
        ("name like 5", "'5' at character 11; expected a text"),
        ("year = 'abc'", "'abc' at character 8"),
        ("day > '2026-02-30'", "'2026-02-30' at character 7"),
        ("price = 'NaN'", "'NaN'"),
        ("name = 'a", 'at character 8: "\'a"'),
        ("year = 1; drop table x", "at character 9: '; drop"),
        ("year = - name", "'name' at character 10; expected a number"),
        ("year is not", "expected NULL"),
        ("not", "the end at character 4"),
        ("year = 12abc", "at character 8"),
        ("year = 1 and and", "'and' at character 14"),
    ],
)
def test_an_expression_that_is_wrong_is_refused_with_its_place(expression: str, told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        parse_expression(expression, KEYS)


def test_parentheses_are_bounded() -> None:
    def nest(depth: int) -> str:
        return "(" * depth + "year = 2026" + ")" * depth

    assert parse_expression(nest(MAX_DEPTH), KEYS)(ROW) is True
    for expression in (nest(MAX_DEPTH + 1), "(" * 2000):
        with pytest.raises(InvalidInputError, match=f"at most {MAX_DEPTH} parentheses"):
            parse_expression(expression, KEYS)


def test_a_long_chain_needs_no_depth() -> None:
    assert parse_expression("NOT " * 400 + "year = 2026", KEYS)(ROW) is True
    assert parse_expression(" or ".join(["year = 1"] * 150 + ["year = 2026"]), KEYS)(ROW) is True
    assert parse_expression(" and ".join(["year = 2026"] * 150), KEYS)(ROW) is True


@pytest.mark.usefixtures("table")
def test_a_wrong_expression_is_told_by_the_operation(context: Context) -> None:
    with pytest.raises(InvalidInputError, match="at character 1"):
        list_values(context, Expression="nonsense")


_WORDS = st.sampled_from(
    ["year", "name", "and", "or", "not", "in", "between", "like", "is", "null", "(", ")", ",", "=", "<>", "<=", "'a'",
     "'", '"', "`", "1", "-1", "1e9", ".5", "date", "'2026-01-01'", "true", "%", "\\", "\u0660", "\u00e9"]
)  # fmt: skip


@given(st.lists(_WORDS | st.text(max_size=3), max_size=12), st.sampled_from(["", " "]))
def test_whatever_is_written_is_understood_or_refused(words: list[str], between: str) -> None:
    try:
        predicate = parse_expression(between.join(words), KEYS)
    except InvalidInputError:
        return
    assert predicate(ROW) in (True, False, None)


_NUMBERS = st.integers(-3, 3).map(str)
_TEXTS = st.text("ab%_", max_size=2).map(lambda text: f"'{text}'")
_SIGNS = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
_COMPARISONS = st.one_of(
    st.tuples(st.just("year"), _SIGNS, _NUMBERS).map(" ".join),
    st.tuples(st.just("name"), _SIGNS, _TEXTS).map(" ".join),
    st.tuples(st.sampled_from(["name LIKE", "name NOT LIKE"]), _TEXTS).map(" ".join),
    st.tuples(_NUMBERS, _NUMBERS).map(lambda bounds: f"year BETWEEN {bounds[0]} AND {bounds[1]}"),
    st.lists(_NUMBERS, min_size=1, max_size=3).map(lambda numbers: f"year NOT IN ({', '.join(numbers)})"),
    st.sampled_from(["year IS NULL", "name IS NOT NULL"]),
)
_CONDITIONS = st.recursive(
    _COMPARISONS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(" ".join),
        inner.map(lambda condition: f"NOT ({condition})"),
        inner.map(lambda condition: f"({condition})"),
    ),
    max_leaves=6,
)


@given(_CONDITIONS, st.none() | st.integers(-3, 3), st.none() | st.text("ab%_", max_size=3))
def test_an_expression_means_what_a_database_says_it_means(condition: str, year: int | None, name: str | None) -> None:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("PRAGMA case_sensitive_like = ON")
        query = f"SELECT {condition} FROM (SELECT CAST(? AS INTEGER) AS year, ? AS name)"
        (expected,) = connection.execute(query, (year, name)).fetchone()
    connection.close()
    row = ["__HIVE_DEFAULT_PARTITION__" if value is None else str(value) for value in (year, name)]
    found = parse_expression(condition, [("year", "int"), ("name", "string")])(row)
    assert found == (None if expected is None else bool(expected))
