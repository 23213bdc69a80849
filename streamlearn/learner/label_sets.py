"""Label sets as sorted arrays of slots: the code by which equal sets are found."""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel

CODE_FACTOR = np.int64(1_000_003)
CODE_MASK = np.int64((1 << 43) - 1)
"""What is multiplied has 43 bits, so that no product leaves int64: numpy would warn where compiled code wraps."""


@kernel
def label_set_code(members: np.ndarray, first: int | np.int64, last: int | np.int64) -> np.int64:
    """Return the 64-bit hash of the label set ``members[first:last]`` int32, ascending."""
    code = np.int64(last - first)
    for place in range(first, last):
        code = (code & CODE_MASK) * CODE_FACTOR ^ np.int64(members[place])
    return code
