"""Why two records were taken for a match or not: what each feature adds, and which blocking views propose the pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from glue_ml.matching.blocking import BlockingIndex, list_candidates
from glue_ml.matching.blocking_evidence import BlockingEvidence, ViewEvidence, find_evidence
from glue_ml.matching.candidate_lists import CandidateLists, look_up_context, look_up_lists
from glue_ml.matching.comparison import RECORD, Feature, compare
from glue_ml.matching.contributions import Contributions, weigh_features
from glue_ml.matching.model import MatchModel
from glue_ml.matching.pipeline import stack_columns
from glue_ml.matching.records import Records
from glue_ml.matching.rivals import RIVALS
from glue_ml.matching.row_pairs import locate

Rows = npt.NDArray[np.int64]

SHOWN_FEATURES = 12  #: Features in the text form; `to_dict` has all.
_SHOWN_CHARACTERS = 60  #: Of a value in the text form.
_WHOLE_RECORD = "(whole record)"


@dataclass(frozen=True)
class FeatureShare:
    """What one feature adds to the log-odds. `column` is "" for a feature of the whole record.

    `value` is what was measured: similarities lie in [0, 1], and -1 or -0.5 say that a value is missing on both sides
    or on one; an "agreement" is a level from 0 (different) to 3 (equal), -1 for missing;
    a "standing" is of how many of the two records, 0 to 2, the pair is the best candidate, -1 where it is in no list.
    """

    column: str
    measure: str
    value: float
    contribution: float

    def __str__(self) -> str:
        return f"{self.column or '*'}:{self.measure}"


@dataclass(frozen=True)
class Explanation:
    """Why the records with the keys `a` and `b` are a match or not.

    `log_odds` (natural) is `base_log_odds`, what the model says of a candidate pair before it looks at it, plus the
    contributions of `features`, the largest move first; `columns` has the same contributions summed by column.
    The pair is a match where its probability reaches `threshold`; whether two such records share a group is decided by
    the whole group. `values` are both records' values by column.
    """

    a: str
    b: str
    model: str
    probability: float
    log_odds: float
    base_log_odds: float
    threshold: float
    is_match: bool
    features: tuple[FeatureShare, ...]
    columns: tuple[tuple[str, float], ...]
    blocking: BlockingEvidence
    values: tuple[tuple[str, str | None, str | None], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as JSON members."""
        members = asdict(self)
        members["columns"] = [{"column": name, "contribution": share} for name, share in self.columns]
        members["values"] = [{"column": name, "a": a, "b": b} for name, a, b in self.values]
        members["blocking"]["proposed_by"] = list(self.blocking.proposed_by)
        for view in members["blocking"]["views"]:
            view["shared"] = [{"term": term, "share": share} for term, share in view["shared"]]
        return members

    def __str__(self) -> str:
        return "\n".join([*_tell_decision(self), *_tell_features(self), *_tell_blocking(self), *_tell_values(self)])


def _tell_decision(told: Explanation) -> list[str]:
    verdict = "a match" if told.is_match else "no match"
    added = told.log_odds - told.base_log_odds
    return [
        f"{told.a!r} and {told.b!r}: {verdict}, probability {told.probability:.4f}, threshold {told.threshold:.4f}",
        f"  model: {told.model}",
        f"  log-odds {told.log_odds:+.3f} = base {told.base_log_odds:+.3f} + contributions {added:+.3f}",
    ]


def _tell_features(told: Explanation) -> list[str]:
    shown = [share for share in told.features if share.contribution != 0][:SHOWN_FEATURES]
    rest = sum(share.contribution for share in told.features) - sum(share.contribution for share in shown)
    columns = ", ".join(f"{name or _WHOLE_RECORD} {share:+.3f}" for name, share in told.columns)
    return [
        f"  by column: {columns or 'none'}",
        "  by feature (value, contribution):",
        *(f"    {share!s:40} {share.value:9.3f} {share.contribution:+9.3f}" for share in shown),
        f"    {'all others':40} {'':9} {rest:+9.3f}",
    ]


def _tell_blocking(told: Explanation) -> list[str]:
    if not told.blocking.proposed_by:
        head = "  blocking: not proposed by blocking"
    else:
        ranks = told.blocking.rank_of_b_for_a, told.blocking.rank_of_a_for_b
        first, second = (f"candidate {rank}" if rank is not None else "no candidate" for rank in ranks)
        head = f"  blocking: {told.b!r} is {first} of {told.a!r}, which is {second} of {told.b!r}"
    return [head, *(f"    {_tell_view(view)}" for view in told.blocking.views)]


def _tell_view(view: ViewEvidence) -> str:
    shared = ", ".join(f"{term!r} {share:.3f}" for term, share in view.shared)
    state = "proposes the pair" if view.proposed else "does not propose the pair"
    return f"{view.view} {state}: cosine {view.cosine:.3f}{' by ' + shared if shared else ''}"


def _tell_values(told: Explanation) -> list[str]:
    return ["  values:", *(f"    {name}: {_show(a)} | {_show(b)}" for name, a, b in told.values)]


def _show(value: str | None) -> str:
    if value is None:
        return "(missing)"
    return repr(value if len(value) <= _SHOWN_CHARACTERS else value[: _SHOWN_CHARACTERS - 1] + "…")


@dataclass(frozen=True)
class ExaminedPairs:
    """Pairs of rows that blocking proposes, or that it does not, taken apart; and the lists of their rows."""

    left: Rows
    right: Rows
    contributions: Contributions
    lists: CandidateLists


def explain_pairs(
    model: MatchModel, records: Records, index: BlockingIndex, left: Rows, right: Rows, seen: pa.Table | None = None
) -> tuple[Explanation, ...]:
    """Explain pairs of rows as a run would judge them; the values are those compared, cleaned.

    A pair that blocking proposes from neither side is judged as clustering judges it: by the pair alone. `seen` is what
    `scoring.look_first` found in the table; needed where the model looks twice.
    """
    kind, pairs = _is_proposed(index, left, right).astype(np.int8), np.arange(len(left))
    place = np.zeros(len(left), dtype=np.int64)
    if seen is not None:
        lo, hi = (seen.column(name).to_numpy() for name in ("lo", "hi"))
        place, found = locate(lo, hi, np.minimum(left, right), np.maximum(left, right))
        kind[found] = 2
    told: dict[int, Explanation] = {}
    for number in np.unique(kind):
        chosen = pairs[kind == number]
        rivals = stack_columns(seen.take(pa.array(place[chosen])), RIVALS) if seen is not None and number == 2 else None
        examined = examine_pairs(
            model, records, index, left[chosen], right[chosen], proposed=bool(number), rivals=rivals
        )
        told |= {int(pair): _explain(model, records, index, examined, i) for i, pair in enumerate(chosen)}
    return tuple(told[int(pair)] for pair in pairs)


def _is_proposed(index: BlockingIndex, left: Rows, right: Rows) -> npt.NDArray[np.bool_]:
    lists = list_candidates(index, np.unique(np.concatenate([left, right])))
    return np.asarray((look_up_lists(lists, left, right)[1] > 0) | (look_up_lists(lists, right, left)[1] > 0))


def examine_pairs(
    model: MatchModel, records: Records, index: BlockingIndex, left: Rows, right: Rows, *, proposed: bool,
    rivals: Feature | None = None,
) -> ExaminedPairs:  # fmt: skip
    """Compare pairs that are all proposed by blocking, or all not, and take their log-odds apart.

    `rivals`: their RIVALS, where all have come to the second look.
    """
    lists = list_candidates(index, np.unique(np.concatenate([left, right])))
    context = look_up_context(lists, left, right)
    gathered = records, left, right
    features = model.measure(compare(*gathered), context)
    weighed = weigh_features(model, gathered, features, proposed=proposed, rivals=rivals)
    return ExaminedPairs(left, right, weighed, lists)


def _explain(
    model: MatchModel, records: Records, index: BlockingIndex, examined: ExaminedPairs, pair: int
) -> Explanation:
    left, right = int(examined.left[pair]), int(examined.right[pair])
    found = examined.contributions
    probability = float(found.probability[pair])
    return Explanation(
        a=records.keys[left].as_py(),
        b=records.keys[right].as_py(),
        model=found.model,
        probability=probability,
        log_odds=float(found.log_odds[pair]),
        base_log_odds=found.base,
        threshold=model.threshold,
        is_match=probability >= model.threshold,
        features=_share_out(found, pair),
        columns=found.by_column(pair),
        blocking=find_evidence(records, index, examined.lists, left, right),
        values=_compared_values(records, left, right),
    )


def _share_out(found: Contributions, pair: int) -> tuple[FeatureShare, ...]:
    order = np.argsort(-np.abs(found.values[pair]), kind="stable")
    return tuple(
        FeatureShare(
            found.names[i].column,
            found.names[i].measure,
            float(found.measured[pair, i]) + 0.0,
            float(found.values[pair, i]),
        )
        for i in order.tolist()
    )


def _compared_values(records: Records, left: int, right: int) -> tuple[tuple[str, str | None, str | None], ...]:
    return tuple((column.profile.name, column.read(left), column.read(right)) for column in records.columns)


def show_values(told: Explanation, values: Mapping[str, Mapping[str, str | None]]) -> Explanation:
    """Return `told` with both records' values as the user knows them: `values` by key, then by column."""
    a, b = values[told.a], values[told.b]
    return replace(told, values=tuple((name, a[name], b[name]) for name in a))


def name_column(column: str) -> str:
    """Return a column's name for people; features of the whole record have none."""
    return _WHOLE_RECORD if column == RECORD else column
