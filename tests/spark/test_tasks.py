"""The five jobs one after the other on one small table, each as its own run directory, in this process."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
from pyspark.sql import functions as F

from glue_ml.domain.job import JobSpec, TableSpec, TaskType
from glue_ml.job_runner import Task, run_job
from glue_ml.matching import report_charts
from glue_ml.matching.find_matches import FIT_STAGES, MATCH_STAGES
from glue_ml.matching.label_table import label_version, read_labels
from glue_ml.matching.state_files import read_kept_version
from glue_ml.matching.table_version import read_version
from glue_ml.tasks.evaluation import evaluate
from glue_ml.tasks.export_labels import export_label_file
from glue_ml.tasks.find_matches import find_matches
from glue_ml.tasks.import_labels import import_label_file
from glue_ml.tasks.labeling_set_generation import generate_labeling_sets

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from tests.conftest import People

TASKS: dict[TaskType, Task] = {
    TaskType.EVALUATION: evaluate,
    TaskType.EXPORT_LABELS: export_label_file,
    TaskType.FIND_MATCHES: find_matches,
    TaskType.IMPORT_LABELS: import_label_file,
    TaskType.LABELING_SET_GENERATION: generate_labeling_sets,
}
ROWS = 300


@dataclass
class Transform:
    """A transform in a folder, and the results of its task runs in their order."""

    folder: Path
    people: People
    results: list[dict[str, Any]] = field(default_factory=list)

    def run(self, task_type: TaskType, **members: Any) -> dict[str, Any]:
        directory = self.folder / "runs" / str(len(self.results))
        directory.mkdir(parents=True)
        tables = members.pop("tables", (TableSpec(path=str(self.people.path), format="parquet"),))
        spec = JobSpec(
            task_type,
            "tfm-1",
            self.people.key,
            tables,
            labels_uri=str(self.folder / "labels"),
            models_uri=str(self.folder / "models"),
            **members,
        )
        (directory / "spec.json").write_text(spec.to_json())
        code = run_job(lambda: TASKS[task_type], task_type=task_type, arguments=["--run-directory", str(directory)])
        result: dict[str, Any] = json.loads((directory / "result.json").read_bytes())
        assert code == (0 if result["succeeded"] else 1)
        self.results.append(result)
        return result

    def generate(self) -> tuple[dict[str, Any], bytes]:
        result = self.run(TaskType.LABELING_SET_GENERATION, output_uri=str(self.folder / "sets"))
        assert result["error"] is None
        return result, Path(result["paths"]["labeling_sets"]).read_bytes()

    def import_file(self, data: bytes, **members: Any) -> dict[str, Any]:
        path = self.folder / "labels.csv"
        path.write_bytes(data)
        return self.run(TaskType.IMPORT_LABELS, input_uri=str(path), **members)

    def models(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "models").iterdir())


@pytest.fixture
def blank(tmp_path: Path, people: People) -> Transform:
    """A transform without labels."""
    return Transform(tmp_path, people)


@pytest.fixture(scope="module")
def people(make_people_file: Callable[[int], People], spark: SparkSession) -> People:
    return make_people_file(ROWS)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory, people: People) -> Transform:
    """A transform that was taught with one file of labelling sets, answered from the truth."""
    transform = Transform(tmp_path_factory.mktemp("taught"), people)
    _, sets = transform.generate()
    assert transform.import_file(people.answer(sets))["error"] is None
    return transform


def _rows(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8"))))


def test_labeling_sets_need_no_labels(blank: Transform) -> None:
    result, data = blank.generate()
    header, *rows = _rows(data)
    assert header == ["labeling_set_id", "label", *blank.people.columns]
    assert {row[1] for row in rows} == {""}
    assert result["counts"] == {"rows": len(rows), "sets": len({row[0] for row in rows})}
    assert 50 <= len(rows) <= 150
    name = Path(result["paths"]["labeling_sets"]).name
    assert re.fullmatch(r"tfm-1_[0-9a-f-]{36}\.csv", name)


def test_labeled_rows_are_not_asked_for_again(taught: Transform, spark: SparkSession) -> None:
    _, data = taught.generate()
    header, *rows = _rows(data)
    labeled = {row.key for row in read_labels(spark, str(taught.folder / "labels"))}
    assert len(labeled) >= 50
    assert not labeled & {row[header.index(taught.people.key)] for row in rows}


def test_evaluation_trains_once_and_tells_the_metrics(taught: Transform, spark: SparkSession) -> None:
    first = taught.run(TaskType.EVALUATION)
    assert first["error"] is None
    metrics = first["metrics"]
    assert {"area_under_pr_curve", "precision", "recall", "f1", "column_importances"} <= metrics.keys()
    assert 0.5 < metrics["f1"] <= 1.0
    assert first["counts"]["labeled_rows"] == len(read_labels(spark, str(taught.folder / "labels")))
    (model,) = taught.models()
    stored = (taught.folder / "models" / model / "model.json").stat().st_mtime_ns
    again = taught.run(TaskType.EVALUATION)
    assert again["metrics"] == metrics
    assert taught.models() == [model]
    assert (taught.folder / "models" / model / "model.json").stat().st_mtime_ns == stored


def test_find_matches_keeps_every_row_and_groups_the_repeated_ones(taught: Transform, spark: SparkSession) -> None:
    output = str(taught.folder / "matches")
    result = taught.run(TaskType.FIND_MATCHES, output_uri=output, compute_match_confidence_scores=True)
    assert result["error"] is None
    assert result["paths"] == {"matches": output}
    assert result["counts"]["rows"] == ROWS
    assert result["plan"]["name"]
    matches = spark.read.parquet(output)
    assert matches.columns == [*taught.people.columns, "match_id", "match_confidence_score"]
    assert matches.count() == ROWS
    found = {row[taught.people.key]: row["match_id"] for row in matches.collect()}
    assert found.keys() == taught.people.truth.keys()
    groups = len(set(found.values()))
    entities = len(set(taught.people.truth.values()))
    assert abs(groups - entities) < 0.2 * entities
    _check_stages(result)


def _check_stages(result: dict[str, Any]) -> None:
    counts = result["counts"]
    told = {stage["name"]: stage for stage in result["stages"][-6:]}
    assert list(told) == [*MATCH_STAGES, "write the matches"]
    assert {name: told[name]["seconds"] for name in MATCH_STAGES} == {
        name: seconds for name, seconds in result["seconds"].items() if name != "total"
    }
    scored, clustered = told["score candidate pairs"], told["cluster"]
    assert told["read the table"]["rows_out"] == told["write the matches"]["rows_in"] == ROWS
    assert scored["rows_in"] == counts["candidate_pairs"]
    assert scored["rows_out"] == clustered["rows_in"] > 0
    assert clustered["rows_out"] == counts["groups"]
    assert told["block"]["bytes"] == result["plan"]["index_bytes"]
    assert all(stage["bytes"] > 0 for stage in told.values() if stage["name"] != "write the matches")


def test_a_run_that_trains_tells_those_stages_too(taught: Transform) -> None:
    result = taught.run(TaskType.EVALUATION, seed=11)
    assert [stage["name"] for stage in result["stages"]] == [*FIT_STAGES, "write the report"]
    progress = json.loads((taught.folder / "runs" / str(len(taught.results) - 1) / "progress.json").read_bytes())
    assert progress == {"stage": "write the report", "done": 5, "total": 5, "seconds_left": 0.0}


def test_a_run_with_a_state_goes_on_from_it_and_keeps_a_ledger(taught: Transform, spark: SparkSession) -> None:
    people = spark.read.parquet(str(taught.people.path))
    places = {name: str(taught.folder / "kept" / name) for name in ("old", "new", "matches", "state")}
    is_new = F.crc32(F.col(taught.people.key).cast("string").cast("binary")) % 5 == 0
    people.where(~is_new).write.parquet(places["old"])
    people.where(is_new).write.parquet(places["new"])
    taught.run(TaskType.EVALUATION)  # the model: the old rows alone lack labelled ones
    given = {"output_uri": places["matches"], "output_format": "delta", "match_state_uri": places["state"]}
    first = taught.run(TaskType.FIND_MATCHES, tables=(TableSpec(path=places["old"], format="parquet"),), **given)
    assert first["error"] is None
    before = {
        row[taught.people.key]: row["match_id"] for row in spark.read.format("delta").load(places["matches"]).collect()
    }
    new = (TableSpec(path=places["new"], format="parquet"),)
    merged = {**given, "existing_matches_uri": places["matches"], "merge_matches": True}
    refused = taught.run(TaskType.FIND_MATCHES, tables=new, **(merged | {"output_uri": places["new"]}))
    assert "merge_matches" in refused["error"]["message"]
    why = str(taught.folder / "kept" / "why")
    second = taught.run(TaskType.FIND_MATCHES, tables=new, explanations_uri=why, **merged)
    assert second["error"] is None
    assert [stage["name"] for stage in second["stages"][-2:]] == ["match what changed", "write the matches"]
    held = read_kept_version(places["state"])
    assert held == read_version(spark, places["matches"])
    assert held is not None
    assert held.number == 1
    rows = spark.read.format("delta").load(places["matches"]).collect()
    assert len(rows) == ROWS == second["counts"]["rows"]
    ledger = spark.read.format("delta").load(second["paths"]["ledger"]).collect()
    changed = {row["match_id"] for row in ledger} | {i for row in ledger for i in (*row["from_ids"], *row["into_ids"])}
    after = {row[taught.people.key]: row["match_id"] for row in rows}
    assert all(after[key] == match_id for key, match_id in before.items() if match_id not in changed)
    assert set(after.values()) - set(before.values()) <= changed
    links = spark.read.format("delta").load(second["paths"]["explanations"]).collect()
    assert 0 < len(links) == second["counts"]["explained_links"] <= second["counts"]["touched_rows"] ** 2
    assert all(after[link["key_a"]] == after[link["key_b"]] == link["match_id"] for link in links)


def test_other_settings_get_a_model_of_their_own(taught: Transform) -> None:
    taught.run(TaskType.EVALUATION)
    before = taught.models()
    result = taught.run(TaskType.EVALUATION, precision_recall_tradeoff=0.9)
    assert result["error"] is None
    assert len(taught.models()) == len(before) + 1


def test_new_labels_get_a_new_model(taught: Transform, spark: SparkSession) -> None:
    taught.run(TaskType.EVALUATION)
    before, version = taught.models(), label_version(str(taught.folder / "labels"))
    _, sets = taught.generate()
    assert taught.import_file(taught.people.answer(sets))["error"] is None
    later = label_version(str(taught.folder / "labels"))
    assert version is not None
    assert later is not None
    assert later > version
    assert taught.run(TaskType.EVALUATION)["error"] is None
    (added,) = set(taught.models()) - set(before)
    assert added.startswith(f"{later:06d}-")


def test_an_export_can_be_imported_again(taught: Transform, blank: Transform, spark: SparkSession) -> None:
    result = taught.run(TaskType.EXPORT_LABELS, output_uri=str(taught.folder / "export"))
    assert result["error"] is None
    path = Path(result["paths"]["labels_file"])
    assert re.fullmatch(r"tfm-1_labels_\d{4}-\d\d-\d\d_\d\d_\d\d_\d\d_[0-9a-f-]{36}\.csv", path.name)
    imported = blank.import_file(path.read_bytes())
    assert imported["error"] is None
    assert imported["counts"]["total_rows"] == result["counts"]["rows"]
    one, other = (read_labels(spark, str(t.folder / "labels")) for t in (taught, blank))
    assert sorted((r.labeling_set_id, r.key, r.label) for r in one) == sorted(
        (r.labeling_set_id, r.key, r.label) for r in other
    )


def test_replacing_forgets_what_was_there(taught: Transform, spark: SparkSession) -> None:
    taught_rows = read_labels(spark, str(taught.folder / "labels"))
    first_set = [row for row in taught_rows if row.labeling_set_id == taught_rows[0].labeling_set_id]
    people = taught.people
    header = ",".join(["labeling_set_id", "label", people.key])
    keys = [row.key for row in first_set[:3]]
    data = "\n".join([header, f"s,A,{keys[0]}", f"s,A,{keys[1]}", f"s,B,{keys[2]}"]).encode()
    result = taught.import_file(data, replace_labels=True)
    assert result["error"] is None
    assert result["counts"]["total_rows"] == 3
    assert result["counts"]["replaced"] == len(taught_rows)


@pytest.mark.parametrize("task_type", [TaskType.EVALUATION, TaskType.FIND_MATCHES])
def test_a_transform_without_labels_is_not_ready(blank: Transform, task_type: TaskType) -> None:
    result = blank.run(task_type, output_uri=str(blank.folder / "out"))
    assert result["error"]["kind"] == "NOT_READY"
    assert "tfm-1" in result["error"]["message"]
    assert not (blank.folder / "out").exists()
    assert not (blank.folder / "models").exists()


def test_there_is_nothing_to_export_without_labels(blank: Transform) -> None:
    result = blank.run(TaskType.EXPORT_LABELS, output_uri=str(blank.folder / "export"))
    assert result["error"] == {"kind": "NOT_FOUND", "message": "No labelset exists for transformId [tfm-1]"}
    assert not (blank.folder / "export").exists()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["s,A,no-such-key"], "line 2: .*no-such-key"),
        (["s,A,{0}", "s,A,{0}"], "line 3: "),
        (["s,A,{0}", "s,A,{1}"], "matches only"),
        (["s,A"], "line 2: "),
    ],
)
def test_a_broken_label_file_changes_nothing(
    taught: Transform, spark: SparkSession, rows: list[str], said: str
) -> None:
    uri = str(taught.folder / "labels")
    version = label_version(uri)
    keys = sorted(taught.people.truth)
    lines = [f"labeling_set_id,label,{taught.people.key}", *(row.format(*keys) for row in rows)]
    # replacing, so that the labels that are there cannot supply the class that the file lacks
    result = taught.import_file("\n".join(lines).encode(), replace_labels=True)
    assert result["error"]["kind"] == "INPUT"
    assert re.search(said, result["error"]["message"])
    assert label_version(uri) == version


def test_a_label_file_over_the_limit_is_refused_before_it_is_read(blank: Transform) -> None:
    result = blank.import_file(b"x" * (1024 * 1024 + 1), label_file_limit_mb=1)
    assert result["error"]["kind"] == "INPUT"
    assert "exceeded the limit of 1 MB" in result["error"]["message"]


def test_a_missing_label_file_is_told(blank: Transform) -> None:
    result = blank.run(TaskType.IMPORT_LABELS, input_uri=str(blank.folder / "none.csv"))
    assert result["error"]["kind"] == "NOT_FOUND"
    assert "none.csv" in result["error"]["message"]


def test_a_job_says_which_member_its_spec_lacks(blank: Transform) -> None:
    result = blank.run(TaskType.FIND_MATCHES)
    assert result["error"] == {"kind": "INPUT", "message": "the spec of FIND_MATCHES needs output_uri"}


def test_an_evaluation_writes_its_report_beside_its_result(taught: Transform) -> None:
    result = taught.run(TaskType.EVALUATION)
    directory = taught.folder / "runs" / str(len(taught.results) - 1)
    assert result["paths"] == {"report": str(directory / "report.html")}
    (remark,) = result["remarks"]
    assert "more labelled rows are expected to raise F1 by" in remark
    gain = result["metrics"]["expected_gain"]
    assert gain["rows"] == 100
    assert gain["gain"] >= 0 < gain["error"]
    page = (directory / "report.html").read_text(encoding="utf-8")
    root = ElementTree.fromstring(page.replace("<!DOCTYPE html>", "", 1))
    text = "".join(root.itertext())
    assert "How well tfm-1 matches" in text
    assert f"{ROWS:,} rows" in text
    assert all(name in text for name in taught.people.columns if name != taught.people.key)
    assert len(list(root.iter("h3"))) == min(20, result["counts"]["labeled_pairs"])
    assert "The table no longer has" not in text


def test_a_report_goes_where_it_is_asked_for(taught: Transform) -> None:
    place = str(taught.folder / "elsewhere" / "r.html")
    result = taught.run(TaskType.EVALUATION, report_uri=place)
    assert result["paths"] == {"report": place}
    assert Path(place).is_file()


def test_without_its_packages_an_evaluation_succeeds_and_says_how_to_get_a_report(
    taught: Transform, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(report_charts, "PACKAGES", ("no_such_package",))
    result = taught.run(TaskType.EVALUATION)
    assert result["error"] is None
    assert result["metrics"]["f1"] > 0.5
    assert result["paths"] == {}
    remark, _ = result["remarks"]
    assert "no_such_package is not installed" in remark
    assert "install 'glue-ml[report]'" in remark
    assert remark in caplog.text


def test_a_run_explains_the_links_of_its_groups_where_it_is_told_to(taught: Transform, spark: SparkSession) -> None:
    output, explanations = str(taught.folder / "explained"), str(taught.folder / "explained-why")
    result = taught.run(TaskType.FIND_MATCHES, output_uri=output, output_format="csv", explanations_uri=explanations)
    assert result["error"] is None
    assert result["paths"] == {"matches": output, "explanations": explanations}
    matches = {row[taught.people.key]: row["match_id"] for row in spark.read.csv(output, header=True).collect()}
    links = spark.read.option("escape", '"').csv(explanations, header=True).collect()
    assert len(links) == result["counts"]["explained_links"] > 0
    for link in links:
        assert matches[link["key_a"]] == matches[link["key_b"]] == link["match_id"]
        assert json.loads(link["contributions"])


def test_explanations_of_new_rows_need_a_state(blank: Transform) -> None:
    given = {name: str(blank.folder / name) for name in ("output_uri", "explanations_uri", "existing_matches_uri")}
    result = blank.run(TaskType.FIND_MATCHES, **given)
    assert result["error"]["kind"] == "INPUT"
    assert "need match_state_uri" in result["error"]["message"]


@pytest.mark.parametrize("place", ["out", "out/below", "."])
def test_explanations_are_not_written_over_matches(blank: Transform, place: str) -> None:
    output, explanations = str(blank.folder / "out"), str(blank.folder / place)
    result = blank.run(TaskType.FIND_MATCHES, output_uri=output, explanations_uri=explanations)
    assert result["error"]["kind"] == "INPUT"
    assert "in the same place" in result["error"]["message"]
