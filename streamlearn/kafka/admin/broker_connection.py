# pyright: reportAttributeAccessIssue=false, reportCallIssue=false
# The stubs that come with the type checker describe an older client than the one installed.
"""A connection to one broker, step by step, so that each failure has its name.

The Kafka client hides the reason: a closed port, a foreign certificate and a wrong password are all "unable to
bootstrap" to it.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Any, NamedTuple

from kafka import errors as kafka_errors
from kafka.net.sasl import get_sasl_mechanism
from kafka.protocol.metadata import ApiVersionsRequest, FindCoordinatorRequest, MetadataRequest
from kafka.protocol.parser import KafkaProtocol
from kafka.protocol.sasl import SaslAuthenticateRequest, SaslHandshakeRequest

from streamlearn.errors import RetryableError, UsageError
from streamlearn.kafka.client_options import security_options
from streamlearn.settings.security import SecuritySettings
from streamlearn.settings.settings import Settings

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 5.0
LONGEST_ANSWER_BYTES = 16 << 20

_EXPIRED, _NOT_YET_VALID = 10, 9
_FOREIGN = (2, 18, 19, 20, 21)
_OTHER_HOST = (62, 64)
_TLS_ALERT = b"\x15\x03"
_UNSUPPORTED_MECHANISM, _ILLEGAL_SASL_STATE = 33, 34
_SEVERAL_COORDINATORS = 4


class UnreachableError(RetryableError):
    """Nobody answers at an address."""


class RefusedError(UsageError):
    """A broker is there, but TLS, SASL or the protocol do not fit it."""


class SilentError(RetryableError):
    """A broker ends the connection and gives no reason: it may be about to stop or to start."""


class Broker(NamedTuple):
    """A broker as the cluster advertises it."""

    node: int
    host: str
    port: int


@contextlib.contextmanager
def open_connection(
    settings: Settings, host: str, port: int, role: str = "kafka.bootstrap_servers"
) -> Iterator[BrokerConnection]:
    """Connect to a broker as a worker does, up to where requests are answered.

    Parameters
    ----------
    role:
        Where the address comes from, for messages.

    Raises
    ------
    UnreachableError
        When nobody answers at the address.
    RefusedError
        When TLS, the password, or the protocol do not fit the listener.
    SilentError
        When it ends the connection without a reason, which may be one of these.
    UsageError
        When a certificate, key or password of the settings cannot be read.
    """
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    security = settings.kafka.security
    options = security_options(security)
    connection = BrokerConnection(_tcp(host, port, shown, role), security, shown, f"streamlearn-{settings.worker.name}")
    try:
        if security.tls:
            connection.encrypt(options["ssl_context"], host)
        connection.learn_versions()
        if security.sasl:
            connection.authenticate(options, host)
        yield connection
    finally:
        connection.close()


def _tcp(host: str, port: int, shown: str, role: str) -> socket.socket:
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
    raise UnreachableError(f"{shown} ({role}): {reason}; start the broker, or correct the address")


class BrokerConnection:
    """A blocking connection to one broker, made by `open_connection`."""

    def __init__(self, sock: socket.socket, security: SecuritySettings, shown: str, client: str) -> None:
        self._socket = sock
        self._security = security
        self._shown = shown
        self._protocol = KafkaProtocol(client_id=client, receive_message_max_bytes=LONGEST_ANSWER_BYTES)
        self._versions: dict[int, int] = {}
        sock.settimeout(ANSWER_SECONDS)

    def close(self) -> None:
        self._socket.close()

    def encrypt(self, context: ssl.SSLContext, host: str) -> None:
        plain = {"ssl": "plaintext", "sasl_ssl": "sasl_plaintext"}[self._security.protocol]
        try:
            self._socket = context.wrap_socket(self._socket, server_hostname=host.rstrip("."))
        except ssl.SSLCertVerificationError as error:
            raise self._refused(self._certificate_fault(error, host)) from None
        except ssl.SSLError as error:
            if self._alert(error) is None:
                raise SilentError(self._no_tls(plain)) from None
            raise self._refused(str(self._alert(error))) from None
        except OSError:
            raise SilentError(self._no_tls(plain)) from None

    def _no_tls(self, plain: str) -> str:
        return (
            f"{self._shown}: the port does not speak TLS: correct the port, or, if it is meant to be plain, set "
            f"kafka.security.protocol = {plain}"
        )

    def _certificate_fault(self, error: ssl.SSLCertVerificationError, host: str) -> str:
        code = error.verify_code
        authorities = self._security.ca_file or "the system's"
        if code == _EXPIRED:
            return "the broker's certificate has expired: have it renewed (or correct this machine's clock)"
        if code == _NOT_YET_VALID:
            return "the broker's certificate is not valid yet: correct this machine's clock"
        if code in _FOREIGN:
            return (
                "the broker's certificate is not signed by an authority of kafka.security.ca_file "
                f"({authorities}): name the file of the authority that signed it"
            )
        if code in _OTHER_HOST:
            return (
                f"the broker's certificate is not for {host}: use a name that stands in it, or set "
                "kafka.security.check_hostname = false"
            )
        return f"the broker's certificate is refused: {error.verify_message}"

    @staticmethod
    def _alert(error: ssl.SSLError) -> str | None:
        """Return what the broker says against our side of TLS; None when it says nothing of the kind."""
        reason = (error.reason or "").upper()
        if "ALERT" not in reason:
            return None
        if any(word in reason for word in ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE")):
            return (
                "the broker asks for a certificate of ours: set kafka.security.certificate_file and key_file, or use a "
                "listener without mutual TLS"
            )
        if any(word in reason for word in ("UNKNOWN_CA", "CERTIFICATE_UNKNOWN", "CERTIFICATE_EXPIRED", "REVOKED")):
            return (
                "the broker refuses our certificate (kafka.security.certificate_file): it has expired, or is not "
                "signed by an authority that the broker knows"
            )
        if "PROTOCOL_VERSION" in reason or "HANDSHAKE_FAILURE" in reason:
            return "the broker speaks no version of TLS, or no cipher, that is accepted here (TLS 1.2 or newer)"
        return f"the broker ends TLS: {reason.replace('_', ' ').lower()}"

    def learn_versions(self) -> None:
        answer = self.ask(ApiVersionsRequest(version=0), self._silent_at_first())
        self._versions = {entry.api_key: entry.max_version for entry in answer.api_keys}

    def _silent_at_first(self) -> str:
        if self._security.tls:
            return "the broker ends the connection: what listens there is no Kafka broker, or wants another certificate"
        encrypted = {"plaintext": "ssl", "sasl_plaintext": "sasl_ssl"}[self._security.protocol]
        return (
            "no Kafka broker answers: the port may speak TLS; correct the port, or set kafka.security.protocol = "
            f"{encrypted}"
        )

    def authenticate(self, options: dict[str, Any], host: str) -> None:
        security = self._security
        answer = self.ask(
            SaslHandshakeRequest(mechanism=security.mechanism, version=1),
            "the broker ends the connection at the request for SASL",
        )
        if answer.error_code == _UNSUPPORTED_MECHANISM:
            raise self._refused(
                f"the mechanism {security.mechanism} is not enabled there: set kafka.security.mechanism to one of "
                f"{', '.join(answer.mechanisms)}"
            )
        if answer.error_code == _ILLEGAL_SASL_STATE:
            fitting = "ssl" if security.tls else "plaintext"
            raise self._refused(
                "this listener asks for no password: correct the port, or set kafka.security.protocol = " + fitting
            )
        if answer.error_code:
            raise self._refused(f"SASL fails: {kafka_errors.for_code(answer.error_code).__name__}")
        mechanism = get_sasl_mechanism(security.mechanism)(host=host, **options)
        wrong = (
            f"user {security.user!r} or its password is wrong: check kafka.security.user, password_file, and that "
            f"the user exists for {security.mechanism}"
        )
        while not mechanism.is_done():
            request = SaslAuthenticateRequest(mechanism.auth_bytes(), version=self.version_of(SaslAuthenticateRequest))
            answer = self.ask(request, wrong)
            if answer.error_code:
                raise self._refused(wrong)
            try:
                mechanism.receive(answer.auth_bytes)
            except (ValueError, KeyError):
                raise self._refused(
                    "the broker does not prove that it knows the password: it may be a foreign one"
                ) from None
        if not mechanism.is_authenticated():
            raise self._refused(wrong)

    def brokers(self) -> list[Broker]:
        request = MetadataRequest(topics=[], version=self.version_of(MetadataRequest))
        silent = "the broker ends the connection at the first request"
        if not self._security.sasl:
            sasl = "sasl_ssl" if self._security.tls else "sasl_plaintext"
            silent += (
                f": the listener may ask for a user and a password (kafka.security.protocol = {sasl}), or the port is "
                "a controller's"
            )
        answer = self.ask(request, silent)
        return [Broker(broker.node_id, broker.host, broker.port) for broker in answer.brokers]

    def coordinator(self, key: str, kind: int) -> tuple[int, Broker]:
        """Return the broker that looks after a group (kind 0) or a transactional id (kind 1), and the error code."""
        version = self.version_of(FindCoordinatorRequest)
        if version >= _SEVERAL_COORDINATORS:
            request = FindCoordinatorRequest(key_type=kind, coordinator_keys=[key], version=version)
            (found,) = self.ask(request).coordinators
        else:
            found = self.ask(FindCoordinatorRequest(key=key, key_type=kind, version=version))
        return found.error_code, Broker(found.node_id, found.host, found.port)

    def version_of(self, request: Any) -> int:
        """Return the newest version of a kind of request that client and broker know."""
        return min(request.max_version, self._versions.get(request.API_KEY, request.max_version))

    def ask(self, request: Any, silent: str = "the broker ends the connection") -> Any:
        """Return the answer to a request; ``silent`` says what it means when the broker does not give one."""
        self._protocol.send_request(request)
        try:
            self._socket.sendall(self._protocol.send_bytes())
            while True:
                data = self._socket.recv(65_536)
                if data.startswith(_TLS_ALERT):
                    raise self._refused(silent)
                if not data:
                    raise SilentError(f"{self._shown}: {silent}")
                answers = self._protocol.receive_bytes(data)
                if answers:
                    return answers[0][1]
        except ssl.SSLError as error:
            # With TLS 1.3 the broker looks at our certificate only after the handshake.
            if self._alert(error) is None:
                raise SilentError(f"{self._shown}: {silent}") from None
            raise self._refused(str(self._alert(error))) from None
        except TimeoutError:
            raise SilentError(f"{self._shown}: {silent} (no answer within {ANSWER_SECONDS:.0f} s)") from None
        except OSError:
            raise SilentError(f"{self._shown}: {silent}") from None
        except kafka_errors.KafkaError as error:
            raise self._refused(f"what listens there does not answer as a Kafka broker ({error})") from None

    def _refused(self, text: str) -> RefusedError:
        return RefusedError(f"{self._shown}: {text}")
