"""What the learner sees of instances: one array per view of their entries, rows behind each other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Entries(NamedTuple):
    """Sparse rows, each sorted by column; which entries belong to a row is for its user to say.

    ``columns`` int32; ``values`` float32, the unit-norm instance; ``rarity_weighted`` float32, the unit-norm instance
    weighted by how rare a column is; ``bins`` uint8, 0 to 3, what trees ask for. Meaning and source: `encoder.scaling`.
    """

    columns: np.ndarray
    values: np.ndarray
    rarity_weighted: np.ndarray
    bins: np.ndarray
