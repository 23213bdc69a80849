# pyright: reportAttributeAccessIssue=false, reportCallIssue=false
# The stubs that come with the type checker describe an older client than the one installed.
"""Whether this user may join the group and write with the transactional id."""

from __future__ import annotations

import time
from collections.abc import Callable

from kafka.protocol.admin import DescribeGroupsRequest
from kafka.protocol.producer.transaction import InitProducerIdRequest

from streamlearn.kafka.admin.broker_connection import BrokerConnection, UnreachableError, open_connection
from streamlearn.kafka.admin.reachability import first_broker
from streamlearn.settings.settings import Settings

COORDINATOR_SECONDS = 10.0
LOOK_SECONDS = 0.1

_GROUP, _TRANSACTION = 0, 1
_READ = 3
_LOADING, _NOT_AVAILABLE, _NOT_COORDINATOR = 14, 15, 16
_GROUP_REFUSED, _TRANSACTION_REFUSED = 30, 53
_NOBODY = 1 << 61
"""A producer id that no broker has given: a request that shows it is refused after the user was looked at."""
_SHOWS_PRODUCER_ID = 3


def access_faults(settings: Settings) -> list[str]:
    """Return what this user may not do with the group and the transactional id, a sentence each.

    Raises
    ------
    UsageError, RetryableError
        When the brokers cannot be reached.
    """
    group, transactional_id = settings.kafka.group_id, settings.transactional_id
    faults = []
    if not _allowed(settings, group, _GROUP, _GROUP_REFUSED, _may_join):
        faults.append(f"group {group} (kafka.group_id) may not be joined: grant this user READ on it")
    if not _allowed(settings, transactional_id, _TRANSACTION, _TRANSACTION_REFUSED, _may_write):
        faults.append(f"transactional id {transactional_id} may not be used: grant this user WRITE on it")
    return faults


def _may_join(connection: BrokerConnection, group: str) -> int:
    request = DescribeGroupsRequest(
        groups=[group], include_authorized_operations=True, version=connection.version_of(DescribeGroupsRequest)
    )
    (answer,) = connection.ask(request).groups
    operations = answer.authorized_operations
    return answer.error_code or (0 if operations is None or _READ in operations else _GROUP_REFUSED)


def _may_write(connection: BrokerConnection, transactional_id: str) -> int:
    version = connection.version_of(InitProducerIdRequest)
    if version < _SHOWS_PRODUCER_ID:
        return 0
    # A foreign producer id cannot take the transactional id over from the worker that uses it.
    request = InitProducerIdRequest(
        transactional_id=transactional_id,
        transaction_timeout_ms=10_000,
        producer_id=_NOBODY,
        producer_epoch=0,
        version=version,
    )
    return connection.ask(request).error_code


def _allowed(
    settings: Settings, key: str, kind: int, refused: int, look: Callable[[BrokerConnection, str], int]
) -> bool:
    """Ask the broker that looks after a key; a coordinator that is about to come is waited for."""
    deadline = time.monotonic() + COORDINATOR_SECONDS
    while True:
        first = first_broker(settings)
        with open_connection(settings, first.host, first.port) as connection:
            code, broker = connection.coordinator(key, kind)
        if code == 0:
            role = f"coordinator of {key}"
            with open_connection(settings, broker.host, broker.port, role) as connection:
                code = look(connection, key)
        if code not in (_LOADING, _NOT_AVAILABLE, _NOT_COORDINATOR):
            return code != refused
        if time.monotonic() > deadline:
            raise UnreachableError(f"no coordinator of {key} within {COORDINATOR_SECONDS:.0f} s: look at the brokers")
        time.sleep(LOOK_SECONDS)
