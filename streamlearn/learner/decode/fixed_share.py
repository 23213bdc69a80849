"""Fixed share: for each label, a mix of two experts' probabilities whose weights track the better expert.

After each row, an expert's weight is multiplied by the probability it gave to the truth, the weights are normalised to
sum 1, and 1 % of the total is shared evenly, so that an expert that was wrong for long recovers quickly.

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
LEAST_PROBABILITY = np.float32(1e-4)
"""Probabilities are clipped to this and one minus this, so that one row cannot set a weight to 0."""

INITIAL_WEIGHT = 0.5
_ONE = np.float32(1.0)
_HALF = np.float32(0.5)


class FixedShareState(NamedTuple):
    """State of the fixed share: ``weight`` float32[labels] of the second expert; the first has one minus that."""

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
    """Return the probability of the truth, from the clipped probability that it is 1."""
    clipped = min(max(probability, LEAST_PROBABILITY), _ONE - LEAST_PROBABILITY)
    return clipped if on else _ONE - clipped


@kernel
def fixed_share_learn_row(
    state: FixedShareState, first: np.ndarray, second: np.ndarray, truth: np.ndarray, labels: int
) -> None:
    """Update the weights from one row.

    Parameters
    ----------
    state
        The weights.
    first, second
        float32[labels], the experts' probabilities from before the row was learned.
    truth
        int8[labels]: 1, 0 or -1 (unknown: the weight is unchanged).
    labels
        Labels as of the row.
    """
    for label in range(labels):
        old = state.weight[label]
        on = truth[label] == 1
        posterior = old * _likelihood(second[label], on)
        posterior /= posterior + (_ONE - old) * _likelihood(first[label], on)
        shared = (_ONE - SHARE) * posterior + SHARE * _HALF
        state.weight[label] = shared if truth[label] >= 0 else old


class FixedShare:
    """Owns the weights of two experts for each label."""

    def __init__(self) -> None:
        self.state = FixedShareState(np.zeros(0, np.float32))

    def grow(self, labels: int) -> None:
        """Make room for ``labels`` label slots; each label starts with equal weights."""
        self.state = FixedShareState(grow(self.state.weight, labels, INITIAL_WEIGHT))

    def retire(self, label: int) -> None:
        """Reset the weights of a label's slot."""
        self.state.weight[label] = INITIAL_WEIGHT

    def arrays(self, labels: int) -> dict[str, np.ndarray]:
        """Return the weights of the labels in use, by array name."""
        return {"weight": self.state.weight[:labels]}

    def load_arrays(self, arrays: Mapping[str, np.ndarray], labels: int) -> None:
        """Load the state that `arrays` returned; raises `SnapshotError` if an array does not fit."""
        self.grow(labels)
        load_labels(self.state.weight, arrays["weight"], labels)

    @staticmethod
    def bytes_bound(labels: int) -> int:
        """Return the largest size in bytes with that many labels."""
        return 4 * labels
