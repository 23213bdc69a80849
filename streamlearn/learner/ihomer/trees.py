"""The trees of all clusters: their nodes and leaves, how a row finds its leaves, how trees begin, split and give way.

A leaf has a number in its tree, and everything it holds of a label is at that number and the label: clusters have no
label in common, so leaf i of all trees shares one table. An *alternate* subtree hangs on a branch node whose loss has
grown: it sees the branch's rows beside it, in the background, until one of the two proves to be better.

Source: A. Esteban, A. Cano, A. Zafra and S. Ventura, "Hoeffding adaptive trees for multi-label classification on data
streams", Knowledge-Based Systems 2024; A. Bifet and R. Gavaldà, "Adaptive learning from evolving
data streams", IDA 2009.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.drift.adwin import AdwinState, adwin_reset
from streamlearn.learner.experts.tree_counters import give_plane, take_plane
from streamlearn.learner.ihomer.regressions import RegressionsState, regressions_begin
from streamlearn.learner.ihomer.row_window import FIRST, NEXT, RowsState, rows_bin

LEAVES = 4
"""Leaves of a tree, those of alternate subtrees included."""

NODES = 2 * LEAVES - 1
WINDOW = 170
"""Rows that a leaf keeps for its neighbours."""

USED, COLUMN, EDGE, LEFT, RIGHT, PARENT, LEAF, ALTERNATE, BACKGROUND, NODE_FIELDS = range(10)
"""Places in a node: 1 if in use; column it splits on (-1: leaf); last bin that goes left; children; the node above
(-1: root; of an alternate's root the branch it hangs on); number of the leaf (-1: branch); root of the alternate
subtree (-1: none); 1 in an alternate subtree; and their number."""

WEIGHT, TESTED, LEAF_FIELDS = range(3)
"""Places in a leaf: weight of its rows, the same at its last split test; and their number."""

LOSS, ROWS = 0, 1
ROOT, PUSHED = 0, 1
Whole = int | np.int64


class TreesState(NamedTuple):
    """First axis is the cluster, or the leaf's number where labels come second.

    Attributes
    ----------
    root
        int32[clusters], node at the top.
    nodes
        int32[clusters, NODES, NODE_FIELDS].
    loss
        float64[clusters, NODES, 2], weighted Hamming losses of what a node predicted, and their weight.
    leaves
        float64[clusters, LEAVES, LEAF_FIELDS].
    leaf_node
        int32[clusters, LEAVES], node of a leaf, -1 if free.
    rows_plane
        int32[clusters, LEAVES], plane that counts the leaf's rows, 0 if it is not watched.
    positives
        float64[LEAVES, labels], weight of the leaf's rows with the label.
    positive_plane
        int32[LEAVES, labels], plane that counts them, 0: none.
    window
        int64[clusters, LEAVES, WINDOW], ring of row numbers, -1: none.
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


@kernel
def detector_of(cluster: Whole, node: Whole) -> Whole:
    """Return the detector of a node; node NODES stands for the cluster itself."""
    return cluster * (NODES + 1) + node


@kernel
def find_leaf(state: TreesState, bins: np.ndarray, cluster: Whole, top: Whole) -> Whole:
    """Return the leaf node below ``top`` for an instance whose bins are ``bins`` uint8[columns]."""
    node = np.int64(top)
    while state.nodes[cluster, node, COLUMN] >= 0:
        above = bins[state.nodes[cluster, node, COLUMN]] > state.nodes[cluster, node, EDGE]
        node = np.int64(state.nodes[cluster, node, RIGHT if above else LEFT])
    return node


@kernel
def find_leaves(state: TreesState, bins: np.ndarray, cluster: Whole, reached: np.ndarray) -> Whole:
    """Write the leaf nodes of an instance to ``reached`` int32[LEAVES], the main one first; return their number.

    The others are those of the alternate subtrees on the way, from the root down.
    """
    count = 1
    node = np.int64(state.root[cluster])
    while state.nodes[cluster, node, COLUMN] >= 0:
        alternate = np.int64(state.nodes[cluster, node, ALTERNATE])
        if alternate >= 0:
            reached[count] = find_leaf(state, bins, cluster, alternate)
            count += 1
        above = bins[state.nodes[cluster, node, COLUMN]] > state.nodes[cluster, node, EDGE]
        node = np.int64(state.nodes[cluster, node, RIGHT if above else LEFT])
    reached[0] = node
    return count


@kernel
def unwatch_leaf(state: TreesState, cluster: Whole, leaf: Whole, labels: np.ndarray) -> None:
    """Give back the counters of a leaf."""
    give_plane(state.sizes, state.block, np.int64(state.rows_plane[cluster, leaf]))
    state.rows_plane[cluster, leaf] = 0
    for place in range(labels.size):
        give_plane(state.sizes, state.block, np.int64(state.positive_plane[leaf, labels[place]]))
        state.positive_plane[leaf, labels[place]] = 0


@kernel
def _take_leaf(
    state: TreesState, regressions: RegressionsState, cluster: Whole, leaf: Whole, node: Whole, labels: np.ndarray
) -> None:
    """Let a free or emptied leaf begin at a node: nothing counted, no weights, an empty window."""
    unwatch_leaf(state, cluster, leaf, labels)
    state.rows_plane[cluster, leaf] = take_plane(state.sizes, state.block)
    state.leaf_node[cluster, leaf] = node
    for field in range(LEAF_FIELDS):
        state.leaves[cluster, leaf, field] = 0.0
    for place in range(labels.size):
        state.positives[leaf, labels[place]] = 0.0
        regressions_begin(regressions, leaf, labels[place], 0.0)
    for place in range(WINDOW):
        state.window[cluster, leaf, place] = -1
    state.pushed[cluster, leaf] = 0


@kernel
def _take_node(state: TreesState, cluster: Whole, parent: Whole, leaf: Whole, background: Whole) -> Whole:
    """Return a node that was free, as a leaf; there must be one."""
    node = np.int64(0)
    while state.nodes[cluster, node, USED]:
        node += 1
    for field in range(NODE_FIELDS):
        state.nodes[cluster, node, field] = -1
    state.nodes[cluster, node, USED] = 1
    state.nodes[cluster, node, PARENT] = parent
    state.nodes[cluster, node, LEAF] = leaf
    state.nodes[cluster, node, BACKGROUND] = background
    state.loss[cluster, node, LOSS] = 0.0
    state.loss[cluster, node, ROWS] = 0.0
    return node


@kernel
def free_leaf(state: TreesState, cluster: Whole) -> Whole:
    """Return the lowest free leaf of a tree, -1 if there is none."""
    for leaf in range(LEAVES):
        if state.leaf_node[cluster, leaf] < 0:
            return leaf
    return -1


@kernel
def window_push(state: TreesState, cluster: Whole, leaf: Whole, number: Whole) -> None:
    """Put a row into a leaf's window; the oldest leaves."""
    state.window[cluster, leaf, state.pushed[cluster, leaf] % WINDOW] = number
    state.pushed[cluster, leaf] += 1


@kernel
def begin_tree(
    state: TreesState,
    regressions: RegressionsState,
    adwin: AdwinState,
    rows: RowsState,
    cluster: Whole,
    labels: np.ndarray,
) -> None:
    """Make a cluster's tree one leaf whose window holds the last rows; whatever its labels had in any leaf is gone."""
    for leaf in range(LEAVES):
        unwatch_leaf(state, cluster, leaf, labels)
        state.leaf_node[cluster, leaf] = -1
    for node in range(NODES):
        state.nodes[cluster, node, USED] = 0
    for node in range(NODES + 1):
        adwin_reset(adwin, detector_of(cluster, node))
    state.root[cluster] = _take_node(state, cluster, -1, 0, 0)
    _take_leaf(state, regressions, cluster, 0, 0, labels)
    for number in range(max(rows.cursor[FIRST], rows.cursor[NEXT] - WINDOW), rows.cursor[NEXT]):
        window_push(state, cluster, 0, number)


@kernel
def split_leaf(
    state: TreesState,
    regressions: RegressionsState,
    adwin: AdwinState,
    rows: RowsState,
    recent: np.ndarray,
    cluster: Whole,
    node: Whole,
    column: Whole,
    edge: Whole,
    labels: np.ndarray,
) -> None:
    """Give a leaf two children, each with its part of the window; there must be a free leaf.

    ``recent`` int64[WINDOW] is scratch.
    """
    leaf = np.int64(state.nodes[cluster, node, LEAF])
    other = free_leaf(state, cluster)
    background = np.int64(state.nodes[cluster, node, BACKGROUND])
    pushed = state.pushed[cluster, leaf]
    held = min(pushed, WINDOW)
    for place in range(held):
        recent[place] = state.window[cluster, leaf, (pushed - held + place) % WINDOW]
    state.nodes[cluster, node, COLUMN] = column
    state.nodes[cluster, node, EDGE] = edge
    state.nodes[cluster, node, LEAF] = -1
    adwin_reset(adwin, detector_of(cluster, node))
    for side in range(2):
        number = leaf if side == 0 else other
        child = _take_node(state, cluster, node, number, background)
        state.nodes[cluster, node, LEFT + side] = child
        _take_leaf(state, regressions, cluster, number, child, labels)
    for place in range(held):
        if recent[place] >= rows.cursor[FIRST]:
            above = rows_bin(rows, recent[place], column) > edge
            window_push(state, cluster, other if above else leaf, recent[place])


@kernel
def begin_alternate(
    state: TreesState, regressions: RegressionsState, cluster: Whole, branch: Whole, labels: np.ndarray
) -> bool:
    """Hang an alternate leaf on a branch and let both losses start anew; return False if no leaf is free."""
    leaf = free_leaf(state, cluster)
    if leaf < 0:
        return False
    node = _take_node(state, cluster, branch, leaf, 1)
    _take_leaf(state, regressions, cluster, leaf, node, labels)
    state.nodes[cluster, branch, ALTERNATE] = node
    state.loss[cluster, branch, LOSS] = 0.0
    state.loss[cluster, branch, ROWS] = 0.0
    return True


@kernel
def _is_below(state: TreesState, cluster: Whole, node: Whole, top: Whole) -> bool:
    at = np.int64(node)
    while at >= 0 and at != top:
        at = np.int64(state.nodes[cluster, at, PARENT])
    return bool(at == top)


@kernel
def _free_below(state: TreesState, cluster: Whole, top: Whole, spared: Whole, labels: np.ndarray) -> None:
    """Free a subtree, except what is below ``spared`` (-1: nothing)."""
    for back in range(NODES):
        node = NODES - 1 - back
        gone = state.nodes[cluster, node, USED] and _is_below(state, cluster, node, top)
        if gone and (spared < 0 or not _is_below(state, cluster, node, spared)):
            leaf = np.int64(state.nodes[cluster, node, LEAF])
            if leaf >= 0:
                unwatch_leaf(state, cluster, leaf, labels)
                state.leaf_node[cluster, leaf] = -1
            state.nodes[cluster, node, USED] = 2
    for node in range(NODES):
        if state.nodes[cluster, node, USED] == 2:
            state.nodes[cluster, node, USED] = 0


@kernel
def prune_alternate(state: TreesState, cluster: Whole, branch: Whole, labels: np.ndarray) -> None:
    """Drop a branch's alternate subtree."""
    _free_below(state, cluster, np.int64(state.nodes[cluster, branch, ALTERNATE]), -1, labels)
    state.nodes[cluster, branch, ALTERNATE] = -1


@kernel
def switch_alternate(state: TreesState, cluster: Whole, branch: Whole, labels: np.ndarray) -> None:
    """Let a branch's alternate subtree take its place."""
    alternate = np.int64(state.nodes[cluster, branch, ALTERNATE])
    parent = np.int64(state.nodes[cluster, branch, PARENT])
    _free_below(state, cluster, branch, alternate, labels)
    for node in range(NODES):
        if state.nodes[cluster, node, USED] and _is_below(state, cluster, node, alternate):
            state.nodes[cluster, node, BACKGROUND] = 0
    state.nodes[cluster, alternate, PARENT] = parent
    if parent < 0:
        state.root[cluster] = alternate
    else:
        side = LEFT if state.nodes[cluster, parent, LEFT] == branch else RIGHT
        state.nodes[cluster, parent, side] = alternate
