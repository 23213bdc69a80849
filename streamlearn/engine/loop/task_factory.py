"""Makes the task of newly assigned partitions: a new model, or the one that the journal describes."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamlearn._version import MODEL_VERSION, __version__
from streamlearn.engine.commit import CommitPart, read_mark
from streamlearn.engine.journal import records as journal
from streamlearn.engine.journal.reader import JournalReader
from streamlearn.engine.loop.unreadable_records import BeforeChange, skip_lost_offsets
from streamlearn.engine.recovery.restore import OnProgress, Restore
from streamlearn.engine.recovery.upgrade import apply_upgrade
from streamlearn.engine.standby import Standby
from streamlearn.engine.tasks.journalled_settings import check_change, journalled_settings_of, with_journalled_settings
from streamlearn.engine.tasks.task import Task
from streamlearn.errors import JournalError, TopicError
from streamlearn.settings.settings import Settings
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.source.base import Source, TopicPartition

_logger = logging.getLogger(__name__)


class TaskFactory:
    """Makes tasks at their committed marks, and checks that the topics are still those of the model.

    Parameters
    ----------
    settings:
        The settings of this run.
    source:
        Where the input, the journal and the committed offsets are read.
    store:
        Snapshots; None when there is no store.
    on_progress:
        Called with the progress of a restore.
    lineage:
        Gives a new model its identity.
    clock:
        Nanoseconds since the epoch, for an upgrade's record.
    before_change:
        Called with a task at its committed mark before it gets other settings or skips lost records.
    """

    def __init__(
        self,
        settings: Settings,
        source: Source,
        store: SnapshotStore | None,
        on_progress: OnProgress,
        lineage: Callable[[], str],
        clock: Callable[[], int],
        before_change: BeforeChange,
    ) -> None:
        self._settings = settings
        self._source = source
        self._store = store
        self._on_progress = on_progress
        self._lineage = lineage
        self._clock = clock
        self._before_change = before_change

    def make(
        self, number: int, partitions: Sequence[TopicPartition], standby: Standby | None = None
    ) -> tuple[Task, CommitPart | None]:
        """Return the task at its committed mark; a new one when nothing was committed.

        A stand-by's task is used where it is at that mark. Where the model version before computed batches after the
        last snapshot, the task is one mark ahead, and the second value is the part of the transaction that commits its
        upgrade.

        Raises
        ------
        StopError
            When the mark cannot be reached, or the topics are not those with which the model began.
        UsageError
            When a setting differs that is fixed once a model has started.
        """
        mark, positions = read_mark(self._source, partitions)
        if mark is None:
            return self._start_model(number, partitions), None
        started = time.monotonic()
        task = None if standby is None else standby.take_over(mark, positions, self._on_progress)
        how, part = "taken over warm", None
        if task is None:
            how = "restored"
            restore = Restore(self._settings, self._source, self._store, self._on_progress, may_upgrade=True)
            task = restore.run(number, partitions, mark, positions)
            if restore.upgraded_from is not None:
                how = "upgraded"
                part, _ = apply_upgrade(task, restore.upgraded_from, mark, self._clock(), self._source)
        check_topics(self._source, task.topics)
        # The mark of an upgrade is not committed yet: no snapshot can be taken of it.
        before_change = self._before_change if part is None else _take_nothing
        self._change_settings(task, before_change)
        skip_lost_offsets(task, self._source, before_change)
        _logger.info("task %d %s at %s in %.1f s", number, how, mark, time.monotonic() - started)
        return task, part

    def restore(self, number: int, partitions: Sequence[TopicPartition]) -> Task | None:
        """Return the task as it is committed, with the settings of its journal; None when nothing was committed.

        Raises
        ------
        StopError
            When the mark cannot be reached by this release.
        UsageError
            When a setting differs that is fixed once a model has started.
        """
        mark, positions = read_mark(self._source, partitions)
        if mark is None:
            self._check_is_new(number, self._topic_identities())
            return None
        started = time.monotonic()
        task = Restore(self._settings, self._source, self._store, self._on_progress).run(
            number, partitions, mark, positions
        )
        check_change(task.journalled_settings, journalled_settings_of(self._settings))
        _logger.info("task %d restored at %s in %.1f s", number, mark, time.monotonic() - started)
        return task

    def _start_model(self, number: int, partitions: Sequence[TopicPartition]) -> Task:
        """Start a new model at the positions that ``engine.start_from`` asks for."""
        topics = self._topic_identities()
        self._check_is_new(number, topics)
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
            platform.machine(),
            [journal.Position(*partition, offset) for partition, offset in sorted(task.positions.items())],
            MODEL_VERSION,
            __version__,
        )
        task.preamble.append(journal.encode(record))
        shown = ", ".join(f"{p.topic}[{p.partition}]@{offset}" for p, offset in sorted(task.positions.items()))
        _logger.info("task %d starts a new model, lineage %s, at %s", number, task.lineage, shown)
        return task

    def _check_is_new(self, number: int, topics: Mapping[str, journal.TopicIdentity]) -> None:
        """Refuse to begin a model where the journal has one of the same topics."""
        reader = JournalReader(self._source, self._settings.journal_topic, number)
        lineage, last = reader.lineage(), reader.last_numbered()
        if last is not None and lineage is not None and lineage.topics == topics:
            raise JournalError(
                f"task {number}: no offsets are committed, but {self._settings.journal_topic}[{number}] goes up to "
                f"sequence {last.seq} at {_end_positions(last)}: the group's offsets expired or were deleted; set them "
                "back to these positions, or begin a new model with another kafka.group_id"
            )

    def _topic_identities(self) -> dict[str, journal.TopicIdentity]:
        topics = self._settings.topics
        return {
            topic: journal.TopicIdentity(self._source.topic_id(topic), self._source.partitions(topic))
            for topic in (topics.instances, topics.labels)
            if topic
        }

    def _change_settings(self, task: Task, before_change: BeforeChange) -> None:
        """Use the settings of this run, and journal them if they differ from those in force."""
        before, after = task.journalled_settings, journalled_settings_of(self._settings)
        if before == after:
            # Settings that are not journalled, such as names of output topics, change at once.
            task.change_settings(self._settings)
            return
        check_change(before, after)
        before_change(task)
        task.change_settings(with_journalled_settings(self._settings, after))
        task.preamble.append(journal.encode(journal.SettingsRecord(journal.VERSION, task.number, after)))
        changed = {name: value for name, value in after.items() if before.get(name) != value}
        _logger.info("task %d: settings change with the next batch: %s", task.number, changed)


def _take_nothing(task: Task) -> None:
    """Take no snapshot before a change."""


def check_topics(source: Source, topics: Mapping[str, journal.TopicIdentity]) -> None:
    """Refuse topics that were recreated, or got more partitions, since the model began with them.

    Raises
    ------
    TopicError
        Labels of earlier instances would be in other partitions, or offsets mean other records.
    """
    way_out = "begin a new model with another kafka.group_id"
    for topic, identity in topics.items():
        count = source.partitions(topic)
        if count != identity.partitions:
            raise TopicError(
                f"{topic} has {count} partitions, the model began with {identity.partitions}: keys hash to other "
                f"partitions now, so labels would miss their instances; {way_out}"
            )
        if source.topic_id(topic) != identity.id:
            raise TopicError(
                f"{topic} was recreated since the model began, but the group still has offsets of the old one; "
                f"delete the group's offsets to begin a new model, or {way_out}"
            )


def _end_positions(record: journal.NumberedRecord) -> list[list[Any]]:
    """Return the positions after a record of the journal, of the partitions that it names."""
    if not isinstance(record, journal.BatchRecord):
        return [[position.topic, position.partition, position.offset] for position in record.positions]
    return [[moved.topic, moved.partition, moved.end] for moved in record.rng]
