"""How the brokers are told who we are, and how we know that they are ours."""

from __future__ import annotations

from typing import Literal

from pydantic import SecretStr, model_validator

from streamlearn.settings.fields import NO_SECRET, Section, setting

_TLS_SETTINGS = ("ca_file", "certificate_file", "key_file", "key_password", "key_password_file")
_SASL_SETTINGS = ("user", "password", "password_file")


class SecuritySettings(Section):
    """TLS and SASL towards the brokers; a password comes from the environment or from a file."""

    protocol: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = setting(
        "plaintext", "What the brokers' listener speaks: TLS with ssl, a user and a password with sasl"
    )
    ca_file: str = setting("", "Certificates (PEM) of those who may sign the brokers' own; empty: the system's")
    check_hostname: bool = setting(True, "Refuse a broker whose certificate is for another host name")
    certificate_file: str = setting("", "Our own certificate (PEM), where the brokers ask for one")
    key_file: str = setting("", "Key of that certificate (PEM); empty: it stands in certificate_file")
    key_password: SecretStr = setting(NO_SECRET, "Password of the key")
    key_password_file: str = setting("", "File with the password of the key")
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = setting(
        "SCRAM-SHA-512", "How the password is proven; PLAIN sends it, so use it with TLS only"
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
        """Whether a user and a password are shown."""
        return self.protocol in ("sasl_plaintext", "sasl_ssl")

    def _given(self, name: str) -> bool:
        value = getattr(self, name)
        return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)

    @model_validator(mode="after")
    def _fits_together(self) -> SecuritySettings:
        unused = [
            *(name for name in _TLS_SETTINGS if not self.tls and self._given(name)),
            *(name for name in _SASL_SETTINGS if not self.sasl and self._given(name)),
        ]
        if unused:
            raise ValueError(
                f"kafka.security.{unused[0]} is set, but kafka.security.protocol = {self.protocol} does not use it: "
                f"choose {'sasl_ssl' if unused[0] in _SASL_SETTINGS else 'ssl or sasl_ssl'}, or leave it out"
            )
        for name in ("password", "key_password"):
            if self._given(name) and self._given(f"{name}_file"):
                raise ValueError(f"kafka.security.{name} and kafka.security.{name}_file are both set; keep one")
        if (self._given("key_file") or self._given("key_password")) and not self.certificate_file:
            raise ValueError(
                "kafka.security.key_file or its password is set without kafka.security.certificate_file: name the "
                "certificate too"
            )
        if self.sasl and not self.user:
            raise ValueError(f"kafka.security.protocol = {self.protocol} needs kafka.security.user")
        if self.sasl and not self._given("password") and not self._given("password_file"):
            raise ValueError(
                f"kafka.security.protocol = {self.protocol} needs a password: set kafka.security.password_file, or "
                "STREAMLEARN_KAFKA__SECURITY__PASSWORD in the environment"
            )
        return self
