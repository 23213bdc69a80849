"""Buffers polled records until a batch is due, and hands them out in timestamp order.

The client gives all fetched records of one partition before those of the next. Where labels are fetched by the ten
thousand, the instances that precede them in time come after them: the buffered records of one partition say nothing yet
about the order. Kafka Streams has the same problem, and its ``max.task.idle.ms`` (KIP-695).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from streamlearn.codec.decode import DecodedLabel
from streamlearn.engine.tasks.batch import Batch
from streamlearn.engine.tasks.task import Task
from streamlearn.engine.tasks.timestamp_merge import TimestampMerge
from streamlearn.errors import RecordError
from streamlearn.settings.settings import Settings
from streamlearn.source.base import RawRecord, Source, TopicPartition

FIRST_RECORDS = 500
"""Most records of an assignment's first batch: answers come soon after a takeover."""
PATIENCE_SECONDS = 1.0
"""How long buffered records wait, at most, for those of a partition that the client gives after others."""
LABEL_BATCHES = 2
"""Batches of labels to buffer; those beyond are read again later."""
ROOM = 4
"""Batches (``engine.batch_bytes``) to buffer of all partitions; beyond, nothing is waited for and hardly polled."""


class _LabelHead(NamedTuple):
    """The next label record of a partition, decoded to find out whether it must wait."""

    record: RawRecord
    label: DecodedLabel | RecordError


class RecordBuffer:
    """The polled records of all tasks, a few batches at most.

    Parameters
    ----------
    settings:
        The settings: how large a batch is, and how long its records are gathered.
    source:
        Where the records come from, and are read again after they were dropped.
    """

    def __init__(self, settings: Settings, source: Source) -> None:
        self._settings = settings
        self._source = source
        self._merges: dict[int, TimestampMerge] = {}
        self._label_heads: dict[TopicPartition, _LabelHead] = {}
        self._limit = self._next_limit = settings.engine.batch_instances
        self._since: float | None = None  # when the batch began to gather, moved on while it waits for a partition
        self._started = 0.0  # when it began to gather
        self._last_batch_at = 0.0
        self._poll_limit = 0
        self._has_more = False

    @property
    def is_empty(self) -> bool:
        """Whether no record is buffered."""
        return not self._buffered

    @property
    def _buffered(self) -> int:
        return sum(merge.buffered for merge in self._merges.values())

    @property
    def _bytes(self) -> int:
        return sum(merge.buffered_bytes for merge in self._merges.values())

    @property
    def _has_room(self) -> bool:
        return self._bytes < ROOM * self._settings.engine.batch_bytes

    def assign(self, numbers: Iterable[int]) -> None:
        """Buffer for these tasks from now on; all buffered records are dropped."""
        self._next_limit = min(FIRST_RECORDS, self._settings.engine.batch_instances)
        self._merges = {}
        for number in numbers:
            self.reset(number)

    def reset(self, number: int) -> None:
        """Drop the records of one task."""
        self._merges[number] = TimestampMerge(self._settings.topics.labels)
        self._label_heads.clear()

    def drop(self) -> None:
        """Drop the records of all tasks; the caller seeks, so that they are read again."""
        self._since = None
        self._label_heads.clear()
        for merge in self._merges.values():
            merge.clear()

    def poll_limit(self) -> int:
        """Return how many records to poll at most, which is at least 1."""
        self._poll_limit = self._settings.engine.batch_instances if self._has_room else 1
        return self._poll_limit

    def wait_seconds(self) -> float | None:
        """Return how long to wait for more records before the batch is due; None while the buffer is empty."""
        if self._since is None:
            return None if self.is_empty else 0.0
        moment = time.monotonic()
        longest = self._settings.engine.batch_seconds
        since = self._last_batch_at if moment < self._last_batch_at + longest else self._since
        return max(0.0, since + longest - moment)

    def add(self, tasks: Mapping[int, Task], polled: Mapping[TopicPartition, list[RawRecord]]) -> None:
        """Buffer polled records; of labels that are far ahead, the last ones are dropped and read again later."""
        self._has_more = sum(map(len, polled.values())) >= self._poll_limit
        if not polled:
            return
        labels_topic = self._settings.topics.labels
        labels = [(n, p) for n, task in tasks.items() for p in task.partitions if p.topic == labels_topic]
        for number, task in tasks.items():
            own = {partition: records for partition, records in polled.items() if partition in task.partitions}
            self._merges[number].add(own)
        engine = self._settings.engine
        for number, partition in labels:
            limit = LABEL_BATCHES * engine.batch_instances // len(labels)
            bytes_limit = LABEL_BATCHES * engine.batch_bytes // len(labels)
            offset = self._merges[number].truncate(partition, limit, bytes_limit)
            if offset is not None:
                # The client then drops what it has fetched of the partition, and comes to the other partitions.
                self._source.seek(partition, offset)

    def is_due(self, tasks: Mapping[int, Task], *, stop_at_end: bool) -> bool:
        """Return whether a batch is to be applied: it is full, has waited long enough, or no more records come."""
        engine = self._settings.engine
        buffered = self._buffered
        if not buffered:
            return False
        moment = time.monotonic()
        if self._since is None:
            self._since = self._started = moment
        is_full = buffered >= self._next_limit or self._bytes >= engine.batch_bytes
        if not is_full and moment < self._last_batch_at + engine.batch_seconds:
            return stop_at_end and all(self._source.at_end(p) for task in tasks.values() for p in task.partitions)
        if not self._has_room or not any(self._is_missing(task, p) for task in tasks.values() for p in task.partitions):
            return True
        # A partition without buffered records may have records that come before the buffered ones.
        if self._has_more and moment < self._started + PATIENCE_SECONDS:
            self._since = moment
            return False
        return moment >= self._since + engine.batch_seconds

    def start_batch(self, moment: float) -> None:
        """Note that a batch is applied, at a moment of the monotonic clock."""
        self._since = None
        self._last_batch_at = moment
        self._limit, self._next_limit = self._next_limit, self._settings.engine.batch_instances

    def take(self, task: Task, batch: Batch) -> Iterator[tuple[RawRecord, DecodedLabel | RecordError | None]]:
        """Yield the records of a task's batch in the order in which they are applied.

        With a label record that was decoded to find out whether it must wait comes the result, so that it is decoded
        once, however many batches it waits.
        """
        labels_topic = self._settings.topics.labels
        heads = self._label_heads
        merge = self._merges[task.number]
        tolerance_ms = int(self._settings.labels.clock_tolerance_seconds * 1000)

        def must_wait(record: RawRecord) -> bool:
            # A label waits while a partition of the other topic may have its instance, or while an instance that is
            # stamped far ahead may hold it up.
            is_missing = any(p.topic != record.topic and self._is_missing(task, p) for p in task.partitions)
            if not is_missing and not merge.is_held_up(record.timestamp_ms, tolerance_ms):
                return False
            partition = TopicPartition(record.topic, record.partition)
            head = heads.get(partition)
            if head is None or head.record is not record:
                head = heads[partition] = _LabelHead(record, batch.decode_label(record))
            return batch.must_wait(head.label)

        def has_more(partition: TopicPartition) -> bool:
            return in_order and not self._source.at_end(partition)

        in_order = not any(self._is_missing(task, partition) for partition in task.partitions)
        engine = self._settings.engine
        for record in merge.take(self._limit, engine.batch_bytes, must_wait, has_more):
            head = None
            if heads and record.topic == labels_topic:
                head = heads.pop(TopicPartition(record.topic, record.partition), None)
            yield record, head.label if head is not None and head.record is record else None

    def has_records(self, task: Task, partition: TopicPartition) -> bool:
        """Return whether records of a task's partition are buffered."""
        return self._merges[task.number].has_records(partition)

    def lag(self, task: Task, ends: Mapping[TopicPartition, int]) -> int:
        """Return how many records of the log, which ends at ``ends``, a task has not applied."""
        return sum(
            max(0, ends[partition] - task.positions[partition])
            for partition in task.partitions
            # After the last record there may be transaction markers, which are never applied.
            if self.has_records(task, partition) or not self._source.at_end(partition)
        )

    def _is_missing(self, task: Task, partition: TopicPartition) -> bool:
        """Return whether the log has more records of a partition, and none are buffered."""
        return not self.has_records(task, partition) and not self._source.at_end(partition)
