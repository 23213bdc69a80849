"""An engine on memory whose metrics observer has a registry of its own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry

from streamlearn.engine.loop.engine import Engine
from streamlearn.engine.metrics_observer import MetricsObserver
from streamlearn.records.metrics import Metrics
from streamlearn.sink.base import OutputRecord
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.source.memory import MemorySource
from streamlearn.telemetry.metrics import ServiceMetrics
from tests.engine.world import GROUP, LINEAGE, Faults, FaultySink, World

CLOCK_NS = 1_700_000_000_123_456_789


class Counted:
    """A metrics observer with its own registry, and the records that it publishes."""

    def __init__(self, world: World, monotonic: Callable[[], float] = lambda: 0.0) -> None:
        self.registry = CollectorRegistry()
        self.published: list[OutputRecord] = []
        self.metrics = ServiceMetrics(self.registry)
        self.observer = MetricsObserver(
            self.metrics, world.settings, self.published.append, clock=lambda: CLOCK_NS, monotonic=monotonic
        )

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"streamlearn_{name}", labels)

    def records(self) -> list[Metrics]:
        return [Metrics.model_validate_json(record.value or b"") for record in self.published]


def make_engine(
    world: World, counted: Counted, faults: Faults | None = None, source: type[MemorySource] = MemorySource
) -> Engine:
    topics = [topic for topic in (world.settings.topics.instances, world.settings.topics.labels) if topic]
    return Engine(
        world.settings,
        source(world.log, topics, GROUP),
        FaultySink(world.log, faults or Faults()),
        SnapshotStore(str(world.folder)),
        observer=counted.observer,
        clock=world.clock,
        lineage=lambda: LINEAGE,
    )


def run(world: World, counted: Counted, faults: Faults | None = None) -> Engine:
    engine = make_engine(world, counted, faults)
    engine.run(stop_at_end=True)
    return engine
