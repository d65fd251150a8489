"""What each part of the engine is worth: F1 without it, on data sets with truth, less the F1 of the whole.

    python -m tests.benchmarks.ablation --data ../shared/data febrl3 abt_buy --rows 200 500 --seeds 0 1 2 --json out

Parts are switched off from outside; the engine has no switches for this.
`features`: a group of features is kept from the forests (in growing them; what was grown never looks at the others),
or the prior, the model without labels, from being mixed into their votes.
`views`: a blocking view is taken out of the index. Both learn from the labels that the whole engine asked for.
`strategy`: labels are bought with other shares of uncertain, coverage and random pairs, or, as a contrast, as pairs
drawn at random from all candidates.

The table tells for each set and budget the F1 of the whole and what each change makes of it, in points (hundredths):
mean over the seeds, each compared with the whole at the same seed, and the standard deviation of that. A change whose
mean is within its spread on every set is marked: the part is worth nothing that could be measured.
Works without Spark.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from rich.console import Console
from rich.table import Table

from glue_ml.domain.labels import LabeledRow
from glue_ml.matching import FindMatches, blocking, find_matches, labeling, learning, training
from glue_ml.matching.blocking import BlockingIndex
from glue_ml.matching.candidate_lists import CONTEXT
from glue_ml.matching.comparison import CODES, MEANING, OVERLAPS, RECORD, FeatureName
from glue_ml.matching.forest import Forest, grow_forest
from glue_ml.matching.labeling import PairPool
from glue_ml.matching.pipeline import DriverCandidates
from glue_ml.matching.prior import Prior
from glue_ml.matching.rivals import RIVALS
from glue_ml.matching.word_evidence import MEASURES as WORDS
from tests.benchmarks.public_data import KEY, PublicSet, add_data_arguments, check_data_folder
from tests.benchmarks.sparkless import Frame, remember, without_spark
from tests.benchmarks.teaching import Course, is_teachable, match_table

WHOLE = "whole"
PARTS = ("features", "views", "strategy")

Result = dict[str, Any]
Scores = dict[int, float]  #: F1 by labelled rows.

GROUPS: Mapping[str, Callable[[FeatureName], bool]] = {
    "similarities of columns": lambda name: name.column != RECORD and name.measure not in (*OVERLAPS, MEANING, *WORDS),
    "meaning": lambda name: name.measure == MEANING,
    "overlaps of words": lambda name: name.measure in OVERLAPS,
    "evidence of words": lambda name: name.measure in WORDS,
    "codes": lambda name: name.column == RECORD and name.measure in CODES,
    "fellegi-sunter": lambda name: name.column == RECORD and name.measure == "fellegi_sunter",
    "context": lambda name: name.column == RECORD and name.measure in CONTEXT,
    "rivals": lambda name: name.column == RECORD and name.measure in RIVALS,
    "context and rivals": lambda name: name.column == RECORD and name.measure in (*CONTEXT, *RIVALS),
}

#: Shares of coverage and of random pairs, rows in a neighbourhood.
STRATEGIES: Mapping[str, tuple[float, float, int]] = {
    "uncertain only": (0.0, 0.0, 3),
    "no coverage": (0.0, 0.1, 3),
    "no random": (0.2, 0.0, 3),
    "coverage only": (1.0, 0.0, 3),
    "random by score only": (0.0, 1.0, 3),
    "pairs, no triples": (0.2, 0.1, 2),
}


@contextmanager
def hide_features(names: Sequence[FeatureName], hidden: Callable[[FeatureName], bool]) -> Iterator[None]:
    """Keep features from all forests that are grown; `names` are those of the widest, others have the first of them."""

    def grow(features: Any, is_match: Any, *, seed: int, **named: Any) -> Forest:
        kept = np.flatnonzero([not hidden(name) for name in names[: features.shape[1]]]).astype(np.int32)
        forest = grow_forest(features[:, kept], is_match, seed=seed, **named)
        return replace(forest, feature=kept[forest.feature])

    with mock.patch.object(learning, "grow_forest", grow), mock.patch.object(training, "grow_forest", grow):
        yield


@contextmanager
def hide_prior() -> Iterator[None]:
    """Leave the votes of all forests as they are."""

    def fit(votes: Any, features: Any, column: int, is_match: Any) -> Prior:
        return Prior(column)

    with mock.patch.object(training, "fit_prior", fit):
        yield


@contextmanager
def hide_view(name: str) -> Iterator[None]:
    """Take a view out of every index that is built."""

    @remember
    def cut(index: BlockingIndex) -> BlockingIndex:
        return replace(index, views=tuple(view for view in index.views if view.name != name))

    def cut_what(build: Callable[..., BlockingIndex]) -> Callable[..., BlockingIndex]:
        return lambda *args, **named: cut(build(*args, **named))

    with ExitStack() as stack:
        engine = [module for name, module in sys.modules.items() if name.startswith("glue_ml.matching.")]
        for module in engine:
            if (build := module.__dict__.get("build_index")) is not None and module is not blocking:
                stack.enter_context(mock.patch.object(module, "build_index", cut_what(build)))
        yield


@contextmanager
def turn_shares(coverage: float, random: float, neighbourhood: int) -> Iterator[None]:
    """Choose labelling sets with other shares, and other numbers of rows that stand together."""
    with mock.patch.multiple(labeling, COVERAGE_SHARE=coverage, RANDOM_SHARE=random, NEIGHBOURHOOD_ROWS=neighbourhood):
        yield


@contextmanager
def draw_at_random(seed: int) -> Iterator[None]:
    """Choose labelling sets of pairs drawn from all candidates, each as likely as any other."""
    calls = iter(range(1_000_000))

    def pool(candidates: DriverCandidates, model: Any) -> PairPool:
        lo, hi = (np.concatenate([getattr(batch, side) for batch in candidates.batches]) for side in ("lo", "hi"))
        draw = np.random.default_rng((seed, next(calls))).random(len(lo))
        return PairPool(lo, hi, np.zeros(len(lo)), draw, draw, np.zeros(len(lo), dtype=np.int64))

    with turn_shares(0.0, 0.0, 2), mock.patch.object(find_matches, "score_pool", pool):
        yield


@dataclass(frozen=True)
class Bench:
    """A data set, and the labels that the whole engine asked for at a seed, by the number of rows."""

    data: PublicSet
    df: Any
    seed: int
    labels: Mapping[int, Sequence[LabeledRow]]

    def relearn(self) -> Scores:
        """Return the F1 of models that learn, as the engine now is, from the labels of the whole engine."""
        find = FindMatches(primary_key=KEY, seed=self.seed)
        return {
            rows: match_table(find.fit(self.df, labels if is_teachable(labels) else None), self.data, self.df)[0]["f1"]
            for rows, labels in self.labels.items()
        }

    def buy_again(self) -> Scores:
        """Return the F1 of models whose labels are bought as the engine now is."""
        course = Course(self.data, self.df, self.seed)
        return {rows: course.match()[0]["f1"] for rows in course.advance(list(self.labels))}


def try_changes(data: PublicSet, rows: Sequence[int], seed: int, parts: Sequence[str]) -> Iterator[tuple[str, Scores]]:
    """Yield the F1 of the whole engine and of each change to it, by labelled rows."""
    df: Any = Frame(data.table)
    course = Course(data, df, seed)
    whole, labels = {}, {}
    for budget in course.advance(sorted(rows)):
        whole[budget], labels[budget] = course.match()[0]["f1"], tuple(course.labels)
    yield WHOLE, whole
    bench = Bench(data, df, seed, labels)
    names = (*course.model.features_, *course.model.model_.closer_features)
    if "features" in parts:
        for group, hidden in GROUPS.items():
            with hide_features(names, hidden):
                yield f"without {group}", bench.relearn()
        with hide_prior():
            yield "without the prior", bench.relearn()
    if "views" in parts:
        for view in course.model.prepare(df).index.views:
            with hide_view(view.name):
                yield f"without the view {view.name}", bench.relearn()
    if "strategy" in parts:
        for strategy, shares in STRATEGIES.items():
            with turn_shares(*shares):
                yield f"labels: {strategy}", bench.buy_again()
        with draw_at_random(seed):
            yield "labels: random candidate pairs", bench.buy_again()


def compare_changes(results: Sequence[Result]) -> dict[str, dict[tuple[str, int], tuple[float, float]]]:
    """Return by change, set and rows the mean difference of F1 from the whole and its standard deviation.

    The whole itself is compared with nothing.
    """
    found = {(r["set"], r["rows"], r["seed"], r["change"]): r["f1"] for r in results}
    differences: dict[str, dict[tuple[str, int], list[float]]] = {}
    for (name, rows, seed, change), f1 in found.items():
        base = 0.0 if change == WHOLE else found[name, rows, seed, WHOLE]
        differences.setdefault(change, {}).setdefault((name, rows), []).append(f1 - base)
    return {
        change: {place: (statistics.mean(d), statistics.stdev(d) if len(d) > 1 else 0.0) for place, d in places.items()}
        for change, places in differences.items()
    }


def is_worthless(places: Mapping[tuple[str, int], tuple[float, float]]) -> bool:
    """Tell whether leaving a part out costs no more than its spread on every set."""
    return all(-mean <= spread for mean, spread in places.values())


def draw_table(results: Sequence[Result], rows: int) -> Table:
    """Return the comparison at one number of labelled rows, in points of F1."""
    compared = compare_changes([result for result in results if result["rows"] == rows])
    sets = list(dict.fromkeys(result["set"] for result in results))
    several = len({result["seed"] for result in results}) > 1  # one seed has no spread to be within
    table = Table(f"{rows} rows")
    for name in (*sets, "mean"):
        table.add_column(name, justify="right")
    for change, places in compared.items():
        cells = [_tell(places.get((name, rows)), whole=change == WHOLE) for name in sets]
        mean = statistics.mean(mean for mean, _ in places.values())
        mark = " (nothing)" if several and change != WHOLE and is_worthless(places) else ""
        table.add_row(change + mark, *cells, f"{100 * mean:.2f}" if change == WHOLE else f"{100 * mean:+.2f}")
    return table


def _tell(difference: tuple[float, float] | None, *, whole: bool) -> str:
    if difference is None:
        return ""
    mean, spread = difference
    return f"{100 * mean:.2f} ±{100 * spread:.2f}" if whole else f"{100 * mean:+.2f} ±{100 * spread:.2f}"


def measure_set(data: PublicSet, arguments: argparse.Namespace) -> Iterator[Result]:
    """Yield each F1 of a set."""
    for seed in arguments.seeds:
        with ExitStack() as stack:
            stack.enter_context(without_spark())
            for change, scores in try_changes(data, arguments.rows, seed, arguments.parts):
                for rows, f1 in scores.items():
                    yield {"set": data.name, "seed": seed, "rows": rows, "change": change, "f1": f1}


def main() -> None:
    """Run the benchmark from the command line."""
    arguments = read_arguments()
    check_data_folder(arguments.data)
    kept = arguments.json is not None and arguments.json.exists()
    results: list[Result] = json.loads(arguments.json.read_text(encoding="utf-8")) if kept else []
    for name in arguments.sets:
        for result in measure_set(PublicSet.read(arguments.data / name), arguments):
            print(json.dumps(result), flush=True)  # noqa: T201  the benchmark's output
            results.append(result)
        if arguments.json:
            arguments.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    console = Console(width=40 + 15 * (1 + len({result["set"] for result in results})))
    for rows in sorted({result["rows"] for result in results}):
        console.print(draw_table(results, rows))


def read_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    parser.add_argument("--rows", type=int, nargs="+", default=[200, 500])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--json", type=Path, help="where all results are kept; those that are there are added to")
    return parser.parse_args()


if __name__ == "__main__":
    main()
