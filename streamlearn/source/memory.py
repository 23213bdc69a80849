"""A source on a log in memory: one worker owns every partition."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence

from streamlearn.source.base import AssignmentChange, Bounds, Committed, RawRecord, TopicPartition
from streamlearn.source.memory_log import MemoryLog


class _MemoryReader:
    def __init__(self, log: MemoryLog, partition: TopicPartition, start: int) -> None:
        self._log = log
        self._records = log.read(partition)
        self._position = start

    def read_to(self, end: int) -> list[RawRecord]:
        records = self._records[self._position : end]
        self._position = end
        return records

    def follow(self, timeout_seconds: float) -> list[RawRecord]:
        self._log.wait(timeout_seconds, lambda: len(self._records) > self._position)
        return self.read_to(len(self._records))

    def close(self) -> None:
        """Nothing to close."""


class MemorySource:
    """Reads topics of a memory log.

    Parameters
    ----------
    log:
        The log.
    topics:
        Topics to read.
    group:
        Group under which positions are committed.
    """

    def __init__(self, log: MemoryLog, topics: Sequence[str], group: str) -> None:
        self._log = log
        self._topics = tuple(topics)
        self._group = group
        self._positions: dict[TopicPartition, int] = {}
        self._changes: list[AssignmentChange] = []

    def open(self) -> None:
        owned = tuple(
            TopicPartition(topic, partition)
            for topic in self._topics
            for partition in range(self._log.partitions(topic))
        )
        self._positions = dict.fromkeys(owned, 0)
        self._changes.append(AssignmentChange("assigned", owned, self._group))

    def poll(self, timeout_seconds: float, limit: int) -> Mapping[TopicPartition, list[RawRecord]]:
        if all(self.at_end(partition) for partition in self._positions):
            self._log.wait(timeout_seconds, lambda: not all(self.at_end(partition) for partition in self._positions))
        polled: dict[TopicPartition, list[RawRecord]] = {}
        share = max(1, limit // max(1, len(self._positions)))
        for partition, position in self._positions.items():
            records = self._log.read(partition)[position : position + share]
            if records:
                polled[partition] = records
                self._positions[partition] = position + len(records)
        return polled

    def check_reachable(self) -> None:
        pass

    def answered_at(self) -> float | None:
        return time.monotonic()

    def keep_alive(self) -> bool:
        self.poll(0.0, 1)
        return True

    def changes(self) -> list[AssignmentChange]:
        changes, self._changes = self._changes, []
        return changes

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._positions[partition] = offset

    def leader_epoch(self, partition: TopicPartition, offset: int) -> int:
        return -1

    def at_end(self, partition: TopicPartition) -> bool:
        return self._positions[partition] >= len(self._log.read(partition))

    def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: len(self._log.read(partition)) for partition in partitions}

    def partitions(self, topic: str) -> int:
        return self._log.partitions(topic)

    def topic_id(self, topic: str) -> str:
        return self._log.topic_id(topic)

    def committed(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Committed | None]:
        return {partition: self._log.committed.get((self._group, partition)) for partition in partitions}

    def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Bounds]:
        return {partition: Bounds(0, len(self._log.read(partition))) for partition in partitions}

    def reader(self, partition: TopicPartition, start: int) -> _MemoryReader:
        return _MemoryReader(self._log, partition, start)

    def members(self) -> list[str]:
        return []

    def holders(self) -> list[str]:
        return []

    def observer(self) -> MemorySource:
        return MemorySource(self._log, self._topics, self._group)

    def close(self, *, leave: bool) -> None:
        self._positions.clear()
