"""Scores of labels: probabilities from logits, and the labels with the largest logits."""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.numerics.logistic import sigmoid32


@kernel
def probability(logit: np.float32) -> float:
    """Return 1 / (1 + exp(-logit)), rounded to six decimals; float64."""
    value = np.float64(sigmoid32(logit))
    return np.floor(value * 1e6 + 0.5) / 1e6


@kernel
def best_labels(logits: np.ndarray, labels: int, allowed: np.ndarray, count: int | np.int64, out: np.ndarray) -> int:
    """Write the ``count`` labels with the largest logits to ``out`` int32, best first; return how many there are.

    Only labels with ``allowed`` uint8[labels] count; the lower slot stands first among equals.
    """
    found = 0
    if count <= 0:
        return 0
    for label in range(labels):
        if not allowed[label]:
            continue
        if found == count and logits[label] <= logits[out[found - 1]]:
            continue
        place = found if found < count else count - 1
        while place > 0 and logits[out[place - 1]] < logits[label]:
            out[place] = out[place - 1]
            place -= 1
        out[place] = label
        if found < count:
            found += 1
    return found
