"""Detects hanging transactions, and completes them.

When a coordinator completes a transaction, it sends a commit or abort marker to each of the transaction's partitions. A
partition without a leader at that moment it takes for a deleted one: it skips the partition and records the transaction
as complete. So when the broker of the only replica stops or starts, markers can be lost for ever (seen on Kafka 4.3
while leaderships were given up and given back). The transaction then hangs in that partition: committed offsets stay
UNSTABLE_OFFSET_COMMIT, and no reader of committed records passes that offset of an output. The next marker of the same
producer completes the hanging transaction, with the outcome that this marker carries: the abort of a transaction undoes
what hangs of a committed one before it.

Two rules follow. First, a transaction begins only after every marker of the previous one was seen, so that only the
last transaction can hang. Second, a successor completes the hanging transaction before it takes the transactional id
over (`transaction_markers`). Where it lacks the permission to, it asks for the outcome of the last transaction, takes
the id over, and then completes an empty transaction over all partitions with the same outcome: markers go to every
partition that was added to a transaction, written to or not. If it is killed in between, the outcome is lost.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Mapping
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka import errors as kafka_errors
from kafka.structs import ConsumerGroupMetadata  # pyright: ignore[reportAttributeAccessIssue]
from kafka.structs import TopicPartition as ClientPartition

from streamlearn.errors import RetryableError
from streamlearn.kafka.client_calls import ClientCalls
from streamlearn.kafka.client_internals import (
    abort_transaction,
    add_partition_to_transaction,
    commit_transaction,
    get_producer_id,
    send_offsets,
)
from streamlearn.kafka.transaction_markers import complete_hanging_transaction

MARKER_SECONDS = 8.0
RETRY_SECONDS = 0.005
REQUEST_TIMEOUT_MS = 5_000
"""Longest wait for the answer to one request."""


class HangingTransactions:
    """Detects and completes the hanging transactions of one transactional id.

    Parameters
    ----------
    options:
        The client's options for connecting to the brokers.
    group:
        The group whose offsets the transactions commit.
    calls:
        Limits the time of the client's calls.
    """

    def __init__(self, options: Mapping[str, Any], group: str, calls: ClientCalls) -> None:
        self._options = {**options, "request_timeout_ms": REQUEST_TIMEOUT_MS}
        self._calls = calls
        self._group = group
        self._consumer: KafkaConsumer | None = None
        self._admin: KafkaAdminClient | None = None
        self._known_topics: set[str] = set()

    def complete_before_takeover(self, transactional_id: str, topics: Collection[str]) -> bool | None:
        """Complete the hanging transaction of an id before the id is taken over.

        Returns
        -------
        bool | None
            Whether the last transaction was committed, where `complete_after_takeover` has to complete it; else None.
        """
        return complete_hanging_transaction(self.admin, transactional_id, topics)

    def wait_for_markers(
        self, producer_id: int, written: Mapping[ClientPartition, int], positions: Collection[ClientPartition]
    ) -> None:
        """Wait until readers of committed records see a transaction.

        Parameters
        ----------
        producer_id:
            The transaction's producer.
        written:
            The partitions that it wrote to, with the offset of the last record in each.
        positions:
            The partitions whose offsets it committed.

        Raises
        ------
        RetryableError
            When they do not see it in time: markers were lost, or the brokers are slow.
        """
        if not written and not positions:
            return
        if self._consumer is None:
            with self._calls.call("KafkaConsumer"):
                consumer = KafkaConsumer(
                    **self._options,
                    metrics_enabled=False,
                    group_id=self._group,
                    enable_auto_commit=False,
                    isolation_level="read_committed",
                    allow_auto_create_topics=False,
                    retry_backoff_ms=5,
                )
            self._consumer = self._calls.limit(consumer)
        deadline = time.monotonic() + MARKER_SECONDS
        timeout_ms = int(MARKER_SECONDS * 1000)
        for position in list(positions)[:1]:
            # One marker completes all offsets of a group, so one partition of them is enough.
            self._consumer.committed(position, timeout_ms=timeout_ms)
        for topic in {partition.topic for partition in written} - self._known_topics:
            # While the client knows the leaders of some partitions only, it leaves the others out of its answer.
            self._consumer.partitions_for_topic(topic)
            self._known_topics.add(topic)
        missing = list(written)
        while missing:
            try:
                ends = self._consumer.end_offsets(missing, timeout_ms=timeout_ms)  # pyright: ignore[reportCallIssue]
            except KeyError:
                ends = {}
            missing = [partition for partition in missing if ends.get(partition, 0) <= written[partition]]
            if missing:
                # The open transaction of another producer may hold readers back there.
                missing = self._find_open(producer_id, missing)
            if missing and time.monotonic() > deadline:
                raise RetryableError(
                    f"the last transaction has no marker in {_format(missing)} after {MARKER_SECONDS:.0f} s: it hangs "
                    "there, or the brokers are slow"
                )
            if missing:
                time.sleep(RETRY_SECONDS)

    def complete_after_takeover(self, producer: KafkaProducer, committed: bool, topics: Collection[str]) -> None:
        """Complete the hanging transaction of an id after the id was taken over, by an empty transaction.

        Its markers go to every partition of the topics and to the group's offsets.

        Parameters
        ----------
        producer:
            It has taken the transactional id over, and has no transaction open.
        committed:
            Whether the last transaction was committed.
        topics:
            The topics that are written to under the id.

        Raises
        ------
        RetryableError
            When a transaction still hangs.
        """
        partitions = []
        for topic in topics:
            with self._calls.call("KafkaProducer.partitions_for"):
                numbers = producer.partitions_for(topic)
            partitions += [ClientPartition(topic, number) for number in sorted(numbers)]
        timeout_ms = int(MARKER_SECONDS * 1000)
        end = commit_transaction if committed else abort_transaction
        producer.begin_transaction()
        for partition in partitions:
            add_partition_to_transaction(producer, partition)
        with self._calls.call("send_offsets_to_transaction"):
            is_sent = send_offsets(producer, {}, ConsumerGroupMetadata(self._group), timeout_ms)
        with self._calls.call(end.__name__):
            if not (is_sent and end(producer, timeout_ms)):
                raise RetryableError(f"an empty transaction was not answered within {MARKER_SECONDS:.0f} s")
        deadline = time.monotonic() + MARKER_SECONDS
        while missing := self._find_open(get_producer_id(producer), partitions, include_unknown=False):
            if time.monotonic() > deadline:
                raise RetryableError(f"a transaction still hangs in {_format(missing)} after {MARKER_SECONDS:.0f} s")
            time.sleep(RETRY_SECONDS)

    def close(self) -> None:
        """Close the connections."""
        consumer, self._consumer = self._consumer, None
        admin, self._admin = self._admin, None
        with contextlib.suppress(kafka_errors.KafkaError):
            if consumer is not None:
                consumer.close(autocommit=False, timeout_ms=1_000)
        with contextlib.suppress(kafka_errors.KafkaError):
            if admin is not None:
                admin.close()

    @property
    def admin(self) -> KafkaAdminClient:
        """The client's administrator; made on first use."""
        if self._admin is None:
            with self._calls.call("KafkaAdminClient"):
                self._admin = self._calls.limit(KafkaAdminClient(**self._options))
        return self._admin

    def _find_open(
        self, producer_id: int, partitions: Collection[ClientPartition], *, include_unknown: bool = True
    ) -> list[ClientPartition]:
        """Return the partitions in which a producer's transaction is open.

        Where the brokers do not report it, these are all partitions, or none without ``include_unknown``.
        """
        try:
            states = self.admin.describe_producers(partitions)  # pyright: ignore[reportAttributeAccessIssue]
        except (kafka_errors.TopicAuthorizationFailedError, kafka_errors.IncompatibleBrokerVersion):
            return list(partitions) if include_unknown else []
        return [
            partition
            for partition, state in states.items()
            if any(
                active.producer_id == producer_id and active.current_transaction_start_offset >= 0
                for active in state.active_producers
            )
        ]


def _format(partitions: Collection[ClientPartition]) -> str:
    return ", ".join(f"{partition.topic}[{partition.partition}]" for partition in sorted(partitions))
