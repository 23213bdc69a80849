"""The tree of label clusters that `divisive` grows: its state, how a cluster is split and how clusters are merged.

Source: P. P. Rodrigues, J. Gama and J. P. Pedroso, "Hierarchical clustering of time-series data streams", IEEE
Transactions on Knowledge and Data Engineering 20(5), 2008.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.ihomer.dissimilarity import Dissimilarities
from streamlearn.learner.partition.comparison_modes import PartitionMode
from streamlearn.learner.partition.pair_counts import PairCountsState, Whole, jaccard
from streamlearn.numerics.random import draw

KNOWN, SINCE, ROWS, TESTS, SPLITS, MERGES, CLUSTERS, MODE, SEED, CLOCK = range(10)
"""Places in ``clock``: labels known; rows since the last test; rows ever; tests; splits; merges; cluster numbers in
use, those given back included; the mode's place in `modes.MODES`; the seed of mode ``random``; and their number."""

PARENT, LEFT, RIGHT, CLUSTER, NODE_FIELDS = range(5)
"""Places in a node: the node it came from (-1: none), the two it was split into (-1: none; the right one is -2 in a
free place), its cluster (-1: split); and their number."""

DIAMETER, BOUND = 0, 1
SPLIT, MERGE = 1, 2


class DivisiveState(NamedTuple):
    """The clusters and the counts they come from.

    Attributes
    ----------
    counts
        Decayed counts of labels and pairs.
    cluster_of
        int32[labels], the cluster of each label; -1 in spare room.
    own_of
        int32[labels], what ``cluster_of`` is in mode ``jaccard``: in mode ``random`` the tests go by it.
    changed
        uint8[labels], 1 for a cluster number whose labels have changed since the caller set it to 0.
    nodes
        int32[2 labels, NODE_FIELDS], the tree of clusters; node 0 is the root.
    measured
        float64[2 labels, 2], a node's d1 and e at its last test.
    clock
        int64[CLOCK].
    """

    counts: PairCountsState
    cluster_of: np.ndarray
    own_of: np.ndarray
    changed: np.ndarray
    nodes: np.ndarray
    measured: np.ndarray
    clock: np.ndarray


class DivisiveScratch(NamedTuple):
    """``members`` int32[labels] of one cluster; ``side`` uint8[labels], 1 for those that leave it; ``tested``
    uint8[labels], cluster numbers that this test is done with; ``events`` int64[labels, 4] and ``reasons``
    float64[labels, 3]: what a test has done (kind, kept cluster, other cluster, rows), d1, e, and the largest d1 of the
    clusters that came of it.
    """

    members: np.ndarray
    side: np.ndarray
    tested: np.ndarray
    events: np.ndarray
    reasons: np.ndarray


@kernel
def gather_cluster(of: np.ndarray, cluster: Whole, known: Whole, members: np.ndarray) -> Whole:
    """Write the labels of a cluster to ``members``, ascending; return their number."""
    size = 0
    for label in range(known):
        if of[label] == cluster:
            members[size] = label
            size += 1
    return size


@kernel
def _shuffle_sides(state: DivisiveState, scratch: DivisiveScratch, size: Whole, cluster: Whole, other: Whole) -> None:
    """Divide the labels of a random cluster in the sizes that ``scratch.side`` has."""
    clock = state.clock
    gather_cluster(state.cluster_of, cluster, clock[KNOWN], scratch.members)
    for back in range(size - 1):
        last = size - 1 - back
        number = draw(clock[SEED], clock[SPLITS] * 65536 + last, 0) % np.uint64(last + 1)
        place = np.int64(number)
        swapped = scratch.side[last]
        scratch.side[last] = scratch.side[place]
        scratch.side[place] = swapped
    for i in range(size):
        state.cluster_of[scratch.members[i]] = other if scratch.side[i] else cluster


@kernel
def split_node(
    state: DivisiveState, scratch: DivisiveScratch, node: Whole, size: Whole, found: Dissimilarities
) -> Whole:
    """Split a node's cluster of ``size`` gathered labels at its pivots; return the number of the new cluster."""
    clock = state.clock
    counts = state.counts
    nodes = state.nodes
    cluster = np.int64(nodes[node, CLUSTER])
    other = np.int64(0)
    for number in range(clock[CLUSTERS] + 1):
        taken = False
        for label in range(clock[KNOWN]):
            taken = taken or state.own_of[label] == number
        if not taken:
            other = np.int64(number)
            break
    clock[CLUSTERS] = max(clock[CLUSTERS], other + 1)
    for i in range(size):
        label = np.int64(scratch.members[i])
        away = jaccard(counts, label, found.second_label) > jaccard(counts, label, found.first_label)
        away = (away or label == found.second_label) and label != found.first_label
        scratch.side[i] = 1 if away else 0
        if scratch.side[i]:
            state.own_of[label] = other
    if clock[MODE] == PartitionMode.RANDOM:
        _shuffle_sides(state, scratch, size, cluster, other)
    else:
        for i in range(size):
            state.cluster_of[scratch.members[i]] = state.own_of[scratch.members[i]]
    free = 1
    for side in range(2):
        while nodes[free, RIGHT] != -2:
            free += 1
        nodes[node, LEFT + side] = free
        nodes[free, PARENT] = node
        nodes[free, LEFT] = -1
        nodes[free, RIGHT] = -1
        nodes[free, CLUSTER] = other if side else cluster
    nodes[node, CLUSTER] = -1
    state.changed[cluster] = 1
    state.changed[other] = 1
    scratch.tested[other] = 1
    clock[SPLITS] += 1
    return other


@kernel
def _is_below(nodes: np.ndarray, node: Whole, above: Whole) -> bool:
    at = np.int64(node)
    while at >= 0 and at != above:
        at = np.int64(nodes[at, PARENT])
    return bool(at == above)


@kernel
def merge_below(state: DivisiveState, scratch: DivisiveScratch, above: Whole, events: Whole) -> Whole:
    """Make a split node one cluster again, that with the lowest number below it; return how many events there are."""
    nodes = state.nodes
    clock = state.clock
    lowest = clock[CLUSTERS]
    for node in range(1, nodes.shape[0]):
        if nodes[node, RIGHT] != -2 and nodes[node, CLUSTER] >= 0 and _is_below(nodes, node, above):
            lowest = min(lowest, np.int64(nodes[node, CLUSTER]))
    for back in range(nodes.shape[0] - 1):
        node = nodes.shape[0] - 1 - back
        if nodes[node, RIGHT] == -2 or node == above or not _is_below(nodes, node, above):
            continue
        gone = np.int64(nodes[node, CLUSTER])
        if gone >= 0 and gone != lowest:
            for label in range(clock[KNOWN]):
                if state.own_of[label] == gone:
                    state.own_of[label] = lowest
                if state.cluster_of[label] == gone:
                    state.cluster_of[label] = lowest
            state.changed[gone] = 1
            scratch.events[events, 0] = MERGE
            scratch.events[events, 1] = lowest
            scratch.events[events, 2] = gone
            scratch.events[events, 3] = clock[ROWS]
            events += 1
        nodes[node, CLUSTER] = -3
    for node in range(1, nodes.shape[0]):
        if nodes[node, CLUSTER] == -3:
            nodes[node, PARENT] = -1
            nodes[node, LEFT] = -1
            nodes[node, RIGHT] = -2
            nodes[node, CLUSTER] = -1
    nodes[above, LEFT] = -1
    nodes[above, RIGHT] = -1
    nodes[above, CLUSTER] = lowest
    state.changed[lowest] = 1
    scratch.tested[lowest] = 1
    clock[MERGES] += 1
    return events
