"""Applies the batches of all tasks, commits them together, and settles what a failed commit left open."""

from __future__ import annotations

import logging
import time

from streamlearn.engine.commit import CommitPart, Outcome, apply_batch, commit_batches, find_outcome
from streamlearn.engine.journal.reader import find_offset
from streamlearn.engine.loop.bad_record_limit import check_bad_records
from streamlearn.engine.loop.dead_letter_log import DeadLetterLog
from streamlearn.engine.loop.rebalance import Rebalancer
from streamlearn.engine.loop.worker_context import WorkerContext
from streamlearn.engine.loop.worker_state import WorkerState
from streamlearn.engine.tasks.batch import Batch
from streamlearn.engine.tasks.task import Task

_logger = logging.getLogger(__name__)


class BatchApplier:
    """Moves the tasks of a worker forward, one transaction after the other.

    Parameters
    ----------
    worker:
        The worker.
    rebalancer:
        Restores tasks that another worker has overtaken.
    """

    def __init__(self, worker: WorkerContext, rebalancer: Rebalancer) -> None:
        self._worker = worker
        self._rebalancer = rebalancer
        self._dead_letter_log = DeadLetterLog()
        self._has_restored = False

    def run_batch(self) -> None:
        """Apply one batch of every task that has records, and commit them in one transaction.

        When the commit fails, the worker is to settle.
        """
        worker = self._worker
        started = time.monotonic()
        worker.buffer.start_batch(started)
        for number in sorted(worker.tasks):
            part = self._apply(worker.tasks[number])
            if part is not None:
                worker.unsettled.append(part)
        if not worker.unsettled:
            return
        applied = time.monotonic()
        if not worker.attempt("commit", self._commit):
            worker.state.change_to(WorkerState.SETTLING)
            return
        ended = time.monotonic()
        worker.observer.on_committed(worker.tasks, ended - started, ended - applied)

    def _apply(self, task: Task) -> CommitPart | None:
        """Apply the next batch of a task; return its part of the transaction, or None without records."""
        worker = self._worker
        batch = Batch(task, worker.clock())
        for record, label in worker.buffer.take(task, batch):
            batch.add(record, label)
        if not len(batch):
            return None
        started = time.monotonic()
        part, applied = apply_batch(task, batch, worker.source)
        worker.observer.on_applied(task, applied, time.monotonic() - started)
        self._dead_letter_log.add(applied)
        check_bad_records(applied, worker.settings.limits)
        return part

    def _commit(self) -> None:
        worker = self._worker
        commit_batches(worker.sink, worker.unsettled, worker.tasks, worker.token)
        worker.unsettled = []

    def settle(self) -> None:
        """Find out the outcome of every unsettled part, and commit again those that were not committed.

        A task that another worker has overtaken is restored.
        """
        worker = self._worker
        worker.open_sink()
        for number in worker.partitions.keys() - worker.tasks.keys():
            # It was overtaken, and an earlier attempt to restore it has failed.
            self._restore(number)
        not_committed = []
        is_aborted = False
        parts = worker.unsettled
        for part in parts:
            outcome = find_outcome(worker.source, part)
            _logger.info("task %d at %s: %s", part.task, part.after, outcome.value)
            is_aborted |= outcome is not Outcome.COMMITTED and part.was_sent
            if outcome is Outcome.OVERTAKEN:
                _logger.warning("task %d: another worker has overtaken it; restoring it", part.task)
                self._restore(part.task)
            elif outcome is Outcome.COMMITTED:
                self._note_journal_offset(part)
                # An attempt that fails at a later part must not look for this record again.
                worker.unsettled = [each for each in worker.unsettled if each is not part]
            elif outcome is Outcome.NOT_COMMITTED:
                not_committed.append(part)
        upgrades = [part for part in worker.unsettled if part not in parts]
        worker.unsettled = [part._replace(was_sent=True) for part in [*not_committed, *upgrades]]
        if is_aborted:
            worker.observer.on_aborted()
            worker.observer.on_retry("commit")
        if worker.unsettled:
            self._commit()
        worker.state.change_to(WorkerState.RUNNING)
        if self._has_restored:
            self._has_restored = False
            worker.observer.on_role("active", worker.tasks)

    def _note_journal_offset(self, part: CommitPart) -> None:
        """Find where the journal record of a committed part was written: a snapshot of its mark refers to it."""
        task = self._worker.tasks[part.task]
        topic = task.settings.journal_topic
        task.journal_offset = find_offset(self._worker.source, topic, task.number, task.journal_offset, part.after)

    def _restore(self, number: int) -> None:
        """Restore a task; until `settle` succeeds the worker is not active."""
        others = {other: task for other, task in self._worker.tasks.items() if other != number}
        self._has_restored = True
        self._worker.observer.on_role("restoring", others)
        self._rebalancer.restore_task(number)
