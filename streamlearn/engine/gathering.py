"""What was polled and is not applied yet: gathered until a batch is due, and taken in its order."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping

from streamlearn.engine.align import Aligner
from streamlearn.engine.task import Batch, Task
from streamlearn.settings.model import Settings
from streamlearn.source.base import RawRecord, Source, TopicPartition


class Gathering:
    """Polled records of every task, at most about a batch of them.

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
        self._aligners: dict[int, Aligner] = {}
        self._since: float | None = None
        self._turned_at = 0.0

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be applied."""
        return not self._buffered

    @property
    def _buffered(self) -> int:
        return sum(aligner.buffered for aligner in self._aligners.values())

    def begin(self, numbers: Iterable[int]) -> None:
        """Gather for these tasks; what was gathered before is forgotten."""
        self._aligners = {}
        for number in numbers:
            self.forget(number)

    def forget(self, number: int) -> None:
        """Forget what was gathered for one task."""
        self._aligners[number] = Aligner(self._settings.topics.labels)

    def drop(self) -> None:
        """Forget what was gathered for any task; the caller lets it be read again."""
        self._since = None
        for aligner in self._aligners.values():
            aligner.clear()

    def room(self) -> int:
        """Return how many records to poll at most.

        Labels that wait for their instances must not keep the instances from being polled.
        """
        most = self._settings.engine.batch_instances
        return max(most // 4, most - self._buffered, 1)

    def wait_seconds(self) -> float | None:
        """Return how long to wait for more records before the batch is due; None while none is begun."""
        if self._since is None:
            return None
        moment = time.monotonic()
        longest = self._settings.engine.batch_seconds
        since = self._turned_at if moment < self._turned_at + longest else self._since
        return max(0.0, since + longest - moment)

    def add(self, tasks: Mapping[int, Task], polled: Mapping[TopicPartition, list[RawRecord]]) -> None:
        """Take in what was polled; of labels that are far ahead of their instances, the last are read again later."""
        if not polled:
            return
        for number, task in tasks.items():
            aligner = self._aligners[number]
            aligner.add({partition: records for partition, records in polled.items() if partition in task.partitions})
            for partition, size in aligner.bytes_of_labels().items():
                if size > self._settings.engine.batch_bytes:
                    offset = aligner.drop(partition)
                    if offset is not None:
                        self._source.seek(partition, offset)

    def is_due(self, tasks: Mapping[int, Task], *, stop_at_end: bool) -> bool:
        """Tell whether a batch is to be applied: it is full, has waited for long enough, or nothing more comes."""
        engine = self._settings.engine
        buffered = self._buffered
        if not buffered:
            return False
        moment = time.monotonic()
        if self._since is None:
            self._since = moment
        if moment >= self._since + engine.batch_seconds:
            return True
        full = (
            buffered >= engine.batch_instances
            or sum(aligner.buffered_bytes for aligner in self._aligners.values()) >= engine.batch_bytes
        )
        if full or moment >= self._turned_at + engine.batch_seconds:
            # A partition that is behind may hold records that come before those at hand.
            return not any(self._lags(task, p) for task in tasks.values() for p in task.partitions)
        return stop_at_end and all(self._source.at_end(p) for task in tasks.values() for p in task.partitions)

    def turn(self, moment: float) -> None:
        """Note that a batch is applied, at a moment of the monotonic clock."""
        self._since = None
        self._turned_at = moment

    def take(self, task: Task, batch: Batch) -> Iterator[RawRecord]:
        """Yield the records of a task's batch in the order in which they are applied."""

        def waits(record: RawRecord) -> bool:
            behind = any(p.topic != record.topic and self._lags(task, p) for p in task.partitions)
            return behind and not batch.knows(record)

        def goes_on(partition: TopicPartition) -> bool:
            return in_order and not self._source.at_end(partition)

        in_order = not any(self._lags(task, partition) for partition in task.partitions)
        engine = self._settings.engine
        return self._aligners[task.number].take(engine.batch_instances, engine.batch_bytes, waits, goes_on)

    def has(self, task: Task, partition: TopicPartition) -> bool:
        """Tell whether records of a task's partition are at hand."""
        return self._aligners[task.number].has(partition)

    def behind(self, task: Task) -> int:
        """Return how many records of the log a task has not applied."""
        return sum(
            self._source.behind(partition, task.positions[partition])
            for partition in task.partitions
            # Behind the last record there may be markers, which nobody applies.
            if self.has(task, partition) or not self._source.at_end(partition)
        )

    def _lags(self, task: Task, partition: TopicPartition) -> bool:
        """Return whether the log has records of a partition, and none are at hand."""
        return not self.has(task, partition) and not self._source.at_end(partition)
