"""The state of iHOMER: its parts, what it counts, and the scratch memory of one row."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.drift.adwin import AdwinState
from streamlearn.learner.ihomer.combinations import NEIGHBOURS
from streamlearn.learner.ihomer.divisive_nodes import ClusterCounter, DivisiveState
from streamlearn.learner.ihomer.regressions import BAGS, RegressionsState
from streamlearn.learner.ihomer.row_window import ROW_CAPACITY, RowWindowState
from streamlearn.learner.ihomer.trees import LEAF_WINDOW, LEAVES, Integer, TreesState


class Counter(IntEnum):
    """Fields of `HierarchyState.counters`."""

    LEARNED = 0  # complete rows learnt
    SPLITS = 1  # leaves split
    ALTERNATES = 2  # alternate subtrees begun
    SWITCHED = 3  # alternate subtrees that replaced their branch
    PRUNED = 4  # alternate subtrees that were dropped
    ALARMS = 5  # alarms of clusters
    PLANES = 6  # planes of regressions in use: the most leaves that any tree ever had
    SEED = 7  # seed of the bags and of the rows' weights; never changes


COUNTERS = len(Counter)


class ChangeKind(IntEnum):
    """What a row did to the alternate subtree of a branch: values of `Change.KIND`."""

    BEGUN = 0
    SWITCHED = 1  # the subtree replaced its branch
    PRUNED = 2  # the subtree was dropped


class Change(IntEnum):
    """Fields of a row of `HierarchyScratch.changes`."""

    KIND = 0  # a ChangeKind
    CLUSTER = 1  # cluster of the tree
    ROWS = 2  # rows that the two losses were measured on


class ChangeLoss(IntEnum):
    """Fields of a row of `HierarchyScratch.change_losses`."""

    BEFORE = 0
    AFTER = 1


CHANGES_PER_TREE = 8
"""More than a row can do to one tree: each of at most three branches on its path begins, or compares, an alternate."""


class HierarchyState(NamedTuple):
    """The parts, and which labels each cluster has.

    Attributes
    ----------
    partition, trees, regressions, rows, adwin
        The clusters, their trees, the regressions of the leaves, the last rows, and the detectors.
    cluster_starts
        int32[clusters + 1], where the labels of each cluster start in ``cluster_labels``.
    cluster_labels
        int32[labels], the labels cluster by cluster.
    alarmed
        uint8[clusters], 1 for a cluster whose loss has grown.
    counters
        int64[COUNTERS].
    """

    partition: DivisiveState
    trees: TreesState
    regressions: RegressionsState
    rows: RowWindowState
    adwin: AdwinState
    cluster_starts: np.ndarray
    cluster_labels: np.ndarray
    alarmed: np.ndarray
    counters: np.ndarray


class HierarchyScratch(NamedTuple):
    """Scratch memory of one row.

    A row has one *path* per tree, 0, and one per alternate subtree that hangs on that path, from 1 on.

    Attributes
    ----------
    bins, dense
        uint8 and float32 [columns], all 0 between calls.
    slots
        int32[columns], counter slots of the row.
    distance
        float32[ROW_CAPACITY], distances of the kept rows from the row.
    reached, path_count
        int32[clusters, LEAVES] and int32[clusters], leaf nodes at the ends of the paths of the row predicted last.
    plane_of, chosen
        int32 and uint8 [LEAVES, labels], per path.
    probability, logits
        float32[LEAVES, labels] and float32[LEAVES, labels, BAGS], per path.
    vote
        float32[labels].
    emitted
        uint8[labels], what was predicted.
    wrong
        int64[clusters].
    right
        float64[labels], positives to the right of a split.
    recent
        int64[LEAF_WINDOW], numbers of rows.
    nearest, nearest_distance
        int64 and float32 [NEIGHBOURS].
    draws
        float32[BAGS], the bags' Poisson numbers.
    changes, change_losses, change_count
        int64[CHANGES_PER_TREE clusters, 3], float64[the same, 2] and int64[1], what the row did to trees.
    """

    bins: np.ndarray
    dense: np.ndarray
    slots: np.ndarray
    distance: np.ndarray
    reached: np.ndarray
    path_count: np.ndarray
    plane_of: np.ndarray
    chosen: np.ndarray
    probability: np.ndarray
    logits: np.ndarray
    vote: np.ndarray
    emitted: np.ndarray
    wrong: np.ndarray
    right: np.ndarray
    recent: np.ndarray
    nearest: np.ndarray
    nearest_distance: np.ndarray
    draws: np.ndarray
    changes: np.ndarray
    change_losses: np.ndarray
    change_count: np.ndarray


def empty_scratch() -> HierarchyScratch:
    """Return the scratch memory for no columns and no labels."""
    return HierarchyScratch(
        bins=np.zeros(0, np.uint8),
        dense=np.zeros(0, np.float32),
        slots=np.zeros(0, np.int32),
        distance=np.zeros(ROW_CAPACITY, np.float32),
        reached=np.zeros((0, LEAVES), np.int32),
        path_count=np.zeros(0, np.int32),
        plane_of=np.zeros((LEAVES, 0), np.int32),
        chosen=np.zeros((LEAVES, 0), np.uint8),
        probability=np.zeros((LEAVES, 0), np.float32),
        logits=np.zeros((LEAVES, 0, BAGS), np.float32),
        vote=np.zeros(0, np.float32),
        emitted=np.zeros(0, np.uint8),
        wrong=np.zeros(0, np.int64),
        right=np.zeros(0),
        recent=np.zeros(LEAF_WINDOW, np.int64),
        nearest=np.zeros(NEIGHBOURS, np.int64),
        nearest_distance=np.zeros(NEIGHBOURS, np.float32),
        draws=np.zeros(BAGS, np.float32),
        changes=np.zeros((0, len(Change)), np.int64),
        change_losses=np.zeros((0, len(ChangeLoss))),
        change_count=np.zeros(1, np.int64),
    )


@kernel
def record_change(
    scratch: HierarchyScratch, kind: int, cluster: Integer, rows: float | np.int64, before: float, after: float
) -> None:
    """Record what the row did to the tree of a cluster; ``kind`` is a `ChangeKind`."""
    index = scratch.change_count[0]
    scratch.changes[index, Change.KIND] = kind
    scratch.changes[index, Change.CLUSTER] = cluster
    scratch.changes[index, Change.ROWS] = rows
    scratch.change_losses[index, ChangeLoss.BEFORE] = before
    scratch.change_losses[index, ChangeLoss.AFTER] = after
    scratch.change_count[0] = index + 1


@kernel
def index_clusters(state: HierarchyState, labels: int) -> None:
    """List the labels cluster by cluster, ascending in each."""
    clusters = state.partition.counters[ClusterCounter.CLUSTERS]
    position = 0
    for cluster in range(clusters):
        state.cluster_starts[cluster] = position
        for label in range(labels):
            if state.partition.cluster_of[label] == cluster:
                state.cluster_labels[position] = label
                position += 1
    state.cluster_starts[clusters] = position


@kernel
def is_pure(trees: TreesState, leaf: Integer, labels: np.ndarray, weight: float) -> bool:
    """Return whether all rows of a leaf had the same label set."""
    for i in range(labels.size):
        on = trees.positives[leaf, labels[i]]
        if 0.0 < on < weight:
            return False
    return weight > 0.0
