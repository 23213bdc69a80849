# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false
# The stubs that come with the type checker describe an older client than the one installed.
"""Transactions whose end some partitions never learn, how to see one, and the transaction that ends it.

A transaction coordinator that ends a transaction sends a marker to each of its partitions. One that has no leader at
that moment it takes for a deleted one, skips it, and notes the transaction as complete: so when the broker of the only
replica stops or starts, markers can be lost for ever (seen on Kafka 4.3, while leaderships are given up and given
back). What waits for such a marker hangs: committed offsets stay UNSTABLE_OFFSET_COMMIT, and no reader of committed
records passes that point of an output. The next marker of the same producer ends what hangs, with the outcome that *it*
carries: the abort of a transaction undoes what hangs of the committed one before.

Hence two rules. A transaction begins only when every marker of the one before was seen, so that what hangs is always of
the last one. And a successor ends what hangs before it takes the transactional id over (`ending`). Where it may not, it
asks how the last one ended, takes over, and then ends an empty transaction over all partitions in the same way: markers
go to every partition that was added to a transaction, written to or not. Killed in between, it leaves nobody who knows.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Mapping
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka import errors as kafka_errors
from kafka.structs import ConsumerGroupMetadata
from kafka.structs import TopicPartition as ClientPartition

from streamlearn.errors import RetryableError
from streamlearn.kafka.transaction_markers import end_before_takeover

MARKER_SECONDS = 8.0
LOOK_SECONDS = 0.005


class Markers:
    """Sees how transactions of one transactional id ended, and whether all their partitions know.

    Parameters
    ----------
    options:
        The client's options for reaching the brokers.
    group:
        The group whose offsets the transactions hold.
    """

    def __init__(self, options: Mapping[str, Any], group: str) -> None:
        self._options = options
        self._group = group
        self._consumer: KafkaConsumer | None = None
        self._admin: KafkaAdminClient | None = None
        self._known: set[str] = set()

    def end_before_takeover(self, transactional_id: str, topics: Collection[str]) -> bool | None:
        """End what hangs of the last transaction of an id; return its outcome where `end_like` has to do it.

        To be called before somebody takes the id over.
        """
        return end_before_takeover(self._asked, transactional_id, topics)

    def await_committed(
        self, producer_id: int, written: Mapping[ClientPartition, int], positions: Collection[ClientPartition]
    ) -> None:
        """Wait until readers of committed records see a transaction.

        Parameters
        ----------
        producer_id:
            Who wrote it.
        written:
            Partitions and the offset of the last record in each.
        positions:
            Partitions whose offsets it committed.

        Raises
        ------
        RetryableError
            When they do not within a bound: markers were lost, or the brokers are slow.
        """
        if not written and not positions:
            return
        if self._consumer is None:
            self._consumer = KafkaConsumer(
                **self._options,
                metrics_enabled=False,
                group_id=self._group,
                enable_auto_commit=False,
                isolation_level="read_committed",
                allow_auto_create_topics=False,
                retry_backoff_ms=5,
            )
        deadline = time.monotonic() + MARKER_SECONDS
        limit = int(MARKER_SECONDS * 1000)
        for position in list(positions)[:1]:
            # One marker ends all offsets of a group.
            self._consumer.committed(position, timeout_ms=limit)
        for topic in {partition.topic for partition in written} - self._known:
            # The client leaves partitions out of its answer while it knows the leaders of others only.
            self._consumer.partitions_for_topic(topic)
            self._known.add(topic)
        missing = list(written)
        while missing:
            try:
                ends = self._consumer.end_offsets(missing, timeout_ms=limit)
            except KeyError:
                ends = {}
            missing = [partition for partition in missing if ends.get(partition, 0) <= written[partition]]
            if missing:
                # Another producer's open transaction may hold readers back there.
                missing = self._hanging(producer_id, missing)
            if missing and time.monotonic() > deadline:
                raise RetryableError(f"no end of the last transaction is seen in {_shown(missing)}")
            if missing:
                time.sleep(LOOK_SECONDS)

    def end_like(self, producer: KafkaProducer, committed: bool, topics: Collection[str]) -> None:
        """Send the markers of an outcome to every partition of topics and to the group's offsets.

        Parameters
        ----------
        producer:
            It has taken over the transactional id, and has no transaction open.
        committed:
            How the last transaction ended.
        topics:
            The topics to which the id writes.

        Raises
        ------
        RetryableError
            When something hangs still.
        """
        manager = producer._transaction_manager
        partitions = [ClientPartition(topic, n) for topic in topics for n in sorted(producer.partitions_for(topic))]
        producer.begin_transaction()
        for partition in partitions:
            manager.maybe_add_partition_to_transaction(partition)
        producer.send_offsets_to_transaction({}, ConsumerGroupMetadata(self._group))
        if committed:
            producer.commit_transaction()
        else:
            producer.abort_transaction()
        deadline = time.monotonic() + MARKER_SECONDS
        while missing := self._hanging(manager.producer_id_and_epoch.producer_id, partitions, unknown=False):
            if time.monotonic() > deadline:
                raise RetryableError(f"a transaction hangs in {_shown(missing)}")
            time.sleep(LOOK_SECONDS)

    def close(self) -> None:
        """Give the connections back."""
        consumer, self._consumer = self._consumer, None
        admin, self._admin = self._admin, None
        with contextlib.suppress(kafka_errors.KafkaError):
            if consumer is not None:
                consumer.close(autocommit=False, timeout_ms=1_000)
        with contextlib.suppress(kafka_errors.KafkaError):
            if admin is not None:
                admin.close()

    @property
    def _asked(self) -> KafkaAdminClient:
        if self._admin is None:
            self._admin = KafkaAdminClient(**self._options)
        return self._admin

    def _hanging(
        self, producer_id: int, partitions: Collection[ClientPartition], *, unknown: bool = True
    ) -> list[ClientPartition]:
        """Return the partitions where a producer's transaction is open; all, if ``unknown``, where that is not told."""
        try:
            states = self._asked.describe_producers(partitions)
        except (kafka_errors.TopicAuthorizationFailedError, kafka_errors.IncompatibleBrokerVersion):
            return list(partitions) if unknown else []
        return [
            partition
            for partition, state in states.items()
            if any(
                active.producer_id == producer_id and active.current_transaction_start_offset >= 0
                for active in state.active_producers
            )
        ]


def _shown(partitions: Collection[ClientPartition]) -> str:
    return ", ".join(f"{partition.topic}[{partition.partition}]" for partition in sorted(partitions))
