"""Softmax expert: equal to its plain twin; the probabilities of the labels and of "no label" add up to one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.learner.experts.adagrad_linear import AdaGrad, adagrad_begin_label
from streamlearn.learner.experts.softmax import SOFTMAX_START, SOFTMAX_STEP, softmax_learn_row, softmax_predict_row
from tests.naive.learner.experts.softmax import Softmax

COLUMNS = 6

instances = st.dictionaries(st.integers(0, COLUMNS - 1), st.floats(-1.0, 1.0, width=32), max_size=COLUMNS)
histories = st.lists(st.tuples(instances, st.sets(st.integers(0, 9))), max_size=30)


def entries(x: dict[int, float]) -> tuple[np.ndarray, np.ndarray]:
    ordered = sorted(x.items())
    return np.array([c for c, _ in ordered], np.int32), np.array([v for _, v in ordered], np.float32)


class Kernels:
    """The expert driven as the ensemble drives it."""

    def __init__(self, labels: int, room: int | None = None) -> None:
        self.owner = AdaGrad(SOFTMAX_STEP, SOFTMAX_START)
        self.owner.grow(COLUMNS, room or labels)
        self.labels = labels

    def predict(self, x: dict[int, float]) -> np.ndarray:
        out = np.full(self.labels, np.nan, np.float32)
        softmax_predict_row(self.owner.state, *entries(x), self.labels, out)
        return out

    def learn(self, x: dict[int, float], members: set[int]) -> None:
        truth = np.array([label in members for label in range(self.labels)], np.int8)
        gradient = np.full(-(-self.labels // 8) * 8, np.nan, np.float32)
        logits = self.predict(x)
        softmax_learn_row(self.owner.state, *entries(x), truth, int(truth.sum()), logits, self.labels, gradient)


@settings(max_examples=80, deadline=None)
@given(history=histories, labels=st.sampled_from([1, 2, 9]), joins_at=st.integers(0, 30), bias=st.floats(-9.0, 0.0))
def test_kernels_equal_twin(history, labels, joins_at, bias):
    ours, roomy, theirs = Kernels(labels), Kernels(labels, room=40), Softmax(labels)
    for row, (x, members) in enumerate(history):
        if row == joins_at:
            labels += 1
            theirs.join(bias)
            for each in (ours, roomy):
                each.owner.grow(COLUMNS, labels)
                each.labels = labels
                adagrad_begin_label(each.owner.state, labels - 1, bias)
        logits = ours.predict(x)
        np.testing.assert_allclose(logits, theirs.logits(x), rtol=2e-3, atol=2e-3)
        np.testing.assert_array_equal(logits, roomy.predict(x))
        known = {label for label in members if label < labels}
        for each in (ours, roomy, theirs):
            each.learn(x, known)


def test_probabilities_of_the_labels_and_of_no_label_add_up_to_one():
    ours = Kernels(3)
    for row in range(200):
        ours.learn({row % 4: 1.0}, {row % 4} if row % 4 < 3 else set())
    p = 1.0 / (1.0 + np.exp(-ours.predict({3: 1.0}).astype(float)))
    assert p.sum() < 0.1
    p = 1.0 / (1.0 + np.exp(-ours.predict({1: 1.0}).astype(float)))
    assert p[1] > 0.9
    assert p.sum() == pytest.approx(1.0, abs=0.05)
    assert p.sum() <= 1.0 + 1e-5


def test_logits_of_extreme_scores_are_finite():
    ours = Kernels(3)
    ours.owner.state.weight[0, :3] = [50.0, -50.0, 50.0]
    logits = ours.predict({0: 1.0})
    assert np.isfinite(logits).all()
    assert logits[0] == logits[2] == pytest.approx(0.0, abs=1e-3)
    assert logits[1] == pytest.approx(np.log(1e-6), abs=1e-3)
