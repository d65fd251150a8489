"""The engine's face: `FindMatches` learns from a table and labels, `FindMatchesModel` gives every row a match id."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from glue_ml.domain.labels import LabeledRow, label_constraints, labeled_pairs
from glue_ml.errors import LabelError, NotReadyError
from glue_ml.matching.agreement import choose_columns, code_patterns
from glue_ml.matching.blocking import CONTEXT, build_index, choose_budget
from glue_ml.matching.clustering import Clustering, ClusterOptions, Constraints, cluster
from glue_ml.matching.comparison import Feature, FeatureName, compare
from glue_ml.matching.evaluation import Evaluation
from glue_ml.matching.labeling import PairPool, choose_neighbourhoods, deal_sets, name_set
from glue_ml.matching.model import MatchModel, Settings, load_model, save_model
from glue_ml.matching.pipeline import Blocked, Plan, Shipped, choose_plan, map_pairs, propose_pairs
from glue_ml.matching.profile import ColumnProfile
from glue_ml.matching.records import Records, prepare_records
from glue_ml.matching.table import (
    CONFIDENCE,
    LABEL_COLUMNS,
    MATCH_ID,
    attach_groups,
    check_table,
    collect_arrow,
    compared_columns,
    quote,
    read_rows,
)
from glue_ml.matching.training import learn
from glue_ml.matching.unsupervised import TAIL_RANK, PatternCounts, fit_unsupervised

Progress = Callable[[str, int, int], None]  #: Stage name, stages done, stages in all.
Rows = npt.NDArray[np.int64]

FIT_STAGES = ("read the table", "block", "compare", "learn")
MATCH_STAGES = ("read the table", "block", "score candidate pairs", "cluster", "attach match ids")
LABEL_STAGES = ("read the table", "block", "score candidate pairs", "choose labelling sets")
SET_ROWS = 10  #: Rows in a labelling set.
POOL_PAIRS = 20_000  #: Most promising pairs of each kind brought to the driver to choose labelling sets from.


@dataclass(frozen=True)
class MatchResult:
    """The output of a run: `matches`, what was counted, how blocking was carried out, and seconds by stage."""

    matches: DataFrame
    counts: Mapping[str, int]
    plan: Mapping[str, Any]
    seconds: Mapping[str, float]


@dataclass
class _Stages:
    """Times the stages of a run and tells them to whoever wants to know."""

    names: tuple[str, ...]
    progress: Progress | None
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def run(self, name: str) -> Iterator[None]:
        self._tell(name, self.names.index(name))
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 3)
        self._tell(name, self.names.index(name) + 1)

    def _tell(self, name: str, done: int) -> None:
        if self.progress is not None:
            self.progress(name, done, len(self.names))


class FindMatches:
    """Learns to find the records of a table that mean the same thing, with or without labels.

    Parameters
    ----------
    primary_key: the column whose values identify the rows; unique, never null.
    precision_recall_tradeoff: 0 (recall) to 1 (precision); moves the probability a pair needs. None works as 0.5.
    accuracy_cost_tradeoff: 0 (lowest cost) to 1 (highest accuracy); moves the candidate budget. None works as 0.5.
    enforce_provided_labels: whether the output must agree with the labels.
    seed: the same table, labels and seed give the same output on any number of partitions.
    progress: called with (stage, stages done, stages in all).

    An existing SparkSession is used as it is: never stopped, never reconfigured.
    """

    def __init__(
        self,
        *,
        primary_key: str,
        precision_recall_tradeoff: float | None = None,
        accuracy_cost_tradeoff: float | None = None,
        enforce_provided_labels: bool = False,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> None:
        self.primary_key = primary_key
        self.precision_recall_tradeoff = precision_recall_tradeoff
        self.accuracy_cost_tradeoff = accuracy_cost_tradeoff
        self.enforce_provided_labels = enforce_provided_labels
        self.seed = seed
        self.progress = progress

    def fit(self, df: DataFrame, labels: DataFrame | Sequence[LabeledRow] | None = None) -> FindMatchesModel:
        """Learn from the table `df` and, where given, `labels` (labeling_set_id, label and the primary key).

        Raises InputError (table), LabelError (labels), NotReadyError (labels without a match and a non-match).
        """
        settings = self._settings()
        check_table(df, primary_key=self.primary_key)
        stages = _Stages(FIT_STAGES, self.progress)
        columns = compared_columns(df, primary_key=self.primary_key)
        with stages.run("read the table"):
            records = prepare_records(read_rows(df, primary_key=self.primary_key, columns=columns))
        with stages.run("block"):
            blocked = Blocked(records, build_index(records, choose_budget(self.accuracy_cost_tradeoff)))
        with stages.run("compare"):
            counts = _count_candidate_patterns(df.sparkSession, blocked)
            unsupervised = fit_unsupervised(records, counts, seed=self.seed)
        with stages.run("learn"):
            model = MatchModel(settings, records.profiles, unsupervised)
            if labels is not None:
                rows = _labeled_rows(labels, primary_key=self.primary_key)
                model = model.with_learned(learn(model, records, blocked.index, rows))
        return FindMatchesModel(model, progress=self.progress)

    def _settings(self) -> Settings:
        return Settings(
            primary_key=self.primary_key,
            precision_recall_tradeoff=self.precision_recall_tradeoff,
            accuracy_cost_tradeoff=self.accuracy_cost_tradeoff,
            enforce_provided_labels=self.enforce_provided_labels,
            seed=self.seed,
        )


class FindMatchesModel:
    """What `FindMatches.fit` learned. Attributes that end in an underscore were learned from data."""

    def __init__(self, model: MatchModel, *, progress: Progress | None = None) -> None:
        self.model_ = model
        self.progress = progress

    @property
    def settings(self) -> Settings:
        """The settings the model was fitted with."""
        return self.model_.settings

    @property
    def supervised_(self) -> bool:
        """Whether labels were learned from."""
        return self.model_.learned is not None

    @property
    def threshold_(self) -> float:
        """The probability above which a pair is a match."""
        return self.model_.threshold

    @property
    def profiles_(self) -> tuple[ColumnProfile, ...]:
        """What was found out about each compared column."""
        return self.model_.profiles

    @property
    def features_(self) -> tuple[FeatureName, ...]:
        """The features of a pair, in order."""
        return self.model_.features

    @property
    def label_count_(self) -> int:
        """The number of labelled rows learned from."""
        return 0 if self.model_.learned is None else len(self.model_.learned.labels)

    def evaluate(self) -> Evaluation:
        """Return the quality on labelled pairs, each scored by a forest that did not see its labelling set.

        Raises NotReadyError if the model was fitted without labels.
        """
        if self.model_.learned is None:
            raise NotReadyError("the model was fitted without labels, so there is nothing to evaluate it by")
        return self.model_.learned.evaluation

    def transform(self, df: DataFrame, *, scores: bool = False) -> DataFrame:
        """Return `df` with `match_id` (long; equal means same) and, if asked, `match_confidence_score` (0 to 1)."""
        return self.find_matches(df, scores=scores).matches

    def find_matches(self, df: DataFrame, *, scores: bool = False) -> MatchResult:
        """Do what `transform` does and tell what was counted, planned and timed.

        The matching runs at once; writing the result reads `df` a second time, so `df` must be deterministic.
        """
        primary_key = self.settings.primary_key
        check_table(df, primary_key=primary_key, reserved=(MATCH_ID, CONFIDENCE) if scores else (MATCH_ID,))
        stages = _Stages(MATCH_STAGES, self.progress)
        blocked, plan = self._block(df, stages)
        with stages.run("score candidate pairs"):
            edges, candidates = self._score_edges(df.sparkSession, blocked)
        with stages.run("cluster"):
            clustering = self._cluster(blocked.records, edges)
        with stages.run("attach match ids"):
            groups = _groups_table(blocked.records, clustering, scores=scores)
            matches = attach_groups(df, groups, primary_key=primary_key)
        counts = {"candidate_pairs": candidates, "labeled_rows": self.label_count_, **_count_groups(clustering)}
        return MatchResult(matches, counts, plan.to_dict(), stages.seconds)

    def labeling_sets(self, df: DataFrame, *, rows: int = 100, seed: int | None = None) -> DataFrame:
        """Return about `rows` rows worth labelling: labeling_set_id, label (null), then the columns of `df` as strings.

        The rows of a set stand together, likely matches next to each other; rows labelled before are left out.
        """
        check_table(df, primary_key=self.settings.primary_key, reserved=LABEL_COLUMNS)
        stages = _Stages(LABEL_STAGES, self.progress)
        blocked, _ = self._block(df, stages)
        with stages.run("score candidate pairs"):
            pool = self._score_pool(df.sparkSession, blocked)
        with stages.run("choose labelling sets"):
            seed = self.settings.seed + self.label_count_ if seed is None else seed
            labels = () if self.model_.learned is None else self.model_.learned.labels
            known = blocked.records.find_rows([row.key for row in labels])
            groups = choose_neighbourhoods(pool, rows=rows, excluded=known[known >= 0], seed=seed)
            sets = deal_sets(groups, sets=max(1, round(rows / SET_ROWS)), seed=seed)
            return _lay_out_sets(df, blocked.records, sets, primary_key=self.settings.primary_key)

    def save(self, uri: str) -> None:
        """Write the model below `uri` (a folder; local or S3) as JSON and Parquet."""
        save_model(self.model_, uri)

    @classmethod
    def load(cls, uri: str) -> Self:
        """Read a model that `save` wrote. Raises NotFoundError or InputError."""
        return cls(load_model(uri))

    def _block(self, df: DataFrame, stages: _Stages) -> tuple[Blocked, Plan]:
        with stages.run("read the table"):
            columns = [profile.name for profile in self.profiles_]
            table = read_rows(df, primary_key=self.settings.primary_key, columns=columns)
            records = prepare_records(table, self.profiles_)
        with stages.run("block"):
            budget = choose_budget(self.settings.accuracy_cost_tradeoff)
            index = build_index(records, budget, source=self.model_.source_column)
        return Blocked(records, index), choose_plan(index)

    def _score_edges(self, spark: SparkSession, blocked: Blocked) -> tuple[pa.Table, int]:
        """Return the candidate pairs that clustering may use (lo, hi, probability), sorted, and how many there were."""
        if len(blocked.records) < 2:
            return pa.table({"lo": np.zeros(0, np.int64), "hi": np.zeros(0, np.int64), "probability": np.zeros(0)}), 0
        floor = ClusterOptions().island_probability(self.threshold_)
        shipped, model = Shipped(spark, blocked), self.model_

        def score(records: Records, lo: Rows, hi: Rows, context: Feature) -> pa.RecordBatch:
            probability = model.probability(model.measure(records, lo, hi, context))
            kept = probability >= floor
            # the count of all pairs travels in a row of its own, which saves a second pass over them
            columns = [np.append(lo[kept], -1), np.append(hi[kept], len(lo)), np.append(probability[kept], 0.0)]
            return pa.RecordBatch.from_arrays([pa.array(c) for c in columns], names=["lo", "hi", "probability"])

        pairs = propose_pairs(spark, shipped, rows=len(blocked.records))
        scored = collect_arrow(map_pairs(pairs, shipped, score, "lo long, hi long, probability double"))
        shipped.release()
        is_edge = pc.greater_equal(scored.column("lo"), 0)
        candidates = pc.sum(scored.filter(pc.invert(is_edge)).column("hi")).as_py()
        return scored.filter(is_edge).sort_by([("lo", "ascending"), ("hi", "ascending")]), candidates or 0

    def _cluster(self, records: Records, edges: pa.Table) -> Clustering:
        def score_pairs(lo: Rows, hi: Rows) -> npt.NDArray[np.float64]:
            return self.model_.plain_probability(records, lo, hi)

        lo, hi, probability = (edges.column(name).to_numpy() for name in ("lo", "hi", "probability"))
        return cluster(
            len(records), lo, hi, probability,
            threshold=self.threshold_, score_pairs=score_pairs, constraints=self._constraints(records),
        )  # fmt: skip

    def _constraints(self, records: Records) -> Constraints:
        if self.model_.learned is None or not self.settings.enforce_provided_labels:
            return Constraints()
        must, cannot = label_constraints(labeled_pairs(self.model_.learned.labels))
        return Constraints(_row_pairs(records, must), _row_pairs(records, cannot))

    def _score_pool(self, spark: SparkSession, blocked: Blocked) -> PairPool:
        """Return the pairs that labelling sets are chosen from: the least certain, the least covered, random ones."""
        if len(blocked.records) < 2:
            nothing = np.zeros(0)
            return PairPool(nothing.astype(np.int64), nothing.astype(np.int64), nothing, nothing, nothing)
        shipped, model, seed = Shipped(spark, blocked), self.model_, self.settings.seed

        def score(records: Records, lo: Rows, hi: Rows, context: Feature) -> pa.RecordBatch:
            features = model.measure(records, lo, hi, context)
            columns = [lo, hi, *_judge(model, features), _scatter(lo, hi, seed)]
            return pa.RecordBatch.from_arrays([pa.array(c) for c in columns], names=_POOL)

        schema = "lo long, hi long, probability double, disagreement double, coverage double, scatter double"
        pairs = propose_pairs(spark, shipped, rows=len(blocked.records))
        judged = map_pairs(pairs, shipped, score, schema).cache()
        parts = [
            collect_arrow(judged.orderBy(F.desc(name), "lo", "hi").limit(POOL_PAIRS))
            for name in ("disagreement", "coverage", "scatter")
        ]
        judged.unpersist()
        shipped.release()
        return _merge_pool(parts)


_POOL = ["lo", "hi", "probability", "disagreement", "coverage", "scatter"]


def _judge(model: MatchModel, features: Feature) -> list[npt.NDArray[np.float64]]:
    """Return each pair's probability, how unsure the committee is, and how far the models and views differ on it."""
    unsupervised = MatchModel(model.settings, model.profiles, model.unsupervised).probability(features)
    views = features[:, -1]
    if model.learned is None:
        best_rank = features[:, CONTEXT.index("best_rank") - len(CONTEXT)]
        # without a committee: the unsupervised score is unsure, or says no to somebody's best candidate
        disagreement = 1.0 - np.abs(2.0 * unsupervised - 1.0) + (best_rank == 1) * 0.25
        return [unsupervised, disagreement, np.where(views == 1, unsupervised, 0.0)]
    votes = model.learned.context.forest.score(features[:, model.learned.context.columns])
    disagreement = 1.0 - np.abs(2.0 * votes - 1.0)
    probability = model.learned.context.calibration.apply(votes)
    coverage = np.abs(probability - unsupervised) * np.where(views == 1, 1.0, 0.5)
    return [probability, disagreement, coverage]


def _scatter(lo: Rows, hi: Rows, seed: int) -> npt.NDArray[np.float64]:
    """Return a number in [0, 1) per pair that looks random but depends on the pair and the seed alone."""
    mixed = lo.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ hi.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed = (mixed ^ np.uint64(seed)) * np.uint64(0xBF58476D1CE4E5B9)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2.0**53


def _merge_pool(parts: list[pa.Table]) -> PairPool:
    table = pa.concat_tables(parts)
    codes = np.stack([table.column(name).to_numpy() for name in ("lo", "hi")], axis=-1)
    _, first = np.unique(codes, axis=0, return_index=True)
    members = [table.column(name).to_numpy()[first] for name in _POOL[:5]]
    return PairPool(*members)


def _count_candidate_patterns(spark: SparkSession, blocked: Blocked) -> PatternCounts:
    """Count the agreement patterns of all candidate pairs: one Spark job, a few thousand rows collected."""
    width = len(choose_columns(blocked.records.profiles))
    if width == 0 or len(blocked.records) < 2:
        nothing = np.zeros(0, dtype=np.int64)
        return PatternCounts(np.zeros((0, width), dtype=np.int8), nothing, nothing)
    shipped = Shipped(spark, blocked)

    def code(records: Records, lo: Rows, hi: Rows, context: Feature) -> pa.RecordBatch:
        patterns = code_patterns(compare(records, lo, hi), records.profiles)
        distinct, place, pairs = np.unique(patterns, axis=0, return_inverse=True, return_counts=True)
        in_tail = context[:, CONTEXT.index("best_rank")] >= TAIL_RANK
        tail = np.bincount(place.ravel(), weights=in_tail, minlength=len(distinct)).astype(np.int64)
        packed = pa.array([row.tobytes() for row in distinct], pa.binary())
        return pa.RecordBatch.from_arrays([packed, pa.array(pairs), pa.array(tail)], names=["pattern", "pairs", "tail"])

    candidates = propose_pairs(spark, shipped, rows=len(blocked.records))
    coded = map_pairs(candidates, shipped, code, "pattern binary, pairs long, tail long")
    counted = collect_arrow(coded.groupBy("pattern").agg(F.sum("pairs"), F.sum("tail"))).sort_by("pattern")
    shipped.release()
    patterns = np.frombuffer(b"".join(counted.column(0).to_pylist()), dtype=np.int8).reshape(-1, width)
    return PatternCounts(patterns, counted.column(1).to_numpy(), counted.column(2).to_numpy())


def _labeled_rows(labels: DataFrame | Sequence[LabeledRow], *, primary_key: str) -> list[LabeledRow]:
    if not isinstance(labels, DataFrame):
        return list(labels)
    needed = (*LABEL_COLUMNS, primary_key)
    if missing := [name for name in needed if name not in labels.columns]:
        raise LabelError(f"the labels have no column {missing[0]!r}; they need {list(needed)}")
    collected = collect_arrow(labels.select(*(F.col(quote(name)).cast("string") for name in needed)))
    rows = zip(*(collected.column(i).to_pylist() for i in range(3)), strict=True)
    return [LabeledRow(set_id, label, key) for set_id, label, key in sorted(rows, key=lambda row: (row[0], row[2]))]


def _row_pairs(records: Records, pairs: Sequence[tuple[str, str]]) -> Rows:
    """Return key pairs as row numbers; a pair with a key that this table lacks constrains nothing."""
    rows = records.find_rows([key for pair in pairs for key in pair]).reshape(-1, 2)
    return np.sort(rows[(rows >= 0).all(axis=1)], axis=1)


def _groups_table(records: Records, clustering: Clustering, *, scores: bool) -> pa.Table:
    columns = {"key": records.keys, MATCH_ID: pa.array(clustering.labels, pa.int64())}
    if scores:
        columns[CONFIDENCE] = pa.array(clustering.confidence, pa.float64())
    return pa.table(columns)


def _count_groups(clustering: Clustering) -> dict[str, int]:
    _, sizes = np.unique(clustering.labels, return_counts=True)
    return {
        "rows": len(clustering.labels),
        "groups": len(sizes),
        "merged_groups": int((sizes > 1).sum()),
        "merged_rows": int(sizes[sizes > 1].sum()),
        "matched_pairs": int((sizes * (sizes - 1) // 2).sum()),
        "largest_group": int(sizes.max(initial=0)),
        "islands": clustering.islands,
        "cut_islands": clustering.cut_islands,
    }


def _lay_out_sets(df: DataFrame, records: Records, sets: Sequence[Sequence[int]], *, primary_key: str) -> DataFrame:
    """Return the rows of the sets in reading order, taken from `df`, so that every value is as the user knows it."""
    keys = records.keys.to_pylist()
    named = [(name_set([keys[r] for r in rows]), [keys[r] for r in rows]) for rows in sets]
    order = [(set_id, place, key) for set_id, members in sorted(named) for place, key in enumerate(members)]
    spark = df.sparkSession
    layout = spark.createDataFrame(order, "labeling_set_id string, __glue_ml_place int, __glue_ml_key string")
    shown = df.select(
        F.col(quote(primary_key)).cast("string").alias("__glue_ml_key"),
        *(_as_text(df, name).alias(name) for name in df.columns),
    )
    chosen = F.broadcast(layout).join(shown, on="__glue_ml_key").orderBy("labeling_set_id", "__glue_ml_place")
    label = F.lit(None).cast("string").alias("label")
    return chosen.select("labeling_set_id", label, *(F.col(quote(name)) for name in df.columns))


def _as_text(df: DataFrame, name: str) -> Any:
    simple = df.schema[name].dataType.simpleString()
    nested = simple.startswith(("array", "map", "struct"))
    return F.to_json(F.col(quote(name))) if nested else F.col(quote(name)).cast("string")
