"""Thresholds for macro F1: each label's own, with the curve of all labels where it has seen little of its own.

Probabilities fall into 40 bins. Above the lower edge of a bin q lie pp_q rows of the label, tp_q of them positive, and
pos of all its rows are positive; PP_q, TP_q and POS are the same over all labels. The threshold is the edge that
maximises

    2 (tp_q + 10 TP_q / POS) / (pp_q + pos + 10 (PP_q / POS + 1)),

the label's F1 with ten positives' worth of the common curve added; the highest edge of equals. It starts from .5, and
a label without rows uses the common curve. A label's threshold is maximised anew after a row in which it was true, and
otherwise once in 64 rows, each label at its turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.arithmetic.compile import kernel
from streamlearn.learner.arrays import load_labels, load_whole
from streamlearn.state.growth import grown

BINS = 40
COMMON_POSITIVES = 10.0
TURN = 64
START = 0.5

ROWS, POSITIVES = 0, 1
_BINS = np.float32(BINS)
_LEAST = np.float32(1.0 / BINS)
_ROUNDING = 1e-12


class ThresholdsState(NamedTuple):
    """``counts`` float64[labels, 2, BINS] and ``common`` float64[2, BINS]: ROWS and POSITIVES by bin of the
    probability, rows of the lowest bin not counted (no threshold is zero); ``threshold`` float32[labels]; ``clock``
    int64[1], rows learnt.
    """

    counts: np.ndarray
    common: np.ndarray
    threshold: np.ndarray
    clock: np.ndarray


@kernel
def all_positives(state: ThresholdsState) -> float:
    """Return POS, the positives of all labels."""
    every = 0.0
    for place in range(BINS):
        every += state.common[POSITIVES, place]
    return every


@kernel
def thresholds_maximise(state: ThresholdsState, label: int, every: float) -> None:
    """Set the threshold of a label from its counts and the common ones, ``every`` positives of all labels."""
    own = 0.0
    for place in range(BINS):
        own += state.counts[label, POSITIVES, place]
    if every == 0.0:
        state.threshold[label] = START
        return
    share = COMMON_POSITIVES / every
    denominator = own + COMMON_POSITIVES
    numerator = 0.0
    best = 0
    highest = -1.0
    for place in range(BINS - 1, 0, -1):
        numerator += state.counts[label, POSITIVES, place] + share * state.common[POSITIVES, place]
        denominator += state.counts[label, ROWS, place] + share * state.common[ROWS, place]
        value = numerator / denominator
        # Equal values may differ by their rounding.
        if value > highest + _ROUNDING:
            highest = value
            best = place
    state.threshold[label] = np.float32(best) / _BINS


@kernel
def thresholds_learn_row(state: ThresholdsState, probabilities: np.ndarray, truth: np.ndarray, labels: int) -> None:
    """Count one row.

    Parameters
    ----------
    state
        The thresholds.
    probabilities
        float32[labels], as they stood before the row was learnt from.
    truth
        int8[labels]: 1, 0, or -1 (unknown: not counted).
    labels
        Labels as of the row.
    """
    for label in range(labels):
        if truth[label] < 0 or (probabilities[label] < _LEAST and truth[label] == 0):
            continue
        place = min(np.int64(probabilities[label] * _BINS), BINS - 1)
        if place > 0:
            state.counts[label, ROWS, place] += 1.0
            state.common[ROWS, place] += 1.0
        if truth[label] == 1:
            state.counts[label, POSITIVES, place] += 1.0
            state.common[POSITIVES, place] += 1.0
    turn = state.clock[0] % TURN
    state.clock[0] += 1
    every = all_positives(state)
    for label in range(labels):
        if truth[label] == 1 or label == turn:
            thresholds_maximise(state, label, every)
        if label == turn:
            turn += TURN


@kernel
def thresholds_choose(
    state: ThresholdsState, probabilities: np.ndarray, labels: int, allowed: np.ndarray, chosen: np.ndarray
) -> None:
    """Set ``chosen`` uint8[labels] to 1 where the probability (float32) reaches the threshold and ``allowed`` is 1."""
    for label in range(labels):
        chosen[label] = allowed[label] if probabilities[label] >= state.threshold[label] else 0


class Thresholds:
    """Owns the counts and thresholds."""

    def __init__(self) -> None:
        self.state = ThresholdsState(
            np.zeros((0, 2, BINS)), np.zeros((2, BINS)), np.zeros(0, np.float32), np.zeros(1, np.int64)
        )

    def grow(self, labels: int) -> None:
        """Make room for ``labels`` labels."""
        counts, common, threshold, clock = self.state
        self.state = ThresholdsState(grown(counts, labels), common, grown(threshold, labels, START), clock)

    def retire(self, label: int) -> None:
        """Empty a slot, for a label that will use the common curve; what it has added to that stays."""
        self.state.counts[label] = 0.0
        thresholds_maximise(self.state, label, all_positives(self.state))

    def arrays(self, labels: int) -> dict[str, np.ndarray]:
        """Return the counts and thresholds of the labels in use, by name."""
        return {
            "counts": self.state.counts[:labels],
            "common": self.state.common,
            "threshold": self.state.threshold[:labels],
            "clock": self.state.clock,
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray], labels: int) -> None:
        """Take the state over; raises `SnapshotError` when a shape differs."""
        self.grow(labels)
        load_whole(self.state.counts[:labels], arrays["counts"])
        load_labels(self.state.threshold, arrays["threshold"], labels)
        load_whole(self.state.common, arrays["common"])
        load_whole(self.state.clock, arrays["clock"])

    @staticmethod
    def bytes_bound(labels: int) -> int:
        """Return the largest size in bytes with that many labels."""
        return (16 * BINS + 4) * labels + 16 * BINS + 8
