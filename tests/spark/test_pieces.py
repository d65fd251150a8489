"""A table in pieces against the same table in one: the same rows, counts, candidates and scores, to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from glue_ml.domain.labels import LabeledRow
from glue_ml.errors import InputError
from glue_ml.matching.blocking import LEARNED_KEYS, BlockingBudget, BlockingIndex, build_index, list_pairs
from glue_ml.matching.candidate_lists import CONTEXT
from glue_ml.matching.comparison import compare
from glue_ml.matching.key_rules import KeyRule, Predicate
from glue_ml.matching.model import MatchModel, Settings
from glue_ml.matching.piece_candidates import PieceCandidates
from glue_ml.matching.piece_files import PieceFiles
from glue_ml.matching.piece_index import index_pieces
from glue_ml.matching.pieces import Layout, Pieces, cut_table
from glue_ml.matching.pipeline import Blocked, DriverCandidates, PairBatch, Question
from glue_ml.matching.records import Records, prepare_records
from glue_ml.matching.scoring import count_candidate_patterns, score_edges
from glue_ml.matching.table import BROADCAST_ROWS, KEY, attach_named, collect_arrow
from glue_ml.matching.training import learn
from glue_ml.matching.unsupervised import fit_unsupervised
from glue_ml.synthetic import make_people
from glue_ml.synthetic.people import ENTITY_ID
from glue_ml.synthetic.people import KEY as PERSON_ID

BUDGET = BlockingBudget(top_k=4, work_per_record=100)
ROWS = 700


@pytest.fixture(scope="module")
def people() -> pa.Table:
    made = make_people(ROWS, seed=5)
    source = pa.array([("north", "south", "west")[i % 7 % 3] for i in range(len(made))])
    note = pa.array([f"calls about {('brown', 'red', 'green')[i % 5 % 3]} {city} shoes"
                     for i, city in enumerate(made.column("city").to_pylist())])  # fmt: skip
    return made.append_column("source", source).append_column("note", note)


@pytest.fixture(scope="module")
def records(people: pa.Table) -> Records:
    return prepare_records(people.drop_columns([ENTITY_ID]))


@pytest.fixture(scope="module")
def df(spark: SparkSession, people: pa.Table) -> DataFrame:
    return spark.createDataFrame(people.to_pandas()).repartition(5)


@pytest.fixture(scope="module", params=[1, 3, 8])
def pieces(
    request: pytest.FixtureRequest, df: DataFrame, records: Records, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pieces]:
    files = PieceFiles(str(tmp_path_factory.mktemp("pieces")))
    yield cut_table(df, files, Layout(records.profiles), primary_key=PERSON_ID, pieces=request.param)
    files.remove()
    assert not Path(files.root).exists()


def test_pieces_are_ranges_of_the_rows_in_order(pieces: Pieces, records: Records) -> None:
    assert len(pieces) == len(records)
    assert pieces.profiles == records.profiles
    assert pieces.starts[0] == 0
    assert all(first < last for first, last in zip(pieces.starts, pieces.starts[1:], strict=False))
    keys = [key for piece in range(len(pieces.names)) for key in pieces.read_piece(piece).keys.to_pylist()]
    assert keys == records.keys.to_pylist()


def test_rows_of_any_pieces_are_prepared_as_among_all_others(pieces: Pieces, records: Records) -> None:
    lo, hi, _ = list_pairs(build_index(records, BUDGET))
    gathered, left, right = pieces.gather(lo, hi)
    np.testing.assert_array_equal(compare(gathered, left, right), compare(records, lo, hi))
    assert gathered.keys.take(pa.array(left)).equals(records.keys.take(pa.array(lo)))


def test_rows_are_found_by_their_keys(pieces: Pieces, records: Records) -> None:
    keys = records.keys.to_pylist()
    assert pieces.find_rows([keys[5], "nobody", keys[-1]]).tolist() == [5, -1, len(keys) - 1]


def test_rows_are_named(spark: SparkSession, pieces: Pieces, records: Records) -> None:
    values = pa.table({"match_id": pa.array(range(len(records)), pa.int64())})
    named = collect_arrow(pieces.name_rows(spark, values)).sort_by("match_id")
    assert named.column(KEY).to_pylist() == records.keys.to_pylist()


def test_the_ids_of_a_large_table_are_not_sent_to_everybody(
    spark: SparkSession, pieces: Pieces, df: DataFrame, records: Records
) -> None:
    """Spark knows nothing of the size of what tasks make."""
    values = pa.table({"match_id": pa.array(range(len(records)), pa.int64())})
    for rows, how in ((10, "Broadcast"), (BROADCAST_ROWS + 1, "SortMergeJoin")):
        joined = attach_named(df, pieces.name_rows(spark, values), rows=rows, primary_key=PERSON_ID)
        plan = describe_plan(joined)
        assert how in plan
        assert ("Broadcast" in plan) == (rows == 10)
        found = collect_arrow(joined).sort_by(PERSON_ID)
        assert found.column("match_id").to_pylist() == list(range(len(records)))


def describe_plan(df: DataFrame) -> str:
    frame: Any = df
    return str(frame._jdf.queryExecution().sparkPlan().toString())


def list_everything(candidates: PieceCandidates) -> pa.Table:
    def tell(batch: PairBatch) -> pa.Table:
        columns = zip(CONTEXT, batch.context.T, strict=True)
        return pa.table({"lo": batch.lo, "hi": batch.hi, **{name: pa.array(column) for name, column in columns}})

    schema = ", ".join(["lo long, hi long", *(f"{name} float" for name in CONTEXT)])
    table = candidates.ask(Question(tell, lambda parts: parts, schema))
    return table.sort_by([("lo", "ascending"), ("hi", "ascending")])


def check_same_candidates(found: pa.Table, index: BlockingIndex) -> None:
    lo, hi, context = list_pairs(index)
    np.testing.assert_array_equal(found.column("lo").to_numpy(), lo)
    np.testing.assert_array_equal(found.column("hi").to_numpy(), hi)
    np.testing.assert_array_equal(np.stack([found.column(name).to_numpy() for name in CONTEXT], axis=-1), context)


RULES = (KeyRule((Predicate("phone", "value"),)), KeyRule((Predicate("last_name", "start"), Predicate("city", "word"))))


@pytest.mark.parametrize(("source", "rules"), [(None, ()), ("source", ()), (None, RULES)])
def test_candidates_are_those_of_one_index(
    spark: SparkSession, pieces: Pieces, records: Records, source: str | None, rules: tuple[KeyRule, ...]
) -> None:
    whole = build_index(records, BUDGET, source=source, rules=rules)
    assert [view.name for view in whole.views] == ["keys", "grams", *([LEARNED_KEYS] if rules else [])]
    index = index_pieces(spark, pieces, BUDGET, source=source, rules=rules)
    assert index.size_bytes > 0
    candidates = PieceCandidates(spark, pieces, index, "asked for")
    check_same_candidates(list_everything(candidates), whole)
    before = set(Path(pieces.files.root).iterdir())
    candidates.release()
    assert {path.name for path in before if not path.exists()} >= {f"{pieces.names[0]}.keys.data.npy"}
    assert len(pieces.find_rows(["x"])) == 1


def test_equals_are_told_apart_by_their_numbers(spark: SparkSession, tmp_path: Path) -> None:
    """Rows that are all alike are equally near: which ones are listed must not depend on pieces."""
    names = ["anna smith", "anna smith", "bert jones"]
    table = pa.table({"id": [f"{i:03}" for i in range(90)], "name": [names[i % 3] for i in range(90)]})
    records = prepare_records(table)
    files = PieceFiles(str(tmp_path))
    df = spark.createDataFrame(table.to_pandas())
    pieces = cut_table(df, files, Layout(records.profiles), primary_key="id", pieces=4)
    index = index_pieces(spark, pieces, BUDGET, source=None)
    check_same_candidates(list_everything(PieceCandidates(spark, pieces, index, "")), build_index(records, BUDGET))


def test_scores_are_those_of_the_driver(
    spark: SparkSession, pieces: Pieces, records: Records, people: pa.Table
) -> None:
    blocked = Blocked(records, build_index(records, BUDGET))
    here = DriverCandidates(blocked)
    unsupervised = fit_unsupervised(records, count_candidate_patterns(here), seed=0)
    model = MatchModel(Settings(primary_key=PERSON_ID), records.profiles, unsupervised)
    entity = dict(zip(people.column(PERSON_ID).to_pylist(), people.column(ENTITY_ID).to_pylist(), strict=True))
    keys, batch = records.keys.to_pylist(), here.batches[0]
    chosen = np.argsort(-batch.context[:, 0], kind="stable")[:600:4]
    labels = [
        LabeledRow(f"s{i}", str(entity[keys[row]]), keys[row]) for i in chosen for row in (batch.lo[i], batch.hi[i])
    ]
    learned = learn(model, here, labels, source=None)
    assert [each.column for each in learned.words.columns] == ["note"]
    there = PieceCandidates(spark, pieces, index_pieces(spark, pieces, BUDGET, source=None), "asked for")
    for twice in (False, True):
        taught = model.with_learned(replace(learned, prefers_context=twice))
        expected, count = score_edges(here, taught)
        edges, counted = score_edges(there, taught)
        assert counted == count
        assert len(expected) > 100
        assert edges.equals(expected)


@pytest.mark.parametrize(
    ("keys", "told"),
    [(["1", "2", "1", None], "'id' is null in 1 of 4 rows"), (["1", "2", "1", "4"], "'id' is not unique: '1' and 0")],
)
def test_bad_keys_are_refused(spark: SparkSession, tmp_path: Path, keys: list[str | None], told: str) -> None:
    df = spark.createDataFrame([(key, "anna") for key in keys], "id string, name string")
    profiles = prepare_records(pa.table({"id": ["1"], "name": ["anna"]})).profiles
    with pytest.raises(InputError, match=told):
        cut_table(df, PieceFiles(str(tmp_path)), Layout(profiles), primary_key="id", pieces=2)
