"""Two clients, two partitioners: labels lie in other partitions than their instances, and all who can see it say so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

import pytest
from confluent_kafka import Producer
from kafka import KafkaProducer

from streamlearn.check.faults import find_faults
from streamlearn.kafka.partitioners import find_partitioners
from streamlearn.records.event import Event
from tests.integration.reference import settings_of
from tests.integration.service import Service

PARTITIONS = 4
COUNT = 200
MORE = [f"topics.partitions={PARTITIONS}", "engine.scope=partition"]

Send = Callable[[str, Iterable[tuple[bytes, bytes]]], dict[bytes, set[int]]]
"""Sends keys and values to a topic; returns the partition of each key."""


def by_kafka_python(service: Service, choose: Callable[[bytes], int | None] = lambda key: None) -> Send:
    def send(topic: str, records: Iterable[tuple[bytes, bytes]]) -> dict[bytes, set[int]]:
        producer = KafkaProducer(bootstrap_servers=service.broker, linger_ms=5)
        sent = {key: producer.send(topic, key=key, value=value, partition=choose(key)) for key, value in records}
        placed = {key: {future.get(timeout=60).partition} for key, future in sent.items()}
        producer.close(timeout=5)
        return placed

    return send


def by_librdkafka(service: Service, **options: str) -> Send:
    def send(topic: str, records: Iterable[tuple[bytes, bytes]]) -> dict[bytes, set[int]]:
        placed: dict[bytes, set[int]] = {}
        producer = Producer({"bootstrap.servers": service.broker, **options})
        for key, value in records:
            producer.produce(
                topic,
                key=key,
                value=value,
                on_delivery=lambda error, message: placed.update({message.key(): {message.partition()}}),
            )
        producer.flush(20)
        return placed

    return send


def rows(first: int = 0) -> list[tuple[bytes, bytes]]:
    return [
        (b"t-%d" % n, json.dumps({"id": f"t-{n}", "x": {"a": n % 3}}).encode()) for n in range(first, first + COUNT)
    ]


def truths() -> list[tuple[bytes, bytes]]:
    return [(b"t-%d" % n, json.dumps({"id": f"t-{n}", "y": ["news"]}).encode()) for n in range(COUNT)]


def test_the_partitioners_of_both_clients_are_recognised(service: Service) -> None:
    service.make_topics(more=MORE)
    topic = service.topic("instances")
    clients = [
        ("murmur2", by_kafka_python(service)),
        ("crc32", by_librdkafka(service)),
        ("crc32", by_librdkafka(service, partitioner="consistent")),
        ("murmur2", by_librdkafka(service, partitioner="murmur2_random")),
        ("murmur2", by_librdkafka(service, partitioner="murmur2")),
        ("fnv1a", by_librdkafka(service, partitioner="fnv1a_random")),
    ]
    for name, send in clients:
        placed = send(topic, rows())
        assert len(placed) == COUNT
        assert find_partitioners(placed, PARTITIONS) == [name]


@pytest.mark.parametrize("kind", ["one partitioner", "a custom one", "no keys"])
def test_nothing_is_reported_of_producers_that_agree(service: Service, kind: str) -> None:
    service.make_topics(labels=True, more=MORE)
    if kind == "no keys":
        for role, records in (("instances", rows()), ("labels", truths())):
            service.produce_raw(role, [value for _, value in records])
    else:
        custom = by_kafka_python(service, lambda key: (key[-1] + len(key)) % PARTITIONS)
        senders = {
            "one partitioner": (by_kafka_python(service), by_librdkafka(service, partitioner="murmur2_random")),
            "a custom one": (custom, custom),
        }[kind]
        for role, send, records in zip(("instances", "labels"), senders, (rows(), truths()), strict=True):
            send(service.topic(role), records)
    assert find_faults(settings_of(service, labels=True, more=MORE)) == []


def test_labels_in_other_partitions_than_their_instances_are_reported(service: Service) -> None:
    service.make_topics(labels=True, more=MORE)
    instances, labels = service.topic("instances"), service.topic("labels")
    placed = by_kafka_python(service)(instances, rows())
    apart = sum(placed[key] != partitions for key, partitions in by_librdkafka(service)(labels, truths()).items())
    assert apart > COUNT / 2

    (fault,) = find_faults(settings_of(service, labels=True, more=MORE))
    assert fault.startswith(
        f"{apart} of {COUNT} keys lie in different partitions of {instances} and {labels}, such as "
    )
    assert f"({instances} by murmur2, {labels} by crc32)" in fault
    assert find_faults(settings_of(service, labels=True, more=MORE[:1])) == []

    run = service.command("run", "--stop-at-end", *service.settings(labels=True, more=MORE))
    assert len(service.read("predictions")) == COUNT
    reported = f"{instances} is partitioned by murmur2, {labels} by crc32"
    lines = [line for line in run.stderr.splitlines() if reported in line]
    assert len(lines) == PARTITIONS
    events = [Event.model_validate_json(record.value) for record in service.read("events")]
    found = [event for event in events if event.kind == "partitioner"]
    assert sorted(event.source.partition for event in found if event.source) == list(range(PARTITIONS))
    for event in found:
        assert event.name == "instances: murmur2; labels: crc32"
        assert event.after > 0.5


def test_different_keys_are_told_apart_by_their_hashes(service: Service) -> None:
    service.make_topics(labels=True, more=MORE)
    by_kafka_python(service)(service.topic("instances"), rows(1_000))
    by_librdkafka(service)(service.topic("labels"), truths())
    (fault,) = find_faults(settings_of(service, labels=True, more=MORE))
    assert fault.startswith("two partitioners placed the keys (")
