"""Labels that all else contradicts are slips: nothing is learned from them, and they are still told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from glue_ml.matching import FindMatches, training
from glue_ml.matching.lessons import Lesson, TrainingPairs
from glue_ml.matching.model import MatchModel
from glue_ml.matching.pipeline import BlockedCandidates
from glue_ml.matching.slips import BELIEF, MOST_EXPECTED, doubt, find_beside, find_slips, fit_share, judge_labels
from tests.benchmarks.public_data import KEY, PublicSet
from tests.benchmarks.sparkless import Frame, without_spark
from tests.benchmarks.teaching import Course
from tests.people import make_people

Features = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

PAIRS = 200


def make_lesson(*, share: float = 0.3, seed: int = 0) -> tuple[Features, Flags]:
    """Pairs that each of five features tells apart, with some noise."""
    rng = np.random.default_rng(seed)
    is_match = rng.random(PAIRS) < share
    return (is_match[:, None] + rng.normal(0, 0.2, (PAIRS, 5))).astype(np.float32), is_match


def pair_up(labels: Flags, *, listed: bool = True) -> Lesson:
    """Pairs that have no row in common."""
    rows = np.arange(2 * len(labels))
    pairs = TrainingPairs(rows[::2], rows[1::2], labels, tuple(f"s{place // 4}" for place in range(len(labels))))
    return Lesson(
        pairs, np.zeros((len(labels), 1), np.float32), np.full(len(labels), listed), np.zeros(len(labels), bool)
    )


def find(features: Features, labels: Flags) -> list[int]:
    return np.flatnonzero(find_slips(pair_up(labels), [features, features[:, :3]], seed=0)).tolist()


def test_right_labels_are_no_slips() -> None:
    assert find(*make_lesson()) == []


@pytest.mark.parametrize("wrong", [[3], [50, 120], [3, 50, 120]])
def test_labels_that_all_others_contradict_are_slips_whatever_they_say(wrong: list[int]) -> None:
    features, is_match = make_lesson()
    is_match[wrong] = ~is_match[wrong]
    assert find(features, is_match) == wrong


def test_a_label_that_some_of_the_features_bear_out_is_no_slip() -> None:
    features, is_match = make_lesson()
    features[7, :3] = 1.0 - features[7, :3]
    features[7, 3:] = 1.0 - is_match[7], is_match[7]
    lesson = pair_up(is_match)
    wrong = find_slips(lesson, [features[:, :3]], seed=0)
    right = find_slips(lesson, [features[:, :3], features[:, 4:]], seed=0)
    assert np.flatnonzero(wrong).tolist() == [7]
    assert not right.any()


def test_a_class_of_which_many_are_contradicted_is_hard_and_not_full_of_slips() -> None:
    features, is_match = make_lesson(share=0.05)
    features[is_match] = 0.0
    assert is_match.any()
    assert find(features, is_match) == []


def test_the_more_slips_there_are_the_sooner_a_label_is_doubted() -> None:
    certain, doubtful = np.full(96, 0.999), np.full(4, 0.03)
    few = fit_share(np.append(certain, doubtful[:1]))
    many = fit_share(np.append(certain, np.repeat(doubtful, 5) / 30))
    assert few < 0.02 < many
    assert doubt(doubtful, few)[0] < 0.5 < doubt(doubtful, many)[0]


def test_however_many_slips_there_seem_to_be_a_label_with_some_support_is_none() -> None:
    assert fit_share(np.full(500, 0.01)) == MOST_EXPECTED
    is_match = np.array([*[True] * 60, *[False] * 60])
    votes = np.where(is_match, 0.98, 0.02)
    votes[:10] = [0.05] * 9 + [0.3]
    lesson = pair_up(is_match)
    lesson.listed[:10] = False
    assert np.flatnonzero(judge_labels(lesson, [votes])).tolist() == list(range(9))


def test_labels_that_speak_for_themselves_have_fewer_slips_than_expected() -> None:
    assert fit_share(np.full(int(BELIEF), 1.0 - 1e-9)) == pytest.approx(0.01, abs=1e-6)


def test_a_row_in_a_slip_is_doubted_in_its_set_but_not_elsewhere() -> None:
    left, right = np.array([0, 0, 1, 0]), np.array([1, 2, 3, 4])
    pairs = TrainingPairs(left, right, np.array([True, False, False, False]), ("s", "s", "s", "t"))
    assert find_beside(pairs, np.array([True, False, False, False])).tolist() == [True, True, True, False]


def test_what_is_said_beside_a_slip_needs_less_to_be_one() -> None:
    # a row called the same as a stranger (pair 0) and torn from its like (pair 1); another is as doubtful (pair 2)
    lesson = pair_up(np.array([True, False, False, *[True] * 20, *[False] * 20]))
    pairs = replace(lesson.pairs, left=np.append([0, 0], lesson.pairs.left[2:]))
    votes = np.where(pairs.is_match, 0.98, 0.02)
    votes[:3] = 0.01, 0.75, 0.75
    assert np.flatnonzero(judge_labels(replace(lesson, pairs=pairs), [votes])).tolist() == [0, 1]


def test_a_match_that_blocking_does_not_propose_is_doubted_sooner_where_such_are_mostly_slips() -> None:
    is_match = np.array([*[True] * 60, *[False] * 60])
    votes = np.where(is_match, 0.98, 0.02)
    votes[:10] = 0.1
    proposed, lesson = pair_up(is_match), pair_up(is_match)
    lesson.listed[:10] = False
    assert not judge_labels(proposed, [votes]).any()
    assert np.flatnonzero(judge_labels(lesson, [votes])).tolist() == list(range(10))


@pytest.fixture(scope="module")
def course() -> Course:
    """What was learned of people, with one answer in sixteen wrong."""
    rows, truth = make_people(250, seed=8)
    attributes = {name: [row[name] for row in rows] for name in rows[0] if name != "id"}
    table = pa.table({"rec_id": [row["id"] for row in rows], "source": ["one"] * len(rows), **attributes})
    data = PublicSet("people", table, {key: str(entity) for key, entity in truth.items()}, False)
    with without_spark():
        course = Course(data, Frame(table), seed=1, noise=0.06)
        assert list(course.advance([200])) == [200]
    return course


def test_slips_are_told_with_the_other_labels(course: Course) -> None:
    learned = course.model.model_.learned
    assert learned is not None
    assert learned.held_out is not None
    truth = course.data.entity
    pairs = zip(learned.held_out.left, learned.held_out.right, learned.held_out.is_match, strict=True)
    wrong = np.array([is_match != (truth[left] == truth[right]) for left, right, is_match in pairs])
    doubted = np.abs(learned.held_out.probability - learned.held_out.is_match) > 0.9
    assert wrong.sum() > 5
    assert (doubted & wrong).sum() > 0.7 * wrong.sum()


def test_nothing_is_learned_from_slips(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    lessons: list[Lesson] = []
    train = training.train

    def watch(model: MatchModel, candidates: BlockedCandidates, lesson: Lesson) -> training.Trained:
        lessons.append(lesson)
        return train(model, candidates, lesson)

    monkeypatch.setattr(training, "train", watch)
    with without_spark():
        learned = FindMatches(primary_key=KEY, seed=1).fit(course.df, course.labels).model_.learned
        records = course.model.prepare(course.df).records
    assert learned is not None
    assert learned.held_out is not None
    keys = records.keys.to_pylist()
    pairs = lessons[-1].pairs
    taught = {frozenset((keys[a], keys[b])) for a, b in zip(pairs.left, pairs.right, strict=True)}
    slips = {
        frozenset((a, b))
        for a, b in zip(learned.held_out.left, learned.held_out.right, strict=True)
        if frozenset((a, b)) not in taught
    }
    truth = course.data.entity
    wrong = {
        frozenset((a, b))
        for a, b, is_match in zip(learned.held_out.left, learned.held_out.right, learned.held_out.is_match, strict=True)
        if is_match and truth[a] != truth[b]
    }
    assert len(wrong) > 2
    assert len(wrong & slips) > 0.7 * len(wrong)
