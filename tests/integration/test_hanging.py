"""Hanging transactions, whose markers a broker never sent, are completed with their outcome by a successor."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.producer.transaction_manager import TransactionalRequestResult, TxnOffsetCommitHandler
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata
from kafka.structs import TopicPartition as ClientPartition

from streamlearn.kafka import transaction_markers
from streamlearn.kafka.sink import PRODUCER_OPTIONS, KafkaSink
from tests.integration.reference import settings_of
from tests.integration.service import Service


def _set_verification(broker: str, enabled: bool) -> None:
    admin = KafkaAdminClient(bootstrap_servers=broker)
    name, value = "transaction.partition.verification.enable", "true" if enabled else "false"
    admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, "1", {name: value})])
    admin.close()


@pytest.fixture
def unverified(broker: str) -> Iterator[str]:
    """Let the broker accept transactional records in partitions that were not added to the transaction."""
    _set_verification(broker, enabled=False)
    yield broker
    _set_verification(broker, enabled=True)


def leave_hanging(
    service: Service, transactional_id: str, *, committed: bool, offsets: dict[tuple[str, int], tuple[int, str]]
) -> None:
    """Complete a transaction whose coordinator sends no marker to the predictions and to the group's offsets."""
    producer = KafkaProducer(bootstrap_servers=service.broker, **PRODUCER_OPTIONS, transactional_id=transactional_id)
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(service.topic("events"), value=b"{}", partition=0).get(timeout=60)
    manager: Any = producer._transaction_manager
    partition = ClientPartition(service.topic("predictions"), 0)
    manager._partitions_in_transaction.add(partition)
    producer.send(partition.topic, value=b"hanging", partition=partition.partition).get(timeout=60)
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
    assert handler.result.wait(60_000)
    if committed:
        producer.commit_transaction()
    else:
        producer.abort_transaction()
    producer.close(timeout=5)


def read_ends(service: Service) -> tuple[int, int]:
    """Return the end of the predictions for readers of committed records, and for readers of all records."""
    ends = []
    partition = ClientPartition(service.topic("predictions"), 0)
    for level in ("read_committed", "read_uncommitted"):
        consumer = KafkaConsumer(bootstrap_servers=service.broker, isolation_level=level)
        ends.append(consumer.end_offsets([partition])[partition])
        consumer.close()
    return ends[0], ends[1]


class _Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("committed", [True, False])
def test_what_hangs_is_ended_as_its_transaction_was(
    service: Service, unverified: str, monkeypatch: pytest.MonkeyPatch, committed: bool, allowed: bool
) -> None:
    """With the permission to write markers that happens before the takeover, which may be interrupted; else after."""
    service.make_topics()
    settings = settings_of(service, labels=False)
    sink = KafkaSink(settings)
    partition = (service.topic("instances"), 0)
    leave_hanging(service, sink.transactional_id, committed=committed, offsets={partition: (7, "1:" + "a" * 24)})
    assert read_ends(service) == (0, 1)
    group = KafkaConsumer(bootstrap_servers=service.broker, group_id=service.name, isolation_level="read_committed")
    with pytest.raises(kafka_errors.KafkaTimeoutError):
        group.committed(ClientPartition(*partition), timeout_ms=1_000)
    with monkeypatch.context() as patch:
        if allowed:
            patch.setattr(KafkaProducer, "init_transactions", _kill_after(KafkaProducer.init_transactions))
            with pytest.raises(_Killed):
                KafkaSink(settings).open()
        else:
            patch.setattr(transaction_markers, "_write_markers", _refuse)
            sink.open()
            sink.close()
    sink.open()
    sink.close()
    found = group.committed(ClientPartition(*partition), metadata=True, timeout_ms=10_000)
    group.close()
    assert (found is not None and (found.offset, found.metadata)) == (committed and (7, "1:" + "a" * 24))
    assert [record.value for record in service.read("predictions")] == ([b"hanging"] if committed else [])
    end, all_end = read_ends(service)
    assert end == all_end, "a transaction still hangs"


def _kill_after(call: Callable[..., None]) -> Callable[..., None]:
    def kill(*arguments: Any) -> None:
        call(*arguments)
        raise _Killed

    return kill


def _refuse(*arguments: Any) -> None:
    raise kafka_errors.ClusterAuthorizationFailedError


def test_a_transaction_that_is_open_is_not_taken_for_one_that_hangs(service: Service) -> None:
    """A worker that holds the id may have a transaction open: a takeover aborts it, nothing may commit it."""
    service.make_topics()
    sink = KafkaSink(settings_of(service, labels=False))
    holder = KafkaProducer(bootstrap_servers=service.broker, **PRODUCER_OPTIONS, transactional_id=sink.transactional_id)
    holder.init_transactions()
    for value in (b"first", b"open"):
        holder.begin_transaction()
        holder.send(service.topic("predictions"), value=value, partition=0).get(timeout=60)
        if value == b"first":
            holder.commit_transaction()
    admin = KafkaAdminClient(bootstrap_servers=service.broker)
    partition = ClientPartition(service.topic("predictions"), 0)
    transaction = admin.describe_transactions([sink.transactional_id])[sink.transactional_id]
    open_before = transaction_markers._find_open(admin, transaction.producer_id, [partition])
    assert partition in open_before
    complete = transaction._replace(state=type(transaction.state)("CompleteCommit"))
    deadline = time.monotonic() + 60
    assert transaction_markers._confirm_hanging(admin, sink.transactional_id, complete, open_before, deadline) == {}
    admin.close()
    sink.open()
    sink.close()
    assert [record.value for record in service.read("predictions")] == [b"first"]
    holder.close(timeout=2)
