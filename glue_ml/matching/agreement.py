"""Agreement patterns: the features of a pair boiled down to a few levels per column, for the unsupervised start.

And its standing: a pair that is the best candidate of both its records is likelier to match than one of many.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from glue_ml.matching.candidate_lists import CONTEXT
from glue_ml.matching.comparison import Feature, FeatureName, name_features
from glue_ml.matching.profile import ColumnKind, ColumnProfile

MAX_COLUMNS = 12  #: More columns make nearly every pattern unique, and the counts stop being a summary.
LEVELS = 4  #: 0 different, 1 somewhat alike, 2 nearly equal, 3 equal.
STANDINGS = 3  #: 0 nobody's best candidate, 1 that of one record, 2 that of both.
_STEPS = {"jaro_winkler": (0.80, 0.92), "cosine": (0.30, 0.65)}


def choose_columns(profiles: Sequence[ColumnProfile]) -> tuple[int, ...]:
    """Return the positions of the columns that tell most: much filled, with many distinct values."""
    telling = [i for i, p in enumerate(profiles) if p.kind is not ColumnKind.EMPTY]
    telling.sort(key=lambda i: (-profiles[i].fill * (0.2 + profiles[i].distinct) ** 0.5, i))
    return tuple(sorted(telling[:MAX_COLUMNS]))


def code_patterns(features: Feature, profiles: Sequence[ColumnProfile]) -> npt.NDArray[np.int8]:
    """Return the level of agreement (pairs x chosen columns; -1 where a value is missing)."""
    names = {name: i for i, name in enumerate(name_features(profiles))}
    columns = [_code(features, names, profiles[i]) for i in choose_columns(profiles)]
    return np.stack(columns, axis=-1) if columns else np.zeros((len(features), 0), np.int8)


def code_standings(context: Feature) -> npt.NDArray[np.int8]:
    """Return the standing of each pair, given its CONTEXT: one of STANDINGS, -1 where it is in no candidate list."""
    is_best, is_both = (context[:, CONTEXT.index(rank)] == 1 for rank in ("best_rank", "worst_rank"))
    is_listed = context[:, CONTEXT.index("lists")] > 0
    return np.where(is_listed, is_best.astype(np.int8) + is_both, -1).astype(np.int8)


def agreed_rarity(features: Feature, profiles: Sequence[ColumnProfile]) -> npt.NDArray[np.float64]:
    """Return, per pair and chosen column, the rarity (0 to 1) of the value agreed on; NaN where not equal."""
    names = {name: i for i, name in enumerate(name_features(profiles))}
    columns = []
    for i in choose_columns(profiles):
        equal = features[:, names[FeatureName(profiles[i].name, "equal")]] == 1
        rarity = features[:, names[FeatureName(profiles[i].name, "rarity")]]
        columns.append(np.where(equal, rarity, np.nan))
    return np.stack(columns, axis=-1).astype(np.float64) if columns else np.zeros((len(features), 0))


def _code(features: Feature, names: dict[FeatureName, int], profile: ColumnProfile) -> npt.NDArray[np.int8]:
    equal = features[:, names[FeatureName(profile.name, "equal")]]
    worded = profile.kind in (ColumnKind.TEXT, ColumnKind.LONG_TEXT)
    measure = "cosine" if worded else "jaro_winkler"
    likeness = features[:, names[FeatureName(profile.name, measure)]]
    low, high = _STEPS[measure]
    level = (likeness >= low).astype(np.int8) + (likeness >= high)
    return np.where(equal < 0, -1, np.where(equal == 1, LEVELS - 1, level)).astype(np.int8)
