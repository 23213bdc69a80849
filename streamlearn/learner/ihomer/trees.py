"""The trees of all clusters: their nodes and leaves, how a row finds its leaves, how trees begin, split and change.

Everything that a leaf holds of a label is at the leaf's number and the label: clusters have no label in common, so leaf
i of all trees shares one table. An *alternate* subtree hangs on a branch whose loss has grown: it learns from the rows
of the branch, in the background, until one of the two proves to be better. An *inactive* leaf has no counters: it
predicts and learns, and is not split.

Source: A. Esteban, A. Cano, A. Zafra and S. Ventura, "Hoeffding adaptive trees for multi-label classification on data
streams", Knowledge-Based Systems 2024; A. Bifet and R. Gavaldà, "Adaptive learning from evolving
data streams", IDA 2009.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.drift.adwin import AdwinState, adwin_reset
from streamlearn.learner.experts.tree_counters import (
    LEAST_PLANE_WIDTH,
    SIZE_FIELDS,
    WATCHED_BINS,
    Size,
    give_plane,
    take_plane,
)
from streamlearn.learner.ihomer.regressions import RegressionsState, regressions_begin
from streamlearn.learner.ihomer.row_window import Cursor, RowWindowState, bin_of_row

LEAVES = 4
"""Leaves of a tree, those of alternate subtrees included."""

NODES = 2 * LEAVES - 1

LEAF_WINDOW = 170
"""Rows that a leaf keeps for its neighbours."""

Integer = int | np.int64


class TreeNode(IntEnum):
    """Fields of a node in `TreesState.nodes`."""

    USED = 0  # 1: in use
    COLUMN = 1  # column that the node splits on, -1: leaf
    EDGE = 2  # last bin that goes left
    LEFT = 3  # left child
    RIGHT = 4  # right child
    PARENT = 5  # node above, -1: root; of the root of an alternate subtree the branch that it hangs on
    LEAF = 6  # number of the leaf, -1: branch
    ALTERNATE = 7  # root of the alternate subtree, -1: none
    BACKGROUND = 8  # 1: in an alternate subtree


class Leaf(IntEnum):
    """Fields of a leaf in `TreesState.leaves`."""

    WEIGHT = 0  # weight of its rows
    TESTED = 1  # the same at its last split test


class NodeLoss(IntEnum):
    """Fields of a node in `TreesState.loss`."""

    SUM = 0  # weighted sum of the Hamming losses of what the node predicted
    WEIGHT = 1  # weight of the rows that it predicted


NODE_FIELDS = len(TreeNode)
LEAF_FIELDS = len(Leaf)
LOSS_FIELDS = len(NodeLoss)

_TO_FREE = 2
"""Value of `TreeNode.USED` while a subtree is being freed."""


class TreesState(NamedTuple):
    """First axis is the cluster, or the leaf's number where labels come second.

    Attributes
    ----------
    root
        int32[clusters], node at the top.
    nodes
        int32[clusters, NODES, NODE_FIELDS].
    loss
        float64[clusters, NODES, LOSS_FIELDS].
    leaves
        float64[clusters, LEAVES, LEAF_FIELDS].
    leaf_node
        int32[clusters, LEAVES], node of a leaf, -1 if free.
    rows_plane
        int32[clusters, LEAVES], plane that counts the leaf's rows, 0 if the leaf is inactive.
    positives
        float64[LEAVES, labels], weight of the leaf's rows with the label.
    positive_plane
        int32[LEAVES, labels], plane that counts them, 0: none.
    window
        int64[clusters, LEAVES, LEAF_WINDOW], ring of row numbers, -1: none.
    pushed
        int64[clusters, LEAVES], rows ever put into the window.
    sizes, block, slot_of
        The counters (`tree_counters`).
    """

    root: np.ndarray
    nodes: np.ndarray
    loss: np.ndarray
    leaves: np.ndarray
    leaf_node: np.ndarray
    rows_plane: np.ndarray
    positives: np.ndarray
    positive_plane: np.ndarray
    window: np.ndarray
    pushed: np.ndarray
    sizes: np.ndarray
    block: np.ndarray
    slot_of: np.ndarray


def empty_trees(counter_bytes: int) -> TreesState:
    """Return the trees of no cluster, with counters of this many bytes."""
    sizes = np.zeros(SIZE_FIELDS, np.int64)
    sizes[Size.WIDTH], sizes[Size.SLOTS], sizes[Size.PLANES] = LEAST_PLANE_WIDTH, 1, 1
    return TreesState(
        root=np.zeros(0, np.int32),
        nodes=np.zeros((0, NODES, NODE_FIELDS), np.int32),
        loss=np.zeros((0, NODES, LOSS_FIELDS)),
        leaves=np.zeros((0, LEAVES, LEAF_FIELDS)),
        leaf_node=np.zeros((0, LEAVES), np.int32),
        rows_plane=np.zeros((0, LEAVES), np.int32),
        positives=np.zeros((LEAVES, 0)),
        positive_plane=np.zeros((LEAVES, 0), np.int32),
        window=np.zeros((0, LEAVES, LEAF_WINDOW), np.int64),
        pushed=np.zeros((0, LEAVES), np.int64),
        sizes=sizes,
        block=np.zeros(max(counter_bytes // 4, LEAST_PLANE_WIDTH), np.int32),
        slot_of=np.zeros((0, WATCHED_BINS), np.int32),
    )


@kernel
def detector_of(cluster: Integer, node: Integer) -> Integer:
    """Return the index of the detector of a node; node NODES is that of the cluster itself."""
    return cluster * (NODES + 1) + node


@kernel
def find_leaf(state: TreesState, bins: np.ndarray, cluster: Integer, top: Integer) -> Integer:
    """Return the leaf node below ``top`` for an instance whose bins are ``bins`` uint8[columns]."""
    node = np.int64(top)
    while state.nodes[cluster, node, TreeNode.COLUMN] >= 0:
        above = bins[state.nodes[cluster, node, TreeNode.COLUMN]] > state.nodes[cluster, node, TreeNode.EDGE]
        node = np.int64(state.nodes[cluster, node, TreeNode.RIGHT if above else TreeNode.LEFT])
    return node


@kernel
def find_leaves(state: TreesState, bins: np.ndarray, cluster: Integer, reached: np.ndarray) -> Integer:
    """Write the leaf nodes of an instance to ``reached`` int32[LEAVES], the main one first; return their number.

    The others are those of the alternate subtrees on its path, from the root down.
    """
    count = 1
    node = np.int64(state.root[cluster])
    while state.nodes[cluster, node, TreeNode.COLUMN] >= 0:
        alternate = np.int64(state.nodes[cluster, node, TreeNode.ALTERNATE])
        if alternate >= 0:
            reached[count] = find_leaf(state, bins, cluster, alternate)
            count += 1
        above = bins[state.nodes[cluster, node, TreeNode.COLUMN]] > state.nodes[cluster, node, TreeNode.EDGE]
        node = np.int64(state.nodes[cluster, node, TreeNode.RIGHT if above else TreeNode.LEFT])
    reached[0] = node
    return count


@kernel
def deactivate_leaf(state: TreesState, cluster: Integer, leaf: Integer, labels: np.ndarray) -> None:
    """Make a leaf inactive: give its counters back."""
    give_plane(state.sizes, state.block, np.int64(state.rows_plane[cluster, leaf]))
    state.rows_plane[cluster, leaf] = 0
    for i in range(labels.size):
        give_plane(state.sizes, state.block, np.int64(state.positive_plane[leaf, labels[i]]))
        state.positive_plane[leaf, labels[i]] = 0


@kernel
def _reset_leaf(
    state: TreesState, regressions: RegressionsState, cluster: Integer, leaf: Integer, node: Integer, labels: np.ndarray
) -> None:
    """Attach a leaf number to a node and reset it: nothing counted, no weights, an empty window."""
    deactivate_leaf(state, cluster, leaf, labels)
    state.rows_plane[cluster, leaf] = take_plane(state.sizes, state.block)
    state.leaf_node[cluster, leaf] = node
    for field in range(LEAF_FIELDS):
        state.leaves[cluster, leaf, field] = 0.0
    for i in range(labels.size):
        state.positives[leaf, labels[i]] = 0.0
        regressions_begin(regressions, leaf, labels[i], 0.0)
    for index in range(LEAF_WINDOW):
        state.window[cluster, leaf, index] = -1
    state.pushed[cluster, leaf] = 0


@kernel
def _allocate_node(state: TreesState, cluster: Integer, parent: Integer, leaf: Integer, background: Integer) -> Integer:
    """Make the lowest free node a leaf and return it; there must be a free one."""
    node = np.int64(0)
    while state.nodes[cluster, node, TreeNode.USED]:
        node += 1
    for field in range(NODE_FIELDS):
        state.nodes[cluster, node, field] = -1
    state.nodes[cluster, node, TreeNode.USED] = 1
    state.nodes[cluster, node, TreeNode.PARENT] = parent
    state.nodes[cluster, node, TreeNode.LEAF] = leaf
    state.nodes[cluster, node, TreeNode.BACKGROUND] = background
    state.loss[cluster, node, NodeLoss.SUM] = 0.0
    state.loss[cluster, node, NodeLoss.WEIGHT] = 0.0
    return node


@kernel
def find_free_leaf(state: TreesState, cluster: Integer) -> Integer:
    """Return the lowest free leaf of a tree, -1 if there is none."""
    for leaf in range(LEAVES):
        if state.leaf_node[cluster, leaf] < 0:
            return leaf
    return -1


@kernel
def push_to_leaf(state: TreesState, cluster: Integer, leaf: Integer, number: Integer) -> None:
    """Append a row to a leaf's window, which drops its oldest row when it is full."""
    state.window[cluster, leaf, state.pushed[cluster, leaf] % LEAF_WINDOW] = number
    state.pushed[cluster, leaf] += 1


@kernel
def begin_tree(
    state: TreesState,
    regressions: RegressionsState,
    adwin: AdwinState,
    rows: RowWindowState,
    cluster: Integer,
    labels: np.ndarray,
) -> None:
    """Replace a cluster's tree by one leaf whose window holds the last rows; the statistics of its labels are reset."""
    for leaf in range(LEAVES):
        deactivate_leaf(state, cluster, leaf, labels)
        state.leaf_node[cluster, leaf] = -1
    for node in range(NODES):
        state.nodes[cluster, node, TreeNode.USED] = 0
    for node in range(NODES + 1):
        adwin_reset(adwin, detector_of(cluster, node))
    state.root[cluster] = _allocate_node(state, cluster, -1, 0, 0)
    _reset_leaf(state, regressions, cluster, 0, 0, labels)
    for number in range(
        max(rows.cursor[Cursor.FIRST], rows.cursor[Cursor.NEXT] - LEAF_WINDOW), rows.cursor[Cursor.NEXT]
    ):
        push_to_leaf(state, cluster, 0, number)


@kernel
def split_leaf(
    state: TreesState,
    regressions: RegressionsState,
    adwin: AdwinState,
    rows: RowWindowState,
    recent: np.ndarray,
    cluster: Integer,
    node: Integer,
    column: Integer,
    edge: Integer,
    labels: np.ndarray,
) -> None:
    """Split a leaf: two children share its window; there must be a free leaf.

    ``recent`` int64[LEAF_WINDOW] is scratch memory.
    """
    leaf = np.int64(state.nodes[cluster, node, TreeNode.LEAF])
    other = find_free_leaf(state, cluster)
    background = np.int64(state.nodes[cluster, node, TreeNode.BACKGROUND])
    pushed = state.pushed[cluster, leaf]
    held = min(pushed, LEAF_WINDOW)
    for i in range(held):
        recent[i] = state.window[cluster, leaf, (pushed - held + i) % LEAF_WINDOW]
    state.nodes[cluster, node, TreeNode.COLUMN] = column
    state.nodes[cluster, node, TreeNode.EDGE] = edge
    state.nodes[cluster, node, TreeNode.LEAF] = -1
    adwin_reset(adwin, detector_of(cluster, node))
    for side in range(2):
        number = leaf if side == 0 else other
        child = _allocate_node(state, cluster, node, number, background)
        state.nodes[cluster, node, TreeNode.LEFT + side] = child
        _reset_leaf(state, regressions, cluster, number, child, labels)
    for i in range(held):
        if recent[i] >= rows.cursor[Cursor.FIRST]:
            above = bin_of_row(rows, recent[i], column) > edge
            push_to_leaf(state, cluster, other if above else leaf, recent[i])


@kernel
def begin_alternate(
    state: TreesState, regressions: RegressionsState, cluster: Integer, branch: Integer, labels: np.ndarray
) -> bool:
    """Begin an alternate subtree of one leaf at a branch and reset both losses; return False if no leaf is free."""
    leaf = find_free_leaf(state, cluster)
    if leaf < 0:
        return False
    node = _allocate_node(state, cluster, branch, leaf, 1)
    _reset_leaf(state, regressions, cluster, leaf, node, labels)
    state.nodes[cluster, branch, TreeNode.ALTERNATE] = node
    state.loss[cluster, branch, NodeLoss.SUM] = 0.0
    state.loss[cluster, branch, NodeLoss.WEIGHT] = 0.0
    return True


@kernel
def _is_below(state: TreesState, cluster: Integer, node: Integer, top: Integer) -> bool:
    current = np.int64(node)
    while current >= 0 and current != top:
        current = np.int64(state.nodes[cluster, current, TreeNode.PARENT])
    return bool(current == top)


@kernel
def _free_subtree(state: TreesState, cluster: Integer, top: Integer, kept: Integer, labels: np.ndarray) -> None:
    """Free a subtree, except what is below ``kept`` (-1: nothing)."""
    for back in range(NODES):
        node = NODES - 1 - back
        below = state.nodes[cluster, node, TreeNode.USED] and _is_below(state, cluster, node, top)
        if below and (kept < 0 or not _is_below(state, cluster, node, kept)):
            leaf = np.int64(state.nodes[cluster, node, TreeNode.LEAF])
            if leaf >= 0:
                deactivate_leaf(state, cluster, leaf, labels)
                state.leaf_node[cluster, leaf] = -1
            state.nodes[cluster, node, TreeNode.USED] = _TO_FREE
    for node in range(NODES):
        if state.nodes[cluster, node, TreeNode.USED] == _TO_FREE:
            state.nodes[cluster, node, TreeNode.USED] = 0


@kernel
def prune_alternate(state: TreesState, cluster: Integer, branch: Integer, labels: np.ndarray) -> None:
    """Drop a branch's alternate subtree."""
    _free_subtree(state, cluster, np.int64(state.nodes[cluster, branch, TreeNode.ALTERNATE]), -1, labels)
    state.nodes[cluster, branch, TreeNode.ALTERNATE] = -1


@kernel
def switch_alternate(state: TreesState, cluster: Integer, branch: Integer, labels: np.ndarray) -> None:
    """Replace a branch by its alternate subtree."""
    alternate = np.int64(state.nodes[cluster, branch, TreeNode.ALTERNATE])
    parent = np.int64(state.nodes[cluster, branch, TreeNode.PARENT])
    _free_subtree(state, cluster, branch, alternate, labels)
    for node in range(NODES):
        if state.nodes[cluster, node, TreeNode.USED] and _is_below(state, cluster, node, alternate):
            state.nodes[cluster, node, TreeNode.BACKGROUND] = 0
    state.nodes[cluster, alternate, TreeNode.PARENT] = parent
    if parent < 0:
        state.root[cluster] = alternate
    else:
        side = TreeNode.LEFT if state.nodes[cluster, parent, TreeNode.LEFT] == branch else TreeNode.RIGHT
        state.nodes[cluster, parent, side] = alternate
