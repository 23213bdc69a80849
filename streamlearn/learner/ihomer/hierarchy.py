"""The published method (iHOMER) as a whole: clusters of labels found online, a Hoeffding adaptive tree for each.

Source: "Online hierarchical partitioning of the output space in extreme multi-label data streams", ECAI 2025: divisive-
agglomerative clustering on Jaccard dissimilarity (`ihomer.divisive`), in every cluster the multi-label Hoeffding
adaptive tree of Esteban, Cano, Zafra and Ventura (2024; `predict`, `learn`), and a detector on each cluster's loss.
After an alarm the clusters are tested and the cluster's tree begins anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.kernels.compiler import kernel
from streamlearn.learner.drift.adwin import Adwin
from streamlearn.learner.experts.tree_counters import LEAST_PLANE_WIDTH, SIZE_FIELDS, WATCHED_BINS, Size, give_plane
from streamlearn.learner.ihomer.combinations import NEIGHBOURS
from streamlearn.learner.ihomer.divisive import Divisive, DivisiveEvent, divisive_know
from streamlearn.learner.ihomer.divisive_nodes import CLUSTERS, KNOWN
from streamlearn.learner.ihomer.regressions import BAGS, RegressionsState, columns_held
from streamlearn.learner.ihomer.row_window import CURSORS, ENTRIES, MEMBERS, ROW_FIELDS, ROWS, empty_rows, rows_retire
from streamlearn.learner.ihomer.state import (
    ALARMS,
    ALTERNATES,
    CHANGES_A_TREE,
    CLOCK,
    LEARNED,
    PLANES_EVER,
    PRUNED,
    SEED,
    SPLITS,
    SWITCHED,
    HierarchyScratch,
    HierarchyState,
    index_clusters,
)
from streamlearn.learner.ihomer.trees import (
    LEAF_FIELDS,
    LEAVES,
    NODE_FIELDS,
    NODES,
    WINDOW,
    TreesState,
    begin_tree,
    detector_of,
)
from streamlearn.learner.partition.comparison_modes import Mode
from streamlearn.numerics.exp_log import log64
from streamlearn.state.array_loading import load_label_columns, load_labels, load_whole
from streamlearn.state.array_names import ROW_WINDOW, IhomerPart, join_parts
from streamlearn.state.growth import grown
from streamlearn.state.lazy_arrays import in_blocks, parts_of

TREE_BYTES = 64 * 2**20
WEIGHT_BYTES = 2**29

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
    """A cluster whose label sets have become wrong more often; its tree has begun anew.

    Attributes
    ----------
    cluster
        Its number at the alarm.
    before, after
        Share of wrong label sets, over the detector's whole window and over what it kept.
    rows
        Rows that it kept: the change lies about as many rows back.
    """

    cluster: int
    before: float
    after: float
    rows: int


@kernel
def _begin_cluster(state: HierarchyState, cluster: int) -> None:
    """Let the tree of a cluster begin anew with the labels that the cluster has."""
    labels = state.label_at[state.first_label[cluster] : state.first_label[cluster + 1]]
    begin_tree(state.trees, state.regressions, state.adwin, state.rows, cluster, labels)
    state.partition.changed[cluster] = 0


@kernel
def ihomer_begin_label(state: HierarchyState, label: int) -> None:
    """Let a label join, as if no complete row so far had had it: it gets a cluster unless its slot had one.

    Call it for slots in their order, before the row that brings them is predicted. Room must be there (``grow``).
    """
    clusters = state.partition.clock[CLUSTERS]
    divisive_know(state.partition, label + 1)
    index_clusters(state, state.partition.clock[KNOWN])
    for cluster in range(clusters, state.partition.clock[CLUSTERS]):
        _begin_cluster(state, cluster)
    bias = -log64(np.float64(state.clock[LEARNED] + 1))
    for plane in range(state.clock[PLANES_EVER]):
        for bag in range(BAGS):
            state.regressions.bias[plane, label, bag] = bias


@kernel
def ihomer_rebuild(state: HierarchyState) -> None:
    """Let the trees of clusters that have changed or raised an alarm begin anew."""
    index_clusters(state, state.partition.clock[KNOWN])
    for cluster in range(state.partition.clock[CLUSTERS]):
        if state.partition.changed[cluster] or state.alarmed[cluster]:
            _begin_cluster(state, cluster)
        state.alarmed[cluster] = 0


class Hierarchy:
    """Holds, names and grows the parts of the published method.

    Parameters
    ----------
    partition
        Where the clusters come from: ``jaccard`` as published; ``whole``, ``singletons`` or ``random`` to compare.
    seed
        Of the bags, of the rows' weights and of random clusters, at least 0.
    tree_bytes
        Bytes of the trees' counters, a multiple of 4, at least 256. When they are used up, further columns are not
        watched and further leaves are not split; predictions go on.
    weight_bytes
        Bytes of the regressions' weights, at least 160 for every label.
    maximum
        The most labels that the model may come to know.
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
        self._divisive = Divisive(partition, seed=seed, maximum=maximum)
        self._adwin = Adwin(0)
        sizes = np.zeros(SIZE_FIELDS, np.int64)
        sizes[Size.WIDTH], sizes[Size.SLOTS], sizes[Size.PLANES] = LEAST_PLANE_WIDTH, 1, 1
        trees = TreesState(
            root=np.zeros(0, np.int32),
            nodes=np.zeros((0, NODES, NODE_FIELDS), np.int32),
            loss=np.zeros((0, NODES, 2)),
            leaves=np.zeros((0, LEAVES, LEAF_FIELDS)),
            leaf_node=np.zeros((0, LEAVES), np.int32),
            rows_plane=np.zeros((0, LEAVES), np.int32),
            positives=np.zeros((LEAVES, 0)),
            positive_plane=np.zeros((LEAVES, 0), np.int32),
            window=np.zeros((0, LEAVES, WINDOW), np.int64),
            pushed=np.zeros((0, LEAVES), np.int64),
            sizes=sizes,
            block=np.zeros(max(tree_bytes // 4, LEAST_PLANE_WIDTH), np.int32),
            slot_of=np.zeros((0, WATCHED_BINS), np.int32),
        )
        regressions = RegressionsState(
            np.zeros((LEAVES, 0, 0, BAGS), np.float32),
            np.zeros((LEAVES, 0, BAGS), np.float32),
            np.array([weight_bytes // (4 * LEAVES * BAGS)], np.int64),
        )
        clock = np.zeros(CLOCK, np.int64)
        clock[SEED], clock[PLANES_EVER] = seed, 1
        self.state = HierarchyState(
            self._divisive.state,
            trees,
            regressions,
            empty_rows(),
            self._adwin.state,
            np.zeros(1, np.int32),
            np.zeros(0, np.int32),
            np.zeros(0, np.uint8),
            clock,
        )
        self.scratch = HierarchyScratch(
            bins=np.zeros(0, np.uint8),
            dense=np.zeros(0, np.float32),
            slots=np.zeros(0, np.int32),
            distance=np.zeros(ROWS, np.float32),
            reached=np.zeros((0, LEAVES), np.int32),
            reaches=np.zeros(0, np.int32),
            plane_of=np.zeros((LEAVES, 0), np.int32),
            chosen=np.zeros((LEAVES, 0), np.uint8),
            probability=np.zeros((LEAVES, 0), np.float32),
            logits=np.zeros((LEAVES, 0, BAGS), np.float32),
            vote=np.zeros(0, np.float32),
            emitted=np.zeros(0, np.uint8),
            wrong=np.zeros(0, np.int64),
            right=np.zeros(0),
            recent=np.zeros(WINDOW, np.int64),
            nearest=np.zeros(NEIGHBOURS, np.int64),
            near=np.zeros(NEIGHBOURS, np.float32),
            draws=np.zeros(BAGS, np.float32),
            changes=np.zeros((0, 3), np.int64),
            change_losses=np.zeros((0, 2)),
            change_count=np.zeros(1, np.int64),
        )

    @property
    def cluster_of(self) -> np.ndarray:
        """int32[labels known], the cluster of each label."""
        return self._divisive.cluster_of

    @property
    def counts(self) -> dict[str, int]:
        """What has happened so far: leaves split, alternate subtrees begun, switched to and pruned, alarms."""
        clock = self.state.clock
        names = {
            "splits": SPLITS,
            "alternates": ALTERNATES,
            "switched": SWITCHED,
            "pruned": PRUNED,
            "alarms": ALARMS,
        }
        return {name: int(clock[place]) for name, place in names.items()}

    def grow(self, features: int, labels: int) -> None:
        """Make room for this many columns and labels; labels join by ``ihomer_begin_label``.

        ``labels`` are those known or about to join: they say which columns have room for weights.
        """
        state, scratch = self.state, self.scratch
        self._divisive.grow(labels)
        rooms = len(self._divisive.state.cluster_of)
        self._adwin.resize(max(rooms * (NODES + 1), self._adwin.detectors))
        trees = state.trees._replace(
            positives=grown(state.trees.positives, labels, axis=1),
            positive_plane=grown(state.trees.positive_plane, labels, axis=1),
            slot_of=grown(state.trees.slot_of, features),
            **{name: grown(getattr(state.trees, name), labels) for name in _PER_CLUSTER},
        )
        held = min(features, int(columns_held(state.regressions, labels)))
        weight = grown(grown(state.regressions.weight[:, : max(held, 1)], labels, axis=2), held, axis=1)
        self.state = state._replace(
            partition=self._divisive.state,
            trees=trees,
            regressions=state.regressions._replace(weight=weight, bias=grown(state.regressions.bias, labels, axis=1)),
            adwin=self._adwin.state,
            first_label=grown(state.first_label, labels + 1),
            label_at=grown(state.label_at, labels),
            alarmed=grown(state.alarmed, labels),
        )
        self.scratch = scratch._replace(
            **{name: grown(getattr(scratch, name), features) for name in ("bins", "dense", "slots")},
            **{
                name: grown(getattr(scratch, name), labels)
                for name in ("reached", "reaches", "vote", "emitted", "wrong", "right")
            },
            **{
                name: grown(getattr(scratch, name), labels, axis=1)
                for name in ("plane_of", "chosen", "probability", "logits")
            },
            **{name: grown(getattr(scratch, name), CHANGES_A_TREE * labels) for name in ("changes", "change_losses")},
        )

    def retire(self, label: int) -> None:
        """Empty a slot: nothing that was counted or learnt of its label stays, except its place in a cluster."""
        trees = self.state.trees
        self._divisive.retire(label)
        for leaf in range(LEAVES):
            give_plane(trees.sizes, trees.block, int(trees.positive_plane[leaf, label]))
        trees.positive_plane[:, label] = 0
        trees.positives[:, label] = 0.0
        self.state.regressions.weight[:, :, label] = 0.0
        self.state.regressions.bias[:, label] = 0.0
        rows_retire(self.state.rows, label)

    def restructure(self) -> tuple[list[ClusterAlarm], list[DivisiveEvent]]:
        """Test the clusters, and let the trees of those that changed or raised an alarm begin anew."""
        adwin = self.state.adwin
        alarms = []
        for cluster in np.flatnonzero(self.state.alarmed).tolist():
            detector = detector_of(cluster, NODES)
            before, after = float(adwin.before[detector]), float(adwin.after[detector])
            alarms.append(ClusterAlarm(cluster, before, after, int(adwin.since[detector])))
        events = self._divisive.run_test()
        ihomer_rebuild(self.state)
        return alarms, events

    def arrays(self, features: int, labels: int) -> dict[str, np.ndarray]:
        """Return the state of the columns and labels in use, by name."""
        state, trees = self.state, self.state.trees
        clusters = int(state.partition.clock[CLUSTERS])
        planes = int(state.clock[PLANES_EVER])
        held = min(features, int(columns_held(state.regressions, labels)))
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
                IhomerPart.PARTITION: self._divisive.arrays(labels),
                IhomerPart.DETECTORS: detectors,
                IhomerPart.ROW_WINDOW: dict(zip(ROW_WINDOW, state.rows, strict=True)),
                IhomerPart.TREES: of_trees,
            }
        )
        return arrays | {
            "weight": state.regressions.weight[:planes, :held, :labels],
            "bias": state.regressions.bias[:planes, :labels],
            "alarmed": state.alarmed[:clusters],
            "clock": state.clock,
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray], features: int, labels: int) -> None:
        """Take the state over.

        Raises
        ------
        SnapshotError
            If an array is missing, a shape differs or the counters do not fit.
        """
        try:
            self._load(arrays, features, labels)
        except KeyError as error:
            raise SnapshotError(f"paper: the array {error} is missing from the snapshot") from None

    def _load(self, arrays: Mapping[str, np.ndarray], features: int, labels: int) -> None:
        parts = {str(part): {} for part in IhomerPart} | parts_of(arrays)
        self.grow(features, labels)
        self._divisive.load_arrays(parts[IhomerPart.PARTITION], labels)
        self._adwin.load_arrays(parts[IhomerPart.DETECTORS])
        self._adwin.resize(len(self._divisive.state.cluster_of) * (NODES + 1))
        self.state = state = self.state._replace(partition=self._divisive.state, adwin=self._adwin.state)
        trees, given = state.trees, parts[IhomerPart.TREES]
        clusters = int(state.partition.clock[CLUSTERS])
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
                f"the trees' counters of the snapshot take {4 * used} bytes, this model has {trees.block.nbytes}: "
                "the snapshot belongs to other settings"
            )
        load_labels(trees.block, in_blocks(given, "block"), used)
        load_label_columns(trees.slot_of, given["slot_of"], features, WATCHED_BINS)
        load_whole(state.clock, arrays["clock"])
        planes = int(state.clock[PLANES_EVER])
        held = min(features, int(columns_held(state.regressions, labels)))
        load_whole(state.regressions.weight[:planes, :held, :labels], in_blocks(arrays, "weight"))
        load_whole(state.regressions.bias[:planes, :labels], arrays["bias"])
        load_whole(state.alarmed[:clusters], arrays["alarmed"])
        index_clusters(state, labels)

    @staticmethod
    def bytes_bound(features: int, labels: int, tree_bytes: int = TREE_BYTES, weight_bytes: int = WEIGHT_BYTES) -> int:
        """Return the largest size in bytes with that many columns and labels, and these bounds of two tables."""
        regressions = min(4 * LEAVES * BAGS * labels * features, weight_bytes) + 4 * LEAVES * BAGS * labels
        nodes = NODES * (4 * NODE_FIELDS + 16)
        leaves = LEAVES * (8 * LEAF_FIELDS + 8 + 8 * WINDOW + 8 + 12)
        rows = ROWS * (8 * ROW_FIELDS + 4) + 9 * ENTRIES + 4 * MEMBERS + 8 * CURSORS
        rest = Divisive.bytes_bound(labels) + Adwin.bytes_bound(labels * (NODES + 1)) + 8 * (CLOCK + SIZE_FIELDS)
        return tree_bytes + 4 * WATCHED_BINS * features + regressions + labels * (nodes + leaves + 5) + rows + rest
