"""Writes snapshots off the hot path: the state is frozen at a committed mark, and a thread writes it.

A small state is copied. A large one is frozen by a fork: a child process has the memory as it is and writes the file
while the engine continues.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from queue import Queue
from typing import NamedTuple

from streamlearn.cleanup import Cleanup
from streamlearn.engine.recovery.snapshot_manifest import build_manifest, find_newest, mark_of
from streamlearn.engine.tasks.task import Task
from streamlearn.errors import SnapshotError
from streamlearn.snapshot.fork import ForkedProcess, can_fork
from streamlearn.snapshot.huge_pages import (
    PageReleaser,
    collapse_into_huge_pages,
    find_dense_regions,
    find_releasable_regions,
)
from streamlearn.snapshot.store import SnapshotEntry, SnapshotStore
from streamlearn.state.arrays import copy_arrays

_logger = logging.getLogger(__name__)

FORK_BYTES = 32 << 20
"""Models from this size on are forked: copying so many bytes takes longer than a fork."""
FORK_ENTRIES = 1_000
"""From so many pending instances, tombstones and orphans on, packing them takes longer than a fork."""


class _Point(NamedTuple):
    """The identity of a snapshot, as `SnapshotStore` takes it."""

    group: str
    lineage: str
    task: int
    seq: int
    chain: str


class _Job(NamedTuple):
    task: int
    write: Callable[[], SnapshotEntry]
    forked: bool
    pause_seconds: float


class SnapshotStats(NamedTuple):
    """Statistics of a snapshot that was written."""

    size_bytes: int
    seconds: float  # from the start to the end of writing
    pause_seconds: float  # for which the engine was stopped


class SnapshotWriter:
    """Decides when snapshots are taken, and owns the thread that writes them.

    A snapshot that cannot be written, as on a full disk, is logged and counted; the engine continues without it.

    Parameters
    ----------
    store:
        Where snapshots are written.
    group:
        The consumer group, which is part of a snapshot's path.
    interval_seconds:
        How often a snapshot of each task is taken.

    Attributes
    ----------
    failures:
        Snapshots that could not be written, or after which older ones could not be removed.
    last_failures:
        Why the last snapshot of a task was not written, by task.
    last:
        Statistics of the last snapshot that was written.
    """

    def __init__(self, store: SnapshotStore, group: str, interval_seconds: float) -> None:
        self._store = store
        self._group = group
        self._interval = interval_seconds
        self._due = time.monotonic() + interval_seconds
        self._waiting: list[int] = []  # tasks that are due
        self._queue: Queue[_Job | None] = Queue(maxsize=1)
        self._changed = threading.Condition()
        self._unfinished = 0
        self._written: dict[int, tuple[str, str]] = {}  # lineage and chain of each task's last snapshot
        self._has_forked = False
        self.failures = 0
        self.last_failures: dict[int, str] = {}
        self.last: SnapshotStats | None = None
        self._thread = threading.Thread(target=self._work, name="snapshots", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether a snapshot is being written."""
        return self._unfinished > 0

    def note_existing(self, task: Task) -> None:
        """Note that there is a snapshot of the task's mark."""
        self._written[task.number] = _lineage_and_chain(task)

    def restart_interval(self) -> None:
        """Take the next snapshots after a whole interval."""
        self._due = time.monotonic() + self._interval

    def take_due(self, tasks: Mapping[int, Task]) -> None:
        """Take the snapshots that are due: of each task once per interval, one after the other."""
        if time.monotonic() >= self._due:
            self.restart_interval()
            self._waiting = sorted(tasks)
        while self._waiting and not self.busy:
            task = tasks.get(self._waiting.pop(0))
            if task is not None:
                self.take(task)

    def request(self, number: int) -> None:
        """Take a snapshot of a task as soon as that is possible, not after an interval."""
        self._waiting.append(number)

    def take_during_restore(self, task: Task) -> None:
        """Take a snapshot between two replayed batches once per interval: another restore would start there."""
        if not task.has_changed and not self.busy and time.monotonic() >= self._due:
            self.restart_interval()
            self.take(task)

    def take(self, task: Task) -> None:
        """Freeze a task's state at its committed mark and queue it for writing; waits while another one is queued.

        A task that has changed since its last batch is not taken: the journal does not have the change yet, so that a
        restore from such a snapshot would not be the model that the journal describes.
        """
        if task.mark.seq == 0 or task.has_changed or self._is_written(task):
            return
        self._written[task.number] = _lineage_and_chain(task)
        with self._changed:
            self._unfinished += 1
        started = time.monotonic()
        forked = can_fork() and _is_large(task)
        try:
            write = self._fork(task) if forked else self._copy(task)
        except OSError as error:
            self._report_failure(task.number, error)
            self._finish_one()
            return
        self._queue.put(_Job(task.number, write, forked, time.monotonic() - started))

    def take_last(self, task: Task) -> None:
        """Take a snapshot of a task that ends: also when one of its mark was written and is not in the store any more.

        Waits until those that were taken before are written.
        """
        if self._is_written(task):
            self.wait(None)
            if not self._is_stored(task):
                self._written.pop(task.number, None)
        self.take(task)

    def _is_written(self, task: Task) -> bool:
        return self._written.get(task.number) == _lineage_and_chain(task)

    def _is_stored(self, task: Task) -> bool:
        try:
            entry = find_newest(self._store, self._group, task)
        except SnapshotError:
            return False  # writing it again says why
        return entry is not None and mark_of(entry) == task.mark

    def _copy(self, task: Task) -> Callable[[], SnapshotEntry]:
        """Copy the state; return what writes the copy."""
        point, manifest, copies = self._point_of(task), build_manifest(task), copy_arrays(task.arrays())
        return lambda: self._store.save(*point, copies, manifest)

    def _fork(self, task: Task) -> Callable[[], SnapshotEntry]:
        """Fork a process that collects the arrays and writes the file; return what waits for it."""
        unfinished = self._store.begin(*self._point_of(task))
        manifest = build_manifest(task)

        def write() -> None:
            arrays = task.arrays()
            self._store.fill(unfinished, arrays, manifest, PageReleaser(find_releasable_regions(arrays)).release)

        child = ForkedProcess(write)

        def finish() -> SnapshotEntry:
            try:
                child.wait(unfinished.progress)
            except BaseException:
                with Cleanup(lambda: self._store.abandon(unfinished)):
                    raise
            return self._store.finish(unfinished)

        return finish

    def _point_of(self, task: Task) -> _Point:
        return _Point(self._group, task.lineage, task.number, task.mark.seq, task.mark.chain)

    def wait(self, timeout_seconds: float | None) -> bool:
        """Wait until no snapshot is being written, without a limit for None; return whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._unfinished, timeout_seconds)

    def close(self) -> None:
        """Write what was taken, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            try:
                self._write(job)
            except Exception as error:  # an object store's client has its own errors
                self._report_failure(job.task, error)
            self._has_forked |= job.forked
            # Once for all tasks: it looks at the memory of all of them.
            if self._has_forked and not self._waiting and self._queue.empty():
                self._restore_huge_pages()
            self._finish_one()

    def _restore_huge_pages(self) -> None:
        # A fork makes the system split large pages, and the next fork takes longer with small ones.
        self._has_forked = False
        try:
            collapse_into_huge_pages(find_dense_regions())
        except Exception as error:  # only the next snapshot is slower for it
            _logger.warning("memory was not put into large pages: %s: %s", type(error).__name__, error)

    def _write(self, job: _Job) -> None:
        started = time.monotonic()
        entry = job.write()
        self.last_failures.pop(job.task, None)
        seconds = time.monotonic() - started
        self.last = SnapshotStats(entry.size_bytes, seconds, job.pause_seconds)
        _logger.info(
            "snapshot written: %s (%d bytes in %.2f s, %.0f MB/s, a pause of %.1f ms)",
            entry.path,
            entry.size_bytes,
            seconds,
            entry.size_bytes / 1e6 / max(seconds, 1e-9),
            1000 * job.pause_seconds,
        )
        try:
            self._store.prune(entry.group, entry.lineage, entry.task, entry.seq)
        except Exception as error:  # an object store's client has its own errors
            self.failures += 1
            _logger.error("older snapshots not removed: %s: %s", type(error).__name__, error)

    def _finish_one(self) -> None:
        with self._changed:
            self._unfinished -= 1
            self._changed.notify_all()

    def _report_failure(self, task: int, error: Exception) -> None:
        self.failures += 1
        kind = "" if isinstance(error, SnapshotError) else f"{type(error).__name__}: "
        self.last_failures[task] = f"{kind}{error}"
        self._written.pop(task, None)
        _logger.error("snapshot not written, the engine continues without it: %s: %s", type(error).__name__, error)


def _is_large(task: Task) -> bool:
    return task.model.memory_bytes() >= FORK_BYTES or task.pending.n_kept >= FORK_ENTRIES


def _lineage_and_chain(task: Task) -> tuple[str, str]:
    return task.lineage, task.mark.chain
