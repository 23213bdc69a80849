"""Loading of certificates and keys from PEM files, with errors that name the setting."""

from __future__ import annotations

import ssl

from streamlearn.errors import UsageError


def load_certificate(
    context: ssl.SSLContext, section: str, certificate_file: str, key_file: str, password: str = ""
) -> None:
    """Load a certificate and its key into a context.

    Parameters
    ----------
    context:
        The TLS context.
    section:
        The section of the settings that names the files, for error messages.
    certificate_file:
        The certificate, as PEM.
    key_file:
        The key, as PEM; empty if it is in ``certificate_file``.
    password:
        Password of an encrypted key.

    Raises
    ------
    UsageError
        When a file cannot be read, or does not hold what it should.
    """
    try:
        # Without a password callback OpenSSL asks for a password on the terminal.
        context.load_cert_chain(certificate_file, key_file or None, lambda: str(password))
    except (OSError, ValueError) as error:
        files = f"{section}.certificate_file = {certificate_file}"
        if key_file:
            files += f", {section}.key_file = {key_file}"
        raise UsageError(
            f"{files}: {_error_text(error)}; they must hold a certificate and its key as PEM"
            + (", and an encrypted key needs its password" if not password else "")
        ) from None


def load_ca_certificates(context: ssl.SSLContext, setting: str, file: str) -> None:
    """Load the certificates of trusted authorities into a context; ``setting`` names the file in errors.

    Raises
    ------
    UsageError
        When the file cannot be read or holds no certificate.
    """
    try:
        context.load_verify_locations(file)
    except (OSError, ValueError) as error:
        raise UsageError(f"{setting} = {file}: {_error_text(error)}; it must hold certificates as PEM") from None


def _error_text(error: Exception) -> str:
    """Return the text of an error from OpenSSL or from reading a file."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not PEM").replace("_", " ").lower()
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
