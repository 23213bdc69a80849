"""The Bernoulli tree: one small decision tree per label, grown by a likelihood-ratio test.

A row without the label costs nothing at an unsplit root, which shares its counts of rows with all labels. A label that
meets a row with unknown truth counts alone from then on. A tree with all its leaves stops watching and keeps counting.

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
    BINS,
    LEAST_WIDTH,
    PLANES,
    RESETS,
    ROWS,
    SIZES,
    SLOTS,
    SPLITS,
    WIDTH,
    count_row,
    row_slots,
)
from streamlearn.learner.experts.tree_nodes import (
    AGE,
    ALONE,
    EDGE,
    FEATURE,
    FIRST_TEST,
    LABEL_FIELDS,
    LEAVES,
    LEFT,
    NEXT,
    NODE_FIELDS,
    NODES,
    PARENT,
    SHARED,
    USED,
    WATCHING,
    LabelTreeState,
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
LEAVES_WIDE = 4
WIDE_LABELS = 500
HALVE_AT = 2**30
TREE_BYTES = 64 * 2**20


_ONE = np.float32(1.0)


class LabelTreeScratch(NamedTuple):
    """Memory of one row: ``bins`` uint8[columns], all 0 between calls; ``slots`` int32[columns]; ``leaf`` int32 and
    ``probability`` float64 [labels] of the row predicted last; ``reset`` int32[labels], the labels that it reset,
    ``excess`` float64[labels], by how many nats the decayed log loss of each was above the slow rate's, and ``age``
    int64[labels], the rows since its last reset, at most 100.
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
        p = (state.counts[label, 0, 0] + START) / (state.counts[label, 0, 1] + 1.0)
        column = np.int64(state.nodes[label, 0, FEATURE])
        while column >= 0:
            above = scratch.bins[column] > state.nodes[label, node, EDGE]
            node = np.int64(state.nodes[label, node, LEFT]) + np.int64(above)
            p = (state.counts[label, node, 0] + p) / (state.counts[label, node, 1] + 1.0)
            column = np.int64(state.nodes[label, node, FEATURE])
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
    features: int,
    slow_logits: np.ndarray,
) -> int:
    """Learn the row that `label_tree_predict_row` was called with last.

    Parameters
    ----------
    columns, bins: as there; truth: int8[labels], 1, 0 or -1 (unknown: counts stay, and the label counts alone from then
    on); complete: whether the truth says all labels; labels: as of the row; features: columns in use as of the row;
    slow_logits: float32[labels], the slow rate's logits for this row.

    Returns
    -------
    How many trees were reset to their root; ``scratch.reset`` begins with their labels, ascending.
    """
    if not complete:
        for label in range(labels):
            if truth[label] < 0 and state.trees[label, ALONE] == 0:
                count_alone(state, label)
    else:
        state.absent[0] = DECAY * state.absent[0] + 1.0
    count = row_slots(state.sizes, state.block, state.slot_of, columns, bins, scratch.slots)
    count_row(state.sizes, state.block, 0, scratch.slots, count)
    state.sizes[ROWS] += 1
    for label in range(labels):
        sign = _ONE if truth[label] == 1 else -_ONE
        slow = sigmoid32(sign * slow_logits[label])
        p = scratch.probability[label]
        own = np.float32(p if truth[label] == 1 else 1.0 - p)
        worse = LOSS_DECAY * state.worse[label] + np.float64(log32(slow / own))
        state.worse[label] = worse if truth[label] >= 0 else state.worse[label]
    most = LEAVES if labels < WIDE_LABELS else LEAVES_WIDE
    resets = 0
    for label in range(labels):
        if truth[label] < 0:
            continue
        y = np.float64(truth[label])
        leaf = np.int64(scratch.leaf[label])
        node = leaf
        while node >= 0:
            state.counts[label, node, 0] = DECAY * state.counts[label, node, 0] + y
            state.counts[label, node, 1] = DECAY * state.counts[label, node, 1] + 1.0
            node = np.int64(state.nodes[label, node, PARENT])
        if state.trees[label, WATCHING]:
            # Most rows are negatives in a leaf that shares its counts: nothing to count, and no call.
            if truth[label] == 1 or leaf != state.trees[label, SHARED] or is_test_due(state, label, leaf):
                watch_row(state, scratch.slots, count, label, leaf, truth[label] == 1, features)
            if state.trees[label, USED] >= 2 * most - 1:
                stop_watching(state, label)
        if state.trees[label, AGE] < LEAST_AGE:
            state.trees[label, AGE] += 1
        elif state.worse[label] > WORSE_NATS and state.trees[label, USED] > 1:
            scratch.excess[resets] = state.worse[label]
            scratch.age[resets] = state.trees[label, AGE]
            blank_tree(state, label)
            if state.trees[label, ALONE]:
                watch_alone(state, label, 0)
            else:
                watch_shared(state, label, 0)
            state.sizes[RESETS] += 1
            scratch.reset[resets] = label
            resets += 1
    if state.sizes[ROWS] >= HALVE_AT:
        halve_counters(state)
    return resets


@kernel
def label_tree_begin_label(state: LabelTreeState, label: int) -> None:
    """Give a label that joins an unsplit tree, as if all complete rows so far had been without it."""
    blank_tree(state, label)
    state.trees[label, SHARED] = 0
    state.trees[label, ALONE] = 0
    state.counts[label, 0, 1] = state.absent[0]


class LabelTrees:
    """Owns the trees of all labels and their counters.

    Parameters
    ----------
    tree_bytes:
        Bytes of the counters, a multiple of 4, at least 256. They are reserved at once and touched as needed. When they
        are used up, further columns are not watched and further leaves are not split; predictions go on.
    """

    def __init__(self, tree_bytes: int = TREE_BYTES) -> None:
        block = np.zeros(max(tree_bytes // 4, LEAST_WIDTH), np.int32)
        sizes = np.zeros(SIZES, np.int64)
        sizes[WIDTH], sizes[SLOTS], sizes[PLANES] = LEAST_WIDTH, 1, 1
        self.state = LabelTreeState(
            sizes,
            np.zeros(1),
            np.zeros((0, BINS), np.int32),
            block,
            np.zeros((0, NODES, NODE_FIELDS), np.int32),
            np.zeros((0, NODES, 2)),
            np.zeros((0, LABEL_FIELDS), np.int32),
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
        nodes[before:, :, [FEATURE, PARENT, NEXT]] = -1, -1, FIRST_TEST
        trees[before:, [USED, WATCHING]] = 1
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
        """Empty a slot and give its planes back."""
        label_tree_begin_label(self.state, label)

    @property
    def splits(self) -> int:
        """Splits so far, of all labels."""
        return int(self.state.sizes[SPLITS])

    @property
    def resets(self) -> int:
        """Trees reset so far."""
        return int(self.state.sizes[RESETS])

    def arrays(self, features: int, labels: int) -> dict[str, np.ndarray]:
        """Return the state of the columns and labels in use, by name."""
        state = self.state
        return {
            "sizes": state.sizes,
            "absent": state.absent,
            "slot_of": state.slot_of[:features],
            "block": state.block[: int(state.sizes[PLANES] * state.sizes[WIDTH])],
            "nodes": state.nodes[:labels].reshape(labels, NODES * NODE_FIELDS),
            "counts": state.counts[:labels].reshape(labels, NODES * 2),
            "trees": state.trees[:labels],
            "worse": state.worse[:labels],
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray], features: int, labels: int) -> None:
        """Take the state over; raises `SnapshotError` when a shape differs or the counters do not fit."""
        self.grow(features, labels)
        state = self.state
        load_whole(state.sizes, arrays["sizes"])
        load_whole(state.absent, arrays["absent"])
        used = int(state.sizes[PLANES] * state.sizes[WIDTH])
        if not 0 < used <= state.block.size:
            raise SnapshotError(
                f"the label trees' counters of the snapshot take {4 * used} bytes, this model has "
                f"{state.block.nbytes}: the snapshot belongs to other settings"
            )
        load_labels(state.block, get_lazy(arrays, "block"), used)
        load_label_columns(state.slot_of, arrays["slot_of"], features, BINS)
        rooms = len(state.trees)
        load_label_columns(
            state.nodes.reshape(rooms, NODES * NODE_FIELDS), arrays["nodes"], labels, NODES * NODE_FIELDS
        )
        load_label_columns(state.counts.reshape(rooms, NODES * 2), arrays["counts"], labels, NODES * 2)
        load_label_columns(state.trees, arrays["trees"], labels, LABEL_FIELDS)
        load_labels(state.worse, arrays["worse"], labels)

    @staticmethod
    def bytes_bound(features: int, labels: int, tree_bytes: int = TREE_BYTES) -> int:
        """Return the largest size in bytes with that many columns and labels, and so many bytes of counters."""
        return (
            tree_bytes
            + 4 * BINS * features
            + labels * (4 * NODES * NODE_FIELDS + 16 * NODES + 4 * LABEL_FIELDS + 8)
            + 8 * SIZES
            + 8
        )
