"""The high-complexity learner of a leaf: logistic regressions for each label, bagged online.

Every label has BAGS regressions a leaf, each of which learns a row as often as a Poisson number of mean 1 says (one
step of that many times the length). Its probability is the mean of theirs. Clusters have no label in common, so leaf i
of all of them shares one *plane* of weights.

The table of weights is bounded: with many labels only the columns that were seen first have any (`columns_held`).

Source: N. C. Oza and S. Russell, "Online bagging and boosting", AISTATS 2001; as the leaves' learner A. Esteban,
A. Cano, A. Zafra and S. Ventura, "Hoeffding adaptive trees for multi-label classification on data streams",
Knowledge-Based Systems 2024.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.numerics.logistic import sigmoid32

BAGS = 10
STEP = np.float32(3.0)
CLIP = np.float32(15.0)
_ZERO = np.float32(0.0)


class RegressionsState(NamedTuple):
    """``weight`` float32[planes, columns, labels, BAGS] and ``bias`` float32[planes, labels, BAGS]; ``most`` int64[1],
    the most (column, label) pairs that a plane has room for.
    """

    weight: np.ndarray
    bias: np.ndarray
    most: np.ndarray


@kernel
def columns_held(state: RegressionsState, labels: int) -> np.int64:
    """Return the columns that have weights, the lowest ones, with so many labels: the others leave no trace."""
    return state.most[0] // max(labels, 1)


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

    ``columns`` int32 and ``values`` float32 are one instance's entries; ``plane_of`` int32[labels] is the leaf of each
    label, -1 for those to be left out.
    """
    for label in range(labels):
        plane = np.int64(plane_of[label])
        if plane >= 0:
            for bag in range(BAGS):
                logits[label, bag] = state.bias[plane, label, bag]
    held = min(columns_held(state, labels), state.weight.shape[1])
    for entry in range(columns.size):
        column = np.int64(columns[entry])
        if column >= held:
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

    ``truth`` int8[labels] is 1, 0 or -1 (unknown: nothing changes); ``draws`` float32[BAGS] are the bags' Poisson
    numbers.
    """
    for label in range(labels):
        plane = np.int64(plane_of[label])
        if plane >= 0 and truth[label] >= 0:
            for bag in range(BAGS):
                p = sigmoid32(logits[label, bag])
                logits[label, bag] = STEP * draws[bag] * (p - np.float32(truth[label]))
                state.bias[plane, label, bag] -= logits[label, bag]
    held = min(columns_held(state, labels), state.weight.shape[1])
    for entry in range(columns.size):
        column = np.int64(columns[entry])
        if column >= held:
            break
        value = values[entry]
        for label in range(labels):
            plane = np.int64(plane_of[label])
            if plane >= 0 and truth[label] >= 0:
                for bag in range(BAGS):
                    state.weight[plane, column, label, bag] -= value * logits[label, bag]


@kernel
def regressions_begin(state: RegressionsState, plane: int | np.int64, label: int, bias: float) -> None:
    """Give the regressions of one label in one plane their start: no weights, and a bias."""
    for bag in range(BAGS):
        state.bias[plane, label, bag] = bias
    for column in range(state.weight.shape[1]):
        for bag in range(BAGS):
            state.weight[plane, column, label, bag] = _ZERO
