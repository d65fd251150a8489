from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.ensemble import RandomForestClassifier

from glue_ml.matching.forest import Forest, grow_forest


def make_pairs(seed: int, rows: int = 400) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    features = rng.random((rows, 8)).astype(np.float32)
    features[rng.random(features.shape) < 0.1] = -1.0
    return features, features[:, 0] + 0.3 * features[:, 3] + 0.2 * rng.random(rows) > 0.8


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_arrays_score_as_scikit_learn_does(seed: int) -> None:
    features, is_match = make_pairs(seed)
    ours = grow_forest(features, is_match, seed=seed, trees=30)
    theirs = RandomForestClassifier(n_estimators=30, max_features="sqrt", random_state=seed).fit(features, is_match)
    fresh, _ = make_pairs(seed + 100, rows=20_000)
    np.testing.assert_allclose(ours.score(fresh), theirs.predict_proba(fresh)[:, 1], atol=1e-6)


def test_growing_is_deterministic() -> None:
    features, is_match = make_pairs(5)
    first, second = (grow_forest(features, is_match, seed=9, trees=10) for _ in range(2))
    np.testing.assert_array_equal(first.score(features), second.score(features))
    assert not np.array_equal(first.score(features), grow_forest(features, is_match, seed=8, trees=10).score(features))


def test_a_forest_survives_parquet_bit_for_bit() -> None:
    features, is_match = make_pairs(6)
    forest = grow_forest(features, is_match, seed=1, trees=12)
    sink = io.BytesIO()
    pq.write_table(forest.to_arrow(), sink)
    again = Forest.from_arrow(pq.read_table(io.BytesIO(sink.getvalue())))
    np.testing.assert_array_equal(again.score_trees(features), forest.score_trees(features))
    assert again.depth == forest.depth


@pytest.mark.parametrize("child", [0, -1, 10**6])
def test_nodes_that_form_no_trees_are_refused(child: int) -> None:
    features, is_match = make_pairs(8)
    table = grow_forest(features, is_match, seed=1, trees=3).to_arrow()
    left = table.column("left").to_numpy().copy()
    left[int(np.flatnonzero(left != np.arange(len(left)))[2])] = child
    with pytest.raises(ValueError, match="do not form trees"):
        Forest.from_arrow(table.set_column(3, "left", pa.array(left)))


def test_the_score_is_the_mean_of_the_trees() -> None:
    features, is_match = make_pairs(7)
    forest = grow_forest(features, is_match, seed=1, trees=12)
    np.testing.assert_allclose(forest.score(features), forest.score_trees(features).mean(axis=1), atol=1e-6)
    assert len(forest.score(features[:0])) == 0


def walk(forest: Forest, row: npt.NDArray[np.float32], unknown: frozenset[int] = frozenset()) -> float:
    """The plainest evaluation of one row: the largest leaf that can be reached in each tree."""

    def reach(node: int) -> float:
        left, right = int(forest.left[node]), int(forest.right[node])
        if left == node:
            return float(np.float32(forest.value[node]))
        if int(forest.feature[node]) in unknown:
            return max(reach(left), reach(right))
        return reach(left if row[forest.feature[node]] <= forest.threshold[node] else right)

    return float(np.mean([reach(int(root)) for root in forest.roots]))


@pytest.mark.parametrize("rows", [1, 63, 64, 200])
@pytest.mark.parametrize("unknown", [(), (0,), (0, 3, 5), tuple(range(8))])
def test_a_bound_is_the_largest_score_that_unknown_features_leave_open(rows: int, unknown: tuple[int, ...]) -> None:
    features, is_match = make_pairs(11)
    forest = grow_forest(features[::2], is_match[::2], seed=2, trees=9)
    fresh, _ = make_pairs(12, rows=rows)
    fresh[0, :] = np.float32(forest.threshold[forest.roots[0]])
    expected = [walk(forest, row, frozenset(unknown)) for row in fresh]
    np.testing.assert_allclose(forest.bound(fresh, unknown), expected, rtol=1e-12)
    if not unknown:
        np.testing.assert_array_equal(forest.bound(fresh, ()), forest.score(fresh))


def test_leaves_that_are_not_pure_count_by_their_share() -> None:
    features, is_match = make_pairs(13)
    coarse = (np.round(features * 3) / 3 * (np.arange(8) == 0)).astype(np.float32)
    forest = grow_forest(coarse, is_match, seed=4, trees=15)
    leaf = forest.left == np.arange(len(forest.left))
    assert ((forest.value[leaf] > 0) & (forest.value[leaf] < 1)).any()
    np.testing.assert_allclose(forest.score(coarse), [walk(forest, row) for row in coarse], rtol=1e-12)


def test_a_node_with_two_parents_is_refused() -> None:
    features, is_match = make_pairs(8)
    table = grow_forest(features, is_match, seed=1, trees=3).to_arrow()
    left, right = (table.column(name).to_numpy().copy() for name in ("left", "right"))
    inner = np.flatnonzero(left != np.arange(len(left)))
    right[inner[0]] = left[inner[0]]
    with pytest.raises(ValueError, match="do not form trees"):
        Forest.from_arrow(table.set_column(4, "right", pa.array(right)))


def test_the_first_trees_of_a_forest_score_as_they_did_in_it() -> None:
    rng = np.random.default_rng(2)
    features = rng.random((300, 4)).astype(np.float32)
    forest = grow_forest(features, features[:, 0] + features[:, 1] > 1, seed=0, trees=12)
    np.testing.assert_array_equal(forest.take(5).score_trees(features), forest.score_trees(features)[:, :5])
    assert forest.take(12) is forest
