"""Prior over label sets from counts at the nodes of the cluster tree, in the form that `tree_inference` needs.

The counts are those of the code-length test (`partition.code_length`): each node remembers up to 128 patterns of active
children and how often each child was active. A pattern is coded as a remembered one with probability 1 - e, or as
independent children with the escape probability e. Here the counts are those of the current tree, updated after each
row at the active nodes only.

Inference raises the prior to the power a = 1/2, but not the escapes: pattern k has the weight (1 - e) (c_k / sum c)^a
as a remembered one and e [product of Bernoulli probabilities / probability of not being empty]^a as independent
children. With a = 1/2 these are square roots, which are exact on every CPU, and predicting takes no logarithm per
pattern: the roots are stored and change only where a count changed. The decay of all counts of a node cancels.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.kernels.compiler import kernel
from streamlearn.learner.partition.cluster_tree import MAXIMUM_CHILDREN, TreeSize, TreeState, node_capacity
from streamlearn.learner.partition.clusters import Partition
from streamlearn.learner.partition.code_length import (
    MAXIMUM_PATTERNS,
    NodeStates,
    activate_row,
    child_rate,
    find_pattern,
    fresh_states,
    node_escape,
    update_node,
)
from streamlearn.learner.partition.recent_label_sets import linear_recent_sets
from streamlearn.numerics.exp_log import log64
from streamlearn.state.array_names import TREE_PRIOR

REFILL_ROWS = 2_000
"""Label sets from which the counts of a new tree are refilled."""


class Scale(IntEnum):
    """Columns of `TreePriorState.scale`: factors from square roots of counts to weights of patterns."""

    REMEMBERED = 0  # times a pattern's root: its weight as a remembered pattern
    INDEPENDENT = 1  # times the odds' roots of the active children: its weight as independent children


class Followed(IntEnum):
    """Fields of the array "followed": the state of the partition at the last call of `TreePrior.follow`."""

    VERSION = 0  # version of the tree, -1 at first
    LABELS = 1  # labels in the tree


class TreePriorState(NamedTuple):
    """Counts of the nodes, and the arrays derived from them.

    Attributes
    ----------
    nodes
        The counts.
    pattern_root
        float64[nodes, MAXIMUM_PATTERNS], square root of each pattern's count.
    odds_root
        float64[nodes, MAXIMUM_CHILDREN], square root of the odds of each child's rate.
    scale
        float64[nodes, 2], columns `Scale`.
    independent
        uint8[1], 1 if remembered patterns are not used: the children of every node are independent.
    """

    nodes: NodeStates
    pattern_root: np.ndarray
    odds_root: np.ndarray
    scale: np.ndarray
    independent: np.ndarray


@kernel
def refresh_node(state: TreePriorState, tree: TreeState, node: int | np.int64) -> None:
    """Derive a node's ``odds_root`` and ``scale`` from its counts."""
    children = np.int64(tree.child_count[node])
    none = 1.0
    for b in range(children):
        rate = child_rate(state.nodes, node, b, children)
        state.odds_root[node, b] = np.sqrt(rate / (1.0 - rate))
        none *= 1.0 - rate
    escape = 1.0 if state.independent[0] else node_escape(state.nodes, node)
    share = none if node == tree.size[TreeSize.ROOT] else none / (1.0 - none)
    state.scale[node, Scale.INDEPENDENT] = escape * np.sqrt(share)
    state.scale[node, Scale.REMEMBERED] = 0.0
    if state.nodes.pattern_count[node] > 0:
        state.scale[node, Scale.REMEMBERED] = (1.0 - escape) / np.sqrt(state.nodes.pattern_total[node])


@kernel
def refresh_patterns(state: TreePriorState, node: int | np.int64) -> None:
    """Derive a node's ``pattern_root`` from its counts."""
    for k in range(state.nodes.pattern_count[node]):
        state.pattern_root[node, k] = np.sqrt(state.nodes.pattern_weight[node, k])


@kernel
def tree_prior_refresh(state: TreePriorState, tree: TreeState) -> None:
    """Derive all arrays of all nodes from the counts."""
    for node in range(tree.size[TreeSize.NODES]):
        refresh_patterns(state, node)
        refresh_node(state, tree, node)


@kernel
def tree_prior_learn_row(state: TreePriorState, tree: TreeState, members: np.ndarray) -> None:
    """Learn from one complete label set.

    Parameters
    ----------
    state
        The counts of ``tree``'s nodes.
    tree
        The partition's current tree.
    members
        int32[k], distinct slots of the true labels, all of them in the tree. May be empty.
    """
    nodes = state.nodes
    for i in range(activate_row(tree, nodes, members)):
        node = np.int64(nodes.active[i])
        before = nodes.increment[node]
        k = update_node(tree, nodes, node)
        if nodes.increment[node] < before:
            refresh_patterns(state, node)
        state.pattern_root[node, k] = np.sqrt(nodes.pattern_weight[node, k])
        refresh_node(state, tree, node)


@kernel
def tree_prior_learn_rows(
    state: TreePriorState, tree: TreeState, offsets: np.ndarray, members: np.ndarray, first: int
) -> None:
    """Learn from all rows from ``first`` on.

    Row i is ``members[offsets[i]:offsets[i + 1]]``; ``members`` is int32, ``offsets`` int64[rows + 1].
    """
    for i in range(first, len(offsets) - 1):
        tree_prior_learn_row(state, tree, members[offsets[i] : offsets[i + 1]])


@kernel
def tree_prior_begin_label(state: TreePriorState, tree: TreeState, label: int) -> None:
    """Update the nodes above a label that has joined the tree: the lowest has one more child."""
    node = np.int64(tree.leaf_parent[label])
    while node >= 0:
        refresh_node(state, tree, node)
        node = np.int64(tree.parent[node])


@kernel
def tree_prior_log_prior(state: TreePriorState, tree: TreeState, members: np.ndarray) -> float:
    """Return the log weight of a label set (int32[k]) in nats: its prior to the power a, the escapes not raised."""
    nodes = state.nodes
    active = activate_row(tree, nodes, members)
    total = 0.0
    for i in range(active):
        node = int(nodes.active[i])
        mask = nodes.mask[node]
        weight = state.scale[node, Scale.INDEPENDENT]
        for b in range(tree.child_count[node]):
            if (mask >> b) & 1:
                weight *= state.odds_root[node, b]
        k = find_pattern(nodes, node)
        if k >= 0:
            weight += state.scale[node, Scale.REMEMBERED] * state.pattern_root[node, k]
        total += log64(weight)
    for i in range(active):
        nodes.mask[nodes.active[i]] = 0
    return total


class TreePrior:
    """Owns the counts of the nodes of the partition's current tree."""

    def __init__(self) -> None:
        self.state = _new_state(0)
        self._followed = np.array([-1, 0], np.int64)

    def grow(self, labels: int) -> None:
        """Make room for a tree of ``labels`` label slots."""
        nodes = node_capacity(labels)
        old = len(self.state.scale)
        if nodes <= old:
            return
        state = _new_state(nodes)
        for name in NodeStates._fields:
            getattr(state.nodes, name)[:old] = getattr(self.state.nodes, name)
        for name in ("pattern_root", "odds_root", "scale"):
            getattr(state, name)[:old] = getattr(self.state, name)
        self.state = state._replace(independent=self.state.independent)

    def follow(self, partition: Partition) -> None:
        """Follow the partition after labels joined it or its tree was tested; cheap if nothing changed.

        Labels that joined are added to the counts. For another tree, or another root, the counts are refilled from the
        last 2,000 label sets.
        """
        self.state.independent[0] = partition.independent
        if partition.version != self._followed[Followed.VERSION]:
            self.refill(partition)
            return
        self.grow(len(partition.state.tree.leaf_parent))
        for label in range(int(self._followed[Followed.LABELS]), partition.known):
            tree_prior_begin_label(self.state, partition.state.tree, label)
        self._followed[Followed.LABELS] = partition.known

    def refill(self, partition: Partition) -> None:
        """Clear the counts and learn the partition's last 2,000 label sets, as after a label has retired."""
        self.grow(len(partition.state.tree.leaf_parent))
        for attribute in TREE_PRIOR:
            getattr(self.state.nodes, attribute).fill(attribute == "increment")
        for derived in (self.state.pattern_root, self.state.odds_root, self.state.scale):
            derived.fill(0.0)
        tree = partition.state.tree
        tree_prior_refresh(self.state, tree)
        offsets, members = linear_recent_sets(partition.state.recent_sets)
        first = max(len(offsets) - 1 - REFILL_ROWS, 0)
        tree_prior_learn_rows(self.state, tree, offsets, members, first)
        self._followed[:] = (partition.version, partition.known)

    def arrays(self, partition: Partition) -> dict[str, np.ndarray]:
        """Return the counts of the nodes in use, by array name; the arrays derived from them are not state."""
        nodes = int(partition.state.tree.size[TreeSize.NODES])
        arrays = {name: getattr(self.state.nodes, attribute)[:nodes] for attribute, name in TREE_PRIOR.items()}
        return {**arrays, "followed": self._followed}

    def load_arrays(self, arrays: Mapping[str, np.ndarray], partition: Partition) -> None:
        """Load the state that `arrays` returned; ``partition`` has loaded its own.

        Raises
        ------
        SnapshotError
            If an array is missing or does not fit the partition's tree.
        """
        missing = [name for name in (*TREE_PRIOR.values(), "followed") if name not in arrays]
        if missing:
            raise SnapshotError(f"cluster tree: the array {missing[0]!r} is missing from the snapshot")
        tree = partition.state.tree
        nodes = int(tree.size[TreeSize.NODES])
        self.grow(len(tree.leaf_parent))
        self.state.independent[0] = partition.independent
        targets = {name: getattr(self.state.nodes, attribute)[:nodes] for attribute, name in TREE_PRIOR.items()}
        for name, target in {**targets, "followed": self._followed}.items():
            if arrays[name].shape != target.shape or arrays[name].dtype != target.dtype:
                raise SnapshotError(
                    f"cluster tree: the array {name!r} should be {target.dtype}{list(target.shape)}, "
                    f"found {arrays[name].dtype}{list(arrays[name].shape)}"
                )
        for attribute, name in TREE_PRIOR.items():
            target = getattr(self.state.nodes, attribute)
            target.fill(attribute == "increment")
            target[:nodes] = arrays[name]
        self._followed[:] = arrays["followed"]
        tree_prior_refresh(self.state, tree)

    @staticmethod
    def bytes_bound(maximum_labels: int) -> int:
        """Return the largest size in bytes with that many labels."""
        return node_capacity(maximum_labels) * (20 * MAXIMUM_PATTERNS + 16 * MAXIMUM_CHILDREN + 64)


def _new_state(nodes: int) -> TreePriorState:
    return TreePriorState(
        fresh_states(nodes),
        np.zeros((nodes, MAXIMUM_PATTERNS)),
        np.zeros((nodes, MAXIMUM_CHILDREN)),
        np.zeros((nodes, len(Scale))),
        np.zeros(1, np.uint8),
    )
