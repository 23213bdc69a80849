"""Dead letters: the headers that we add to a record that could not be used, besides its own key, value and headers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    def from_headers(cls, headers: Sequence[tuple[str, bytes | None]]) -> DeadLetter:
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
                if name.startswith(HEADER_PREFIX) and value is not None
            }
        )


_OWN_HEADERS = frozenset(f"{HEADER_PREFIX}{name}" for name in DeadLetter.model_fields)
_POINTER = f"{HEADER_PREFIX}pointer"
_LONGEST_COUNT_BYTES = 20


def leave_out_original(
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[tuple[str, bytes | None]],
    room: int,
    *,
    without_value: bool = False,
) -> tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]:
    """Return key, value and headers of a dead letter without as much of the original record as does not fit.

    The value is left out first, then the key and the original's headers. The header ``pointer`` then says that the
    original record has them. The client refuses to write a record without key and value: the key is empty then.

    Parameters
    ----------
    headers:
        Those of the original record, followed by ours.
    room:
        Maximum bytes of the original's key, value and headers together.
    without_value:
        Leave the value out in any case.
    """
    kept = list(headers)
    own = {name: content for name, content in headers if name in _OWN_HEADERS}
    size = len(key or b"") + _size(kept) - _size(own.items())
    if without_value or size + len(value or b"") > room:
        value = None
        pointer = b"the value is in the record named by topic, partition and offset"
        if size > room:
            key = None
            # The number of replays is the one header of ours that a producer may have written, at any length.
            kept = [
                (name, part)
                for name, part in own.items()
                if name != REPLAYED or len(part or b"") <= _LONGEST_COUNT_BYTES
            ]
            pointer = b"key, value and headers are in the record named by topic, partition and offset"
        kept = [*(header for header in kept if header[0] != _POINTER), (_POINTER, pointer)]
    if key is None and value is None:
        key = b""
    return key, value, kept


def _size(headers: Iterable[tuple[str, bytes | None]]) -> int:
    return sum(len(name.encode()) + len(content or b"") for name, content in headers)


class DeadLetterRecord(NamedTuple):
    """A record of the dead-letter topic with its parsed headers, ``about``; ``timestamp_ms`` is when it was refused."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    about: DeadLetter

    @property
    def name(self) -> str:
        """Name of the letter in commands: ``PARTITION@OFFSET``."""
        return f"{self.partition}@{self.offset}"


def original_headers(headers: Sequence[tuple[str, bytes | None]]) -> list[tuple[str, bytes | None]]:
    """Return the headers of the original record: those without ``HEADER_PREFIX``."""
    return [(name, value) for name, value in headers if not name.startswith(HEADER_PREFIX)]
