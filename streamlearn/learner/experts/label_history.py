"""LabelHistory: a logistic regression per label whose features are the label sets of the rows before.

An instance has two features for each label: at column 2 l, whether l was true in the last learnt row (1), and at column
2 l + 1 its average a, which every row that knows l moves by a <- a + .3 (y - a), where it is above .05. An average
below .0001 becomes 0, so that it does not decay into numbers too small to be fast. Of the labels of the last row the
first 38 count, of the averages the first 40, lowest slots first; the features are scaled to unit norm.

The regression is AdaGrad's with step 1 and start .3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.experts.adagrad_linear import (
    AdaGrad,
    AdaGradState,
    adagrad_begin_label,
    adagrad_learn_row,
    adagrad_predict_row,
)
from streamlearn.state.array_loading import load_labels
from streamlearn.state.growth import grow

STEP = 1.0
START = 0.3
RATE = 0.3
LEAST_AVERAGE = 0.05
FLOOR = 1e-4
PREVIOUS_AT_MOST = 38
AVERAGES_AT_MOST = 40
FEATURES_AT_MOST = PREVIOUS_AT_MOST + AVERAGES_AT_MOST


class LabelHistoryState(NamedTuple):
    """``adagrad`` with 2 labels columns; ``average`` float64[labels]; ``previous`` uint8[labels], 1 where the last
    learnt row had the label.
    """

    adagrad: AdaGradState
    average: np.ndarray
    previous: np.ndarray


@kernel
def label_history_features(
    state: LabelHistoryState, labels: int, out_columns: np.ndarray, out_values: np.ndarray
) -> int:
    """Write the row's features, by column, to ``out_columns`` int32 and ``out_values`` float32; return their number.

    There has to be room for FEATURES_AT_MOST. They depend on learnt rows only: a truth that comes late is learnt with
    the features that its prediction had.
    """
    size = 0
    previous_room = PREVIOUS_AT_MOST
    average_room = AVERAGES_AT_MOST
    squared = 0.0
    for label in range(labels):
        average = state.average[label]
        if state.previous[label] != 0 and previous_room > 0:
            out_columns[size] = 2 * label
            out_values[size] = np.float32(1.0)
            squared += 1.0
            size += 1
            previous_room -= 1
        if average > LEAST_AVERAGE and average_room > 0:
            out_columns[size] = 2 * label + 1
            out_values[size] = np.float32(average)
            squared += average * average
            size += 1
            average_room -= 1
    if size > 0:
        scale = np.float32(1.0 / np.sqrt(squared))
        for place in range(size):
            out_values[place] *= scale
    return size


@kernel
def label_history_predict_row(
    state: LabelHistoryState, columns: np.ndarray, values: np.ndarray, labels: int, out: np.ndarray
) -> None:
    """Write the logits to ``out`` float32[labels]; ``columns`` and ``values`` are those of `label_history_features`."""
    adagrad_predict_row(state.adagrad, columns, values, labels, out)


@kernel
def label_history_learn_row(
    state: LabelHistoryState,
    columns: np.ndarray,
    values: np.ndarray,
    truth: np.ndarray,
    logits: np.ndarray,
    labels: int,
    gradient: np.ndarray,
) -> None:
    """Take one step for every known label, then remember the row.

    ``columns`` and ``values`` are the features that ``logits`` float32[labels] came from; ``truth`` int8[labels] is 1,
    0 or -1 (unknown: no step, the average stays, not among the last row's labels); ``gradient`` as for AdaGrad.
    """
    adagrad_learn_row(state.adagrad, columns, values, truth, logits, labels, gradient)
    for label in range(labels):
        average = state.average[label]
        moved = average + RATE * (np.float64(truth[label]) - average)
        moved = moved if moved >= FLOOR else 0.0
        state.average[label] = average if truth[label] < 0 else moved
        state.previous[label] = 1 if truth[label] == 1 else 0


@kernel
def label_history_begin_label(state: LabelHistoryState, label: int, bias: float) -> None:
    """Give a label that joins its bias; the rest is zero already."""
    adagrad_begin_label(state.adagrad, label, bias)


class LabelHistory:
    """Owns the label_history expert's regression and its memory of the rows before."""

    def __init__(self) -> None:
        self.adagrad = AdaGrad(STEP, START)
        self.state = LabelHistoryState(self.adagrad.state, np.zeros(0), np.zeros(0, np.uint8))

    def grow(self, labels: int) -> None:
        """Make room for ``labels`` labels."""
        self.adagrad.grow(2 * labels, labels)
        self.state = LabelHistoryState(
            self.adagrad.state, grow(self.state.average, labels), grow(self.state.previous, labels)
        )

    def retire(self, label: int) -> None:
        """Empty a slot, as a label and as two features of all labels."""
        self.adagrad.retire(label)
        self.state.adagrad.weight[2 * label : 2 * label + 2] = 0
        self.state.adagrad.squared[2 * label : 2 * label + 2] = 0
        self.state.average[label] = 0
        self.state.previous[label] = 0

    def arrays(self, labels: int) -> dict[str, np.ndarray]:
        """Return the state of the labels in use, by name."""
        return {
            **self.adagrad.arrays(2 * labels, labels),
            "average": self.state.average[:labels],
            "previous": self.state.previous[:labels],
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray], labels: int) -> None:
        """Take the state over; raises `SnapshotError` when a shape differs."""
        self.grow(labels)
        self.adagrad.load_arrays(arrays, 2 * labels, labels)
        load_labels(self.state.average, arrays["average"], labels)
        load_labels(self.state.previous, arrays["previous"], labels)

    @staticmethod
    def bytes_bound(labels: int) -> int:
        """Return the largest size in bytes with that many labels."""
        return AdaGrad.bytes_bound(2 * labels, labels) + 9 * labels
