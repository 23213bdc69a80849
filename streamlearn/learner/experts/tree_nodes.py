"""The nodes of the label trees: what each leaf watches, and how it splits.

A leaf that watches counts its rows and its positives per slot (`tree_counters`). An unsplit root takes its rows from
the plane that all labels share; after a split the child with more rows does so too, and its own plane holds what the
shared one has more: the rows that went elsewhere, and those before it watched. The other leaves count for themselves.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.experts.tree_counters import (
    PLANES,
    ROWS,
    SPLITS,
    WIDTH,
    Whole,
    copy_shared,
    count_row,
    give_plane,
    shared_less,
    take_plane,
)
from streamlearn.learner.experts.tree_split import best_split

LEAST_ROWS = 25
FIRST_TEST = 5
LEAVES = 8
NODES = 2 * LEAVES - 1

FEATURE, EDGE, LEFT, PARENT, OWN, POSITIVE, SEEN, FOUND, NEXT, NODE_FIELDS = range(10)
"""Places in a node: column it splits on (-1: leaf), last bin that goes left, left child (the right one follows),
parent (-1: root); planes of rows and of positives (0: none), rows and positives in them, the test's next size."""

USED, SHARED, ALONE, WATCHING, AGE, LABEL_FIELDS = range(6)
"""Places in a label: nodes used, the leaf that takes its rows from the shared plane (-1: none; its own plane and rows
are what went elsewhere), whether it counts alone, whether it watches, known rows since the last reset (at most 100)."""


class LabelTreeState(NamedTuple):
    """``sizes`` int64, ``block`` int32 and ``slot_of`` int32[columns, 3] are the counters (`tree_counters`).

    ``absent`` float64[1] is the decayed count of complete rows; ``nodes`` int32[labels, 15, fields]; ``counts``
    float64[labels, 15, 2] are a node's decayed positives and rows; ``trees`` int32[labels, fields]; ``worse``
    float64[labels] is the decayed log loss in nats by which the tree is worse than the slow rate.
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
    state.nodes[label, node, FEATURE] = -1
    state.nodes[label, node, PARENT] = parent
    state.nodes[label, node, NEXT] = FIRST_TEST


@kernel
def stop_watching(state: LabelTreeState, label: int) -> None:
    for node in range(state.trees[label, USED]):
        for field in (OWN, POSITIVE):
            give_plane(state.sizes, state.block, np.int64(state.nodes[label, node, field]))
            state.nodes[label, node, field] = 0
    state.trees[label, WATCHING] = 0
    state.trees[label, SHARED] = -1


@kernel
def blank_tree(state: LabelTreeState, label: int) -> None:
    stop_watching(state, label)
    for node in range(NODES):
        _blank_node(state, label, node, -1)
        state.counts[label, node, 0] = 0.0
        state.counts[label, node, 1] = 0.0
    state.trees[label, USED] = 1
    state.trees[label, WATCHING] = 1
    state.trees[label, AGE] = 0
    state.worse[label] = 0.0


@kernel
def watch_alone(state: LabelTreeState, label: int, node: Whole) -> None:
    """Let a leaf count its rows from here on in a plane of its own; without a plane it is not watched."""
    plane = take_plane(state.sizes, state.block)
    state.nodes[label, node, OWN] = plane
    state.nodes[label, node, SEEN] = 0 if plane > 0 else -1


@kernel
def watch_shared(state: LabelTreeState, label: int, node: Whole) -> None:
    """Let a leaf take its rows from here on from the shared plane; without a plane it is not watched."""
    watch_alone(state, label, node)
    plane = np.int64(state.nodes[label, node, OWN])
    state.trees[label, SHARED] = -1
    if plane > 0:
        copy_shared(state.sizes, state.block, plane)
        state.nodes[label, node, SEEN] = state.sizes[ROWS]
        state.trees[label, SHARED] = node


@kernel
def count_alone(state: LabelTreeState, label: int) -> None:
    """Give a label its own copy of what the shared plane counts for it."""
    state.trees[label, ALONE] = 1
    node = np.int64(state.trees[label, SHARED])
    if node < 0:
        return
    state.trees[label, SHARED] = -1
    elsewhere = np.int64(state.nodes[label, node, SEEN])
    plane = np.int64(state.nodes[label, node, OWN])
    if plane == 0:
        plane = take_plane(state.sizes, state.block)
    if plane == 0:
        state.nodes[label, node, SEEN] = -1
        return
    shared_less(state.sizes, state.block, plane)
    state.nodes[label, node, OWN] = plane
    state.nodes[label, node, SEEN] = state.sizes[ROWS] - elsewhere


@kernel
def _split_leaf(
    state: LabelTreeState,
    label: int,
    leaf: Whole,
    rows: Whole,
    positives: Whole,
    split: tuple[Whole, Whole, Whole, Whole],
) -> None:
    """Give a leaf two children; they take over its counts, and watch from here on."""
    column, edge, right_rows, right_positives = split
    left = np.int64(state.trees[label, USED])
    state.trees[label, USED] = left + 2
    state.sizes[SPLITS] += 1
    state.nodes[label, leaf, FEATURE] = column
    state.nodes[label, leaf, EDGE] = edge
    state.nodes[label, leaf, LEFT] = left
    for field in (OWN, POSITIVE):
        give_plane(state.sizes, state.block, np.int64(state.nodes[label, leaf, field]))
        state.nodes[label, leaf, field] = 0
    _blank_node(state, label, left, leaf)
    _blank_node(state, label, left + 1, leaf)
    state.counts[label, left, 0] = positives - right_positives
    state.counts[label, left, 1] = rows - right_rows
    state.counts[label, left + 1, 0] = right_positives
    state.counts[label, left + 1, 1] = right_rows
    more = left + (1 if 2 * right_rows > rows else 0)
    if state.trees[label, SHARED] == leaf:
        watch_shared(state, label, more)
    else:
        watch_alone(state, label, more)
    watch_alone(state, label, 2 * left + 1 - more)


@kernel
def leaf_rows(state: LabelTreeState, label: int, leaf: Whole) -> Whole:
    """Return the rows that a watching leaf has seen."""
    seen = np.int64(state.nodes[label, leaf, SEEN])
    return state.sizes[ROWS] - seen if leaf == state.trees[label, SHARED] else seen


@kernel
def is_test_due(state: LabelTreeState, label: int, leaf: Whole) -> bool:
    """Return whether a watching leaf has enough rows of the rarer kind for its next test."""
    rows = leaf_rows(state, label, leaf)
    positives = state.nodes[label, leaf, FOUND]
    if rows < LEAST_ROWS:
        return False
    return bool(min(positives, rows - positives) >= state.nodes[label, leaf, NEXT])


@kernel
def watch_row(
    state: LabelTreeState, slots: np.ndarray, count: int, label: int, leaf: Whole, positive: bool, features: int
) -> None:
    """Count a row in the leaf that it fell into, and split the leaf when it is time and there is reason to."""
    sizes = state.sizes
    block = state.block
    nodes = state.nodes
    shared = np.int64(state.trees[label, SHARED])
    less = np.int64(0)
    if leaf == shared:
        rows_plane = np.int64(0)
        less = np.int64(nodes[label, leaf, OWN])
    else:
        if shared >= 0:
            count_row(sizes, block, np.int64(nodes[label, shared, OWN]), slots, count)
            nodes[label, shared, SEEN] += 1
        if nodes[label, leaf, SEEN] < 0:
            return
        rows_plane = np.int64(nodes[label, leaf, OWN])
        count_row(sizes, block, rows_plane, slots, count)
        nodes[label, leaf, SEEN] += 1
    if positive:
        plane = np.int64(nodes[label, leaf, POSITIVE])
        if plane == 0:
            plane = take_plane(sizes, block)
            nodes[label, leaf, POSITIVE] = plane
        if plane == 0:
            give_plane(sizes, block, np.int64(nodes[label, leaf, OWN]))
            nodes[label, leaf, OWN] = 0
            nodes[label, leaf, SEEN] = -1
            if leaf == shared:
                state.trees[label, SHARED] = -1
            return
        count_row(sizes, block, plane, slots, count)
        nodes[label, leaf, FOUND] += 1
    if not is_test_due(state, label, leaf):
        return
    rows = leaf_rows(state, label, leaf)
    positives = np.int64(nodes[label, leaf, FOUND])
    least = min(positives, rows - positives)
    nodes[label, leaf, NEXT] = max(least + 5, (6 * least + 4) // 5)
    positives_plane = np.int64(nodes[label, leaf, POSITIVE])
    split = best_split(sizes, block, state.slot_of, features, rows_plane, less, positives_plane, rows, positives)
    if split[0] >= 0:
        _split_leaf(state, label, leaf, rows, positives, split)


@kernel
def halve_counters(state: LabelTreeState) -> None:
    """Halve every whole count, so that none ever leaves its 32 bits. No difference of counts becomes negative."""
    width = state.sizes[WIDTH]
    for plane in range(state.sizes[PLANES]):
        for slot in range(1, width):
            state.block[plane * width + slot] >>= 1
    state.sizes[ROWS] >>= 1
    for label in range(state.trees.shape[0]):
        for node in range(NODES):
            state.nodes[label, node, SEEN] >>= 1
            state.nodes[label, node, FOUND] >>= 1
            state.nodes[label, node, NEXT] = max(state.nodes[label, node, NEXT] >> 1, FIRST_TEST)
