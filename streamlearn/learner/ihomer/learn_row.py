"""How the published method learns a row: the leaves that it reached, the losses above them, splits and drift.

Local drift: every branch has a detector of its Hamming loss; when the loss has grown, an alternate subtree begins, and
is switched to or pruned once its mean loss differs from the branch's by more than
sqrt(2 e (1 - e) ln(2 / SIGNIFICANCE) (1 / n0 + 1 / n1)). Global drift: every cluster has a detector of wrong label
sets; `learner` acts on its alarm.

Source: A. Esteban, A. Cano, A. Zafra and S. Ventura, "Hoeffding adaptive trees for multi-label classification on data
streams", Knowledge-Based Systems 2024; its parameters are those of the published experiments.
"""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.drift.adwin import adwin_update
from streamlearn.learner.experts.tree_counters import Size, row_slots, take_plane
from streamlearn.learner.ihomer.divisive import divisive_due, divisive_learn_row
from streamlearn.learner.ihomer.divisive_nodes import CLUSTERS
from streamlearn.learner.ihomer.predict_row import ALTERNATE_WEIGHT
from streamlearn.learner.ihomer.regressions import BAGS, regressions_learn_row
from streamlearn.learner.ihomer.row_window import rows_push
from streamlearn.learner.ihomer.split_test import TIE, best_split, count_sets, split_bound
from streamlearn.learner.ihomer.state import (
    ALARMS,
    ALTERNATES,
    BEGUN,
    DROPPED,
    LEARNED,
    PLANES_EVER,
    PRUNED,
    SEED,
    SPLITS,
    SWITCHED,
    TAKEN_OVER,
    HierarchyScratch,
    HierarchyState,
    is_pure,
    note_change,
)
from streamlearn.learner.ihomer.trees import (
    ALTERNATE,
    BACKGROUND,
    LEAF,
    LEAVES,
    LOSS,
    NODES,
    PARENT,
    ROWS,
    TESTED,
    WEIGHT,
    Whole,
    begin_alternate,
    detector_of,
    free_leaf,
    prune_alternate,
    split_leaf,
    switch_alternate,
    unwatch_leaf,
    window_push,
)
from streamlearn.numerics.exp_log import log64
from streamlearn.numerics.random import draw_poisson

GRACE_WEIGHT = 200.0
SIGNIFICANCE = 0.05
MOST_WEIGHT = 2.0**30


@kernel
def _note_planes(state: HierarchyState, cluster: Whole) -> None:
    """Remember the most leaves that any tree ever had."""
    for leaf in range(LEAVES):
        if state.trees.leaf_node[cluster, leaf] >= 0:
            state.clock[PLANES_EVER] = max(state.clock[PLANES_EVER], leaf + 1)


@kernel
def _add_losses(
    state: HierarchyState, scratch: HierarchyScratch, cluster: Whole, node: Whole, loss: float, weight: float
) -> None:
    """Tell a leaf and the branches above it what it lost; a branch whose loss has grown begins an alternate subtree."""
    trees = state.trees
    background = trees.nodes[cluster, node, BACKGROUND]
    at = np.int64(node)
    while at >= 0 and trees.nodes[cluster, at, BACKGROUND] == background:
        trees.loss[cluster, at, LOSS] += weight * loss
        trees.loss[cluster, at, ROWS] += weight
        if trees.nodes[cluster, at, LEAF] < 0 and not background:
            detector = detector_of(cluster, at)
            if adwin_update(state.adwin, detector, loss):
                if state.adwin.after[detector] < state.adwin.before[detector]:
                    trees.loss[cluster, at, LOSS] = 0.0
                    trees.loss[cluster, at, ROWS] = 0.0
                elif trees.nodes[cluster, at, ALTERNATE] < 0 and begin_alternate(
                    trees,
                    state.regressions,
                    cluster,
                    at,
                    state.label_at[state.first_label[cluster] : state.first_label[cluster + 1]],
                ):
                    state.clock[ALTERNATES] += 1
                    adwin = state.adwin
                    rows = np.float64(adwin.since[detector])
                    note_change(scratch, BEGUN, cluster, rows, adwin.before[detector], adwin.after[detector])
                    _note_planes(state, cluster)
        at = np.int64(trees.nodes[cluster, at, PARENT])


@kernel
def _compare_alternates(state: HierarchyState, scratch: HierarchyScratch, cluster: Whole, leaf_node: Whole) -> None:
    """Let alternate subtrees above a leaf that are better take their branch's place, and drop those that are worse."""
    trees = state.trees
    labels = state.label_at[state.first_label[cluster] : state.first_label[cluster + 1]]
    at = np.int64(leaf_node)
    while at >= 0:
        alternate = np.int64(trees.nodes[cluster, at, ALTERNATE])
        above = np.int64(trees.nodes[cluster, at, PARENT])
        if alternate >= 0:
            rows, others = trees.loss[cluster, at, ROWS], trees.loss[cluster, alternate, ROWS]
            if min(rows, others) > ALTERNATE_WEIGHT:
                old = trees.loss[cluster, at, LOSS] / rows
                new = trees.loss[cluster, alternate, LOSS] / others
                spread = 2.0 * old * (1.0 - old) * log64(2.0 / SIGNIFICANCE)
                bound = np.sqrt(spread * (1.0 / rows + 1.0 / others))
                if old - new > bound:
                    switch_alternate(trees, cluster, at, labels)
                    state.clock[SWITCHED] += 1
                    note_change(scratch, TAKEN_OVER, cluster, others, old, new)
                elif new - old > bound:
                    prune_alternate(trees, cluster, at, labels)
                    state.clock[PRUNED] += 1
                    note_change(scratch, DROPPED, cluster, others, old, new)
        at = above


@kernel
def _test_leaf(state: HierarchyState, scratch: HierarchyScratch, cluster: Whole, node: Whole) -> None:
    """Split a leaf if Hoeffding's bound allows it."""
    trees = state.trees
    leaf = np.int64(trees.nodes[cluster, node, LEAF])
    labels = state.label_at[state.first_label[cluster] : state.first_label[cluster + 1]]
    weight = trees.leaves[cluster, leaf, WEIGHT]
    trees.leaves[cluster, leaf, TESTED] = weight
    if is_pure(trees, leaf, labels, weight) or free_leaf(trees, cluster) < 0:
        return
    found = best_split(
        trees.sizes,
        trees.block,
        trees.slot_of,
        np.int64(trees.rows_plane[cluster, leaf]),
        trees.positive_plane[leaf],
        trees.positives[leaf],
        labels,
        weight,
        scratch.right,
    )
    window = trees.window[cluster, leaf]
    sets = count_sets(state.rows, window, state.partition.cluster_of, cluster, scratch.recent)
    bound = split_bound(sets, weight)
    if found.column >= 0 and (found.gain - found.second > bound or bound < TIE):
        split_leaf(
            trees,
            state.regressions,
            state.adwin,
            state.rows,
            scratch.recent,
            cluster,
            node,
            found.column,
            found.edge,
            labels,
        )
        state.clock[SPLITS] += 1
        _note_planes(state, cluster)


@kernel
def _count_row(state: HierarchyState, cluster: Whole, leaf: Whole, slots: np.ndarray, count: int, weight: int) -> None:
    """Count a row in a leaf that is watched."""
    trees = state.trees
    first = np.int64(trees.rows_plane[cluster, leaf]) * trees.sizes[Size.WIDTH]
    for entry in range(count):
        trees.block[first + slots[entry]] += weight


@kernel
def _count_positive(
    state: HierarchyState, cluster: Whole, leaf: Whole, label: Whole, slots: np.ndarray, count: int, weight: int
) -> None:
    """Count a row with a label in a leaf; without room for its counters the leaf is not watched any more."""
    trees = state.trees
    trees.positives[leaf, label] += weight
    if trees.rows_plane[cluster, leaf] == 0:
        return
    if trees.positive_plane[leaf, label] == 0:
        plane = take_plane(trees.sizes, trees.block)
        if plane == 0:
            unwatch_leaf(
                trees, cluster, leaf, state.label_at[state.first_label[cluster] : state.first_label[cluster + 1]]
            )
            return
        trees.positive_plane[leaf, label] = plane
    first = np.int64(trees.positive_plane[leaf, label]) * trees.sizes[Size.WIDTH]
    for entry in range(count):
        trees.block[first + slots[entry]] += weight


@kernel
def _learn_leaf(state: HierarchyState, scratch: HierarchyScratch, cluster: Whole, node: Whole) -> None:
    """Test a leaf that has learnt a row, when it is time; it is not watched for ever."""
    trees = state.trees
    leaf = np.int64(trees.nodes[cluster, node, LEAF])
    if trees.rows_plane[cluster, leaf] == 0:
        return
    if trees.leaves[cluster, leaf, WEIGHT] >= MOST_WEIGHT:
        unwatch_leaf(trees, cluster, leaf, state.label_at[state.first_label[cluster] : state.first_label[cluster + 1]])
    elif trees.leaves[cluster, leaf, WEIGHT] - trees.leaves[cluster, leaf, TESTED] >= GRACE_WEIGHT:
        _test_leaf(state, scratch, cluster, node)


@kernel
def _watch_clusters(state: HierarchyState, scratch: HierarchyScratch, truth: np.ndarray, labels: int) -> int:
    """Give each cluster's detector 1 if its label set was wrong, else 0; return the number of alarms that say worse."""
    clusters = state.partition.clock[CLUSTERS]
    for cluster in range(clusters):
        scratch.wrong[cluster] = 0
    for label in range(labels):
        if scratch.emitted[label] != truth[label]:
            scratch.wrong[state.partition.cluster_of[label]] = 1
    alarms = 0
    for cluster in range(clusters):
        detector = detector_of(cluster, NODES)
        changed = adwin_update(state.adwin, detector, np.float64(scratch.wrong[cluster]))
        if changed and state.adwin.after[detector] > state.adwin.before[detector]:
            state.alarmed[cluster] = 1
            alarms += 1
    state.clock[ALARMS] += alarms
    return alarms


@kernel
def ihomer_learn_row(
    state: HierarchyState,
    scratch: HierarchyScratch,
    columns: np.ndarray,
    values: np.ndarray,
    bins: np.ndarray,
    truth: np.ndarray,
    members: np.ndarray,
    complete: bool,
    labels: int,
) -> int:
    """Learn the row that `ihomer_predict_row` was called with last.

    A row whose truth is not complete teaches the regressions of its known labels, and nothing else.

    Parameters
    ----------
    columns, values, bins, labels: as there; truth: int8[labels], 1, 0 or -1 (unknown); members: int32, the labels that
    are on, ascending; complete: whether the truth says all labels.

    Returns
    -------
    How many clusters have raised an alarm: see `ihomer_due`.
    """
    trees = state.trees
    clusters = state.partition.clock[CLUSTERS]
    scratch.change_count[0] = 0
    row = state.clock[LEARNED]
    for bag in range(BAGS):
        scratch.draws[bag] = np.float32(draw_poisson(state.clock[SEED], row, bag))
    places = 0
    for cluster in range(clusters):
        places = max(places, np.int64(scratch.reaches[cluster]))
    for place in range(places):
        regressions_learn_row(
            state.regressions,
            columns,
            values,
            scratch.plane_of[place],
            truth,
            labels,
            scratch.draws,
            scratch.logits[place],
        )
    if not complete:
        return 0
    state.clock[LEARNED] += 1
    weight = max(1, draw_poisson(state.clock[SEED], row, BAGS))
    count = row_slots(trees.sizes, trees.block, trees.slot_of, columns, bins, scratch.slots)
    number = rows_push(state.rows, columns, values, bins, members)
    for place in range(places):
        for cluster in range(clusters):
            if place < scratch.reaches[cluster]:
                leaf = np.int64(trees.nodes[cluster, scratch.reached[cluster, place], LEAF])
                trees.leaves[cluster, leaf, WEIGHT] += weight
                if trees.rows_plane[cluster, leaf] > 0:
                    _count_row(state, cluster, leaf, scratch.slots, count, weight)
                if number >= 0:
                    window_push(trees, cluster, leaf, number)
        for at in range(members.size):
            label = np.int64(members[at])
            leaf = np.int64(scratch.plane_of[place, label])
            if leaf >= 0:
                cluster = np.int64(state.partition.cluster_of[label])
                _count_positive(state, cluster, leaf, label, scratch.slots, count, weight)
        for cluster in range(clusters):
            scratch.wrong[cluster] = 0
        for label in range(labels):
            if scratch.plane_of[place, label] >= 0:
                cluster = np.int64(state.partition.cluster_of[label])
                scratch.wrong[cluster] += 1 if scratch.chosen[place, label] != truth[label] else 0
        for cluster in range(clusters):
            if place < scratch.reaches[cluster]:
                size = state.first_label[cluster + 1] - state.first_label[cluster]
                loss = np.float64(scratch.wrong[cluster]) / np.float64(max(size, 1))
                _add_losses(
                    state, scratch, cluster, np.int64(scratch.reached[cluster, place]), loss, np.float64(weight)
                )
    for cluster in range(clusters):
        for place in range(scratch.reaches[cluster]):
            _learn_leaf(state, scratch, cluster, np.int64(scratch.reached[cluster, place]))
        _compare_alternates(state, scratch, cluster, np.int64(scratch.reached[cluster, 0]))
    divisive_learn_row(state.partition, members)
    return _watch_clusters(state, scratch, truth, labels)


@kernel
def ihomer_due(state: HierarchyState) -> bool:
    """Return whether ``Hierarchy.restructure`` must run before the next row: a period has ended, or an alarm."""
    is_due = divisive_due(state.partition)
    for cluster in range(state.partition.clock[CLUSTERS]):
        is_due = is_due or state.alarmed[cluster] > 0
    return bool(is_due)
