"""Logistic mixing: one logit per label from the experts' logits, by weights that follow their own log loss.

Inputs x are the experts' logits clipped to plus or minus 8 and a constant .3. Two weight sets look at them: A, shared
by all labels of one context (`contexts.support_context`), and C, the label's own. z_A = A[context] . x and z_C =
C[label] . x are clipped to plus or minus 10, and z = F_A z_A + F_C z_C, clipped likewise, with F chosen by A's context.
Each set follows the gradient of its own log loss with AdaGrad (accumulators from 1): step .1, F step .02. Gradients of
A and F are summed over the row's labels and applied once a row, C's per label.

Source: Mattern, *Mixing Strategies in Data Compression* (DCC 2012), logistic mixing with selected weight sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.arithmetic.compile import kernel
from streamlearn.arithmetic.exp_log import exp32
from streamlearn.learner.arrays import load_label_columns, load_whole
from streamlearn.learner.mixture.contexts import CONTEXTS, support_context
from streamlearn.state.growth import grown

STEP = np.float32(0.1)
FINAL_STEP = np.float32(0.02)
EXPERT_WEIGHTS_SUM = 1.2
SETS = 2
CONSTANT_INPUT = np.float32(0.3)
INPUT_CLIP = np.float32(8.0)
OUTPUT_CLIP = np.float32(10.0)
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)


class MixerState(NamedTuple):
    """Weights and squared-gradient sums of the three parts, float32; inputs are the experts and then the constant.

    ``shared``, ``shared_squared`` [CONTEXTS, inputs]; ``own``, ``own_squared`` [inputs, labels]; ``final``,
    ``final_squared`` [CONTEXTS, SETS].
    """

    shared: np.ndarray
    shared_squared: np.ndarray
    own: np.ndarray
    own_squared: np.ndarray
    final: np.ndarray
    final_squared: np.ndarray


class MixerScratch(NamedTuple):
    """Per row: ``context`` int64[labels]; ``shared_logit``, ``own_logit`` float32[labels]; gradient sums."""

    context: np.ndarray
    shared_logit: np.ndarray
    own_logit: np.ndarray
    shared_gradient: np.ndarray
    final_gradient: np.ndarray


@kernel
def _clipped(value: np.float32, bound: np.float32) -> np.float32:
    return min(max(value, -bound), bound)


@kernel
def mixer_predict_row(
    state: MixerState,
    scratch: MixerScratch,
    logits: np.ndarray,
    positives: np.ndarray,
    previous: np.ndarray,
    first_label: int,
    last_label: int,
    out: np.ndarray,
) -> None:
    """Write the mixed logits of labels ``first_label`` to ``last_label`` (excluded) to ``out`` float32[labels].

    ``logits`` float32[experts, labels]; ``positives`` int64[labels]; ``previous`` int8[labels], 1 where the label was
    true in the row learnt before.
    """
    experts = logits.shape[0]
    for label in range(first_label, last_label):
        context = support_context(positives[label], np.int64(previous[label]))
        scratch.context[label] = context
        shared = CONSTANT_INPUT * state.shared[context, experts]
        own = CONSTANT_INPUT * state.own[experts, label]
        for expert in range(experts):
            value = _clipped(logits[expert, label], INPUT_CLIP)
            shared += value * state.shared[context, expert]
            own += value * state.own[expert, label]
        shared = _clipped(shared, OUTPUT_CLIP)
        own = _clipped(own, OUTPUT_CLIP)
        scratch.shared_logit[label] = shared
        scratch.own_logit[label] = own
        out[label] = _clipped(state.final[context, 0] * shared + state.final[context, 1] * own, OUTPUT_CLIP)


@kernel
def _error(logit: np.float32, truth: int) -> np.float32:
    return _ONE / (_ONE + exp32(-logit)) - np.float32(truth)


@kernel
def mixer_learn_row(
    state: MixerState,
    scratch: MixerScratch,
    logits: np.ndarray,
    mixed: np.ndarray,
    truth: np.ndarray,
    labels: int,
) -> None:
    """Take one step from what `mixer_predict_row` left in ``scratch`` and ``mixed``; unknown labels (-1) do not
    count."""
    experts = logits.shape[0]
    scratch.shared_gradient[:] = _ZERO
    scratch.final_gradient[:] = _ZERO
    for label in range(labels):
        if truth[label] < 0:
            continue
        context = scratch.context[label]
        shared_error = _error(scratch.shared_logit[label], truth[label])
        own_error = _error(scratch.own_logit[label], truth[label])
        final_error = _error(mixed[label], truth[label])
        scratch.final_gradient[context, 0] += final_error * scratch.shared_logit[label]
        scratch.final_gradient[context, 1] += final_error * scratch.own_logit[label]
        for place in range(experts + 1):
            value = CONSTANT_INPUT
            if place < experts:
                value = _clipped(logits[place, label], INPUT_CLIP)
            scratch.shared_gradient[context, place] += shared_error * value
            slope = own_error * value
            squared = state.own_squared[place, label] + slope * slope
            state.own_squared[place, label] = squared
            state.own[place, label] -= STEP * slope / np.sqrt(_ONE + squared)
    for context in range(CONTEXTS):
        for place in range(experts + 1):
            slope = scratch.shared_gradient[context, place]
            if slope != _ZERO:
                squared = state.shared_squared[context, place] + slope * slope
                state.shared_squared[context, place] = squared
                state.shared[context, place] -= STEP * slope / np.sqrt(_ONE + squared)
        for part in range(SETS):
            slope = scratch.final_gradient[context, part]
            if slope != _ZERO:
                squared = state.final_squared[context, part] + slope * slope
                state.final_squared[context, part] = squared
                state.final[context, part] -= FINAL_STEP * slope / np.sqrt(_ONE + squared)


@kernel
def mixer_begin_label(state: MixerState, label: int) -> None:
    """Let a label that joins start from the shared weights of a label without positives."""
    for place in range(state.own.shape[0]):
        state.own[place, label] = state.shared[0, place]
        state.own_squared[place, label] = _ZERO


class Mixer:
    """Owns the mixing weights of a number of experts."""

    def __init__(self, experts: int) -> None:
        self.experts = experts
        start = np.full((CONTEXTS, experts + 1), EXPERT_WEIGHTS_SUM / experts, np.float32)
        start[:, experts] = 0
        self.state = MixerState(
            start,
            np.zeros_like(start),
            np.zeros((experts + 1, 0), np.float32),
            np.zeros((experts + 1, 0), np.float32),
            np.full((CONTEXTS, SETS), 1.0 / SETS, np.float32),
            np.zeros((CONTEXTS, SETS), np.float32),
        )
        self.scratch = self._scratch(0)

    def _scratch(self, labels: int) -> MixerScratch:
        return MixerScratch(
            np.zeros(labels, np.int64),
            np.zeros(labels, np.float32),
            np.zeros(labels, np.float32),
            np.zeros((CONTEXTS, self.experts + 1), np.float32),
            np.zeros((CONTEXTS, SETS), np.float32),
        )

    def grow(self, labels: int) -> None:
        """Make room for ``labels`` labels; declared ones start as the shared weights do."""
        old = self.state.own.shape[1]
        own = grown(self.state.own, labels, axis=1)
        if own.shape[1] > old:
            own[: self.experts, old:] = EXPERT_WEIGHTS_SUM / self.experts
            self.state = self.state._replace(own=own, own_squared=grown(self.state.own_squared, labels, axis=1))
            self.scratch = self._scratch(own.shape[1])

    def retire(self, label: int) -> None:
        """Empty a slot."""
        self.state.own[: self.experts, label] = EXPERT_WEIGHTS_SUM / self.experts
        self.state.own[self.experts, label] = 0
        self.state.own_squared[:, label] = 0

    def arrays(self, labels: int) -> dict[str, np.ndarray]:
        """Return the weights of the labels in use, by name."""
        arrays = self.state._asdict()
        return {**arrays, "own": arrays["own"][:, :labels], "own_squared": arrays["own_squared"][:, :labels]}

    def load_arrays(self, arrays: Mapping[str, np.ndarray], labels: int) -> None:
        """Take the weights over; raises `SnapshotError` when a shape differs."""
        self.grow(labels)
        inputs = self.experts + 1
        load_label_columns(self.state.own, arrays["own"], inputs, labels)
        load_label_columns(self.state.own_squared, arrays["own_squared"], inputs, labels)
        for name in ("shared", "shared_squared", "final", "final_squared"):
            load_whole(getattr(self.state, name), arrays[name])

    def bytes_bound(self, labels: int) -> int:
        """Return the largest size in bytes with that many labels."""
        return 8 * (self.experts + 1) * (labels + CONTEXTS) + 16 * labels + 8 * CONTEXTS * SETS
