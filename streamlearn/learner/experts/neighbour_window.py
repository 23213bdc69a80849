"""Window of the most recent rows, among which the neighbours are searched, with what each row knows of its labels.

Rows, their entries and their known labels are stored in three rings. The oldest rows leave as soon as one of the three
is full. The inverted index (`neighbour_index`) is kept up to date; it follows from the rows and is not part of the
snapshot. The whole expert is described in `neighbours`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.experts.neighbour_index import (
    LEAST_SLOTS,
    IndexCursor,
    IndexState,
    empty_index,
    index_append_row,
    index_clear,
    index_remove_row,
)
from streamlearn.learner.label_sets import label_set_code

WINDOW_ROWS = 4_000
"""Maximum number of rows."""

MAXIMUM_ENTRIES = 400_000
"""Maximum number of nonzero entries over all rows; a single row with more is not kept."""

MAXIMUM_KNOWN = 200_000
"""Maximum number of stored labels over all rows: the positives of complete rows, positives and negatives of partial
ones."""

STALE_COLUMNS = 4
"""The index is rebuilt when more than one in STALE_COLUMNS dense columns became stale."""


class WindowRow(IntEnum):
    """Fields of a row of `NeighboursState.rows`."""

    FIRST_ENTRY = 0  # index of the row's first entry
    ENTRIES = 1  # number of its entries
    FIRST_KNOWN = 2  # index of its first known label
    KNOWN = 3  # number of its known labels: first the positives, ascending, then the negatives of a partial row
    POSITIVES = 4  # number of its positives
    COMPLETE = 5  # 1: every label that is no positive is negative, 0: it is unknown unless stored
    CODE = 6  # `label_set_code` of its positives
    LEARNT_ROW = 7  # number of the row among all learnt rows, from 0, by which a correction finds it


ROW_FIELDS = len(WindowRow)


class WindowCursor(IntEnum):
    """Fields of `NeighboursState.cursor`."""

    OLDEST = 0  # number of the oldest row, counted from the first row that was ever pushed
    ROWS = 1  # rows in the window
    ENTRIES = 2  # their entries
    KNOWN = 3  # their known labels


class NeighboursState(NamedTuple):
    """The window. Row number n is ``rows[n % WINDOW_ROWS]`` and has slot ``n % slots`` of the inverted index.

    Attributes
    ----------
    rows
        int64[WINDOW_ROWS, ROW_FIELDS], a ring, by `WindowRow`.
    entry_columns, entry_values
        int32 and float32[MAXIMUM_ENTRIES], a ring: the rows' entries, each row sorted by column.
    known
        int32[MAXIMUM_KNOWN], a ring: the rows' known labels.
    cursor
        int64[4], by `WindowCursor`.
    inverted
        The inverted index.
    """

    rows: np.ndarray
    entry_columns: np.ndarray
    entry_values: np.ndarray
    known: np.ndarray
    cursor: np.ndarray
    inverted: IndexState


def empty_window() -> NeighboursState:
    """Return a window without rows."""
    return NeighboursState(
        np.zeros((WINDOW_ROWS, ROW_FIELDS), np.int64),
        np.zeros(MAXIMUM_ENTRIES, np.int32),
        np.zeros(MAXIMUM_ENTRIES, np.float32),
        np.zeros(MAXIMUM_KNOWN, np.int32),
        np.zeros(len(WindowCursor), np.int64),
        empty_index(),
    )


@kernel
def _drop_oldest(state: NeighboursState) -> None:
    cursor = state.cursor
    row = state.rows[cursor[WindowCursor.OLDEST] % WINDOW_ROWS]
    slot = cursor[WindowCursor.OLDEST] % state.inverted.cursor[IndexCursor.SLOTS]
    index_remove_row(state.inverted, state.entry_columns, row[WindowRow.FIRST_ENTRY], row[WindowRow.ENTRIES], slot)
    cursor[WindowCursor.OLDEST] += 1
    cursor[WindowCursor.ROWS] -= 1
    cursor[WindowCursor.ENTRIES] -= row[WindowRow.ENTRIES]
    cursor[WindowCursor.KNOWN] -= row[WindowRow.KNOWN]


@kernel
def _index_row(state: NeighboursState, number: int) -> None:
    row = state.rows[number % WINDOW_ROWS]
    slot = number % state.inverted.cursor[IndexCursor.SLOTS]
    first, count = row[WindowRow.FIRST_ENTRY], row[WindowRow.ENTRIES]
    index_append_row(state.inverted, state.entry_columns, state.entry_values, first, count, slot)


@kernel
def window_index_rows(state: NeighboursState, slots: int) -> None:
    """Rebuild the index from the rows, with that many slots, at least as many as rows."""
    index_clear(state.inverted, slots)
    oldest = state.cursor[WindowCursor.OLDEST]
    for number in range(oldest, oldest + state.cursor[WindowCursor.ROWS]):
        _index_row(state, number)


@kernel
def _write_truth(
    state: NeighboursState, row: np.ndarray, truth: np.ndarray, members: np.ndarray, complete: bool, labels: int
) -> None:
    """Write a row's known labels, for which ``row[WindowRow.FIRST_KNOWN]`` and ``row[WindowRow.KNOWN]`` are set."""
    row[WindowRow.POSITIVES] = members.size
    row[WindowRow.COMPLETE] = 1 if complete else 0
    row[WindowRow.CODE] = label_set_code(members, 0, members.size)
    at = row[WindowRow.FIRST_KNOWN]
    for member in range(members.size):
        state.known[at] = members[member]
        at = at + 1 if at + 1 < MAXIMUM_KNOWN else 0
    if not complete:
        for label in range(labels):
            if truth[label] == 0:
                state.known[at] = label
                at = at + 1 if at + 1 < MAXIMUM_KNOWN else 0


@kernel
def window_push(
    state: NeighboursState,
    columns: np.ndarray,
    values: np.ndarray,
    truth: np.ndarray,
    members: np.ndarray,
    complete: bool,
    labels: int,
) -> None:
    """Append a row; the oldest rows leave until it fits. A row beyond MAXIMUM_ENTRIES or MAXIMUM_KNOWN is not kept.

    Parameters
    ----------
    columns, values
        int32 and float32, the instance, sorted by column; zeros are not stored.
    truth
        int8[labels], 1, 0 or -1; read only when not ``complete``.
    members
        int32, the positives, ascending.
    complete
        Whether every label that is not a member is known to be negative.
    labels
        Number of labels when the row is learnt.
    """
    cursor = state.cursor
    entries = 0
    for entry in range(columns.size):
        entries += 1 if values[entry] != np.float32(0.0) else 0
    known = members.size
    if not complete:
        for label in range(labels):
            known += 1 if truth[label] == 0 else 0
    if entries > MAXIMUM_ENTRIES or known > MAXIMUM_KNOWN:
        return
    while (
        cursor[WindowCursor.ROWS] == WINDOW_ROWS
        or cursor[WindowCursor.ENTRIES] + entries > MAXIMUM_ENTRIES
        or cursor[WindowCursor.KNOWN] + known > MAXIMUM_KNOWN
    ):
        _drop_oldest(state)
    number = cursor[WindowCursor.OLDEST] + cursor[WindowCursor.ROWS]
    row = state.rows[number % WINDOW_ROWS]
    before = state.rows[(number - 1) % WINDOW_ROWS]
    is_first = cursor[WindowCursor.ROWS] == 0
    first = 0 if is_first else (before[WindowRow.FIRST_ENTRY] + before[WindowRow.ENTRIES]) % MAXIMUM_ENTRIES
    row[WindowRow.FIRST_ENTRY] = first
    row[WindowRow.ENTRIES] = entries
    at = first
    for entry in range(columns.size):
        if values[entry] != np.float32(0.0):
            state.entry_columns[at] = columns[entry]
            state.entry_values[at] = values[entry]
            at = at + 1 if at + 1 < MAXIMUM_ENTRIES else 0
    first = 0 if is_first else (before[WindowRow.FIRST_KNOWN] + before[WindowRow.KNOWN]) % MAXIMUM_KNOWN
    row[WindowRow.FIRST_KNOWN] = first
    row[WindowRow.KNOWN] = known
    _write_truth(state, row, truth, members, complete, labels)
    cursor[WindowCursor.ROWS] += 1
    cursor[WindowCursor.ENTRIES] += entries
    cursor[WindowCursor.KNOWN] += known
    slots = state.inverted.cursor[IndexCursor.SLOTS]
    if cursor[WindowCursor.ROWS] > slots:
        window_index_rows(state, min(2 * slots, WINDOW_ROWS))
    elif slots > LEAST_SLOTS and 4 * cursor[WindowCursor.ROWS] <= slots:
        window_index_rows(state, max(slots // 2, LEAST_SLOTS))
    elif STALE_COLUMNS * state.inverted.cursor[IndexCursor.STALE] > state.inverted.cursor[IndexCursor.DENSE_COLUMNS]:
        window_index_rows(state, slots)
    else:
        _index_row(state, number)


@kernel
def window_retire(state: NeighboursState, label: int, members: np.ndarray) -> None:
    """Remove a label from every row's known labels; ``members`` int32 is scratch for the positives of any row.

    The next label in the slot is negative for a complete row and unknown for a partial one.
    """
    cursor = state.cursor
    oldest = cursor[WindowCursor.OLDEST]
    write = np.int64(0)
    if cursor[WindowCursor.ROWS] > 0:
        write = state.rows[oldest % WINDOW_ROWS, WindowRow.FIRST_KNOWN]
    for number in range(oldest, oldest + cursor[WindowCursor.ROWS]):
        row = state.rows[number % WINDOW_ROWS]
        read = row[WindowRow.FIRST_KNOWN]
        positives = 0
        kept = 0
        row[WindowRow.FIRST_KNOWN] = write
        for known_label in range(row[WindowRow.KNOWN]):
            other = state.known[read]
            read = read + 1 if read + 1 < MAXIMUM_KNOWN else 0
            if other == label:
                continue
            state.known[write] = other
            write = write + 1 if write + 1 < MAXIMUM_KNOWN else 0
            kept += 1
            if known_label < row[WindowRow.POSITIVES]:
                members[positives] = other
                positives += 1
        cursor[WindowCursor.KNOWN] -= row[WindowRow.KNOWN] - kept
        row[WindowRow.KNOWN] = kept
        row[WindowRow.POSITIVES] = positives
        row[WindowRow.CODE] = label_set_code(members, 0, positives)


@kernel
def window_number_row(state: NeighboursState, number: int, row: int) -> None:
    """Note that the window row ``number``, if it was kept, is the learnt row ``row``, so that a correction finds it."""
    if state.cursor[WindowCursor.OLDEST] + state.cursor[WindowCursor.ROWS] > number:
        state.rows[number % WINDOW_ROWS, WindowRow.LEARNT_ROW] = row


@kernel
def window_find(state: NeighboursState, row: int) -> int:
    """Return the number of the window row that is the learnt row ``row``; -1 if it left or was never kept."""
    first = state.cursor[WindowCursor.OLDEST]
    end = first + state.cursor[WindowCursor.ROWS]
    last = end
    while first < last:
        middle = (first + last) // 2
        if state.rows[middle % WINDOW_ROWS, WindowRow.LEARNT_ROW] < row:
            first = middle + 1
        else:
            last = middle
    if first < end and state.rows[first % WINDOW_ROWS, WindowRow.LEARNT_ROW] == row:
        return first
    return -1


@kernel
def window_amend(
    state: NeighboursState, number: int, truth: np.ndarray, members: np.ndarray, complete: bool, labels: int
) -> None:
    """Replace a row's known labels; arguments as for `window_push`. The oldest rows leave if there is no room."""
    cursor = state.cursor
    row = state.rows[number % WINDOW_ROWS]
    known = members.size
    if not complete:
        for label in range(labels):
            known += 1 if truth[label] == 0 else 0
    more = known - row[WindowRow.KNOWN]
    while cursor[WindowCursor.KNOWN] + more > MAXIMUM_KNOWN:
        is_row = cursor[WindowCursor.OLDEST] == number
        _drop_oldest(state)
        if is_row:
            return
    # The known labels of all later rows move by the difference, in the order in which none overwrites another.
    moved = np.int64(0)
    first_moved = row[WindowRow.FIRST_KNOWN] + row[WindowRow.KNOWN]
    for later in range(number + 1, cursor[WindowCursor.OLDEST] + cursor[WindowCursor.ROWS]):
        moved += state.rows[later % WINDOW_ROWS, WindowRow.KNOWN]
        first = state.rows[later % WINDOW_ROWS, WindowRow.FIRST_KNOWN]
        state.rows[later % WINDOW_ROWS, WindowRow.FIRST_KNOWN] = (first + more) % MAXIMUM_KNOWN
    for step in range(moved):
        index = first_moved + (moved - 1 - step if more > 0 else step)
        state.known[(index + more) % MAXIMUM_KNOWN] = state.known[index % MAXIMUM_KNOWN]
    cursor[WindowCursor.KNOWN] += more
    row[WindowRow.KNOWN] = known
    _write_truth(state, row, truth, members, complete, labels)
