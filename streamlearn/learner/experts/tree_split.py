"""Split test of a label tree's leaf: the likelihood-ratio test of every bin edge, corrected for multiple testing.

Source: the G statistic of a 2 x 2 table (Wilks, *Annals of Mathematical Statistics* 9(1), 1938), its chi-squared
quantile by Wilson and Hilferty (*PNAS* 17(12), 1931), the normal tail bounded by exp(-z^2 / 2), and Bonferroni's
correction for three edges of each column.
"""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.experts.tree_counters import WATCHED_BINS, Size, Whole
from streamlearn.numerics.exp_log import log64

LEAST_SIDE = 2
CHANCE = 1.0
_NINTH = 2.0 / 9.0


@kernel
def split_threshold(column_end: int) -> float:
    """Return what G must exceed: (1 - 2/9 + z sqrt(2/9))^3 with z = sqrt(2 ln(3 column_end / CHANCE))."""
    z = np.sqrt(2.0 * log64(3.0 * np.float64(max(column_end, 1)) / CHANCE))
    root = 1.0 - _NINTH + z * np.sqrt(_NINTH)
    return root * root * root


@kernel
def _times_log(count: float) -> float:
    return count * log64(max(count, 1.0))


@kernel
def _surprise(positives: float, rows: float) -> float:
    """Return rows times the entropy of the label among them, in nats."""
    return _times_log(rows) - _times_log(positives) - _times_log(rows - positives)


@kernel
def best_split(
    sizes: np.ndarray,
    block: np.ndarray,
    slot_of: np.ndarray,
    column_end: int,
    rows_plane: Whole,
    less_plane: Whole,
    positives_plane: Whole,
    rows: Whole,
    positives: Whole,
) -> tuple[Whole, Whole, Whole, Whole]:
    """Find the split of a leaf with the largest G; ties go to the lowest column, then to the lowest edge.

    Parameters
    ----------
    sizes, block, slot_of
        The counters (`tree_counters`).
    column_end
        Highest column in use plus 1: the columns below it are tested.
    rows_plane, less_plane
        Planes whose difference counts the leaf's rows; ``less_plane`` 0 is none.
    positives_plane
        Plane that counts its positives.
    rows, positives
        Rows and positives of the leaf; there is at least one positive and one negative.

    Returns
    -------
    (column, edge, rows to the right, positives to the right): rows with a bin above the edge go right. The column is -1
    if no split with 2 rows on each side is significant.
    """
    width = sizes[Size.WIDTH]
    first_rows = rows_plane * width
    first_less = less_plane * width
    first_positives = positives_plane * width
    has_less = less_plane > 0
    n = np.float64(rows)
    c = np.float64(positives)
    scale = 2.0 * n / (c * (n - c))
    parent = _surprise(c, n)
    best = split_threshold(column_end)
    column = -1
    edge = 0
    right_rows = 0
    right_positives = 0
    rows_of = block[first_rows:]
    less_of = block[first_less:]
    positives_of = block[first_positives:]
    less_sign = 1 if has_less else 0
    slots = slot_of[:column_end]
    for candidate in range(column_end):
        if slots[candidate, 0] < 0:
            continue
        # Most columns have one bin besides bin 0, and this one branch rules out most of them, also those without rows.
        if slots[candidate, 1] == 0 and slots[candidate, 2] == 0:
            slot = np.uint32(slots[candidate, 0])
            nr = np.float64(rows_of[slot] - less_sign * less_of[slot])
            away = np.float64(positives_of[slot]) * n - c * nr
            if not scale * away * away > best * 0.999999 * nr * (n - nr):
                continue
        n_right = np.int64(0)
        c_right = np.int64(0)
        top = WATCHED_BINS - 1
        while top > 0 and slot_of[candidate, top] == 0:
            top -= 1
        for back in range(top + 1):
            bin_index = top - back
            slot = np.int64(slot_of[candidate, bin_index])
            n_right += np.int64(block[first_rows + slot])
            if has_less:
                n_right -= np.int64(block[first_less + slot])
            c_right += np.int64(block[first_positives + slot])
            if n_right < LEAST_SIDE or rows - n_right < LEAST_SIDE:
                continue
            nr = np.float64(n_right)
            cr = np.float64(c_right)
            away = cr * n - c * nr
            # Pearson's statistic, doubled, is never below G, and needs no logarithm.
            if scale * away * away < best * 0.999999 * nr * (n - nr):
                continue
            g = 2.0 * (parent - (_surprise(cr, nr) + _surprise(c - cr, n - nr)))
            if g > best or (g == best and column == candidate):
                best = g
                column = candidate
                edge = bin_index
                right_rows = n_right
                right_positives = c_right
    return column, edge, right_rows, right_positives
