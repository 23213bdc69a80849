"""The rows of the window that are most like an instance, and what each of them weighs in a vote.

`experts.neighbours` says what like means.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.experts.neighbour_index import SLOTS, index_products
from streamlearn.learner.experts.neighbour_window import OLDEST, ROWS, WINDOW, NeighboursState

NEIGHBOURS = 50
CLOSE_NEIGHBOURS = 10
WIDE, CLOSE = 0, 1
LEAST_RELEVANCE = np.float32(0.1)
GROUPS = 128
RANKED = 160
"""Candidates at most whose order is found by comparing all pairs, which is quicker while they are few."""

ROUNDS = -(-WINDOW // GROUPS)
AGE_BITS = (WINDOW - 1).bit_length()
"""Bits of a sort key that hold a row's age, which is 0 for the newest row and at most WINDOW - 1. The bits of a
similarity, at most `_ONE_BITS`, have to fit into an int64 beside them."""

OLDEST_AGE = (1 << AGE_BITS) - 1
"""Largest age that fits into AGE_BITS, and the mask of these bits."""

_ONE_BITS = np.int32(0x3F800000)
_ZERO_BITS = np.int32(0)
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_TWO = np.float32(2.0)
_POLE = np.float32(1.02)


class NeighboursScratch(NamedTuple):
    """What one search found; never state.

    Attributes
    ----------
    found
        int64[2]: neighbours found, rows in the window.
    row
        int64[NEIGHBOURS], the neighbours' places in ``NeighboursState.rows``, nearest first.
    weight
        float32[2, NEIGHBOURS], of the wide and of the close vote.
    votes
        float32[4, labels]: the weights of neighbours that have the label, wide and close, and of those that know it.
    scores
        float32[ROUNDS * GROUPS], the similarity of each slot.
    peaks
        int32[GROUPS], the bits of the largest similarity in each group of slots.
    candidates
        int64[ROUNDS * GROUPS + 1], slots and then numbers of the rows that may be neighbours.
    order
        int64[NEIGHBOURS], similarity and recency in one number, descending.
    """

    found: np.ndarray
    row: np.ndarray
    weight: np.ndarray
    votes: np.ndarray
    scores: np.ndarray
    peaks: np.ndarray
    candidates: np.ndarray
    order: np.ndarray


@kernel
def _lower_bound(peaks: np.ndarray) -> np.int32:
    """Return a positive number of bits that at least NEIGHBOURS groups reach, as large as possible; 1 without one."""
    low = np.int32(1)
    high = np.int32(_ONE_BITS + np.int32(1))
    while high - low > 1:
        middle = np.int32(low + np.int32((high - low) >> np.int32(1)))
        count = 0
        for group in range(peaks.size):
            count += 1 if peaks[group] >= middle else 0
        if count >= NEIGHBOURS:
            low = middle
            if count == NEIGHBOURS:
                break
        else:
            high = middle
    return low


@kernel
def _rank(numbers: np.ndarray, order: np.ndarray) -> None:
    """Write the largest different numbers to ``order``, descending, each to the place that its comparisons tell."""
    for place in range(numbers.size):
        number = numbers[place]
        rank = 0
        for other in range(numbers.size):
            rank += 1 if numbers[other] > number else 0
        if rank < NEIGHBOURS:
            order[rank] = number


@kernel
def _insert(numbers: np.ndarray, order: np.ndarray) -> None:
    """Write the largest NEIGHBOURS of at least as many numbers to ``order``, descending, one after the other."""
    for place in range(numbers.size):
        number = numbers[place]
        rank = min(place, NEIGHBOURS)
        if rank == NEIGHBOURS and number <= order[NEIGHBOURS - 1]:
            continue
        rank = min(rank, NEIGHBOURS - 1)
        while rank > 0 and order[rank - 1] < number:
            order[rank] = order[rank - 1]
            rank -= 1
        order[rank] = number


@kernel
def _select(scratch: NeighboursScratch, slots: int, newest: int) -> int:
    """Put similarity and recency of the nearest rows into ``scratch.order``; return their number.

    A number is the bits of the similarity, shifted by AGE_BITS, plus OLDEST_AGE less the row's age. The slots fall into GROUPS
    groups by their remainder. What 50 groups reach is a lower bound of what the 50th row has, so that few rows are left
    to be sorted.
    """
    scores = scratch.scores
    peaks = scratch.peaks
    rounds = (slots + GROUPS - 1) // GROUPS
    for slot in range(slots):
        scores[slot] = min(max(scores[slot], _ZERO), _ONE)
    for slot in range(slots, rounds * GROUPS):
        scores[slot] = _ZERO
    bits = scores.view(np.int32).reshape(ROUNDS, GROUPS)
    for group in range(GROUPS):
        peaks[group] = _ZERO_BITS
    for turn in range(rounds):
        for group in range(GROUPS):
            peaks[group] = max(peaks[group], bits[turn, group])
    bound = _lower_bound(peaks)
    candidates = scratch.candidates
    size = 0
    for group in range(GROUPS):
        if peaks[group] >= bound:
            for turn in range(rounds):
                candidates[size] = turn * GROUPS + group
                size += 1 if bits[turn, group] >= bound else 0
    for place in range(size):
        slot = candidates[place]
        age = newest - slot + (slots if slot > newest else 0)
        candidates[place] = (np.int64(bits[slot // GROUPS, slot % GROUPS]) << AGE_BITS) + (OLDEST_AGE - age)
    if size <= RANKED:
        _rank(candidates[:size], scratch.order)
    else:
        _insert(candidates[:size], scratch.order)
    return min(size, NEIGHBOURS)


@kernel
def neighbours_weigh_row(
    weight: np.ndarray, columns: np.ndarray, idf: np.ndarray, labels: int, out: np.ndarray
) -> None:
    """Write an instance weighted by its columns' relevance, unit norm, to ``out`` float32[entries].

    ``weight`` float32[columns, labels] are a linear model's, none with 0 ``labels``; int32 ``columns`` and float32
    ``idf`` the instance.
    """
    squares = 0.0
    whole = labels // 4 * 4
    for entry in range(columns.size):
        relevance = _ZERO
        if labels > 0:
            row = weight[columns[entry]]
            a = _ZERO
            b = _ZERO
            c = _ZERO
            d = _ZERO
            for label in range(0, whole, 4):
                a += row[label] * row[label]
                b += row[label + 1] * row[label + 1]
                c += row[label + 2] * row[label + 2]
                d += row[label + 3] * row[label + 3]
            for label in range(whole, labels):
                a += row[label] * row[label]
            relevance = (a + b) + (c + d)
        value = idf[entry] * np.sqrt(np.sqrt(LEAST_RELEVANCE + relevance))
        out[entry] = value
        squares += np.float64(value) * np.float64(value)
    if squares > 0.0:
        factor = np.float32(1.0 / np.sqrt(squares))
        for entry in range(columns.size):
            out[entry] *= factor


@kernel
def neighbours_search_row(
    state: NeighboursState, scratch: NeighboursScratch, columns: np.ndarray, idf: np.ndarray
) -> None:
    """Find the rows most like an instance, int32 ``columns`` and float32 ``idf``; fill ``scratch`` but the votes."""
    rows = state.cursor[ROWS]
    scratch.found[1] = rows
    scratch.found[0] = 0
    if rows == 0:
        return
    slots = state.inverted.cursor[SLOTS]
    newest = state.cursor[OLDEST] + rows - 1
    index_products(state.inverted, columns, idf, state.cursor[OLDEST] % slots, rows, scratch.scores)
    found = _select(scratch, slots, newest % slots)
    scratch.found[0] = found
    for n in range(found):
        number = scratch.order[n]
        s = np.int32(number >> AGE_BITS).view(np.float32)
        scratch.row[n] = (newest - (OLDEST_AGE - (number & OLDEST_AGE))) % WINDOW
        square = s * s
        scratch.weight[WIDE, n] = square * square * s / (_POLE - s)
        scratch.weight[CLOSE, n] = square / (_TWO - s)
