"""Logistic mixing: one logit per label from the experts' logits, with weights that minimise their own log loss.

Inputs x are the experts' logits clipped to [-8, 8] and a constant .3. Four weight sets are applied to them: O, one for
all labels and rows; A, shared by all labels of one support context (`contexts.support_context`); R, shared by all
labels of one rank, which is the number of labels with a larger weighted sum of O: none to four, or more; and C, the
label's own. The weighted sums are clipped to [-10, 10], and z = F_O z_O + F_A z_A + F_R z_R + F_C z_C, clipped
likewise, with the final weights F selected by the support context. Each set follows the gradient of its own log loss
with AdaGrad (sums of squared gradients from 10): step .1, F step .01. Gradients of shared sets and of F are summed over
the row's labels and applied once per row, those of C per label. All sets start from the same weights, F from one
quarter each.

Source: Mattern, *Mixing Strategies in Data Compression* (DCC 2012), logistic mixing with selected weight sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.experts.linear_logits import LANES
from streamlearn.learner.mixture.contexts import SUPPORT_CONTEXTS, support_context
from streamlearn.numerics.adagrad import adagrad_step
from streamlearn.numerics.logistic import sigmoid32
from streamlearn.state.array_loading import load_label_columns, load_whole
from streamlearn.state.array_names import MIXER
from streamlearn.state.growth import grow

STEP = np.float32(0.1)
FINAL_STEP = np.float32(0.01)


class WeightSet(IntEnum):
    """Weight sets; rows of `MixerScratch.logits` and ``errors``, columns of `MixerState.final`."""

    OVERALL = 0  # O: one for all labels
    SUPPORT = 1  # A: selected by the label's support context
    RANK = 2  # R: selected by the label's rank
    OWN = 3  # C: the label's own


WEIGHT_SETS = len(WeightSet)
RANKS = 6
"""Ranks with weights of their own: those of labels with none to four labels before them, and that of all others."""

OVERALL_ROW = 0
"""Row of `MixerState.shared` that holds O."""

FIRST_SUPPORT_ROW = 1
"""Row of the first of SUPPORT_CONTEXTS weight vectors of A."""

FIRST_RANK_ROW = FIRST_SUPPORT_ROW + SUPPORT_CONTEXTS
"""Row of the first of RANKS weight vectors of R."""

LAST_RANK_ROW = FIRST_RANK_ROW + RANKS - 1
"""Row of R for all labels with more than four labels before them."""

SHARED_ROWS = LAST_RANK_ROW + 1


class SharedRow(IntEnum):
    """Rows of `MixerScratch.shared_row`."""

    SUPPORT = 0  # the label's row of A in `MixerState.shared`
    RANK = 1  # the label's row of R


CONSTANT_INPUT = np.float32(0.3)
INPUT_CLIP = np.float32(8.0)
OUTPUT_CLIP = np.float32(10.0)
START = np.float32(10.0)
_ZERO = np.float32(0.0)


class MixerState(NamedTuple):
    """Weights, float32, and as ``squared`` their sums of squared gradients without the start.

    Inputs are the experts' logits and then the constant.

    Attributes
    ----------
    shared, shared_squared
        [SHARED_ROWS, width], O, A and R; the width is the number of inputs rounded up to a multiple of LANES, the rest
        is 0.
    own, own_squared
        [inputs, labels], C.
    final, final_squared
        [SUPPORT_CONTEXTS, WEIGHT_SETS], F.
    """

    shared: np.ndarray
    shared_squared: np.ndarray
    own: np.ndarray
    own_squared: np.ndarray
    final: np.ndarray
    final_squared: np.ndarray


class MixerScratch(NamedTuple):
    """Memory of one row; never part of the state.

    Attributes
    ----------
    shared_row
        int64[2, labels], by `SharedRow`: the rows of `MixerState.shared` that are selected for each label.
    best
        float32[RANKS - 1], the largest weighted sums of O, descending.
    inputs
        float32[inputs, labels]; the last row is CONSTANT_INPUT.
    columns
        float32[labels, width], the inputs of each label, the rest 0.
    logits, errors
        float32[WEIGHT_SETS, labels], output of each set and its error.
    final_errors
        float32[labels], error of the mixed logit.
    shared_gradient, final_gradient
        As ``MixerState.shared`` and ``final``: sums of gradients, 0 between rows.
    touched
        uint8[SHARED_ROWS], 1 for the rows of ``shared_gradient`` that are not 0.
    """

    shared_row: np.ndarray
    best: np.ndarray
    inputs: np.ndarray
    columns: np.ndarray
    logits: np.ndarray
    errors: np.ndarray
    final_errors: np.ndarray
    shared_gradient: np.ndarray
    final_gradient: np.ndarray
    touched: np.ndarray


@kernel
def _rank_labels(scratch: MixerScratch, labels: int) -> None:
    """Select the row of R of each label: by the number of labels whose weighted sum of O is larger."""
    sums = scratch.logits[WeightSet.OVERALL]
    best = scratch.best
    found = 0
    for label in range(labels):
        if found == RANKS - 1 and sums[label] <= best[found - 1]:
            continue
        rank = min(found, RANKS - 2)
        while rank > 0 and best[rank - 1] < sums[label]:
            best[rank] = best[rank - 1]
            rank -= 1
        best[rank] = sums[label]
        found = min(found + 1, RANKS - 1)
    for rank in range(found, RANKS - 1):
        best[rank] = -np.inf
    rank_row = scratch.shared_row[SharedRow.RANK]
    for label in range(labels):
        larger = 0
        for rank in range(RANKS - 1):
            larger += np.int64(best[rank] > sums[label])
        rank_row[label] = FIRST_RANK_ROW + larger


@kernel
def _weighted_sum(state: MixerState, scratch: MixerScratch, shared_row: int | np.int64, label: int) -> np.float32:
    """Return the sum of one label's inputs, weighted by a row of the shared weights."""
    weights = state.shared[shared_row]
    total = _ZERO
    for index in range(scratch.inputs.shape[0]):
        total += scratch.inputs[index, label] * weights[index]
    return total


@kernel
def mixer_predict_row(
    state: MixerState,
    scratch: MixerScratch,
    logits: np.ndarray,
    positives: np.ndarray,
    previous: np.ndarray,
    labels: int,
    out: np.ndarray,
) -> None:
    """Write the mixed logits to ``out`` float32[labels].

    Parameters
    ----------
    logits
        float32[at least inputs - 1, at least labels], the experts' logits; further rows are not read.
    positives
        int64[labels], the rows in which each label was learnt as true.
    previous
        int8[labels], 1 where the label was true in the row learnt before.
    """
    constant = state.own.shape[0] - 1
    padded = min((labels + LANES - 1) // LANES * LANES, logits.shape[1])
    # Most labels have the last rank: its sums are computed for all labels at once, and replaced for the others.
    overall_sum = scratch.logits[WeightSet.OVERALL]
    other_sum = scratch.logits[WeightSet.RANK]
    own_sum = scratch.logits[WeightSet.OWN]
    for label in range(padded):
        overall_sum[label] = CONSTANT_INPUT * state.shared[OVERALL_ROW, constant]
        other_sum[label] = CONSTANT_INPUT * state.shared[LAST_RANK_ROW, constant]
        own_sum[label] = CONSTANT_INPUT * state.own[constant, label]
    for expert in range(constant):
        overall = state.shared[OVERALL_ROW, expert]
        other = state.shared[LAST_RANK_ROW, expert]
        own = state.own[expert]
        inputs = scratch.inputs[expert]
        for label in range(padded):
            value = min(max(logits[expert, label], -INPUT_CLIP), INPUT_CLIP)
            inputs[label] = value
            overall_sum[label] += value * overall
            other_sum[label] += value * other
            own_sum[label] += value * own[label]
    _rank_labels(scratch, labels)
    for label in range(labels):
        support_row = FIRST_SUPPORT_ROW + support_context(positives[label], np.int64(previous[label]))
        scratch.shared_row[SharedRow.SUPPORT, label] = support_row
        scratch.logits[WeightSet.SUPPORT, label] = _weighted_sum(state, scratch, support_row, label)
        rank_row = scratch.shared_row[SharedRow.RANK, label]
        if rank_row != LAST_RANK_ROW:
            scratch.logits[WeightSet.RANK, label] = _weighted_sum(state, scratch, rank_row, label)
    for label in range(labels):
        context = scratch.shared_row[SharedRow.SUPPORT, label] - FIRST_SUPPORT_ROW
        mixed = _ZERO
        for weight_set in range(WEIGHT_SETS):
            logit = min(max(scratch.logits[weight_set, label], -OUTPUT_CLIP), OUTPUT_CLIP)
            scratch.logits[weight_set, label] = logit
            mixed += state.final[context, weight_set] * logit
        out[label] = min(max(mixed, -OUTPUT_CLIP), OUTPUT_CLIP)


@kernel
def _add_gradients(scratch: MixerScratch, label: int) -> None:
    """Add one label's gradients to the sums of the shared weights and of the final ones."""
    column = scratch.columns[label]
    support_row = scratch.shared_row[SharedRow.SUPPORT, label]
    rank_row = scratch.shared_row[SharedRow.RANK, label]
    scratch.touched[OVERALL_ROW] = 1
    scratch.touched[support_row] = 1
    scratch.touched[rank_row] = 1
    overall_gradient = scratch.shared_gradient[OVERALL_ROW]
    support_gradient = scratch.shared_gradient[support_row]
    rank_gradient = scratch.shared_gradient[rank_row]
    overall_error = scratch.errors[WeightSet.OVERALL, label]
    support_error = scratch.errors[WeightSet.SUPPORT, label]
    rank_error = scratch.errors[WeightSet.RANK, label]
    for index in range(column.size):
        overall_gradient[index] += overall_error * column[index]
    for index in range(column.size):
        support_gradient[index] += support_error * column[index]
    for index in range(column.size):
        rank_gradient[index] += rank_error * column[index]
    for weight_set in range(WEIGHT_SETS):
        slope = scratch.final_errors[label] * scratch.logits[weight_set, label]
        scratch.final_gradient[support_row - FIRST_SUPPORT_ROW, weight_set] += slope


@kernel
def _step_shared(state: MixerState, scratch: MixerScratch) -> None:
    """Take one step for all shared and final weights with a gradient, and set their sums of gradients to zero."""
    for row in range(SHARED_ROWS):
        if not scratch.touched[row]:
            continue
        scratch.touched[row] = 0
        weights, squared = state.shared[row], state.shared_squared[row]
        gradient = scratch.shared_gradient[row]
        for index in range(weights.size):
            slope = gradient[index]
            total = squared[index] + slope * slope
            squared[index] = total
            weights[index] -= adagrad_step(STEP, slope, START + total)
            gradient[index] = _ZERO
        if FIRST_SUPPORT_ROW <= row < FIRST_RANK_ROW:
            context = row - FIRST_SUPPORT_ROW
            final, final_squared = state.final[context], state.final_squared[context]
            final_gradient = scratch.final_gradient[context]
            for weight_set in range(WEIGHT_SETS):
                slope = final_gradient[weight_set]
                total = final_squared[weight_set] + slope * slope
                final_squared[weight_set] = total
                final[weight_set] -= adagrad_step(FINAL_STEP, slope, START + total)
                final_gradient[weight_set] = _ZERO


@kernel
def mixer_learn_row(
    state: MixerState, scratch: MixerScratch, mixed: np.ndarray, truth: np.ndarray, labels: int
) -> None:
    """Take one step for the row that `mixer_predict_row` predicted last, to ``scratch`` and ``mixed``.

    ``truth`` int8[labels] is 1, 0 or -1 (unknown: the label has no gradient).
    """
    padded = min((labels + LANES - 1) // LANES * LANES, truth.size, mixed.size)
    for weight_set in range(WEIGHT_SETS):
        logits = scratch.logits[weight_set]
        errors = scratch.errors[weight_set]
        for label in range(padded):
            error = sigmoid32(logits[label]) - np.float32(truth[label])
            errors[label] = error if truth[label] >= 0 else _ZERO
    for label in range(padded):
        error = sigmoid32(mixed[label]) - np.float32(truth[label])
        scratch.final_errors[label] = error if truth[label] >= 0 else _ZERO
    # All labels' inputs are transposed before any is read: a vector load must wait for the stores of its elements.
    for index in range(state.own.shape[0]):
        for label in range(labels):
            scratch.columns[label, index] = scratch.inputs[index, label]
    for label in range(labels):
        if truth[label] >= 0:
            _add_gradients(scratch, label)
    # Spare labels get an error of zero, so that their weights do not change.
    own_errors = scratch.errors[WeightSet.OWN]
    for label in range(labels, padded):
        own_errors[label] = _ZERO
    for index in range(state.own.shape[0]):
        for label in range(padded):
            slope = own_errors[label] * scratch.inputs[index, label]
            squared = state.own_squared[index, label] + slope * slope
            state.own_squared[index, label] = squared
            state.own[index, label] -= adagrad_step(STEP, slope, START + squared)
    _step_shared(state, scratch)


@kernel
def mixer_begin_label(state: MixerState, label: int) -> None:
    """Initialise the own weights of a label that joins with the shared weights of labels without positives."""
    for index in range(state.own.shape[0]):
        state.own[index, label] = state.shared[FIRST_SUPPORT_ROW, index]
        state.own_squared[index, label] = _ZERO


class Mixer:
    """Owns the mixing weights of a number of experts.

    Parameters
    ----------
    initial_weights:
        Weight of each expert's logit before the first row is learnt; that of the constant is 0.
    """

    def __init__(self, initial_weights: Sequence[float]) -> None:
        self._initial_weights = np.array([*initial_weights, 0.0], np.float32)
        self.experts = len(initial_weights)
        width = (self.experts + LANES) // LANES * LANES
        shared = np.zeros((SHARED_ROWS, width), np.float32)
        shared[:, : self.experts] = self._initial_weights[:-1]
        self.state = MixerState(
            shared,
            np.zeros_like(shared),
            np.zeros((self.experts + 1, 0), np.float32),
            np.zeros((self.experts + 1, 0), np.float32),
            np.full((SUPPORT_CONTEXTS, WEIGHT_SETS), 1.0 / WEIGHT_SETS, np.float32),
            np.zeros((SUPPORT_CONTEXTS, WEIGHT_SETS), np.float32),
        )
        self.scratch = self._scratch(0)

    def _scratch(self, labels: int) -> MixerScratch:
        inputs = self.experts + 1
        width = self.state.shared.shape[1]
        return MixerScratch(
            np.zeros((len(SharedRow), labels), np.int64),
            np.zeros(RANKS - 1, np.float32),
            np.full((inputs, labels), CONSTANT_INPUT),
            np.zeros((labels, width), np.float32),
            np.zeros((WEIGHT_SETS, labels), np.float32),
            np.zeros((WEIGHT_SETS, labels), np.float32),
            np.zeros(labels, np.float32),
            np.zeros((SHARED_ROWS, width), np.float32),
            np.zeros((SUPPORT_CONTEXTS, WEIGHT_SETS), np.float32),
            np.zeros(SHARED_ROWS, np.uint8),
        )

    def grow(self, labels: int) -> None:
        """Make room for ``labels`` labels; new ones start at the initial weights."""
        old = self.state.own.shape[1]
        own = grow(self.state.own, labels, axis=1)
        if own.shape[1] > old:
            own[:, old:] = self._initial_weights[:, None]
            self.state = self.state._replace(own=own, own_squared=grow(self.state.own_squared, labels, axis=1))
            self.scratch = self._scratch(own.shape[1])

    def retire(self, label: int) -> None:
        """Reset a label slot: its own weights go back to the initial ones."""
        self.state.own[:, label] = self._initial_weights
        self.state.own_squared[:, label] = 0

    def arrays(self, labels: int) -> dict[str, np.ndarray]:
        """Return the weights of the labels in use."""
        inputs = self.experts + 1
        state = self.state
        used = (
            state.shared[:, :inputs],
            state.shared_squared[:, :inputs],
            state.own[:, :labels],
            state.own_squared[:, :labels],
            state.final,
            state.final_squared,
        )
        return dict(zip(MIXER, used, strict=True))

    def load_arrays(self, arrays: Mapping[str, np.ndarray], labels: int) -> None:
        """Load the weights; raises `SnapshotError` when a shape differs."""
        self.grow(labels)
        inputs = self.experts + 1
        for name, target in zip(MIXER[:2], self.state[:2], strict=True):
            load_label_columns(target, arrays[name], SHARED_ROWS, inputs)
        for name, target in zip(MIXER[2:4], self.state[2:4], strict=True):
            load_label_columns(target, arrays[name], inputs, labels)
        for name, target in zip(MIXER[4:], self.state[4:], strict=True):
            load_whole(target, arrays[name])

    @staticmethod
    def bytes_bound(experts: int, labels: int) -> int:
        """Return the largest size in bytes with that many experts and labels."""
        return 8 * (experts + 1) * (labels + SHARED_ROWS) + 16 * labels + 8 * SUPPORT_CONTEXTS * WEIGHT_SETS
