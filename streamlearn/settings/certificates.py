"""Certificates and keys from PEM files; what is wrong with them names the setting."""

from __future__ import annotations

import ssl

from streamlearn.errors import UsageError


def load_certificate(
    context: ssl.SSLContext, section: str, certificate_file: str, key_file: str, password: str = ""
) -> None:
    """Load a certificate and its key.

    Parameters
    ----------
    section:
        The settings' section that names the files, for messages.
    key_file:
        Empty when the key stands in the certificate's file.

    Raises
    ------
    UsageError
        When a file cannot be read, or does not hold what it should.
    """
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        context.load_cert_chain(certificate_file, key_file or None, lambda: str(password))
    except (OSError, ValueError) as error:
        shown = f"{section}.certificate_file = {certificate_file}"
        if key_file:
            shown += f", {section}.key_file = {key_file}"
        raise UsageError(
            f"{shown}: {fault_of(error)}; they must hold a certificate and its key as PEM"
            + (", and an encrypted key needs its password" if not password else "")
        ) from None


def load_authorities(context: ssl.SSLContext, setting: str, file: str) -> None:
    """Load the certificates of those who may sign.

    Raises
    ------
    UsageError
        When the file cannot be read, or holds none.
    """
    try:
        context.load_verify_locations(file)
    except (OSError, ValueError) as error:
        raise UsageError(f"{setting} = {file}: {fault_of(error)}; it must hold certificates as PEM") from None


def fault_of(error: Exception) -> str:
    """Return what an error of TLS or of a file says, in words."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not PEM").replace("_", " ").lower()
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
