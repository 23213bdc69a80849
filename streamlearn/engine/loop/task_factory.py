"""Where a task comes from when its partitions are assigned: a new model, or the one that the journal tells of."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable, Sequence
from typing import Any

from streamlearn.engine import commit
from streamlearn.engine.journal import records as journal
from streamlearn.engine.journal.reader import JournalReader
from streamlearn.engine.recovery.restore import Progress, Restore
from streamlearn.engine.standby import Standby
from streamlearn.engine.tasks.journalled_settings import check_change, journalled_settings_of, with_journalled_settings
from streamlearn.engine.tasks.task import Task
from streamlearn.errors import JournalError, OffsetLostError, TopicError
from streamlearn.kernels.cache import kernel_hash
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.source.base import Source, TopicPartition

_logger = logging.getLogger(__name__)


class TaskFactory:
    """Makes tasks at their committed points, and checks that the topics are still those of the model.

    Parameters
    ----------
    settings:
        The settings of this run.
    source:
        What is read.
    store:
        Snapshots; None when there are none to look for.
    restored:
        Told of a restore's progress.
    lineage:
        Gives a new model its identity.
    """

    def __init__(
        self,
        settings: Settings,
        source: Source,
        store: SnapshotStore | None,
        restored: Progress,
        lineage: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._source = source
        self._store = store
        self._restored = restored
        self._lineage = lineage

    def make(self, number: int, partitions: Sequence[TopicPartition], stand_by: Standby | None = None) -> Task:
        """Return the task at its committed point; a new one when nothing was committed.

        Where a stand-by holds the model at that point, it is taken over as it is.

        Raises
        ------
        StopError
            When the point cannot be reached, or the topics are not those that the model began with.
        UsageError
            When a setting differs that a model cannot change.
        """
        mark, positions = commit.read_mark(self._source, partitions)
        if mark is None:
            return self._begin(number, partitions)
        begun = time.monotonic()
        task = None if stand_by is None else stand_by.take_over(mark, positions, self._restored)
        how = "restored" if task is None else "taken over warm"
        if task is None:
            restore = Restore(self._settings, self._source, self._store, self._restored)
            task = restore.run(number, partitions, mark, positions)
        self.check_topics(task)
        self._change_settings(task)
        self.check_kept(task)
        _logger.info("task %d %s at %s in %.1f s", number, how, mark, time.monotonic() - begun)
        return task

    def _begin(self, number: int, partitions: Sequence[TopicPartition]) -> Task:
        """Begin a new model where `engine.start_from` says."""
        reader = JournalReader(self._source, self._settings.journal_topic, number)
        lineage, last = reader.lineage(), reader.last()
        topics = self._topics()
        if last is not None and lineage is not None and lineage.topics == topics:
            reached = _reached(last)
            raise JournalError(
                f"task {number}: no offsets are committed, but {self._settings.journal_topic}[{number}] goes up to "
                f"sequence {last.seq} at {reached}: the group's offsets expired or were deleted; set them back "
                "to these "
                "positions, or begin anew with another kafka.group_id"
            )
        task = Task(self._settings, number, partitions, self._lineage())
        task.topics = topics
        bounds = self._source.bounds(partitions)
        earliest = self._settings.engine.start_from == "earliest"
        task.positions = {p: bound.start if earliest else bound.end for p, bound in bounds.items()}
        record = journal.LineageRecord(
            journal.VERSION,
            number,
            task.lineage,
            topics,
            task.journalled_settings,
            kernel_hash(),
            platform.machine(),
            [journal.Position(*partition, offset) for partition, offset in sorted(task.positions.items())],
        )
        task.preamble.append(journal.encode(record))
        _logger.info("task %d begins a new model, lineage %s, at %s", number, task.lineage, _shown(task.positions))
        return task

    def _topics(self) -> dict[str, journal.TopicIdentity]:
        topics = self._settings.topics
        return {
            topic: journal.TopicIdentity(self._source.topic_id(topic), self._source.partitions(topic))
            for topic in (topics.instances, topics.labels)
            if topic
        }

    def check_topics(self, task: Task) -> None:
        """Refuse topics that were made anew, or got more partitions, since the model began.

        Raises
        ------
        TopicError
            Labels of earlier instances would lie in other partitions, or offsets mean other records.
        """
        way_out = "begin a new model with another kafka.group_id"
        for topic, began in task.topics.items():
            count = self._source.partitions(topic)
            if count != began.partitions:
                raise TopicError(
                    f"{topic} has {count} partitions, the model began with {began.partitions}: keys hash elsewhere "
                    f"now, so labels would miss their instances; {way_out}"
                )
            if self._source.topic_id(topic) != began.id:
                raise TopicError(
                    f"{topic} was recreated since the model began, but the group still has offsets of the old one; "
                    f"delete the group's offsets to begin a new model, or {way_out}"
                )

    def _change_settings(self, task: Task) -> None:
        """Journal settings that differ from those in force."""
        before, after = task.journalled_settings, journalled_settings_of(self._settings)
        if before == after:
            # Settings that are not journalled, such as names of output topics, hold at once.
            task.change(self._settings)
            return
        check_change(before, after)
        task.change(with_journalled_settings(self._settings, after))
        task.preamble.append(journal.encode(journal.SettingsRecord(journal.VERSION, task.number, after)))
        changed = {name: value for name, value in after.items() if before.get(name) != value}
        _logger.info("task %d: settings change with the next batch: %s", task.number, changed)

    def check_kept(self, task: Task) -> None:
        """Check that the log still has the records to read next; do what `engine.on_offset_lost` says where it has not.

        Raises
        ------
        OffsetLostError
            When the setting says stop.
        """
        lost = []
        choice = self._settings.engine.on_offset_lost
        for partition, bound in sorted(self._source.bounds(task.partitions).items()):
            position = task.positions[partition]
            if bound.start <= position <= bound.end:
                continue
            if choice == "stop" or position > bound.end:
                raise OffsetLostError(
                    f"{partition.topic}[{partition.partition}] has the offsets [{bound.start}, {bound.end}), to be "
                    "read "
                    f"next is {position}: set engine.on_offset_lost to earliest or latest to go on without what was "
                    "lost, "
                    "or begin a new model with another kafka.group_id"
                )
            target = bound.start if choice == "earliest" else bound.end
            lost.append(journal.Range(partition.topic, partition.partition, position, target))
        if lost:
            self.give_up(task, lost)

    def give_up(self, task: Task, lost: list[journal.Range]) -> None:
        """Go on behind ranges that cannot be read, and let the journal say so."""
        task.lose(lost)
        task.preamble.append(journal.encode(journal.ControlRecord(journal.VERSION, task.number, lost)))
        _logger.warning("task %d goes on without lost records: %s", task.number, lost)


def _reached(record: journal.NumberedRecord) -> list[list[Any]]:
    """Return where a record of the journal has come to."""
    if isinstance(record, journal.RollbackRecord):
        return [[each.topic, each.partition, each.offset] for each in record.positions]
    return [[moved.topic, moved.partition, moved.end] for moved in record.rng]


def _shown(positions: dict[TopicPartition, int]) -> str:
    return ", ".join(f"{p.topic}[{p.partition}]@{offset}" for p, offset in sorted(positions.items()))
