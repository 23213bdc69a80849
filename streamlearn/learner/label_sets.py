"""Label sets as ascending arrays of label slots: the hash by which equal sets are found."""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel

CODE_FACTOR = np.int64(1_000_003)
CODE_MASK = np.int64((1 << 43) - 1)
"""Keeps 43 bits before a multiplication, so that no product overflows int64: numpy would warn, compiled code wraps."""


@kernel
def label_set_code(members: np.ndarray, first: int | np.int64, last: int | np.int64) -> np.int64:
    """Return the hash, a non-negative int64, of the label set ``members[first:last]`` int32, ascending."""
    code = np.int64(last - first)
    for position in range(first, last):
        code = (code & CODE_MASK) * CODE_FACTOR ^ np.int64(members[position])
    return code
