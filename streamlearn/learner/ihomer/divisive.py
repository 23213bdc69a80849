"""Online divisive-agglomerative clustering of the labels: clusters that split and merge back as the counts say.

Source: P. P. Rodrigues, J. Gama and J. P. Pedroso, "Hierarchical clustering of time-series data streams", IEEE
Transactions on Knowledge and Data Engineering 20(5), 2008, on the dissimilarities and with the
split test of `dissimilarity`.

The two labels that are furthest apart are the pivots of a split; every other label goes to the closer one, to the first
of the two on a tie. A cluster whose largest dissimilarity exceeds that of the cluster it came from, at the time of its
split, by more than the larger of their bounds goes back into it, with all that came from there.

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
    BOUND,
    CLOCK,
    CLUSTER,
    CLUSTERS,
    DIAMETER,
    KNOWN,
    MODE,
    NODE_FIELDS,
    PARENT,
    RIGHT,
    ROWS,
    SEED,
    SINCE,
    SPLIT,
    TESTS,
    DivisiveScratch,
    DivisiveState,
    gather_cluster,
    merge_below,
    split_node,
)
from streamlearn.learner.partition.comparison_modes import Mode, PartitionMode, parse_mode
from streamlearn.learner.partition.pair_counts import MAXIMUM_LABELS, PairCounts, Whole, pair_counts_update
from streamlearn.state.array_loading import load_label_columns, load_labels, load_whole
from streamlearn.state.array_names import PartitionPart, join_parts
from streamlearn.state.growth import grown
from streamlearn.state.lazy_arrays import parts_of

PERIOD = 200
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
        The new cluster, or one that is no more.
    rows
        Rows ever, at the test.
    diameter, bound
        d1 and e of the cluster that was split, or of the one whose d1 was too large.
    after
        Largest d1 of the clusters that came of it.
    """

    kind: Literal["split", "merge"]
    cluster: int
    other: int
    rows: int
    diameter: float
    bound: float
    after: float


@kernel
def divisive_know(state: DivisiveState, known: int) -> None:
    """Give the label slots below ``known`` that have no cluster yet one: the largest, the lowest number on a tie.

    Call it with the labels known as of the row, before the row is learnt from. Room must be there (``grow``).
    """
    clock = state.clock
    while clock[KNOWN] < known:
        label = clock[KNOWN]
        cluster = np.int64(0)
        if clock[MODE] == PartitionMode.SINGLETONS:
            cluster = label
        else:
            largest = 0
            for candidate in range(clock[CLUSTERS]):
                size = 0
                for other in range(label):
                    size += 1 if state.own_of[other] == candidate else 0
                if size > largest:
                    largest = size
                    cluster = np.int64(candidate)
        state.own_of[label] = cluster
        state.cluster_of[label] = cluster
        state.changed[cluster] = 1 if clock[CLUSTERS] <= cluster else state.changed[cluster]
        clock[CLUSTERS] = max(clock[CLUSTERS], cluster + 1)
        clock[KNOWN] += 1


@kernel
def divisive_learn_row(state: DivisiveState, members: np.ndarray) -> None:
    """Learn from one complete label set, int32[k], distinct known slots; may be empty."""
    pair_counts_update(state.counts, members)
    state.clock[SINCE] += 1
    state.clock[ROWS] += 1


@kernel
def divisive_due(state: DivisiveState) -> bool:
    """Return whether the period has ended: ``Divisive.run_test`` must run before the next row is learnt from."""
    return state.clock[SINCE] >= PERIOD


@kernel
def _diameter(state: DivisiveState, scratch: DivisiveScratch, cluster: Whole) -> float:
    """Return d1 of a cluster, 0 when it has one label."""
    size = gather_cluster(state.own_of, cluster, state.clock[KNOWN], scratch.members)
    return max(dissimilarities(state.counts, scratch.members, size).largest, 0.0)


@kernel
def divisive_test_cluster(state: DivisiveState, scratch: DivisiveScratch, node: Whole, events: Whole) -> Whole:
    """Test the cluster of a node that is not split; return how many events ``scratch`` holds then."""
    nodes = state.nodes
    cluster = np.int64(nodes[node, CLUSTER])
    size = gather_cluster(state.own_of, cluster, state.clock[KNOWN], scratch.members)
    if size < 2:
        return events
    found = dissimilarities(state.counts, scratch.members, size)
    bound = hoeffding_bound(found.rows)
    state.measured[node, DIAMETER] = found.largest
    state.measured[node, BOUND] = bound
    above = np.int64(nodes[node, PARENT])
    if above >= 0:
        larger = max(bound, state.measured[above, BOUND])
        if found.largest - state.measured[above, DIAMETER] > larger:
            first = events
            events = merge_below(state, scratch, above, events)
            after = _diameter(state, scratch, np.int64(nodes[above, CLUSTER]))
            for event in range(first, events):
                scratch.reasons[event, 0] = found.largest
                scratch.reasons[event, 1] = bound
                scratch.reasons[event, 2] = after
            return events
    if should_split(found, bound):
        other = split_node(state, scratch, node, size, found)
        scratch.events[events, 0] = SPLIT
        scratch.events[events, 1] = cluster
        scratch.events[events, 2] = other
        scratch.events[events, 3] = state.clock[ROWS]
        scratch.reasons[events, 0] = found.largest
        scratch.reasons[events, 1] = bound
        scratch.reasons[events, 2] = max(_diameter(state, scratch, cluster), _diameter(state, scratch, other))
        events += 1
    return events


@kernel
def divisive_test(state: DivisiveState, scratch: DivisiveScratch) -> Whole:
    """Test every cluster once, those made by this test not; return how many events ``scratch`` holds."""
    clock = state.clock
    clock[SINCE] = 0
    if clock[MODE] == PartitionMode.WHOLE or clock[MODE] == PartitionMode.SINGLETONS or clock[KNOWN] == 0:
        return 0
    clock[TESTS] += 1
    events = 0
    clusters = clock[CLUSTERS]
    for cluster in range(clusters):
        scratch.tested[cluster] = 0
    for cluster in range(clusters):
        if scratch.tested[cluster]:
            continue
        for node in range(state.nodes.shape[0]):
            if state.nodes[node, RIGHT] != -2 and state.nodes[node, CLUSTER] == cluster:
                events = divisive_test_cluster(state, scratch, node, events)
                break
    return events


class Divisive:
    """Holds, names and grows the clusters, and runs what is too rare for a row's way.

    Parameters
    ----------
    mode
        Where the clusters come from: ``jaccard``, ``whole``, ``singletons`` or ``random``.
    seed
        Of mode ``random``, at least 0.
    maximum
        The most labels that the model may come to know.

    Raises
    ------
    UsageError
        If the mode has another name, or ``maximum`` is more than the dense table of pairs is made for.
    """

    def __init__(self, mode: Mode = "jaccard", *, seed: int = 0, maximum: int = 1024) -> None:
        if maximum > MAXIMUM_LABELS:
            raise UsageError(
                f"labels.maximum is {maximum}: the table of label pairs is made for at most {MAXIMUM_LABELS} labels; "
                f"set labels.maximum to {MAXIMUM_LABELS} or less"
            )
        self._counts = PairCounts()
        clock = np.zeros(CLOCK, np.int64)
        clock[MODE] = parse_mode(mode)
        clock[SEED] = seed
        self.state = DivisiveState(
            self._counts.state,
            np.zeros(0, np.int32),
            np.zeros(0, np.int32),
            np.zeros(0, np.uint8),
            np.zeros((0, NODE_FIELDS), np.int32),
            np.zeros((0, 2)),
            clock,
        )
        self.scratch = DivisiveScratch(
            np.zeros(0, np.int32),
            np.zeros(0, np.uint8),
            np.zeros(0, np.uint8),
            np.zeros((0, 4), np.int64),
            np.zeros((0, 3)),
        )

    @property
    def known(self) -> int:
        """Labels that have a cluster."""
        return int(self.state.clock[KNOWN])

    @property
    def cluster_of(self) -> np.ndarray:
        """int32[known], the cluster of each label."""
        return self.state.cluster_of[: self.known]

    def grow(self, labels: int) -> None:
        """Make room for this many label slots; which of them are known is for ``divisive_know`` to say."""
        state = self.state
        if labels <= len(state.cluster_of):
            return
        before = len(state.nodes)
        cluster_of = grown(state.cluster_of, labels, -1)
        capacity = len(cluster_of)
        self._counts.grow(capacity)
        nodes = np.full((2 * capacity, NODE_FIELDS), -1, np.int32)
        nodes[:, RIGHT] = -2
        nodes[0, RIGHT], nodes[0, CLUSTER] = -1, 0
        nodes[:before] = state.nodes
        measured = np.zeros((2 * capacity, 2))
        measured[:before] = state.measured
        self.state = DivisiveState(
            self._counts.state,
            cluster_of,
            grown(state.own_of, labels, -1),
            grown(state.changed, labels),
            nodes,
            measured,
            state.clock,
        )
        self.scratch = DivisiveScratch(*(grown(array, labels) for array in self.scratch))

    def retire(self, slot: int) -> None:
        """Forget what was seen of one label; its slot keeps its cluster for the next label."""
        self._counts.retire(slot)

    def run_test(self) -> list[DivisiveEvent]:
        """Test every cluster and return what has changed; ``state.changed`` says which clusters have."""
        count = divisive_test(self.state, self.scratch)
        events = []
        for place in range(count):
            kind, cluster, other, rows = (int(value) for value in self.scratch.events[place])
            reasons = (float(value) for value in self.scratch.reasons[place])
            events.append(DivisiveEvent("split" if kind == SPLIT else "merge", cluster, other, rows, *reasons))
        return events

    def arrays(self, labels: int) -> dict[str, np.ndarray]:
        """Return the state of the labels in use, by name."""
        state = self.state
        return join_parts({PartitionPart.PAIR_COUNTS: self._counts.arrays(labels)}) | {
            "cluster_of": state.cluster_of[:labels],
            "own_of": state.own_of[:labels],
            "changed": state.changed[:labels],
            "nodes": state.nodes[: 2 * labels],
            "measured": state.measured[: 2 * labels],
            "clock": state.clock,
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray], labels: int) -> None:
        """Take the state over.

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
        clock = np.zeros_like(state.clock)
        load_whole(clock, arrays["clock"])
        if clock[MODE] != state.clock[MODE] or clock[KNOWN] > labels:
            raise SnapshotError(
                f"divisive clustering: the snapshot has mode {clock[MODE]} and {clock[KNOWN]} labels, this model has "
                f"mode {state.clock[MODE]} and {labels} labels: the snapshot belongs to other settings"
            )
        self._counts.load_arrays(parts_of(arrays).get(PartitionPart.PAIR_COUNTS, {}))
        self.state = state = state._replace(counts=self._counts.state)
        state.clock[:] = clock
        load_labels(state.cluster_of, arrays["cluster_of"], labels)
        load_labels(state.own_of, arrays["own_of"], labels)
        load_labels(state.changed, arrays["changed"], labels)
        load_label_columns(state.nodes, arrays["nodes"], 2 * labels, NODE_FIELDS)
        load_label_columns(state.measured, arrays["measured"], 2 * labels, 2)

    @staticmethod
    def bytes_bound(labels: int) -> int:
        """Return the bytes held with this many labels."""
        nodes = 2 * labels * (4 * NODE_FIELDS + 16)
        return PairCounts.bytes_bound(labels) + labels * 9 + nodes + 8 * CLOCK
