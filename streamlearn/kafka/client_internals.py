# pyright: reportAttributeAccessIssue=false
# This file alone touches private attributes of the client, which no stub declares.
"""Adapter to the private parts of kafka-python that have no public equivalent in release 3.0.

Every use of a private attribute of the client is one function of this module. Its docstring says why the public
interface does not suffice, what is touched, and what to look at when the client is updated. No other module may touch
a private attribute of the client; `tests/unit/kafka/test_client_internals.py` checks this, and fails when one of the
attributes or functions used here is gone from the installed client or takes other arguments.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.producer import record_accumulator
from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.structs import OffsetAndMetadata, TopicPartition

_CORRUPT_RECORD = re.compile(r"TopicPartition\(topic='([^']+)', partition=(\d+)\) at offset (\d+)")


class CorruptRecord(NamedTuple):
    """Partition and offset of a record, or of the batch that holds it, that fails its checksum."""

    topic: str
    partition: int
    offset: int


# Consumer


def poll(consumer: KafkaConsumer, timeout_ms: int, max_records: int) -> Mapping[TopicPartition, list[Any]]:
    """Poll records; after an error, the next poll fetches again.

    Why: when a record cannot be unpacked, because its checksum or its codec is wrong, the client raises once. Polled
    again at the same position, it asks the iterator that has failed for more records, for ever, and never returns.

    Touches: ``KafkaConsumer._fetcher._next_partition_records``, the fetched records of one partition that are being
    unpacked, and its ``drain``.

    On an update: does a second ``poll`` after a ``CorruptRecordError`` raise again?
    """
    try:
        return consumer.poll(timeout_ms=timeout_ms, max_records=max_records)
    except BaseException:
        unpacking = consumer._fetcher._next_partition_records
        if unpacking is not None:
            unpacking.drain()
        raise


def set_fetch_wait(consumer: KafkaConsumer, wait_ms: int) -> None:
    """Set how long brokers may wait for records before they answer the consumer's next fetch requests.

    Why: the public option ``fetch_max_wait_ms`` is fixed when the consumer is made. One value is too long while records
    flow, because a broker answers one fetch at a time, and too short while none come, because every empty answer costs
    processor time.

    Touches: ``KafkaConsumer._fetcher.config``; the fetcher reads the option for each request that it builds.

    On an update: does ``Fetcher`` still read ``self.config["fetch_max_wait_ms"]`` per request, or is there a public
    setter?
    """
    consumer._fetcher.config["fetch_max_wait_ms"] = wait_ms


def seek_with_leader_epoch(consumer: KafkaConsumer, partition: TopicPartition, offset: int, leader_epoch: int) -> None:
    """Set the position of an assigned partition together with the leader epoch of the record before it.

    Why: `KafkaConsumer.seek` takes no leader epoch. Without one the broker cannot tell that its log was truncated below
    the position (KIP-320), and the consumer reads on in a log that has lost records.

    Touches: ``KafkaConsumer._subscription.seek``, which accepts an ``OffsetAndMetadata``.

    On an update: does the public ``seek`` accept an ``OffsetAndMetadata`` (as in the Java client)?
    """
    consumer._subscription.seek(partition, OffsetAndMetadata(offset, "", leader_epoch))


def local_position(consumer: KafkaConsumer, partition: TopicPartition) -> int | None:
    """Return the next offset that the consumer will give of a partition; None while it has none, or is not assigned.

    Why: `KafkaConsumer.position` may wait for brokers, and raises what they answer, or that they do not: it looks up
    committed offsets and validates leader epochs on the way.

    Touches: ``KafkaConsumer._subscription.assignment``, as ``position`` does at its end.

    On an update: is there a public call that only reads?
    """
    state = consumer._subscription.assignment.get(partition)
    position = None if state is None else state.position
    return None if position is None else position.offset


def last_answer(consumer: KafkaConsumer) -> float | None:
    """Return when a broker last answered the consumer, in seconds of the monotonic clock; None without a connection.

    Why: a poll that gives no records looks the same whether brokers answer or are away, and records that a poll gives
    may have been fetched long before.

    Touches: ``KafkaConsumer._manager._conns`` and the ``transport.last_read`` of those that are connected.

    On an update: is there a public metric of the last response?
    """
    connections = list(consumer._manager._conns.values())
    transports = [conn.transport for conn in connections if conn.connected]
    return max((transport.last_read for transport in transports if transport is not None), default=None)


def find_coordinator(consumer: KafkaConsumer, timeout_ms: int) -> bool:
    """Return whether the coordinator of the consumer's group is known, after a request when it is not.

    Why: without the coordinator a member can neither join nor commit, and ``poll`` returns nothing as when it is idle.

    Touches: ``KafkaConsumer._coordinator.ensure_coordinator_ready``.

    On an update: does ``poll`` raise when there is no coordinator?
    """
    return consumer._coordinator.ensure_coordinator_ready(timeout_ms=timeout_ms)


def heartbeats_have_stopped(consumer: KafkaConsumer) -> bool:
    """Return whether the consumer believes that it is a stable member of its group but sends no heartbeats.

    Why: when another member joins with the same ``group.instance.id``, the client gets a fatal error on its heartbeat,
    writes it to its log, stops the heartbeats, and goes on polling as if it were still a member. No public call shows
    this.

    Touches: ``KafkaConsumer._coordinator``, its ``_heartbeat_enabled`` and ``stable()``. A join looks the same for a
    moment, so the caller has to see it for a while.

    On an update: does ``poll`` raise ``FencedInstanceIdError`` in this case?
    """
    coordinator = consumer._coordinator
    return not coordinator._heartbeat_enabled and coordinator.stable()


def parse_corrupt_record(message: str) -> CorruptRecord | None:
    """Return which record a ``CorruptRecordError`` of the client is about; None when its message does not say.

    Why: the error carries partition and offset only in its text.

    Touches: no attribute, but the wording of two messages in ``Fetcher``.

    On an update: does the error carry the partition and the offset as attributes?
    """
    match = _CORRUPT_RECORD.search(message)
    return None if match is None else CorruptRecord(match[1], int(match[2]), int(match[3]))


# Producer


class _Null(bytes):
    """Stands for a header's null value until the record is encoded."""


class _NullHeaderRecords(MemoryRecordsBuilder):
    """Encodes `_Null` as null."""

    __slots__ = ()

    def append(self, timestamp: Any, key: Any, value: Any, headers: Any = None) -> Any:
        if headers:
            headers = [(name, None if isinstance(content, _Null) else content) for name, content in headers]
        return super().append(timestamp, key, value, headers)


def with_null_headers(headers: Iterable[tuple[str, bytes | None]]) -> list[tuple[str, bytes]]:
    """Return headers as `KafkaProducer.send` takes them; those whose value is None are written as null.

    Why: a header's value may be null, and the consumer returns it as None, but ``send`` takes bytes only, and its
    bookkeeping asks for the length. The encoder behind it writes null for None.

    Touches: the name ``MemoryRecordsBuilder`` in ``kafka.producer.record_accumulator``, once there is such a header;
    other records are encoded as before.

    On an update: does ``send`` take None as a header's value?
    """
    result = []
    for name, content in headers:
        if content is None:
            record_accumulator.MemoryRecordsBuilder = _NullHeaderRecords
            content = _Null()
        result.append((name, content))
    return result


def request_metadata(producer: KafkaProducer, topics: Iterable[str]) -> None:
    """Have the producer's next metadata request ask for several topics at once.

    Why: ``partitions_for`` takes one topic, waits for its metadata, and the client sends a metadata request only every
    tenth of a second. One after the other, the first use of five topics takes half a second of every start.

    Touches: ``KafkaProducer._sender.add_topic``, as ``partitions_for`` does.

    On an update: is there a public call for several topics?
    """
    for topic in topics:
        producer._sender.add_topic(topic)


def set_batch_bytes(producer: KafkaProducer, batch_bytes: int) -> None:
    """Set up to how many bytes, uncompressed, the batches are filled that the producer's next records begin.

    Why: the public option ``batch_size`` is one for all topics, but each topic has its own largest batch; the smallest
    of them would make many small batches for all.

    Touches: ``KafkaProducer._accumulator.config``; the accumulator reads the option for each batch that it begins, in
    the thread that sends the record.

    On an update: does ``RecordAccumulator.append`` still read ``self.config["batch_size"]``, or is there an option for
    each topic?
    """
    producer._accumulator.config["batch_size"] = batch_bytes


def get_producer_id(producer: KafkaProducer) -> int:
    """Return the producer id that the coordinator has given to a transactional producer.

    Why: open transactions of a partition are listed by producer id (``describe_producers``), and the client does not
    show its own.

    Touches: ``KafkaProducer._transaction_manager.producer_id_and_epoch``.

    On an update: is there a public attribute?
    """
    return producer._transaction_manager.producer_id_and_epoch.producer_id


def add_partition_to_transaction(producer: KafkaProducer, partition: TopicPartition) -> None:
    """Add a partition to the open transaction without writing to it.

    Why: a coordinator sends the marker of a transaction to every partition that was added to it. An empty transaction
    over all partitions therefore completes transactions that hang there; the client itself adds a partition only when
    a record is sent.

    Touches: ``KafkaProducer._transaction_manager.maybe_add_partition_to_transaction``.

    On an update: does ``send`` still call it before it appends the record?
    """
    producer._transaction_manager.maybe_add_partition_to_transaction(partition)


def send_offsets(
    producer: KafkaProducer, offsets: Mapping[TopicPartition, OffsetAndMetadata], membership: Any, timeout_ms: int
) -> bool:
    """Send offsets to the open transaction; return whether the coordinators have answered in time.

    Why: `KafkaProducer.send_offsets_to_transaction` waits without a limit, and the client repeats retriable errors for
    ever.

    Touches: ``KafkaProducer._transaction_manager.send_offsets_to_transaction``, whose result has a ``wait`` with a
    limit that raises what went wrong, and ``KafkaProducer._sender.wakeup``.

    On an update: does the public method take a timeout?
    """
    result = producer._transaction_manager.send_offsets_to_transaction(offsets, membership)
    return _wait_for(producer, result, timeout_ms)


def commit_transaction(producer: KafkaProducer, timeout_ms: int) -> bool:
    """Commit the open transaction; return whether the coordinator has answered in time.

    False leaves the outcome unknown.

    Why: `KafkaProducer.commit_transaction` waits without a limit.

    Touches: ``KafkaProducer._transaction_manager.begin_commit``, and what `send_offsets` touches.

    On an update: does the public method take a timeout?
    """
    return _wait_for(producer, producer._transaction_manager.begin_commit(), timeout_ms)


def abort_transaction(producer: KafkaProducer, timeout_ms: int) -> bool:
    """Abort the open transaction; return whether the coordinator has answered in time.

    Why: `KafkaProducer.abort_transaction` waits without a limit.

    Touches: ``KafkaProducer._transaction_manager.begin_abort``, and what `send_offsets` touches.

    On an update: does the public method take a timeout?
    """
    return _wait_for(producer, producer._transaction_manager.begin_abort(), timeout_ms)


def _wait_for(producer: KafkaProducer, result: Any, timeout_ms: int) -> bool:
    """Wake the thread that sends requests, and wait for the result of one."""
    producer._sender.wakeup()
    return result.wait(timeout_ms)


# Administrator


def send_to_leaders(
    admin: KafkaAdminClient,
    partitions: Collection[TopicPartition],
    build_request: Callable[[Collection[TopicPartition]], Any],
) -> list[Any]:
    """Send a request to the leader of each partition, one per leader, and return the responses.

    Why: the administrator has no call for ``WriteTxnMarkers``, the request that completes a hanging transaction with a
    chosen outcome; it can only abort one.

    Touches: ``KafkaAdminClient._async_get_leader_for_partitions``, ``_manager.send`` and ``_manager.run``, as the
    administrator's own calls do.

    On an update: is there a public call that writes markers, or that sends any request?
    """

    async def send() -> list[Any]:
        leaders = await admin._async_get_leader_for_partitions(list(partitions))
        return [await admin._manager.send(build_request(led), node_id=leader) for leader, led in leaders.items()]

    return admin._manager.run(send)
