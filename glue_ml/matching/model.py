"""The model that decides: what was learned, as values that can be saved, loaded and asked for probabilities."""

from __future__ import annotations

import io
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import expit, logit

from glue_ml import __version__, storage
from glue_ml.domain.labels import LabeledRow
from glue_ml.errors import InputError, NotFoundError
from glue_ml.matching.candidate_lists import CONTEXT
from glue_ml.matching.comparison import RECORD, Feature, FeatureName, compare, name_features
from glue_ml.matching.evaluation import Calibration, Evaluation, HeldOut, choose_threshold
from glue_ml.matching.forest import Forest
from glue_ml.matching.key_rules import KeyRule
from glue_ml.matching.learning import Scorer
from glue_ml.matching.learning_curve import ExpectedGain
from glue_ml.matching.prior import Prior
from glue_ml.matching.profile import ColumnProfile
from glue_ml.matching.records import Gathered, Records
from glue_ml.matching.rivals import RIVALS, measure_rivals
from glue_ml.matching.semantic import Semantics
from glue_ml.matching.unsupervised import Unsupervised
from glue_ml.matching.word_evidence import WordEvidence

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]

WITHIN_SOURCE = -0.85  #: Log-odds, from the threshold, of a pair within a source; 0.3 where the threshold is 0.5.
FORMAT = 4  #: Raised when an older reader would misread a saved model.
READABLE = (3, FORMAT)  #: A model of format 3 has no words.
_SCORERS = ("context", "second", "plain", "alone")
_UNSUPERVISED_FEATURE = "fellegi_sunter"


@dataclass(frozen=True)
class Settings:
    """What the user chose. Tradeoffs: 0 to 1 or None (works as 0.5); `semantic_encoder`: as `find_encoder` reads it."""

    primary_key: str
    precision_recall_tradeoff: float | None = None
    accuracy_cost_tradeoff: float | None = None
    enforce_provided_labels: bool = False
    seed: int = 0
    semantic_encoder: str = "auto"

    def __post_init__(self) -> None:
        for name in ("precision_recall_tradeoff", "accuracy_cost_tradeoff"):
            value = getattr(self, name)
            # written so that NaN fails as well
            if value is not None and not 0.0 <= value <= 1.0:
                raise InputError(f"{name} is {value}; it must be between 0.0 and 1.0")
        if not self.primary_key:
            raise InputError("primary_key is empty; name the column whose values identify the rows")


@dataclass(frozen=True)
class Learned:
    """What labels added: a scorer that sees the candidate lists, one that sees the pair alone, and the evaluation.

    `second` looks again at the pairs that `context` thinks possible, now that their rivals have scores too.
    `source_column`, where the labels showed one, is the column in which the two records of a match differ.
    `held_out` are the pairs behind the evaluation, `expected_gain` is what more labels would bring; models that were
    saved before they were kept have none.
    Probabilities are those of pairs like the labelled ones, the hardest; `told` turns them into those of all candidate
    pairs. `middle` is the threshold of a tradeoff of 0.5, see `estimation.find_middle`.
    `words` are evidence at the second look, and where `alone` judges pairs that blocking does not propose; where no
    column holds running text `plain` does.
    """

    context: Scorer
    second: Scorer
    plain: Scorer
    prefers_context: bool
    source_column: str | None
    evaluation: Evaluation
    labels: tuple[LabeledRow, ...]
    held_out: HeldOut | None = None
    expected_gain: ExpectedGain | None = None
    told: Calibration = field(default_factory=Calibration)
    middle: float = 0.5
    alone: Scorer | None = None
    words: WordEvidence = field(default_factory=WordEvidence)


@dataclass(frozen=True)
class MatchModel:
    """Everything needed to score pairs of prepared records."""

    settings: Settings
    profiles: tuple[ColumnProfile, ...]
    unsupervised: Unsupervised
    learned: Learned | None = None
    semantics: Semantics | None = None  #: How the meaning of texts is read, where it is.
    key_rules: tuple[KeyRule, ...] = ()  #: Further blocking keys that the labels have shown.

    @property
    def features(self) -> tuple[FeatureName, ...]:
        """The names of the features, in the order of `measure`."""
        context = (FeatureName(RECORD, name) for name in CONTEXT)
        semantic = () if self.semantics is None else self.semantics.columns
        return (*name_features(self.profiles, semantic), FeatureName(RECORD, _UNSUPERVISED_FEATURE), *context)

    @property
    def threshold(self) -> float:
        """The probability from which a pair is a match: the larger the tradeoff, the fewer pairs are.

        Without labels the tradeoff itself. Where labels tell how large F1 can become, a tradeoff of 0.5 aims at that.
        """
        middle = 0.5 if self.learned is None else self.learned.middle
        return choose_threshold(self.settings.precision_recall_tradeoff, middle)

    def measure(self, compared: Feature, context: Feature) -> Feature:
        """Return all features of the pairs: `compared` (see `compare`), the unsupervised log-odds, and `context`."""
        log_odds = self.unsupervised.log_odds(compared, self.profiles)[:, None]
        return np.hstack([compared, log_odds.astype(np.float32), context])

    def column_probability(self, features: Feature) -> Scores:
        """Return the probability of a match by the unsupervised log-odds of the columns alone, a feature."""
        log_odds = features[:, -1 - len(CONTEXT)].astype(np.float64)
        return np.asarray(expit(np.clip(log_odds, -30.0, 30.0)), dtype=np.float64)

    def _decide_unlearned(self, features: Feature) -> Scores:
        base, weights = self.unsupervised.weigh(features, self.profiles, features[:, -len(CONTEXT) :])
        return np.asarray(expit(base + weights.sum(axis=1)), dtype=np.float64)

    @property
    def uses_context(self) -> bool:
        """Whether the probability of a candidate pair depends on its CONTEXT."""
        return self.learned is None or self.learned.prefers_context

    @property
    def looks_twice(self) -> bool:
        """Whether the probability of a pair depends on the scores of its rivals."""
        return self.learned is not None and self.learned.prefers_context

    def first_look(self, features: Feature) -> Scores:
        """Return the score, 0 to 1, that decides which pairs are looked at again; needs labels."""
        assert self.learned is not None
        return self.learned.context.score(features)

    @property
    def closer_features(self) -> tuple[FeatureName, ...]:
        """The names of the features that the second look adds; needs labels."""
        assert self.learned is not None
        return (*(FeatureName(RECORD, name) for name in RIVALS), *self.learned.words.names)

    def look_closer(self, gathered: Gathered, rivals: Feature) -> Feature:
        """Return what the second look adds: the RIVALS of the pairs, and what their words say; needs labels."""
        assert self.learned is not None
        return np.hstack([rivals, self.learned.words.measure(*gathered)])

    def second_look(self, features: Feature, closer: Feature) -> tuple[Scores, Scores]:
        """Return the share of votes, 0 to 1, and the probability of pairs, given `look_closer`; needs labels."""
        assert self.learned is not None
        second, features = self.learned.second, np.hstack([features, closer])
        votes = second.vote(features)
        return votes, second.calibration.apply(second.prior.mix(votes, features))

    def best_second_look(self, features: Feature, first: Scores) -> Scores:
        """Return the largest probability that pairs may have at the second look, whoever their rivals and words are.

        `first`: their scores of the first look, which is one of RIVALS and known without them.
        """
        assert self.learned is not None
        second = self.learned.second
        own = measure_rivals(first, np.zeros(len(first)), np.zeros(len(first)))
        known = features.shape[1] + 1 + RIVALS.index("first_look")
        words = np.zeros((len(first), len(self.learned.words.names)), dtype=np.float32)
        unknown = np.arange(known, features.shape[1] + len(self.closer_features))
        return second.calibration.apply(second.bound(np.hstack([features, own, words]), unknown))

    def probability(self, features: Feature) -> Scores:
        """Return the probability that each candidate pair matches, by the pair and its CONTEXT alone."""
        if self.learned is None:
            return self._decide_unlearned(features)
        chosen = self.learned.context if self.learned.prefers_context else self.learned.plain
        return chosen.probability(features)

    def plain_probability(self, records: Records, left: Rows, right: Rows) -> Scores:
        """Return the probability of pairs that blocking may never have proposed: their context is unknown.

        Where the table joins several sources nothing was learned about pairs within a source. They speak somewhat
        against a match: one more record of a source that a group has already must be more like the others for it.
        """
        nothing = np.zeros((len(left), len(CONTEXT)), dtype=np.float32)
        features = self.measure(compare(records, left, right), nothing)
        if self.learned is None:
            probability = self._decide_unlearned(features)
        elif self.learned.alone is None:
            probability = self.learned.plain.probability(features)
        else:
            no_rivals = np.zeros((len(left), len(RIVALS)), dtype=np.float32)
            closer = self.look_closer((records, left, right), no_rivals)
            probability = self.learned.alone.probability(np.hstack([features, closer]))
        source = records.codes_of(self.source_column)
        return (
            probability
            if source is None
            else np.where(source[left] == source[right], expit(logit(self.threshold) + WITHIN_SOURCE), probability)
        )

    def tell_confidence(self, confidence: Scores) -> Scores:
        """Return what the confidence of groups, a mean probability, is as a probability that the group is right.

        It keeps the order. What is certain stays so: a row alone, or what the labels enforce.
        """
        if self.learned is None:
            return confidence
        return np.where(confidence >= 1.0, 1.0, self.learned.told.apply(confidence))

    @property
    def source_column(self) -> str | None:
        """The column in which candidate pairs must differ, if the labels showed one, or as long as there are none."""
        return self.unsupervised.source if self.learned is None else self.learned.source_column

    @property
    def asked_source(self) -> str | None:
        """The column in which pairs that are asked about must differ: what was only guessed is asked about too."""
        return None if self.learned is None else self.learned.source_column

    def with_learned(self, learned: Learned) -> MatchModel:
        """Return this model with what labels added."""
        return replace(self, learned=learned)


def save_model(model: MatchModel, uri: str) -> None:
    """Write `model` below `uri`: forests and labels as Parquet, then `model.json`, whose presence completes it."""
    described: dict[str, Any] = {
        "format": FORMAT,
        "glue_ml": __version__,
        "python": platform.python_version(),
        "settings": dict(vars(model.settings)),
        "profiles": [profile.to_dict() for profile in model.profiles],
        "unsupervised": model.unsupervised.to_dict(),
        "key_rules": [rule.to_dict() for rule in model.key_rules],
    }
    if model.semantics is not None:
        read = model.semantics
        described["semantics"] = {"setting": read.setting, "encoder": read.encoder, "columns": list(read.columns)}
        described["semantics"]["searched"] = sorted(read.searched)
        storage.write_bytes(storage.join(uri, "semantics.parquet"), _parquet(_rarity_table(read)))
    if model.learned is not None:
        learned = model.learned
        scorers = {name: getattr(learned, name) for name in _SCORERS if getattr(learned, name) is not None}
        described["learned"] = {
            "prefers_context": learned.prefers_context,
            "source_column": learned.source_column,
            "evaluation": learned.evaluation.to_dict(),
            "expected_gain": None if learned.expected_gain is None else learned.expected_gain.to_dict(),
            "told": learned.told.to_dict(),
            "middle": learned.middle,
            **{name: _describe_scorer(scorer) for name, scorer in scorers.items()},
        }
        for name, scorer in scorers.items():
            forest = scorer.forest
            storage.write_bytes(storage.join(uri, f"{name}_forest.parquet"), _parquet(forest.to_arrow()))
        if learned.words.columns:
            storage.write_bytes(storage.join(uri, "words.parquet"), _parquet(learned.words.to_arrow()))
        storage.write_bytes(storage.join(uri, "labels.parquet"), _parquet(_labels_table(learned.labels)))
        if learned.held_out is not None:
            storage.write_bytes(storage.join(uri, "held_out.parquet"), _parquet(_held_out_table(learned.held_out)))
    storage.write_bytes(storage.join(uri, "model.json"), json.dumps(described, indent=1).encode())


def load_model(uri: str) -> MatchModel:
    """Read what `save_model` wrote. Raises NotFoundError where there is no model, InputError where it is damaged."""
    path = storage.join(uri, "model.json")
    if not storage.exists(path):
        raise NotFoundError(f"there is no model at {uri}: it has no model.json")
    try:
        described = json.loads(storage.read_bytes(path))
        if described["format"] not in READABLE:
            raise InputError(
                f"the model at {uri} has format {described['format']}, this version reads {FORMAT}: train it again"
            )
        return MatchModel(
            Settings(**described["settings"]),
            tuple(ColumnProfile.from_dict(p) for p in described["profiles"]),
            Unsupervised.from_dict(described["unsupervised"]),
            _load_learned(uri, described["learned"]) if "learned" in described else None,
            _load_semantics(uri, described["semantics"]) if "semantics" in described else None,
            tuple(KeyRule.from_dict(rule) for rule in described.get("key_rules", ())),
        )
    except (KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise InputError(f"the model at {uri} is damaged ({type(error).__name__}: {error}); train it again") from error


def _load_learned(uri: str, members: dict[str, Any]) -> Learned:
    labels = pq.read_table(io.BytesIO(storage.read_bytes(storage.join(uri, "labels.parquet"))))
    return Learned(
        _load_scorer(uri, "context", members["context"]),
        _load_scorer(uri, "second", members["second"]),
        _load_scorer(uri, "plain", members["plain"]),
        members["prefers_context"],
        members["source_column"],
        Evaluation.from_dict(members["evaluation"]),
        tuple(LabeledRow(row["labeling_set_id"], row["label"], row["key"]) for row in labels.to_pylist()),
        _load_held_out(storage.join(uri, "held_out.parquet")),
        None if members.get("expected_gain") is None else ExpectedGain.from_dict(members["expected_gain"]),
        Calibration.from_dict(members["told"]) if "told" in members else Calibration(),
        float(members.get("middle", 0.5)),
        _load_scorer(uri, "alone", members["alone"]) if "alone" in members else None,
        _load_words(storage.join(uri, "words.parquet")),
    )


def _rarity_table(semantics: Semantics) -> pa.Table:
    return pa.table({
        "column": pa.array(list(semantics.rarity), pa.string()),
        "rarity": pa.array(list(semantics.rarity.values()), pa.list_(pa.float32())),
    })  # fmt: skip


def _load_semantics(uri: str, members: dict[str, Any]) -> Semantics:
    table = pq.read_table(io.BytesIO(storage.read_bytes(storage.join(uri, "semantics.parquet"))))
    weights = (None if value is None else np.array(value, np.float32) for value in table.column("rarity").to_pylist())
    known = dict(zip(table.column("column").to_pylist(), weights, strict=True))
    rarity = {name: known[name] for name in members["columns"]}
    return Semantics(members["setting"], members["encoder"], rarity, frozenset(members["searched"]))


def _load_words(path: str) -> WordEvidence:
    if not storage.exists(path):
        return WordEvidence()
    return WordEvidence.from_arrow(pq.read_table(io.BytesIO(storage.read_bytes(path))))


def _load_held_out(path: str) -> HeldOut | None:
    if not storage.exists(path):
        return None
    table = pq.read_table(io.BytesIO(storage.read_bytes(path)))
    left, right = (tuple(table.column(name).to_pylist()) for name in ("left", "right"))
    is_match, probability = (table.column(name).to_numpy() for name in ("is_match", "probability"))
    # models saved before knew of no slips
    knows_slips = "is_slip" in table.column_names
    is_slip = table.column("is_slip").to_numpy() if knows_slips else np.zeros(len(is_match), dtype=bool)
    return HeldOut(left, right, is_match, probability, is_slip)


def _held_out_table(held_out: HeldOut) -> pa.Table:
    return pa.table({each.name: pa.array(getattr(held_out, each.name)) for each in fields(held_out)})


def _describe_scorer(scorer: Scorer) -> dict[str, Any]:
    calibration, prior = scorer.calibration.to_dict(), dict(vars(scorer.prior))
    return {"width": scorer.width, "calibration": calibration, "prior": prior}


def _load_scorer(uri: str, name: str, members: dict[str, Any]) -> Scorer:
    trees = pq.read_table(io.BytesIO(storage.read_bytes(storage.join(uri, f"{name}_forest.parquet"))))
    prior = Prior(int(members["prior"]["column"]), float(members["prior"]["weight"])) if "prior" in members else Prior()
    # models saved before named the position of each feature
    width = int(members["width"]) if "width" in members else len(members["columns"])
    return Scorer(width, Forest.from_arrow(trees), Calibration.from_dict(members["calibration"]), prior)


def _labels_table(labels: Sequence[LabeledRow]) -> pa.Table:
    names = ("labeling_set_id", "label", "key")
    return pa.table({name: pa.array([getattr(row, name) for row in labels], pa.string()) for name in names})


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()
