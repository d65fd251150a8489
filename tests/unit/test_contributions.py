from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from glue_ml.matching.comparison import FeatureName
from glue_ml.matching.contributions import _weigh_scorer, decompose_forest
from glue_ml.matching.evaluation import Calibration
from glue_ml.matching.fellegi_sunter import FellegiSunter
from glue_ml.matching.forest import grow_forest
from glue_ml.matching.learning import Scorer
from glue_ml.matching.tokens import hash_grams, spell_grams


def make_scorer(seed: int = 0, calibration: Calibration | None = None) -> tuple[Scorer, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.random((300, 6)).astype(np.float32)
    forest = grow_forest(features, features[:, 0] + 0.5 * features[:, 1] > 0.8, seed=seed, trees=40)
    return Scorer(6, forest, calibration or Calibration(1.7, -0.4)), rng.random((500, 6)).astype(np.float32)


NAMES = tuple(FeatureName("c", str(i)) for i in range(6))


def test_what_the_features_move_leads_from_the_roots_to_the_score() -> None:
    scorer, features = make_scorer()
    root, moves = decompose_forest(scorer.forest, features)
    assert 0.0 < root < 1.0
    np.testing.assert_allclose(root + moves.sum(axis=1), scorer.forest.score(features), atol=1e-12)


@pytest.mark.parametrize("calibration", [Calibration(), Calibration(0.1, 3.0), Calibration(10.0, -20.0)])
def test_contributions_sum_to_the_log_odds_less_the_base(calibration: Calibration) -> None:
    scorer, features = make_scorer(1, calibration)
    found = _weigh_scorer(scorer, features, NAMES, "told")
    np.testing.assert_allclose(found.base + found.values.sum(axis=1), found.log_odds, atol=1e-9)
    np.testing.assert_allclose(found.probability, scorer.probability(features), atol=1e-12)


def test_a_contribution_keeps_the_sign_of_its_move() -> None:
    scorer, features = make_scorer(2)
    _, moves = decompose_forest(scorer.forest, features)
    values = _weigh_scorer(scorer, features, NAMES, "told").values
    assert ((np.sign(values) == np.sign(moves)) | (np.abs(moves) < 1e-12)).all()


def test_a_feature_that_decides_moves_most() -> None:
    scorer, features = make_scorer(3)
    values = _weigh_scorer(scorer, features, NAMES, "told").values
    assert np.abs(values).mean(axis=0).argmax() == 0


def test_columns_are_told_by_the_size_of_their_move() -> None:
    scorer, features = make_scorer(4)
    names = (*(FeatureName("a", str(i)) for i in range(2)), *(FeatureName("b", str(i)) for i in range(4)))
    found = _weigh_scorer(scorer, features, names, "told")
    shares = found.by_column(7)
    assert {name for name, _ in shares} == {"a", "b"}
    assert abs(shares[0][1]) >= abs(shares[1][1])
    assert sum(share for _, share in shares) == pytest.approx(found.log_odds[7] - found.base)
    assert found.top(7, limit=2) == np.argsort(-np.abs(found.values[7]))[:2].tolist()


def test_fellegi_sunter_weights_sum_to_its_log_odds() -> None:
    model = FellegiSunter(0.2, (np.array([0.1, 0.9]),) * 3, (np.array([0.8, 0.2]),) * 3)
    patterns = np.array([[0, 1, -1], [1, 1, 1], [-1, -1, -1]], dtype=np.int8)
    frequency = np.array([[np.nan, 0.01, np.nan], [0.5, 0.1, np.nan], [np.nan] * 3])
    weights = model.weights(patterns, term_frequency=frequency)
    assert weights[0, 2] == 0.0
    expected = logit(0.2) + weights.sum(axis=1)
    np.testing.assert_allclose(model.log_odds(patterns, term_frequency=frequency), expected)
    np.testing.assert_allclose(model.probability(patterns, term_frequency=frequency), expit(expected))


def test_grams_are_spelled_where_they_are_hashed() -> None:
    import pyarrow as pa

    text = "müller & söhne 日本"
    row = hash_grams(pa.array([text]))
    spelled = spell_grams(text)
    assert sorted(spelled) == sorted(row.indices.tolist())
    assert "mül" in spelled.values()
    assert "^mü" in spelled.values()
