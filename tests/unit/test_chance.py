"""Without labels: pairs that agree no oftener than chance has it are not taken for matches, but are asked about."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from glue_ml.matching import FindMatches
from glue_ml.matching.fellegi_sunter import FellegiSunter, expect_by_chance, fit_fellegi_sunter
from glue_ml.matching.model import MatchModel, load_model, save_model
from glue_ml.matching.scoring import score_pool
from glue_ml.matching.unsupervised import Unsupervised, count_patterns
from tests.benchmarks.public_data import KEY, PublicSet
from tests.benchmarks.sparkless import Frame, without_spark
from tests.benchmarks.teaching import match_table

ENTITIES = 500
SURNAMES = "smith johnson miller garcia lopez anderson taylor martin clark walker young wright hill green baker nelson"
GIVEN = "anna peter maria john paul lucy mark helen laura simon rita oscar"
STREETS = "king queen mill church station park lake forest river bridge"
CITIES = "london paris boston denver austin leeds york dover"


def misspell(rng: random.Random, text: str) -> str:
    place = rng.randrange(len(text))
    return text[:place] + rng.choice(["", text[place] * 2, rng.choice("aeiou")]) + text[place + 1 :]


@pytest.fixture(scope="module")
def people() -> PublicSet:
    """A name, a street and a city each: 192 names for 500 people, so that most share theirs with somebody."""
    rng = random.Random(0)
    surnames, given, streets, cities = (words.split() for words in (SURNAMES, GIVEN, STREETS, CITIES))
    rows, entities = [], []
    for entity in range(ENTITIES):
        name, street = f"{rng.choice(given)} {rng.choice(surnames)}", f"{rng.choice(streets)} {rng.randint(1, 199)}"
        true = [name, street, rng.choice(cities)]
        for copy in range(rng.choice([1, 1, 2, 2, 3])):
            rows.append([misspell(rng, each) if copy and rng.random() < 0.25 else each for each in true])
            entities.append(str(entity))
    keys = [f"r{number:04}" for number in range(len(rows))]
    table = pa.table([keys, ["x"] * len(rows), *zip(*rows, strict=True)], [KEY, "source", "name", "street", "city"])
    return PublicSet("people", table, dict(zip(keys, entities, strict=True)), cross=False)


@pytest.fixture(scope="module")
def model(people: PublicSet) -> MatchModel:
    with without_spark():
        df: Any = Frame(people.table)
        return FindMatches(primary_key=KEY, seed=0).fit(df, None).model_


def score(model: MatchModel, people: PublicSet) -> dict[str, float]:
    with without_spark():
        df: Any = Frame(people.table)
        find = FindMatches(primary_key=KEY, seed=0).fit(df, None)
        find.model_ = model
        return dict(match_table(find, people, df)[0])


def test_sharing_a_common_name_does_not_make_a_match(model: MatchModel, people: PublicSet) -> None:
    careful = score(model, people)
    bold = score(replace(model, unsupervised=replace(model.unsupervised.boldly(), decider=None)), people)
    assert careful["f1"] > 0.75
    assert careful["precision"] > bold["precision"] + 0.2


def test_the_first_questions_are_chosen_by_the_bolder_opinion(model: MatchModel, people: PublicSet) -> None:
    with without_spark():
        df: Any = Frame(people.table)
        found = FindMatches(primary_key=KEY, seed=0, reuse_prepared=True).fit(df, None)
    assert found._prepared is not None
    candidates = found._prepared[1]
    bold = replace(model, unsupervised=model.unsupervised.boldly())
    timid = replace(model, unsupervised=replace(model.unsupervised, bold=None))
    pools = [score_pool(candidates, each) for each in (model, bold, timid)]
    np.testing.assert_array_equal(pools[0].probability, pools[1].probability)
    assert pools[0].probability.sum() > pools[2].probability.sum()


def test_a_saved_model_keeps_both_opinions(model: MatchModel, tmp_path: Path) -> None:
    save_model(model, str(tmp_path))
    read = load_model(str(tmp_path)).unsupervised
    assert read.to_dict() == model.unsupervised.to_dict()
    assert read.bold is not None
    assert read.bold.match_share > read.model.match_share


def test_a_model_that_was_saved_with_one_opinion_asks_by_that() -> None:
    single = Unsupervised(FellegiSunter(0.1, (), ()), ())
    read = Unsupervised.from_dict(single.to_dict())
    assert read.boldly() == read == single


def test_what_agrees_independently_is_what_chance_expects() -> None:
    rng = np.random.default_rng(0)
    drawn = np.stack([rng.choice([-1, 0, 1, 2], 40_000, p=p) for p in ([0.1, 0.6, 0.2, 0.1], [0.0, 0.5, 0.3, 0.2])], 1)
    patterns, counts = count_patterns(drawn.astype(np.int8))
    expected = expect_by_chance(patterns, patterns, counts, pairs=40_000.0)
    assert expected.sum() == pytest.approx(40_000)
    assert np.all(np.abs(counts - expected) < 4 * np.sqrt(expected) + 1)


def test_a_level_that_no_random_pair_reached_is_not_expected() -> None:
    sample = np.array([[0, 0], [1, 0]], dtype=np.int8)
    wanted = np.array([[1, 1], [1, 0], [-1, 0]], dtype=np.int8)
    assert expect_by_chance(wanted, sample, np.array([3, 1]), pairs=100.0).tolist() == [0.0, 25.0, 0.0]


def test_of_a_single_comparison_chance_tells_nothing() -> None:
    sample = np.array([[0], [1]], dtype=np.int8)
    assert expect_by_chance(sample, sample, np.array([9, 1]), pairs=100.0).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("allowed", [0.0, 50.0, 300.0])
def test_no_more_matches_are_found_than_allowed(allowed: float) -> None:
    patterns = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.int8)
    counts = np.array([5_000, 300, 300, 400])
    u = (np.array([0.9, 0.1]), np.array([0.9, 0.1]))
    most = np.minimum(counts, allowed)
    model = fit_fellegi_sunter(
        patterns, counts, level_counts=(2, 2), u=u, most=most, prior_share=0.1, max_iterations=200, tolerance=1e-6
    )
    assert model.match_share * counts.sum() <= most.sum() + 1.0
