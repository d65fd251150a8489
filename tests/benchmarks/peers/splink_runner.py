"""Splink on DuckDB, without labels: the model is estimated by EM, the threshold is fixed beforehand.

Runs within Splink's environment; see `exchange` for what it is given and leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import splink.comparison_level_library as levels
import splink.comparison_library as comparisons
from splink import DuckDBAPI, Linker, SettingsCreator, block_on
from splink.internals.exceptions import EMTrainingException

from tests.benchmarks.peers.columns import Kind
from tests.benchmarks.peers.exchange import Link, Task, read_rows, read_task, write_clusters, write_report
from tests.benchmarks.peers.splink_settings import Cell, Plan, Rule, make_plan, read_rules

THRESHOLD = 0.95  #: The match probability from which a pair is a link, as in Splink's own examples.
MILD = 0.5  #: Another, told besides.


def compare_column(name: str, kind: Kind) -> Any:
    """Return the comparison for a kind of column."""
    if kind is Kind.CATEGORY:
        return comparisons.ExactMatch(name).configure(term_frequency_adjustments=True)
    if kind is Kind.EMAIL:
        return comparisons.EmailComparison(name)
    if kind in {Kind.DATE, Kind.CODE}:
        return comparisons.DamerauLevenshteinAtThresholds(name, [1, 2])
    if kind is Kind.NUMBER:
        return _compare_numbers(f"{name}_number")
    if kind is Kind.NAME:
        return comparisons.JaroWinklerAtThresholds(name, [0.92, 0.88, 0.7]).configure(term_frequency_adjustments=True)
    return _compare_texts(name)


def _compare_numbers(name: str) -> Any:
    steps = [
        levels.NullLevel(name),
        levels.ExactMatchLevel(name),
        levels.AbsoluteDifferenceLevel(name, 1),
        levels.PercentageDifferenceLevel(name, 0.1),
        levels.ElseLevel(),
    ]
    return comparisons.CustomComparison(steps, output_column_name=name)


def _compare_texts(name: str) -> Any:
    """Compare by the words in common: their share, which no ready-made level of Splink's tells, and the rare ones."""
    words, rare = f"{name}_all", f"{name}_words"
    share = f"len(list_intersect({words}_l, {words}_r)) >= {{}} * len(list_distinct(list_concat({words}_l, {words}_r)))"
    steps = [
        levels.NullLevel(name),
        levels.ExactMatchLevel(name, term_frequency_adjustments=True),
        levels.CustomLevel(share.format(0.6), "6 of 10 words in common"),
        levels.ArrayIntersectLevel(rare, 2),
        levels.ArrayIntersectLevel(rare, 1),
        levels.CustomLevel(share.format(0.3), "3 of 10 words in common"),
        levels.ElseLevel(),
    ]
    return comparisons.CustomComparison(steps, output_column_name=name)


def open_linker(plan: Plan, table: dict[str, list[Cell]], link: Link) -> Any:
    """Return a linker over the table: of one dataset, or of one for each source."""
    whole = pa.table(table)
    api = DuckDBAPI()
    parts = (
        {"all": whole}
        if link is Link.ANY
        else {name: _filter(whole, name) for name in sorted(set(map(str, table["origin"])))}
    )
    frames = [api.register(part, dataset_display_name=f"source_{name}") for name, part in parts.items()]
    rules = [block_on(*rule) for rule in plan.rules]
    rules += [block_on(name, arrays_to_explode=[name]) for name in plan.exploded]
    settings = SettingsCreator(
        link_type="dedupe_only" if link is Link.ANY else "link_only",
        comparisons=[compare_column(name, column.kind) for name, column in plan.columns.items()],
        blocking_rules_to_generate_predictions=rules,
        probability_two_random_records_match=plan.matches,
    )
    return Linker(frames, settings)


def _filter(table: Any, source: Any) -> Any:
    return table.filter(pa.array([value == source for value in table["origin"].to_pylist()]))


def train(linker: Any, plan: Plan, *, seed: int) -> list[str]:
    """Estimate the model; return what could not be estimated."""
    notes = []
    if plan.certain:
        rules = [block_on(*rule) for rule in plan.certain]
        linker.training.estimate_probability_two_random_records_match(rules, recall=0.7)
    linker.training.estimate_u_using_random_sampling(max_pairs=1e6, seed=seed)
    for rule in plan.training:
        try:
            linker.training.estimate_parameters_using_expectation_maximisation(block_on(*rule))
        except (EMTrainingException, ValueError) as error:
            notes.append(f"no EM under equal {rule}: {error}")
    return notes


def cluster(linker: Any, scored: Any, threshold: float, sources: Sequence[str]) -> dict[str, str]:
    """Return the cluster of each record; between `sources`, which list an entity once, by single best links."""
    if sources:
        found = linker.clustering.cluster_using_single_best_links(
            scored,
            duplicate_free_datasets=[f"source_{name}" for name in sources],
            threshold_match_probability=threshold,
        )
    else:
        found = linker.clustering.cluster_pairwise_predictions_at_threshold(scored, threshold)
    return {row["unique_id"]: row["cluster_id"] for row in found.as_record_list()}


def main(task: Task) -> None:
    """Cluster the records of a task."""
    rows = read_rows(task.records)
    plan, table = make_plan(rows, task.link)
    rules: list[Rule] = read_rules(task.rules, plan) if task.rules else plan.rules
    plan = replace(plan, rules=rules, exploded=[] if task.rules else plan.exploded)
    linker = open_linker(plan, table, task.link)
    notes = train(linker, plan, seed=task.seed)
    scored = linker.inference.predict(threshold_match_probability=MILD)
    sources = sorted({str(row["source"]) for row in rows}) if task.link is Link.ONE_TO_ONE else []
    write_clusters(task, cluster(linker, scored, MILD, sources), f"{MILD}")
    write_clusters(task, cluster(linker, scored, THRESHOLD, sources))
    kinds = {column.name: column.kind for column in plan.columns.values()}
    write_report(task, {"threshold": THRESHOLD, "columns": kinds, "rules": plan.rules, "notes": notes})


if __name__ == "__main__":
    main(read_task())
