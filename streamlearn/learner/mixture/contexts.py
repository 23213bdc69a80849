"""Support contexts: what is known of a label's frequency, by which the mixer selects its weights."""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel

SUPPORT_LEVELS = 8
SUPPORT_CONTEXTS = 2 * SUPPORT_LEVELS


@kernel
def support_context(positives: int, was_on: int | np.int64) -> int:
    """Return 2 min(7, floor(log2(1 + positives))) + was_on.

    ``positives`` is the number of rows in which the label was learnt as true; ``was_on`` is 1 if it was true in the row
    learnt before, else 0.
    """
    level = 0
    remainder = np.int64(positives) + 1
    while remainder > 1 and level < SUPPORT_LEVELS - 1:
        remainder >>= 1
        level += 1
    return 2 * level + int(was_on)
