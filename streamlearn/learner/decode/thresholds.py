"""Thresholds for macro F1: each label's own, half of the F1 that the label reaches by its thresholds.

Naming a label of probability p adds 2 p to twice the expected hits and 1 to the size, the numerator and denominator of
its F1, so it pays when p exceeds half of their ratio. For each label, a is twice the hits and n the size: the rows
where p exceeded the threshold and the positives. A row's truth y counts as .8 p + .2 y, since the probabilities are
calibrated and vary less than the truth of a rare label. a and n decay by .9998 a row whose truth is known. The
threshold is

    (a + F) / (2 (n + 1)),

with the F1 of all labels, F = (1 + sum of a / max(n, 1)) / (2 + sum of min(n, 1)), for one more of the size: the mean
over labels, of which those that have hardly been expected count little; .5 at first.

Source: the threshold of half the F-measure so far: Busa-Fekete, Szorenyi, Dembczynski and Hullermeier, *Online
F-Measure Optimization* (NIPS 2015).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.state.array_loading import load_labels, load_whole
from streamlearn.state.growth import grow

EXPECTED = 0.8
DECAY = 0.9998
START_F1 = 0.5
START_LABELS = 2.0
START = 0.25


class ThresholdsState(NamedTuple):
    """``hits`` float64[labels], a; ``size`` float64[labels], n; ``threshold`` float32[labels]; ``common`` float64[1],
    F.
    """

    hits: np.ndarray
    size: np.ndarray
    threshold: np.ndarray
    common: np.ndarray


@kernel
def _threshold(hits: float, size: float, common: float) -> np.float32:
    return np.float32(0.5 * (hits + common) / (size + 1.0))


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
    total = START_F1 * START_LABELS
    weight = START_LABELS
    for label in range(labels):
        hits = state.hits[label]
        size = state.size[label]
        if truth[label] >= 0:
            expected = EXPECTED * np.float64(probabilities[label]) + (1.0 - EXPECTED) * np.float64(truth[label])
            named = 1.0 if probabilities[label] > state.threshold[label] else 0.0
            hits = DECAY * hits + 2.0 * (named * expected)
            size = DECAY * size + (named + expected)
            state.hits[label] = hits
            state.size[label] = size
        total += hits / max(size, 1.0)
        weight += min(size, 1.0)
    common = total / weight
    state.common[0] = common
    for label in range(labels):
        state.threshold[label] = _threshold(state.hits[label], state.size[label], common)


@kernel
def thresholds_choose(
    state: ThresholdsState, probabilities: np.ndarray, labels: int, allowed: np.ndarray, chosen: np.ndarray
) -> None:
    """Set ``chosen`` uint8[labels] to 1 where the probability (float32) exceeds the threshold and ``allowed`` is 1."""
    for label in range(labels):
        chosen[label] = allowed[label] if probabilities[label] > state.threshold[label] else 0


class Thresholds:
    """Owns the counts and thresholds."""

    def __init__(self) -> None:
        self.state = ThresholdsState(np.zeros(0), np.zeros(0), np.zeros(0, np.float32), np.full(1, START_F1))

    def grow(self, labels: int) -> None:
        """Make room for ``labels`` labels."""
        hits, size, threshold, common = self.state
        self.state = ThresholdsState(grow(hits, labels), grow(size, labels), grow(threshold, labels, START), common)

    def retire(self, label: int) -> None:
        """Empty a slot, for a label that will begin with the threshold of all labels."""
        self.state.hits[label] = 0.0
        self.state.size[label] = 0.0
        self.state.threshold[label] = _threshold(0.0, 0.0, self.state.common[0])

    def arrays(self, labels: int) -> dict[str, np.ndarray]:
        """Return the counts and thresholds of the labels in use, by name."""
        return {
            "hits": self.state.hits[:labels],
            "size": self.state.size[:labels],
            "threshold": self.state.threshold[:labels],
            "common": self.state.common,
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray], labels: int) -> None:
        """Take the state over; raises `SnapshotError` when a shape differs."""
        self.grow(labels)
        load_labels(self.state.hits, arrays["hits"], labels)
        load_labels(self.state.size, arrays["size"], labels)
        load_labels(self.state.threshold, arrays["threshold"], labels)
        load_whole(self.state.common, arrays["common"])

    @staticmethod
    def bytes_bound(labels: int) -> int:
        """Return the largest size in bytes with that many labels."""
        return 20 * labels + 8
