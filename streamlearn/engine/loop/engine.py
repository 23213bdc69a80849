"""The live loop: poll, align, apply, commit; and what happens when partitions come and go."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from streamlearn.engine import commit, standby
from streamlearn.engine.journal import records as journal
from streamlearn.engine.loop.bad_record_limit import BadRecordLimit
from streamlearn.engine.loop.forward_clock import ForwardClock
from streamlearn.engine.loop.record_buffer import RecordBuffer
from streamlearn.engine.loop.retry import RetryPolicy
from streamlearn.engine.loop.task_factory import TaskFactory
from streamlearn.engine.loop.watchdog import Watchdog
from streamlearn.engine.observer import EngineObserver, NullObserver
from streamlearn.engine.recovery.snapshot_writer import SnapshotWriter
from streamlearn.engine.standby import Standby
from streamlearn.engine.tasks.task import Batch, CommitPart, Task
from streamlearn.engine.tasks.task_scope import tasks_of
from streamlearn.errors import OffsetLostError, RecordError, TopicError
from streamlearn.settings.settings import Settings
from streamlearn.sink.base import OutputRecord, Sink
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.source.base import AssignmentChange, Committed, CorruptInputError, RawRecord, Source, TopicPartition

_logger = logging.getLogger(__name__)

LAG_SECONDS = 1.0
IDLE_SECONDS = 0.5
"""How long an active worker waits for records, at most: each turn of the loop costs processor time."""
STAND_BY_SECONDS = 0.1
"""How often one without partitions asks whether it has some."""
NO_TIMESTAMP = -1


def new_lineage() -> str:
    """Return a random identity for a model: 16 hexadecimal digits."""
    return os.urandom(8).hex()


class Engine:
    """Runs the tasks of the partitions that this worker owns.

    Parameters
    ----------
    settings:
        The settings.
    source, sink:
        Where records come from and go to.
    store:
        Where snapshots lie; None: none are written or read.
    observer:
        Who is told what happens.
    clock:
        Nanoseconds since the epoch; journalled, and the only time that a model sees.
    lineage:
        Gives a new model its identity.
    watchdog:
        Told of every turn and transaction; the caller starts and stops it.
    """

    def __init__(
        self,
        settings: Settings,
        source: Source,
        sink: Sink,
        store: SnapshotStore | None = None,
        *,
        observer: EngineObserver | None = None,
        clock: Callable[[], int] = time.time_ns,
        lineage: Callable[[], str] = new_lineage,
        watchdog: Watchdog | None = None,
    ) -> None:
        self._settings = settings
        self._source = source
        self._sink = sink
        self._store = store
        self._observer = observer or NullObserver()
        self._clock = ForwardClock(clock)
        self._watchdog = watchdog or Watchdog()
        self._task_factory = TaskFactory(settings, source, store, self._restored, lineage)
        self._stopping = threading.Event()
        self._buffer = RecordBuffer(settings, source)
        self.tasks: dict[int, Task] = {}
        self._token: Any = None
        self._assigned: tuple[TopicPartition, ...] | None = None
        self._owned: dict[int, tuple[TopicPartition, ...]] = {}
        self._unsettled: list[CommitPart] = []
        self._ends: dict[TopicPartition, int] = {}
        self._bad_records = BadRecordLimit(settings.limits)
        self._retry = RetryPolicy(settings.kafka.unavailable_timeout_seconds)
        self._writer: SnapshotWriter | None = None
        self._stand_by: Standby | None = None
        self._lag_due = 0.0

    def stop(self) -> None:
        """Let the loop end after the batch at hand; may be called from a signal handler or another thread."""
        self._stopping.set()

    def run(self, *, stop_at_end: bool = False, leave: bool = False) -> None:
        """Run until `stop`, or, with ``stop_at_end``, until every record that was there at the start is applied.

        Raises
        ------
        StopError
            When the engine cannot go on; what was committed is kept.
        UsageError
            When a setting does not fit the model in the journal.
        """
        if self._store is not None:
            snapshot = self._settings.snapshot
            self._writer = SnapshotWriter(self._store, self._settings.kafka.group_id, snapshot.interval_seconds)
        try:
            self._source.open()
            self._watchdog.unassigned(True)
            while not self._stopping.is_set() and not (stop_at_end and self._reached_ends()):
                self._watchdog.turned()
                self._observer.turned(self.tasks)
                self._report_lag()
                self._step(stop_at_end)
                self._snapshot()
            self._observer.turned(self.tasks)
            self._snapshot(final=True)
        finally:
            self._watchdog.unassigned(False)
            if self._stand_by is not None:
                self._stand_by.close()
            if self._writer is not None:
                self._writer.close()
            self._sink.close()
            self._source.close(leave=leave)

    def _step(self, stop_at_end: bool) -> None:
        """Poll, then do the one thing that is due: an assignment, settling, or a batch."""
        polled = self._poll()
        changes = self._source.changes()
        if changes:
            self._note(changes)
        if self._assigned is not None or self._unsettled:
            self._drop_polled()
            if time.monotonic() < self._retry.retry_at:
                return
            if self._assigned is not None:
                if self._attempt(self._assign):
                    self._assigned = None
            elif self._token is not None:
                self._attempt(self._settle)
        elif self._token is not None and self.tasks:
            self._buffer.add(self.tasks, polled)
            if self._buffer.is_due(self.tasks, stop_at_end=stop_at_end):
                self._turn()

    def _poll(self) -> Mapping[TopicPartition, list[RawRecord]]:
        wait = self._buffer.wait_seconds()
        if wait is None:
            wait = IDLE_SECONDS if self.tasks else STAND_BY_SECONDS
            if self._retry.retry_at > time.monotonic():
                wait = min(1.0, self._retry.retry_at - time.monotonic())
        try:
            polled = self._source.poll(wait, self._buffer.room())
            self._retry.heard(bool(polled), self._source.check_reachable)
            return polled
        except OffsetLostError:
            if self._token is None:
                return {}
            if self._settings.engine.on_offset_lost == "stop":
                raise
            self._drop_polled()
            for task in self.tasks.values():
                self._task_factory.check_kept(task)
            self._drop_polled()
            return {}
        except CorruptInputError as error:
            # The client reads on by itself from what is committed; the assignment that has come seeks first.
            if self._token is None:
                return {}
            if self._settings.engine.on_offset_lost == "stop":
                raise
            self._pass_over(error)
            return {}
        except Exception as error:
            self._retry.note(error)
            return {}

    def _pass_over(self, error: CorruptInputError) -> None:
        """Apply what comes before a record that fails its checksum; then go on behind it."""
        task = next((task for task in self.tasks.values() if error.partition in task.partitions), None)
        if task is None or self._unsettled or self._assigned is not None:
            self._drop_polled()
            return
        if self._buffer.has(task, error.partition):
            self._turn()
        else:
            start = task.positions[error.partition]
            lost = journal.Range(*error.partition, start, max(start, error.offset) + 1)
            self._task_factory.give_up(task, [lost])
            record = RawRecord(*error.partition, max(start, error.offset), NO_TIMESTAMP, None, None)
            task.passed_over.append((record, RecordError("corrupt_record", error.reason)))
        self._drop_polled()

    def _note(self, changes: list[AssignmentChange]) -> None:
        for change in changes:
            self._token = change.token if change.kind == "assigned" else None
            self._watchdog.unassigned(change.kind == "revoked" and bool(change.partitions))
        last = changes[-1]
        self._assigned = last.partitions if last.kind == "assigned" else None
        self._retry.retry_now()
        self._drop_polled()

    def _reached_ends(self) -> bool:
        """Return whether everything that was there at the start is applied."""
        if not self.tasks or self._token is None or self._assigned is not None or self._unsettled:
            return False
        if not self._buffer.is_empty:
            return False
        return all(
            task.positions[partition] >= self._ends.get(partition, 0) or self._source.at_end(partition)
            for task in self.tasks.values()
            for partition in task.partitions
        )

    def _drop_polled(self) -> None:
        """Forget what was polled and not applied, and read it again."""
        self._buffer.drop()
        if self._token is not None and self._assigned is None:
            for task in self.tasks.values():
                for partition, offset in task.positions.items():
                    self._source.seek(partition, offset)

    def _turn(self) -> None:
        """Apply one batch of every task that has records, and commit them together."""
        begun = time.monotonic()
        self._buffer.turn(begun)
        for number in sorted(self.tasks):
            part = self._apply(self.tasks[number])
            if part is not None:
                self._unsettled.append(part)
        if not self._unsettled:
            return
        applied = time.monotonic()
        if self._attempt(self._send):
            ended = time.monotonic()
            self._observer.committed(self.tasks, ended - begun, ended - applied)
            self._lag_due = ended

    def _apply(self, task: Task) -> CommitPart | None:
        batch = Batch(task, self._clock())
        for record in self._buffer.take(task, batch):
            batch.add(record)
        if not len(batch):
            return None
        before = task.mark
        begun = time.monotonic()
        applied, journalled = batch.run(outputs=True)
        self._observer.applied(task, applied, time.monotonic() - begun)
        self._bad_records.count(applied)
        topic = self._settings.journal_topic
        outputs = [*applied.outputs, *(OutputRecord(topic, task.number, None, data) for data in journalled)]
        mark, epoch = str(task.mark), self._source.leader_epoch
        positions = {
            partition: Committed(offset, mark, epoch(partition, offset)) for partition, offset in task.positions.items()
        }
        return CommitPart(task.number, outputs, positions, before, task.mark)

    def _send(self) -> None:
        with self._watchdog.transaction():
            commit.send(self._sink, self._unsettled, self.tasks, self._token)
        self._unsettled = []
        self._retry.over()

    def _attempt(self, work: Callable[[], None]) -> bool:
        """Do what talks to the brokers; what fails stays to be done, and is repeated a bounded number of times."""
        try:
            work()
        except Exception as error:
            self._retry.note(error)
            # The producer may not be used again: it may leak its offsets into the next transaction. Opening the next
            # one, with the partitions still ours, settles what this one left open.
            with self._watchdog.transaction():
                self._sink.close()
            return False
        return True

    def _open_sink(self) -> None:
        if not self._sink.is_open:
            with self._watchdog.transaction():
                self._sink.open()

    def _settle(self) -> None:
        """Find out what became of the unsettled parts, with the assignment that was processed last."""
        self._open_sink()
        resend = []
        for part in self._unsettled:
            outcome = commit.outcome_of(self._source, part)
            _logger.info("task %d at %s: %s", part.task, part.after, outcome.value)
            if outcome is commit.Outcome.OVERTAKEN:
                self._make(part.task, self._owned[part.task])
            elif outcome is commit.Outcome.NOT_COMMITTED:
                resend.append(part)
        self._unsettled = resend
        if resend:
            self._send()
        self._retry.over()

    def _assign(self) -> None:
        """Take over the tasks of the owned partitions: keep, settle or make each, then read on from its positions."""
        partitions = self._assigned or ()
        owned = self._owned = tasks_of(self._settings, partitions)
        if not owned:
            self._begin_to_stand_by()
        self.tasks = {number: task for number, task in self.tasks.items() if owned.get(number) == task.partitions}
        self._unsettled = [part for part in self._unsettled if part.task in self.tasks]
        self._buffer.begin(owned)
        if not owned:
            self._sink.close()
            return
        self._observer.role("restoring", self.tasks)
        begun = time.monotonic()
        self._check_journal(owned)
        # Opening settles what a predecessor left open; only then do the committed offsets stand still.
        self._open_sink()
        for number, members in owned.items():
            task = self.tasks.get(number)
            if task is not None and self._stands(task):
                self._task_factory.check_topics(task)
            else:
                self._make(number, members)
        for task in self.tasks.values():
            self._clock.at_least(task.pending.watermark_ms * 1_000_000)
            for partition, offset in task.positions.items():
                self._source.seek(partition, offset)
        for partition, bound in self._source.bounds(partitions).items():
            self._ends.setdefault(partition, bound.end)
        if self._stand_by is not None:
            self._stand_by.end()
            self._stand_by = None
            if self._writer is not None:
                self._writer.restart()
        _logger.info("active with %d partitions after %.2f s", len(partitions), time.monotonic() - begun)
        self._observer.role("active", self.tasks)

    def _begin_to_stand_by(self) -> None:
        """Follow the active worker's journal, where there is one; with the model at hand if it is committed."""
        engine = self._settings.engine
        if engine.scope == "topic" and engine.standby == "warm":
            if self._stand_by is None:
                task = self.tasks.get(standby.TASK)
                if task is not None and (self._unsettled or task.preamble or task.passed_over or not task.mark.seq):
                    task = None
                self._stand_by = Standby(self._settings, self._source, self._store, task)
            self._observer.stand_by(self._stand_by.standing)
        else:
            self._observer.role("stand-by", {})

    def _stands(self, task: Task) -> bool:
        """Return whether a task's state, or the part that it has not settled, follows from what is committed."""
        mark, _ = commit.read_mark(self._source, task.partitions)
        part = next((part for part in self._unsettled if part.task == task.number), None)
        expected = [task.mark] if part is None else [part.before, part.after]
        return mark in expected or (mark is None and expected[0].seq == 0)

    def _check_journal(self, owned: Mapping[int, tuple[TopicPartition, ...]]) -> None:
        count = self._source.partitions(self._settings.journal_topic)
        if max(owned) >= count:
            raise TopicError(
                f"{self._settings.journal_topic} has {count} partitions, task {max(owned)} needs one of that number: "
                f"{self._settings.topics.instances} got more partitions, or the journal was made with too few; "
                "begin a new model with another kafka.group_id"
            )

    def _make(self, number: int, partitions: tuple[TopicPartition, ...]) -> None:
        """Make a task at its committed point; whatever it had not committed is forgotten."""
        self.tasks.pop(number, None)
        self._unsettled = [part for part in self._unsettled if part.task != number]
        task = self.tasks[number] = self._task_factory.make(number, partitions, self._stand_by)
        if self._writer is not None and task.snapshot_seq == task.mark.seq:
            self._writer.has(task)
        self._buffer.forget(number)
        # A long restore has polled, so that the group does not give this worker up, and moved every position.
        for each in self.tasks.values():
            for partition, offset in each.positions.items():
                self._source.seek(partition, offset)

    def _restored(self, task: Task | None, rows: int, share: float) -> None:
        self._watchdog.turned()
        self._source.keep_alive()
        self._observer.restored(rows, share)
        if task is not None and self._writer is not None:
            self._writer.restoring(task)

    def _report_lag(self) -> None:
        moment = time.monotonic()
        if moment < self._lag_due or self._token is None or self._assigned is not None:
            return
        self._lag_due = moment + LAG_SECONDS
        if self._stand_by is not None:
            self._observer.stand_by(self._stand_by.standing)
            return
        records = 0
        oldest = 0.0
        now = self._clock()
        for task in self.tasks.values():
            behind = self._buffer.behind(task)
            records += behind
            if behind and task.pending.watermark_ms > 0:
                oldest = max(oldest, (now - task.pending.watermark_ms * 1_000_000) / 1e9)
        self._observer.lag(records, max(0.0, oldest))

    def _snapshot(self, *, final: bool = False) -> None:
        writer = self._writer
        if writer is None:
            return
        if final and not self._unsettled:
            for task in self.tasks.values():
                writer.take(task)
        elif not self._unsettled:
            writer.turn(self.tasks)
        self._observer.snapshots(writer.failures, writer.last)
