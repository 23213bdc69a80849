"""Options of the Kafka client that every connection shares."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from typing import Any

from kafka.errors import KafkaError

from streamlearn.errors import RetryableError
from streamlearn.settings.addresses import parse_broker_addresses
from streamlearn.settings.certificates import load_ca_certificates, load_certificate
from streamlearn.settings.secrets import Masked, read_secret
from streamlearn.settings.security import SecuritySettings
from streamlearn.settings.settings import Settings

ANSWER_TIMEOUT_MS = 10_000
"""Longest wait for the answer to one request of an administrator, or of a consumer that only looks something up. The
client's default is half a minute, more than any call of a worker may take."""


def connection_options(settings: Settings) -> dict[str, Any]:
    """Return the client's options for connecting to the brokers.

    Raises
    ------
    UsageError
        When a certificate, key or password cannot be read.
    """
    return {
        "bootstrap_servers": parse_broker_addresses(settings.kafka.bootstrap_servers),
        "client_id": f"streamlearn-{settings.worker.name}",
        "bootstrap_timeout_ms": 10_000,
        "reconnect_backoff_max_ms": 1_000,
        "metadata_max_age_ms": 10_000,
        **security_options(settings.kafka.security),
    }


def lookup_options(settings: Settings) -> dict[str, Any]:
    """Return `connection_options` for an administrator, or a consumer outside the group, with `ANSWER_TIMEOUT_MS`."""
    return {**connection_options(settings), "request_timeout_ms": ANSWER_TIMEOUT_MS}


def security_options(security: SecuritySettings) -> dict[str, Any]:
    """Return the client's options for TLS and SASL.

    Raises
    ------
    UsageError
        When a certificate, key or password cannot be read.
    """
    options: dict[str, Any] = {"security_protocol": security.protocol.upper()}
    if security.tls:
        options["ssl_context"] = create_tls_context(security)
    if security.sasl:
        options["sasl_mechanism"] = security.mechanism
        options["sasl_plain_username"] = security.user
        options["sasl_plain_password"] = read_password(security)
    return options


def read_password(security: SecuritySettings) -> Masked:
    """Return the user's password.

    Raises
    ------
    UsageError
        When its file cannot be read.
    """
    return read_secret(security.password, security.password_file, "kafka.security.password")


def create_tls_context(security: SecuritySettings) -> ssl.SSLContext:
    """Return the context of TLS connections to the brokers: TLS 1.2 or newer, certificates checked.

    Raises
    ------
    UsageError
        When a file cannot be read or does not hold what it should.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = security.check_hostname
    if security.ca_file:
        load_ca_certificates(context, "kafka.security.ca_file", security.ca_file)
    else:
        context.load_default_certs()
    if security.certificate_file:
        password = read_secret(security.key_password, security.key_password_file, "kafka.security.key_password")
        load_certificate(context, "kafka.security", security.certificate_file, security.key_file, password)
    return context


@contextlib.contextmanager
def convert_client_errors(settings: Settings, purpose: str) -> Iterator[None]:
    """Raise a `RetryableError` in place of any error of the Kafka client; it names what the brokers were asked for."""
    try:
        yield
    except KafkaError as error:
        raise RetryableError(
            f"no broker of {settings.kafka.bootstrap_servers} answers for {purpose} ({error}): run `streamlearn check` "
            "to see why, then try again"
        ) from error
