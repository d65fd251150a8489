"""Runs that go on from a state: the same groups as a full run, ids that last, a ledger, and MERGE into Delta."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from glue_ml import storage
from glue_ml.errors import InputError, UnavailableError
from glue_ml.matching import FindMatches, FindMatchesModel
from glue_ml.matching.incremental import prepare_increment, stack_tables
from glue_ml.matching.kept_matches import (
    KeptMatches,
    append_ledger,
    attach_matches,
    find_changes,
    keep_state,
    match_first,
    match_next,
    merge_into_delta,
    number_generation,
    open_state,
)
from glue_ml.matching.ledger import LedgerEntry, LedgerEvent
from glue_ml.matching.match_state import match_again
from glue_ml.matching.state_files import read_kept_version
from glue_ml.matching.table import MATCH_ID
from glue_ml.matching.table_version import TableVersion, follow, read_version
from glue_ml.synthetic import make_people, split_truth

KEY = "customer_id"
VERSION = TableVersion("id", 4, 0, "Spark, UTC")
NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    table, _ = split_truth(make_people(700, seed=3, duplicate_share=0.4))
    return pd.DataFrame(table.to_pandas().astype(object))


@pytest.fixture(scope="module")
def model(spark: SparkSession, people: pd.DataFrame) -> FindMatchesModel:
    return FindMatches(primary_key=KEY).fit(to_df(spark, people[:600]))


def to_df(spark: SparkSession, rows: Any) -> DataFrame:
    schema = ", ".join(f"{name} string" for name in rows.columns)
    frame: DataFrame = spark.createDataFrame(rows.where(rows.notna(), None), schema)
    return frame


def ids_of(df: DataFrame) -> dict[str, int]:
    return {row[KEY]: row[MATCH_ID] for row in df.collect()}


def groups_of(ids: dict[str, int]) -> set[frozenset[str]]:
    members: dict[int, set[str]] = {}
    for key, match_id in ids.items():
        members.setdefault(match_id, set()).add(key)
    return {frozenset(keys) for keys in members.values()}


def save_matches(spark: SparkSession, df: DataFrame, kept: KeptMatches, table: Path) -> TableVersion:
    """Write the rows with their ids as a Delta table and return its version."""
    attach_matches(df, kept, primary_key=KEY, scores=False).write.format("delta").save(str(table))
    version = read_version(spark, str(table))
    assert version is not None
    return version


def assert_as_full_run(kept: KeptMatches, model: FindMatchesModel) -> None:
    again = match_again(kept.state, model.model_)
    assert again.labels.tolist() == kept.state.found.labels.tolist()
    assert again.confidence.tolist() == kept.state.found.confidence.tolist()
    assert again.pairs.edges.probability.tolist() == kept.state.found.pairs.edges.probability.tolist()


def test_a_first_run_finds_what_a_plain_one_does(
    spark: SparkSession, people: pd.DataFrame, model: FindMatchesModel
) -> None:
    df = to_df(spark, people[:600])
    kept = match_first(df, model)
    found = attach_matches(df, kept, primary_key=KEY, scores=True)
    plain = model.transform(df, scores=True)
    assert sorted(found.collect()) == sorted(plain.collect())


def test_steps_through_files_come_to_a_full_run_and_merge_into_delta(
    spark: SparkSession, people: pd.DataFrame, model: FindMatchesModel, tmp_path: Path
) -> None:
    state, table = str(tmp_path / "state"), str(tmp_path / "matches")
    first = to_df(spark, people[:600])
    kept = match_first(first, model)
    attach_matches(first, kept, primary_key=KEY, scores=True).write.format("delta").save(table)
    keep_state(state, kept, model)
    for start, stop in ((600, 650), (650, 700)):
        existing = spark.read.format("delta").load(table)
        before = ids_of(existing)
        increment = prepare_increment(existing, to_df(spark, people[start:stop]), primary_key=KEY)
        opened = open_state(state, model)
        assert opened is not None
        kept = match_next(increment, model, opened)
        assert kept.counts["touched_rows"] < 300
        assert_as_full_run(kept, model)
        full = ids_of(attach_matches(increment.rows, kept, primary_key=KEY, scores=True))
        merge_into_delta(table, increment, kept, scores=True)
        after = ids_of(spark.read.format("delta").load(table))
        assert after == full
        untouched = groups_of(before) & groups_of(after)
        assert untouched
        assert all(before[key] == after[key] for keys in untouched for key in keys)
        keep_state(state, kept, model)
    assert len(list((tmp_path / "state").iterdir())) == 2


def test_changed_and_missing_rows_are_found_by_their_values_and_ids_are_those_of_the_table(
    spark: SparkSession, people: pd.DataFrame, model: FindMatchesModel, tmp_path: Path
) -> None:
    first = to_df(spark, people[:600])
    kept = match_first(first, model)
    matched = attach_matches(first, kept, primary_key=KEY, scores=False).toPandas().astype(object)
    matched[MATCH_ID] += 10**6
    changed = matched[5:].copy()
    changed.loc[10, "first_name"] = "Zacharias"
    changed.loc[11, "email"] = None
    schema = ", ".join(f"{name} {'long' if name == MATCH_ID else 'string'}" for name in changed.columns)
    existing = spark.createDataFrame(changed.where(changed.notna(), None), schema)
    increment = prepare_increment(existing, to_df(spark, people[600:620]), primary_key=KEY)
    after = match_next(increment, model, kept.state)
    assert_as_full_run(after, model)
    assert after.state.table.num_rows == 615
    assert after.counts["scored_pairs"] < 2000
    ids = ids_of(attach_matches(increment.rows, after, primary_key=KEY, scores=False))
    assert min(ids.values()) >= 10**6
    unchanged = match_next(prepare_increment(existing, to_df(spark, people[:0]), primary_key=KEY), model, None)
    assert groups_of(ids_of(attach_matches(existing.drop(MATCH_ID), unchanged, primary_key=KEY, scores=False)))


def test_a_table_of_the_version_that_a_state_is_of_is_not_read(
    spark: SparkSession, people: pd.DataFrame, model: FindMatchesModel, tmp_path: Path
) -> None:
    table, first = str(tmp_path / "matches"), to_df(spark, people[:600])
    kept = match_first(first, model)
    version = save_matches(spark, first, kept, tmp_path / "matches")
    keep_state(str(tmp_path / "state"), kept, model, version=version)
    assert read_kept_version(str(tmp_path / "state")) == version
    state = open_state(str(tmp_path / "state"), model)
    existing, new = spark.read.format("delta").load(table), to_df(spark, people[600:])
    read = match_next(prepare_increment(existing, new, primary_key=KEY), model, state)
    for file in (tmp_path / "matches").glob("*.parquet"):
        file.unlink()
    increment = stack_tables(existing, new, primary_key=KEY)
    trusted = match_next(increment, model, state, version=version)
    assert trusted.state.ids.tolist() == read.state.ids.tolist()
    assert trusted.state.table.equals(read.state.table)
    assert trusted.changed.tolist() == read.changed.tolist()
    assert (trusted.entries, trusted.counts) == (read.entries, read.counts)
    again = stack_tables(existing, to_df(spark, people[590:]), primary_key=KEY)
    with pytest.raises(InputError, match=r"among the existing and the new rows: .* and others"):
        match_next(again, model, state, version=version)


def test_a_state_in_s3_comes_back_as_it_was(
    spark: SparkSession, people: pd.DataFrame, model: FindMatchesModel, moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    boto3.client("s3").create_bucket(Bucket="kept")
    kept = match_first(to_df(spark, people[:60]), model)
    for _ in range(2):
        keep_state("s3://kept/state", kept, model, version=VERSION)
    opened = open_state("s3://kept/state", model)
    assert opened is not None
    assert opened.version == VERSION
    np.testing.assert_equal(vars(opened.found.lists), vars(kept.state.found.lists))
    np.testing.assert_equal(vars(opened.found.pairs.edges), vars(kept.state.found.pairs.edges))
    assert match_again(opened, model.model_).labels.tolist() == kept.state.found.labels.tolist()


def test_a_state_whose_writing_broke_off_is_that_of_the_run_before(
    spark: SparkSession, people: pd.DataFrame, model: FindMatchesModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, state = str(tmp_path / "matches"), str(tmp_path / "state")
    kept = match_first(to_df(spark, people[:60]), model)
    keep_state(state, kept, model, version=save_matches(spark, to_df(spark, people[:60]), kept, tmp_path / "matches"))
    increment = stack_tables(spark.read.format("delta").load(table), to_df(spark, people[60:70]), primary_key=KEY)
    second = match_next(increment, model, open_state(state, model), version=read_version(spark, table))
    merge_into_delta(table, increment, second, scores=False)

    write = storage.write_bytes

    def write_all_but_state(uri: str, content: bytes) -> None:
        if uri.endswith("state.json"):
            raise OSError(f"no space for {uri}")
        write(uri, content)

    later = read_version(spark, table)
    # a fault that no real disk can be asked for
    with monkeypatch.context() as broken:
        broken.setattr(storage, "write_bytes", write_all_but_state)
        with pytest.raises(OSError, match=r"state\.json"):
            keep_state(state, second, model, version=later)
    assert len(list((tmp_path / "state").iterdir())) == 2
    merged = spark.read.format("delta").load(table)
    version, opened = read_version(spark, table), open_state(state, model)
    assert opened is not None
    assert opened.version != version
    third = match_next(
        stack_tables(merged, to_df(spark, people[70:80]), primary_key=KEY), model, opened, version=version
    )
    assert third.state.table.num_rows == 80
    assert_as_full_run(third, model)
    before, after = ids_of(merged), dict(zip(third.state.keys.to_pylist(), third.state.ids.tolist(), strict=True))
    untouched = groups_of(before) & groups_of(after)
    assert untouched
    assert all(before[key] == after[key] for keys in untouched for key in keys)
    keep_state(state, third, model)
    assert len(list((tmp_path / "state").iterdir())) == 2


def test_a_state_whose_writing_was_not_confirmed_is_whole(
    spark: SparkSession, people: pd.DataFrame, model: FindMatchesModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, write = match_first(to_df(spark, people[:60]), model), storage.write_bytes

    def write_and_lose_touch(uri: str, content: bytes) -> None:
        write(uri, content)
        if uri.endswith("state.json"):
            raise UnavailableError(f"no answer about {uri}")

    # as an object store may: no real one can be asked for it
    with monkeypatch.context() as broken:
        broken.setattr(storage, "write_bytes", write_and_lose_touch)
        with pytest.raises(UnavailableError, match=r"state\.json"):
            keep_state(str(tmp_path), kept, model)
    opened = open_state(str(tmp_path), model)
    assert opened is not None
    assert opened.ids.tolist() == kept.state.ids.tolist()


def test_a_table_that_anybody_wrote_to_is_read(
    spark: SparkSession, people: pd.DataFrame, model: FindMatchesModel, tmp_path: Path
) -> None:
    table, first = str(tmp_path / "matches"), to_df(spark, people[:60])
    kept = match_first(first, model)
    version = save_matches(spark, first, kept, tmp_path / "matches")
    state = replace(kept.state, version=version)
    lost = people[KEY][7]
    DeltaTable.forPath(spark, table).delete(f"{KEY} = '{lost}'")
    later = read_version(spark, table)
    assert later == replace(version, number=1, committed_at=later.committed_at if later else 0)
    increment = stack_tables(spark.read.format("delta").load(table), to_df(spark, people[60:70]), primary_key=KEY)
    after = match_next(increment, model, state, version=later)
    assert lost not in after.state.keys.to_pylist()
    assert_as_full_run(after, model)


def test_a_table_with_more_rows_than_were_matched_is_read(
    spark: SparkSession, people: pd.DataFrame, model: FindMatchesModel, tmp_path: Path
) -> None:
    table = str(tmp_path / "matches")
    kept = match_first(to_df(spark, people[:60]), model)
    later = to_df(spark, people[:61])  # a row that came to the source before the matches were written
    version = save_matches(spark, later, kept, tmp_path / "matches")
    state = replace(kept.state, version=version)
    increment = stack_tables(spark.read.format("delta").load(table), to_df(spark, people[61:70]), primary_key=KEY)
    with pytest.raises(InputError, match=f"match_id is empty .*'{people[KEY][60]}'"):
        match_next(increment, model, state, version=version)


def test_rows_that_get_another_type_beside_new_ones_are_read(
    spark: SparkSession, people: pd.DataFrame, model: FindMatchesModel
) -> None:
    first = to_df(spark, people[:60]).withColumn("house_number", F.lit(7))
    kept = match_first(first, model)
    state = replace(kept.state, version=VERSION)
    existing = attach_matches(first, kept, primary_key=KEY, scores=False)
    new = to_df(spark, people[60:70]).withColumn("house_number", F.lit(7.5))
    increment = stack_tables(existing, new, primary_key=KEY)
    assert increment.retyped == {"house_number"}
    after = match_next(increment, model, state, version=VERSION)
    assert set(after.state.table.column("house_number").to_pylist()) == {"7.0", "7.5"}
    same = stack_tables(existing, new.withColumn("house_number", F.lit(9)), primary_key=KEY)
    assert not same.retyped


def test_only_ones_own_write_is_known() -> None:
    later = replace(VERSION, number=5, committed_at=9)
    assert follow(VERSION, later) == later
    assert follow(VERSION, VERSION) == VERSION
    assert follow(VERSION, replace(later, number=6)) is None
    assert follow(VERSION, replace(later, table="other")) is None
    assert follow(VERSION, replace(later, table="other", number=0)) is not None
    assert follow(None, replace(later, number=0)) is not None
    assert follow(None, later) is None
    assert follow(VERSION, None) is None


def test_text_depends_on_the_time_zone_it_is_read_in(spark: SparkSession, tmp_path: Path) -> None:
    assert read_version(spark, str(tmp_path)) is None
    spark.range(3).write.format("delta").save(str(tmp_path))
    here = read_version(spark, str(tmp_path))
    zone = spark.conf.get("spark.sql.session.timeZone")
    assert zone is not None
    spark.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    there = read_version(spark, str(tmp_path))
    spark.conf.set("spark.sql.session.timeZone", zone)
    assert here == read_version(spark, str(tmp_path))
    assert here != there


def test_a_state_of_another_model_is_not_taken_and_a_damaged_one_is_told(
    spark: SparkSession, people: pd.DataFrame, model: FindMatchesModel, tmp_path: Path
) -> None:
    state = str(tmp_path / "state")
    assert open_state(state, model) is None
    kept = match_first(to_df(spark, people[:100]), model)
    keep_state(state, kept, model)
    assert open_state(state, model) is not None
    other = FindMatches(primary_key=KEY, precision_recall_tradeoff=0.9).fit(to_df(spark, people[:100]))
    assert open_state(state, other) is None
    folder = json.loads((tmp_path / "state" / "state.json").read_text())["folder"]
    (tmp_path / "state" / folder / "found.bounds.npy").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"damaged.*remove it"):
        open_state(state, model)


def test_the_ledger_says_nothing_twice(
    spark: SparkSession, people: pd.DataFrame, model: FindMatchesModel, tmp_path: Path
) -> None:
    entries: Sequence[LedgerEntry] = [
        LedgerEntry(3, LedgerEvent.RETIRED, (3,), (7,)),
        LedgerEntry(7, LedgerEvent.MERGED, (3, 7), (7,)),
    ]
    for _ in range(2):
        append_ledger(spark, str(tmp_path), entries, run="r1", generation=1, now=NOW)
    append_ledger(spark, str(tmp_path), entries[:1], run="r2", generation=2, now=NOW)
    first = match_first(to_df(spark, people[:5]), model)
    assert number_generation(spark, str(tmp_path), first).state.generation == 3
    rows = spark.read.format("delta").load(str(tmp_path / "ledger")).orderBy("run", "match_id").collect()
    assert [(r["match_id"], r["event"], r["from_ids"], r["into_ids"], r["run"]) for r in rows] == [
        (3, "retired", [3], [7], "r1"),
        (7, "merged", [3, 7], [7], "r1"),
        (3, "retired", [3], [7], "r2"),
    ]


def test_a_merge_needs_a_delta_table_with_all_columns(
    spark: SparkSession, people: pd.DataFrame, model: FindMatchesModel, tmp_path: Path
) -> None:
    first = to_df(spark, people[:60])
    kept = match_first(first, model)
    matched = attach_matches(first, kept, primary_key=KEY, scores=False)
    matched.write.parquet(str(tmp_path / "parquet"))
    matched.write.format("delta").save(str(tmp_path / "delta"))
    increment = prepare_increment(
        spark.read.format("delta").load(str(tmp_path / "delta")),
        to_df(spark, people[60:70].assign(extra="x")),
        primary_key=KEY,
    )
    after = match_next(increment, model, kept.state)
    for place, said in (("parquet", "no Delta table"), ("delta", "no column 'extra'")):
        with pytest.raises(InputError, match=said):
            merge_into_delta(str(tmp_path / place), increment, after, scores=False)


def test_a_merge_into_a_table_with_deletion_vectors_leaves_its_files(
    spark: SparkSession, people: pd.DataFrame, model: FindMatchesModel, tmp_path: Path
) -> None:
    table, first = str(tmp_path / "matches"), to_df(spark, people[:60])
    kept = match_first(first, model)
    matched = attach_matches(first, kept, primary_key=KEY, scores=True)
    matched.coalesce(1).write.format("delta").option("delta.enableDeletionVectors", "true").save(table)
    existing = spark.read.format("delta").load(table)
    (file,) = existing.inputFiles()
    # the second halves of pairs, so that groups of existing rows get other confidences
    increment = prepare_increment(existing, to_df(spark, people[60:90]), primary_key=KEY)
    kept = match_next(increment, model, kept.state)
    assert (kept.touched & np.isin(kept.state.keys.to_pylist(), people[KEY][:60].tolist())).any()
    full = attach_matches(increment.rows, kept, primary_key=KEY, scores=True).collect()
    merge_into_delta(table, increment, kept, scores=True)
    merged = spark.read.format("delta").load(table)
    assert file in merged.inputFiles()
    assert sorted(merged.collect()) == sorted(full)


def test_changes_are_told_by_value() -> None:
    before = pa.table({"k": ["a", "b", "c", "d"], "v": ["1", None, "3", None]})
    after = pa.table({"k": ["b", "c", "d", "e"], "v": [None, "4", "", "5"]})
    removed, renewed = find_changes(before, after)
    assert removed == ["a", "c", "d"]
    assert np.asarray(renewed).tolist() == [1, 2, 3]
    assert find_changes(before, before)[0] == []
