"""iHOMER as a whole: clusters of labels found online, and a Hoeffding adaptive tree for each.

Source: "Online hierarchical partitioning of the output space in extreme multi-label data streams", ECAI 2025: divisive-
agglomerative clustering on Jaccard dissimilarity (`ihomer.divisive`), in every cluster the multi-label Hoeffding
adaptive tree of Esteban, Cano, Zafra and Ventura (2024; `predict_row`, `learn_row`), and a detector of each cluster's
loss. After an alarm the clusters are tested and the cluster's tree is replaced by a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from streamlearn.errors import MissingArrayError, SnapshotError
from streamlearn.kernels.compiler import kernel
from streamlearn.learner.drift.adwin import Adwin
from streamlearn.learner.experts.tree_counters import SIZE_FIELDS, WATCHED_BINS, Size, give_plane
from streamlearn.learner.ihomer.divisive import DivisiveClustering, DivisiveEvent, divisive_add_labels
from streamlearn.learner.ihomer.divisive_nodes import ClusterCounter
from streamlearn.learner.ihomer.regressions import BAGS, columns_with_weights, empty_regressions
from streamlearn.learner.ihomer.row_window import (
    CURSOR_FIELDS,
    ENTRY_CAPACITY,
    MEMBER_CAPACITY,
    ROW_CAPACITY,
    ROW_FIELDS,
    empty_row_window,
    remove_label,
)
from streamlearn.learner.ihomer.state import (
    CHANGES_PER_TREE,
    COUNTERS,
    Counter,
    HierarchyState,
    empty_scratch,
    index_clusters,
)
from streamlearn.learner.ihomer.trees import (
    LEAF_FIELDS,
    LEAF_WINDOW,
    LEAVES,
    LOSS_FIELDS,
    NODE_FIELDS,
    NODES,
    begin_tree,
    detector_of,
    empty_trees,
)
from streamlearn.learner.partition.comparison_modes import Mode
from streamlearn.numerics.exp_log import log64
from streamlearn.state.array_loading import load_label_columns, load_labels, load_whole
from streamlearn.state.array_names import ROW_WINDOW, IhomerPart, join_parts
from streamlearn.state.growth import grow
from streamlearn.state.lazy_arrays import get_lazy, split_parts

TREE_BYTES = 64 * 2**20
WEIGHT_BYTES = 2**29

_PER_FEATURE = ("bins", "dense", "slots")
"""Arrays of `HierarchyScratch` whose first axis is the column."""

_PER_LABEL = ("reached", "path_count", "vote", "emitted", "wrong", "right")
"""Arrays of `HierarchyScratch` whose first axis is the label or the cluster."""

_PER_PATH_AND_LABEL = ("plane_of", "chosen", "probability", "logits")
"""Arrays of `HierarchyScratch` whose second axis is the label."""

_PER_CLUSTER = {
    "root": "root",
    "nodes": "nodes",
    "loss": "loss",
    "leaves": "leaves",
    "leaf_node": "leaf_node",
    "rows_plane": "rows_plane",
    "window": "window",
    "pushed": "pushed",
}
"""Arrays of `TreesState` whose first axis is the cluster, and their names in a snapshot."""


@dataclass(frozen=True, slots=True)
class ClusterAlarm:
    """An alarm: the label sets of a cluster are wrong more often than before. The cluster gets a new tree.

    Attributes
    ----------
    cluster
        Its number at the alarm.
    before, after
        Share of wrong label sets, over the detector's whole window and over what it kept.
    rows
        Rows that it kept: about as many rows ago the change happened.
    """

    cluster: int
    before: float
    after: float
    rows: int


@kernel
def _begin_cluster(state: HierarchyState, cluster: int) -> None:
    """Begin a new tree for the labels of a cluster."""
    labels = state.cluster_labels[state.cluster_starts[cluster] : state.cluster_starts[cluster + 1]]
    begin_tree(state.trees, state.regressions, state.adwin, state.rows, cluster, labels)
    state.partition.changed[cluster] = 0


@kernel
def ihomer_begin_label(state: HierarchyState, label: int) -> None:
    """Add a label, with the bias of a label that no complete row so far has had.

    It gets a cluster unless its slot had one. Call this for slots in ascending order, before the row that brings them
    is predicted. The capacity must suffice (``grow``).
    """
    clusters = state.partition.counters[ClusterCounter.CLUSTERS]
    divisive_add_labels(state.partition, label + 1)
    index_clusters(state, state.partition.counters[ClusterCounter.KNOWN])
    for cluster in range(clusters, state.partition.counters[ClusterCounter.CLUSTERS]):
        _begin_cluster(state, cluster)
    bias = -log64(np.float64(state.counters[Counter.LEARNED] + 1))
    for plane in range(state.counters[Counter.PLANES]):
        for bag in range(BAGS):
            state.regressions.bias[plane, label, bag] = bias


@kernel
def ihomer_rebuild(state: HierarchyState) -> None:
    """Begin new trees for the clusters that have changed or raised an alarm."""
    index_clusters(state, state.partition.counters[ClusterCounter.KNOWN])
    for cluster in range(state.partition.counters[ClusterCounter.CLUSTERS]):
        if state.partition.changed[cluster] or state.alarmed[cluster]:
            _begin_cluster(state, cluster)
        state.alarmed[cluster] = 0


class Hierarchy:
    """Owns the parts of iHOMER: creates, grows, saves and loads them, and restructures the clusters.

    Parameters
    ----------
    partition
        Where the clusters come from: ``jaccard`` as published; ``whole``, ``singletons`` or ``random`` for comparison.
    seed
        Seed of the bags, of the rows' weights and of random clusters, at least 0.
    tree_bytes
        Bytes of the trees' counters, a multiple of 4, at least 256. When they are used up, further columns are not
        counted and further leaves are not split; predictions go on.
    weight_bytes
        Bytes of the regressions' weights, at least 160 per label.
    maximum
        Labels at most.
    """

    def __init__(
        self,
        partition: Mode = "jaccard",
        *,
        seed: int = 0,
        tree_bytes: int = TREE_BYTES,
        weight_bytes: int = WEIGHT_BYTES,
        maximum: int = 1024,
    ) -> None:
        self._partition = DivisiveClustering(partition, seed=seed, maximum=maximum)
        self._adwin = Adwin(0)
        counters = np.zeros(COUNTERS, np.int64)
        counters[Counter.SEED], counters[Counter.PLANES] = seed, 1
        self.state = HierarchyState(
            partition=self._partition.state,
            trees=empty_trees(tree_bytes),
            regressions=empty_regressions(LEAVES, weight_bytes),
            rows=empty_row_window(),
            adwin=self._adwin.state,
            cluster_starts=np.zeros(1, np.int32),
            cluster_labels=np.zeros(0, np.int32),
            alarmed=np.zeros(0, np.uint8),
            counters=counters,
        )
        self.scratch = empty_scratch()

    @property
    def cluster_of(self) -> np.ndarray:
        """int32[labels known], the cluster of each label."""
        return self._partition.cluster_of

    @property
    def counts(self) -> dict[str, int]:
        """Counts so far: leaves split, alternate subtrees begun, switched to and pruned, alarms."""
        counted = (Counter.SPLITS, Counter.ALTERNATES, Counter.SWITCHED, Counter.PRUNED, Counter.ALARMS)
        return {counter.name.lower(): int(self.state.counters[counter]) for counter in counted}

    def grow(self, features: int, labels: int) -> None:
        """Grow the capacity to this many columns and labels; ``ihomer_begin_label`` adds a label.

        ``labels`` are those known or about to be added: their number decides which columns have weights.
        """
        state, scratch = self.state, self.scratch
        self._partition.grow(labels)
        capacity = len(self._partition.state.cluster_of)
        self._adwin.resize(max(capacity * (NODES + 1), self._adwin.detectors))
        trees = state.trees._replace(
            positives=grow(state.trees.positives, labels, axis=1),
            positive_plane=grow(state.trees.positive_plane, labels, axis=1),
            slot_of=grow(state.trees.slot_of, features),
            **{name: grow(getattr(state.trees, name), labels) for name in _PER_CLUSTER},
        )
        weighted = int(columns_with_weights(state.regressions, labels))
        weight = state.regressions.weight
        if labels > weight.shape[2]:
            # The copy leaves out the columns that have no weights any more. A part of the array that is not copied
            # would have another memory layout, for which all kernels would be compiled again.
            weight = grow(weight[:, : max(weighted, 1)], labels, axis=2)
        weight = grow(weight, min(features, weighted), axis=1)
        self.state = state._replace(
            partition=self._partition.state,
            trees=trees,
            regressions=state.regressions._replace(weight=weight, bias=grow(state.regressions.bias, labels, axis=1)),
            adwin=self._adwin.state,
            cluster_starts=grow(state.cluster_starts, labels + 1),
            cluster_labels=grow(state.cluster_labels, labels),
            alarmed=grow(state.alarmed, labels),
        )
        self.scratch = scratch._replace(
            **{name: grow(getattr(scratch, name), features) for name in _PER_FEATURE},
            **{name: grow(getattr(scratch, name), labels) for name in _PER_LABEL},
            **{name: grow(getattr(scratch, name), labels, axis=1) for name in _PER_PATH_AND_LABEL},
            **{name: grow(getattr(scratch, name), CHANGES_PER_TREE * labels) for name in ("changes", "change_losses")},
        )

    def retire(self, label: int) -> None:
        """Reset a slot: all counts and weights of its label; the slot keeps its cluster."""
        trees = self.state.trees
        self._partition.retire(label)
        for leaf in range(LEAVES):
            give_plane(trees.sizes, trees.block, int(trees.positive_plane[leaf, label]))
        trees.positive_plane[:, label] = 0
        trees.positives[:, label] = 0.0
        self.state.regressions.weight[:, :, label] = 0.0
        self.state.regressions.bias[:, label] = 0.0
        remove_label(self.state.rows, label)

    def restructure(self) -> tuple[list[ClusterAlarm], list[DivisiveEvent]]:
        """Test the clusters, and begin new trees for those that changed or raised an alarm."""
        adwin = self.state.adwin
        alarms = []
        for cluster in np.flatnonzero(self.state.alarmed).tolist():
            detector = detector_of(cluster, NODES)
            before, after = float(adwin.before[detector]), float(adwin.after[detector])
            alarms.append(ClusterAlarm(cluster, before, after, int(adwin.since[detector])))
        events = self._partition.run_test()
        ihomer_rebuild(self.state)
        return alarms, events

    def arrays(self, features: int, labels: int) -> dict[str, np.ndarray]:
        """Return the arrays of the state, cut to the columns and labels in use."""
        state, trees = self.state, self.state.trees
        clusters = int(state.partition.counters[ClusterCounter.CLUSTERS])
        planes = int(state.counters[Counter.PLANES])
        weighted = min(features, int(columns_with_weights(state.regressions, labels)))
        used = int(trees.sizes[Size.PLANES] * trees.sizes[Size.WIDTH])
        detectors = {name: array[: clusters * (NODES + 1)] for name, array in self._adwin.arrays().items()}
        of_trees = {name: getattr(trees, attribute)[:clusters] for attribute, name in _PER_CLUSTER.items()} | {
            "positives": trees.positives[:, :labels],
            "positive_plane": trees.positive_plane[:, :labels],
            "sizes": trees.sizes,
            "block": trees.block[:used],
            "slot_of": trees.slot_of[:features],
        }
        arrays = join_parts(
            {
                IhomerPart.PARTITION: self._partition.arrays(labels),
                IhomerPart.DETECTORS: detectors,
                IhomerPart.ROW_WINDOW: dict(zip(ROW_WINDOW, state.rows, strict=True)),
                IhomerPart.TREES: of_trees,
            }
        )
        return arrays | {
            "weight": state.regressions.weight[:planes, :weighted, :labels],
            "bias": state.regressions.bias[:planes, :labels],
            "alarmed": state.alarmed[:clusters],
            "clock": state.counters,
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray], features: int, labels: int) -> None:
        """Load the state from the arrays of a snapshot.

        Raises
        ------
        SnapshotError
            If an array is missing, a shape differs or the counters do not fit.
        """
        try:
            self._load(arrays, features, labels)
        except MissingArrayError:
            raise
        except KeyError as error:
            raise SnapshotError(f"iHOMER: the array {error} is missing from the snapshot") from None

    def _load(self, arrays: Mapping[str, np.ndarray], features: int, labels: int) -> None:
        parts = {str(part): {} for part in IhomerPart} | split_parts(arrays)
        self.grow(features, labels)
        self._partition.load_arrays(parts[IhomerPart.PARTITION], labels)
        self._adwin.load_arrays(parts[IhomerPart.DETECTORS])
        self._adwin.resize(len(self._partition.state.cluster_of) * (NODES + 1))
        self.state = state = self.state._replace(partition=self._partition.state, adwin=self._adwin.state)
        trees, given = state.trees, parts[IhomerPart.TREES]
        clusters = int(state.partition.counters[ClusterCounter.CLUSTERS])
        for name, array in zip(ROW_WINDOW, state.rows, strict=True):
            load_whole(array, parts[IhomerPart.ROW_WINDOW][name])
        for attribute, name in _PER_CLUSTER.items():
            load_whole(getattr(trees, attribute)[:clusters], given[name])
        load_whole(trees.positives[:, :labels], given["positives"])
        load_whole(trees.positive_plane[:, :labels], given["positive_plane"])
        load_whole(trees.sizes, given["sizes"])
        used = int(trees.sizes[Size.PLANES] * trees.sizes[Size.WIDTH])
        if not 0 < used <= trees.block.size:
            raise SnapshotError(
                f"the tree counters of the snapshot take {4 * used} bytes, this model has {trees.block.nbytes} bytes: "
                "the snapshot belongs to other settings"
            )
        load_labels(trees.block, get_lazy(given, "block"), used)
        load_label_columns(trees.slot_of, given["slot_of"], features, WATCHED_BINS)
        load_whole(state.counters, arrays["clock"])
        planes = int(state.counters[Counter.PLANES])
        weighted = min(features, int(columns_with_weights(state.regressions, labels)))
        load_whole(state.regressions.weight[:planes, :weighted, :labels], get_lazy(arrays, "weight"))
        load_whole(state.regressions.bias[:planes, :labels], arrays["bias"])
        load_whole(state.alarmed[:clusters], arrays["alarmed"])
        index_clusters(state, labels)

    @staticmethod
    def bytes_bound(features: int, labels: int, tree_bytes: int = TREE_BYTES, weight_bytes: int = WEIGHT_BYTES) -> int:
        """Return the largest size of the state in bytes with that many columns and labels and these two bounds."""
        regressions = min(4 * LEAVES * BAGS * labels * features, weight_bytes) + 4 * LEAVES * BAGS * labels
        nodes = NODES * (4 * NODE_FIELDS + 8 * LOSS_FIELDS)
        leaves = LEAVES * (8 * LEAF_FIELDS + 8 + 8 * LEAF_WINDOW + 8 + 12)
        rows = ROW_CAPACITY * (8 * ROW_FIELDS + 4) + 9 * ENTRY_CAPACITY + 4 * MEMBER_CAPACITY + 8 * CURSOR_FIELDS
        rest = DivisiveClustering.bytes_bound(labels) + Adwin.bytes_bound(labels * (NODES + 1))
        rest += 8 * (COUNTERS + SIZE_FIELDS)
        return tree_bytes + 4 * WATCHED_BINS * features + regressions + labels * (nodes + leaves + 5) + rows + rest
