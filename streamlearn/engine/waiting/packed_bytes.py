"""Byte strings by number, packed into large blocks.

Half a million separate strings are as many small objects. A fork copies a table entry for each of their memory pages,
and reading one copies its page, because the interpreter counts references inside the object.
"""

from __future__ import annotations

import itertools

import numpy as np

from streamlearn.state.growth import grow

BLOCK_BYTES = 16 << 20
_FIRST_BLOCK_BYTES = 64 << 10
_START_BITS = 40
_START = (1 << _START_BITS) - 1
_NO_BLOCK = -1


class PackedBytes:
    """Byte strings by number, from 0 on; an empty string takes no memory.

    Strings are appended to blocks, whose size grows with the amount of data. A block without strings is used again or
    freed. When more than half of all block memory, beyond two blocks, is unused, `compact` moves the strings of the
    emptiest block.

    Parameters
    ----------
    max_block_bytes
        Largest size of a block; a longer string gets its own block.

    >>> store = PackedBytes()
    >>> store.reserve(2)
    >>> store.put(1, b"learn")
    >>> store.get(1), store.get(0)
    (b'learn', b'')
    """

    def __init__(self, max_block_bytes: int = BLOCK_BYTES) -> None:
        self._max_block_bytes = max_block_bytes
        # Of each number: the block and the start within it, as block << 40 | start; and the length.
        self._locations_array = np.zeros(0, np.int64)
        self._lengths_array = np.zeros(0, np.int32)
        self._make_views()
        self._blocks: list[np.ndarray] = []
        self._views: list[memoryview] = []
        self._used: list[int] = []  # bytes in use of each block
        self._appended: list[list[int]] = []  # numbers that were written to each block
        self._empty = _NO_BLOCK  # a block without strings, kept for the next one
        self._head = _NO_BLOCK  # the block that is appended to
        self._head_end = 0
        self._used_total = 0
        self._room = 0
        self._compacting = _NO_BLOCK
        self._to_move: list[int] = []
        self._removed_since_compact = 0

    def _make_views(self) -> None:
        # Single values are read and written several times as fast through a memoryview.
        self._locations, self._lengths = self._locations_array.data, self._lengths_array.data

    @property
    def room(self) -> int:
        """Bytes of all blocks."""
        return self._room

    @property
    def block_bytes(self) -> int:
        """Size of the next block: each new block at most doubles the memory."""
        size = 1 << max(self._used_total, _FIRST_BLOCK_BYTES).bit_length() - 1
        return min(size, self._max_block_bytes)

    def reserve(self, count: int) -> None:
        """Make room for the numbers below ``count``."""
        self._locations_array = grow(self._locations_array, count)
        self._lengths_array = grow(self._lengths_array, count)
        self._make_views()

    def length(self, number: int) -> int:
        """Return the length of a number's string in bytes."""
        return self._lengths[number]

    def get(self, number: int) -> bytes:
        """Return the string of a number."""
        length = self._lengths[number]
        if not length:
            return b""
        location = self._locations[number]
        start = location & _START
        return bytes(self._views[location >> _START_BITS][start : start + length])

    def put(self, number: int, data: bytes) -> None:
        """Set the string of a number."""
        self.clear(number)
        length = len(data)
        if not length:
            return
        if self._head < 0 or self._head_end + length > self._blocks[self._head].size:
            self._start_block(length)
        start = self._head_end
        self._views[self._head][start : start + length] = data
        self._locations[number] = self._head << _START_BITS | start
        self._lengths[number] = length
        self._appended[self._head].append(number)
        self._used[self._head] += length
        self._used_total += length
        self._head_end += length

    def clear(self, number: int) -> None:
        """Remove the string of a number."""
        length = self._lengths[number]
        if not length:
            return
        self._lengths[number] = 0
        block = self._locations[number] >> _START_BITS
        self._used[block] -= length
        self._used_total -= length
        self._removed_since_compact += length
        if not self._used[block] and block != self._head:
            self._release(block)

    def compact(self) -> None:
        """Move strings out of the emptiest block when much memory is unused.

        At most four bytes are moved for each byte that was removed since the last call, and one string.
        """
        budget = 4 * self._removed_since_compact
        while budget > 0 and 2 * self._used_total < self._room - 2 * self.block_bytes:
            if not self._to_move:
                shares = [
                    (used / self._blocks[block].size, block)
                    for block, used in enumerate(self._used)
                    if used and block != self._head
                ]
                if not shares:
                    break
                self._compacting = min(shares)[1]
                self._to_move = self._appended[self._compacting][::-1]
            number = self._to_move.pop()
            if self._lengths[number] and self._locations[number] >> _START_BITS == self._compacting:
                data = self.get(number)
                self.put(number, data)
                budget -= len(data)
        self._removed_since_compact = 0

    def pack(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the strings of some numbers, in their order, as one array.

        Returns
        -------
        uint8[bytes]
            All strings, one after the other.
        int64[numbers + 1]
            Where each string starts; the last entry is the number of bytes.
        """
        offsets = np.zeros(numbers.size + 1, np.int64)
        np.cumsum(self._lengths_array[numbers], out=offsets[1:])
        packed = np.empty(int(offsets[-1]), np.uint8)
        filled = np.flatnonzero(self._lengths_array[numbers])
        locations, lengths = self._locations_array[numbers[filled]], self._lengths_array[numbers[filled]]
        # Strings that are adjacent in a block are copied at once.
        breaks = np.flatnonzero(locations[1:] != locations[:-1] + lengths[:-1]) + 1
        edges = [0, *breaks.tolist(), filled.size] if filled.size else [0]
        for first, end in itertools.pairwise(edges):
            target_start, target_end = offsets[filled[first]], offsets[filled[end - 1] + 1]
            location = int(locations[first])
            start = location & _START
            source = self._blocks[location >> _START_BITS]
            packed[target_start:target_end] = source[start : start + int(target_end - target_start)]
        return packed, offsets

    def _start_block(self, length: int) -> None:
        """Append from now on to a block with room for ``length`` bytes."""
        block, self._empty = self._empty, _NO_BLOCK
        if block >= 0 and not self._fits(block, length):
            self._free(block)
            block = _NO_BLOCK
        if block < 0:
            block = self._allocate(max(length, self.block_bytes))
        full, self._head, self._head_end = self._head, block, 0
        self._appended[block].clear()
        if full >= 0 and not self._used[full]:
            self._release(full)

    def _fits(self, block: int, length: int) -> bool:
        return length <= self._blocks[block].size <= max(length, self.block_bytes)

    def _allocate(self, size: int) -> int:
        """Return the index of a new block; that of a freed block is used again."""
        block = np.empty(size, np.uint8)
        self._room += size
        for index, old in enumerate(self._blocks):
            if not old.size:
                self._blocks[index], self._views[index] = block, block.data
                return index
        self._blocks.append(block)
        self._views.append(block.data)
        self._used.append(0)
        self._appended.append([])
        return len(self._blocks) - 1

    def _release(self, block: int) -> None:
        """Keep a block without strings for the next one, or free it when there is one already."""
        if self._empty < 0 and self._fits(block, 0):
            self._empty = block
        else:
            self._free(block)

    def _free(self, block: int) -> None:
        self._room -= self._blocks[block].size
        self._blocks[block] = np.empty(0, np.uint8)
        self._views[block] = self._blocks[block].data
        self._appended[block] = []
