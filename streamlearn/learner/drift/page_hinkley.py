"""Page-Hinkley drift detectors: a change of the mean by cumulative deviations from the running mean.

Source: E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954), pages 100-115, with a forgetting factor on
the cumulative sums. Alarms are those of ``river.drift.PageHinkley``, including two of its properties: the largest sum
of the downward test starts at -1, and a detector that raised an alarm is reset by the next value.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.kernels.compiler import kernel
from streamlearn.state.array_names import PAGE_HINKLEY


class Direction(IntEnum):
    """Which changes of the mean raise an alarm."""

    BOTH = 0  # either
    UP = 1  # a larger mean
    DOWN = 2  # a smaller mean


MODES = {"both": Direction.BOTH, "up": Direction.UP, "down": Direction.DOWN}


class Count(IntEnum):
    """Fields of a row of `PageHinkleyState.counts`."""

    VALUES = 0  # values since the last reset
    SINCE_LOWEST = 1  # values since the lowest sum of the upward test
    SINCE_HIGHEST = 2  # values since the highest sum of the downward test
    ALARMED = 3  # 1 from an alarm to the next value


class Sum(IntEnum):
    """Fields of a row of `PageHinkleyState.sums`."""

    VALUES = 0  # sum of the values since the last reset
    SINCE_LOWEST = 1  # sum of the values since the lowest sum of the upward test
    SINCE_HIGHEST = 2  # sum of the values since the highest sum of the downward test
    MEAN = 3  # mean of the values since the last reset
    UPWARD = 4  # cumulative sum of the upward test
    DOWNWARD = 5  # cumulative sum of the downward test
    LOWEST = 6  # lowest sum of the upward test
    HIGHEST = 7  # highest sum of the downward test


COUNTS = len(Count)
SUMS = len(Sum)
SPANS = 3
"""The first fields of `Count` and `Sum` are the number and the sum of the same values."""


class PageHinkleyState(NamedTuple):
    """M independent detectors; the first axis of every array is the detector.

    Attributes
    ----------
    counts
        int64[M, COUNTS], fields `Count`.
    sums
        float64[M, SUMS], fields `Sum`.
    before
        float64[M], of the last alarm: mean of the values before the extreme of the sum that raised it.
    after
        float64[M], of the last alarm: mean of the values since that extreme.
    since
        int64[M], of the last alarm: values since that extreme, an estimate of the values since the change.
    min_instances
        Values before the first alarm.
    delta
        Slack per value.
    threshold
        Height of a cumulative sum above its extreme that raises an alarm.
    alpha
        Forgetting factor of the cumulative sums.
    mode
        A `Direction`.
    """

    counts: np.ndarray
    sums: np.ndarray
    before: np.ndarray
    after: np.ndarray
    since: np.ndarray
    min_instances: int
    delta: float
    threshold: float
    alpha: float
    mode: int


@kernel
def page_hinkley_update(state: PageHinkleyState, m: int, value: float) -> int:
    """Add a finite value to detector m and return 1 if its mean has changed, else 0."""
    counts, sums = state.counts[m], state.sums[m]
    if counts[Count.ALARMED] != 0:
        for k in range(COUNTS):
            counts[k] = 0
        for k in range(SUMS):
            sums[k] = 0.0
        sums[Sum.LOWEST] = np.inf
        sums[Sum.HIGHEST] = -1.0
    for k in range(SPANS):
        counts[k] += 1
        sums[k] += value
    values = counts[Count.VALUES]
    sums[Sum.MEAN] += 1.0 / np.float64(values) * (value - sums[Sum.MEAN])
    deviation = value - sums[Sum.MEAN]
    sums[Sum.UPWARD] = state.alpha * sums[Sum.UPWARD] + deviation - state.delta
    sums[Sum.DOWNWARD] = state.alpha * sums[Sum.DOWNWARD] + deviation + state.delta
    if sums[Sum.UPWARD] < sums[Sum.LOWEST]:
        sums[Sum.LOWEST] = sums[Sum.UPWARD]
        counts[Count.SINCE_LOWEST] = 0
        sums[Sum.SINCE_LOWEST] = 0.0
    if sums[Sum.DOWNWARD] > sums[Sum.HIGHEST]:
        sums[Sum.HIGHEST] = sums[Sum.DOWNWARD]
        counts[Count.SINCE_HIGHEST] = 0
        sums[Sum.SINCE_HIGHEST] = 0.0
    up = state.mode != Direction.DOWN and sums[Sum.UPWARD] - sums[Sum.LOWEST] > state.threshold
    down = state.mode != Direction.UP and sums[Sum.HIGHEST] - sums[Sum.DOWNWARD] > state.threshold
    if values < state.min_instances or not (up or down):
        return 0
    span = np.int64(Count.SINCE_LOWEST if up else Count.SINCE_HIGHEST)
    since = counts[span]
    total = sums[span]
    state.after[m] = total / np.float64(since)
    # The first extreme of the downward test precedes all values: there is no mean before it.
    state.before[m] = (sums[Sum.VALUES] - total) / np.float64(values - since) if values > since else sums[Sum.MEAN]
    state.since[m] = since
    counts[Count.ALARMED] = 1
    return 1


class PageHinkley:
    """Owns the arrays of M Page-Hinkley detectors.

    Parameters
    ----------
    detectors
        M, at least 0.
    min_instances
        Values before the first alarm.
    delta
        Slack per value, in units of the value.
    threshold
        Height of a cumulative sum above its extreme that raises an alarm, in units of the value.
    alpha
        Forgetting factor of the cumulative sums, in (0, 1].
    mode
        ``"up"``, ``"down"`` or ``"both"``: which changes of the mean raise an alarm.

    Raises
    ------
    ValueError
        If ``mode`` is none of the three.
    """

    def __init__(
        self,
        detectors: int,
        min_instances: int = 30,
        delta: float = 0.005,
        threshold: float = 50.0,
        alpha: float = 1 - 0.0001,
        mode: str = "both",
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"Page-Hinkley: mode must be one of {', '.join(MODES)}, not {mode!r}")
        self.state = PageHinkleyState(
            *_blank_arrays(detectors).values(),
            min_instances=int(min_instances),
            delta=float(delta),
            threshold=float(threshold),
            alpha=float(alpha),
            mode=int(MODES[mode]),
        )

    @property
    def detectors(self) -> int:
        """The number of detectors, M."""
        return len(self.state.counts)

    def update(self, m: int, value: float) -> bool:
        """Add a value to detector m; return whether it raised an alarm."""
        return page_hinkley_update(self.state, m, float(value)) != 0

    def resize(self, detectors: int) -> None:
        """Change the number of detectors; remaining ones keep their sums, new ones are empty."""
        blank = _blank_arrays(detectors)
        kept = min(detectors, self.detectors)
        for name, array in blank.items():
            array[:kept] = getattr(self.state, name)[:kept]
        self.state = self.state._replace(**blank)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the complete state as named arrays."""
        return {name: getattr(self.state, attribute) for attribute, name in PAGE_HINKLEY.items()}

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Restore a state that `arrays` returned.

        Raises
        ------
        SnapshotError
            If an array is missing or does not fit.
        """
        if "counts" not in arrays:
            raise SnapshotError("Page-Hinkley: the array 'counts' is missing from the snapshot")
        blank = _blank_arrays(len(arrays["counts"]))
        for attribute, name in PAGE_HINKLEY.items():
            array, given = blank[attribute], arrays.get(name)
            if given is None or given.shape != array.shape or given.dtype != array.dtype:
                found = "nothing" if given is None else f"{given.dtype}{given.shape}"
                raise SnapshotError(
                    f"Page-Hinkley: the array {name!r} should be {array.dtype}{array.shape}, found {found}"
                )
            array[...] = given
        self.state = self.state._replace(**blank)

    @staticmethod
    def bytes_bound(detectors: int) -> int:
        """Return the size in bytes of this many detectors."""
        return detectors * sum(array.nbytes for array in _blank_arrays(1).values())


def _blank_arrays(detectors: int) -> dict[str, np.ndarray]:
    sums = np.zeros((detectors, SUMS))
    sums[:, Sum.LOWEST], sums[:, Sum.HIGHEST] = np.inf, -1.0
    return {
        "counts": np.zeros((detectors, COUNTS), np.int64),
        "sums": sums,
        "before": np.zeros(detectors),
        "after": np.zeros(detectors),
        "since": np.zeros(detectors, np.int64),
    }
