"""Each decision rule chooses the label set that its definition gives."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.learner.decode.decision import (
    Decision,
    decision_infer_row,
    decision_learn_row,
    decision_rows,
)
from streamlearn.learner.decode.label_set_choice import RULE_CODES, RuleCode, choose_label_set
from streamlearn.learner.decode.pool_scores import LEAST_ROWS
from streamlearn.learner.decode.utility import BALANCED, Candidate, utility_choose
from streamlearn.learner.partition.clusters import Partition, partition_learn_row
from streamlearn.learner.scores import probability
from streamlearn.settings.rule import SIMPLE_KINDS, Rule

logit_lists = st.lists(st.one_of(st.floats(-12.0, 12.0, width=32), st.sampled_from([0.0, 1.0])), min_size=1, max_size=9)
POSTERIOR_RULES = (RuleCode.BALANCED, RuleCode.SUBSET, RuleCode.F1, RuleCode.HAMMING, RuleCode.MACRO)
NO_NEIGHBOURS = np.zeros(0, np.int64), np.zeros(0), np.zeros(1, np.int64), np.zeros(0, np.int32)


class DecisionDriver:
    """A decision and its partition, called as the step kernel calls them."""

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
        self, rule: RuleCode, logits: list[float], allowed: list[bool], count: int = 0, threshold: float = 0.0
    ) -> list[int]:
        values, mask = np.array(logits, np.float32), np.array(allowed, np.uint8)
        self.infer(values, mask)
        chosen = np.ones(self.labels, np.uint8)
        order = np.zeros(self.labels, np.int32)
        state, scratch = self.owner.state, self.owner.scratch
        choose_label_set(state, scratch, int(rule), count, threshold, values, self.labels, mask, order, chosen)
        assert set(chosen.tolist()) <= {0, 1}
        return np.flatnonzero(chosen).tolist()


def trained_driver(seed: int, rows: int, labels: int = 6) -> DecisionDriver:
    """Return a decision that has learned rows of five label sets, with logits that are right more often than not."""
    rng = np.random.default_rng(seed)
    driver = DecisionDriver(labels)
    sets = [set(np.flatnonzero(rng.random(labels) < 0.4).tolist()) for _ in range(5)]
    for _ in range(rows):
        row = sets[rng.integers(0, 5)]
        signs = np.array([1.0 if label in row else -1.0 for label in range(labels)])
        driver.learn((1.5 * signs + rng.normal(0.0, 1.5, labels)).astype(np.float32), row)
    return driver


def test_every_rule_of_the_settings_has_a_code_of_its_own():
    kinds = {*SIMPLE_KINDS, Rule.parse("top_k:3").kind, Rule.parse("threshold:0.5").kind}
    assert RULE_CODES.keys() == kinds
    assert sorted(RULE_CODES.values()) == list(RuleCode)


@settings(max_examples=60, deadline=None)
@given(logits=logit_lists, data=st.data(), count=st.integers(1, 15))
def test_top_k_chooses_the_largest_logits_and_the_lower_slot_on_ties(logits, data, count):
    n = len(logits)
    allowed = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    ranked = sorted((label for label in range(n) if allowed[label]), key=lambda label: (-logits[label], label))
    assert DecisionDriver(n).choose(RuleCode.TOP_K, logits, allowed, count=count) == sorted(ranked[:count])


@settings(max_examples=60, deadline=None)
@given(logits=logit_lists, data=st.data(), threshold=st.floats(0.0, 1.0))
def test_threshold_is_applied_to_the_emitted_score(logits, data, threshold):
    n = len(logits)
    allowed = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    scores = [probability(np.float32(logit)) for logit in logits]
    expected = [label for label in range(n) if allowed[label] and scores[label] >= threshold]
    assert DecisionDriver(n).choose(RuleCode.THRESHOLD, logits, allowed, threshold=threshold) == expected


@pytest.mark.parametrize("rule", [RuleCode.BALANCED, RuleCode.SUBSET, RuleCode.F1])
def test_label_sets_are_not_used_before_enough_rows(rule):
    driver = DecisionDriver(3)
    logits = [2.0, 1.5, -1.0]
    for number in range(10):
        driver.learn(np.array([1.0, -1.0, 1.0], np.float32), {0} if number % 2 else {2})
    assert decision_rows(driver.owner.state) < LEAST_ROWS
    assert driver.choose(rule, logits, [True] * 3) == [0, 1], "each label by itself"
    for _ in range(40):
        driver.learn(np.array([1.0, -1.0, -1.0], np.float32), {0})
    assert decision_rows(driver.owner.state) > LEAST_ROWS
    assert driver.choose(rule, logits, [True] * 3) == [0], "a label set that has been seen"


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 20),
    logits=st.lists(st.floats(-6.0, 6.0, width=32), min_size=6, max_size=6),
    allowed=st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_each_rule_is_a_function_of_the_same_inference(seed, logits, allowed):
    driver = trained_driver(seed, 80)
    chosen = {rule: driver.choose(rule, logits, allowed) for rule in POSTERIOR_RULES}
    joint, mixed = driver.owner.scratch.joint, driver.owner.scratch.mixed
    proposed = joint.candidates

    def members(candidate: int | Candidate) -> list[int]:
        return proposed.members[candidate, : proposed.size[candidate]].tolist()

    utility = driver.owner.utility.state
    assert chosen[RuleCode.SUBSET] == members(Candidate.POOL_SET)
    assert chosen[RuleCode.BALANCED] == members(utility_choose(utility, proposed, BALANCED))
    assert chosen[RuleCode.F1] == members(utility_choose(utility, proposed, 0.0))
    assert chosen[RuleCode.HAMMING] == [label for label in range(6) if allowed[label] and mixed[label] > 0.5]
    thresholds = driver.owner.thresholds.state.threshold
    above = [label for label in range(6) if allowed[label] and mixed[label] > thresholds[label]]
    assert chosen[RuleCode.MACRO] == above
    for labels in chosen.values():
        assert all(allowed[label] for label in labels)
        assert all(a < b for a, b in pairwise(labels))


def test_a_partial_row_changes_only_fixed_share_and_thresholds():
    driver = trained_driver(3, 60)
    before = {name: array.copy() for name, array in driver.owner.arrays(6, driver.partition).items()}
    driver.infer(np.zeros(6, np.float32), np.ones(6, np.uint8))
    truth = np.array([1, 0, -1, -1, -1, -1], np.int8)
    state, tree = driver.owner.state, driver.partition.state.tree
    members = np.zeros(1, np.int32)
    decision_learn_row(state, tree, driver.owner.scratch, truth, members, False, 6, driver.positives)
    after = driver.owner.arrays(6, driver.partition)
    changed = {name.split(".")[0] for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {"share", "thresholds"}
    np.testing.assert_array_equal(after["share.weight"][2:], before["share.weight"][2:])


def test_a_restored_decision_continues_identically():
    first = trained_driver(5, 130)
    second = DecisionDriver(6)
    arrays = {name: array.copy() for name, array in first.owner.arrays(6, first.partition).items()}
    second.partition.load_arrays({name: array.copy() for name, array in first.partition.arrays().items()})
    second.owner.load_arrays(arrays, 6, second.partition)
    second.positives[:] = first.positives
    rng = np.random.default_rng(6)
    for _ in range(40):
        logits, row = rng.normal(0.0, 2.0, 6).astype(np.float32), set(np.flatnonzero(rng.random(6) < 0.4).tolist())
        for rule in POSTERIOR_RULES:
            assert second.choose(rule, logits.tolist(), [True] * 6) == first.choose(rule, logits.tolist(), [True] * 6)
        first.learn(logits, row)
        second.learn(logits, row)
    restored = second.owner.arrays(6, second.partition)
    for name, array in first.owner.arrays(6, first.partition).items():
        np.testing.assert_array_equal(restored[name], array, err_msg=name)
