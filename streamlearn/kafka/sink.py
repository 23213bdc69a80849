# pyright: reportAttributeAccessIssue=false
# The stubs that come with the type checker describe an older client than the one installed.
"""A sink on Kafka: one transactional producer, thrown away after any failure.

After a failed transaction call the client may leak its offsets into the next transaction, report success for a batch
that timed out, or wait without limit; so no producer is used again after an exception, and every future is checked.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from kafka import KafkaProducer
from kafka import errors as kafka_errors
from kafka.structs import OffsetAndMetadata
from kafka.structs import TopicPartition as ClientPartition

from streamlearn.errors import OvertakenError, RetryableError
from streamlearn.kafka.client_options import connection_options
from streamlearn.kafka.hanging_transactions import Markers
from streamlearn.records.size import LONGEST_KEY_AND_VALUE_BYTES
from streamlearn.settings.settings import Settings
from streamlearn.sink.base import OutputRecord
from streamlearn.source.base import Committed, TopicPartition

FLUSH_SECONDS = 9.0
COMMIT_SECONDS = 6.0
"""Longest wait for the answer to a commit; the client waits without a limit. It repeats the request after 4 s."""
CLOSE_SECONDS = 3.0
PUBLISH_BOOTSTRAP_MS = 1_000

PRODUCER_OPTIONS: dict[str, Any] = {
    "metrics_enabled": False,
    "acks": "all",
    "enable_idempotence": True,
    # CONCURRENT_TRANSACTIONS is retried after the backoff: 100 ms would be the time of every transaction.
    "retry_backoff_ms": 5,
    "linger_ms": 1,
    "batch_size": 512 << 10,
    "request_timeout_ms": 4_000,
    "max_block_ms": 10_000,
    "delivery_timeout_ms": 8_000,
    "transaction_timeout_ms": 10_000,
    "max_request_size": 2 << 20,
    "allow_auto_create_topics": False,
}


class KafkaSink:
    """Writes outputs and positions in transactions, under `Settings.transactional_id`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.transactional_id = settings.transactional_id
        self._producer: KafkaProducer | None = None
        self._publisher: KafkaProducer | None = None
        self._partitions: dict[str, int] = {}
        self._markers: Markers | None = None
        self._last_outcome: bool | None = None
        self._last_written: dict[ClientPartition, int] = {}
        self._last_positions: list[ClientPartition] = []

    @property
    def is_open(self) -> bool:
        return self._producer is not None

    def open(self) -> None:
        options = connection_options(self._settings)
        group = self._settings.kafka.group_id
        markers = self._markers = Markers(options, group)
        topics = self._settings.topics
        written = (topics.predictions, topics.events, topics.dead_letters, self._settings.journal_topic)
        if self._last_outcome is None:
            self._last_outcome = markers.end_before_takeover(self.transactional_id, written)
        producer = KafkaProducer(**options, **PRODUCER_OPTIONS, transactional_id=self.transactional_id)
        try:
            for topic in written:
                # All in one question: one after the other, the client asks every tenth of a second.
                producer._sender.add_topic(topic)
            producer.init_transactions()
            if self._last_outcome is not None:
                markers.end_like(producer, self._last_outcome, written)
                self._last_outcome = None
            self._last_written, self._last_positions = {}, []
        except BaseException:
            _close(producer)
            raise
        self._producer = producer

    def commit(
        self, records: Sequence[OutputRecord], positions: Mapping[TopicPartition, Committed], token: Any
    ) -> list[int]:
        producer, markers = self._producer, self._markers
        if producer is None or markers is None:
            raise RetryableError("the producer is not open")
        if token is None or token.generation_id < 0 or not token.member_id:
            raise OvertakenError(f"no valid membership to commit with: {token}")
        # What hangs of the last transaction would share the outcome of this one.
        markers.await_committed(_producer_id(producer), self._last_written, self._last_positions)
        deadline = time.monotonic() + FLUSH_SECONDS
        producer.begin_transaction()
        futures = [
            producer.send(
                record.topic,
                value=record.value,
                key=_key(record),
                headers=list(record.headers),
                partition=record.partition % self.partitions(record.topic),
            )
            for record in records
        ]
        producer.flush(timeout=max(0.1, deadline - time.monotonic()))
        _check(futures)
        manager = producer._transaction_manager
        offsets = {
            ClientPartition(*partition): OffsetAndMetadata(committed.offset, committed.metadata, committed.leader_epoch)
            for partition, committed in positions.items()
        }
        sent = manager.send_offsets_to_transaction(offsets, token)
        _await(producer, sent, "offsets were", max(0.1, deadline - time.monotonic()))
        _await(producer, manager.begin_commit(), "commit was", COMMIT_SECONDS)
        _check(futures)
        self._last_written = {
            ClientPartition(future.value.topic, future.value.partition): future.value.offset for future in futures
        }
        self._last_positions = [ClientPartition(*partition) for partition in positions]
        return [future.value.offset for future in futures]

    def publish(self, record: OutputRecord) -> None:
        # Measures may be lost, and never hold up answers: a broker that is away is no reason to wait or to stop.
        with contextlib.suppress(kafka_errors.KafkaError):
            if self._publisher is None:
                options = {**connection_options(self._settings), "bootstrap_timeout_ms": PUBLISH_BOOTSTRAP_MS}
                self._publisher = KafkaProducer(
                    **options, linger_ms=50, max_block_ms=1_000, allow_auto_create_topics=False
                )
            self._publisher.send(
                record.topic, value=record.value, key=record.key, headers=list(record.headers), partition=None
            )

    def partitions(self, topic: str) -> int:
        count = self._partitions.get(topic)
        if count is None:
            assert self._producer is not None
            count = self._partitions[topic] = len(self._producer.partitions_for(topic))
        return count

    def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            _close(producer)
        markers, self._markers = self._markers, None
        if markers is not None:
            markers.close()
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            _close(publisher)


def _key(record: OutputRecord) -> bytes | None:
    """Return a record's key; none where the two would pass a broker's limit, so that no input holds its answer up."""
    key = record.key
    if key is None or len(key) + len(record.value or b"") <= LONGEST_KEY_AND_VALUE_BYTES:
        return key
    return None if record.value is not None else key


def _check(futures: Sequence[Any]) -> None:
    """Raise when a record was not written: a flush that returns is no proof, and neither is a commit that succeeds."""
    for future in futures:
        if not future.is_done:
            raise RetryableError("a record was not acknowledged in time")
        if future.failed():
            raise future.exception


def _await(producer: KafkaProducer, result: Any, what: str, seconds: float) -> None:
    """Wait for what the client itself would await without a limit."""
    producer._sender.wakeup()
    if not result.wait(int(seconds * 1000)):
        raise RetryableError(f"the {what} not answered within {seconds:.1f} s")


def _producer_id(producer: KafkaProducer) -> int:
    return producer._transaction_manager.producer_id_and_epoch.producer_id  # pyright: ignore[reportAttributeAccessIssue]


def _close(producer: KafkaProducer) -> None:
    # Closing may wait for a flush that cannot succeed and then raises, with its thread left behind; the process's end
    # takes that thread with it.
    with contextlib.suppress(kafka_errors.KafkaError, AssertionError):
        producer.close(timeout=CLOSE_SECONDS)
