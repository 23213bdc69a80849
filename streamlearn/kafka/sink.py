"""A sink on Kafka: one transactional producer, replaced after any failure.

After a failed transaction call the client may leak its offsets into the next transaction, report success for a batch
that timed out, or wait without a limit. So no producer is used again after an exception, and every future is checked.
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
from streamlearn.kafka import client_internals
from streamlearn.kafka.client_options import connection_options
from streamlearn.kafka.codecs import compression_options
from streamlearn.kafka.hanging_transactions import HangingTransactions
from streamlearn.records.size import LONGEST_KEY_AND_VALUE_BYTES
from streamlearn.settings.settings import Settings
from streamlearn.sink.base import OutputRecord
from streamlearn.source.base import Committed, TopicPartition

FLUSH_SECONDS = 9.0
COMMIT_SECONDS = 6.0
"""Longest wait for the answer to a commit; the client repeats the request after 4 s."""
CLOSE_SECONDS = 3.0
PUBLISH_BOOTSTRAP_MS = 1_000
_MIN_WAIT_SECONDS = 0.1

PRODUCER_OPTIONS: dict[str, Any] = {
    "metrics_enabled": False,
    "acks": "all",
    "enable_idempotence": True,
    # While the coordinator completes the previous transaction, it answers CONCURRENT_TRANSACTIONS, which the client
    # retries after this time. The default of 100 ms would be the duration of every transaction.
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
        self._hanging_transactions: HangingTransactions | None = None
        # Whether the last transaction was committed, while it hangs; None when nothing hangs.
        self._last_committed: bool | None = None
        self._last_written: dict[ClientPartition, int] = {}
        self._last_positions: list[ClientPartition] = []

    @property
    def is_open(self) -> bool:
        return self._producer is not None

    def open(self) -> None:
        options = connection_options(self._settings)
        group = self._settings.kafka.group_id
        hanging_transactions = self._hanging_transactions = HangingTransactions(options, group)
        topics = self._settings.topics
        written = (topics.predictions, topics.events, topics.dead_letters, self._settings.journal_topic)
        if self._last_committed is None:
            self._last_committed = hanging_transactions.complete_before_takeover(self.transactional_id, written)
        producer = KafkaProducer(
            **options,
            **PRODUCER_OPTIONS,
            **compression_options(self._settings.kafka),
            transactional_id=self.transactional_id,
        )
        try:
            client_internals.request_metadata(producer, written)
            producer.init_transactions()
            if self._last_committed is not None:
                hanging_transactions.complete_after_takeover(producer, self._last_committed, written)
                self._last_committed = None
            self._last_written, self._last_positions = {}, []
        except BaseException:
            _close(producer)
            raise
        self._producer = producer

    def commit(
        self, records: Sequence[OutputRecord], positions: Mapping[TopicPartition, Committed], token: Any
    ) -> list[int]:
        producer, hanging_transactions = self._producer, self._hanging_transactions
        if producer is None or hanging_transactions is None:
            raise RetryableError("the producer is not open")
        if token is None or token.generation_id < 0 or not token.member_id:
            raise OvertakenError(f"no valid group membership to commit with: {token}")
        # If the last transaction hung, it would get the outcome of this one.
        hanging_transactions.wait_for_markers(
            client_internals.get_producer_id(producer), self._last_written, self._last_positions
        )
        deadline = time.monotonic() + FLUSH_SECONDS
        producer.begin_transaction()
        futures = [
            producer.send(
                record.topic,
                value=record.value,
                key=_choose_key(record),
                headers=list(record.headers),
                partition=record.partition % self.partitions(record.topic),
            )
            for record in records
        ]
        producer.flush(timeout=_seconds_until(deadline))
        _check_delivery(futures)
        offsets = {
            ClientPartition(*partition): OffsetAndMetadata(committed.offset, committed.metadata, committed.leader_epoch)
            for partition, committed in positions.items()
        }
        seconds = _seconds_until(deadline)
        if not client_internals.send_offsets(producer, offsets, token, int(seconds * 1000)):
            raise RetryableError(f"the offsets were not answered within {seconds:.1f} s")
        if not client_internals.commit_transaction(producer, int(COMMIT_SECONDS * 1000)):
            raise RetryableError(f"the commit was not answered within {COMMIT_SECONDS:.1f} s")
        _check_delivery(futures)
        self._last_written = {
            ClientPartition(future.value.topic, future.value.partition): future.value.offset for future in futures
        }
        self._last_positions = [ClientPartition(*partition) for partition in positions]
        return [future.value.offset for future in futures]

    def publish(self, record: OutputRecord) -> None:
        # Metrics may be lost but must not delay predictions: do not wait or stop when a broker is away.
        with contextlib.suppress(kafka_errors.KafkaError):
            if self._publisher is None:
                options = {**connection_options(self._settings), "bootstrap_timeout_ms": PUBLISH_BOOTSTRAP_MS}
                self._publisher = KafkaProducer(
                    **options,
                    **compression_options(self._settings.kafka),
                    linger_ms=50,
                    max_block_ms=1_000,
                    allow_auto_create_topics=False,
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
        hanging_transactions, self._hanging_transactions = self._hanging_transactions, None
        if hanging_transactions is not None:
            hanging_transactions.close()
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            _close(publisher)


def _choose_key(record: OutputRecord) -> bytes | None:
    """Return a record's key, or None where key and value together would exceed a broker's limit.

    So the key of an input, however long, cannot keep its prediction from being written.
    """
    key = record.key
    if key is None or len(key) + len(record.value or b"") <= LONGEST_KEY_AND_VALUE_BYTES:
        return key
    return None if record.value is not None else key


def _check_delivery(futures: Sequence[Any]) -> None:
    """Raise when a record was not written; a flush that returns does not prove it, nor does a commit that succeeds."""
    for future in futures:
        if not future.is_done:
            raise RetryableError("a record was not acknowledged in time")
        if future.failed():
            raise future.exception


def _seconds_until(deadline: float) -> float:
    return max(_MIN_WAIT_SECONDS, deadline - time.monotonic())


def _close(producer: KafkaProducer) -> None:
    # Closing waits for a flush that may not succeed; it then raises and leaves its thread running, which ends with the
    # process.
    with contextlib.suppress(kafka_errors.KafkaError, AssertionError):
        producer.close(timeout=CLOSE_SECONDS)
