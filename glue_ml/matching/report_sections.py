"""The sections of the evaluation report: curves, tables and pairs side by side, as one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from glue_ml import __version__
from glue_ml.matching.data_quality import RowQuality
from glue_ml.matching.evaluation import Confusion, Evaluation, HeldOut, Interval, precision_recall_curve
from glue_ml.matching.report_charts import (
    draw_calibration,
    draw_candidates,
    draw_histogram,
    draw_importances,
    draw_precision_recall,
)
from glue_ml.matching.report_data import HardPair, ReportData, Values, measure_calibration
from glue_ml.matching.report_page import (
    make_comparison,
    make_heading,
    make_image,
    make_note,
    make_page,
    make_section,
    make_table,
    replace_unseen,
)

HISTOGRAM_BINS = 20
SHOWN_IMPORTANCES = 30
MOST_CANDIDATES = 20  #: Bars of the histogram of candidates.
CURVE_POINTS = 500


def render_report(data: ReportData) -> str:
    """Return the report as one HTML page that loads nothing. Needs the packages of the extra `report`."""
    return make_page(
        data.title,
        [
            _tell_head(data),
            _tell_quality(data),
            _tell_calibration(data),
            _tell_importances(data),
            _tell_blocking(data),
            _tell_hardest(data),
            _tell_columns(data),
            _tell_rows(data),
        ],
    )


def _tell_head(data: ReportData) -> str:
    return make_note(
        f"{data.table_rows:,} rows; {data.label_count:,} labelled rows make {data.evaluation.labeled_pairs:,} labelled "
        f"pairs. Every number on them comes from models that did not see the pair's labelling set. This file holds "
        f"rows of the table: keep it as you keep the table. Written {data.now:%Y-%m-%d %H:%M} UTC by glue-ml "
        f"{__version__}."
    )


def _tell_quality(data: ReportData) -> str:
    found = data.evaluation
    counts = Confusion(found.true_positives, found.false_positives, found.true_negatives, found.false_negatives)
    confusion = (
        ("labelled as a match", found.true_positives, found.false_negatives),
        ("labelled as no match", found.false_positives, found.true_negatives),
    )
    return make_section(
        "How good it is",
        *_tell_measures(found),
        make_note(
            "The rest is of the labelled pairs alone. They are chosen because they are hard, so on them a model looks "
            "worse than on the whole table."
        ),
        make_table(("", "called a match", "called no match"), confusion, numeric=("called a match", "called no match")),
        make_image(
            draw_precision_recall(_curve(data.held_out), {"recall": counts.recall, "precision": counts.precision}),
            alt=f"Precision by recall of the labelled pairs over all thresholds; the dot is the threshold "
            f"{found.threshold:.2f}: precision {counts.precision:.3f}, recall {counts.recall:.3f}.",
        ),
    )


def _tell_measures(found: Evaluation) -> tuple[str, str]:
    measures = (
        ("precision at the threshold", found.precision, found.precision_interval),
        ("recall at the threshold", found.recall, found.recall_interval),
        ("F1 (best over all thresholds)", found.f1, found.f1_interval),
        ("area under the precision-recall curve", found.area_under_pr_curve, None),
        ("threshold: a pair with at least this probability is a match", found.threshold, None),
    )
    names = ("measure", "value", "90 % interval")
    rows = [(name, value, _show_interval(interval)) for name, value, interval in measures]
    if found.f1_interval is None:
        return make_table(names[:2], [row[:2] for row in rows], numeric=("value",)), ""
    return make_table(names, rows, numeric=("value",)), make_note(
        "Estimated for all pairs of the table, from the scores of all candidate pairs and what the labels say a score "
        "means. Labels cannot tell of matches that no candidate pair leads to: recall may be lower, never higher, for "
        "them."
    )


def _show_interval(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"


def _curve(held_out: HeldOut) -> list[dict[str, float]]:
    curve = precision_recall_curve(held_out.is_match, held_out.probability)
    places = np.unique(np.linspace(0, max(len(curve.recall) - 1, 0), CURVE_POINTS).astype(np.int64))
    points = [(0.0, 1.0), *((float(curve.recall[i]), float(curve.precision[i])) for i in places.tolist())]
    return [
        {"place": place, "recall": recall, "precision": precision} for place, (recall, precision) in enumerate(points)
    ]


def _tell_calibration(data: ReportData) -> str:
    bins, threshold = measure_calibration(data.held_out), data.evaluation.threshold
    rows = [(each.pairs, each.predicted, each.observed, each.low, each.high) for each in bins]
    names = ("pairs", "mean probability", "share of matches", "95 % from", "95 % to")
    return make_section(
        "Are its probabilities right?",
        make_image(
            draw_calibration([vars(each) for each in bins]),
            alt="Predicted probability and the share of matches among pairs that were given it, with 95 % intervals; "
            "on the dashed line probabilities are right.",
        ),
        make_table(names, rows, numeric=names),
        make_image(
            draw_histogram(_histogram(data.held_out), threshold),
            alt=f"Labelled pairs by probability; the dashed line is the threshold {threshold:.2f}.",
        ),
        make_note(
            "These are labelled pairs, the hardest of the table. Other candidate pairs of a probability above one half "
            "are matches more often than it says, those below less often; the estimates above allow for that."
        ),
    )


def _histogram(held_out: HeldOut) -> list[dict[str, Any]]:
    """Return the bars of the matches, and on top of them those of the others."""
    edges = np.linspace(0.0, 1.0, HISTOGRAM_BINS + 1)
    matches, _ = np.histogram(held_out.probability[held_out.is_match], edges)
    pairs, _ = np.histogram(held_out.probability, edges)
    kinds = (("match", np.zeros_like(pairs), matches), ("no match", matches, pairs))
    return [
        {"low": low, "high": high, "kind": kind, "bottom": int(bottom[i]), "top": int(top[i])}
        for kind, bottom, top in kinds
        for i, (low, high) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
        if top[i] > bottom[i]
    ]


def _tell_importances(data: ReportData) -> str:
    shares = data.evaluation.column_importances[:SHOWN_IMPORTANCES]
    names = ("column", "importance")
    return make_section(
        "Which columns matter",
        make_image(
            draw_importances([{"column": replace_unseen(name), "share": share} for name, share in shares]),
            alt="Each column's share of what shuffling its values costs in area under the precision-recall curve.",
        ),
        make_table(names, shares, numeric=("importance",)),
    )


def _tell_blocking(data: ReportData) -> str:
    found = data.rows.candidates
    spread = [float(q) for q in np.quantile(found, [0.0, 0.5, 0.9, 1.0])] if len(found) else [0.0] * 4
    facts: list[tuple[str, str]] = [
        ("matches that blocking proposes, by the labels", f"{data.evaluation.candidate_recall:.4f}"),
        ("candidates of a row, on average", f"{found.mean() if len(found) else 0.0:.1f}"),
        ("least / median / 90 % / most", " / ".join(f"{each:.0f}" for each in spread)),
        ("rows without a candidate", f"{data.rows.without_candidate:,} of {data.rows.rows:,}"),
        ("plan", f"{data.plan.get('name', '')}: {data.plan.get('reason', '')}"),
        ("candidates per row and view, at most", str(data.plan.get("top_k", ""))),
        ("size of the index", f"{data.plan.get('index_bytes', 0) / 2**20:.1f} MiB"),
    ]
    return make_section(
        "Which pairs are looked at",
        make_table(("blocking", ""), facts),
        make_image(draw_candidates(_count_candidates(found)), alt="Rows by their number of candidates."),
        _note_sample(data.rows),
    )


def _count_candidates(candidates: npt.NDArray[np.int64]) -> list[dict[str, Any]]:
    top = max(int(candidates.max(initial=0)), 1)
    width = -(-top // MOST_CANDIDATES)
    counts = np.bincount(-(-candidates // width), minlength=2)
    names = ["0", *(f"{(i - 1) * width + 1}-{i * width}" if width > 1 else str(i) for i in range(1, len(counts)))]
    return [{"candidates": name, "rows": int(count)} for name, count in zip(names, counts, strict=True)]


def _note_sample(rows: RowQuality) -> str:
    return make_note(f"Of a sample of {rows.rows:,} rows." if rows.sampled else f"Of all {rows.rows:,} rows.")


def _tell_hardest(data: ReportData) -> str:
    pieces = [make_note("Pairs that came out wrong, the surest error first, then those that it is least sure of.")]
    for number, pair in enumerate(data.hardest, start=1):
        pieces += [make_heading(f"{number}. {_judge(pair)}"), _compare(pair, data.values)]
    return make_section("The hardest pairs", *pieces)


def _judge(pair: HardPair) -> str:
    label, called = ("a match" if each else "no match" for each in (pair.is_match, pair.is_match != pair.is_wrong))
    verdict = "WRONG" if pair.is_wrong else "right"
    slip = ", perhaps a slip: not learned from" if pair.is_slip else ""
    return f"labelled as {label}, called {called}: {verdict}, probability {pair.probability:.4f}{slip}"


def _compare(pair: HardPair, values: Values) -> str:
    a, b = values.get(pair.left), values.get(pair.right)
    if a is None or b is None:
        gone = " and ".join(key for key, row in ((pair.left, a), (pair.right, b)) if row is None)
        return make_note(f"The table no longer has the row {gone}.")
    return make_comparison([(name, a[name], b[name]) for name in a], heads=(pair.left, pair.right))


def _tell_columns(data: ReportData) -> str:
    names = ("column", "read as", "filled", "completeness", "distinct values", "most frequent values", "remark")
    rows = [
        (
            column.name,
            column.kind,
            column.filled,
            f"{column.completeness:.1%}",
            column.distinct,
            _list_frequent(column.frequent),
            "; ".join(column.remarks),
        )
        for column in data.columns
    ]
    return make_section(
        "The columns",
        make_table(names, rows, numeric=("filled", "completeness", "distinct values")),
        make_note("Values are counted as they are compared: case, accents and white space folded."),
    )


def _list_frequent(frequent: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{value[:60]!r} ({count:,})" for value, count in frequent)


def _tell_rows(data: ReportData) -> str:
    rows = data.rows
    share = rows.unlinkable / rows.rows if rows.rows else 0.0
    facts = [
        ("unlinkable rows", rows.unlinkable, f"{share:.1%}"),
        ("- blocking finds no candidate", rows.without_candidate, ""),
        ("- a row exactly like it would not be called a match", rows.below_threshold, ""),
    ]
    names = ("", "rows", "share")
    return make_section(
        "Rows that cannot be linked",
        make_table(names, facts, numeric=("rows", "share")),
        make_note(
            "A row is unlinkable where blocking finds no other row that shares anything rare with it, or where too "
            "little of it is filled: compared with itself it stays below the threshold. No model and no label can link "
            "such a row; only fuller data can. Many rows truly stand alone: a row without a candidate may be right."
        ),
        make_note(f"For example: {', '.join(map(repr, rows.examples))}.") if rows.examples else "",
        _note_sample(rows),
    )
