"""Counter-based random numbers, a function of seed, row and index: the same on every machine and after a restart.

Source: G. L. Steele, D. Lea and C. H. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014 (the mixing
function of SplitMix64), applied to a counter.
"""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel

DRAWS = 16
"""Random numbers that one row may use."""

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)

POISSON_CDF = (1580030169, 3160060337, 3950075422, 4213413783, 4279248374, 4292415292, 4294609778, 4294923276)
"""The distribution function of a Poisson variable of mean 1 at 0 to 7, times 2 to the power of 32, rounded."""


@kernel
def draw(seed: int | np.int64, row: int | np.int64, index: int | np.int64) -> np.uint64:
    """Return 64 random bits; ``index``, 0 to 15, numbers the draws of a row."""
    bits = (np.uint64(seed) + np.uint64(1)) * _FIRST + (np.uint64(row) * np.uint64(DRAWS) + np.uint64(index)) * _STEP
    bits = (bits ^ (bits >> np.uint64(30))) * _FIRST
    bits = (bits ^ (bits >> np.uint64(27))) * _SECOND
    return bits ^ (bits >> np.uint64(31))


@kernel
def draw_poisson(seed: int | np.int64, row: int | np.int64, index: int | np.int64) -> int:
    """Return a Poisson number of mean 1, at most 8, by inversion; ``index`` as in `draw`."""
    upper = np.int64(draw(seed, row, index) >> np.uint64(32))
    number = 0
    for limit in POISSON_CDF:
        number += 1 if upper >= limit else 0
    return number
