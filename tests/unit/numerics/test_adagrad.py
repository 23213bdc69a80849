"""The AdaGrad step equals its formula, in the precision of its arguments."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamlearn.numerics.adagrad import adagrad_step

slopes = st.floats(-1e3, 1e3, width=32)
squares = st.floats(np.float32(1e-3).item(), 1e6, width=32)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@given(slope=slopes, squared=squares)
def test_step_equals_the_formula_to_the_last_bit(kind: type, slope: float, squared: float) -> None:
    step, slope, squared = kind(0.3), kind(slope), kind(squared)
    expected = step * slope / np.sqrt(squared)
    assert kind(adagrad_step(step, slope, squared)).tobytes() == expected.tobytes()
