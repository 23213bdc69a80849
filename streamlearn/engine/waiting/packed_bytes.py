"""Byte strings by number, packed into large blocks.

Half a million strings of their own lie in as many small pieces of memory: a fork copies a table entry for each page of
them, and whoever so much as looks at one copies its page, for the interpreter counts the references in it.
"""

from __future__ import annotations

import itertools

import numpy as np

from streamlearn.state.growth import grow

BLOCK_BYTES = 16 << 20
_FIRST_BLOCK_BYTES = 64 << 10
_START_BITS = 40
_START = (1 << _START_BITS) - 1


class PackedBytes:
    """Byte strings by number from 0 on; an empty one takes no room.

    Strings are put behind each other, in blocks that are larger the more there is. A block that nothing is left in is
    used again or given back; when more than half of all blocks, beyond two, is unused, `tidy` moves what is left in the
    emptiest ones.

    Parameters
    ----------
    most_block_bytes
        Largest size of a block; a longer string gets one of its own.

    >>> store = PackedBytes()
    >>> store.reserve(2)
    >>> store.put(1, b"learn")
    >>> store.get(1), store.get(0)
    (b'learn', b'')
    """

    def __init__(self, most_block_bytes: int = BLOCK_BYTES) -> None:
        self._most_block_bytes = most_block_bytes
        self._places_array = np.zeros(0, np.int64)
        self._lengths_array = np.zeros(0, np.int32)
        self._look()
        self._blocks: list[np.ndarray] = []
        self._views: list[memoryview] = []
        self._used: list[int] = []
        self._put_into: list[list[int]] = []
        self._empty = -1
        self._head = -1
        self._end = 0
        self._all_used = 0
        self._room = 0
        self._emptying = -1
        self._to_move: list[int] = []
        self._left_since_tidy = 0

    def _look(self) -> None:
        # Single values are read and written several times as fast through a memoryview.
        self._places, self._lengths = self._places_array.data, self._lengths_array.data

    @property
    def room(self) -> int:
        """Bytes of all blocks."""
        return self._room

    @property
    def block_bytes(self) -> int:
        """Size of the next block: with each one the blocks at most double."""
        size = 1 << max(self._all_used, _FIRST_BLOCK_BYTES).bit_length() - 1
        return min(size, self._most_block_bytes)

    def reserve(self, count: int) -> None:
        """Let numbers below ``count`` have room."""
        self._places_array, self._lengths_array = grow(self._places_array, count), grow(self._lengths_array, count)
        self._look()

    def length(self, number: int) -> int:
        """Return how many bytes a number has."""
        return self._lengths[number]

    def get(self, number: int) -> bytes:
        """Return what a number has."""
        length = self._lengths[number]
        if not length:
            return b""
        place = self._places[number]
        start = place & _START
        return bytes(self._views[place >> _START_BITS][start : start + length])

    def put(self, number: int, data: bytes) -> None:
        """Give a number other bytes."""
        self.clear(number)
        length = len(data)
        if not length:
            return
        if self._head < 0 or self._end + length > self._blocks[self._head].size:
            self._open(length)
        start = self._end
        self._views[self._head][start : start + length] = data
        self._places[number] = self._head << _START_BITS | start
        self._lengths[number] = length
        self._put_into[self._head].append(number)
        self._used[self._head] += length
        self._all_used += length
        self._end += length

    def clear(self, number: int) -> None:
        """Leave a number no bytes."""
        length = self._lengths[number]
        if not length:
            return
        self._lengths[number] = 0
        block = self._places[number] >> _START_BITS
        self._used[block] -= length
        self._all_used -= length
        self._left_since_tidy += length
        if not self._used[block] and block != self._head:
            self._emptied(block)

    def tidy(self) -> None:
        """Move strings out of the emptiest block when much is unused; four bytes at most for each that left since, and
        a string."""
        budget = 4 * self._left_since_tidy
        while budget > 0 and 2 * self._all_used < self._room - 2 * self.block_bytes:
            if not self._to_move:
                shares = [
                    (used / self._blocks[block].size, block)
                    for block, used in enumerate(self._used)
                    if used and block != self._head
                ]
                if not shares:
                    break
                self._emptying = min(shares)[1]
                self._to_move = self._put_into[self._emptying][::-1]
            number = self._to_move.pop()
            if self._lengths[number] and self._places[number] >> _START_BITS == self._emptying:
                data = self.get(number)
                self.put(number, data)
                budget -= len(data)
        self._left_since_tidy = 0

    def gather(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pack the bytes of some numbers in their order: uint8[bytes], and int64[numbers + 1], where each starts and
        the last ends."""
        offsets = np.zeros(numbers.size + 1, np.int64)
        np.cumsum(self._lengths_array[numbers], out=offsets[1:])
        packed = np.empty(int(offsets[-1]), np.uint8)
        filled = np.flatnonzero(self._lengths_array[numbers])
        places, lengths = self._places_array[numbers[filled]], self._lengths_array[numbers[filled]]
        # Neighbours that lie behind each other are copied at once.
        breaks = np.flatnonzero(places[1:] != places[:-1] + lengths[:-1]) + 1
        edges = [0, *breaks.tolist(), filled.size] if filled.size else [0]
        for first, end in itertools.pairwise(edges):
            target, behind = offsets[filled[first]], offsets[filled[end - 1] + 1]
            place = int(places[first])
            start = place & _START
            packed[target:behind] = self._blocks[place >> _START_BITS][start : start + int(behind - target)]
        return packed, offsets

    def _open(self, length: int) -> None:
        """Let a block with room for so many bytes be written to."""
        block, self._empty = self._empty, -1
        if block >= 0 and not self._fits(block, length):
            self._give_back(block)
            block = -1
        if block < 0:
            block = self._new(max(length, self.block_bytes))
        full, self._head, self._end = self._head, block, 0
        self._put_into[block].clear()
        if full >= 0 and not self._used[full]:
            self._emptied(full)

    def _fits(self, block: int, length: int) -> bool:
        return length <= self._blocks[block].size <= max(length, self.block_bytes)

    def _new(self, size: int) -> int:
        """Return the number of a new block, where there was one that is gone, if there was."""
        block = np.empty(size, np.uint8)
        self._room += size
        for number, old in enumerate(self._blocks):
            if not old.size:
                self._blocks[number], self._views[number] = block, block.data
                return number
        self._blocks.append(block)
        self._views.append(block.data)
        self._used.append(0)
        self._put_into.append([])
        return len(self._blocks) - 1

    def _emptied(self, block: int) -> None:
        """Keep one block without strings for the next, and give others back."""
        if self._empty < 0 and self._fits(block, 0):
            self._empty = block
        else:
            self._give_back(block)

    def _give_back(self, block: int) -> None:
        self._room -= self._blocks[block].size
        self._blocks[block] = np.empty(0, np.uint8)
        self._views[block] = self._blocks[block].data
        self._put_into[block] = []
