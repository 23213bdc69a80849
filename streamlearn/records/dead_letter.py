"""Headers of a dead letter: its key, value and own headers are those of the record that could not be used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

HEADER_PREFIX = "streamlearn."
REPLAYED = f"{HEADER_PREFIX}replayed"
"""Header of a record that was sent to its topic again from the dead letters: how often."""


class DeadLetter(BaseModel):
    """What our headers say, each behind ``HEADER_PREFIX``, as text."""

    model_config = ConfigDict(frozen=True)

    topic: str
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)
    timestamp: int = Field(description="Milliseconds since the epoch")
    size: int | None = Field(None, description="Bytes of the original's value; missing in letters of older releases")
    reason: str = Field(description="Code of the reason")
    text: str = Field(description="What was wrong, and where")
    version: str = Field(description="The release that refused it")
    pointer: str | None = Field(None, description="Says what is left out of the letter and lies in the original alone")
    replayed: int = Field(0, ge=0, description="How often the record was sent again from the dead letters before")

    @classmethod
    def from_headers(cls, headers: Sequence[tuple[str, bytes]]) -> DeadLetter:
        """Return what the headers of a dead letter say; the last of equal names counts.

        Raises
        ------
        pydantic.ValidationError
            When a header is missing: the record is no dead letter of ours.
        """
        return cls.model_validate(
            {
                name.removeprefix(HEADER_PREFIX): value.decode("utf-8", "replace")
                for name, value in headers
                if name.startswith(HEADER_PREFIX)
            }
        )


class DeadLetterRecord(NamedTuple):
    """A record of the dead-letter topic, and what its headers say; ``timestamp_ms`` is when it was refused."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    about: DeadLetter

    @property
    def name(self) -> str:
        """How commands call it."""
        return f"{self.partition}@{self.offset}"


def original_headers(headers: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Return the headers that a record had when it was first written: those that are not ours."""
    return [(name, value) for name, value in headers if not name.startswith(HEADER_PREFIX)]
