"""The high-complexity learner of a leaf: logistic regressions for each label, bagged online.

Every label has BAGS regressions per leaf. Each of them learns a row with a Poisson weight of mean 1 (one step, that
many times as long). The label's probability is the mean of theirs. Clusters have no label in common, so leaf i of all
trees shares one *plane* of weights.

The table of weights is bounded: with many labels only the columns that were seen first have weights
(`columns_with_weights`).

Source: N. C. Oza and S. Russell, "Online bagging and boosting", AISTATS 2001; as the learner of leaves A. Esteban,
A. Cano, A. Zafra and S. Ventura, "Hoeffding adaptive trees for multi-label classification on data streams",
Knowledge-Based Systems 2024.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.numerics.logistic import sigmoid32

BAGS = 10
"""Regressions per label and leaf."""

STEP = np.float32(3.0)
CLIP = np.float32(15.0)
_ZERO = np.float32(0.0)


class RegressionsState(NamedTuple):
    """Weights of all regressions.

    Attributes
    ----------
    weight
        float32[planes, columns, labels, BAGS].
    bias
        float32[planes, labels, BAGS].
    pair_capacity
        int64[1], (column, label) pairs at most per plane.
    """

    weight: np.ndarray
    bias: np.ndarray
    pair_capacity: np.ndarray


def empty_regressions(planes: int, weight_bytes: int) -> RegressionsState:
    """Return the regressions of no label; the weights of all planes take at most this many bytes."""
    return RegressionsState(
        weight=np.zeros((planes, 0, 0, BAGS), np.float32),
        bias=np.zeros((planes, 0, BAGS), np.float32),
        pair_capacity=np.array([weight_bytes // (4 * planes * BAGS)], np.int64),
    )


@kernel
def columns_with_weights(state: RegressionsState, labels: int) -> np.int64:
    """Return how many columns, the lowest ones, have weights with so many labels; the others are ignored."""
    return state.pair_capacity[0] // max(labels, 1)


@kernel
def regressions_predict_row(
    state: RegressionsState,
    columns: np.ndarray,
    values: np.ndarray,
    plane_of: np.ndarray,
    labels: int,
    logits: np.ndarray,
    probability: np.ndarray,
) -> None:
    """Write ``logits`` float32[labels, BAGS] and their mean ``probability`` float32[labels].

    ``columns`` int32 and ``values`` float32 are one instance's entries; ``plane_of`` int32[labels] is the plane of each
    label, -1 to skip the label.
    """
    for label in range(labels):
        plane = np.int64(plane_of[label])
        if plane >= 0:
            for bag in range(BAGS):
                logits[label, bag] = state.bias[plane, label, bag]
    weighted = min(columns_with_weights(state, labels), state.weight.shape[1])
    for entry in range(columns.size):
        column = np.int64(columns[entry])
        if column >= weighted:
            break
        value = values[entry]
        for label in range(labels):
            plane = np.int64(plane_of[label])
            if plane >= 0:
                for bag in range(BAGS):
                    logits[label, bag] += value * state.weight[plane, column, label, bag]
    for label in range(labels):
        total = _ZERO
        for bag in range(BAGS):
            logits[label, bag] = min(max(logits[label, bag], -CLIP), CLIP)
            total += sigmoid32(logits[label, bag])
        probability[label] = total / np.float32(BAGS)


@kernel
def regressions_learn_row(
    state: RegressionsState,
    columns: np.ndarray,
    values: np.ndarray,
    plane_of: np.ndarray,
    truth: np.ndarray,
    labels: int,
    draws: np.ndarray,
    logits: np.ndarray,
) -> None:
    """Learn the row that `regressions_predict_row` was called with; ``logits`` are overwritten.

    ``truth`` int8[labels] is 1, 0 or -1 (unknown: nothing changes); ``draws`` float32[BAGS] are the Poisson weights of
    the row, one per bag.
    """
    for label in range(labels):
        plane = np.int64(plane_of[label])
        if plane >= 0 and truth[label] >= 0:
            for bag in range(BAGS):
                p = sigmoid32(logits[label, bag])
                logits[label, bag] = STEP * draws[bag] * (p - np.float32(truth[label]))
                state.bias[plane, label, bag] -= logits[label, bag]
    weighted = min(columns_with_weights(state, labels), state.weight.shape[1])
    for entry in range(columns.size):
        column = np.int64(columns[entry])
        if column >= weighted:
            break
        value = values[entry]
        for label in range(labels):
            plane = np.int64(plane_of[label])
            if plane >= 0 and truth[label] >= 0:
                for bag in range(BAGS):
                    state.weight[plane, column, label, bag] -= value * logits[label, bag]


@kernel
def regressions_begin(state: RegressionsState, plane: int | np.int64, label: int, bias: float) -> None:
    """Reset the regressions of one label in one plane to zero weights and this bias."""
    for bag in range(BAGS):
        state.bias[plane, label, bag] = bias
    for column in range(state.weight.shape[1]):
        for bag in range(BAGS):
            state.weight[plane, column, label, bag] = _ZERO
