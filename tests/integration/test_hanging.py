"""Markers that a stopping broker never sent: what hangs is ended, as its transaction was, when a successor opens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.producer.transaction_manager import TransactionalRequestResult, TxnOffsetCommitHandler
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata
from kafka.structs import TopicPartition as ClientPartition

from streamlearn.sink.kafka import PRODUCER_OPTIONS, KafkaSink
from tests.integration.reference import settings_of
from tests.integration.service import Service


def _verify(broker: str, enabled: bool) -> None:
    admin = KafkaAdminClient(bootstrap_servers=broker)
    name, value = "transaction.partition.verification.enable", "true" if enabled else "false"
    admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, "1", {name: value})])
    admin.close()


@pytest.fixture
def unverified(broker: str) -> Iterator[str]:
    """Let the broker take records into transactions that do not know of their partitions, for the test."""
    _verify(broker, enabled=False)
    yield broker
    _verify(broker, enabled=True)


def leave_hanging(
    service: Service, transactional_id: str, *, committed: bool, offsets: dict[tuple[str, int], tuple[int, str]]
) -> None:
    """End a transaction whose coordinator sends no marker to the predictions and to the group's offsets."""
    producer = KafkaProducer(bootstrap_servers=service.broker, **PRODUCER_OPTIONS, transactional_id=transactional_id)
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(service.topic("events"), value=b"{}", partition=0).get(timeout=10)
    manager: Any = producer._transaction_manager
    place = ClientPartition(service.topic("predictions"), 0)
    manager._partitions_in_transaction.add(place)
    producer.send(place.topic, value=b"hanging", partition=place.partition).get(timeout=10)
    handler = TxnOffsetCommitHandler(
        manager,
        ConsumerGroupMetadata(service.name),
        {ClientPartition(*at): OffsetAndMetadata(*entry, -1) for at, entry in offsets.items()},
        TransactionalRequestResult(),
    )
    manager._pending_txn_offset_commits.update(handler.offsets)
    with manager._lock:
        manager._enqueue_request(handler)
    producer._sender.wakeup()
    assert handler.result.wait(10_000)
    if committed:
        producer.commit_transaction()
    else:
        producer.abort_transaction()
    producer.close(timeout=5)


def readable(service: Service) -> tuple[int, int]:
    """Return the end of the predictions for a reader of committed records, and for a reader of all."""
    ends = []
    place = ClientPartition(service.topic("predictions"), 0)
    for level in ("read_committed", "read_uncommitted"):
        consumer = KafkaConsumer(bootstrap_servers=service.broker, isolation_level=level)
        ends.append(consumer.end_offsets([place])[place])
        consumer.close()
    return ends[0], ends[1]


@pytest.mark.parametrize("committed", [True, False])
def test_what_hangs_is_ended_as_its_transaction_was(service: Service, unverified: str, committed: bool) -> None:
    service.create_topics()
    settings = settings_of(service, labels=False)
    sink = KafkaSink(settings)
    place = (service.topic("instances"), 0)
    leave_hanging(service, sink.transactional_id, committed=committed, offsets={place: (7, "1:" + "a" * 24)})
    assert readable(service) == (0, 1)
    group = KafkaConsumer(bootstrap_servers=service.broker, group_id=service.name, isolation_level="read_committed")
    with pytest.raises(kafka_errors.KafkaTimeoutError):
        group.committed(ClientPartition(*place), timeout_ms=1_000)
    sink.open()
    sink.close()
    found = group.committed(ClientPartition(*place), metadata=True, timeout_ms=10_000)
    group.close()
    assert (found is not None and (found.offset, found.metadata)) == (committed and (7, "1:" + "a" * 24))
    assert [record.value for record in service.read("predictions")] == ([b"hanging"] if committed else [])
    end, all_end = readable(service)
    assert end == all_end, "nothing hangs any more"
