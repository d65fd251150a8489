"""glue-ml itself through its library face, with the labels that its own labelling sets ask for.

Runs in the environment of the benchmark; see `exchange` for what it is given and leaves.
"""

from __future__ import annotations

import time

from pyspark.sql import DataFrame

from glue_ml.domain.labels import LabeledRow
from glue_ml.matching import FindMatches
from glue_ml.session import open_session
from tests.benchmarks.peers.exchange import KEY, Task, read_answers, read_task, write_clusters, write_report
from tests.benchmarks.quality import read_records

ROWS_A_SET = 100  #: Rows asked for in one call.


def learn(estimator: FindMatches, df: DataFrame, task: Task) -> list[LabeledRow]:
    """Return labelled rows, bought a labelling set at a time until the budget or the time for it is at an end."""
    labels: list[LabeledRow] = []
    label_of = read_answers(task.answers) if task.answers is not None else {}
    deadline = time.monotonic() + task.learning_seconds
    while len(labels) < task.rows and time.monotonic() < deadline:
        model = estimator.fit(df, labels) if labels else estimator.fit(df)
        asked = model.labeling_sets(df, rows=min(ROWS_A_SET, task.rows - len(labels))).collect()
        if not asked:
            break
        labels += [LabeledRow(row["labeling_set_id"], label_of[row[KEY]], row[KEY]) for row in asked]
    return labels


def main(task: Task) -> None:
    """Cluster the records of a task."""
    spark = open_session("glue-ml peers", master="local[*]")
    df = read_records(spark, task.records.parent).cache()
    estimator = FindMatches(primary_key=KEY, seed=task.seed)
    labels = learn(estimator, df, task)
    model = estimator.fit(df, labels) if labels else estimator.fit(df)
    found = model.find_matches(df).matches.select(KEY, "match_id").collect()
    write_clusters(task, {row[KEY]: row["match_id"] for row in found})
    write_report(task, {"rows_labelled": len(labels)})


if __name__ == "__main__":
    main(read_task())
