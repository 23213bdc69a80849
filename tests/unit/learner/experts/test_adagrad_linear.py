"""Linear experts: equal to their plain twins, also with empty instances, unknown truths and labels that join late."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.errors import SnapshotError
from streamlearn.learner.experts.adagrad_linear import (
    AdaGrad,
    adagrad_begin_label,
    adagrad_learn_row,
    adagrad_predict_row,
)
from streamlearn.learner.experts.constant_step_linear import (
    ConstantStep,
    constant_step_begin_label,
    constant_step_learn_row,
    constant_step_predict_row,
)
from tests.naive.learner.experts.adagrad_linear import LogisticLabel

COLUMNS = 6
ADAGRAD = (adagrad_predict_row, adagrad_learn_row, adagrad_begin_label)
CONSTANT_STEP = (constant_step_predict_row, constant_step_learn_row, constant_step_begin_label)
KINDS: dict[str, tuple[Any, ...]] = {
    "adagrad": (AdaGrad, *ADAGRAD, 1.0, 0.1),
    "adagrad_wide": (partial(AdaGrad, 2.0, 0.3), *ADAGRAD, 2.0, 0.3),
    "constant_step": (ConstantStep, *CONSTANT_STEP, 2.0, None),
}

instances = st.dictionaries(st.integers(0, COLUMNS - 1), st.floats(-1.0, 1.0, width=32), max_size=COLUMNS)
histories = st.lists(st.tuples(instances, st.lists(st.sampled_from([1, 0, -1]), min_size=9, max_size=9)), max_size=30)


def entries(x: dict[int, float]) -> tuple[np.ndarray, np.ndarray]:
    ordered = sorted(x.items())
    return np.array([c for c, _ in ordered], np.int32), np.array([v for _, v in ordered], np.float32)


class Kernels:
    """An expert driven as the step kernel drives it."""

    def __init__(self, kind: str, labels: int, columns: int = COLUMNS) -> None:
        owner, self.predict_row, self.learn_row, self.begin_label, self.step, self.start = KINDS[kind]
        self.owner = owner()
        self.owner.grow(columns, labels)
        self.labels = labels

    def predict(self, x: dict[int, float]) -> np.ndarray:
        out = np.full(self.labels, np.nan, np.float32)
        self.predict_row(self.owner.state, *entries(x), self.labels, out)
        return out

    def learn(self, x: dict[int, float], truth: list[int]) -> None:
        logits = self.predict(x)
        scratch = np.full(-(-self.labels // 8) * 8, np.nan, np.float32)
        signs = np.array(truth[: self.labels], np.int8)
        self.learn_row(self.owner.state, *entries(x), signs, logits, self.labels, scratch)


def optional(truth: int) -> int | None:
    return None if truth < 0 else truth


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(history=histories, labels=st.sampled_from([1, 2, 9]))
def test_kernel_equals_twin(kind, history, labels):
    ours = Kernels(kind, labels)
    theirs = [LogisticLabel(ours.step, ours.start) for _ in range(labels)]
    for x, truth in history:
        logits = ours.predict(x)
        np.testing.assert_allclose(logits, [label.logit(x) for label in theirs], rtol=1e-3, atol=1e-3)
        ours.learn(x, truth)
        for label, y in zip(theirs, truth, strict=False):
            label.learn(x, optional(y))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(before=histories, after=histories, bias=st.floats(-9.0, 1.0))
def test_a_late_label_starts_at_its_bias_and_changes_nothing_else(kind, before, after, bias):
    ours, without = Kernels(kind, 2), Kernels(kind, 2)
    theirs = LogisticLabel(ours.step, ours.start, bias)
    for x, truth in before:
        ours.learn(x, truth)
        without.learn(x, truth)
    ours.owner.grow(COLUMNS + 3, 3)
    ours.labels = 3
    ours.begin_label(ours.owner.state, 2, bias)
    for x, truth in after:
        logits = ours.predict(x)
        assert logits[2] == pytest.approx(theirs.logit(x), rel=1e-3, abs=1e-3)
        np.testing.assert_array_equal(logits[:2], without.predict(x))
        ours.learn(x, truth)
        without.learn(x, truth)
        theirs.learn(x, optional(truth[2]))


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_truth_leaves_the_bits_of_its_label(kind):
    ours = Kernels(kind, 3)
    ours.learn({0: 0.6, 2: 0.8}, [1, 0, 1])
    before = {name: array.copy() for name, array in ours.owner.arrays(COLUMNS, 3).items()}
    ours.learn({0: 0.8, 1: -0.6}, [-1, 1, -1])
    for name, array in ours.owner.arrays(COLUMNS, 3).items():
        np.testing.assert_array_equal(array[..., [0, 2]], before[name][..., [0, 2]], err_msg=name)
        if name != "squared":
            assert not np.array_equal(array[..., 1], before[name][..., 1])


def test_the_default_step_and_start():
    np.testing.assert_array_equal(AdaGrad().state.constants, AdaGrad(1.0, 0.1).state.constants)


@pytest.mark.parametrize("kind", KINDS)
def test_spare_capacity_stays_empty_and_changes_nothing(kind):
    ours, roomy = Kernels(kind, 3), Kernels(kind, 3)
    roomy.owner.grow(COLUMNS + 20, 40)
    for i in range(30):
        x = {i % COLUMNS: -0.8, (i * i) % COLUMNS: 0.6}
        np.testing.assert_array_equal(ours.predict(x), roomy.predict(x))
        ours.learn(x, [i % 2, -1, i % 3 == 0])
        roomy.learn(x, [i % 2, -1, i % 3 == 0])
    for name, array in ours.owner.arrays(COLUMNS, 3).items():
        np.testing.assert_array_equal(roomy.owner.arrays(COLUMNS, 3)[name], array, err_msg=name)
    for name, array in roomy.owner.arrays(COLUMNS + 20, 40).items():
        fresh = type(roomy.owner)()
        fresh.grow(COLUMNS + 20, 40)
        np.testing.assert_array_equal(array[..., 3:], fresh.arrays(COLUMNS + 20, 40)[name][..., 3:], err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_instance_learns_the_bias_only(kind):
    ours = Kernels(kind, 1)
    assert ours.predict({}).tolist() == [-2.0]
    ours.learn({}, [1])
    assert ours.predict({})[0] > -2.0
    assert not ours.owner.state.weight.any()


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_clipped(kind):
    ours = Kernels(kind, 2)
    ours.owner.state.weight[0, :2] = [50.0, -50.0]
    assert ours.predict({0: 1.0}).tolist() == [15.0, -15.0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_retired_slot_is_as_new(kind):
    ours, fresh = Kernels(kind, 3), Kernels(kind, 3)
    for i in range(20):
        ours.learn({i % COLUMNS: 1.0}, [i % 2, 1, 0])
        fresh.learn({i % COLUMNS: 1.0}, [i % 2, -1, 0])
    ours.owner.retire(1)
    for name, array in fresh.owner.arrays(COLUMNS, 3).items():
        np.testing.assert_array_equal(ours.owner.arrays(COLUMNS, 3)[name], array, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_state_without_spare_capacity_round_trips(kind):
    ours = Kernels(kind, 3)
    for i in range(20):
        ours.learn({i % COLUMNS: 1.0}, [i % 2, 1, 0])
    arrays = {name: array.copy() for name, array in ours.owner.arrays(COLUMNS, 3).items()}
    again = type(ours.owner)()
    again.load_arrays(arrays, COLUMNS, 3)
    for name, array in again.arrays(COLUMNS, 3).items():
        np.testing.assert_array_equal(array, arrays[name], err_msg=name)
    assert sum(array.nbytes for array in arrays.values()) <= type(ours.owner).bytes_bound(COLUMNS, 3)
    with pytest.raises(SnapshotError):
        type(ours.owner)().load_arrays(arrays, COLUMNS, 4)
