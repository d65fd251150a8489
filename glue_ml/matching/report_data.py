"""What an evaluation report shows, as values: the hardest labelled pairs, how right the probabilities are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from scipy.special import logit

from glue_ml.matching.data_quality import ColumnQuality, RowQuality
from glue_ml.matching.evaluation import Evaluation, HeldOut

HARDEST_PAIRS = 20  #: Labelled pairs shown side by side.
CALIBRATION_BINS = 10
_Z = 1.96  #: Standard errors of a 95 % interval.

Values = Mapping[str, Mapping[str, str | None]]


@dataclass(frozen=True)
class HardPair:
    """A labelled pair that the model gets wrong or is least sure of: its keys, label and out-of-fold probability.

    `is_slip`: the label is contradicted by nearly all others, and nothing was learned from it.
    """

    left: str
    right: str
    is_match: bool
    probability: float
    is_wrong: bool
    is_slip: bool


@dataclass(frozen=True)
class ReportData:
    """Everything that a report shows.

    `values` are the rows of the hard pairs as the user knows them, without the key, by key, then by column; `plan` is
    that of the blocking.
    """

    title: str
    now: datetime
    label_count: int
    evaluation: Evaluation
    held_out: HeldOut
    plan: Mapping[str, Any]
    columns: tuple[ColumnQuality, ...]
    rows: RowQuality
    table_rows: int
    hardest: tuple[HardPair, ...]
    values: Values


@dataclass(frozen=True)
class CalibrationBin:
    """Pairs of about the same probability: their mean `predicted` one, and the share of matches among them.

    `low` to `high` is the 95 % interval of that share (Wilson, 1927).
    """

    predicted: float
    observed: float
    low: float
    high: float
    pairs: int


def choose_hardest(held_out: HeldOut, threshold: float, *, limit: int = HARDEST_PAIRS) -> tuple[HardPair, ...]:
    """Return the pairs that came out wrong, the surest error first, then those nearest to the threshold."""
    probability, slip = held_out.probability, held_out.is_slip
    wrong = (probability >= threshold) != held_out.is_match
    distance = np.abs(logit(np.clip(probability, 1e-12, 1 - 1e-12)) - logit(threshold))
    order = np.lexsort((np.where(wrong, -distance, distance), ~wrong))[:limit]
    return tuple(
        HardPair(
            held_out.left[i],
            held_out.right[i],
            bool(held_out.is_match[i]),
            float(probability[i]),
            bool(wrong[i]),
            bool(slip[i]),
        )
        for i in order.tolist()
    )


def measure_calibration(held_out: HeldOut, *, bins: int = CALIBRATION_BINS) -> tuple[CalibrationBin, ...]:
    """Return the reliability curve over bins of equal width; a bin without a pair is left out."""
    place = np.minimum((held_out.probability * bins).astype(np.int64), bins - 1)
    found = []
    for number in np.unique(place).tolist():
        held = place == number
        pairs, share = int(held.sum()), float(held_out.is_match[held].mean())
        low, high = wilson_interval(share, pairs)
        found.append(CalibrationBin(float(held_out.probability[held].mean()), share, low, high, pairs))
    return tuple(found)


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share that was seen in `count` draws."""
    spread = _Z**2 / count
    centre = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * np.sqrt(share * (1 - share) / count + spread / (4 * count))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))
