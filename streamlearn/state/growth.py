"""Growth of arrays: capacity at least doubles, contents stay, and capacity is never part of the state."""

from __future__ import annotations

import numpy as np


def capacity(needed: int, current: int = 0, step: int = 8) -> int:
    """Return the capacity for ``needed`` entries: at least double the current one, a multiple of ``step``.

    >>> capacity(9), capacity(9, current=8), capacity(3, current=8)
    (16, 16, 8)
    """
    if needed <= current:
        return current
    target = max(needed, 2 * current)
    return (target + step - 1) // step * step


def grow(array: np.ndarray, needed: int, fill: float = 0, axis: int = 0) -> np.ndarray:
    """Return the array, or a copy with more capacity along ``axis`` and ``fill`` in the new entries."""
    size = capacity(needed, array.shape[axis])
    if size == array.shape[axis]:
        return array
    shape = list(array.shape)
    shape[axis] = size
    result = np.zeros(shape, array.dtype) if fill == 0 else np.full(shape, fill, array.dtype)
    region = tuple(slice(0, length) for length in array.shape)
    result[region] = array
    return result
