"""Completes hanging transactions by writing their missing transaction markers.

A hanging transaction is one that its coordinator has completed but some partitions have not: their commit or abort
markers were never written. The markers have to be written before a successor takes the transactional id over. From then
on the coordinator no longer reports the outcome of the last transaction, and a second transaction that only repeats
that outcome may itself be interrupted, which aborts what should have been committed.

``WriteTxnMarkers`` is the request with which the coordinator itself writes markers. It needs ALTER on the cluster
(Kafka 3.8 and newer) or CLUSTER_ACTION; finding what hangs in the group's offsets needs READ on the offsets topic.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from typing import Any

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.protocol.producer.transaction import WriteTxnMarkersRequest
from kafka.structs import TopicPartition as ClientPartition

from streamlearn.kafka.client_internals import send_to_leaders

_logger = logging.getLogger(__name__)

OFFSETS_TOPIC = "__consumer_offsets"
COMPLETION_SECONDS = 8.0
RETRY_SECONDS = 0.01
_COORDINATOR_MOVING = (
    kafka_errors.CoordinatorNotAvailableError,
    kafka_errors.CoordinatorLoadInProgressError,
    kafka_errors.NotCoordinatorError,
)
_NOT_PERMITTED = (
    kafka_errors.ClusterAuthorizationFailedError,
    kafka_errors.TopicAuthorizationFailedError,
    kafka_errors.IncompatibleBrokerVersion,
    kafka_errors.UnsupportedVersionError,
)
_COMMITTED = {
    "PrepareCommit": True,
    "CompleteCommit": True,
    "PrepareAbort": False,
    "PrepareEpochFence": False,
    "CompleteAbort": False,
    # It is aborted when the id is taken over.
    "Ongoing": False,
}
_COMPLETE = ("CompleteCommit", "CompleteAbort")


def complete_hanging_transaction(
    admin: KafkaAdminClient, transactional_id: str, topics: Collection[str]
) -> bool | None:
    """Write the missing markers of an id's last transaction, with the outcome of that transaction.

    Parameters
    ----------
    admin:
        Administrator of the brokers.
    transactional_id:
        Nobody has taken it over yet.
    topics:
        The topics that are written to under the id.

    Returns
    -------
    bool | None
        None when nothing hangs. Otherwise whether the last transaction was, or will be, committed: its markers are
        still being written, or this user may not see or write them.
    """
    deadline = time.monotonic() + COMPLETION_SECONDS
    while True:
        transaction = _describe_transaction(admin, transactional_id, deadline)
        if transaction is None:
            return None
        state = transaction.state.value
        outcome = _COMMITTED.get(state)
        if outcome is None or state == "Ongoing" or time.monotonic() > deadline:
            return outcome
        if state in _COMPLETE:
            try:
                partitions = _list_partitions(admin, (*topics, OFFSETS_TOPIC))
                open_before = _find_open(admin, transaction.producer_id, partitions)
                if not open_before:
                    return None
                states = _confirm_hanging(admin, transactional_id, transaction, open_before, deadline)
                _write_markers(admin, states, outcome)
            except _NOT_PERMITTED:
                return outcome
            except kafka_errors.BrokerResponseError as error:
                # A leader moves, or the id was taken over meanwhile: start over.
                _logger.info("hanging transaction of %s not completed yet, trying again: %s", transactional_id, error)
        time.sleep(RETRY_SECONDS)


def _describe_transaction(admin: KafkaAdminClient, transactional_id: str, deadline: float) -> Any:
    """Return the state of an id's last transaction; None when there is none, or the brokers are older than 3.0."""
    while True:
        try:
            return admin.describe_transactions([transactional_id])[transactional_id]  # pyright: ignore[reportAttributeAccessIssue]
        except (kafka_errors.TransactionalIdNotFoundError, kafka_errors.IncompatibleBrokerVersion):
            return None
        except _COORDINATOR_MOVING:
            if time.monotonic() > deadline:
                raise
            time.sleep(RETRY_SECONDS)


def _confirm_hanging(
    admin: KafkaAdminClient,
    transactional_id: str,
    transaction: Any,
    open_before: Mapping[ClientPartition, Any],
    deadline: float,
) -> dict[ClientPartition, Any]:
    """Return where a transaction is open from the same offset on before and after the coordinator says that none is.

    Such a transaction hangs; it cannot be one that a holder of the id has begun in between.
    """
    now = _describe_transaction(admin, transactional_id, deadline)
    if now is None or (now.state, now.producer_epoch) != (transaction.state, transaction.producer_epoch):
        return {}
    return {
        partition: state
        for partition, state in _find_open(admin, transaction.producer_id, open_before).items()
        if state.current_transaction_start_offset == open_before[partition].current_transaction_start_offset
    }


def _list_partitions(admin: KafkaAdminClient, topics: Collection[str]) -> list[ClientPartition]:
    partitions = []
    for topic in admin.describe_topics(sorted(set(topics))):
        if topic["error_code"]:
            raise kafka_errors.for_code(topic["error_code"])(topic["name"])
        partitions += [
            ClientPartition(topic["name"], partition["partition_index"]) for partition in topic["partitions"]
        ]
    return partitions


def _find_open(
    admin: KafkaAdminClient, producer_id: int, partitions: Collection[ClientPartition]
) -> dict[ClientPartition, Any]:
    """Return the partitions in which a producer's transaction is open, with the producer's state there."""
    states = admin.describe_producers(partitions)  # pyright: ignore[reportAttributeAccessIssue]
    return {
        partition: active
        for partition, state in states.items()
        for active in state.active_producers
        if active.producer_id == producer_id and active.current_transaction_start_offset >= 0
    }


def _write_markers(admin: KafkaAdminClient, states: Mapping[ClientPartition, Any], committed: bool) -> None:
    """Write commit or abort markers to the partitions of producer states, as the coordinator does."""
    responses = send_to_leaders(admin, states, lambda partitions: _build_request(states, partitions, committed))
    for response in responses:
        for marker in response.markers:
            for topic in marker.topics:
                for partition in topic.partitions:
                    if partition.error_code:
                        raise kafka_errors.for_code(partition.error_code)(f"{topic.name}[{partition.partition_index}]")


def _build_request(
    states: Mapping[ClientPartition, Any], partitions: Collection[ClientPartition], committed: bool
) -> WriteTxnMarkersRequest:
    marker = WriteTxnMarkersRequest.WritableTxnMarker
    return WriteTxnMarkersRequest(
        markers=[
            marker(
                producer_id=states[partition].producer_id,
                producer_epoch=states[partition].producer_epoch,
                transaction_result=committed,
                topics=[
                    marker.WritableTxnMarkerTopic(name=partition.topic, partition_indexes=[partition.partition]),
                ],
                coordinator_epoch=max(0, states[partition].coordinator_epoch),
            )
            for partition in partitions
        ]
    )
