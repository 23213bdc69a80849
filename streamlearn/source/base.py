"""Interface of sources: records by partition, assignment changes, committed positions, and readers of a range."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from streamlearn.errors import StopError


class TopicPartition(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class RawRecord(NamedTuple):
    """A record of the log, not decoded; ``timestamp_ms`` is milliseconds since the epoch."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


class Committed(NamedTuple):
    """A committed position: the next ``offset`` to read, and the engine's ``"<seq>:<chain>"`` as ``metadata``.

    ``leader_epoch`` is that of the record before the offset; -1 where it is unknown.
    """

    offset: int
    metadata: str
    leader_epoch: int = -1


class Bounds(NamedTuple):
    """The first offset that a partition still has, and the offset after its last committed record."""

    start: int
    end: int


class AssignmentChange(NamedTuple):
    """Partitions were revoked or assigned.

    A commit presents ``token`` to prove that the assigned partitions are still owned; it is opaque to the engine.
    """

    kind: Literal["revoked", "assigned"]
    partitions: tuple[TopicPartition, ...]
    token: Any


class CorruptInputError(StopError):
    """The record at ``offset`` of ``partition`` fails its checksum; to read on, seek past it."""

    def __init__(self, partition: TopicPartition, offset: int, text: str) -> None:
        super().__init__(
            f"{partition.topic}[{partition.partition}] cannot be read at offset {offset}: {text}. Restore the "
            "partition from another replica, or set engine.on_offset_lost to earliest or latest to skip the record"
        )
        self.partition = partition
        self.offset = offset
        self.reason = text


class TruncatedInputError(StopError):
    """The log of ``partition`` was truncated at ``offset``, below the position; None where the offset is unknown."""

    def __init__(self, partition: TopicPartition, offset: int | None) -> None:
        where = "below the position that was read" if offset is None else f"at {offset}"
        super().__init__(
            f"{partition.topic}[{partition.partition}] was cut off {where}: a broker that was not in sync became its "
            "leader (unclean.leader.election.enable), and records that the model has read are gone. Send the missing "
            "records again and start a new model with another kafka.group_id"
        )
        self.partition = partition
        self.offset = offset


class RangeReader(Protocol):
    """Reads the records of one partition again, in order."""

    def read_to(self, end: int) -> list[RawRecord]:
        """Return the records from the end of the last call up to ``end`` (excluded).

        Raises
        ------
        OffsetLostError
            When the log no longer has them.
        """
        ...

    def follow(self, timeout_seconds: float) -> list[RawRecord]:
        """Return committed records from the end of the last call on; wait for the first one.

        Raises
        ------
        OffsetLostError
            When the log no longer has them.
        """
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class Source(Protocol):
    """Instances and labels to read; used by one thread.

    Every call that asks a broker may raise a `RetryableError` when none answers, or a `StopError`. Those that ask none
    raise nothing: `changes`, `seek`, `leader_epoch`, `at_end` and `answered_at`.
    """

    def open(self) -> None:
        """Connect and ask for partitions."""
        ...

    def poll(self, timeout_seconds: float, limit: int) -> Mapping[TopicPartition, list[RawRecord]]:
        """Return records from each partition's position on, at most ``limit``, and advance the positions.

        Raises
        ------
        CorruptInputError
            When a record fails its checksum. It is raised again until a position after the record is sought.
        OffsetLostError
            When the log no longer has a partition's position.
        TruncatedInputError
            When a partition's log was truncated below its position.
        """
        ...

    def changes(self) -> list[AssignmentChange]:
        """Return the assignment changes since the last call, oldest first."""
        ...

    def keep_alive(self) -> bool:
        """Keep the group membership while the engine does not poll; seek every partition again afterwards.

        Returns whether it was time to do so. Errors about records and offsets come again when they are polled.
        """
        ...

    def answered_at(self) -> float | None:
        """Return when a broker last answered anything, in seconds of the monotonic clock; None before the first answer.

        May be called from any thread.
        """
        ...

    def check_reachable(self) -> None:
        """Send a request to a broker, and wait for a bounded time.

        Raises
        ------
        RetryableError
            When no broker answers.
        """
        ...

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Set the position of an owned partition."""
        ...

    def leader_epoch(self, partition: TopicPartition, offset: int) -> int:
        """Return the `Committed.leader_epoch` of a position."""
        ...

    def at_end(self, partition: TopicPartition) -> bool:
        """Return whether every committed record of an owned partition that is known of has been polled."""
        ...

    def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Ask for the offset after the last committed record of each partition, and wait for a short time."""
        ...

    def partitions(self, topic: str) -> int:
        """Return the number of partitions of a topic."""
        ...

    def topic_id(self, topic: str) -> str:
        """Return the id of a topic; a topic that is created again under the same name has another."""
        ...

    def committed(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Committed | None]:
        """Return the committed positions."""
        ...

    def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds]:
        """Return the range of committed records that the log holds of each partition."""
        ...

    def reader(self, partition: TopicPartition, start: int) -> RangeReader:
        """Return a reader of committed records from an offset, independent of the assignment."""
        ...

    def members(self) -> list[str]:
        """Return the names of the group's members, including stand-bys; needs no `open`."""
        ...

    def holders(self) -> list[str]:
        """Return the names of the group's members that hold partitions, as far as is known; needs no `open`."""
        ...

    def observer(self) -> Source:
        """Return a source for another thread, which reads the log and is not a member of the group."""
        ...

    def close(self, *, leave: bool) -> None:
        """Disconnect; with ``leave`` also leave the group at once."""
        ...
