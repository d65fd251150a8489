"""How the figures of the scale benchmark come about, without a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from glue_ml.synthetic.people import ENTITY_ID, KEY, make_people
from tests.benchmarks.scaling.events import collect_events
from tests.benchmarks.scaling.people import count_pairs, make_table, measure_clusters, sample_people


def test_true_clusters_score_one_and_one_cluster_has_the_base_rate(tmp_path: Path) -> None:
    table = make_table(200, tmp_path)
    truth = make_people(200, seed=1).select([KEY, ENTITY_ID])
    assert measure_clusters(table, truth) == {"precision": 1.0, "recall": 1.0, "f1": 1.0}
    one = pa.table({"key": truth.column(KEY), "cluster": ["all"] * 200})
    found = measure_clusters(table, one)
    pairs = count_pairs(truth.column(ENTITY_ID).to_numpy())
    assert (found["recall"], found["precision"]) == (1.0, round(pairs / (200 * 199 // 2), 5))


def test_a_record_without_a_cluster_is_refused(tmp_path: Path) -> None:
    table = make_table(50, tmp_path)
    truth = make_people(50, seed=1).select([KEY, ENTITY_ID])
    with pytest.raises(ValueError, match="49 records have a cluster, of 50, of which 1 none"):
        measure_clusters(table, truth.slice(1))


def test_a_sample_holds_all_records_of_its_persons() -> None:
    people = make_people(2_000, seed=3)
    sample = sample_people(people, rows=200)
    entity, chosen = people.column(ENTITY_ID).to_numpy(), sample.column(ENTITY_ID).to_numpy()
    assert 100 < len(sample) < 300
    assert np.isin(entity, chosen).sum() == len(sample)


def test_events_become_stages_with_their_skew() -> None:
    def end(stage: int, milliseconds: int) -> dict[str, Any]:
        metrics = {
            "Executor Run Time": milliseconds,
            "Shuffle Write Metrics": {"Shuffle Bytes Written": 2**20},
            "Disk Bytes Spilled": 0,
        }
        return {"Event": "SparkListenerTaskEnd", "Stage ID": stage, "Task Metrics": metrics}

    started = {
        "Event": "SparkListenerJobStart",
        "Stage IDs": [4],
        "Properties": {"spark.job.description": "score candidate pairs"},
    }
    info = {"Stage ID": 4, "Stage Name": "toArrow at x.py:1"}
    events: list[dict[str, Any]] = [started, end(4, 1000), end(4, 1000), end(4, 3000)]
    application = collect_events([*events, {"Event": "SparkListenerStageCompleted", "Stage Info": info}])
    assert application.jobs == ("score candidate pairs",)
    (stage,) = application.stages
    assert (stage.tasks, stage.seconds, stage.skew, stage.shuffled_mb) == (3, 5.0, 3.0, 3.0)
    assert stage.description == "score candidate pairs"


def test_short_tasks_have_no_skew() -> None:
    metrics = {"Executor Run Time": 20}
    events: list[dict[str, Any]] = [
        {"Event": "SparkListenerTaskEnd", "Stage ID": 0, "Task Metrics": {"Executor Run Time": 1}},
        {"Event": "SparkListenerTaskEnd", "Stage ID": 0, "Task Metrics": metrics},
        {"Event": "SparkListenerStageCompleted", "Stage Info": {"Stage ID": 0, "Stage Name": "x"}},
    ]
    assert collect_events(events).stages[0].skew is None
