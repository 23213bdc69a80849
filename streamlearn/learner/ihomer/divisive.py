"""Online divisive-agglomerative clustering of the labels: clusters split and merge by their pair counts.

Source: P. P. Rodrigues, J. Gama and J. P. Pedroso, "Hierarchical clustering of time-series data streams", IEEE
Transactions on Knowledge and Data Engineering 20(5), 2008, with the dissimilarities and the split test
of `dissimilarity`.

The two labels that are furthest apart are the pivots of a split; every other label goes to the closer one, to the first
of the two on a tie. A cluster whose largest dissimilarity exceeds that of the cluster it came from, at the time of its
split, by more than the larger of their bounds is merged back into it, with all other clusters that came from there.

The other modes are for comparison: one cluster, one for each label, or random clusters that split and merge when those
of mode ``jaccard`` do and have the same sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from streamlearn.errors import SnapshotError, UsageError
from streamlearn.kernels.compiler import kernel
from streamlearn.learner.ihomer.dissimilarity import dissimilarities, hoeffding_bound, should_split
from streamlearn.learner.ihomer.divisive_nodes import (
    COUNTERS,
    FREE,
    NODE_FIELDS,
    ClusterCounter,
    ClusterEvent,
    ClusterEventKind,
    ClusterEventReason,
    ClusterNode,
    DivisiveScratch,
    DivisiveState,
    NodeTest,
    gather_cluster,
    merge_below,
    split_node,
)
from streamlearn.learner.partition.comparison_modes import SINGLETONS, WHOLE, Mode, mode_number
from streamlearn.learner.partition.pair_counts import MAXIMUM_LABELS, PairCounts, Whole, pair_counts_update
from streamlearn.state.array_loading import load_label_columns, load_labels, load_whole
from streamlearn.state.array_names import PartitionPart, join_parts
from streamlearn.state.growth import grow
from streamlearn.state.lazy_arrays import split_parts

TEST_PERIOD = 200
"""Rows between two tests."""


@dataclass(frozen=True, slots=True)
class DivisiveEvent:
    """A split or a merge.

    Attributes
    ----------
    kind
        ``split`` or ``merge``.
    cluster
        The cluster that was split or that the others were merged into.
    other
        The new cluster, or one that was merged.
    rows
        Rows ever, at the test.
    diameter, bound
        d1 and e of the cluster that was split, or of the one whose d1 was too large.
    after
        Largest d1 of the clusters that resulted.
    """

    kind: Literal["split", "merge"]
    cluster: int
    other: int
    rows: int
    diameter: float
    bound: float
    after: float


@kernel
def divisive_add_labels(state: DivisiveState, known: int) -> None:
    """Add the label slots below ``known`` that have no cluster to the largest one, the lowest number on a tie.

    Call it with the labels known as of the row, before the row is learnt. The capacity must suffice (``grow``).
    """
    counters = state.counters
    while counters[ClusterCounter.KNOWN] < known:
        label = counters[ClusterCounter.KNOWN]
        cluster = np.int64(0)
        if counters[ClusterCounter.MODE] == SINGLETONS:
            cluster = label
        else:
            largest = 0
            for candidate in range(counters[ClusterCounter.CLUSTERS]):
                size = 0
                for other in range(label):
                    size += 1 if state.own_of[other] == candidate else 0
                if size > largest:
                    largest = size
                    cluster = np.int64(candidate)
        state.own_of[label] = cluster
        state.cluster_of[label] = cluster
        state.changed[cluster] = 1 if counters[ClusterCounter.CLUSTERS] <= cluster else state.changed[cluster]
        counters[ClusterCounter.CLUSTERS] = max(counters[ClusterCounter.CLUSTERS], cluster + 1)
        counters[ClusterCounter.KNOWN] += 1


@kernel
def divisive_learn_row(state: DivisiveState, members: np.ndarray) -> None:
    """Learn from one complete label set, int32[k], distinct known slots; may be empty."""
    pair_counts_update(state.pair_counts, members)
    state.counters[ClusterCounter.SINCE_TEST] += 1
    state.counters[ClusterCounter.ROWS] += 1


@kernel
def divisive_due(state: DivisiveState) -> bool:
    """Return whether the period has ended: ``DivisiveClustering.run_test`` must run before the next row is learnt."""
    return state.counters[ClusterCounter.SINCE_TEST] >= TEST_PERIOD


@kernel
def _diameter(state: DivisiveState, scratch: DivisiveScratch, cluster: Whole) -> float:
    """Return d1 of a cluster, 0 when it has one label."""
    size = gather_cluster(state.own_of, cluster, state.counters[ClusterCounter.KNOWN], scratch.members)
    return max(dissimilarities(state.pair_counts, scratch.members, size).largest, 0.0)


@kernel
def divisive_test_cluster(state: DivisiveState, scratch: DivisiveScratch, node: Whole, events: Whole) -> Whole:
    """Test the cluster of a node that is not split; return the number of events so far."""
    nodes = state.nodes
    cluster = np.int64(nodes[node, ClusterNode.CLUSTER])
    size = gather_cluster(state.own_of, cluster, state.counters[ClusterCounter.KNOWN], scratch.members)
    if size < 2:
        return events
    found = dissimilarities(state.pair_counts, scratch.members, size)
    bound = hoeffding_bound(found.rows)
    state.measured[node, NodeTest.DIAMETER] = found.largest
    state.measured[node, NodeTest.BOUND] = bound
    above = np.int64(nodes[node, ClusterNode.PARENT])
    if above >= 0:
        larger = max(bound, state.measured[above, NodeTest.BOUND])
        if found.largest - state.measured[above, NodeTest.DIAMETER] > larger:
            first = events
            events = merge_below(state, scratch, above, events)
            after = _diameter(state, scratch, np.int64(nodes[above, ClusterNode.CLUSTER]))
            for event in range(first, events):
                scratch.reasons[event, ClusterEventReason.DIAMETER] = found.largest
                scratch.reasons[event, ClusterEventReason.BOUND] = bound
                scratch.reasons[event, ClusterEventReason.AFTER] = after
            return events
    if should_split(found, bound):
        other = split_node(state, scratch, node, size, found)
        scratch.events[events, ClusterEvent.KIND] = ClusterEventKind.SPLIT
        scratch.events[events, ClusterEvent.CLUSTER] = cluster
        scratch.events[events, ClusterEvent.OTHER] = other
        scratch.events[events, ClusterEvent.ROWS] = state.counters[ClusterCounter.ROWS]
        scratch.reasons[events, ClusterEventReason.DIAMETER] = found.largest
        scratch.reasons[events, ClusterEventReason.BOUND] = bound
        scratch.reasons[events, ClusterEventReason.AFTER] = max(
            _diameter(state, scratch, cluster), _diameter(state, scratch, other)
        )
        events += 1
    return events


@kernel
def divisive_test(state: DivisiveState, scratch: DivisiveScratch) -> Whole:
    """Test every cluster once, except those that this test makes; return the number of events."""
    counters = state.counters
    counters[ClusterCounter.SINCE_TEST] = 0
    if (
        counters[ClusterCounter.MODE] == WHOLE
        or counters[ClusterCounter.MODE] == SINGLETONS
        or counters[ClusterCounter.KNOWN] == 0
    ):
        return 0
    counters[ClusterCounter.TESTS] += 1
    events = 0
    clusters = counters[ClusterCounter.CLUSTERS]
    for cluster in range(clusters):
        scratch.tested[cluster] = 0
    for cluster in range(clusters):
        if scratch.tested[cluster]:
            continue
        for node in range(state.nodes.shape[0]):
            if state.nodes[node, ClusterNode.RIGHT] != FREE and state.nodes[node, ClusterNode.CLUSTER] == cluster:
                events = divisive_test_cluster(state, scratch, node, events)
                break
    return events


class DivisiveClustering:
    """Owns the clusters: creates, grows, tests, saves and loads them.

    Parameters
    ----------
    mode
        Where the clusters come from: ``jaccard``, ``whole``, ``singletons`` or ``random``.
    seed
        Of mode ``random``, at least 0.
    maximum
        Labels at most.

    Raises
    ------
    UsageError
        If the mode is unknown, or ``maximum`` exceeds the size of the dense table of pairs.
    """

    def __init__(self, mode: Mode = "jaccard", *, seed: int = 0, maximum: int = 1024) -> None:
        if maximum > MAXIMUM_LABELS:
            raise UsageError(
                f"labels.maximum is {maximum}, but the table of label pairs has room for {MAXIMUM_LABELS} labels: "
                f"set labels.maximum to {MAXIMUM_LABELS} or less"
            )
        self._pair_counts = PairCounts()
        counters = np.zeros(COUNTERS, np.int64)
        counters[ClusterCounter.MODE] = mode_number(mode)
        counters[ClusterCounter.SEED] = seed
        self.state = DivisiveState(
            pair_counts=self._pair_counts.state,
            cluster_of=np.zeros(0, np.int32),
            own_of=np.zeros(0, np.int32),
            changed=np.zeros(0, np.uint8),
            nodes=np.zeros((0, NODE_FIELDS), np.int32),
            measured=np.zeros((0, len(NodeTest))),
            counters=counters,
        )
        self.scratch = DivisiveScratch(
            members=np.zeros(0, np.int32),
            side=np.zeros(0, np.uint8),
            tested=np.zeros(0, np.uint8),
            events=np.zeros((0, len(ClusterEvent)), np.int64),
            reasons=np.zeros((0, len(ClusterEventReason))),
        )

    @property
    def known(self) -> int:
        """Labels that have a cluster."""
        return int(self.state.counters[ClusterCounter.KNOWN])

    @property
    def cluster_of(self) -> np.ndarray:
        """int32[known], the cluster of each label."""
        return self.state.cluster_of[: self.known]

    def grow(self, labels: int) -> None:
        """Grow the capacity to this many label slots; ``divisive_add_labels`` says which of them are known."""
        state = self.state
        if labels <= len(state.cluster_of):
            return
        before = len(state.nodes)
        cluster_of = grow(state.cluster_of, labels, -1)
        capacity = len(cluster_of)
        self._pair_counts.grow(capacity)
        nodes = np.full((2 * capacity, NODE_FIELDS), -1, np.int32)
        nodes[:, ClusterNode.RIGHT] = FREE
        nodes[0, ClusterNode.RIGHT], nodes[0, ClusterNode.CLUSTER] = -1, 0
        nodes[:before] = state.nodes
        measured = np.zeros((2 * capacity, len(NodeTest)))
        measured[:before] = state.measured
        self.state = DivisiveState(
            pair_counts=self._pair_counts.state,
            cluster_of=cluster_of,
            own_of=grow(state.own_of, labels, -1),
            changed=grow(state.changed, labels),
            nodes=nodes,
            measured=measured,
            counters=state.counters,
        )
        self.scratch = DivisiveScratch(*(grow(array, labels) for array in self.scratch))

    def retire(self, slot: int) -> None:
        """Forget the counts of one label; its slot keeps its cluster for the next label."""
        self._pair_counts.retire(slot)

    def run_test(self) -> list[DivisiveEvent]:
        """Test every cluster and return the splits and merges; they set ``state.changed``."""
        count = divisive_test(self.state, self.scratch)
        events = []
        for event in range(count):
            kind, cluster, other, rows = (int(value) for value in self.scratch.events[event])
            reasons = (float(value) for value in self.scratch.reasons[event])
            events.append(
                DivisiveEvent("split" if kind == ClusterEventKind.SPLIT else "merge", cluster, other, rows, *reasons)
            )
        return events

    def arrays(self, labels: int) -> dict[str, np.ndarray]:
        """Return the arrays of the state, cut to the labels in use."""
        state = self.state
        return join_parts({PartitionPart.PAIR_COUNTS: self._pair_counts.arrays(labels)}) | {
            "cluster_of": state.cluster_of[:labels],
            "own_of": state.own_of[:labels],
            "changed": state.changed[:labels],
            "nodes": state.nodes[: 2 * labels],
            "measured": state.measured[: 2 * labels],
            "clock": state.counters,
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray], labels: int) -> None:
        """Load the state from the arrays of a snapshot.

        Raises
        ------
        SnapshotError
            If an array is missing, a shape differs or the snapshot is of another mode.
        """
        self.grow(labels)
        state = self.state
        names = ("cluster_of", "own_of", "changed", "nodes", "measured", "clock")
        missing = [name for name in names if name not in arrays]
        if missing:
            raise SnapshotError(f"divisive clustering: the array {missing[0]!r} is missing from the snapshot")
        counters = np.zeros_like(state.counters)
        load_whole(counters, arrays["clock"])
        if (
            counters[ClusterCounter.MODE] != state.counters[ClusterCounter.MODE]
            or counters[ClusterCounter.KNOWN] > labels
        ):
            raise SnapshotError(
                f"divisive clustering: the snapshot has mode {counters[ClusterCounter.MODE]} and "
                f"{counters[ClusterCounter.KNOWN]} labels, this model has mode "
                f"{state.counters[ClusterCounter.MODE]} and {labels} labels: the snapshot belongs to other settings"
            )
        self._pair_counts.load_arrays(split_parts(arrays).get(PartitionPart.PAIR_COUNTS, {}))
        self.state = state = state._replace(pair_counts=self._pair_counts.state)
        state.counters[:] = counters
        load_labels(state.cluster_of, arrays["cluster_of"], labels)
        load_labels(state.own_of, arrays["own_of"], labels)
        load_labels(state.changed, arrays["changed"], labels)
        load_label_columns(state.nodes, arrays["nodes"], 2 * labels, NODE_FIELDS)
        load_label_columns(state.measured, arrays["measured"], 2 * labels, len(NodeTest))

    @staticmethod
    def bytes_bound(labels: int) -> int:
        """Return the size of the state in bytes with this many labels."""
        nodes = 2 * labels * (4 * NODE_FIELDS + 16)
        return PairCounts.bytes_bound(labels) + labels * 9 + nodes + 8 * COUNTERS
