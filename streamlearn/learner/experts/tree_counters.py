"""The label trees' counters: planes of integers, one integer a watched bin of a column, in one block of fixed size.

A *slot* stands for one bin (1 to 3) of one column and is given out when a learnt row first has it; bin 0 needs none,
since it is what the others leave. A *plane* holds one count per slot. Plane 0 counts all learnt rows and is shared by
all labels; a leaf that watches has a plane of positives and, unless the shared one serves it, one of rows. The first
entry of a plane is no slot: it stays 0, or links free planes.

The block never grows. While planes fill less than half of it they are widened for new slots; after that further columns
are not watched. When no plane is left, a leaf that needs one counts on without being watched.
"""

from __future__ import annotations

import numpy as np

from streamlearn.kernels.compiler import kernel

WIDTH, SLOTS, PLANES, FREE, ROWS, SPLITS, RESETS, SIZES = range(8)
"""Places in ``sizes``: entries of a plane, slots given out (the first is none), planes in the block, the first free
plane (0: none), rows counted in plane 0, splits and resets so far; and their number."""

Whole = int | np.int64
"""An argument of a kernel that is 64 bits wide, wherever it comes from: one width, one machine code."""

LEAST_WIDTH = 64
BINS = 3


@kernel
def take_plane(sizes: np.ndarray, block: np.ndarray) -> int:
    """Return a plane of zeros, or 0 when the block is full."""
    width = sizes[WIDTH]
    plane = sizes[FREE]
    if plane > 0:
        sizes[FREE] = block[plane * width]
    else:
        plane = sizes[PLANES]
        if (plane + 1) * width > block.size:
            return 0
        sizes[PLANES] = plane + 1
    for place in range(plane * width, (plane + 1) * width):
        block[place] = 0
    return plane


@kernel
def give_plane(sizes: np.ndarray, block: np.ndarray, plane: Whole) -> None:
    """Take a plane back; plane 0 is none."""
    if plane > 0:
        block[plane * sizes[WIDTH]] = sizes[FREE]
        sizes[FREE] = plane


@kernel
def _widen(sizes: np.ndarray, block: np.ndarray) -> bool:
    """Make every plane half as wide again, in place; return False when that would fill more than half the block."""
    width = sizes[WIDTH]
    wider = width + width // 2
    if 2 * sizes[PLANES] * wider > block.size:
        return False
    for back in range(sizes[PLANES]):
        plane = sizes[PLANES] - 1 - back
        for entry in range(width):
            block[plane * wider + width - 1 - entry] = block[plane * width + width - 1 - entry]
        for entry in range(width, wider):
            block[plane * wider + entry] = 0
    sizes[WIDTH] = wider
    return True


@kernel
def row_slots(
    sizes: np.ndarray, block: np.ndarray, slot_of: np.ndarray, columns: np.ndarray, bins: np.ndarray, slots: np.ndarray
) -> int:
    """Write the watched slots of a learnt row to ``slots`` int32 and return their number; new bins get slots.

    A column that finds no room for one of its bins is not watched any more: its counts would be wrong.
    """
    count = 0
    for entry in range(columns.size):
        if bins[entry] == 0:
            continue
        column = np.int64(columns[entry])
        at = np.int64(bins[entry]) - 1
        slot = np.int64(slot_of[column, at])
        if slot == 0:
            slot = sizes[SLOTS]
            if slot < sizes[WIDTH] or _widen(sizes, block):
                sizes[SLOTS] = slot + 1
                slot_of[column, at] = slot
            else:
                slot = -1
                for other in range(BINS):
                    slot_of[column, other] = -1
        if slot > 0:
            slots[count] = slot
            count += 1
    return count


@kernel
def count_row(sizes: np.ndarray, block: np.ndarray, plane: Whole, slots: np.ndarray, count: int) -> None:
    """Add one row to a plane."""
    first = np.uint64(plane * sizes[WIDTH])
    for entry in range(count):
        block[first + np.uint64(slots[entry])] += 1


@kernel
def copy_shared(sizes: np.ndarray, block: np.ndarray, plane: Whole) -> None:
    """Make a plane equal to the shared one."""
    first = plane * sizes[WIDTH]
    for slot in range(1, sizes[SLOTS]):
        block[first + slot] = block[slot]


@kernel
def shared_less(sizes: np.ndarray, block: np.ndarray, plane: Whole) -> None:
    """Make a plane what the shared one has more than it."""
    first = plane * sizes[WIDTH]
    for slot in range(1, sizes[SLOTS]):
        block[first + slot] = block[slot] - block[first + slot]
