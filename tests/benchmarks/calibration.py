"""Whether the evaluation tells the truth, on data sets with truth.

    python -m tests.benchmarks.calibration --data ../shared/data abt_buy febrl3 --rows 100 200 300 500

For each set, number of labelled rows and seed: what the evaluation tells (precision, recall, F1 with their 90 %
intervals), what the match ids truly come to, and whether that lies inside. Then how right the probabilities are:
`_error` is the expected calibration error over ten bins, `_gap` the largest difference in a bin of at least 30.
`held_out`: the labelled pairs, which are the hardest; `pairs`: all candidate pairs, by the probability that decides;
`told`: the same pairs, by what the evaluation takes it for; `groups`: groups of two rows or more, by
`match_confidence_score` against the share that hold one entity only. The last lines sum up. Works without Spark.
`--noise 0.05` makes so large a share of the answers wrong (see `teaching.answer_sets`); `held_out` are then judged by
the answers.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from glue_ml.matching.clustering import Clustering, cluster
from glue_ml.matching.evaluation import Evaluation
from glue_ml.matching.model import MatchModel
from glue_ml.matching.pipeline import DriverCandidates
from glue_ml.matching.records import Records
from glue_ml.matching.row_pairs import locate
from glue_ml.matching.scoring import look_again, look_first, score_edges
from tests.benchmarks.public_data import PublicSet, add_data_arguments, check_data_folder
from tests.benchmarks.sparkless import Frame, without_spark
from tests.benchmarks.teaching import Course

BINS = 10
LEAST_PAIRS = 30  #: Pairs in a bin whose gap counts.
MEASURES = ("precision", "recall", "f1")
KINDS = ("held_out", "pairs", "told", "groups")

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def measure_gaps(probability: Scores, is_true: Flags) -> tuple[float, float]:
    """Return the expected calibration error and the largest gap of a bin of at least LEAST_PAIRS."""
    place = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    sizes = np.bincount(place, minlength=BINS)
    gaps = np.abs(np.bincount(place, weights=probability - is_true, minlength=BINS))
    large = sizes >= LEAST_PAIRS
    return float(gaps.sum() / max(len(place), 1)), float((gaps[large] / sizes[large]).max(initial=0.0))


def score_candidates(model: MatchModel, candidates: DriverCandidates) -> tuple[Rows, Rows, Scores]:
    """Return all candidate pairs (lo, hi) with the probabilities that a run gives them."""
    batches = candidates.batches
    lo, hi = (np.concatenate([getattr(batch, side) for batch in batches]) for side in ("lo", "hi"))
    measured = [model.probability(model.measure(batch.compared, batch.context)) for batch in batches]
    probability = np.concatenate(measured)
    if model.looks_twice:
        again = look_again(candidates, model, look_first(candidates, model)[0])
        place, known = locate(lo, hi, again.column("lo").to_numpy(), again.column("hi").to_numpy())
        probability[place[known]] = again.column("probability").to_numpy()[known]
    return lo, hi, probability


def group_rows(model: MatchModel, candidates: DriverCandidates) -> Clustering:
    """Return the groups that a run finds."""
    records: Records = candidates.blocked.records
    edges, _ = score_edges(candidates, model)
    lo, hi, probability = (edges.column(name).to_numpy() for name in ("lo", "hi", "probability"))
    return cluster(
        len(records), lo, hi, probability, threshold=model.threshold,
        score_pairs=lambda a, b: model.plain_probability(records, a, b),
    )  # fmt: skip


def judge_groups(names: Rows, groups: Clustering) -> tuple[Scores, Flags]:
    """Return the confidence of each group of two rows or more, and whether it holds one entity only."""
    order = np.lexsort((names, groups.labels))
    labels, entity = groups.labels[order], names[order]
    starts = np.flatnonzero(np.append(True, labels[1:] != labels[:-1]))
    sizes = np.diff(np.append(starts, len(labels)))
    # sorted within a group: it is pure where its first entity is its last
    pure = entity[starts] == entity[starts + sizes - 1]
    return groups.confidence[order][starts][sizes > 1], pure[sizes > 1]


def compare(evaluation: Evaluation, truth: dict[str, float]) -> dict[str, Any]:
    """Return what was told beside the truth."""
    found: dict[str, Any] = {}
    for name in MEASURES:
        interval = getattr(evaluation, f"{name}_interval")
        found[name] = [round(getattr(evaluation, name), 4), round(truth[name], 4)]
        if interval is not None:
            found[f"{name}_interval"] = [round(bound, 4) for bound in interval]
            found[f"{name}_inside"] = interval[0] <= truth[name] <= interval[1]
    return found


def judge(course: Course, budgets: list[int]) -> Iterator[dict[str, Any]]:
    """Yield the result at each number of labelled rows."""
    data = course.data
    names = np.unique([data.entity[key] for key in data.keys], return_inverse=True)[1]
    for budget in course.advance(budgets):
        model, candidates = course.model.model_, DriverCandidates(course.model.prepare(course.df))
        assert model.learned is not None
        assert model.learned.held_out is not None
        groups = group_rows(model, candidates)
        lo, hi, probability = score_candidates(model, candidates)
        is_match, held_out = names[lo] == names[hi], model.learned.held_out
        confidence, pure = judge_groups(names, groups)
        gaps = {
            "held_out": measure_gaps(held_out.probability, held_out.is_match),
            "pairs": measure_gaps(probability, is_match),
            "told": measure_gaps(model.learned.told.apply(probability), is_match),
            "groups": measure_gaps(model.tell_confidence(confidence), pure),
        }
        truth = data.score(dict(zip(data.keys, groups.labels.tolist(), strict=True)))
        yield {
            "budget": budget,
            "rows_labelled": len(model.learned.labels),
            **compare(model.learned.evaluation, truth),
            **{f"{name}_error": round(error, 4) for name, (error, _) in gaps.items()},
            **{f"{name}_gap": round(gap, 4) for name, (_, gap) in gaps.items()},
        }


def sum_up(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the mean errors, and how often the truth lay inside."""
    summed: dict[str, Any] = {"results": len(results)}
    for name in MEASURES:
        summed[f"{name}_error"] = round(float(np.mean([abs(r[name][0] - r[name][1]) for r in results])), 4)
        summed[f"{name}_inside"] = round(float(np.mean([r.get(f"{name}_inside", False) for r in results])), 3)
    for name in (f"{kind}_{measure}" for kind in KINDS for measure in ("error", "gap")):
        summed[name] = round(float(np.mean([r[name] for r in results])), 4)
    return summed


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 200, 300, 500])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--noise", type=float, default=0.0, help="share of wrong answers (default: %(default)s)")
    arguments = parser.parse_args()
    check_data_folder(arguments.data)
    results = []
    for name in arguments.sets:
        data = PublicSet.read(arguments.data / name)
        for seed in arguments.seeds:
            with without_spark():
                for result in judge(Course(data, Frame(data.table), seed, arguments.noise), sorted(arguments.rows)):
                    results.append(result)
                    print(json.dumps({"set": name, "seed": seed, **result}), flush=True)  # noqa: T201  the output
    for budget in sorted(arguments.rows):
        summed = sum_up([result for result in results if result["budget"] == budget])
        print(json.dumps({"rows": budget, **summed}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
