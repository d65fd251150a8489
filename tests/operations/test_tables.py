"""Tables of the embedded catalog."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glue_ml.errors import AlreadyExistsError, ConcurrentModificationError, EntityNotFoundError, InvalidInputError
from glue_ml.operations.context import Context, Members
from glue_ml.operations.databases import create_database
from glue_ml.operations.patterns import matches, parse_like, parse_name_pattern
from glue_ml.operations.tables import (
    batch_delete_table,
    create_table,
    delete_table,
    find_table,
    get_partition_indexes,
    get_table,
    get_tables,
    update_table,
)
from tests.operations.conftest import NOW, MakeContext

MakeTable = Callable[..., Members]
AT = {"DatabaseName": "db", "Name": "people"}
#: What Terraform makes for a transform's table in its own tests.
VIEW: dict[str, Any] = {
    "Name": "my_catalog_table",
    "Owner": "my_owner",
    "Retention": 1,
    "TableType": "VIRTUAL_VIEW",
    "ViewExpandedText": "view_expanded_text_1",
    "ViewOriginalText": "view_original_text_1",
    "Parameters": {"param1": "param1_val"},
    "PartitionKeys": [
        {"Name": "my_column_1", "Type": "int", "Comment": "my_column_1_comment"},
        {"Name": "my_column_2", "Type": "string", "Comment": "my_column_2_comment"},
    ],
    "StorageDescriptor": {
        "BucketColumns": ["bucket_column_1"],
        "Columns": [
            {"Name": "my_column_1", "Type": "int", "Comment": "my_column1_comment"},
            {"Name": "my_column_2", "Type": "string", "Comment": "my_column2_comment"},
        ],
        "Compressed": False,
        "InputFormat": "SequenceFileInputFormat",
        "Location": "my_location",
        "NumberOfBuckets": 1,
        "OutputFormat": "SequenceFileInputFormat",
        "SerdeInfo": {"Name": "ser_de_name", "SerializationLibrary": "org.apache.hadoop.hive.serde2.columnar.X"},
        "SkewedInfo": {"SkewedColumnNames": ["my_column_1"], "SkewedColumnValues": ["my_column_1_val_1"]},
        "SortColumns": [{"Column": "my_column_1", "SortOrder": 1}],
        "StoredAsSubDirectories": False,
    },
}


def test_a_table_is_told_member_for_member(context: Context) -> None:
    create_database(context, {"DatabaseInput": {"Name": "db"}})
    seen = datetime(2020, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    given = {**VIEW, "LastAccessTime": seen, "LastAnalyzedTime": seen}
    create_table(context, {"DatabaseName": "DB", "TableInput": given})
    assert get_table(context, {"DatabaseName": "db", "Name": "My_Catalog_Table"})["Table"] == {
        **given,
        "DatabaseName": "db",
        "CreateTime": NOW,
        "UpdateTime": NOW,
        "CatalogId": "000000000000",
        "IsRegisteredWithLakeFormation": False,
        "VersionId": "0",
    }


def test_a_bare_table_has_no_keys_and_no_retention(context: Context) -> None:
    create_database(context, {"DatabaseInput": {"Name": "db"}})
    create_table(context, {"DatabaseName": "db", "TableInput": {"Name": "People"}})
    table = get_table(context, AT)["Table"]
    assert (table["Name"], table["PartitionKeys"], table["Retention"]) == ("people", [], 0)


def test_a_name_in_use_is_refused(make_table: MakeTable) -> None:
    make_table()
    with pytest.raises(AlreadyExistsError, match="Table already exists"):
        make_table("PEOPLE")


def test_what_is_missing_is_named(context: Context, make_table: MakeTable) -> None:
    with pytest.raises(EntityNotFoundError, match=r"Database db not found\."):
        create_table(context, {"DatabaseName": "db", "TableInput": {"Name": "people"}})
    with pytest.raises(EntityNotFoundError, match=r"Database db not found\."):
        get_table(context, AT)
    with pytest.raises(EntityNotFoundError, match=r"Database db not found\."):
        get_tables(context, {"DatabaseName": "db"})
    make_table("other")
    for operation in (get_table, delete_table):
        with pytest.raises(EntityNotFoundError, match=r"Table people not found\."):
            operation(context, AT)
    with pytest.raises(EntityNotFoundError, match=r"Catalog 1 not found"):
        get_table(context, {"CatalogId": "1", **AT})


def test_a_table_without_an_input_is_refused(context: Context, make_table: MakeTable) -> None:
    make_table()
    for operation in (create_table, update_table):
        with pytest.raises(InvalidInputError, match="TableInput is missing"):
            operation(context, {"DatabaseName": "db", "Name": "t"})
        with pytest.raises(InvalidInputError, match="must be the same"):
            operation(context, {"DatabaseName": "db", "Name": "t", "TableInput": {"Name": "u"}})


def test_an_update_makes_the_next_version(make_context: MakeContext, make_table: MakeTable) -> None:
    make_table(Description="old")
    later = make_context(now=NOW + timedelta(minutes=5))
    update_table(later, {"DatabaseName": "db", "TableInput": {"Name": "People", "Owner": "me"}, "VersionId": "0"})
    table = get_table(later, AT)["Table"]
    assert (table["VersionId"], table["Owner"], table["CreateTime"]) == ("1", "me", NOW)
    assert table["UpdateTime"] == NOW + timedelta(minutes=5)
    assert "Description" not in table
    with pytest.raises(ConcurrentModificationError, match="has the version 1, and not 0"):
        update_table(later, {"DatabaseName": "db", "TableInput": {"Name": "people"}, "VersionId": "0"})


def test_a_table_that_is_not_there_cannot_be_updated(context: Context, make_table: MakeTable) -> None:
    make_table("other")
    with pytest.raises(EntityNotFoundError, match="Table people"):
        update_table(context, {"DatabaseName": "db", "TableInput": {"Name": "people"}})


def test_many_tables_are_deleted_and_those_that_are_not_there_told(context: Context, make_table: MakeTable) -> None:
    make_table("a")
    make_table("b")
    answer = batch_delete_table(context, {"DatabaseName": "db", "TablesToDelete": ["A", "None", "b"]})
    assert answer["Errors"] == [
        {
            "TableName": "None",
            "ErrorDetail": {"ErrorCode": "EntityNotFoundException", "ErrorMessage": "Table none not found."},
        }
    ]
    assert get_tables(context, {"DatabaseName": "db"})["TableList"] == []


def test_tables_are_listed_by_name_in_pages(context: Context, make_table: MakeTable) -> None:
    for name in ("c", "a", "x_b", "b", "x_a"):
        make_table(name)
    told, token = [], None
    while True:
        page = get_tables(context, {"DatabaseName": "db", "MaxResults": 2} | ({"NextToken": token} if token else {}))
        told.append([table["Name"] for table in page["TableList"]])
        if (token := page["NextToken"]) is None:
            break
    assert told == [["a", "b"], ["c", "x_a"], ["x_b"]]
    page = get_tables(context, {"DatabaseName": "db", "Expression": "X_*", "MaxResults": 1})
    assert [table["Name"] for table in page["TableList"]] == ["x_a"]
    again = {"DatabaseName": "db", "MaxResults": 1, "NextToken": page["NextToken"]}
    rest = get_tables(context, {**again, "Expression": "X_*"})
    assert ([table["Name"] for table in rest["TableList"]], rest["NextToken"]) == (["x_b"], None)
    with pytest.raises(InvalidInputError, match="another"):
        get_tables(context, again)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("people", ["people", "People"], ["people2", "a_people"]),
        ("people*", ["people", "people_2"], ["my_people"]),
        ("people.*", ["people", "people_2"], ["my_people"]),
        ("*ople", ["people"], ["peoples"]),
        ("*eo*", ["people", "eo"], ["poeple"]),
        ("^people$", ["people"], ["people_"]),
        ("a|b*|^c$", ["a", "b", "b1", "c"], ["a1", "c1", ""]),
        ("p.ople", ["people"], ["pople", "peeople"]),
        ("t_[0-9]+", ["t_0", "t_2026"], ["t_", "t_x"]),
        ("t_[^a-c]", ["t_d"], ["t_a", "t_"]),
        ("t[_-]?x", ["tx", "t_x", "t-x"], ["t__x"]),
        (r"t\d*", ["t", "t12"], ["tx"]),
        (r"a\.b", ["a.b"], ["axb"]),
        (r"\w+\s\w", ["ab c"], ["abc"]),
        ("a+", ["a", "aaa"], ["", "b"]),
        (".+", ["a"], [""]),
    ],
)
def test_a_pattern_of_names_is_understood(pattern: str, yes: list[str], no: list[str]) -> None:
    parsed = parse_name_pattern(pattern)
    assert [name for name in yes if not matches(parsed, name.lower())] == []
    assert [name for name in no if matches(parsed, name.lower())] == []


@pytest.mark.parametrize(
    ("pattern", "place"),
    [("(a)", 1), ("ab{2}", 3), ("a[b", 2), ("+", 1), ("a|?", 3), (r"\b", 2), ("a$b", 2), ("[[a]]", 1), ("\\", 2)],
)
def test_a_pattern_that_is_not_supported_is_refused(pattern: str, place: int) -> None:
    with pytest.raises(InvalidInputError, match=rf"at character {place}\. Use letters, \* for any text"):
        parse_name_pattern(pattern)


@pytest.mark.parametrize("pattern", ["*a" * 150, ".*.*.*.*.*.*.*.*b" * 9, "[ab]*" * 300])
def test_a_hostile_pattern_costs_no_more_than_its_length(pattern: str) -> None:
    assert not matches(parse_name_pattern(pattern), "a" * 254 + "c")


def test_a_pattern_that_would_cost_too_much_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="more than 300"):
        parse_name_pattern("?*".replace("?", "a") * 151)
    with pytest.raises(InvalidInputError, match="more than 300"):
        parse_like("a%" * 151)
    assert matches(parse_name_pattern("|".join(f"table_{i}" for i in range(200))), "table_199")


def test_a_like_pattern_is_understood() -> None:
    parsed = parse_like(r"a%b_c\%")
    assert matches(parsed, "axxbxc%")
    assert not matches(parsed, "axxbxcd")
    assert not matches(parsed, "A%b_c%")


def test_partition_indexes_are_told_with_the_types_of_their_keys(context: Context, make_table: MakeTable) -> None:
    make_table("plain")
    at = {"DatabaseName": "db"}
    assert get_partition_indexes(context, {**at, "TableName": "plain"}) == {"PartitionIndexDescriptorList": []}
    table = {"Name": "t", "PartitionKeys": [{"Name": "year", "Type": "int"}, {"Name": "month"}]}
    index = {"IndexName": "main", "Keys": ["Year", "month"]}
    create_table(context, {**at, "TableInput": table, "PartitionIndexes": [index]})
    update_table(context, {**at, "TableInput": table})
    described = get_partition_indexes(context, {**at, "TableName": "t"})["PartitionIndexDescriptorList"]
    keys = [{"Name": "Year", "Type": "int"}, {"Name": "month", "Type": "string"}]
    assert described == [{"IndexName": "main", "Keys": keys, "IndexStatus": "ACTIVE"}]


@pytest.mark.parametrize(
    ("indexes", "told"),
    [
        ([{"IndexName": "a", "Keys": ["day"]}], "'day', which is no partition key"),
        ([{"IndexName": "a", "Keys": ["year"]}, {"IndexName": "A", "Keys": ["year"]}], "two indexes alike"),
        ([{"IndexName": str(i), "Keys": ["year"]} for i in range(4)], "at most 3"),
    ],
)
def test_indexes_that_make_no_sense_are_refused(context: Context, indexes: list[dict[str, Any]], told: str) -> None:
    create_database(context, {"DatabaseInput": {"Name": "db"}})
    table = {"Name": "t", "PartitionKeys": [{"Name": "year", "Type": "int"}]}
    with pytest.raises(InvalidInputError, match=told):
        create_table(context, {"DatabaseName": "db", "TableInput": table, "PartitionIndexes": indexes})


def test_a_lookup_finds_a_table_or_nothing(context: Context, make_table: MakeTable) -> None:
    make_table()
    found = find_table(context, database="DB", table="People", catalog_id=None)
    assert found == get_table(context, AT)["Table"]
    assert find_table(context, database="db", table="people", catalog_id="000000000000") == found
    assert find_table(context, database="db", table="people", catalog_id="1") is None
    assert find_table(context, database="db", table="none", catalog_id=None) is None
    assert find_table(context, database="none", table="people", catalog_id=None) is None


_ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "[a-c]", r"\d", r"\."])
_ITEMS = st.one_of(_ATOMS, st.tuples(_ATOMS.filter(lambda atom: len(atom) > 1 or atom == "."), st.sampled_from("*+?")))
_PATTERNS = st.lists(st.lists(_ITEMS.map("".join), max_size=4).map("".join), min_size=1, max_size=3).map("|".join)


@given(_PATTERNS, st.text("abc1.", max_size=6))
def test_a_pattern_means_what_a_regular_expression_does(pattern: str, name: str) -> None:
    assert matches(parse_name_pattern(pattern), name) is bool(re.fullmatch(pattern, name))


@given(st.text("ab*.|[]^-+?\\(){}$d", max_size=12))
def test_whatever_is_written_as_a_pattern_is_understood_or_refused(pattern: str) -> None:
    try:
        parsed = parse_name_pattern(pattern)
    except InvalidInputError:
        return
    assert matches(parsed, "ab") in (True, False)
