"""Logistic mixing: one logit per label from the experts' logits, by weights that follow their own log loss.

Inputs x are the experts' logits clipped to plus or minus 8 and a constant .3. Four weight sets look at them: O, one for
all labels and rows; A, shared by all labels of one support context (`contexts.support_context`); R, shared by the
labels of one rank, by how many have a larger sum of O: none to four, or more; and C, the label's own. The weighted sums
are clipped to plus or minus 10, and z = F_O z_O + F_A z_A + F_R z_R + F_C z_C, clipped likewise, with F chosen by A's
context. Each set follows the gradient of its own log loss with AdaGrad (accumulators from 10): step .1, F step .01.
Gradients of shared sets and F are summed over the row's labels and applied once a row, C's per label. All sets start
from the same weights, F from one quarter each.

Source: Mattern, *Mixing Strategies in Data Compression* (DCC 2012), logistic mixing with selected weight sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.experts.linear_logits import LANES
from streamlearn.learner.mixture.contexts import CONTEXTS, support_context
from streamlearn.numerics.adagrad import adagrad_step
from streamlearn.numerics.logistic import sigmoid32
from streamlearn.state.array_loading import load_label_columns, load_whole
from streamlearn.state.array_names import MIXER
from streamlearn.state.growth import grow

STEP = np.float32(0.1)
FINAL_STEP = np.float32(0.01)
SETS = 4
OVERALL, SUPPORT, RANK, OWN = range(SETS)
RANKS = 6
"""Ranks that have weights of their own: with no to four labels before it, and the others."""

FIRST_SUPPORT = 1
FIRST_RANK = FIRST_SUPPORT + CONTEXTS
SHARED = FIRST_RANK + RANKS
"""Rows of the shared weights: O's, then A's by context, R's by rank."""

CONSTANT_INPUT = np.float32(0.3)
INPUT_CLIP = np.float32(8.0)
OUTPUT_CLIP = np.float32(10.0)
START = np.float32(10.0)
_ZERO = np.float32(0.0)


class MixerState(NamedTuple):
    """Weights and squared-gradient sums without their start, float32; inputs are the experts and then the constant.

    ``shared``, ``shared_squared`` [SHARED, width], inputs rounded up to a multiple of LANES, the rest 0; ``own``,
    ``own_squared`` [inputs, labels]; ``final``, ``final_squared`` [CONTEXTS, SETS].
    """

    shared: np.ndarray
    shared_squared: np.ndarray
    own: np.ndarray
    own_squared: np.ndarray
    final: np.ndarray
    final_squared: np.ndarray


class MixerScratch(NamedTuple):
    """Per row: ``context`` int64[2, labels], each label's row of A's and of R's shared weights; ``best``
    float32[RANKS - 1], the largest sums of O; ``inputs`` float32[inputs, labels], the last line CONSTANT_INPUT;
    ``columns`` float32[labels, width], those of each label, the rest 0; ``logits``, ``errors`` float32[SETS, labels];
    ``final_errors`` float32[labels]; sums of gradients, 0 between rows, and ``touched`` uint8[SHARED], 1 for the shared
    weights whose sum is not.
    """

    context: np.ndarray
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
    """Set R's context of each label: by how many labels O's sum is larger."""
    sums = scratch.logits[OVERALL]
    best = scratch.best
    found = 0
    for label in range(labels):
        if found == RANKS - 1 and sums[label] <= best[found - 1]:
            continue
        place = min(found, RANKS - 2)
        while place > 0 and best[place - 1] < sums[label]:
            best[place] = best[place - 1]
            place -= 1
        best[place] = sums[label]
        found = min(found + 1, RANKS - 1)
    for place in range(found, RANKS - 1):
        best[place] = -np.inf
    rank = scratch.context[1]
    for label in range(labels):
        above = 0
        for place in range(RANKS - 1):
            above += np.int64(best[place] > sums[label])
        rank[label] = FIRST_RANK + above


@kernel
def _weighted_sum(state: MixerState, scratch: MixerScratch, context: int | np.int64, label: int) -> np.float32:
    """Return the sum of one label's inputs by a context's shared weights."""
    weights = state.shared[context]
    total = _ZERO
    for place in range(scratch.inputs.shape[0]):
        total += scratch.inputs[place, label] * weights[place]
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

    ``logits`` float32[experts at least, labels at least], of which the first ``inputs - 1`` lines count; ``positives``
    int64[labels]; ``previous`` int8[labels], 1 where the label was true in the row learnt before.
    """
    constant = state.own.shape[0] - 1
    padded = min((labels + LANES - 1) // LANES * LANES, logits.shape[1])
    overall_sum = scratch.logits[OVERALL]
    other_sum = scratch.logits[RANK]
    own_sum = scratch.logits[OWN]
    for label in range(padded):
        overall_sum[label] = CONSTANT_INPUT * state.shared[0, constant]
        other_sum[label] = CONSTANT_INPUT * state.shared[SHARED - 1, constant]
        own_sum[label] = CONSTANT_INPUT * state.own[constant, label]
    for place in range(constant):
        overall = state.shared[0, place]
        other = state.shared[SHARED - 1, place]
        own = state.own[place]
        inputs = scratch.inputs[place]
        for label in range(padded):
            value = min(max(logits[place, label], -INPUT_CLIP), INPUT_CLIP)
            inputs[label] = value
            overall_sum[label] += value * overall
            other_sum[label] += value * other
            own_sum[label] += value * own[label]
    _rank_labels(scratch, labels)
    for label in range(labels):
        support = FIRST_SUPPORT + support_context(positives[label], np.int64(previous[label]))
        scratch.context[0, label] = support
        scratch.logits[SUPPORT, label] = _weighted_sum(state, scratch, support, label)
        rank = scratch.context[1, label]
        if rank != SHARED - 1:
            scratch.logits[RANK, label] = _weighted_sum(state, scratch, rank, label)
    for label in range(labels):
        context = scratch.context[0, label] - FIRST_SUPPORT
        mixed = _ZERO
        for part in range(SETS):
            logit = min(max(scratch.logits[part, label], -OUTPUT_CLIP), OUTPUT_CLIP)
            scratch.logits[part, label] = logit
            mixed += state.final[context, part] * logit
        out[label] = min(max(mixed, -OUTPUT_CLIP), OUTPUT_CLIP)


@kernel
def _add_gradients(scratch: MixerScratch, label: int) -> None:
    """Add one label's gradients to the sums of the shared weights and of the final ones."""
    column = scratch.columns[label]
    support = scratch.context[0, label]
    rank = scratch.context[1, label]
    scratch.touched[0] = 1
    scratch.touched[support] = 1
    scratch.touched[rank] = 1
    of_overall = scratch.shared_gradient[0]
    of_support = scratch.shared_gradient[support]
    of_rank = scratch.shared_gradient[rank]
    overall_error = scratch.errors[OVERALL, label]
    support_error = scratch.errors[SUPPORT, label]
    rank_error = scratch.errors[RANK, label]
    for place in range(column.size):
        of_overall[place] += overall_error * column[place]
    for place in range(column.size):
        of_support[place] += support_error * column[place]
    for place in range(column.size):
        of_rank[place] += rank_error * column[place]
    for part in range(SETS):
        slope = scratch.final_errors[label] * scratch.logits[part, label]
        scratch.final_gradient[support - FIRST_SUPPORT, part] += slope


@kernel
def _step_shared(state: MixerState, scratch: MixerScratch) -> None:
    """Take one step along the summed gradients of all shared weights that have one, and set these to zero."""
    for context in range(SHARED):
        if not scratch.touched[context]:
            continue
        scratch.touched[context] = 0
        weights, squared = state.shared[context], state.shared_squared[context]
        gradient = scratch.shared_gradient[context]
        for place in range(weights.size):
            slope = gradient[place]
            total = squared[place] + slope * slope
            squared[place] = total
            weights[place] -= adagrad_step(STEP, slope, START + total)
            gradient[place] = _ZERO
        if FIRST_SUPPORT <= context < FIRST_RANK:
            final, final_squared = state.final[context - FIRST_SUPPORT], state.final_squared[context - FIRST_SUPPORT]
            final_gradient = scratch.final_gradient[context - FIRST_SUPPORT]
            for part in range(SETS):
                slope = final_gradient[part]
                total = final_squared[part] + slope * slope
                final_squared[part] = total
                final[part] -= adagrad_step(FINAL_STEP, slope, START + total)
                final_gradient[part] = _ZERO


@kernel
def mixer_learn_row(
    state: MixerState, scratch: MixerScratch, mixed: np.ndarray, truth: np.ndarray, labels: int
) -> None:
    """Take one step from what `mixer_predict_row` left in ``scratch`` and ``mixed``; unknown labels (-1) do not
    count."""
    padded = min((labels + LANES - 1) // LANES * LANES, truth.size, mixed.size)
    for part in range(SETS):
        logits = scratch.logits[part]
        errors = scratch.errors[part]
        for label in range(padded):
            error = sigmoid32(logits[label]) - np.float32(truth[label])
            errors[label] = error if truth[label] >= 0 else _ZERO
    for label in range(padded):
        error = sigmoid32(mixed[label]) - np.float32(truth[label])
        scratch.final_errors[label] = error if truth[label] >= 0 else _ZERO
    # A label's inputs are written long before they are read: a vector cannot be read while its numbers are written.
    for place in range(state.own.shape[0]):
        for label in range(labels):
            scratch.columns[label, place] = scratch.inputs[place, label]
    for label in range(labels):
        if truth[label] >= 0:
            _add_gradients(scratch, label)
    # Spare labels get an error of zero, which leaves their weights as they are.
    own_errors = scratch.errors[OWN]
    for label in range(labels, padded):
        own_errors[label] = _ZERO
    for place in range(state.own.shape[0]):
        for label in range(padded):
            slope = own_errors[label] * scratch.inputs[place, label]
            squared = state.own_squared[place, label] + slope * slope
            state.own_squared[place, label] = squared
            state.own[place, label] -= adagrad_step(STEP, slope, START + squared)
    _step_shared(state, scratch)


@kernel
def mixer_begin_label(state: MixerState, label: int) -> None:
    """Let a label that joins start from the shared weights of a label without positives."""
    for place in range(state.own.shape[0]):
        state.own[place, label] = state.shared[FIRST_SUPPORT, place]
        state.own_squared[place, label] = _ZERO


class Mixer:
    """Owns the mixing weights of a number of experts.

    Parameters
    ----------
    start:
        The weight of each expert before any row; the constant starts at 0.
    """

    def __init__(self, start: Sequence[float]) -> None:
        self._start = np.array([*start, 0.0], np.float32)
        self.experts = len(start)
        width = (self.experts + LANES) // LANES * LANES
        shared = np.zeros((SHARED, width), np.float32)
        shared[:, : self.experts] = self._start[:-1]
        self.state = MixerState(
            shared,
            np.zeros_like(shared),
            np.zeros((self.experts + 1, 0), np.float32),
            np.zeros((self.experts + 1, 0), np.float32),
            np.full((CONTEXTS, SETS), 1.0 / SETS, np.float32),
            np.zeros((CONTEXTS, SETS), np.float32),
        )
        self.scratch = self._scratch(0)

    def _scratch(self, labels: int) -> MixerScratch:
        inputs = self.experts + 1
        width = self.state.shared.shape[1]
        return MixerScratch(
            np.zeros((2, labels), np.int64),
            np.zeros(RANKS - 1, np.float32),
            np.full((inputs, labels), CONSTANT_INPUT),
            np.zeros((labels, width), np.float32),
            np.zeros((SETS, labels), np.float32),
            np.zeros((SETS, labels), np.float32),
            np.zeros(labels, np.float32),
            np.zeros((SHARED, width), np.float32),
            np.zeros((CONTEXTS, SETS), np.float32),
            np.zeros(SHARED, np.uint8),
        )

    def grow(self, labels: int) -> None:
        """Make room for ``labels`` labels; declared ones start as the shared weights do."""
        old = self.state.own.shape[1]
        own = grow(self.state.own, labels, axis=1)
        if own.shape[1] > old:
            own[:, old:] = self._start[:, None]
            self.state = self.state._replace(own=own, own_squared=grow(self.state.own_squared, labels, axis=1))
            self.scratch = self._scratch(own.shape[1])

    def retire(self, label: int) -> None:
        """Empty a slot."""
        self.state.own[:, label] = self._start
        self.state.own_squared[:, label] = 0

    def arrays(self, labels: int) -> dict[str, np.ndarray]:
        """Return the weights of the labels in use, by name."""
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
        """Take the weights over; raises `SnapshotError` when a shape differs."""
        self.grow(labels)
        inputs = self.experts + 1
        for name, target in zip(MIXER[:2], self.state[:2], strict=True):
            load_label_columns(target, arrays[name], SHARED, inputs)
        for name, target in zip(MIXER[2:4], self.state[2:4], strict=True):
            load_label_columns(target, arrays[name], inputs, labels)
        for name, target in zip(MIXER[4:], self.state[4:], strict=True):
            load_whole(target, arrays[name])

    @staticmethod
    def bytes_bound(experts: int, labels: int) -> int:
        """Return the largest size in bytes with that many experts and labels."""
        return 8 * (experts + 1) * (labels + SHARED) + 16 * labels + 8 * CONTEXTS * SETS
