"""The scores of all candidate pairs, counted, to estimate the quality of a whole table (`estimation`)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from glue_ml.matching.estimation import BIN, Population, bin_scores
from glue_ml.matching.learning import Scorer
from glue_ml.matching.model import MatchModel
from glue_ml.matching.pipeline import Candidates, PairBatch, Question
from glue_ml.matching.rivals import FIRST_LOOK_FLOOR
from glue_ml.matching.scoring import scatter_pairs
from glue_ml.matching.word_evidence import WordEvidence

SAMPLED_PAIRS = 30_000  #: Of more pairs a sample is scored: so many tell the shape well enough.

Feature = npt.NDArray[np.float32]


def count_scores(
    candidates: Candidates, model: MatchModel, scorer: Scorer, *, pairs: int, seen: pa.Table | None,
    words: WordEvidence,
) -> Population:  # fmt: skip
    """Count the candidate pairs, of which there are `pairs`, by their score from `scorer`.

    `seen`: what `look_first` found, where the scorer is that of the second look; `words` are evidence for it.
    """
    if seen is None:
        return _count_once(candidates, model, scorer, pairs=pairs)
    return _count_again(candidates, model, scorer, seen, pairs=pairs, words=words)


def _count_once(candidates: Candidates, model: MatchModel, scorer: Scorer, *, pairs: int) -> Population:
    share = min(1.0, SAMPLED_PAIRS / max(pairs, 1))

    def score(batch: PairBatch) -> pa.Table:
        taken = np.flatnonzero(scatter_pairs(batch.lo, batch.hi, model.settings.seed) < share)
        part = batch.take(taken)
        # what was compared before need not be compared again
        compared = batch.compared[taken] if "compared" in vars(batch) else part.compared
        return _count(scorer.score(model.measure(compared, part.context)))

    return _read(candidates.ask(Question(score, _sum, "bin long, pairs long")), pairs=pairs)


def _count_again(
    candidates: Candidates, model: MatchModel, scorer: Scorer, seen: pa.Table, *, pairs: int, words: WordEvidence
) -> Population:
    """Count those that are not looked at again with half the score that would have brought them here."""

    def score(batch: PairBatch) -> pa.Table:
        assert batch.rivals is not None
        closer = np.hstack([batch.rivals, words.measure(*batch.gathered)])
        return _count(scorer.score(np.hstack([model.measure(batch.compared, batch.context), closer])))

    lo, hi = (seen.column(name).to_numpy() for name in ("lo", "hi"))
    taken = scatter_pairs(lo, hi, model.settings.seed) < SAMPLED_PAIRS / max(len(seen), 1)
    question = Question(score, _sum, "bin long, pairs long")
    counted = candidates.ask_again(question, seen.drop_columns(["first_score"]).filter(pa.array(taken)))
    rest = Population.count(np.array([FIRST_LOOK_FLOOR / 2.0]), np.array([float(pairs - len(seen))]))
    return _read(counted, pairs=len(seen)) + rest


def _count(score: npt.NDArray[np.float64]) -> pa.Table:
    bins, pairs = np.unique(bin_scores(score), return_counts=True)
    return pa.table({"bin": bins.astype(np.int64), "pairs": pairs.astype(np.int64)})


def _sum(parts: pa.Table) -> pa.Table:
    summed = parts.group_by("bin").aggregate([("pairs", "sum")])
    return summed.select(["bin", "pairs_sum"]).rename_columns(["bin", "pairs"]).sort_by("bin")


def _read(counted: pa.Table, *, pairs: int) -> Population:
    """Return the counts of a sample as those of all `pairs`."""
    number, sampled = (counted.column(name).to_numpy() for name in ("bin", "pairs"))
    return Population(1.0 / (1.0 + np.exp(-number * BIN)), sampled * (pairs / max(int(sampled.sum()), 1)))
