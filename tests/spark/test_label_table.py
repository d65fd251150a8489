from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from delta.tables import DeltaTable
from pyspark.sql import SparkSession

from glue_ml.domain.labels import LabeledRow, labeled_pairs
from glue_ml.errors import LabelError, UnavailableError
from glue_ml.matching import label_table
from glue_ml.matching.label_table import ImportCounts, import_labels, label_version, read_labels

NOW = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return str(tmp_path / "labels of 'x'" / "labels")


def rows_of(text: str) -> list[LabeledRow]:
    """Make rows from `set:label:key` words."""
    return [LabeledRow(set_id, label, key) for set_id, label, key in (word.split(":") for word in text.split())]


def read_version(spark: SparkSession, uri: str, version: int) -> set[tuple[str, str, str]]:
    table = spark.read.format("delta").option("versionAsOf", version).load(uri)
    return {(r["labeling_set_id"], r["label"], r["record_key"]) for r in table.collect()}


def triples(rows: Sequence[LabeledRow]) -> set[tuple[str, str | None, str]]:
    return {(row.labeling_set_id, row.label, row.key) for row in rows}


def test_there_is_nothing_before_the_first_import(spark: SparkSession, uri: str) -> None:
    assert label_version(uri) is None
    assert read_labels(spark, uri) == []
    assert not Path(uri).exists()


def test_an_import_keeps_every_value_and_the_order(spark: SparkSession, uri: str) -> None:
    rows = [
        LabeledRow("9", "A", "k\n1", {"a.b": "x", '`"😀': None, "": "= 1"}, line=7),
        LabeledRow("9", "a", "0007", {}),
        LabeledRow("1", "A", "z'; --", {"a.b": "\r\n"}),
        LabeledRow("1", "A", "😀", {"a.b": "NULL"}),
    ]
    counts = import_labels(spark, uri, rows, replace=False, now=NOW)
    assert counts == ImportCounts(rows=4, sets=2, updated=0, replaced=0, total_rows=4, version=0)
    assert read_labels(spark, uri) == rows
    assert label_version(uri) == 0


def test_the_columns_are_as_documented(spark: SparkSession, uri: str) -> None:
    import_labels(spark, uri, rows_of("1:A:a 1:A:b 1:B:c"), replace=False, now=NOW)
    table = spark.read.format("delta").load(uri)
    assert table.dtypes == [
        ("labeling_set_id", "string"),
        ("label", "string"),
        ("record_key", "string"),
        ("attributes", "map<string,string>"),
        ("position", "int"),
        ("imported_at", "timestamp"),
    ]
    micros = table.selectExpr("position", "unix_micros(imported_at) AS at").orderBy("position").collect()
    assert [(r["position"], r["at"]) for r in micros] == [(i, int(NOW.timestamp()) * 1_000_000) for i in range(3)]


def test_an_import_tells_which_labels_contradict_those_that_are_there(spark: SparkSession, uri: str) -> None:
    first = import_labels(spark, uri, rows_of("1:A:a 1:A:b 1:B:c"), replace=False, now=NOW)
    assert first.remarks == ()
    second = import_labels(spark, uri, rows_of("2:A:a 2:B:b 2:B:c"), replace=False, now=LATER)
    assert len(second.remarks) == 2
    assert "The labels contradict each other: 'a' and 'b' are a match in set '1', a non-match in set '2'" in str(
        second.remarks[0]
    )


def test_append_corrects_and_adds_and_every_import_is_a_version(spark: SparkSession, uri: str) -> None:
    first = [LabeledRow("1", "A", "a", {"name": "Ann"}), *rows_of("1:A:b 2:A:c 2:B:d")]
    import_labels(spark, uri, first, replace=False, now=NOW)
    second = [LabeledRow("1", "C", "a", {"city": "Ulm"}), *rows_of("1:A:e 2:A:x 2:A:y")]
    counts = import_labels(spark, uri, second, replace=False, now=LATER)
    assert counts == ImportCounts(rows=4, sets=2, updated=1, replaced=0, total_rows=7, version=1)
    expected = [
        *rows_of("1:A:b 2:A:c 2:B:d"),
        LabeledRow("1", "C", "a", {"name": "Ann", "city": "Ulm"}),
        *rows_of("1:A:e 2~2:A:x 2~2:A:y"),
    ]
    assert read_labels(spark, uri) == expected
    assert label_version(uri) == 1
    assert read_version(spark, uri, 0) == triples(first)
    assert read_version(spark, uri, 1) == triples(expected)


def test_replace_forgets_what_was_there(spark: SparkSession, uri: str) -> None:
    first, second = rows_of("1:A:a 1:A:b 2:A:c 2:B:d"), rows_of("1:A:x 1:A:y 1:B:z")
    import_labels(spark, uri, first, replace=True, now=NOW)
    counts = import_labels(spark, uri, second, replace=True, now=LATER)
    assert counts == ImportCounts(rows=3, sets=1, updated=0, replaced=4, total_rows=3, version=1)
    assert read_labels(spark, uri) == second
    assert label_version(uri) == 1
    assert read_version(spark, uri, 0) == triples(first)


def test_order_holds_when_the_clock_goes_back(spark: SparkSession, uri: str) -> None:
    import_labels(spark, uri, rows_of("1:A:b 1:A:a 1:A:q 1:B:z"), replace=False, now=LATER)
    import_labels(spark, uri, rows_of("2:A:b 2:B:a"), replace=False, now=NOW)
    import_labels(spark, uri, rows_of("3:A:y 3:A:x"), replace=False, now=NOW)
    rows = read_labels(spark, uri)
    assert rows == rows_of("1:A:b 1:A:a 1:A:q 1:B:z 2:A:b 2:B:a 3:A:y 3:A:x")
    assert not labeled_pairs(rows)[0].is_match


def test_blank_labels_are_left_out_and_a_repeated_row_counts_once(spark: SparkSession, uri: str) -> None:
    rows = [LabeledRow("1", None, "n"), *rows_of("1:A:a 1:B:a 1:A:b 1:B:c"), LabeledRow("1", " ", "m")]
    counts = import_labels(spark, uri, rows, replace=False, now=NOW)
    assert (counts.rows, counts.total_rows) == (3, 3)
    assert read_labels(spark, uri) == rows_of("1:B:a 1:A:b 1:B:c")


STORED = "1:A:a 1:A:b 2:A:c 2:B:d"


@pytest.fixture(scope="module")
def stored_uri(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> str:
    uri = str(tmp_path_factory.mktemp("refused") / "labels")
    import_labels(spark, uri, rows_of(STORED), replace=False, now=NOW)
    return uri


class TestRefusedImports:
    @pytest.mark.parametrize(
        ("words", "replace", "message"),
        [
            ("1:A:x 1:A:y", True, "matches only"),
            ("1:A:x 1:B:y", True, "non-matches only"),
            ("1:B:b", False, "non-matches only"),
            ("1::x", False, "the label of every row is blank"),
            ("1:A:a\ud800 1:B:a\udc00", False, "half a surrogate pair"),
            (" ".join(f"1:A:k{i}" for i in range(49)) + " 1:A:a", False, "'1' would have 51 rows"),
        ],
    )
    def test_leave_version_and_labels(
        self, spark: SparkSession, stored_uri: str, words: str, *, replace: bool, message: str
    ) -> None:
        with pytest.raises(LabelError, match=message):
            import_labels(spark, stored_uri, rows_of(words), replace=replace, now=LATER)
        assert label_version(stored_uri) == 0
        assert read_labels(spark, stored_uri) == rows_of(STORED)


def test_a_refused_first_import_leaves_nothing(spark: SparkSession, uri: str) -> None:
    with pytest.raises(LabelError, match="matches only"):
        import_labels(spark, uri, rows_of("1:A:a 1:A:b"), replace=False, now=NOW)
    assert label_version(uri) is None


def test_one_class_is_enough_where_the_stored_labels_have_the_other(spark: SparkSession, uri: str) -> None:
    import_labels(spark, uri, rows_of("1:A:a 1:A:b 1:B:c"), replace=False, now=NOW)
    assert import_labels(spark, uri, rows_of("2:A:a 2:A:d"), replace=False, now=LATER).total_rows == 5


def test_a_time_without_zone_is_refused(spark: SparkSession, uri: str) -> None:
    with pytest.raises(ValueError, match="time zone"):
        import_labels(spark, uri, rows_of("1:A:a 1:A:b 1:B:c"), replace=False, now=datetime(2026, 1, 1))


class TestConcurrentImports:
    @pytest.mark.parametrize("stored", ["", "0:A:s 0:A:t 0:B:u"], ids=["first", "later"])
    def test_none_is_lost_and_sets_of_one_id_are_told_apart(
        self, spark: SparkSession, uri: str, monkeypatch: pytest.MonkeyPatch, stored: str
    ) -> None:
        commit = label_table._commit
        outcomes: list[bool] = []
        both_have_read = threading.Barrier(2)

        def commit_together(spark: SparkSession, uri: str, labels: label_table._Labels) -> bool:
            if not outcomes:
                both_have_read.wait(timeout=120)
            outcomes.append(commit(spark, uri, labels))
            return outcomes[-1]

        if stored:
            import_labels(spark, uri, rows_of(stored), replace=False, now=NOW)
        monkeypatch.setattr(label_table, "_commit", commit_together)

        def run_import(words: str) -> int:
            return import_labels(spark, uri, rows_of(words), replace=False, now=LATER).total_rows

        with ThreadPoolExecutor(2) as pool:
            totals = sorted(pool.map(run_import, ["1:A:a 1:A:b 1:B:c", "1:A:x 1:A:y 1:B:z"]))
        before = len(rows_of(stored))
        assert totals == [before + 3, before + 6]
        assert sorted(outcomes) == [False, True, True]
        members = {
            frozenset(row.key for row in read_labels(spark, uri) if row.labeling_set_id == name)
            for name in ("1", "1~2")
        }
        assert members == {frozenset("abc"), frozenset("xyz")}
        assert len(read_labels(spark, uri)) == before + 6
        assert label_version(uri) == (2 if stored else 1)

    def test_an_import_that_comes_in_between_is_taken_into_account(
        self, spark: SparkSession, uri: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import_labels(spark, uri, rows_of("1:A:a 1:A:b 1:B:c"), replace=False, now=NOW)
        commit = label_table._commit
        calls: list[bool] = []

        def commit_second(spark: SparkSession, uri: str, labels: label_table._Labels) -> bool:
            if not calls:
                calls.append(True)
                import_labels(spark, uri, rows_of("2:A:a 2:A:x"), replace=False, now=NOW)
            calls.append(commit(spark, uri, labels))
            return calls[-1]

        monkeypatch.setattr(label_table, "_commit", commit_second)
        counts = import_labels(spark, uri, rows_of("2:B:y 2:B:z"), replace=False, now=NOW)
        assert calls == [True, True, False, True]
        assert counts == ImportCounts(rows=2, sets=1, updated=0, replaced=0, total_rows=7, version=2)
        assert read_labels(spark, uri) == rows_of("1:A:a 1:A:b 1:B:c 2:A:a 2:A:x 2~2:B:y 2~2:B:z")
        assert label_version(uri) == 2

    def test_gives_up_after_a_bounded_number_of_attempts(
        self, spark: SparkSession, uri: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        attempts: list[int | None] = []

        def lose(spark: SparkSession, uri: str, labels: label_table._Labels) -> bool:
            attempts.append(labels.version)
            return False

        monkeypatch.setattr(label_table, "_commit", lose)
        with pytest.raises(UnavailableError, match="Try again later"):
            import_labels(spark, uri, rows_of("1:A:a 1:A:b 1:B:c"), replace=True, now=NOW)
        assert attempts == [None] * label_table.ATTEMPTS

    def test_a_failure_of_the_write_leaves_version_and_labels(
        self, spark: SparkSession, uri: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = rows_of("1:A:a 1:A:b 1:B:c")
        import_labels(spark, uri, first, replace=False, now=NOW)
        monkeypatch.setattr(label_table, "SCHEMA", spark.createDataFrame([], "wrong string").schema)
        with pytest.raises(Exception, match=r"(?i)schema|field|length"):
            import_labels(spark, uri, rows_of("2:A:a 2:A:d"), replace=False, now=LATER)
        assert label_version(uri) == 0
        assert read_labels(spark, uri) == first


def test_maintenance_of_the_table_does_not_disturb(spark: SparkSession, uri: str) -> None:
    import_labels(spark, uri, rows_of("1:A:a 1:A:b 1:B:c"), replace=False, now=NOW)
    import_labels(spark, uri, rows_of("2:A:d 2:A:e"), replace=False, now=NOW)
    DeltaTable.forPath(spark, uri).restoreToVersion(0)
    assert import_labels(spark, uri, rows_of("3:A:a 3:A:f"), replace=False, now=NOW).total_rows == 5
    assert read_labels(spark, uri) == rows_of("1:A:a 1:A:b 1:B:c 3:A:a 3:A:f")


def test_thousands_of_rows_come_back_as_they_were(spark: SparkSession, uri: str) -> None:
    rows = [LabeledRow(str(i // 10), str(i % 4), f"k{i}", {"name": "n" * 50}) for i in range(5_000)]
    import_labels(spark, uri, rows, replace=False, now=NOW)
    assert read_labels(spark, uri) == rows
