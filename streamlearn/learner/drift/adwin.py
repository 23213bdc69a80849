"""ADWIN drift detectors: each keeps the longest window of recent values whose mean has not changed.

Source: A. Bifet and R. Gavaldà, "Learning from time-changing data with adaptive windowing", SIAM International
Conference on Data Mining 2007, pages 443-448 (ADWIN2, the bucketed window); the variance of merged buckets follows
B. Babcock, M. Datar, R. Motwani and L. O'Callaghan, "Maintaining variance and k-medians over data stream windows",
PODS 2003. Alarms are those of ``river.drift.ADWIN``: cuts are checked every ``clock`` values, the bound counts
``min_window_length - 1`` values less than a subwindow has, and a detector that raised an alarm is reset by the next
value.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.kernels.compiler import kernel
from streamlearn.numerics.exp_log import log64
from streamlearn.state.array_names import ADWIN

BUCKET_ROWS = 32
"""Rows of buckets: row r holds buckets of 2^r values, enough for 2^32 values."""

Whole = int | np.int64
"""A 64-bit integer argument of a kernel, from Python or from another kernel: one type, compiled once."""


class Window(IntEnum):
    """Fields of a row of `AdwinState.window`."""

    WIDTH = 0  # values in the window
    TICKS = 1  # values since the last reset
    ROWS = 2  # rows of buckets in use, at least 1
    ALARMED = 3  # 1 from an alarm to the next value


class Moment(IntEnum):
    """Fields of a bucket, and of a row of `AdwinState.moments`."""

    TOTAL = 0  # sum of the values
    DEVIATION = 1  # sum of the squared deviations from the mean


WINDOW_FIELDS = len(Window)
MOMENTS = len(Moment)


class AdwinState(NamedTuple):
    """M independent detectors; the first axis of every array is the detector.

    Attributes
    ----------
    buckets
        float64[M, BUCKET_ROWS, max_buckets + 1, MOMENTS], fields `Moment` of each bucket, the oldest first; undefined
        from ``bucket_count`` on.
    bucket_count
        int64[M, BUCKET_ROWS], buckets in use in each row.
    window
        int64[M, WINDOW_FIELDS], fields `Window`.
    moments
        float64[M, MOMENTS], fields `Moment` of the window.
    before
        float64[M], mean of the window before the last alarm dropped values.
    after
        float64[M], mean of the window after that.
    since
        int64[M], values that the last alarm kept, an estimate of the values since the change.
    delta
        Probability of a false alarm, in (0, 1).
    clock
        Values between two checks.
    min_window_length
        Fewest values on either side of a cut.
    grace_period
        The window is checked when it has more values than this.
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
    """Empty the window of detector m; the figures of its last alarm stay."""
    for row in range(BUCKET_ROWS):
        state.bucket_count[m, row] = 0
    state.window[m, Window.WIDTH] = 0
    state.window[m, Window.TICKS] = 0
    state.window[m, Window.ROWS] = 1
    state.window[m, Window.ALARMED] = 0
    state.moments[m, Moment.TOTAL] = 0.0
    state.moments[m, Moment.DEVIATION] = 0.0


@kernel
def adwin_drop_first(buckets: np.ndarray, count: int, n: int) -> int:
    """Remove the n oldest of ``count`` buckets, float64[max_buckets + 1, MOMENTS]; return how many are left."""
    for k in range(count - n):
        buckets[k, Moment.TOTAL] = buckets[k + n, Moment.TOTAL]
        buckets[k, Moment.DEVIATION] = buckets[k + n, Moment.DEVIATION]
    return count - n


@kernel
def adwin_insert(state: AdwinState, m: Whole, value: float) -> None:
    """Add a value to the window of detector m and merge the two oldest buckets of each row that overflows."""
    window, moments, counts = state.window[m], state.moments[m], state.bucket_count[m]
    if window[Window.WIDTH] > 0:
        earlier = np.float64(window[Window.WIDTH])
        deviation = value - moments[Moment.TOTAL] / earlier
        moments[Moment.DEVIATION] += earlier * deviation * deviation / (earlier + 1.0)
    window[Window.WIDTH] += 1
    moments[Moment.TOTAL] += value
    slots = state.buckets.shape[2]
    total = value
    variance = 0.0
    size = 1.0
    for row in range(BUCKET_ROWS):
        buckets = state.buckets[m, row]
        count = counts[row]
        buckets[count, Moment.TOTAL] = total
        buckets[count, Moment.DEVIATION] = variance
        counts[row] = count + 1
        window[Window.ROWS] = max(window[Window.ROWS], row + 1)
        if count + 1 < slots:
            return
        total = buckets[0, Moment.TOTAL] + buckets[1, Moment.TOTAL]
        gap = buckets[0, Moment.TOTAL] / size - buckets[1, Moment.TOTAL] / size
        variance = buckets[0, Moment.DEVIATION] + buckets[1, Moment.DEVIATION] + size * 0.5 * gap * gap
        counts[row] = adwin_drop_first(buckets, slots, 2)
        size *= 2.0


@kernel
def adwin_drop_oldest(state: AdwinState, m: Whole) -> None:
    """Drop the oldest bucket of detector m from its window."""
    window, moments, counts = state.window[m], state.moments[m], state.bucket_count[m]
    row = window[Window.ROWS] - 1
    buckets = state.buckets[m, row]
    n = np.int64(1) << row
    window[Window.WIDTH] -= n
    moments[Moment.TOTAL] -= buckets[0, Moment.TOTAL]
    size = np.float64(n)
    width = np.float64(window[Window.WIDTH])
    gap = buckets[0, Moment.TOTAL] / size - moments[Moment.TOTAL] / width
    moments[Moment.DEVIATION] -= buckets[0, Moment.DEVIATION] + size * width * gap * gap / (size + width)
    counts[row] = adwin_drop_first(buckets, counts[row], 1)
    if counts[row] == 0 and row > 0:
        window[Window.ROWS] = row


@kernel
def adwin_cut_exists(state: AdwinState, m: Whole) -> bool:
    """Return whether some cut of detector m's window separates two means that differ significantly."""
    rows = state.window[m, Window.ROWS]
    width = np.float64(state.window[m, Window.WIDTH])
    log_term = log64(2.0 * log64(width) / state.delta)
    spread = state.moments[m, Moment.DEVIATION] / width
    least = np.float64(state.min_window_length)
    n0 = 0.0
    n1 = width
    u0 = 0.0
    u1 = state.moments[m, Moment.TOTAL]
    for i in range(rows):
        row = rows - 1 - i
        size = np.float64(np.int64(1) << row)
        for k in range(state.bucket_count[m, row]):
            n0 += size
            n1 -= size
            u0 += state.buckets[m, row, k, Moment.TOTAL]
            u1 -= state.buckets[m, row, k, Moment.TOTAL]
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

    An alarm writes ``before[m]``, ``after[m]`` and ``since[m]``. The next value resets the detector.

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
    if window[Window.ALARMED] != 0:
        adwin_reset(state, m)
    adwin_insert(state, m, value)
    window[Window.TICKS] += 1
    width = window[Window.WIDTH]
    if window[Window.TICKS] % state.clock != 0 or width <= state.grace_period:
        return 0
    before = state.moments[m, Moment.TOTAL] / np.float64(width)
    while adwin_cut_exists(state, m):
        adwin_drop_oldest(state, m)
    if window[Window.WIDTH] == width:
        return 0
    window[Window.ALARMED] = 1
    state.before[m] = before
    state.after[m] = state.moments[m, Moment.TOTAL] / np.float64(window[Window.WIDTH])
    state.since[m] = window[Window.WIDTH]
    return 1


class Adwin:
    """Owns the arrays of M ADWIN detectors.

    Parameters
    ----------
    detectors
        M, at least 0.
    delta
        Probability of a false alarm, in (0, 1).
    clock
        Values between two checks.
    max_buckets
        Most buckets of one size before the two oldest merge, at least 2 (so that no row is empty below a row in use).
    min_window_length
        Fewest values on either side of a cut.
    grace_period
        The window is checked when it has more values than this.

    Raises
    ------
    ValueError
        If ``delta`` lies outside (0, 1), ``max_buckets`` is below 2 or another count is below 1.
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

    def resize(self, detectors: int) -> None:
        """Change the number of detectors; remaining ones keep their windows, new ones are empty."""
        blank = _blank_arrays(detectors, self._max_buckets)
        kept = min(detectors, self.detectors)
        for name, array in blank.items():
            array[:kept] = getattr(self.state, name)[:kept]
        self.state = self.state._replace(**blank)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the complete state as named arrays."""
        return {name: getattr(self.state, attribute) for attribute, name in ADWIN.items()}

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Restore a state that `arrays` returned.

        Raises
        ------
        SnapshotError
            If an array is missing or does not fit these detectors' settings.
        """
        if "window" not in arrays:
            raise SnapshotError("ADWIN: the array 'window' is missing from the snapshot")
        blank = _blank_arrays(len(arrays["window"]), self._max_buckets)
        for attribute, name in ADWIN.items():
            array, given = blank[attribute], arrays.get(name)
            if given is None or given.shape != array.shape or given.dtype != array.dtype:
                found = "nothing" if given is None else f"{given.dtype}{given.shape}"
                raise SnapshotError(f"ADWIN: the array {name!r} should be {array.dtype}{array.shape}, found {found}")
            array[...] = given
        self.state = self.state._replace(**blank)

    @staticmethod
    def bytes_bound(detectors: int, max_buckets: int = 5) -> int:
        """Return the size in bytes of this many detectors."""
        one = _blank_arrays(1, max_buckets)
        return detectors * sum(array.nbytes for array in one.values())


def _blank_arrays(detectors: int, max_buckets: int) -> dict[str, np.ndarray]:
    window = np.zeros((detectors, WINDOW_FIELDS), np.int64)
    window[:, Window.ROWS] = 1
    return {
        "buckets": np.zeros((detectors, BUCKET_ROWS, max_buckets + 1, MOMENTS)),
        "bucket_count": np.zeros((detectors, BUCKET_ROWS), np.int64),
        "window": window,
        "moments": np.zeros((detectors, MOMENTS)),
        "before": np.zeros(detectors),
        "after": np.zeros(detectors),
        "since": np.zeros(detectors, np.int64),
    }
