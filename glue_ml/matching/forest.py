"""A random forest as plain arrays: grown by scikit-learn, kept and evaluated without it, saved without pickle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Features = npt.NDArray[np.float32]
Bits = npt.NDArray[np.uint64]  #: A bit for each row.

TREES = 100
THREADED_PAIRS = 4_000  #: From so many pairs the trees are grown by all cores.
BLOCK = 32_768  #: Rows evaluated at a time: enough for a node to be cheap, few enough for the processor's cache.
WORD = 64  #: Rows whose bits fill a word.


class _Node(NamedTuple):
    number: int
    feature: int
    threshold: np.float32
    left: int
    right: int
    value: float


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
        scores = np.zeros((len(features), len(self.roots)), dtype=np.float32)
        for start in range(0, len(features), BLOCK):
            block = scores[start : start + BLOCK]
            for tree, reached in enumerate(self._drop(features[start : start + BLOCK])):
                for value, rows in reached.items():
                    block[_unpack(rows, len(block)), tree] = value
        return scores

    def score(self, features: Features) -> npt.NDArray[np.float64]:
        """Return the mean over the trees, 0 to 1, per row."""
        return self._mean(features, frozenset())

    def bound(self, features: Features, unknown: Sequence[int]) -> npt.NDArray[np.float64]:
        """Return the largest score that a row may have, whatever the features at the positions `unknown` are."""
        return self._mean(features, frozenset(unknown))

    def take(self, trees: int) -> Self:
        """Return the forest of the first `trees`, or of all where there are no more."""
        if trees >= len(self.roots):
            return self
        end = slice(int(self.roots[trees]))
        return type(self)(
            self.roots[:trees], self.feature[end], self.threshold[end], self.left[end], self.right[end],
            self.value[end], self.depth,
        )  # fmt: skip

    def _mean(self, features: Features, unknown: frozenset[int]) -> npt.NDArray[np.float64]:
        scores = np.empty(len(features), dtype=np.float64)
        for start in range(0, len(features), BLOCK):
            block = features[start : start + BLOCK]
            # nearly all leaves are pure: whole votes are counted, shares of one are added up beside them
            whole, shares = np.zeros(len(block), dtype=np.uint16), np.zeros(len(block), dtype=np.float64)
            for reached in self._drop(block, unknown):
                for value, rows in _choose_best(reached):
                    voting = np.unpackbits(rows.view(np.uint8), count=len(block))
                    if value == 1.0:
                        whole += voting
                    else:
                        shares[voting.view(np.bool_)] += value
            scores[start : start + BLOCK] = (whole + shares) / len(self.roots)
        return scores

    def _drop(self, features: Features, unknown: frozenset[int] = frozenset()) -> Iterator[dict[float, Bits]]:
        """Yield for each tree, by the value of its leaves, the rows that reach them: a bit for each row.

        A row goes both ways where the feature that decides is unknown. All rows go through a node at once, 64 to a
        word, so a node costs one comparison of numbers and two operations on words, and no row is looked up.
        """
        columns = np.zeros((features.shape[1], -(-len(features) // WORD) * WORD), dtype=np.float32)
        columns[:, : len(features)] = features.T
        everybody = np.full(columns.shape[1] // WORD, ~np.uint64(0))
        below = np.empty(columns.shape[1], dtype=bool)
        for nodes in self._nodes:
            masks, reached = {nodes[0].number: everybody}, dict[float, Bits]()
            for node in nodes:
                rows = masks.pop(node.number)
                if node.left == node.number:
                    reached[node.value] = reached[node.value] | rows if node.value in reached else rows
                elif node.feature in unknown:
                    masks[node.left] = masks[node.right] = rows
                else:
                    np.less_equal(columns[node.feature], node.threshold, out=below)
                    masks[node.left] = rows & np.packbits(below).view(np.uint64)
                    masks[node.right] = rows ^ masks[node.left]
            yield reached

    @cached_property
    def _nodes(self) -> tuple[tuple[_Node, ...], ...]:
        """The nodes of each tree in order, so that a node comes before its children."""
        # a float32 is at most a threshold exactly if it is at most the largest float32 that is
        threshold = self.threshold.astype(np.float32)
        threshold = np.where(threshold > self.threshold, np.nextafter(threshold, np.float32(-np.inf)), threshold)
        value = self.value.astype(np.float32).tolist()
        columns = (range(len(value)), self.feature.tolist(), threshold, self.left.tolist(), self.right.tolist(), value)
        nodes = [_Node(*node) for node in zip(*columns, strict=True)]
        bounds = [*self.roots.tolist(), len(nodes)]
        return tuple(tuple(nodes[start:end]) for start, end in pairwise(bounds))

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
        _check_children(tree, members["left"], members["right"])
        return cls(roots, **members, depth=_depth(roots, members["left"], members["right"]))


def _choose_best(reached: Mapping[float, Bits]) -> Iterator[tuple[float, Bits]]:
    """Yield the values above 0 of a tree's leaves, and the rows that reach no leaf of a larger one."""
    better: Bits | None = None
    for value in sorted(reached, reverse=True):
        if value > 0.0:
            rows = reached[value] if better is None else reached[value] & ~better
            better = rows if better is None else better | rows
            yield value, rows


def _unpack(rows: Bits, count: int) -> npt.NDArray[np.bool_]:
    return np.unpackbits(rows.view(np.uint8), count=count).view(np.bool_)


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


def _check_children(tree: npt.NDArray[np.int32], left: npt.NDArray[np.int32], right: npt.NDArray[np.int32]) -> None:
    """A node's children come after it in its tree and are nobody else's: so a path always ends, whoever wrote the file.

    A leaf is its own child.
    """
    own = np.arange(len(left))
    inner = ~((left == own) & (right == own))
    children = np.concatenate([left[inner], right[inner]])
    parents = np.tile(own[inner], 2)
    rooted = np.append(children, np.flatnonzero(np.diff(tree, prepend=-1)))
    if not ((children > parents) & (children < len(own))).all() or not np.array_equal(np.sort(rooted), own):
        raise ValueError("the nodes of the forest do not form trees")
    if not np.array_equal(tree[children], tree[parents]):
        raise ValueError("the nodes of the forest do not form trees")


def _depth(roots: npt.NDArray[np.int32], left: npt.NDArray[np.generic], right: npt.NDArray[np.generic]) -> int:
    """Return the number of decisions on the longest path from a root."""
    level, depth = roots, 0
    while True:
        inner = level[left[level] != level]
        if len(inner) == 0:
            return depth
        level, depth = np.concatenate([left[inner], right[inner]]), depth + 1
