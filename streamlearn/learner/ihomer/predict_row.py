"""Prediction of a row by iHOMER: every cluster's tree predicts its own labels.

A cluster's prediction is that of its leaf, or the vote of the leaf and of those in alternate subtrees with weight above
ALTERNATE_WEIGHT, each weighted by 1 / (mean Hamming loss)^2. A leaf whose rows all have one label set predicts it. A
leaf with weight below SWITCH_WEIGHT or an entropy below SWITCH_ENTROPY uses the low-complexity learner
(`combinations`), any other the high-complexity one (`regressions`).

Source: A. Esteban, A. Cano, A. Zafra and S. Ventura, "Hoeffding adaptive trees for multi-label classification on data
streams", Knowledge-Based Systems 2024; its parameters are those of the published experiments.
"""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.ihomer.combinations import combination_vote
from streamlearn.learner.ihomer.divisive_nodes import ClusterCounter
from streamlearn.learner.ihomer.regressions import regressions_predict_row
from streamlearn.learner.ihomer.row_window import ROW_CAPACITY, Cursor, distance_to_row
from streamlearn.learner.ihomer.split_test import bernoulli_entropy
from streamlearn.learner.ihomer.state import HierarchyScratch, HierarchyState, is_pure
from streamlearn.learner.ihomer.trees import Integer, Leaf, NodeLoss, TreeNode, find_leaves
from streamlearn.numerics.exp_log import log32

SWITCH_WEIGHT = 750.0
SWITCH_ENTROPY = 0.3
"""In bits."""

ALTERNATE_WEIGHT = 200.0
MIN_LOSS = 1e-3
"""Smaller losses count as this one, which bounds the weight of a vote."""

_ONE = np.float32(1.0)
_LOWEST = np.float32(1e-4)
_HIGHEST = np.float32(1.0 - 1e-4)


@kernel
def _predict_leaf(state: HierarchyState, scratch: HierarchyScratch, cluster: Integer, path: int) -> None:
    """Write what the leaf of one path predicts; its regressions have written their probabilities."""
    trees = state.trees
    leaf = np.int64(trees.nodes[cluster, scratch.reached[cluster, path], TreeNode.LEAF])
    labels = state.cluster_labels[state.cluster_starts[cluster] : state.cluster_starts[cluster + 1]]
    weight = trees.leaves[cluster, leaf, Leaf.WEIGHT]
    chosen = scratch.chosen[path]
    probability = scratch.probability[path]
    if is_pure(trees, leaf, labels, weight):
        for i in range(labels.size):
            chosen[labels[i]] = 1 if trees.positives[leaf, labels[i]] > 0.0 else 0
            probability[labels[i]] = np.float32(chosen[labels[i]])
        return
    if weight < SWITCH_WEIGHT or bernoulli_entropy(trees.positives[leaf], labels, weight) < SWITCH_ENTROPY:
        voters = combination_vote(
            state.rows,
            scratch.distance,
            trees.window[cluster, leaf],
            state.partition.cluster_of,
            cluster,
            labels,
            scratch.nearest,
            scratch.nearest_distance,
            probability,
            chosen,
        )
        if voters > 0:
            return
    for i in range(labels.size):
        chosen[labels[i]] = 1 if probability[labels[i]] > 0.5 else 0


@kernel
def _measure_distances(
    state: HierarchyState, scratch: HierarchyScratch, columns: np.ndarray, values: np.ndarray
) -> None:
    """Write the distances between the instance and all kept rows."""
    square = np.float32(0.0)
    for entry in range(columns.size):
        scratch.dense[columns[entry]] = values[entry]
        square += values[entry] * values[entry]
    for number in range(state.rows.cursor[Cursor.FIRST], state.rows.cursor[Cursor.NEXT]):
        scratch.distance[number % ROW_CAPACITY] = distance_to_row(state.rows, number, scratch.dense, square)
    for entry in range(columns.size):
        scratch.dense[columns[entry]] = 0.0


@kernel
def ihomer_predict_row(
    state: HierarchyState,
    scratch: HierarchyScratch,
    columns: np.ndarray,
    values: np.ndarray,
    bins: np.ndarray,
    labels: int,
    out_logits: np.ndarray,
    chosen: np.ndarray,
) -> None:
    """Predict one row.

    Parameters
    ----------
    columns, values, bins: int32, float32 and uint8, one instance's entries by ascending column.
    labels: number of labels.
    out_logits: float32[labels], written: logits of the probabilities.
    chosen: uint8[labels], written: 1 for a label that is predicted.
    """
    trees = state.trees
    clusters = state.partition.counters[ClusterCounter.CLUSTERS]
    for entry in range(columns.size):
        scratch.bins[columns[entry]] = bins[entry]
    paths = 1
    for cluster in range(clusters):
        scratch.path_count[cluster] = find_leaves(trees, scratch.bins, cluster, scratch.reached[cluster])
        paths = max(paths, np.int64(scratch.path_count[cluster]))
    for entry in range(columns.size):
        scratch.bins[columns[entry]] = 0
    _measure_distances(state, scratch, columns, values)
    for path in range(paths):
        for label in range(labels):
            cluster = np.int64(state.partition.cluster_of[label])
            reached = np.int64(scratch.reached[cluster, path])
            scratch.plane_of[path, label] = (
                trees.nodes[cluster, reached, TreeNode.LEAF] if path < scratch.path_count[cluster] else -1
            )
        regressions_predict_row(
            state.regressions,
            columns,
            values,
            scratch.plane_of[path],
            labels,
            scratch.logits[path],
            scratch.probability[path],
        )
    for cluster in range(clusters):
        members = state.cluster_labels[state.cluster_starts[cluster] : state.cluster_starts[cluster + 1]]
        for i in range(members.size):
            scratch.vote[members[i]] = 0.0
            out_logits[members[i]] = 0.0
        total = np.float32(0.0)
        for path in range(scratch.path_count[cluster]):
            _predict_leaf(state, scratch, cluster, path)
            node = np.int64(scratch.reached[cluster, path])
            leaf = np.int64(trees.nodes[cluster, node, TreeNode.LEAF])
            if path > 0 and trees.leaves[cluster, leaf, Leaf.WEIGHT] <= ALTERNATE_WEIGHT:
                continue
            rows = trees.loss[cluster, node, NodeLoss.WEIGHT]
            loss = max(trees.loss[cluster, node, NodeLoss.SUM] / max(rows, 1.0), MIN_LOSS)
            weight = np.float32(1.0 / (loss * loss))
            total += weight
            for i in range(members.size):
                label = members[i]
                scratch.vote[label] += weight * np.float32(scratch.chosen[path, label])
                out_logits[label] += weight * scratch.probability[path, label]
        for i in range(members.size):
            label = members[i]
            share = scratch.vote[label] / total
            chosen[label] = 1 if share > 0.5 or (share == 0.5 and scratch.chosen[0, label]) else 0
            p = np.float32(min(max(out_logits[label] / total, _LOWEST), _HIGHEST))
            scratch.emitted[label] = chosen[label]
            out_logits[label] = log32(p) - log32(_ONE - p)
