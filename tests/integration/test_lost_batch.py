"""Outputs that do not reach the broker, or whose answer is lost, for longer than the client retries."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from streamlearn.engine.loop.engine import Engine
from streamlearn.kafka import sink as sink_module
from streamlearn.kafka.sink import PRODUCER_OPTIONS, KafkaSink
from streamlearn.kafka.source import KafkaSource
from streamlearn.snapshot.store import SnapshotStore
from tests.integration.proxy import INIT_PRODUCER_ID, PRODUCE, Loss, Proxy
from tests.integration.reference import assert_equals_an_uninterrupted_run, settings_of
from tests.integration.service import Service
from tests.integration.test_faults import assert_each_handled_once, instance

COUNT = 80


@pytest.fixture
def proxy(broker: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Start a proxy, and shorten the timeouts of the client."""
    short = {"request_timeout_ms": 300, "delivery_timeout_ms": 900, "linger_ms": 0}
    monkeypatch.setattr(sink_module, "PRODUCER_OPTIONS", PRODUCER_OPTIONS | short)
    monkeypatch.setattr(sink_module, "FLUSH_SECONDS", 3.0)
    monkeypatch.setattr(sink_module, "CLOSE_SECONDS", 1.0)
    made = Proxy(broker)
    yield made
    made.close()


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_a_transaction_that_lost_a_batch_is_never_committed(
    service: Service, proxy: Proxy, tmp_path: Path, lost: Literal["request", "answer"]
) -> None:
    """The client drops a batch after its timeout, returns from ``flush``, and would commit the rest."""
    more = ["engine.batch_instances=20"]
    service.make_topics(more=more)
    service.produce_raw("instances", [instance(row) for row in range(COUNT)])
    settings = settings_of(service, labels=False, more=[*more, f"kafka.bootstrap_servers={proxy.address}"])
    proxy.lose(Loss(PRODUCE, after=4, what=lost, until=INIT_PRODUCER_ID))
    Engine(settings, KafkaSource(settings), KafkaSink(settings), SnapshotStore(str(tmp_path))).run(stop_at_end=True)
    assert proxy.lost, "the fault did not happen"
    assert_each_handled_once(service, COUNT)
    assert_equals_an_uninterrupted_run(service, settings_of(service, labels=False, more=more))


def test_a_producer_that_cannot_flush_is_closed_within_its_time(
    service: Service, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``close`` flushes first: without a timeout it waits for ever, and with one it raises."""
    monkeypatch.setattr(sink_module, "PRODUCER_OPTIONS", PRODUCER_OPTIONS | {"delivery_timeout_ms": 20_000})
    service.make_topics()
    settings = settings_of(service, labels=False, more=[f"kafka.bootstrap_servers={proxy.address}"])
    sink = KafkaSink(settings)
    sink.open()
    producer = sink._producer
    assert producer is not None
    producer.begin_transaction()
    proxy.lose(Loss(PRODUCE, after=1, what="request", until=-1))
    producer.send(service.topic("predictions"), value=b"never written", partition=0)
    start = time.monotonic()
    sink.close()
    assert time.monotonic() - start < 15, "it waited for the delivery, which ends after 20 s"
    assert not sink.is_open
