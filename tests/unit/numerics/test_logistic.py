"""The logistic function equals its formula with our own exponential, and is close to the exact value."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamlearn.numerics.logistic import sigmoid32
from tests.naive.numerics import exp_log as naive

logits = st.floats(-200, 200, width=32)


@given(logits)
def test_sigmoid_equals_the_formula_to_the_last_bit(x: float) -> None:
    one = np.float32(1.0)
    expected = one / (one + naive.exp(np.float32(-x), np.float32))
    assert np.float32(sigmoid32(np.float32(x))).tobytes() == np.float32(expected).tobytes()


@given(st.floats(-80, 80, width=32))
def test_sigmoid_is_a_probability_close_to_the_exact_value(x: float) -> None:
    found = float(sigmoid32(np.float32(x)))
    assert 0.0 <= found <= 1.0
    assert found == pytest.approx(1.0 / (1.0 + math.exp(-x)), rel=4e-7, abs=1e-37)
