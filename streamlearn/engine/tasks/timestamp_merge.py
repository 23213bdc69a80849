"""The order in which the records of several partitions are applied: a merge over their heads.

The head with the smallest (timestamp, instances before labels, partition) comes first; order within a partition never
changes. The merge of what was applied gives the same order again, so the journal needs ranges only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping

from streamlearn.source.base import RawRecord, TopicPartition


class TimestampMerge:
    """Buffers polled records and hands them out in merged order.

    Parameters
    ----------
    labels_topic:
        Topic whose records come after instances of the same time; empty when there is none.
    """

    def __init__(self, labels_topic: str) -> None:
        self._labels_topic = labels_topic
        self._buffers: dict[TopicPartition, deque[RawRecord]] = {}
        self._sizes: dict[TopicPartition, int] = {}
        self.buffered = 0
        self.buffered_bytes = 0

    def add(self, polled: Mapping[TopicPartition, list[RawRecord]]) -> None:
        """Append what was polled."""
        for partition, records in polled.items():
            self._buffers.setdefault(partition, deque()).extend(records)
            size = sum(len(record.value or b"") for record in records)
            self._sizes[partition] = self._sizes.get(partition, 0) + size
            self.buffered += len(records)
            self.buffered_bytes += size

    def clear(self) -> None:
        """Forget everything that was polled."""
        self._buffers.clear()
        self._sizes.clear()
        self.buffered = 0
        self.buffered_bytes = 0

    def take(
        self,
        limit: int,
        bytes_limit: int,
        waits: Callable[[RawRecord], bool] | None = None,
        goes_on: Callable[[TopicPartition], bool] | None = None,
    ) -> Iterator[RawRecord]:
        """Yield records in merged order, one after the other, as the caller asks for them.

        Parameters
        ----------
        limit, bytes_limit:
            Most records and bytes to take; one record is taken whatever its size.
        waits:
            Says of a label record that it cannot be applied yet; asked when all records before it were yielded. Its
            partition then gives nothing more to this batch.
        goes_on:
            Says of a partition whose last buffered record was taken that the log has more of it. Taking ends there:
            its next record may come before those of the others.
        """
        heads = {partition: buffer for partition, buffer in self._buffers.items() if buffer}
        taken = 0
        size = 0
        while heads and taken < limit and (size < bytes_limit or not taken):
            if len(heads) == 1:
                (partition,) = heads
            else:
                partition = min(heads, key=lambda p: (heads[p][0].timestamp_ms, p.topic == self._labels_topic, p))
            buffer = heads[partition]
            if waits is not None and partition.topic == self._labels_topic and waits(buffer[0]):
                del heads[partition]
                continue
            record = buffer.popleft()
            taken += 1
            size += self._gone(partition, record)
            yield record
            if not buffer:
                del heads[partition]
                if heads and goes_on is not None and goes_on(partition):
                    return

    def has(self, partition: TopicPartition) -> bool:
        """Return whether records of a partition are buffered."""
        return bool(self._buffers.get(partition))

    def cut(self, partition: TopicPartition, most: int, most_bytes: int) -> int | None:
        """Forget the last records of a partition beyond a number and a size, never its first one.

        Returns the offset of the first one forgotten, to seek back to; None when all stay.
        """
        buffer = self._buffers.get(partition, ())
        offset = None
        while len(buffer) > 1 and (len(buffer) > most or self._sizes[partition] > most_bytes):
            record = buffer.pop()
            self._gone(partition, record)
            offset = record.offset
        return offset

    def _gone(self, partition: TopicPartition, record: RawRecord) -> int:
        """Count a record out; return its bytes."""
        size = len(record.value or b"")
        self.buffered -= 1
        self.buffered_bytes -= size
        self._sizes[partition] -= size
        return size


def merged(records: Mapping[TopicPartition, list[RawRecord]], labels_topic: str) -> list[RawRecord]:
    """Return the records of complete ranges in the order in which they were applied."""
    aligner = TimestampMerge(labels_topic)
    aligner.add(records)
    return list(aligner.take(aligner.buffered, 1 << 62))
