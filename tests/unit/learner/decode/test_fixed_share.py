"""Fixed share equals its naive twin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.errors import SnapshotError
from streamlearn.learner.decode.fixed_share import FixedShare, fixed_share_learn_row, fixed_share_predict_row
from tests.naive.learner.decode.fixed_share import FixedShare as NaiveFixedShare


def test_equals_twin_over_a_stream_with_labels_that_join():
    rng = np.random.default_rng(0)
    labels = 5
    owner, twins = FixedShare(), [NaiveFixedShare() for _ in range(labels)]
    owner.grow(labels)
    for row in range(300):
        if row in (50, 120):
            labels += 3
            owner.grow(labels)
            twins += [NaiveFixedShare() for _ in range(3)]
        truth = (rng.random(labels) < 0.3).astype(np.int8)
        truth[rng.random(labels) < 0.2] = -1
        first, second = rng.random((2, labels)).astype(np.float32)
        second[rng.random(labels) < 0.1] = rng.integers(2)
        mixed = np.zeros(labels, np.float32)
        fixed_share_predict_row(owner.state, first, second, labels, mixed)
        pairs = list(zip(first.tolist(), second.tolist(), strict=True))
        expected = [twin.mix(list(p)) for twin, p in zip(twins, pairs, strict=True)]
        np.testing.assert_allclose(mixed, expected, rtol=1e-3)
        fixed_share_learn_row(owner.state, first, second, truth, labels)
        for twin, p, value in zip(twins, pairs, truth.tolist(), strict=True):
            if value >= 0:
                twin.learn(list(p), bool(value))
        np.testing.assert_allclose(owner.state.weight[:labels], [twin.weights[1] for twin in twins], rtol=1e-3)


@settings(max_examples=50, deadline=None)
@given(right=st.sampled_from([0, 1]), rows=st.integers(1, 200))
def test_the_better_expert_gains_weight_and_the_other_keeps_a_share(right, rows):
    owner = FixedShare()
    owner.grow(1)
    experts = np.array([[0.9], [0.1]], np.float32)
    truth = np.array([1 - right], np.int8)
    for _ in range(rows):
        fixed_share_learn_row(owner.state, experts[0], experts[1], truth, 1)
    weight = float(owner.state.weight[0])
    assert (weight > 0.5) == bool(right)
    assert 0.004 < weight < 0.996


def test_unknown_truths_change_nothing_and_retiring_resets_the_weight():
    owner = FixedShare()
    owner.grow(2)
    ones, zeros = np.ones(2, np.float32), np.zeros(2, np.float32)
    fixed_share_learn_row(owner.state, ones, zeros, np.array([-1, 1], np.int8), 2)
    assert owner.state.weight[0] == 0.5
    assert owner.state.weight[1] < 0.5
    owner.retire(1)
    assert owner.state.weight[1] == 0.5


def test_snapshot_round_trip_and_wrong_shape():
    owner, other = FixedShare(), FixedShare()
    owner.grow(9)
    fixed_share_learn_row(owner.state, np.full(9, 0.3, np.float32), np.full(9, 0.6, np.float32), np.ones(9, np.int8), 9)
    other.load_arrays(owner.arrays(9), 9)
    np.testing.assert_array_equal(other.state.weight[:9], owner.state.weight[:9])
    assert owner.arrays(9)["weight"].nbytes <= FixedShare.bytes_bound(9)
    with pytest.raises(SnapshotError):
        other.load_arrays(owner.arrays(8), 9)
