"""Learning of a row by iHOMER: the leaves that it reached, the losses of the nodes above them, splits and drift.

Local drift: every branch has a detector of its Hamming loss. When the loss has grown, an alternate subtree begins; it
replaces the branch or is pruned once its mean loss differs from the branch's by more than
sqrt(2 e (1 - e) ln(2 / SIGNIFICANCE) (1 / n0 + 1 / n1)). Global drift: every cluster has a detector of wrong label
sets; `hierarchy` acts on its alarm.

Source: A. Esteban, A. Cano, A. Zafra and S. Ventura, "Hoeffding adaptive trees for multi-label classification on data
streams", Knowledge-Based Systems 2024; its parameters are those of the published experiments.
"""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.drift.adwin import adwin_update
from streamlearn.learner.experts.tree_counters import Size, row_slots, take_plane
from streamlearn.learner.ihomer.divisive import divisive_due, divisive_learn_row
from streamlearn.learner.ihomer.divisive_nodes import ClusterCounter
from streamlearn.learner.ihomer.predict_row import ALTERNATE_WEIGHT
from streamlearn.learner.ihomer.regressions import BAGS, regressions_learn_row
from streamlearn.learner.ihomer.row_window import push_row
from streamlearn.learner.ihomer.split_test import TIE_THRESHOLD, best_split, count_sets, split_bound
from streamlearn.learner.ihomer.state import (
    ChangeKind,
    Counter,
    HierarchyScratch,
    HierarchyState,
    is_pure,
    record_change,
)
from streamlearn.learner.ihomer.trees import (
    LEAVES,
    NODES,
    Integer,
    Leaf,
    NodeLoss,
    TreeNode,
    begin_alternate,
    deactivate_leaf,
    detector_of,
    find_free_leaf,
    prune_alternate,
    push_to_leaf,
    split_leaf,
    switch_alternate,
)
from streamlearn.numerics.exp_log import log64
from streamlearn.numerics.random import draw_poisson

GRACE_WEIGHT = 200.0
"""Weight of rows between two split tests of a leaf."""

SIGNIFICANCE = 0.05

MAX_WEIGHT = 2.0**30
"""Weight at which a leaf becomes inactive, before its int32 counters overflow."""


@kernel
def _count_planes(state: HierarchyState, cluster: Integer) -> None:
    """Update the number of planes: the most leaves that any tree ever had."""
    for leaf in range(LEAVES):
        if state.trees.leaf_node[cluster, leaf] >= 0:
            state.counters[Counter.PLANES] = max(state.counters[Counter.PLANES], leaf + 1)


@kernel
def _add_losses(
    state: HierarchyState, scratch: HierarchyScratch, cluster: Integer, node: Integer, loss: float, weight: float
) -> None:
    """Add a loss to a leaf and the branches above it; a branch whose loss has grown begins an alternate subtree."""
    trees = state.trees
    background = trees.nodes[cluster, node, TreeNode.BACKGROUND]
    current = np.int64(node)
    while current >= 0 and trees.nodes[cluster, current, TreeNode.BACKGROUND] == background:
        trees.loss[cluster, current, NodeLoss.SUM] += weight * loss
        trees.loss[cluster, current, NodeLoss.WEIGHT] += weight
        if trees.nodes[cluster, current, TreeNode.LEAF] < 0 and not background:
            detector = detector_of(cluster, current)
            if adwin_update(state.adwin, detector, loss):
                if state.adwin.after[detector] < state.adwin.before[detector]:
                    trees.loss[cluster, current, NodeLoss.SUM] = 0.0
                    trees.loss[cluster, current, NodeLoss.WEIGHT] = 0.0
                elif trees.nodes[cluster, current, TreeNode.ALTERNATE] < 0 and begin_alternate(
                    trees,
                    state.regressions,
                    cluster,
                    current,
                    state.cluster_labels[state.cluster_starts[cluster] : state.cluster_starts[cluster + 1]],
                ):
                    state.counters[Counter.ALTERNATES] += 1
                    adwin = state.adwin
                    rows = np.float64(adwin.since[detector])
                    record_change(
                        scratch, ChangeKind.BEGUN, cluster, rows, adwin.before[detector], adwin.after[detector]
                    )
                    _count_planes(state, cluster)
        current = np.int64(trees.nodes[cluster, current, TreeNode.PARENT])


@kernel
def _compare_alternates(state: HierarchyState, scratch: HierarchyScratch, cluster: Integer, leaf_node: Integer) -> None:
    """Replace the branches above a leaf by alternate subtrees that are better, and prune those that are worse."""
    trees = state.trees
    labels = state.cluster_labels[state.cluster_starts[cluster] : state.cluster_starts[cluster + 1]]
    current = np.int64(leaf_node)
    while current >= 0:
        alternate = np.int64(trees.nodes[cluster, current, TreeNode.ALTERNATE])
        above = np.int64(trees.nodes[cluster, current, TreeNode.PARENT])
        if alternate >= 0:
            rows = trees.loss[cluster, current, NodeLoss.WEIGHT]
            others = trees.loss[cluster, alternate, NodeLoss.WEIGHT]
            if min(rows, others) > ALTERNATE_WEIGHT:
                old = trees.loss[cluster, current, NodeLoss.SUM] / rows
                new = trees.loss[cluster, alternate, NodeLoss.SUM] / others
                spread = 2.0 * old * (1.0 - old) * log64(2.0 / SIGNIFICANCE)
                bound = np.sqrt(spread * (1.0 / rows + 1.0 / others))
                if old - new > bound:
                    switch_alternate(trees, cluster, current, labels)
                    state.counters[Counter.SWITCHED] += 1
                    record_change(scratch, ChangeKind.SWITCHED, cluster, others, old, new)
                elif new - old > bound:
                    prune_alternate(trees, cluster, current, labels)
                    state.counters[Counter.PRUNED] += 1
                    record_change(scratch, ChangeKind.PRUNED, cluster, others, old, new)
        current = above


@kernel
def _test_leaf(state: HierarchyState, scratch: HierarchyScratch, cluster: Integer, node: Integer) -> None:
    """Split a leaf if its split test holds."""
    trees = state.trees
    leaf = np.int64(trees.nodes[cluster, node, TreeNode.LEAF])
    labels = state.cluster_labels[state.cluster_starts[cluster] : state.cluster_starts[cluster + 1]]
    weight = trees.leaves[cluster, leaf, Leaf.WEIGHT]
    trees.leaves[cluster, leaf, Leaf.TESTED] = weight
    if is_pure(trees, leaf, labels, weight) or find_free_leaf(trees, cluster) < 0:
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
    if found.column >= 0 and (found.gain - found.second > bound or bound < TIE_THRESHOLD):
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
        state.counters[Counter.SPLITS] += 1
        _count_planes(state, cluster)


@kernel
def _count_row(
    state: HierarchyState, cluster: Integer, leaf: Integer, slots: np.ndarray, count: int, weight: int
) -> None:
    """Count a row in an active leaf."""
    trees = state.trees
    first = np.int64(trees.rows_plane[cluster, leaf]) * trees.sizes[Size.WIDTH]
    for entry in range(count):
        trees.block[first + slots[entry]] += weight


@kernel
def _count_positive(
    state: HierarchyState, cluster: Integer, leaf: Integer, label: Integer, slots: np.ndarray, count: int, weight: int
) -> None:
    """Count a row with a label in a leaf; without room for its counters the leaf becomes inactive."""
    trees = state.trees
    trees.positives[leaf, label] += weight
    if trees.rows_plane[cluster, leaf] == 0:
        return
    if trees.positive_plane[leaf, label] == 0:
        plane = take_plane(trees.sizes, trees.block)
        if plane == 0:
            deactivate_leaf(
                trees,
                cluster,
                leaf,
                state.cluster_labels[state.cluster_starts[cluster] : state.cluster_starts[cluster + 1]],
            )
            return
        trees.positive_plane[leaf, label] = plane
    first = np.int64(trees.positive_plane[leaf, label]) * trees.sizes[Size.WIDTH]
    for entry in range(count):
        trees.block[first + slots[entry]] += weight


@kernel
def _learn_leaf(state: HierarchyState, scratch: HierarchyScratch, cluster: Integer, node: Integer) -> None:
    """Test an active leaf that has learnt a row, once per GRACE_WEIGHT; at MAX_WEIGHT it becomes inactive."""
    trees = state.trees
    leaf = np.int64(trees.nodes[cluster, node, TreeNode.LEAF])
    if trees.rows_plane[cluster, leaf] == 0:
        return
    if trees.leaves[cluster, leaf, Leaf.WEIGHT] >= MAX_WEIGHT:
        deactivate_leaf(
            trees,
            cluster,
            leaf,
            state.cluster_labels[state.cluster_starts[cluster] : state.cluster_starts[cluster + 1]],
        )
    elif trees.leaves[cluster, leaf, Leaf.WEIGHT] - trees.leaves[cluster, leaf, Leaf.TESTED] >= GRACE_WEIGHT:
        _test_leaf(state, scratch, cluster, node)


@kernel
def _detect_drift(state: HierarchyState, scratch: HierarchyScratch, truth: np.ndarray, labels: int) -> int:
    """Update each cluster's detector with 1 if its label set was wrong, else 0; return the number of alarms."""
    clusters = state.partition.counters[ClusterCounter.CLUSTERS]
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
    state.counters[Counter.ALARMS] += alarms
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

    From a row whose truth is not complete only the regressions of its known labels learn.

    Parameters
    ----------
    columns, values, bins, labels: as there.
    truth: int8[labels], 1, 0 or -1 (unknown).
    members: int32, the labels that are on, ascending.
    complete: whether the truth covers all labels.

    Returns
    -------
    The number of clusters that have raised an alarm: see `ihomer_due`.
    """
    trees = state.trees
    clusters = state.partition.counters[ClusterCounter.CLUSTERS]
    scratch.change_count[0] = 0
    row = state.counters[Counter.LEARNED]
    for bag in range(BAGS):
        scratch.draws[bag] = np.float32(draw_poisson(state.counters[Counter.SEED], row, bag))
    paths = 0
    for cluster in range(clusters):
        paths = max(paths, np.int64(scratch.path_count[cluster]))
    for path in range(paths):
        regressions_learn_row(
            state.regressions,
            columns,
            values,
            scratch.plane_of[path],
            truth,
            labels,
            scratch.draws,
            scratch.logits[path],
        )
    if not complete:
        return 0
    state.counters[Counter.LEARNED] += 1
    weight = max(1, draw_poisson(state.counters[Counter.SEED], row, BAGS))
    count = row_slots(trees.sizes, trees.block, trees.slot_of, columns, bins, scratch.slots)
    number = push_row(state.rows, columns, values, bins, members)
    for path in range(paths):
        for cluster in range(clusters):
            if path < scratch.path_count[cluster]:
                leaf = np.int64(trees.nodes[cluster, scratch.reached[cluster, path], TreeNode.LEAF])
                trees.leaves[cluster, leaf, Leaf.WEIGHT] += weight
                if trees.rows_plane[cluster, leaf] > 0:
                    _count_row(state, cluster, leaf, scratch.slots, count, weight)
                if number >= 0:
                    push_to_leaf(trees, cluster, leaf, number)
        for i in range(members.size):
            label = np.int64(members[i])
            leaf = np.int64(scratch.plane_of[path, label])
            if leaf >= 0:
                cluster = np.int64(state.partition.cluster_of[label])
                _count_positive(state, cluster, leaf, label, scratch.slots, count, weight)
        for cluster in range(clusters):
            scratch.wrong[cluster] = 0
        for label in range(labels):
            if scratch.plane_of[path, label] >= 0:
                cluster = np.int64(state.partition.cluster_of[label])
                scratch.wrong[cluster] += 1 if scratch.chosen[path, label] != truth[label] else 0
        for cluster in range(clusters):
            if path < scratch.path_count[cluster]:
                size = state.cluster_starts[cluster + 1] - state.cluster_starts[cluster]
                loss = np.float64(scratch.wrong[cluster]) / np.float64(max(size, 1))
                _add_losses(state, scratch, cluster, np.int64(scratch.reached[cluster, path]), loss, np.float64(weight))
    for cluster in range(clusters):
        for path in range(scratch.path_count[cluster]):
            _learn_leaf(state, scratch, cluster, np.int64(scratch.reached[cluster, path]))
        _compare_alternates(state, scratch, cluster, np.int64(scratch.reached[cluster, 0]))
    divisive_learn_row(state.partition, members)
    return _detect_drift(state, scratch, truth, labels)


@kernel
def ihomer_due(state: HierarchyState) -> bool:
    """Return whether ``Hierarchy.restructure`` must run before the next row: after a period, and after an alarm."""
    is_due = divisive_due(state.partition)
    for cluster in range(state.partition.counters[ClusterCounter.CLUSTERS]):
        is_due = is_due or state.alarmed[cluster] > 0
    return bool(is_due)
