"""Decayed counts of labels and of pairs of labels, from which label similarity is measured.

The Jaccard similarity of labels a and b is the mean of a Bernoulli variable over the instances where a or b holds, so
counts of labels and of pairs give it: S = C_ab / (n_a + n_b - C_ab). Counts decay by .9995 a row, or correlations that
drifted away would keep the old partition alive. The decay is one increment that grows; a table is rescaled only when
the increment passes a fixed size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.kernels.compiler import kernel
from streamlearn.state.array_names import PAIR_COUNTS

DECAY = 0.9995
"""What a count is multiplied by at every row: a memory of about 2,000 rows."""

RENORMALISE_ABOVE = 2.0**40
"""The increment at which a table is divided by the increment's power of two; dividing by it keeps every bit."""

MAXIMUM_LABELS = 4096
"""Labels that the dense table of pairs is made for: 128 MiB."""

Whole = int | np.int64
"""An argument of a kernel that is 64 bits wide, wherever it comes from: one width, one machine code."""


class PairCountsState(NamedTuple):
    """Counts in units of the increment: the decayed count of label a is ``label_weight[a] / increment[0]``.

    Attributes
    ----------
    label_weight
        float64[labels].
    pair_weight
        float64[labels, labels], symmetric, zero on the diagonal.
    increment
        float64[1], what a row adds.
    """

    label_weight: np.ndarray
    pair_weight: np.ndarray
    increment: np.ndarray


@kernel
def pair_counts_update(state: PairCountsState, members: np.ndarray) -> None:
    """Count one complete label set: decay everything by one row, then add the set.

    Parameters
    ----------
    state
        The counts.
    members
        int32[k], distinct label slots. The cost is k squared, whatever the number of labels.
    """
    state.increment[0] /= DECAY
    if state.increment[0] > RENORMALISE_ABOVE:
        state.increment[0] /= RENORMALISE_ABOVE
        for a in range(len(state.label_weight)):
            state.label_weight[a] /= RENORMALISE_ABOVE
            for b in range(len(state.label_weight)):
                state.pair_weight[a, b] /= RENORMALISE_ABOVE
    increment = state.increment[0]
    for i in range(len(members)):
        a = members[i]
        state.label_weight[a] += increment
        for j in range(i):
            b = members[j]
            state.pair_weight[a, b] += increment
            state.pair_weight[b, a] += increment


@kernel
def jaccard(state: PairCountsState, a: Whole, b: Whole) -> float:
    """Return the decayed Jaccard similarity of two labels, 0 if neither was ever seen."""
    both = state.pair_weight[a, b]
    either = state.label_weight[a] + state.label_weight[b] - both
    return both / either if either > 0.0 else 0.0


class PairCounts:
    """Holds, names and grows the counts.

    Parameters
    ----------
    labels
        Label slots to make room for.
    """

    def __init__(self, labels: int = 0) -> None:
        self.state = PairCountsState(np.zeros(labels), np.zeros((labels, labels)), np.ones(1))

    @property
    def capacity(self) -> int:
        """Label slots there is room for."""
        return len(self.state.label_weight)

    def grow(self, labels: int) -> None:
        """Make room for this many label slots; never shrinks."""
        old = self.capacity
        if labels <= old:
            return
        label_weight = np.zeros(labels)
        pair_weight = np.zeros((labels, labels))
        label_weight[:old] = self.state.label_weight
        pair_weight[:old, :old] = self.state.pair_weight
        self.state = PairCountsState(label_weight, pair_weight, self.state.increment)

    def retire(self, slot: int) -> None:
        """Forget everything counted of one label slot."""
        self.state.label_weight[slot] = 0.0
        self.state.pair_weight[slot, :] = 0.0
        self.state.pair_weight[:, slot] = 0.0

    def arrays(self, labels: int) -> dict[str, np.ndarray]:
        """Return the complete state of the first ``labels`` slots, by name; spare room is not state."""
        return {
            "label_weight": self.state.label_weight[:labels],
            "pair_weight": np.ascontiguousarray(self.state.pair_weight[:labels, :labels]),
            "increment": self.state.increment,
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over a state that ``arrays`` returned.

        Raises
        ------
        SnapshotError
            If an array is missing or the shapes do not agree.
        """
        try:
            label_weight, pair_weight, increment = (arrays[name] for name in PAIR_COUNTS)
        except KeyError as error:
            raise SnapshotError(f"pair counts: the array {error} is missing from the snapshot") from None
        labels = len(label_weight)
        if pair_weight.shape != (labels, labels) or increment.shape != (1,):
            raise SnapshotError(
                f"pair counts: {labels} labels need a table of {labels} by {labels} and one increment, "
                f"found {pair_weight.shape} and {increment.shape}"
            )
        self.grow(labels)
        self.state.label_weight[:] = 0.0
        self.state.pair_weight[:] = 0.0
        self.state.label_weight[:labels] = label_weight
        self.state.pair_weight[:labels, :labels] = pair_weight
        self.state.increment[:] = increment

    @staticmethod
    def bytes_bound(labels: int) -> int:
        """Return the bytes that counts of this many labels hold."""
        return 8 * (labels + labels * labels + 1)
