"""GoldenMatch without labels and without configuration: it sets itself up from the data.

Runs within GoldenMatch's environment; see `exchange` for what it is given and leaves.
"""

from __future__ import annotations

from collections.abc import Sequence

import goldenmatch
import polars as pl

from tests.benchmarks.peers.exchange import (
    KEY,
    SOURCE,
    Link,
    Row,
    Task,
    attributes,
    join_links,
    read_rows,
    read_task,
    write_clusters,
    write_report,
)


def make_table(rows: Sequence[Row]) -> pl.DataFrame:
    """Return the attributes and nothing else, every column text."""
    return pl.DataFrame({name: [row[name] for row in rows] for name in attributes(rows)}, schema_overrides={}).cast(
        pl.String
    )


def resolve_one_table(rows: Sequence[Row]) -> dict[str, str]:
    """Cluster a table. A configuration that GoldenMatch itself has doubts about is used all the same."""
    found = goldenmatch.dedupe_df(make_table(rows), confidence_required=False)
    return {str(rows[i][KEY]): str(name) for name, group in found.clusters.items() for i in group["members"]}


def link_tables(rows: Sequence[Row], link: Link) -> dict[str, str]:
    """Match the records of the smaller source against those of the other; the best match only, if there is but one."""
    sources = sorted({str(row[SOURCE]) for row in rows}, key=lambda name: sum(row[SOURCE] == name for row in rows))
    targets, references = ([row for row in rows if row[SOURCE] == name] for name in sources)
    found = goldenmatch.match_df(make_table(targets), make_table(references), confidence_required=False).matched
    if found is None:
        return {}
    columns = ("__target_row_id__", "__ref_row_id__", "__match_score__")
    pairs = list(zip(*(found[name].to_pylist() for name in columns), strict=True))
    both = [*targets, *references]  # it numbers the records of the two tables on and on
    links = [(str(both[one][KEY]), str(both[other][KEY]), score) for one, other, score in pairs]
    return join_links(choose_best(links) if link is Link.ONE_TO_ONE else [(a, b) for a, b, _ in links])


def choose_best(links: Sequence[tuple[str, str, float]]) -> list[tuple[str, str]]:
    """Return the links without those of which a record has a better one, by falling score."""
    taken: set[str] = set()
    chosen = []
    for one, other, _ in sorted(links, key=lambda link: (-link[2], link[0], link[1])):
        if taken.isdisjoint((one, other)):
            taken.update((one, other))
            chosen.append((one, other))
    return chosen


def main(task: Task) -> None:
    """Cluster the records of a task."""
    rows = read_rows(task.records)
    write_clusters(task, resolve_one_table(rows) if task.link is Link.ANY else link_tables(rows, task.link))
    write_report(task, {"version": goldenmatch.__version__})


if __name__ == "__main__":
    main(read_task())
