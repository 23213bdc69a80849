"""Decayed counts of labels and of pairs of labels, and the Jaccard similarity computed from them.

The Jaccard similarity of labels a and b is the share of the rows with both among the rows with either:
S = C_ab / (n_a + n_b - C_ab). Counts decay by .9995 per row, so that correlations of the past do not keep an outdated
partition. Instead of decaying the tables, each row adds a larger increment; the tables are rescaled when the increment
exceeds a fixed value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.errors import MissingArrayError, SnapshotError
from streamlearn.kernels.compiler import kernel
from streamlearn.state.array_names import PAIR_COUNTS

DECAY = 0.9995
"""Factor of all counts per row: a memory of about 2,000 rows."""

RENORMALISE_ABOVE = 2.0**40
"""Increment above which the tables are divided by this value: a power of two, so that the division is exact."""

MAXIMUM_LABELS = 4096
"""Largest number of labels of the dense table of pairs: 128 MiB."""

Whole = int | np.int64
"""A 64-bit integer argument of a kernel, from Python or from another kernel: one type, compiled once."""


class PairCountsState(NamedTuple):
    """Counts in units of the increment: the decayed count of label a is ``label_weight[a] / increment[0]``.

    Attributes
    ----------
    label_weight
        float64[labels].
    pair_weight
        float64[labels, labels], symmetric, zero on the diagonal.
    increment
        float64[1], the weight that the last row was counted with.
    """

    label_weight: np.ndarray
    pair_weight: np.ndarray
    increment: np.ndarray


@kernel
def pair_counts_update(state: PairCountsState, members: np.ndarray) -> None:
    """Decay all counts by one row, then count one complete label set.

    Parameters
    ----------
    state
        The counts.
    members
        int32[k], distinct label slots. The cost is O(k^2) and does not depend on the number of labels.
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
    """Return the decayed Jaccard similarity of two labels, 0 if neither has been seen."""
    both = state.pair_weight[a, b]
    either = state.label_weight[a] + state.label_weight[b] - both
    return both / either if either > 0.0 else 0.0


class PairCounts:
    """Owns the arrays of the counts.

    Parameters
    ----------
    labels
        Label slots to allocate.
    """

    def __init__(self, labels: int = 0) -> None:
        self.state = PairCountsState(np.zeros(labels), np.zeros((labels, labels)), np.ones(1))

    @property
    def capacity(self) -> int:
        """Label slots allocated."""
        return len(self.state.label_weight)

    def grow(self, labels: int) -> None:
        """Allocate at least this many label slots; never shrinks."""
        old = self.capacity
        if labels <= old:
            return
        label_weight = np.zeros(labels)
        pair_weight = np.zeros((labels, labels))
        label_weight[:old] = self.state.label_weight
        pair_weight[:old, :old] = self.state.pair_weight
        self.state = PairCountsState(label_weight, pair_weight, self.state.increment)

    def retire(self, slot: int) -> None:
        """Set the counts of one label slot to 0."""
        self.state.label_weight[slot] = 0.0
        self.state.pair_weight[slot, :] = 0.0
        self.state.pair_weight[:, slot] = 0.0

    def arrays(self, labels: int) -> dict[str, np.ndarray]:
        """Return the state of the first ``labels`` slots as named arrays, without spare capacity."""
        return {
            "label_weight": self.state.label_weight[:labels],
            "pair_weight": np.ascontiguousarray(self.state.pair_weight[:labels, :labels]),
            "increment": self.state.increment,
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Restore a state that `arrays` returned.

        Raises
        ------
        SnapshotError
            If an array is missing or the shapes do not agree.
        """
        try:
            label_weight, pair_weight, increment = (arrays[name] for name in PAIR_COUNTS)
        except MissingArrayError:
            raise
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
        """Return the size in bytes of the counts of this many labels."""
        return 8 * (labels + labels * labels + 1)
