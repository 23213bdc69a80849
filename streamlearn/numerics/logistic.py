"""The logistic function in float32, from our own exponential: the same bits on every CPU."""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.numerics.exp_log import exp32

_ONE = np.float32(1.0)


@kernel
def sigmoid32(x: np.float32) -> np.float32:
    """Return 1 / (1 + exp(-x)), the probability of a logit; float32."""
    return _ONE / (_ONE + exp32(-x))
