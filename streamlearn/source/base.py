"""What the engine needs of a source: records by partition, assignments, committed positions, and re-reading a range."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from streamlearn.errors import StopError


class TopicPartition(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class RawRecord(NamedTuple):
    """A record as it lies in the log; ``timestamp_ms`` is milliseconds since the epoch."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Committed(NamedTuple):
    """A committed position: the next ``offset`` to read, and the engine's ``"<seq>:<chain>"``.

    ``leader_epoch`` tells under which leader the log was written up to there; -1 where nobody knows.
    """

    offset: int
    metadata: str
    leader_epoch: int = -1


class Bounds(NamedTuple):
    """The first offset that a partition still has, and the one after its last committed record."""

    start: int
    end: int


class AssignmentChange(NamedTuple):
    """Partitions were taken away or given; ``token`` is what a commit must show to prove that they are still owned."""

    kind: Literal["revoked", "assigned"]
    partitions: tuple[TopicPartition, ...]
    token: Any


class CorruptInputError(StopError):
    """The record at ``offset`` of ``partition`` fails its checksum; the source must be sought before the next poll."""

    def __init__(self, partition: TopicPartition, offset: int, text: str) -> None:
        super().__init__(
            f"{partition.topic}[{partition.partition}] cannot be read at offset {offset}: {text}. Restore "
            "the partition "
            "from another replica, or set engine.on_offset_lost to earliest or latest to go on behind the record"
        )
        self.partition = partition
        self.offset = offset
        self.reason = text


class TruncatedInputError(StopError):
    """The log of ``partition`` was cut off at ``offset``, before the position; None where that is not known."""

    def __init__(self, partition: TopicPartition, offset: int | None) -> None:
        place = "before what was read" if offset is None else f"at {offset}"
        super().__init__(
            f"{partition.topic}[{partition.partition}] was cut off {place}: a broker that was not in sync became its "
            "leader (unclean.leader.election.enable), and records that the model was given are gone. Send what is "
            "missing again and begin a new model with another kafka.group_id"
        )
        self.partition = partition
        self.offset = offset


class RangeReader(Protocol):
    """Reads one partition's records again, in order."""

    def read_to(self, end: int) -> list[RawRecord]:
        """Return the records from where the last call ended up to ``end`` (excluded).

        Raises
        ------
        OffsetLostError
            When the log no longer has them.
        """
        ...

    def follow(self, timeout_seconds: float) -> list[RawRecord]:
        """Return committed records that follow where the last call ended; waits for the first one.

        Raises
        ------
        OffsetLostError
            When the log no longer has them.
        """
        ...

    def close(self) -> None:
        """Give the connection back."""
        ...


class Source(Protocol):
    """Instances and labels to read. One thread uses it."""

    def open(self) -> None:
        """Connect and ask for partitions."""
        ...

    def poll(self, timeout_seconds: float, limit: int) -> Mapping[TopicPartition, list[RawRecord]]:
        """Return records that follow each partition's position, at most ``limit``, and move the positions.

        Raises
        ------
        CorruptInputError
            When a record fails its checksum.
        OffsetLostError
            When the log no longer has a partition's position.
        TruncatedInputError
            When a partition's log was cut off before its position.
        """
        ...

    def changes(self) -> list[AssignmentChange]:
        """Return the changes of assignment since the last call, oldest first."""
        ...

    def keep_alive(self) -> None:
        """Show the group that this worker lives while it does not poll; every position must be set again afterwards."""
        ...

    def check_reachable(self) -> None:
        """Ask a broker for anything; waits for a bounded time.

        Raises
        ------
        RetryableError
            When none answers.
        """
        ...

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Set the position of an owned partition."""
        ...

    def leader_epoch(self, partition: TopicPartition, offset: int) -> int:
        """Return what to commit with a position as `Committed.leader_epoch`."""
        ...

    def at_end(self, partition: TopicPartition) -> bool:
        """Return whether every committed record of an owned partition has been polled."""
        ...

    def behind(self, partition: TopicPartition, offset: int) -> int:
        """Return how many offsets an owned partition has after one, as far as is known without asking."""
        ...

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has."""
        ...

    def topic_id(self, topic: str) -> str:
        """Return what tells a topic from another of the same name, such as one that was recreated."""
        ...

    def committed(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Committed | None]:
        """Return the committed positions."""
        ...

    def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds]:
        """Return what the log holds of each partition, committed records only."""
        ...

    def reader(self, partition: TopicPartition, start: int) -> RangeReader:
        """Return a reader of committed records from an offset, independent of the assignment."""
        ...

    def members(self) -> list[str]:
        """Return the names of the group's members, stand-bys too; needs no `open`."""
        ...

    def observer(self) -> Source:
        """Return a source for another thread that answers questions about the log, and is no member of the group."""
        ...

    def close(self, *, leave: bool) -> None:
        """Disconnect; with ``leave`` also give up the place in the group at once."""
        ...
