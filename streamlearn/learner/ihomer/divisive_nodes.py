"""The tree of label clusters of `divisive`: its state, how a cluster is split and how clusters are merged.

Source: P. P. Rodrigues, J. Gama and J. P. Pedroso, "Hierarchical clustering of time-series data streams", IEEE
Transactions on Knowledge and Data Engineering 20(5), 2008.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.ihomer.dissimilarity import Dissimilarities
from streamlearn.learner.partition.comparison_modes import RANDOM
from streamlearn.learner.partition.pair_counts import PairCountsState, Whole, jaccard
from streamlearn.numerics.random import draw


class ClusterCounter(IntEnum):
    """Fields of `DivisiveState.counters`."""

    KNOWN = 0  # labels known
    SINCE_TEST = 1  # rows since the last test
    ROWS = 2  # rows ever
    TESTS = 3
    SPLITS = 4
    MERGES = 5
    CLUSTERS = 6  # cluster numbers in use, those given back included
    MODE = 7  # index of the mode in `comparison_modes.MODES`; never changes
    SEED = 8  # seed of mode `random`; never changes


class ClusterNode(IntEnum):
    """Fields of a node in `DivisiveState.nodes`."""

    PARENT = 0  # node that it came from, -1: none
    LEFT = 1  # first node that it was split into, -1: none
    RIGHT = 2  # second node that it was split into, -1: none, FREE: the node is not in use
    CLUSTER = 3  # its cluster, -1: split


class NodeTest(IntEnum):
    """Fields of a node in `DivisiveState.measured`: the values of its last test."""

    DIAMETER = 0  # d1, the largest dissimilarity
    BOUND = 1  # e, the Hoeffding bound


class ClusterEventKind(IntEnum):
    """Values of `ClusterEvent.KIND`."""

    SPLIT = 1
    MERGE = 2


class ClusterEvent(IntEnum):
    """Fields of a row of `DivisiveScratch.events`."""

    KIND = 0  # a ClusterEventKind
    CLUSTER = 1  # cluster that was split or merged into
    OTHER = 2  # cluster that was made or removed
    ROWS = 3  # rows ever, at the test


class ClusterEventReason(IntEnum):
    """Fields of a row of `DivisiveScratch.reasons`."""

    DIAMETER = 0  # d1 at the test
    BOUND = 1  # e at the test
    AFTER = 2  # the largest d1 of the clusters that resulted


COUNTERS = len(ClusterCounter)
NODE_FIELDS = len(ClusterNode)

FREE = -2
"""Value of `ClusterNode.RIGHT` of a node that is not in use."""

_TO_FREE = -3
"""Value of `ClusterNode.CLUSTER` while a merge frees the node."""


class DivisiveState(NamedTuple):
    """The clusters and the counts they come from.

    Attributes
    ----------
    pair_counts
        Decayed counts of labels and pairs.
    cluster_of
        int32[labels], the cluster of each label; -1 in spare capacity.
    own_of
        int32[labels], what ``cluster_of`` is in mode ``jaccard``; in mode ``random`` the tests use it.
    changed
        uint8[labels], 1 for a cluster number whose labels have changed since the caller set it to 0.
    nodes
        int32[2 labels, NODE_FIELDS], the tree of clusters; node 0 is the root.
    measured
        float64[2 labels, 2], per node the `NodeTest`.
    counters
        int64[COUNTERS].
    """

    pair_counts: PairCountsState
    cluster_of: np.ndarray
    own_of: np.ndarray
    changed: np.ndarray
    nodes: np.ndarray
    measured: np.ndarray
    counters: np.ndarray


class DivisiveScratch(NamedTuple):
    """Scratch memory and results of a test.

    Attributes
    ----------
    members
        int32[labels], the labels of one cluster.
    side
        uint8[labels], 1 for the members that leave the cluster.
    tested
        uint8[labels], 1 for a cluster number that this test has finished.
    events, reasons
        int64[labels, 4] and float64[labels, 3], the splits and merges of the test, and why.
    """

    members: np.ndarray
    side: np.ndarray
    tested: np.ndarray
    events: np.ndarray
    reasons: np.ndarray


@kernel
def gather_cluster(cluster_of: np.ndarray, cluster: Whole, known: Whole, members: np.ndarray) -> Whole:
    """Write the labels of a cluster to ``members``, ascending; return their number."""
    size = 0
    for label in range(known):
        if cluster_of[label] == cluster:
            members[size] = label
            size += 1
    return size


@kernel
def _shuffle_sides(state: DivisiveState, scratch: DivisiveScratch, size: Whole, cluster: Whole, other: Whole) -> None:
    """Shuffle which labels of a random cluster leave it, as many as ``scratch.side`` says."""
    counters = state.counters
    gather_cluster(state.cluster_of, cluster, counters[ClusterCounter.KNOWN], scratch.members)
    for back in range(size - 1):
        last = size - 1 - back
        number = draw(counters[ClusterCounter.SEED], counters[ClusterCounter.SPLITS] * 65536 + last, 0) % np.uint64(
            last + 1
        )
        chosen = np.int64(number)
        swapped = scratch.side[last]
        scratch.side[last] = scratch.side[chosen]
        scratch.side[chosen] = swapped
    for i in range(size):
        state.cluster_of[scratch.members[i]] = other if scratch.side[i] else cluster


@kernel
def split_node(
    state: DivisiveState, scratch: DivisiveScratch, node: Whole, size: Whole, found: Dissimilarities
) -> Whole:
    """Split a node's cluster of ``size`` gathered labels at its pivots; return the number of the new cluster."""
    counters = state.counters
    pair_counts = state.pair_counts
    nodes = state.nodes
    cluster = np.int64(nodes[node, ClusterNode.CLUSTER])
    other = np.int64(0)
    for number in range(counters[ClusterCounter.CLUSTERS] + 1):
        taken = False
        for label in range(counters[ClusterCounter.KNOWN]):
            taken = taken or state.own_of[label] == number
        if not taken:
            other = np.int64(number)
            break
    counters[ClusterCounter.CLUSTERS] = max(counters[ClusterCounter.CLUSTERS], other + 1)
    for i in range(size):
        label = np.int64(scratch.members[i])
        away = jaccard(pair_counts, label, found.second_label) > jaccard(pair_counts, label, found.first_label)
        away = (away or label == found.second_label) and label != found.first_label
        scratch.side[i] = 1 if away else 0
        if scratch.side[i]:
            state.own_of[label] = other
    if counters[ClusterCounter.MODE] == RANDOM:
        _shuffle_sides(state, scratch, size, cluster, other)
    else:
        for i in range(size):
            state.cluster_of[scratch.members[i]] = state.own_of[scratch.members[i]]
    free = 1
    for side in range(2):
        while nodes[free, ClusterNode.RIGHT] != FREE:
            free += 1
        nodes[node, ClusterNode.LEFT + side] = free
        nodes[free, ClusterNode.PARENT] = node
        nodes[free, ClusterNode.LEFT] = -1
        nodes[free, ClusterNode.RIGHT] = -1
        nodes[free, ClusterNode.CLUSTER] = other if side else cluster
    nodes[node, ClusterNode.CLUSTER] = -1
    state.changed[cluster] = 1
    state.changed[other] = 1
    scratch.tested[other] = 1
    counters[ClusterCounter.SPLITS] += 1
    return other


@kernel
def _is_below(nodes: np.ndarray, node: Whole, above: Whole) -> bool:
    current = np.int64(node)
    while current >= 0 and current != above:
        current = np.int64(nodes[current, ClusterNode.PARENT])
    return bool(current == above)


@kernel
def merge_below(state: DivisiveState, scratch: DivisiveScratch, above: Whole, events: Whole) -> Whole:
    """Merge all clusters below a split node into the one with the lowest number; return the number of events so far."""
    nodes = state.nodes
    counters = state.counters
    lowest = counters[ClusterCounter.CLUSTERS]
    for node in range(1, nodes.shape[0]):
        if (
            nodes[node, ClusterNode.RIGHT] != FREE
            and nodes[node, ClusterNode.CLUSTER] >= 0
            and _is_below(nodes, node, above)
        ):
            lowest = min(lowest, np.int64(nodes[node, ClusterNode.CLUSTER]))
    for back in range(nodes.shape[0] - 1):
        node = nodes.shape[0] - 1 - back
        if nodes[node, ClusterNode.RIGHT] == FREE or node == above or not _is_below(nodes, node, above):
            continue
        merged = np.int64(nodes[node, ClusterNode.CLUSTER])
        if merged >= 0 and merged != lowest:
            for label in range(counters[ClusterCounter.KNOWN]):
                if state.own_of[label] == merged:
                    state.own_of[label] = lowest
                if state.cluster_of[label] == merged:
                    state.cluster_of[label] = lowest
            state.changed[merged] = 1
            scratch.events[events, ClusterEvent.KIND] = ClusterEventKind.MERGE
            scratch.events[events, ClusterEvent.CLUSTER] = lowest
            scratch.events[events, ClusterEvent.OTHER] = merged
            scratch.events[events, ClusterEvent.ROWS] = counters[ClusterCounter.ROWS]
            events += 1
        nodes[node, ClusterNode.CLUSTER] = _TO_FREE
    for node in range(1, nodes.shape[0]):
        if nodes[node, ClusterNode.CLUSTER] == _TO_FREE:
            nodes[node, ClusterNode.PARENT] = -1
            nodes[node, ClusterNode.LEFT] = -1
            nodes[node, ClusterNode.RIGHT] = FREE
            nodes[node, ClusterNode.CLUSTER] = -1
    nodes[above, ClusterNode.LEFT] = -1
    nodes[above, ClusterNode.RIGHT] = -1
    nodes[above, ClusterNode.CLUSTER] = lowest
    state.changed[lowest] = 1
    scratch.tested[lowest] = 1
    counters[ClusterCounter.MERGES] += 1
    return events
