"""Thresholds for macro F1: one per label, half of the F1 that the label has reached with its thresholds.

The F1 of a label is a / n: a is twice the number of hits, n the number of rows where the label was predicted plus the
number of positives. Predicting a label of probability p adds 2 p to the expected a and 1 to n, which raises the F1 if p
exceeds half of it. A row's truth y counts as .8 p + .2 y, since the probabilities are calibrated and vary less than the
truth of a rare label. a and n decay by .9998 per row whose truth is known. The threshold is

    (a + F) / (2 (n + 1)),

smoothed by one unit of n at the F1 of all labels, F = (1 + sum of a / max(n, 1)) / (2 + sum of min(n, 1)): a mean over
the labels in which labels with a small n count little; .5 at the start.

Source: the threshold at half of the F-measure so far: Busa-Fekete, Szorenyi, Dembczynski and Hullermeier, *Online
F-Measure Optimization* (NIPS 2015).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.state.array_loading import load_labels, load_whole
from streamlearn.state.growth import grow

PROBABILITY_SHARE = 0.8
"""Share of the probability in what a row's truth counts as; the truth itself has the rest."""

DECAY = 0.9998
INITIAL_F1 = 0.5
INITIAL_LABELS = 2.0
"""Labels of F1 INITIAL_F1 that F is smoothed with."""

INITIAL_THRESHOLD = 0.25


class ThresholdsState(NamedTuple):
    """State of the thresholds.

    Attributes
    ----------
    hits
        float64[labels], a.
    size
        float64[labels], n.
    threshold
        float32[labels].
    common
        float64[1], F.
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
    """Count one row and update all thresholds.

    Parameters
    ----------
    state
        The thresholds.
    probabilities
        float32[labels], from before the row was learned.
    truth
        int8[labels]: 1, 0 or -1 (unknown: not counted).
    labels
        Labels as of the row.
    """
    total = INITIAL_F1 * INITIAL_LABELS
    weight = INITIAL_LABELS
    for label in range(labels):
        hits = state.hits[label]
        size = state.size[label]
        if truth[label] >= 0:
            probability = np.float64(probabilities[label])
            expected = PROBABILITY_SHARE * probability + (1.0 - PROBABILITY_SHARE) * np.float64(truth[label])
            predicted = 1.0 if probabilities[label] > state.threshold[label] else 0.0
            hits = DECAY * hits + 2.0 * (predicted * expected)
            size = DECAY * size + (predicted + expected)
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
    """Set ``chosen`` uint8[labels] to 1 for the labels whose probability exceeds their threshold, else to 0.

    ``probabilities`` is float32[labels]; only labels with ``allowed`` uint8[labels] are chosen.
    """
    for label in range(labels):
        chosen[label] = allowed[label] if probabilities[label] > state.threshold[label] else 0


class Thresholds:
    """Owns the counts and thresholds of all labels."""

    def __init__(self) -> None:
        self.state = ThresholdsState(np.zeros(0), np.zeros(0), np.zeros(0, np.float32), np.full(1, INITIAL_F1))

    def grow(self, labels: int) -> None:
        """Make room for ``labels`` label slots."""
        hits, size, threshold, common = self.state
        self.state = ThresholdsState(
            grow(hits, labels), grow(size, labels), grow(threshold, labels, INITIAL_THRESHOLD), common
        )

    def retire(self, label: int) -> None:
        """Reset a label's slot; its threshold becomes that of a label without rows."""
        self.state.hits[label] = 0.0
        self.state.size[label] = 0.0
        self.state.threshold[label] = _threshold(0.0, 0.0, self.state.common[0])

    def arrays(self, labels: int) -> dict[str, np.ndarray]:
        """Return the counts and thresholds of the labels in use, by array name."""
        return {
            "hits": self.state.hits[:labels],
            "size": self.state.size[:labels],
            "threshold": self.state.threshold[:labels],
            "common": self.state.common,
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray], labels: int) -> None:
        """Load the state that `arrays` returned; raises `SnapshotError` if an array does not fit."""
        self.grow(labels)
        load_labels(self.state.hits, arrays["hits"], labels)
        load_labels(self.state.size, arrays["size"], labels)
        load_labels(self.state.threshold, arrays["threshold"], labels)
        load_whole(self.state.common, arrays["common"])

    @staticmethod
    def bytes_bound(labels: int) -> int:
        """Return the largest size in bytes with that many labels."""
        return 20 * labels + 8
