"""Tables that nobody would design and everybody has: each gives a right result or one clear sentence."""

from __future__ import annotations

from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from glue_ml.errors import InputError
from glue_ml.matching import FindMatches


def match(df: DataFrame, key: str = "id") -> dict[Any, int]:
    out = FindMatches(primary_key=key).fit(df).transform(df, scores=True)
    assert out.count() == df.count()
    return {row[key]: row["match_id"] for row in out.collect()}


def make(spark: SparkSession, rows: list[tuple[Any, ...]], schema: str) -> DataFrame:
    return spark.createDataFrame(rows, schema)


def test_an_empty_table_has_no_groups(spark: SparkSession) -> None:
    df = make(spark, [], "id string, name string")
    assert match(df) == {}
    assert FindMatches(primary_key="id").fit(df).labeling_sets(df).count() == 0


def test_a_single_row_is_a_group(spark: SparkSession) -> None:
    df = make(spark, [("1", "anna")], "id string, name string")
    assert len(match(df)) == 1
    assert FindMatches(primary_key="id").fit(df).labeling_sets(df).count() == 0


def test_a_table_of_nothing_but_keys_matches_nothing(spark: SparkSession) -> None:
    assert len(set(match(make(spark, [("1",), ("2",)], "id string")).values())) == 2


def test_a_column_without_values_tells_nothing(spark: SparkSession) -> None:
    rows = [(str(i), f"name {chr(97 + i)}{chr(120 - i)}{i}", None) for i in range(20)]
    assert len(set(match(make(spark, rows, "id string, name string, nothing string")).values())) == 20


def test_only_columns_without_values(spark: SparkSession) -> None:
    rows = [(str(i), None) for i in range(10)]
    assert len(set(match(make(spark, rows, "id string, nothing string")).values())) == 10


def test_rows_that_are_all_equal_do_not_fail(spark: SparkSession) -> None:
    df = make(spark, [(str(i), "same", "value") for i in range(30)], "id string, a string, b string")
    assert len(match(df)) == 30


def test_a_megabyte_in_a_cell_is_read_in_part(spark: SparkSession) -> None:
    rows = [("1", "x y " * 250_000), ("2", "x y " * 250_000), ("3", "short text here"), ("4", "ab" * 500_000)]
    groups = match(make(spark, rows, "id string, text string"))
    assert len(groups) == 4


def test_a_hundred_columns_are_compared_and_more_are_refused(spark: SparkSession) -> None:
    names = [f"c{i}" for i in range(99)]
    rows = [(str(k), *(f"v{k // 2}{'abcdefgh'[i % 8]}{i}" for i in range(99))) for k in range(12)]
    groups = match(make(spark, rows, "id string, " + ", ".join(f"{n} string" for n in names)))
    assert all(groups[str(2 * k)] == groups[str(2 * k + 1)] for k in range(6))
    assert len(set(groups.values())) == 6
    wide = make(spark, [("1", *["x"] * 100)], "id string, " + ", ".join(f"d{i} string" for i in range(100)))
    with pytest.raises(InputError, match="101 columns; at most 100"):
        FindMatches(primary_key="id").fit(wide)


def test_keys_must_be_unique(spark: SparkSession) -> None:
    df = make(spark, [("1", "a"), ("1", "b"), ("2", "c")], "id string, name string")
    with pytest.raises(InputError, match="'id' is not unique: '1' and 0 other values"):
        FindMatches(primary_key="id").fit(df)


def test_keys_must_not_be_null(spark: SparkSession) -> None:
    df = make(spark, [("1", "a"), (None, "b"), (None, "c")], "id string, name string")
    with pytest.raises(InputError, match="'id' is null in 2 of 3 rows"):
        FindMatches(primary_key="id").fit(df)


def test_the_key_must_be_there_and_plain(spark: SparkSession) -> None:
    df = make(spark, [("1", [1])], "id string, list array<int>")
    with pytest.raises(InputError, match="no column 'key'"):
        FindMatches(primary_key="key").fit(df)
    with pytest.raises(InputError, match="'list' is of type array<int>"):
        FindMatches(primary_key="list").fit(df)


def test_a_table_that_has_match_ids_already_is_refused(spark: SparkSession) -> None:
    df = make(spark, [("1", 5), ("2", 6)], "id string, Match_ID long")
    with pytest.raises(InputError, match="column 'match_id'"):
        FindMatches(primary_key="id").fit(df).transform(df)


def test_a_column_called_label_can_be_matched_but_not_labelled(spark: SparkSession) -> None:
    rows = [(str(i), f"label {chr(97 + i)}{i}") for i in range(10)]
    df = make(spark, rows, "id string, label string")
    assert len(match(df)) == 10
    with pytest.raises(InputError, match="column 'label', a name the output needs"):
        FindMatches(primary_key="id").fit(df).labeling_sets(df)


def test_names_with_dots_quotes_backticks_and_emoji(spark: SparkSession) -> None:
    names = ["the.key", 'say "name"', "it's`so`", "😀 street", "a b"]
    rows = [(str(k), f"anna {k // 2}{'abcdef'[k // 2]}", f"x{k // 2}", f"high street {k // 2}", "z") for k in range(12)]
    df = spark.createDataFrame(rows).toDF(*names)
    groups = match(df, key="the.key")
    assert all(groups[str(2 * k)] == groups[str(2 * k + 1)] for k in range(6))
    model = FindMatches(primary_key="the.key").fit(df)
    assert model.labeling_sets(df).columns == ["labeling_set_id", "label", *names]
    assert model.transform(df).columns == [*names, "match_id"]


def test_names_that_differ_in_case_alone_are_refused(spark: SparkSession) -> None:
    df = spark.createDataFrame([("1", "a", "b")]).toDF("id", "Name", "name")
    with pytest.raises(InputError, match="occurs more than once"):
        FindMatches(primary_key="id").fit(df)


def test_typed_keys_and_columns_of_every_kind(spark: SparkSession) -> None:
    import datetime
    import decimal

    day = datetime.date(1980, 1, 1)
    rows = [
        (k, 1.5 * (k // 2), decimal.Decimal(k // 2), day + datetime.timedelta(days=k // 2 * 40), k % 2 == 0,
         [k], {"a": k}, bytearray(b"x"), f"name {'abcdefghij'[k // 2]} {k // 2}")
        for k in range(20)
    ]  # fmt: skip
    schema = (
        "id long, d double, n decimal(10,2), born date, flag boolean, "
        "list array<int>, m map<string,int>, raw binary, name string"
    )
    df = make(spark, rows, schema)
    out = FindMatches(primary_key="id").fit(df).transform(df)
    assert out.schema.fieldNames()[:-1] == df.schema.fieldNames()
    groups = {row["id"]: row["match_id"] for row in out.collect()}
    assert all(groups[2 * k] == groups[2 * k + 1] for k in range(10))


def test_hostile_text_is_only_text(spark: SparkSession) -> None:
    nasty = ["'; DROP TABLE x; --", "${jndi:ldap://x}", "<script>", "\u202eabc", "a\x01b", "=1+1", "%s %d", "\\"]
    rows = [(f"{i}{text}", text) for i, text in enumerate(nasty * 2)]
    groups = match(make(spark, rows, "id string, name string"))
    assert set(groups) == {row[0] for row in rows}
