"""Decision rules choose what their names say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.learner.decode.label_sets import LabelSets, label_sets_decode_row, label_sets_learn_row
from streamlearn.learner.decode.rules import (
    HAMMING,
    SUBSET,
    THRESHOLD,
    TOP_K,
    best_labels,
    decide_row,
    probability,
)

logit_lists = st.lists(st.one_of(st.floats(-12.0, 12.0, width=32), st.sampled_from([0.0, 1.0])), max_size=12)


def decide(
    rule: int,
    logits: list[float],
    allowed: list[bool],
    *,
    count: int = 0,
    threshold: float = 0.0,
    pool: LabelSets | None = None,
) -> list[int]:
    n = len(logits)
    chosen = np.ones(n, np.uint8)
    sets = LabelSets() if pool is None else pool
    sets.grow(n)
    decide_row(
        rule,
        count,
        threshold,
        sets.state,
        np.array(logits, np.float32),
        n,
        np.array(allowed, np.uint8),
        np.zeros(n, np.float32),
        np.zeros(n, np.int32),
        chosen,
    )
    assert set(chosen.tolist()) <= {0, 1}
    return np.flatnonzero(chosen).tolist()


@settings(max_examples=100, deadline=None)
@given(logits=logit_lists, data=st.data(), count=st.integers(0, 15))
def test_best_labels_are_the_largest_and_ties_go_to_the_lower_slot(logits, data, count):
    n = len(logits)
    allowed = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    out = np.full(max(n, 1), -1, np.int32)
    found = best_labels(np.array(logits, np.float32), n, np.array(allowed, np.uint8), count, out)
    ranked = sorted((label for label in range(n) if allowed[label]), key=lambda label: (-logits[label], label))
    assert out[:found].tolist() == ranked[:count]
    assert decide(TOP_K, logits, allowed, count=count) == sorted(ranked[:count])


@settings(max_examples=100, deadline=None)
@given(logits=logit_lists, data=st.data(), threshold=st.floats(0.0, 1.0))
def test_thresholds(logits, data, threshold):
    n = len(logits)
    allowed = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    scores = [probability(np.float32(logit)) for logit in logits]
    expected = [label for label in range(n) if allowed[label] and scores[label] >= threshold]
    assert decide(THRESHOLD, logits, allowed, threshold=threshold) == expected
    above_half = [label for label in range(n) if allowed[label] and logits[label] > 0.0]
    assert decide(HAMMING, logits, allowed) == above_half


@given(logit=st.floats(-15.0, 15.0, width=32))
def test_probability_is_the_logistic_function_to_six_decimals(logit):
    value = probability(np.float32(logit))
    assert value == round(value, 6)
    assert value == pytest.approx(1.0 / (1.0 + math.exp(-logit)), abs=6e-7)


def test_subset_waits_for_fifty_rows():
    pool = LabelSets()
    pool.grow(3)
    logits = [2.0, 1.5, -1.0]
    both = np.array([0], np.int32), np.array([2], np.int32)
    for i in range(50):
        label_sets_learn_row(pool.state, both[i % 2])
    assert decide(SUBSET, logits, [True] * 3, pool=pool) == [0, 1], "49.4 decayed rows: each label on its own"
    for i in range(2):
        label_sets_learn_row(pool.state, both[i % 2])
    assert decide(SUBSET, logits, [True] * 3, pool=pool) == [0], "only sets that have been seen"


@settings(max_examples=50, deadline=None)
@given(
    logits=st.lists(st.floats(-6.0, 6.0, width=32), min_size=6, max_size=6),
    allowed=st.lists(st.booleans(), min_size=6, max_size=6),
    seed=st.integers(0, 99),
)
def test_subset_is_the_best_pooled_set_without_labels_that_may_not_be_predicted(logits, allowed, seed):
    rng = np.random.default_rng(seed)
    pool = LabelSets()
    pool.grow(6)
    for _ in range(80):
        label_sets_learn_row(pool.state, np.flatnonzero(rng.random(6) < 0.3).astype(np.int32))
    best = label_sets_decode_row(pool.state, np.array(logits, np.float32), 6, np.zeros(6, np.float32))
    members = pool.state.members[best, : pool.state.length[best]].tolist()
    assert decide(SUBSET, logits, allowed, pool=pool) == [label for label in members if allowed[label]]
