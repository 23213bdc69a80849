"""Which of a task's latest records could not be used: state of the task, so that a restart forgets nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np

from streamlearn.errors import SnapshotError


class BadRecordWindow:
    """Counts bad records over a sliding window of the latest records.

    Parameters
    ----------
    size:
        Records in the window.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._count = 0
        self._bad: deque[int] = deque()  # places of bad records in the window, counted from the task's first record

    def set_size(self, size: int) -> None:
        """Set the number of records in the window."""
        self._size = size
        self._drop_before(self._count - size)

    def add(self, bad: Sequence[bool]) -> int:
        """Add records in order, each True if it could not be used.

        Returns
        -------
        int
            The most bad records in a whole window that ends at one of these bad records; 0 where no window does.
        """
        most = 0
        if True in bad:
            for place, is_bad in enumerate(bad, self._count):
                if is_bad:
                    self._bad.append(place)
                    self._drop_before(place + 1 - self._size)
                    if place + 1 >= self._size:
                        most = max(most, len(self._bad))
        self._count += len(bad)
        self._drop_before(self._count - self._size)
        return most

    def _drop_before(self, place: int) -> None:
        while self._bad and self._bad[0] < place:
            self._bad.popleft()

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the window as named arrays."""
        return {"count": np.array([self._count], np.int64), "bad": np.array(self._bad, np.int64)}

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Replace the window by that of arrays; raises `SnapshotError` when they do not fit each other."""
        count, bad = (arrays[name].tolist() for name in ("count", "bad"))
        if len(count) != 1 or bad != sorted(set(bad)) or any(not 0 <= place < count[0] for place in bad):
            raise SnapshotError("the window of bad records in the snapshot cannot be read: its places are not in order")
        self._count, self._bad = count[0], deque(bad)
        self._drop_before(self._count - self._size)
