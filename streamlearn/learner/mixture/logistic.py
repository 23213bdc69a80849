"""Logistic mixing: one logit per label from the experts' logits, by weights that follow their own log loss.

Inputs x are the experts' logits clipped to plus or minus 8 and a constant .3. Three weight sets look at them: A, shared
by all labels of one support context (`contexts.support_context`); B, shared by all labels, chosen by how similar the
nearest neighbour is (`contexts.similarity_context`); and C, the label's own. z_A, z_B and z_C, the weighted sums, are
clipped to plus or minus 10, and z = F_A z_A + F_B z_B + F_C z_C, clipped likewise, with F chosen by A's context. Each
set follows the gradient of its own log loss with AdaGrad (accumulators from 1): step .1, F step .02. Gradients of A, B
and F are summed over the row's labels and applied once a row, C's per label.

Source: Mattern, *Mixing Strategies in Data Compression* (DCC 2012), logistic mixing with selected weight sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.arithmetic.compile import kernel
from streamlearn.arithmetic.exp_log import exp32
from streamlearn.learner.arrays import load_label_columns, load_whole
from streamlearn.learner.mixture.contexts import CONTEXTS, SIMILARITY_CONTEXTS, support_context
from streamlearn.state.growth import grown

STEP = np.float32(0.1)
FINAL_STEP = np.float32(0.02)
EXPERT_WEIGHTS_SUM = 1.2
SETS = 3
SUPPORT, SIMILARITY, OWN = range(SETS)
CONSTANT_INPUT = np.float32(0.3)
INPUT_CLIP = np.float32(8.0)
OUTPUT_CLIP = np.float32(10.0)
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)


class MixerState(NamedTuple):
    """Weights and squared-gradient sums, float32; inputs are the experts and then the constant.

    ``shared``, ``shared_squared`` [CONTEXTS + SIMILARITY_CONTEXTS, inputs], set A's and behind them set B's; ``own``,
    ``own_squared`` [inputs, labels]; ``final``, ``final_squared`` [CONTEXTS, SETS].
    """

    shared: np.ndarray
    shared_squared: np.ndarray
    own: np.ndarray
    own_squared: np.ndarray
    final: np.ndarray
    final_squared: np.ndarray


class MixerScratch(NamedTuple):
    """Per row: ``context`` int64[labels + 1], each label's and then set B's; ``inputs`` float32[inputs, labels];
    ``logits``, ``errors`` float32[SETS, labels]; ``final_errors`` float32[labels]; gradient sums.
    """

    context: np.ndarray
    inputs: np.ndarray
    logits: np.ndarray
    errors: np.ndarray
    final_errors: np.ndarray
    shared_gradient: np.ndarray
    final_gradient: np.ndarray


@kernel
def mixer_predict_row(
    state: MixerState,
    scratch: MixerScratch,
    logits: np.ndarray,
    positives: np.ndarray,
    previous: np.ndarray,
    similarity: int,
    labels: int,
    out: np.ndarray,
) -> None:
    """Write the mixed logits to ``out`` float32[labels].

    ``logits`` float32[experts at least, labels], of which the first ``inputs - 1`` count; ``positives`` int64[labels];
    ``previous`` int8[labels], 1 where the label was true in the row learnt before; ``similarity`` is the row's
    similarity context.
    """
    inputs = state.shared.shape[1]
    similar = CONTEXTS + similarity
    scratch.context[scratch.context.size - 1] = similar
    for label in range(labels):
        scratch.context[label] = support_context(positives[label], np.int64(previous[label]))
        for part in range(SETS):
            scratch.logits[part, label] = _ZERO
    for place in range(inputs):
        weight = state.shared[similar, place]
        if place < inputs - 1:
            for label in range(labels):
                scratch.inputs[place, label] = min(max(logits[place, label], -INPUT_CLIP), INPUT_CLIP)
        else:
            for label in range(labels):
                scratch.inputs[place, label] = CONSTANT_INPUT
        for label in range(labels):
            value = scratch.inputs[place, label]
            scratch.logits[SIMILARITY, label] += value * weight
            scratch.logits[OWN, label] += value * state.own[place, label]
        for label in range(labels):
            scratch.logits[SUPPORT, label] += scratch.inputs[place, label] * state.shared[scratch.context[label], place]
    for label in range(labels):
        context = scratch.context[label]
        mixed = _ZERO
        for part in range(SETS):
            logit = min(max(scratch.logits[part, label], -OUTPUT_CLIP), OUTPUT_CLIP)
            scratch.logits[part, label] = logit
            mixed += state.final[context, part] * logit
        out[label] = min(max(mixed, -OUTPUT_CLIP), OUTPUT_CLIP)


@kernel
def _step(
    weights: np.ndarray, squared: np.ndarray, gradient: np.ndarray, context: int | np.int64, step: np.float32
) -> None:
    """Take one step along a context's summed gradient, and set that to zero."""
    for place in range(weights.shape[1]):
        slope = gradient[context, place]
        if slope != _ZERO:
            total = squared[context, place] + slope * slope
            squared[context, place] = total
            weights[context, place] -= step * slope / np.sqrt(_ONE + total)
            gradient[context, place] = _ZERO


@kernel
def mixer_learn_row(
    state: MixerState, scratch: MixerScratch, mixed: np.ndarray, truth: np.ndarray, labels: int
) -> None:
    """Take one step from what `mixer_predict_row` left in ``scratch`` and ``mixed``; unknown labels (-1) do not
    count."""
    inputs = state.shared.shape[1]
    similar = scratch.context[scratch.context.size - 1]
    for part in range(SETS):
        for label in range(labels):
            error = _ONE / (_ONE + exp32(-scratch.logits[part, label])) - np.float32(truth[label])
            scratch.errors[part, label] = error if truth[label] >= 0 else _ZERO
    for label in range(labels):
        error = _ONE / (_ONE + exp32(-mixed[label])) - np.float32(truth[label])
        scratch.final_errors[label] = error if truth[label] >= 0 else _ZERO
    for label in range(labels):
        if truth[label] < 0:
            continue
        context = scratch.context[label]
        error = scratch.errors[SUPPORT, label]
        similar_error = scratch.errors[SIMILARITY, label]
        for place in range(inputs):
            value = scratch.inputs[place, label]
            scratch.shared_gradient[context, place] += error * value
            scratch.shared_gradient[similar, place] += similar_error * value
        for part in range(SETS):
            scratch.final_gradient[context, part] += scratch.final_errors[label] * scratch.logits[part, label]
    for place in range(inputs):
        for label in range(labels):
            slope = scratch.errors[OWN, label] * scratch.inputs[place, label]
            squared = state.own_squared[place, label] + slope * slope
            state.own_squared[place, label] = squared
            state.own[place, label] -= STEP * slope / np.sqrt(_ONE + squared)
    for context in range(CONTEXTS):
        _step(state.shared, state.shared_squared, scratch.shared_gradient, context, STEP)
        _step(state.final, state.final_squared, scratch.final_gradient, context, FINAL_STEP)
    _step(state.shared, state.shared_squared, scratch.shared_gradient, similar, STEP)


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
        start = np.full((CONTEXTS + SIMILARITY_CONTEXTS, experts + 1), EXPERT_WEIGHTS_SUM / experts, np.float32)
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
            np.zeros(labels + 1, np.int64),
            np.zeros((self.experts + 1, labels), np.float32),
            np.zeros((SETS, labels), np.float32),
            np.zeros((SETS, labels), np.float32),
            np.zeros(labels, np.float32),
            np.zeros((CONTEXTS + SIMILARITY_CONTEXTS, self.experts + 1), np.float32),
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

    @staticmethod
    def bytes_bound(experts: int, labels: int) -> int:
        """Return the largest size in bytes with that many experts and labels."""
        contexts = CONTEXTS + SIMILARITY_CONTEXTS
        return 8 * (experts + 1) * (labels + contexts) + 16 * labels + 8 * CONTEXTS * SETS
