"""Asks the coordinator of a group or of a transactional id, and waits for one that is about to be ready."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from streamlearn.kafka.admin.broker_connection import BrokerConnection, BrokerUnreachableError, open_connection
from streamlearn.kafka.admin.reachability import find_usable_broker
from streamlearn.settings.settings import Settings

COORDINATOR_SECONDS = 10.0
RETRY_SECONDS = 0.1

# Key types of FindCoordinator.
GROUP, TRANSACTION = 0, 1
# Error codes of the Kafka protocol.
_LOADING, _NOT_AVAILABLE, _NOT_COORDINATOR = 14, 15, 16

Answer = TypeVar("Answer")


def ask_coordinator(
    settings: Settings, key: str, key_type: int, ask: Callable[[BrokerConnection, str], tuple[int, Answer]]
) -> tuple[int, Answer | None]:
    """Return the error code that the coordinator of a key gives, and its answer.

    Parameters
    ----------
    key, key_type:
        The name of a group (`GROUP`) or a transactional id (`TRANSACTION`).
    ask:
        Asks over a connection to the coordinator; returns the error code and the answer.

    Returns
    -------
    int
        The error code; 0 without an error.
    Answer or None
        The answer; None when no coordinator was found.

    Raises
    ------
    UsageError, RetryableError
        When the brokers cannot be reached, or the coordinator is not ready in time.
    """
    deadline = time.monotonic() + COORDINATOR_SECONDS
    while True:
        answer: Answer | None = None
        first = find_usable_broker(settings)
        with open_connection(settings, first.host, first.port) as connection:
            code, broker = connection.coordinator(key, key_type)
        if code == 0:
            with open_connection(settings, broker.host, broker.port, f"coordinator of {key}") as connection:
                code, answer = ask(connection, key)
        if code not in (_LOADING, _NOT_AVAILABLE, _NOT_COORDINATOR):
            return code, answer
        if time.monotonic() > deadline:
            raise BrokerUnreachableError(
                f"no coordinator of {key} within {COORDINATOR_SECONDS:.0f} s: check the brokers, then try again"
            )
        time.sleep(RETRY_SECONDS)
