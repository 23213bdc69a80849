"""Counters of the label trees: for each watched bin of a column how many rows have it, per leaf.

All counters are in one block of integers of fixed size, which consists of *planes*. A plane has one count per *slot*. A
slot is one bin (1 to 3) of one column; it is assigned when a learnt row first has that bin. Bin 0 needs no slot: its
count is what the others leave of all rows. Plane 0 counts all learnt rows and is shared by all labels; a leaf that is
watched has a plane of positives and, unless the shared one serves it, one of rows (`tree_nodes`). The first element of
a plane belongs to no slot: it is 0, or the next free plane.

The block never grows. While the planes fill less than half of it they are widened for new slots; after that no further
columns are watched. When no plane is left, a leaf that needs one is not watched, but its decayed counts go on.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from streamlearn.kernels.compiler import kernel


class Size(IntEnum):
    """Fields of ``sizes``."""

    WIDTH = 0  # length of a plane
    SLOTS = 1  # slots assigned, plus 1 for the element that belongs to none
    PLANES = 2  # planes ever used, the shared one included
    FREE = 3  # first plane of the free list, 0: none
    ROWS = 4  # rows counted in plane 0
    SPLITS = 5  # splits so far
    RESETS = 6  # resets so far


SIZE_FIELDS = len(Size)
Whole = int | np.int64
"""An argument of a kernel that is 64 bits wide, wherever it comes from: one width, one machine code."""

LEAST_PLANE_WIDTH = 64
WATCHED_BINS = 3
"""Bins of a column that have a slot: 1 to 3."""


@kernel
def take_plane(sizes: np.ndarray, block: np.ndarray) -> int:
    """Return a plane of zeros, or 0 if the block is full."""
    width = sizes[Size.WIDTH]
    plane = sizes[Size.FREE]
    if plane > 0:
        sizes[Size.FREE] = block[plane * width]
    else:
        plane = sizes[Size.PLANES]
        if (plane + 1) * width > block.size:
            return 0
        sizes[Size.PLANES] = plane + 1
    for offset in range(plane * width, (plane + 1) * width):
        block[offset] = 0
    return plane


@kernel
def give_plane(sizes: np.ndarray, block: np.ndarray, plane: Whole) -> None:
    """Return a plane to the free list; plane 0 is none."""
    if plane > 0:
        block[plane * sizes[Size.WIDTH]] = sizes[Size.FREE]
        sizes[Size.FREE] = plane


@kernel
def _widen_planes(sizes: np.ndarray, block: np.ndarray) -> bool:
    """Make every plane 1.5 times as wide, in place; return False if that would fill more than half of the block."""
    width = sizes[Size.WIDTH]
    wider = width + width // 2
    if 2 * sizes[Size.PLANES] * wider > block.size:
        return False
    for back in range(sizes[Size.PLANES]):
        plane = sizes[Size.PLANES] - 1 - back
        for entry in range(width):
            block[plane * wider + width - 1 - entry] = block[plane * width + width - 1 - entry]
        for entry in range(width, wider):
            block[plane * wider + entry] = 0
    sizes[Size.WIDTH] = wider
    return True


@kernel
def row_slots(
    sizes: np.ndarray, block: np.ndarray, slot_of: np.ndarray, columns: np.ndarray, bins: np.ndarray, slots: np.ndarray
) -> int:
    """Write the slots of a learnt row to ``slots`` int32 and return their number; new bins get slots.

    A column that gets no slot for one of its bins is no longer watched: its counts would be wrong.
    """
    count = 0
    for entry in range(columns.size):
        if bins[entry] == 0:
            continue
        column = np.int64(columns[entry])
        bin_index = np.int64(bins[entry]) - 1
        slot = np.int64(slot_of[column, bin_index])
        if slot == 0:
            slot = sizes[Size.SLOTS]
            if slot < sizes[Size.WIDTH] or _widen_planes(sizes, block):
                sizes[Size.SLOTS] = slot + 1
                slot_of[column, bin_index] = slot
            else:
                slot = -1
                for other in range(WATCHED_BINS):
                    slot_of[column, other] = -1
        if slot > 0:
            slots[count] = slot
            count += 1
    return count


@kernel
def count_row(sizes: np.ndarray, block: np.ndarray, plane: Whole, slots: np.ndarray, count: int) -> None:
    """Add one row to a plane."""
    first = np.uint64(plane * sizes[Size.WIDTH])
    for entry in range(count):
        block[first + np.uint64(slots[entry])] += 1


@kernel
def copy_shared(sizes: np.ndarray, block: np.ndarray, plane: Whole) -> None:
    """Set a plane to the shared one."""
    first = plane * sizes[Size.WIDTH]
    for slot in range(1, sizes[Size.SLOTS]):
        block[first + slot] = block[slot]


@kernel
def subtract_from_shared(sizes: np.ndarray, block: np.ndarray, plane: Whole) -> None:
    """Set a plane to the shared one minus the plane."""
    first = plane * sizes[Size.WIDTH]
    for slot in range(1, sizes[Size.SLOTS]):
        block[first + slot] = block[slot] - block[first + slot]
