"""Label rates: equal to the exponentially weighted sums that define them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.errors import SnapshotError
from streamlearn.learner.experts.rates import (
    FAST_STEP,
    SLOW_STEP,
    Rates,
    rates_begin_label,
    rates_learn_row,
    rates_predict_row,
)
from tests.naive.learner.experts import rates as naive


def predict(rates: Rates, labels: int) -> tuple[np.ndarray, np.ndarray]:
    fast, slow = np.zeros(labels, np.float32), np.zeros(labels, np.float32)
    rates_predict_row(rates.state, labels, fast, slow)
    return fast, slow


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.one_of(
            st.tuples(st.just(True), st.lists(st.sampled_from([0, 1]), min_size=4, max_size=4)),
            st.tuples(st.just(False), st.lists(st.sampled_from([0, 1, -1]), min_size=4, max_size=4)),
        ),
        max_size=60,
    ),
    joins_after=st.integers(0, 60),
)
def test_kernel_equals_twin(rows, joins_after):
    """Labels 0 to 2 are there from the first row; label 3 joins later, as if absent from the complete rows so far."""
    rates = Rates()
    rates.grow(3)
    labels = 3
    late = [0.05, 0.05]
    since = 0
    for i, (complete, truth) in enumerate(rows):
        if i == joins_after:
            rates.grow(4)
            rates_begin_label(rates.state, 3)
            labels = 4
            since = i
            complete_before = sum(done for done, _ in rows[:i])
            late = [naive.late_rate(complete_before, step) for step in (FAST_STEP, SLOW_STEP)]
        rates_learn_row(rates.state, np.array(truth, np.int8), labels, complete)
    fast, slow = predict(rates, labels)
    for label in range(labels):
        history = [None if row[label] < 0 else row[label] for _, row in rows[since if label == 3 else 0 :]]
        starts = late if label == 3 else [0.05, 0.05]
        for logits, step, start in zip((fast, slow), (FAST_STEP, SLOW_STEP), starts, strict=True):
            expected = naive.logit(naive.rate(history, step, start))
            assert logits[label] == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_rates_far_from_one_half_are_clipped():
    rates = Rates()
    rates.grow(2)
    for _ in range(5_000):
        rates_learn_row(rates.state, np.array([1, 0], np.int8), 2, True)
    for logits in predict(rates, 2):
        assert logits[0] == pytest.approx(naive.logit(1.0), rel=1e-3)
        assert logits[1] == pytest.approx(naive.logit(0.0), rel=1e-3)
    rates.grow(3)
    rates_begin_label(rates.state, 2)
    assert rates.state.fast[2] == rates.state.slow[2] == 0.0005


def test_state_without_spare_capacity_round_trips():
    rates = Rates()
    rates.grow(5)
    rates_learn_row(rates.state, np.array([1, 0, -1], np.int8), 3, False)
    arrays = {name: array.copy() for name, array in rates.arrays(3).items()}
    again = Rates()
    again.load_arrays(arrays, 3)
    for name, array in again.arrays(3).items():
        np.testing.assert_array_equal(array, arrays[name], err_msg=name)
    assert sum(array.nbytes for array in arrays.values()) == Rates.bytes_bound(3)
    with pytest.raises(SnapshotError):
        Rates().load_arrays(arrays, 4)
