"""The evaluation report: one HTML file that shows how good a model is, where it errs, and what the table is like."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pyspark.sql import DataFrame

from glue_ml import storage
from glue_ml.matching.data_quality import inspect_columns, inspect_rows
from glue_ml.matching.find_matches import FindMatchesModel
from glue_ml.matching.pipeline import choose_plan
from glue_ml.matching.report_charts import find_missing_package
from glue_ml.matching.report_data import ReportData, choose_hardest
from glue_ml.matching.report_sections import render_report
from glue_ml.matching.table import read_values

_NOT_WRITTEN = "no evaluation report was written"


def write_report(model: FindMatchesModel, df: DataFrame, uri: str, *, title: str, now: datetime) -> str | None:
    """Write the report of a model that learned from labels of `df` to `uri`; where none can be, say why in a sentence.

    Reads the table and blocks it, unless the model has just learned from this very DataFrame; one more Spark job reads
    the hardest pairs. Raises NotReadyError for a model without labels, and what `storage.write_bytes` raises.
    """
    missing = find_missing_package()
    if missing is not None:
        return (
            f"{_NOT_WRITTEN}, as the package {missing} is not installed; for one, install 'glue-ml[report]' where the "
            "evaluation runs"
        )
    if model.model_.learned is not None and model.model_.learned.held_out is None:
        return f"{_NOT_WRITTEN}, as the model was saved by an older version; train it again for one"
    page = render_report(gather_report(model, df, title=title, now=now))
    storage.write_bytes(uri, page.encode("utf-8"))
    return None


def gather_report(model: FindMatchesModel, df: DataFrame, *, title: str, now: datetime) -> ReportData:
    """Find out everything that the report shows; `now` is told in it, as UTC."""
    evaluation, settings = model.evaluate(), model.settings
    assert model.model_.learned is not None
    held_out = model.model_.learned.held_out
    assert held_out is not None
    blocked = model.prepare(df)
    hardest = choose_hardest(held_out, evaluation.threshold)
    keys = sorted({key for pair in hardest for key in (pair.left, pair.right)})
    values = read_values(df, keys, primary_key=settings.primary_key)
    return ReportData(
        title=title,
        now=now,
        label_count=model.label_count_,
        evaluation=evaluation,
        held_out=held_out,
        plan=choose_plan(blocked.index).to_dict(),
        columns=inspect_columns(blocked.records),
        rows=inspect_rows(model.model_, blocked.records, blocked.index, seed=settings.seed),
        table_rows=len(blocked.records),
        hardest=hardest,
        values={key: _leave_out(row, settings.primary_key) for key, row in values.items()},
    )


def _leave_out(row: Mapping[str, str | None], column: str) -> dict[str, str | None]:
    return {name: value for name, value in row.items() if name != column}
