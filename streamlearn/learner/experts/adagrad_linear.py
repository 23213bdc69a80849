"""Logistic regression per label with AdaGrad steps and a damped start: the slow linear expert.

Source: Duchi, Hazan and Singer, *Adaptive Subgradient Methods* (JMLR 12, 2011), diagonal form. The sum of squared
gradients starts at ``start`` instead of near zero, which damps the first steps: the largest gain of any single expert
in our measurements. Step and start are stored in the state, so that owners that differ in them share one compiled
kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.experts.linear_logits import LANES, linear_predict_row
from streamlearn.numerics.adagrad import adagrad_step
from streamlearn.numerics.logistic import sigmoid32
from streamlearn.state.array_loading import load_label_columns, load_labels
from streamlearn.state.growth import grow
from streamlearn.state.lazy_arrays import get_lazy

STEP = 1.0
START = 0.1
BIAS = np.float32(-2.0)
_ZERO = np.float32(0.0)


class Constant(IntEnum):
    """Fields of `AdaGradState.constants`."""

    STEP = 0  # factor of every step
    START = 1  # start of every sum of squared gradients


class AdaGradState(NamedTuple):
    """The model. There is room for a multiple of LANES labels; spare ones stay zero.

    Attributes
    ----------
    weight, bias
        float32[columns, labels], labels contiguous, and float32[labels].
    squared, bias_squared
        float32, as ``weight`` and ``bias``: the sums of squared gradients without their start, so that untouched memory
        is zero.
    constants
        float32[2], by `Constant`.
    """

    weight: np.ndarray
    squared: np.ndarray
    bias: np.ndarray
    bias_squared: np.ndarray
    constants: np.ndarray


@kernel
def adagrad_predict_row(
    state: AdaGradState, columns: np.ndarray, values: np.ndarray, labels: int, out: np.ndarray
) -> None:
    """Write the logits to ``out`` float32[labels]; ``columns`` int32 and ``values`` float32 are one instance's
    entries."""
    linear_predict_row(state.weight, state.bias, columns, values, labels, out)


@kernel
def adagrad_step_row(
    state: AdaGradState, columns: np.ndarray, values: np.ndarray, labels: int, gradient: np.ndarray
) -> None:
    """Take one step against the gradient of the loss.

    ``gradient`` float32[labels, rounded up to a multiple of LANES] is the derivative by each label's logit. A label
    whose derivative is 0 does not change.
    """
    step = state.constants[Constant.STEP]
    start = state.constants[Constant.START]
    for label in range(labels):
        slope = gradient[label]
        squared = state.bias_squared[label] + slope * slope
        state.bias_squared[label] = squared
        state.bias[label] -= adagrad_step(step, slope, start + squared)
    # Spare labels get a gradient of zero, so that they stay zero.
    padded = min((labels + LANES - 1) // LANES * LANES, gradient.size)
    for label in range(labels, padded):
        gradient[label] = _ZERO
    for entry in range(columns.size):
        column = np.int64(columns[entry])
        value = values[entry]
        for label in range(padded):
            slope = gradient[label] * value
            squared = state.squared[column, label] + slope * slope
            state.squared[column, label] = squared
            state.weight[column, label] -= adagrad_step(step, slope, start + squared)


@kernel
def adagrad_learn_row(
    state: AdaGradState,
    columns: np.ndarray,
    values: np.ndarray,
    truth: np.ndarray,
    logits: np.ndarray,
    labels: int,
    gradient: np.ndarray,
) -> None:
    """Take one step for every known label.

    ``truth`` int8[labels] is 1, 0 or -1 (unknown: nothing changes); ``logits`` float32[labels] were predicted for the
    row; ``gradient`` float32[labels, rounded up to a multiple of LANES] is scratch.
    """
    for label in range(labels):
        probability = sigmoid32(logits[label])
        gradient[label] = _ZERO if truth[label] < 0 else probability - np.float32(truth[label])
    adagrad_step_row(state, columns, values, labels, gradient)


@kernel
def adagrad_begin_label(state: AdaGradState, label: int, bias: float) -> None:
    """Set the bias of a label that joins; its weights and sums are at their start already."""
    state.bias[label] = bias
    state.bias_squared[label] = _ZERO


class AdaGrad:
    """Owns the weights of AdaGrad logistic regressions.

    Parameters
    ----------
    step:
        Factor of every step.
    start:
        Start of the sums of squared gradients, above 0: the larger, the smaller the first steps.
    """

    def __init__(self, step: float = STEP, start: float = START) -> None:
        self.state = AdaGradState(
            np.zeros((0, 0), np.float32),
            np.zeros((0, 0), np.float32),
            np.full(0, BIAS, np.float32),
            np.zeros(0, np.float32),
            np.array([step, start], np.float32),
        )

    def grow(self, features: int, labels: int) -> None:
        """Make room for ``features`` columns and ``labels`` labels; new labels start at the bias."""
        weight, squared, bias, bias_squared, constants = self.state
        self.state = AdaGradState(
            grow(grow(weight, labels, axis=1), features),
            grow(grow(squared, labels, axis=1), features),
            grow(bias, labels, float(BIAS)),
            grow(bias_squared, labels),
            constants,
        )

    def retire(self, label: int) -> None:
        """Reset a label slot: weights, bias and sums go back to their start."""
        self.state.weight[:, label] = 0
        self.state.squared[:, label] = 0
        self.state.bias[label] = BIAS
        self.state.bias_squared[label] = 0

    def arrays(self, features: int, labels: int) -> dict[str, np.ndarray]:
        """Return the state of the columns and labels in use, without the constants, which are settings."""
        return {
            "weight": self.state.weight[:features, :labels],
            "squared": self.state.squared[:features, :labels],
            "bias": self.state.bias[:labels],
            "bias_squared": self.state.bias_squared[:labels],
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray], features: int, labels: int) -> None:
        """Load the state; raises `SnapshotError` when a shape differs."""
        self.grow(features, labels)
        load_label_columns(self.state.weight, get_lazy(arrays, "weight"), features, labels)
        load_label_columns(self.state.squared, get_lazy(arrays, "squared"), features, labels)
        load_labels(self.state.bias, arrays["bias"], labels)
        load_labels(self.state.bias_squared, arrays["bias_squared"], labels)

    @staticmethod
    def bytes_bound(features: int, labels: int) -> int:
        """Return the largest size in bytes with that many columns and labels."""
        return 8 * (features + 1) * labels
