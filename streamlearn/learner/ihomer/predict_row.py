"""How the published method predicts a row: every cluster's tree for its own labels.

A cluster's prediction is that of its leaf, or the vote of the leaf and of those in alternate subtrees with weight above
ALTERNATE_WEIGHT, each weighted by 1 / (mean Hamming loss)^2. A leaf of one label set predicts it; one with weight below
SWITCH_WEIGHT or an entropy below SWITCH_ENTROPY asks the low-complexity learner, any other the high-complexity one.

Source: A. Esteban, A. Cano, A. Zafra and S. Ventura, "Hoeffding adaptive trees for multi-label classification on data
streams", Knowledge-Based Systems 2024; its parameters are those of the published experiments.
"""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.ihomer.combinations import combination_vote
from streamlearn.learner.ihomer.divisive_nodes import CLUSTERS
from streamlearn.learner.ihomer.regressions import regressions_predict_row
from streamlearn.learner.ihomer.row_window import FIRST, NEXT, rows_distance
from streamlearn.learner.ihomer.row_window import ROWS as KEPT
from streamlearn.learner.ihomer.split_test import bernoulli_entropy
from streamlearn.learner.ihomer.state import HierarchyScratch, HierarchyState, is_pure
from streamlearn.learner.ihomer.trees import LEAF, LOSS, ROWS, WEIGHT, Whole, find_leaves
from streamlearn.numerics.exp_log import log32

SWITCH_WEIGHT = 750.0
SWITCH_ENTROPY = 0.3
ALTERNATE_WEIGHT = 200.0
LEAST_LOSS = 1e-3
_ONE = np.float32(1.0)
_LEAST = np.float32(1e-4)
_MOST = np.float32(1.0 - 1e-4)


@kernel
def _predict_leaf(state: HierarchyState, scratch: HierarchyScratch, cluster: Whole, place: int) -> None:
    """Write what one reached leaf chooses; its regressions have written their probabilities."""
    trees = state.trees
    leaf = np.int64(trees.nodes[cluster, scratch.reached[cluster, place], LEAF])
    labels = state.label_at[state.first_label[cluster] : state.first_label[cluster + 1]]
    weight = trees.leaves[cluster, leaf, WEIGHT]
    chosen = scratch.chosen[place]
    probability = scratch.probability[place]
    if is_pure(trees, leaf, labels, weight):
        for at in range(labels.size):
            chosen[labels[at]] = 1 if trees.positives[leaf, labels[at]] > 0.0 else 0
            probability[labels[at]] = np.float32(chosen[labels[at]])
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
            scratch.near,
            probability,
            chosen,
        )
        if voters > 0:
            return
    for at in range(labels.size):
        chosen[labels[at]] = 1 if probability[labels[at]] > 0.5 else 0


@kernel
def _measure_rows(state: HierarchyState, scratch: HierarchyScratch, columns: np.ndarray, values: np.ndarray) -> None:
    """Write the distances of all rows kept."""
    square = np.float32(0.0)
    for entry in range(columns.size):
        scratch.dense[columns[entry]] = values[entry]
        square += values[entry] * values[entry]
    for number in range(state.rows.cursor[FIRST], state.rows.cursor[NEXT]):
        scratch.distance[number % KEPT] = rows_distance(state.rows, number, scratch.dense, square)
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
    labels: as of the row.
    out_logits: float32[labels], written: logits of the probabilities.
    chosen: uint8[labels], written: 1 for a label that the row should carry.
    """
    trees = state.trees
    clusters = state.partition.clock[CLUSTERS]
    for entry in range(columns.size):
        scratch.bins[columns[entry]] = bins[entry]
    places = 1
    for cluster in range(clusters):
        scratch.reaches[cluster] = find_leaves(trees, scratch.bins, cluster, scratch.reached[cluster])
        places = max(places, np.int64(scratch.reaches[cluster]))
    for entry in range(columns.size):
        scratch.bins[columns[entry]] = 0
    _measure_rows(state, scratch, columns, values)
    for place in range(places):
        for label in range(labels):
            cluster = np.int64(state.partition.cluster_of[label])
            reached = np.int64(scratch.reached[cluster, place])
            scratch.plane_of[place, label] = (
                trees.nodes[cluster, reached, LEAF] if place < scratch.reaches[cluster] else -1
            )
        regressions_predict_row(
            state.regressions,
            columns,
            values,
            scratch.plane_of[place],
            labels,
            scratch.logits[place],
            scratch.probability[place],
        )
    for cluster in range(clusters):
        members = state.label_at[state.first_label[cluster] : state.first_label[cluster + 1]]
        for at in range(members.size):
            scratch.vote[members[at]] = 0.0
            out_logits[members[at]] = 0.0
        total = np.float32(0.0)
        for place in range(scratch.reaches[cluster]):
            _predict_leaf(state, scratch, cluster, place)
            node = np.int64(scratch.reached[cluster, place])
            leaf = np.int64(trees.nodes[cluster, node, LEAF])
            if place > 0 and trees.leaves[cluster, leaf, WEIGHT] <= ALTERNATE_WEIGHT:
                continue
            rows = trees.loss[cluster, node, ROWS]
            loss = max(trees.loss[cluster, node, LOSS] / max(rows, 1.0), LEAST_LOSS)
            weight = np.float32(1.0 / (loss * loss))
            total += weight
            for at in range(members.size):
                label = members[at]
                scratch.vote[label] += weight * np.float32(scratch.chosen[place, label])
                out_logits[label] += weight * scratch.probability[place, label]
        for at in range(members.size):
            label = members[at]
            half = scratch.vote[label] / total
            chosen[label] = 1 if half > 0.5 or (half == 0.5 and scratch.chosen[0, label]) else 0
            p = np.float32(min(max(out_logits[label] / total, _LEAST), _MOST))
            scratch.emitted[label] = chosen[label]
            out_logits[label] = log32(p) - log32(_ONE - p)
