"""Which links hold each group together: its candidate pairs, the bridges among them, and a table of both."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from scipy.sparse import coo_array, csgraph

from glue_ml.errors import InputError
from glue_ml.matching.candidate_lists import look_up_lists
from glue_ml.matching.contributions import Contributions
from glue_ml.matching.explanation import examine_pairs
from glue_ml.matching.model import MatchModel
from glue_ml.matching.pipeline import Blocked, parallelism, stack_columns
from glue_ml.matching.rivals import RIVALS
from glue_ml.matching.row_pairs import Flags, RowPairs, Rows, locate
from glue_ml.matching.shipping import Shipped

LINKS_PER_GROUP = 100  #: Links told of a group unless asked for others; the group's number of links is told as well.
TOP_FEATURES = 5  #: Contributions told of a link.
LINKS_PER_TASK = 2_000
DRIVER_LINKS = 10_000  #: Up to so many links the driver explains sooner than Spark's Python workers would start.

SCHEMA = (
    "match_id long, key_a string, key_b string, probability double, is_bridge boolean, links_in_group long, "
    "contributions string, blocking_views string, rank_of_b_for_a int, rank_of_a_for_b int"
)
_NAMES = tuple(field.split(" ")[0] for field in SCHEMA.split(", "))


@dataclass(frozen=True)
class GroupLinks:
    """The links inside groups, by group: row pairs, whether each is a bridge, and how many its group has in all."""

    pairs: RowPairs
    group: Rows
    is_bridge: Flags
    links_in_group: Rows

    @property
    def counts(self) -> dict[str, int]:
        """What a run tells of them."""
        left_out = 0
        if len(self.group):
            first = np.unique(self.group, return_index=True)[1]
            left_out = int(self.links_in_group[first].sum()) - len(self.group)
        return {"explained_links": len(self.group), "bridges": int(self.is_bridge.sum()), "links_left_out": left_out}


def choose_links(labels: Rows, edges: RowPairs, *, threshold: float, limit: int = LINKS_PER_GROUP) -> GroupLinks:
    """Return the links of each group: its candidate pairs whose probability reaches `threshold`.

    Where these do not connect a group (average linkage may join two parts by pairs that were never proposed), the
    strongest weaker candidate pairs that bring its parts together are links too. Of a group with more than `limit`
    links its bridges are kept first, then the strongest. Linear in the edges, but for sorting them.
    """
    if limit < 1:
        raise InputError(f"at most {limit} links of a group are to be explained; ask for 1 or more")
    inside = edges.select(labels[edges.lo] == labels[edges.hi])
    links = inside.select(_hold_together(inside, threshold, count=len(labels)))
    links = links.select(np.lexsort((links.hi, links.lo, labels[links.lo])))
    group, is_bridge = labels[links.lo], find_bridges(len(labels), links.lo, links.hi)
    _, place, size = np.unique(group, return_inverse=True, return_counts=True)
    kept = np.sort(_first_of_each(group, links, is_bridge, limit))
    return GroupLinks(links.select(kept), group[kept], is_bridge[kept], size[place.ravel()][kept])


def _hold_together(inside: RowPairs, threshold: float, *, count: int) -> Flags:
    """Tell which pairs reach the threshold or are needed to connect what those leave apart."""
    order = np.argsort(-inside.probability, kind="stable")
    graph = coo_array((np.arange(1.0, len(order) + 1), (inside.lo[order], inside.hi[order])), shape=(count, count))
    tree = csgraph.minimum_spanning_tree(graph.tocsr())
    needed = order[np.sort(tree.data).astype(np.int64) - 1]
    linked: Flags = inside.probability >= threshold
    linked[needed] = True
    return linked


def _first_of_each(group: Rows, links: RowPairs, is_bridge: Flags, limit: int) -> Rows:
    order = np.lexsort((-links.probability, ~is_bridge, group))
    ordered = group[order]
    place = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    return np.asarray(order[place < limit], dtype=np.int64)


def find_bridges(count: int, lo: Rows, hi: Rows) -> Flags:
    """Tell which edges of a graph over rows 0..count-1 are bridges: without one, its ends are no longer connected.

    Edges are distinct. Tarjan, "A note on finding the bridges of a graph" (1974), without recursion: linear time.
    """
    rows = np.unique(np.concatenate([lo, hi]))
    a, b = np.searchsorted(rows, lo), np.searchsorted(rows, hi)
    ends, others = np.concatenate([a, b]), np.concatenate([b, a])
    order = np.argsort(ends, kind="stable")
    start = np.searchsorted(ends[order], np.arange(len(rows) + 1)).tolist()
    return _walk(len(rows), len(lo), start, others[order].tolist(), (order % max(len(lo), 1)).tolist())


def _walk(rows: int, edges: int, start: list[int], other: list[int], edge: list[int]) -> Flags:
    """Depth first: an edge down to a row is a bridge where nothing below it leads back above it."""
    bridges = np.zeros(edges, dtype=bool)
    entered, lowest, upcoming, clock = [-1] * rows, [0] * rows, start[:-1], 0
    for root in range(rows):
        if entered[root] >= 0:
            continue
        entered[root] = lowest[root] = clock
        clock, path = clock + 1, [(root, -1)]
        while path:
            row, came_by = path[-1]
            if upcoming[row] == start[row + 1]:
                path.pop()
                if path:
                    above = path[-1][0]
                    lowest[above] = min(lowest[above], lowest[row])
                    bridges[came_by] = lowest[row] > entered[above]
                continue
            place = upcoming[row]
            upcoming[row] += 1
            if entered[other[place]] < 0:
                entered[other[place]] = lowest[other[place]] = clock
                clock += 1
                path.append((other[place], edge[place]))
            elif edge[place] != came_by:
                lowest[row] = min(lowest[row], entered[other[place]])
    return bridges


def explain_links(
    spark: SparkSession, blocked: Blocked, model: MatchModel, links: GroupLinks, edges: pa.Table
) -> DataFrame:
    """Return one row for each link (SCHEMA), in the order of match_id; `contributions` is JSON.

    `edges` is what `scoring.score_edges` found, the links among it.

    Only the links are compared again, and only the candidate lists of their rows are looked up: few links on the
    driver at once, more on the workers when the result is read. No shuffle.
    """
    columns = {
        "lo": links.pairs.lo,
        "hi": links.pairs.hi,
        "probability": links.pairs.probability,
        "match_id": links.group,
        "is_bridge": links.is_bridge,
        "links_in_group": links.links_in_group,
    }
    asked = pa.record_batch(columns | _find_rivals(links.pairs, edges))
    if len(asked) == 0:
        return spark.createDataFrame([], SCHEMA)
    if len(asked) <= DRIVER_LINKS:
        told = pa.Table.from_batches([describe_links(blocked, model, asked)])
        return spark.createDataFrame(told.to_pylist(), SCHEMA).coalesce(1)
    schema = "lo long, hi long, probability double, match_id long, is_bridge boolean, links_in_group long"
    added = "".join(f", {name} float" for name in RIVALS if name in asked.schema.names)
    frame = spark.createDataFrame(asked.to_pandas(), schema + added)
    tasks = max(1, min(parallelism(spark), -(-len(asked) // LINKS_PER_TASK)))
    return frame.coalesce(tasks).mapInArrow(_explain_task(Shipped(spark, blocked), model), SCHEMA)


def _find_rivals(links: RowPairs, edges: pa.Table) -> dict[str, pa.Array]:
    """Return the RIVALS of the links by name; none where the model does not look at them."""
    lo, hi = (edges.column(name).to_numpy() for name in ("lo", "hi"))
    place, _ = locate(lo, hi, links.lo, links.hi)
    return {name: edges.column(name).to_numpy()[place] for name in RIVALS if name in edges.column_names}


def _explain_task(
    shipped: Shipped[Blocked], model: MatchModel
) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    def explain(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                yield describe_links(shipped.value, model, batch)

    return explain


def describe_links(blocked: Blocked, model: MatchModel, links: pa.RecordBatch) -> pa.RecordBatch:
    """Return the rows of SCHEMA for links: lo, hi, probability, match_id, is_bridge and links_in_group."""
    lo, hi = links.column("lo").to_numpy(), links.column("hi").to_numpy()
    rivals = stack_columns(links, RIVALS) if RIVALS[0] in links.schema.names else None
    examined = examine_pairs(model, blocked.records, blocked.index, lo, hi, proposed=True, rivals=rivals)
    (bits_a, rank_of_b), (bits_b, rank_of_a) = (look_up_lists(examined.lists, *each) for each in ((lo, hi), (hi, lo)))
    names = [view.name for view in blocked.index.views]
    keys = blocked.records.keys
    columns = {
        "match_id": links.column("match_id"),
        "key_a": keys.take(pa.array(lo)),
        "key_b": keys.take(pa.array(hi)),
        **{name: links.column(name) for name in ("probability", "is_bridge", "links_in_group")},
        "contributions": pa.array([_tell(examined.contributions, i) for i in range(len(lo))], pa.string()),
        "blocking_views": pa.array([_name_views(names, int(each)) for each in bits_a | bits_b], pa.string()),
        "rank_of_b_for_a": _to_ranks(rank_of_b),
        "rank_of_a_for_b": _to_ranks(rank_of_a),
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in _NAMES], names=list(_NAMES))


def _tell(found: Contributions, pair: int) -> str:
    shares = [
        {
            "feature": str(found.names[i]),
            "value": round(float(found.measured[pair, i]), 4),
            "contribution": round(float(found.values[pair, i]), 4),
        }
        for i in found.top(pair, limit=TOP_FEATURES)
    ]
    return json.dumps(shares, ensure_ascii=False)


def _name_views(names: list[str], bits: int) -> str:
    return ",".join(name for place, name in enumerate(names) if bits >> place & 1)


def _to_ranks(ranks: Rows) -> pa.Array:
    return pa.array(ranks.astype(np.int32), pa.int32(), mask=ranks == 0)


def as_row_pairs(edges: pa.Table) -> RowPairs:
    """Return scored edges (columns lo, hi, probability) as row pairs."""
    return RowPairs(*(edges.column(name).to_numpy() for name in ("lo", "hi", "probability")))
