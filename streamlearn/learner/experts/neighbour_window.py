"""The window of the rows learnt last, with what each row knows about its labels.

Rows, entries and labels lie in rings and leave oldest first, as soon as one of the three is full. An inverted index
(`neighbour_index`) over the entries goes along; it follows from the rows, and is not part of the snapshot.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel
from streamlearn.learner.experts.neighbour_index import (
    LEAST_SLOTS,
    SLOTS,
    SPREADS,
    STALE,
    IndexState,
    empty_index,
    index_append_row,
    index_clear,
    index_remove_row,
)
from streamlearn.learner.label_sets import label_set_code

WINDOW = 4_000
"""Rows kept at most."""

ENTRIES = 400_000
"""Entries that are not zero over all rows kept, at most; a single row with more is not kept."""

KNOWN = 200_000
"""Labels over all rows kept, at most: the positives of complete rows, positives and negatives of partial ones."""

STALE_AT_MOST = 4
"""The index is built anew when more than one spread column in so many became stale."""

FIRST_ENTRY, ROW_ENTRIES, FIRST_KNOWN, ROW_KNOWN, POSITIVES, COMPLETE, CODE, LEARNT_ROW = 0, 1, 2, 3, 4, 5, 6, 7
ROW_FIELDS = 8
OLDEST, ROWS, HELD_ENTRIES, HELD_KNOWN = 0, 1, 2, 3


class NeighboursState(NamedTuple):
    """The window.

    Attributes
    ----------
    rows
        int64[WINDOW, ROW_FIELDS], a ring: place of the first entry and their number; place of the first known label,
        their number, and how many of them are positives, which come first, ascending; 1 if every other label is
        negative, 0 if unknown; the `label_set_code` of the positives; the learnt row that it is, counted from 0.
    entry_columns, entry_values
        int32 and float32[ENTRIES], a ring: the rows' entries by column.
    known
        int32[KNOWN], a ring: the rows' known labels.
    cursor
        int64[4]: number of the oldest row, counted from the first row that was ever kept; rows, entries and known
        labels held. Row number n lies in ``rows[n % WINDOW]``.
    inverted
        The inverted index; row number n has slot ``n % slots``.
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
        np.zeros((WINDOW, ROW_FIELDS), np.int64),
        np.zeros(ENTRIES, np.int32),
        np.zeros(ENTRIES, np.float32),
        np.zeros(KNOWN, np.int32),
        np.zeros(4, np.int64),
        empty_index(),
    )


@kernel
def _drop_oldest(state: NeighboursState) -> None:
    cursor = state.cursor
    row = state.rows[cursor[OLDEST] % WINDOW]
    slot = cursor[OLDEST] % state.inverted.cursor[SLOTS]
    index_remove_row(state.inverted, state.entry_columns, row[FIRST_ENTRY], row[ROW_ENTRIES], slot)
    cursor[OLDEST] += 1
    cursor[ROWS] -= 1
    cursor[HELD_ENTRIES] -= row[ROW_ENTRIES]
    cursor[HELD_KNOWN] -= row[ROW_KNOWN]


@kernel
def _index_row(state: NeighboursState, number: int) -> None:
    row = state.rows[number % WINDOW]
    slot = number % state.inverted.cursor[SLOTS]
    index_append_row(state.inverted, state.entry_columns, state.entry_values, row[FIRST_ENTRY], row[ROW_ENTRIES], slot)


@kernel
def window_index_rows(state: NeighboursState, slots: int) -> None:
    """Build the index anew from the rows, with that many slots, at least as many as rows."""
    index_clear(state.inverted, slots)
    for number in range(state.cursor[OLDEST], state.cursor[OLDEST] + state.cursor[ROWS]):
        _index_row(state, number)


@kernel
def _write_truth(
    state: NeighboursState, row: np.ndarray, truth: np.ndarray, members: np.ndarray, complete: bool, labels: int
) -> None:
    """Write what a window row knows of its labels to the places that it has for them."""
    row[POSITIVES] = members.size
    row[COMPLETE] = 1 if complete else 0
    row[CODE] = label_set_code(members, 0, members.size)
    at = row[FIRST_KNOWN]
    for place in range(members.size):
        state.known[at] = members[place]
        at = at + 1 if at + 1 < KNOWN else 0
    if not complete:
        for label in range(labels):
            if truth[label] == 0:
                state.known[at] = label
                at = at + 1 if at + 1 < KNOWN else 0


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
    """Append a row; the oldest leave until it fits. A row beyond ENTRIES or KNOWN is not kept.

    Parameters
    ----------
    columns, values
        int32 and float32, the instance by column; zeros are not kept.
    truth
        int8[labels], 1, 0 or -1; read only when not ``complete``.
    members
        int32, the positives ascending.
    complete
        Whether every label that is no member is known to be negative.
    labels
        Labels as of the row.
    """
    cursor = state.cursor
    entries = 0
    for entry in range(columns.size):
        entries += 1 if values[entry] != np.float32(0.0) else 0
    known = members.size
    if not complete:
        for label in range(labels):
            known += 1 if truth[label] == 0 else 0
    if entries > ENTRIES or known > KNOWN:
        return
    while cursor[ROWS] == WINDOW or cursor[HELD_ENTRIES] + entries > ENTRIES or cursor[HELD_KNOWN] + known > KNOWN:
        _drop_oldest(state)
    number = cursor[OLDEST] + cursor[ROWS]
    row = state.rows[number % WINDOW]
    before = state.rows[(number - 1) % WINDOW]
    first = 0 if cursor[ROWS] == 0 else (before[FIRST_ENTRY] + before[ROW_ENTRIES]) % ENTRIES
    row[FIRST_ENTRY] = first
    row[ROW_ENTRIES] = entries
    at = first
    for entry in range(columns.size):
        if values[entry] != np.float32(0.0):
            state.entry_columns[at] = columns[entry]
            state.entry_values[at] = values[entry]
            at = at + 1 if at + 1 < ENTRIES else 0
    first = 0 if cursor[ROWS] == 0 else (before[FIRST_KNOWN] + before[ROW_KNOWN]) % KNOWN
    row[FIRST_KNOWN] = first
    row[ROW_KNOWN] = known
    _write_truth(state, row, truth, members, complete, labels)
    cursor[ROWS] += 1
    cursor[HELD_ENTRIES] += entries
    cursor[HELD_KNOWN] += known
    slots = state.inverted.cursor[SLOTS]
    if cursor[ROWS] > slots:
        window_index_rows(state, min(2 * slots, WINDOW))
    elif slots > LEAST_SLOTS and 4 * cursor[ROWS] <= slots:
        window_index_rows(state, max(slots // 2, LEAST_SLOTS))
    elif STALE_AT_MOST * state.inverted.cursor[STALE] > state.inverted.cursor[SPREADS]:
        window_index_rows(state, slots)
    else:
        _index_row(state, number)


@kernel
def window_retire(state: NeighboursState, label: int, members: np.ndarray) -> None:
    """Take a label out of what every row knows; ``members`` int32[at least the most positives of a row] is scratch.

    A complete row knows the slot's next label as negative, a partial one does not know it.
    """
    cursor = state.cursor
    write = np.int64(0)
    if cursor[ROWS] > 0:
        write = state.rows[cursor[OLDEST] % WINDOW, FIRST_KNOWN]
    for number in range(cursor[OLDEST], cursor[OLDEST] + cursor[ROWS]):
        row = state.rows[number % WINDOW]
        read = row[FIRST_KNOWN]
        positives = 0
        kept = 0
        row[FIRST_KNOWN] = write
        for place in range(row[ROW_KNOWN]):
            other = state.known[read]
            read = read + 1 if read + 1 < KNOWN else 0
            if other == label:
                continue
            state.known[write] = other
            write = write + 1 if write + 1 < KNOWN else 0
            kept += 1
            if place < row[POSITIVES]:
                members[positives] = other
                positives += 1
        cursor[HELD_KNOWN] -= row[ROW_KNOWN] - kept
        row[ROW_KNOWN] = kept
        row[POSITIVES] = positives
        row[CODE] = label_set_code(members, 0, positives)


@kernel
def window_number_row(state: NeighboursState, number: int, row: int) -> None:
    """Let the window row ``number``, if it was pushed, be the learnt row ``row``: that is how a correction finds it."""
    if state.cursor[OLDEST] + state.cursor[ROWS] > number:
        state.rows[number % WINDOW, LEARNT_ROW] = row


@kernel
def window_find(state: NeighboursState, row: int) -> int:
    """Return the number of the window row that is the learnt row ``row``; -1 when it left, or was never kept."""
    first = state.cursor[OLDEST]
    last = state.cursor[OLDEST] + state.cursor[ROWS]
    while first < last:
        middle = (first + last) // 2
        if state.rows[middle % WINDOW, LEARNT_ROW] < row:
            first = middle + 1
        else:
            last = middle
    if first < state.cursor[OLDEST] + state.cursor[ROWS] and state.rows[first % WINDOW, LEARNT_ROW] == row:
        return first
    return -1


@kernel
def window_amend(
    state: NeighboursState, number: int, truth: np.ndarray, members: np.ndarray, complete: bool, labels: int
) -> None:
    """Let a row know another truth, arguments as for `window_push`; the oldest rows leave if it needs their room."""
    cursor = state.cursor
    row = state.rows[number % WINDOW]
    known = members.size
    if not complete:
        for label in range(labels):
            known += 1 if truth[label] == 0 else 0
    more = known - row[ROW_KNOWN]
    while cursor[HELD_KNOWN] + more > KNOWN:
        leaves = cursor[OLDEST] == number
        _drop_oldest(state)
        if leaves:
            return
    behind = np.int64(0)
    first_behind = row[FIRST_KNOWN] + row[ROW_KNOWN]
    for later in range(number + 1, cursor[OLDEST] + cursor[ROWS]):
        behind += state.rows[later % WINDOW, ROW_KNOWN]
        state.rows[later % WINDOW, FIRST_KNOWN] = (state.rows[later % WINDOW, FIRST_KNOWN] + more) % KNOWN
    for step in range(behind):
        place = first_behind + (behind - 1 - step if more > 0 else step)
        state.known[(place + more) % KNOWN] = state.known[place % KNOWN]
    cursor[HELD_KNOWN] += more
    row[ROW_KNOWN] = known
    _write_truth(state, row, truth, members, complete, labels)
