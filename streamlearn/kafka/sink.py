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

from streamlearn.cleanup import Cleanup
from streamlearn.errors import OvertakenError, RetryableError
from streamlearn.kafka import client_internals
from streamlearn.kafka.client_calls import ClientCalls
from streamlearn.kafka.client_errors import raises_no_client_errors
from streamlearn.kafka.client_options import connection_options
from streamlearn.kafka.codecs import compression_options
from streamlearn.kafka.hanging_transactions import HangingTransactions
from streamlearn.kafka.name_taken import name_taken_error
from streamlearn.kafka.plain_producer import PlainProducer
from streamlearn.kafka.topic_limits import TOO_LARGE_ERRORS, TopicLimits
from streamlearn.settings.settings import Settings
from streamlearn.sink.base import OutputRecord
from streamlearn.source.base import Committed, TopicPartition

FLUSH_SECONDS = 9.0
COMMIT_SECONDS = 6.0
"""Longest wait for the answer to a commit; the client repeats the request after 4 s."""
CLOSE_SECONDS = 3.0
PUBLISH_BOOTSTRAP_MS = 1_000
PUBLISH_BATCH_BYTES = 16 << 10
_MIN_WAIT_SECONDS = 0.1

PRODUCER_OPTIONS: dict[str, Any] = {
    "metrics_enabled": False,
    "acks": "all",
    "enable_idempotence": True,
    # While the coordinator completes the previous transaction, it answers CONCURRENT_TRANSACTIONS, which the client
    # retries after this time. The default of 100 ms would be the duration of every transaction.
    "retry_backoff_ms": 5,
    "linger_ms": 1,
    "request_timeout_ms": 4_000,
    "max_block_ms": 10_000,
    "delivery_timeout_ms": 8_000,
    "transaction_timeout_ms": 10_000,
    "allow_auto_create_topics": False,
}


PUBLISHER_OPTIONS: dict[str, Any] = {
    "metrics_enabled": False,
    "bootstrap_timeout_ms": PUBLISH_BOOTSTRAP_MS,
    "linger_ms": 50,
    "max_block_ms": 1_000,
    "request_timeout_ms": 4_000,
    "delivery_timeout_ms": 8_000,
    "allow_auto_create_topics": False,
}


@raises_no_client_errors
class KafkaSink:
    """Writes outputs and positions in transactions, under `Settings.transactional_id`.

    Parameters
    ----------
    settings:
        The settings.
    calls:
        Limits the time of the client's calls; by default nothing looks at it.
    """

    def __init__(self, settings: Settings, *, calls: ClientCalls | None = None) -> None:
        self._settings = settings
        self._calls = calls or ClientCalls()
        self.transactional_id = settings.transactional_id
        self._producer: KafkaProducer | None = None
        self._publisher = PlainProducer(self._create_publisher, self._calls)
        self._partitions: dict[str, int] = {}
        self._limits = TopicLimits(settings)
        self._limits_have_changed = False
        self._refusal_is_unexplained = False
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
        hanging_transactions = self._hanging_transactions = HangingTransactions(options, group, self._calls)
        topics = self._settings.topics
        written = (topics.predictions, topics.events, topics.dead_letters, self._settings.journal_topic)
        if self._last_committed is None:
            self._last_committed = hanging_transactions.complete_before_takeover(self.transactional_id, written)
        self._limits.read(hanging_transactions.admin)
        self._limits_have_changed = False
        with self._calls.call("KafkaProducer"):
            producer = KafkaProducer(
                **options,
                **PRODUCER_OPTIONS,
                max_request_size=self._limits.request_bytes(),
                **compression_options(self._settings.kafka),
                transactional_id=self.transactional_id,
            )
        try:
            client_internals.request_metadata(producer, written)
            with self._calls.call("KafkaProducer.init_transactions"):
                producer.init_transactions()
            if self._last_committed is not None:
                hanging_transactions.complete_after_takeover(producer, self._last_committed, written)
                self._last_committed = None
            self._last_written, self._last_positions = {}, []
        except BaseException:
            with Cleanup(lambda: self._close_producer(producer)):
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
        if self._limits_have_changed:
            self._limits.read(hanging_transactions.admin)
            self._limits_have_changed = False
        records = [self._limits.fit(record) for record in records]
        # If the last transaction hung, it would get the outcome of this one.
        hanging_transactions.wait_for_markers(
            client_internals.get_producer_id(producer), self._last_written, self._last_positions
        )
        for topic in {record.topic for record in records}:
            self.partitions(topic)
        deadline = time.monotonic() + FLUSH_SECONDS
        # The record that a broker refused as too large: the others of the transaction then fail with the same error.
        refused: list[OutputRecord] = []
        # One limit for all calls of `send`: there is one for every record.
        with self._calls.call("KafkaProducer.send"):
            producer.begin_transaction()
            futures = self._send(producer, records, refused)
        with self._calls.call("KafkaProducer.flush"):
            self._flush(producer, deadline)
        self._check_delivery(futures, refused)
        offsets = {
            ClientPartition(*partition): OffsetAndMetadata(committed.offset, committed.metadata, committed.leader_epoch)
            for partition, committed in positions.items()
        }
        seconds = _seconds_until(deadline)
        try:
            with self._calls.call("send_offsets_to_transaction"):
                is_answered = client_internals.send_offsets(producer, offsets, token, int(seconds * 1000))
        except kafka_errors.FencedInstanceIdError as error:
            raise name_taken_error(self._settings) from error
        if not is_answered:
            raise RetryableError(f"the offsets were not answered within {seconds:.1f} s")
        with self._calls.call("commit_transaction"):
            is_committed = client_internals.commit_transaction(producer, int(COMMIT_SECONDS * 1000))
        if not is_committed:
            raise RetryableError(f"the commit was not answered within {COMMIT_SECONDS:.1f} s")
        self._check_delivery(futures, refused)
        self._refusal_is_unexplained = False
        self._last_written = {
            ClientPartition(future.value.topic, future.value.partition): future.value.offset for future in futures
        }
        self._last_positions = [ClientPartition(*partition) for partition in positions]
        return [future.value.offset for future in futures]

    def _send(self, producer: KafkaProducer, records: Sequence[OutputRecord], refused: list[OutputRecord]) -> list[Any]:
        """Send records and return their futures; those that a broker refuses as too large are added to ``refused``."""
        futures = []
        topic = ""
        may_be_refused = True
        for record in records:
            if record.topic != topic:
                topic = record.topic
                client_internals.set_batch_bytes(producer, self._limits.batch_bytes(topic))
                may_be_refused = self._refusal_is_unexplained or not self._limits.is_certain(topic)
            try:
                future = producer.send(
                    topic,
                    value=record.value,
                    key=record.key,
                    headers=client_internals.with_null_headers(record.headers),
                    partition=record.partition % self.partitions(topic),
                )
            except TOO_LARGE_ERRORS as error:
                raise self._limits.note_refused_record(record) from error
            if may_be_refused:
                future.add_errback(_note_refusal, record, refused)
            futures.append(future)
        return futures

    def _flush(self, producer: KafkaProducer, deadline: float) -> None:
        """Wait until every record is acknowledged or has failed."""
        while True:
            try:
                producer.flush(timeout=_seconds_until(deadline))
            except kafka_errors.UnknownError:
                # A broker has refused a batch as too large, and the client has sent its records in smaller ones: the
                # topic's limit is not known, or has been lowered. The client's flush then ends early.
                if time.monotonic() > deadline:
                    raise
                self._limits_have_changed = True
                self._limits.note_refused_batch()
            else:
                return

    def _check_delivery(self, futures: Sequence[Any], refused: Sequence[OutputRecord]) -> None:
        """Raise when a record was not written; a flush that returns does not prove it, nor a commit that succeeds."""
        for future in futures:
            if not future.is_done:
                raise RetryableError("a record was not acknowledged in time")
            if refused and isinstance(future.exception, TOO_LARGE_ERRORS):
                raise self._limits.note_refused_record(refused[0]) from future.exception
            if isinstance(future.exception, TOO_LARGE_ERRORS):
                self._refusal_is_unexplained = True
                raise RetryableError("a broker has refused a record as too large; reading the topics' limits again")
            if future.failed():
                raise future.exception

    def publish(self, record: OutputRecord) -> None:
        # A failure of an earlier record is no reason to lose this one.
        with Cleanup(
            lambda: self._publisher.send(record.topic, key=record.key, value=record.value, headers=record.headers)
        ):
            self._publisher.check()

    def _create_publisher(self) -> KafkaProducer:
        options = {**connection_options(self._settings), **compression_options(self._settings.kafka)}
        batch_bytes = min(PUBLISH_BATCH_BYTES, self._limits.batch_bytes(self._settings.topics.metrics))
        return KafkaProducer(**{**options, **PUBLISHER_OPTIONS}, batch_size=batch_bytes)

    def partitions(self, topic: str) -> int:
        count = self._partitions.get(topic)
        if count is None:
            assert self._producer is not None
            with self._calls.call("KafkaProducer.partitions_for"):
                count = self._partitions[topic] = len(self._producer.partitions_for(topic))
        return count

    def close(self) -> None:
        producer, self._producer = self._producer, None
        hanging_transactions, self._hanging_transactions = self._hanging_transactions, None
        with Cleanup(
            lambda: self._close_producer(producer),
            lambda: None if hanging_transactions is None else hanging_transactions.close(),
            self._publisher.close,
        ):
            pass

    def _close_producer(self, producer: KafkaProducer | None) -> None:
        if producer is None:
            return
        # Closing waits for a flush that may not succeed; it then raises and leaves its thread running, which ends with
        # the process.
        with contextlib.suppress(kafka_errors.KafkaError, AssertionError), self._calls.call("KafkaProducer.close"):
            producer.close(timeout=CLOSE_SECONDS)


def _note_refusal(record: OutputRecord, refused: list[OutputRecord], error: Exception) -> None:
    if isinstance(error, TOO_LARGE_ERRORS):
        refused.append(record)


def _seconds_until(deadline: float) -> float:
    return max(_MIN_WAIT_SECONDS, deadline - time.monotonic())
