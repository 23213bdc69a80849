"""The AdaGrad step, shared by every regression and mixer that learns by it.

Source: Duchi, Hazan and Singer, *Adaptive Subgradient Methods* (JMLR 12, 2011), with a start in place of the epsilon.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from streamlearn.kernels.compiler import kernel

F = TypeVar("F", float, np.float32)


@kernel
def adagrad_step(step: F, slope: F, squared: F) -> F:
    """Return by how much a weight falls: ``step`` times ``slope`` over the root of ``squared``.

    ``squared`` is the start plus the sum of squared slopes, this one included. All three are float32, or all float64,
    and so is the result.
    """
    return step * slope / np.sqrt(squared)
