"""Linked queues of integers in arrays: any integer leaves in constant time, and a fork has few pages to copy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from streamlearn.state.growth import grow

NOBODY = -1
"""What is first in an empty queue."""


class LinkedQueues:
    """So many queues over the same numbers from 0 on; a number is in at most one of them.

    >>> queues = LinkedQueues(2)
    >>> queues.reserve(3)
    >>> for number in range(3):
    ...     queues.append(0, number)
    >>> queues.remove(0, 1)
    >>> queues.append(1, 1)
    >>> queues.numbers(0), queues.first(1), queues.size(1)
    (array([0, 2]), 1, 1)
    """

    def __init__(self, count: int) -> None:
        self._first = [NOBODY] * count
        self._last = [NOBODY] * count
        self._sizes = [0] * count
        self._before_array = np.zeros(0, np.int32)
        self._after_array = np.zeros(0, np.int32)
        self._look()

    def _look(self) -> None:
        # Single values are read and written several times as fast through a memoryview.
        self._before, self._after = self._before_array.data, self._after_array.data

    def reserve(self, count: int) -> None:
        """Let numbers below ``count`` have room."""
        self._before_array, self._after_array = grow(self._before_array, count), grow(self._after_array, count)
        self._look()

    def append(self, queue: int, number: int) -> None:
        """Put a number that is in no queue at the end of one."""
        last = self._last[queue]
        self._before[number] = last
        self._after[number] = NOBODY
        if last == NOBODY:
            self._first[queue] = number
        else:
            self._after[last] = number
        self._last[queue] = number
        self._sizes[queue] += 1

    def remove(self, queue: int, number: int) -> None:
        """Take a number out of the queue that it is in."""
        before, after = self._before[number], self._after[number]
        if before == NOBODY:
            self._first[queue] = after
        else:
            self._after[before] = after
        if after == NOBODY:
            self._last[queue] = before
        else:
            self._before[after] = before
        self._sizes[queue] -= 1

    def first(self, queue: int) -> int:
        """Return the number that came first, or `NOBODY`."""
        return self._first[queue]

    def size(self, queue: int) -> int:
        """Return how many numbers are in a queue."""
        return self._sizes[queue]

    def each(self, queue: int) -> Iterator[int]:
        """Yield a queue's numbers in order; it must not change meanwhile."""
        after = self._after
        number = self._first[queue]
        while number != NOBODY:
            yield number
            number = after[number]

    def numbers(self, queue: int) -> np.ndarray:
        """Return a queue's numbers in order, int64[size]."""
        return np.fromiter(self.each(queue), np.int64, self._sizes[queue])
