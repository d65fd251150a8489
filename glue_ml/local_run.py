"""The steps of a run from the command line: read a table and its labels, learn, and write rows to be labelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from pyspark.sql import DataFrame, SparkSession

from glue_ml import storage
from glue_ml.catalog import read_tables, write_table
from glue_ml.domain.job import TableSpec
from glue_ml.domain.labels import (
    LabeledRow,
    check_both_classes,
    check_known_keys,
    contradictions,
    distinguish_sets,
    merge_rows,
    parse_labels,
    render_labels,
)
from glue_ml.domain.time_left import FIT_SHARES, LABEL_SHARES, MATCH_SHARES, WRITE_SHARE
from glue_ml.errors import InputError, LabelError, NotFoundError
from glue_ml.matching import Evaluation, FindMatches, FindMatchesModel
from glue_ml.matching.components import parse_method
from glue_ml.matching.evaluation_report import write_report
from glue_ml.matching.explained_links import LINKS_PER_GROUP
from glue_ml.matching.learning_curve import ExpectedGain
from glue_ml.matching.plan_choice import parse_plan
from glue_ml.matching.registry import find_known_keys
from glue_ml.matching.table import check_table

#: What a bar shows, with the shares of each step's stages. How long Spark takes to start tells nothing of the rest.
_START = {"start Spark": (0.0,), "read the table": (0.0,)}
_WRITE = {"write": (WRITE_SHARE,)}
MATCH_STEPS = {**_START, "learn": FIT_SHARES, "find matches": MATCH_SHARES, **_WRITE}
LABEL_STEPS = {**_START, "learn": FIT_SHARES, "choose rows": LABEL_SHARES, **_WRITE}
EVALUATE_STEPS = {**_START, "learn": FIT_SHARES}
REPORT_STEPS = {**EVALUATE_STEPS, "write the report": (WRITE_SHARE,)}


class Steps(Protocol):
    """Whoever wants to know how far a run is: `begin` starts the next of its steps, `tell` moves within it."""

    def begin(self) -> None: ...  # noqa: D102

    def tell(self, stage: str, done: int, total: int) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class Source:
    """What a run is about: a table, its format (None: told by its name), its primary key, and files of labels.

    The key is None where a saved model knows it.
    """

    table: str
    format: str | None
    primary_key: str | None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tuning:
    """The settings of a run that learns; tradeoffs are 0 to 1, None works as 0.5."""

    precision_recall: float | None = None
    accuracy_cost: float | None = None
    enforce_labels: bool = False
    seed: int = 0
    semantic_encoder: str = "auto"


@dataclass(frozen=True)
class Target:
    """Where matches go and in which format, whether with scores; where the model and explanations go, if anywhere.

    And how connected components are found on the way there.
    """

    output: str
    format: str
    scores: bool = False
    model: str | None = None
    explanations: str | None = None
    connected_components: str = "auto"
    blocking_plan: str = "auto"


@dataclass(frozen=True)
class Report:
    """Where the report of an evaluation goes, and the time that it tells."""

    uri: str
    now: datetime


@dataclass(frozen=True)
class MatchOutcome:
    """What a run came to: what was counted, whether labels taught it, the labels that were read, and the places.

    `remarks` say what else is worth knowing.
    """

    counts: Mapping[str, int]
    supervised: bool
    labels: TableLabels
    source: Source
    target: Target
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableLabels:
    """The labelled rows of a table, later files having corrected earlier ones, and what to tell about them."""

    rows: tuple[LabeledRow, ...] = ()
    blank: int = 0
    remarks: tuple[str, ...] = ()


def check_target(target: Target) -> None:
    """Raise InputError if there is something already where the run would write, or for an unknown way to components."""
    parse_method(target.connected_components)
    parse_plan(target.blocking_plan)
    for place in filter(None, (target.output, target.model, target.explanations)):
        refuse_existing(place)
    if target.explanations is not None and storage.overlap(target.output, target.explanations):
        raise InputError(f"{target.explanations} and the output {target.output} are in one place; name another folder")


def match_source(
    spark: SparkSession, source: Source, learner: Tuning | str, *, target: Target, bar: Steps
) -> MatchOutcome:
    """Match a table and write it; `learner` is how to learn, or the place of a saved model."""
    bar.begin()
    saved = FindMatchesModel.load(learner) if isinstance(learner, str) else None
    source = source if saved is None else _adopt_key(source, saved)
    df, labels = _read_source(spark, source)
    bar.begin()
    model = saved
    if not isinstance(learner, str):
        model = _learn(df, source, labels.rows if source.labels else None, tuning=learner, bar=bar)
    assert model is not None
    if target.model is not None:
        model.save(target.model)
    bar.begin()
    model.progress, model.connected_components = bar.tell, target.connected_components
    model.blocking_plan = parse_plan(target.blocking_plan)
    limit = None if target.explanations is None else LINKS_PER_GROUP
    result = model.find_matches(df, scores=target.scores, explained_links=limit)
    bar.begin()
    if result.explanations is not None and target.explanations is not None:
        write_table(result.explanations, target.explanations, format=target.format)
    write_table(result.matches, target.output, format=target.format)
    return MatchOutcome(result.counts, model.supervised_, labels, source, target, model.remarks_)


def write_open_sets(
    spark: SparkSession, source: Source, output: str, tuning: Tuning, *, rows: int, bar: Steps
) -> tuple[list[LabeledRow], TableLabels, ExpectedGain | None]:
    """Write labelling sets for a person to fill as a CSV file; return its rows and the labels known before.

    And what labelling them is expected to bring, which nobody knows before there are labels.

    Labels of one class only teach nothing, but their rows are left out all the same.
    """
    bar.begin()
    df, labels = _read_source(spark, source)
    bar.begin()
    teachable = _hold_both_classes(labels.rows)
    model = _learn(df, source, labels.rows if teachable else None, tuning=tuning, bar=bar)
    bar.begin()
    chosen = choose_rows(model, df, rows=rows, without=() if teachable else labels.rows)
    bar.begin()
    if not chosen:
        raise InputError(f"{source.table} has no rows left that could be the same and that nobody has labelled")
    write_labeling_file(chosen, output, primary_key=model.settings.primary_key, columns=df.columns)
    return chosen, labels, model.expected_gain_


@dataclass(frozen=True)
class Quality:
    """What an evaluation found, the labels that were read, what more of them would bring, and the report's place.

    `remark` says why there is no report.
    """

    evaluation: Evaluation
    labels: TableLabels
    gain: ExpectedGain | None
    report: str | None = None
    remark: str | None = None


def evaluate_source(
    spark: SparkSession, source: Source, tuning: Tuning, *, report: Report | None = None, bar: Steps
) -> Quality:
    """Learn from the labels and tell how well pairs are told apart that the model in question did not see."""
    bar.begin()
    df, labels = _read_source(spark, source)
    bar.begin()
    model = _learn(df, source, labels.rows, tuning=tuning, bar=bar)
    found = model.evaluate()
    if report is None:
        return Quality(found, labels, model.expected_gain_)
    bar.begin()
    title = f"How well the rows of {source.table} are matched"
    remark = write_report(model, df, report.uri, title=title, now=report.now)
    return Quality(found, labels, model.expected_gain_, report.uri if remark is None else None, remark)


def _read_source(spark: SparkSession, source: Source) -> tuple[DataFrame, TableLabels]:
    """Read the table, check that it has the key, and read its labels.

    Raises InputError, LabelError, NotFoundError or AccessError.
    """
    df = read_tables(spark, [TableSpec(path=source.table, format=source.format)])
    check_table(df, primary_key=_key_of(source))
    return df, read_labels(source.labels, df, primary_key=_key_of(source))


def _key_of(source: Source) -> str:
    if source.primary_key is None:
        raise InputError("name the column that identifies a row")
    return source.primary_key


def _adopt_key(source: Source, model: FindMatchesModel) -> Source:
    known = model.settings.primary_key
    if source.primary_key not in (None, known):
        raise InputError(f"the model was fitted with the primary key {known!r}, not {source.primary_key!r}")
    return replace(source, primary_key=known)


def _learn(
    df: DataFrame, source: Source, labels: Sequence[LabeledRow] | None, *, tuning: Tuning, bar: Steps
) -> FindMatchesModel:
    """Learn from labels, or without any if they are None; LabelError if they hold one class only."""
    if labels is not None:
        check_both_classes(labels)
    find = FindMatches(
        primary_key=_key_of(source),
        precision_recall_tradeoff=tuning.precision_recall,
        accuracy_cost_tradeoff=tuning.accuracy_cost,
        enforce_provided_labels=tuning.enforce_labels,
        seed=tuning.seed,
        semantic_encoder=tuning.semantic_encoder,
        progress=bar.tell,
        reuse_prepared=True,
    )
    return find.fit(df, labels)


def read_labels(paths: Sequence[str], df: DataFrame, *, primary_key: str) -> TableLabels:
    """Read label files of the table `df` in order; raise LabelError, with file and line, at the first fault."""
    rows: list[LabeledRow] = []
    blank = 0
    for path in paths:
        data = storage.read_bytes(path)
        try:
            file = parse_labels(data, primary_key=primary_key, columns=df.columns)
            known = find_known_keys(df, primary_key, {row.key for row in file.rows})
            check_known_keys(file.rows, known)
        except LabelError as error:
            raise LabelError(f"{path}: {error}") from error
        rows = merge_rows(rows, distinguish_sets(rows, file.rows))
        blank += file.blank
    return TableLabels(tuple(rows), blank, tuple(map(str, contradictions(rows))))


def _hold_both_classes(rows: Sequence[LabeledRow]) -> bool:
    """Say whether labels hold a match and a non-match, which learning needs."""
    try:
        check_both_classes(rows)
    except LabelError:
        return False
    return True


def choose_rows(
    model: FindMatchesModel, df: DataFrame, *, rows: int, without: Sequence[LabeledRow] = ()
) -> list[LabeledRow]:
    """Return labelling sets of about `rows` rows, nobody's label on them yet, with no row that is in `without`."""
    known = {row.key for row in without}
    sets: dict[str, list[LabeledRow]] = {}
    for row in _collect_sets(model.labeling_sets(df, rows=rows + len(known)), model.settings.primary_key):
        if row.key not in known:
            sets.setdefault(row.labeling_set_id, []).append(row)
    chosen: list[LabeledRow] = []
    for members in sets.values():
        if len(members) > 1 and len(chosen) + len(members) <= max(rows, 2):
            chosen += members
    return chosen


def write_labeling_file(rows: Sequence[LabeledRow], uri: str, *, primary_key: str, columns: Sequence[str]) -> None:
    """Write rows to be labelled, or labelled ones, as one CSV file: all of it or nothing."""
    storage.write_bytes(uri, render_labels(rows, primary_key=primary_key, columns=columns))


def refuse_existing(uri: str) -> None:
    """Raise InputError if there is something at `uri`, so that no run writes over what somebody may still need."""
    if storage.exists(uri) or _list_names(uri):
        raise InputError(f"{uri} exists already and is left as it is; name another place, or remove it first")


def _list_names(uri: str) -> list[str]:
    try:
        return storage.list_names(uri)
    except NotFoundError:
        return []


def _collect_sets(sets: DataFrame, primary_key: str) -> list[LabeledRow]:
    names = sets.columns[2:]
    rows = []
    for set_id, _, *values in map(tuple, sets.collect()):
        attributes = dict(zip(names, values, strict=True))
        rows.append(LabeledRow(set_id, None, attributes.pop(primary_key), attributes))
    return rows
