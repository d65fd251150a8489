"""The start without labels: a Fellegi-Sunter model fitted by EM on the counts of agreement patterns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from glue_ml.matching.agreement import LEVELS, agreed_rarity, choose_columns, code_patterns
from glue_ml.matching.comparison import Feature, compare
from glue_ml.matching.fellegi_sunter import FellegiSunter, estimate_u, expect_by_chance, fit_fellegi_sunter
from glue_ml.matching.profile import ColumnProfile
from glue_ml.matching.records import Records

RANDOM_PAIRS = 100_000  #: Enough for 10 sightings of a level that one random pair in 10,000 reaches.
PRIOR_SHARE = 0.1  #: Where EM starts: one candidate pair in ten a match.
TAIL_RANK = 5  #: A pair that is nobody's first four candidates is taken for a non-match that blocking found hard.
MIN_TAIL = 200  #: With fewer such pairs the levels of non-matches come from random pairs.
TERM_WEIGHT = 0.5  #: Blocking has already chosen pairs for sharing rare values, so rarity counts half.


@dataclass(frozen=True)
class PatternCounts:
    """The distinct agreement patterns of the candidate pairs, how often each occurs, and how often in the tail."""

    patterns: npt.NDArray[np.int8]
    pairs: npt.NDArray[np.int64]
    tail: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Unsupervised:
    """A fitted Fellegi-Sunter model and the number of filled rows behind each compared column's frequencies.

    `bold`: the same, but free to take for matches what chance explains. It believes in too many, so among those that it
    doubts are some that `model` would never ask about: the first questions are chosen by it.
    """

    model: FellegiSunter
    filled: tuple[float, ...]
    bold: FellegiSunter | None = None

    def boldly(self) -> Unsupervised:
        """Return this with the bold model in the place of the other, where there is one."""
        return self if self.bold is None else replace(self, model=self.bold)

    def log_odds(self, features: Feature, profiles: Sequence[ColumnProfile]) -> npt.NDArray[np.float64]:
        """Return the natural log-odds of a match, term frequencies of agreed values included."""
        patterns, frequency = self._read(features, profiles)
        plain = self.model.log_odds(patterns)
        return plain + TERM_WEIGHT * (self.model.log_odds(patterns, term_frequency=frequency) - plain)

    def weigh_columns(self, features: Feature, profiles: Sequence[ColumnProfile]) -> npt.NDArray[np.float64]:
        """Return what each compared column adds to the log-odds, pairs x the columns of `choose_columns`."""
        patterns, frequency = self._read(features, profiles)
        plain = self.model.weights(patterns)
        return plain + TERM_WEIGHT * (self.model.weights(patterns, term_frequency=frequency) - plain)

    def _read(
        self, features: Feature, profiles: Sequence[ColumnProfile]
    ) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float64]]:
        """Return the agreement patterns, and the frequencies of the values agreed on."""
        frequency = np.exp(-agreed_rarity(features, profiles) * np.log(np.maximum(self.filled, 2.0)))
        return code_patterns(features, profiles), frequency

    def to_dict(self) -> dict[str, Any]:
        """Return the model as JSON members."""
        bold = {} if self.bold is None else {"bold": self.bold.to_dict()}
        return {"model": self.model.to_dict(), "filled": list(self.filled), **bold}

    @classmethod
    def from_dict(cls, members: Mapping[str, Any]) -> Self:
        """Rebuild a model from `to_dict`."""
        bold = FellegiSunter.from_dict(members["bold"]) if "bold" in members else None
        return cls(FellegiSunter.from_dict(members["model"]), tuple(members["filled"]), bold)


def fit_unsupervised(records: Records, counts: PatternCounts, *, seed: int) -> Unsupervised:
    """Fit by EM on the pattern counts of the candidate pairs.

    The levels of non-matches come from the tail of the candidate lists. Random pairs, the textbook's choice, are far
    less alike than the non-matches among candidates, and EM then takes half of the candidates for matches. What random
    pairs do tell is how many pairs of the table agree by chance: those are left to the non-matches.
    """
    columns = choose_columns(records.profiles)
    levels = [LEVELS] * len(columns)
    random, sampled = _count_random_patterns(records, seed=seed)
    tailed = counts.tail.sum() >= MIN_TAIL
    u = estimate_u(counts.patterns, counts.tail, levels) if tailed else estimate_u(random, sampled, levels)
    by_chance = expect_by_chance(counts.patterns, random, sampled, pairs=len(records) * (len(records) - 1) / 2.0)
    careful, bold = (
        fit_fellegi_sunter(
            counts.patterns, counts.pairs, level_counts=levels, u=u, most=most,
            prior_share=PRIOR_SHARE, max_iterations=200, tolerance=1e-5,
        )
        for most in (np.maximum(counts.pairs - by_chance, 0.0), None)
    )  # fmt: skip
    filled = tuple(records.profiles[i].fill * len(records) for i in columns)
    return Unsupervised(careful, filled, bold)


def count_patterns(patterns: npt.NDArray[np.int8]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    """Return the distinct patterns in order, and how often each occurs."""
    if len(patterns) == 0 or patterns.shape[1] == 0:
        return patterns[:0], np.zeros(0, dtype=np.int64)
    distinct, counts = np.unique(patterns, axis=0, return_counts=True)
    return distinct, counts.astype(np.int64)


def _count_random_patterns(records: Records, *, seed: int) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    left = rng.integers(0, max(len(records), 1), RANDOM_PAIRS)
    right = rng.integers(0, max(len(records), 1), RANDOM_PAIRS)
    different = left != right
    features = compare(records, left[different], right[different])
    return count_patterns(code_patterns(features, records.profiles))
