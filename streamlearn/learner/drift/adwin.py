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

from streamlearn.errors import SnapshotError
from streamlearn.kernels.compiler import kernel
from streamlearn.numerics.exp_log import log64

BUCKET_ROWS = 32
"""Rows of buckets: row r holds buckets of 2 to the power of r values, enough for 2 to the power of 32 values."""


WIDTH, TICKS, ROWS, ALARMED = 0, 1, 2, 3
TOTAL, VARIANCE = 0, 1


Whole = int | np.int64
"""An argument of a kernel that is 64 bits wide, wherever it comes from: one width, one machine code."""


class AdwinState(NamedTuple):
    """M independent detectors; the first axis of every array is the detector.

    Attributes
    ----------
    buckets
        float64[M, BUCKET_ROWS, max_buckets + 1, 2], sum and summed squared deviation of each bucket, the oldest first;
        what lies beyond ``bucket_count`` has no meaning.
    bucket_count
        int64[M, BUCKET_ROWS], buckets in use in each row.
    window
        int64[M, 4]: values in the window; values since the detector last started; rows in use, at least 1; 1 from an
        alarm to the next value.
    moments
        float64[M, 2], sum and summed squared deviation of the window.
    before, after
        float64[M], of the last alarm: the window's mean with and without the values it dropped.
    since
        int64[M], of the last alarm: values kept, so that the change lies about as many values back.
    delta
        Chance of a false alarm, in (0, 1).
    clock
        Values between two checks.
    min_window_length
        Values that either side of a cut needs.
    grace_period
        Values that the window must exceed before it is checked.
    """

    buckets: np.ndarray
    bucket_count: np.ndarray
    window: np.ndarray
    moments: np.ndarray
    before: np.ndarray
    after: np.ndarray
    since: np.ndarray
    delta: float
    clock: int
    min_window_length: int
    grace_period: int


@kernel
def adwin_reset(state: AdwinState, m: Whole) -> None:
    """Empty the window of detector m; what it said of its last alarm stays."""
    for row in range(BUCKET_ROWS):
        state.bucket_count[m, row] = 0
    state.window[m, WIDTH] = 0
    state.window[m, TICKS] = 0
    state.window[m, ROWS] = 1
    state.window[m, ALARMED] = 0
    state.moments[m, TOTAL] = 0.0
    state.moments[m, VARIANCE] = 0.0


@kernel
def adwin_drop_first(buckets: np.ndarray, count: int, n: int) -> int:
    """Remove the n oldest of the ``count`` buckets of a row, float64[max_buckets + 1, 2]; return how many are left."""
    for k in range(count - n):
        buckets[k, TOTAL] = buckets[k + n, TOTAL]
        buckets[k, VARIANCE] = buckets[k + n, VARIANCE]
    return count - n


@kernel
def adwin_insert(state: AdwinState, m: Whole, value: float) -> None:
    """Add a value to the window of detector m and merge the two oldest buckets of each row that overflows."""
    window, moments, counts = state.window[m], state.moments[m], state.bucket_count[m]
    if window[WIDTH] > 0:
        earlier = np.float64(window[WIDTH])
        deviation = value - moments[TOTAL] / earlier
        moments[VARIANCE] += earlier * deviation * deviation / (earlier + 1.0)
    window[WIDTH] += 1
    moments[TOTAL] += value
    slots = state.buckets.shape[2]
    total = value
    variance = 0.0
    size = 1.0
    for row in range(BUCKET_ROWS):
        buckets = state.buckets[m, row]
        count = counts[row]
        buckets[count, TOTAL] = total
        buckets[count, VARIANCE] = variance
        counts[row] = count + 1
        window[ROWS] = max(window[ROWS], row + 1)
        if count + 1 < slots:
            return
        total = buckets[0, TOTAL] + buckets[1, TOTAL]
        gap = buckets[0, TOTAL] / size - buckets[1, TOTAL] / size
        variance = buckets[0, VARIANCE] + buckets[1, VARIANCE] + size * 0.5 * gap * gap
        counts[row] = adwin_drop_first(buckets, slots, 2)
        size *= 2.0


@kernel
def adwin_drop_oldest(state: AdwinState, m: Whole) -> None:
    """Drop the oldest bucket of detector m from its window."""
    window, moments, counts = state.window[m], state.moments[m], state.bucket_count[m]
    row = window[ROWS] - 1
    buckets = state.buckets[m, row]
    n = np.int64(1) << row
    window[WIDTH] -= n
    moments[TOTAL] -= buckets[0, TOTAL]
    size = np.float64(n)
    width = np.float64(window[WIDTH])
    gap = buckets[0, TOTAL] / size - moments[TOTAL] / width
    moments[VARIANCE] -= buckets[0, VARIANCE] + size * width * gap * gap / (size + width)
    counts[row] = adwin_drop_first(buckets, counts[row], 1)
    if counts[row] == 0 and row > 0:
        window[ROWS] = row


@kernel
def adwin_cut_exists(state: AdwinState, m: Whole) -> bool:
    """Return whether some cut of detector m's window separates two means that differ significantly."""
    rows = state.window[m, ROWS]
    width = np.float64(state.window[m, WIDTH])
    log_term = log64(2.0 * log64(width) / state.delta)
    spread = state.moments[m, VARIANCE] / width
    least = np.float64(state.min_window_length)
    n0 = 0.0
    n1 = width
    u0 = 0.0
    u1 = state.moments[m, TOTAL]
    for i in range(rows):
        row = rows - 1 - i
        size = np.float64(np.int64(1) << row)
        for k in range(state.bucket_count[m, row]):
            n0 += size
            n1 -= size
            u0 += state.buckets[m, row, k, TOTAL]
            u1 -= state.buckets[m, row, k, TOTAL]
            if n0 < least or n1 < least:
                continue
            reciprocal = 1.0 / (n0 - least + 1.0) + 1.0 / (n1 - least + 1.0)
            bound = np.sqrt(2.0 * reciprocal * spread * log_term) + 2.0 / 3.0 * log_term * reciprocal
            if abs(u0 / n0 - u1 / n1) > bound:
                return True
    return False


@kernel
def adwin_update(state: AdwinState, m: Whole, value: float) -> int:
    """Add a value to detector m and return 1 if its mean has changed, else 0.

    On an alarm ``before[m]`` and ``after[m]`` are the window's mean with and without the values dropped, and
    ``since[m]`` is how many were kept. The window starts anew with the next value.

    Parameters
    ----------
    state
        The detectors.
    m
        Index of the detector.
    value
        A finite number, such as a loss in [0, 1].
    """
    window = state.window[m]
    if window[ALARMED] != 0:
        adwin_reset(state, m)
    adwin_insert(state, m, value)
    window[TICKS] += 1
    width = window[WIDTH]
    if window[TICKS] % state.clock != 0 or width <= state.grace_period:
        return 0
    before = state.moments[m, TOTAL] / np.float64(width)
    while adwin_cut_exists(state, m):
        adwin_drop_oldest(state, m)
    if window[WIDTH] == width:
        return 0
    window[ALARMED] = 1
    state.before[m] = before
    state.after[m] = state.moments[m, TOTAL] / np.float64(window[WIDTH])
    state.since[m] = window[WIDTH]
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
        return len(self.state.window)

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
        if "window" not in arrays:
            raise SnapshotError("ADWIN: the array 'window' is missing from the snapshot")
        blank = _blank_arrays(len(arrays["window"]), self._max_buckets)
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
    window = np.zeros((detectors, 4), np.int64)
    window[:, ROWS] = 1
    return {
        "buckets": np.zeros((detectors, BUCKET_ROWS, max_buckets + 1, 2)),
        "bucket_count": np.zeros((detectors, BUCKET_ROWS), np.int64),
        "window": window,
        "moments": np.zeros((detectors, 2)),
        "before": np.zeros(detectors),
        "after": np.zeros(detectors),
        "since": np.zeros(detectors, np.int64),
    }
