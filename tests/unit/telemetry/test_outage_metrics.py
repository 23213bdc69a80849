"""Lag and ages: a series exists while its value is known, and no longer."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streamlearn.telemetry.outage_metrics import LAG_VALID_SECONDS, OutageMetrics


class Moments:
    """The clock, and when a broker last answered."""

    now = 100.0
    answered: float | None = None


@pytest.fixture
def moments() -> Moments:
    return Moments()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry, moments: Moments) -> OutageMetrics:
    made = OutageMetrics("worker", registry)
    made.start(lambda: moments.now, lambda: moments.answered)
    return made


def series(registry: CollectorRegistry) -> dict[str, float]:
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {sample.name.removeprefix("worker_"): sample.value for family in families for sample in family.samples}


def test_nothing_is_known_at_the_start(registry: CollectorRegistry, metrics: OutageMetrics) -> None:
    assert series(registry) == {}
    with pytest.raises(ValueError, match="Duplicated"):
        Gauge("worker_lag_records", "A second one of that name.", registry=registry)


def test_lag_is_left_out_when_it_is_old_or_no_broker_answers(
    registry: CollectorRegistry, metrics: OutageMetrics, moments: Moments
) -> None:
    moments.answered = moments.now
    metrics.set_lag(17, 2.5)
    assert series(registry) == {"lag_records": 17, "lag_seconds": 2.5, "broker_silent_seconds": 0}
    moments.now += LAG_VALID_SECONDS + 1
    moments.answered = moments.now
    assert series(registry) == {"broker_silent_seconds": 0}, "the loop has reported nothing since"
    metrics.set_lag(3, 0.0)
    moments.answered = moments.now - LAG_VALID_SECONDS - 1
    assert series(registry) == {"broker_silent_seconds": LAG_VALID_SECONDS + 1}
    moments.answered = moments.now
    metrics.set_lag(None, None)
    assert series(registry) == {"broker_silent_seconds": 0}


def test_a_standby_has_a_lag_of_its_own(registry: CollectorRegistry, metrics: OutageMetrics) -> None:
    metrics.set_lag(17, 2.5)
    metrics.set_stand_by_lag(4)
    assert series(registry) == {"stand_by_lag_batches": 4}
    metrics.set_stand_by_lag(None)
    assert series(registry) == {}
    metrics.set_lag(17, 2.5)
    metrics.set_stand_by_lag(None)
    assert series(registry) == {"lag_records": 17, "lag_seconds": 2.5}, "an active worker is no standby"


def test_ages_grow_by_themselves(registry: CollectorRegistry, metrics: OutageMetrics, moments: Moments) -> None:
    metrics.note_commit()
    moments.answered = 95.0
    moments.now += 40
    assert series(registry) == {"broker_silent_seconds": 45, "commit_age_seconds": 40}
