"""Thresholds equal those of a naive twin that stores every row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.errors import SnapshotError
from streamlearn.learner.decode.thresholds import Thresholds, thresholds_choose, thresholds_learn_row
from streamlearn.state.arrays import state_hash
from tests.naive.learner.decode.thresholds import Thresholds as NaiveThresholds


def random_row(rng: np.random.Generator, labels: int, unknown: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    truth = (rng.random(labels) < np.linspace(0.0, 0.5, labels)).astype(np.int8)
    p = 1.0 / (1.0 + np.exp(-rng.normal(2.0 * truth - 1.5, 1.5)))
    p[rng.random(labels) < 0.05] = rng.integers(2)
    truth[rng.random(labels) < unknown] = -1
    return p.astype(np.float32), truth


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), labels=st.sampled_from([0, 1, 5]), unknown=st.sampled_from([0.0, 0.4, 1.0]))
def test_equals_twin(seed, labels, unknown):
    rng = np.random.default_rng(seed)
    owner, twin = Thresholds(), NaiveThresholds(labels)
    owner.grow(labels)
    for row in range(100):
        if row == 40:
            labels += 1
            owner.grow(labels)
            twin.join()
        p, truth = random_row(rng, labels, unknown)
        thresholds_learn_row(owner.state, p, truth, labels)
        twin.learn(p.tolist(), [None if value < 0 else bool(value) for value in truth])
        np.testing.assert_allclose(owner.state.threshold[:labels], twin.thresholds, rtol=1e-6)


@pytest.mark.parametrize("rate", [0.02, 0.2, 0.6])
def test_the_threshold_of_calibrated_probabilities_converges_to_half_the_best_f1(rate: float) -> None:
    rng = np.random.default_rng(3)
    owner = Thresholds()
    owner.grow(1)
    p = rng.beta(0.5 * rate, 0.5 * (1.0 - rate), 8_000).astype(np.float32)
    truth = (rng.random(p.size) < p).astype(np.int8)
    for row in range(p.size):
        thresholds_learn_row(owner.state, p[row : row + 1], truth[row : row + 1], 1)
    edges = np.linspace(0.01, 0.99, 99)
    best = max(2.0 * truth[p > edge].sum() / ((p > edge).sum() + truth.sum()) for edge in edges)
    assert owner.state.threshold[0] == pytest.approx(best / 2.0, abs=0.03)


def test_the_threshold_of_a_label_without_rows_is_half_the_f1_of_the_others() -> None:
    thresholds = []
    for certainty in (0.2, 0.9):
        owner = Thresholds()
        owner.grow(9)
        truth = np.array([1, 0, 1, 0, 1, 0, 1, 0, -1], np.int8)
        p = np.where(truth == 1, certainty, 0.1).astype(np.float32)
        for _ in range(200):
            thresholds_learn_row(owner.state, p, truth, 9)
            truth[:8] = 1 - truth[:8]
            p[:8] = np.where(truth[:8] == 1, certainty, 0.1)
        assert owner.state.hits[8] == owner.state.size[8] == 0.0
        thresholds.append(float(owner.state.threshold[8]))
    assert thresholds[0] < 0.3 < 0.4 < thresholds[1] < 0.5


def test_labels_above_their_threshold_and_allowed_are_chosen():
    owner = Thresholds()
    owner.grow(3)
    chosen = np.full(3, 7, np.uint8)
    p = np.array([0.251, 0.25, 0.9], np.float32)
    thresholds_choose(owner.state, p, 3, np.array([1, 1, 0], np.uint8), chosen)
    assert chosen.tolist() == [1, 0, 0]


def test_spare_capacity_is_not_state_and_restoring_continues_identically():
    rng = np.random.default_rng(4)
    owner, roomy, restored = Thresholds(), Thresholds(), Thresholds()
    owner.grow(6)
    roomy.grow(64)
    rows = [random_row(rng, 6) for _ in range(60)]
    for i, (p, truth) in enumerate(rows):
        if i == 30:
            restored.load_arrays({name: array.copy() for name, array in owner.arrays(6).items()}, 6)
        for each in (owner, roomy, *([restored] if i >= 30 else [])):
            thresholds_learn_row(each.state, p, truth, 6)
    assert state_hash(owner.arrays(6)) == state_hash(roomy.arrays(6)) == state_hash(restored.arrays(6))
    assert sum(array.nbytes for array in owner.arrays(6).values()) <= Thresholds.bytes_bound(6)
    with pytest.raises(SnapshotError):
        restored.load_arrays(owner.arrays(5), 6)


def test_a_retired_label_gets_the_threshold_of_a_label_without_rows():
    rng = np.random.default_rng(5)
    owner = Thresholds()
    owner.grow(3)
    for _ in range(100):
        p, truth = random_row(rng, 2, 0.0)
        thresholds_learn_row(owner.state, np.append(p, p[:1] * 0), np.append(truth, np.int8(-1)), 3)
    owner.retire(1)
    assert owner.state.hits[1] == owner.state.size[1] == 0.0
    assert owner.state.threshold[1] == owner.state.threshold[2] != owner.state.threshold[0]
