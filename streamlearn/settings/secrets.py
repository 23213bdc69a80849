"""Passwords and tokens: where they come from, and how they stay out of what is printed."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from streamlearn.errors import UsageError

_LONGEST = 64 << 10


class Masked(str):
    """A secret for a library that takes a text: whoever prints a mapping or a list that holds it prints stars."""

    def __repr__(self) -> str:
        return "'**********'" if self else "''"


def secret(value: SecretStr, file: str, name: str) -> Masked:
    """Return a secret: the value, or what its file holds without a line end; empty when neither is given.

    Parameters
    ----------
    name:
        The setting ``section.key`` that holds the value; ``<name>_file`` names the file.

    Raises
    ------
    UsageError
        When the file cannot be read, or holds nothing.
    """
    if not file:
        return Masked(value.get_secret_value())
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(_LONGEST + 1)
    except OSError as error:
        raise UsageError(f"{name}_file = {file}: {error.strerror or error}") from None
    try:
        text = data.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise UsageError(f"{name}_file = {file}: it is not UTF-8 text; write the secret alone into it") from None
    if not text or len(data) > _LONGEST or "\n" in text:
        raise UsageError(f"{name}_file = {file}: it must hold one line, the secret alone")
    return Masked(text)
