"""The start without labels: Fellegi-Sunter models fitted by EM on the counts of agreement patterns.

There are three. That of the columns alone is a feature for what is learned from labels; a bolder one chooses the first
questions; and as long as there are no labels a third decides, which hears how a pair stands among the candidates of
its records as well. Where columns agree but little, as with products, that says more than they do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from glue_ml.matching.agreement import (
    LEVELS,
    STANDINGS,
    agreed_rarity,
    choose_columns,
    code_patterns,
    code_standings,
)
from glue_ml.matching.comparison import Feature, compare
from glue_ml.matching.fellegi_sunter import FellegiSunter, estimate_u, expect_by_chance, fit_fellegi_sunter
from glue_ml.matching.profile import ColumnProfile
from glue_ml.matching.records import Records

RANDOM_PAIRS = 100_000  #: Enough for 10 sightings of a level that one random pair in 10,000 reaches.
PRIOR_SHARE = 0.1  #: Where EM starts: one candidate pair in ten a match.
TAIL_RANK = 5  #: A pair that is nobody's first four candidates is taken for a non-match that blocking found hard.
MIN_TAIL = 200  #: With fewer such pairs the levels of non-matches come from random pairs.
TERM_WEIGHT = 0.5  #: Blocking has already chosen pairs for sharing rare values, so rarity counts half.


Counts = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PatternCounts:
    """The distinct agreement patterns of the candidate pairs, and how often each occurs.

    `standings`: by standing (patterns x STANDINGS); `tail`: among pairs that are nobody's first candidates.
    """

    patterns: npt.NDArray[np.int8]
    standings: Counts
    tail: Counts

    @property
    def pairs(self) -> Counts:
        """How often each pattern occurs in all."""
        return np.asarray(self.standings.sum(axis=1), dtype=np.int64)


@dataclass(frozen=True)
class Unsupervised:
    """A fitted Fellegi-Sunter model and the number of filled rows behind each compared column's frequencies.

    `bold`: the same, but free to take for matches what chance explains. It believes in too many, so among those that it
    doubts are some that `model` would never ask about: the first questions are chosen by it.
    `decider`: the same and one comparison more, the pair's standing. Of a single column both would say the same twice,
    so there is none then, and `model` decides.
    `source`: the column, if one was found, that names the two sources a table joins. Until labels say otherwise
    matches are looked for across them, and the decider was fitted to such pairs.
    """

    model: FellegiSunter
    filled: tuple[float, ...]
    bold: FellegiSunter | None = None
    decider: FellegiSunter | None = None
    source: str | None = None

    def boldly(self) -> Unsupervised:
        """Return this with the bold model in the place of the other, where there is one."""
        return self if self.bold is None else replace(self, model=self.bold)

    def log_odds(self, features: Feature, profiles: Sequence[ColumnProfile]) -> Scores:
        """Return the natural log-odds of a match by the columns alone, term frequencies of agreed values included."""
        patterns, frequency = self._read(features, profiles)
        plain = self.model.log_odds(patterns)
        return plain + TERM_WEIGHT * (self.model.log_odds(patterns, term_frequency=frequency) - plain)

    def weigh(self, features: Feature, profiles: Sequence[ColumnProfile], context: Feature) -> tuple[float, Scores]:
        """Return the log-odds that decide while there are no labels: those of any pair, and what each evidence adds.

        The evidence (pairs x comparisons) are the columns of `choose_columns` and, where there is a decider, last the
        standing, which the CONTEXT tells.
        """
        patterns, frequency = self._read(features, profiles)
        model = self.model
        if self.decider is not None:
            model = self.decider
            patterns = np.column_stack([patterns, code_standings(context)])
            frequency = np.column_stack([frequency, np.full(len(frequency), np.nan)])
        plain = model.weights(patterns)
        weights = plain + TERM_WEIGHT * (model.weights(patterns, term_frequency=frequency) - plain)
        return float(logit(model.match_share)), weights

    def _read(self, features: Feature, profiles: Sequence[ColumnProfile]) -> tuple[npt.NDArray[np.int8], Scores]:
        """Return the agreement patterns, and the frequencies of the values agreed on."""
        frequency = np.exp(-agreed_rarity(features, profiles) * np.log(np.maximum(self.filled, 2.0)))
        return code_patterns(features, profiles), frequency

    def to_dict(self) -> dict[str, Any]:
        """Return the model as JSON members."""
        others = {"bold": self.bold, "decider": self.decider}
        told = {name: other.to_dict() for name, other in others.items() if other is not None}
        source = {} if self.source is None else {"source": self.source}
        return {"model": self.model.to_dict(), "filled": list(self.filled), **told, **source}

    @classmethod
    def from_dict(cls, members: Mapping[str, Any]) -> Self:
        """Rebuild a model from `to_dict`."""
        bold, decider = (
            FellegiSunter.from_dict(members[name]) if name in members else None for name in ("bold", "decider")
        )
        model = FellegiSunter.from_dict(members["model"])
        return cls(model, tuple(members["filled"]), bold, decider, members.get("source"))


def fit_unsupervised(records: Records, counts: PatternCounts, *, seed: int) -> Unsupervised:
    """Fit by EM on the pattern counts of the candidate pairs.

    The levels of non-matches come from the tail of the candidate lists. Random pairs, the textbook's choice, are far
    less alike than the non-matches among candidates, and EM then takes half of the candidates for matches. What random
    pairs do tell is how many pairs of the table agree by chance: those are left to the non-matches.
    """
    evidence = _gather_evidence(records, counts, source=None, seed=seed)
    careful, bold = (
        _fit(counts.patterns, counts.pairs, evidence.u, most)
        for most in (np.maximum(counts.pairs - evidence.by_chance, 0.0), None)
    )
    filled = tuple(records.profiles[i].fill * len(records) for i in choose_columns(records.profiles))
    return Unsupervised(careful, filled, bold, _fit_decider(counts, evidence))


def decide_across(
    unsupervised: Unsupervised, records: Records, counts: PatternCounts, *, source: str, seed: int
) -> Unsupervised:
    """Return the model that decides about pairs across the values of the column `source`, to which `counts` belong."""
    evidence = _gather_evidence(records, counts, source=source, seed=seed)
    return replace(unsupervised, decider=_fit_decider(counts, evidence), source=source)


@dataclass(frozen=True)
class _Evidence:
    """The levels of non-matches by column, and how many pairs of each pattern agree by chance."""

    u: tuple[Scores, ...]
    by_chance: Scores


def _gather_evidence(records: Records, counts: PatternCounts, *, source: str | None, seed: int) -> _Evidence:
    random, sampled, pairs = _count_random_patterns(records, source=source, seed=seed)
    levels = [LEVELS] * len(choose_columns(records.profiles))
    tailed = counts.tail.sum() >= MIN_TAIL
    u = estimate_u(counts.patterns, counts.tail, levels) if tailed else estimate_u(random, sampled, levels)
    return _Evidence(u, expect_by_chance(counts.patterns, random, sampled, pairs=pairs))


def _fit(patterns: npt.NDArray[np.int8], pairs: Counts, u: Sequence[Scores], most: Scores | None) -> FellegiSunter:
    return fit_fellegi_sunter(
        patterns, pairs, level_counts=[len(levels) for levels in u], u=u, most=most,
        prior_share=PRIOR_SHARE, max_iterations=200, tolerance=1e-5,
    )  # fmt: skip


def _fit_decider(counts: PatternCounts, evidence: _Evidence) -> FellegiSunter | None:
    """Fit the columns and the standing; None where there is but one column.

    What chance explains are non-matches too, and harder ones than the tail: their levels count. How non-matches stand
    is told by all candidates: of a record's candidates one is the best, whoever matches.
    """
    if counts.patterns.shape[1] < 2:
        return None
    allowed = leave_to_chance(counts.standings, evidence.by_chance)
    others = np.maximum(counts.tail, (counts.standings - allowed).sum(axis=1))
    levels = [len(part) for part in evidence.u]
    u = estimate_u(counts.patterns, others, levels) if others.sum() >= MIN_TAIL else evidence.u
    pattern, standing = occurring = np.nonzero(counts.standings)
    ranked = np.column_stack([counts.patterns[pattern], standing.astype(np.int8)])
    (usual,) = estimate_u(standing[:, None].astype(np.int8), counts.standings[occurring], [STANDINGS])
    return _fit(ranked, counts.standings[occurring], (*u, usual), allowed[occurring])


def leave_to_chance(standings: Counts, by_chance: Scores) -> Scores:
    """Return how many pairs of each pattern and standing may be matches (patterns x STANDINGS).

    Those that agree by chance are anybody's best candidates least of all: they are taken from the low standings first,
    and never from the highest. Where but one column is filled, chance explains all that agree in it; which of them are
    matches the standing alone can tell.
    """
    left = np.maximum(np.cumsum(standings, axis=1) - by_chance[:, None], 0.0)
    most = np.diff(left, axis=1, prepend=0.0)
    most[:, -1] = standings[:, -1]
    return most


def count_patterns(patterns: npt.NDArray[np.int8]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    """Return the distinct patterns in order, and how often each occurs."""
    if len(patterns) == 0 or patterns.shape[1] == 0:
        return patterns[:0], np.zeros(0, dtype=np.int64)
    distinct, counts = np.unique(patterns, axis=0, return_counts=True)
    return distinct, counts.astype(np.int64)


def _count_random_patterns(
    records: Records, *, source: str | None, seed: int
) -> tuple[npt.NDArray[np.int8], Counts, float]:
    """Return the patterns of random pairs, how often each was seen, and how many such pairs the table has.

    With `source` they are pairs of rows that differ in this column.
    """
    rng = np.random.default_rng(seed)
    left = rng.integers(0, max(len(records), 1), RANDOM_PAIRS)
    right = rng.integers(0, max(len(records), 1), RANDOM_PAIRS)
    codes = records.codes_of(source)
    different = left != right if codes is None else codes[left] != codes[right]
    features = compare(records, left[different], right[different])
    within = np.full(len(records), 1.0) if codes is None else np.bincount(codes).astype(np.float64)
    pairs = (float(len(records)) ** 2 - float(within @ within)) / 2.0
    return *count_patterns(code_patterns(features, records.profiles)), pairs
