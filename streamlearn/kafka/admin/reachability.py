"""Checks whether the brokers can be reached as a worker reaches them, and finds out why not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from kafka.errors import KafkaError

from streamlearn.errors import RetryableError, StreamlearnError
from streamlearn.kafka.admin.broker_connection import (
    Broker,
    BrokerDisconnectedError,
    BrokerHandshakeError,
    BrokerUnreachableError,
    open_connection,
)
from streamlearn.kafka.client_options import security_options
from streamlearn.kafka.member_data import describe_machine
from streamlearn.settings.addresses import parse_broker_addresses
from streamlearn.settings.settings import Settings

DEFAULT_PORT = 9092
_START_IT = "start it, or set kafka.bootstrap_servers"
_CONNECTION_ERRORS = (BrokerHandshakeError, BrokerDisconnectedError, BrokerUnreachableError)
"""In the order of their use to the operator: a refusal says more than an address at which nothing answers."""

Client = TypeVar("Client")


def parse_address(address: str) -> tuple[str, int]:
    """Return host and port of an address that `parse_broker_addresses` accepts."""
    host, colon, port = address.rpartition(":")
    if not colon or address.endswith("]"):
        return address.strip("[]"), DEFAULT_PORT
    return host.strip("[]"), int(port)


def describe_this_machine(settings: Settings) -> str:
    """Return how a worker on this machine is called in the group: by the machine's name and address."""
    return describe_machine(*parse_address(parse_broker_addresses(settings.kafka.bootstrap_servers)[0]))


def find_connection_faults(settings: Settings) -> list[str]:
    """Return what is wrong with each bootstrap server and with each broker that they advertise, a sentence each.

    Raises
    ------
    UsageError
        When a certificate, key or password of the settings cannot be read.
    """
    security_options(settings.kafka.security)
    faults: list[str] = []
    advertised_by: dict[Broker, str] = {}
    bootstrap = [parse_address(address) for address in parse_broker_addresses(settings.kafka.bootstrap_servers)]
    for host, port in bootstrap:
        try:
            with open_connection(settings, host, port) as connection:
                advertised_by |= dict.fromkeys(connection.brokers(), f"{host}:{port}")
        except _CONNECTION_ERRORS as error:
            faults.append(str(error))
    for broker, by in sorted(advertised_by.items()):
        if (broker.host, broker.port) not in bootstrap:
            try:
                origin = f"advertised as broker {broker.node_id} by {by}"
                with open_connection(settings, broker.host, broker.port, origin) as connection:
                    connection.brokers()
            except _CONNECTION_ERRORS as error:
                faults.append(str(error))
    return faults


def find_usable_broker(settings: Settings) -> Broker:
    """Return the first bootstrap server that accepts a connection and answers.

    Raises
    ------
    BrokerHandshakeError, BrokerDisconnectedError, BrokerUnreachableError
        When there is none. Of several reasons, the first in this order is raised.
    """
    errors: list[BrokerHandshakeError | BrokerDisconnectedError | BrokerUnreachableError] = []
    for address in parse_broker_addresses(settings.kafka.bootstrap_servers):
        host, port = parse_address(address)
        try:
            with open_connection(settings, host, port) as connection:
                connection.brokers()
        except _CONNECTION_ERRORS as error:
            errors.append(error)
        else:
            return Broker(-1, host, port)
    raise min(errors, key=lambda error: _CONNECTION_ERRORS.index(type(error)))


def check_handshake(settings: Settings) -> None:
    """Raise at once what waiting cannot fix: the brokers are there, but none accepts the connection.

    Raises
    ------
    BrokerHandshakeError
        When the certificate or the password is wrong, or the protocol does not match.
    UsageError
        When a certificate, key or password of the settings cannot be read.
    """
    try:
        find_usable_broker(settings)
    except (BrokerDisconnectedError, BrokerUnreachableError):
        return


def check_reachable(settings: Settings) -> None:
    """Raise at once when no broker can be used, for a command that does not wait for one.

    Raises
    ------
    BrokerHandshakeError, BrokerDisconnectedError
        When brokers are there, but none accepts the connection.
    RetryableError
        When no broker answers.
    UsageError
        When a certificate, key or password of the settings cannot be read.
    """
    try:
        find_usable_broker(settings)
    except BrokerUnreachableError as error:
        raise _describe_unreachable(settings, error, _START_IT) from error


def diagnose_connection(settings: Settings, advice: str) -> StreamlearnError:
    """Return the error to raise after the client could not reach a broker.

    Parameters
    ----------
    advice:
        What to do when nothing answers.
    """
    try:
        find_usable_broker(settings)
    except BrokerUnreachableError as error:
        return _describe_unreachable(settings, error, advice)
    except (BrokerDisconnectedError, BrokerHandshakeError) as error:
        return error
    return RetryableError(f"the brokers at {settings.kafka.bootstrap_servers} did not answer in time: try again")


def _describe_unreachable(settings: Settings, error: BrokerUnreachableError, advice: str) -> RetryableError:
    reason = str(error).partition(": ")[2].partition(";")[0]
    return RetryableError(f"no broker answers at {settings.kafka.bootstrap_servers} ({reason}): {advice}")


def connect(settings: Settings, create_client: Callable[[], Client]) -> Client:
    """Create a client that connects to the brokers.

    Raises
    ------
    RetryableError
        When no broker answers.
    UsageError
        When the brokers refuse the connection: a wrong certificate, password or protocol.
    """
    check_handshake(settings)
    try:
        return create_client()
    except KafkaError as error:
        raise diagnose_connection(settings, _START_IT) from error
