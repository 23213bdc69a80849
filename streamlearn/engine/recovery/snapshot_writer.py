"""Snapshots off the hot path: the state is held as it is at a committed point, and a thread writes it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from queue import Queue
from typing import NamedTuple

from streamlearn.engine.recovery.restore import manifest_of
from streamlearn.engine.tasks.task import Task
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
"""Models from this size on are not copied: a copy of so many bytes takes longer than another process."""
FORK_ENTRIES = 1_000
"""From so many waiting instances and labels on packing them takes longer."""


class _PointOf(NamedTuple):
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


class Written(NamedTuple):
    """A snapshot that was written: its size, the seconds that it took, and those for which the engine stood still."""

    size_bytes: int
    seconds: float
    pause_seconds: float


class SnapshotWriter:
    """Owns the thread that writes snapshots.

    A snapshot that cannot be written, as on a full disk, is reported and the engine goes on: answers do not need it.
    """

    def __init__(self, store: SnapshotStore, group: str, interval_seconds: float) -> None:
        self._store = store
        self._group = group
        self._interval = interval_seconds
        self._due = time.monotonic() + interval_seconds
        self._waiting: list[int] = []
        self._queue: Queue[_Job | None] = Queue(maxsize=1)
        self._changed = threading.Condition()
        self._unfinished = 0
        self._written: dict[int, tuple[str, str]] = {}
        self._shared = False
        self.failures = 0
        self.last: Written | None = None
        self._thread = threading.Thread(target=self._work, name="snapshots", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether a snapshot is being written."""
        return self._unfinished > 0

    def has(self, task: Task) -> None:
        """Note that a task came from a snapshot of the point at which it stands."""
        self._written[task.number] = _point(task)

    def restart(self) -> None:
        """Let the interval begin now."""
        self._due = time.monotonic() + self._interval

    def turn(self, tasks: Mapping[int, Task]) -> None:
        """Take what is due: every interval each task, one at a time, none while another one is written."""
        if time.monotonic() >= self._due:
            self.restart()
            self._waiting = sorted(tasks)
        while self._waiting and not self.busy:
            task = tasks.get(self._waiting.pop(0))
            if task is not None:
                self.take(task)

    def restoring(self, task: Task) -> None:
        """Take a task in the midst of its restore when the interval is over: the next restore begins there."""
        if not task.preamble and not self.busy and time.monotonic() >= self._due:
            self.restart()
            self.take(task)

    def take(self, task: Task) -> None:
        """Hold a task's state as it is at its committed point and let it be written; waits while another one is."""
        if self._written.get(task.number) == _point(task) or task.mark.seq == 0:
            return
        self._written[task.number] = _point(task)
        with self._changed:
            self._unfinished += 1
        begun = time.monotonic()
        forked = can_fork() and _is_big(task)
        try:
            write = self._forked(task) if forked else self._copied(task)
        except OSError as error:
            self._failed(task.number, error)
            self._finished()
            return
        self._queue.put(_Job(task.number, write, forked, time.monotonic() - begun))

    def _copied(self, task: Task) -> Callable[[], SnapshotEntry]:
        point, manifest, copies = self._named(task), manifest_of(task), copy_arrays(task.arrays())
        return lambda: self._store.save(*point, copies, manifest)

    def _forked(self, task: Task) -> Callable[[], SnapshotEntry]:
        """Let a process that has the state as it is now collect its arrays and write the file."""
        begun = self._store.begin(*self._named(task))
        manifest = manifest_of(task)

        def write() -> None:
            arrays = task.arrays()
            self._store.fill(begun, arrays, manifest, PageReleaser(find_releasable_regions(arrays)).release)

        child = ForkedProcess(write)

        def finish() -> SnapshotEntry:
            try:
                child.wait(begun.progress)
            except BaseException:
                self._store.abandon(begun)
                raise
            return self._store.finish(begun)

        return finish

    def _named(self, task: Task) -> _PointOf:
        return _PointOf(self._group, task.lineage, task.number, task.mark.seq, task.mark.chain)

    def wait(self, timeout_seconds: float) -> bool:
        """Wait until nothing is being written; return whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._unfinished, timeout_seconds)

    def close(self) -> None:
        """Write what was taken, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            try:
                self._save(job)
            except Exception as error:  # an object store's client raises errors of its own
                self._failed(job.task, error)
            self._shared |= job.forked
            # Once for all tasks: it looks at the memory of all of them.
            if self._shared and not self._waiting and self._queue.empty():
                self._gather()
            self._finished()

    def _gather(self) -> None:
        # Sharing has cut large pages into small ones, with which the next process would take longer to begin.
        self._shared = False
        try:
            collapse_into_huge_pages(find_dense_regions())
        except Exception as error:  # it helps the next snapshot, which can do without
            _logger.warning("memory was not put into large pages: %s: %s", type(error).__name__, error)

    def _save(self, job: _Job) -> None:
        begun = time.monotonic()
        entry = job.write()
        self._store.prune(entry.group, entry.lineage, entry.task, entry.seq)
        seconds = time.monotonic() - begun
        self.last = Written(entry.size_bytes, seconds, job.pause_seconds)
        _logger.info(
            "snapshot written: %s (%d bytes in %.2f s, %.0f MB/s, a pause of %.1f ms)",
            entry.path,
            entry.size_bytes,
            seconds,
            entry.size_bytes / 1e6 / max(seconds, 1e-9),
            1000 * job.pause_seconds,
        )

    def _finished(self) -> None:
        with self._changed:
            self._unfinished -= 1
            self._changed.notify_all()

    def _failed(self, task: int, error: Exception) -> None:
        self.failures += 1
        self._written.pop(task, None)
        _logger.error("snapshot not written, answers go on: %s: %s", type(error).__name__, error)


def _is_big(task: Task) -> bool:
    return task.model.memory_bytes() >= FORK_BYTES or task.pending.kept >= FORK_ENTRIES


def _point(task: Task) -> tuple[str, str]:
    return task.lineage, task.mark.chain
