"""What happens on a rebalance: which tasks a worker keeps, restores, takes over or gives up.

The group first reports the change, and the worker stops to apply and commit (`Rebalancer.note`). Then the loop calls
`Rebalancer.take_over` until it succeeds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from streamlearn.engine import standby
from streamlearn.engine.commit import read_mark
from streamlearn.engine.loop.task_factory import TaskFactory, check_topics
from streamlearn.engine.loop.worker_context import RestoreStoppedError, WorkerContext
from streamlearn.engine.loop.worker_state import WorkerState
from streamlearn.engine.standby import Standby
from streamlearn.engine.tasks.task import Task
from streamlearn.engine.tasks.task_scope import tasks_of
from streamlearn.errors import RetryableError, StopError, TopicError
from streamlearn.source.base import AssignmentChange, TopicPartition

_logger = logging.getLogger(__name__)

WRITE_SECONDS = 1.0
"""How often a restore that waits for a snapshot reports."""


class Rebalancer:
    """Brings a worker's tasks in line with its assignment.

    Parameters
    ----------
    worker:
        The worker.
    lineage:
        Gives a new model its identity.

    Attributes
    ----------
    standby:
        Follows the active worker while this one has no partitions; None otherwise.
    start_ends:
        Where the log of each partition ended when it was first assigned.
    """

    def __init__(self, worker: WorkerContext, lineage: Callable[[], str]) -> None:
        self._worker = worker
        self._factory = TaskFactory(
            worker.settings,
            worker.source,
            worker.store,
            self._on_progress,
            lineage,
            worker.clock,
            self._save_before_change,
        )
        self._assigned: tuple[TopicPartition, ...] = ()
        self.standby: Standby | None = None
        self.start_ends: dict[TopicPartition, int] = {}

    def note(self, changes: Sequence[AssignmentChange]) -> None:
        """Stop applying and committing: the assignment has changed. Polled records are dropped and read again."""
        worker = self._worker
        for change in changes:
            is_assigned = change.kind == "assigned"
            worker.state.change_to(WorkerState.ASSIGNED if is_assigned else WorkerState.REVOKED)
            worker.token = change.token if is_assigned else None
            self._assigned = change.partitions if is_assigned else ()
            is_lost = not is_assigned and bool(change.partitions)
            worker.watchdog.set_unassigned(is_lost)
            if is_lost:
                shown = ", ".join(f"{topic}[{number}]" for topic, number in change.partitions)
                _logger.info("no longer active: the group has taken %s; waiting for an assignment", shown)
                worker.observer.on_role("unassigned", {})
        worker.retry.retry_now()
        worker.drop_polled()

    def take_over(self) -> None:
        """Take over the tasks of the assigned partitions, and continue each at its position.

        1. Give up the tasks of other partitions; without partitions, stand by.
        2. Open the sink, which ends the transaction that a predecessor has left open: only then are the committed
           offsets final.
        3. Keep each task whose state follows from what is committed; restore the others at their committed marks, or
           start new models.
        4. Seek every partition to its task's position.
        """
        worker = self._worker
        # Step 1.
        owned = tasks_of(worker.settings, self._assigned)
        if not owned:
            self._start_standby()
        owned = self.assigned_tasks()
        if not owned:
            worker.holds_models = False
            worker.sink.close()
            worker.state.change_to(WorkerState.STANDING_BY)
            _logger.info("standing by: the group has assigned no partitions to this worker")
            return
        started = time.monotonic()
        # Step 2.
        self.prepare(owned)
        # Step 3.
        for number in owned:
            task = worker.tasks.get(number)
            if task is not None and self._follows_from_committed(task):
                check_topics(worker.source, task.topics)
            else:
                self.restore_task(number)
        # Step 4.
        for task in worker.tasks.values():
            worker.clock.advance_to(task.pending.watermark_ms * 1_000_000)
        worker.seek_to_positions()
        for partition, bound in worker.source.bounds(self._assigned).items():
            self.start_ends.setdefault(partition, bound.end)
        if self.standby is not None:
            self.standby.end()
            self.standby = None
            if worker.writer is not None:
                worker.writer.restart_interval()
        worker.holds_models = True
        worker.state.change_to(WorkerState.SETTLING if worker.unsettled else WorkerState.RUNNING)
        _logger.info("active with %d partitions after %.2f s", len(self._assigned), time.monotonic() - started)
        worker.observer.on_role("active", worker.tasks)

    def assigned_tasks(self) -> Mapping[int, tuple[TopicPartition, ...]]:
        """Give up the tasks of other partitions than the assigned ones; return the partitions of each assigned task."""
        worker = self._worker
        owned = worker.partitions = tasks_of(worker.settings, self._assigned)
        worker.tasks = {number: task for number, task in worker.tasks.items() if owned.get(number) == task.partitions}
        worker.unsettled = [part for part in worker.unsettled if part.task in worker.tasks]
        worker.buffer.assign(owned)
        return owned

    def prepare(self, owned: Mapping[int, tuple[TopicPartition, ...]]) -> None:
        """Check that these tasks can be taken over, and make what is committed of them final: open the sink."""
        worker = self._worker
        worker.observer.on_role("restoring", worker.tasks)
        self._check_whole_topics()
        self._check_journal_partitions(owned)
        worker.open_sink()

    def restore_task(self, number: int) -> None:
        """Make an owned task at its committed mark; what it had applied beyond that is dropped."""
        worker = self._worker
        worker.tasks.pop(number, None)
        worker.unsettled = [part for part in worker.unsettled if part.task != number]
        task, upgrade = self._factory.make(number, worker.partitions[number], self.standby)
        if upgrade is not None:
            # It is committed as a batch is whose commit failed.
            worker.unsettled.append(upgrade)
            worker.observer.on_upgrade()
            if worker.writer is not None:
                # The next restore need not apply the rows once more.
                worker.writer.request(number)
        self._hold(task)

    def restore_as_committed(self, number: int) -> bool:
        """Restore an owned task exactly as it is committed, to apply nothing to it; return whether there is one."""
        task = self._factory.restore(number, self._worker.partitions[number])
        if task is None:
            return False
        self._hold(task)
        return True

    def _hold(self, task: Task) -> None:
        worker = self._worker
        worker.tasks[task.number] = task
        if worker.writer is not None and task.snapshot_seq == task.mark.seq:
            worker.writer.note_existing(task)
        worker.buffer.reset(task.number)
        # A long restore has polled, to stay in the group, and that moved every position.
        worker.seek_to_positions()

    def _start_standby(self) -> None:
        """Follow the active worker's journal, unless the settings say cold.

        The stand-by starts with the task that this worker has, if that is committed.
        """
        worker = self._worker
        engine = worker.settings.engine
        if engine.scope != "topic" or engine.standby != "warm":
            worker.observer.on_role("stand-by", {})
            return
        if self.standby is None:
            task = worker.tasks.get(standby.TASK)
            if task is not None and (worker.unsettled or task.has_changed or not task.mark.seq):
                task = None
            self.standby = Standby(
                worker.settings,
                worker.source,
                worker.store,
                task,
                on_failure=worker.observer.on_failure,
                on_retry=worker.observer.on_retry,
            )
        worker.observer.on_standby(self.standby.status)

    def _follows_from_committed(self, task: Task) -> bool:
        """Return whether a task is at the committed mark, or its unsettled part is the next one or was committed."""
        mark, _ = read_mark(self._worker.source, task.partitions)
        part = self._worker.find_unsettled(task.number)
        expected = [task.mark] if part is None else [part.before, part.after]
        return mark in expected or (mark is None and expected[0].seq == 0)

    def _check_whole_topics(self) -> None:
        """Refuse a part of the partitions where one model needs them all."""
        settings = self._worker.settings
        if settings.engine.scope != "topic":
            return
        for topic in (settings.topics.instances, settings.topics.labels):
            count = self._worker.source.partitions(topic) if topic else 0
            assigned = sum(partition.topic == topic for partition in self._assigned)
            if assigned < count:
                raise StopError(
                    f"group {settings.kafka.group_id} gives this worker {assigned} of the {count} partitions of "
                    f"{topic}, but engine.scope = topic needs all of them: a member that is no worker, or has other "
                    "settings, has joined the group; stop it, or set another kafka.group_id"
                )

    def _check_journal_partitions(self, owned: Mapping[int, tuple[TopicPartition, ...]]) -> None:
        settings = self._worker.settings
        count = self._worker.source.partitions(settings.journal_topic)
        if max(owned) >= count:
            raise TopicError(
                f"{settings.journal_topic} has {count} partitions, but task {max(owned)} needs the partition of that "
                f"number: {settings.topics.instances} got more partitions, or the journal was made with too few; begin "
                "a new model with another kafka.group_id"
            )

    def _on_progress(self, task: Task | None, rows: int, share: float) -> None:
        """Stay in the group during a long restore, report it, and take snapshots on its way; end it at a stop."""
        worker = self._worker
        worker.watchdog.beat()
        try:
            # Between most batches it is not time yet, and no broker is asked.
            if worker.source.keep_alive():
                worker.retry.note_attempt("keep_alive")
                worker.retry.note_success("keep_alive")
        except RetryableError as error:
            # A short outage must not end a long restore.
            worker.retry.note_attempt("keep_alive")
            worker.retry.note_failure("keep_alive", error)
        worker.observer.on_restore_progress(rows, share)
        if worker.stopping.is_set():
            raise RestoreStoppedError
        if task is not None and worker.writer is not None:
            worker.writer.take_during_restore(task)

    def _save_before_change(self, task: Task) -> None:
        """Take a snapshot of a restored task that is to change; stay in the group while another one is written."""
        writer = self._worker.writer
        while writer is not None and not writer.wait(WRITE_SECONDS):
            self._on_progress(None, 0, 1.0)
        self._worker.save_before_change(task)

    def end(self) -> None:
        """Ask the stand-by to end."""
        if self.standby is not None:
            self.standby.end()

    def close(self) -> None:
        """End the stand-by, and wait for its thread."""
        if self.standby is not None:
            self.standby.close()
