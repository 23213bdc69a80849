"""Split test of a leaf: the gain in multivariate Bernoulli entropy, and its Hoeffding bound.

The labels of a leaf are a multivariate Bernoulli variable; its entropy is taken as the sum of the labels' entropies.
The gain of a bin edge is the entropy of the leaf less the weighted mean of both sides'. The best column must be better
than the second-best, or than no split, by more than e = sqrt(R^2 ln(1 / DELTA) / 2n), R = log2 of the number of label
sets in the leaf's window and n the leaf's weight, or e must be below TIE_THRESHOLD.

Source: A. Esteban, A. Cano, A. Zafra and S. Ventura, "Hoeffding adaptive trees for multi-label classification on data
streams", Knowledge-Based Systems 2024.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.experts.tree_counters import WATCHED_BINS, Size
from streamlearn.learner.ihomer.row_window import Cursor, RowWindowState, have_same_labels
from streamlearn.numerics.exp_log import log64

DELTA = 1.6587784772850855e-7
"""Probability of error of the Hoeffding bound."""

TIE_THRESHOLD = 0.05
"""Bound, in bits, below which the two best columns count as tied."""

MIN_SIDE_SHARE = 0.01
"""Share of the leaf's weight that either side of a split needs."""

_BITS = 1.4426950408889634
"""1 / ln 2: nats to bits."""


class Split(NamedTuple):
    """Column (-1: no split), last bin that goes left, gain in bits and that of the next-best column."""

    column: int
    edge: int
    gain: float
    second: float


@kernel
def _times_log(weight: float) -> float:
    return weight * log64(weight) if weight > 0.0 else 0.0


@kernel
def bernoulli_entropy(positives: np.ndarray, labels: np.ndarray, weight: float) -> float:
    """Return the sum of the labels' entropies, in bits, of ``positives`` float64[labels] out of ``weight``."""
    total = 0.0
    for i in range(labels.size):
        on = np.float64(positives[labels[i]])
        if 0.0 < on < weight:
            total += _times_log(weight) - _times_log(on) - _times_log(weight - on)
    return total / weight * _BITS if weight > 0.0 else 0.0


@kernel
def count_sets(
    rows: RowWindowState, window: np.ndarray, cluster_of: np.ndarray, cluster: int | np.int64, different: np.ndarray
) -> int:
    """Return the number of different label sets in a window; ``different`` int64[LEAF_WINDOW] is scratch memory."""
    count = 0
    for i in range(window.size):
        if window[i] < rows.cursor[Cursor.FIRST]:
            continue
        known = False
        for other in range(count):
            if have_same_labels(rows, window[i], different[other], cluster_of, cluster):
                known = True
                break
        if not known:
            different[count] = window[i]
            count += 1
    return count


@kernel
def split_bound(sets: int, weight: float) -> float:
    """Return e for a leaf of this weight with so many label sets."""
    span = log64(np.float64(max(sets, 2))) * _BITS
    return span * np.sqrt(-log64(DELTA) / (2.0 * weight))


@kernel
def best_split(
    sizes: np.ndarray,
    block: np.ndarray,
    slot_of: np.ndarray,
    rows_plane: int | np.int64,
    positive_plane: np.ndarray,
    positives: np.ndarray,
    labels: np.ndarray,
    weight: float,
    right: np.ndarray,
) -> Split:
    """Find the two best columns to split a leaf on; ties go to the lowest column, then to the highest edge.

    Parameters
    ----------
    sizes, block, slot_of: the counters (`tree_counters`).
    rows_plane: plane that counts the leaf's rows.
    positive_plane: int32[labels], planes that count its positives.
    positives: float64[labels], weight of the leaf's rows with each label, out of ``weight``.
    labels: int32, the labels of the cluster.
    right: float64[labels], scratch memory.
    """
    width = sizes[Size.WIDTH]
    rows_start = rows_plane * width
    parent = bernoulli_entropy(positives, labels, weight)
    best = 0.0
    second = 0.0
    column = -1
    edge = 0
    for candidate in range(slot_of.shape[0]):
        if slot_of[candidate, 0] < 0:
            continue
        top = WATCHED_BINS - 1
        while top > 0 and slot_of[candidate, top] == 0:
            top -= 1
        gain_of_column = 0.0
        best_edge = 0
        rows_right = 0.0
        for i in range(labels.size):
            right[labels[i]] = 0.0
        for step in range(top + 1):
            candidate_edge = top - step
            slot = np.int64(slot_of[candidate, candidate_edge])
            if slot == 0:
                continue
            rows_right += np.float64(block[rows_start + slot])
            for i in range(labels.size):
                plane = np.int64(positive_plane[labels[i]])
                right[labels[i]] += np.float64(block[plane * width + slot]) if plane > 0 else 0.0
            rows_left = weight - rows_right
            if min(rows_right, rows_left) < max(MIN_SIDE_SHARE * weight, 1.0):
                continue
            mass = 0.0
            for i in range(labels.size):
                on = np.float64(positives[labels[i]])
                on_right = np.float64(right[labels[i]])
                if 0.0 < on < weight:
                    mass += _times_log(rows_right) - _times_log(on_right) - _times_log(rows_right - on_right)
                    mass += _times_log(rows_left) - _times_log(on - on_right)
                    mass -= _times_log(rows_left - (on - on_right))
            gain = parent - mass / weight * _BITS
            if gain > gain_of_column:
                gain_of_column = gain
                best_edge = candidate_edge
        if gain_of_column > best:
            second = best
            best = gain_of_column
            column = candidate
            edge = best_edge
        elif gain_of_column > second:
            second = gain_of_column
    return Split(column, edge, best, second)
