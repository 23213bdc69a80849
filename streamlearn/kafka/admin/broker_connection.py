"""Connects to one broker step by step, so that each failure gets its own message.

The Kafka client hides the reason: it reports a closed port, an untrusted certificate and a wrong password alike as
"unable to bootstrap".
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Any, NamedTuple

from kafka import errors as kafka_errors
from kafka.net.sasl import get_sasl_mechanism
from kafka.protocol.metadata import (
    ApiVersionsRequest,  # pyright: ignore[reportAttributeAccessIssue]
    FindCoordinatorRequest,  # pyright: ignore[reportAttributeAccessIssue]
    MetadataRequest,
)
from kafka.protocol.parser import KafkaProtocol
from kafka.protocol.sasl import SaslAuthenticateRequest, SaslHandshakeRequest

from streamlearn.cleanup import Cleanup
from streamlearn.errors import RetryableError, UsageError
from streamlearn.kafka.client_options import security_options
from streamlearn.settings.security import SecuritySettings
from streamlearn.settings.settings import Settings

CONNECT_SECONDS = 5.0
RESPONSE_SECONDS = 5.0
MAX_RESPONSE_BYTES = 16 << 20

# Codes of OpenSSL for a certificate that fails verification.
_EXPIRED, _NOT_YET_VALID = 10, 9
_UNTRUSTED = (2, 18, 19, 20, 21)
_HOST_MISMATCH = (62, 64)
_TLS_ALERT = b"\x15\x03"
# Error codes of the Kafka protocol.
_UNSUPPORTED_SASL_MECHANISM, _ILLEGAL_SASL_STATE = 33, 34
_BATCHED_COORDINATORS_VERSION = 4
"""FindCoordinator takes a list of keys from this version on (KIP-699)."""


class BrokerUnreachableError(RetryableError):
    """Nothing answers at an address."""


class BrokerHandshakeError(UsageError):
    """A broker is there, but TLS, SASL or the protocol do not match its listener."""


class BrokerDisconnectedError(RetryableError):
    """A broker closes the connection without a reason, or does not answer: it may be about to stop or to start."""


class Broker(NamedTuple):
    """A broker as the cluster advertises it."""

    node_id: int
    host: str
    port: int


@contextlib.contextmanager
def open_connection(
    settings: Settings, host: str, port: int, origin: str = "kafka.bootstrap_servers"
) -> Iterator[BrokerConnection]:
    """Connect to a broker as a worker does, with TLS and SASL.

    Parameters
    ----------
    origin:
        Where the address comes from, for messages.

    Raises
    ------
    BrokerUnreachableError
        When nothing answers at the address.
    BrokerHandshakeError
        When TLS, the password or the protocol do not match the listener.
    BrokerDisconnectedError
        When the broker closes the connection without a reason, which may be one of the above.
    UsageError
        When a certificate, key or password of the settings cannot be read.
    """
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    security = settings.kafka.security
    options = security_options(security)
    sock = _connect(host, port, address, origin)
    connection = BrokerConnection(sock, security, address, f"streamlearn-{settings.worker.name}")
    with Cleanup(connection.close):
        if security.tls:
            connection.start_tls(options["ssl_context"], host)
        connection.negotiate_versions()
        if security.sasl:
            connection.authenticate(options, host)
        yield connection


def _connect(host: str, port: int, address: str, origin: str) -> socket.socket:
    try:
        return socket.create_connection((host, port), timeout=CONNECT_SECONDS)
    except socket.gaierror as error:
        reason = f"there is no such host ({error.strerror})"
    except UnicodeError:
        reason = "that is no host name"
    except TimeoutError:
        reason = f"no answer within {CONNECT_SECONDS:.0f} s: a firewall, or another machine's address"
    except ConnectionRefusedError:
        reason = "nothing listens on that port"
    except OSError as error:
        reason = error.strerror or str(error)
    raise BrokerUnreachableError(f"{address} ({origin}): {reason}; start the broker, or correct the address")


class BrokerConnection:
    """A blocking connection to one broker, made by `open_connection`."""

    def __init__(self, sock: socket.socket, security: SecuritySettings, address: str, client_id: str) -> None:
        self._socket = sock
        self._security = security
        self._address = address
        self._protocol = KafkaProtocol(
            client_id=client_id,
            receive_message_max_bytes=MAX_RESPONSE_BYTES,  # pyright: ignore[reportCallIssue]
        )
        self._max_versions: dict[int, int] = {}
        sock.settimeout(RESPONSE_SECONDS)

    def close(self) -> None:
        self._socket.close()

    def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        try:
            self._socket = context.wrap_socket(self._socket, server_hostname=host.rstrip("."))
        except ssl.SSLCertVerificationError as error:
            raise self._handshake_error(self._describe_certificate_fault(error, host)) from None
        except ssl.SSLError as error:
            alert = self._describe_alert(error)
            if alert is None:
                raise self._no_tls_error() from None
            raise self._handshake_error(alert) from None
        except OSError:
            raise self._no_tls_error() from None

    def _no_tls_error(self) -> BrokerDisconnectedError:
        plain = {"ssl": "plaintext", "sasl_ssl": "sasl_plaintext"}[self._security.protocol]
        return BrokerDisconnectedError(
            f"{self._address}: the port does not speak TLS: correct the port or, if it is meant to be plain, set "
            f"kafka.security.protocol = {plain}"
        )

    def _describe_certificate_fault(self, error: ssl.SSLCertVerificationError, host: str) -> str:
        code = error.verify_code
        authorities = self._security.ca_file or "the system's"
        if code == _EXPIRED:
            return "the broker's certificate has expired: renew it (or correct this machine's clock)"
        if code == _NOT_YET_VALID:
            return "the broker's certificate is not valid yet: correct this machine's clock"
        if code in _UNTRUSTED:
            return (
                "the broker's certificate is not signed by an authority of kafka.security.ca_file "
                f"({authorities}): set it to the file of the authority that signed the certificate"
            )
        if code in _HOST_MISMATCH:
            return (
                f"the broker's certificate is not for {host}: use a name that the certificate lists, or set "
                "kafka.security.check_hostname = false"
            )
        return f"the broker's certificate is refused: {error.verify_message}"

    @staticmethod
    def _describe_alert(error: ssl.SSLError) -> str | None:
        """Return what the broker's TLS alert says about our side; None when there is no alert."""
        reason = (error.reason or "").upper()
        if "ALERT" not in reason:
            return None
        if any(word in reason for word in ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE")):
            return (
                "the broker asks for a client certificate: set kafka.security.certificate_file and key_file, or use a "
                "listener without mutual TLS"
            )
        if any(word in reason for word in ("UNKNOWN_CA", "CERTIFICATE_UNKNOWN", "CERTIFICATE_EXPIRED", "REVOKED")):
            return (
                "the broker refuses the client certificate (kafka.security.certificate_file): it has expired, or is "
                "not signed by an authority that the broker trusts"
            )
        if "PROTOCOL_VERSION" in reason or "HANDSHAKE_FAILURE" in reason:
            return "the broker offers no TLS version or cipher that is accepted here: enable TLS 1.2 or newer on it"
        return f"the broker ends TLS: {reason.replace('_', ' ').lower()}"

    def negotiate_versions(self) -> None:
        """Ask which versions of each request the broker accepts."""
        response = self.send(ApiVersionsRequest(version=0), self._describe_first_disconnect())
        self._max_versions = {entry.api_key: entry.max_version for entry in response.api_keys}

    def _describe_first_disconnect(self) -> str:
        if self._security.tls:
            return (
                "the broker closes the connection: what listens there is no Kafka broker, or asks for another "
                "certificate"
            )
        encrypted = {"plaintext": "ssl", "sasl_plaintext": "sasl_ssl"}[self._security.protocol]
        return (
            "no Kafka broker answers: the port may speak TLS; correct the port, or set kafka.security.protocol = "
            f"{encrypted}"
        )

    def authenticate(self, options: dict[str, Any], host: str) -> None:
        """Log in by SASL."""
        security = self._security
        response = self.send(
            SaslHandshakeRequest(mechanism=security.mechanism, version=1),
            "the broker closes the connection when asked for SASL",
        )
        if response.error_code == _UNSUPPORTED_SASL_MECHANISM:
            raise self._handshake_error(
                f"the mechanism {security.mechanism} is not enabled there: set kafka.security.mechanism to one of "
                f"{', '.join(response.mechanisms)}"
            )
        if response.error_code == _ILLEGAL_SASL_STATE:
            protocol = "ssl" if security.tls else "plaintext"
            raise self._handshake_error(
                f"this listener asks for no password: correct the port, or set kafka.security.protocol = {protocol}"
            )
        if response.error_code:
            raise self._handshake_error(f"SASL fails: {kafka_errors.for_code(response.error_code).__name__}")
        mechanism = get_sasl_mechanism(security.mechanism)(host=host, **options)
        wrong = (
            f"user {security.user!r} or its password is wrong: check kafka.security.user, password_file, and that "
            f"the user exists for {security.mechanism}"
        )
        while not mechanism.is_done():
            request = SaslAuthenticateRequest(mechanism.auth_bytes(), version=self.version_of(SaslAuthenticateRequest))
            response = self.send(request, wrong)
            if response.error_code:
                raise self._handshake_error(wrong)
            try:
                mechanism.receive(response.auth_bytes)
            except (ValueError, KeyError):
                raise self._handshake_error(
                    "the broker does not prove that it knows the password: it may not be a broker of this cluster"
                ) from None
        if not mechanism.is_authenticated():
            raise self._handshake_error(wrong)

    def brokers(self) -> list[Broker]:
        """Return the brokers that the cluster advertises."""
        request = MetadataRequest(topics=[], version=self.version_of(MetadataRequest))
        disconnect = "the broker closes the connection at the first request"
        if not self._security.sasl:
            sasl = "sasl_ssl" if self._security.tls else "sasl_plaintext"
            disconnect += (
                f": the listener may ask for a user and a password (kafka.security.protocol = {sasl}), or the port is "
                "a controller's"
            )
        response = self.send(request, disconnect)
        return [Broker(broker.node_id, broker.host, broker.port) for broker in response.brokers]

    def coordinator(self, key: str, key_type: int) -> tuple[int, Broker]:
        """Return the coordinator of a group (type 0) or of a transactional id (type 1), after the error code."""
        version = self.version_of(FindCoordinatorRequest)
        if version >= _BATCHED_COORDINATORS_VERSION:
            request = FindCoordinatorRequest(key_type=key_type, coordinator_keys=[key], version=version)
            (found,) = self.send(request).coordinators
        else:
            found = self.send(FindCoordinatorRequest(key=key, key_type=key_type, version=version))
        return found.error_code, Broker(found.node_id, found.host, found.port)

    def version_of(self, request: Any) -> int:
        """Return the newest version of a request that both client and broker support."""
        return min(request.max_version, self._max_versions.get(request.API_KEY, request.max_version))

    def send(self, request: Any, disconnect: str = "the broker closes the connection") -> Any:
        """Send a request, and return the response.

        Parameters
        ----------
        disconnect:
            The message when the broker gives none.
        """
        self._protocol.send_request(request)
        try:
            self._socket.sendall(self._protocol.send_bytes())
            while True:
                data = self._socket.recv(65_536)
                if data.startswith(_TLS_ALERT):
                    raise self._handshake_error(disconnect)
                if not data:
                    raise self._disconnected_error(disconnect)
                responses = self._protocol.receive_bytes(data)
                if responses:
                    return responses[0][1]
        except ssl.SSLError as error:
            # With TLS 1.3 the broker checks the client certificate only after the handshake.
            alert = self._describe_alert(error)
            if alert is None:
                raise self._disconnected_error(disconnect) from None
            raise self._handshake_error(alert) from None
        except TimeoutError:
            raise self._disconnected_error(f"{disconnect} (no answer within {RESPONSE_SECONDS:.0f} s)") from None
        except OSError:
            raise self._disconnected_error(disconnect) from None
        except kafka_errors.KafkaError as error:
            raise self._handshake_error(f"what listens there does not answer as a Kafka broker ({error})") from None

    def _handshake_error(self, text: str) -> BrokerHandshakeError:
        return BrokerHandshakeError(f"{self._address}: {text}")

    def _disconnected_error(self, text: str) -> BrokerDisconnectedError:
        return BrokerDisconnectedError(f"{self._address}: {text}")
