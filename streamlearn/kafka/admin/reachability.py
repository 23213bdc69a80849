"""Whether the brokers can be reached as a worker reaches them, and why not."""

from __future__ import annotations

from streamlearn.errors import RetryableError, StreamlearnError
from streamlearn.kafka.admin.broker_connection import (
    Broker,
    RefusedError,
    SilentError,
    UnreachableError,
    open_connection,
)
from streamlearn.kafka.client_options import security_options
from streamlearn.settings.addresses import parse_broker_addresses
from streamlearn.settings.settings import Settings

DEFAULT_PORT = 9092


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of an address that `parse_broker_addresses` accepts."""
    host, colon, port = address.rpartition(":")
    if not colon or address.endswith("]"):
        return address.strip("[]"), DEFAULT_PORT
    return host.strip("[]"), int(port)


def connection_faults(settings: Settings) -> list[str]:
    """Return what is wrong with each bootstrap server and with the brokers that they advertise, a sentence each.

    Raises
    ------
    UsageError
        When a certificate, key or password of the settings cannot be read.
    """
    security_options(settings.kafka.security)
    faults: list[str] = []
    brokers: dict[Broker, str] = {}
    tried = [split_address(address) for address in parse_broker_addresses(settings.kafka.bootstrap_servers)]
    for host, port in tried:
        try:
            with open_connection(settings, host, port) as connection:
                brokers |= dict.fromkeys(connection.brokers(), f"{host}:{port}")
        except (UnreachableError, SilentError, RefusedError) as error:
            faults.append(str(error))
    for broker, by in sorted(brokers.items()):
        if (broker.host, broker.port) not in tried:
            try:
                role = f"advertised as broker {broker.node} by {by}"
                with open_connection(settings, broker.host, broker.port, role) as connection:
                    connection.brokers()
            except (UnreachableError, SilentError, RefusedError) as error:
                faults.append(str(error))
    return faults


def first_broker(settings: Settings) -> Broker:
    """Return a bootstrap server that can be used.

    Raises
    ------
    UnreachableError, SilentError, RefusedError
        Why none can; a server that refuses us counts more than one at which nobody answers.
    """
    faults: list[StreamlearnError] = []
    for address in parse_broker_addresses(settings.kafka.bootstrap_servers):
        host, port = split_address(address)
        try:
            with open_connection(settings, host, port) as connection:
                connection.brokers()
        except (UnreachableError, SilentError, RefusedError) as error:
            faults.append(error)
        else:
            return Broker(-1, host, port)
    raise min(faults, key=lambda fault: (isinstance(fault, UnreachableError), isinstance(fault, SilentError)))


def check_admission(settings: Settings) -> None:
    """Raise at once what no waiting can mend: the brokers are there, but none takes us.

    Raises
    ------
    RefusedError
        When the certificate or the password is wrong, or the protocol does not fit.
    UsageError
        When a certificate, key or password of the settings cannot be read.
    """
    try:
        first_broker(settings)
    except (SilentError, UnreachableError):
        return


def no_broker(settings: Settings, advice: str) -> StreamlearnError:
    """Return what to say when the client has not reached a broker.

    Parameters
    ----------
    advice:
        What to do when nobody answers.
    """
    try:
        first_broker(settings)
    except UnreachableError as error:
        reason = str(error).partition(": ")[2].partition(";")[0]
        return RetryableError(f"no broker answers at {settings.kafka.bootstrap_servers} ({reason}): {advice}")
    except (SilentError, RefusedError) as error:
        return error
    return RetryableError(f"the brokers at {settings.kafka.bootstrap_servers} did not answer in time: try again")
