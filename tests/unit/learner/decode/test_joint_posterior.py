"""The joint posterior of pool and tree equals the enumeration of all 2^L label sets."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.learner.decode.joint_posterior import (
    JointResult,
    JointScratch,
    PosteriorParts,
    joint_predict_row,
    joint_scratch,
)
from streamlearn.learner.decode.learned_pool import LearnedPool, learned_pool_learn_row
from streamlearn.learner.decode.pool_scores import PoolResult, learned_pool_score_row
from streamlearn.learner.decode.pooled_sets import SetField
from streamlearn.learner.decode.tree_prior import TreePrior, tree_prior_learn_row, tree_prior_refresh
from streamlearn.learner.decode.utility import Candidate, Measure
from tests.naive.learner.decode import tree_prior as naive
from tests.naive.learner.decode import utility as naive_utility
from tests.naive.learner.partition.code_length import Node
from tests.unit.learner.partition.trees import build

PAIRS = ((0, 1, 2), (3, 4), (5,), (6, 7))
LABELS = 8
NO_NEIGHBOURS = np.zeros(0, np.int64), np.zeros(0), np.zeros(1, np.int64), np.zeros(0, np.int32)


class JointDriver:
    """A pool and a tree, called as the learner calls them, and the tree's naive twin."""

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

    def pool_posterior(self) -> dict[frozenset[int], float]:
        """Return the probability of each pooled set within the pool, for the row scored last."""
        sets, weights = self.pool.state.sets, self.pool.scratch.weights
        found = {}
        for index in range(int(sets.at_least[0])):
            length = int(sets.fields[SetField.LENGTH, index])
            found[frozenset(sets.members[:length, index].tolist())] = float(weights[index])
        total = sum(found.values())
        return {row: weight / total for row, weight in found.items()}

    def posterior(self, logits: np.ndarray) -> tuple[float, dict[frozenset[int], float]]:
        """Return the tree's share and the probability of each of the 2^L label sets."""
        values = logits.astype(float) - 0.5 * self.pool.state.prior_logits[: self.labels]
        tree_log_sum, by_tree = naive.posterior(self.twin, values.tolist())
        results = self.pool.scratch.results
        log_sum = results[PoolResult.LOG_SUM]
        pool_mass = math.exp(results[PoolResult.LOG_POOLED] + log_sum) if math.isfinite(log_sum) else 0.0
        tree_mass = math.exp(results[PoolResult.LOG_NOVEL] + tree_log_sum)
        share = tree_mass / (tree_mass + pool_mass)
        by_pool = self.pool_posterior() if pool_mass else {}
        return share, {row: share * p + (1.0 - share) * by_pool.get(row, 0.0) for row, p in by_tree.items()}


def members_of(scratch: JointScratch, candidate: Candidate) -> set[int]:
    size = int(scratch.candidates.size[candidate])
    members = scratch.candidates.members[candidate, :size].tolist()
    assert members == sorted(set(members))
    return set(members)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    learned=st.sampled_from([0, 1, 20, 120]),
    novel=st.sampled_from([0.1, 0.9]),
    forbidden=st.booleans(),
)
def test_equals_the_enumeration_of_all_label_sets(seed, learned, novel, forbidden):
    rng = np.random.default_rng(seed)
    joint = JointDriver(PAIRS, LABELS)
    favourites = [set(np.flatnonzero(rng.random(LABELS) < 0.3).tolist()) for _ in range(5)]
    allowed = np.ones(LABELS, np.uint8)
    for _ in range(learned):
        joint.predict(rng.normal(-1.0, 2.0, LABELS).astype(np.float32), allowed)
        surprise = rng.random() < novel
        joint.learn(set(np.flatnonzero(rng.random(LABELS) < 0.3).tolist()) if surprise else favourites[rng.integers(5)])
    if forbidden:
        allowed[rng.integers(LABELS, size=3)] = 0
    logits = rng.normal(-1.0, 2.0, LABELS).astype(np.float32)
    scratch = joint.predict(logits, allowed)
    share, every = joint.posterior(logits)
    assert sum(every.values()) == pytest.approx(1.0)
    assert scratch.result[JointResult.TREE_SHARE] == pytest.approx(share, rel=1e-4)
    assert scratch.result[JointResult.EMPTY] == pytest.approx(every[frozenset()], rel=1e-3, abs=1e-9)
    marginals = [sum(p for row, p in every.items() if label in row) for label in range(LABELS)]
    # Pooled sets below 1e-4 of the best one's probability do not count.
    np.testing.assert_allclose(scratch.marginals, marginals, rtol=1e-3, atol=1e-4)
    assert scratch.result[JointResult.EXPECTED_SIZE] == pytest.approx(sum(marginals), rel=1e-3)
    np.testing.assert_allclose(scratch.probabilities, 1.0 / (1.0 + np.exp(-logits)), rtol=1e-5)

    usable = set(np.flatnonzero(allowed).tolist())
    q, empty = scratch.marginals.tolist(), float(scratch.result[JointResult.EMPTY])
    for candidate in Candidate:
        if candidate == Candidate.POOL_SET and learned == 0:
            assert scratch.candidates.size[candidate] == -1
            continue
        members = members_of(scratch, candidate)
        assert members <= usable
        f1, posterior = scratch.candidates.predicted[candidate].tolist()
        assert f1 == pytest.approx(naive_utility.predicted_f1(q, members, empty), rel=1e-4)
        assert posterior == pytest.approx(every[frozenset(members)], rel=1e-3, abs=1e-9)
    if learned:
        pooled = joint.pool_posterior()
        best_sets = [set(row) & usable for row in pooled if pooled[row] == max(pooled.values())]
        assert members_of(scratch, Candidate.POOL_SET) in best_sets
    values = (logits.astype(float) - 0.5 * joint.pool.state.prior_logits[:LABELS]).tolist()
    if not forbidden:
        best = max(naive.best_coding(joint.twin, set(row), values) for row in every)
        tree_set = members_of(scratch, Candidate.TREE_SET)
        assert naive.best_coding(joint.twin, tree_set, values) == pytest.approx(best, abs=1e-4)
    best_f1 = naive_utility.predicted_f1(q, naive_utility.f1_set(q, usable, empty), empty)
    assert scratch.candidates.predicted[Candidate.F1_SET, Measure.F1] == pytest.approx(best_f1, rel=1e-4)


def test_probabilities_of_extreme_logits_are_within_bounds():
    joint = JointDriver(PAIRS, LABELS)
    allowed = np.ones(LABELS, np.uint8)
    for row in ({0, 3}, {1}, set(), {0, 3}):
        joint.predict(np.zeros(LABELS, np.float32), allowed)
        joint.learn(row)
    for value in (-10.0, 10.0):
        scratch = joint.predict(np.full(LABELS, value, np.float32), allowed)
        assert 0.0 <= scratch.result[JointResult.TREE_SHARE] <= 1.0
        assert (scratch.marginals >= 0.0).all()
        assert (scratch.marginals <= 1.0 + 1e-5).all()
        assert (scratch.candidates.predicted >= 0.0).all()
        assert (scratch.candidates.predicted[:, Measure.POSTERIOR] <= 1.0 + 1e-5).all()


def test_no_label_and_one_label():
    for shape, labels in (((), 0), ((0,), 1)):
        joint = JointDriver(shape, labels)
        allowed = np.ones(labels, np.uint8)
        for row in (set(), set(range(labels)), set()):
            scratch = joint.predict(np.zeros(labels, np.float32), allowed)
            joint.learn(row)
        assert scratch.result[JointResult.TREE_SHARE] >= 0.0
        assert members_of(scratch, Candidate.TREE_SET) <= set(range(labels))
        if labels == 0:
            assert scratch.result[JointResult.EMPTY] == pytest.approx(1.0)


def test_one_part_alone_is_the_marginals_of_that_part():
    rng = np.random.default_rng(7)
    joint = JointDriver(PAIRS, LABELS)
    allowed = np.ones(LABELS, np.uint8)
    favourites = [set(np.flatnonzero(rng.random(LABELS) < 0.3).tolist()) for _ in range(5)]
    logits = rng.normal(-1.0, 2.0, LABELS).astype(np.float32)
    joint.scratch.parts[0] = PosteriorParts.POOL_ALONE
    assert joint.predict(logits, allowed).result[JointResult.TREE_SHARE] == 1.0, "the tree replaces an empty pool"
    for row in range(60):
        joint.predict(logits, allowed)
        joint.learn(favourites[row % 5])
    joint.scratch.parts[0] = PosteriorParts.TREE_ALONE
    by_tree = joint.predict(logits, allowed).marginals[:LABELS].copy()
    assert joint.scratch.candidates.size[Candidate.POOL_SET] == -1
    joint.scratch.parts[0] = PosteriorParts.POOL_ALONE
    by_pool = joint.predict(logits, allowed).marginals[:LABELS].copy()
    assert joint.scratch.candidates.size[Candidate.TREE_SET] == -1
    np.testing.assert_array_equal(by_pool, joint.scratch.pool_marginals[:LABELS])
    joint.scratch.parts[0] = PosteriorParts.BOTH
    scratch = joint.predict(logits, allowed)
    share = np.float32(scratch.result[JointResult.TREE_SHARE])
    assert 0.0 < share < 1.0
    np.testing.assert_allclose(scratch.marginals[:LABELS], share * by_tree + (1 - share) * by_pool, rtol=1e-5)
