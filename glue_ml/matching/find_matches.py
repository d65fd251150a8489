"""The engine's face: `FindMatches` learns from a table and labels, `FindMatchesModel` gives every row a match id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from glue_ml.domain.job import Stage
from glue_ml.domain.labels import LabeledRow, label_constraints, labeled_pairs
from glue_ml.errors import InputError, LabelError, NotReadyError
from glue_ml.matching.blocking import BlockingIndex, build_index, choose_budget, code_sources, look_across
from glue_ml.matching.blocking_choice import block_by_labels
from glue_ml.matching.cluster_tasks import AskingScorer, Clustered, PlainScorer, Terms, cluster_table
from glue_ml.matching.clustering import Clustering, Constraints
from glue_ml.matching.comparison import FeatureName
from glue_ml.matching.components import Method, check_method, parse_method
from glue_ml.matching.evaluation import Evaluation
from glue_ml.matching.explained_links import as_row_pairs, choose_links, explain_links
from glue_ml.matching.explanation import Explanation, explain_pairs, show_values
from glue_ml.matching.heap import give_back
from glue_ml.matching.labeling import SET_ROWS, choose_neighbourhoods, deal_sets, name_set
from glue_ml.matching.learning_curve import ExpectedGain
from glue_ml.matching.mapped_values import spill
from glue_ml.matching.model import MatchModel, Settings, load_model, save_model
from glue_ml.matching.piece_candidates import PieceCandidates
from glue_ml.matching.piece_files import PieceFiles
from glue_ml.matching.piece_index import index_pieces
from glue_ml.matching.pieces import Layout, cut_table
from glue_ml.matching.pipeline import (
    Blocked,
    BlockedCandidates,
    Candidates,
    DriverCandidates,
    SparkCandidates,
    open_candidates,
)
from glue_ml.matching.plan_choice import BlockingPlan, Cut, choose_cut, parse_plan
from glue_ml.matching.profile import ColumnProfile
from glue_ml.matching.records import SPILLED_ROWS, Records, Table, learn_meaning, prepare_records
from glue_ml.matching.scoring import count_candidate_patterns, look_first, score_edges, score_pool
from glue_ml.matching.semantic import Semantics, choose_encoder
from glue_ml.matching.source_guess import guess_source
from glue_ml.matching.stages import Amounts, Progress, Stages
from glue_ml.matching.table import (
    CONFIDENCE,
    LABEL_COLUMNS,
    MATCH_ID,
    check_table,
    collect_arrow,
    compared_columns,
    lay_out_sets,
    quote,
    read_rows,
    read_values,
)
from glue_ml.matching.training import learn
from glue_ml.matching.unsupervised import decide_across, fit_unsupervised

Rows = npt.NDArray[np.int64]

FIT_STAGES = ("read the table", "block", "compare", "learn")
MATCH_STAGES = ("read the table", "block", "score candidate pairs", "cluster", "attach match ids")
LABEL_STAGES = ("read the table", "block", "score candidate pairs", "choose labelling sets")


@dataclass(frozen=True)
class MatchResult:
    """The output of a run: `matches`, what was counted, how blocking was carried out, and seconds by stage.

    `stages` tell the rows and bytes of each stage as well. `explanations`, where asked for, has one row for each link
    inside a group; see `explained_links.explain_links`.
    """

    matches: DataFrame
    counts: Mapping[str, int]
    plan: Mapping[str, Any]
    seconds: Mapping[str, float]
    explanations: DataFrame | None = None
    stages: tuple[Stage, ...] = ()


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
    semantic_encoder: what reads the meaning of texts: "auto" (where the extra `semantic` is installed),
        "off", "static", "sentence" or a path; see `semantic.find_encoder`.
    reuse_prepared: whether the model's first run on the very DataFrame it was fitted to goes on from what `fit` read
        and blocked; for a table that does not change in between.
    connected_components: how the model's runs find the components of matching pairs: "auto", "driver", "graphframes"
        or "contraction"; see `cluster_tasks`. The output is the same.
    blocking_plan: how the model's runs block: "auto", "shipped" or "pieces"; see `plan_choice`. The output is the same.

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
        semantic_encoder: str = "auto",
        progress: Progress | None = None,
        reuse_prepared: bool = False,
        connected_components: str = "auto",
        blocking_plan: str = "auto",
    ) -> None:
        self.primary_key = primary_key
        self.precision_recall_tradeoff = precision_recall_tradeoff
        self.accuracy_cost_tradeoff = accuracy_cost_tradeoff
        self.enforce_provided_labels = enforce_provided_labels
        self.seed = seed
        self.semantic_encoder = semantic_encoder
        self.progress = progress
        self.reuse_prepared = reuse_prepared
        self.connected_components = parse_method(connected_components)
        self.blocking_plan = parse_plan(blocking_plan)

    def fit(self, df: DataFrame, labels: DataFrame | Sequence[LabeledRow] | None = None) -> FindMatchesModel:
        """Learn from the table `df` and, where given, `labels` (labeling_set_id, label and the primary key).

        Raises InputError (table), LabelError (labels), NotReadyError (labels without a match and a non-match).
        """
        settings = self._settings()
        check_table(df, primary_key=self.primary_key)
        stages = Stages("train", FIT_STAGES, self.progress, df.sparkSession)
        columns = compared_columns(df, primary_key=self.primary_key)
        with stages.run("read the table") as amounts:
            records = _read_records(df, amounts, primary_key=self.primary_key, columns=columns)
        with stages.run("block") as amounts:
            index = build_index(records, choose_budget(self.accuracy_cost_tradeoff))
            candidates = open_candidates(df.sparkSession, Blocked(records, index))
            _tell_index(amounts, index)
        with stages.run("compare") as amounts:
            counts = count_candidate_patterns(candidates)
            amounts.rows_in, amounts.rows_out = int(counts.pairs.sum()), len(counts.pairs)
            unsupervised = fit_unsupervised(records, counts, seed=self.seed)
        with stages.run("learn"):
            model = MatchModel(settings, records.profiles, unsupervised)
            if labels is None:
                model = _guess_source(model, candidates.blocked, df.sparkSession)
            else:
                rows = _labeled_rows(labels, primary_key=self.primary_key)
                encoder = choose_encoder(self.semantic_encoder, self.accuracy_cost_tradeoff)
                model = replace(model, semantics=learn_meaning(records, encoder))
                model, blocked, source = block_by_labels(model, candidates.blocked, rows)
                if blocked.index is not candidates.blocked.index:
                    candidates.release()
                    candidates = open_candidates(df.sparkSession, blocked)
                model = model.with_learned(learn(model, candidates, rows, source=source))
        fitted = FindMatchesModel(model, progress=self.progress, connected_components=self.connected_components)
        fitted.blocking_plan = self.blocking_plan
        fitted._done += stages.done
        if self.reuse_prepared:
            fitted._prepared = (df, candidates)
        else:
            candidates.release()
        return fitted

    def _settings(self) -> Settings:
        return Settings(
            primary_key=self.primary_key,
            precision_recall_tradeoff=self.precision_recall_tradeoff,
            accuracy_cost_tradeoff=self.accuracy_cost_tradeoff,
            enforce_provided_labels=self.enforce_provided_labels,
            seed=self.seed,
            semantic_encoder=self.semantic_encoder,
        )


class FindMatchesModel:
    """What `FindMatches.fit` learned. Attributes that end in an underscore were learned from data.

    `progress`, `connected_components` and `blocking_plan` (see `FindMatches`) are of the runs, not of the model, and
    are not saved; nor is `work_folder`, a URI that driver and executors reach: on a cluster, pieces need one.
    """

    def __init__(
        self, model: MatchModel, *, progress: Progress | None = None, connected_components: str = Method.AUTO
    ) -> None:
        self.model_ = model
        self.progress = progress
        self.connected_components = connected_components
        self.blocking_plan = BlockingPlan.AUTO
        self.work_folder: str | None = None
        self._prepared: tuple[DataFrame, BlockedCandidates] | None = None
        self._done: list[Stage] = []

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

    @property
    def expected_gain_(self) -> ExpectedGain | None:
        """What more labels would bring; None without labels."""
        return None if self.model_.learned is None else self.model_.learned.expected_gain

    @property
    def remarks_(self) -> tuple[str, ...]:
        """Sentences on what is worth knowing of the matches that this model finds."""
        column = self.model_.source_column
        if column is None:
            return ()
        why = "as the labels show so far" if self.supervised_ else "as far as can be told without labels"
        return (f"column {column!r} names the source of a row, {why}: matches were looked for across sources only",)

    @property
    def stages_(self) -> tuple[Stage, ...]:
        """What took how long so far: the stages of the fit, if it was just made, and of what was asked of it since."""
        return tuple(self._done)

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

    def explain(self, df: DataFrame, a: str, b: str) -> Explanation:
        """Tell why the rows of `df` with the keys `a` and `b` (as text) are a match or not.

        The whole table is read and blocked, as words and ranks count by how rare they are in it. Raises InputError for
        a key that the table does not hold.
        """
        primary_key = self.settings.primary_key
        check_table(df, primary_key=primary_key)
        stages = Stages("explain", FIT_STAGES, self.progress, df.sparkSession)
        candidates = self._open(df, stages, source=self.model_.source_column)
        records, index = candidates.blocked.records, candidates.blocked.index
        left, right = (np.array([_find_row(records, key, primary_key)]) for key in (a, b))
        seen = look_first(candidates, self.model_)[0] if self.model_.looks_twice else None
        candidates.release()
        (told,) = explain_pairs(self.model_, records, index, left, right, seen)
        return show_values(told, read_values(df, (a, b), primary_key=primary_key))

    def prepare(self, df: DataFrame) -> Blocked:
        """Read `df` and block it as a run would; raises InputError where a run would."""
        check_table(df, primary_key=self.settings.primary_key)
        stages = Stages("prepare", FIT_STAGES, None, df.sparkSession)
        return self._block(df, stages, source=self.model_.source_column)

    def find_matches(self, df: DataFrame, *, scores: bool = False, explained_links: int | None = None) -> MatchResult:
        """Do what `transform` does and tell what was counted, planned and timed.

        `explained_links`: where set, the links of each group, at most so many of a group, are explained as well.

        The matching runs at once; writing the result reads `df` a second time, so `df` must be deterministic.
        """
        primary_key = self.settings.primary_key
        check_table(df, primary_key=primary_key, reserved=(MATCH_ID, CONFIDENCE) if scores else (MATCH_ID,))
        check_method(df.sparkSession, self.connected_components)
        stages = Stages("match", MATCH_STAGES, self.progress, df.sparkSession, self._done)
        candidates = self._open_for_matching(df, stages, explained=explained_links is not None)
        table, plan = candidates.table, candidates.plan
        with stages.run("score candidate pairs") as amounts:
            edges, pairs = score_edges(candidates, self.model_)
            amounts.rows_in, amounts.rows_out, amounts.bytes = pairs, len(edges), edges.nbytes
        with stages.run("cluster") as amounts:
            if explained_links is None:
                edges = edges.select(["lo", "hi", "probability"])
            give_back()
            clustered = self._cluster(df.sparkSession, candidates, edges)
            candidates.release()
            clustering = clustered.clustering
            counted = _count_groups(clustering)
            amounts.rows_in, amounts.rows_out, amounts.bytes = len(edges), counted["groups"], clustering.labels.nbytes
        with stages.run("attach match ids") as amounts:
            groups = _groups_table(clustering, self.model_ if scores else None)
            amounts.rows_in, amounts.rows_out, amounts.bytes = len(table), len(groups), groups.nbytes
            matches = candidates.attach(df, groups, primary_key=primary_key)
        counts = {"candidate_pairs": pairs, "labeled_rows": self.label_count_, **counted}
        explanations = None
        if explained_links is not None:
            links = choose_links(
                clustering.labels, as_row_pairs(edges), threshold=self.threshold_, limit=explained_links
            )
            counts |= links.counts
            assert isinstance(candidates, DriverCandidates | SparkCandidates)
            explanations = explain_links(df.sparkSession, candidates.blocked, self.model_, links, edges)
        told = plan.to_dict() | {"source_column": self.model_.source_column, "clustering": clustered.to_dict()}
        return MatchResult(matches, counts, told, stages.seconds, explanations, stages.mine)

    def labeling_sets(self, df: DataFrame, *, rows: int = 100, seed: int | None = None) -> DataFrame:
        """Return about `rows` rows worth labelling: labeling_set_id, label (null), then the columns of `df` as strings.

        The rows of a set stand together, likely matches next to each other; rows labelled before are left out.
        """
        check_table(df, primary_key=self.settings.primary_key, reserved=LABEL_COLUMNS)
        stages = Stages("choose labels", LABEL_STAGES, self.progress, df.sparkSession, self._done)
        candidates = self._open(df, stages, source=self.model_.asked_source)
        records = candidates.blocked.records
        with stages.run("score candidate pairs") as amounts:
            pool = score_pool(candidates, self.model_)
            candidates.release()
            amounts.rows_out = len(pool.left)
        with stages.run("choose labelling sets") as amounts:
            seed = self.settings.seed + self.label_count_ if seed is None else seed
            labels = () if self.model_.learned is None else self.model_.learned.labels
            known = records.find_rows([row.key for row in labels])
            chosen = choose_neighbourhoods(pool, rows=rows, excluded=known[known >= 0], seed=seed)
            sets = deal_sets(chosen.groups, sets=max(1, round(rows / SET_ROWS)), seed=seed)
            amounts.rows_in, amounts.rows_out = len(pool.left), sum(map(len, sets))
            return lay_out_sets(df, _name_sets(records, sets, chosen.drawn), primary_key=self.settings.primary_key)

    def save(self, uri: str) -> None:
        """Write the model below `uri` (a folder; local or S3) as JSON and Parquet."""
        save_model(self.model_, uri)

    @classmethod
    def load(cls, uri: str) -> Self:
        """Read a model that `save` wrote. Raises NotFoundError or InputError."""
        return cls(load_model(uri))

    def _open_for_matching(self, df: DataFrame, stages: Stages, *, explained: bool) -> Candidates:
        """Return the candidate pairs of `df` by the plan that fits it, see `plan_choice`."""
        at_hand = self._prepared is not None and self._prepared[0] is df
        semantics, source, obstacle = self.model_.semantics, self.model_.source_column, None
        if at_hand and self.blocking_plan is not BlockingPlan.PIECES:
            return self._open(df, stages, source=source)
        if semantics is not None and semantics.searched:
            obstacle = f"columns are searched by meaning ({', '.join(sorted(semantics.searched))})"
        elif explained:
            obstacle = "links are to be explained"
        columns = [each.name for each in self.profiles_]
        cut = choose_cut(df, columns, self.blocking_plan, folder=self.work_folder, obstacle=obstacle)
        return self._open(df, stages, source=source) if cut is None else self._open_pieces(df, stages, cut)

    def _open_pieces(self, df: DataFrame, stages: Stages, cut: Cut) -> Candidates:
        files, model = PieceFiles(cut.folder), self.model_
        layout = Layout(self.profiles_, model.semantics)
        with stages.run("read the table") as amounts:
            pieces = cut_table(df, files, layout, primary_key=self.settings.primary_key, pieces=cut.pieces)
            amounts.rows_in, amounts.rows_out = cut.rows, len(pieces)
        with stages.run("block") as amounts:
            index = index_pieces(
                df.sparkSession, pieces, choose_budget(self.settings.accuracy_cost_tradeoff),
                source=model.source_column, rules=model.key_rules,
            )  # fmt: skip
            amounts.rows_in, amounts.rows_out, amounts.bytes = len(pieces), index.rows, index.size_bytes
        return PieceCandidates(df.sparkSession, pieces, index, cut.reason)

    def _open(self, df: DataFrame, stages: Stages, *, source: str | None) -> BlockedCandidates:
        """Return the candidate pairs of `df` across the values of `source`, or all; `fit` may have them at hand."""
        prepared, self._prepared = self._prepared, None
        if prepared is None or prepared[0] is not df:
            return open_candidates(df.sparkSession, self._block(df, stages, source=source))
        with stages.run("read the table") as amounts:
            amounts.rows_out = len(prepared[1].blocked.records)
        if (source is None) == (prepared[1].blocked.index.source is None):
            return prepared[1]
        prepared[1].release()
        return _open_across(df.sparkSession, prepared[1].blocked, source)

    def _block(self, df: DataFrame, stages: Stages, *, source: str | None) -> Blocked:
        with stages.run("read the table") as amounts:
            records = _read_records(
                df, amounts, primary_key=self.settings.primary_key, columns=[each.name for each in self.profiles_],
                profiles=self.profiles_, semantics=self.model_.semantics,
            )  # fmt: skip
        with stages.run("block") as amounts:
            budget = choose_budget(self.settings.accuracy_cost_tradeoff)
            index = build_index(records, budget, source=source, rules=self.model_.key_rules)
            _tell_index(amounts, index)
            give_back()
        return Blocked(records, index)

    def _cluster(self, spark: SparkSession, candidates: Candidates, edges: pa.Table) -> Clustered:
        table = candidates.table
        scorer = PlainScorer(self.model_, table)
        terms, asking = Terms(self.threshold_, scorer, self._constraints(table)), AskingScorer(candidates, scorer)
        return cluster_table(spark, len(table), edges, terms, method=self.connected_components, score_pairs=asking)

    def _constraints(self, table: Table) -> Constraints:
        if self.model_.learned is None or not self.settings.enforce_provided_labels:
            return Constraints()
        must, cannot = label_constraints(labeled_pairs(self.model_.learned.labels))
        return Constraints(_row_pairs(table, must), _row_pairs(table, cannot))


def _guess_source(model: MatchModel, blocked: Blocked, spark: SparkSession) -> MatchModel:
    """Return a model that decides about pairs across two sources, where the table seems to join them."""
    seed = model.settings.seed
    source = guess_source(blocked.records, blocked.index, seed=seed)
    if source is None:
        return model
    across = _open_across(spark, blocked, source)
    counts = count_candidate_patterns(across)
    across.release()
    decided = decide_across(model.unsupervised, blocked.records, counts, source=source, seed=seed)
    return replace(model, unsupervised=decided)


def _open_across(spark: SparkSession, blocked: Blocked, source: str | None) -> BlockedCandidates:
    index = look_across(blocked.index, code_sources(blocked.records, source))
    return open_candidates(spark, Blocked(blocked.records, index))


def _read_records(
    df: DataFrame, amounts: Amounts, *, primary_key: str, columns: Sequence[str],
    profiles: Sequence[ColumnProfile] | None = None, semantics: Semantics | None = None,
) -> Records:  # fmt: skip
    """Read and prepare a table; of a large one nothing is left in memory that need not be."""
    table = read_rows(df, primary_key=primary_key, columns=columns)
    amounts.rows_in, amounts.rows_out, amounts.bytes = len(table), len(table), table.nbytes
    records = prepare_records(table, profiles, semantics=semantics)
    return spill(records) if len(records) > SPILLED_ROWS else records


def _tell_index(amounts: Amounts, index: BlockingIndex) -> None:
    amounts.rows_in, amounts.rows_out, amounts.bytes = index.rows, index.rows, index.size_bytes


def _labeled_rows(labels: DataFrame | Sequence[LabeledRow], *, primary_key: str) -> list[LabeledRow]:
    if not isinstance(labels, DataFrame):
        return list(labels)
    needed = (*LABEL_COLUMNS, primary_key)
    if missing := [name for name in needed if name not in labels.columns]:
        raise LabelError(f"the labels have no column {missing[0]!r}; they need {list(needed)}")
    collected = collect_arrow(labels.select(*(F.col(quote(name)).cast("string") for name in needed)))
    rows = zip(*(collected.column(i).to_pylist() for i in range(3)), strict=True)
    return [LabeledRow(set_id, label, key) for set_id, label, key in sorted(rows, key=lambda row: (row[0], row[2]))]


def _row_pairs(table: Table, pairs: Sequence[tuple[str, str]]) -> Rows:
    """Return key pairs as row numbers; a pair with a key that this table lacks constrains nothing."""
    rows = table.find_rows([key for pair in pairs for key in pair]).reshape(-1, 2)
    return np.sort(rows[(rows >= 0).all(axis=1)], axis=1)


def _find_row(records: Records, key: str, primary_key: str) -> int:
    row = int(records.find_rows([key])[0])
    if row < 0:
        raise InputError(f"the table has no row whose {primary_key!r} is {key!r}; name the key of a row, as text")
    return row


def _groups_table(clustering: Clustering, teller: MatchModel | None) -> pa.Table:
    """Return each row's group and, where a model is given to tell it, the group's confidence."""
    columns = {MATCH_ID: pa.array(clustering.labels, pa.int64())}
    if teller is not None:
        columns[CONFIDENCE] = pa.array(teller.tell_confidence(clustering.confidence), pa.float64())
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


def _name_sets(
    records: Records, sets: Sequence[Sequence[int]], drawn: Sequence[tuple[int, int]]
) -> list[tuple[str, list[str]]]:
    """Return the sets as keys, in the order of their names; `drawn` are the pairs drawn at random."""
    keys = records.keys.to_pylist()
    members = [[keys[row] for row in rows] for rows in sets]
    pairs = [(keys[one], keys[other]) for one, other in drawn]
    return sorted((name_set(named, pairs), named) for named in members)
