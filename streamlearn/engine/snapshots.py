"""Snapshots off the hot path: the state is held as it is at a committed point, and a thread writes it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from queue import Queue
from typing import Any, NamedTuple

import numpy as np

from streamlearn.engine.restore import manifest_of
from streamlearn.engine.task import Task
from streamlearn.errors import SnapshotError
from streamlearn.state.arrays import copy_arrays
from streamlearn.state.forked import Forked, can_fork
from streamlearn.state.snapshot_format import write_snapshot
from streamlearn.state.snapshot_store import SnapshotEntry, SnapshotStore

_logger = logging.getLogger(__name__)

FORK_BYTES = 32 << 20
"""States from this size on are not copied: a copy of so many bytes takes longer than another process."""


class _PointOf(NamedTuple):
    group: str
    lineage: str
    task: int
    seq: int
    chain: str


class _Job(NamedTuple):
    task: int
    write: Callable[[], SnapshotEntry]
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
        self._busy = threading.Event()
        self._written: dict[int, tuple[str, str]] = {}
        self.failures = 0
        self.last: Written | None = None
        self._thread = threading.Thread(target=self._work, name="snapshots", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether a snapshot is being written."""
        return self._busy.is_set()

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
        self._busy.set()
        begun = time.monotonic()
        point = _PointOf(self._group, task.lineage, task.number, task.mark.seq, task.mark.chain)
        manifest, arrays = manifest_of(task), task.arrays()
        try:
            if can_fork() and sum(array.nbytes for array in arrays.values()) >= FORK_BYTES:
                work = self._forked(point, manifest, arrays)
            else:
                work = self._copied(point, manifest, copy_arrays(arrays))
        except (OSError, SnapshotError) as error:
            self._failed(task.number, error)
            self._busy.clear()
            return
        self._queue.put(_Job(task.number, work, time.monotonic() - begun))

    def _copied(
        self, point: _PointOf, manifest: Mapping[str, Any], copies: Mapping[str, np.ndarray]
    ) -> Callable[[], SnapshotEntry]:
        return lambda: self._store.save(*point, copies, manifest)

    def _forked(
        self, point: _PointOf, manifest: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> Callable[[], SnapshotEntry]:
        """Let a process that has the state as it is now write the file."""
        begun = self._store.begin(*point)

        def write() -> None:
            write_snapshot(begun.file, arrays, {**begun.point, **manifest})
            begun.file.flush()
            os.fsync(begun.file.fileno())

        try:
            child = Forked(write)
        except OSError:
            self._store.abandon(begun)
            raise

        def finish() -> SnapshotEntry:
            try:
                child.wait(lambda: begun.temporary.stat().st_size)
            except BaseException:
                self._store.abandon(begun)
                raise
            return self._store.finish(begun)

        return finish

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
            if self._queue.empty():
                self._busy.clear()

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

    def _failed(self, task: int, error: Exception) -> None:
        self.failures += 1
        self._written.pop(task, None)
        _logger.error("snapshot not written, answers go on: %s: %s", type(error).__name__, error)


def _point(task: Task) -> tuple[str, str]:
    return task.lineage, task.mark.chain
