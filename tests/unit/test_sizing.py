"""The cost model on paper, what it recommends, and that it follows what the engine does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glue_ml.domain import cost_constants, sizing
from glue_ml.domain.capacity import WORKER_TYPES, size_for
from glue_ml.domain.cost_constants import KINDS
from glue_ml.domain.recommendation import (
    executor_need_mb,
    largest_table,
    predict_seconds,
    recommend_for,
    recommend_workers,
)
from glue_ml.domain.sizing import (
    ColumnShape,
    Workload,
    candidates_per_view,
    estimate_cost,
    parse_columns,
    work_per_record,
)
from glue_ml.domain.transform import Capacity
from glue_ml.errors import InputError
from glue_ml.matching import blocking, pipeline, plan_choice
from glue_ml.matching.profile import ColumnKind
from glue_ml.matching.records import prepare_records
from glue_ml.synthetic import make_people, split_truth
from tests.benchmarks.cost_constants import measure_memory
from tests.benchmarks.sizing_page import PAGE, TABLES, fill_in

BYTES = ("table_bytes", "records_bytes", "index_bytes", "build_bytes")
PEOPLE = parse_columns(["name:6", "code:1:3", "phone", "email", "date"])
WORKLOADS = st.builds(
    Workload,
    st.integers(2, 10**10),
    st.lists(st.builds(ColumnShape, st.sampled_from(sorted(KINDS)), st.floats(1, 4000)), min_size=1, max_size=9).map(
        tuple
    ),
    st.none() | st.floats(0, 1),
)


# what the model takes from the engine


def test_there_is_a_cost_for_every_kind_of_column() -> None:
    assert set(KINDS) == {kind.value for kind in ColumnKind}


@pytest.mark.parametrize("dial", [None, 0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("rows", [1_000, 10**9])
def test_the_budget_is_that_of_blocking(dial: float | None, rows: int) -> None:
    budget = blocking.choose_budget(dial)
    assert candidates_per_view(dial) == budget.top_k
    assert work_per_record(Workload(rows, PEOPLE, dial)) == pytest.approx(budget.work(rows) / rows)


def test_the_bounds_are_those_of_the_engine() -> None:
    assert sizing.DRIVER_ROWS == pipeline.DRIVER_ROWS
    assert plan_choice.PIECE_ROWS == cost_constants.PIECE_ROWS
    assert plan_choice.PIECE_CHARS == cost_constants.PIECE_CHARS
    assert cost_constants.SMALL_TABLE_WORK == blocking.SMALL_TABLE_WORK


def test_the_memory_is_about_that_of_the_arrays() -> None:
    rows = 5_000
    table, _ = split_truth(make_people(rows, seed=3))
    measured = dict(measure_memory(table, prepare_records(table)))
    cost = estimate_cost(Workload(rows, PEOPLE))
    assert cost.table_bytes / rows == pytest.approx(measured["Arrow table, bytes a row"], rel=0.3)
    assert cost.records_bytes / rows == pytest.approx(measured["records, bytes a row"], rel=0.4)


# columns


def test_columns_are_told_by_kind_number_and_length() -> None:
    assert parse_columns(["name:2, long_text:1:800", "text"]) == (
        ColumnShape("name", KINDS["name"].chars),
        ColumnShape("name", KINDS["name"].chars),
        ColumnShape("long_text", 800.0),
        ColumnShape("text", KINDS["text"].chars),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("words:2", "'words' is no kind of column; they are: empty, category"),
        ("name=2", "'name=2' tells no columns; write KIND:COUNT"),
        ("name:-1", "tells no columns"),
        ("name:1:0", "1 to 4000 characters are read"),
        ("text:1:9999", "1 to 4000 characters are read"),
        ("name:101", "101 columns were told"),
        ("name:0", "0 columns were told"),
        (" , ", "0 columns were told"),
    ],
)
def test_columns_that_make_no_sense_are_refused(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_columns([text])


# costs


@given(WORKLOADS)
def test_every_figure_is_finite_and_grows_with_the_rows(workload: Workload) -> None:
    cost, more = estimate_cost(workload), estimate_cost(replace(workload, rows=workload.rows * 2))
    for name in ("table_bytes", "records_bytes", "candidate_pairs"):
        assert 0 < getattr(cost, name) < getattr(more, name) < float("inf")
    assert 0 <= cost.index_bytes < float("inf")
    assert all(stage.cpu_seconds >= 0 for stage in cost.stages)


def test_a_small_table_is_not_shuffled_and_the_driver_does_all_but_the_writing() -> None:
    cost = estimate_cost(Workload(20_000, PEOPLE))
    assert cost.on_driver
    assert cost.shuffle_bytes == 0.0
    assert [stage.name for stage in cost.stages if stage.shared] == ["write the matches"]


def test_more_accuracy_costs_more_pairs() -> None:
    pairs = [estimate_cost(Workload(10**6, PEOPLE, dial)).candidate_pairs for dial in (0.0, None, 1.0)]
    assert pairs[0] * 11 == pytest.approx(pairs[2], rel=0.01)
    assert pairs[0] < pairs[1] < pairs[2]


def test_longer_values_cost_more_memory_and_time() -> None:
    short, long = (estimate_cost(Workload(10**6, (ColumnShape("text", chars),))) for chars in (40.0, 400.0))
    assert long.records_bytes > 5 * short.records_bytes
    assert long.cpu_seconds(shared=True) > 2 * short.cpu_seconds(shared=True)


def test_what_ends_a_run_whatever_its_memory_is_told() -> None:
    assert estimate_cost(Workload(10**6, PEOPLE)).limits == ()
    limits = estimate_cost(Workload(10**8, parse_columns(["long_text"]))).limits
    assert any("2 GiB does not fit in one Arrow array" in limit for limit in limits)


def test_one_row_matches_nothing() -> None:
    with pytest.raises(InputError, match="1 rows hold no two"):
        estimate_cost(Workload(1, PEOPLE))


# recommendations


def test_a_small_table_gets_one_worker() -> None:
    chosen = recommend_workers(estimate_cost(Workload(5_000, PEOPLE)))
    assert chosen.number_of_workers == 1
    assert "on the driver" in chosen.reasons[0]


@pytest.mark.parametrize("rows", [50_000, 500_000, 1_000_000])
@pytest.mark.parametrize("seconds", [200.0, 3600.0])
def test_what_is_recommended_holds_the_run(rows: int, seconds: float) -> None:
    cost = estimate_cost(Workload(rows, PEOPLE))
    chosen = recommend_workers(cost, seconds=seconds)
    assert chosen.resources == size_for(Capacity(None, chosen.worker_type, chosen.number_of_workers))
    assert max(executor_need_mb(cost, chosen.resources)) <= chosen.resources.executor_overhead_mb
    assert chosen.seconds == predict_seconds(cost, chosen.resources)
    assert chosen.seconds <= seconds or any("no workers end it within" in reason for reason in chosen.reasons)


def test_less_time_takes_more_workers() -> None:
    cost = estimate_cost(Workload(1_000_000, PEOPLE))
    slow, fast = (recommend_workers(cost, seconds=seconds) for seconds in (3600.0, 100.0))
    assert slow.dpu < fast.dpu
    assert fast.seconds < slow.seconds


def test_a_time_that_nobody_keeps_is_said_to_be_so() -> None:
    chosen = recommend_workers(estimate_cost(Workload(1_000_000, PEOPLE)), seconds=5.0)
    assert any("no workers end it within 5 s" in reason for reason in chosen.reasons)


def test_a_table_that_no_worker_holds_is_told_with_what_would_fit() -> None:
    cost = estimate_cost(Workload(10**9, PEOPLE))
    with pytest.raises(
        InputError, match=r"no worker type holds 1,000,000,000 rows.* holds the most, about [\d,]+ rows"
    ):
        recommend_workers(cost)


@pytest.mark.parametrize("worker_type", sorted(WORKER_TYPES))
def test_the_largest_table_fits_and_a_larger_one_does_not(worker_type: str) -> None:
    cost, one = estimate_cost(Workload(10**6, PEOPLE)), size_for(Capacity(None, worker_type, 1))
    rows = largest_table(cost, worker_type)
    needs = [
        max(executor_need_mb(replace(cost, rows=n, **{
            name: getattr(cost, name) * n / cost.rows for name in BYTES
        }), one))
        for n in (rows, int(rows * 1.02) + 1)
    ]  # fmt: skip
    assert needs[0] <= one.executor_overhead_mb < needs[1]


# the page


def test_the_page_tells_what_the_model_says() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert all(f"<!-- {name} -->" in page for name in TABLES)
    assert page == fill_in(page), "write its tables anew: python -m tests.benchmarks.sizing_page"


def test_what_no_worker_holds_as_a_whole_is_matched_in_pieces() -> None:
    small, large = (Workload(rows, PEOPLE) for rows in (1_000_000, 100_000_000))
    cost, _ = recommend_for(small)
    assert not cost.pieces
    with pytest.raises(InputError, match="no worker type holds"):
        recommend_workers(estimate_cost(large))
    cost, chosen = recommend_for(large)
    assert cost.pieces
    assert "pieces: with" in chosen.reasons[0]
    assert chosen.seconds <= 3600
    with pytest.raises(InputError, match=r"no worker type holds 9,000,000,000 rows of this form, even in pieces"):
        recommend_for(Workload(9_000_000_000, PEOPLE))


def test_in_pieces_an_executor_needs_the_same_whatever_the_rows() -> None:
    few, many = (estimate_cost(Workload(rows, PEOPLE), in_pieces=True) for rows in (2_000_000, 200_000_000))
    assert many.workers_bytes(4) == pytest.approx(few.workers_bytes(4), rel=0.1)
    assert many.driver_bytes < 0.2 * estimate_cost(Workload(200_000_000, PEOPLE)).driver_bytes
    alone = [stage.name for stage in many.stages if not stage.shared]
    assert alone == ["cluster"]
    assert largest_table(many, "G.1X") > 5 * largest_table(estimate_cost(Workload(10**6, PEOPLE)), "G.1X")
