"""A service on several brokers: finds and changes leaders, and freezes a worker during its transaction."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any, TypeVar

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.structs import TopicPartition

from tests.integration.brokers import Broker
from tests.integration.service import AnyWorker, Service

T = TypeVar("T")
_UNCLEAN = 1
ANSWER_SECONDS = 120.0
_TRANSIENT_ERRORS = (
    kafka_errors.KafkaConnectionError,
    kafka_errors.KafkaTimeoutError,
    kafka_errors.CoordinatorNotAvailableError,
    kafka_errors.CoordinatorLoadInProgressError,
    kafka_errors.NotCoordinatorError,
    kafka_errors.NodeNotReadyError,
)
REPLICAS = ["topics.partitions=3", "topics.replication=3"]


class Cluster:
    """Asks the brokers of a cluster, as long as one of them runs.

    Parameters
    ----------
    brokers:
        The cluster.
    service:
        The service that uses it.
    """

    def __init__(self, brokers: Broker, service: Service) -> None:
        self.brokers = brokers
        self._service = service

    def ask(self, question: Callable[[KafkaAdminClient], T]) -> T:
        """Return the answer to a question; repeat it while leaders and coordinators change."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            try:
                return self._ask(question)
            except _TRANSIENT_ERRORS:
                if time.monotonic() > deadline:
                    raise

    def _ask(self, question: Callable[[KafkaAdminClient], T]) -> T:
        admin = KafkaAdminClient(bootstrap_servers=self.brokers.address, bootstrap_timeout_ms=20_000)
        try:
            return question(admin)
        finally:
            admin.close()

    def describe(self, topic: str) -> list[dict[str, Any]]:
        """Return a topic's partitions in order."""

        def question(admin: KafkaAdminClient) -> list[dict[str, Any]]:
            (found,) = admin.describe_topics([topic])
            return sorted(found["partitions"], key=lambda each: each["partition_index"])

        return self.ask(question)

    def leader(self, topic: str, partition: int = 0) -> int:
        """Return the node that leads a partition; -1 when there is no leader."""
        return self.describe(topic)[partition]["leader_id"]

    def in_sync(self, *topics: str) -> bool:
        """Return whether every replica of topics is in sync."""
        try:
            return all(
                sorted(each["isr_nodes"]) == sorted(each["replica_nodes"]) and each["leader_id"] > 0
                for topic in topics
                for each in self.describe(topic)
            )
        except kafka_errors.KafkaError:
            return False

    def restore(self, *topics: str) -> None:
        """Start the nodes that do not run, and wait until every replica of topics is in sync."""
        started = self.brokers.start()
        assert started.returncode == 0, started.stderr
        self._service.wait("all replicas to be in sync", lambda: self.in_sync(*topics), seconds=90)

    def coordinator(self, transactional_id: str) -> int:
        """Return the node that coordinates a transactional id."""
        return self.ask(lambda admin: admin.describe_transactions([transactional_id]))[transactional_id].coordinator_id

    def elect_unclean(self, partition: TopicPartition) -> None:
        """Make a replica that is not in sync the leader of a partition."""

        def elected() -> bool:
            try:
                self.ask(lambda admin: admin.elect_leaders(_UNCLEAN, {partition.topic: [partition.partition]}))
            except kafka_errors.ElectionNotNeededError:
                return True
            except kafka_errors.KafkaError:
                return False
            return self.leader(partition.topic, partition.partition) > 0

        self._service.wait("an unclean leader", elected, seconds=60)

    def freeze_in_transaction(self, worker: AnyWorker, transactional_id: str, let_run: Callable[[], object]) -> None:
        """Stop a worker by SIGSTOP while its transaction is open; ``let_run`` takes the time between two attempts."""

        def is_frozen() -> bool:
            worker.send_signal(signal.SIGSTOP)
            state = self.ask(lambda admin: admin.describe_transactions([transactional_id]))[transactional_id].state
            if state.value == "Ongoing":
                return True
            worker.send_signal(signal.SIGCONT)
            let_run()
            return False

        self._service.wait("the worker to have a transaction open", is_frozen)


def append_to_leader(brokers: Broker, node: int, partition: TopicPartition, values: list[bytes]) -> None:
    """Write records to a partition through its leader's address, and wait for the leader's acknowledgement only."""
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=f"127.0.0.1:{brokers.port(node)}", acks=1, enable_idempotence=False)
    futures = [producer.send(partition.topic, value=value, partition=partition.partition) for value in values]
    producer.flush(timeout=120)
    for future in futures:
        future.get(timeout=1)
    producer.close(timeout=5)
