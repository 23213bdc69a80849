"""Headers of a dead letter: its key, value and own headers are those of the record that could not be used."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

HEADER_PREFIX = "streamlearn."


class DeadLetter(BaseModel):
    """What our headers say, each behind ``HEADER_PREFIX``, as text."""

    model_config = ConfigDict(frozen=True)

    topic: str
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)
    timestamp: int = Field(description="Milliseconds since the epoch")
    reason: str = Field(description="Code of the reason")
    text: str = Field(description="What was wrong, and where")
    version: str = Field(description="The release that refused it")

    @classmethod
    def from_headers(cls, headers: list[tuple[str, bytes]]) -> DeadLetter:
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
