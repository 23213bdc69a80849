"""Label history: a logistic regression per label whose features are the label sets of the rows before.

The features are autoregressive, two per label. Column 2 l is 1 if label l was true in the last learnt row. Column
2 l + 1 is the label's average a if it is above .05; every row that knows l updates it by a <- a + .3 (y - a). An
average below .0001 becomes 0, so that it never becomes a subnormal number, which would be slow. At most 38 labels of
the last row and 40 averages are used, lowest slots first; the features are scaled to unit norm.

The regression is AdaGrad's (`adagrad_linear`) with step 1 and start .3.
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
MAXIMUM_PREVIOUS = 38
MAXIMUM_AVERAGES = 40
MAXIMUM_HISTORY_FEATURES = MAXIMUM_PREVIOUS + MAXIMUM_AVERAGES


class LabelHistoryState(NamedTuple):
    """The regression and what it knows of the rows before.

    Attributes
    ----------
    adagrad
        The regression, with two columns per label.
    average
        float64[labels].
    previous
        uint8[labels], 1 where the last learnt row had the label.
    """

    adagrad: AdaGradState
    average: np.ndarray
    previous: np.ndarray


@kernel
def label_history_features(
    state: LabelHistoryState, labels: int, out_columns: np.ndarray, out_values: np.ndarray
) -> int:
    """Write the next row's features, sorted by column, to ``out_columns`` and ``out_values``; return their number.

    The outputs are int32 and float32[MAXIMUM_HISTORY_FEATURES]. The features depend on learnt rows only; a truth that
    arrives late is learnt with the features of its prediction.
    """
    size = 0
    previous_room = MAXIMUM_PREVIOUS
    average_room = MAXIMUM_AVERAGES
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
        for index in range(size):
            out_values[index] *= scale
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
    """Take one step for every known label, then update the label history.

    ``columns`` and ``values`` are the features from which ``logits`` float32[labels] were predicted; ``truth``
    int8[labels] is 1, 0 or -1 (unknown: no step, the average stays, not among the last row's labels); ``gradient`` is
    scratch, as for `adagrad_learn_row`.
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
    """Set the bias of a label that joins; everything else is zero already."""
    adagrad_begin_label(state.adagrad, label, bias)


class LabelHistory:
    """Owns the regression of the label-history expert and what it knows of the rows before."""

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
        """Reset a label slot, both as a label and as two features of all labels."""
        self.adagrad.retire(label)
        self.state.adagrad.weight[2 * label : 2 * label + 2] = 0
        self.state.adagrad.squared[2 * label : 2 * label + 2] = 0
        self.state.average[label] = 0
        self.state.previous[label] = 0

    def arrays(self, labels: int) -> dict[str, np.ndarray]:
        """Return the state of the labels in use."""
        return {
            **self.adagrad.arrays(2 * labels, labels),
            "average": self.state.average[:labels],
            "previous": self.state.previous[:labels],
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray], labels: int) -> None:
        """Load the state; raises `SnapshotError` when a shape differs."""
        self.grow(labels)
        self.adagrad.load_arrays(arrays, 2 * labels, labels)
        load_labels(self.state.average, arrays["average"], labels)
        load_labels(self.state.previous, arrays["previous"], labels)

    @staticmethod
    def bytes_bound(labels: int) -> int:
        """Return the largest size in bytes with that many labels."""
        return AdaGrad.bytes_bound(2 * labels, labels) + 9 * labels
