"""What the modes of ``learner.partition`` do differently: clusters, decoding, and the end of a period.

Mode ``jaccard`` is the method of `clusters`. The other modes are for comparison and test no candidate. ``whole`` has
one cluster and ``singletons`` one per label; both leave the tree in the order of the slots, and ``singletons`` decodes
the children of every node as independent. ``random`` replaces the first tree, at the end of the first period, by one of
the candidate's shape with the labels assigned at random.
"""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.partition.cluster_tree import TreeSize, TreeState, tree_cluster, tree_cluster_count
from streamlearn.learner.partition.comparison_modes import PartitionMode
from streamlearn.learner.partition.linkage import candidate_tree
from streamlearn.learner.partition.pair_counts import PairCountsState
from streamlearn.numerics.random import draw


@kernel
def mode_cluster(mode: int | np.int64, tree: TreeState, label: int | np.int64) -> int | np.int64:
    """Return the top-level cluster of a label under a `PartitionMode`."""
    if mode == PartitionMode.WHOLE:
        return np.int64(0)
    if mode == PartitionMode.SINGLETONS:
        return np.int64(label)
    return np.int64(tree_cluster(tree, label))


class ModeStrategy:
    """The behaviour of mode ``jaccard``: clusters of the tree, which tests replace.

    Attributes
    ----------
    tests_candidates
        Whether a period ends with a test of the candidate.
    independent
        Whether the children of a node are decoded as independent.
    """

    tests_candidates = True
    independent = False

    def count_clusters(self, tree: TreeState) -> int:
        """Return the number of top-level clusters of the labels in the tree."""
        return int(tree_cluster_count(tree))

    def replacement(self, counts: PairCountsState, labels: int, capacity: int) -> TreeState | None:
        """Return the tree for the end of the first period of a mode without tests; None: the tree stays.

        The arguments are those of `linkage.candidate_tree`.
        """
        return None


class WholeStrategy(ModeStrategy):
    """All labels in one cluster."""

    tests_candidates = False

    def count_clusters(self, tree: TreeState) -> int:
        return min(int(tree.size[TreeSize.LABELS]), 1)


class SingletonsStrategy(ModeStrategy):
    """One cluster per label."""

    tests_candidates = False
    independent = True

    def count_clusters(self, tree: TreeState) -> int:
        return int(tree.size[TreeSize.LABELS])


class RandomStrategy(ModeStrategy):
    """Clusters of the first candidate's sizes, with labels assigned at random.

    Parameters
    ----------
    seed
        At least 0.
    """

    tests_candidates = False

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def replacement(self, counts: PairCountsState, labels: int, capacity: int) -> TreeState | None:
        """Return the candidate with its labels permuted (Fisher-Yates shuffle)."""
        tree = candidate_tree(counts, labels, capacity)
        order = list(range(labels))
        for last in range(labels - 1, 0, -1):
            other = int(draw(self._seed, last, 0)) % (last + 1)
            order[last], order[other] = order[other], order[last]
        parents, positions = tree.leaf_parent[order].copy(), tree.leaf_position[order].copy()
        for label, (parent, position) in enumerate(zip(parents.tolist(), positions.tolist(), strict=True)):
            tree.leaf_parent[label], tree.leaf_position[label] = parent, position
            tree.children[parent, position] = label
        return tree


def strategy_of(mode: PartitionMode, seed: int) -> ModeStrategy:
    """Return the strategy of a mode; ``seed`` is read by mode ``random`` alone."""
    if mode == PartitionMode.WHOLE:
        return WholeStrategy()
    if mode == PartitionMode.SINGLETONS:
        return SingletonsStrategy()
    return RandomStrategy(seed) if mode == PartitionMode.RANDOM else ModeStrategy()
