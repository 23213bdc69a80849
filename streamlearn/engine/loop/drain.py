"""A drain: restores the models that a crash has left, and ends each on a snapshot at its committed point.

It answers nothing, applies no new records and commits nothing, so that it needs no traffic and changes neither the
journal nor the group's offsets.
"""

from __future__ import annotations

import logging
import time

from streamlearn.engine.commit import read_mark
from streamlearn.engine.loop.last_snapshots import LastSnapshots
from streamlearn.engine.loop.rebalance import Rebalancer
from streamlearn.engine.loop.worker_context import WorkerContext
from streamlearn.engine.loop.worker_state import WorkerState
from streamlearn.errors import NotDrainedError, StopError

_logger = logging.getLogger(__name__)


class Drain:
    """Takes the place of taking over, applying and committing in a worker that is to drain its models.

    Parameters
    ----------
    worker:
        The worker.
    rebalancer:
        Knows its assignment, and restores its tasks.
    last_snapshots:
        Takes the snapshots.
    """

    def __init__(self, worker: WorkerContext, rebalancer: Rebalancer, last_snapshots: LastSnapshots) -> None:
        self._worker = worker
        self._rebalancer = rebalancer
        self._last_snapshots = last_snapshots
        self.is_restored = False

    def take_over(self) -> None:
        """Restore the tasks of the assigned partitions as they are committed.

        Raises
        ------
        StopError
            When the group has assigned none, because another worker holds them.
        """
        worker = self._worker
        owned = self._rebalancer.assigned_tasks()
        if not owned:
            holders = worker.source.holders() or worker.source.members()
            raise StopError(
                f"group {worker.settings.kafka.group_id} has assigned no partitions to this worker, which is to drain: "
                f"{', '.join(holders) or 'another member'} is active. Stop that one with SIGTERM, which drains it"
            )
        self._rebalancer.prepare(owned)
        for number in owned:
            if number not in worker.tasks and not self._rebalancer.restore_as_committed(number):
                _logger.info("task %d: nothing was committed, so there is nothing to drain", number)
        worker.holds_models = True
        worker.state.change_to(WorkerState.RUNNING)
        self.is_restored = True

    def finish(self) -> None:
        """Write the snapshots, then look whether the models are still committed where they were.

        Raises
        ------
        NotDrainedError
            When the worker was stopped before.
        StopError
            When another worker has committed meanwhile, or brokers do not answer for too long.
        """
        worker = self._worker
        if not self.is_restored:
            raise NotDrainedError(["the worker was stopped before its models were restored"])
        self._last_snapshots.take()
        if worker.writer is not None:
            worker.writer.wait(None)
        while not worker.attempt("take_over", self._check_still_committed):
            if worker.stopping.is_set():
                raise NotDrainedError(["the worker was stopped while no broker told it what is committed"])
            worker.watchdog.beat()
            time.sleep(max(0.0, worker.retry.retry_at - time.monotonic()))
        self._last_snapshots.check()
        for number, task in sorted(worker.tasks.items()):
            _logger.info("task %d is drained: its newest snapshot is at the committed point %s", number, task.mark)

    def _check_still_committed(self) -> None:
        worker = self._worker
        for number, task in worker.tasks.items():
            mark, _ = read_mark(worker.source, task.partitions)
            if mark != task.mark:
                raise StopError(
                    f"task {number} was committed at {task.mark} and is committed at {mark} now: another worker has "
                    f"continued meanwhile: {', '.join(worker.source.holders()) or 'it has ended since'}. Stop it with "
                    "SIGTERM, which drains it, or drain again"
                )
