"""Metrics that show an outage of the brokers: what is not known has no series, and ages are computed when read.

A gauge that is set keeps its value while nothing sets it; so a worker whose brokers are away would show the lag of the
moment before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

LAG_VALID_SECONDS = 10.0
"""A lag that was reported longer ago is not known any more; it is reported about every second."""

_STAND_BY_LAG = "stand_by_lag_batches"
_HELP = {
    "lag_records": "Offsets not applied yet; absent while it is not known, as when no broker answers, and for a worker "
    "that is not active.",
    "lag_seconds": "Age of the last applied record while there is lag, else 0; absent when lag_records is.",
    _STAND_BY_LAG: "Committed batches that the standby has not applied yet; absent while it is not known, and "
    "for a worker that is no warm standby.",
    "broker_silent_seconds": "Seconds since a broker last answered; absent before the first answer.",
    "commit_age_seconds": "Seconds since the last commit of this process; absent before the first one.",
}


class _Reported(NamedTuple):
    """Values by name, and when they were reported."""

    values: dict[str, float]
    at: float


class OutageMetrics(Collector):
    """Lag, and the ages of the last answer and the last commit.

    Parameters
    ----------
    prefix:
        First part of every name.
    registry:
        Where the metrics are read.
    clock:
        Seconds, monotonic.
    """

    def __init__(self, prefix: str, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic) -> None:
        self._prefix = prefix
        self._clock = clock
        self._answered_at: Callable[[], float | None] = lambda: None
        self._committed_at: float | None = None
        self._lag = _Reported({}, 0.0)
        registry.register(self)

    def start(self, clock: Callable[[], float], answered_at: Callable[[], float | None]) -> None:
        """Use another clock, and ask ``answered_at`` when, by this clock, a broker last answered."""
        self._clock = clock
        self._answered_at = answered_at

    def set_lag(self, records: int | None, seconds: float | None) -> None:
        """Set the lag of an active worker; None when it is not known."""
        known = {"lag_records": records, "lag_seconds": seconds}
        self._lag = _Reported({name: value for name, value in known.items() if value is not None}, self._clock())

    def set_stand_by_lag(self, batches: int | None) -> None:
        """Set the lag of a warm standby; None for any other worker."""
        if batches is not None:
            self._lag = _Reported({_STAND_BY_LAG: batches}, self._clock())
        elif _STAND_BY_LAG in self._lag.values:
            self._lag = _Reported({}, self._clock())

    def note_commit(self) -> None:
        """Note that a batch was committed."""
        self._committed_at = self._clock()

    def describe(self) -> Iterable[Metric]:
        """Return the metrics without values."""
        return [self._family(name) for name in _HELP]

    def collect(self) -> Iterable[Metric]:
        """Return the metrics with the values that are known now."""
        now = self._clock()
        answered_at, committed_at, lag = self._answered_at(), self._committed_at, self._lag
        values: dict[str, float] = {}
        if answered_at is not None:
            values["broker_silent_seconds"] = max(0.0, now - answered_at)
        if committed_at is not None:
            values["commit_age_seconds"] = max(0.0, now - committed_at)
        if now - lag.at <= LAG_VALID_SECONDS and values.get("broker_silent_seconds", 0.0) <= LAG_VALID_SECONDS:
            values |= lag.values
        families = []
        for name in _HELP:
            family = self._family(name)
            if name in values:
                family.add_metric([], values[name])
            families.append(family)
        return families

    def _family(self, name: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"{self._prefix}_{name}", _HELP[name])
