"""Decision rules choose what their names say."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.learner.decode.decision import (
    BALANCED_RULE,
    F1_RULE,
    HAMMING,
    MACRO,
    SUBSET,
    Decision,
    decision_infer_row,
    decision_learn_row,
    decision_rows,
)
from streamlearn.learner.decode.decision_rules import THRESHOLD, TOP_K, choose_row
from streamlearn.learner.decode.pool_scores import LEAST_ROWS
from streamlearn.learner.decode.utility import BALANCED, Candidate, utility_choose
from streamlearn.learner.partition.clusters import Partition, partition_learn_row
from streamlearn.learner.scores import best_labels, probability

logit_lists = st.lists(st.one_of(st.floats(-12.0, 12.0, width=32), st.sampled_from([0.0, 1.0])), min_size=1, max_size=9)
NO_NEIGHBOURS = np.zeros(0, np.int64), np.zeros(0), np.zeros(1, np.int64), np.zeros(0, np.int32)


class Decider:
    """A decision with its partition, driven as the step drives them."""

    def __init__(self, labels: int) -> None:
        self.labels = labels
        self.partition = Partition(labels)
        self.owner = Decision()
        self.owner.grow(labels)
        self.owner.follow(self.partition)
        self.positives = np.zeros(labels, np.int64)

    def infer(self, logits: np.ndarray, allowed: np.ndarray) -> None:
        decision_infer_row(
            self.owner.state,
            self.partition.state.tree,
            self.owner.scratch,
            logits,
            self.labels,
            allowed,
            *NO_NEIGHBOURS,
        )

    def learn(self, logits: np.ndarray, row: set[int]) -> None:
        self.infer(logits, np.ones(self.labels, np.uint8))
        truth = np.array([int(label in row) for label in range(self.labels)], np.int8)
        members = np.array(sorted(row), np.int32)
        self.positives += truth
        state, tree = self.owner.state, self.partition.state.tree
        decision_learn_row(state, tree, self.owner.scratch, truth, members, True, self.labels, self.positives)
        partition_learn_row(self.partition.state, members)

    def choose(
        self, rule: int, logits: list[float], allowed: list[bool], count: int = 0, threshold: float = 0.0
    ) -> list[int]:
        values, may = np.array(logits, np.float32), np.array(allowed, np.uint8)
        self.infer(values, may)
        chosen = np.ones(self.labels, np.uint8)
        order = np.zeros(self.labels, np.int32)
        state, scratch = self.owner.state, self.owner.scratch
        choose_row(state, scratch, rule, count, threshold, values, self.labels, may, order, chosen)
        assert set(chosen.tolist()) <= {0, 1}
        return np.flatnonzero(chosen).tolist()


def decider_of(seed: int, rows: int, labels: int = 6) -> Decider:
    """Return one that has seen few label sets often, with logits that are right more often than not."""
    rng = np.random.default_rng(seed)
    decider = Decider(labels)
    sets = [set(np.flatnonzero(rng.random(labels) < 0.4).tolist()) for _ in range(5)]
    for _ in range(rows):
        row = sets[rng.integers(0, 5)]
        signs = np.array([1.0 if label in row else -1.0 for label in range(labels)])
        decider.learn((1.5 * signs + rng.normal(0.0, 1.5, labels)).astype(np.float32), row)
    return decider


@settings(max_examples=60, deadline=None)
@given(logits=logit_lists, data=st.data(), count=st.integers(1, 15))
def test_best_labels_are_the_largest_and_ties_go_to_the_lower_slot(logits, data, count):
    n = len(logits)
    allowed = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    out = np.full(n, -1, np.int32)
    found = best_labels(np.array(logits, np.float32), n, np.array(allowed, np.uint8), count, out)
    ranked = sorted((label for label in range(n) if allowed[label]), key=lambda label: (-logits[label], label))
    assert out[:found].tolist() == ranked[:count]
    assert Decider(n).choose(TOP_K, logits, allowed, count=count) == sorted(ranked[:count])


@settings(max_examples=60, deadline=None)
@given(logits=logit_lists, data=st.data(), threshold=st.floats(0.0, 1.0))
def test_a_threshold_is_on_the_score_that_is_emitted(logits, data, threshold):
    n = len(logits)
    allowed = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    scores = [probability(np.float32(logit)) for logit in logits]
    expected = [label for label in range(n) if allowed[label] and scores[label] >= threshold]
    assert Decider(n).choose(THRESHOLD, logits, allowed, threshold=threshold) == expected


@given(logit=st.floats(-15.0, 15.0, width=32))
def test_probability_is_the_logistic_function_to_six_decimals(logit):
    value = probability(np.float32(logit))
    assert value == round(value, 6)
    assert value == pytest.approx(1.0 / (1.0 + math.exp(-logit)), abs=6e-7)


@pytest.mark.parametrize("rule", [BALANCED_RULE, SUBSET, F1_RULE])
def test_label_sets_are_waited_for(rule):
    decider = Decider(3)
    logits = [2.0, 1.5, -1.0]
    for number in range(10):
        decider.learn(np.array([1.0, -1.0, 1.0], np.float32), {0} if number % 2 else {2})
    assert decision_rows(decider.owner.state) < LEAST_ROWS
    assert decider.choose(rule, logits, [True] * 3) == [0, 1], "each label on its own"
    for _ in range(40):
        decider.learn(np.array([1.0, -1.0, -1.0], np.float32), {0})
    assert decision_rows(decider.owner.state) > LEAST_ROWS
    assert decider.choose(rule, logits, [True] * 3) == [0], "a label set that has been seen"


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 20),
    logits=st.lists(st.floats(-6.0, 6.0, width=32), min_size=6, max_size=6),
    allowed=st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_each_rule_is_its_own_function_of_one_inference(seed, logits, allowed):
    decider = decider_of(seed, 80)
    chosen = {rule: decider.choose(rule, logits, allowed) for rule in range(5)}
    joint, mixed = decider.owner.scratch.joint, decider.owner.scratch.mixed
    proposed = joint.candidates

    def members(candidate: int | Candidate) -> list[int]:
        return proposed.members[candidate, : proposed.size[candidate]].tolist()

    utility = decider.owner.utility.state
    assert chosen[SUBSET] == members(Candidate.POOL_SET)
    assert chosen[BALANCED_RULE] == members(utility_choose(utility, proposed, BALANCED))
    assert chosen[F1_RULE] == members(utility_choose(utility, proposed, 0.0))
    assert chosen[HAMMING] == [label for label in range(6) if allowed[label] and mixed[label] > 0.5]
    thresholds = decider.owner.thresholds.state.threshold
    assert chosen[MACRO] == [label for label in range(6) if allowed[label] and mixed[label] > thresholds[label]]
    for labels in chosen.values():
        assert all(allowed[label] for label in labels)
        assert all(a < b for a, b in pairwise(labels))


def test_a_partial_row_teaches_nothing_about_label_sets():
    decider = decider_of(3, 60)
    before = {name: array.copy() for name, array in decider.owner.arrays(6, decider.partition).items()}
    decider.infer(np.zeros(6, np.float32), np.ones(6, np.uint8))
    truth = np.array([1, 0, -1, -1, -1, -1], np.int8)
    state, tree = decider.owner.state, decider.partition.state.tree
    members = np.zeros(1, np.int32)
    decision_learn_row(state, tree, decider.owner.scratch, truth, members, False, 6, decider.positives)
    after = decider.owner.arrays(6, decider.partition)
    changed = {name.split(".")[0] for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {"share", "thresholds"}
    np.testing.assert_array_equal(after["share.weight"][2:], before["share.weight"][2:])


def test_a_resumed_decision_goes_on_alike():
    first = decider_of(5, 130)
    second = Decider(6)
    arrays = {name: array.copy() for name, array in first.owner.arrays(6, first.partition).items()}
    second.partition.load_arrays({name: array.copy() for name, array in first.partition.arrays().items()})
    second.owner.load_arrays(arrays, 6, second.partition)
    second.positives[:] = first.positives
    rng = np.random.default_rng(6)
    for _ in range(40):
        logits, row = rng.normal(0.0, 2.0, 6).astype(np.float32), set(np.flatnonzero(rng.random(6) < 0.4).tolist())
        for rule in range(5):
            asked = logits.tolist(), [True] * 6
            assert second.choose(rule, *asked) == first.choose(rule, *asked)
        first.learn(logits, row)
        second.learn(logits, row)
    again = second.owner.arrays(6, second.partition)
    for name, array in first.owner.arrays(6, first.partition).items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)
