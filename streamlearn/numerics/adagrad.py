"""The AdaGrad step of all regressions and mixers.

Source: Duchi, Hazan and Singer, *Adaptive Subgradient Methods* (JMLR 12, 2011), with an initial value of the sum of
squares instead of the epsilon.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from streamlearn.kernels.compiler import kernel

F = TypeVar("F", float, np.float32)


@kernel
def adagrad_step(step: F, slope: F, squared: F) -> F:
    """Return the amount to subtract from a weight: ``step`` times ``slope`` over the root of ``squared``.

    ``squared`` is the initial value plus the sum of squared slopes, this one included. The arguments are all float32 or
    all float64, and so is the result.
    """
    return step * slope / np.sqrt(squared)
