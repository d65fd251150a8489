"""What the command line shows: sentences and tables; errors as one red sentence."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from glue_ml.domain.labels import tell_slips
from glue_ml.errors import GlueMLError
from glue_ml.spark_errors import classify_error

if TYPE_CHECKING:
    from glue_ml.matching import Evaluation

BAR_WIDTH = 30
PIPE_WIDTH = 160  #: Columns of a table that goes to a file or a pipe.


def open_console(*, stderr: bool = False) -> Console:
    """Return where to show things; data is shown as it is: a value such as [red] is no markup."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False, width=width)


def say(sentence: str = "") -> None:
    """Print a sentence or a path to standard output, never broken to fit a width."""
    open_console().print(sentence, soft_wrap=True)


def write_text(text: str) -> None:
    """Write text to standard output as it is."""
    sys.stdout.write(text)
    sys.stdout.flush()


def show_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str | None]],
    *,
    title: str | None = None,
    whole: Sequence[str] = (),
) -> None:
    """Print a table; columns of numbers are aligned to the right, a missing cell is left empty.

    The cells of `whole` columns are never broken, so that they can be copied; a table too wide for that is broken by
    the terminal, line by line.
    """
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=SIMPLE_HEAD)
    for place, name in enumerate(columns):
        numeric = bool(rows) and all(_is_number(row[place]) for row in rows)
        width = max((len(row[place] or "") for row in rows), default=0) if name in whole else None
        table.add_column(name, justify="right" if numeric else "left", overflow="fold", min_width=width)
    for row in rows:
        table.add_row(*(cell or "" for cell in row))
    console = open_console()
    if whole:
        console.width = max(console.width, PIPE_WIDTH)
    console.print(table, soft_wrap=bool(whole))


def show_evaluation(evaluation: Evaluation) -> None:
    """Print the quality with its intervals, the labelled pairs by label and verdict, then the columns with bars."""
    _show_measures(
        (
            ("precision", evaluation.precision, evaluation.precision_interval),
            ("recall", evaluation.recall, evaluation.recall_interval),
            ("F1 (best over all thresholds)", evaluation.f1, evaluation.f1_interval),
            ("area under the precision-recall curve", evaluation.area_under_pr_curve, None),
            ("matches that blocking proposes, by the labels", evaluation.candidate_recall, None),
        )
    )
    _show_confusion(
        (evaluation.true_positives, evaluation.false_negatives), (evaluation.false_positives, evaluation.true_negatives)
    )
    _show_slips(evaluation.slips, evaluation.labeled_pairs)
    show_bars(dict(evaluation.column_importances))


def show_metrics(metrics: Mapping[str, Any], told: Mapping[str, Any] | None = None) -> None:
    """Print the FindMatchesMetrics that the API tells of a transform as `show_evaluation` does.

    `told` are the metrics in the words of `Evaluation.to_dict`, where there are such: the API knows no intervals.
    """
    measures = (
        ("precision", "Precision", "precision_interval"),
        ("recall", "Recall", "recall_interval"),
        ("F1 (best over all thresholds)", "F1", "f1_interval"),
        ("area under the precision-recall curve", "AreaUnderPRCurve", ""),
    )
    intervals = told or {}
    _show_measures(
        [
            (name, metrics[member], intervals.get(interval))
            for name, member, interval in measures
            if metrics.get(member) is not None
        ]
    )
    if counts := metrics.get("ConfusionMatrix"):
        _show_confusion(
            (counts.get("NumTruePositives", 0), counts.get("NumFalseNegatives", 0)),
            (counts.get("NumFalsePositives", 0), counts.get("NumTrueNegatives", 0)),
        )
    _show_slips(intervals.get("slips", 0), intervals.get("labeled_pairs", 0))
    importances = metrics.get("ColumnImportances") or ()
    show_bars({share["ColumnName"]: share["Importance"] for share in importances})


def _show_slips(slips: int, labeled_pairs: int) -> None:
    for sentence in tell_slips(slips, labeled_pairs):
        say(sentence)


def _show_measures(measures: Sequence[tuple[str, float, Sequence[float] | None]]) -> None:
    if not any(interval for _, _, interval in measures):
        show_table(("measure", "value"), [(name, f"{value:.4f}") for name, value, _ in measures])
        return
    rows = [
        (name, f"{value:.4f}", f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else "")
        for name, value, interval in measures
    ]
    show_table(("measure", "value", "90 % interval"), rows)


def _show_confusion(matches: tuple[int, int], others: tuple[int, int]) -> None:
    show_table(
        ("", "called a match", "called a non-match"),
        [("labelled as a match", *map(str, matches)), ("labelled as a non-match", *map(str, others))],
    )


def show_bars(shares: Mapping[str, float]) -> None:
    """Print column importances (0 to 1) as bars; the longest is as long as the bar may be."""
    longest = max(shares.values(), default=0.0)
    scale = BAR_WIDTH / longest if longest > 0 else 0.0
    rows = [(name, f"{share:.3f}", "█" * round(max(share, 0.0) * scale)) for name, share in shares.items()]
    show_table(("column", "importance", ""), rows)


def show_report_place(place: str | None, remark: str | None) -> None:
    """Say where the report of an evaluation lies, or why there is none; nothing where none was asked for."""
    if place is not None:
        say(f"The report is in {place}.")
    elif remark is not None:
        say(f"{remark[:1].upper()}{remark[1:]}.")


def show_remarks(remarks: Iterable[object]) -> None:
    """Say what else is worth knowing of a run, each remark as a sentence of its own."""
    for remark in map(str, remarks):
        say(f"{remark[:1].upper()}{remark[1:].rstrip('.')}.")


def show_labels(rows: int, *, blank: int, remarks: Sequence[str]) -> None:
    """Say how many labelled rows were read, and what is odd about them."""
    if rows or blank:
        left_out = f" ({blank:,} with a blank label were left out)" if blank else ""
        say(f"{rows:,} labelled rows were read{left_out}.")
    for remark in remarks:
        say(f"The labels contradict each other: {remark}.")


def show_matches(counts: Mapping[str, int], output: str, output_format: str | None = None) -> None:
    """Say in a sentence what was found and where it lies."""
    found = "no two of them match"
    if counts["merged_groups"]:
        found = (
            f"{counts['merged_rows']:,} of them were merged into {counts['merged_groups']:,} groups, the largest of "
            f"{counts['largest_group']:,} rows"
        )
    say(f"{counts['rows']:,} rows are {counts['groups']:,} different ones: {found}.")
    kind = f" ({output_format})" if output_format else ""
    say(f"They are in {output}{kind}, each with its match_id.")


@contextmanager
def report_errors(*, verbose: bool) -> Iterator[None]:
    """Turn an expected failure into one red sentence and exit code 1; `verbose` adds the traceback."""
    try:
        yield
    except GlueMLError as error:
        _fail(str(error), verbose=verbose)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror or error}", verbose=verbose)
    except _spark_errors() as error:
        _fail(classify_error(error).message, verbose=verbose)


def report_unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show a defect in one sentence; serves as `sys.excepthook`."""
    if issubclass(kind, KeyboardInterrupt) or "--verbose" in sys.argv:
        sys.__excepthook__(kind, error, trace)
    else:
        _show_error(f"{classify_error(error).message.rstrip('.')}: a defect of glue-ml. --verbose shows where")


def _fail(sentence: str, *, verbose: bool) -> NoReturn:
    if verbose:
        open_console(stderr=True).print(traceback.format_exc(), soft_wrap=True)
    _show_error(sentence)
    raise SystemExit(1)


def _show_error(sentence: str) -> None:
    text = Text(f"Error: {sentence.rstrip('.')}.", style="red")
    open_console(stderr=True).print(text, soft_wrap=True)


def _spark_errors() -> tuple[type[Exception], ...]:
    if "pyspark" not in sys.modules:
        return ()
    from py4j.protocol import Py4JError  # type: ignore[import-untyped]
    from pyspark.errors import PySparkException

    return (Py4JError, PySparkException)


def _is_number(cell: str | None) -> bool:
    return cell is None or cell.replace(",", "").replace(".", "", 1).isdigit()
