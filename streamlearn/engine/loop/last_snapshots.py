"""The snapshots that a worker takes when it stops: whether each of its models ends on one at its committed point."""

from __future__ import annotations

from collections.abc import Iterator

from streamlearn.engine.loop.worker_context import WorkerContext
from streamlearn.engine.recovery.snapshot_manifest import find_newest, mark_of
from streamlearn.engine.tasks.task import Task
from streamlearn.errors import NotDrainedError, SnapshotError


class LastSnapshots:
    """Takes the last snapshots of a worker.

    A worker that does not hold the models of its assignment yet, or none, has nothing to save: what was committed is
    another one's, or can be restored as before.

    Parameters
    ----------
    worker:
        The worker.
    """

    def __init__(self, worker: WorkerContext) -> None:
        self._worker = worker

    @property
    def are_needed(self) -> bool:
        """Whether the worker holds models; may be read from another thread."""
        return self._worker.holds_models and bool(self._worker.tasks)

    def take(self) -> None:
        """Take a snapshot of every task at its committed mark, unless the store has it."""
        worker = self._worker
        if worker.writer is None or not self.are_needed:
            return
        for task in worker.tasks.values():
            # The state of a task whose commit is not settled may be ahead of what is committed.
            if worker.find_unsettled(task.number) is None:
                worker.writer.take_last(task)

    def check(self) -> None:
        """Check what the store has, after everything was written.

        Raises
        ------
        NotDrainedError
            When the store has no whole snapshot of a task's committed mark.
        """
        if not self.are_needed:
            return
        faults = list(self._find_faults())
        if faults:
            raise NotDrainedError(faults)

    def _find_faults(self) -> Iterator[str]:
        worker = self._worker
        if worker.store is None or worker.writer is None:
            return
        for number in sorted(worker.tasks):
            task = worker.tasks[number]
            part = worker.find_unsettled(number)
            if part is None and task.mark.seq == 0:
                continue
            try:
                entry = find_newest(worker.store, worker.settings.kafka.group_id, task)
            except SnapshotError as error:
                yield f"task {number} is committed at {task.mark}, and whether it has a snapshot is not known: {error}"
                continue
            newest = "it has no snapshot" if entry is None else f"its newest snapshot is {entry.path}"
            if part is not None:
                before = "nothing" if part.before.seq == 0 else part.before
                yield (
                    f"task {number} is committed at {before} or at {part.after}: the outcome of its last commit is not "
                    f"known; {newest}"
                )
            elif entry is None or mark_of(entry) != task.mark:
                yield f"task {number} is committed at {task.mark}, but {newest}: {self._find_reason(task)}"

    def _find_reason(self, task: Task) -> str:
        assert self._worker.writer is not None
        failure = self._worker.writer.last_failures.get(task.number)
        if failure is not None:
            return failure
        if task.has_changed:
            return "it has changed since, which the journal has with the next batch only"
        return "it was removed, or cannot be read"
