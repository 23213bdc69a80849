# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false
# The stubs that come with the type checker describe an older client than the one installed.
"""Ending what hangs of the last transaction of an id before anybody takes the id over.

Once the id is taken over, its coordinator no longer says how the last transaction ended; and a transaction that ends
like it may itself be cut off, which aborts what it should have committed. So where the brokers let us, the missing
markers are written while the coordinator still knows: by the request with which it sends them itself, which needs ALTER
on the cluster (Kafka 3.8 and newer) or CLUSTER_ACTION, and READ on the offsets topic to see what hangs there.
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

_logger = logging.getLogger(__name__)

OFFSETS_TOPIC = "__consumer_offsets"
ENDING_SECONDS = 8.0
LOOK_SECONDS = 0.01
_COORDINATOR_COMES = (
    kafka_errors.CoordinatorNotAvailableError,
    kafka_errors.CoordinatorLoadInProgressError,
    kafka_errors.NotCoordinatorError,
)
_NOT_ALLOWED = (
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
    # Taking the id over aborts it.
    "Ongoing": False,
}
_COMPLETE = ("CompleteCommit", "CompleteAbort")


def end_before_takeover(admin: KafkaAdminClient, transactional_id: str, topics: Collection[str]) -> bool | None:
    """End what hangs of an id's last transaction, in the way in which that one ended.

    Parameters
    ----------
    admin:
        To ask and to write with.
    transactional_id:
        Nobody has taken it over yet.
    topics:
        The topics to which the id writes.

    Returns
    -------
    bool | None
        None when nothing hangs. Otherwise whether the last transaction was, or will be, committed: its markers are
        still to be written, or not to be seen.
    """
    deadline = time.monotonic() + ENDING_SECONDS
    while True:
        told = _described(admin, transactional_id, deadline)
        outcome = None if told is None else _COMMITTED.get(told.state.value)
        if told is None or outcome is None or told.state.value == "Ongoing" or time.monotonic() > deadline:
            return outcome
        if told.state.value in _COMPLETE:
            try:
                first = _open(admin, told.producer_id, _partitions(admin, (*topics, OFFSETS_TOPIC)))
                if not first:
                    return None
                _write(admin, _still_open(admin, transactional_id, told, first, deadline), outcome)
            except _NOT_ALLOWED:
                return outcome
            except kafka_errors.BrokerResponseError as error:
                # A leader moves, or somebody took the id over: look again.
                _logger.info("what hangs of %s is not ended yet: %s", transactional_id, error)
        time.sleep(LOOK_SECONDS)


def _described(admin: KafkaAdminClient, transactional_id: str, deadline: float) -> Any:
    while True:
        try:
            return admin.describe_transactions([transactional_id])[transactional_id]
        except (kafka_errors.TransactionalIdNotFoundError, kafka_errors.IncompatibleBrokerVersion):
            # Brokers before 3.0 do not tell.
            return None
        except _COORDINATOR_COMES:
            if time.monotonic() > deadline:
                raise
            time.sleep(LOOK_SECONDS)


def _still_open(
    admin: KafkaAdminClient, transactional_id: str, told: Any, first: Mapping[ClientPartition, Any], deadline: float
) -> dict[ClientPartition, Any]:
    """Return where a transaction is open, from the same offset on, before and after the coordinator says that none is.

    That cannot be one which somebody who holds the id has begun in between.
    """
    again = _described(admin, transactional_id, deadline)
    if again is None or (again.state, again.producer_epoch) != (told.state, told.producer_epoch):
        return {}
    return {
        partition: state
        for partition, state in _open(admin, told.producer_id, first).items()
        if state.current_transaction_start_offset == first[partition].current_transaction_start_offset
    }


def _partitions(admin: KafkaAdminClient, topics: Collection[str]) -> list[ClientPartition]:
    found = []
    for topic in admin.describe_topics(sorted(set(topics))):
        if topic["error_code"]:
            raise kafka_errors.for_code(topic["error_code"])(topic["name"])
        found += [ClientPartition(topic["name"], partition["partition_index"]) for partition in topic["partitions"]]
    return found


def _open(
    admin: KafkaAdminClient, producer_id: int, partitions: Collection[ClientPartition]
) -> dict[ClientPartition, Any]:
    return {
        partition: active
        for partition, state in admin.describe_producers(partitions).items()
        for active in state.active_producers
        if active.producer_id == producer_id and active.current_transaction_start_offset >= 0
    }


def _write(admin: KafkaAdminClient, hanging: Mapping[ClientPartition, Any], committed: bool) -> None:
    """Write an outcome's markers, as the coordinator does."""

    async def send() -> list[Any]:
        leaders = await admin._async_get_leader_for_partitions(list(hanging))
        return [
            await admin._manager.send(_request(hanging, partitions, committed), node_id=leader)
            for leader, partitions in leaders.items()
        ]

    for response in admin._manager.run(send):
        for marker in response.markers:
            for topic in marker.topics:
                for partition in topic.partitions:
                    if partition.error_code:
                        raise kafka_errors.for_code(partition.error_code)(f"{topic.name}[{partition.partition_index}]")


def _request(
    hanging: Mapping[ClientPartition, Any], partitions: Collection[ClientPartition], committed: bool
) -> WriteTxnMarkersRequest:
    marker = WriteTxnMarkersRequest.WritableTxnMarker
    return WriteTxnMarkersRequest(
        markers=[
            marker(
                producer_id=hanging[partition].producer_id,
                producer_epoch=hanging[partition].producer_epoch,
                transaction_result=committed,
                topics=[
                    marker.WritableTxnMarkerTopic(name=partition.topic, partition_indexes=[partition.partition]),
                ],
                coordinator_epoch=max(0, hanging[partition].coordinator_epoch),
            )
            for partition in partitions
        ]
    )
