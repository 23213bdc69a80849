"""Dead letters: the headers that we add to a record that could not be used, besides its own key, value and headers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

HEADER_PREFIX = "streamlearn."
REPLAYED = f"{HEADER_PREFIX}replayed"
"""Header of a record that was replayed from the dead letters to its topic: the number of replays."""


class DeadLetter(BaseModel):
    """The headers of a dead letter; each header is a field name after ``HEADER_PREFIX``, its value is text."""

    model_config = ConfigDict(frozen=True)

    topic: str
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)
    timestamp: int = Field(description="Milliseconds since the epoch")
    size: int | None = Field(None, description="Bytes of the original value; missing in letters of older releases")
    reason: str = Field(description="Code of the reason")
    text: str = Field(description="What is wrong, and where")
    version: str = Field(description="Release that refused the record")
    pointer: str | None = Field(None, description="Says what the letter leaves out and only the original record has")
    replayed: int = Field(0, ge=0, description="Number of earlier replays of the record")

    @classmethod
    def from_headers(cls, headers: Sequence[tuple[str, bytes]]) -> DeadLetter:
        """Parse the headers of a dead letter; of equal names the last one counts.

        Raises
        ------
        pydantic.ValidationError
            When a header is missing: the record is not one of our dead letters.
        """
        return cls.model_validate(
            {
                name.removeprefix(HEADER_PREFIX): value.decode("utf-8", "replace")
                for name, value in headers
                if name.startswith(HEADER_PREFIX)
            }
        )


class Letter(NamedTuple):
    """A record of the dead-letter topic with its parsed headers, ``about``; ``timestamp_ms`` is when it was refused."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    about: DeadLetter

    @property
    def name(self) -> str:
        """Name of the letter in commands: ``PARTITION@OFFSET``."""
        return f"{self.partition}@{self.offset}"


def original_headers(headers: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Return the headers of the original record: those without ``HEADER_PREFIX``."""
    return [(name, value) for name, value in headers if not name.startswith(HEADER_PREFIX)]
