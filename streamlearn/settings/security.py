"""Settings for authentication and encryption of connections to the brokers."""

from __future__ import annotations

from typing import Literal

from pydantic import SecretStr, model_validator

from streamlearn.settings.fields import NO_SECRET, Section, refuse, setting

_TLS_SETTINGS = ("ca_file", "certificate_file", "key_file", "key_password", "key_password_file")
_SASL_SETTINGS = ("user", "password", "password_file")


class SecuritySettings(Section):
    """TLS and SASL for connections to the brokers; passwords come from the environment or from files."""

    protocol: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = setting(
        "plaintext",
        "Security protocol of the brokers' listener: ssl is TLS, sasl is authentication by user and password",
    )
    ca_file: str = setting("", "CA certificates (PEM) that sign the brokers' certificates; empty: those of the system")
    check_hostname: bool = setting(True, "Refuse a broker whose certificate is for another host name")
    certificate_file: str = setting("", "Client certificate (PEM), if the brokers require one")
    key_file: str = setting("", "Key of that certificate (PEM); empty: it is in certificate_file")
    key_password: SecretStr = setting(NO_SECRET, "Password of the key")
    key_password_file: str = setting("", "File with the password of the key")
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = setting(
        "SCRAM-SHA-512", "SASL mechanism; PLAIN sends the password itself, so use it only with TLS"
    )
    user: str = setting("", "User name")
    password: SecretStr = setting(NO_SECRET, "Password of the user")
    password_file: str = setting("", "File with the password of the user")

    @property
    def tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.protocol in ("ssl", "sasl_ssl")

    @property
    def sasl(self) -> bool:
        """Whether connections authenticate with user and password."""
        return self.protocol in ("sasl_plaintext", "sasl_ssl")

    def _is_set(self, name: str) -> bool:
        value = getattr(self, name)
        return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)

    @model_validator(mode="after")
    def _check_combinations(self) -> SecuritySettings:
        unused = [
            *(name for name in _TLS_SETTINGS if not self.tls and self._is_set(name)),
            *(name for name in _SASL_SETTINGS if not self.sasl and self._is_set(name)),
        ]
        faults = [
            f"kafka.security.{name} is set, but kafka.security.protocol = {self.protocol} does not use it: "
            f"choose {'sasl_ssl' if name in _SASL_SETTINGS else 'ssl or sasl_ssl'}, or remove it"
            for name in unused
        ]
        faults += [
            f"kafka.security.{name} and kafka.security.{name}_file are both set; keep one"
            for name in ("password", "key_password")
            if self._is_set(name) and self._is_set(f"{name}_file")
        ]
        if (self._is_set("key_file") or self._is_set("key_password")) and not self.certificate_file:
            faults.append(
                "kafka.security.key_file or its password is set without kafka.security.certificate_file: set the "
                "certificate too"
            )
        if self.sasl and not self.user:
            faults.append(f"kafka.security.protocol = {self.protocol} needs kafka.security.user")
        if self.sasl and not self._is_set("password") and not self._is_set("password_file"):
            faults.append(
                f"kafka.security.protocol = {self.protocol} needs a password: set kafka.security.password_file, or "
                "STREAMLEARN_KAFKA__SECURITY__PASSWORD in the environment"
            )
        refuse(faults)
        return self
