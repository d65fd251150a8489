"""A model from labelled rows of a sample, asked for through labelling sets and answered from the truth.

What it leaves is what a control plane keeps: the labels as a table and the model of their version.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pyspark.sql import DataFrame

from glue_ml.domain.job import JobSpec, TableSpec, TaskType
from glue_ml.domain.labels import LabeledRow
from glue_ml.job_runner import read_input
from glue_ml.matching import FindMatchesModel
from glue_ml.matching.label_table import import_labels
from glue_ml.matching.registry import load_or_train_model, make_find_matches
from glue_ml.session import open_session
from glue_ml.synthetic.people import KEY
from tests.benchmarks.scaling.people import Table, make_table, read_entities

LABELLED_ROWS = 500
ASKED_AT_ONCE = 100


def describe_run(table: Table, folder: Path, output: Path, *, accuracy_cost: float | None = None) -> JobSpec:
    """Return the spec of a FIND_MATCHES run over the table, with the labels and the models below `folder`."""
    return JobSpec(
        TaskType.FIND_MATCHES,
        transform_id="scale",
        primary_key=KEY,
        tables=(TableSpec(path=str(table.records), format="parquet"),),
        labels_uri=str(folder / "labels"),
        models_uri=str(folder / "models"),
        output_uri=str(output),
        accuracy_cost_tradeoff=accuracy_cost,
    )


def _quiet(*_: object) -> None:
    """Tell nobody how far the training is."""


def train(table: Table, folder: Path, *, master: str, accuracy_cost: float | None = None) -> dict[str, float]:
    """Label rows of the sample, train on it, and leave labels and model below `folder`; return what it took."""
    started = time.monotonic()
    spark = open_session("glue-ml scale: training", master=master)
    spec = describe_run(table, folder, folder / "none", accuracy_cost=accuracy_cost)
    spec = replace(spec, tables=(TableSpec(path=str(table.sample), format="parquet"),))
    df, entity = read_input(spark, spec), read_entities(table)
    model, labels = make_find_matches(spec, _quiet).fit(df), list[LabeledRow]()
    while len(labels) < LABELLED_ROWS:
        asked = _ask(model, df, entity, min(ASKED_AT_ONCE, LABELLED_ROWS - len(labels)))
        if not asked:
            break
        labels += asked
        model = make_find_matches(spec, _quiet).fit(df, labels)
    assert spec.labels_uri is not None
    import_labels(spark, spec.labels_uri, labels, replace=True, now=datetime.now(UTC))
    load_or_train_model(spark, spec, df, _quiet)
    spark.stop()
    return {"labelled_rows": len(labels), "seconds": round(time.monotonic() - started, 1)}


def _ask(model: FindMatchesModel, df: DataFrame, entity: dict[str, str], rows: int) -> list[LabeledRow]:
    asked = model.labeling_sets(df, rows=rows).collect()
    return [LabeledRow(row["labeling_set_id"], entity[row[KEY]], row[KEY]) for row in asked]


if __name__ == "__main__":
    cost = float(sys.argv[5]) if len(sys.argv) > 5 else None
    train(make_table(int(sys.argv[1]), Path(sys.argv[2])), Path(sys.argv[3]), master=sys.argv[4], accuracy_cost=cost)
