"""Logistic mixing: one logit per label from the experts' logits, by weights that follow their own log loss.

Inputs x are the experts' logits clipped to plus or minus 8 and a constant .3. Five weight sets look at them: O, one for
all labels and rows; A, shared by all labels of one support context (`contexts.support_context`); B, shared by all
labels, chosen by how similar the nearest neighbour is (`contexts.similarity_context`); R, shared by the labels of one
rank, by how many have a larger sum of O: none to four, or more; and C, the label's own. The weighted sums are clipped
to plus or minus 10, and z = F_O z_O + F_A z_A + F_B z_B + F_R z_R + F_C z_C, clipped likewise, with F chosen by A's
context. Each set follows the gradient of its own log loss with AdaGrad (accumulators from 10): step .1, F step .01.
Gradients of shared sets and F are summed over the row's labels and applied once a row, C's per label. All sets start
from the same weights, F from one fifth each.

Source: Mattern, *Mixing Strategies in Data Compression* (DCC 2012), logistic mixing with selected weight sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from streamlearn.arithmetic.compile import kernel
from streamlearn.arithmetic.exp_log import exp32
from streamlearn.learner.arrays import load_label_columns, load_whole
from streamlearn.learner.mixture.contexts import CONTEXTS, SIMILARITY_CONTEXTS, support_context
from streamlearn.state.growth import grown

STEP = np.float32(0.1)
FINAL_STEP = np.float32(0.01)
SETS = 5
OVERALL, SUPPORT, SIMILARITY, RANK, OWN = range(SETS)
RANKS = 6
"""Ranks that have weights of their own: with no to four labels before it, and the others."""

FIRST_SUPPORT = 1
FIRST_SIMILARITY = FIRST_SUPPORT + CONTEXTS
FIRST_RANK = FIRST_SIMILARITY + SIMILARITY_CONTEXTS
SHARED = FIRST_RANK + RANKS
"""Rows of the shared weights: O's, then A's by context, B's by context, R's by rank."""

CONSTANT_INPUT = np.float32(0.3)
INPUT_CLIP = np.float32(8.0)
OUTPUT_CLIP = np.float32(10.0)
START = np.float32(10.0)
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)


class MixerState(NamedTuple):
    """Weights and squared-gradient sums without their start, float32; inputs are the experts and then the constant.

    ``shared``, ``shared_squared`` [SHARED, inputs]; ``own``, ``own_squared`` [inputs, labels]; ``final``,
    ``final_squared`` [CONTEXTS, SETS].
    """

    shared: np.ndarray
    shared_squared: np.ndarray
    own: np.ndarray
    own_squared: np.ndarray
    final: np.ndarray
    final_squared: np.ndarray


class MixerScratch(NamedTuple):
    """Per row: ``context`` int64[2, labels + 1], each label's row of A's and of R's shared weights, and at the first
    line's end that of B's; ``best`` float32[RANKS - 1], the largest sums of O; ``inputs`` float32[inputs, labels];
    ``column`` float32[inputs], those of one label; ``logits``, ``errors`` float32[SETS, labels]; ``final_errors``
    float32[labels]; gradient sums.
    """

    context: np.ndarray
    best: np.ndarray
    inputs: np.ndarray
    column: np.ndarray
    logits: np.ndarray
    errors: np.ndarray
    final_errors: np.ndarray
    shared_gradient: np.ndarray
    final_gradient: np.ndarray


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
    for label in range(labels):
        scratch.context[1, label] = FIRST_RANK
    for place in range(found):
        for label in range(labels):
            scratch.context[1, label] += 1 if best[place] > sums[label] else 0


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
    similar = FIRST_SIMILARITY + similarity
    scratch.context[0, scratch.context.shape[1] - 1] = similar
    for label in range(labels):
        scratch.context[0, label] = FIRST_SUPPORT + support_context(positives[label], np.int64(previous[label]))
        for part in range(SETS):
            scratch.logits[part, label] = _ZERO
    for place in range(inputs):
        overall = state.shared[0, place]
        weight = state.shared[similar, place]
        others = state.shared[SHARED - 1, place]
        if place < inputs - 1:
            for label in range(labels):
                scratch.inputs[place, label] = min(max(logits[place, label], -INPUT_CLIP), INPUT_CLIP)
        else:
            for label in range(labels):
                scratch.inputs[place, label] = CONSTANT_INPUT
        for label in range(labels):
            value = scratch.inputs[place, label]
            scratch.logits[OVERALL, label] += value * overall
            scratch.logits[SIMILARITY, label] += value * weight
            scratch.logits[RANK, label] += value * others
            scratch.logits[OWN, label] += value * state.own[place, label]
        for label in range(labels):
            support = scratch.context[0, label]
            scratch.logits[SUPPORT, label] += scratch.inputs[place, label] * state.shared[support, place]
    _rank_labels(scratch, labels)
    for label in range(labels):
        rank = scratch.context[1, label]
        if rank == SHARED - 1:
            continue
        total = _ZERO
        for place in range(inputs):
            total += scratch.inputs[place, label] * state.shared[rank, place]
        scratch.logits[RANK, label] = total
    for label in range(labels):
        context = scratch.context[0, label] - FIRST_SUPPORT
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
            weights[context, place] -= step * slope / np.sqrt(START + total)
            gradient[context, place] = _ZERO


@kernel
def _add(gradient: np.ndarray, context: int | np.int64, error: np.float32, column: np.ndarray) -> None:
    """Add one label's gradient to a context's sum."""
    for place in range(column.size):
        gradient[context, place] += error * column[place]


@kernel
def mixer_learn_row(
    state: MixerState, scratch: MixerScratch, mixed: np.ndarray, truth: np.ndarray, labels: int
) -> None:
    """Take one step from what `mixer_predict_row` left in ``scratch`` and ``mixed``; unknown labels (-1) do not
    count."""
    inputs = state.shared.shape[1]
    similar = scratch.context[0, scratch.context.shape[1] - 1]
    for part in range(SETS):
        for label in range(labels):
            error = _ONE / (_ONE + exp32(-scratch.logits[part, label])) - np.float32(truth[label])
            scratch.errors[part, label] = error if truth[label] >= 0 else _ZERO
    for label in range(labels):
        error = _ONE / (_ONE + exp32(-mixed[label])) - np.float32(truth[label])
        scratch.final_errors[label] = error if truth[label] >= 0 else _ZERO
    gradient = scratch.shared_gradient
    column = scratch.column
    for label in range(labels):
        if truth[label] < 0:
            continue
        for place in range(inputs):
            column[place] = scratch.inputs[place, label]
        support = scratch.context[0, label]
        _add(gradient, np.int64(0), scratch.errors[OVERALL, label], column)
        _add(gradient, support, scratch.errors[SUPPORT, label], column)
        _add(gradient, similar, scratch.errors[SIMILARITY, label], column)
        _add(gradient, scratch.context[1, label], scratch.errors[RANK, label], column)
        for part in range(SETS):
            scratch.final_gradient[support - FIRST_SUPPORT, part] += (
                scratch.final_errors[label] * scratch.logits[part, label]
            )
    for place in range(inputs):
        for label in range(labels):
            slope = scratch.errors[OWN, label] * scratch.inputs[place, label]
            squared = state.own_squared[place, label] + slope * slope
            state.own_squared[place, label] = squared
            state.own[place, label] -= STEP * slope / np.sqrt(START + squared)
    for context in range(FIRST_SIMILARITY):
        _step(state.shared, state.shared_squared, gradient, context, STEP)
    for context in range(FIRST_RANK, SHARED):
        _step(state.shared, state.shared_squared, gradient, context, STEP)
    _step(state.shared, state.shared_squared, gradient, similar, STEP)
    for context in range(CONTEXTS):
        _step(state.final, state.final_squared, scratch.final_gradient, context, FINAL_STEP)


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
        shared = np.tile(self._start, (SHARED, 1))
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
        return MixerScratch(
            np.zeros((2, labels + 1), np.int64),
            np.zeros(RANKS - 1, np.float32),
            np.zeros((inputs, labels), np.float32),
            np.zeros(inputs, np.float32),
            np.zeros((SETS, labels), np.float32),
            np.zeros((SETS, labels), np.float32),
            np.zeros(labels, np.float32),
            np.zeros((SHARED, inputs), np.float32),
            np.zeros((CONTEXTS, SETS), np.float32),
        )

    def grow(self, labels: int) -> None:
        """Make room for ``labels`` labels; declared ones start as the shared weights do."""
        old = self.state.own.shape[1]
        own = grown(self.state.own, labels, axis=1)
        if own.shape[1] > old:
            own[:, old:] = self._start[:, None]
            self.state = self.state._replace(own=own, own_squared=grown(self.state.own_squared, labels, axis=1))
            self.scratch = self._scratch(own.shape[1])

    def retire(self, label: int) -> None:
        """Empty a slot."""
        self.state.own[:, label] = self._start
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
        return 8 * (experts + 1) * (labels + SHARED) + 16 * labels + 8 * CONTEXTS * SETS
