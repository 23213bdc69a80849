"""The joint posterior of pool and tree equals all 2^L label sets written down."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.learner.decode.joint import (
    BOTH,
    EMPTY,
    EXPECTED_SIZE,
    POOL_ALONE,
    TREE_ALONE,
    TREE_SHARE,
    JointScratch,
    joint_predict_row,
    joint_scratch,
)
from streamlearn.learner.decode.learned_pool import LearnedPool, learned_pool_learn_row
from streamlearn.learner.decode.pool_scores import LOG_NOVEL, LOG_POOLED, LOG_SUM, learned_pool_score_row
from streamlearn.learner.decode.tree_prior import TreePrior, tree_prior_learn_row, tree_prior_refresh
from streamlearn.learner.decode.utility import CANDIDATES, F1, F1_SET, POOL_SET, POSTERIOR, TREE_SET
from tests.naive.learner.decode import tree_prior as naive
from tests.naive.learner.decode import utility as naive_utility
from tests.naive.learner.partition.code_length import Node
from tests.unit.learner.partition.trees import build

PAIRS = ((0, 1, 2), (3, 4), (5,), (6, 7))
LABELS = 8
NO_NEIGHBOURS = np.zeros(0, np.int64), np.zeros(0), np.zeros(1, np.int64), np.zeros(0, np.int32)


class Joint:
    """A pool and a tree, driven the way the learner drives them, and the tree's twin."""

    def __init__(self, shape: Any, labels: int) -> None:
        self.labels = labels
        self.tree = build(shape)
        self.counts, self.twin = TreePrior(), Node(shape)
        self.counts.grow(labels)
        tree_prior_refresh(self.counts.state, self.tree)
        self.pool = LearnedPool()
        self.pool.grow(labels)
        self.positives = np.zeros(labels, np.int64)
        self.scratch = joint_scratch(labels)

    def predict(self, logits: np.ndarray, allowed: np.ndarray) -> JointScratch:
        pool = self.pool
        best = learned_pool_score_row(pool.state, pool.scratch, logits, self.labels, *NO_NEIGHBOURS)
        joint_predict_row(
            pool.state,
            pool.scratch,
            best,
            self.counts.state,
            self.tree,
            self.scratch,
            logits,
            self.labels,
            allowed,
        )
        return self.scratch

    def learn(self, row: set[int]) -> None:
        members = np.array(sorted(row), np.int32)
        self.positives[members] += 1
        learned_pool_learn_row(self.pool.state, self.pool.scratch, members, self.labels, self.positives)
        tree_prior_learn_row(self.counts.state, self.tree, members)
        self.twin.update(row)

    def pooled(self) -> dict[frozenset[int], float]:
        """Return the probability of each pooled set within the pool, of the row scored last."""
        sets, weights = self.pool.state.sets, self.pool.scratch.weights
        found = {}
        for place in range(int(sets.longer[0])):
            length = int(sets.links[1, place])
            found[frozenset(sets.members[:length, place].tolist())] = float(weights[place])
        total = sum(found.values())
        return {row: weight / total for row, weight in found.items()}

    def posterior(self, logits: np.ndarray) -> tuple[float, dict[frozenset[int], float]]:
        """Return the tree's share and the probability of each of the 2^L label sets."""
        values = logits.astype(float) - 0.5 * self.pool.state.prior_logits[: self.labels]
        tree_log_sum, by_tree = naive.posterior(self.twin, values.tolist())
        results = self.pool.scratch.results
        pool_mass = math.exp(results[LOG_POOLED] + results[LOG_SUM]) if math.isfinite(results[LOG_SUM]) else 0.0
        tree_mass = math.exp(results[LOG_NOVEL] + tree_log_sum)
        share = tree_mass / (tree_mass + pool_mass)
        by_pool = self.pooled() if pool_mass else {}
        return share, {row: share * p + (1.0 - share) * by_pool.get(row, 0.0) for row, p in by_tree.items()}


def members_of(scratch: JointScratch, candidate: int) -> set[int]:
    size = int(scratch.candidates.size[candidate])
    members = scratch.candidates.members[candidate, :size].tolist()
    assert members == sorted(set(members))
    return set(members)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    learnt=st.sampled_from([0, 1, 20, 120]),
    novel=st.sampled_from([0.1, 0.9]),
    forbidden=st.booleans(),
)
def test_equal_to_all_label_sets(seed, learnt, novel, forbidden):
    rng = np.random.default_rng(seed)
    joint = Joint(PAIRS, LABELS)
    favourites = [set(np.flatnonzero(rng.random(LABELS) < 0.3).tolist()) for _ in range(5)]
    allowed = np.ones(LABELS, np.uint8)
    for _ in range(learnt):
        joint.predict(rng.normal(-1.0, 2.0, LABELS).astype(np.float32), allowed)
        surprise = rng.random() < novel
        joint.learn(set(np.flatnonzero(rng.random(LABELS) < 0.3).tolist()) if surprise else favourites[rng.integers(5)])
    if forbidden:
        allowed[rng.integers(LABELS, size=3)] = 0
    logits = rng.normal(-1.0, 2.0, LABELS).astype(np.float32)
    scratch = joint.predict(logits, allowed)
    share, every = joint.posterior(logits)
    assert sum(every.values()) == pytest.approx(1.0)
    assert scratch.result[TREE_SHARE] == pytest.approx(share, rel=1e-4)
    assert scratch.result[EMPTY] == pytest.approx(every[frozenset()], rel=1e-3, abs=1e-9)
    marginals = [sum(p for row, p in every.items() if label in row) for label in range(LABELS)]
    # Pooled sets below 1e-4 of the best one's probability do not count.
    np.testing.assert_allclose(scratch.marginals, marginals, rtol=1e-3, atol=1e-4)
    assert scratch.result[EXPECTED_SIZE] == pytest.approx(sum(marginals), rel=1e-3)
    np.testing.assert_allclose(scratch.probabilities, 1.0 / (1.0 + np.exp(-logits)), rtol=1e-5)

    usable = set(np.flatnonzero(allowed).tolist())
    for candidate in range(CANDIDATES):
        if candidate == POOL_SET and learnt == 0:
            assert scratch.candidates.size[candidate] == -1
            continue
        members = members_of(scratch, candidate)
        assert members <= usable
        f1, posterior = scratch.candidates.predicted[candidate].tolist()
        expected = naive_utility.predicted_f1(scratch.marginals.tolist(), members, float(scratch.result[EMPTY]))
        assert f1 == pytest.approx(expected, rel=1e-4)
        assert posterior == pytest.approx(every[frozenset(members)], rel=1e-3, abs=1e-9)
    if learnt:
        pooled = joint.pooled()
        assert members_of(scratch, POOL_SET) in [
            set(row) & usable for row in pooled if pooled[row] == max(pooled.values())
        ]
    values = (logits.astype(float) - 0.5 * joint.pool.state.prior_logits[:LABELS]).tolist()
    if not forbidden:
        best = max(naive.best_way(joint.twin, set(row), values) for row in every)
        assert naive.best_way(joint.twin, members_of(scratch, TREE_SET), values) == pytest.approx(best, abs=1e-4)
    f1_set = naive_utility.f1_set(scratch.marginals.tolist(), usable, float(scratch.result[EMPTY]))
    best_f1 = naive_utility.predicted_f1(scratch.marginals.tolist(), f1_set, float(scratch.result[EMPTY]))
    assert scratch.candidates.predicted[F1_SET, F1] == pytest.approx(best_f1, rel=1e-4)


def test_extreme_logits_keep_probabilities_within_their_bounds():
    joint = Joint(PAIRS, LABELS)
    allowed = np.ones(LABELS, np.uint8)
    for row in ({0, 3}, {1}, set(), {0, 3}):
        joint.predict(np.zeros(LABELS, np.float32), allowed)
        joint.learn(row)
    for value in (-10.0, 10.0):
        scratch = joint.predict(np.full(LABELS, value, np.float32), allowed)
        assert 0.0 <= scratch.result[TREE_SHARE] <= 1.0
        assert (scratch.marginals >= 0.0).all()
        assert (scratch.marginals <= 1.0 + 1e-5).all()
        assert (scratch.candidates.predicted >= 0.0).all()
        assert (scratch.candidates.predicted[:, POSTERIOR] <= 1.0 + 1e-5).all()


def test_without_labels_and_with_one():
    for shape, labels in (((), 0), ((0,), 1)):
        joint = Joint(shape, labels)
        allowed = np.ones(labels, np.uint8)
        for row in (set(), set(range(labels)), set()):
            scratch = joint.predict(np.zeros(labels, np.float32), allowed)
            joint.learn(row)
        assert scratch.result[TREE_SHARE] >= 0.0
        assert members_of(scratch, TREE_SET) <= set(range(labels))
        if labels == 0:
            assert scratch.result[EMPTY] == pytest.approx(1.0)


def test_each_part_alone():
    rng = np.random.default_rng(7)
    joint = Joint(PAIRS, LABELS)
    allowed = np.ones(LABELS, np.uint8)
    favourites = [set(np.flatnonzero(rng.random(LABELS) < 0.3).tolist()) for _ in range(5)]
    logits = rng.normal(-1.0, 2.0, LABELS).astype(np.float32)
    joint.scratch.parts[0] = POOL_ALONE
    assert joint.predict(logits, allowed).result[TREE_SHARE] == 1.0, "the tree stands in for an empty pool"
    for row in range(60):
        joint.predict(logits, allowed)
        joint.learn(favourites[row % 5])
    joint.scratch.parts[0] = TREE_ALONE
    by_tree = joint.predict(logits, allowed).marginals[:LABELS].copy()
    assert joint.scratch.candidates.size[POOL_SET] == -1
    joint.scratch.parts[0] = POOL_ALONE
    by_pool = joint.predict(logits, allowed).marginals[:LABELS].copy()
    assert joint.scratch.candidates.size[TREE_SET] == -1
    np.testing.assert_array_equal(by_pool, joint.scratch.pool_marginals[:LABELS])
    joint.scratch.parts[0] = BOTH
    scratch = joint.predict(logits, allowed)
    share = np.float32(scratch.result[TREE_SHARE])
    assert 0.0 < share < 1.0
    np.testing.assert_allclose(scratch.marginals[:LABELS], share * by_tree + (1 - share) * by_pool, rtol=1e-5)
