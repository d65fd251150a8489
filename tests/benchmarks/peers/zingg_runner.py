"""Zingg, with the labels that its own active learning asks for.

Zingg is under the AGPL. It is run as a program of its own, by the spark-submit of its environment, and spoken to
through files alone: a configuration, CSV tables and its training data. Nothing of it is imported here.
Runs within Zingg's environment; see `exchange` for what it is given and leaves.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sysconfig
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks.peers.columns import Column, Kind, clean_cell, profile_columns
from tests.benchmarks.peers.exchange import (
    KEY,
    SOURCE,
    Link,
    Row,
    Task,
    join_links,
    read_answers,
    read_rows,
    read_task,
    write_clusters,
    write_report,
)
from tests.benchmarks.peers.oracle import Oracle

PACKAGES = Path(sysconfig.get_path("purelib"))
DRIVER_MEMORY = "6g"
MODEL = "1"
SAMPLED = 3_000  #: Records among which it looks for pairs to ask about, where the table has more.

_MATCH_TYPES = {Kind.CATEGORY: "exact", Kind.EMAIL: "email", Kind.TEXT: "text", Kind.LONG_TEXT: "text"}
_CONF = {
    "spark.serializer": "org.apache.spark.serializer.KryoSerializer",
    "spark.sql.shuffle.partitions": "8",
    "spark.default.parallelism": "8",
    "spark.sql.adaptive.enabled": "false",
    "spark.driver.memory": DRIVER_MEMORY,
    "spark.ui.enabled": "false",
    "spark.log.level": "WARN",  # its training is thousands of small jobs, of which each would be told in ten lines
    # compiling well takes longer than they run; the first compiler alone would have room for a fifth of the code
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m",
}


def configure(columns: Sequence[Column], tables: Sequence[Path], work: Path, *, records: int) -> dict[str, Any]:
    """Return Zingg's configuration for the tables; column i is called c<i> in them, whatever its own name is."""
    names = [(f"c{i}", _MATCH_TYPES.get(column.kind, "fuzzy")) for i, column in enumerate(columns)]
    names.append((KEY, "dont_use"))
    schema = ", ".join(f"{name} string" for name, _ in names)
    csv_props = {"delimiter": ",", "header": "true", "quote": '"', "escape": '"'}
    return {
        "fieldDefinition": [
            {"fieldName": name, "fields": name, "dataType": "string", "matchType": match} for name, match in names
        ],
        "data": [
            {"name": path.stem, "format": "csv", "schema": schema, "props": {**csv_props, "location": str(path)}}
            for path in tables
        ],
        "output": [{"name": "found", "format": "parquet", "props": {"location": str(work / "found")}}],
        "labelDataSampleSize": min(1.0, SAMPLED / max(records, 1)),
        "numPartitions": 4,
        "collectMetrics": False,  # else it tells its makers of each run
        "modelId": MODEL,
        "zinggDir": str(work / "models"),
    }


def run_phase(phase: str, config: Path) -> None:
    """Run one phase of Zingg to its end. CalledProcessError if it fails; its log is on the process's own output."""
    (jar,) = (PACKAGES / "zingg" / "jars").glob("zingg-*[0-9].jar")
    conf = [part for name, value in _CONF.items() for part in ("--conf", f"{name}={value}")]
    command = [str(PACKAGES / "pyspark" / "bin" / "spark-submit"), "--master", "local[*]", *conf]
    command += [
        "--jars",
        str(jar),
        "--driver-class-path",
        str(jar),
        "--class",
        "zingg.spark.client.SparkClient",
        str(jar),
    ]
    command += ["--phase", phase, "--conf", str(config), "--license", "none"]  # no --email: it would write letters
    home = {"SPARK_HOME": str(PACKAGES / "pyspark"), "ZINGG_HOME": str(PACKAGES / "zingg")}
    subprocess.run(command, check=True, env={**os.environ, **home})


def learn(config: Path, work: Path, oracle: Oracle, deadline: float) -> int:
    """Let Zingg ask and answer it until the budget, the time or its questions are at an end; return the rounds."""
    rounds = 0
    while not oracle.is_spent and time.monotonic() < deadline:
        run_phase("findTrainingData", config)
        rounds += 1
        if not mark_pairs(work / "models" / MODEL / "trainingData", oracle, name=f"round{rounds}"):
            return rounds
    return rounds


def mark_pairs(training: Path, oracle: Oracle, *, name: str) -> bool:
    """Answer the pairs that were not answered yet, as far as the budget goes; return whether there were any."""
    asked = pq.read_table(training / "unmarked")
    marked = training / "marked"
    done = set(pq.read_table(marked, columns=["z_cluster"])["z_cluster"].to_pylist()) if marked.exists() else set()
    answers: dict[str, int] = {}
    for pair, keys in _group(asked["z_cluster"].to_pylist(), asked[KEY].to_pylist()).items():
        if pair not in done and len(keys) == 2 and oracle.affords(keys):
            answers[pair] = int(oracle.is_match(*keys))
    if answers:
        marked.mkdir(exist_ok=True)
        pq.write_table(_answered(asked, answers), marked / f"{name}.parquet")
    return bool(answers)


def _group(clusters: Iterable[str], keys: Iterable[str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for cluster, key in zip(clusters, keys, strict=True):
        grouped.setdefault(cluster, []).append(key)
    return grouped


def _answered(asked: pa.Table, answers: Mapping[str, int]) -> pa.Table:
    """Return the rows of the answered pairs with the answers in the column of Zingg's own, all else untouched."""
    clusters = asked["z_cluster"].to_pylist()
    kept = asked.filter(pa.array([cluster in answers for cluster in clusters]))
    place = kept.schema.get_field_index("z_isMatch")
    flags = [answers[cluster] for cluster in kept["z_cluster"].to_pylist()]
    return kept.set_column(place, kept.schema.field(place), pa.array(flags, kept.schema.field(place).type))


def write_tables(rows: Sequence[Row], columns: Sequence[Column], work: Path, link: Link) -> list[Path]:
    """Write the records where Zingg reads them: one table, or one for each source."""
    sources = ["all"] if link is Link.ANY else sorted({str(row[SOURCE]) for row in rows})
    paths = [work / f"{name}.csv" for name in sources]
    for source, path in zip(sources, paths, strict=True):
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*(f"c{i}" for i in range(len(columns))), KEY])
            for row in rows:
                if link is Link.ANY or row[SOURCE] == source:
                    writer.writerow([*(clean_cell(row[c.name], c.kind) for c in columns), row[KEY]])
    return paths


def read_found(folder: Path) -> dict[str, str]:
    """Return the cluster of each record in Zingg's output; a record that is in several joins them."""
    found = pq.read_table(folder, columns=[KEY, "z_cluster"]).to_pydict()
    keys, clusters = map(str, found[KEY]), (f"cluster {cluster}" for cluster in found["z_cluster"])
    joined = join_links(zip(keys, clusters, strict=True))
    return {key: joined[key] for key in map(str, found[KEY])}


def main(task: Task) -> None:
    """Cluster the records of a task."""
    if task.answers is None:
        raise ValueError("Zingg learns from labels: give --answers")
    deadline = time.monotonic() + task.learning_seconds
    rows, oracle = read_rows(task.records), Oracle(read_answers(task.answers), task.rows)
    columns = [column for column in profile_columns(rows) if column.kind is not Kind.EMPTY]
    tables = write_tables(rows, columns, task.work, task.link)
    config = task.work / "zingg.json"
    config.write_text(json.dumps(configure(columns, tables, task.work, records=len(rows))), encoding="utf-8")
    rounds = learn(config, task.work, oracle, deadline)
    for phase in ["trainMatch"] if task.link is Link.ANY else ["train", "link"]:
        run_phase(phase, config)
    write_clusters(task, read_found(task.work / "found"))
    write_report(task, {**oracle.to_report(), "rounds": rounds, "columns": {c.name: c.kind for c in columns}})


if __name__ == "__main__":
    main(read_task())
