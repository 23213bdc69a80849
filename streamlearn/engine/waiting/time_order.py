"""Finds what is due by time in a store, in order of time, whatever order it came in."""

from __future__ import annotations

import numpy as np


def find_before(end_ms: int, times: np.ndarray, is_wanted: np.ndarray, places: np.ndarray) -> list[int]:
    """Return the numbers of a store that are before a moment by time and, where times are equal, by place.

    All times are compared at once, once in a batch: for 100,000 numbers this takes as long as a record or two. A queue
    in order of arrival would hold due numbers back behind those that are not due yet.

    Parameters
    ----------
    end_ms:
        The moment.
    times, is_wanted, places:
        Of each number its time in milliseconds, int64, whether it may be returned, bool, and its place, int64.

    >>> times, places = np.array([50, 30, 30, 7]), np.array([0, 2, 1, 3])
    >>> find_before(50, times, np.array([True, True, True, False]), places)
    [2, 1]
    """
    numbers = np.flatnonzero((times < end_ms) & is_wanted)
    return numbers[np.lexsort((places[numbers], times[numbers]))].tolist()
