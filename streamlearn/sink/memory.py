"""A sink on a log in memory: a transaction is one call, which cannot fail halfway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamlearn.sink.base import OutputRecord
from streamlearn.source.base import Committed, TopicPartition
from streamlearn.source.memory_log import MemoryLog


class MemorySink:
    """Writes to a memory log.

    Parameters
    ----------
    log:
        The log.
    group:
        Group under which positions are committed.
    """

    def __init__(self, log: MemoryLog, group: str) -> None:
        self._log = log
        self._group = group
        self.is_open = False

    def open(self) -> None:
        self.is_open = True

    def commit(
        self, records: Sequence[OutputRecord], positions: Mapping[TopicPartition, Committed], token: Any
    ) -> list[int]:
        if any(record.key is None and record.value is None for record in records):
            raise ValueError("a record needs a key or a value, as on Kafka")
        offsets = [self._append(record) for record in records]
        for partition, committed in positions.items():
            self._log.committed[self._group, partition] = committed
        return offsets

    def publish(self, record: OutputRecord) -> None:
        self._append(record)

    def _append(self, record: OutputRecord) -> int:
        partition = record.partition % self._log.partitions(record.topic)
        return self._log.append(record.topic, partition, record.value, key=record.key, headers=record.headers)

    def partitions(self, topic: str) -> int:
        return self._log.partitions(topic)

    def close(self) -> None:
        self.is_open = False
