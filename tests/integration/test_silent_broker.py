"""A broker that takes requests of a check or a command and does not answer: each ends within a bounded time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest

from streamlearn.errors import RetryableError
from streamlearn.kafka import client_options, instance_producer
from streamlearn.kafka.admin import last_records
from streamlearn.kafka.admin.broker_clock import find_clock_faults
from streamlearn.kafka.admin.key_placement import find_key_faults
from streamlearn.kafka.admin.topics import TopicAdmin, TopicDescription
from streamlearn.kafka.dead_letter_reader import DeadLetterReader
from streamlearn.kafka.instance_producer import send_stream
from streamlearn.settings.settings import Settings
from streamlearn.streams import open_stream
from tests.integration.proxy import Loss, Proxy
from tests.integration.reference import settings_of
from tests.integration.service import Service

LIST_OFFSETS, METADATA, DESCRIBE_CONFIGS, NEVER = 2, 3, 32, -1
ANSWER_SECONDS = 0.6
MOST_SECONDS = 10.0
"""Less than the half minute that the client waits by itself."""


@pytest.fixture
def proxy(broker: str) -> Iterator[Proxy]:
    made = Proxy(broker)
    yield made
    made.close()


def send(settings: Settings) -> None:
    bootstrap = settings.kafka.bootstrap_servers
    send_stream(
        open_stream("synthetic:stationary", seed=0, instances=3), bootstrap=bootstrap, topic=settings.topics.instances
    )


CALLS: dict[str, tuple[int, int, Callable[[Settings, dict[str, TopicDescription]], object]]] = {
    "keys": (LIST_OFFSETS, 1, find_key_faults),
    "clock": (LIST_OFFSETS, 1, find_clock_faults),
    # The first two ask for the brokers.
    "topics": (METADATA, 3, lambda settings, topics: TopicAdmin(settings).describe()),
    "dead letters": (METADATA, 3, lambda settings, topics: DeadLetterReader(settings)),
    "limits": (DESCRIBE_CONFIGS, 1, lambda settings, topics: send(settings)),
}
"""Each call, with the key of the request and the number of the first one that is lost."""


@pytest.mark.parametrize("name", CALLS)
def test_a_request_that_is_not_answered_ends_within_a_bounded_time(
    service: Service, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    more = ["engine.scope=partition", "topics.partitions=2"]
    service.make_topics(labels=True, more=more)
    through = [*more, f"kafka.bootstrap_servers={proxy.address}"]
    settings = settings_of(service, labels=True, more=through)
    topics = TopicAdmin(settings_of(service, labels=True, more=more)).describe()
    monkeypatch.setattr(client_options, "ANSWER_TIMEOUT_MS", int(ANSWER_SECONDS * 1_000))
    monkeypatch.setattr(instance_producer, "ANSWER_TIMEOUT_MS", int(ANSWER_SECONDS * 1_000))
    monkeypatch.setattr(last_records, "READ_SECONDS", ANSWER_SECONDS)
    api_key, first, call = CALLS[name]
    proxy.lose(Loss(api_key, first, "request", NEVER))
    begun = time.monotonic()
    with contextlib.suppress(RetryableError):
        call(settings, topics)
    assert proxy.lost, "the request was not made"
    assert time.monotonic() < begun + MOST_SECONDS
