"""Label rates: exponentially weighted frequencies of each label, one fast and one slow.

They give a probability before anything is learnt about the features, and serve bursts of a label and rare labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.numerics.exp_log import log32
from streamlearn.state.array_loading import load_labels, load_whole
from streamlearn.state.growth import grow

FAST_STEP = 0.2
SLOW_STEP = 0.01
START = 0.05
LEAST_LATE_RATE = 0.0005
CLIP = 1e-4


class Rate(IntEnum):
    """Fields of `RatesState.absent`."""

    FAST = 0  # fast rate of a label that was never true
    SLOW = 1  # slow rate of a label that was never true


class RatesState(NamedTuple):
    """The rates.

    Attributes
    ----------
    fast, slow
        float64[labels].
    absent
        float64[2], by `Rate`: the rates of a label that was in no complete row.
    """

    fast: np.ndarray
    slow: np.ndarray
    absent: np.ndarray


@kernel
def rates_predict_row(state: RatesState, labels: int, out_fast: np.ndarray, out_slow: np.ndarray) -> None:
    """Write the logits of both rates, clipped to [1e-4, 1 - 1e-4], to ``out_fast`` and ``out_slow`` float32[labels]."""
    for label in range(labels):
        fast = min(max(state.fast[label], CLIP), 1.0 - CLIP)
        slow = min(max(state.slow[label], CLIP), 1.0 - CLIP)
        out_fast[label] = log32(np.float32(fast / (1.0 - fast)))
        out_slow[label] = log32(np.float32(slow / (1.0 - slow)))


@kernel
def rates_learn_row(state: RatesState, truth: np.ndarray, labels: int, complete: bool) -> None:
    """Update the rates of known labels.

    ``truth`` int8[labels] is 1, 0 or -1 (unknown: the rates stay); ``complete`` says whether all labels are known.
    """
    for label in range(labels):
        if truth[label] >= 0:
            state.fast[label] += FAST_STEP * (np.float64(truth[label]) - state.fast[label])
            state.slow[label] += SLOW_STEP * (np.float64(truth[label]) - state.slow[label])
    if complete:
        state.absent[Rate.FAST] -= FAST_STEP * state.absent[Rate.FAST]
        state.absent[Rate.SLOW] -= SLOW_STEP * state.absent[Rate.SLOW]


@kernel
def rates_begin_label(state: RatesState, label: int) -> None:
    """Set the rates of a label that joins to those after all complete rows without it, at least .0005."""
    state.fast[label] = max(state.absent[Rate.FAST], LEAST_LATE_RATE)
    state.slow[label] = max(state.absent[Rate.SLOW], LEAST_LATE_RATE)


class Rates:
    """Owns the label rates."""

    def __init__(self) -> None:
        self.state = RatesState(np.full(0, START), np.full(0, START), np.full(len(Rate), START))

    def grow(self, labels: int) -> None:
        """Make room for ``labels`` labels; labels that exist before the first row start at .05."""
        fast, slow, absent = self.state
        self.state = RatesState(grow(fast, labels, START), grow(slow, labels, START), absent)

    def arrays(self, labels: int) -> dict[str, np.ndarray]:
        """Return the rates of the labels in use."""
        return {"fast": self.state.fast[:labels], "slow": self.state.slow[:labels], "absent": self.state.absent}

    def load_arrays(self, arrays: Mapping[str, np.ndarray], labels: int) -> None:
        """Load the rates; raises `SnapshotError` when a shape differs."""
        self.grow(labels)
        load_labels(self.state.fast, arrays["fast"], labels)
        load_labels(self.state.slow, arrays["slow"], labels)
        load_whole(self.state.absent, arrays["absent"])

    @staticmethod
    def bytes_bound(labels: int) -> int:
        """Return the largest size in bytes with that many labels."""
        return 16 * labels + 16
