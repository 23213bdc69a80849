"""Scores of labels: the emitted probability of a logit, and the labels with the largest logits."""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.numerics.logistic import sigmoid32


@kernel
def probability(logit: np.float32) -> float:
    """Return the probability of a logit, 1 / (1 + exp(-logit)), rounded to six decimals; float64."""
    value = np.float64(sigmoid32(logit))
    return np.floor(value * 1e6 + 0.5) / 1e6


@kernel
def best_labels(logits: np.ndarray, labels: int, allowed: np.ndarray, count: int | np.int64, out: np.ndarray) -> int:
    """Write the ``count`` labels with the largest logits to ``out``; return their number, lower if fewer are allowed.

    Parameters
    ----------
    logits
        float32[labels].
    labels
        Labels in use.
    allowed
        uint8[labels], 1 for a label that may be written.
    count
        Largest number of labels.
    out
        int32[], filled with label slots by falling logit; the lower slot first on ties.
    """
    found = 0
    if count <= 0:
        return 0
    for label in range(labels):
        if not allowed[label]:
            continue
        if found == count and logits[label] <= logits[out[found - 1]]:
            continue
        rank = found if found < count else count - 1
        while rank > 0 and logits[out[rank - 1]] < logits[label]:
            out[rank] = out[rank - 1]
            rank -= 1
        out[rank] = label
        if found < count:
            found += 1
    return found
