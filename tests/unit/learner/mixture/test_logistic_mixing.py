"""Logistic mixing: equal to its plain twin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.errors import SnapshotError
from streamlearn.learner.mixture.contexts import SUPPORT_CONTEXTS, support_context
from streamlearn.learner.mixture.logistic_mixing import (
    FIRST_RANK_ROW,
    SHARED_ROWS,
    Mixer,
    SharedRow,
    mixer_begin_label,
    mixer_learn_row,
    mixer_predict_row,
)
from tests.naive.learner.mixture import logistic_mixing as naive


@pytest.mark.parametrize("was_on", [0, 1])
def test_contexts(was_on):
    positives = [*range(300), 2**20 - 1, 2**20, 2**40]
    contexts = [support_context(n, was_on) for n in positives]
    assert contexts == [naive.context(n, bool(was_on)) for n in positives]
    assert max(contexts) < SUPPORT_CONTEXTS


def initial_weights(experts: int) -> list[float]:
    """Return weights that differ slightly and add up to 1.2."""
    return [1.2 / experts + 0.01 * (expert - (experts - 1) / 2) for expert in range(experts)]


class Kernels:
    """A mixer driven as the step kernel drives it."""

    def __init__(self, experts: int, labels: int) -> None:
        self.owner = Mixer(initial_weights(experts))
        self.owner.grow(labels)
        self.labels = labels

    def row(self, logits: np.ndarray, positives: np.ndarray, previous: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Return the mixed logits, then learn."""
        mixed = np.zeros(self.labels, np.float32)
        state, scratch = self.owner.state, self.owner.scratch
        mixer_predict_row(state, scratch, logits, positives, previous, self.labels, mixed)
        mixer_learn_row(state, scratch, mixed, truth, self.labels)
        return mixed


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    experts=st.sampled_from([1, 4]),
    labels=st.sampled_from([1, 3, 12]),
    rows=st.integers(0, 40),
    joins_after=st.integers(0, 40),
    unknown=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_kernel_equals_twin(seed, experts, labels, rows, joins_after, unknown):
    rng = np.random.default_rng(seed)
    ours, theirs = Kernels(experts, labels), naive.Mixer(initial_weights(experts), labels)
    positives, previous = np.zeros(labels, np.int64), np.zeros(labels, np.int8)
    for i in range(rows):
        if i == joins_after:
            labels += 1
            ours.owner.grow(labels)
            ours.labels = labels
            mixer_begin_label(ours.owner.state, labels - 1)
            theirs.join()
            positives, previous = np.append(positives, 0), np.append(previous, np.int8(0))
        truth = (rng.random(labels) < 0.4).astype(np.int8)
        truth[rng.random(labels) < unknown] = -1
        quality = rng.normal(2.0, 4.0, (experts, 1))
        logits = (quality * (2.0 * (truth > 0) - 1.0) + rng.normal(0.0, 2.0, (experts, labels))).astype(np.float32)
        known = [None if y < 0 else int(y) for y in truth]
        history = logits.T.tolist(), positives.tolist(), [bool(on) for on in previous]
        expected = theirs.mix(*history)
        theirs.learn(*history, known)
        mixed = ours.row(logits, positives, previous, truth)
        np.testing.assert_allclose(mixed, expected, rtol=2e-3, atol=2e-3)
        previous = (truth == 1).astype(np.int8)
        positives += previous


def test_a_row_without_known_labels_changes_nothing():
    mixer = Kernels(4, 3)
    zeros = np.zeros(3, np.int64), np.zeros(3, np.int8)
    mixer.row(np.ones((4, 3), np.float32), *zeros, np.array([1, 0, 1], np.int8))
    before = {name: array.copy() for name, array in mixer.owner.arrays(3).items()}
    mixer.row(np.ones((4, 3), np.float32), *zeros, np.full(3, -1, np.int8))
    for name, array in mixer.owner.arrays(3).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_a_good_expert_gains_weight():
    rng = np.random.default_rng(4)
    mixer = Kernels(2, 3)
    for _ in range(400):
        truth = (rng.random(3) < 0.5).astype(np.int8)
        logits = np.stack([3.0 * (2.0 * truth - 1.0), rng.normal(0.0, 3.0, 3)]).astype(np.float32)
        mixer.row(logits, np.full(3, 9, np.int64), np.zeros(3, np.int8), truth)
    own = mixer.owner.state.own[:, :3]
    assert (own[0] > 1.0).all()
    assert (abs(own[1]) < 0.2).all()


def test_the_highest_labels_have_ranks_of_their_own_and_equal_ones_share_a_rank():
    mixer = Kernels(1, 8)
    logits = np.array([[1.0, 3.0, 2.0, 3.0, -1.0, 1.0, 1.0, 0.0]], np.float32)
    mixer.row(logits, np.zeros(8, np.int64), np.zeros(8, np.int8), np.zeros(8, np.int8))
    ranks = mixer.owner.scratch.shared_row[SharedRow.RANK, :8] - FIRST_RANK_ROW
    assert ranks.tolist() == [3, 0, 2, 0, 5, 3, 3, 5]
    few = Kernels(1, 2)
    few.row(logits[:, :2], np.zeros(2, np.int64), np.zeros(2, np.int8), np.zeros(2, np.int8))
    assert few.owner.scratch.shared_row[SharedRow.RANK, :2].tolist() == [FIRST_RANK_ROW + 1, FIRST_RANK_ROW]
    assert not few.owner.state.shared_squared[FIRST_RANK_ROW + 2 : SHARED_ROWS].any()


def test_a_retired_slot_is_as_new_and_state_round_trips():
    mixer = Kernels(4, 3)
    logits = np.linspace(-2.0, 2.0, 12, dtype=np.float32).reshape(4, 3)
    for _ in range(5):
        mixer.row(logits, np.ones(3, np.int64), np.zeros(3, np.int8), np.array([1, 0, 1], np.int8))
    mixer.owner.retire(1)
    np.testing.assert_array_equal(mixer.owner.state.own[:, 1], Kernels(4, 1).owner.state.own[:, 0])
    assert not mixer.owner.state.own_squared[:, 1].any()
    arrays = {name: array.copy() for name, array in mixer.owner.arrays(3).items()}
    again = Mixer(initial_weights(4))
    again.load_arrays(arrays, 3)
    for name, array in again.arrays(3).items():
        np.testing.assert_array_equal(array, arrays[name], err_msg=name)
    assert sum(array.nbytes for array in arrays.values()) <= Mixer.bytes_bound(4, 3)
    with pytest.raises(SnapshotError):
        Mixer(initial_weights(5)).load_arrays(arrays, 3)
