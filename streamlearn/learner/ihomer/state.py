"""The state of the published method: its parts, and the memory that a row needs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.drift.adwin import AdwinState
from streamlearn.learner.ihomer.divisive_nodes import CLUSTERS, DivisiveState
from streamlearn.learner.ihomer.regressions import RegressionsState
from streamlearn.learner.ihomer.row_window import RowsState
from streamlearn.learner.ihomer.trees import TreesState, Whole

LEARNED, SPLITS, ALTERNATES, SWITCHED, PRUNED, ALARMS, PLANES_EVER, SEED, CLOCK = range(9)
"""Places in ``clock``: complete rows learnt; leaves split; alternate subtrees begun, switched to, pruned; alarms of
clusters; the most leaves that any tree ever had; the seed; and their number."""


BEGUN, TAKEN_OVER, DROPPED = range(3)
"""Kinds of ``changes``: an alternate subtree was begun, took its branch's place, was dropped."""

CHANGES_A_TREE = 8
"""More than a row can do to one tree: each of at most three branches on its way begins, or compares, an alternate."""


class HierarchyState(NamedTuple):
    """The parts, and ``first_label`` int32[clusters + 1] and ``label_at`` int32[labels], the labels cluster by cluster;
    ``alarmed`` uint8[clusters], 1 for a cluster whose loss has grown; ``clock`` int64[CLOCK].
    """

    partition: DivisiveState
    trees: TreesState
    regressions: RegressionsState
    rows: RowsState
    adwin: AdwinState
    first_label: np.ndarray
    label_at: np.ndarray
    alarmed: np.ndarray
    clock: np.ndarray


class HierarchyScratch(NamedTuple):
    """Memory of one row.

    ``bins`` uint8 and ``dense`` float32 [columns], all 0 between calls; ``slots`` int32[columns]; ``distance``
    float32[rows kept]; ``reached`` int32[clusters, LEAVES] and ``reaches`` int32[clusters], the leaf nodes of the row
    predicted last; per place among them ``plane_of`` int32 and ``chosen`` uint8 [LEAVES, labels], ``probability``
    float32[LEAVES, labels] and ``logits`` float32[LEAVES, labels, BAGS]; ``vote`` float32[labels]; ``emitted``
    uint8[labels], what was predicted; ``wrong`` int64[clusters]; ``right`` float64[labels]; ``recent`` int64[WINDOW];
    ``nearest`` int64 and ``near`` float32 [NEIGHBOURS]; ``draws`` float32[BAGS]; ``changes``
    int64[CHANGES_A_TREE clusters, 3] (kind, cluster, rows), ``change_losses`` float64[the same, 2] (before, after) and
    ``change_count`` int64[1]: what the row did to trees.
    """

    bins: np.ndarray
    dense: np.ndarray
    slots: np.ndarray
    distance: np.ndarray
    reached: np.ndarray
    reaches: np.ndarray
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
    near: np.ndarray
    draws: np.ndarray
    changes: np.ndarray
    change_losses: np.ndarray
    change_count: np.ndarray


@kernel
def note_change(
    scratch: HierarchyScratch, kind: int, cluster: int | np.int64, rows: float | np.int64, before: float, after: float
) -> None:
    """Remember that the row has changed a tree."""
    place = scratch.change_count[0]
    scratch.changes[place, 0] = kind
    scratch.changes[place, 1] = cluster
    scratch.changes[place, 2] = rows
    scratch.change_losses[place, 0] = before
    scratch.change_losses[place, 1] = after
    scratch.change_count[0] = place + 1


@kernel
def index_clusters(state: HierarchyState, labels: int) -> None:
    """List the labels cluster by cluster, ascending in each."""
    clusters = state.partition.clock[CLUSTERS]
    place = 0
    for cluster in range(clusters):
        state.first_label[cluster] = place
        for label in range(labels):
            if state.partition.cluster_of[label] == cluster:
                state.label_at[place] = label
                place += 1
    state.first_label[clusters] = place


@kernel
def is_pure(trees: TreesState, leaf: Whole, labels: np.ndarray, weight: float) -> bool:
    """Return whether all rows of a leaf had the same label set."""
    for place in range(labels.size):
        on = trees.positives[leaf, labels[place]]
        if 0.0 < on < weight:
            return False
    return weight > 0.0
