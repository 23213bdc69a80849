"""Doubly linked queues of integers, stored in arrays.

Any integer is removed in constant time, and the arrays take few memory pages, which keeps a fork cheap.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from streamlearn.state.growth import grow

NONE = -1
"""First number of an empty queue."""


class LinkedQueues:
    """Several queues over the same numbers, which start at 0; a number is in at most one queue.

    Parameters
    ----------
    count:
        Number of queues.

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
        self._first = [NONE] * count
        self._last = [NONE] * count
        self._sizes = [0] * count
        self._previous_array = np.zeros(0, np.int32)
        self._next_array = np.zeros(0, np.int32)
        self._make_views()

    def _make_views(self) -> None:
        # Single values are read and written several times as fast through a memoryview.
        self._previous, self._next = self._previous_array.data, self._next_array.data

    def reserve(self, count: int) -> None:
        """Make room for the numbers below ``count``."""
        self._previous_array, self._next_array = grow(self._previous_array, count), grow(self._next_array, count)
        self._make_views()

    def append(self, queue: int, number: int) -> None:
        """Put a number that is in no queue at the end of one."""
        last = self._last[queue]
        self._previous[number] = last
        self._next[number] = NONE
        if last == NONE:
            self._first[queue] = number
        else:
            self._next[last] = number
        self._last[queue] = number
        self._sizes[queue] += 1

    def remove(self, queue: int, number: int) -> None:
        """Take a number out of the queue that it is in."""
        previous, following = self._previous[number], self._next[number]
        if previous == NONE:
            self._first[queue] = following
        else:
            self._next[previous] = following
        if following == NONE:
            self._last[queue] = previous
        else:
            self._previous[following] = previous
        self._sizes[queue] -= 1

    def first(self, queue: int) -> int:
        """Return the first number of a queue, or `NONE`."""
        return self._first[queue]

    def size(self, queue: int) -> int:
        """Return how many numbers a queue has."""
        return self._sizes[queue]

    def iterate(self, queue: int) -> Iterator[int]:
        """Yield the numbers of a queue in order; it must not change meanwhile."""
        following = self._next
        number = self._first[queue]
        while number != NONE:
            yield number
            number = following[number]

    def numbers(self, queue: int) -> np.ndarray:
        """Return the numbers of a queue in order, int64[size]."""
        return np.fromiter(self.iterate(queue), np.int64, self._sizes[queue])
