"""Contexts that choose the mixer's shared weights."""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel

SUPPORT_LEVELS = 8
CONTEXTS = 2 * SUPPORT_LEVELS


@kernel
def support_context(positives: int, was_on: int | np.int64) -> int:
    """Return 2 min(7, floor(log2(1 + positives))) + was_on: how well a label is known, and whether it was just true.

    ``positives`` counts the rows in which the label was learnt as true; ``was_on`` is 1 when it was true in the row
    learnt before, else 0.
    """
    level = 0
    rest = np.int64(positives) + 1
    while rest > 1 and level < SUPPORT_LEVELS - 1:
        rest >>= 1
        level += 1
    return 2 * level + int(was_on)
