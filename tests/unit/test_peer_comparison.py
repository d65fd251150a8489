"""The parts of the comparison with peers that need no peer: tasks, answers, budgets, set-up, scores and tables."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from tests.benchmarks.peers import environments, exchange, zingg_runner
from tests.benchmarks.peers.columns import Kind, clean_cell, profile_column, profile_columns
from tests.benchmarks.peers.compare import (
    Plan,
    choose_link,
    choose_variables,
    make_task,
    number_clusters,
    score_clusters,
)
from tests.benchmarks.peers.exchange import Link, Row, Task, join_links
from tests.benchmarks.peers.oracle import Oracle
from tests.benchmarks.peers.results import Result, add_result, draw_table, read_results, write_results
from tests.benchmarks.peers.splink_settings import count_equal, make_plan, read_number, read_rules
from tests.benchmarks.peers.watched_process import Limits, Place, run_watched

RESULT = Result("persons", "splink", 0, 0, "finished", 0, 12.3, 2_000_000_000, 0.5, 1.0, 0.25)


def write_set(folder: Path, name: str = "persons") -> Path:
    place = folder / name
    place.mkdir()
    (place / "records.csv").write_text(
        'rec_id,source,name\n1,a,Ann\n2,a," "\n3,b,"Ann, B"\n4,b,Bob\n', encoding="utf-8"
    )
    (place / "truth.csv").write_text("rec_id,entity_id\n1,x\n2,y\n3,x\n4,z\n", encoding="utf-8")
    return place


def make_plan_of_runs(folder: Path) -> Plan:
    return Plan(folder, folder / "environments", 100, 7, Limits(600, 1_000_000_000), folder)


# tasks and files


def test_a_task_survives_its_command_line(tmp_path: Path) -> None:
    task = Task(tmp_path / "r.csv", tmp_path, tmp_path / "a.csv", 50, Link.ONE_TO_ONE, 3, tmp_path / "rules.json", 12.5)
    assert exchange.read_task(task.to_arguments()) == task
    unlabelled = Task(tmp_path / "r.csv", tmp_path)
    assert exchange.read_task(unlabelled.to_arguments()) == unlabelled


def test_blank_cells_are_missing_and_quoted_ones_whole(tmp_path: Path) -> None:
    rows = exchange.read_rows(write_set(tmp_path) / "records.csv")
    assert [row["name"] for row in rows] == ["Ann", None, "Ann, B", "Bob"]
    assert exchange.attributes(rows) == ["name"]
    assert exchange.attributes([]) == []


def test_answers_and_clusters_come_back_as_they_were_written(tmp_path: Path) -> None:
    exchange.write_answers(tmp_path / "answers.csv", {"1": "x", "2": 'y,"'})
    assert exchange.read_answers(tmp_path / "answers.csv") == {"1": "x", "2": 'y,"'}
    exchange.write_clusters(Task(tmp_path / "r.csv", tmp_path), {"1": 5, "2": "six"})
    exchange.write_clusters(Task(tmp_path / "r.csv", tmp_path), {"1": 7}, "0.5")
    left = {name: exchange.read_clusters(path) for name, path in exchange.find_variants(tmp_path).items()}
    assert left == {"": {"1": "5", "2": "six"}, "0.5": {"1": "7"}}


@pytest.mark.parametrize(
    ("links", "groups"),
    [
        ([], {}),
        ([("a", "b"), ("c", "d")], {"a": "a", "b": "a", "c": "c", "d": "c"}),
        ([("c", "d"), ("b", "c"), ("a", "d")], {"a": "a", "b": "a", "c": "a", "d": "a"}),
        ([("a", "a")], {"a": "a"}),
    ],
)
def test_linked_records_are_one_group_named_by_the_smallest(
    links: list[tuple[str, str]], groups: dict[str, str]
) -> None:
    assert join_links(links) == groups


# the budget


def test_a_row_shown_before_costs_nothing_more() -> None:
    oracle = Oracle({"1": "x", "2": "x", "3": "y", "4": "y"}, rows=3)
    assert oracle.is_match("1", "2")
    assert oracle.is_spent
    assert oracle.affords(("2", "3"))
    assert not oracle.is_match("3", "2")
    assert oracle.rows_shown == 3
    assert not oracle.is_match("1", "3")
    assert oracle.to_report() == {"rows_labelled": 3, "pairs_labelled": 3, "matches_labelled": 1}


def test_a_question_over_the_budget_is_refused() -> None:
    oracle = Oracle({"1": "x", "2": "x", "3": "y"}, rows=2)
    oracle.is_match("2", "1")
    assert oracle.is_spent
    assert not oracle.affords(("1", "3"))
    with pytest.raises(ValueError, match="more than 2 rows"):
        oracle.is_match("1", "3")
    assert oracle.answers == {("1", "2"): True}


# the set-up that somebody who has looked at the columns would choose


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([None, None], Kind.EMPTY),
        (["same", "Same", None], Kind.EMPTY),
        (["nsw", "vic"] * 30, Kind.CATEGORY),
        ([f"p{i}@example.org" for i in range(30)], Kind.EMAIL),
        ([f"19{i:02}-03-04" for i in range(30)], Kind.DATE),
        ([f"{i}.50" for i in range(30)], Kind.NUMBER),
        ([str(1950 + i) for i in range(30)], Kind.NUMBER),
        ([str(9_000_000 + i) for i in range(30)], Kind.CODE),
        ([f"Mary Ann {chr(97 + i)}" for i in range(26)], Kind.NAME),
        ([f"a title of several words {chr(97 + i)}" for i in range(26)], Kind.TEXT),
        (["many words " * 20 + chr(97 + i) for i in range(26)], Kind.LONG_TEXT),
    ],
)
def test_a_column_is_known_by_its_values(cells: Sequence[str | None], kind: Kind) -> None:
    assert profile_column("it", cells).kind is kind


def test_only_codes_lose_their_separators() -> None:
    assert clean_cell("+1 (212) 555-0100", Kind.CODE) == "12125550100"
    assert clean_cell("  Ann-Marie   SMITH ", Kind.NAME) == "ann-marie smith"
    assert clean_cell("  ", Kind.CODE) is None
    assert clean_cell(None, Kind.NAME) is None


@pytest.mark.parametrize(("cell", "number"), [("$1,299.50", 1299.5), ("7", 7.0), ("n/a", None), (None, None)])
def test_a_quantity_is_read_without_its_sign(cell: str | None, number: float | None) -> None:
    assert read_number(cell) == number


def test_equal_pairs_are_counted_without_missing_values_and_across_sources_if_asked() -> None:
    names, towns, origin = ["ann", "ann", "ann", None], ["ayr", "ayr", None, None], ["a", "b", "b", "b"]
    assert count_equal([names]) == 3
    assert count_equal([names, towns]) == 1
    assert count_equal([names], origin) == 2


def make_persons() -> list[Row]:
    return [
        {"rec_id": str(i), "source": "ab"[i % 2], "name of it": f"person {1000 + i // 2}", "town": f"town{i % 10}"}
        for i in range(60)
    ]


def test_blocking_rules_speak_of_safe_names_only() -> None:
    plan, table = make_plan(make_persons(), Link.ACROSS)
    assert plan.columns["c0"].name == "name of it"
    assert ("c0",) in plan.rules
    assert plan.exploded == ["c0_words"]
    assert {name for rule in [*plan.rules, *plan.certain, *plan.training] for name in rule} <= set(table)
    assert {len(column) for column in table.values()} == {60}


def test_rules_by_hand_are_read_in_the_names_of_the_table(tmp_path: Path) -> None:
    plan, _ = make_plan(make_persons(), Link.ANY)
    file = tmp_path / "persons.json"
    file.write_text(json.dumps([["name of it"], ["name of it", "town"]]), encoding="utf-8")
    assert read_rules(file, plan) == [("c0",), ("c0", "c1")]
    file.write_text(json.dumps([["no such column"]]), encoding="utf-8")
    with pytest.raises(KeyError, match="no such column"):
        read_rules(file, plan)


def test_zingg_reads_a_column_by_number_and_never_matches_on_the_key(tmp_path: Path) -> None:
    columns = profile_columns(make_persons())
    config = zingg_runner.configure(columns, [tmp_path / "a.csv", tmp_path / "b.csv"], tmp_path, records=6_000)
    fields = {field["fieldName"]: field["matchType"] for field in config["fieldDefinition"]}
    assert fields == {"c0": "fuzzy", "c1": "exact", "rec_id": "dont_use"}
    assert [table["name"] for table in config["data"]] == ["a", "b"]
    assert config["labelDataSampleSize"] == pytest.approx(0.5)
    assert config["collectMetrics"] is False


def test_zingg_is_answered_once_per_pair_and_within_the_budget(tmp_path: Path) -> None:
    (tmp_path / "unmarked").mkdir()
    pairs = [("p", "1"), ("p", "2"), ("q", "1"), ("q", "3"), ("r", "4"), ("r", "5")]
    asked = pa.table(
        {
            "z_cluster": [pair for pair, _ in pairs],
            "rec_id": [key for _, key in pairs],
            "z_isMatch": pa.array([-1] * len(pairs), pa.int32()),
        }
    )
    pq.write_table(asked, tmp_path / "unmarked" / "part.parquet")
    oracle = Oracle({"1": "x", "2": "x", "3": "y", "4": "z", "5": "z"}, rows=3)
    assert zingg_runner.mark_pairs(tmp_path, oracle, name="round1")
    marked = pq.read_table(tmp_path / "marked")
    assert marked["z_isMatch"].to_pylist() == [1, 1, 0, 0]
    assert marked.schema == asked.schema
    assert not zingg_runner.mark_pairs(tmp_path, oracle, name="round2")


# environments


def test_an_environment_is_made_anew_when_what_it_holds_is_to_change(tmp_path: Path) -> None:
    (tmp_path / "it.txt").write_text("one==1\n", encoding="ascii")
    first = environments.fingerprint("it", tmp_path)
    assert environments.fingerprint("it", tmp_path) == first
    (tmp_path / "it.bare.txt").write_text("two==2\n", encoding="ascii")
    assert environments.fingerprint("it", tmp_path) != first


def test_every_peer_has_pinned_requirements() -> None:
    for peer in environments.PEERS:
        for path in environments.requirement_files(peer):
            lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
            assert lines
            assert all("==" in line for line in lines)


def test_an_unknown_peer_is_named_with_those_there_are() -> None:
    with pytest.raises(FileNotFoundError, match=r"no peer is called 'senzing'.*splink, dedupe, zingg, goldenmatch"):
        environments.requirement_files("senzing")


# one run


def test_only_those_that_learn_see_answers(tmp_path: Path) -> None:
    write_set(tmp_path)
    plan = make_plan_of_runs(tmp_path)
    learner = make_task(plan, "persons", "dedupe", tmp_path)
    assert (learner.rows, learner.learning_seconds) == (100, 300)
    assert learner.answers is not None
    assert exchange.read_answers(learner.answers) == {"1": "x", "2": "y", "3": "x", "4": "z"}
    for peer in ("splink", "goldenmatch"):
        assert make_task(plan, "persons", peer, tmp_path).answers is None


def test_a_peer_is_told_what_is_known_of_the_sources() -> None:
    assert choose_link("febrl3") is Link.ANY
    assert choose_link("abt_buy") is Link.ONE_TO_ONE
    assert choose_link("dblp_scholar") is Link.ACROSS


def test_a_peer_sees_no_spark_but_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPARK_HOME", "/elsewhere")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    variables = choose_variables("zingg", tmp_path)
    assert "SPARK_HOME" not in variables
    assert variables["PYTHONPATH"] == str(Path(environments.__file__).parents[3])
    assert variables["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize(
    ("code", "limits", "outcome"),
    [
        ("pass", Limits(60, 10**12), "finished"),
        ("raise SystemExit(3)", Limits(60, 10**12), "failed"),
        ("import time; time.sleep(600)", Limits(0.01, 10**12), "timed out"),
        ("import time; time.sleep(600)", Limits(60, 1), "out of memory"),
    ],
)
def test_a_process_ends_by_itself_or_at_a_limit(code: str, limits: Limits, outcome: str, tmp_path: Path) -> None:
    place = Place(tmp_path, tmp_path / "log", os.environ)
    assert run_watched([sys.executable, "-c", code], place, limits).outcome == outcome


# scores and tables


def test_a_record_without_a_cluster_is_alone() -> None:
    numbers = number_clusters(["1", "2", "3", "4"], {"1": "3", "2": "3"})
    assert numbers["1"] == numbers["2"]
    assert len(set(numbers.values())) == 3


def test_clusters_are_scored_by_all_pairs_they_imply(tmp_path: Path) -> None:
    folder = write_set(tmp_path)
    scores = score_clusters(folder, {"1": "c", "3": "c", "4": "c"}, cross=False)
    assert scores == pytest.approx({"precision": 1 / 3, "recall": 1, "f1": 1 / 2})
    assert score_clusters(folder, {"1": "c", "3": "c", "4": "c"}, cross=True)["precision"] == pytest.approx(1 / 2)
    with pytest.raises(ValueError, match=r"1 records that are not in .* such as '9'"):
        score_clusters(folder, {"9": "c"}, cross=False)


def test_a_run_takes_the_place_of_the_same_run(tmp_path: Path) -> None:
    other = replace(RESULT, peer="dedupe")
    again = replace(RESULT, f1=0.75)
    assert add_result([RESULT, other], again) == [other, again]
    write_results(tmp_path / "out.json", [RESULT, other])
    assert read_results(tmp_path / "out.json") == [RESULT, other]
    assert read_results(tmp_path / "none.json") == []


def test_the_table_tells_why_there_is_no_score() -> None:
    stopped = replace(RESULT, peer="zingg", outcome="timed out", f1=None, precision=None, recall=None)
    console = Console(width=120)
    with console.capture() as captured:
        console.print(draw_table([RESULT, stopped]))
    lines = captured.get().splitlines()
    (splink,) = [line for line in lines if "splink" in line]
    assert "0.5000" in splink
    assert "2.0" in splink
    assert any("zingg" in line and "timed out" in line for line in lines)
