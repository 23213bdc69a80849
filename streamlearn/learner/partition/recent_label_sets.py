"""The last label sets, kept in order, from which a tree's statistics are refilled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.kernels.compiler import kernel

MAXIMUM_ROWS = 2_500
"""Label sets kept: 2,000 to refill from and a test period of 500."""

MAXIMUM_MEMBERS = 64 * MAXIMUM_ROWS
"""Labels kept over all sets; when wide sets fill it, the oldest sets leave earlier."""

FIRST_ROW, ROWS, FIRST_MEMBER, MEMBERS = 0, 1, 2, 3


class RecentLabelSetsState(NamedTuple):
    """Two rings: the lengths of the sets, and their labels one set after the other.

    Attributes
    ----------
    lengths
        int32[MAXIMUM_ROWS].
    members
        int32[MAXIMUM_MEMBERS], label slots.
    cursor
        int64[4]: place of the oldest set's length, sets held, place of its first label, labels held.
    """

    lengths: np.ndarray
    members: np.ndarray
    cursor: np.ndarray


def empty_recent_sets() -> RecentLabelSetsState:
    """Return rings without sets."""
    return RecentLabelSetsState(
        np.zeros(MAXIMUM_ROWS, np.int32), np.zeros(MAXIMUM_MEMBERS, np.int32), np.zeros(4, np.int64)
    )


@kernel
def recent_sets_push(state: RecentLabelSetsState, members: np.ndarray) -> None:
    """Append a label set (int32[k], k at most MAXIMUM_MEMBERS); the oldest leave until it fits."""
    cursor = state.cursor
    k = len(members)
    while cursor[ROWS] == MAXIMUM_ROWS or cursor[MEMBERS] + k > MAXIMUM_MEMBERS:
        oldest = state.lengths[cursor[FIRST_ROW]]
        cursor[FIRST_ROW] = (cursor[FIRST_ROW] + 1) % MAXIMUM_ROWS
        cursor[ROWS] -= 1
        cursor[FIRST_MEMBER] = (cursor[FIRST_MEMBER] + oldest) % MAXIMUM_MEMBERS
        cursor[MEMBERS] -= oldest
    place = cursor[FIRST_MEMBER] + cursor[MEMBERS]
    for i in range(k):
        state.members[(place + i) % MAXIMUM_MEMBERS] = members[i]
    state.lengths[(cursor[FIRST_ROW] + cursor[ROWS]) % MAXIMUM_ROWS] = k
    cursor[ROWS] += 1
    cursor[MEMBERS] += k


@kernel
def recent_sets_rows(state: RecentLabelSetsState, offsets: np.ndarray, members: np.ndarray) -> None:
    """Write the sets, oldest first: set i is ``members[offsets[i]:offsets[i + 1]]``.

    Parameters
    ----------
    state
        The rings.
    offsets
        int64[sets held + 1], filled.
    members
        int32[labels held], filled.
    """
    cursor = state.cursor
    offsets[0] = 0
    for i in range(cursor[ROWS]):
        offsets[i + 1] = offsets[i] + state.lengths[(cursor[FIRST_ROW] + i) % MAXIMUM_ROWS]
    for i in range(cursor[MEMBERS]):
        members[i] = state.members[(cursor[FIRST_MEMBER] + i) % MAXIMUM_MEMBERS]


@kernel
def recent_sets_retire(state: RecentLabelSetsState, slot: int) -> None:
    """Take a retired label out of every set, so that the slot's next label does not inherit it."""
    cursor = state.cursor
    read = cursor[FIRST_MEMBER]
    write = read
    for i in range(cursor[ROWS]):
        row = (cursor[FIRST_ROW] + i) % MAXIMUM_ROWS
        for _ in range(state.lengths[row]):
            member = state.members[read % MAXIMUM_MEMBERS]
            read += 1
            if member == slot:
                state.lengths[row] -= 1
            else:
                state.members[write % MAXIMUM_MEMBERS] = member
                write += 1
    cursor[MEMBERS] = write - cursor[FIRST_MEMBER]


def linear_recent_sets(state: RecentLabelSetsState) -> tuple[np.ndarray, np.ndarray]:
    """Return the sets, oldest first, as offsets (int64[sets + 1]) and labels (int32)."""
    offsets = np.zeros(int(state.cursor[ROWS]) + 1, np.int64)
    members = np.zeros(int(state.cursor[MEMBERS]), np.int32)
    recent_sets_rows(state, offsets, members)
    return offsets, members
