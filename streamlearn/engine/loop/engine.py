"""The engine: the loop of a worker, which polls records, applies them in batches and commits each batch.

`worker_state` draws the states of the loop, `rebalance` says what happens when partitions come and go,
`batch_applier` applies and commits, and `engine.commit` lists the steps of a transaction.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping

from streamlearn.cleanup import Cleanup
from streamlearn.engine.loop.batch_applier import BatchApplier
from streamlearn.engine.loop.drain import Drain
from streamlearn.engine.loop.end_of_input import EndOfInput
from streamlearn.engine.loop.forward_clock import ForwardClock
from streamlearn.engine.loop.last_snapshots import LastSnapshots
from streamlearn.engine.loop.rebalance import Rebalancer
from streamlearn.engine.loop.record_buffer import RecordBuffer
from streamlearn.engine.loop.retry import ASK_SECONDS, RetryPolicy
from streamlearn.engine.loop.unreadable_records import skip_corrupt_record, skip_lost_offsets
from streamlearn.engine.loop.watchdog import Watchdog
from streamlearn.engine.loop.worker_context import RestoreStoppedError, WorkerContext
from streamlearn.engine.loop.worker_state import WorkerState
from streamlearn.engine.observer import EngineObserver, NullObserver
from streamlearn.engine.recovery.snapshot_writer import SnapshotWriter
from streamlearn.engine.tasks.task import Task
from streamlearn.errors import OffsetLostError, RetryableError
from streamlearn.settings.settings import Settings
from streamlearn.sink.base import Sink
from streamlearn.snapshot.store import SnapshotStore
from streamlearn.source.base import CorruptInputError, RawRecord, Source, TopicPartition

_logger = logging.getLogger(__name__)

LAG_SECONDS = 1.0
"""How often brokers are asked for the ends of the log, and the lag is reported."""
IDLE_SECONDS = 0.5
"""Longest poll of an active worker that has no records: each iteration of the loop costs processor time."""
SETTLE_SECONDS = 5.0
"""Longest wait of a worker that stops for the outcome of its last commit."""
STANDBY_SECONDS = 0.1
"""Longest poll of a worker without partitions."""


def new_lineage() -> str:
    """Return a random identity for a model: 16 hexadecimal digits."""
    return os.urandom(8).hex()


class Engine:
    """Runs the tasks of the partitions that a worker owns.

    Parameters
    ----------
    settings:
        The settings.
    source, sink:
        Where records come from and go to.
    store:
        Where snapshots are; None: none are written or read.
    observer:
        Called with what happens.
    clock:
        Nanoseconds since the epoch; journalled, and the only time that a model sees.
    lineage:
        Gives a new model its identity.
    watchdog:
        Limits the time of transactions and rebalances; the caller starts and stops it.
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
        observer = observer or NullObserver()
        self._worker = WorkerContext(
            settings=settings,
            source=source,
            sink=sink,
            store=store,
            observer=observer,
            clock=ForwardClock(clock),
            watchdog=watchdog or Watchdog(),
            buffer=RecordBuffer(settings, source),
            retry=RetryPolicy(settings.kafka.unavailable_timeout_seconds, observer),
        )
        self._rebalancer = Rebalancer(self._worker, lineage)
        self._applier = BatchApplier(self._worker, self._rebalancer)
        self._end = EndOfInput(self._worker, self._rebalancer.start_ends)
        self._last_snapshots = LastSnapshots(self._worker)
        self._is_member = False
        self._drain: Drain | None = None
        self._lag_due = 0.0

    @property
    def tasks(self) -> Mapping[int, Task]:
        """The tasks that this worker holds, by number."""
        return self._worker.tasks

    def stop(self) -> None:
        """End the loop after the current batch, or a restore after the batch that it replays.

        May be called from a signal handler or another thread.
        """
        self._worker.stopping.set()

    @property
    def has_nothing_to_save(self) -> bool:
        """Whether the end of the process loses nothing now: no applied batch, and no model for a last snapshot.

        May be read from another thread.
        """
        return not self._last_snapshots.are_needed

    @property
    def is_member(self) -> bool:
        """Whether the worker has joined the group, and has not disconnected; may be read from another thread."""
        return self._is_member

    @property
    def is_disconnecting(self) -> bool:
        """Whether the worker stops, and leaves the group if it is to; may be read from another thread."""
        return self._is_member and self._worker.state.current is WorkerState.STOPPING

    def run(self, *, stop_at_end: bool = False, leave: bool = False) -> None:
        """Run until `stop`, or, with ``stop_at_end``, until every record that was there at the start is applied.

        An engine runs once: its source and sink are closed at the end.

        Parameters
        ----------
        stop_at_end:
            Stop at the offsets at which the partitions ended when they were first assigned.
        leave:
            Leave the group at the end, rather than keep the worker's name reserved for a restart.

        Raises
        ------
        NotDrainedError
            When it has stopped as asked for, but not every model that it holds has a snapshot at its committed point.
        StopError
            When the engine cannot continue; what was committed is kept.
        UsageError
            When a setting does not fit the model in the journal.
        RuntimeError
            When the engine has run already.
        """
        self._run(
            lambda: stop_at_end and self._end.is_reached(),
            self._last_snapshots.take,
            stop_at_end=stop_at_end,
            leave=leave,
        )
        self._last_snapshots.check()

    def drain(self) -> None:
        """Restore the models of the partitions that the group assigns, write a snapshot of each, and leave the group.

        Nothing is answered, applied or committed. An engine runs or drains once.

        Raises
        ------
        NotDrainedError
            When a model does not have a snapshot at its committed point at the end, as after `stop`.
        StopError
            When a model cannot be restored, or another worker is active.
        UsageError
            When a setting does not fit the model in the journal.
        RuntimeError
            When the engine has run already.
        """
        drain = self._drain = Drain(self._worker, self._rebalancer, self._last_snapshots)
        self._run(lambda: drain.is_restored, drain.finish, stop_at_end=False, leave=True)

    def _run(self, is_over: Callable[[], bool], finish: Callable[[], None], *, stop_at_end: bool, leave: bool) -> None:
        """Run the loop until it is over or to stop, finish, and close everything."""
        worker = self._worker
        if worker.state.current is not WorkerState.STARTING:
            raise RuntimeError("this engine has run already; create another one")
        if worker.store is not None:
            interval = self._settings.snapshot.interval_seconds
            worker.writer = SnapshotWriter(worker.store, self._settings.kafka.group_id, interval)
        with Cleanup(
            self._note_stopping,
            worker.close_writer,
            worker.sink.close,
            lambda: self._disconnect(leave=leave),
            # The group is left before: a stand-by's thread may take seconds to end.
            self._rebalancer.close,
            lambda: worker.state.change_to(WorkerState.STOPPED),
        ):
            self._open()
            worker.watchdog.set_unassigned(True)
            try:
                while not worker.stopping.is_set() and not is_over():
                    worker.watchdog.beat()
                    worker.observer.on_loop(worker.tasks)
                    self._report_lag()
                    self._iterate(stop_at_end)
                    self._take_snapshots()
                self._settle_before_stop()
            except RestoreStoppedError:
                _logger.info("stopped during a restore; the next start restores the model again")
            worker.state.change_to(WorkerState.STOPPING)
            worker.observer.on_loop(worker.tasks)
            worker.observer.on_role("stopping", worker.tasks)
            finish()
            self._report_snapshots()

    def _settle_before_stop(self) -> None:
        """Find out the outcome of the last commit, for a bounded time.

        When all workers of a group stop at once, the first that leaves causes a rebalance, and the commit of the active
        one fails in it.
        """
        worker = self._worker
        deadline = time.monotonic() + SETTLE_SECONDS
        while worker.unsettled and worker.tasks and time.monotonic() < deadline:
            worker.watchdog.beat()
            self._iterate(stop_at_end=False)

    def _note_stopping(self) -> None:
        self._worker.state.change_to(WorkerState.STOPPING)
        self._worker.watchdog.set_unassigned(False)
        self._rebalancer.end()

    def _disconnect(self, *, leave: bool) -> None:
        self._worker.source.close(leave=leave)
        self._is_member = False

    def _open(self) -> None:
        """Open the source, or stop."""
        worker = self._worker
        while not worker.stopping.is_set():
            worker.watchdog.beat()
            if worker.attempt("open", worker.source.open):
                return
            worker.stopping.wait(max(0.0, worker.retry.retry_at - time.monotonic()))

    def _iterate(self, stop_at_end: bool) -> None:
        """Poll, then do what the state asks for: take over an assignment, settle, or apply and commit a batch."""
        worker = self._worker
        polled = self._poll()
        changes = worker.source.changes()
        if changes:
            self._is_member = True
            self._rebalancer.note(changes)
        match worker.state.current:
            case WorkerState.ASSIGNED:
                worker.drop_polled()
                if time.monotonic() >= worker.retry.retry_at:
                    worker.attempt("take_over", (self._drain or self._rebalancer).take_over)
            case WorkerState.SETTLING:
                worker.drop_polled()
                if time.monotonic() >= worker.retry.retry_at:
                    worker.attempt("settle", self._applier.settle)
            case WorkerState.RUNNING:
                worker.buffer.add(worker.tasks, polled)
                if worker.buffer.is_due(worker.tasks, stop_at_end=stop_at_end):
                    self._applier.run_batch()

    def _poll(self) -> Mapping[TopicPartition, list[RawRecord]]:
        worker = self._worker
        wait = worker.buffer.wait_seconds()
        if wait is None:
            wait = IDLE_SECONDS if worker.tasks else STANDBY_SECONDS
            if worker.retry.retry_at > time.monotonic():
                wait = min(1.0, worker.retry.retry_at - time.monotonic())
        worker.retry.note_attempt("poll")
        try:
            try:
                polled = worker.source.poll(wait, worker.buffer.poll_limit())
            except (OffsetLostError, CorruptInputError) as error:
                polled = {}
                # Without an assignment the client reads by itself from what is committed; the next assignment seeks
                # first. A drain applies no records.
                if worker.state.has_assignment and self._drain is None:
                    self._skip_unreadable(error)
            worker.retry.note_poll(bool(polled), worker.source.check_reachable)
        except Exception as error:
            worker.retry.note_failure("poll", error)
            worker.watchdog.note_outage()
            # Positions may have advanced past records that the failed poll did not give.
            worker.drop_polled()
            return {}
        worker.retry.note_success("poll")
        if worker.retry.is_unreachable:
            worker.watchdog.note_outage()
        return polled

    def _skip_unreadable(self, error: OffsetLostError | CorruptInputError) -> None:
        """Skip what cannot be read, or raise the error, as ``engine.on_offset_lost`` says."""
        worker = self._worker
        if self._settings.engine.on_offset_lost == "stop":
            raise error
        if isinstance(error, OffsetLostError):
            worker.drop_polled()
            for task in worker.tasks.values():
                skip_lost_offsets(task, worker.source, worker.save_before_change)
        else:
            task = worker.find_task(error.partition)
            if task is not None and worker.state.current is WorkerState.RUNNING:
                if worker.buffer.has_records(task, error.partition):
                    # First the records before it. It will be polled again.
                    self._applier.run_batch()
                else:
                    skip_corrupt_record(task, error, worker.save_before_change)
        worker.drop_polled()

    def _report_lag(self) -> None:
        worker = self._worker
        if not worker.state.has_taken_over or not (worker.tasks or self._rebalancer.standby):
            worker.observer.on_lag(None, None)
            worker.retry.forget("lag")
            self._lag_due = 0.0
            return
        moment = time.monotonic()
        if moment < self._lag_due:
            return
        self._lag_due = moment + LAG_SECONDS
        if self._rebalancer.standby is not None:
            worker.observer.on_standby(self._rebalancer.standby.status)
            return
        if worker.state.current is WorkerState.STANDING_BY:
            return  # a cold stand-by knows no lag
        records = 0
        oldest = 0.0
        now = worker.clock()
        worker.retry.note_attempt("lag")
        try:
            ends = worker.source.ends([partition for task in worker.tasks.values() for partition in task.partitions])
        except (RetryableError, OSError) as error:
            worker.retry.note_unlimited_failure("lag", error)
            worker.observer.on_lag(None, None)
            self._lag_due = moment + ASK_SECONDS
            return
        worker.retry.note_success("lag")
        for task in worker.tasks.values():
            lag = worker.buffer.lag(task, ends)
            records += lag
            if lag and task.pending.watermark_ms > 0:
                oldest = max(oldest, (now - task.pending.watermark_ms * 1_000_000) / 1e9)
        worker.observer.on_lag(records, max(0.0, oldest))

    def _take_snapshots(self) -> None:
        """Take the snapshots that are due; only at committed marks."""
        worker = self._worker
        if worker.writer is not None and not worker.unsettled:
            worker.writer.take_due(worker.tasks)
        self._report_snapshots()

    def _report_snapshots(self) -> None:
        writer = self._worker.writer
        if writer is not None:
            self._worker.observer.on_snapshots(writer.failures, writer.last)
