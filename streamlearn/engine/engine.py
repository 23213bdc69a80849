"""The live loop: poll, align, apply, commit; and what happens when partitions come and go."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from streamlearn.arithmetic.kernel_cache import kernel_hash
from streamlearn.engine import commit, journal
from streamlearn.engine.align import Aligner
from streamlearn.engine.behaviour import behaviour_of, check_change, with_behaviour
from streamlearn.engine.instruments import Instruments, NoInstruments
from streamlearn.engine.restore import JournalReader, Restore
from streamlearn.engine.scope import tasks_of
from streamlearn.engine.snapshots import SnapshotWriter
from streamlearn.engine.task import Applied, Batch, CommitPart, Task
from streamlearn.engine.watchdog import Watchdog
from streamlearn.errors import (
    JournalError,
    OvertakenError,
    RetryableError,
    StopError,
    TooManyBadRecordsError,
    TopicError,
    UsageError,
)
from streamlearn.settings.model import Settings
from streamlearn.sink.base import OutputRecord, Sink
from streamlearn.source.base import Committed, RawRecord, Source, TopicPartition
from streamlearn.state.snapshot_store import SnapshotStore

_logger = logging.getLogger(__name__)

FAILURES_IN_A_ROW = 8


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
    instruments:
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
        instruments: Instruments | None = None,
        clock: Callable[[], int] = time.time_ns,
        lineage: Callable[[], str] = new_lineage,
        watchdog: Watchdog | None = None,
    ) -> None:
        self._settings = settings
        self._source = source
        self._sink = sink
        self._store = store
        self._instruments = instruments or NoInstruments()
        self._clock = clock
        self._lineage = lineage
        self._watchdog = watchdog or Watchdog()
        self._stopping = threading.Event()
        self._aligners: dict[int, Aligner] = {}
        self.tasks: dict[int, Task] = {}
        self._token: Any = None
        self._assigned: tuple[TopicPartition, ...] | None = None
        self._owned: dict[int, tuple[TopicPartition, ...]] = {}
        self._unsettled: list[CommitPart] = []
        self._since: dict[int, list[tuple[bytes, journal.JournalRecord]]] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._recent: deque[bool] = deque(maxlen=settings.limits.bad_window)
        self._failures = 0
        self._writer: SnapshotWriter | None = None
        self._snapshot_due = 0.0

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
            self._writer = SnapshotWriter(self._store, self._settings.kafka.group_id)
        self._snapshot_due = time.monotonic() + self._settings.snapshot.interval_seconds
        try:
            self._source.open()
            self._loop(stop_at_end)
            self._snapshot(final=True)
        finally:
            if self._writer is not None:
                self._writer.close()
            self._sink.close()
            self._source.close(leave=leave)

    def _loop(self, stop_at_end: bool) -> None:
        engine = self._settings.engine
        gathering_since: float | None = None
        while not self._stopping.is_set():
            self._watchdog.turned()
            buffered = sum(aligner.buffered for aligner in self._aligners.values())
            wait = engine.batch_seconds
            if gathering_since is not None:
                wait = max(0.0, gathering_since + engine.batch_seconds - time.monotonic())
            polled = self._source.poll(wait, max(1, engine.batch_instances - buffered))
            changes = self._source.changes()
            if changes:
                gathering_since = None
                for change in changes:
                    self._token = change.token if change.kind == "assigned" else None
                    self._watchdog.unassigned(change.kind == "revoked" and bool(change.partitions))
                self._assigned = changes[-1].partitions if changes[-1].kind == "assigned" else None
            if self._assigned is not None:
                self._drop_polled()
                if self._attempt(self._assign):
                    self._assigned = None
                continue
            if self._token is None or not self.tasks:
                continue
            if self._unsettled:
                self._drop_polled()
                self._attempt(self._settle)
                gathering_since = None
                continue
            self._buffer(polled)
            buffered = sum(aligner.buffered for aligner in self._aligners.values())
            size = sum(aligner.buffered_bytes for aligner in self._aligners.values())
            if buffered and gathering_since is None:
                gathering_since = time.monotonic()
            full = buffered >= engine.batch_instances or size >= engine.batch_bytes
            waited = gathering_since is not None and time.monotonic() >= gathering_since + engine.batch_seconds
            if buffered and (full or waited or self._at_end()):
                gathering_since = None
                self._turn()
            if stop_at_end and self._reached_ends():
                return
            self._snapshot()

    def _at_end(self) -> bool:
        return all(self._source.at_end(partition) for task in self.tasks.values() for partition in task.partitions)

    def _reached_ends(self) -> bool:
        """Return whether everything that was there at the start is applied."""
        if any(aligner.buffered for aligner in self._aligners.values()):
            return False
        return all(
            task.positions[partition] >= self._ends.get(partition, 0) or self._source.at_end(partition)
            for task in self.tasks.values()
            for partition in task.partitions
        )

    def _buffer(self, polled: Mapping[TopicPartition, list[RawRecord]]) -> None:
        by_task: dict[int, dict[TopicPartition, list[RawRecord]]] = {}
        for number, task in self.tasks.items():
            by_task[number] = {p: records for p, records in polled.items() if p in task.partitions}
        for number, records in by_task.items():
            self._aligners[number].add(records)
            for partition, size in self._aligners[number].bytes_of_labels().items():
                if size > self._settings.engine.batch_bytes:
                    offset = self._aligners[number].drop(partition)
                    if offset is not None:
                        self._source.seek(partition, offset)

    def _drop_polled(self) -> None:
        """Forget what was polled and not applied, and read it again."""
        for aligner in self._aligners.values():
            aligner.clear()
        if self._token is not None and self._assigned is None:
            for task in self.tasks.values():
                for partition, offset in task.positions.items():
                    self._source.seek(partition, offset)

    def _turn(self) -> None:
        """Apply one batch of every task that has records, and commit them together."""
        begun = time.monotonic()
        parts = [part for number in sorted(self.tasks) if (part := self._apply(self.tasks[number])) is not None]
        if not parts:
            return
        self._unsettled = parts
        applied = time.monotonic()
        if self._attempt(self._send):
            ended = time.monotonic()
            self._instruments.committed(self.tasks, ended - begun, ended - applied)
            self._report_lag()

    def _apply(self, task: Task) -> CommitPart | None:
        engine = self._settings.engine
        aligner = self._aligners[task.number]
        batch = Batch(task, self._clock())

        def waits(record: RawRecord) -> bool:
            behind = any(
                partition.topic != record.topic and not aligner.has(partition) and not self._source.at_end(partition)
                for partition in task.partitions
            )
            return behind and not batch.knows(record)

        for record in aligner.take(engine.batch_instances, engine.batch_bytes, waits):
            batch.add(record)
        if not len(batch):
            return None
        before = task.mark
        begun = time.monotonic()
        since = self._since.pop(task.number, [])
        applied, record = batch.run([data for data, _ in since], outputs=True)
        self._count_bad(applied)
        self._instruments.applied(task, applied, time.monotonic() - begun)
        topic = self._settings.journal_topic
        places = range(len(applied.outputs), len(applied.outputs) + len(since) + 1)
        outputs = [
            *applied.outputs,
            *(OutputRecord(topic, task.number, None, data) for data, _ in since),
            OutputRecord(topic, task.number, None, journal.encode(record)),
        ]
        positions = {partition: Committed(offset, str(task.mark)) for partition, offset in task.positions.items()}
        return CommitPart(task.number, outputs, positions, before, task.mark, tuple(places))

    def _count_bad(self, applied: Applied) -> None:
        """Stop before a broken producer's whole topic goes to the dead letters."""
        good = len(applied.records) - len(applied.dead)
        self._recent.extend([True] * len(applied.dead))
        self._recent.extend([False] * max(0, good))
        limits = self._settings.limits
        bad = sum(self._recent)
        if len(self._recent) >= limits.bad_window and bad > limits.bad_share * len(self._recent):
            raise TooManyBadRecordsError(
                f"{bad} of the last {len(self._recent)} records of {self._settings.topics.instances} could not be used "
                f"(the last: {applied.dead[-1] if applied.dead else 'earlier'}), more than limits.bad_share = "
                f"{limits.bad_share:g}: mend the producer, or raise limits.bad_share to let them become dead letters"
            )

    def _send(self) -> None:
        with self._watchdog.transaction():
            commit.send(self._sink, self._unsettled, self.tasks, self._token)
        self._unsettled = []
        self._failures = 0

    def _attempt(self, work: Callable[[], None]) -> bool:
        """Do what talks to the brokers; a failure leaves parts unsettled, and is repeated a bounded number of times."""
        try:
            work()
        except (StopError, UsageError) as error:
            if not isinstance(error, OvertakenError):
                raise
            _logger.warning("%s; waiting for the next assignment", error)
            return False
        except Exception as error:
            if not isinstance(error, RetryableError | OSError) and not _is_client_error(error):
                raise
            self._failures += 1
            _logger.warning("%s: %s; settling it (failure %d in a row)", type(error).__name__, error, self._failures)
            if self._failures >= FAILURES_IN_A_ROW:
                raise StopError(
                    f"{self._failures} failures in a row, the last: {type(error).__name__}: {error}; "
                    "check the brokers, then start again: nothing that was committed is lost"
                ) from error
            with self._watchdog.transaction():
                self._reopen()
            return False
        return True

    def _reopen(self) -> None:
        """Open a new producer; while the brokers are away this fails and is tried again with the next turn."""
        try:
            self._sink.reopen()
        except Exception as error:
            if not isinstance(error, RetryableError | OSError) and not _is_client_error(error):
                raise
            _logger.warning("%s: %s; the producer is opened again later", type(error).__name__, error)

    def _settle(self) -> None:
        """Find out what became of the unsettled parts, with the assignment that was processed last."""
        if not self._sink.is_open:
            self._sink.reopen()
        resend = []
        for part in self._unsettled:
            outcome = commit.outcome_of(self._source, part)
            _logger.info("task %d at %s: %s", part.task, part.after, outcome.value)
            if outcome is commit.Outcome.OVERTAKEN:
                self._restore(part.task, self._owned[part.task])
            elif outcome is commit.Outcome.NOT_COMMITTED:
                resend.append(part)
        self._unsettled = resend
        if resend:
            self._send()
        self._failures = 0

    def _assign(self) -> None:
        """Take over the tasks of the owned partitions: keep, settle or restore each, then read on from its positions."""
        partitions = self._assigned or ()
        owned = tasks_of(self._settings, partitions)
        self._owned = owned
        if not owned:
            self.tasks = {}
            self._aligners = {}
            self._unsettled = []
            self._sink.close()
            self._instruments.role("stand-by", self.tasks)
            return
        self._instruments.role("restoring", self.tasks)
        if not self._sink.is_open:
            with self._watchdog.transaction():
                self._sink.open()
        self.tasks = {number: task for number, task in self.tasks.items() if owned.get(number) == task.partitions}
        unsettled = {part.task: part for part in self._unsettled if part.task in self.tasks}
        self._unsettled = list(unsettled.values())
        for number, members in owned.items():
            task = self.tasks.get(number)
            mark, _ = commit.read_mark(self._source, members)
            part = unsettled.get(number)
            kept = task is not None and (
                mark == task.mark or (part is not None and mark in (part.before, part.after))
                or (mark is None and part is not None and part.before.seq == 0)
            )
            if not kept:
                self._unsettled = [part for part in self._unsettled if part.task != number]
                self._restore(number, members)
        self._aligners = {number: Aligner(self._settings.topics.labels) for number in self.tasks}
        for task in self.tasks.values():
            for partition, offset in task.positions.items():
                self._source.seek(partition, offset)
        self._ends.update(
            {
                partition: bound.end
                for partition, bound in self._source.bounds(list(partitions)).items()
                if partition not in self._ends
            }
        )
        self._instruments.role("active", self.tasks)

    def _restore(self, number: int, partitions: tuple[TopicPartition, ...]) -> None:
        self.tasks.pop(number, None)
        self._since.pop(number, None)
        mark, positions = commit.read_mark(self._source, partitions)
        if mark is None:
            self.tasks[number] = self._begin(number, partitions)
        else:
            begun = time.monotonic()
            restore = Restore(self._settings, self._source, self._store, self._instruments.restored)
            task = restore.run(number, partitions, mark, positions)
            self._check_topics(task)
            self.tasks[number] = task
            _logger.info("task %d restored at %s in %.1f s", number, mark, time.monotonic() - begun)
            self._change_settings(task)
        self._aligners[number] = Aligner(self._settings.topics.labels)
        for partition, offset in self.tasks[number].positions.items():
            self._source.seek(partition, offset)

    def _topic_ids(self) -> dict[str, str]:
        topics = self._settings.topics
        return {topic: self._source.topic_id(topic) for topic in (topics.instances, topics.labels) if topic}

    def _begin(self, number: int, partitions: tuple[TopicPartition, ...]) -> Task:
        """Begin a new model where `engine.start_from` says."""
        reader = JournalReader(self._source, self._settings.journal_topic, number)
        lineage, last = reader.lineage(), reader.last()
        ids = self._topic_ids()
        if last is not None and lineage is not None and lineage.topics == ids:
            raise JournalError(
                f"task {number}: no offsets are committed, but {self._settings.journal_topic}[{number}] goes up to "
                f"sequence {last.seq} at {[list(moved.of) + [moved.end] for moved in last.rng]}: the group's offsets "
                "expired or were deleted; set them back to these positions, or begin anew with another kafka.group_id"
            )
        task = Task(self._settings, number, partitions, self._lineage())
        bounds = self._source.bounds(partitions)
        earliest = self._settings.engine.start_from == "earliest"
        task.positions = {p: bound.start if earliest else bound.end for p, bound in bounds.items()}
        record = journal.LineageRecord(
            journal.VERSION, number, task.lineage, ids, behaviour_of(self._settings), kernel_hash()
        )
        self._since[number] = [(journal.encode(record), record)]
        _logger.info("task %d begins a new model, lineage %s, at %s", number, task.lineage, task.positions)
        return task

    def _check_topics(self, task: Task) -> None:
        """Refuse partitions that were added: labels of earlier instances would hash elsewhere."""
        for topic in {partition.topic for partition in task.positions}:
            known = {p.partition for p in task.positions if p.topic == topic}
            count = self._source.partitions(topic)
            if self._settings.engine.scope == "topic" and len(known) != count:
                raise TopicError(
                    f"{topic} has {count} partitions, the model in the journal began with {len(known)}: "
                    "keys now hash elsewhere; begin a new model with another kafka.group_id"
                )

    def _change_settings(self, task: Task) -> None:
        """Journal settings that differ from those in force."""
        before, after = task.behaviour, behaviour_of(self._settings)
        if before == after:
            return
        check_change(before, after)
        task.change(with_behaviour(self._settings, after))
        record = journal.SettingsRecord(journal.VERSION, task.number, after)
        self._since[task.number] = [(journal.encode(record), record)]
        changed = {name: value for name, value in after.items() if before.get(name) != value}
        _logger.info("task %d: settings change with the next batch: %s", task.number, changed)

    def _report_lag(self) -> None:
        records = 0
        oldest = 0.0
        now = self._clock()
        for task in self.tasks.values():
            behind = sum(self._source.behind(partition, task.positions[partition]) for partition in task.partitions)
            records += behind
            if behind:
                oldest = max(oldest, (now - task.pending.watermark_ms * 1_000_000) / 1e9)
        self._instruments.lag(records, max(0.0, oldest))

    def _snapshot(self, *, final: bool = False) -> None:
        writer = self._writer
        if writer is None or self._unsettled or (writer.busy and not final):
            return
        if final or time.monotonic() >= self._snapshot_due:
            self._snapshot_due = time.monotonic() + self._settings.snapshot.interval_seconds
            for task in self.tasks.values():
                writer.take(task)
            self._instruments.snapshot_failures(writer.failures)


_HOPELESS = ("Configuration", "Authorization", "Authentication", "Unsupported", "Fenced")


def _is_client_error(error: Exception) -> bool:
    """Return whether the Kafka client raised an error that may pass, without importing the client for other transports."""
    kind = type(error)
    return kind.__module__.startswith("kafka.") and not any(word in kind.__name__ for word in _HOPELESS)
