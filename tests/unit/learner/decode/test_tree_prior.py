"""The tree's best set, sum and marginals equal the enumeration of all 2^L label sets."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.errors import SnapshotError
from streamlearn.learner.decode.tree_inference import (
    TreeResult,
    TreeScratch,
    tree_infer_row,
    tree_log_score,
    tree_scratch,
)
from streamlearn.learner.decode.tree_prior import (
    REFILL_ROWS,
    TreePrior,
    tree_prior_begin_label,
    tree_prior_learn_row,
    tree_prior_log_prior,
    tree_prior_refresh,
)
from streamlearn.learner.partition.cluster_tree import NODES, TreeState, tree_join
from streamlearn.learner.partition.clusters import Partition, due, partition_know, partition_learn_row
from streamlearn.learner.partition.code_length import RENORMALISE_ABOVE
from streamlearn.learner.partition.recent_label_sets import linear_recent_sets
from streamlearn.state.arrays import state_hash
from tests.naive.learner.decode import tree_prior as naive
from tests.naive.learner.partition.code_length import Node
from tests.unit.learner.partition.trees import build, labels_below, nested

FLAT = tuple(range(8))
ONE = (0,)
PAIRS = ((0, 1, 2), (3, 4), (5,), (6, 7))
DEEP = (((0, 5), (1,)), ((2, 3, 4), (6, 7)))
TREES = [FLAT, ONE, PAIRS, DEEP]


def empty_prior(tree: TreeState) -> TreePrior:
    """Return the prior of a tree whose nodes have seen nothing."""
    owner = TreePrior()
    owner.grow(len(tree.leaf_parent))
    tree_prior_refresh(owner.state, tree)
    return owner


def row_of(labels: Iterable[Any]) -> np.ndarray:
    return np.array(sorted(labels), np.int32)


def infer(
    owner: TreePrior, tree: TreeState, values: list[float], priors: list[float] | None = None
) -> tuple[TreeScratch, np.ndarray, set[int]]:
    n = len(values)
    scratch = tree_scratch(n)
    marginals, best = np.zeros(n, np.float32), np.zeros(n, np.int32)
    prior = np.array(priors or [0.0] * n, np.float32)
    logits = np.array(values, np.float32) + np.float32(0.5) * prior
    count = tree_infer_row(owner.state, tree, scratch, logits, prior, n, marginals, best)
    chosen = best[:count].tolist()
    assert chosen == sorted(set(chosen))
    return scratch, marginals, set(chosen)


def assert_equals_enumeration(owner: TreePrior, tree: TreeState, twin: Node, values: list[float]) -> None:
    values = np.array(values, np.float32).tolist()
    scratch, marginals, best = infer(owner, tree, values)
    total, every = naive.posterior(twin, values)
    assert scratch.result[TreeResult.LOG_SUM] == pytest.approx(total, abs=1e-5)
    for label in range(len(values)):
        expected = sum(p for row, p in every.items() if label in row)
        assert marginals[label] == pytest.approx(expected, rel=1e-4, abs=1e-7)
    highest = max(naive.best_coding(twin, set(row), values) for row in every)
    assert scratch.result[TreeResult.LOG_BEST] == pytest.approx(highest, abs=1e-5)
    assert naive.best_coding(twin, best, values) == pytest.approx(highest, abs=1e-5)
    for row in [frozenset(), frozenset(best), frozenset(range(len(values)))]:
        members = row_of(set(row))
        prior = tree_prior_log_prior(owner.state, tree, members)
        score = tree_log_score(scratch, prior, members, len(members))
        assert math.exp(score - scratch.result[TreeResult.LOG_SUM]) == pytest.approx(every[row], rel=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.sampled_from(TREES), seed=st.integers(0, 2**31), learned=st.integers(0, 150), spread=st.floats(0.0, 8.0)
)
def test_inference_equals_the_enumeration_of_all_label_sets(shape, seed, learned, spread):
    rng = np.random.default_rng(seed)
    tree, twin = build(shape), Node(shape)
    owner = empty_prior(tree)
    labels = labels_below(shape)
    favourites = [set(np.flatnonzero(rng.random(len(labels)) < 0.3).tolist()) for _ in range(6)]
    for _ in range(learned):
        row = favourites[rng.integers(6)] if rng.random() < 0.8 else set(np.flatnonzero(rng.random(len(labels)) < 0.3))
        tree_prior_learn_row(owner.state, tree, row_of(row))
        twin.update({int(label) for label in row})
    assert_equals_enumeration(owner, tree, twin, rng.normal(-1.0, spread, len(labels)).tolist())
    # Extreme values: labels that are all but excluded, where differences of products would lose every digit.
    assert_equals_enumeration(owner, tree, twin, [-14.0] * len(labels))
    assert_equals_enumeration(owner, tree, twin, [14.0] * len(labels))


def test_half_of_the_prior_logits_is_subtracted():
    tree = build(PAIRS)
    owner = empty_prior(tree)
    priors = [-3.0, 0.0, 1.0, -5.0, 2.0, 0.5, -0.5, 4.0]
    plain = infer(owner, tree, [0.5] * 8)
    shifted = infer(owner, tree, [0.5] * 8, priors)
    assert plain[0].result[TreeResult.LOG_SUM] == pytest.approx(shifted[0].result[TreeResult.LOG_SUM], abs=1e-5)


def test_replaced_patterns_and_renormalisation():
    rng = np.random.default_rng(3)
    tree, twin = build(FLAT), Node(FLAT)
    owner = empty_prior(tree)
    seen = set()
    for i in range(900):
        if i == 450:
            nodes = owner.state.nodes
            factor = RENORMALISE_ABOVE / 1.001 / nodes.increment[0]
            for name in ("pattern_weight", "pattern_total", "visits", "novel", "child_weight", "increment"):
                getattr(nodes, name)[0] *= factor
            tree_prior_refresh(owner.state, tree)
        row = set(np.flatnonzero(rng.random(8) < 0.5).tolist())
        seen.add(frozenset(row))
        tree_prior_learn_row(owner.state, tree, row_of(row))
        twin.update(row)
    assert len(seen) > 128
    assert owner.state.nodes.increment[0] < 2.0
    assert_equals_enumeration(owner, tree, twin, rng.normal(0.0, 2.0, 8).tolist())


def test_derived_arrays_are_updated_bit_for_bit():
    rng = np.random.default_rng(5)
    tree = build(DEEP)
    owner = empty_prior(tree)
    for _ in range(300):
        tree_prior_learn_row(owner.state, tree, row_of(set(np.flatnonzero(rng.random(8) < 0.3).tolist())))
    updated = [array.copy() for array in owner.state[1:]]
    tree_prior_refresh(owner.state, tree)
    for before, after in zip(updated, owner.state[1:], strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_label_that_joins_is_a_new_child():
    shape = ((0, 1, 2), (3, 4))
    tree, twin = build(shape, capacity=6), Node(shape)
    owner = empty_prior(tree)
    rng = np.random.default_rng(1)
    for _ in range(40):
        row = set(np.flatnonzero(rng.random(5) < 0.4).tolist())
        tree_prior_learn_row(owner.state, tree, row_of(row))
        twin.update(row)
    assert not tree_join(tree)
    assert nested(tree) == ((0, 1, 2), (3, 4, 5))
    tree_prior_begin_label(owner.state, tree, 5)
    twin.below[1] = twin.below[1] | {5}
    small = twin.nodes[1]
    assert small is not None
    small.below.append({5})
    small.nodes.append(None)
    small.child.append(0.0)
    small.patterns = {(*on, False): count for on, count in small.patterns.items()}
    assert_equals_enumeration(owner, tree, twin, [0.3, -1.0, 0.2, 0.0, -0.5, 1.5])


def stream(rows: int, labels: int, seed: int) -> list[np.ndarray]:
    """Return label sets in which label l and label l + labels // 2 mostly occur together."""
    rng = np.random.default_rng(seed)
    half = labels // 2
    found = []
    for _ in range(rows):
        lower = set(np.flatnonzero(rng.random(half) < 0.15).tolist())
        found.append(row_of(lower | {label + half for label in lower if rng.random() < 0.95}))
    return found


class TreeDriver:
    """A partition and the counts of its tree, called as the learner calls them."""

    def __init__(self, labels: int) -> None:
        self.partition = Partition(labels, maximum=64)
        self.owner = TreePrior()
        self.owner.follow(self.partition)

    def learn(self, row: np.ndarray) -> None:
        partition_learn_row(self.partition.state, row)
        tree_prior_learn_row(self.owner.state, self.partition.state.tree, row)
        if due(self.partition.state):
            self.partition.run_test()
            self.owner.follow(self.partition)

    def join(self, labels: int) -> None:
        self.partition.grow(labels)
        partition_know(self.partition.state, labels)
        self.owner.follow(self.partition)

    def hash(self) -> str:
        return state_hash(self.owner.arrays(self.partition))


def test_another_tree_is_refilled_from_the_last_label_sets():
    driver = TreeDriver(20)
    rows = stream(2_600, 20, 0)
    switched = 0
    for i, row in enumerate(rows):
        before = driver.partition.version
        driver.learn(row)
        if driver.partition.version != before:
            switched = i + 1
    assert driver.partition.switches >= 1
    tree = driver.partition.state.tree
    fresh = TreePrior()
    fresh.grow(20)
    tree_prior_refresh(fresh.state, tree)
    for row in rows[max(switched - REFILL_ROWS, 0) :]:
        tree_prior_learn_row(fresh.state, tree, row)
    arrays, expected = driver.owner.arrays(driver.partition), fresh.arrays(driver.partition)
    for name in arrays:
        if name != "followed":
            np.testing.assert_array_equal(arrays[name], expected[name])


def test_spare_capacity_is_not_state_while_labels_join_and_the_root_changes():
    driver, roomy = TreeDriver(15), TreeDriver(15)
    roomy.partition.grow(64)
    roomy.owner.grow(64)
    for i, row in enumerate(stream(400, 15, 2)):
        for each in (driver, roomy):
            if i in (90, 150, 151, 230):
                known = each.partition.known + 2
                each.join(known)
            each.learn(row if i % 10 else row_of({*row.tolist(), each.partition.known - 1}))
        assert driver.hash() == roomy.hash()
    assert driver.partition.known == 23
    assert int(driver.partition.state.tree.size[NODES]) > 1


@pytest.mark.parametrize("rows", [0, 250])
def test_restoring_continues_identically(rows):
    driver, restored = TreeDriver(12), TreeDriver(0)
    data = stream(600, 12, 4)
    for row in data[:rows]:
        driver.learn(row)
    restored.partition.load_arrays(driver.partition.arrays())
    arrays = {name: array.copy() for name, array in driver.owner.arrays(driver.partition).items()}
    restored.owner.load_arrays(arrays, restored.partition)
    for row in data[rows:]:
        driver.learn(row)
        restored.learn(row)
    assert driver.hash() == restored.hash()
    for before, after in zip(driver.owner.state[1:], restored.owner.state[1:], strict=True):
        np.testing.assert_array_equal(before[: len(after)], after[: len(before)])


def test_a_snapshot_that_does_not_fit_is_refused():
    driver = TreeDriver(12)
    arrays = driver.owner.arrays(driver.partition)
    with pytest.raises(SnapshotError, match="missing"):
        TreePrior().load_arrays({name: a for name, a in arrays.items() if name != "novel"}, driver.partition)
    with pytest.raises(SnapshotError, match="visits"):
        TreePrior().load_arrays({**arrays, "visits": np.zeros(99)}, driver.partition)


def test_counts_are_refilled_without_a_retired_label():
    driver = TreeDriver(12)
    for row in stream(300, 12, 6):
        driver.learn(row)
    driver.partition.retire(4)
    driver.owner.refill(driver.partition)
    tree = driver.partition.state.tree
    assert driver.owner.state.nodes.child_weight[tree.leaf_parent[4], tree.leaf_position[4]] == 0.0
    offsets, members = linear_recent_sets(driver.partition.state.replay)
    assert 4 not in members
    fresh = empty_prior(tree)
    for start, stop in itertools.pairwise(offsets.tolist()):
        tree_prior_learn_row(fresh.state, tree, members[start:stop])
    expected = fresh.arrays(driver.partition)
    for name, array in driver.owner.arrays(driver.partition).items():
        if name != "followed":
            np.testing.assert_array_equal(array, expected[name])


def test_no_label():
    partition = Partition(0)
    owner = TreePrior()
    owner.follow(partition)
    tree = partition.state.tree
    for _ in range(3):
        scratch = tree_scratch(0)
        nothing = np.zeros(0, np.float32)
        count = tree_infer_row(owner.state, tree, scratch, nothing, nothing, 0, nothing, np.zeros(0, np.int32))
        assert (count, scratch.result[TreeResult.LOG_SUM] <= 0.0) == (0, True)
        tree_prior_learn_row(owner.state, tree, np.zeros(0, np.int32))


def test_bytes_bound_holds():
    owner = TreePrior()
    owner.grow(100)
    held = sum(array.nbytes for array in (*owner.state.nodes, *owner.state[1:]))
    assert held <= TreePrior.bytes_bound(100)
