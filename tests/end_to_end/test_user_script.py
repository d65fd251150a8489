"""A user's script for AWS Glue, started by spark-submit with `awsglueml` on its path."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from glue_ml.domain.job import JobSpec, TableSpec, TaskType
from tests.glue_server import describe_transform, serve_transforms
from tests.people import f1_score

if TYPE_CHECKING:
    from tests.conftest import People

ROOT = Path(__file__).parents[2]
LONGEST = 240
SCRIPT = """
import sys

from awsglueml.transforms import FindMatches
from pyspark.sql import SparkSession

table, transform_id, output = sys.argv[1:]
spark = SparkSession.builder.getOrCreate()
people = spark.read.parquet(table)
matches = FindMatches.apply(frame=people, transformId=transform_id, computeMatchConfidenceScores=True)
matches.write.parquet(output)
"""


def test_a_script_of_glue_finds_matches(tmp_path: Path, make_people_file: Callable[[int], People]) -> None:
    people = make_people_file(250)
    storage = tmp_path / "storage"
    _import_labels(people, labels=storage / "transforms" / "tfm-1" / "labels", run=tmp_path)
    (tmp_path / "script.py").write_text(SCRIPT)
    columns = dict.fromkeys(people.columns, "string")
    with serve_transforms({"tfm-1": describe_transform("tfm-1", columns, key=people.key)}) as endpoint:
        variables = {
            "AWS_ENDPOINT_URL_GLUE": endpoint,
            "GLUE_ML_STORAGE_URI": storage.as_uri(),
            "GLUE_ML_ACCESS_KEY_ID": "local",
            "GLUE_ML_SECRET_ACCESS_KEY": "local",
        }
        _submit(tmp_path / "script.py", str(people.path), "tfm-1", str(tmp_path / "matches"), variables=variables)
    matches = pq.read_table(tmp_path / "matches")
    assert matches.column_names == [*people.columns, "match_id", "match_confidence_score"]
    assert sorted(map(str, matches[people.key].to_pylist())) == sorted(people.truth)
    found = zip(map(str, matches[people.key].to_pylist()), matches["match_id"].to_pylist(), strict=True)
    entities = {entity: i for i, entity in enumerate(sorted(set(people.truth.values())))}
    assert f1_score(dict(found), {key: entities[entity] for key, entity in people.truth.items()}) > 0.8


def _import_labels(people: People, *, labels: Path, run: Path) -> None:
    """Teach by the job, as a server does: sets of ten rows, and who they are."""
    by_person = sorted(people.truth.items(), key=lambda row: row[1])
    rows = [f"s{i // 10},{entity},{key}" for i, (key, entity) in enumerate(by_person[:100])]
    (run / "labels.csv").write_text("\n".join([f"labeling_set_id,label,{people.key}", *rows]))
    spec = JobSpec(
        TaskType.IMPORT_LABELS,
        "tfm-1",
        people.key,
        (TableSpec(path=str(people.path), format="parquet"),),
        labels_uri=str(labels),
        input_uri=str(run / "labels.csv"),
    )
    (run / "spec.json").write_text(spec.to_json())
    _submit(ROOT / "jobs" / "import_labels.py", "--run-directory", str(run), variables={})


def _submit(script: Path, *arguments: str, variables: Mapping[str, str]) -> None:
    """Run a script to its end with the module path and the configuration that a launcher gives it."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "glue_ml" / "script_path")])
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GLUE_ML_"))}
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "spark-submit"),
            *("--master", "local[2]", "--properties-file", str(ROOT / "conf" / "spark-defaults.conf")),
            str(script),
            *arguments,
        ],
        cwd=script.parent,
        env={**environment, "PYTHONPATH": path, "PYSPARK_PYTHON": sys.executable, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LONGEST,
        check=False,
    )
    assert done.returncode == 0, done.stdout
