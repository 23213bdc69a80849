"""A log in memory: topics, partitions, transactions and committed positions within one process.

It is the transport of the demo and of embedded use. A memory source and a memory sink share one log; any thread may
append to it while an engine runs.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping, Sequence

from streamlearn.source.base import Committed, RawRecord, TopicPartition


class MemoryLog:
    """Topics in memory.

    Parameters
    ----------
    topics:
        Topic names and their partition counts; any other topic is created with one partition on first use.
    """

    def __init__(self, topics: Mapping[str, int] | None = None) -> None:
        self._records: dict[TopicPartition, list[RawRecord]] = {}
        self._partitions: dict[str, int] = {}
        self._ids: dict[str, str] = {}
        self._appended = threading.Condition()
        self.committed: dict[tuple[str, TopicPartition], Committed] = {}
        for topic, partitions in (topics or {}).items():
            self.create(topic, partitions)

    def create(self, topic: str, partitions: int = 1) -> None:
        """Create a topic; one of that name is replaced by an empty one."""
        self._partitions[topic] = partitions
        self._ids[topic] = uuid.uuid4().hex
        for partition in range(partitions):
            self._records[TopicPartition(topic, partition)] = []

    def partitions(self, topic: str) -> int:
        """Return the number of partitions of a topic; create it if it does not exist."""
        if topic not in self._partitions:
            self.create(topic)
        return self._partitions[topic]

    def topic_id(self, topic: str) -> str:
        """Return the id of a topic."""
        self.partitions(topic)
        return self._ids[topic]

    def append(
        self,
        topic: str,
        partition: int,
        value: bytes | None,
        *,
        key: bytes | None = None,
        timestamp_ms: int = 0,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> int:
        """Append a record and return its offset."""
        self.partitions(topic)
        records = self._records[TopicPartition(topic, partition)]
        with self._appended:
            records.append(RawRecord(topic, partition, len(records), timestamp_ms, key, value, headers))
            self._appended.notify_all()
            return len(records) - 1

    def wait(self, timeout_seconds: float, ready: Callable[[], bool]) -> None:
        """Wait until an append makes ``ready`` true, or the time is over."""
        with self._appended:
            self._appended.wait_for(ready, timeout_seconds)

    def read(self, partition: TopicPartition) -> list[RawRecord]:
        """Return the records of a partition; the list is the log's own and grows with it."""
        self.partitions(partition.topic)
        return self._records[partition]
