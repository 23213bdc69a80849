"""Label history: equal to its plain twin, also with unknown truths, late labels and more labels than features."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.errors import SnapshotError
from streamlearn.learner.experts.label_history import (
    MAXIMUM_HISTORY_FEATURES,
    LabelHistory,
    label_history_begin_label,
    label_history_features,
    label_history_learn_row,
    label_history_predict_row,
)
from tests.naive.learner.experts.label_history import LabelHistory as NaiveLabelHistory
from tests.naive.learner.experts.label_history import features as naive_features

Features = tuple[np.ndarray, np.ndarray]

truths = st.lists(st.sampled_from([1, 0, -1]), min_size=9, max_size=9)
histories = st.lists(truths, max_size=40)


class Kernels:
    """The expert driven as the step kernel drives it."""

    def __init__(self, labels: int, room: int | None = None) -> None:
        self.owner = LabelHistory()
        self.owner.grow(room or labels)
        self.labels = labels

    def features(self) -> Features:
        columns, values = np.zeros(MAXIMUM_HISTORY_FEATURES, np.int32), np.zeros(MAXIMUM_HISTORY_FEATURES, np.float32)
        size = label_history_features(self.owner.state, self.labels, columns, values)
        return columns[:size], values[:size]

    def predict(self, features: Features) -> np.ndarray:
        out = np.full(self.labels, np.nan, np.float32)
        label_history_predict_row(self.owner.state, *features, self.labels, out)
        return out

    def learn(self, truth: list[int], features: Features | None = None) -> None:
        features = features or self.features()
        scratch = np.full(-(-self.labels // 8) * 8, np.nan, np.float32)
        signs = np.array(truth[: self.labels], np.int8)
        label_history_learn_row(self.owner.state, *features, signs, self.predict(features), self.labels, scratch)


def optional(truth: list[int], labels: int) -> list[int | None]:
    return [None if y < 0 else y for y in truth[:labels]]


def as_mapping(features: Features) -> dict[int, float]:
    columns, values = features
    assert columns.tolist() == sorted(set(columns.tolist()))
    return {int(column): float(value) for column, value in zip(columns, values, strict=True)}


@settings(max_examples=80, deadline=None)
@given(history=histories, labels=st.sampled_from([1, 2, 9]))
def test_kernel_equals_twin(history, labels):
    ours, theirs = Kernels(labels), NaiveLabelHistory(labels)
    for truth in history:
        features, expected = ours.features(), theirs.features()
        assert as_mapping(features) == pytest.approx(expected, rel=1e-5)
        np.testing.assert_allclose(ours.predict(features), theirs.logits(expected), rtol=1e-3, atol=1e-3)
        ours.learn(truth)
        theirs.learn(expected, optional(truth, labels))


def test_a_rare_label_leaves_the_averages_at_the_floor():
    ours = Kernels(1)
    ours.learn([1])
    expected = 0.3
    for _ in range(30):
        ours.learn([0])
        expected += 0.3 * (0 - expected)
        expected = expected if expected >= 1e-4 else 0.0
        assert ours.owner.state.average[0] == expected
    assert expected == 0.0


@pytest.mark.parametrize("labels", [38, 39, 40, 41, 200])
def test_the_lowest_slots_are_used_when_there_are_too_many(labels):
    generator = np.random.default_rng(labels)
    ours = Kernels(labels)
    history = []
    for share in (1.0, 0.9, 0.5, 0.9, 0.0):
        truth = [int(value) for value in generator.random(labels) < share]
        history.append(truth)
        ours.learn(truth)
        columns, values = ours.features()
        expected = naive_features([list(of_label) for of_label in zip(*history, strict=True)])
        assert columns.size <= MAXIMUM_HISTORY_FEATURES
        assert as_mapping((columns, values)) == pytest.approx(expected, rel=1e-5)
        assert float(np.linalg.norm(values)) == pytest.approx(1.0, rel=1e-5)


def test_a_late_truth_is_learnt_with_the_features_of_its_prediction():
    ours, theirs = Kernels(3), NaiveLabelHistory(3)
    waiting = [(ours.features(), theirs.features(), [0, 1, 1])]
    for row in range(30):
        mine, their = ours.features(), theirs.features()
        truth = [row % 2, 1, row % 3 == 0]
        if row % 4 == 1:
            waiting.append((mine, their, truth))
            continue
        ours.learn(truth, mine)
        theirs.learn(their, optional(truth, 3))
        if row % 4 == 3:
            mine, their, truth = waiting.pop(0)
            ours.learn(truth, mine)
            theirs.learn(their, optional(truth, 3))
        now = ours.features()
        assert as_mapping(now) == pytest.approx(theirs.features(), rel=1e-5)
        np.testing.assert_allclose(ours.predict(now), theirs.logits(theirs.features()), rtol=1e-3, atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(before=histories, after=histories, bias=st.floats(-9.0, 1.0))
def test_a_late_label_starts_at_its_bias_and_spare_capacity_changes_nothing(before, after, bias):
    ours, roomy, theirs = Kernels(2), Kernels(2, room=40), NaiveLabelHistory(2)
    for truth in before:
        theirs.learn(theirs.features(), optional(truth, 2))
        ours.learn(truth)
        roomy.learn(truth)
    ours.owner.grow(9)
    theirs.join(bias)
    for kernels in (ours, roomy):
        kernels.labels = 3
        label_history_begin_label(kernels.owner.state, 2, bias)
    for truth in after:
        features, expected = ours.features(), theirs.features()
        logits = ours.predict(features)
        np.testing.assert_allclose(logits, theirs.logits(expected), rtol=1e-3, atol=1e-3)
        np.testing.assert_array_equal(logits, roomy.predict(roomy.features()))
        ours.learn(truth)
        roomy.learn(truth)
        theirs.learn(expected, optional(truth, 3))
    for name, array in ours.owner.arrays(3).items():
        np.testing.assert_array_equal(roomy.owner.arrays(3)[name], array, err_msg=name)


def test_an_unknown_truth_leaves_the_bits_of_its_label():
    ours = Kernels(3)
    for _ in range(3):
        ours.learn([1, 1, 0])
    before = {name: array.copy() for name, array in ours.owner.arrays(3).items()}
    ours.learn([-1, 0, -1])
    for name, array in ours.owner.arrays(3).items():
        if name == "previous":
            assert array.tolist() == [0, 0, 0]
        else:
            np.testing.assert_array_equal(array[..., [0, 2]], before[name][..., [0, 2]], err_msg=name)
            assert not np.array_equal(array[..., 1], before[name][..., 1])


def test_a_retired_slot_is_as_new_as_a_label_and_as_features():
    ours = Kernels(3)
    for i in range(20):
        ours.learn([i % 2, 1, i % 3 == 0])
    ours.owner.retire(1)
    fresh = LabelHistory()
    fresh.grow(3)
    for name, array in ours.owner.arrays(3).items():
        expected = fresh.arrays(3)[name]
        np.testing.assert_array_equal(array[..., 1], expected[..., 1], err_msg=name)
        if array.ndim == 2:
            assert not array[2:4].any()
            assert array[[0, 1, 4, 5]].any()
    assert not {2, 3} & set(ours.features()[0].tolist())


def test_state_without_spare_capacity_round_trips():
    ours = Kernels(3)
    for i in range(20):
        ours.learn([i % 2, 1, i % 3 == 0])
    arrays = {name: array.copy() for name, array in ours.owner.arrays(3).items()}
    again = Kernels(3)
    again.owner = LabelHistory()
    again.owner.load_arrays(arrays, 3)
    for name, array in again.owner.arrays(3).items():
        np.testing.assert_array_equal(array, arrays[name], err_msg=name)
    assert sum(array.nbytes for array in arrays.values()) <= LabelHistory.bytes_bound(3)
    for kernels in (ours, again):
        kernels.learn([1, 0, 1])
    np.testing.assert_array_equal(ours.predict(ours.features()), again.predict(again.features()))
    with pytest.raises(SnapshotError):
        LabelHistory().load_arrays(arrays, 4)
