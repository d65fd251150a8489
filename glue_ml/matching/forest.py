"""A random forest as plain arrays: grown by scikit-learn, kept and evaluated without it, saved without pickle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Features = npt.NDArray[np.float32]

TREES = 100
THREADED_PAIRS = 4_000  #: From so many pairs the trees are grown by all cores.
BLOCK = 8_192  #: Rows evaluated at a time, so that a block's working arrays stay in the processor's cache.


@dataclass(frozen=True)
class Forest:
    """All trees end to end. Node i sends a row left where its `feature[i]` is at most `threshold[i]`.

    A leaf points to itself; `value` is the share of matches among the training rows that reached a node.
    """

    roots: npt.NDArray[np.int32]
    feature: npt.NDArray[np.int32]
    threshold: npt.NDArray[np.float64]
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    value: npt.NDArray[np.float64]
    depth: int

    def score_trees(self, features: Features) -> npt.NDArray[np.float32]:
        """Return each tree's share of matches: rows x trees."""
        scores = np.empty((len(features), len(self.roots)), dtype=np.float32)
        for start in range(0, len(features), BLOCK):
            block = features[start : start + BLOCK]
            scores[start : start + BLOCK] = self._score_block(block)
        return scores

    def score(self, features: Features) -> npt.NDArray[np.float64]:
        """Return the mean over the trees, 0 to 1, per row."""
        scores = np.empty(len(features), dtype=np.float64)
        for start in range(0, len(features), BLOCK):
            block = self._score_block(features[start : start + BLOCK])
            scores[start : start + BLOCK] = block.mean(axis=1, dtype=np.float64)
        return scores

    def _score_block(self, features: Features) -> npt.NDArray[np.float32]:
        flat = np.ascontiguousarray(features).ravel()
        base = np.arange(len(features), dtype=np.int64) * features.shape[1]
        scores = np.empty((len(features), len(self.roots)), dtype=np.float32)
        for tree, root in enumerate(self.roots):
            node = np.full(len(features), root, dtype=np.int32)
            for _ in range(self.depth):
                goes_left = flat[base + self.feature[node]] <= self.threshold[node]
                moved = np.where(goes_left, self.left[node], self.right[node])
                if np.array_equal(moved, node):
                    break
                node = moved
            scores[:, tree] = self.value[node]
        return scores

    def to_arrow(self) -> pa.Table:
        """Return one row per node; `tree` tells where each tree begins."""
        tree = np.searchsorted(self.roots, np.arange(len(self.feature)), side="right") - 1
        members = ("feature", "threshold", "left", "right", "value")
        return pa.table({"tree": tree.astype(np.int32), **{name: getattr(self, name) for name in members}})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Self:
        """Rebuild a forest from `to_arrow`. Raises ValueError where the nodes do not form trees."""
        members = {name: table.column(name).to_numpy() for name in ("feature", "threshold", "left", "right", "value")}
        tree = table.column("tree").to_numpy()
        roots = np.flatnonzero(np.diff(tree, prepend=-1)).astype(np.int32)
        _check_children(members["left"], members["right"])
        return cls(roots, **members, depth=_depth(roots, members["left"], members["right"]))


def grow_forest(features: Features, is_match: npt.NDArray[np.bool_], *, seed: int, trees: int = TREES) -> Forest:
    """Grow a forest from labelled pairs (both classes present). Deterministic in its arguments."""
    # only the driver grows forests: a worker that scores pairs need not spend a second on this import
    from sklearn.ensemble import RandomForestClassifier

    grower = RandomForestClassifier(
        n_estimators=trees, max_features="sqrt", min_samples_leaf=1, random_state=seed,
        # dealing few pairs out to threads takes longer than growing the trees
        n_jobs=1 if len(features) < THREADED_PAIRS else -1,
    )  # fmt: skip
    grower.fit(features, is_match)
    match_column = int(np.flatnonzero(grower.classes_)[0])
    return _flatten([estimator.tree_ for estimator in grower.estimators_], match_column)


def _flatten(trees: list[object], match_column: int) -> Forest:
    parts: dict[str, list[npt.NDArray[np.generic]]] = {
        k: [] for k in ("feature", "threshold", "left", "right", "value")
    }
    roots, start = [], 0
    for tree in trees:
        children = {side: getattr(tree, f"children_{side}") for side in ("left", "right")}
        leaf, own = children["left"] < 0, np.arange(len(children["left"])) + start
        votes = tree.value[:, 0, :]  # type: ignore[attr-defined]
        parts["feature"].append(np.where(leaf, 0, tree.feature).astype(np.int32))  # type: ignore[attr-defined]
        parts["threshold"].append(np.where(leaf, 0.0, tree.threshold))  # type: ignore[attr-defined]
        for side in ("left", "right"):
            parts[side].append(np.where(leaf, own, children[side] + start).astype(np.int32))
        parts["value"].append(votes[:, match_column] / votes.sum(axis=1))
        roots.append(start)
        start += len(leaf)
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    numbered = np.array(roots, dtype=np.int32)
    return Forest(numbered, **joined, depth=_depth(numbered, joined["left"], joined["right"]))


def _check_children(left: npt.NDArray[np.int32], right: npt.NDArray[np.int32]) -> None:
    """A node's children come after it, a leaf is its own child: so a path always ends, whoever wrote the file."""
    own = np.arange(len(left))
    leaf = (left == own) & (right == own)
    inner = (left > own) & (right > own) & (left < len(own)) & (right < len(own))
    if not (leaf | inner).all():
        raise ValueError("the nodes of the forest do not form trees")


def _depth(roots: npt.NDArray[np.int32], left: npt.NDArray[np.generic], right: npt.NDArray[np.generic]) -> int:
    """Return the number of decisions on the longest path from a root."""
    level, depth = roots, 0
    while True:
        inner = level[left[level] != level]
        if len(inner) == 0:
            return depth
        level, depth = np.concatenate([left[inner], right[inner]]), depth + 1
