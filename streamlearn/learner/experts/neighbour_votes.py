"""Votes of the nearest neighbours: each label's logits, and the neighbours' label sets.

With s the similarities that `neighbour_search` found, y the neighbours' truths and b the label's slow rate, a vote is

    p = (sum of w y + kappa b) / (sum of w + kappa),  kappa = mean of w + 1e-6,  clipped to [.0005, .9995],

both sums over the neighbours that know the label, nearest first, and the mean over as many rows as a vote may have. The
wide vote takes all 50 neighbours with w = s^5 / (1.02 - s), the close vote the first 10 with w = s^2 / (2 - s). The
whole expert and its sources are described in `neighbours`.
"""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.experts.neighbour_search import (
    CLOSE_NEIGHBOURS,
    NEIGHBOURS,
    VOTES,
    Found,
    NeighboursScratch,
    Vote,
    VoteSum,
)
from streamlearn.learner.experts.neighbour_window import MAXIMUM_KNOWN, NeighboursState, WindowRow
from streamlearn.numerics.exp_log import log32

LEAST_PROBABILITY = np.float32(0.0005)
LARGEST_PROBABILITY = np.float32(0.9995)
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
    """Write the logits of both votes of the neighbours in ``scratch`` to the outputs, float32[labels].

    ``slow`` float64[labels] are the labels' slow rates, probabilities.
    """
    found = scratch.found[Found.NEIGHBOURS]
    close = min(found, CLOSE_NEIGHBOURS)
    wide_total = _ZERO
    close_total = _ZERO
    for n in range(found):
        if state.rows[scratch.row[n], WindowRow.COMPLETE] != 0:
            wide_total += scratch.weight[Vote.WIDE, n]
            if n < close:
                close_total += scratch.weight[Vote.CLOSE, n]
    votes = scratch.votes
    for label in range(labels):
        votes[VoteSum.WIDE_POSITIVE, label] = _ZERO
        votes[VoteSum.CLOSE_POSITIVE, label] = _ZERO
        votes[VoteSum.WIDE_KNOWN, label] = wide_total
        votes[VoteSum.CLOSE_KNOWN, label] = close_total
    for n in range(found):
        row = scratch.row[n]
        wide = scratch.weight[Vote.WIDE, n]
        near = scratch.weight[Vote.CLOSE, n] if n < close else _ZERO
        positives = state.rows[row, WindowRow.POSITIVES]
        partial = state.rows[row, WindowRow.COMPLETE] == 0
        at = state.rows[row, WindowRow.FIRST_KNOWN]
        for known_label in range(state.rows[row, WindowRow.KNOWN]):
            label = np.int64(state.known[at])
            at = at + 1 if at + 1 < MAXIMUM_KNOWN else 0
            if known_label < positives:
                votes[VoteSum.WIDE_POSITIVE, label] += wide
                votes[VoteSum.CLOSE_POSITIVE, label] += near
            if partial:
                votes[VoteSum.WIDE_KNOWN, label] += wide
                votes[VoteSum.CLOSE_KNOWN, label] += near
    rows = scratch.found[Found.ROWS]
    for kind in range(VOTES):
        count = found if kind == Vote.WIDE else close
        most = NEIGHBOURS if kind == Vote.WIDE else CLOSE_NEIGHBOURS
        total = 0.0
        for n in range(count):
            total += np.float64(scratch.weight[kind, n])
        kappa = np.float32(total / max(min(rows, most), 1) + LEAST_KAPPA)
        positive = votes[kind]
        known = votes[VOTES + kind]
        out = out_wide if kind == Vote.WIDE else out_close
        for label in range(labels):
            p = (positive[label] + kappa * np.float32(slow[label])) / (known[label] + kappa)
            p = min(max(p, LEAST_PROBABILITY), LARGEST_PROBABILITY)
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
    """Write the label sets of the neighbours that know all labels, nearest first; return their number.

    Parameters
    ----------
    out_codes
        int64[NEIGHBOURS], the `label_set_code` of each set.
    out_weights
        float64[NEIGHBOURS], the weight of each neighbour in the wide vote.
    out_starts, out_members
        int64[NEIGHBOURS + 1] and int32: set i is ``out_members[out_starts[i]:out_starts[i + 1]]``, ascending. There has
        to be room for NEIGHBOURS sets of all labels, or MAXIMUM_KNOWN labels if that is less.
    """
    size = 0
    out_starts[0] = 0
    for n in range(scratch.found[Found.NEIGHBOURS]):
        row = scratch.row[n]
        if state.rows[row, WindowRow.COMPLETE] == 0:
            continue
        start = out_starts[size]
        at = state.rows[row, WindowRow.FIRST_KNOWN]
        for member in range(state.rows[row, WindowRow.POSITIVES]):
            out_members[start + member] = state.known[at]
            at = at + 1 if at + 1 < MAXIMUM_KNOWN else 0
        out_codes[size] = state.rows[row, WindowRow.CODE]
        out_weights[size] = scratch.weight[Vote.WIDE, n]
        size += 1
        out_starts[size] = start + state.rows[row, WindowRow.POSITIVES]
    return size
