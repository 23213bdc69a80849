"""Passwords and tokens: read from settings or files, and masked in output."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from streamlearn.errors import UsageError

_MAX_BYTES = 64 << 10


class Masked(str):
    """A secret for libraries that take a str: its repr, as in a printed mapping or list, is a row of stars."""

    def __repr__(self) -> str:
        return "'**********'" if self else "''"


def read_secret(value: SecretStr, file: str, name: str) -> Masked:
    """Return a secret: the value, or the content of the file without its line end; empty if neither is set.

    Parameters
    ----------
    value:
        The value of the setting ``name``.
    file:
        The value of the setting ``<name>_file``; if not empty, the secret is read from there.
    name:
        The setting as ``section.key``, for error messages.

    Raises
    ------
    UsageError
        When the file cannot be read, or does not hold exactly one line of UTF-8 text.
    """
    if not file:
        return Masked(value.get_secret_value())
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(_MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{name}_file = {file}: {error.strerror or error}") from None
    try:
        text = data.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise UsageError(f"{name}_file = {file}: not UTF-8 text; write only the secret into it") from None
    if not text or len(data) > _MAX_BYTES or "\n" in text:
        raise UsageError(f"{name}_file = {file}: it must hold one line with only the secret")
    return Masked(text)
