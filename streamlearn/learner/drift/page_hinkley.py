"""Page-Hinkley: detectors of a change in the mean by cumulated deviations from the running mean.

Source: E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954), pages 100-115, with a forgetting factor on
the cumulated sums. Alarms are those of ``river.drift.PageHinkley``. Two of its habits are kept: the largest sum of the
downward test starts at -1, and a detector that raised an alarm starts anew with the next value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.kernels.compiler import kernel

MODES = {"both": 0, "up": 1, "down": 2}
"""Which changes of the mean raise an alarm."""

_UP, _DOWN = MODES["up"], MODES["down"]

VALUES, SINCE_LOWEST, SINCE_HIGHEST, ALARMED, COUNTS = range(5)
TOTAL, TOTAL_UP, TOTAL_DOWN, MEAN, RISEN, FALLEN, LOWEST, HIGHEST, SUMS = range(9)


class PageHinkleyState(NamedTuple):
    """M independent detectors; the first axis of every array is the detector.

    Attributes
    ----------
    counts
        int64[M, COUNTS]: values; values since the lowest sum of the upward test; values since the highest sum of the
        downward test; 1 from an alarm to the next value.
    sums
        float64[M, SUMS]: sums of the values of these three counts; mean of all values since the start; the cumulated
        sums of the upward and the downward test; the lowest of the one and the highest of the other.
    before, after
        float64[M], of the last alarm: mean of the values before and since the extreme of the sum that raised it.
    since
        int64[M], of the last alarm: values since that extreme, the estimated place of the change.
    min_instances, delta, threshold, alpha, mode
        Values before the first alarm; slack a value; height of the alarm; forgetting factor; a number of ``MODES``.
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
    if counts[ALARMED] != 0:
        for k in range(COUNTS):
            counts[k] = 0
        for k in range(SUMS):
            sums[k] = 0.0
        sums[LOWEST] = np.inf
        sums[HIGHEST] = -1.0
    for k in range(3):
        counts[k] += 1
        sums[k] += value
    values = counts[VALUES]
    sums[MEAN] += 1.0 / np.float64(values) * (value - sums[MEAN])
    deviation = value - sums[MEAN]
    sums[RISEN] = state.alpha * sums[RISEN] + deviation - state.delta
    sums[FALLEN] = state.alpha * sums[FALLEN] + deviation + state.delta
    if sums[RISEN] < sums[LOWEST]:
        sums[LOWEST] = sums[RISEN]
        counts[SINCE_LOWEST] = 0
        sums[TOTAL_UP] = 0.0
    if sums[FALLEN] > sums[HIGHEST]:
        sums[HIGHEST] = sums[FALLEN]
        counts[SINCE_HIGHEST] = 0
        sums[TOTAL_DOWN] = 0.0
    up = state.mode != _DOWN and sums[RISEN] - sums[LOWEST] > state.threshold
    down = state.mode != _UP and sums[HIGHEST] - sums[FALLEN] > state.threshold
    if values < state.min_instances or not (up or down):
        return 0
    side = SINCE_LOWEST if up else SINCE_HIGHEST
    since = counts[side]
    state.after[m] = sums[side] / np.float64(since)
    # The downward test's first extreme lies before all values: there is no mean before it.
    state.before[m] = (sums[TOTAL] - sums[side]) / np.float64(values - since) if values > since else sums[MEAN]
    state.since[m] = since
    counts[ALARMED] = 1
    return 1


class PageHinkley:
    """Holds, names and resizes the arrays of M Page-Hinkley detectors.

    Parameters
    ----------
    detectors
        M, at least 0.
    min_instances
        Values before the first alarm.
    delta
        Slack a value, in units of the value.
    threshold
        Height that a cumulated sum must rise above its extreme, in units of the value.
    alpha
        Forgetting factor of the cumulated sums, in (0, 1].
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
            mode=MODES[mode],
        )

    @property
    def detectors(self) -> int:
        """The number of detectors, M."""
        return len(self.state.counts)

    def update(self, m: int, value: float) -> bool:
        """Add a value to detector m; return whether it raised an alarm."""
        return page_hinkley_update(self.state, m, float(value)) != 0

    def reset_all(self) -> None:
        """Start every detector anew."""
        blank = _blank_arrays(self.detectors)
        for name in ("counts", "sums"):
            getattr(self.state, name)[...] = blank[name]

    def resize(self, detectors: int) -> None:
        """Change the number of detectors; those that stay keep their sums, new ones start empty."""
        blank = _blank_arrays(detectors)
        kept = min(detectors, self.detectors)
        for name, array in blank.items():
            array[:kept] = getattr(self.state, name)[:kept]
        self.state = self.state._replace(**blank)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the complete state by name."""
        return {name: getattr(self.state, name) for name in _blank_arrays(0)}

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over a state that ``arrays`` returned.

        Raises
        ------
        SnapshotError
            If an array is missing or does not fit.
        """
        if "counts" not in arrays:
            raise SnapshotError("Page-Hinkley: the array 'counts' is missing from the snapshot")
        blank = _blank_arrays(len(arrays["counts"]))
        for name, array in blank.items():
            given = arrays.get(name)
            if given is None or given.shape != array.shape or given.dtype != array.dtype:
                found = "nothing" if given is None else f"{given.dtype}{given.shape}"
                raise SnapshotError(
                    f"Page-Hinkley: the array {name!r} should be {array.dtype}{array.shape}, found {found}"
                )
            array[...] = given
        self.state = self.state._replace(**blank)

    @staticmethod
    def bytes_bound(detectors: int) -> int:
        """Return the bytes that this many detectors hold."""
        return detectors * sum(array.nbytes for array in _blank_arrays(1).values())


def _blank_arrays(detectors: int) -> dict[str, np.ndarray]:
    sums = np.zeros((detectors, SUMS))
    sums[:, LOWEST], sums[:, HIGHEST] = np.inf, -1.0
    return {
        "counts": np.zeros((detectors, COUNTS), np.int64),
        "sums": sums,
        "before": np.zeros(detectors),
        "after": np.zeros(detectors),
        "since": np.zeros(detectors, np.int64),
    }
