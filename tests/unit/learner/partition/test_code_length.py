"""Code lengths equal those of a plain twin that decays its counts, and they are log probabilities."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.learner.partition.cluster_tree import TreeSize
from streamlearn.learner.partition.code_length import (
    MAXIMUM_PATTERNS,
    RENORMALISE_ABOVE,
    activate_row,
    compare,
    fresh_states,
    log_probability_row,
    mean_gain,
    update_row,
)
from tests.naive.learner.partition import code_length as naive
from tests.unit.learner.partition.trees import build

FLAT = tuple(range(8))
PAIRS = ((0, 1, 2), (3, 4), (5,), (6, 7))
DEEP = (((0, 5), (1,)), ((2, 3, 4), (6, 7)))
TREES = [FLAT, PAIRS, DEEP]

label_sets = st.lists(st.lists(st.integers(0, 7), unique=True, max_size=8).map(sorted), max_size=60)


def flattened(rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)]).astype(np.int64)
    return offsets, np.array([label for row in rows for label in row], np.int32)


@settings(max_examples=80, deadline=None)
@given(current=st.sampled_from(TREES), candidate=st.sampled_from(TREES), rows=label_sets, split=st.integers(0, 60))
def test_compare_equals_twin(current, candidate, rows, split):
    split = min(split, len(rows))
    mean, error, length, n = compare(build(current), build(candidate), *flattened(rows), split)
    gains = naive.gains(current, candidate, rows, split)
    assert n == len(gains)
    if n < 2:
        assert (mean, error) == (0.0, math.inf)
    else:
        assert mean == pytest.approx(np.mean(gains), abs=1e-9)
        assert error == pytest.approx(np.std(gains, ddof=1) / math.sqrt(n), abs=1e-9)
        assert length == pytest.approx(np.mean(naive.code_lengths(current, rows, split)), abs=1e-9)
        after = np.mean(naive.code_lengths(candidate, rows, split))
        assert length - mean == pytest.approx(after, abs=1e-9)


@pytest.mark.parametrize("labels", [9, 16])
def test_compare_equals_twin_when_patterns_are_replaced(labels):
    rng = np.random.default_rng(labels)
    rows = [sorted(rng.choice(labels, rng.integers(0, 5), replace=False).tolist()) for _ in range(1_500)]
    flat = tuple(range(labels))
    halves = tuple(range(labels // 2)), tuple(range(labels // 2, labels))
    assert len({tuple(row) for row in rows}) > MAXIMUM_PATTERNS
    mean, error, _, n = compare(build(flat), build(halves), *flattened(rows), 1_000)
    gains = naive.gains(flat, halves, rows, 1_000)
    assert n == 500
    assert mean == pytest.approx(np.mean(gains), abs=1e-9)
    assert error == pytest.approx(np.std(gains, ddof=1) / math.sqrt(n), rel=1e-9)


@pytest.mark.parametrize("shape", TREES)
@pytest.mark.parametrize("learnt", [0, 1, 200])
def test_probabilities_of_all_label_sets_sum_to_one(shape, learnt):
    rng = np.random.default_rng(learnt)
    tree = build(shape)
    states = fresh_states(int(tree.size[TreeSize.NODES]))
    for _ in range(learnt):
        row = np.sort(rng.choice(8, rng.integers(0, 4), replace=False)).astype(np.int32)
        update_row(tree, states, activate_row(tree, states, row))
    total = 0.0
    for size in range(9):
        for row in itertools.combinations(range(8), size):
            active = activate_row(tree, states, np.array(row, np.int32))
            total += math.exp(log_probability_row(tree, states, active))
            states.mask[:] = 0
    # Clipping the rates of the children changes Bernoulli parameters, not the sum of the probabilities.
    assert total == pytest.approx(1.0, rel=1e-9)


def test_renormalising_changes_nothing():
    tree = build(PAIRS)
    plain, scaled = fresh_states(int(tree.size[TreeSize.NODES])), fresh_states(int(tree.size[TreeSize.NODES]))
    rng = np.random.default_rng(0)
    for i in range(300):
        row = np.sort(rng.choice(8, rng.integers(0, 4), replace=False)).astype(np.int32)
        if i == 150:
            for name in ("pattern_weight", "pattern_total", "visits", "novel", "child_weight", "increment"):
                array = getattr(scaled, name)
                by = RENORMALISE_ABOVE / 1.001 / scaled.increment
                array *= by.reshape(-1, *[1] * (array.ndim - 1)) if name != "increment" else by
            scaled.increment[:] = RENORMALISE_ABOVE / 1.001
        lengths = []
        for states in (plain, scaled):
            active = activate_row(tree, states, row)
            lengths.append(log_probability_row(tree, states, active))
            update_row(tree, states, active)
        assert lengths[0] == pytest.approx(lengths[1], rel=1e-9)
    assert (scaled.increment < RENORMALISE_ABOVE / 1e6).any()


def test_mean_gain():
    candidate, current = np.array([1.0, 2.0, 4.0]), np.array([0.0, 0.0, 1.0])
    mean, error = mean_gain(candidate, current)
    assert mean == pytest.approx(2.0)
    assert error == pytest.approx(1.0 / math.sqrt(3.0))
    assert mean_gain(candidate[:1], current[:1]) == (0.0, math.inf)
