"""What the engine needs of a sink: transactions that hold outputs and positions together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from streamlearn.source.base import Committed, TopicPartition


class OutputRecord(NamedTuple):
    """A record to write; it goes to ``partition`` modulo the topic's number of partitions."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Sink(Protocol):
    """Outputs to write. One thread uses it."""

    def open(self) -> None:
        """Connect, settle what a predecessor of the same name left open, and fence it."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether `open` was called and `close` was not."""
        ...

    def commit(
        self, records: Sequence[OutputRecord], positions: Mapping[TopicPartition, Committed], token: Any
    ) -> list[int]:
        """Write records and positions in one transaction; return the offset of each record.

        Any exception leaves the outcome unknown: the caller calls `close`, then `open`, which settles it, and reads the
        committed positions.
        """
        ...

    def publish(self, record: OutputRecord) -> None:
        """Write a record outside transactions, without waiting; used for the metrics topic."""
        ...

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has."""
        ...

    def close(self) -> None:
        """Disconnect, within a bounded time."""
        ...
