"""Page-Hinkley: detectors of a change in the mean by cumulated deviations from the running mean.

Source: E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954), pages 100-115, with a forgetting factor on
the cumulated sums. Alarms are those of ``river.drift.PageHinkley``. Two of its habits are kept: the largest sum of the
downward test starts at -1, and a detector that raised an alarm starts anew with the next value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from streamlearn.arithmetic.compile import kernel
from streamlearn.errors import SnapshotError

MODES = {"both": 0, "up": 1, "down": 2}
"""Which changes of the mean raise an alarm."""

_UP, _DOWN = MODES["up"], MODES["down"]


class PageHinkleyState(NamedTuple):
    """M independent detectors; the first axis of every array is the detector.

    Attributes
    ----------
    counts
        int64[M, 3]: values, values since the lowest upward sum, values since the highest downward sum.
    total
        float64[M, 3]: sums of the same values.
    mean
        float64[M], of all values since the start.
    sum_up, sum_down, lowest_up, highest_down
        float64[M], the two cumulated sums and their extremes.
    alarmed
        int8[M], 1 from an alarm to the next value.
    before, after
        float64[M], of the last alarm: mean of the values before and since the extreme of the sum that raised it.
    since
        int64[M], of the last alarm: values since that extreme, the estimated place of the change.
    alarms
        int64[M], alarms so far.
    min_instances, delta, threshold, alpha, mode
        Values before the first alarm; slack a value; height of the alarm; forgetting factor; a number of ``MODES``.
    """

    counts: np.ndarray
    total: np.ndarray
    mean: np.ndarray
    sum_up: np.ndarray
    sum_down: np.ndarray
    lowest_up: np.ndarray
    highest_down: np.ndarray
    alarmed: np.ndarray
    before: np.ndarray
    after: np.ndarray
    since: np.ndarray
    alarms: np.ndarray
    min_instances: int
    delta: float
    threshold: float
    alpha: float
    mode: int


@kernel
def page_hinkley_reset(state: PageHinkleyState, m: int) -> None:
    """Start detector m anew; what it said of its last alarm stays."""
    for k in range(3):
        state.counts[m, k] = 0
        state.total[m, k] = 0.0
    state.mean[m] = 0.0
    state.sum_up[m] = 0.0
    state.sum_down[m] = 0.0
    state.lowest_up[m] = np.inf
    state.highest_down[m] = -1.0
    state.alarmed[m] = 0


@kernel
def page_hinkley_update(state: PageHinkleyState, m: int, value: float) -> int:
    """Add a finite value to detector m and return 1 if its mean has changed, else 0."""
    if state.alarmed[m] != 0:
        page_hinkley_reset(state, m)
    for k in range(3):
        state.counts[m, k] += 1
        state.total[m, k] += value
    state.mean[m] += 1.0 / np.float64(state.counts[m, 0]) * (value - state.mean[m])
    deviation = value - state.mean[m]
    state.sum_up[m] = state.alpha * state.sum_up[m] + deviation - state.delta
    state.sum_down[m] = state.alpha * state.sum_down[m] + deviation + state.delta
    if state.sum_up[m] < state.lowest_up[m]:
        state.lowest_up[m] = state.sum_up[m]
        state.counts[m, 1] = 0
        state.total[m, 1] = 0.0
    if state.sum_down[m] > state.highest_down[m]:
        state.highest_down[m] = state.sum_down[m]
        state.counts[m, 2] = 0
        state.total[m, 2] = 0.0
    if state.counts[m, 0] < state.min_instances:
        return 0
    up = state.mode != _DOWN and state.sum_up[m] - state.lowest_up[m] > state.threshold
    down = state.mode != _UP and state.highest_down[m] - state.sum_down[m] > state.threshold
    if not (up or down):
        return 0
    side = 1 if up else 2
    since = state.counts[m, side]
    earlier = state.counts[m, 0] - since
    total = state.total[m, 0]
    state.after[m] = state.total[m, side] / np.float64(since)
    state.before[m] = (total - state.total[m, side]) / np.float64(earlier) if earlier > 0 else state.mean[m]
    state.since[m] = since
    state.alarms[m] += 1
    state.alarmed[m] = 1
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
        return len(self.state.mean)

    def update(self, m: int, value: float) -> bool:
        """Add a value to detector m; return whether it raised an alarm."""
        return page_hinkley_update(self.state, m, float(value)) != 0

    def reset_all(self) -> None:
        """Start every detector anew."""
        for m in range(self.detectors):
            page_hinkley_reset(self.state, m)

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
        if "mean" not in arrays:
            raise SnapshotError("Page-Hinkley: the array 'mean' is missing from the snapshot")
        blank = _blank_arrays(len(arrays["mean"]))
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
    return {
        "counts": np.zeros((detectors, 3), np.int64),
        "total": np.zeros((detectors, 3)),
        "mean": np.zeros(detectors),
        "sum_up": np.zeros(detectors),
        "sum_down": np.zeros(detectors),
        "lowest_up": np.full(detectors, np.inf),
        "highest_down": np.full(detectors, -1.0),
        "alarmed": np.zeros(detectors, np.int8),
        "before": np.zeros(detectors),
        "after": np.zeros(detectors),
        "since": np.zeros(detectors, np.int64),
        "alarms": np.zeros(detectors, np.int64),
    }
