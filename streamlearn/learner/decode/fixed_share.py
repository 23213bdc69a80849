"""Fixed share: for each label, a mix of two probabilities whose weights follow what has been right lately.

The weight of each expert is multiplied by the probability that it gave to the truth, the weights are divided by their
sum, and 1 % of the total is shared evenly, so that an expert that was wrong for long comes back quickly.

Source: Herbster and Warmuth, *Tracking the Best Expert* (Machine Learning 32, 1998).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.state.array_loading import load_labels
from streamlearn.state.growth import grow

SHARE = np.float32(0.01)
LEAST = np.float32(1e-4)
"""A probability is taken for at least this and at most one less this, so that one row cannot silence an expert."""

START = 0.5
_ONE = np.float32(1.0)
_HALF = np.float32(0.5)


class FixedShareState(NamedTuple):
    """``weight`` float32[labels]: the second expert's weight; the first one has the rest."""

    weight: np.ndarray


@kernel
def fixed_share_predict_row(
    state: FixedShareState, first: np.ndarray, second: np.ndarray, labels: int, out: np.ndarray
) -> None:
    """Write the mix of two probabilities, float32[labels] each, to ``out`` float32[labels]."""
    for label in range(labels):
        weight = state.weight[label]
        out[label] = (_ONE - weight) * first[label] + weight * second[label]


@kernel
def _likelihood(probability: np.float32, on: bool) -> np.float32:
    bounded = min(max(probability, LEAST), _ONE - LEAST)
    return bounded if on else _ONE - bounded


@kernel
def fixed_share_learn_row(
    state: FixedShareState, first: np.ndarray, second: np.ndarray, truth: np.ndarray, labels: int
) -> None:
    """Learn from ``truth`` int8[labels], 1, 0 or -1 (unknown: untouched), given what both experts had said."""
    for label in range(labels):
        old = state.weight[label]
        on = truth[label] == 1
        right = old * _likelihood(second[label], on)
        right /= right + (_ONE - old) * _likelihood(first[label], on)
        moved = (_ONE - SHARE) * right + SHARE * _HALF
        state.weight[label] = moved if truth[label] >= 0 else old


class FixedShare:
    """Owns the weights of two experts, label by label."""

    def __init__(self) -> None:
        self.state = FixedShareState(np.zeros(0, np.float32))

    def grow(self, labels: int) -> None:
        """Make room for ``labels`` labels; each starts with even weights, whenever it joins."""
        self.state = FixedShareState(grow(self.state.weight, labels, START))

    def retire(self, label: int) -> None:
        """Empty a slot."""
        self.state.weight[label] = START

    def arrays(self, labels: int) -> dict[str, np.ndarray]:
        """Return the weights of the labels in use, by name."""
        return {"weight": self.state.weight[:labels]}

    def load_arrays(self, arrays: Mapping[str, np.ndarray], labels: int) -> None:
        """Take the weights over; raises `SnapshotError` when a shape differs."""
        self.grow(labels)
        load_labels(self.state.weight, arrays["weight"], labels)

    @staticmethod
    def bytes_bound(labels: int) -> int:
        """Return the largest size in bytes with that many labels."""
        return 4 * labels
