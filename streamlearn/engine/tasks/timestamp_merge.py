"""The order in which the records of several partitions are applied: a merge by timestamp over their heads.

The head with the smallest (timestamp, instances before labels, partition) comes first; the order within a partition
never changes. Merging the applied ranges again gives the same order, so the journal needs offset ranges only. Kafka
Streams orders the partitions of a task in the same way (its ``PartitionGroup``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping

from streamlearn.source.base import RawRecord, TopicPartition


class TimestampMerge:
    """Buffers the polled records of a task and yields them in merged order.

    Parameters
    ----------
    labels_topic:
        Topic whose records come after instances of the same time; empty when there is none.

    Attributes
    ----------
    buffered, buffered_bytes:
        Number and size of the buffered records.
    """

    def __init__(self, labels_topic: str) -> None:
        self._labels_topic = labels_topic
        self._buffers: dict[TopicPartition, deque[RawRecord]] = {}
        self._sizes: dict[TopicPartition, int] = {}
        # Of the partitions that were asked for: the first buffered record, and the smallest timestamp of all.
        self._earliest: dict[TopicPartition, tuple[RawRecord, int]] = {}
        self.buffered = 0
        self.buffered_bytes = 0

    def add(self, polled: Mapping[TopicPartition, list[RawRecord]]) -> None:
        """Append polled records."""
        for partition, records in polled.items():
            self._buffers.setdefault(partition, deque()).extend(records)
            size = sum(len(record.value or b"") for record in records)
            self._sizes[partition] = self._sizes.get(partition, 0) + size
            self.buffered += len(records)
            self.buffered_bytes += size
        self._earliest.clear()

    def clear(self) -> None:
        """Remove all records."""
        self._buffers.clear()
        self._sizes.clear()
        self._earliest.clear()
        self.buffered = 0
        self.buffered_bytes = 0

    def take(
        self,
        limit: int,
        bytes_limit: int,
        must_wait: Callable[[RawRecord], bool] | None = None,
        has_more: Callable[[TopicPartition], bool] | None = None,
    ) -> Iterator[RawRecord]:
        """Yield records in merged order, one by one as the caller asks for them.

        Parameters
        ----------
        limit, bytes_limit:
            Most records and bytes to take; one record is taken whatever its size.
        must_wait:
            Returns whether a label record cannot be applied yet; called when all records before it were yielded. Its
            partition then yields nothing more to this batch.
        has_more:
            Returns whether the log has more records of a partition whose last buffered record was taken. Taking ends
            there: the partition's next record may come before those of the others.
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
            if must_wait is not None and partition.topic == self._labels_topic and must_wait(buffer[0]):
                del heads[partition]
                continue
            record = buffer.popleft()
            taken += 1
            size += self._subtract(partition, record)
            yield record
            if not buffer:
                del heads[partition]
                if heads and has_more is not None and has_more(partition):
                    return

    def has_records(self, partition: TopicPartition) -> bool:
        """Return whether records of a partition are buffered."""
        return bool(self._buffers.get(partition))

    def is_held_up(self, moment_ms: int, tolerance_ms: int) -> bool:
        """Return whether the next instance is stamped after a moment, by more than a tolerance, and holds up another
        one of its partition that is not stamped after the moment at all; records without a timestamp do not count."""
        buffers = {p: buffer for p, buffer in self._buffers.items() if buffer and p.topic != self._labels_topic}
        if not buffers or moment_ms < 0:
            return False
        partition, buffer = min(buffers.items(), key=lambda item: (item[1][0].timestamp_ms, item[0]))
        if buffer[0].timestamp_ms <= moment_ms + tolerance_ms:
            return False
        first, earliest = self._earliest.get(partition, (None, 0))
        if first is not buffer[0]:
            # Once for all labels that come before the same record.
            earliest = min(record.timestamp_ms for record in buffer if record.timestamp_ms >= 0)
            self._earliest[partition] = buffer[0], earliest
        return earliest <= moment_ms

    def truncate(self, partition: TopicPartition, limit: int, bytes_limit: int) -> int | None:
        """Remove the last records of a partition beyond a number and a size, never its first one.

        Returns the offset of the first removed record, to seek back to; None when all stay.
        """
        buffer = self._buffers.get(partition, ())
        offset = None
        while len(buffer) > 1 and (len(buffer) > limit or self._sizes[partition] > bytes_limit):
            record = buffer.pop()
            self._subtract(partition, record)
            offset = record.offset
        return offset

    def _subtract(self, partition: TopicPartition, record: RawRecord) -> int:
        """Subtract a removed record from the counts; return its bytes."""
        size = len(record.value or b"")
        self.buffered -= 1
        self.buffered_bytes -= size
        self._sizes[partition] -= size
        return size


def merge_ranges(records: Mapping[TopicPartition, list[RawRecord]], labels_topic: str) -> list[RawRecord]:
    """Return the records of applied ranges in the order in which they were applied."""
    merge = TimestampMerge(labels_topic)
    merge.add(records)
    return list(merge.take(merge.buffered, 1 << 62))
