"""What the neighbours that were found say of every label, and which label sets they have.

`experts.neighbours` has the formula.
"""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.experts.neighbour_search import CLOSE, CLOSE_NEIGHBOURS, NEIGHBOURS, WIDE, NeighboursScratch
from streamlearn.learner.experts.neighbour_window import (
    CODE,
    COMPLETE,
    FIRST_KNOWN,
    KNOWN,
    POSITIVES,
    ROW_KNOWN,
    NeighboursState,
)
from streamlearn.numerics.exp_log import log32

LEAST = np.float32(0.0005)
LARGEST = np.float32(0.9995)
LEAST_KAPPA = 1e-6
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)


@kernel
def neighbours_predict_row(
    state: NeighboursState,
    scratch: NeighboursScratch,
    slow: np.ndarray,
    labels: int,
    out_wide: np.ndarray,
    out_close: np.ndarray,
) -> None:
    """Write the logits of both votes of the neighbours in ``scratch`` to the two float32[labels].

    ``slow`` float64[labels] are the labels' slow rates, probabilities.
    """
    found = scratch.found[0]
    close = min(found, CLOSE_NEIGHBOURS)
    wide_total = _ZERO
    close_total = _ZERO
    for n in range(found):
        if state.rows[scratch.row[n], COMPLETE] != 0:
            wide_total += scratch.weight[WIDE, n]
            if n < close:
                close_total += scratch.weight[CLOSE, n]
    votes = scratch.votes
    for label in range(labels):
        votes[WIDE, label] = _ZERO
        votes[CLOSE, label] = _ZERO
        votes[2 + WIDE, label] = wide_total
        votes[2 + CLOSE, label] = close_total
    for n in range(found):
        row = scratch.row[n]
        wide = scratch.weight[WIDE, n]
        near = scratch.weight[CLOSE, n] if n < close else _ZERO
        positives = state.rows[row, POSITIVES]
        partial = state.rows[row, COMPLETE] == 0
        at = state.rows[row, FIRST_KNOWN]
        for place in range(state.rows[row, ROW_KNOWN]):
            label = np.int64(state.known[at])
            at = at + 1 if at + 1 < KNOWN else 0
            if place < positives:
                votes[WIDE, label] += wide
                votes[CLOSE, label] += near
            if partial:
                votes[2 + WIDE, label] += wide
                votes[2 + CLOSE, label] += near
    rows = scratch.found[1]
    for kind in range(2):
        count = found if kind == WIDE else close
        most = NEIGHBOURS if kind == WIDE else CLOSE_NEIGHBOURS
        total = 0.0
        for n in range(count):
            total += np.float64(scratch.weight[kind, n])
        kappa = np.float32(total / max(min(rows, most), 1) + LEAST_KAPPA)
        positive = votes[kind]
        known = votes[2 + kind]
        out = out_wide if kind == WIDE else out_close
        for label in range(labels):
            p = (positive[label] + kappa * np.float32(slow[label])) / (known[label] + kappa)
            p = min(max(p, LEAST), LARGEST)
            out[label] = p / (_ONE - p)
        for label in range(labels):
            out[label] = log32(out[label])


@kernel
def neighbours_label_sets(
    state: NeighboursState,
    scratch: NeighboursScratch,
    out_codes: np.ndarray,
    out_weights: np.ndarray,
    out_starts: np.ndarray,
    out_members: np.ndarray,
) -> int:
    """Write the label sets of the neighbours that know all labels, nearest first; return their number n.

    Parameters
    ----------
    out_codes
        int64[NEIGHBOURS], the `label_set_code` of each set.
    out_weights
        float64[NEIGHBOURS], the weight of the wide vote.
    out_starts, out_members
        int64[NEIGHBOURS + 1] and int32: set i is ``out_members[out_starts[i]:out_starts[i + 1]]``, ascending. There has
        to be room for NEIGHBOURS sets of all labels, or KNOWN labels if that is less.
    """
    size = 0
    out_starts[0] = 0
    for n in range(scratch.found[0]):
        row = scratch.row[n]
        if state.rows[row, COMPLETE] == 0:
            continue
        start = out_starts[size]
        at = state.rows[row, FIRST_KNOWN]
        for place in range(state.rows[row, POSITIVES]):
            out_members[start + place] = state.known[at]
            at = at + 1 if at + 1 < KNOWN else 0
        out_codes[size] = state.rows[row, CODE]
        out_weights[size] = scratch.weight[WIDE, n]
        size += 1
        out_starts[size] = start + state.rows[row, POSITIVES]
    return size
