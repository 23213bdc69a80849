"""What a worker shows and counts while brokers do not answer or requests fail."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry

from streamlearn.engine.metrics_observer import MetricsObserver
from streamlearn.errors import RetryableError
from streamlearn.telemetry.metrics import ServiceMetrics
from tests.engine.counted import Counted, run
from tests.engine.world import Faults, World, rows


class Outage:
    """The clock of a worker whose brokers stop answering."""

    def __init__(self) -> None:
        self.now = 50.0
        self.answered: float | None = None

    def observe(self, world: World) -> Counted:
        counted = Counted(world)
        counted.registry = CollectorRegistry()
        counted.metrics = ServiceMetrics(counted.registry)
        counted.observer = MetricsObserver(
            counted.metrics,
            world.settings,
            counted.published.append,
            monotonic=lambda: self.now,
            answered_at=lambda: self.answered,
        )
        return counted


def test_a_worker_without_brokers_is_not_ready_and_knows_no_lag(tmp_path: Path) -> None:
    outage = Outage()
    counted = outage.observe(World(tmp_path, kafka={"unready_after_seconds": 4.0, "bootstrap_servers": "kafka:9092"}))
    observer = counted.observer
    assert counted.value("broker_silent_seconds") is None
    outage.answered = outage.now
    for role in ("active", "stand-by"):
        outage.answered = outage.now
        observer.on_role(role, {})
        observer.on_lag(17, 2.5)
        outage.now += 4
        assert (observer.ready(), counted.value("lag_records")) == (None, 17)
        outage.now += 11
        assert observer.ready() == f"{role}: waiting for a broker of kafka:9092, none has answered for 15 s"
        assert counted.value("broker_silent_seconds") == 15
        assert counted.value("lag_records") is None
    outage.answered = outage.now
    assert observer.ready() is None


def test_failures_retries_and_aborted_transactions_are_counted(tmp_path: Path) -> None:
    world = World(tmp_path)
    for row in rows(90):
        world.add(row)
    counted = Counted(world)
    run(world, counted, Faults("before commit", 2, lambda: RetryableError("the broker is away")))
    assert counted.value("failures_total", of="commit") == 1
    assert counted.value("retries_total", of="commit") == 1
    assert counted.value("aborted_transactions_total") == 1
    run_again = Counted(world)
    for row in rows(200)[90:]:
        world.add(row)
    run(world, run_again, Faults("after commit", 2, lambda: RetryableError("the answer was lost")))
    assert run_again.value("failures_total", of="commit") == 1
    assert run_again.value("aborted_transactions_total") == 0, "it was committed"
    assert run_again.value("commit_age_seconds") == 0
