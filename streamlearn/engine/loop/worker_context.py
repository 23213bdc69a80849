"""The context that the parts of a worker's loop share: connections, state, tasks and the batches to settle."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from streamlearn.cleanup import Cleanup
from streamlearn.engine.commit import CommitPart
from streamlearn.engine.loop.forward_clock import ForwardClock
from streamlearn.engine.loop.record_buffer import RecordBuffer
from streamlearn.engine.loop.retry import RetryPolicy
from streamlearn.engine.loop.watchdog import Watchdog
from streamlearn.engine.loop.worker_state import StateMachine
from streamlearn.engine.observer import EngineObserver
from streamlearn.engine.recovery.snapshot_writer import SnapshotWriter
from streamlearn.engine.tasks.task import Task
from streamlearn.settings.settings import Settings
from streamlearn.sink.base import Sink
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.source.base import Source, TopicPartition
from streamlearn.telemetry.attempts import Attempt


class RestoreStoppedError(Exception):
    """Ends a restore because the worker is to stop."""


@dataclass
class WorkerContext:
    """The shared parts of one worker.

    Attributes
    ----------
    writer:
        Writes snapshots to ``store``; None when there is no store.
    token:
        Proof of the group membership that assigned the partitions; a commit shows it. None without an assignment.
    partitions:
        The partitions of each task that the worker owns.
    tasks:
        The tasks that it holds.
    holds_models:
        Whether ``tasks`` are those of an active worker; also during a rebalance, until it is over.
    unsettled:
        Parts of applied batches that are not known to be committed.
    stopping:
        Set when the worker is to stop.
    """

    settings: Settings
    source: Source
    sink: Sink
    store: SnapshotStore | None
    observer: EngineObserver
    clock: ForwardClock
    watchdog: Watchdog
    buffer: RecordBuffer
    retry: RetryPolicy
    writer: SnapshotWriter | None = None
    state: StateMachine = field(default_factory=StateMachine)
    token: Any = None
    partitions: dict[int, tuple[TopicPartition, ...]] = field(default_factory=dict)
    tasks: dict[int, Task] = field(default_factory=dict)
    holds_models: bool = False
    unsettled: list[CommitPart] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def find_task(self, partition: TopicPartition) -> Task | None:
        """Return the task that reads a partition."""
        return next((task for task in self.tasks.values() if partition in task.partitions), None)

    def find_unsettled(self, number: int) -> CommitPart | None:
        """Return the unsettled part of a task."""
        return next((part for part in self.unsettled if part.task == number), None)

    def save_before_change(self, task: Task) -> None:
        """Take a snapshot of a task that is to change outside of a batch, as other settings or lost records make it.

        Until the next batch has journalled the change, the task holds what its committed mark does not have, and no
        snapshot of it can be taken.
        """
        if self.writer is None or self.find_unsettled(task.number) is not None:
            return
        if task.snapshot_seq == task.mark.seq:
            self.writer.note_existing(task)
        else:
            self.writer.take(task)

    def seek_to_positions(self) -> None:
        """Set the source to the next offset to apply of every partition."""
        for task in self.tasks.values():
            for partition, offset in task.positions.items():
                self.source.seek(partition, offset)

    def drop_polled(self) -> None:
        """Drop the polled records that are not applied, to be read again."""
        self.buffer.drop()
        if self.state.has_taken_over:
            self.seek_to_positions()

    def attempt(self, what: Attempt, work: Callable[[], None]) -> bool:
        """Do what talks to the brokers; return whether it succeeded. The loop repeats it, a bounded number of times.

        Everything that may ask a broker is done here, or in the poll of the engine's loop.
        """
        self.retry.note_attempt(what)
        try:
            try:
                work()
            except Exception:
                # The producer must not be used again: it may leak its offsets into the next transaction. Opening the
                # next one, while the partitions are still ours, ends the transaction that this one left open.
                with Cleanup(self.sink.close):
                    raise
        except RestoreStoppedError:
            raise
        except Exception as error:
            self.retry.note_failure(what, error)
            return False
        self.retry.note_success(what)
        # A restore is part of an attempt, and has ended.
        self.retry.forget("keep_alive")
        if not self.unsettled:
            # Whether it was committed after all, or belongs to another worker now.
            self.retry.forget("commit", "settle")
        return True

    def close_writer(self) -> None:
        """Write the snapshots that were taken, then end the thread that writes them."""
        if self.writer is not None:
            self.writer.close()

    def open_sink(self) -> None:
        """Open the sink, which ends the transaction that this worker or a predecessor has left open."""
        if not self.sink.is_open:
            self.sink.open()
