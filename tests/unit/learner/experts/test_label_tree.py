"""Label trees: equal to their plain twins, which keep the rows themselves.

Also with unknown truths, labels that join late, resets and full counters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from streamlearn.errors import SnapshotError
from streamlearn.learner.experts import label_tree
from streamlearn.learner.experts.label_tree import (
    LabelTrees,
    label_tree_begin_label,
    label_tree_learn_row,
    label_tree_predict_row,
)
from streamlearn.learner.experts.rates import Rates, rates_begin_label, rates_learn_row, rates_predict_row
from streamlearn.learner.experts.tree_counters import Size
from streamlearn.learner.experts.tree_nodes import MAXIMUM_LEAVES, Count, Node, Tree
from streamlearn.state.arrays import state_hash
from tests.naive.learner.experts.label_tree import LabelTree

Row = dict[int, int]


class Trees:
    """The trees and, if ``twins``, their twins, driven as the step drives them."""

    def __init__(self, columns: int, labels: int, *, tree_bytes: int = 2**20, twins: bool = True) -> None:
        self.owner = LabelTrees(tree_bytes)
        self.owner.grow(columns, labels)
        self.rates = Rates()
        self.rates.grow(labels)
        self.columns = columns
        self.labels = labels
        self.twins = [LabelTree() for _ in range(labels)] if twins else []
        self.rows: list[Row] = []
        self.complete = 0

    def logits(self, x: Row) -> np.ndarray:
        columns = np.array(sorted(x), np.int32)
        bins = np.array([x[column] for column in sorted(x)], np.uint8)
        out = np.zeros(self.labels, np.float32)
        label_tree_predict_row(self.owner.state, self.owner.scratch, columns, bins, self.labels, out)
        return out

    def learn(self, x: Row, truth: Sequence[int | None]) -> list[int]:
        """Predict and learn a row, compare with the twins, and return the labels that were reset."""
        logits = self.logits(x)
        assert not self.owner.scratch.bins.any()
        columns = np.array(sorted(x), np.int32)
        bins = np.array([x[column] for column in sorted(x)], np.uint8)
        slow, fast = np.zeros(self.labels, np.float32), np.zeros(self.labels, np.float32)
        rates_predict_row(self.rates.state, self.labels, fast, slow)
        signs = np.array([-1 if y is None else y for y in truth], np.int8)
        complete = bool((signs >= 0).all())
        count = label_tree_learn_row(
            self.owner.state,
            self.owner.scratch,
            columns,
            bins,
            signs,
            complete,
            self.labels,
            self.columns,
            slow,
        )
        reset = self.owner.scratch.reset[:count].tolist()
        expected = []
        for label, twin in enumerate(self.twins):
            p = twin.probability(x)
            assert logits[label] == pytest.approx(math.log(p / (1.0 - p)), rel=1e-4, abs=1e-4)
            if twin.learn(x, truth[label], 1.0 / (1.0 + math.exp(-float(slow[label]))), self.columns):
                expected.append(label)
        assert not self.twins or reset == expected
        rates_learn_row(self.rates.state, signs, self.labels, complete)
        self.rows.append(x)
        self.complete += complete
        return reset

    def join(self) -> None:
        self.owner.grow(self.columns, self.labels + 1)
        self.rates.grow(self.labels + 1)
        label_tree_begin_label(self.owner.state, self.labels)
        rates_begin_label(self.rates.state, self.labels)
        self.labels += 1
        self.twins.append(LabelTree(self.rows, self.complete))

    def assert_equal_shape(self) -> None:
        """Assert that the trees have as many leaves as their twins, and that no plane is lost."""
        state = self.owner.state
        leaves = [(nodes + 1) // 2 for nodes in state.trees[: self.labels, Tree.NODES]]
        assert leaves == [twin.leaves for twin in self.twins]
        assert self.owner.splits == sum(twin.splits for twin in self.twins)
        assert self.owner.resets == sum(twin.resets for twin in self.twins)
        assert_planes_accounted(self.owner)

    def arrays(self) -> dict[str, np.ndarray]:
        return self.owner.arrays(self.columns, self.labels)


def assert_planes_accounted(owner: LabelTrees) -> None:
    """Assert that every plane is the shared one, free, or belongs to exactly one leaf."""
    state = owner.state
    held = [int(plane) for plane in state.nodes[:, :, [Node.ROWS_PLANE, Node.POSITIVES_PLANE]].ravel() if plane > 0]
    free, plane = [], int(state.sizes[Size.FREE])
    while plane > 0:
        free.append(plane)
        plane = int(state.block[plane * int(state.sizes[Size.WIDTH])])
    assert sorted([0, *held, *free]) == list(range(int(state.sizes[Size.PLANES])))
    assert state.sizes[Size.PLANES] * state.sizes[Size.WIDTH] <= state.block.size


def stream(
    seed: int, rows: int, columns: int, labels: int, *, dense: bool, change: int = 10**9
) -> list[tuple[Row, list[int | None]]]:
    """Return rows whose labels depend on one or two columns each; from row ``change`` on, on others."""
    generator = np.random.default_rng(seed)
    result = []
    for row in range(rows):
        bins = generator.integers(0, 4, columns) if dense else (generator.random(columns) < 0.25).astype(int)
        if generator.random() < 0.03:
            bins[:] = 0
        kept = (bins > 0) | (generator.random(columns) < 0.1)
        x = {int(column): int(bins[column]) for column in np.flatnonzero(kept)}
        shift = 0 if row < change else 3
        truth: list[int | None] = []
        for label in range(labels):
            a, b = (label + shift) % columns, (2 * label + 1 + shift) % columns
            likely = 0.9 if bins[a] > (1 if dense else 0) else (0.5 if bins[b] > 0 else 0.04)
            truth.append(int(generator.random() < likely * (1.0 if label % 2 == 0 else 0.5)))
        result.append((x, truth))
    return result


@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
@pytest.mark.parametrize("labels", [1, 5])
@pytest.mark.parametrize("seed", range(3))
def test_trees_equal_their_twins(seed, labels, dense):
    trees = Trees(7, labels)
    for x, truth in stream(seed, 700, 7, labels, dense=dense):
        trees.learn(x, truth)
    trees.assert_equal_shape()
    assert trees.owner.splits > 0


@pytest.mark.parametrize("seed", range(3))
def test_trees_equal_their_twins_under_unknown_truths_late_labels_and_resets(seed):
    generator = np.random.default_rng(100 + seed)
    trees = Trees(7, 3)
    for row, (x, whole) in enumerate(stream(seed, 1200, 7, 6, dense=seed % 2 == 0, change=600)):
        if row in (1, 150, 400):
            trees.join()
        truth = whole[: trees.labels]
        if row > 200 and generator.random() < 0.3:
            truth = [None if label in (1, 3, 4) and generator.random() < 0.5 else y for label, y in enumerate(truth)]
        trees.learn(x, truth)
    trees.assert_equal_shape()
    assert trees.owner.resets > 0
    assert trees.owner.state.trees[: trees.labels, Tree.ALONE].tolist() == [0, 1, 0, 1, 1, 0]


def test_a_row_without_known_labels_changes_no_tree():
    trees = Trees(4, 2)
    for x, truth in stream(1, 200, 4, 2, dense=False):
        trees.learn(x, truth)
    before = {name: trees.arrays()[name].copy() for name in ("counts", "worse")}
    for x, _ in stream(2, 20, 4, 2, dense=False):
        trees.learn(x, [None, None])
    for name, array in before.items():
        np.testing.assert_array_equal(trees.arrays()[name], array)


def test_without_labels_columns_or_entries_nothing_fails():
    assert Trees(3, 0).learn({0: 1}, []) == []
    empty = Trees(0, 1)
    for _ in range(60):
        empty.learn({}, [1])
        empty.learn({}, [0])
    assert empty.owner.splits == 0
    assert empty.logits({})[0] == pytest.approx(0.0, abs=0.1)


def test_a_full_tree_stops_watching_frees_its_planes_and_keeps_counting():
    trees = Trees(12, 1, twins=False)
    generator = np.random.default_rng(4)
    for _ in range(6000):
        bins = generator.integers(0, 4, 12)
        trees.learn({c: int(b) for c, b in enumerate(bins) if b}, [int(generator.random() < bins[:5].sum() / 15)])
    state = trees.owner.state
    assert state.trees[0, Tree.NODES] == 2 * MAXIMUM_LEAVES - 1
    assert state.trees[0, Tree.WATCHING] == 0
    assert not state.nodes[0, :, [Node.ROWS_PLANE, Node.POSITIVES_PLANE]].any()
    assert_planes_accounted(trees.owner)
    before = trees.logits({})[0]
    for _ in range(50):
        trees.learn({}, [1])
    assert trees.logits({})[0] > before + 1.0


def test_with_500_labels_a_tree_has_at_most_4_leaves():
    trees = Trees(12, 500, twins=False)
    generator = np.random.default_rng(4)
    for _ in range(3000):
        bins = generator.integers(0, 4, 12)
        positive = int(generator.random() < bins[:5].sum() / 15)
        trees.learn({c: int(b) for c, b in enumerate(bins) if b}, [positive] + [0] * 499)
    assert trees.owner.state.trees[0, Tree.NODES] == 7
    assert trees.owner.state.trees[0, Tree.WATCHING] == 0


def test_when_the_block_is_full_columns_are_not_watched_and_leaves_not_split_but_predictions_go_on():
    rows = stream(5, 900, 300, 6, dense=True)
    small, large = Trees(300, 6, tree_bytes=2048, twins=False), Trees(300, 6, tree_bytes=2**22, twins=False)
    for x, truth in rows:
        small.learn(x, truth)
        large.learn(x, truth)
        assert_planes_accounted(small.owner)
    assert small.owner.state.block.nbytes == 2048
    assert (small.owner.state.slot_of == -1).any()
    assert large.owner.splits > small.owner.splits
    assert np.isfinite(small.logits({0: 1})).all()
    assert small.owner.state.counts[0, 0, Count.ROWS] > 500
    for label in range(6):
        small.owner.retire(label)
    assert_planes_accounted(small.owner)


def test_unknown_truths_when_the_block_is_full_only_stop_the_watching():
    trees = Trees(40, 8, tree_bytes=256 * 12, twins=False)
    for row, (x, truth) in enumerate(stream(6, 400, 40, 8, dense=False)):
        trees.learn(x, [None] * 8 if row % 7 == 5 else truth)
        assert_planes_accounted(trees.owner)
    assert (trees.owner.state.trees[:8, Tree.ALONE] == 1).all()
    assert (trees.owner.state.counts[:8, 0, Count.ROWS] > 200).all()


def test_spare_capacity_changes_nothing():
    tight, roomy = Trees(7, 4, twins=False), Trees(7, 4, twins=False)
    roomy.owner.grow(64, 40)
    for row, (x, truth) in enumerate(stream(7, 900, 7, 4, dense=True, change=500)):
        if row == 300:
            roomy.owner.grow(500, 100)
        tight.learn(x, truth)
        roomy.learn(x, truth)
    assert state_hash(tight.arrays()) == state_hash(roomy.arrays())


def test_wider_planes_keep_their_counts():
    """Columns that appear after the first 64 bins move the counters of the earlier ones."""
    trees = Trees(120, 2)
    rows = stream(8, 500, 120, 2, dense=True)
    for row, (x, truth) in enumerate(rows):
        trees.learn({c: b for c, b in x.items() if c < 4 + row // 3}, truth)
    assert trees.owner.state.sizes[Size.WIDTH] > 300
    assert trees.owner.state.sizes[Size.SLOTS] <= trees.owner.state.sizes[Size.WIDTH]
    trees.assert_equal_shape()


def test_a_retired_slot_is_as_new():
    trees = Trees(7, 3)
    rows = stream(9, 900, 7, 3, dense=False)
    for x, truth in rows[:450]:
        trees.learn(x, [truth[0], None if len(trees.rows) % 5 == 0 else truth[1], truth[2]])
    trees.owner.retire(1)
    label_tree_begin_label(trees.owner.state, 1)
    splits = trees.twins[1].splits
    trees.twins[1] = LabelTree(trees.rows, trees.complete)
    trees.twins[1].splits = splits
    for x, truth in rows[450:]:
        trees.learn(x, truth)
    trees.assert_equal_shape()


def test_state_round_trips_in_the_middle_of_a_stream():
    rows = stream(10, 900, 7, 4, dense=True, change=450)
    rows = [(x, [None, *truth[1:]] if row % 11 == 0 else truth) for row, (x, truth) in enumerate(rows)]
    whole = Trees(7, 4, twins=False)
    for x, truth in rows[:600]:
        whole.learn(x, truth)
    arrays = {name: array.copy() for name, array in whole.arrays().items()}
    slow = {name: array.copy() for name, array in whole.rates.arrays(4).items()}
    again = Trees(0, 0, twins=False)
    again.columns, again.labels = 7, 4
    again.owner.load_arrays(arrays, 7, 4)
    again.rates.load_arrays(slow, 4)
    assert state_hash(again.arrays()) == state_hash(arrays)
    for x, truth in rows[600:]:
        whole.learn(x, truth)
        again.learn(x, truth)
    assert state_hash(again.arrays()) == state_hash(whole.arrays())
    assert sum(array.nbytes for array in arrays.values()) <= whole.owner.bytes_bound(7, 4)
    for name in ("nodes", "block", "slot_of"):
        with pytest.raises(SnapshotError):
            LabelTrees(2**20).load_arrays(arrays | {name: arrays[name][:-1]}, 7, 4)
    with pytest.raises(SnapshotError, match="bytes"):
        LabelTrees(256).load_arrays(arrays, 7, 4)


def test_counts_are_halved_before_they_overflow_32_bits():
    trees = Trees(7, 4, twins=False)
    rows = stream(11, 700, 7, 4, dense=True)
    for x, truth in rows[:400]:
        trees.learn(x, truth)
    state = trees.owner.state
    state.sizes[Size.ROWS] = label_tree.HALVE_AT - 1
    for label in range(4):
        if state.trees[label, Tree.SHARED] == 0:
            state.nodes[label, 0, Node.POSITIVES] = label_tree.HALVE_AT // 2
    trees.learn(*rows[400])
    assert state.sizes[Size.ROWS] == label_tree.HALVE_AT // 2
    width, slots = int(state.sizes[Size.WIDTH]), int(state.sizes[Size.SLOTS])
    for label in range(4):
        for node in range(int(state.trees[label, Tree.NODES])):
            own, positive = (int(state.nodes[label, node, field]) for field in (Node.ROWS_PLANE, Node.POSITIVES_PLANE))
            counted = state.block[own * width :][:slots] if own else np.zeros(slots, np.int32)
            if node == state.trees[label, Tree.SHARED]:
                counted = state.block[:slots] - counted
            if positive:
                assert (counted[1:] >= state.block[positive * width :][1:slots]).all()
    for x, truth in rows[401:]:
        trees.learn(x, truth)
