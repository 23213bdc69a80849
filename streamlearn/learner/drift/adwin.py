"""Adaptive windowing (ADWIN): detectors that keep the longest window whose mean has not changed.

Source: A. Bifet and R. Gavaldà, "Learning from time-changing data with adaptive windowing", SIAM International
Conference on Data Mining 2007, pages 443-448 (ADWIN2, the bucketed window); the variance of merged buckets follows
B. Babcock, M. Datar, R. Motwani and L. O'Callaghan, "Maintaining variance and k-medians over data stream windows",
PODS 2003. Alarms are those of ``river.drift.ADWIN``: cuts are checked every ``clock`` values, a subwindow counts with
``min_window_length - 1`` values less than it has, and a detector that raised an alarm starts anew with the next value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.arithmetic.compile import kernel
from streamlearn.arithmetic.exp_log import log64
from streamlearn.errors import SnapshotError

BUCKET_ROWS = 32
"""Rows of buckets: row r holds buckets of 2 to the power of r values, enough for 2 to the power of 32 values."""


class AdwinState(NamedTuple):
    """M independent detectors; the first axis of every array is the detector.

    Attributes
    ----------
    bucket_total, bucket_variance
        float64[M, BUCKET_ROWS, max_buckets + 1], sum and summed squared deviation of each bucket, the oldest first.
    bucket_count
        int64[M, BUCKET_ROWS], buckets in use in each row.
    row_count
        int64[M], rows in use, at least 1.
    width, ticks
        int64[M], values in the window and values since the detector last started.
    total, variance
        float64[M], sum and summed squared deviation of the window.
    alarmed
        int8[M], 1 from an alarm to the next value.
    before, after
        float64[M], of the last alarm: the window's mean with and without the values it dropped.
    dropped, since
        int64[M], of the last alarm: values dropped and values kept (the change lies about ``since`` values back).
    alarms
        int64[M], alarms so far.
    delta
        Chance of a false alarm, in (0, 1).
    clock
        Values between two checks.
    min_window_length
        Values that either side of a cut needs.
    grace_period
        Values that the window must exceed before it is checked.
    """

    bucket_total: np.ndarray
    bucket_variance: np.ndarray
    bucket_count: np.ndarray
    row_count: np.ndarray
    width: np.ndarray
    ticks: np.ndarray
    total: np.ndarray
    variance: np.ndarray
    alarmed: np.ndarray
    before: np.ndarray
    after: np.ndarray
    dropped: np.ndarray
    since: np.ndarray
    alarms: np.ndarray
    delta: float
    clock: int
    min_window_length: int
    grace_period: int


@kernel
def adwin_reset(state: AdwinState, m: int) -> None:
    """Empty the window of detector m; what it said of its last alarm stays."""
    for row in range(BUCKET_ROWS):
        state.bucket_count[m, row] = 0
        for k in range(state.bucket_total.shape[2]):
            state.bucket_total[m, row, k] = 0.0
            state.bucket_variance[m, row, k] = 0.0
    state.row_count[m] = 1
    state.width[m] = 0
    state.ticks[m] = 0
    state.total[m] = 0.0
    state.variance[m] = 0.0
    state.alarmed[m] = 0


@kernel
def adwin_drop_first(state: AdwinState, m: int, row: int, n: int) -> None:
    """Remove the n oldest buckets of a row of detector m."""
    kept = state.bucket_count[m, row] - n
    for k in range(kept):
        state.bucket_total[m, row, k] = state.bucket_total[m, row, k + n]
        state.bucket_variance[m, row, k] = state.bucket_variance[m, row, k + n]
    for k in range(kept, kept + n):
        state.bucket_total[m, row, k] = 0.0
        state.bucket_variance[m, row, k] = 0.0
    state.bucket_count[m, row] = kept


@kernel
def adwin_insert(state: AdwinState, m: int, value: float) -> None:
    """Add a value to the window of detector m and merge the two oldest buckets of each row that overflows."""
    k = state.bucket_count[m, 0]
    state.bucket_total[m, 0, k] = value
    state.bucket_variance[m, 0, k] = 0.0
    state.bucket_count[m, 0] = k + 1
    if state.width[m] > 0:
        earlier = np.float64(state.width[m])
        deviation = value - state.total[m] / earlier
        state.variance[m] += earlier * deviation * deviation / (earlier + 1.0)
    state.width[m] += 1
    state.total[m] += value
    slots = state.bucket_total.shape[2]
    row = 0
    size = 1.0
    while state.bucket_count[m, row] == slots and row + 1 < BUCKET_ROWS:
        t0 = state.bucket_total[m, row, 0]
        t1 = state.bucket_total[m, row, 1]
        gap = t0 / size - t1 / size
        merged = state.bucket_variance[m, row, 0] + state.bucket_variance[m, row, 1] + size * 0.5 * gap * gap
        above = state.bucket_count[m, row + 1]
        state.bucket_total[m, row + 1, above] = t0 + t1
        state.bucket_variance[m, row + 1, above] = merged
        state.bucket_count[m, row + 1] = above + 1
        adwin_drop_first(state, m, row, 2)
        row += 1
        size *= 2.0
        if row == state.row_count[m]:
            state.row_count[m] = row + 1


@kernel
def adwin_drop_oldest(state: AdwinState, m: int) -> None:
    """Drop the oldest bucket of detector m from its window."""
    row = state.row_count[m] - 1
    n = np.int64(1) << row
    total = state.bucket_total[m, row, 0]
    state.width[m] -= n
    state.total[m] -= total
    size = np.float64(n)
    width = np.float64(state.width[m])
    gap = total / size - state.total[m] / width
    state.variance[m] -= state.bucket_variance[m, row, 0] + size * width * gap * gap / (size + width)
    adwin_drop_first(state, m, row, 1)
    if state.bucket_count[m, row] == 0 and row > 0:
        state.row_count[m] = row


@kernel
def adwin_cut_exists(state: AdwinState, m: int) -> bool:
    """Return whether some cut of detector m's window separates two means that differ significantly."""
    width = np.float64(state.width[m])
    log_term = log64(2.0 * log64(width) / state.delta)
    spread = state.variance[m] / width
    least = np.float64(state.min_window_length)
    n0 = 0.0
    n1 = width
    u0 = 0.0
    u1 = state.total[m]
    for row in range(state.row_count[m] - 1, -1, -1):
        size = np.float64(np.int64(1) << row)
        for k in range(state.bucket_count[m, row]):
            n0 += size
            n1 -= size
            u0 += state.bucket_total[m, row, k]
            u1 -= state.bucket_total[m, row, k]
            if n0 < least or n1 < least or n1 <= 0.0:
                continue
            reciprocal = 1.0 / (n0 - least + 1.0) + 1.0 / (n1 - least + 1.0)
            bound = np.sqrt(2.0 * reciprocal * spread * log_term) + 2.0 / 3.0 * log_term * reciprocal
            if abs(u0 / n0 - u1 / n1) > bound:
                return True
    return False


@kernel
def adwin_update(state: AdwinState, m: int, value: float) -> int:
    """Add a value to detector m and return 1 if its mean has changed, else 0.

    On an alarm ``before[m]`` and ``after[m]`` are the window's mean with and without the values dropped,
    ``dropped[m]`` and ``since[m]`` how many were dropped and kept. The window starts anew with the next value.

    Parameters
    ----------
    state
        The detectors.
    m
        Index of the detector.
    value
        A finite number, such as a loss in [0, 1].
    """
    if state.alarmed[m] != 0:
        adwin_reset(state, m)
    adwin_insert(state, m, value)
    state.ticks[m] += 1
    if state.ticks[m] % state.clock != 0 or state.width[m] <= state.grace_period:
        return 0
    width = state.width[m]
    before = state.total[m] / np.float64(width)
    while adwin_cut_exists(state, m):
        adwin_drop_oldest(state, m)
    if state.width[m] == width:
        return 0
    state.alarmed[m] = 1
    state.before[m] = before
    state.after[m] = state.total[m] / np.float64(state.width[m])
    state.dropped[m] = width - state.width[m]
    state.since[m] = state.width[m]
    state.alarms[m] += 1
    return 1


class Adwin:
    """Holds, names and resizes the arrays of M ADWIN detectors.

    Parameters
    ----------
    detectors
        M, at least 0.
    delta
        Chance of a false alarm, in (0, 1).
    clock
        Values between two checks.
    max_buckets
        Buckets of one size before the two oldest merge, at least 2 (a row must not run empty below a fuller one).
    min_window_length
        Values that either side of a cut needs.
    grace_period
        Values that the window must exceed before it is checked.

    Raises
    ------
    ValueError
        If ``delta`` lies outside (0, 1), ``max_buckets`` is below 2 or another count below 1.
    """

    def __init__(
        self,
        detectors: int,
        delta: float = 0.002,
        clock: int = 32,
        max_buckets: int = 5,
        min_window_length: int = 5,
        grace_period: int = 10,
    ) -> None:
        if not 0.0 < delta < 1.0:
            raise ValueError(f"ADWIN: delta must lie between 0 and 1, not {delta}")
        if min(clock, max_buckets - 1, min_window_length, grace_period) < 1:
            raise ValueError(
                "ADWIN: max_buckets must be at least 2, clock, min_window_length and grace_period at least 1"
            )
        self._max_buckets = max_buckets
        self.state = AdwinState(
            *_blank_arrays(detectors, max_buckets).values(),
            delta=float(delta),
            clock=int(clock),
            min_window_length=int(min_window_length),
            grace_period=int(grace_period),
        )

    @property
    def detectors(self) -> int:
        """The number of detectors, M."""
        return len(self.state.width)

    def update(self, m: int, value: float) -> bool:
        """Add a value to detector m; return whether it raised an alarm."""
        return adwin_update(self.state, m, float(value)) != 0

    def reset_all(self) -> None:
        """Empty the window of every detector."""
        for m in range(self.detectors):
            adwin_reset(self.state, m)

    def resize(self, detectors: int) -> None:
        """Change the number of detectors; those that stay keep their windows, new ones start empty."""
        blank = _blank_arrays(detectors, self._max_buckets)
        kept = min(detectors, self.detectors)
        for name, array in blank.items():
            array[:kept] = getattr(self.state, name)[:kept]
        self.state = self.state._replace(**blank)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the complete state by name."""
        return {name: getattr(self.state, name) for name in _blank_arrays(0, self._max_buckets)}

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over a state that ``arrays`` returned.

        Raises
        ------
        SnapshotError
            If an array is missing or does not fit these detectors' settings.
        """
        if "width" not in arrays:
            raise SnapshotError("ADWIN: the array 'width' is missing from the snapshot")
        blank = _blank_arrays(len(arrays["width"]), self._max_buckets)
        for name, array in blank.items():
            given = arrays.get(name)
            if given is None or given.shape != array.shape or given.dtype != array.dtype:
                found = "nothing" if given is None else f"{given.dtype}{given.shape}"
                raise SnapshotError(f"ADWIN: the array {name!r} should be {array.dtype}{array.shape}, found {found}")
            array[...] = given
        self.state = self.state._replace(**blank)

    @staticmethod
    def bytes_bound(detectors: int, max_buckets: int = 5) -> int:
        """Return the bytes that this many detectors hold."""
        one = _blank_arrays(1, max_buckets)
        return detectors * sum(array.nbytes for array in one.values())


def _blank_arrays(detectors: int, max_buckets: int) -> dict[str, np.ndarray]:
    shape = (detectors, BUCKET_ROWS, max_buckets + 1)
    return {
        "bucket_total": np.zeros(shape),
        "bucket_variance": np.zeros(shape),
        "bucket_count": np.zeros(shape[:2], np.int64),
        "row_count": np.ones(detectors, np.int64),
        "width": np.zeros(detectors, np.int64),
        "ticks": np.zeros(detectors, np.int64),
        "total": np.zeros(detectors),
        "variance": np.zeros(detectors),
        "alarmed": np.zeros(detectors, np.int8),
        "before": np.zeros(detectors),
        "after": np.zeros(detectors),
        "dropped": np.zeros(detectors, np.int64),
        "since": np.zeros(detectors, np.int64),
        "alarms": np.zeros(detectors, np.int64),
    }
