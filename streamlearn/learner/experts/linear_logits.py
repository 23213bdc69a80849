"""What all linear experts share: the logits of one instance from weights by column, labels contiguous."""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel

CLIP = np.float32(15.0)
LANES = 8
"""Loops over labels run to a multiple of this where there is room: a rest shorter than a vector register would cost as
much as the others together."""
TOGETHER = 4
"""Entries that are added in one pass over the labels."""
_ZERO = np.float32(0.0)


@kernel
def linear_predict_row(
    weight: np.ndarray, bias: np.ndarray, columns: np.ndarray, values: np.ndarray, labels: int, out: np.ndarray
) -> None:
    """Write bias plus weighted sum, clipped to plus or minus 15, to ``out`` float32[labels].

    ``weight`` float32[columns, labels] and ``bias`` float32[labels] are the model, with room for a multiple of LANES
    labels; ``columns`` int32 and ``values`` float32 one instance's entries, which are added in their order. If ``out``
    is longer, the places up to the next multiple of LANES are written too.
    """
    padded = min((labels + LANES - 1) // LANES * LANES, out.size)
    for label in range(padded):
        out[label] = bias[label]
    last = columns.size - 1
    for entry in range(0, columns.size, TOGETHER):
        # Past the last entry that one comes again, times nothing.
        one = weight[columns[entry]]
        two = weight[columns[min(entry + 1, last)]]
        three = weight[columns[min(entry + 2, last)]]
        four = weight[columns[min(entry + 3, last)]]
        by_one = values[entry]
        by_two = values[entry + 1] if entry + 1 <= last else _ZERO
        by_three = values[entry + 2] if entry + 2 <= last else _ZERO
        by_four = values[entry + 3] if entry + 3 <= last else _ZERO
        for label in range(padded):
            total = out[label] + by_one * one[label]
            total = total + by_two * two[label]
            total = total + by_three * three[label]
            out[label] = total + by_four * four[label]
    for label in range(padded):
        out[label] = min(max(out[label], -CLIP), CLIP)
