"""Sparse instances as the learner reads them: parallel arrays of entries, the rows one after the other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Entries(NamedTuple):
    """Entries of sparse rows, sorted by column within a row; the caller knows where each row starts and ends.

    Attributes
    ----------
    columns
        int32.
    values
        float32, the unit-norm instance.
    rarity_weighted
        float32, the unit-norm instance weighted by the rarity of the columns (`encoder.scaling`).
    bins
        uint8, 0 to 3, the values that label trees split on (`encoder.scaling`).
    """

    columns: np.ndarray
    values: np.ndarray
    rarity_weighted: np.ndarray
    bins: np.ndarray
