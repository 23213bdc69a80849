"""Label tree: one small Bernoulli decision tree per label, grown by a likelihood-ratio test.

A tree predicts from the decayed counts of rows and positives at its nodes. A leaf splits when a test (`tree_split`) of
the rows that it has counted (`tree_nodes`, `tree_counters`) finds a significant edge. A tree whose log loss is worse
than the slow rate's is reset to an unsplit root.

Source: our own measurements; the tree's split criterion is the multivariate Bernoulli entropy of Esteban, Cano, Zafra
and Ventura (2024) for one label, the test is in `tree_split`, the path's smoothing is Buntine's, *Learning
classification trees* (Statistics and Computing 2, 1992), with one pseudo-row of the parent's probability.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.kernels.compiler import kernel
from streamlearn.learner.experts.tree_counters import (
    LEAST_PLANE_WIDTH,
    SIZE_FIELDS,
    WATCHED_BINS,
    Size,
    count_row,
    row_slots,
)
from streamlearn.learner.experts.tree_nodes import (
    COUNT_FIELDS,
    FIRST_TEST,
    MAXIMUM_LEAVES,
    MAXIMUM_NODES,
    NODE_FIELDS,
    TREE_FIELDS,
    Count,
    LabelTreeState,
    Node,
    Tree,
    blank_tree,
    count_alone,
    halve_counters,
    is_test_due,
    stop_watching,
    watch_alone,
    watch_row,
    watch_shared,
)
from streamlearn.numerics.exp_log import log32
from streamlearn.numerics.logistic import sigmoid32
from streamlearn.state.array_loading import load_label_columns, load_labels, load_whole
from streamlearn.state.growth import grow
from streamlearn.state.lazy_arrays import get_lazy

START = 0.05
DECAY = 0.999
LOSS_DECAY = 0.995
CLIP = 1e-4
WORSE_NATS = 5.0
LEAST_AGE = 100
MAXIMUM_LEAVES_WIDE = 4
"""Maximum number of leaves from WIDE_LABELS labels on."""

WIDE_LABELS = 500
HALVE_AT = 2**30
TREE_BYTES = 64 * 2**20

_ONE = np.float32(1.0)


class LabelTreeScratch(NamedTuple):
    """Memory of one row; never part of the state.

    Attributes
    ----------
    bins
        uint8[columns], the instance's bins by column; all 0 between calls.
    slots
        int32[columns], the row's slots.
    leaf, probability
        int32 and float64[labels], of the row predicted last.
    reset
        int32[labels], the labels whose trees were reset.
    excess
        float64[labels], for each reset tree the nats by which its decayed log loss exceeded the slow rate's.
    age
        int64[labels], for each reset tree its known rows since the reset before, at most 100.
    """

    bins: np.ndarray
    slots: np.ndarray
    leaf: np.ndarray
    probability: np.ndarray
    reset: np.ndarray
    excess: np.ndarray
    age: np.ndarray


@kernel
def label_tree_predict_row(
    state: LabelTreeState,
    scratch: LabelTreeScratch,
    columns: np.ndarray,
    bins: np.ndarray,
    labels: int,
    out: np.ndarray,
) -> None:
    """Write the logits of all labels to ``out`` float32[labels] and each label's leaf to ``scratch``.

    ``columns`` int32 and ``bins`` uint8 (0 to 3) are one instance's entries; a column without an entry is in bin 0.
    """
    for entry in range(columns.size):
        scratch.bins[columns[entry]] = bins[entry]
    for label in range(labels):
        node = np.int64(0)
        p = (state.counts[label, 0, Count.POSITIVES] + START) / (state.counts[label, 0, Count.ROWS] + 1.0)
        column = np.int64(state.nodes[label, 0, Node.COLUMN])
        while column >= 0:
            above = scratch.bins[column] > state.nodes[label, node, Node.EDGE]
            node = np.int64(state.nodes[label, node, Node.LEFT]) + np.int64(above)
            p = (state.counts[label, node, Count.POSITIVES] + p) / (state.counts[label, node, Count.ROWS] + 1.0)
            column = np.int64(state.nodes[label, node, Node.COLUMN])
        scratch.leaf[label] = node
        scratch.probability[label] = min(max(p, CLIP), 1.0 - CLIP)
    for entry in range(columns.size):
        scratch.bins[columns[entry]] = 0
    for label in range(labels):
        p = scratch.probability[label]
        out[label] = log32(np.float32(p / (1.0 - p)))


@kernel
def label_tree_learn_row(
    state: LabelTreeState,
    scratch: LabelTreeScratch,
    columns: np.ndarray,
    bins: np.ndarray,
    truth: np.ndarray,
    complete: bool,
    labels: int,
    column_end: int,
    slow_logits: np.ndarray,
) -> int:
    """Learn the row that `label_tree_predict_row` predicted last.

    Parameters
    ----------
    columns, bins
        As for `label_tree_predict_row`.
    truth
        int8[labels], 1, 0 or -1 (unknown: counts stay, and the label counts alone from now on).
    complete
        Whether all labels are known.
    labels
        Number of labels when the row is learnt.
    column_end
        Highest column that learnt rows have used, this row included, plus 1.
    slow_logits
        float32[labels], the slow rate's logits for this row.

    Returns
    -------
    Number of trees that were reset to an unsplit root; ``scratch.reset`` begins with their labels, ascending.
    """
    if not complete:
        for label in range(labels):
            if truth[label] < 0 and state.trees[label, Tree.ALONE] == 0:
                count_alone(state, label)
    else:
        state.absent[0] = DECAY * state.absent[0] + 1.0
    count = row_slots(state.sizes, state.block, state.slot_of, columns, bins, scratch.slots)
    count_row(state.sizes, state.block, 0, scratch.slots, count)
    state.sizes[Size.ROWS] += 1
    for label in range(labels):
        sign = _ONE if truth[label] == 1 else -_ONE
        slow = sigmoid32(sign * slow_logits[label])
        p = scratch.probability[label]
        own = np.float32(p if truth[label] == 1 else 1.0 - p)
        worse = LOSS_DECAY * state.worse[label] + np.float64(log32(slow / own))
        state.worse[label] = worse if truth[label] >= 0 else state.worse[label]
    maximum_leaves = MAXIMUM_LEAVES if labels < WIDE_LABELS else MAXIMUM_LEAVES_WIDE
    resets = 0
    for label in range(labels):
        if truth[label] < 0:
            continue
        y = np.float64(truth[label])
        leaf = np.int64(scratch.leaf[label])
        node = leaf
        while node >= 0:
            state.counts[label, node, Count.POSITIVES] = DECAY * state.counts[label, node, Count.POSITIVES] + y
            state.counts[label, node, Count.ROWS] = DECAY * state.counts[label, node, Count.ROWS] + 1.0
            node = np.int64(state.nodes[label, node, Node.PARENT])
        if state.trees[label, Tree.WATCHING]:
            # Most rows are negatives in the shared leaf: nothing to count, and no call.
            if truth[label] == 1 or leaf != state.trees[label, Tree.SHARED] or is_test_due(state, label, leaf):
                watch_row(state, scratch.slots, count, label, leaf, truth[label] == 1, column_end)
            if state.trees[label, Tree.NODES] >= 2 * maximum_leaves - 1:
                stop_watching(state, label)
        if state.trees[label, Tree.AGE] < LEAST_AGE:
            state.trees[label, Tree.AGE] += 1
        elif state.worse[label] > WORSE_NATS and state.trees[label, Tree.NODES] > 1:
            scratch.excess[resets] = state.worse[label]
            scratch.age[resets] = state.trees[label, Tree.AGE]
            blank_tree(state, label)
            if state.trees[label, Tree.ALONE]:
                watch_alone(state, label, 0)
            else:
                watch_shared(state, label, 0)
            state.sizes[Size.RESETS] += 1
            scratch.reset[resets] = label
            resets += 1
    if state.sizes[Size.ROWS] >= HALVE_AT:
        halve_counters(state)
    return resets


@kernel
def label_tree_begin_label(state: LabelTreeState, label: int) -> None:
    """Give a label that joins an unsplit tree that counts all complete rows so far as negatives."""
    blank_tree(state, label)
    state.trees[label, Tree.SHARED] = 0
    state.trees[label, Tree.ALONE] = 0
    state.counts[label, 0, Count.ROWS] = state.absent[0]


class LabelTrees:
    """Owns the trees of all labels and their counters.

    Parameters
    ----------
    tree_bytes:
        Size of the counters in bytes, a multiple of 4, at least 256. They are reserved at once and touched as needed.
        When they are used up, further columns are not watched and further leaves are not split; predictions go on.
    """

    def __init__(self, tree_bytes: int = TREE_BYTES) -> None:
        block = np.zeros(max(tree_bytes // 4, LEAST_PLANE_WIDTH), np.int32)
        sizes = np.zeros(SIZE_FIELDS, np.int64)
        sizes[Size.WIDTH], sizes[Size.SLOTS], sizes[Size.PLANES] = LEAST_PLANE_WIDTH, 1, 1
        self.state = LabelTreeState(
            sizes,
            np.zeros(1),
            np.zeros((0, WATCHED_BINS), np.int32),
            block,
            np.zeros((0, MAXIMUM_NODES, NODE_FIELDS), np.int32),
            np.zeros((0, MAXIMUM_NODES, COUNT_FIELDS)),
            np.zeros((0, TREE_FIELDS), np.int32),
            np.zeros(0),
        )
        self.scratch = LabelTreeScratch(
            np.zeros(0, np.uint8),
            np.zeros(0, np.int32),
            np.zeros(0, np.int32),
            np.zeros(0),
            np.zeros(0, np.int32),
            np.zeros(0),
            np.zeros(0, np.int64),
        )

    def grow(self, features: int, labels: int) -> None:
        """Make room for ``features`` columns and ``labels`` labels; new labels start with an unsplit tree."""
        state, scratch = self.state, self.scratch
        before = len(state.trees)
        nodes, trees = grow(state.nodes, labels), grow(state.trees, labels)
        nodes[before:, :, [Node.COLUMN, Node.PARENT, Node.NEXT_TEST]] = -1, -1, FIRST_TEST
        trees[before:, [Tree.NODES, Tree.WATCHING]] = 1
        self.state = state._replace(
            slot_of=grow(state.slot_of, features),
            nodes=nodes,
            counts=grow(state.counts, labels),
            trees=trees,
            worse=grow(state.worse, labels),
        )
        self.scratch = LabelTreeScratch(
            grow(scratch.bins, features), grow(scratch.slots, features), *(grow(a, labels) for a in scratch[2:])
        )

    def retire(self, label: int) -> None:
        """Reset a label slot and free its planes."""
        label_tree_begin_label(self.state, label)

    @property
    def splits(self) -> int:
        """Number of splits so far, over all labels."""
        return int(self.state.sizes[Size.SPLITS])

    @property
    def resets(self) -> int:
        """Number of resets so far, over all labels."""
        return int(self.state.sizes[Size.RESETS])

    def arrays(self, features: int, labels: int) -> dict[str, np.ndarray]:
        """Return the state of the columns and labels in use."""
        state = self.state
        return {
            "sizes": state.sizes,
            "absent": state.absent,
            "slot_of": state.slot_of[:features],
            "block": state.block[: int(state.sizes[Size.PLANES] * state.sizes[Size.WIDTH])],
            "nodes": state.nodes[:labels].reshape(labels, MAXIMUM_NODES * NODE_FIELDS),
            "counts": state.counts[:labels].reshape(labels, MAXIMUM_NODES * COUNT_FIELDS),
            "trees": state.trees[:labels],
            "worse": state.worse[:labels],
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray], features: int, labels: int) -> None:
        """Load the state; raises `SnapshotError` when a shape differs or the counters do not fit."""
        self.grow(features, labels)
        state = self.state
        load_whole(state.sizes, arrays["sizes"])
        load_whole(state.absent, arrays["absent"])
        used = int(state.sizes[Size.PLANES] * state.sizes[Size.WIDTH])
        if not 0 < used <= state.block.size:
            raise SnapshotError(
                f"the label trees' counters of the snapshot take {4 * used} bytes, this model has "
                f"{state.block.nbytes}: the snapshot belongs to other settings"
            )
        load_labels(state.block, get_lazy(arrays, "block"), used)
        load_label_columns(state.slot_of, arrays["slot_of"], features, WATCHED_BINS)
        capacity = len(state.trees)
        node_width, count_width = MAXIMUM_NODES * NODE_FIELDS, MAXIMUM_NODES * COUNT_FIELDS
        load_label_columns(state.nodes.reshape(capacity, node_width), arrays["nodes"], labels, node_width)
        load_label_columns(state.counts.reshape(capacity, count_width), arrays["counts"], labels, count_width)
        load_label_columns(state.trees, arrays["trees"], labels, TREE_FIELDS)
        load_labels(state.worse, arrays["worse"], labels)

    @staticmethod
    def bytes_bound(features: int, labels: int, tree_bytes: int = TREE_BYTES) -> int:
        """Return the largest size in bytes with that many columns, labels and bytes of counters."""
        return (
            tree_bytes
            + 4 * WATCHED_BINS * features
            + labels * (MAXIMUM_NODES * (4 * NODE_FIELDS + 8 * COUNT_FIELDS) + 4 * TREE_FIELDS + 8)
            + 8 * SIZE_FIELDS
            + 8
        )
