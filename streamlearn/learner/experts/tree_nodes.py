"""Nodes of the label trees: how leaves count their rows, and how they split.

Each label has one tree. A leaf is *watched* while it counts, per slot (`tree_counters`), its rows and its positives for
the next split test. The tree of one label after its first split, with the four words that the code uses:

    plane 0, counts all learnt rows for all labels --+
                                                     |
    root, split on a column                          v
     +-- leaf A, *shared*    rows: its own plane subtracted from plane 0    positives: a plane
     +-- leaf B              rows: its own plane                            positives: a plane

*Shared*: most rows are negative and fall into one leaf, where counting them should cost nothing. That leaf takes its
rows from plane 0, and its own plane counts only what plane 0 has too many: the rows that fell into other leaves, and
all rows before the leaf was watched. The shared leaf is first the root; when it splits, its child with more rows is the
next. All other leaves count their rows themselves.
*Alone*: plane 0 counts a row even if its truth is unknown for a label. At the first such row the label's shared leaf
sets its own plane to plane 0 minus that plane, and from then on all leaves of the label count for themselves.
*Watching*: a tree with the maximum number of leaves stops watching and frees its planes. The decayed counts, from which
it predicts, go on.
*Worse*: the decayed sum of the tree's log loss minus that of the slow rate, in nats. A split tree that is too much
worse is reset to an unsplit root.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.experts.tree_counters import (
    Size,
    Whole,
    copy_shared,
    count_row,
    give_plane,
    subtract_from_shared,
    take_plane,
)
from streamlearn.learner.experts.tree_split import best_split

LEAST_ROWS = 25
FIRST_TEST = 5
"""Rows of the rarer kind, positive or negative, at which a leaf is first tested."""

MAXIMUM_LEAVES = 8
MAXIMUM_NODES = 2 * MAXIMUM_LEAVES - 1


class Node(IntEnum):
    """Fields of a row of `LabelTreeState.nodes`."""

    COLUMN = 0  # column that the node splits on, -1: leaf
    EDGE = 1  # last bin that goes left
    LEFT = 2  # left child; the right one is the next node
    PARENT = 3  # -1: root
    ROWS_PLANE = 4  # plane of the leaf's rows, of the shared leaf that of the rows to subtract, 0: none
    POSITIVES_PLANE = 5  # plane of its positives, 0: none
    ROWS = 6  # rows in its rows plane, -1: the leaf is not watched
    POSITIVES = 7  # positives in its positives plane
    NEXT_TEST = 8  # rows of the rarer kind at which it is tested next


NODE_FIELDS = len(Node)


class Count(IntEnum):
    """Fields of a row of `LabelTreeState.counts`."""

    POSITIVES = 0  # decayed number of positives of the node
    ROWS = 1  # decayed number of its rows


COUNT_FIELDS = len(Count)


class Tree(IntEnum):
    """Fields of a row of `LabelTreeState.trees`."""

    NODES = 0  # nodes in use
    SHARED = 1  # leaf that takes its rows from the shared plane, -1: none
    ALONE = 2  # 1: the label has its own copy of all counts, since a row's truth was unknown
    WATCHING = 3  # 1: leaves are watched
    AGE = 4  # known rows since the last reset, at most 100


TREE_FIELDS = len(Tree)


class LabelTreeState(NamedTuple):
    """The trees of all labels and their counters.

    Attributes
    ----------
    sizes, block, slot_of
        int64, by `Size`, int32 and int32[columns, WATCHED_BINS]: the counters (`tree_counters`). ``slot_of`` has the
        slots of a column's bins 1 to 3; 0: none yet, -1: the column is not watched.
    absent
        float64[1], the decayed number of complete rows.
    nodes, counts
        int32[labels, MAXIMUM_NODES, NODE_FIELDS], by `Node`, and float64[labels, MAXIMUM_NODES, COUNT_FIELDS], by
        `Count`.
    trees
        int32[labels, TREE_FIELDS], by `Tree`.
    worse
        float64[labels], the decayed log loss, in nats, by which the tree is worse than the slow rate.
    """

    sizes: np.ndarray
    absent: np.ndarray
    slot_of: np.ndarray
    block: np.ndarray
    nodes: np.ndarray
    counts: np.ndarray
    trees: np.ndarray
    worse: np.ndarray


@kernel
def _blank_node(state: LabelTreeState, label: int, node: Whole, parent: Whole) -> None:
    for field in range(NODE_FIELDS):
        state.nodes[label, node, field] = 0
    state.nodes[label, node, Node.COLUMN] = -1
    state.nodes[label, node, Node.PARENT] = parent
    state.nodes[label, node, Node.NEXT_TEST] = FIRST_TEST


@kernel
def stop_watching(state: LabelTreeState, label: int) -> None:
    """Stop watching the leaves of a tree and free its planes."""
    for node in range(state.trees[label, Tree.NODES]):
        for field in (Node.ROWS_PLANE, Node.POSITIVES_PLANE):
            give_plane(state.sizes, state.block, np.int64(state.nodes[label, node, field]))
            state.nodes[label, node, field] = 0
    state.trees[label, Tree.WATCHING] = 0
    state.trees[label, Tree.SHARED] = -1


@kernel
def blank_tree(state: LabelTreeState, label: int) -> None:
    """Reset a tree to an unsplit root without counts; the caller decides how the root is watched."""
    stop_watching(state, label)
    for node in range(MAXIMUM_NODES):
        _blank_node(state, label, node, -1)
        state.counts[label, node, Count.POSITIVES] = 0.0
        state.counts[label, node, Count.ROWS] = 0.0
    state.trees[label, Tree.NODES] = 1
    state.trees[label, Tree.WATCHING] = 1
    state.trees[label, Tree.AGE] = 0
    state.worse[label] = 0.0


@kernel
def watch_alone(state: LabelTreeState, label: int, node: Whole) -> None:
    """Count a leaf's rows from now on in a plane of its own; without a free plane it is not watched."""
    plane = take_plane(state.sizes, state.block)
    state.nodes[label, node, Node.ROWS_PLANE] = plane
    state.nodes[label, node, Node.ROWS] = 0 if plane > 0 else -1


@kernel
def watch_shared(state: LabelTreeState, label: int, node: Whole) -> None:
    """Take a leaf's rows from now on from the shared plane; without a free plane it is not watched."""
    watch_alone(state, label, node)
    plane = np.int64(state.nodes[label, node, Node.ROWS_PLANE])
    state.trees[label, Tree.SHARED] = -1
    if plane > 0:
        copy_shared(state.sizes, state.block, plane)
        state.nodes[label, node, Node.ROWS] = state.sizes[Size.ROWS]
        state.trees[label, Tree.SHARED] = node


@kernel
def count_alone(state: LabelTreeState, label: int) -> None:
    """Copy what the shared plane counts for a label into a plane of its own; the label counts alone from now on."""
    state.trees[label, Tree.ALONE] = 1
    node = np.int64(state.trees[label, Tree.SHARED])
    if node < 0:
        return
    state.trees[label, Tree.SHARED] = -1
    elsewhere = np.int64(state.nodes[label, node, Node.ROWS])
    plane = np.int64(state.nodes[label, node, Node.ROWS_PLANE])
    if plane == 0:
        plane = take_plane(state.sizes, state.block)
    if plane == 0:
        state.nodes[label, node, Node.ROWS] = -1
        return
    subtract_from_shared(state.sizes, state.block, plane)
    state.nodes[label, node, Node.ROWS_PLANE] = plane
    state.nodes[label, node, Node.ROWS] = state.sizes[Size.ROWS] - elsewhere


@kernel
def _split_leaf(
    state: LabelTreeState,
    label: int,
    leaf: Whole,
    rows: Whole,
    positives: Whole,
    split: tuple[Whole, Whole, Whole, Whole],
) -> None:
    """Split a leaf; the children start with its decayed counts of their sides and are watched from now on."""
    column, edge, right_rows, right_positives = split
    left = np.int64(state.trees[label, Tree.NODES])
    state.trees[label, Tree.NODES] = left + 2
    state.sizes[Size.SPLITS] += 1
    state.nodes[label, leaf, Node.COLUMN] = column
    state.nodes[label, leaf, Node.EDGE] = edge
    state.nodes[label, leaf, Node.LEFT] = left
    for field in (Node.ROWS_PLANE, Node.POSITIVES_PLANE):
        give_plane(state.sizes, state.block, np.int64(state.nodes[label, leaf, field]))
        state.nodes[label, leaf, field] = 0
    _blank_node(state, label, left, leaf)
    _blank_node(state, label, left + 1, leaf)
    state.counts[label, left, Count.POSITIVES] = positives - right_positives
    state.counts[label, left, Count.ROWS] = rows - right_rows
    state.counts[label, left + 1, Count.POSITIVES] = right_positives
    state.counts[label, left + 1, Count.ROWS] = right_rows
    larger = left + (1 if 2 * right_rows > rows else 0)
    smaller = 2 * left + 1 - larger
    if state.trees[label, Tree.SHARED] == leaf:
        watch_shared(state, label, larger)
    else:
        watch_alone(state, label, larger)
    watch_alone(state, label, smaller)


@kernel
def leaf_rows(state: LabelTreeState, label: int, leaf: Whole) -> Whole:
    """Return the number of rows of a watched leaf."""
    rows = np.int64(state.nodes[label, leaf, Node.ROWS])
    return state.sizes[Size.ROWS] - rows if leaf == state.trees[label, Tree.SHARED] else rows


@kernel
def is_test_due(state: LabelTreeState, label: int, leaf: Whole) -> bool:
    """Return whether a watched leaf has enough rows, and of the rarer kind, for its next test."""
    rows = leaf_rows(state, label, leaf)
    positives = state.nodes[label, leaf, Node.POSITIVES]
    if rows < LEAST_ROWS:
        return False
    return bool(min(positives, rows - positives) >= state.nodes[label, leaf, Node.NEXT_TEST])


@kernel
def watch_row(
    state: LabelTreeState, slots: np.ndarray, count: int, label: int, leaf: Whole, positive: bool, column_end: int
) -> None:
    """Count a row in its leaf, and split the leaf if its next test is due and significant.

    ``slots`` int32 are the row's ``count`` slots; ``column_end`` is the highest column in use plus 1.
    """
    sizes = state.sizes
    block = state.block
    nodes = state.nodes
    shared = np.int64(state.trees[label, Tree.SHARED])
    less_plane = np.int64(0)
    if leaf == shared:
        rows_plane = np.int64(0)
        less_plane = np.int64(nodes[label, leaf, Node.ROWS_PLANE])
    else:
        if shared >= 0:
            count_row(sizes, block, np.int64(nodes[label, shared, Node.ROWS_PLANE]), slots, count)
            nodes[label, shared, Node.ROWS] += 1
        if nodes[label, leaf, Node.ROWS] < 0:
            return
        rows_plane = np.int64(nodes[label, leaf, Node.ROWS_PLANE])
        count_row(sizes, block, rows_plane, slots, count)
        nodes[label, leaf, Node.ROWS] += 1
    if positive:
        plane = np.int64(nodes[label, leaf, Node.POSITIVES_PLANE])
        if plane == 0:
            plane = take_plane(sizes, block)
            nodes[label, leaf, Node.POSITIVES_PLANE] = plane
        if plane == 0:
            give_plane(sizes, block, np.int64(nodes[label, leaf, Node.ROWS_PLANE]))
            nodes[label, leaf, Node.ROWS_PLANE] = 0
            nodes[label, leaf, Node.ROWS] = -1
            if leaf == shared:
                state.trees[label, Tree.SHARED] = -1
            return
        count_row(sizes, block, plane, slots, count)
        nodes[label, leaf, Node.POSITIVES] += 1
    if not is_test_due(state, label, leaf):
        return
    rows = leaf_rows(state, label, leaf)
    positives = np.int64(nodes[label, leaf, Node.POSITIVES])
    least = min(positives, rows - positives)
    nodes[label, leaf, Node.NEXT_TEST] = max(least + 5, (6 * least + 4) // 5)
    positives_plane = np.int64(nodes[label, leaf, Node.POSITIVES_PLANE])
    split = best_split(
        sizes, block, state.slot_of, column_end, rows_plane, less_plane, positives_plane, rows, positives
    )
    if split[0] >= 0:
        _split_leaf(state, label, leaf, rows, positives, split)


@kernel
def halve_counters(state: LabelTreeState) -> None:
    """Halve every integer count, so that none overflows 32 bits. No difference of counts becomes negative."""
    width = state.sizes[Size.WIDTH]
    for plane in range(state.sizes[Size.PLANES]):
        for slot in range(1, width):
            state.block[plane * width + slot] >>= 1
    state.sizes[Size.ROWS] >>= 1
    for label in range(state.trees.shape[0]):
        for node in range(MAXIMUM_NODES):
            state.nodes[label, node, Node.ROWS] >>= 1
            state.nodes[label, node, Node.POSITIVES] >>= 1
            state.nodes[label, node, Node.NEXT_TEST] = max(state.nodes[label, node, Node.NEXT_TEST] >> 1, FIRST_TEST)
