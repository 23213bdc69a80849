"""The most recent label sets in arrival order: a tree's statistics are refilled from them."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel

MAXIMUM_ROWS = 2_500
"""Most label sets kept: 2,000 to refill from and a test period of 500."""

MAXIMUM_MEMBERS = 64 * MAXIMUM_ROWS
"""Most labels kept over all sets; large sets make the oldest ones leave earlier."""


class Cursor(IntEnum):
    """Fields of `RecentLabelSetsState.cursor`."""

    FIRST_ROW = 0  # index of the oldest set in ``lengths``
    ROWS = 1  # sets held
    FIRST_MEMBER = 2  # index of the oldest set's first label in ``members``
    MEMBERS = 3  # labels held over all sets


CURSOR_FIELDS = len(Cursor)


class RecentLabelSetsState(NamedTuple):
    """Two ring buffers: the lengths of the sets, and the labels of all sets one after the other.

    Attributes
    ----------
    lengths
        int32[MAXIMUM_ROWS].
    members
        int32[MAXIMUM_MEMBERS], label slots.
    cursor
        int64[CURSOR_FIELDS], fields `Cursor`.
    """

    lengths: np.ndarray
    members: np.ndarray
    cursor: np.ndarray


def empty_recent_sets() -> RecentLabelSetsState:
    """Return empty ring buffers."""
    return RecentLabelSetsState(
        np.zeros(MAXIMUM_ROWS, np.int32), np.zeros(MAXIMUM_MEMBERS, np.int32), np.zeros(CURSOR_FIELDS, np.int64)
    )


@kernel
def recent_sets_push(state: RecentLabelSetsState, members: np.ndarray) -> None:
    """Append a label set, int32[k] with k at most MAXIMUM_MEMBERS; remove the oldest sets until it fits."""
    cursor = state.cursor
    k = len(members)
    while cursor[Cursor.ROWS] == MAXIMUM_ROWS or cursor[Cursor.MEMBERS] + k > MAXIMUM_MEMBERS:
        oldest = state.lengths[cursor[Cursor.FIRST_ROW]]
        cursor[Cursor.FIRST_ROW] = (cursor[Cursor.FIRST_ROW] + 1) % MAXIMUM_ROWS
        cursor[Cursor.ROWS] -= 1
        cursor[Cursor.FIRST_MEMBER] = (cursor[Cursor.FIRST_MEMBER] + oldest) % MAXIMUM_MEMBERS
        cursor[Cursor.MEMBERS] -= oldest
    end = cursor[Cursor.FIRST_MEMBER] + cursor[Cursor.MEMBERS]
    for i in range(k):
        state.members[(end + i) % MAXIMUM_MEMBERS] = members[i]
    state.lengths[(cursor[Cursor.FIRST_ROW] + cursor[Cursor.ROWS]) % MAXIMUM_ROWS] = k
    cursor[Cursor.ROWS] += 1
    cursor[Cursor.MEMBERS] += k


@kernel
def recent_sets_copy(state: RecentLabelSetsState, offsets: np.ndarray, members: np.ndarray) -> None:
    """Copy the sets in order, oldest first: set i is ``members[offsets[i]:offsets[i + 1]]``.

    Parameters
    ----------
    state
        The ring buffers.
    offsets
        int64[sets held + 1], filled.
    members
        int32[labels held], filled.
    """
    cursor = state.cursor
    offsets[0] = 0
    for i in range(cursor[Cursor.ROWS]):
        offsets[i + 1] = offsets[i] + state.lengths[(cursor[Cursor.FIRST_ROW] + i) % MAXIMUM_ROWS]
    for i in range(cursor[Cursor.MEMBERS]):
        members[i] = state.members[(cursor[Cursor.FIRST_MEMBER] + i) % MAXIMUM_MEMBERS]


@kernel
def recent_sets_retire(state: RecentLabelSetsState, slot: int) -> None:
    """Remove a retired label from every set, so that the next label in its slot does not inherit it."""
    cursor = state.cursor
    read = cursor[Cursor.FIRST_MEMBER]
    write = read
    for i in range(cursor[Cursor.ROWS]):
        row = (cursor[Cursor.FIRST_ROW] + i) % MAXIMUM_ROWS
        for _ in range(state.lengths[row]):
            member = state.members[read % MAXIMUM_MEMBERS]
            read += 1
            if member == slot:
                state.lengths[row] -= 1
            else:
                state.members[write % MAXIMUM_MEMBERS] = member
                write += 1
    cursor[Cursor.MEMBERS] = write - cursor[Cursor.FIRST_MEMBER]


def linear_recent_sets(state: RecentLabelSetsState) -> tuple[np.ndarray, np.ndarray]:
    """Return the sets, oldest first, as offsets int64[sets + 1] and labels int32."""
    offsets = np.zeros(int(state.cursor[Cursor.ROWS]) + 1, np.int64)
    members = np.zeros(int(state.cursor[Cursor.MEMBERS]), np.int32)
    recent_sets_copy(state, offsets, members)
    return offsets, members
