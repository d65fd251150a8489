"""Which links hold the groups together that a run from a state has looked at again."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from glue_ml.matching.explained_links import LINKS_PER_GROUP, GroupLinks, choose_links, explain_links
from glue_ml.matching.find_matches import FindMatchesModel
from glue_ml.matching.kept_matches import KeptMatches
from glue_ml.matching.pipeline import Blocked
from glue_ml.matching.records import prepare_records
from glue_ml.matching.rivals import RIVALS, find_rivals, measure_rivals
from glue_ml.matching.row_pairs import RowPairs, locate
from glue_ml.matching.touched_pairs import Scored


def explain_touched(
    spark: SparkSession, kept: KeptMatches, model: FindMatchesModel, *, limit: int = LINKS_PER_GROUP
) -> tuple[DataFrame, GroupLinks]:
    """Explain the links inside the groups that a run touched: all groups of a first run (see `explain_links`).

    Groups that nothing touched are as the run before explained them. Cost: the table's rows are prepared once more,
    and only the links are compared. Raises InputError if `limit` is less than 1.
    """
    state = kept.state
    edges = state.found.pairs.edges
    touched = edges.select(kept.touched[edges.lo] & kept.touched[edges.hi])
    links = choose_links(state.ids, touched, threshold=model.threshold_, limit=limit)
    records = prepare_records(state.table, model.profiles_, state.values)
    scored = _tabulate(touched, state.found.pairs, looks_twice=model.model_.looks_twice)
    return explain_links(spark, Blocked(records, state.index), model.model_, links, scored), links


def _tabulate(edges: RowPairs, scored: Scored, *, looks_twice: bool) -> pa.Table:
    """Return edges as `scoring.score_edges` does: with their RIVALS, where the model looks at them."""
    columns = {"lo": edges.lo, "hi": edges.hi, "probability": edges.probability}
    if not looks_twice:
        return pa.table(columns)
    first = scored.first
    rivals = measure_rivals(first.probability, *find_rivals(first.lo, first.hi, first.probability))
    place, _ = locate(first.lo, first.hi, edges.lo, edges.hi)
    mine = rivals[place] if len(rivals) else np.zeros((0, len(RIVALS)), dtype=np.float32)
    return pa.table(columns | dict(zip(RIVALS, mine.T, strict=True)))
