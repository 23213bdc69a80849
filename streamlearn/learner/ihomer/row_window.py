"""The last rows with their label sets, kept once for all leaves: a leaf's window holds numbers of rows.

Three rings: what a row is, its entries one row after the other, and its labels likewise. When one of them is full the
oldest rows leave.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel

ROWS = 1024
"""Rows kept, a power of two."""

ENTRIES = 2**18
"""Entries kept over all rows, a power of two."""

MEMBERS = 2**16
"""Labels kept over all rows, a power of two."""

FIRST, NEXT, FIRST_ENTRY, NEXT_ENTRY, FIRST_MEMBER, NEXT_MEMBER, CURSORS = range(7)
"""Places in ``cursor``: the oldest row and the next one to come, by their numbers since the start; the same of entries
and of labels, whose places are these numbers modulo the ring's size; and their number."""

START, COUNT, MEMBER_START, MEMBER_COUNT, ROW_FIELDS = range(5)

_ONE = np.float32(1.0)
_TWO = np.float32(2.0)
_ZERO = np.float32(0.0)


class RowsState(NamedTuple):
    """``row`` int64[ROWS, ROW_FIELDS]; ``square`` float32[ROWS], a row's squared norm; ``columns`` int32, ``values``
    float32 and ``bins`` uint8 [ENTRIES]; ``members`` int32[MEMBERS], -1 for a label that is no more; ``cursor``
    int64[CURSORS].
    """

    row: np.ndarray
    square: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    bins: np.ndarray
    members: np.ndarray
    cursor: np.ndarray


def empty_rows() -> RowsState:
    """Return rings without rows."""
    return RowsState(
        np.zeros((ROWS, ROW_FIELDS), np.int64),
        np.zeros(ROWS, np.float32),
        np.zeros(ENTRIES, np.int32),
        np.zeros(ENTRIES, np.float32),
        np.zeros(ENTRIES, np.uint8),
        np.zeros(MEMBERS, np.int32),
        np.zeros(CURSORS, np.int64),
    )


@kernel
def rows_push(
    state: RowsState, columns: np.ndarray, values: np.ndarray, bins: np.ndarray, members: np.ndarray
) -> np.int64:
    """Append a row and return its number, or -1 when it alone has more entries or labels than a ring holds.

    ``columns`` int32, ``values`` float32 and ``bins`` uint8 are its entries, ``members`` int32 its labels, ascending.
    """
    cursor = state.cursor
    if columns.size > ENTRIES or members.size > MEMBERS:
        return np.int64(-1)
    while (
        cursor[NEXT] - cursor[FIRST] == ROWS
        or cursor[NEXT_ENTRY] - cursor[FIRST_ENTRY] + columns.size > ENTRIES
        or cursor[NEXT_MEMBER] - cursor[FIRST_MEMBER] + members.size > MEMBERS
    ):
        oldest = cursor[FIRST] % ROWS
        cursor[FIRST_ENTRY] += state.row[oldest, COUNT]
        cursor[FIRST_MEMBER] += state.row[oldest, MEMBER_COUNT]
        cursor[FIRST] += 1
    number = cursor[NEXT]
    place = number % ROWS
    state.row[place, START] = cursor[NEXT_ENTRY]
    state.row[place, COUNT] = columns.size
    state.row[place, MEMBER_START] = cursor[NEXT_MEMBER]
    state.row[place, MEMBER_COUNT] = members.size
    square = _ZERO
    for entry in range(columns.size):
        at = (cursor[NEXT_ENTRY] + entry) % ENTRIES
        state.columns[at] = columns[entry]
        state.values[at] = values[entry]
        state.bins[at] = bins[entry]
        square += values[entry] * values[entry]
    for member in range(members.size):
        state.members[(cursor[NEXT_MEMBER] + member) % MEMBERS] = members[member]
    state.square[place] = square
    cursor[NEXT_ENTRY] += columns.size
    cursor[NEXT_MEMBER] += members.size
    cursor[NEXT] += 1
    return number


@kernel
def rows_distance(state: RowsState, number: int | np.int64, dense: np.ndarray, square: np.float32) -> np.float32:
    """Return the Euclidean distance of a kept row from the instance ``dense`` float32[columns] of that square."""
    place = number % ROWS
    start = state.row[place, START]
    dot = _ZERO
    for entry in range(state.row[place, COUNT]):
        at = (start + entry) % ENTRIES
        dot += dense[state.columns[at]] * state.values[at]
    return np.sqrt(max(square + state.square[place] - _TWO * dot, _ZERO))


@kernel
def rows_bin(state: RowsState, number: int | np.int64, column: int | np.int64) -> int:
    """Return the bin of a kept row in a column, 0 without an entry."""
    place = number % ROWS
    start = state.row[place, START]
    for entry in range(state.row[place, COUNT]):
        at = (start + entry) % ENTRIES
        if state.columns[at] == column:
            return int(state.bins[at])
    return 0


@kernel
def rows_same_set(
    state: RowsState, one: int | np.int64, other: int | np.int64, cluster_of: np.ndarray, cluster: int | np.int64
) -> bool:
    """Return whether two kept rows have the same labels of a cluster."""
    a, b = one % ROWS, other % ROWS
    first, second = state.row[a, MEMBER_START], state.row[b, MEMBER_START]
    last, end = first + state.row[a, MEMBER_COUNT], second + state.row[b, MEMBER_COUNT]
    while True:
        while first < last and not _counts(state.members[first % MEMBERS], cluster_of, cluster):
            first += 1
        while second < end and not _counts(state.members[second % MEMBERS], cluster_of, cluster):
            second += 1
        if first == last or second == end:
            return bool(first == last and second == end)
        if state.members[first % MEMBERS] != state.members[second % MEMBERS]:
            return False
        first += 1
        second += 1


@kernel
def _counts(label: int | np.ndarray, cluster_of: np.ndarray, cluster: int | np.int64) -> bool:
    return bool(label >= 0 and cluster_of[label] == cluster)


def rows_retire(state: RowsState, label: int) -> None:
    """Take a label out of all kept rows."""
    state.members[state.members == label] = -1
