"""Logits of linear models: the weighted sum of one instance's entries for all labels.

Every linear expert stores its weights by column, labels contiguous, and computes its logits with `linear_predict_row`.
"""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel

CLIP = np.float32(15.0)
LANES = 8
"""Loops over labels run to a multiple of LANES where there is room: a remainder shorter than a vector register would
cost as much as all full registers together."""
ENTRIES_PER_PASS = 4
"""Entries that are added in one pass over the labels."""
_ZERO = np.float32(0.0)


@kernel
def linear_predict_row(
    weight: np.ndarray, bias: np.ndarray, columns: np.ndarray, values: np.ndarray, labels: int, out: np.ndarray
) -> None:
    """Write bias plus weighted sum, clipped to [-15, 15], to ``out`` float32[labels].

    ``weight`` float32[columns, labels] and ``bias`` float32[labels] are the model, with room for a multiple of LANES
    labels. ``columns`` int32 and ``values`` float32 are one instance's entries, which are added in their order. If
    ``out`` is longer than ``labels``, its elements up to the next multiple of LANES are written too.
    """
    padded = min((labels + LANES - 1) // LANES * LANES, out.size)
    for label in range(padded):
        out[label] = bias[label]
    last = columns.size - 1
    for entry in range(0, columns.size, ENTRIES_PER_PASS):
        # The last pass repeats the last entry with value 0 until it has four.
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
