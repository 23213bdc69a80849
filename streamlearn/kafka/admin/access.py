"""Checks the ACLs: whether this user may join the group and write with the transactional id."""

from __future__ import annotations

from kafka.protocol.admin import DescribeGroupsRequest
from kafka.protocol.producer.transaction import InitProducerIdRequest

from streamlearn.kafka.admin.broker_connection import BrokerConnection
from streamlearn.kafka.admin.coordinator import GROUP, TRANSACTION, ask_coordinator
from streamlearn.settings.settings import Settings

# Code of the ACL operation READ.
_READ = 3
# Error codes of the Kafka protocol.
_GROUP_AUTHORIZATION_FAILED, _TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 30, 53
_UNUSED_PRODUCER_ID = 1 << 61
"""A producer id that no broker has given out: a request that carries it is refused after the user was authorized."""
_PRODUCER_ID_VERSION = 3
"""InitProducerId carries the producer id from this version on (KIP-360)."""


def find_access_faults(settings: Settings) -> list[str]:
    """Return what this user may not do with the group and the transactional id, a sentence each.

    Raises
    ------
    UsageError, RetryableError
        When the brokers cannot be reached.
    """
    group, transactional_id = settings.kafka.group_id, settings.transactional_id
    faults = []
    code, _ = ask_coordinator(settings, group, GROUP, _authorize_read)
    if code == _GROUP_AUTHORIZATION_FAILED:
        faults.append(f"group {group} (kafka.group_id) may not be joined: grant this user READ on it")
    code, _ = ask_coordinator(settings, transactional_id, TRANSACTION, _authorize_write)
    if code == _TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        faults.append(f"transactional id {transactional_id} may not be used: grant this user WRITE on it")
    return faults


def _authorize_read(connection: BrokerConnection, group: str) -> tuple[int, None]:
    """Return the error code of a user who wants to join a group."""
    request = DescribeGroupsRequest(
        groups=[group], include_authorized_operations=True, version=connection.version_of(DescribeGroupsRequest)
    )
    (response,) = connection.send(request).groups
    operations = response.authorized_operations
    is_allowed = operations is None or _READ in operations
    return response.error_code or (0 if is_allowed else _GROUP_AUTHORIZATION_FAILED), None


def _authorize_write(connection: BrokerConnection, transactional_id: str) -> tuple[int, None]:
    """Return the error code of a user who wants to write with a transactional id."""
    version = connection.version_of(InitProducerIdRequest)
    if version < _PRODUCER_ID_VERSION:
        return 0, None
    # With an unused producer id the request cannot take the transactional id over from the worker that uses it.
    request = InitProducerIdRequest(
        transactional_id=transactional_id,
        transaction_timeout_ms=10_000,
        producer_id=_UNUSED_PRODUCER_ID,
        producer_epoch=0,
        version=version,
    )
    return connection.send(request).error_code, None
