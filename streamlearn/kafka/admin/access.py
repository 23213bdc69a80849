"""Checks the ACLs: whether this user may join the group and write with the transactional id."""

from __future__ import annotations

import time
from collections.abc import Callable

from kafka.protocol.admin import DescribeGroupsRequest
from kafka.protocol.producer.transaction import InitProducerIdRequest

from streamlearn.kafka.admin.broker_connection import BrokerConnection, BrokerUnreachableError, open_connection
from streamlearn.kafka.admin.reachability import find_usable_broker
from streamlearn.settings.settings import Settings

COORDINATOR_SECONDS = 10.0
RETRY_SECONDS = 0.1

# Key types of FindCoordinator.
_GROUP, _TRANSACTION = 0, 1
# Code of the ACL operation READ.
_READ = 3
# Error codes of the Kafka protocol.
_LOADING, _NOT_AVAILABLE, _NOT_COORDINATOR = 14, 15, 16
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
    if _ask_coordinator(settings, group, _GROUP, _authorize_read) == _GROUP_AUTHORIZATION_FAILED:
        faults.append(f"group {group} (kafka.group_id) may not be joined: grant this user READ on it")
    code = _ask_coordinator(settings, transactional_id, _TRANSACTION, _authorize_write)
    if code == _TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        faults.append(f"transactional id {transactional_id} may not be used: grant this user WRITE on it")
    return faults


def _authorize_read(connection: BrokerConnection, group: str) -> int:
    """Return the error code of a user who wants to join a group."""
    request = DescribeGroupsRequest(
        groups=[group], include_authorized_operations=True, version=connection.version_of(DescribeGroupsRequest)
    )
    (response,) = connection.send(request).groups
    operations = response.authorized_operations
    is_allowed = operations is None or _READ in operations
    return response.error_code or (0 if is_allowed else _GROUP_AUTHORIZATION_FAILED)


def _authorize_write(connection: BrokerConnection, transactional_id: str) -> int:
    """Return the error code of a user who wants to write with a transactional id."""
    version = connection.version_of(InitProducerIdRequest)
    if version < _PRODUCER_ID_VERSION:
        return 0
    # With an unused producer id the request cannot take the transactional id over from the worker that uses it.
    request = InitProducerIdRequest(
        transactional_id=transactional_id,
        transaction_timeout_ms=10_000,
        producer_id=_UNUSED_PRODUCER_ID,
        producer_epoch=0,
        version=version,
    )
    return connection.send(request).error_code


def _ask_coordinator(
    settings: Settings, key: str, key_type: int, authorize: Callable[[BrokerConnection, str], int]
) -> int:
    """Return the error code that the coordinator of a key gives; wait for one that is about to be ready."""
    deadline = time.monotonic() + COORDINATOR_SECONDS
    while True:
        first = find_usable_broker(settings)
        with open_connection(settings, first.host, first.port) as connection:
            code, broker = connection.coordinator(key, key_type)
        if code == 0:
            with open_connection(settings, broker.host, broker.port, f"coordinator of {key}") as connection:
                code = authorize(connection, key)
        if code not in (_LOADING, _NOT_AVAILABLE, _NOT_COORDINATOR):
            return code
        if time.monotonic() > deadline:
            raise BrokerUnreachableError(
                f"no coordinator of {key} within {COORDINATOR_SECONDS:.0f} s: check the brokers, then try again"
            )
        time.sleep(RETRY_SECONDS)
