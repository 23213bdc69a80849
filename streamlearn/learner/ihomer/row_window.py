"""The last rows with their label sets, stored once for all leaves: a leaf's window holds row numbers.

Three rings: one record per row, the entries of all rows, and the labels of all rows. When one of them is full the
oldest rows are dropped.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel

ROW_CAPACITY = 1024
"""Rows kept, a power of two."""

ENTRY_CAPACITY = 2**18
"""Entries kept over all rows, a power of two."""

MEMBER_CAPACITY = 2**16
"""Labels kept over all rows, a power of two."""


class Cursor(IntEnum):
    """Fields of `RowWindowState.cursor`: numbers since the start of the stream.

    An item's index in its ring is its number modulo the ring's size.
    """

    FIRST = 0  # the oldest row that is kept
    NEXT = 1  # the next row to come
    FIRST_ENTRY = 2  # the oldest entry that is kept
    NEXT_ENTRY = 3  # the next entry to come
    FIRST_MEMBER = 4  # the oldest label that is kept
    NEXT_MEMBER = 5  # the next label to come


class Row(IntEnum):
    """Fields of a row of `RowWindowState.row`."""

    ENTRY_START = 0  # number of its first entry
    ENTRY_COUNT = 1
    MEMBER_START = 2  # number of its first label
    MEMBER_COUNT = 3


CURSOR_FIELDS = len(Cursor)
ROW_FIELDS = len(Row)

_TWO = np.float32(2.0)
_ZERO = np.float32(0.0)


class RowWindowState(NamedTuple):
    """Three rings and their cursors.

    Attributes
    ----------
    row
        int64[ROW_CAPACITY, ROW_FIELDS].
    square
        float32[ROW_CAPACITY], a row's squared norm.
    columns, values, bins
        int32, float32 and uint8 [ENTRY_CAPACITY].
    members
        int32[MEMBER_CAPACITY], labels; -1 for one that was removed.
    cursor
        int64[CURSOR_FIELDS].
    """

    row: np.ndarray
    square: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    bins: np.ndarray
    members: np.ndarray
    cursor: np.ndarray


def empty_row_window() -> RowWindowState:
    """Return rings without rows."""
    return RowWindowState(
        row=np.zeros((ROW_CAPACITY, ROW_FIELDS), np.int64),
        square=np.zeros(ROW_CAPACITY, np.float32),
        columns=np.zeros(ENTRY_CAPACITY, np.int32),
        values=np.zeros(ENTRY_CAPACITY, np.float32),
        bins=np.zeros(ENTRY_CAPACITY, np.uint8),
        members=np.zeros(MEMBER_CAPACITY, np.int32),
        cursor=np.zeros(CURSOR_FIELDS, np.int64),
    )


@kernel
def push_row(
    state: RowWindowState, columns: np.ndarray, values: np.ndarray, bins: np.ndarray, members: np.ndarray
) -> np.int64:
    """Append a row and return its number, or -1 when it alone has more entries or labels than a ring holds.

    ``columns`` int32, ``values`` float32 and ``bins`` uint8 are its entries, ``members`` int32 its labels, ascending.
    """
    cursor = state.cursor
    if columns.size > ENTRY_CAPACITY or members.size > MEMBER_CAPACITY:
        return np.int64(-1)
    while (
        cursor[Cursor.NEXT] - cursor[Cursor.FIRST] == ROW_CAPACITY
        or cursor[Cursor.NEXT_ENTRY] - cursor[Cursor.FIRST_ENTRY] + columns.size > ENTRY_CAPACITY
        or cursor[Cursor.NEXT_MEMBER] - cursor[Cursor.FIRST_MEMBER] + members.size > MEMBER_CAPACITY
    ):
        oldest = cursor[Cursor.FIRST] % ROW_CAPACITY
        cursor[Cursor.FIRST_ENTRY] += state.row[oldest, Row.ENTRY_COUNT]
        cursor[Cursor.FIRST_MEMBER] += state.row[oldest, Row.MEMBER_COUNT]
        cursor[Cursor.FIRST] += 1
    number = cursor[Cursor.NEXT]
    index = number % ROW_CAPACITY
    state.row[index, Row.ENTRY_START] = cursor[Cursor.NEXT_ENTRY]
    state.row[index, Row.ENTRY_COUNT] = columns.size
    state.row[index, Row.MEMBER_START] = cursor[Cursor.NEXT_MEMBER]
    state.row[index, Row.MEMBER_COUNT] = members.size
    square = _ZERO
    for entry in range(columns.size):
        entry_index = (cursor[Cursor.NEXT_ENTRY] + entry) % ENTRY_CAPACITY
        state.columns[entry_index] = columns[entry]
        state.values[entry_index] = values[entry]
        state.bins[entry_index] = bins[entry]
        square += values[entry] * values[entry]
    for member in range(members.size):
        state.members[(cursor[Cursor.NEXT_MEMBER] + member) % MEMBER_CAPACITY] = members[member]
    state.square[index] = square
    cursor[Cursor.NEXT_ENTRY] += columns.size
    cursor[Cursor.NEXT_MEMBER] += members.size
    cursor[Cursor.NEXT] += 1
    return number


@kernel
def distance_to_row(state: RowWindowState, number: int | np.int64, dense: np.ndarray, square: np.float32) -> np.float32:
    """Return the Euclidean distance between a kept row and an instance.

    ``dense`` float32[columns] is the instance, ``square`` its squared norm.
    """
    index = number % ROW_CAPACITY
    start = state.row[index, Row.ENTRY_START]
    dot = _ZERO
    for entry in range(state.row[index, Row.ENTRY_COUNT]):
        entry_index = (start + entry) % ENTRY_CAPACITY
        dot += dense[state.columns[entry_index]] * state.values[entry_index]
    return np.sqrt(max(square + state.square[index] - _TWO * dot, _ZERO))


@kernel
def bin_of_row(state: RowWindowState, number: int | np.int64, column: int | np.int64) -> int:
    """Return the bin of a kept row in a column, 0 without an entry."""
    index = number % ROW_CAPACITY
    start = state.row[index, Row.ENTRY_START]
    for entry in range(state.row[index, Row.ENTRY_COUNT]):
        entry_index = (start + entry) % ENTRY_CAPACITY
        if state.columns[entry_index] == column:
            return int(state.bins[entry_index])
    return 0


@kernel
def have_same_labels(
    state: RowWindowState, one: int | np.int64, other: int | np.int64, cluster_of: np.ndarray, cluster: int | np.int64
) -> bool:
    """Return whether two kept rows have the same labels of a cluster."""
    a, b = one % ROW_CAPACITY, other % ROW_CAPACITY
    first, second = state.row[a, Row.MEMBER_START], state.row[b, Row.MEMBER_START]
    first_end, second_end = first + state.row[a, Row.MEMBER_COUNT], second + state.row[b, Row.MEMBER_COUNT]
    while True:
        while first < first_end and not _is_in(state.members[first % MEMBER_CAPACITY], cluster_of, cluster):
            first += 1
        while second < second_end and not _is_in(state.members[second % MEMBER_CAPACITY], cluster_of, cluster):
            second += 1
        if first == first_end or second == second_end:
            return bool(first == first_end and second == second_end)
        if state.members[first % MEMBER_CAPACITY] != state.members[second % MEMBER_CAPACITY]:
            return False
        first += 1
        second += 1


@kernel
def _is_in(label: int | np.ndarray, cluster_of: np.ndarray, cluster: int | np.int64) -> bool:
    return bool(label >= 0 and cluster_of[label] == cluster)


def remove_label(state: RowWindowState, label: int) -> None:
    """Remove a label from all kept rows."""
    state.members[state.members == label] = -1
