"""Logistic regression per label with a constant step: the fast linear expert, which follows drift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.experts.linear_logits import linear_predict_row
from streamlearn.numerics.logistic import sigmoid32
from streamlearn.state.array_loading import load_label_columns, load_labels
from streamlearn.state.growth import grow
from streamlearn.state.lazy_arrays import get_lazy

STEP = np.float32(2.0)
BIAS = np.float32(-2.0)
_ZERO = np.float32(0.0)


class ConstantStepState(NamedTuple):
    """``weight`` float32[columns, labels], labels contiguous; ``bias`` float32[labels]."""

    weight: np.ndarray
    bias: np.ndarray


@kernel
def constant_step_predict_row(
    state: ConstantStepState, columns: np.ndarray, values: np.ndarray, labels: int, out: np.ndarray
) -> None:
    """Write the logits to ``out`` float32[labels]; ``columns`` int32 and ``values`` float32 are one instance's
    entries."""
    linear_predict_row(state.weight, state.bias, columns, values, labels, out)


@kernel
def constant_step_learn_row(
    state: ConstantStepState,
    columns: np.ndarray,
    values: np.ndarray,
    truth: np.ndarray,
    logits: np.ndarray,
    labels: int,
    gradient: np.ndarray,
) -> None:
    """Take one step for every known label.

    ``truth`` int8[labels] is 1, 0 or -1 (unknown: nothing changes); ``logits`` float32[labels] were predicted for the
    row; ``gradient`` float32[labels] is scratch.
    """
    for label in range(labels):
        probability = sigmoid32(logits[label])
        slope = _ZERO if truth[label] < 0 else STEP * (probability - np.float32(truth[label]))
        gradient[label] = slope
        state.bias[label] -= slope
    for entry in range(columns.size):
        column = np.int64(columns[entry])
        value = values[entry]
        for label in range(labels):
            state.weight[column, label] -= gradient[label] * value


@kernel
def constant_step_begin_label(state: ConstantStepState, label: int, bias: float) -> None:
    """Set the bias of a label that joins; its weights are 0 already."""
    state.bias[label] = bias


class ConstantStep:
    """Owns the weights of the constant-step logistic regressions."""

    def __init__(self) -> None:
        self.state = ConstantStepState(np.zeros((0, 0), np.float32), np.full(0, BIAS, np.float32))

    def grow(self, features: int, labels: int) -> None:
        """Make room for ``features`` columns and ``labels`` labels; new labels start at the bias."""
        weight, bias = self.state
        self.state = ConstantStepState(grow(grow(weight, labels, axis=1), features), grow(bias, labels, float(BIAS)))

    def retire(self, label: int) -> None:
        """Reset a label slot: weights and bias go back to their start."""
        self.state.weight[:, label] = 0
        self.state.bias[label] = BIAS

    def arrays(self, features: int, labels: int) -> dict[str, np.ndarray]:
        """Return the state of the columns and labels in use."""
        return {"weight": self.state.weight[:features, :labels], "bias": self.state.bias[:labels]}

    def load_arrays(self, arrays: Mapping[str, np.ndarray], features: int, labels: int) -> None:
        """Load the state; raises `SnapshotError` when a shape differs."""
        self.grow(features, labels)
        load_label_columns(self.state.weight, get_lazy(arrays, "weight"), features, labels)
        load_labels(self.state.bias, arrays["bias"], labels)

    @staticmethod
    def bytes_bound(features: int, labels: int) -> int:
        """Return the largest size in bytes with that many columns and labels."""
        return 4 * (features + 1) * labels
