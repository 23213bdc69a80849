"""What was polled and is not applied yet: gathered until a batch is due, and taken in its order.

The client gives one partition's fetched records after the other's. Where labels are fetched by the ten thousands, the
instances that come before them in time lie behind them: what is at hand of a partition says nothing yet.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping

from streamlearn.engine.tasks.task import Batch, Task
from streamlearn.engine.tasks.timestamp_merge import TimestampMerge
from streamlearn.settings.settings import Settings
from streamlearn.source.base import RawRecord, Source, TopicPartition

FIRST_RECORDS = 500
"""The most records of an assignment's first batch: answers come soon after a takeover."""
PATIENCE_SECONDS = 1.0
"""How long records at hand wait, at most, for those of a partition that lie behind others in the client."""
AHEAD = 2
"""Batches of labels to have at hand; those beyond are read again later."""
ROOM = 4
"""``engine.batch_bytes`` to have at hand of all partitions; beyond, nothing is waited for, and hardly polled."""


class RecordBuffer:
    """Polled records of every task, a few batches of them at most.

    Parameters
    ----------
    settings:
        The settings: how large a batch is, and how long it is gathered.
    source:
        Where the records come from, and are read again when they are dropped.
    """

    def __init__(self, settings: Settings, source: Source) -> None:
        self._settings = settings
        self._source = source
        self._aligners: dict[int, TimestampMerge] = {}
        self._limit = self._next_limit = settings.engine.batch_instances
        self._since: float | None = None
        self._begun = 0.0
        self._turned_at = 0.0
        self._polled_at_most = 0
        self._has_more = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be applied."""
        return not self._buffered

    @property
    def _buffered(self) -> int:
        return sum(aligner.buffered for aligner in self._aligners.values())

    @property
    def _bytes(self) -> int:
        return sum(aligner.buffered_bytes for aligner in self._aligners.values())

    @property
    def _is_roomy(self) -> bool:
        return self._bytes < ROOM * self._settings.engine.batch_bytes

    def begin(self, numbers: Iterable[int]) -> None:
        """Gather for these tasks; what was gathered before is forgotten."""
        self._next_limit = min(FIRST_RECORDS, self._settings.engine.batch_instances)
        self._aligners = {}
        for number in numbers:
            self.forget(number)

    def forget(self, number: int) -> None:
        """Forget what was gathered for one task."""
        self._aligners[number] = TimestampMerge(self._settings.topics.labels)

    def drop(self) -> None:
        """Forget what was gathered for any task; the caller lets it be read again."""
        self._since = None
        for aligner in self._aligners.values():
            aligner.clear()

    def room(self) -> int:
        """Return how many records to poll at most, which is at least 1."""
        self._polled_at_most = self._settings.engine.batch_instances if self._is_roomy else 1
        return self._polled_at_most

    def wait_seconds(self) -> float | None:
        """Return how long to wait for more records before the batch is due; None while nothing is at hand."""
        if self._since is None:
            return None if self.is_empty else 0.0
        moment = time.monotonic()
        longest = self._settings.engine.batch_seconds
        since = self._turned_at if moment < self._turned_at + longest else self._since
        return max(0.0, since + longest - moment)

    def add(self, tasks: Mapping[int, Task], polled: Mapping[TopicPartition, list[RawRecord]]) -> None:
        """Take in what was polled; of labels that are far ahead, the last are read again later."""
        self._has_more = sum(map(len, polled.values())) >= self._polled_at_most
        if not polled:
            return
        labels_topic = self._settings.topics.labels
        labels = [(n, p) for n, task in tasks.items() for p in task.partitions if p.topic == labels_topic]
        for number, task in tasks.items():
            mine = {partition: records for partition, records in polled.items() if partition in task.partitions}
            self._aligners[number].add(mine)
        engine = self._settings.engine
        for number, partition in labels:
            most, most_bytes = (AHEAD * bound // len(labels) for bound in (engine.batch_instances, engine.batch_bytes))
            offset = self._aligners[number].cut(partition, most, most_bytes)
            if offset is not None:
                # The client then lets go of what it has fetched of them, and comes to the other partitions.
                self._source.seek(partition, offset)

    def is_due(self, tasks: Mapping[int, Task], *, stop_at_end: bool) -> bool:
        """Tell whether a batch is to be applied: it is full, has waited for long enough, or nothing more comes."""
        engine = self._settings.engine
        buffered = self._buffered
        if not buffered:
            return False
        moment = time.monotonic()
        if self._since is None:
            self._since = self._begun = moment
        is_full = buffered >= self._next_limit or self._bytes >= engine.batch_bytes
        if not is_full and moment < self._turned_at + engine.batch_seconds:
            return stop_at_end and all(self._source.at_end(p) for task in tasks.values() for p in task.partitions)
        if not self._is_roomy or not any(self._lags(task, p) for task in tasks.values() for p in task.partitions):
            return True
        # A partition that is behind may hold records that come before those at hand.
        if self._has_more and moment < self._begun + PATIENCE_SECONDS:
            self._since = moment
            return False
        return moment >= self._since + engine.batch_seconds

    def turn(self, moment: float) -> None:
        """Note that a batch is applied, at a moment of the monotonic clock."""
        self._since = None
        self._turned_at = moment
        self._limit, self._next_limit = self._next_limit, self._settings.engine.batch_instances

    def take(self, task: Task, batch: Batch) -> Iterator[RawRecord]:
        """Yield the records of a task's batch in the order in which they are applied."""

        def waits(record: RawRecord) -> bool:
            behind = any(p.topic != record.topic and self._lags(task, p) for p in task.partitions)
            return behind and not batch.knows(record)

        def goes_on(partition: TopicPartition) -> bool:
            return in_order and not self._source.at_end(partition)

        in_order = not any(self._lags(task, partition) for partition in task.partitions)
        engine = self._settings.engine
        return self._aligners[task.number].take(self._limit, engine.batch_bytes, waits, goes_on)

    def has(self, task: Task, partition: TopicPartition) -> bool:
        """Tell whether records of a task's partition are at hand."""
        return self._aligners[task.number].has(partition)

    def behind(self, task: Task) -> int:
        """Return how many records of the log a task has not applied."""
        return sum(
            self._source.lag(partition, task.positions[partition])
            for partition in task.partitions
            # Behind the last record there may be markers, which nobody applies.
            if self.has(task, partition) or not self._source.at_end(partition)
        )

    def _lags(self, task: Task, partition: TopicPartition) -> bool:
        """Return whether the log has records of a partition, and none are at hand."""
        return not self.has(task, partition) and not self._source.at_end(partition)
