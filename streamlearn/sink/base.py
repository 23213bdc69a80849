"""Interface of sinks: transactions that write outputs and positions together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from streamlearn.source.base import Committed, TopicPartition


class OutputRecord(NamedTuple):
    """A record to write, to ``partition`` modulo the topic's number of partitions."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


class Sink(Protocol):
    """Outputs to write; used by one thread."""

    def open(self) -> None:
        """Connect, complete the open transaction of a predecessor of the same name, and fence it."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether the sink is open."""
        ...

    def commit(
        self, records: Sequence[OutputRecord], positions: Mapping[TopicPartition, Committed], token: Any
    ) -> list[int]:
        """Write records and positions in one transaction; return the offset of each record.

        After any exception the outcome is unknown. The caller calls `close`, then `open`, which settles it, and reads
        the committed positions.
        """
        ...

    def publish(self, record: OutputRecord) -> None:
        """Write a record outside of transactions, without waiting; used for the metrics topic.

        Raises
        ------
        RetryableError, StopError
            When this record, or an earlier one, could not be written; the next one may be.
        """
        ...

    def partitions(self, topic: str) -> int:
        """Return the number of partitions of a topic."""
        ...

    def close(self) -> None:
        """Disconnect, within a bounded time."""
        ...
