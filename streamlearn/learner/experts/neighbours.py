"""Nearest neighbours: two votes of the rows most like the instance among the last 4,000, by cosine.

The similarity s of an instance and a row is the dot product of their weighted, unit-norm values, clipped to [0, 1]. An
entry is weighted by how rare its column is and by (.1 + sum over labels of w^2)^(1/4), w the slow linear expert's
weights when the row came: columns that tell labels apart count more.
Neighbours are the 50 rows with the largest s above 0, of equal ones the most recent. With b the label's slow rate and
y the neighbours' truths,

    p = (sum of w y + kappa b) / (sum of w + kappa),  kappa = mean of w + 1e-6,  clipped to [.0005, .9995],

both sums over the neighbours that know the label, nearest first, and the mean over as many rows as a vote may have,
those that are not like the instance at all counting as 0. The wide vote takes all 50 with
w = s^5 / (1.02 - s), the close one the first 10 with w = s^2 / (2 - s). A label that no neighbour knows gets its rate.

Source: distance-weighted k nearest neighbours (Dudani, *The Distance-Weighted k-Nearest-Neighbor Rule*, IEEE
Transactions on Systems, Man, and Cybernetics 6(4), 1976); the weights, and the rate as the prior of one mean neighbour,
are our own. Columns weighted by a linear model: Wettschereck, Aha and Mohri, *A Review and Empirical Evaluation of
Feature Weighting Methods for a Class of Lazy Learning Algorithms* (Artificial Intelligence Review 11, 1997).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.arithmetic.compile import kernel
from streamlearn.arithmetic.exp_log import log32
from streamlearn.errors import SnapshotError
from streamlearn.learner.experts.neighbour_index import (
    CHUNK,
    COLUMN_FIELDS,
    LEAST_SLOTS,
    SLOTS,
    SPREAD_ROOM,
    chunks_at_most,
    grown_index,
    index_products,
)
from streamlearn.learner.experts.neighbour_window import (
    CODE,
    COMPLETE,
    ENTRIES,
    FIRST_ENTRY,
    FIRST_KNOWN,
    KNOWN,
    LEARNT_ROW,
    OLDEST,
    POSITIVES,
    ROW_ENTRIES,
    ROW_FIELDS,
    ROW_KNOWN,
    ROWS,
    WINDOW,
    NeighboursState,
    empty_window,
    window_index_rows,
    window_push,
    window_retire,
)
from streamlearn.state.growth import capacity

NEIGHBOURS = 50
CLOSE_NEIGHBOURS = 10
WIDE, CLOSE = 0, 1
LEAST = np.float32(0.0005)
LARGEST = np.float32(0.9995)
LEAST_KAPPA = 1e-6
LEAST_RELEVANCE = np.float32(0.1)
GROUPS = 128
RANKED = 160
"""Candidates at most whose order is found by comparing all pairs, which is quicker while they are few."""

ROUNDS = -(-WINDOW // GROUPS)
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
    similarity
        float32[NEIGHBOURS].
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
    similarity: np.ndarray
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

    A number is the bits of the similarity times 4,096, plus 4,095 less the row's age. The slots fall into GROUPS
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
        candidates[place] = (np.int64(bits[slot // GROUPS, slot % GROUPS]) << 12) + (4095 - age)
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

    ``weight`` float32[columns, labels] are a linear model's; int32 ``columns`` and float32 ``idf`` the instance.
    """
    squares = 0.0
    whole = labels // 4 * 4
    for entry in range(columns.size):
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
        value = idf[entry] * np.sqrt(np.sqrt(LEAST_RELEVANCE + ((a + b) + (c + d))))
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
        s = np.int32(number >> 12).view(np.float32)
        scratch.row[n] = (newest - (4095 - (number & 4095))) % WINDOW
        scratch.similarity[n] = s
        square = s * s
        scratch.weight[WIDE, n] = square * square * s / (_POLE - s)
        scratch.weight[CLOSE, n] = square / (_TWO - s)


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


@kernel
def neighbours_learn_row(
    state: NeighboursState,
    columns: np.ndarray,
    idf: np.ndarray,
    truth: np.ndarray,
    members: np.ndarray,
    complete: bool,
    labels: int,
) -> None:
    """Let a row enter the window, as `window_push` says."""
    window_push(state, columns, idf, truth, members, complete, labels)


class Neighbours:
    """Owns the window of rows and its index."""

    def __init__(self) -> None:
        self.state = empty_window()
        self.scratch = self._scratch(0)

    @staticmethod
    def _scratch(labels: int) -> NeighboursScratch:
        return NeighboursScratch(
            np.zeros(2, np.int64),
            np.zeros(NEIGHBOURS, np.int64),
            np.zeros(NEIGHBOURS, np.float32),
            np.zeros((2, NEIGHBOURS), np.float32),
            np.zeros((4, labels), np.float32),
            np.zeros(ROUNDS * GROUPS, np.float32),
            np.zeros(GROUPS, np.int32),
            np.zeros(ROUNDS * GROUPS + 1, np.int64),
            np.zeros(NEIGHBOURS, np.int64),
        )

    def grow(self, features: int, labels: int) -> None:
        """Make room for ``features`` columns and ``labels`` labels; both owners' tuples are new if it takes more."""
        self.state = self.state._replace(inverted=grown_index(self.state.inverted, features, ENTRIES))
        if labels > self.scratch.votes.shape[1]:
            self.scratch = self._scratch(capacity(labels, self.scratch.votes.shape[1]))

    def retire(self, label: int) -> None:
        """Take a label out of every row, so that none votes for the slot's next label."""
        window_retire(self.state, label, np.zeros(max(self.scratch.votes.shape[1], 1), np.int32))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the rows, oldest first, by name."""
        state = self.state
        oldest, rows, entries, known = (int(number) for number in state.cursor)
        order = (oldest + np.arange(rows)) % WINDOW
        fields = state.rows[order]
        first_entry = int(fields[0, FIRST_ENTRY]) if rows else 0
        first_known = int(fields[0, FIRST_KNOWN]) if rows else 0
        entry_order = (first_entry + np.arange(entries)) % ENTRIES
        return {
            "rows": fields[:, [ROW_ENTRIES, ROW_KNOWN, POSITIVES, COMPLETE, CODE]],
            "learnt_rows": fields[:, LEARNT_ROW],
            "columns": state.entry_columns[entry_order],
            "values": state.entry_values[entry_order],
            "known": state.known[(first_known + np.arange(known)) % KNOWN],
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray], features: int, labels: int) -> None:
        """Take the rows over and index them; raises `SnapshotError` when they do not fit."""
        self.grow(features, labels)
        fields = arrays["rows"]
        rows = fields.shape[0]
        entries, known = arrays["columns"].size, arrays["known"].size
        ends = np.cumsum(fields[:, :2], axis=0) if rows else np.zeros((1, 2), np.int64)
        if (
            fields.shape != (rows, 5)
            or rows > WINDOW
            or entries > ENTRIES
            or known > KNOWN
            or (int(ends[-1, 0]), int(ends[-1, 1])) != (entries, known)
            or arrays["values"].shape != (entries,)
            or (entries and not 0 <= int(arrays["columns"].min()) <= int(arrays["columns"].max()) < features)
            or (known and not 0 <= int(arrays["known"].min()) <= int(arrays["known"].max()) < labels)
        ):
            raise SnapshotError(
                f"the neighbours' window of the snapshot has {rows} rows, {entries} entries and {known} known labels "
                f"that do not belong together, or to {features} columns and {labels} labels"
            )
        state = self.state
        state.rows[:rows, [ROW_ENTRIES, ROW_KNOWN, POSITIVES, COMPLETE, CODE]] = fields
        # Snapshots without the numbers have no row that a correction could amend.
        state.rows[:rows, LEARNT_ROW] = arrays.get("learnt_rows", -1)
        state.rows[:rows, FIRST_ENTRY] = ends[:rows, 0] - fields[:, 0]
        state.rows[:rows, FIRST_KNOWN] = ends[:rows, 1] - fields[:, 1]
        state.entry_columns[:entries] = arrays["columns"]
        state.entry_values[:entries] = arrays["values"]
        state.known[:known] = arrays["known"]
        state.cursor[:] = (0, rows, entries, known)
        slots = LEAST_SLOTS
        while slots < rows:
            slots = min(2 * slots, WINDOW)
        window_index_rows(state, slots)

    @staticmethod
    def bytes_bound(features: int, labels: int) -> int:
        """Return the largest size in bytes with that many columns and labels: window, index and scratch."""
        window = 8 * WINDOW * ROW_FIELDS + 8 * ENTRIES + 4 * KNOWN
        index = 4 * features * COLUMN_FIELDS + (6 * CHUNK + 4) * chunks_at_most(features, ENTRIES)
        return window + index + 4 * SPREAD_ROOM + 16 * labels + 12 * (ROUNDS + 1) * GROUPS + 32 * NEIGHBOURS
