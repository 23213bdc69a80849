"""Search of the nearest neighbours: the rows of the window most similar to an instance, and their weights in a vote.

An instance is first weighted by the relevance of its columns (`neighbours_weigh_row`):

    v_j = u_j (.1 + sum over labels of w_jl^2)^(1/4), scaled to unit norm,

u the instance weighted by rarity, w the slow linear expert's weights. The window (`neighbour_window`) stores rows as
they were weighted when they were learnt. The similarity s of an instance and a row is their dot product, clipped to
[0, 1]. `neighbours_search_row` finds the 50 rows with the largest s above 0, of equal ones the most recent, and gives
each the weight s^5 / (1.02 - s) in the wide vote and s^2 / (2 - s) in the close vote. `neighbour_votes` counts the
votes. The whole expert and its sources are described in `neighbours`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.experts.neighbour_index import IndexCursor, index_products
from streamlearn.learner.experts.neighbour_window import WINDOW_ROWS, NeighboursState, WindowCursor

NEIGHBOURS = 50
CLOSE_NEIGHBOURS = 10
LEAST_RELEVANCE = np.float32(0.1)
GROUPS = 128
"""Groups of slots, by the remainder of the slot, whose largest similarities bound that of the last neighbour."""

RANKED = 160
"""Maximum number of candidates that are sorted by comparing all pairs, which is faster while they are few."""

ROUNDS = -(-WINDOW_ROWS // GROUPS)
"""Maximum number of slots of a group."""

AGE_BITS = (WINDOW_ROWS - 1).bit_length()
"""Bits of a sort key that hold a row's age, which is 0 for the newest row and at most WINDOW_ROWS - 1. The bits of a
similarity, at most `_ONE_BITS`, have to fit into an int64 beside them."""

OLDEST_AGE = (1 << AGE_BITS) - 1
"""Largest age that fits into AGE_BITS, and the mask of these bits."""

_ONE_BITS = np.int32(0x3F800000)
_ZERO_BITS = np.int32(0)
_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)
_TWO = np.float32(2.0)
_POLE = np.float32(1.02)


class Vote(IntEnum):
    """Rows of `NeighboursScratch.weight`."""

    WIDE = 0  # vote of up to NEIGHBOURS rows
    CLOSE = 1  # vote of up to CLOSE_NEIGHBOURS rows


VOTES = len(Vote)


class VoteSum(IntEnum):
    """Rows of `NeighboursScratch.votes`: sums of weights over neighbours; KNOWN is VOTES rows after POSITIVE."""

    WIDE_POSITIVE = 0  # wide vote, neighbours that have the label
    CLOSE_POSITIVE = 1  # close vote, neighbours that have the label
    WIDE_KNOWN = 2  # wide vote, neighbours that know the label
    CLOSE_KNOWN = 3  # close vote, neighbours that know the label


class Found(IntEnum):
    """Fields of `NeighboursScratch.found`."""

    NEIGHBOURS = 0  # neighbours found, at most NEIGHBOURS
    ROWS = 1  # rows in the window


class NeighboursScratch(NamedTuple):
    """What one search found; never part of the state.

    Attributes
    ----------
    found
        int64[2], by `Found`.
    row
        int64[NEIGHBOURS], the neighbours' indices into ``NeighboursState.rows``, nearest first.
    weight
        float32[VOTES, NEIGHBOURS], by `Vote`: the weight of each neighbour in each vote.
    votes
        float32[4, labels], by `VoteSum`.
    scores
        float32[ROUNDS * GROUPS], the similarity of each slot.
    peaks
        int32[GROUPS], the bits of the largest similarity in each group of slots.
    candidates
        int64[ROUNDS * GROUPS + 1], slots and then sort keys of the rows that may be neighbours.
    keys
        int64[NEIGHBOURS], the neighbours' sort keys, descending.
    """

    found: np.ndarray
    row: np.ndarray
    weight: np.ndarray
    votes: np.ndarray
    scores: np.ndarray
    peaks: np.ndarray
    candidates: np.ndarray
    keys: np.ndarray


@kernel
def _lower_bound(peaks: np.ndarray) -> np.int32:
    """Return bits of a similarity, as large as possible, that NEIGHBOURS groups reach; 1 if fewer are above 0."""
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
def _sort_by_rank(unsorted: np.ndarray, keys: np.ndarray) -> None:
    """Write the largest of some different sort keys to ``keys``, descending, each at the number of keys above it."""
    for index in range(unsorted.size):
        key = unsorted[index]
        rank = 0
        for other in range(unsorted.size):
            rank += 1 if unsorted[other] > key else 0
        if rank < NEIGHBOURS:
            keys[rank] = key


@kernel
def _sort_by_insertion(unsorted: np.ndarray, keys: np.ndarray) -> None:
    """Write the largest NEIGHBOURS of at least as many sort keys to ``keys``, descending."""
    for index in range(unsorted.size):
        key = unsorted[index]
        rank = min(index, NEIGHBOURS)
        if rank == NEIGHBOURS and key <= keys[NEIGHBOURS - 1]:
            continue
        rank = min(rank, NEIGHBOURS - 1)
        while rank > 0 and keys[rank - 1] < key:
            keys[rank] = keys[rank - 1]
            rank -= 1
        keys[rank] = key


@kernel
def _select(scratch: NeighboursScratch, slots: int, newest: int) -> int:
    """Write the sort keys of the nearest rows to ``scratch.keys``; return their number.

    A sort key is ``(bits of the similarity << AGE_BITS) + OLDEST_AGE - age``: similarities above 0 order as their bits
    do, and of equal ones the most recent row has the largest key. The slots form GROUPS groups by their remainder. A
    similarity that NEIGHBOURS groups reach is a lower bound of that of the last neighbour, so that few rows are left to
    be sorted.
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
    for candidate in range(size):
        slot = candidates[candidate]
        age = newest - slot + (slots if slot > newest else 0)
        similarity = np.int64(bits[slot // GROUPS, slot % GROUPS])
        candidates[candidate] = (similarity << AGE_BITS) + (OLDEST_AGE - age)
    if size <= RANKED:
        _sort_by_rank(candidates[:size], scratch.keys)
    else:
        _sort_by_insertion(candidates[:size], scratch.keys)
    return min(size, NEIGHBOURS)


@kernel
def neighbours_weigh_row(
    weight: np.ndarray, columns: np.ndarray, rarity_weighted: np.ndarray, labels: int, out: np.ndarray
) -> None:
    """Write an instance weighted by its columns' relevance, unit norm, to ``out`` float32[entries].

    ``weight`` float32[columns, labels] are the weights of a linear model, not read with 0 ``labels``; ``columns`` int32
    and ``rarity_weighted`` float32 are the instance's entries.
    """
    squares = 0.0
    whole = labels // 4 * 4
    for entry in range(columns.size):
        relevance = _ZERO
        if labels > 0:
            row = weight[columns[entry]]
            # 4 partial sums, so that the additions do not wait for each other.
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
        value = rarity_weighted[entry] * np.sqrt(np.sqrt(LEAST_RELEVANCE + relevance))
        out[entry] = value
        squares += np.float64(value) * np.float64(value)
    if squares > 0.0:
        factor = np.float32(1.0 / np.sqrt(squares))
        for entry in range(columns.size):
            out[entry] *= factor


@kernel
def neighbours_search_row(
    state: NeighboursState, scratch: NeighboursScratch, columns: np.ndarray, relevance_weighted: np.ndarray
) -> None:
    """Find the rows most similar to an instance; fill all of ``scratch`` but the votes.

    ``columns`` int32 and ``relevance_weighted`` float32 are the instance's entries as `neighbours_weigh_row` writes
    them.
    """
    rows = state.cursor[WindowCursor.ROWS]
    scratch.found[Found.ROWS] = rows
    scratch.found[Found.NEIGHBOURS] = 0
    if rows == 0:
        return
    slots = state.inverted.cursor[IndexCursor.SLOTS]
    oldest = state.cursor[WindowCursor.OLDEST]
    newest = oldest + rows - 1
    index_products(state.inverted, columns, relevance_weighted, oldest % slots, rows, scratch.scores)
    found = _select(scratch, slots, newest % slots)
    scratch.found[Found.NEIGHBOURS] = found
    for n in range(found):
        key = scratch.keys[n]
        s = np.int32(key >> AGE_BITS).view(np.float32)
        age = OLDEST_AGE - (key & OLDEST_AGE)
        scratch.row[n] = (newest - age) % WINDOW_ROWS
        square = s * s
        scratch.weight[Vote.WIDE, n] = square * square * s / (_POLE - s)
        scratch.weight[Vote.CLOSE, n] = square / (_TWO - s)
