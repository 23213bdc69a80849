"""A restore that takes longer than the group waits for a poll."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from streamlearn.engine.loop.engine import Engine
from streamlearn.engine.recovery.replay import Replay
from streamlearn.kafka import source as source_module
from streamlearn.kafka.sink import KafkaSink
from streamlearn.kafka.source import KafkaSource
from tests.integration.reference import assert_equals_an_uninterrupted_run, settings_of
from tests.integration.service import Service
from tests.integration.test_faults import assert_each_handled_once, instance

BATCHES = 8


@pytest.mark.parametrize("alive", [True, False])
def test_a_restore_longer_than_the_poll_interval_keeps_the_partitions_or_gets_them_back(
    service: Service, monkeypatch: pytest.MonkeyPatch, alive: bool
) -> None:
    """Polls between batches keep the membership; without them it is lost, but the model is not."""
    more = ["engine.batch_instances=10", "kafka.session_timeout_ms=1000"]
    service.make_topics(more=more)
    settings = settings_of(service, labels=False, more=more)

    def run(first: int, last: int) -> list[str]:
        service.produce_raw("instances", [instance(row) for row in range(first, last)])
        source = KafkaSource(settings)
        kinds: list[str] = []
        record_change = source.record_change

        def record_kind(kind: Any, partitions: Any, token: Any) -> None:
            kinds.append(kind)
            record_change(kind, partitions, token)

        source.record_change = record_kind
        Engine(settings, source, KafkaSink(settings)).run(stop_at_end=True)
        return kinds

    run(0, BATCHES * 10)
    monkeypatch.setattr(source_module, "MAX_POLL_INTERVAL_MS", 1_500)
    monkeypatch.setattr(source_module, "KEEP_ALIVE_SECONDS", 0.3 if alive else 60.0)
    apply = Replay.apply
    never = threading.Event()

    def apply_slowly(self: Replay, entry: Any) -> int:
        never.wait(0.4)
        return apply(self, entry)

    monkeypatch.setattr(Replay, "apply", apply_slowly)
    kinds = run(BATCHES * 10, BATCHES * 10 + 20)
    # The first assignment comes after an empty revocation.
    assert kinds.count("assigned") == (1 if alive else 2), kinds
    assert_each_handled_once(service, BATCHES * 10 + 20)
    assert_equals_an_uninterrupted_run(service, settings)
